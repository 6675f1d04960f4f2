//! Near matches for names that are not known.

/// The known name that `given` most likely meant, if one is near.
pub fn nearest<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|k| (strsim::jaro_winkler(&given.to_lowercase(), &k.to_lowercase()), *k))
        .filter(|(score, _)| *score > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k)
}

/// The end of an error message about an unknown name: near match first, else the whole list.
pub fn suggestion(given: &str, known: &[&str]) -> String {
    match nearest(given, known) {
        Some(name) => format!("; did you mean {name:?}? (known: {})", known.join(", ")),
        None if known.is_empty() => "; there are none".to_string(),
        None => format!("; known: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_match_first_then_the_list() {
        let known = ["minmax", "mse", "squant"];
        assert_eq!(nearest("minmx", &known), Some("minmax"));
        assert_eq!(nearest("zzz", &known), None);
        assert!(suggestion("squnt", &known).contains("did you mean \"squant\""));
        assert!(suggestion("zzz", &known).starts_with("; known: minmax"));
    }
}
