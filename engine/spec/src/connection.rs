//! Connections: `type` picks the plugin, its manifest says the rest. No message shows a value of a connection.

use crate::model::{ConnectionSpec, Settings};
use crate::names::name_finding;
use crate::project::section;
use crate::reader::Reader;
use crate::shape::{Dynamic, Walk};
use crate::template::Scope;
use crate::yaml::{Content, Entry, Map, Node, Plain, resolve};
use crate::{SpanIndex, address, codes};
use indexmap::IndexMap;
use karat_diagnostics::{Diagnostic, Edit, Fix, Span, did_you_mean, nearest};
use serde_json::Value;
use std::collections::BTreeSet;

/// Schemes of the plugins that speak to a server.
const URL_SCHEMES: &[(&str, &[&str])] = &[
    ("postgres", &["postgres", "postgresql"]),
    ("mysql", &["mysql", "mariadb"]),
    ("sqlserver", &["sqlserver", "mssql"]),
    ("clickhouse", &["http", "https", "clickhouse"]),
    ("redshift", &["redshift", "postgres", "postgresql"]),
];
/// Schemes of paths that are addresses.
const PATH_SCHEMES: &[&str] = &["s3", "s3a", "gs", "gcs", "az", "azure", "abfs", "abfss", "adl", "file"];

/// Reads one `connections` section.
pub(crate) fn read(reader: &mut Reader<'_>, entry: Option<&Entry>, scope: &Scope) -> IndexMap<String, ConnectionSpec> {
    let mut connections = IndexMap::new();
    for entry in section(reader, entry, "connections").unwrap_or_default() {
        reader.findings.extend(name_finding("connection", &entry.key.text, entry.key.span));
        let entry = reader.render_entry(entry, scope);
        let connection = connection(reader, &entry);
        connections.insert(entry.key.text.to_string(), connection);
    }
    connections
}

/// One connection. With findings it is still there, as far as it could be read, so that references to it are not reported as well.
fn connection(reader: &mut Reader<'_>, entry: &Entry) -> ConnectionSpec {
    let name = entry.key.text.to_string();
    let mut spec = ConnectionSpec { name: name.clone(), plugin: String::new(), settings: Settings::default(), spans: SpanIndex::new(entry.value.span), built_in: false };
    let Content::Map(map) = &entry.value.content else {
        if !matches!(entry.value.content, Content::Broken) {
            let finding = Diagnostic::error(codes::WRONG_TYPE, format!("the connection `{name}` expects a mapping"), entry.value.span);
            reader.findings.push(finding.with_help("write it like `{ type: sqlite, path: data.db }`"));
        }
        return spec;
    };
    let Some(plugin) = plugin(reader, map, entry) else { return spec };
    spec.plugin.clone_from(&plugin);
    let Some(shape) = reader.plugin_shape(&plugin) else { return spec };
    let settings = Node { content: Content::Map(Map { entries: map.entries.iter().filter(|entry| &*entry.key.text != "type").cloned().collect() }), ..(*entry.value).clone() };
    let subject = format!("the connection `{name}`");
    let mut walk = Walk::new(&subject, entry.value.span, Dynamic::Rendered, &mut reader.findings).of_connection(&name);
    let value = walk.value(&settings, &shape);
    spec.spans = walk.spans;
    if let Some(kind) = map.get("type") {
        spec.spans.insert("/type", Some(kind.key.span), kind.value.span);
    }
    check_addresses(reader, &plugin, &name, map);
    if let Some(Value::Object(value)) = value {
        spec.settings = Settings::new(value, unresolved_keys(map), secret_keys(map));
    }
    spec
}

