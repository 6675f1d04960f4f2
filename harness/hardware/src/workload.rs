//! What a network asks of any target: a list of layers, each a product of two matrices per group.
//!
//! Nothing here depends on a target. Layers, shapes and widths are those of
//! [`quantbench_graph`]; the elements of a convolution's input that no window touches are left
//! out, padding is not counted as data.

mod read;

use quantbench_core::Bits;
use quantbench_graph::{Artefact, Graph, Layer, allocation, matmul_macs};
use serde::Serialize;
use thiserror::Error;

/// Widest operand that a workload may have: FP32.
pub const WIDEST: u8 = 32;

/// Kind of a piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkKind {
    /// Convolution with constant weights.
    Conv,
    /// Fully connected: constant weights, one window per output position.
    Fc,
    /// Product of two activations; the second one takes the place of the weights.
    Product,
}

/// One layer: `groups` products of a `pixels` x `window` by a `window` x `filters` matrix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Work {
    /// Name of the node.
    pub name: String,
    /// Kind.
    pub kind: WorkKind,
    /// Groups of a convolution; products of a batched product.
    pub groups: u64,
    /// Output positions of a group, over all images: M.
    pub pixels: u64,
    /// Inputs that one output sums up: kernel size times input channels of a group, K.
    pub window: u64,
    /// Output channels of a group: N.
    pub filters: u64,
    /// Kernel size; ones for FC and products.
    pub kernel: Vec<u64>,
    /// Spatial size of the output of one image; ones for FC.
    pub output_size: Vec<u64>,
    /// Elements of the first operand that are read, over all images and groups.
    pub input_elements: u64,
    /// Width of the weights, 1 to 32 bits.
    pub weight_bits: u8,
    /// Width of the input, 1 to 32 bits.
    pub activation_bits: u8,
    /// Whether it is the first layer of the network.
    pub is_first: bool,
    /// Images that are processed together.
    pub images: u64,
}

impl Work {
    /// A convolution of one image, square in kernel, stride and output, at 8 bits; `channels` are
    /// input channels and output channels of one group. Padding counts as input, as in tools that
    /// take padded shapes.
    pub fn conv(
        name: &str,
        (channels, filters): (u64, u64),
        (kernel, stride): (u64, u64),
        output: u64,
        groups: u64,
    ) -> Self {
        let side = touched((output - 1) * stride + kernel, output, kernel, stride);
        Self {
            name: name.to_string(),
            kind: WorkKind::Conv,
            groups,
            pixels: output * output,
            window: kernel * kernel * channels,
            filters,
            kernel: vec![kernel, kernel],
            output_size: vec![output, output],
            input_elements: side * side * channels * groups,
            weight_bits: 8,
            activation_bits: 8,
            is_first: false,
            images: 1,
        }
    }

    /// A fully connected layer of one image at 8 bits.
    pub fn fc(name: &str, inputs: u64, outputs: u64) -> Self {
        Self { kind: WorkKind::Fc, ..Self::conv(name, (inputs, outputs), (1, 1), 1, 1) }
    }

    /// The same layer with other widths.
    #[must_use]
    pub fn at(mut self, weight_bits: u8, activation_bits: u8) -> Self {
        self.weight_bits = weight_bits;
        self.activation_bits = activation_bits;
        self
    }

    /// Multiply-accumulates.
    pub fn macs(&self) -> u64 {
        product(&[self.groups, self.pixels, self.window, self.filters])
    }

    /// Weight bits x activation bits x multiply-accumulates.
    pub fn bit_operations(&self) -> u64 {
        product(&[self.macs(), u64::from(self.weight_bits), u64::from(self.activation_bits)])
    }

    /// Number of weights (elements of the second operand).
    pub fn weights(&self) -> u64 {
        product(&[self.groups, self.window, self.filters])
    }

    /// Bytes of the weights that are stored with the network: none for a product.
    pub fn stored_bytes(&self) -> u64 {
        if self.kind == WorkKind::Product { 0 } else { self.bytes().weights }
    }

    /// Number of outputs, over all images.
    pub fn outputs(&self) -> u64 {
        product(&[self.groups, self.pixels, self.filters])
    }

    /// Whether every group has one input channel.
    pub fn is_depthwise(&self) -> bool {
        self.kind == WorkKind::Conv
            && self.groups > 1
            && self.window == self.kernel.iter().product::<u64>()
    }

    /// Bytes of every operand at its width, each counted once.
    pub fn bytes(&self) -> Bytes {
        let (w, a) = (u64::from(self.weight_bits), u64::from(self.activation_bits));
        Bytes {
            input: bytes(self.input_elements, a),
            weights: bytes(self.weights(), w),
            output: bytes(self.outputs(), a),
        }
    }
}

/// Bytes of the operands of a layer. An output counts at the width of its layer's input: what it
/// is stored as before the next layer reads it is not a fact of the layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Bytes {
    /// Input.
    pub input: u64,
    /// Weights, or the second operand of a product.
    pub weights: u64,
    /// Output.
    pub output: u64,
}

