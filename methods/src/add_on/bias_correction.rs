//! # What it does
//! Moves the bias of every layer, channel by channel, so that the mean of its output over the
//! calibration images is that of the FP32 network: `b <- b - (E[quantized output] - E[FP32
//! output])`. Layers are corrected in the order of the graph, each in the network whose earlier
//! layers are corrected already.
//!
//! # When to use it
//! Below 8 bits after a method that leaves a shift, such as rounding to nearest. There is little
//! to gain after a method that fits its rounding to images or estimates batch norms anew.
//!
//! # Inputs and cost
//! Unlabelled images; one forward pass of the FP32 network, then one pass per depth of the network
//! up to the layers of that depth: for a chain of `n` layers about `n / 2` whole passes.
//!
//! # Parameters
//! - `bias_activations` (`true` or `false`, default `true`): whether activations are quantized as
//!   well while means are taken; if not, weights alone.
//!
//! # Differences from the paper
//! Means are taken of each layer's own output before its activation function, in one ordered sweep.
//! Activation ranges stay as the base method found them. Every conv and FC is corrected, also
//! those that the spec leaves in FP32, because their inputs have shifted; layers without a bias
//! get one.
//!
//! # Reference
//! M. Nagel et al., "Data-free quantization through weight equalization and bias correction", ICCV
//! 2019, arXiv:1906.04721, section 4.2 and appendix D (empirical bias correction); A. Finkelstein
//! et al., "Fighting quantization bias with bias", 2019, arXiv:1906.03193.

use quantbench_core::ImageSource;
use quantbench_core::card::{Default, Param, ParamRange};
use quantbench_graph::{Artefact, ExportOptions, Graph, Layer, export};

use super::{AddOn, AddOnCard};
use crate::contract::{Context, Job, MethodError};
use crate::parts::bias::{bias_of, can_hold_bias};
use crate::parts::channel_stats::{ChannelStats, of_outputs};
use crate::parts::levels::levels;

/// Empirical bias correction.
pub struct BiasCorrection;

static CARD: AddOnCard = AddOnCard {
    name: "bias-correction",
    version: 1,
    summary: "moves biases until the mean output of every channel is that of the FP32 network",
    when: "helps below 8 bits after methods that leave a shift, such as rounding to nearest",
    paper: "M. Nagel et al., Data-free quantization through weight equalization and bias \
            correction, ICCV 2019, arXiv:1906.04721, empirical variant; A. Finkelstein et al., \
            Fighting quantization bias with bias, 2019, arXiv:1906.03193",
    cite: "nagel2019datafree,finkelstein2019fighting",
    params: &[Param {
        name: "bias_activations",
        help: "quantize activations as well while means are taken; if not, weights alone",
        default: Default::Bool(true),
        range: ParamRange::Switch,
    }],
    departures: &[
        "bias correction: means of each layer's output before its activation function, in one \
         ordered sweep",
        "bias correction: activation ranges stay as the method found them",
    ],
};

impl AddOn for BiasCorrection {
    fn card(&self) -> &'static AddOnCard {
        &CARD
    }

    fn apply(
        &self,
        job: &Job<'_>,
        mut artefact: Artefact,
        reference: &Graph,
        images: &dyn ImageSource,
        cx: &mut Context<'_>,
    ) -> Result<Artefact, MethodError> {
        let simulated = job.switch("bias_activations");
        let layers = artefact.graph.layers();
        let able = |layer: &Layer| can_hold_bias(&artefact.graph, layer);
        let able: Vec<bool> = layers.iter().map(able).collect();
        let levels = levels(&artefact.graph, &layers);
        let steps = levels.len() + 1;
        cx.step(0, steps, "means of the FP32 network")?;
        let chosen = |among: &mut dyn Iterator<Item = usize>| -> Vec<usize> {
            among.filter(|&i| able[i]).collect()
        };
        let all = chosen(&mut (0..layers.len()));
        let wanted = means(reference, &layers, &all, images, cx)?;
        for (done, level) in levels.iter().enumerate() {
            cx.step(done + 1, steps, "bias correction")?;
            let level = chosen(&mut level.iter().copied());
            let network = network(&artefact, simulated)?;
            let found = means(&network, &layers, &level, images, cx)?;
            for (&i, found) in level.iter().zip(&found) {
                let Some(wanted) = all.iter().position(|&k| k == i).map(|k| &wanted[k]) else {
                    continue;
                };
                let bias = bias_of(&artefact.graph, &layers[i])?;
                let moved: Vec<f32> = (0..bias.len())
                    .map(|c| (bias[c] - (found.mean(c) - wanted.mean(c))) as f32)
                    .collect();
                artefact.graph.set_bias(&layers[i], &moved)?;
            }
        }
        artefact.notes.push(format!("bias corrected in {} layers", all.len()));
        for (layer, _) in layers.iter().zip(&able).filter(|(_, able)| !**able) {
            artefact.notes.push(format!("{}: holds no bias, not corrected", layer.name));
        }
        Ok(artefact)
    }
}

/// Statistics of the outputs of some of the layers.
fn means(
    graph: &Graph,
    layers: &[Layer],
    which: &[usize],
    images: &dyn ImageSource,
    cx: &Context<'_>,
) -> Result<Vec<ChannelStats>, MethodError> {
    let which: Vec<&Layer> = which.iter().map(|&i| &layers[i]).collect();
    of_outputs(graph, &which, images, cx)
}

/// The network in which means are taken: with its weights on their grids and, if asked, its
/// activations.
fn network(artefact: &Artefact, activations: bool) -> Result<Graph, MethodError> {
    let mut artefact = artefact.clone();
    if !activations {
        for (name, weights) in &artefact.weights {
            artefact.graph.set_weight(name, &weights.dequantize())?;
        }
        return Ok(artefact.graph);
    }
    // What leaves the last layer is wanted before its own quantizer, as of every other layer.
    let output = artefact.graph.output().to_string();
    artefact.activations.remove(&output);
    let origin = artefact.graph.origin().to_string();
    // The exported file is what is evaluated; 8-bit containers hold the same values.
    let bytes = export(&artefact, ExportOptions { portable: true })?;
    Ok(Graph::from_bytes(&bytes, &origin)?)
}
