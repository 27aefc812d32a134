//! JSON Schemas of the two kinds of files: draft-07 for editors, 2020-12 for ourselves.
//!
//! The base is what schemars derives from the model. On top of it: what a default can supply is not required, values may hold templates,
//! tagged mappings become `if`/`then` (so that an editor names the one wrong key, not every alternative), and connections get the plugins' keys.

use crate::Catalog;
use crate::model::{PipelineDocument, ProjectDocument};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// One generated schema.
#[derive(Debug, Clone, PartialEq)]
pub struct SchemaDocument {
    /// The file name below `schemas/`: `pipeline.schema.json`.
    pub file_name: &'static str,
    /// The schema.
    pub schema: Value,
}

/// A value that is filled in later fits every place.
const TEMPLATE_PATTERN: &str = r"\$\{|\{\{|\{%";
/// Definitions that a mapping of defaults may complete.
const COMPLETED_BY_DEFAULTS: &[&str] = &["Dedup", "BucketBy", "Incremental", "From", "To", "Cdc", "Load"];
/// Sections that may be empty.
const SECTIONS: &[&str] = &["vars", "connections", "defaults", "bronze", "silver", "gold"];

/// The schemas of pipeline and project files, with the connections that the plugins of `catalog` know, in a stable order.
#[must_use]
pub fn schema_documents(catalog: &Catalog) -> Vec<SchemaDocument> {
    vec![
        SchemaDocument { file_name: "pipeline.schema.json", schema: document::<PipelineDocument>(Draft::Seven, catalog, "A Karat pipeline") },
        SchemaDocument { file_name: "pipeline.2020-12.schema.json", schema: document::<PipelineDocument>(Draft::Latest, catalog, "A Karat pipeline") },
        SchemaDocument { file_name: "project.schema.json", schema: document::<ProjectDocument>(Draft::Seven, catalog, "A Karat project (karat.yaml)") },
        SchemaDocument { file_name: "project.2020-12.schema.json", schema: document::<ProjectDocument>(Draft::Latest, catalog, "A Karat project (karat.yaml)") },
    ]
}

#[derive(Clone, Copy, PartialEq)]
enum Draft {
    Seven,
    Latest,
}

impl Draft {
    fn definitions(self) -> &'static str {
        match self {
            Self::Seven => "definitions",
            Self::Latest => "$defs",
        }
    }

    fn reference(self, name: &str) -> Value {
        json!({"$ref": format!("#/{}/{name}", self.definitions())})
    }
}

fn document<T: JsonSchema>(draft: Draft, catalog: &Catalog, title: &str) -> Value {
    let settings = match draft {
        Draft::Seven => SchemaSettings::draft07(),
        Draft::Latest => SchemaSettings::draft2020_12(),
    };
    let mut schema = settings.for_deserialize().into_generator().into_root_schema_for::<T>().to_value();
    let mut definitions = schema.as_object_mut().and_then(|root| root.remove(draft.definitions())).and_then(|definitions| definitions.as_object().cloned()).unwrap_or_default();
    for (name, definition) in &mut definitions {
        if COMPLETED_BY_DEFAULTS.contains(&name.as_str()) {
            forget_required(definition);
        }
    }
    for definition in definitions.values_mut().chain([&mut schema]) {
        rewrite(definition, draft);
    }
    let connection = connection(draft, catalog, &mut definitions);
    definitions.insert("Connection".to_owned(), connection);
    definitions.insert("Template".to_owned(), json!({"type": "string", "pattern": TEMPLATE_PATTERN, "description": "A value that is filled in later."}));
    definitions.sort_keys();
    let Some(root) = schema.as_object_mut() else { return schema };
    root.insert("title".to_owned(), Value::from(title));
    if let Some(properties) = root.get_mut("properties").and_then(Value::as_object_mut) {
        if let Some(connections) = properties.get_mut("connections").and_then(Value::as_object_mut) {
            connections.insert("additionalProperties".to_owned(), draft.reference("Connection"));
        }
        for section in SECTIONS {
            if let Some(property) = properties.get_mut(*section) {
                allow_empty(property);
            }
        }
    }
    root.insert(draft.definitions().to_owned(), Value::Object(definitions));
    schema
}

/// A section without content is an empty one.
fn allow_empty(property: &mut Value) {
    let Some(map) = property.as_object_mut() else { return };
    if map.get("type") == Some(&Value::from("object")) {
        map.insert("type".to_owned(), json!(["object", "null"]));
        return;
    }
    let description = map.remove("description");
    let inner = Value::Object(std::mem::take(map));
    map.extend(description.map(|description| ("description".to_owned(), description)));
    map.insert("anyOf".to_owned(), json!([inner, {"type": "null"}]));
}

/// Removes `required`, also from alternatives.
fn forget_required(schema: &mut Value) {
    let Some(map) = schema.as_object_mut() else { return };
    map.remove("required");
    for key in ["oneOf", "anyOf"] {
        for alternative in map.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten() {
            forget_required(alternative);
        }
    }
}

/// Everything below `schema`: no `null`, templates allowed, tagged alternatives as `if`/`then`.
fn rewrite(schema: &mut Value, draft: Draft) {
    let Some(map) = schema.as_object_mut() else { return };
    without_null(map);
    for key in ["properties", "patternProperties"] {
        for property in map.get_mut(key).and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
            rewrite(property, draft);
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = map.get_mut(key) {
            rewrite(inner, draft);
        }
    }
    for key in ["oneOf", "anyOf", "allOf"] {
        for inner in map.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten() {
            rewrite_alternative(inner, draft);
        }
    }
    if let Some(tag) = discriminator(map) {
        tagged(map, &tag);
    } else if needs_template(map) {
        allow_template(map, draft);
    }
}

