//! What must be listed somewhere to take effect: rules, plugins, decisions.

use super::{Finding, TreeFile};
use std::path::Path;

pub(super) fn check(files: &[TreeFile]) -> Vec<Finding> {
    let mut findings = check_plugins(files);
    findings.extend(check_rules(files));
    findings
}

/// Each folder of `plugins/` but the bundle is listed there, and has what every plugin has.
fn check_plugins(files: &[TreeFile]) -> Vec<Finding> {
    let mut names: Vec<&str> = files.iter().filter_map(|file| file.path.strip_prefix("plugins").ok()?.iter().next()?.to_str()).filter(|name| *name != "bundle").collect();
    names.sort_unstable();
    names.dedup();
    let bundle = text_of(files, Path::new("plugins/bundle/src/lib.rs")).unwrap_or_default();
    let mut findings = Vec::new();
    for name in names {
        let folder = Path::new("plugins").join(name);
        if !bundle.contains(&format!("karat_{name}::")) {
            findings.push(Finding::new(
                "plugins/bundle/src/lib.rs",
                format!("plugin `{name}` is not in the bundle, so nobody can use it"),
                format!("add `karat_{name}` to the sorted list here and to plugins/bundle/Cargo.toml"),
            ));
        }
        for (needed, why) in [("README.md", "says what it connects and how"), ("tests/conformance.rs", "proves that it keeps the contracts")] {
            if !files.iter().any(|file| file.path == folder.join(needed)) {
                findings.push(Finding::new(
                    folder.display().to_string(),
                    format!("plugin `{name}` has no `{needed}`, which {why}"),
                    "copy the file of another plugin and adapt it; `cargo xtask new-plugin` writes both",
                ));
            }
        }
    }
    findings
}

/// Each file of `engine/lint/src/rules/` is in the registry beside it.
fn check_rules(files: &[TreeFile]) -> Vec<Finding> {
    let folder = Path::new("engine/lint/src/rules");
    let registry = text_of(files, &folder.join("mod.rs")).unwrap_or_default();
    let rules = files.iter().filter(|file| file.path.starts_with(folder) && !file.path.ends_with("mod.rs"));
    rules
        .filter_map(|file| {
            let parent = file.path.parent().map(Path::to_owned)?;
            let stem = file.path.file_stem()?.to_str()?;
            let group = text_of(files, &parent.join("mod.rs")).unwrap_or_default();
            let listed = declares(registry, stem) || declares(group, stem);
            (!listed).then(|| {
                Finding::new(file.path.display().to_string(), format!("rule file `{stem}` is in no module"), "add its `mod` line and its entry in the registry, both sorted")
            })
        })
        .collect()
}

fn declares(registry: &str, stem: &str) -> bool {
    registry.lines().any(|line| line.trim().trim_start_matches("pub(crate) ").trim_start_matches("pub(super) ").trim_start_matches("pub ") == format!("mod {stem};"))
}

fn text_of<'files>(files: &'files [TreeFile], path: &Path) -> Option<&'files str> {
    files.iter().find(|file| file.path == path)?.text.as_deref()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Vec<TreeFile> {
        files.iter().map(|(path, text)| TreeFile { path: path.into(), text: Some((*text).to_owned()) }).collect()
    }

    fn messages(files: &[(&str, &str)]) -> Vec<String> {
        check(&tree(files)).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn a_plugin_outside_the_bundle_is_found() {
        let found = messages(&[("plugins/bundle/src/lib.rs", "&karat_files::PLUGIN"), ("plugins/kafka/README.md", ""), ("plugins/kafka/tests/conformance.rs", "")]);

        assert_eq!(found, ["plugin `kafka` is not in the bundle, so nobody can use it"]);
    }

    #[test]
    fn a_plugin_without_a_conformance_test_is_found() {
        let found = messages(&[("plugins/bundle/src/lib.rs", "&karat_kafka::PLUGIN"), ("plugins/kafka/README.md", "")]);

        assert_eq!(found, ["plugin `kafka` has no `tests/conformance.rs`, which proves that it keeps the contracts"]);
    }

    #[test]
    fn a_rule_that_no_module_declares_is_found() {
        let found = messages(&[("engine/lint/src/rules/mod.rs", "mod d001_key;\n"), ("engine/lint/src/rules/d001_key.rs", ""), ("engine/lint/src/rules/d002_lost.rs", "")]);

        assert_eq!(found, ["rule file `d002_lost` is in no module"]);
    }
}
