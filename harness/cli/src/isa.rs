//! Holding this process to a smaller instruction set: it starts itself anew with the variable set.

use anyhow::anyhow;
use quantbench_engine::cap;

use crate::args::{Isa, Verb};
use crate::exit::{Exit, Failure};
use crate::verbs::cost::CAPPED;

/// Starts the program anew under the cap if its options ask for one that is not there yet.
///
/// A cap is the process's to its end, and the workers that it starts inherit it.
pub fn hold(verb: &Verb) -> Result<(), Failure> {
    if !is_asked(verb) || std::env::var_os(cap::ISA_VARIABLE).is_some_and(|isa| isa == cap::AVX2) {
        return Ok(());
    }
    Err(Failure { exit: Exit::Missing, error: start_anew() })
}

fn is_asked(verb: &Verb) -> bool {
    match verb {
        Verb::Run(args) => args.isa.isa == Some(Isa::Avx2),
        Verb::Eval(args) => args.isa.isa == Some(Isa::Avx2),
        // Who measures on the profile asks for its instruction set.
        Verb::Cost(args) => {
            args.isa.isa == Some(Isa::Avx2)
                || (args.measure && matches!(&args.profile[..], [one] if one == CAPPED))
        }
        _ => false,
    }
}

/// Comes back only with why it could not.
#[cfg(unix)]
fn start_anew() -> anyhow::Error {
    use std::os::unix::process::CommandExt;
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return anyhow!("cannot find this program's own file: {error}"),
    };
    let error = std::process::Command::new(program)
        .args(std::env::args_os().skip(1))
        .env(cap::ISA_VARIABLE, cap::AVX2)
        .exec();
    anyhow!("cannot start this program anew: {error}")
}

#[cfg(not(unix))]
fn start_anew() -> anyhow::Error {
    anyhow!("--isa avx2: only possible on x86-64 Linux")
}