/// Reads `type` and finds its plugin.
fn plugin(reader: &mut Reader<'_>, map: &Map, connection: &Entry) -> Option<String> {
    let names = || reader.catalog.plugins.keys().map(String::as_str);
    let choices = || names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let Some(entry) = map.get("type") else {
        let finding = Diagnostic::error(codes::MISSING_KEY, format!("the connection `{}` needs the key `type`", connection.key.text), connection.key.span);
        let finding = finding.with_note(format!("types: {}", choices())).with_help("add `type`");
        reader.findings.push(finding);
        return None;
    };
    let scalar = match &entry.value.content {
        Content::Scalar(scalar) if !entry.value.is_null() && !scalar.is_unresolved() => scalar,
        Content::Broken => return None,
        Content::Scalar(scalar) if scalar.is_unresolved() => {
            let finding = Diagnostic::error(codes::CONNECTION_TYPE, "the type of a connection cannot come from the environment", entry.value.span);
            reader.findings.push(finding.with_help("write the type out"));
            return None;
        }
        Content::Scalar(_) | Content::List(_) | Content::Map(_) => {
            let finding = Diagnostic::error(codes::CONNECTION_TYPE, "`type` expects the name of a plugin", entry.value.span).with_note(format!("types: {}", choices()));
            reader.findings.push(finding);
            return None;
        }
    };
    let name = scalar.value();
    if reader.catalog.plugins.contains_key(name) {
        return Some(name.to_owned());
    }
    let alias = match name {
        "postgresql" | "pg" => Some("postgres"),
        "mariadb" => Some("mysql"),
        "mssql" => Some("sqlserver"),
        "sqlite3" => Some("sqlite"),
        "csv" | "parquet" | "ndjson" | "json" | "s3" | "file" => Some("files"),
        _ => None,
    };
    let near = alias.filter(|alias| names().any(|name| name == *alias)).or_else(|| nearest(name, names()));
    let shown = if scalar.is_secret() { "this".to_owned() } else { format!("`{name}`") };
    let mut finding = Diagnostic::error(codes::CONNECTION_TYPE, format!("{shown} is not the type of a connection"), entry.value.span).with_note(format!("types: {}", choices()));
    if let Some(near) = near {
        finding = finding.with_help(format!("did you mean `{near}`?"));
        if scalar.rendered.is_none() {
            finding = finding.with_fix(Fix { title: format!("replace it by `{near}`"), edits: vec![Edit { span: entry.value.span, replacement: near.to_owned() }] });
        }
    }
    reader.findings.push(finding);
    None
}

/// Malformed addresses and ports are found without a network.
fn check_addresses(reader: &mut Reader<'_>, plugin: &str, name: &str, map: &Map) {
    let schemes = URL_SCHEMES.iter().find(|(known, _)| *known == plugin).map_or(&[] as &[&str], |(_, schemes)| schemes);
    for entry in &map.entries {
        let Some(scalar) = entry.value.scalar().filter(|scalar| !scalar.is_unresolved()) else { continue };
        let text = scalar.value();
        let span: Span = entry.value.span;
        let path = format!("connections.{name}.{}", entry.key.text);
        match &*entry.key.text {
            "url" => reader.findings.extend(address::url_problem(text, schemes).map(|problem| problem.finding(&path, span))),
            // Above 65535 the manifest's own bound speaks.
            "port" => {
                let reported = reader.findings.iter().rev().any(|finding| finding.primary.as_ref().is_some_and(|label| label.span == span));
                if let (Plain::Integer(port), false) = (resolve(text), reported) {
                    reader.findings.extend(address::port_problem(port).map(|problem| problem.finding(&path, span)));
                }
            }
            "path" => reader.findings.extend(path_finding(text, &path, span)),
            _ => {}
        }
    }
}

/// A path with a scheme that no store has.
fn path_finding(text: &str, path: &str, span: Span) -> Option<Diagnostic> {
    let (scheme, rest) = text.split_once("://")?;
    if !PATH_SCHEMES.contains(&scheme) {
        let finding = Diagnostic::error(codes::ADDRESS, format!("`{path}` has the scheme `{scheme}`, which no store has"), span);
        return Some(finding.with_note("schemes: `s3`, `gs`, `az`, `abfss`, `file`").with_help_opt(did_you_mean(scheme, PATH_SCHEMES.iter().copied())));
    }
    (scheme != "file" && rest.split('/').next().unwrap_or("").is_empty())
        .then(|| Diagnostic::error(codes::ADDRESS, format!("`{path}` names no bucket"), span).with_help(format!("write it like `{scheme}://bucket/folder`")))
}

/// Top-level keys below which some value came from the environment.
fn secret_keys(map: &Map) -> BTreeSet<String> {
    map.entries.iter().filter(|entry| entry.value.holds_secret()).map(|entry| entry.key.text.to_string()).collect()
}

/// Top-level keys below which some value waits for the environment.
fn unresolved_keys(map: &Map) -> BTreeSet<String> {
    map.entries.iter().filter(|entry| is_unresolved(&entry.value)).map(|entry| entry.key.text.to_string()).collect()
}

fn is_unresolved(node: &Node) -> bool {
    match &node.content {
        Content::Scalar(scalar) => scalar.is_unresolved(),
        Content::List(items) => items.iter().any(|item| is_unresolved(item)),
        Content::Map(map) => map.entries.iter().any(|entry| is_unresolved(&entry.value)),
        Content::Broken => false,
    }
}
