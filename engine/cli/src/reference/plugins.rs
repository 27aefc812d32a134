//! Pages of plugins: what they can do, and the keys of their connections.

use super::cell;
use karat_diagnostics::quoted;
use karat_spec::{Catalog, PluginManifest};
use serde_json::Value;
use std::fmt::Write;

pub(super) fn index(catalog: &Catalog) -> String {
    let mut text = "# Plugins\n\nWhat `type` of a connection may name.\n\n| type | what | source | sink | in this build |\n|---|---|---|---|---|\n".to_owned();
    for manifest in catalog.plugins.values() {
        let can = &manifest.capabilities;
        let name = if manifest.available { format!("[`{0}`]({0}.md)", manifest.name) } else { format!("`{}`", manifest.name) };
        let yes = |value: bool| if value { "yes" } else { "no" };
        let (source, sink) = (yes(!can.source_strategies.is_empty()), yes(!can.load_modes.is_empty()));
        let _ = writeln!(text, "| {name} | {} | {source} | {sink} | {} |", cell(&manifest.description), yes(manifest.available));
    }
    text
}

pub(super) fn page(manifest: &PluginManifest) -> String {
    let mut text = format!("# {}\n\n{}\n\n## What it can do\n\n| | |\n|---|---|\n", manifest.name, manifest.description.trim());
    let can = &manifest.capabilities;
    for (what, names) in [("reads", &can.source_objects), ("strategies", &can.source_strategies), ("load modes", &can.load_modes)] {
        let _ = writeln!(text, "| {what} | {} |", if names.is_empty() { "–".to_owned() } else { quoted(names) });
    }
    for (what, is_true) in [
        ("tables are folders of files, and `layout` has a meaning", can.layout),
        ("rows and position become visible in one step", can.atomic_position),
        ("commits at the source are serial", can.serial_commits),
        ("late commits are found without a `lookback`", can.settles_late_commits),
        ("`load.workers` connections fill one table at once", can.parallel_writers),
    ] {
        let _ = writeln!(text, "| {what} | {} |", if is_true { "yes" } else { "no" });
    }
    let _ = writeln!(text, "\n## Keys of a connection\n\n| key | value | default | meaning |\n|---|---|---|---|");
    keys(&mut text, &manifest.config, &manifest.config, "");
    text
}

fn keys(text: &mut String, root: &Value, object: &Value, prefix: &str) {
    let required: Vec<&str> = object["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, written) in object["properties"].as_object().into_iter().flatten() {
        let value = resolve(root, written);
        let default = match written.get("default").or_else(|| value.get("default")) {
            _ if required.contains(&name.as_str()) => "required".to_owned(),
            None | Some(Value::Null) => "–".to_owned(),
            Some(Value::String(text)) => format!("`{text}`"),
            Some(other) => format!("`{other}`"),
        };
        let meaning = written["description"].as_str().or_else(|| value["description"].as_str()).unwrap_or_default();
        let _ = writeln!(text, "| `{prefix}{name}` | {} | {default} | {} |", cell(&kind(root, value)), cell(meaning));
        if value["properties"].is_object() {
            keys(text, root, value, &format!("{prefix}{name}."));
        }
    }
}

/// Follows `$ref`, and looks through "this or null".
fn resolve<'a>(root: &'a Value, value: &'a Value) -> &'a Value {
    if let Some(path) = value["$ref"].as_str() {
        return root.pointer(path.trim_start_matches('#')).unwrap_or(value);
    }
    let some = value["anyOf"].as_array().into_iter().flatten().find(|option| option["type"] != "null");
    some.map_or(value, |option| resolve(root, option))
}

fn kind(root: &Value, value: &Value) -> String {
    let constants: Vec<String> = value["oneOf"].as_array().into_iter().flatten().filter_map(|option| option["const"].as_str().map(str::to_owned)).collect();
    let listed: Vec<String> = value["enum"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    if !constants.is_empty() || !listed.is_empty() {
        return quoted(if constants.is_empty() { &listed } else { &constants });
    }
    let name = value["type"].as_str().or_else(|| value["type"].as_array()?.iter().filter_map(Value::as_str).find(|name| *name != "null"));
    match name.unwrap_or("any") {
        "string" => "text".to_owned(),
        "integer" => "whole number".to_owned(),
        "array" => format!("list of {}", kind(root, resolve(root, &value["items"]))),
        "object" => "mapping".to_owned(),
        other => other.to_owned(),
    }
}
