//! `schema`: the JSON schema of a kind of configuration file.

use anyhow::anyhow;
use quantbench_runner::{SchemaKind, schema_text};

use crate::args::SchemaArgs;
use crate::exit::{Exit, OrExit, Outcome};
use crate::out;

/// Prints the schema.
pub fn run(args: &SchemaArgs) -> Outcome {
    let kind = SchemaKind::ALL.into_iter().find(|kind| kind.name() == args.kind);
    let kind = kind.ok_or_else(|| anyhow!("there is no schema {:?}", args.kind)).or_usage()?;
    out::line(&schema_text(kind))?;
    Ok(Exit::Done)
}