/// An alternative keeps its constants: the template stands beside the alternatives, not in each.
fn rewrite_alternative(schema: &mut Value, draft: Draft) {
    let constant = schema.get("const").is_some() || schema.get("enum").is_some() || schema.get("type").and_then(Value::as_str) == Some("null");
    if !constant {
        rewrite(schema, draft);
    }
}

fn without_null(map: &mut Map<String, Value>) {
    if let Some(Value::Array(kinds)) = map.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [only] = kinds.as_slice() {
            let only = only.clone();
            map.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = map.get_mut("enum") {
        choices.retain(|choice| !choice.is_null());
    }
    let Some(Value::Array(alternatives)) = map.get_mut("anyOf") else { return };
    alternatives.retain(|alternative| alternative.get("type").and_then(Value::as_str) != Some("null"));
    if let [only] = alternatives.as_mut_slice() {
        let only = std::mem::take(only);
        map.remove("anyOf");
        // Draft-07 ignores what stands beside `$ref`.
        if only.get("$ref").is_some() && !map.is_empty() {
            map.insert("allOf".to_owned(), json!([only]));
        } else if let Value::Object(only) = only {
            map.extend(only);
        }
    }
}

/// The property that is a constant in every alternative.
fn discriminator(map: &Map<String, Value>) -> Option<String> {
    let alternatives = map.get("oneOf")?.as_array()?;
    let first = alternatives.first()?.get("properties")?.as_object()?;
    let constant = |alternative: &Value, key: &str| alternative.pointer(&format!("/properties/{key}/const")).is_some();
    first.keys().find(|key| alternatives.iter().all(|alternative| constant(alternative, key))).cloned()
}

/// `oneOf` of tagged records to `if` the tag is this, `then` that record.
fn tagged(map: &mut Map<String, Value>, tag: &str) {
    let Some(Value::Array(alternatives)) = map.remove("oneOf") else { return };
    let value = |alternative: &Value| alternative.pointer(&format!("/properties/{tag}/const")).cloned().unwrap_or_default();
    let choices: Vec<Value> = alternatives.iter().map(value).collect();
    let required = alternatives.iter().all(|alternative| alternative.get("required").is_some());
    let branches: Vec<Value> =
        alternatives.into_iter().map(|alternative| json!({"if": {"properties": {tag: {"const": value(&alternative)}}, "required": [tag]}, "then": alternative})).collect();
    map.insert("type".to_owned(), Value::from("object"));
    map.insert("properties".to_owned(), json!({tag: {"enum": choices}}));
    if required {
        map.insert("required".to_owned(), json!([tag]));
    }
    map.insert("allOf".to_owned(), Value::Array(branches));
}

/// Places for numbers, booleans, choices and texts with a pattern.
fn needs_template(map: &Map<String, Value>) -> bool {
    let scalar = matches!(map.get("type").and_then(Value::as_str), Some("integer" | "number" | "boolean")) || map.get("type").is_some_and(Value::is_array);
    let choices =
        map.get("enum").is_some() || map.get("oneOf").and_then(Value::as_array).is_some_and(|all| all.iter().all(|one| one.get("const").is_some() || one.get("enum").is_some()));
    scalar || choices || map.get("pattern").is_some()
}

fn allow_template(map: &mut Map<String, Value>, draft: Draft) {
    let mut kept = Map::new();
    for key in ["description", "title", "default", "examples"] {
        kept.extend(map.remove(key).map(|value| (key.to_owned(), value)));
    }
    let inner = Value::Object(std::mem::take(map));
    kept.insert("anyOf".to_owned(), json!([inner, draft.reference("Template")]));
    *map = kept;
}

/// `type` picks the plugin, the plugin's own schema says the rest.
fn connection(draft: Draft, catalog: &Catalog, definitions: &mut Map<String, Value>) -> Value {
    let names: Vec<&String> = catalog.plugins.keys().collect();
    let mut branches = Vec::with_capacity(names.len());
    for (name, manifest) in &catalog.plugins {
        let mut config = manifest.config.clone();
        let prefix = format!("{name}_");
        move_definitions(&mut config, draft, &prefix, definitions);
        rewrite(&mut config, draft);
        if let Some(map) = config.as_object_mut() {
            map.remove("$schema");
            map.remove("title");
            if let Some(properties) = map.get_mut("properties").and_then(Value::as_object_mut) {
                properties.insert("type".to_owned(), json!({"const": name}));
            }
        }
        branches.push(json!({"if": {"properties": {"type": {"const": name}}, "required": ["type"]}, "then": config}));
    }
    json!({"type": "object", "description": "A connection to an external system.", "properties": {"type": {"enum": names, "description": "The plugin."}}, "required": ["type"], "allOf": branches})
}

/// A plugin's definitions move to the document's, under the plugin's name.
fn move_definitions(config: &mut Value, draft: Draft, prefix: &str, definitions: &mut Map<String, Value>) {
    let own = config.as_object_mut().and_then(|map| map.remove("$defs").or_else(|| map.remove("definitions")));
    rename_references(config, draft, prefix);
    let Some(Value::Object(own)) = own else { return };
    for (name, mut definition) in own {
        rename_references(&mut definition, draft, prefix);
        rewrite(&mut definition, draft);
        definitions.insert(format!("{prefix}{name}"), definition);
    }
}

fn rename_references(schema: &mut Value, draft: Draft, prefix: &str) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(|item| rename_references(item, draft, prefix)),
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get_mut("$ref") {
                let name = reference.rsplit('/').next().unwrap_or_default().to_owned();
                *reference = format!("#/{}/{prefix}{name}", draft.definitions());
            }
            map.values_mut().for_each(|value| rename_references(value, draft, prefix));
        }
        _ => {}
    }
}
