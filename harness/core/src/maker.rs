//! Who made an artefact that no method of this program made.

use serde::{Deserialize, Serialize};

/// The maker of an artefact from outside; part of what a cell asks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Maker {
    /// A command that the card of an external method names.
    External {
        /// Tool and version, as its card states them.
        tool: String,
        /// Hash of the command and of the files that decide what it does.
        identity: String,
    },
    /// A file that was made beforehand.
    Artefact {
        /// Tool and version, as the survey states them.
        tool: String,
        /// SHA-256 of the file; empty where the file is not at hand.
        sha256: String,
        /// What else the survey says about it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
}

impl Maker {
    /// What tells this maker's artefacts from others.
    pub fn identity(&self) -> &str {
        match self {
            Maker::External { identity, .. } => identity,
            Maker::Artefact { sha256, .. } => sha256,
        }
    }

    /// Tool and version in words.
    pub fn tool(&self) -> &str {
        match self {
            Maker::External { tool, .. } | Maker::Artefact { tool, .. } => tool,
        }
    }
}
