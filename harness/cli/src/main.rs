//! The binary `quantbench`: a table of contents.

mod args;
mod asked;
mod context;
mod exit;
mod isa;
mod out;
mod progress;
mod signals;
mod verbs;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Verb};
use crate::exit::Failure;

fn main() -> ExitCode {
    signals::survive_full_files();
    let Cli { configs, verb } = Cli::parse();
    let configs = configs.as_deref();
    if let Err(failure) = isa::hold(&verb) {
        return fail(&failure);
    }
    let outcome = match verb {
        Verb::List(args) => verbs::list::run(&args, configs),
        Verb::Explain(args) => verbs::explain::run(&args, configs),
        Verb::Doctor => verbs::doctor::run(configs),
        Verb::Fetch(args) => verbs::fetch::run(&args, configs),
        Verb::Plan(args) => verbs::plan::run(&args, configs),
        Verb::Run(args) => verbs::run::run(&args, configs),
        Verb::Status(args) => verbs::status::run(&args),
        Verb::Report(args) => verbs::report::run(&args),
        Verb::Compare(args) => verbs::compare::run(&args),
        Verb::Recommend(args) => verbs::recommend::run(&args),
        Verb::Index(args) => verbs::index::run(&args),
        Verb::Quantize(args) => verbs::quantize::run(&args, configs),
        Verb::Inspect(args) => verbs::inspect::run(&args, configs),
        Verb::Eval(args) => verbs::eval::run(&args, configs),
        Verb::Cost(args) => verbs::cost::run(&args, configs),
        Verb::Schema(args) => verbs::schema::run(&args),
        Verb::Completions(args) => verbs::completions::run(&args, configs),
        Verb::Worker => return verbs::worker::run(),
        Verb::Probe => verbs::probe::run(),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) => fail(&failure),
    }
}

fn fail(failure: &Failure) -> ExitCode {
    out::say(&format!("error: {failure}"));
    failure.exit.into()
}
