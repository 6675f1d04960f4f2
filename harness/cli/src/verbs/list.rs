//! `list`: what there is, from code and configs.

use std::path::Path;

use quantbench_core::Needs;
use quantbench_runner::Catalog;
use serde_json::{Value, json};

use crate::args::{Kind, ListArgs};
use crate::context;
use crate::exit::{Exit, Failure, OrExit, Outcome};
use crate::out;

/// Prints a table, or JSON.
pub fn run(args: &ListArgs, configs: Option<&Path>) -> Outcome {
    let (head, rows) = match args.kind {
        Kind::Methods => methods(&context::catalog(configs)?),
        kind => from_catalog(kind, &context::catalog(configs)?),
    };
    if args.json {
        let list: Vec<Value> = rows
            .iter()
            .map(|row| head.iter().zip(row).map(|(k, v)| ((*k).to_string(), json!(v))).collect())
            .collect();
        out::line(&serde_json::to_string_pretty(&list).or_failed()?)?;
    } else {
        let head = head.iter().map(|h| (*h).to_string()).collect();
        let table: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
        out::line(&out::table(&table))?;
    }
    Ok::<_, Failure>(Exit::Done)
}

type Listing = (Vec<&'static str>, Vec<Vec<String>>);

fn methods(catalog: &Catalog) -> Listing {
    let own = quantbench_methods::ALL.iter().map(|m| (m.card(), m.grant(), "built in"));
    let external = catalog.externals().map(|e| (e.card, e.needs, "external"));
    let rows = own.chain(external).map(|(card, needs, origin)| {
        let (lo, hi) = card.widths.weights;
        let widths = match (card.widths.ternary, lo == hi) {
            (true, _) => "ternary".to_string(),
            (_, true) => format!("{lo}"),
            _ => format!("{lo}-{hi}"),
        };
        vec![
            card.name.to_string(),
            card.family.to_string(),
            widths,
            needs.to_string(),
            origin.to_string(),
            card.summary.to_string(),
        ]
    });
    let add_ons = quantbench_methods::ADD_ONS.iter().map(|add_on| {
        let card = add_on.card();
        vec![
            format!("METHOD+{}", card.name),
            "add-on".to_string(),
            "-".to_string(),
            Needs::Unlabelled.to_string(),
            "built in".to_string(),
            card.summary.to_string(),
        ]
    });
    let head = vec!["method", "family", "weight bits", "needs", "origin", "summary"];
    (head, rows.chain(add_ons).collect())
}

fn from_catalog(kind: Kind, catalog: &Catalog) -> Listing {
    match kind {
        Kind::Models => {
            let rows = catalog.models().map(|m| {
                let top1 = m.fp32_top1.map_or("-".to_string(), |t| format!("{t:.2}"));
                vec![m.name.clone(), m.dataset.clone(), top1, m.summary.clone()]
            });
            (vec!["model", "data set", "fp32 top-1 %", "summary"], rows.collect())
        }
        Kind::Datasets => {
            let rows = catalog.datasets().map(|d| {
                vec![d.name.clone(), d.classes.to_string(), d.licence.clone(), d.summary.clone()]
            });
            (vec!["data set", "classes", "licence", "summary"], rows.collect())
        }
        Kind::Profiles | Kind::Methods => {
            let rows = catalog.profiles().map(|p| {
                vec![
                    p.name.clone(),
                    p.execution.to_string(),
                    format!("{:?}", p.executes.weight_bits),
                    format!("{:?}", p.executes.activation_bits),
                    p.summary.clone(),
                ]
            });
            (
                vec!["profile", "numbers", "weight bits", "activation bits", "summary"],
                rows.collect(),
            )
        }
    }
}
