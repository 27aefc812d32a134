//! A catalog of four plugins, as their manifests say it.

use karat_spec::{Capabilities, Catalog, PluginManifest};
use serde_json::{Value, json};

/// The plugins that the tests name.
pub(crate) fn catalog() -> Catalog {
    let path = json!({"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"], "additionalProperties": false});
    let server = json!({
        "type": "object",
        "properties": {
            "url": {"type": ["string", "null"]},
            "host": {"type": ["string", "null"]},
            "port": {"type": ["integer", "null"], "format": "uint16", "minimum": 0, "maximum": 65535},
            "database": {"type": ["string", "null"]},
            "user": {"type": ["string", "null"]},
            "password": {"type": ["string", "null"]},
            "sslmode": {"anyOf": [{"$ref": "#/$defs/SslMode"}, {"type": "null"}]},
        },
        "additionalProperties": false,
        "$defs": {"SslMode": {"oneOf": [{"const": "disable", "type": "string"}, {"const": "require", "type": "string"}]}},
    });
    let files = json!({
        "type": "object",
        "properties": {
            "path": {"type": "string"},
            "format": {"type": "string", "enum": ["parquet", "csv", "ndjson"]},
            "csv": {"type": ["object", "null"], "properties": {"delimiter": {"type": "string"}, "header": {"type": "boolean"}, "null_values": {"type": "array", "items": {"type": "string"}}}, "additionalProperties": false},
        },
        "required": ["path"],
        "additionalProperties": false,
    });
    let plugins = [("delta", path.clone()), ("files", files), ("mysql", server.clone()), ("postgres", server), ("sqlite", path)];
    Catalog { plugins: plugins.into_iter().map(|(name, config)| (name.to_owned(), manifest(name, config))).collect() }
}

fn manifest(name: &str, config: Value) -> PluginManifest {
    PluginManifest { name: name.to_owned(), description: String::new(), available: true, capabilities: Capabilities::default(), config }
}
