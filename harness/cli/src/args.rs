//! The command line: verbs in the order of work.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use quantbench_core::bits::BitsError;
use quantbench_core::{FirstLast, ImageRule, SitesRule, Widths};
use quantbench_runner::SchemaKind;

/// Benchmarks neural-network quantization methods against each other and reports accuracy, size
/// and cost, simulated beside deployed.
///
///     quantbench run configs/quickstart.yaml
///     quantbench report results/runs/quickstart
#[derive(Debug, Parser)]
#[command(name = "quantbench", version, verbatim_doc_comment, max_term_width = 100)]
pub struct Cli {
    /// Folder with models/, datasets/, hardware/ and surveys/ [default: the nearest configs/]
    #[arg(long, global = true, value_name = "DIR")]
    pub configs: Option<PathBuf>,

    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Name what there is, from code and configs
    List(ListArgs),
    /// Print a method's card: what it does, needs, parameters, paper, departures
    Explain(ExplainArgs),
    /// Check runtime, data and CPU, and say how to get what is missing
    Doctor,
    /// Download data sets and models to the data folder, checked, going on where it was cut
    Fetch(FetchArgs),
    /// Show the expanded matrix of a survey, what is done, and the estimated time
    Plan(PlanArgs),
    /// Run a survey; run it again to go on where it stopped
    Run(RunArgs),
    /// Show how far a run folder is
    Status(StatusArgs),
    /// Make Markdown, CSV, Parquet, HTML and LaTeX with figures from a run folder
    Report(ReportArgs),
    /// Show what changed between two run folders, and whether by more than chance
    Compare(CompareArgs),
    /// Make one page over all run folders of a folder, with where they stand against the literature
    Index(IndexArgs),
    /// Say which methods to use within limits, with the evidence, and what the next step costs
    Recommend(RecommendArgs),
    /// Quantize one model with one method into an ONNX file
    Quantize(QuantizeArgs),
    /// Show layer by layer where a quantized model loses, and a spec that wins most of it back
    Inspect(InspectArgs),
    /// Evaluate one model on a data set
    Eval(EvalArgs),
    /// Show what one model costs on simulated targets: cycles, time, energy, traffic
    Cost(CostArgs),
    /// Print the JSON schema of a kind of configuration file, for editors
    Schema(SchemaArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// One cell, on behalf of `run`
    #[command(hide = true)]
    Worker,
    /// Which 8-bit kernels this process gets, on behalf of `doctor`
    #[command(hide = true)]
    Probe,
}

/// The instruction set to hold ONNX Runtime to.
#[derive(Debug, Args)]
pub struct IsaArgs {
    /// Hold ONNX Runtime to this instruction set on a CPU with more (x86-64 Linux)
    #[arg(long, value_name = "ISA")]
    pub isa: Option<Isa>,
}

/// Instruction sets to hold ONNX Runtime to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Isa {
    /// AVX2, whose 8-bit products saturate.
    Avx2,
}

/// What to list.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Kind {
    /// Quantization methods.
    Methods,
    /// Models with a card.
    Models,
    /// Data sets with a manifest.
    Datasets,
    /// Target hardware.
    Profiles,
}

/// `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// What to list
    pub kind: Kind,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Name of the method, see `list methods`
    pub method: String,
}

/// `fetch`.
#[derive(Debug, Args)]
pub struct FetchArgs {
    /// Data sets and models, see `list datasets` and `list models`
    #[arg(value_name = "NAME", conflicts_with = "all")]
    pub names: Vec<String>,
    /// Everything that has a manifest or a card
    #[arg(long)]
    pub all: bool,
    /// Folder to put files into [default: the first of QUANTBENCH_DATA]
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
}

/// Which part of a survey.
#[derive(Debug, Args)]
pub struct FilterArgs {
    /// Only cells that match: method=mse,minmax (also model, bits, draw, calibration), or a text
    /// in the label; given several times, all must match
    #[arg(long, value_name = "PATTERN")]
    pub only: Vec<String>,
    /// Evaluate the first N test images only (a partial run, marked as such)
    #[arg(long, value_name = "N")]
    pub images: Option<usize>,
    /// Start no further cell after this time, for example 10m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub time_budget: Option<Duration>,
}

/// `plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Survey file
    pub survey: PathBuf,
    /// Run folder [default: results/runs/NAME]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Survey file
    pub survey: PathBuf,
    /// Run folder [default: results/runs/NAME]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Cells at the same time
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = positive)]
    pub jobs: usize,
    /// Threads of each cell [default: the cores divided by the jobs]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub threads: Option<usize>,
    /// This part of the cells only, for job arrays: I/N with I from 0 to N-1
    #[arg(long, value_name = "I/N", value_parser = shard)]
    pub shard: Option<(usize, usize)>,
    #[command(flatten)]
    pub isa: IsaArgs,
}

/// `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Run folder
    pub dir: PathBuf,
}

