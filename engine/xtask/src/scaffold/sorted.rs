//! Adding one line to a sorted list in a source file.

use crate::ChoreError;

/// Adds `line` among the lines that `belongs` recognises, so that they stay sorted; exactly one run of them must exist.
pub(super) fn insert(text: &str, line: &str, belongs: impl Fn(&str) -> bool, place: &str) -> Result<String, ChoreError> {
    insert_by(text, line, belongs, |one, two| one.cmp(two), place)
}

/// As [`insert`], with another order.
pub(super) fn insert_by(text: &str, line: &str, belongs: impl Fn(&str) -> bool, order: impl Fn(&str, &str) -> std::cmp::Ordering, place: &str) -> Result<String, ChoreError> {
    let mut lines: Vec<&str> = text.lines().collect();
    let members: Vec<usize> = (0..lines.len()).filter(|at| belongs(lines[*at])).collect();
    let Some(last) = members.last() else {
        return Err(ChoreError::new(format!("`{place}` has no list to add `{}` to", line.trim())));
    };
    if members.iter().any(|at| lines[*at] == line) {
        return Err(ChoreError::new(format!("`{place}` lists `{}` already", line.trim())));
    }
    let at = members.iter().copied().find(|at| order(lines[*at], line).is_gt()).unwrap_or(last + 1);
    lines.insert(at, line);
    Ok(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "use x;\n\nmod alpha;\nmod gamma;\n\nfn f() {}\n";

    fn added(line: &str) -> Result<String, ChoreError> {
        insert(LIST, line, |line| line.starts_with("mod "), "list.rs")
    }

    #[test]
    fn a_line_is_added_where_it_belongs() {
        assert_eq!(added("mod beta;").unwrap(), LIST.replace("mod gamma", "mod beta;\nmod gamma"));
        assert_eq!(added("mod omega;").unwrap(), LIST.replace("mod gamma;", "mod gamma;\nmod omega;"));
    }

    #[test]
    fn a_line_that_is_there_is_not_added_again() {
        assert!(added("mod alpha;").unwrap_err().to_string().contains("already"));
    }
}
