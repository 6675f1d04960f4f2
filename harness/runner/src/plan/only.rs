//! `--only`: which cells of a survey are wanted.

use quantbench_core::names::suggestion;

use crate::config::ConfigError;
use crate::plan::{Plan, PlannedCell, label};

/// What a `key=value` can be about.
const KEYS: [&str; 5] = ["model", "method", "bits", "calibration", "draw"];

/// One `--only`; a cell is wanted if every one of them matches.
#[derive(Debug, PartialEq)]
enum Only {
    /// The label contains this text.
    Text(String),
    /// The cell has one of these values.
    Key { key: &'static str, values: Vec<String> },
}

impl Only {
    fn parse(text: &str) -> Result<Self, ConfigError> {
        let word = |s: &str| !s.is_empty() && s.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        let Some((key, values)) = text.split_once('=').filter(|(key, _)| word(key)) else {
            return Ok(Only::Text(text.to_string()));
        };
        let Some(key) = KEYS.into_iter().find(|k| *k == key) else {
            return Err(wrong(format!(
                "{text}: unknown key {key:?}{}; a text without = is looked for in the labels",
                suggestion(key, &KEYS)
            )));
        };
        let values = split(values);
        if values.iter().any(String::is_empty) {
            return Err(wrong(format!("{text}: expected {key}=VALUE or {key}=VALUE,VALUE")));
        }
        Ok(Only::Key { key, values })
    }

    fn matches(&self, cell: &PlannedCell) -> bool {
        match self {
            Only::Text(text) => cell.label.contains(text.as_str()),
            Only::Key { key, values } => match names(key, cell) {
                Some(names) => names.iter().any(|name| values.contains(name)),
                None => true,
            },
        }
    }

    /// Refuses what matches no cell at all, with the values that would.
    fn check(&self, plan: &Plan) -> Result<(), ConfigError> {
        let Only::Key { key, values } = self else {
            return if plan.cells.iter().any(|c| self.matches(c)) {
                Ok(())
            } else {
                Err(unmatched(plan, self))
            };
        };
        let mut known: Vec<String> = Vec::new();
        for name in plan.cells.iter().filter_map(|c| names(key, c)).flatten() {
            if !known.contains(&name) {
                known.push(name);
            }
        }
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        match values.iter().find(|value| !known.contains(&value.as_str())) {
            Some(value) => Err(wrong(format!(
                "no cell of this survey has {key} {value:?}{}",
                suggestion(value, &known)
            ))),
            None => Ok(()),
        }
    }
}

/// Splits at commas outside brackets, which belong to labels such as `w4a4[image=same]`.
fn split(values: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut depth = 0_usize;
    for c in values.chars() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        match (c, depth, out.last_mut()) {
            (',', 0, _) => out.push(String::new()),
            (_, _, Some(last)) => last.push(c),
            _ => {}
        }
    }
    out
}

/// What a cell may be called under a key; none if it has no such thing and belongs to all: a
/// method that is granted no images runs once, whatever draw is asked for.
fn names(key: &str, planned: &PlannedCell) -> Option<Vec<String>> {
    let cell = &planned.cell;
    Some(match key {
        "model" => vec![cell.model.clone()],
        "method" => {
            // The method with its own parameters is the second part of the label.
            let label = planned.label.split('/').nth(1).unwrap_or_default();
            vec![cell.method.clone(), label.to_string()]
        }
        "bits" => cell.spec.iter().flat_map(|s| [s.bits.to_string(), label::spec(s)]).collect(),
        "calibration" => vec![cell.draw.map(|_| cell.calibration_images.to_string())?],
        _ => vec![cell.draw?.to_string()],
    })
}

fn wrong(message: String) -> ConfigError {
    ConfigError::Option { option: "--only", message }
}

fn unmatched(plan: &Plan, only: &Only) -> ConfigError {
    let some: Vec<&str> = plan.cells.iter().rev().take(3).map(|c| c.label.as_str()).collect();
    let text = match only {
        Only::Text(text) => text.as_str(),
        Only::Key { key, .. } => key,
    };
    wrong(format!("no cell's label contains {text:?}; labels are like {}", some.join(", ")))
}

/// Keeps the cells that every pattern matches, and the FP32 cells that they need.
pub(super) fn keep(plan: &mut Plan, patterns: &[String]) -> Result<(), ConfigError> {
    if patterns.is_empty() {
        return Ok(());
    }
    let only = patterns.iter().map(|p| Only::parse(p)).collect::<Result<Vec<_>, _>>()?;
    only.iter().try_for_each(|one| one.check(plan))?;
    let wanted = |c: &PlannedCell| only.iter().all(|one| one.matches(c));
    let models: Vec<String> =
        plan.cells.iter().filter(|c| wanted(c)).map(|c| c.cell.model.clone()).collect();
    if models.is_empty() {
        return Err(wrong(format!(
            "no cell matches all of {}; alternatives of one key stand in one option, for example \
             method=minmax,mse",
            patterns.join(" ")
        )));
    }
    plan.cells.retain(|c| wanted(c) || (c.is_fp32() && models.contains(&c.cell.model)));
    Ok(())
}

/// The patterns in words.
pub(super) fn described(patterns: &[String]) -> Option<String> {
    let quoted: Vec<String> = patterns.iter().map(|p| format!("{p:?}")).collect();
    (!quoted.is_empty()).then(|| format!("only cells with {}", quoted.join(" and ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_split_at_commas_outside_brackets() {
        let values = |text| match Only::parse(text).unwrap() {
            Only::Key { values, .. } => values,
            Only::Text(text) => panic!("{text}"),
        };
        assert_eq!(values("method=mse,minmax"), ["mse", "minmax"]);
        assert_eq!(
            values("bits=w8a8,w4a4[image=same,first_last=fp32],w2a2"),
            ["w8a8", "w4a4[image=same,first_last=fp32]", "w2a2"]
        );
        let text = "w4a4[image=same]";
        assert_eq!(Only::parse(text).unwrap(), Only::Text(text.to_string()));
        for (text, expected) in [
            ("metod=mse", "unknown key \"metod\"; did you mean \"method\"?"),
            ("image=same", "a text without = is looked for in the labels"),
            ("draw=", "draw=: expected draw=VALUE"),
            ("draw=0,", "expected draw=VALUE"),
        ] {
            let message = Only::parse(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
