//! `cost`: what one model costs on simulated targets, or measured on this machine.

mod measure;

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use quantbench_datasets::DataRoots;
use quantbench_graph::{Artefact, Graph, decode, read_qdq};
use quantbench_hardware::{
    Bound, CostError, Level, ModelledCost, ModelledLayer, Profile, Roofline, Totals, Workload,
};
use quantbench_runner::{Catalog, Costed, Store};
use serde_json::json;

use crate::args::CostArgs;
use crate::context;
use crate::exit::{Exit, Failure, OrExit, Outcome};
use crate::out;

pub use measure::CAPPED;

/// A width where none is asked for.
const DEFAULT_BITS: u8 = 8;

/// Costs the model on every target that is named, or on all, and prints tables.
pub fn run(args: &CostArgs, configs: Option<&Path>) -> Outcome {
    let catalog = context::catalog(configs)?;
    if args.measure {
        return measure::run(args, &catalog);
    }
    let profiles = profiles(&args.profile, &catalog)?;
    if let Some(dir) = &args.run {
        let store = Store::open(dir).or_usage()?;
        return store_costs(&store, &profiles.iter().collect::<Vec<_>>()).map(|()| Exit::Done);
    }
    let workload = workload(args, &catalog)?;
    let mut costs = Vec::new();
    let mut unfit = Vec::new();
    for profile in &profiles {
        match profile.cost(&workload) {
            Ok(cost) => costs.push(cost),
            // Who names a target wants that one; who names none wants those that fit.
            Err(error) if !args.profile.is_empty() => return Err(error).or_usage(),
            Err(error) => unfit.push((profile.name.as_str(), error)),
        }
    }
    if costs.is_empty() {
        let reasons: Vec<String> = unfit.iter().map(|(_, e)| e.to_string()).collect();
        return Err(anyhow!("no simulated target runs this model: {}", reasons.join("; ")))
            .or_usage();
    }
    if args.json {
        let unfit: Vec<_> = unfit
            .iter()
            .map(|(name, error)| json!({"profile": name, "reason": error.to_string()}))
            .collect();
        let value = json!({
            "model": workload.origin,
            "workload": workload.layers,
            "cost_modelled": costs,
            "unfit": unfit,
        });
        out::line(&serde_json::to_string_pretty(&value).or_failed()?)?;
    } else {
        out::line(&text(&workload, &costs, &unfit, args.layers))?;
    }
    Ok(Exit::Done)
}

/// Stores the cost of a run folder's artefacts on each profile, and says what became of them.
pub(super) fn store_costs(store: &Store, profiles: &[&Profile]) -> Result<(), Failure> {
    let command = std::env::args().collect::<Vec<_>>().join(" ");
    let commit = env!("QUANTBENCH_COMMIT");
    let costed =
        quantbench_runner::cost_artefacts(store, profiles, &command, commit).or_failed()?;
    say_costed(costed, store);
    Ok(())
}

fn say_costed(costed: Costed, store: &Store) {
    let Costed { written, kept, without_artefact } = costed;
    if written + kept + without_artefact == 0 {
        return;
    }
    let mut text = format!("costs: {written} stored now, {kept} were there");
    if without_artefact > 0 {
        let _ = write!(
            text,
            ", {without_artefact} rows have no artefact in {} and get none; run their survey again \
             to make them",
            store.dir().display()
        );
    }
    out::say(&text);
}

/// The targets that are named, or all that have a model.
fn profiles(named: &[String], catalog: &Catalog) -> Result<Vec<Profile>, Failure> {
    if named.is_empty() {
        return Ok(catalog.profiles().filter(|p| p.cost.is_some()).cloned().collect());
    }
    let one = |name: &String| {
        let is_file = Path::new(name).extension().is_some_and(|e| e == "yaml" || e == "yml");
        if !is_file {
            return catalog.profile(name).cloned().or_usage();
        }
        let text = std::fs::read_to_string(name).with_context(|| format!("cannot read {name}"));
        Profile::parse(&text.or_usage()?, name).or_usage()
    };
    named.iter().map(one).collect()
}

