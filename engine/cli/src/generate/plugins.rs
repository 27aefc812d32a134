//! The reference page of one plugin, from its manifest.

use super::NOTICE;
use karat_spec::PluginManifest;
use serde_json::Value;
use std::fmt::Write;

/// What it can do, and the keys of its connections.
pub(crate) fn markdown(manifest: &PluginManifest) -> String {
    let can = &manifest.capabilities;
    let mut out = format!("{NOTICE}# `{}`\n\n{}\n", manifest.name, manifest.description);
    if !manifest.available {
        out.push_str("\nThis build does not carry it yet: its name and keys are checked, and using it is a finding.\n");
    }
    out.push_str("\n## What it can do\n\n| | |\n|---|---|\n");
    let list = |names: &[String]| if names.is_empty() { "–".to_owned() } else { names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ") };
    let yes = |value: bool| if value { "yes".to_owned() } else { "no".to_owned() };
    let rows = [
        ("CDC strategies as a source", list(&can.source_strategies)),
        ("what `from` names", list(&can.source_objects)),
        ("load modes as a target", list(&can.load_modes)),
        ("`layout` has a meaning", yes(can.layout)),
        ("rows and position become visible in one step", yes(can.atomic_position)),
        ("`types` is the whole schema", yes(can.declared_types_only)),
        ("commits at the source are serial", yes(can.serial_commits)),
    ];
    for (what, value) in rows {
        let _infallible = writeln!(out, "| {what} | {value} |");
    }
    out.push_str("\n## Keys of a connection\n\n| key | type | meaning |\n|---|---|---|\n");
    let _infallible = writeln!(out, "| `type` | `{}` | names this plugin |", manifest.name);
    keys(&mut out, &manifest.config, &manifest.config, "", 0);
    out
}

/// The keys of an object schema, those of objects inside it below them.
fn keys(out: &mut String, root: &Value, schema: &Value, prefix: &str, depth: usize) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    let required: Vec<&str> = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, written) in properties {
        let inner = resolved(root, written);
        let text = |value: &Value| value.get("description").and_then(Value::as_str).map(|text| text.replace('\n', " ").replace('|', "\\|"));
        let meaning = text(written).or_else(|| text(inner)).unwrap_or_default();
        let needed = if required.contains(&name.as_str()) { " Required." } else { "" };
        let _infallible = writeln!(out, "| `{prefix}{name}` | {} | {meaning}{needed} |", type_of(inner));
        if depth < 4 {
            keys(out, root, inner, &format!("{prefix}{name}."), depth + 1);
        }
    }
}

/// Follows `$ref`, and the one real alternative of an optional value.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(path) = schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#')) {
        return root.pointer(path).unwrap_or(schema);
    }
    let alternatives = schema.get("anyOf").or_else(|| schema.get("allOf")).and_then(Value::as_array);
    match alternatives.and_then(|all| all.iter().find(|one| one.get("type") != Some(&Value::from("null")))) {
        Some(one) => resolved(root, one),
        None => schema,
    }
}

fn type_of(schema: &Value) -> String {
    if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
        return choices.iter().filter_map(Value::as_str).map(|choice| format!("`{choice}`")).collect::<Vec<_>>().join(", ");
    }
    if let Some(choices) = schema.get("oneOf").and_then(Value::as_array) {
        let names: Vec<String> = choices.iter().filter_map(|choice| choice.get("const").and_then(Value::as_str)).map(|choice| format!("`{choice}`")).collect();
        return names.join(", ");
    }
    match schema.get("type") {
        Some(Value::String(name)) => name.clone(),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect::<Vec<_>>().join(" or "),
        _ => String::new(),
    }
}
