//! The tables and figures that a survey wants in its report.

use quantbench_core::{Paper, PaperColumn, PaperTable};

use super::keys::FAMILIES;
use super::{ConfigError, Survey, names};
use crate::config::keys::{Key, Shape, words};
use crate::config::yaml::Node;

/// Keys of `report`.
pub(super) static REPORT: [Key; 2] = [
    Key::may("tables", Shape::List(&Shape::Map(&TABLE), 1, None), "Tables of the paper."),
    Key::may(
        "figures",
        Shape::Set(&Shape::Text),
        "Kinds of figures, as the report's guide lists them (default: all).",
    ),
];

/// Keys of a table.
static TABLE: [Key; 6] = [
    Key::must("caption", Shape::Text, "Its caption in the words of the paper."),
    Key::may("families", Shape::Set(&Shape::Word(FAMILY_WORDS)), "Families (default: all)."),
    Key::may("models", Shape::Set(&Shape::Text), "Models of this survey (default: all)."),
    Key::may("methods", Shape::Set(&Shape::Text), "Methods of this survey (default: all)."),
    Key::may("widths", Shape::Set(&Shape::Text), "Widths, such as w4a4 (default: all)."),
    Key::may(
        "columns",
        Shape::Set(&Shape::Word(COLUMN_WORDS)),
        "Columns behind method and widths (default: data, accuracy, drop, deployed, size).",
    ),
];

const FAMILY_WORDS: &[&str] = &words(&FAMILIES);
const COLUMN_WORDS: &[&str] = &words(&PaperColumn::NAMES);

/// Reads `report`.
pub(super) fn paper(node: &Node<'_>) -> Result<Paper, ConfigError> {
    let fields = node.keyed(&REPORT)?;
    let tables = match fields.get("tables") {
        Some(node) => node.filled_list()?.iter().map(table).collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    let figures = fields.get("figures").map_or(Ok(Vec::new()), texts)?;
    Ok(Paper { tables, figures })
}

fn texts(node: &Node<'_>) -> Result<Vec<String>, ConfigError> {
    Ok(names(node)?.into_iter().map(|at| at.value).collect())
}

fn table(node: &Node<'_>) -> Result<PaperTable, ConfigError> {
    let fields = node.keyed(&TABLE)?;
    let words = |key: &str| fields.get(key).map_or(Ok(Vec::new()), texts);
    Ok(PaperTable {
        caption: fields.need("caption")?.text()?,
        families: chosen(fields.get("families"), &FAMILIES)?,
        models: words("models")?,
        methods: words("methods")?,
        widths: words("widths")?,
        columns: chosen(fields.get("columns"), &PaperColumn::NAMES)?,
    })
}

fn chosen<T: Copy>(node: Option<&Node<'_>>, known: &[(&str, T)]) -> Result<Vec<T>, ConfigError> {
    node.map_or(Ok(Vec::new()), |node| {
        node.filled_list()?.iter().map(|one| one.choice(known)).collect()
    })
}

impl Survey {
    /// Refuses a table that names what the survey does not have.
    pub(super) fn check_paper(&self, node: &Node<'_>) -> Result<(), ConfigError> {
        let models: Vec<&str> = self.models.iter().map(|m| m.value.as_str()).collect();
        let methods: Vec<&str> = self.methods.iter().map(|m| m.name.value.as_str()).collect();
        for table in &self.paper.tables {
            for (key, named, known) in
                [("models", &table.models, &models), ("methods", &table.methods, &methods)]
            {
                if let Some(stranger) = named.iter().find(|n| !known.contains(&n.as_str())) {
                    return Err(node.fail(format_args!(
                        "the table {:?} names {stranger:?} under {key}, which is not in this survey{}",
                        table.caption,
                        quantbench_core::names::suggestion(stranger, known)
                    )));
                }
            }
        }
        Ok(())
    }
}
