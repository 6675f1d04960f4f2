//! The card of an external method: one YAML file per method.

use std::path::{Path, PathBuf};

use quantbench_core::card::{Card, WidthRange};
use quantbench_core::hash::{id_of, sha256_hex};
use quantbench_core::names::suggestion;
use quantbench_core::{Maker, Needs};

use crate::config::error::ConfigError;
use crate::config::survey::keys::FAMILIES;
use crate::config::yaml::{Document, Fields, Node};
use crate::external::{Launch, params, process};

/// Stands for the folder of the card in a command or a path.
const HERE: &str = "{here}";

const KEYS: [&str; 19] = [
    "name",
    "version",
    "tool",
    "family",
    "summary",
    "when",
    "paper",
    "cite",
    "widths",
    "granularity",
    "needs",
    "stochastic",
    "params",
    "departures",
    "command",
    "files",
    "environment",
    "reads",
    "timeout_s",
];

/// Keys that may be added to [`KEYS`] without which nothing is lost.
const SETUP: &str = "setup";

/// A method in any language.
#[derive(Debug, Clone)]
pub struct External {
    /// The static facts, as a built-in method states them.
    ///
    /// Cards are read once per process and live as long as it does, which is why their texts are
    /// given away for good.
    pub card: &'static Card,
    /// What data the command is granted.
    pub needs: Needs,
    /// Tool and version, for reports.
    pub tool: String,
    /// How to get what the command needs, in words.
    pub setup: Option<String>,
    command: Vec<String>,
    files: Vec<String>,
    environment: Option<String>,
    reads: Vec<String>,
    timeout_s: u64,
    here: PathBuf,
}

impl External {
    /// Reads a card; `origin` is the file's name for messages, `here` the folder where it lies.
    pub fn parse(text: &str, origin: &str, here: &Path) -> Result<Self, ConfigError> {
        let document = Document::parse(text, origin)?;
        let known: Vec<&str> = KEYS.iter().copied().chain([SETUP]).collect();
        let fields = document.root().fields(&known)?;
        let external = Self {
            card: card(&fields)?,
            needs: fields.need("needs")?.choice(&[
                ("nothing", Needs::Nothing),
                ("unlabelled", Needs::Unlabelled),
                ("labelled", Needs::Labelled),
            ])?,
            tool: fields.need("tool")?.text()?,
            setup: fields.get(SETUP).map(Node::text).transpose()?,
            command: paths(fields.need("command")?)?,
            files: fields.get("files").map_or(Ok(Vec::new()), paths)?,
            environment: fields.get("environment").map(path).transpose()?,
            reads: fields.get("reads").map_or(Ok(Vec::new()), paths)?,
            timeout_s: fields.get("timeout_s").map_or(Ok(3600), |n| n.whole(1, 7 * 86_400))?,
            here: std::path::absolute(here).unwrap_or_else(|_| here.to_path_buf()),
        };
        if external.command.is_empty() {
            return Err(fields
                .need("command")?
                .fail("an empty list does not fit; expected a program"));
        }
        Ok(external)
    }

    /// How the command is started on this machine.
    pub fn launch(&self) -> Launch {
        Launch {
            name: self.card.name.to_string(),
            command: self.command.iter().map(|word| self.resolved(word)).collect(),
            files: self.files().iter().map(|file| self.place(file)).collect(),
            environment: self.environment.as_deref().map(|e| self.place(e)),
            reads: self.reads.iter().map(|path| self.place(path)).collect(),
            timeout_s: self.timeout_s,
            setup: self.setup.clone(),
        }
    }

    /// Who makes the artefact: the tool, and the hash of the command and of every file on the card.
    ///
    /// # Errors
    /// A file of the card that cannot be read, in words.
    pub fn maker(&self) -> Result<Maker, String> {
        let mut hashes = Vec::new();
        for file in self.files() {
            let path = self.place(&file);
            let bytes = std::fs::read(&path).map_err(|error| {
                let (name, path) = (self.card.name, path.display());
                format!("method {name}: cannot read {path}: {error}; its card names it")
            })?;
            hashes.push((file, sha256_hex(&bytes)));
        }
        let identity = id_of(&(&self.command, hashes));
        Ok(Maker::External { tool: self.tool.clone(), identity })
    }

