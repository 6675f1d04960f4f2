//! One model, ready to run.

use std::path::Path;

use ort::logging::LogLevel;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::{TensorElementType, TensorRef, ValueType};
use quantbench_core::Tensor;

use crate::error::{EngineError, one_line};
use crate::runtime::Runtime;

/// Receives one value for one batch: the position of the value, its dimensions (batch first) and
/// its numbers, which it may look at but not keep.
pub type Each<'a> = dyn FnMut(usize, &[usize], &[f32]) + 'a;

/// A value for one batch, which may be looked at but not kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lent<'a> {
    /// Its dimensions, batch first.
    pub(crate) dims: &'a [usize],
    /// Its numbers.
    pub(crate) data: &'a [f32],
}

/// What ONNX Runtime may do to a graph before it runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Optimisation {
    /// Nothing: each node as it stands. Simulated accuracies are obtained so.
    Off,
    /// Everything except integer kernels: Q/DQ pairs stay simulated in float. For FP32 models the
    /// same as [`Optimisation::All`].
    Float,
    /// Everything: layers between Q/DQ pairs become integer kernels where there are any. Deployed
    /// accuracies are obtained so.
    All,
    /// As [`Optimisation::All`] where byte products are exact. Where they saturate the runtime turns
    /// signed weights into unsigned ones, whose products do not (`session.x64quantprecision`).
    Precise,
}

/// How a model is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Options {
    /// Threads within an operation; 0 counts as 1. Results do not depend on it.
    pub threads: usize,
    /// What may be done to the graph.
    pub optimisation: Optimisation,
}

/// A model loaded into ONNX Runtime: deterministic kernels, one operation after the other, and
/// idle threads sleep.
#[derive(Debug)]
pub struct Session {
    inner: ort::session::Session,
    origin: String,
    input: Vec<i64>,
    outputs: Vec<String>,
}

impl Session {
    /// Loads a model; `origin` names it in messages.
    ///
    /// # Errors
    /// ONNX Runtime refuses the bytes, or the model does not take one FP32 tensor.
    pub fn new(
        runtime: &Runtime,
        onnx: &[u8],
        options: &Options,
        origin: &str,
    ) -> Result<Self, EngineError> {
        Self::built(runtime, onnx, options, origin, None)
    }

    /// The same with the runtime's profile on, in a file whose name begins with `profile`.
    pub(crate) fn profiled(
        runtime: &Runtime,
        onnx: &[u8],
        options: &Options,
        origin: &str,
        profile: &Path,
    ) -> Result<Self, EngineError> {
        Self::built(runtime, onnx, options, origin, Some(profile))
    }

    fn built(
        runtime: &Runtime,
        onnx: &[u8],
        options: &Options,
        origin: &str,
        profile: Option<&Path>,
    ) -> Result<Self, EngineError> {
        let refused = |reason: &dyn std::fmt::Display| EngineError::Refused {
            origin: origin.to_string(),
            version: runtime.version().to_string(),
            reason: one_line(&reason.to_string()),
        };
        let inner = builder(runtime, options)
            .and_then(|builder| match profile {
                Some(file) => Ok(builder.with_profiling(file)?),
                None => Ok(builder),
            })
            .map_err(|error| refused(&error))?
            .commit_from_memory(onnx)
            .map_err(|error| refused(&error))?;
        let input = input_dims(&inner, origin)?;
        let outputs = inner.outputs().iter().map(|o| o.name().to_string()).collect();
        Ok(Self { inner, origin: origin.to_string(), input, outputs })
    }

    /// Ends the profile and gives its file.
    pub(crate) fn end_profile(&mut self) -> Result<String, EngineError> {
        let origin = self.origin.clone();
        self.inner
            .end_profiling()
            .map_err(|error| EngineError::Run { origin, reason: one_line(&error.to_string()) })
    }

    /// Names of the outputs in the order of the graph.
    pub fn outputs(&self) -> &[String] {
        &self.outputs
    }

    /// Where the model came from.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The one batch size that the model takes, if its input fixes it.
    pub fn fixed_batch(&self) -> Option<usize> {
        self.input.first().and_then(|n| usize::try_from(*n).ok())
    }

