//! The file of a new lint rule.

use super::{check_name, sorted};
use crate::{ChoreError, read_text, write_text};
use std::path::Path;

const TEMPLATE: &str = include_str!("rule.rs.txt");
const REGISTRY: &str = "engine/lint/src/rules/mod.rs";

/// Groups by the first letter of a code, and what the letter means.
const LETTERS: [(char, &str); 7] = [('C', "Style"), ('D', "DataSafety"), ('G', "Correctness"), ('I', "Incremental"), ('L', "Cost"), ('P', "Capability"), ('S', "Correctness")];

/// Writes `engine/lint/src/rules/<name>.rs` and registers it.
///
/// # Errors
/// When the code or the name is taken or not one.
pub fn new_rule(root: &Path, code: &str, name: &str) -> Result<String, ChoreError> {
    check_name(name)?;
    let group = group_of(code)?;
    let path = root.join("engine/lint/src/rules").join(format!("{name}.rs"));
    if path.exists() {
        return Err(ChoreError::new(format!("`{}` exists already: choose another name", path.display())));
    }
    let registry = root.join(REGISTRY);
    let registered = register(root, &read_text(&registry)?, code, name)?;
    write_text(&path, &TEMPLATE.replace("@CODE@", code).replace("@GROUP@", group).replace("@TITLE@", &name.replace('_', " ")))?;
    write_text(&registry, &registered)?;
    Ok(format!("wrote {}\nnext: its page, its two examples, its check; then `cargo test --release --package karat-lint`", path.display()))
}

fn group_of(code: &str) -> Result<&'static str, ChoreError> {
    let digits = code.get(1..).unwrap_or_default();
    let letter = code.chars().next().unwrap_or_default();
    let group = LETTERS.iter().find(|(known, _)| *known == letter).map(|(_, group)| *group);
    match group {
        Some(group) if digits.len() == 3 && digits.chars().all(|digit| digit.is_ascii_digit()) => Ok(group),
        _ => Err(ChoreError::new(format!("`{code}` is not a code: write one of S, G, I, D, L, P, C and three digits, such as `D042`"))),
    }
}

/// The registry with the new rule: a `mod` line sorted by name, an entry sorted by code, and one more in the count.
fn register(root: &Path, registry: &str, code: &str, name: &str) -> Result<String, ChoreError> {
    let mut taken = None;
    let mut code_of = |line: &str| -> String {
        let stem = line.trim().trim_start_matches('&').trim_end_matches("::RULE,");
        if stem == name {
            return code.to_owned();
        }
        let text = std::fs::read_to_string(root.join("engine/lint/src/rules").join(format!("{stem}.rs"))).unwrap_or_default();
        let found = text.split("code: \"").nth(1).and_then(|rest| rest.get(..4)).unwrap_or_default().to_owned();
        if found == code {
            taken = Some(stem.to_owned());
        }
        found
    };
    let codes: std::collections::BTreeMap<String, String> = registry.lines().filter(|line| is_entry(line)).map(|line| (line.to_owned(), code_of(line))).collect();
    if let Some(other) = taken {
        return Err(ChoreError::new(format!("code `{code}` belongs to rule `{other}`: codes are never reused")));
    }
    let text = sorted::insert(registry, &format!("mod {name};"), |line| line.starts_with("mod "), REGISTRY)?;
    let entry = format!("    &{name}::RULE,");
    let code_at = |line: &str| codes.get(line).cloned().unwrap_or_else(|| code.to_owned());
    let text = sorted::insert_by(&text, &entry, is_entry, |one, two| code_at(one).cmp(&code_at(two)), REGISTRY)?;
    let (before, after) = (format!("[&Rule; {}]", codes.len()), format!("[&Rule; {}]", codes.len() + 1));
    if !text.contains(&before) {
        return Err(ChoreError::new(format!("`{REGISTRY}` does not count its rules as `{before}`")));
    }
    Ok(text.replace(&before, &after))
}

fn is_entry(line: &str) -> bool {
    line.starts_with("    &") && line.ends_with("::RULE,")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository_root;

    #[test]
    fn a_code_is_a_letter_and_three_digits() {
        assert_eq!(group_of("D042").unwrap(), "DataSafety");
        for wrong in ["X042", "D42", "D0420", "d042", ""] {
            assert!(group_of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_rule_is_registered_in_both_lists_and_counted() {
        let registry = read_text(&repository_root().unwrap().join(REGISTRY)).unwrap();

        let text = register(&repository_root().unwrap(), &registry, "D999", "stale_cursor").unwrap();

        let entries: Vec<&str> = text.lines().filter(|line| is_entry(line)).collect();
        assert!(text.contains(&format!("[&Rule; {}]", entries.len())));
        let at = entries.iter().position(|line| line.contains("stale_cursor")).unwrap();
        assert!(at > 0 && at + 1 < entries.len());
        let modules: Vec<&str> = text.lines().filter(|line| line.starts_with("mod ")).collect();
        assert!(modules.is_sorted() && modules.contains(&"mod stale_cursor;"));
    }

    #[test]
    fn a_code_is_never_reused() {
        let registry = read_text(&repository_root().unwrap().join(REGISTRY)).unwrap();

        assert!(register(&repository_root().unwrap(), &registry, "D001", "stale_cursor").unwrap_err().to_string().contains("never reused"));
    }
}