    /// Whether the command can be started here.
    ///
    /// # Errors
    /// What is missing and how to get it, in words.
    pub fn state(&self) -> Result<(), String> {
        self.maker()?;
        process::program(&self.launch()).map(|_| ())
    }

    /// The files that decide what the command does: those listed, and every word of the command
    /// that names a file beside the card, but for programs of the environment.
    fn files(&self) -> Vec<String> {
        let installed = |word: &str| {
            self.environment.as_ref().is_some_and(|e| Path::new(word).starts_with(e.as_str()))
        };
        let mut files = self.files.clone();
        for word in self.command.iter().filter(|w| w.contains(HERE) && !installed(w)) {
            if !files.contains(word) && !Path::new(&self.resolved(word)).is_dir() {
                files.push(word.clone());
            }
        }
        files
    }

    /// A path on the card; one that is not absolute is beside the card.
    fn place(&self, text: &str) -> PathBuf {
        self.here.join(self.resolved(text))
    }

    fn resolved(&self, text: &str) -> String {
        text.replace(HERE, &self.here.to_string_lossy())
    }
}

/// The facts that a built-in method has on its card too.
fn card(fields: &Fields<'_>) -> Result<&'static Card, ConfigError> {
    let text = |key: &str| fields.need(key)?.text().map(forever);
    let name = fields.need("name")?;
    let own = name.name()?;
    if quantbench_methods::names().contains(&own.as_str()) || own == quantbench_core::row::FP32 {
        return Err(
            name.fail(format_args!("{own:?} is a method of this program; choose another name"))
        );
    }
    let departures = match fields.get("departures") {
        Some(node) => {
            node.list()?.iter().map(|n| n.text().map(forever)).collect::<Result<_, _>>()?
        }
        None => Vec::new(),
    };
    Ok(Box::leak(Box::new(Card {
        name: forever(own),
        version: fields.need("version")?.whole(1, u64::from(u32::MAX))? as u32,
        family: fields.need("family")?.choice(&FAMILIES)?,
        summary: text("summary")?,
        when: text("when")?,
        paper: text("paper")?,
        cite: text("cite")?,
        widths: widths(fields.need("widths")?)?,
        granularity: text("granularity")?,
        stochastic: fields.get("stochastic").map_or(Ok(false), switch)?,
        params: fields.get("params").map_or(Ok(&[][..]), params::read)?,
        departures: Vec::leak(departures),
    })))
}

/// A text that lives as long as the process.
pub(crate) fn forever(text: String) -> &'static str {
    String::leak(text)
}

fn widths(node: &Node<'_>) -> Result<WidthRange, ConfigError> {
    let fields = node.fields(&["weights", "activations", "ternary"])?;
    let pair = |key: &str| {
        let node = fields.need(key)?;
        let ends = node.list()?;
        let [low, high] = ends.as_slice() else {
            return Err(
                node.fail("expected the smallest and the largest width, for example [2, 8]")
            );
        };
        let low = low.whole(1, 8)?;
        Ok((low as u8, high.whole(low, 8)? as u8))
    };
    Ok(WidthRange {
        weights: pair("weights")?,
        ternary: fields.get("ternary").map_or(Ok(false), switch)?,
        activations: pair("activations")?,
    })
}

fn switch(node: &Node<'_>) -> Result<bool, ConfigError> {
    node.value().as_bool().ok_or_else(|| node.fail("expected true or false"))
}

fn paths(node: &Node<'_>) -> Result<Vec<String>, ConfigError> {
    node.list()?.iter().map(path).collect()
}