/// The layers of the model that is named, at the widths that are asked for or that it has.
fn workload(args: &CostArgs, catalog: &Catalog) -> Result<Workload, Failure> {
    let model = args.model.as_deref().map(|model| model_bytes(model, catalog)).transpose()?;
    if let Some(file) = &args.artefact {
        let origin = file.display().to_string();
        let bytes =
            std::fs::read(file).with_context(|| format!("cannot read {origin}")).or_usage()?;
        let own = Workload::of(&artefact(&bytes, &origin)?).or_usage()?;
        if let Some((name, bytes)) = model {
            same_layers(&name, &plain(&name, &bytes, DEFAULT_BITS, DEFAULT_BITS)?, &own)?;
        }
        return Ok(own);
    }
    let Some((name, bytes)) = model else {
        return Err(anyhow!("there is no model; name one, or a file with --artefact")).or_usage();
    };
    let quantized =
        Graph::from_bytes(&bytes, &name).or_usage()?.nodes().iter().any(|node| {
            matches!(node.op_type.as_deref(), Some("QuantizeLinear" | "DequantizeLinear"))
        });
    if !quantized {
        let bits = |asked: Option<u8>| asked.unwrap_or(DEFAULT_BITS);
        return plain(&name, &bytes, bits(args.weights), bits(args.activations));
    }
    if args.weights.is_some() || args.activations.is_some() {
        return Err(anyhow!(
            "{name}: the file has quantizers, whose widths count; leave --weights and \
             --activations out or name the FP32 model"
        ))
        .or_usage();
    }
    Workload::of(&artefact(&bytes, &name)?).or_usage()
}

fn plain(name: &str, bytes: &[u8], weights: u8, activations: u8) -> Result<Workload, Failure> {
    let graph = Graph::from_bytes(bytes, name).and_then(|graph| graph.fold()).or_usage()?;
    Workload::uniform(&graph, weights, activations).or_usage()
}

/// What a packed artefact begins with.
const PACKED: &[u8] = b"QBPACKED";

fn artefact(bytes: &[u8], origin: &str) -> Result<Artefact, Failure> {
    if bytes.starts_with(PACKED) {
        return decode(bytes, origin).or_usage();
    }
    read_qdq(bytes, origin).or_usage()
}

/// Name and bytes of a model from the catalogue or a file.
fn model_bytes(model: &str, catalog: &Catalog) -> Result<(String, Vec<u8>), Failure> {
    if catalog.models().any(|card| card.name == model) {
        let card = catalog.model(model).or_usage()?;
        let bytes = card.bytes(&DataRoots::from_env()).map_err(|error| Failure {
            exit: if error.is_missing() { Exit::Missing } else { Exit::Usage },
            error: error.into(),
        })?;
        return Ok((model.to_string(), bytes));
    }
    let path = Path::new(model);
    if !path.exists() {
        let known: Vec<&str> = catalog.models().map(|m| m.name.as_str()).collect();
        let near = quantbench_core::names::suggestion(model, &known);
        return Err(anyhow!("model {model:?} is neither a known name nor a file{near}")).or_usage();
    }
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {model}")).or_usage()?;
    Ok((model.to_string(), bytes))
}

/// An artefact of another network would be costed under the wrong name.
fn same_layers(name: &str, model: &Workload, own: &Workload) -> Result<(), Failure> {
    let macs =
        |w: &Workload| w.layers.iter().map(quantbench_hardware::Work::macs).collect::<Vec<_>>();
    if macs(model) == macs(own) {
        return Ok(());
    }
    Err(anyhow!(
        "{}: its layers are not those of {name} ({} with {} multiply-accumulates, expected {} with \
         {}); name the model that it was made from, or none",
        own.origin,
        own.layers.len(),
        own.macs(),
        model.layers.len(),
        model.macs()
    ))
    .or_usage()
}

fn text(
    workload: &Workload,
    costs: &[ModelledCost],
    unfit: &[(&str, CostError)],
    layers: bool,
) -> String {
    let mut text = head(workload);
    text += &out::table(&times(costs));
    text.push('\n');
    text += &out::table(&energies(costs));
    text += "\nall by models: nothing ran; energy of a whole target has no breakdown in its source\n\
             ceiling: what peak and bandwidth of the target allow for the speed-up, if both networks use \
             them alike\n";
    for cost in costs {
        for note in &cost.notes {
            let _ = writeln!(text, "note: {}: {note}", cost.profile);
        }
    }
    for (_, error) in unfit {
        let _ = writeln!(text, "left out: {error}");
    }
    if layers {
        for cost in costs {
            let _ = write!(
                text,
                "\n{} ({})\n{}",
                cost.profile,
                cost.model,
                out::table(&by_layer(cost))
            );
        }
    }
    text
}

/// What the network asks of any target.
fn head(workload: &Workload) -> String {
    let all = workload.layers.iter().map(|w| (w.weight_bits, w.activation_bits));
    let pairs: std::collections::BTreeSet<(u8, u8)> = all.collect();
    let widths: Vec<String> = pairs.iter().map(|(w, a)| format!("w{w}a{a}")).collect();
    let sum = |of: fn(&quantbench_hardware::Bytes) -> u64| -> f64 {
        workload.layers.iter().map(|w| of(&w.bytes())).sum::<u64>() as f64 / 1024.0
    };
    format!(
        "{}: {} layers at {}, per image {:.3} M multiply-accumulates, {:.3} G bit operations\n\
         weights {:.1} KiB, inputs {:.1} KiB, outputs {:.1} KiB\n\n",
        workload.origin,
        workload.layers.len(),
        widths.join(", "),
        workload.macs() as f64 / 1e6,
        workload.bit_operations() as f64 / 1e9,
        sum(|b| b.weights),
        sum(|b| b.input),
        sum(|b| b.output),
    )
}

