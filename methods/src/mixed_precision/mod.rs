//! Mixed-precision methods: they choose a width per layer under a budget.

mod budget;
pub mod sensitivity;
pub mod sensitivity_noise;

use quantbench_core::card::{Default, Param, ParamRange};
use quantbench_core::evidence::LayerSensitivity;
use quantbench_core::{Bits, ImageSource};
use quantbench_graph::WeightSite;

use crate::contract::{Context, Job, MethodError};
use crate::parts::probe::divergences;
use crate::parts::ranges::{Mse, WeightStyle};
use crate::parts::weights::{Quantized, quantize, quantize_sites};
use budget::Budget;

/// The widths that a layer may get, smallest first.
const WIDTHS: [u8; 5] = [2, 3, 4, 6, 8];

/// What is limited.
const BUDGET: Param = Param {
    name: "budget",
    help: "what may not exceed its cost at the uniform width: bits of weights, or weight bits x \
           activation bits x multiply-accumulates",
    default: Default::Text("size"),
    range: ParamRange::Choice(&["size", "bit-operations"]),
};

/// How much of it there is.
const MEAN_BITS: Param = Param {
    name: "mean_bits",
    help: "mean weight width that the budget pays for, in bits, weighted by what the budget \
           counts; 0 takes the spec's uniform width",
    default: Default::Float(0.0),
    range: ParamRange::Float(0.0, 8.0),
};

/// Weights at the widths with the smallest total sensitivity under the job's budget, by mean
/// squared error; sensitivities, the front and the choice become evidence.
///
/// `images` is called where there is something to choose; sensitivities are measured on all of
/// what it gives.
fn quantize_weights<'i>(
    job: &Job<'_>,
    method: &'static str,
    images: impl FnOnce() -> &'i dyn ImageSource,
    cx: &mut Context<'_>,
) -> Result<Quantized, MethodError> {
    let style = WeightStyle::from_name(job.choice("weights"));
    let free: Vec<&WeightSite> = job.sites.weights.iter().filter(|s| s.free).collect();
    let budget = Budget::new(job, &free, method)?;
    let (widths, note) = if let Some(settled) = budget.without_choice() {
        settled
    } else {
        budget.is_feasible()?;
        let all: Vec<Bits> = widths().collect();
        let round = |weights: &_, layer: &quantbench_graph::Layer, bits| {
            quantize(weights, layer.axis, bits, style, &Mse)
        };
        let losses = divergences(job, &free, &all, round, images(), cx)?;
        let rows = free.iter().zip(&losses).map(|(site, losses)| LayerSensitivity {
            layer: job.layers[site.layer].name.clone(),
            measure: "mean Kullback-Leibler divergence of the softmax in nats".to_string(),
            bits: WIDTHS.to_vec(),
            losses: losses.clone(),
        });
        cx.evidence.sensitivities = rows.collect();
        let chosen = budget.choose(&losses)?;
        cx.evidence.front = Some(chosen.front);
        (chosen.widths, chosen.note)
    };
    let mut sites = job.sites.clone();
    let chosen = sites.weights.iter_mut().filter(|s| s.free).zip(&widths);
    chosen.for_each(|(site, &bits)| site.bits = bits);
    let job = Job { sites: &sites, ..*job };
    let mut quantized = quantize_sites(&job, cx, |weights, layer, site| {
        quantize(weights, layer.axis, site.bits, style, &Mse)
    })?;
    quantized.notes.push(note);
    Ok(quantized)
}

fn widths() -> impl Iterator<Item = Bits> {
    WIDTHS.iter().filter_map(|&b| Bits::new(b).ok())
}
