//! `explain`: a method's card.

use std::path::Path;

use quantbench_core::Needs;
use quantbench_core::card::{Card, WidthRange};

use crate::args::ExplainArgs;
use crate::context;
use crate::exit::{Exit, OrExit, Outcome};
use crate::out;

/// Prints the card.
pub fn run(args: &ExplainArgs, configs: Option<&Path>) -> Outcome {
    if let Ok(method) = quantbench_methods::find(&args.method) {
        out::line(&text(method.card(), method.grant()))?;
        return Ok(Exit::Done);
    }
    let catalog = context::catalog(configs)?;
    let external = catalog.external(&args.method).or_usage()?;
    out::line(&text(external.card, external.needs))?;
    let launch = external.launch();
    out::line(&format!(
        "\nExternal method\n  tool     {}\n  command  {}\n  limit    {} s\n  state    {}",
        external.tool,
        launch.command.join(" "),
        launch.timeout_s,
        external.state().map_or_else(|missing| missing, |()| "ready".to_string())
    ))?;
    Ok(Exit::Done)
}

/// The card as text.
fn text(card: &Card, grant: Needs) -> String {
    let WidthRange { weights: (lo, hi), ternary, activations: (alo, ahi) } = card.widths;
    let weights = if ternary { "ternary (w2t)".to_string() } else { format!("{lo} to {hi} bits") };
    let mut lines = vec![
        format!("{} (version {}), {}", card.name, card.version, card.family),
        String::new(),
        card.summary.to_string(),
        String::new(),
        format!("When to use it  {}", card.when),
        format!("Needs           {grant}"),
        format!("Weights         {weights}"),
        format!("Activations     {alo} to {ahi} bits, or 32 (not quantized)"),
        format!("Granularity     {}", card.granularity),
        format!("Paper           {}", card.paper),
    ];
    lines.push(String::new());
    lines.push("Parameters".to_string());
    if card.params.is_empty() {
        lines.push("  none".to_string());
    }
    for p in card.params {
        lines.push(format!("  {} = {}", p.name, p.default_value()));
        lines.push(format!("      {} ({})", p.help, p.range));
    }
    lines.push(String::new());
    lines.push("Departures from the paper".to_string());
    if card.departures.is_empty() {
        lines.push("  none".to_string());
    }
    lines.extend(card.departures.iter().map(|d| format!("  - {d}")));
    lines.join("\n")
}