    /// Runs one batch and copies all outputs, in the order of [`Session::outputs`].
    ///
    /// # Errors
    /// The batch does not fit the input, an output is not FP32, or the runtime fails.
    pub fn run(&mut self, batch: &Tensor) -> Result<Vec<Tensor>, EngineError> {
        let mut outputs = Vec::with_capacity(self.outputs.len());
        self.run_each(batch, &mut |_, dims, data| {
            outputs.push(Tensor::new(dims.to_vec(), data.to_vec()));
        })?;
        Ok(outputs)
    }

    /// Runs one batch and lends each output in turn: its index, dimensions and values, which are
    /// not copied.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn run_each(&mut self, batch: &Tensor, each: &mut Each<'_>) -> Result<(), EngineError> {
        self.run_lending(batch, &mut |outputs| {
            for (index, output) in outputs.iter().enumerate() {
                each(index, output.dims, output.data);
            }
        })
    }

    /// Runs one batch and lends all outputs together, in the order of [`Session::outputs`].
    ///
    /// # Errors
    /// As [`Session::run`].
    pub(crate) fn run_lending(
        &mut self,
        batch: &Tensor,
        then: &mut dyn FnMut(&[Lent<'_>]),
    ) -> Result<(), EngineError> {
        self.check_input(batch)?;
        let Self { inner, origin, outputs: names, .. } = self;
        let failed = |reason: &dyn std::fmt::Display| EngineError::Run {
            origin: origin.clone(),
            reason: one_line(&reason.to_string()),
        };
        let view = TensorRef::from_array_view((batch.dims.as_slice(), batch.data.as_slice()))
            .map_err(|error| failed(&error))?;
        let outputs = inner.run(ort::inputs![view]).map_err(|error| failed(&error))?;
        let mut found: Vec<(Vec<usize>, &[f32])> = Vec::with_capacity(names.len());
        for (index, name) in names.iter().enumerate() {
            let value = &outputs[index];
            let (shape, data) = value.try_extract_tensor::<f32>().map_err(|_| {
                let (name, found) = (name.clone(), value.dtype().to_string());
                EngineError::Output { origin: origin.clone(), name, found }
            })?;
            found.push((
                shape.iter().map(|d| usize::try_from(*d).unwrap_or_default()).collect(),
                data,
            ));
        }
        then(&found.iter().map(|(dims, data)| Lent { dims, data }).collect::<Vec<_>>());
        Ok(())
    }

    /// Compares the batch with what the input takes, for a message in our words.
    fn check_input(&self, batch: &Tensor) -> Result<(), EngineError> {
        let fits = batch.dims.len() == self.input.len()
            && !batch.is_empty()
            && self.input.iter().zip(&batch.dims).all(|(want, got)| {
                // -1 stands for any size.
                usize::try_from(*want).map_or(true, |want| want == *got)
            });
        if fits {
            return Ok(());
        }
        let sizes: Vec<String> = self
            .input
            .iter()
            .map(|d| if *d < 0 { "?".to_string() } else { d.to_string() })
            .collect();
        Err(EngineError::InputShape {
            origin: self.origin.clone(),
            expected: format!("[{}]", sizes.join(", ")),
            found: batch.dims.clone(),
        })
    }
}

/// The settings that every session shares.
pub(crate) fn builder(runtime: &Runtime, options: &Options) -> ort::Result<SessionBuilder> {
    let level = match options.optimisation {
        Optimisation::Off => GraphOptimizationLevel::Disable,
        _ => GraphOptimizationLevel::All,
    };
    let mut builder = ort::session::Session::builder(runtime.environment())?
        .with_intra_threads(options.threads.max(1))?
        .with_inter_threads(1)?
        .with_parallel_execution(false)?
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        .with_deterministic_compute(true)?
        .with_quant_qdq(options.optimisation != Optimisation::Float)?
        .with_optimization_level(level)?;
    if options.optimisation == Optimisation::Precise {
        builder = builder.with_config_entry("session.x64quantprecision", "1")?;
    }
    // What goes wrong comes back as an error; the runtime's own words on stderr would repeat it.
    // Whoever debugs the runtime itself sets ORT_LOG, which then decides.
    if std::env::var_os("ORT_LOG").is_none() {
        builder = builder.with_log_level(LogLevel::Fatal)?;
    }
    Ok(builder)
}

/// The dimensions of the model's one input, -1 where any size will do.
fn input_dims(session: &ort::session::Session, origin: &str) -> Result<Vec<i64>, EngineError> {
    let wrong = |found: String| EngineError::Input { origin: origin.to_string(), found };
    match session.inputs() {
        [input] => match input.dtype() {
            ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } => Ok(shape.to_vec()),
            other => Err(wrong(format!("{:?} of type {other}", input.name()))),
        },
        inputs => {
            let names: Vec<&str> = inputs.iter().map(ort::value::Outlet::name).collect();
            Err(wrong(format!("{} inputs ({})", names.len(), names.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use quantbench_core::ImageSource;

    use super::*;
    use crate::testing::{
        Values, flatten_net, int, one_node, qdq_net, runtime, tiny_net, with_input_type,
        with_second_input,
    };

    const MODES: [Optimisation; 4] =
        [Optimisation::Off, Optimisation::Float, Optimisation::All, Optimisation::Precise];

    fn open(onnx: &[u8], options: &Options) -> Option<Result<Session, EngineError>> {
        Some(Session::new(runtime()?, onnx, options, "net.onnx"))
    }

    fn one_thread(optimisation: Optimisation) -> Options {
        Options { threads: 1, optimisation }
    }

    #[test]
    fn a_net_that_passes_values_on_does() {
        for mode in MODES {
            let Some(session) = open(&flatten_net(3), &one_thread(mode)) else { return };
            let mut session = session.unwrap();
            assert_eq!(session.outputs(), ["logits"]);
            assert_eq!(session.fixed_batch(), None);
            let batch = Tensor::new(vec![2, 3, 1, 1], vec![1.0, 2.0, 3.0, -4.0, 0.5, f32::MAX]);
            let outputs = session.run(&batch).unwrap();
            assert_eq!(outputs, [Tensor::new(vec![2, 3], batch.data)]);
        }
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let batch = Values::random(&[3, 8, 8], 32, 3).batch(0, 32).unwrap();
        for (mode, net) in MODES.into_iter().flat_map(|m| [(m, tiny_net(2)), (m, qdq_net(true))]) {
            let mut results = Vec::new();
            for threads in [1, 2, 3, 8] {
                let options = Options { threads, optimisation: mode };
                let Some(session) = open(&net, &options) else { return };
                let bits: Vec<u32> = session.unwrap().run(&batch).unwrap()[0]
                    .data
                    .iter()
                    .map(|v| v.to_bits())
                    .collect();
                results.push(bits);
            }
            assert!(results.iter().all(|r| *r == results[0]), "{mode:?}");
        }
    }

    /// Logits of 40 random images as bits, `batch` at a time.
    fn logits(runtime: &Runtime, net: &[u8], options: &Options, batch: usize) -> Vec<u32> {
        let images = Values::random(&[3, 32, 32], 40, 9);
        let mut session = Session::new(runtime, net, options, "net.onnx").unwrap();
        (0..40)
            .step_by(batch)
            .flat_map(|start| {
                session.run(&images.batch(start, batch).unwrap()).unwrap()[0].data.clone()
            })
            .map(f32::to_bits)
            .collect()
    }

    #[test]
    fn whole_networks_depend_on_neither_threads_nor_batch() {
        let Some(runtime) = runtime() else { return };
        let mut nets = vec![quantbench_datasets::DEFAULT_MODEL.to_vec()];
        match std::env::var_os("QUANTBENCH_DATA").map(std::path::PathBuf::from) {
            Some(folder) => {
                for name in ["resnet8", "resnet20", "resnet32"] {
                    let path = folder.join("models").join(format!("{name}-cifar10.onnx"));
                    nets.push(std::fs::read(path).unwrap());
                }
            }
            None => println!("skipped for trained CIFAR-10 models: QUANTBENCH_DATA is not set"),
        }
        for (net, optimisation) in nets.iter().flat_map(|n| MODES.map(|mode| (n, mode))) {
            let one = Options { threads: 1, optimisation };
            let expected = logits(runtime, net, &one, 40);
            for (threads, batch) in [(2, 40), (3, 40), (1, 16), (2, 7), (1, 1)] {
                let found = logits(runtime, net, &Options { threads, optimisation }, batch);
                assert!(found == expected, "{optimisation:?}, {threads} threads, batch {batch}");
            }
        }
    }

    #[test]
    fn simulated_quantization_stays_near_in_float_and_integer() {
        let batch = Values::random(&[3, 8, 8], 8, 4).batch(0, 8).unwrap();
        let run = |mode| Some(open(&qdq_net(true), &one_thread(mode))?.unwrap().run(&batch));
        let Some(off) = run(Optimisation::Off) else { return };
        let off = &off.unwrap()[0];
        assert!(off.data.iter().any(|v| *v != off.data[0]));
        for mode in [Optimisation::Float, Optimisation::All] {
            let other = run(mode).unwrap().unwrap();
            // One quantum of the output is 0.01.
            let near = |(a, b): (&f32, &f32)| (a - b).abs() < 0.0101;
            assert!(off.data.iter().zip(&other[0].data).all(near), "{mode:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_model_are_refused() {
        let whole = tiny_net(1);
        let mut results = Vec::new();
        for bytes in [&b""[..], b"not a model", &whole[..whole.len() / 2], &[0xff; 64]] {
            let Some(result) = open(bytes, &one_thread(Optimisation::All)) else { return };
            results.push(result.unwrap_err());
        }
        for error in results {
            let EngineError::Refused { origin, reason, .. } = &error else { panic!("{error}") };
            assert_eq!(origin, "net.onnx");
            assert!(!reason.is_empty() && !reason.contains('\n'), "{reason}");
        }
    }

    #[test]
    fn an_unknown_op_is_named() {
        let net = one_node("Frobnicate", "middle/frob", vec![]);
        let Some(result) = open(&net, &one_thread(Optimisation::All)) else { return };
        let message = result.unwrap_err().to_string();
        assert!(message.contains("Frobnicate"), "{message}");
        assert!(message.starts_with("net.onnx: ONNX Runtime 1."), "{message}");
    }

    #[test]
    fn an_attribute_that_does_not_fit_names_the_node() {
        let net = one_node("Flatten", "tail/flat", vec![int("axis", 9)]);
        let Some(result) = open(&net, &one_thread(Optimisation::Off)) else { return };
        let message = result.unwrap_err().to_string();
        assert!(message.contains("tail/flat"), "{message}");
    }

    #[test]
    fn images_that_do_not_fit_are_refused_before_the_run() {
        let Some(session) = open(&tiny_net(1), &one_thread(Optimisation::All)) else { return };
        let mut session = session.unwrap();
        for dims in [vec![2, 1, 8, 8], vec![2, 3, 8], vec![2, 3, 9, 9], vec![0, 3, 8, 8], vec![]] {
            let batch = Tensor::new(dims.clone(), vec![0.0; dims.iter().product()]);
            let error = session.run(&batch).unwrap_err();
            let expected = EngineError::InputShape {
                origin: "net.onnx".to_string(),
                expected: "[?, 3, 8, 8]".to_string(),
                found: dims,
            };
            assert_eq!(error, expected);
        }
        // And the session still works.
        let batch = Tensor::new(vec![1, 3, 8, 8], vec![0.0; 192]);
        assert_eq!(session.run(&batch).unwrap()[0].dims, [1, 5]);
    }

    #[test]
    fn inputs_other_than_one_float_tensor_are_refused() {
        let options = one_thread(Optimisation::Off);
        let bytes = quantbench_graph::onnx::data_type::UINT8;
        let Some(result) = open(&with_input_type(&flatten_net(3), bytes), &options) else { return };
        let message = result.unwrap_err().to_string();
        // ONNX Runtime itself finds that the types of input and output differ.
        assert!(message.contains("net.onnx"), "{message}");
        let error = open(&with_second_input(&flatten_net(3)), &options).unwrap().unwrap_err();
        assert!(matches!(error, EngineError::Input { .. }), "{error}");
        assert!(error.to_string().contains("2 inputs (image, mask)"), "{error}");
    }
}