impl Bytes {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.input.saturating_add(self.weights).saturating_add(self.output)
    }
}

/// The layers of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Workload {
    /// Where the network came from.
    pub origin: String,
    /// Layers in the order of the graph.
    pub layers: Vec<Work>,
}

/// A network that is no workload.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WorkloadError {
    /// No layer at all.
    #[error(
        "{origin}: there is no layer to cost; expected a Conv, Gemm or MatMul with constant weights"
    )]
    Empty {
        /// File or origin.
        origin: String,
    },
    /// A width that no operand can have.
    #[error("{what} of {bits} bits cannot be; expected 1 to {WIDEST} (32 is FP32)")]
    Width {
        /// Weights or activations.
        what: &'static str,
        /// Bits.
        bits: u8,
    },
    /// A layer whose shapes are not known.
    #[error(
        "{origin}: layer {layer:?}: its output has no fixed shape per image; export it with fixed \
         dimensions"
    )]
    Shape {
        /// File or origin.
        origin: String,
        /// Layer.
        layer: String,
    },
}

impl Workload {
    /// The layers of a graph, all at the same widths.
    ///
    /// # Errors
    /// [`WorkloadError`]: no layers, a width that cannot be, a layer without a shape.
    pub fn uniform(graph: &Graph, weights: u8, activations: u8) -> Result<Self, WorkloadError> {
        for (what, bits) in [("weights", weights), ("activations", activations)] {
            if !(1..=WIDEST).contains(&bits) {
                return Err(WorkloadError::Width { what, bits });
            }
        }
        let layers = graph.layers();
        let widths = vec![(weights, activations); layers.len()];
        Self::build(graph, &layers, &widths, |_| activations)
    }

    /// The layers of an artefact at the widths that it has; 32 bits where nothing is quantized.
    ///
    /// # Errors
    /// [`WorkloadError`]: no layers, or a layer without a shape.
    pub fn of(artefact: &Artefact) -> Result<Self, WorkloadError> {
        let bits = allocation(artefact);
        let widths: Vec<(u8, u8)> =
            bits.iter().map(|b| (b.weights.get(), b.activations.get())).collect();
        let read = |value: &str| artefact.grid_of(value).map_or(Bits::FP32, |g| g.bits).get();
        Self::build(&artefact.graph, &artefact.graph.layers(), &widths, read)
    }

    fn build(
        graph: &Graph,
        layers: &[Layer],
        widths: &[(u8, u8)],
        read: impl Fn(&str) -> u8,
    ) -> Result<Self, WorkloadError> {
        let mut by_node = Vec::new();
        for (layer, (weights, activations)) in layers.iter().zip(widths) {
            by_node.push((layer.node, read::layer_work(graph, layer)?.at(*weights, *activations)));
        }
        for (index, node) in graph.nodes().iter().enumerate() {
            if matmul_macs(graph, node) > 0 {
                let work = read::product_work(graph, index)?
                    .at(read(&node.input[1]), read(&node.input[0]));
                by_node.push((index, work));
            }
        }
        by_node.sort_by_key(|(node, _)| *node);
        let layers: Vec<Work> = by_node.into_iter().map(|(_, work)| work).collect();
        if layers.is_empty() {
            return Err(WorkloadError::Empty { origin: graph.origin().to_string() });
        }
        Ok(Self { origin: graph.origin().to_string(), layers })
    }

    /// The same network on `images` images at a time: weights are read once for all of them.
    #[must_use]
    pub fn batched(mut self, images: u64) -> Self {
        for work in &mut self.layers {
            let times = images.max(1);
            work.pixels *= times;
            work.input_elements *= times;
            work.images *= times;
        }
        self
    }

    /// The same layers with all weights and all inputs at the given widths.
    #[must_use]
    pub fn at(mut self, weight_bits: u8, activation_bits: u8) -> Self {
        for work in &mut self.layers {
            work.weight_bits = weight_bits;
            work.activation_bits = activation_bits;
        }
        self
    }

    /// Multiply-accumulates of all layers.
    pub fn macs(&self) -> u64 {
        self.layers.iter().map(Work::macs).fold(0, u64::saturating_add)
    }

    /// Bit operations of all layers.
    pub fn bit_operations(&self) -> u64 {
        self.layers.iter().map(Work::bit_operations).fold(0, u64::saturating_add)
    }
}

/// Positions of one axis that windows touch: all of those between the first and the last window,
/// or, where the stride leaves gaps, one kernel for each output.
fn touched(size: u64, outputs: u64, kernel: u64, stride: u64) -> u64 {
    let span = if kernel >= stride { (outputs - 1) * stride + kernel } else { outputs * kernel };
    span.min(size)
}

/// The product of numbers, at most the largest one.
pub(crate) fn product(factors: &[u64]) -> u64 {
    factors.iter().fold(1, |all, &f| all.saturating_mul(f))
}

/// Whole bytes of so many elements of so many bits.
pub(crate) fn bytes(elements: u64, bits: u64) -> u64 {
    elements.saturating_mul(bits).div_ceil(8)
}
