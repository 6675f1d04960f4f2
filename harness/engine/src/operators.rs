//! How long each operator of a model takes, by the runtime's own stopwatch.

use std::collections::BTreeMap;
use std::path::Path;

use quantbench_core::Tensor;
use serde::Deserialize;

use crate::error::{EngineError, one_line};
use crate::runtime::Runtime;
use crate::session::{Options, Session};

/// An operator of a model as the runtime optimised it.
#[derive(Debug, Clone, PartialEq)]
pub struct OperatorTime {
    /// Name of its node. A layer in integers or in float keeps its own, `_token_` and a number behind
    /// it where the runtime made a new node; one in blocked float (`_nchwc`) has that of the value
    /// that it gives.
    pub name: String,
    /// Operator, for example `QLinearConv`.
    pub op: String,
    /// Seconds per run of the batch: the mean of the middle half of the runs.
    pub seconds: f64,
}

/// Runs a batch `warm_up + rounds` times with the runtime's profile on, and gives its operators in
/// the order of execution.
///
/// The profile counts whole microseconds, which is why a mean is given and no median; the middle half
/// keeps interruptions out. Writing it costs time: latencies are measured without.
///
/// # Errors
/// As [`Session::new`] and [`Session::run`], no round, or a profile that cannot be read back.
pub fn operator_times(
    runtime: &Runtime,
    onnx: &[u8],
    options: &Options,
    batch: &Tensor,
    (warm_up, rounds): (usize, usize),
    origin: &str,
) -> Result<Vec<OperatorTime>, EngineError> {
    let unread = |reason: &dyn std::fmt::Display| EngineError::Profile {
        origin: origin.to_string(),
        reason: one_line(&reason.to_string()),
        folder: std::env::temp_dir(),
    };
    if rounds == 0 {
        return Err(unread(&"no round was asked for; expected at least one"));
    }
    let folder =
        tempfile::Builder::new().prefix("quantbench-").tempdir().map_err(|e| unread(&e))?;
    let prefix = folder.path().join("profile");
    let mut session = Session::profiled(runtime, onnx, options, origin, &prefix)?;
    for _ in 0..warm_up + rounds {
        session.run_each(batch, &mut |_, _, _| {})?;
    }
    let file = session.end_profile()?;
    let text = std::fs::read(Path::new(&file)).map_err(|error| unread(&error))?;
    let events: Vec<Event> = serde_json::from_slice(&text).map_err(|error| unread(&error))?;
    let times = times(&events, warm_up);
    if times.is_empty() { Err(unread(&"it names no operator")) } else { Ok(times) }
}

/// An event of the profile, of those fields that matter here.
#[derive(Debug, Deserialize)]
struct Event {
    cat: String,
    name: String,
    /// Microseconds.
    dur: f64,
    #[serde(default)]
    args: Args,
}

#[derive(Debug, Default, Deserialize)]
struct Args {
    #[serde(default)]
    op_name: String,
    #[serde(default)]
    node_index: String,
}

/// What the name of an operator ends with where the event is its computation.
const COMPUTATION: &str = "_kernel_time";

/// Operators of the events, without the first runs of each.
fn times(events: &[Event], warm_up: usize) -> Vec<OperatorTime> {
    let mut order = Vec::new();
    let mut all: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
    for event in events.iter().filter(|event| event.cat == "Node") {
        let Some(name) = event.name.strip_suffix(COMPUTATION) else { continue };
        let key = (name, event.args.node_index.as_str());
        let seconds = all.entry(key).or_default();
        if seconds.is_empty() {
            order.push((key, &event.args.op_name));
        }
        seconds.push(event.dur * 1e-6);
    }
    let one = |(key, op): ((&str, &str), &String)| OperatorTime {
        name: key.0.to_string(),
        op: op.clone(),
        seconds: middle(all[&key].get(warm_up..).unwrap_or_default()),
    };
    order.into_iter().map(one).collect()
}

/// Mean of what lies between the quartiles; 0 of nothing.
fn middle(seconds: &[f64]) -> f64 {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let quarter = sorted.len() / 4;
    let half = &sorted[quarter..sorted.len() - quarter];
    half.iter().sum::<f64>() / half.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Optimisation;
    use crate::testing::{qdq_net, random, runtime, tiny_net};

    const ALL: Options = Options { threads: 1, optimisation: Optimisation::All };

    #[test]
    fn the_middle_half_counts() {
        assert_eq!(middle(&[]), 0.0);
        assert_eq!(middle(&[3.0]), 3.0);
        assert_eq!(middle(&[1e9, 2.0, 3.0, 0.0]), 2.5);
    }

    #[test]
    fn events_of_an_operator_are_gathered_and_its_first_left_out() {
        let text = r#"[
            {"cat": "Session", "name": "model_run", "dur": 9},
            {"cat": "Node", "name": "a_kernel_time", "dur": 100, "args": {"op_name": "Conv", "node_index": "2"}},
            {"cat": "Node", "name": "a_fence_before", "dur": 7},
            {"cat": "Node", "name": "b_kernel_time", "dur": 5, "args": {"op_name": "Add", "node_index": "1"}},
            {"cat": "Node", "name": "a_kernel_time", "dur": 3, "args": {"op_name": "Conv", "node_index": "2"}},
            {"cat": "Node", "name": "b_kernel_time", "dur": 4, "args": {"op_name": "Add", "node_index": "1"}}
        ]"#;
        let found = times(&serde_json::from_str::<Vec<Event>>(text).unwrap(), 1);
        let time = |name: &str, op: &str, micros: f64| OperatorTime {
            name: name.to_string(),
            op: op.to_string(),
            seconds: micros * 1e-6,
        };
        assert_eq!(found, [time("a", "Conv", 3.0), time("b", "Add", 4.0)]);
    }

    #[test]
    fn operators_of_a_model_have_times_and_layers_keep_their_names() {
        let Some(runtime) = runtime() else { return };
        let batch = Tensor::new(vec![1, 3, 8, 8], random(3 * 8 * 8, 1));
        let run = |onnx: &[u8]| operator_times(runtime, onnx, &ALL, &batch, (2, 20), "net.onnx");
        let bytes = run(&qdq_net(true)).unwrap();
        let conv = bytes.iter().filter(|o| o.op == "QLinearConv").collect::<Vec<_>>();
        assert!(matches!(conv[..], [one] if one.name.starts_with("conv")), "{bytes:?}");
        let float = run(&tiny_net(1)).unwrap();
        assert!(float.iter().any(|o| o.op == "Gemm" && o.name == "fc"), "{float:?}");
        for operator in bytes.iter().chain(&float) {
            assert!((0.0..0.1).contains(&operator.seconds), "{operator:?}");
        }
    }

    #[test]
    fn what_cannot_be_timed_is_an_error() {
        let Some(runtime) = runtime() else { return };
        let batch = Tensor::new(vec![1, 3, 8, 8], vec![0.0; 192]);
        let run = |onnx: &[u8], rounds| {
            operator_times(runtime, onnx, &ALL, &batch, rounds, "net.onnx").unwrap_err().to_string()
        };
        assert!(run(&tiny_net(1), (3, 0)).contains("expected at least one"));
        assert!(run(b"not a model", (0, 1)).contains("refuses the model"));
    }
}
