//! # What it does
//! Measures how much each layer suffers from each width, then takes the widths with the smallest
//! total under a budget. A layer's sensitivity is the Kullback-Leibler divergence between the FP32
//! network's softmax and that of the network with only this layer's weights quantized (activations
//! in FP32), averaged over images. The budget is what the spec's uniform widths would cost.
//!
//! # When to use it
//! When some layers need more bits than others and the target can mix widths. At the smallest
//! width nothing is left to choose: the budget of uniform 2 bits is met by 2 bits everywhere. At
//! 8 bits every layer gets the largest width.
//!
//! # Inputs and cost
//! Unlabelled images: activation ranges from all of them, sensitivities from the first
//! `images_for_kl`. Five forward passes over those per free layer, none where the budget leaves
//! no choice. No training.
//!
//! # Parameters
//! - `budget`: `size` (default; bits of weights) or `bit-operations` (weight bits x activation
//!   bits x multiply-accumulates), over the layers that the first/last rule leaves free.
//! - `images_for_kl` (images, 1 to 100000, default 256).
//! - `weights`: `symmetric` (default) or `affine`.
//!
//! # Differences from the paper
//! Sensitivities are measured on calibration images instead of distilled ones (ZeroQ) and the
//! widths are 2, 3, 4, 6, 8 instead of 2, 4, 8. Total sensitivity is minimised exactly by dynamic
//! programming; ZeroQ's search was not released. Ranges by mean squared error, not min-max.
//! Activations keep the spec's width.
//!
//! # Reference
//! Y. Cai et al., "ZeroQ: a novel zero shot quantization framework", CVPR 2020, arXiv:2001.00281,
//! section 3.2.

use quantbench_core::card::{Card, Default, Family, Param, ParamRange, WidthRange};
use quantbench_core::{Bits, ImageSource, Tensor};
use quantbench_graph::{Artefact, WeightSite};

use crate::contract::{Context, Job, MethodError, Recipe};
use crate::data_dependent::WEIGHTS;
use crate::grant::Unlabelled;
use crate::parts::allocate::{Choice, Infeasible, allocate};
use crate::parts::calibrate::{First, activation_grids};
use crate::parts::divergence::{mean_divergence, softmax};
use crate::parts::ranges::{Mse, WeightStyle};
use crate::parts::weights::{finite, quantize, quantize_sites};

/// Sensitivity-based mixed precision.
pub struct Sensitivity;

/// The widths that a layer may get, smallest first.
const WIDTHS: [u8; 5] = [2, 3, 4, 6, 8];

static CARD: Card = Card {
    name: "sensitivity",
    version: 1,
    family: Family::MixedPrecision,
    summary: "chooses a width per layer by the divergence that its quantization alone causes, \
              under the budget of the uniform width",
    when: "when some layers need more bits than others and the target can mix widths; at 2 bits \
           and at 8 nothing is left to choose",
    paper: "Y. Cai et al., ZeroQ: a novel zero shot quantization framework, CVPR 2020, \
            arXiv:2001.00281",
    cite: "cai2020zeroq",
    widths: WidthRange { weights: (2, 8), ternary: false, activations: (2, 8) },
    granularity: "weights per output channel, activations per tensor",
    stochastic: false,
    params: &[
        Param {
            name: "budget",
            help: "what may not exceed its cost at the uniform width: bits of weights, or weight \
                   bits x activation bits x multiply-accumulates",
            default: Default::Text("size"),
            range: ParamRange::Choice(&["size", "bit-operations"]),
        },
        Param {
            name: "images_for_kl",
            help: "images on which sensitivities are measured: the first of the draw",
            default: Default::Int(256),
            range: ParamRange::Int(1, 100_000),
        },
        WEIGHTS,
    ],
    departures: &[
        "sensitivities from calibration images instead of distilled ones",
        "widths 2, 3, 4, 6, 8 instead of 2, 4, 8, allocated exactly by dynamic programming",
        "ranges by mean squared error instead of min-max",
        "activations keep the spec's width",
    ],
};

impl Recipe for Sensitivity {
    type Data = Unlabelled;

    fn card(&self) -> &'static Card {
        &CARD
    }

    fn quantize(
        &self,
        job: &Job<'_>,
        data: Self::Data,
        cx: &mut Context<'_>,
    ) -> Result<Artefact, MethodError> {
        let style = WeightStyle::from_name(job.choice("weights"));
        let free: Vec<&WeightSite> = job.sites.weights.iter().filter(|s| s.free).collect();
        let budget = Budget::new(job, &free)?;
        let (widths, note) = if let Some(settled) = budget.without_choice() {
            settled
        } else {
            let count = usize::try_from(job.int("images_for_kl")).unwrap_or(1);
            let some = First { images: data.images(), count };
            budget.choose(&sensitivities(job, &free, style, &some, cx)?)?
        };

        let mut sites = job.sites.clone();
        let chosen = sites.weights.iter_mut().filter(|s| s.free).zip(&widths);
        chosen.for_each(|(site, &bits)| site.bits = bits);
        let job = Job { sites: &sites, ..*job };
        let mut quantized = quantize_sites(&job, cx, |weights, layer, site| {
            quantize(weights, layer.axis, site.bits, style, &Mse)
        })?;
        quantized.notes.push(note);
        let activations = activation_grids(job.graph, job.sites, data.images(), &Mse, cx)?;
        Ok(Artefact {
            graph: job.graph.clone(),
            weights: quantized.weights,
            activations,
            notes: quantized.notes,
        })
    }
}

