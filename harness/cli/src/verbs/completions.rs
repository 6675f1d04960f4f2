//! `completions`: what a shell needs to complete verbs, options and names.

use std::path::Path;

use clap::builder::PossibleValuesParser;
use clap::{Command, CommandFactory};
use clap_complete::{generate, shells};
use quantbench_runner::Catalog;

use crate::args::{Cli, CompletionsArgs, Shell};
use crate::context;
use crate::exit::{Exit, Outcome};
use crate::out;

/// Prints the completions; names are those of the catalogue at this moment.
pub fn run(args: &CompletionsArgs, configs: Option<&Path>) -> Outcome {
    let mut command = with_names(&Cli::command(), &context::catalog(configs)?);
    let mut script = Vec::new();
    let name = "quantbench";
    match args.shell {
        Shell::Bash => generate(shells::Bash, &mut command, name, &mut script),
        Shell::Zsh => generate(shells::Zsh, &mut command, name, &mut script),
        Shell::Fish => generate(shells::Fish, &mut command, name, &mut script),
    }
    out::line(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

/// The visible verbs with the names that their arguments are usually given.
///
/// For completions only: a model may also be a path and a data set that of another folder, so that
/// the command line itself takes any text there.
fn with_names(command: &Command, catalog: &Catalog) -> Command {
    let methods = quantbench_methods::ALL.iter().map(|m| m.card().name.to_string());
    let methods: Vec<String> = methods.collect();
    let models: Vec<String> = catalog.models().map(|m| m.name.clone()).collect();
    let datasets: Vec<String> = catalog.datasets().map(|d| d.name.clone()).collect();
    let profiles = catalog.profiles().filter(|p| p.cost.is_some()).map(|p| p.name.clone());
    let profiles: Vec<String> = profiles.collect();
    let names = [
        ("cost", "model", &models),
        ("cost", "profile", &profiles),
        ("explain", "method", &methods),
        ("quantize", "method", &methods),
        ("quantize", "model", &models),
        ("quantize", "preprocess_of", &models),
        ("quantize", "dataset", &datasets),
        ("eval", "model", &models),
        ("eval", "preprocess_of", &models),
        ("eval", "dataset", &datasets),
    ];
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set()).map(|verb| {
        let own = names.iter().filter(|(name, ..)| *name == verb.get_name());
        own.fold(verb.clone(), |verb, (_, argument, names)| {
            let values = PossibleValuesParser::new((*names).clone());
            verb.mut_arg(argument, |arg| arg.value_parser(values))
        })
    });
    Command::new("quantbench").args(command.get_arguments()).subcommands(verbs)
}
