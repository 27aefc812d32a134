//! Where files lie and what they are called.

use super::{Finding, TreeFile};
use std::path::Path;

/// Everything that may lie at the top; more would bury the map.
const TOP_LEVEL: [&str; 9] = ["Cargo.lock", "Cargo.toml", "LICENSE", "README.md", "docs", "engine", "pipelines", "plugins", "schemas"];

/// Names that say nothing about what a file knows.
const EMPTY_NAMES: [&str; 9] = ["utils", "util", "helpers", "helper", "common", "misc", "core", "types", "shared"];

pub(super) fn check(files: &[TreeFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        let place = file.path.display().to_string();
        if let Some(top) = file.path.iter().next().map(|name| name.to_string_lossy())
            && !(top.starts_with('.') || top == "tests" || TOP_LEVEL.contains(&top.as_ref()))
        {
            findings.push(Finding::new(&place, format!("`{top}` is new at the top level"), "put it into the folder it belongs to; tool configuration lives in dot-files"));
        }
        if let Some(name) = empty_name(&file.path) {
            findings.push(Finding::new(
                &place,
                format!("`{name}` in a path says nothing"),
                "name the file for what it knows, such as `retry.rs`, or move its content to its one user",
            ));
        }
    }
    findings
}

fn empty_name(path: &Path) -> Option<String> {
    let names = path.iter().map(|part| Path::new(part).file_stem().unwrap_or(part).to_string_lossy().into_owned());
    names.into_iter().find(|name| EMPTY_NAMES.contains(&name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str) -> Vec<String> {
        check(&[TreeFile { path: path.into(), text: None }]).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn an_empty_name_is_found_in_folders_and_files() {
        assert_eq!(messages("engine/exec/src/utils.rs"), ["`utils` in a path says nothing"]);
        assert_eq!(messages("engine/core/src/lib.rs"), ["`core` in a path says nothing"]);
    }

    #[test]
    fn a_new_entry_at_the_top_is_found() {
        assert_eq!(messages("scripts/build.sh"), ["`scripts` is new at the top level"]);
    }

    #[test]
    fn the_agreed_places_are_fine() {
        for path in ["engine/exec/src/retry.rs", ".ci/run", "tests/run", "docs/adr/0001-lock.md", "README.md"] {
            assert!(messages(path).is_empty(), "{path}");
        }
    }
}
