//! The folder of a new plugin: a small source that works, to be turned into the real one step by step.

use super::{check_name, sorted};
use crate::{ChoreError, read_text, write_text};
use std::path::Path;

/// The files of a plugin, by path below its folder.
const FILES: [(&str, &str); 7] = [
    ("Cargo.toml", include_str!("plugin/Cargo.toml.txt")),
    ("README.md", include_str!("plugin/README.md.txt")),
    ("src/lib.rs", include_str!("plugin/lib.rs.txt")),
    ("src/config.rs", include_str!("plugin/config.rs.txt")),
    ("src/source.rs", include_str!("plugin/source.rs.txt")),
    ("tests/conformance.rs", include_str!("plugin/conformance.rs.txt")),
    ("tests/reading.rs", include_str!("plugin/reading.rs.txt")),
];

/// Writes `plugins/<name>` and registers it: in the bundle, and as a crate and in the layers of the workspace.
///
/// # Errors
/// When the name is taken or not one.
pub fn new_plugin(root: &Path, name: &str) -> Result<String, ChoreError> {
    check_name(name)?;
    let folder = root.join("plugins").join(name);
    if folder.exists() {
        return Err(ChoreError::new(format!("`{}` exists already: choose another name", folder.display())));
    }
    let changed = [
        ("Cargo.toml", add_to_workspace(&read_text(&root.join("Cargo.toml"))?, name)?),
        ("plugins/bundle/Cargo.toml", add_dependency(&read_text(&root.join("plugins/bundle/Cargo.toml"))?, name)?),
        ("plugins/bundle/src/lib.rs", add_to_bundle(&read_text(&root.join("plugins/bundle/src/lib.rs"))?, name)?),
    ];
    for (path, template) in FILES {
        write_text(&folder.join(path), &fill(template, name))?;
    }
    for (path, text) in changed {
        write_text(&root.join(path), &text)?;
    }
    Ok(format!("wrote {}\nnext: `cargo test --release --package karat-{name}`, then `src/config.rs` and `src/source.rs`", folder.display()))
}

fn fill(template: &str, name: &str) -> String {
    template.replace("@NAME@", name).replace("@TYPE@", &type_name(name)).replace("@UPPER@", &name.to_ascii_uppercase()).replace("@TITLE@", &title(name))
}

/// `my_system` as a Rust type: `MySystem`.
fn type_name(name: &str) -> String {
    name.split('_').map(title).collect()
}

fn title(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

fn add_to_workspace(manifest: &str, name: &str) -> Result<String, ChoreError> {
    let line = format!("karat-{name} = {{ path = \"plugins/{name}\" }}");
    let text = sorted::insert(manifest, &line, |line| line.starts_with("karat-"), "Cargo.toml")?;
    // The row of plugins in the layers table: the first one that names a plugin.
    let row = text.lines().find(|line| line.trim_start().starts_with('[') && line.contains("\"plugins/") && !line.contains("bundle") && !line.contains('*'));
    let row = row.ok_or_else(|| ChoreError::new("`[workspace.metadata.layers]` in Cargo.toml has no row of plugins"))?.to_owned();
    Ok(text.replacen(&row, &row.replacen("\"plugins/", &format!("\"plugins/{name}\", \"plugins/"), 1), 1))
}

fn add_dependency(manifest: &str, name: &str) -> Result<String, ChoreError> {
    sorted::insert(
        manifest,
        &format!("karat-{name}.workspace = true"),
        |line| line.starts_with("karat-") && line != "karat-plugin-api.workspace = true" && line != "karat-spec.workspace = true",
        "plugins/bundle/Cargo.toml",
    )
}

fn add_to_bundle(bundle: &str, name: &str) -> Result<String, ChoreError> {
    let entry = format!("&karat_{name}::{}", name.to_ascii_uppercase());
    if let Some(line) = bundle.lines().find(|line| line.contains("= &[&karat_")) {
        let (before, rest) = line.split_once("= &[").unwrap_or((line, ""));
        let (list, after) = rest.split_once(']').unwrap_or((rest, ""));
        let mut entries: Vec<&str> = list.split(',').map(str::trim).filter(|entry| !entry.is_empty()).chain([entry.as_str()]).collect();
        entries.sort_unstable();
        return Ok(bundle.replacen(line, &format!("{before}= &[{}]{after}", entries.join(", ")), 1));
    }
    sorted::insert(bundle, &format!("    {entry},"), |line| line.starts_with("    &karat_"), "plugins/bundle/src/lib.rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_name_is_in_camel_case() {
        assert_eq!(type_name("my_system"), "MySystem");
    }

    #[test]
    fn a_plugin_is_added_to_the_list_in_order() {
        let one_line = "pub static PLUGINS: &[&dyn Plugin] = &[&karat_delta::DELTA, &karat_sqlite::SQLITE];\n";
        let lines = "pub static PLUGINS: &[&dyn Plugin] = &[\n    &karat_delta::DELTA,\n    &karat_sqlite::SQLITE,\n];\n";

        assert_eq!(add_to_bundle(one_line, "kafka").unwrap(), one_line.replace("&karat_sqlite", "&karat_kafka::KAFKA, &karat_sqlite"));
        assert_eq!(add_to_bundle(lines, "kafka").unwrap(), lines.replace("    &karat_sqlite", "    &karat_kafka::KAFKA,\n    &karat_sqlite"));
    }

    #[test]
    fn the_workspace_knows_the_crate_and_its_layer() {
        let manifest =
            "order = [\n    [\"sql\", \"plugins/sqlite\"],\n    [\"exec\", \"plugins/bundle\"],\n]\nkarat-cli = { path = \"engine/cli\" }\nkarat-sql = { path = \"engine/sql\" }\n";

        let text = add_to_workspace(manifest, "kafka").unwrap();

        assert!(text.contains("[\"sql\", \"plugins/kafka\", \"plugins/sqlite\"]") && text.contains("karat-kafka = { path = \"plugins/kafka\" }\nkarat-sql"));
    }
}
