//! Add-ons: what can be done to the artefact of any method, named `METHOD+ADD-ON`.
//!
//! An add-on gets the artefact that its base gave and the calibration images, and gives another.
//! [`crate::find`] composes: `minmax+bias-correction` is a method like any other, with a card of
//! its own. [`ADD_ONS`] lists what there is.

pub mod bias_correction;
mod compose;

use quantbench_core::ImageSource;
use quantbench_core::card::Param;
use quantbench_graph::{Artefact, Graph};

use crate::contract::{Context, Job, MethodError};

pub use compose::composed;

/// Every add-on, in the order of the alphabet.
pub static ADD_ONS: &[&dyn AddOn] = &[&bias_correction::BiasCorrection];

/// Between the names of a method and of its add-ons.
pub const PLUS: char = '+';

/// The static facts of an add-on: what a composed card adds to its base's.
#[derive(Debug, Clone, PartialEq)]
pub struct AddOnCard {
    /// Unique kebab-case name.
    pub name: &'static str,
    /// From 1 to 99; raised whenever what it does to an artefact changes.
    pub version: u32,
    /// One sentence: what it does.
    pub summary: &'static str,
    /// When to use it, and when not.
    pub when: &'static str,
    /// Paper: authors, title, venue, identifier.
    pub paper: &'static str,
    /// BibTeX-like key.
    pub cite: &'static str,
    /// Parameters; their names are unlike those of every method.
    pub params: &'static [Param],
    /// Departures from the paper, one sentence each.
    pub departures: &'static [&'static str],
}

/// What the author of an add-on writes: one file, one line in [`ADD_ONS`].
pub trait AddOn: Send + Sync {
    /// The static facts.
    fn card(&self) -> &'static AddOnCard;

    /// Changes an artefact. Pure, as a method is.
    ///
    /// `job` holds the add-on's own parameters. `reference` is the FP32 network whose layers those
    /// of the artefact stand for: value by value the same, up to quantization.
    fn apply(
        &self,
        job: &Job<'_>,
        artefact: Artefact,
        reference: &Graph,
        images: &dyn ImageSource,
        cx: &mut Context<'_>,
    ) -> Result<Artefact, MethodError>;
}

/// The names of all add-ons.
pub fn names() -> Vec<&'static str> {
    ADD_ONS.iter().map(|a| a.card().name).collect()
}
