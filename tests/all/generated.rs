//! Generated files are what the engine generates today.

use crate::karat::{binary, repository};
use crate::project::Project;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use xtask::generate;

#[test]
fn generated_files_are_fresh() {
    let scratch = Project::empty();

    let fresh = generate::generate_into(&binary(), scratch.path()).expect("the engine generates its files");

    let mut committed: BTreeMap<PathBuf, String> = BTreeMap::new();
    for folder in generate::GENERATED_FOLDERS {
        let files = generate::files_below(&repository().join(folder)).expect("generated files can be read");
        committed.extend(files.into_iter().map(|(path, text)| (Path::new(folder).join(path), text)));
    }
    let stale: Vec<&PathBuf> = fresh.iter().filter(|(path, text)| committed.get(*path) != Some(text)).map(|(path, _)| path).collect();
    let left_over: Vec<&PathBuf> = committed.keys().filter(|path| !fresh.contains_key(*path)).collect();
    assert!(stale.is_empty() && left_over.is_empty(), "run `cargo xtask generate`: stale {stale:?}, generated no longer {left_over:?}");
}

#[test]
fn there_is_a_schema_for_every_kind_and_every_plugin() {
    for kind in ["pipeline", "project", "plan", "report", "diagnostic"] {
        assert!(repository().join(format!("schemas/{kind}.schema.json")).exists(), "{kind}");
    }
    for plugin in ["sqlite", "files", "delta", "postgres"] {
        assert!(repository().join(format!("schemas/plugins/{plugin}.json")).exists(), "{plugin}");
    }
}
