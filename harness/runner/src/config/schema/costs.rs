//! Keys of the section `cost` of a hardware profile: one table for each kind of model.

use crate::config::keys::{Key, Shape};

/// The section: its key `model` says which keys it has.
pub(super) const COST: Shape = Shape::Either(&[
    Shape::Map(&BITFUSION),
    Shape::Map(&BITSERIAL),
    Shape::Map(&EDGE_TPU),
    Shape::Map(&EYERISS),
    Shape::Map(&MCU),
    Shape::Map(&SYSTOLIC),
]);

const COUNT: Shape = Shape::Whole(1, quantbench_hardware::constants::LARGEST as u64);
const POSITIVE: Shape = Shape::Above(0.0, 1e12);
const NOT_NEGATIVE: Shape = Shape::Real(0.0, 1e12);
const SHARE: Shape = Shape::Above(0.0, 1.0);
const SOURCE: Key = Key::must("source", Shape::Text, "Where its constants come from.");
const MHZ: Key = Key::must("mhz", POSITIVE, "Clock in MHz.");

static BITFUSION: [Key; 5] = [
    Key::must("model", Shape::Word(&["bitfusion"]), "Kind of the model."),
    Key::must("array", Shape::Map(&GRID), "Fusion units."),
    Key::must("unit", Shape::Map(&UNIT), "A fusion unit per cycle in use."),
    Key::must("sram", Shape::Map(&SRAM), "Buffers on the chip."),
    Key::must("dram", Shape::Map(&DRAM), "Memory outside the chip, the only one."),
];

static BITSERIAL: [Key; 5] = [
    Key::must("model", Shape::Word(&["bitserial"]), "Kind of the model."),
    Key::must(
        "design",
        Shape::Word(&["bismo", "loom", "stripes"]),
        "Which operands are in series.",
    ),
    Key::must("array", Shape::Map(&LANES), "What is worked on at a time."),
    Key::must("power", Shape::Map(&POWER), "Power while a layer runs."),
    Key::must("dram", Shape::Map(&DRAM), "Memory outside the chip, the only one."),
];

static EDGE_TPU: [Key; 5] = [
    Key::must("model", Shape::Word(&["edge-tpu"]), "Kind of the model."),
    Key::must("units", Shape::Map(&UNITS), "The arithmetic."),
    Key::must(
        "host",
        Shape::Map(&HOST),
        "What fits on the chip, and what is spent once per inference.",
    ),
    Key::must("dram", Shape::Map(&DRAM), "Memory outside the chip, the only one."),
    Key::must("power", Shape::Map(&POWER), "Power while a layer runs."),
];

static EYERISS: [Key; 7] = [
    Key::must("model", Shape::Word(&["eyeriss"]), "Kind of the model."),
    Key::must("array", Shape::Map(&WORD_GRID), "The array."),
    Key::must(
        "efficiency",
        Shape::Map(&EFFICIENCY),
        "Share of the active units' cycles that do work.",
    ),
    Key::must("wide_maps", Shape::Map(&WIDE_MAPS), "The same for narrow kernels on wide maps."),
    Key::must("buffer", Shape::Map(&BUFFER), "The global buffer."),
    Key::must("power", Shape::Map(&POWER), "Power while a layer runs."),
    Key::must("dram", Shape::Map(&DRAM), "Memory outside the chip, the only one."),
];

static MCU: [Key; 5] = [
    Key::must("model", Shape::Word(&["mcu"]), "Kind of the model."),
    Key::must("core", Shape::Map(&CORE), "The processor."),
    Key::must("rates", Shape::Map(&RATES), "Measured multiply-accumulates per cycle."),
    Key::must("memory", Shape::Map(&MEMORY), "Its memories."),
    Key::must("power", Shape::Map(&POWER), "Power while a layer runs."),
];

static SYSTOLIC: [Key; 8] = [
    Key::must("model", Shape::Word(&["systolic"]), "Kind of the model."),
    Key::must(
        "dataflow",
        Shape::Word(&["output-stationary", "weight-stationary"]),
        "Which operand stays in the units.",
    ),
    Key::must("depthwise", Shape::Word(&["serial", "vector-unit"]), "Where depthwise layers run."),
    Key::must(
        "partial_sums",
        Shape::Word(&["on-chip", "dram"]),
        "Where partial sums of a weight-stationary array wait.",
    ),
    Key::must("array", Shape::Map(&GRID), "The array."),
    Key::must("sram", Shape::Map(&SRAM), "Buffers on the chip."),
    Key::must("mac", Shape::Map(&UNIT), "A multiply-accumulate."),
    Key::must("dram", Shape::Map(&DRAM), "Memory outside the chip, the only one."),
];

