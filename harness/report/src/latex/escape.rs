//! Text from rows in LaTeX.

/// Makes a name or sentence inert: no command, no markup, one line. Characters that LaTeX's
/// standard fonts lack become a question mark.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::new();
    for c in text.chars() {
        match c {
            '\\' => safe.push_str("\\textbackslash{}"),
            '{' | '}' | '$' | '&' | '#' | '_' | '%' => {
                safe.push('\\');
                safe.push(c);
            }
            '~' => safe.push_str("\\textasciitilde{}"),
            '^' => safe.push_str("\\textasciicircum{}"),
            '<' => safe.push_str("\\textless{}"),
            '>' => safe.push_str("\\textgreater{}"),
            '"' => safe.push_str("''"),
            '±' => safe.push_str("$\\pm$"),
            '×' => safe.push_str("$\\times$"),
            '−' => safe.push_str("$-$"),
            '–' => safe.push_str("--"),
            '…' => safe.push_str("\\ldots{}"),
            c if c.is_control() => safe.push(' '),
            c if c.is_ascii() || ('\u{a1}'..='\u{ff}').contains(&c) => safe.push(c),
            _ => safe.push('?'),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_latex_acts_upon_is_left() {
        assert_eq!(escape("a_b & 5 % {x}"), "a\\_b \\& 5 \\% \\{x\\}");
        assert_eq!(escape("\\input{x}\n$"), "\\textbackslash{}input\\{x\\} \\$");
        assert_eq!(escape("é 日 ±"), "é ? $\\pm$");
    }
}