fn strings<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(ToString::to_string).to_vec()
}

/// A number with three significant digits or all of its whole ones.
fn short(value: f64) -> String {
    let decimals = match value.abs() {
        v if v >= 100.0 || v == 0.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        v if v >= 0.1 => 3,
        _ => 4,
    };
    format!("{value:.decimals$}")
}

/// The span of a number over the rooflines of a network.
fn span(roofs: &[Roofline], of: impl Fn(&Roofline) -> Option<f64>) -> String {
    let values: Vec<f64> = roofs.iter().filter_map(of).collect();
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(0.0, f64::max);
    match values.len() {
        0 => "-".to_string(),
        _ if low == high => short(low),
        _ => format!("{}-{}", short(low), short(high)),
    }
}

fn times(costs: &[ModelledCost]) -> Vec<Vec<String>> {
    let head = strings([
        "profile",
        "ms",
        "cycles",
        "in use %",
        "waits for memory %",
        "peak GOP/s",
        "GB/s",
        "ridge op/B",
        "speed-up",
        "ceiling",
        "over",
    ]);
    let rows = costs.iter().map(|cost| {
        let Totals { seconds, cycles, utilisation, memory_bound_share, .. } = cost.total;
        vec![
            cost.profile.clone(),
            short(seconds * 1e3),
            cycles.to_string(),
            short(100.0 * utilisation),
            short(100.0 * memory_bound_share),
            span(&cost.rooflines, |r| Some(r.peak_ops_per_s / 1e9)),
            span(&cost.rooflines, |r| Some(r.bytes_per_s? / 1e9)),
            span(&cost.rooflines, Roofline::ridge_ops_per_byte),
            short(cost.speed_up.modelled),
            short(cost.speed_up.ceiling),
            cost.speed_up.reference.clone(),
        ]
    });
    std::iter::once(head).chain(rows).collect()
}

fn energies(costs: &[ModelledCost]) -> Vec<Vec<String>> {
    let head = strings([
        "profile",
        "uJ",
        "arithmetic",
        "SRAM",
        "DRAM",
        "whole target",
        "SRAM KiB",
        "flash KiB",
        "DRAM KiB",
    ]);
    let rows = costs.iter().map(|cost| {
        let (total, energy) = (&cost.total, &cost.total.energy);
        let parts = [energy.compute_j, energy.sram_j, energy.dram_j, energy.whole_j];
        let mut row = vec![cost.profile.clone(), short(energy.total_j() * 1e6)];
        row.extend(parts.map(|j| if j > 0.0 { short(j * 1e6) } else { "-".to_string() }));
        row.extend([Level::Sram, Level::Flash, Level::Dram].map(|level| {
            let stated = total.traffic.iter().any(|f| f.level == level);
            if stated { kib(total.bytes_at(level)) } else { "-".to_string() }
        }));
        row
    });
    std::iter::once(head).chain(rows).collect()
}

fn kib(bytes: u64) -> String {
    short(bytes as f64 / 1024.0)
}

fn by_layer(cost: &ModelledCost) -> Vec<Vec<String>> {
    let head = strings([
        "layer",
        "widths",
        "M MAC",
        "cycles",
        "us",
        "in use %",
        "waits for",
        "uJ",
        "SRAM KiB",
        "DRAM KiB",
        "ceiling",
    ]);
    let row = |(layer, ceiling): (&ModelledLayer, &f64)| {
        vec![
            layer.layer.clone(),
            format!("w{}a{}", layer.weight_bits, layer.activation_bits),
            short(layer.macs as f64 / 1e6),
            layer.cycles.to_string(),
            short(layer.seconds * 1e6),
            short(100.0 * layer.utilisation),
            match layer.bound {
                Bound::Compute => "compute".to_string(),
                Bound::Memory => "memory".to_string(),
            },
            short(layer.energy.total_j() * 1e6),
            kib(layer.bytes_at(Level::Sram)),
            kib(layer.bytes_at(Level::Dram)),
            short(*ceiling),
        ]
    };
    let rows = cost.layers.iter().zip(&cost.speed_up.layer_ceilings).map(row);
    std::iter::once(head).chain(rows).collect()
}