static GRID: [Key; 4] =
    [Key::must("rows", COUNT, "Rows."), Key::must("columns", COUNT, "Columns."), MHZ, SOURCE];

static WORD_GRID: [Key; 5] = [
    Key::must("rows", COUNT, "Rows."),
    Key::must("columns", COUNT, "Columns."),
    MHZ,
    Key::must("word_bits", COUNT, "Bits of every operand."),
    SOURCE,
];

static LANES: [Key; 5] = [
    Key::must("windows", COUNT, "Output positions."),
    Key::must("filters", COUNT, "Output channels."),
    Key::must("inputs", COUNT, "Inputs of a sum."),
    MHZ,
    SOURCE,
];

static UNITS: [Key; 4] = [
    Key::must("macs_per_cycle", COUNT, "Multiply-accumulates per cycle."),
    MHZ,
    Key::must("utilisation", SHARE, "Share of the peak that networks reach."),
    SOURCE,
];

static HOST: [Key; 3] = [
    Key::must("on_chip_mb", POSITIVE, "Weights that stay on the chip, in 10^6 bytes."),
    Key::must("overhead_ms", NOT_NEGATIVE, "Fixed time per inference in milliseconds."),
    SOURCE,
];

static EFFICIENCY: [Key; 2] = [Key::must("eta", SHARE, "The share."), SOURCE];

static WIDE_MAPS: [Key; 3] = [
    Key::must("kernel_up_to", COUNT, "Kernels of up to so many rows."),
    Key::must(
        "steps",
        Shape::List(&Shape::Map(&STEP), 0, None),
        "Shares by the width of the output, ascending.",
    ),
    SOURCE,
];

static STEP: [Key; 2] = [
    Key::must("wider_than", COUNT, "For outputs wider than this."),
    Key::must("eta", SHARE, "The share."),
];

static BUFFER: [Key; 2] =
    [Key::must("bytes_per_mac", POSITIVE, "Bytes per multiply-accumulate."), SOURCE];

static CORE: [Key; 3] = [
    MHZ,
    Key::must(
        "peak_macs_per_cycle",
        COUNT,
        "Multiply-accumulates per cycle that its instructions allow.",
    ),
    SOURCE,
];

static RATES: [Key; 4] = [
    Key::must("conv", POSITIVE, "Convolutions with kernels of more than one pixel."),
    Key::must("separable", POSITIVE, "Depthwise layers and kernels of one pixel."),
    Key::must("fc", POSITIVE, "Fully connected layers and products."),
    SOURCE,
];

static MEMORY: [Key; 3] = [
    Key::must("flash_kib", COUNT, "Flash in KiB."),
    Key::must("sram_kib", COUNT, "SRAM in KiB."),
    SOURCE,
];

static SRAM: [Key; 7] = [
    Key::must("input_kib", COUNT, "Input buffer in KiB."),
    Key::must("weight_kib", COUNT, "Weight buffer in KiB."),
    Key::must("output_kib", COUNT, "Output buffer in KiB."),
    Key::must("input_pj_per_bit", NOT_NEGATIVE, "Picojoules per bit of the input buffer."),
    Key::must("weight_pj_per_bit", NOT_NEGATIVE, "Picojoules per bit of the weight buffer."),
    Key::must("output_pj_per_bit", NOT_NEGATIVE, "Picojoules per bit of the output buffer."),
    SOURCE,
];

static UNIT: [Key; 2] = [Key::must("pj", POSITIVE, "Picojoules."), SOURCE];

static POWER: [Key; 2] = [Key::must("watts", POSITIVE, "Watts."), SOURCE];

static DRAM: [Key; 3] = [
    Key::must("gb_per_s", POSITIVE, "Bandwidth in 10^9 bytes per second."),
    Key::must("pj_per_bit", NOT_NEGATIVE, "Picojoules per bit; 0 where the power covers it."),
    SOURCE,
];
