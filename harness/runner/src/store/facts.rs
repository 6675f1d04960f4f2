//! What lies beside an artefact: what its making read and cost, and where.

use quantbench_core::Evidence;
use quantbench_core::row::{BestEpoch, Machine, MethodCost, Observed};
use serde::{Deserialize, Serialize};

/// What is known about a stored artefact besides its bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArtefactFacts {
    /// SHA-256 of the artefact's bytes.
    pub sha256: String,
    /// Calibration images that the method read.
    pub images_read: u64,
    /// Labels that the method read.
    pub labels_read: u64,
    /// Images that the method made itself.
    pub synthetic_images: u64,
    /// The best of several epochs, on the test images of the cell that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best_epoch: Option<BestEpoch>,
    /// What an external command said about its work; our own methods say it in the artefact.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What the method recorded on its way.
    #[serde(default, skip_serializing_if = "Evidence::is_empty")]
    pub evidence: Evidence,
    /// Cost of the method when it made the artefact.
    pub cost: MethodCost,
    /// CPU seconds of it that were charged for statistics which another method had gathered.
    #[serde(default)]
    pub shared_cpu_s: f64,
    /// What an external command itself says that its work cost, without start and imports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported: Option<MethodCost>,
    /// How an external command was confined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confinement: Option<String>,
    /// Threads of the runtime at that time.
    pub threads: usize,
    /// Cells that ran at the same time; zero in older files, which stands for one.
    #[serde(default)]
    pub jobs: usize,
    /// The machine that made it.
    pub machine: Machine,
}

impl ArtefactFacts {
    /// The cost, if it was observed as the others of this row are: on the same machine, with as
    /// many threads and as many cells at the same time.
    pub fn cost_for(&self, observed: &Observed) -> Option<MethodCost> {
        let same = self.machine == observed.machine
            && self.threads == observed.threads
            && self.jobs.max(1) == observed.jobs.max(1);
        same.then_some(self.cost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_counts_for_the_same_machine_threads_and_jobs_only() {
        let mut facts = ArtefactFacts {
            sha256: String::new(),
            images_read: 0,
            labels_read: 0,
            synthetic_images: 0,
            best_epoch: None,
            notes: vec![],
            evidence: Evidence::default(),
            cost: MethodCost { wall_s: 1.0, ..MethodCost::default() },
            shared_cpu_s: 0.0,
            reported: None,
            confinement: None,
            threads: 2,
            jobs: 1,
            machine: Machine::default(),
        };
        let here = Observed { threads: 2, jobs: 1, ..Observed::default() };
        assert_eq!(facts.cost_for(&here), Some(facts.cost));
        assert_eq!(facts.cost_for(&Observed { threads: 1, ..here.clone() }), None);
        assert_eq!(facts.cost_for(&Observed { jobs: 2, ..here.clone() }), None);
        let cpu = Machine { cpu: "other".into(), ..Machine::default() };
        assert_eq!(facts.cost_for(&Observed { machine: cpu, ..here.clone() }), None);
        // Files of before say nothing about jobs.
        let mut json = serde_json::to_value(&facts).unwrap();
        json.as_object_mut().unwrap().remove("jobs");
        facts = serde_json::from_value(json).unwrap();
        assert_eq!((facts.jobs, facts.cost_for(&here)), (0, Some(facts.cost)));
    }
}