/// `report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Run folder
    pub dir: PathBuf,
    /// Where to write the report [default: DIR/report]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Survey whose `report:` section names tables and figures [default: as the run stored it]
    #[arg(long, value_name = "FILE")]
    pub survey: Option<PathBuf>,
}

/// `compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// Run folder
    pub first: PathBuf,
    /// Another one
    pub second: PathBuf,
    /// End with code 4 if a cell differs in a bit of its result, or is in one folder alone
    #[arg(long)]
    pub check: bool,
    /// With --check: end with code 4 only if a cell changed beyond noise
    #[arg(long, requires = "check")]
    pub beyond_noise: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `index`.
#[derive(Debug, Args)]
pub struct IndexArgs {
    /// Folder of run folders, such as results/published
    pub dir: PathBuf,
    /// File to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// `recommend`.
#[derive(Debug, Args)]
pub struct RecommendArgs {
    /// Run folders, such as results/published/*
    #[arg(required = true, value_name = "DIR")]
    pub dirs: Vec<PathBuf>,
    /// One model alone
    #[arg(long)]
    pub model: Option<String>,
    /// Data at hand
    #[arg(long, value_name = "KIND")]
    pub data: Option<DataArg>,
    /// Most CPU seconds that the method may take
    #[arg(long, value_name = "S")]
    pub cpu_s: Option<f64>,
    /// Largest packed size
    #[arg(long, value_name = "KIB")]
    pub size_kib: Option<f64>,
    /// Most bit operations per image, in thousand millions
    #[arg(long, value_name = "N")]
    pub bit_operations_g: Option<f64>,
    /// Largest drop against FP32, in points
    #[arg(long, value_name = "POINTS")]
    pub drop: Option<f64>,
    /// Target that has to run it, of those with stored costs
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Longest time per image on the target
    #[arg(long, value_name = "MS", requires = "profile")]
    pub time_ms: Option<f64>,
    /// Most energy per image on the target
    #[arg(long, value_name = "MJ", requires = "profile")]
    pub energy_mj: Option<f64>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Data at hand.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum DataArg {
    /// None.
    None,
    /// Images without labels.
    Unlabelled,
    /// Images with labels.
    Labelled,
}

/// One model, one method, one spec: what `quantize` and `inspect` have in common.
#[derive(Debug, Args)]
pub struct AskedArgs {
    /// Name from configs/models, or a path to an ONNX file
    #[arg(long)]
    pub model: String,
    /// Data set for calibration images [default: the model card's]
    #[arg(long)]
    pub dataset: Option<String>,
    /// Model card whose preprocessing applies, for a path [default: the file's own note]
    #[arg(long, value_name = "MODEL")]
    pub preprocess_of: Option<String>,
    /// Method, see `list methods`
    #[arg(long)]
    pub method: String,
    /// Widths, for example w8a8, w4a32, w2ta8
    #[arg(long, value_name = "WIDTHS")]
    pub bits: Widths,
    /// Placement of activation quantizers [default: deployable at w8a8, else academic]
    #[arg(long, value_parser = parse_yaml::<SitesRule>, value_name = "RULE")]
    pub sites: Option<SitesRule>,
    /// Width of the image: fp32, 8bit or same
    #[arg(long, value_parser = parse_yaml::<ImageRule>, value_name = "RULE", default_value = "8bit")]
    pub image: ImageRule,
    /// Width of the first and last layer: fp32, 8bit or same
    #[arg(long, value_parser = parse_yaml::<FirstLast>, value_name = "RULE", default_value = "8bit")]
    pub first_last: FirstLast,
    /// A layer that stays in FP32, by the name of its node or a pattern (*, ?); may be repeated
    #[arg(long, value_name = "LAYER")]
    pub exclude: Vec<String>,
    /// Widths of a layer's weights and input, whatever the other rules say; may be repeated
    #[arg(long = "layer-bits", value_name = "LAYER=WIDTHS", value_parser = layer_bits)]
    pub layer_bits: Vec<(String, Widths)>,
    /// A parameter of the method; may be repeated
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub params: Vec<String>,
    /// Calibration images
    #[arg(long, default_value_t = 1024, value_name = "N", value_parser = positive)]
    pub calibration_images: usize,
    /// Which draw of calibration images
    #[arg(long, default_value_t = 0, value_name = "D")]
    pub draw: u64,
    /// Seed of the method's own randomness
    #[arg(long, default_value_t = 0, value_name = "S")]
    pub seed: u64,
}

/// `quantize`.
#[derive(Debug, Args)]
pub struct QuantizeArgs {
    #[command(flatten)]
    pub asked: AskedArgs,
    /// Keep weights below 8 bits in 8-bit containers, for runtimes without 2- and 4-bit types
    #[arg(long)]
    pub portable: bool,
    /// ONNX file to write
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
}

/// `inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    #[command(flatten)]
    pub asked: AskedArgs,
    /// Training images, outside the calibration images, to measure accuracies on
    #[arg(long, default_value_t = 1024, value_name = "N", value_parser = positive)]
    pub images: usize,
    /// Share of the drop that the suggested spec is to win back
    #[arg(long, default_value_t = 0.75, value_name = "SHARE", value_parser = share)]
    pub recover: f64,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `eval`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// Name from configs/models, or a path to an ONNX file
    #[arg(long)]
    pub model: String,
    /// Data set [default: the model card's]
    #[arg(long)]
    pub dataset: Option<String>,
    /// Model card whose preprocessing applies, for a path [default: the file's own note]
    #[arg(long, value_name = "MODEL")]
    pub preprocess_of: Option<String>,
    /// Evaluate the first N test images only
    #[arg(long, value_name = "N")]
    pub images: Option<usize>,
    /// Let the runtime use its integer kernels (deployed) instead of simulating in float
    #[arg(long)]
    pub deployed: bool,
    /// With --deployed: no saturation where 8-bit products saturate (session.x64quantprecision)
    #[arg(long, requires = "deployed")]
    pub precise: bool,
    #[command(flatten)]
    pub isa: IsaArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `cost`.
///
///     quantbench cost resnet20-cifar10 --weights 4 --activations 4
///     quantbench cost --artefact q.onnx --profile bitfusion --layers
///     quantbench cost resnet20-cifar10 --artefact q.onnx --measure --profile x86-avx2
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct CostArgs {
    /// Name from configs/models, or a path to an ONNX file; a file with quantizers has its own
    /// widths
    #[arg(required_unless_present_any = ["artefact", "run"])]
    pub model: Option<String>,
    /// Run folder: store the cost of each of its artefacts on each target beside its rows
    #[arg(long, value_name = "DIR", conflicts_with_all = ["model", "artefact", "weights", "activations", "layers", "json"])]
    pub run: Option<PathBuf>,
    /// Measure latency on this machine beside FP32: of a run's artefacts with --run, or of
    /// --artefact beside MODEL. Profiles are x86-native, the CPU as it is, and x86-avx2
    #[arg(long)]
    pub measure: bool,
    /// With --measure: images per inference
    #[arg(long, value_name = "N", default_value_t = 1, requires = "measure", value_parser = clap::value_parser!(u16).range(1..))]
    pub batch: u16,
    /// With --measure: threads of the runtime
    #[arg(long, value_name = "N", default_value_t = 1, requires = "measure", value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: u16,
    /// With --measure: measured rounds
    #[arg(long, value_name = "N", default_value_t = 200, requires = "measure", value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    #[command(flatten)]
    pub isa: IsaArgs,
    /// Target, see `list profiles`, or a path to a profile; may be repeated [default: all that
    /// have a model]
    #[arg(long, value_name = "NAME|FILE")]
    pub profile: Vec<String>,
    /// Width of all weights in bits, 1 to 32 [default: 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=32))]
    pub weights: Option<u8>,
    /// Width of all layer inputs in bits, 1 to 32 [default: 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=32))]
    pub activations: Option<u8>,
    /// Quantized model whose widths count: ONNX with Q/DQ nodes, or a packed artefact (.qba)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["weights", "activations"])]
    pub artefact: Option<PathBuf>,
    /// Print every layer
    #[arg(long)]
    pub layers: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `schema`.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Kind of file
    #[arg(value_parser = PossibleValuesParser::new(SchemaKind::ALL.map(SchemaKind::name)))]
    pub kind: String,
}

/// `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// Shells with completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU Bash.
    Bash,
    /// Z shell.
    Zsh,
    /// fish.
    Fish,
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|e| format!("{e}; expected for example 90s, 10m or 2h"))
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err("expected a whole number of at least 1".to_string()),
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(x) if x > 0.0 && x <= 1.0 => Ok(x),
        _ => Err("expected a number above 0 and up to 1, for example 0.75".to_string()),
    }
}

/// A layer and its widths; the last `=` parts them, so that a name may hold one.
fn layer_bits(text: &str) -> Result<(String, Widths), String> {
    match text.rsplit_once('=') {
        Some((layer, bits)) if !layer.is_empty() => {
            Ok((layer.to_string(), bits.parse().map_err(|e: BitsError| e.to_string())?))
        }
        _ => Err("expected LAYER=WIDTHS, for example /fc/Gemm=w8a8".to_string()),
    }
}

fn shard(text: &str) -> Result<(usize, usize), String> {
    let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    match parts {
        Some((i, n)) if i < n => Ok((i, n)),
        _ => Err("expected I/N with I from 0 to N-1, for example 0/4".to_string()),
    }
}

/// Reads a rule in its YAML spelling, so that files and command line share one set of words.
fn parse_yaml<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(serde_json::Value::String(text.to_string())).map_err(|e| e.to_string())
}