/// A word in which `{here}` is the only placeholder.
fn path(node: &Node<'_>) -> Result<String, ConfigError> {
    let word = node.text()?;
    let rest = word.replace(HERE, "");
    let placeholder = rest.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
    match placeholder {
        Some((unknown, _)) if !unknown.is_empty() && !unknown.contains([' ', '"', ':']) => {
            Err(node.fail(format_args!(
                "unknown placeholder {{{unknown}}}{}",
                suggestion(unknown, &["here"])
            )))
        }
        _ => Ok(word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "name: mine
version: 1
tool: my tool 1.0
family: data-dependent
summary: Rounds.
when: Always.
paper: none
cite: none
widths: {weights: [2, 8], activations: [8, 8]}
granularity: per tensor
needs: unlabelled
params:
  clip: {default: 0.5, from: 0, to: 1, help: where to clip}
command: [python3, \"{here}/mine.py\"]
";

    fn complaint(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from}");
        let text = GOOD.replace(from, to);
        External::parse(&text, "mine.yaml", Path::new("/x")).unwrap_err().to_string()
    }

    #[test]
    fn mistakes_are_named_with_line_and_way_out() {
        for (from, to, expected) in [
            ("tool:", "tol:", "mine.yaml:3: unknown key \"tol\"; did you mean \"tool\"?"),
            (
                "name: mine",
                "name: minmax",
                "mine.yaml:1: name: \"minmax\" is a method of this program",
            ),
            ("name: mine", "name: fp32", "mine.yaml:1: name: \"fp32\" is a method of this program"),
            (
                "[2, 8]",
                "[8, 2]",
                "mine.yaml:9: widths.weights[1]: 2 does not fit; expected a whole number from 8 to 8",
            ),
            (
                "[2, 8]",
                "[2]",
                "mine.yaml:9: widths.weights: expected the smallest and the largest width",
            ),
            (
                "needs: unlabelled",
                "needs: unlabeled",
                "mine.yaml:11: needs: unknown value \"unlabeled\"; did you mean \"unlabelled\"?",
            ),
            (
                "{here}",
                "{her}",
                "mine.yaml:14: command[1]: unknown placeholder {her}; did you mean \"here\"?",
            ),
            (
                "command: [python3, \"{here}/mine.py\"]",
                "command: []",
                "mine.yaml:14: command: an empty list does not fit",
            ),
            ("command:", "timeout_s: 0\ncommand:", "mine.yaml:14: timeout_s: 0 does not fit"),
            ("version: 1\n", "", "mine.yaml:1: key \"version\" is missing; add it"),
        ] {
            let text = complaint(from, to);
            assert!(text.starts_with(expected), "{text}\nshould start with {expected}");
        }
    }

    #[test]
    fn an_edited_script_is_another_maker_and_a_missing_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let external = External::parse(GOOD, "mine.yaml", folder.path()).unwrap();
        let missing = external.maker().unwrap_err();
        assert!(missing.contains("mine.py") && missing.contains("cannot read"), "{missing}");
        let script = folder.path().join("mine.py");
        std::fs::write(&script, "1").unwrap();
        let one = external.maker().unwrap();
        assert_eq!(one, external.maker().unwrap());
        std::fs::write(&script, "2").unwrap();
        assert_ne!(one, external.maker().unwrap());
        assert_eq!(external.launch().files, [script]);
    }

    #[test]
    fn programs_of_the_environment_are_told_by_the_requirements_and_not_hashed() {
        let text = GOOD.replace(
            "command: [python3,",
            "environment: \"{here}/.venv\"\nfiles: [\"{here}/lock.txt\"]\ncommand: [\"{here}/.venv/bin/python\",",
        );
        let external = External::parse(&text, "mine.yaml", Path::new("/x")).unwrap();
        let files = external.launch().files;
        assert_eq!(files, [PathBuf::from("/x/lock.txt"), PathBuf::from("/x/mine.py")]);
    }
}