/// Mean divergence per free layer and width, in the order of [`WIDTHS`].
fn sensitivities(
    job: &Job<'_>,
    free: &[&WeightSite],
    style: WeightStyle,
    images: &dyn ImageSource,
    cx: &mut Context<'_>,
) -> Result<Vec<[f64; WIDTHS.len()]>, MethodError> {
    if free.is_empty() {
        return Ok(Vec::new());
    }
    let steps = free.len() * WIDTHS.len();
    let truth = distribution(&cx.engine.logits(job.graph, images, cx.batch)?, "FP32 model")?;
    let mut graph = job.graph.clone();
    let mut losses = Vec::with_capacity(free.len());
    for (i, site) in free.iter().enumerate() {
        let layer = &job.layers[site.layer];
        let original = finite(job, &layer.weight)?;
        let mut row = [0.0; WIDTHS.len()];
        for (w, (loss, bits)) in row.iter_mut().zip(widths()).enumerate() {
            cx.step(i * WIDTHS.len() + w, steps, "sensitivities")?;
            let rounded = quantize(&original, layer.axis, bits, style, &Mse).dequantize();
            graph.set_weight(&layer.weight, &rounded)?;
            let logits = cx.engine.logits(&graph, images, cx.batch)?;
            *loss = mean_divergence(&truth, &distribution(&logits, &layer.name)?);
        }
        graph.set_weight(&layer.weight, &original)?;
        losses.push(row);
    }
    Ok(losses)
}

/// Softmax of logits `[images, classes]`, refused if a logit is not finite.
fn distribution(logits: &Tensor, what: &str) -> Result<Vec<Vec<f64>>, MethodError> {
    if logits.data.iter().any(|v| !v.is_finite()) {
        return Err(MethodError::NotFinite { what: format!("logits of {what}") });
    }
    Ok(logits.data.chunks(logits.stride().max(1)).map(softmax).collect())
}

fn widths() -> impl Iterator<Item = Bits> {
    WIDTHS.iter().filter_map(|&b| Bits::new(b).ok())
}

/// What the free layers may cost together.
struct Budget {
    /// Cost of one bit of each free layer.
    each: Vec<u64>,
    /// Cost of the uniform widths.
    total: u64,
    unit: &'static str,
}

impl Budget {
    /// What the uniform widths cost. Refused where a free layer shares its weights with another:
    /// one of the two widths would not be what was chosen and counted.
    fn new(job: &Job<'_>, free: &[&WeightSite]) -> Result<Self, MethodError> {
        let layer = |site: &WeightSite| &job.layers[site.layer];
        for site in free {
            let twin = |other: &&WeightSite| {
                other.layer != site.layer && layer(other).weight == layer(site).weight
            };
            if let Some(other) = job.sites.weights.iter().find(twin) {
                let reason = format!(
                    "layers {:?} and {:?} share the weights {:?}, so that their widths cannot be \
                     chosen one by one; give each layer its own weights or take another method",
                    layer(site).name,
                    layer(other).name,
                    layer(site).weight
                );
                return Err(MethodError::Unfit { method: CARD.name, reason });
            }
        }
        let operations = job.choice("budget") == "bit-operations";
        let unit = if operations { "bit operations per image" } else { "bits of weights" };
        let one = |site: &&WeightSite| {
            let layer = layer(site);
            if operations {
                layer.macs * u64::from(job.sites.input_bits(job.graph, layer).get())
            } else {
                layer.parameters()
            }
        };
        let each: Vec<u64> = free.iter().map(one).collect();
        let total = each.iter().zip(free).map(|(e, site)| e * u64::from(site.bits.get())).sum();
        Ok(Self { each, total, unit })
    }

    /// Cost of the same width everywhere.
    fn uniform(&self, bits: u8) -> u64 {
        self.each.iter().sum::<u64>() * u64::from(bits)
    }

    /// The widths where the budget leaves no choice: the smallest everywhere if it allows no
    /// more, the largest everywhere if it allows that. Nothing has to be measured then.
    fn without_choice(&self) -> Option<(Vec<Bits>, String)> {
        if self.each.is_empty() {
            let note = "the first/last rule leaves no layer free: nothing to choose".to_string();
            return Some((Vec::new(), note));
        }
        let (small, large) = (WIDTHS[0], WIDTHS[WIDTHS.len() - 1]);
        let (bits, word) = if self.total == self.uniform(small) {
            (small, "smallest")
        } else if self.total >= self.uniform(large) {
            (large, "largest")
        } else {
            return None;
        };
        let note = format!(
            "budget of {} {} leaves nothing to choose: every free layer gets the {word} width, \
             {bits} bits",
            self.total, self.unit
        );
        Some((vec![Bits::new(bits).ok()?; self.each.len()], note))
    }

    /// The widths with the smallest total loss, and a note about the budget.
    fn choose(&self, losses: &[[f64; WIDTHS.len()]]) -> Result<(Vec<Bits>, String), MethodError> {
        let row = |(each, losses): (&u64, &[f64; WIDTHS.len()])| {
            let choice =
                |(bits, &loss): (Bits, &f64)| Choice { cost: each * u64::from(bits.get()), loss };
            widths().zip(losses).map(choice).collect()
        };
        let choices: Vec<Vec<Choice>> = self.each.iter().zip(losses).map(row).collect();
        let chosen = allocate(&choices, self.total).map_err(|Infeasible(smallest)| {
            MethodError::Infeasible { asked: self.total, smallest, unit: self.unit }
        })?;
        let used: u64 = choices.iter().zip(&chosen).map(|(row, &c)| row[c].cost).sum();
        let bits = chosen.iter().filter_map(|&c| Bits::new(WIDTHS[c]).ok()).collect();
        Ok((bits, format!("budget of {} {}, {used} used", self.total, self.unit)))
    }
}
