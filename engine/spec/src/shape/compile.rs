//! JSON Schema to [`Shape`]: the few constructs that schemars writes, resolved once.

use super::scalar::ScalarKind;
use indexmap::IndexMap;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// What a value may look like.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Anything: vars, rows of unit tests.
    Any,
    Bool,
    Integer {
        min: Option<i128>,
        max: Option<i128>,
    },
    Number {
        min: Option<f64>,
        max: Option<f64>,
    },
    Text {
        hint: Hint,
    },
    /// One of these texts.
    Choice(Vec<String>),
    /// A scalar with a grammar of its own.
    Scalar {
        kind: ScalarKind,
        expected: String,
        example: String,
    },
    List {
        item: Rc<Shape>,
        non_empty: bool,
    },
    Record(Record),
    /// Keys are free, values are not.
    Dictionary(Rc<Shape>),
    /// The key `tag` picks the record.
    Tagged {
        tag: String,
        variants: IndexMap<String, Record>,
    },
    /// The first that fits.
    Either(Vec<Rc<Shape>>),
}

/// What is known of a text beyond being one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hint {
    None,
    /// An address with a scheme, host and port.
    Url,
}

/// A mapping with known keys.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) fields: IndexMap<String, Field>,
    /// True when other keys are kept as they are.
    pub(crate) open: bool,
}

#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) shape: Rc<Shape>,
    pub(crate) required: bool,
}

/// Compiles a JSON Schema document.
pub(crate) fn compile(schema: &Value) -> Rc<Shape> {
    let definitions = schema.get("$defs").or_else(|| schema.get("definitions")).and_then(Value::as_object);
    Compiler { definitions, done: RefCell::new(HashMap::new()) }.shape(schema)
}

struct Compiler<'a> {
    definitions: Option<&'a Map<String, Value>>,
    /// `None` while a definition is being compiled: a schema that contains itself is anything there.
    done: RefCell<HashMap<&'a str, Option<Rc<Shape>>>>,
}

impl<'a> Compiler<'a> {
    fn shape(&self, schema: &'a Value) -> Rc<Shape> {
        let Some(schema) = schema.as_object() else { return Rc::new(Shape::Any) };
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            return self.reference(reference);
        }
        if let Some(kind) = schema.get("x-scalar").and_then(Value::as_str).and_then(ScalarKind::parse) {
            return Rc::new(scalar(kind, schema));
        }
        if let Some(any) = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array) {
            return self.alternatives(any);
        }
        if let Some(all) = schema.get("allOf").and_then(Value::as_array).filter(|all| all.len() == 1) {
            return self.shape(&all[0]);
        }
        if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
            return Rc::new(Shape::Choice(choices.iter().filter_map(Value::as_str).map(str::to_owned).collect()));
        }
        if let Some(choice) = schema.get("const").and_then(Value::as_str) {
            return Rc::new(Shape::Choice(vec![choice.to_owned()]));
        }
        Rc::new(match kind(schema) {
            Some("boolean") => Shape::Bool,
            Some("integer") => Shape::Integer { min: bound(schema, "minimum"), max: bound(schema, "maximum").or_else(|| format_bound(schema)) },
            Some("number") => Shape::Number { min: schema.get("minimum").and_then(Value::as_f64), max: schema.get("maximum").and_then(Value::as_f64) },
            Some("string") => Shape::Text { hint: if is_url(schema) { Hint::Url } else { Hint::None } },
            Some("array") => {
                let item = schema.get("items").map_or_else(|| Rc::new(Shape::Any), |items| self.shape(items));
                Shape::List { item, non_empty: schema.get("minItems").and_then(Value::as_u64).unwrap_or(0) > 0 }
            }
            Some("object") => self.object(schema),
            _ => Shape::Any,
        })
    }

    fn reference(&self, reference: &'a str) -> Rc<Shape> {
        let name = reference.rsplit('/').next().unwrap_or(reference);
        if let Some(done) = self.done.borrow().get(name) {
            return done.clone().unwrap_or_else(|| Rc::new(Shape::Any));
        }
        let Some(definition) = self.definitions.and_then(|definitions| definitions.get(name)) else { return Rc::new(Shape::Any) };
        self.done.borrow_mut().insert(name, None);
        let shape = self.shape(definition);
        self.done.borrow_mut().insert(name, Some(Rc::clone(&shape)));
        shape
    }

    fn object(&self, schema: &'a Map<String, Value>) -> Shape {
        match (schema.get("properties"), schema.get("additionalProperties")) {
            (None, Some(values @ Value::Object(_))) => Shape::Dictionary(self.shape(values)),
            (None, None | Some(Value::Bool(true))) => Shape::Dictionary(Rc::new(Shape::Any)),
            _ => Shape::Record(self.record(schema, None)),
        }
    }

    fn record(&self, schema: &'a Map<String, Value>, tag: Option<&str>) -> Record {
        let required = |key: &str| schema.get("required").and_then(Value::as_array).is_some_and(|keys| keys.iter().any(|name| name == key));
        let properties = schema.get("properties").and_then(Value::as_object);
        let fields = properties.into_iter().flatten().filter(|(key, _)| Some(key.as_str()) != tag);
        let fields = fields.map(|(key, value)| (key.clone(), Field { shape: self.shape(value), required: required(key) })).collect();
        Record { fields, open: matches!(schema.get("additionalProperties"), Some(Value::Bool(true) | Value::Object(_))) }
    }

    fn alternatives(&self, schemas: &'a [Value]) -> Rc<Shape> {
        let schemas: Vec<&Value> = schemas.iter().filter(|schema| schema.get("type").and_then(Value::as_str) != Some("null")).collect();
        if let [only] = schemas.as_slice() {
            return self.shape(only);
        }
        let constants: Option<Vec<String>> = schemas.iter().map(|schema| texts(schema)).collect::<Option<Vec<_>>>().map(|lists| lists.concat());
        if let Some(choices) = constants {
            return Rc::new(Shape::Choice(choices));
        }
        if let Some(tag) = discriminator(&schemas) {
            let variants = schemas.iter().filter_map(|schema| {
                let schema = schema.as_object()?;
                let value = schema.get("properties")?.get(tag)?.get("const")?.as_str()?;
                Some((value.to_owned(), self.record(schema, Some(tag))))
            });
            return Rc::new(Shape::Tagged { tag: tag.to_owned(), variants: variants.collect() });
        }
        Rc::new(Shape::Either(schemas.iter().map(|schema| self.shape(schema)).collect()))
    }
}

/// The texts of a schema that is nothing but constants.
fn texts(schema: &Value) -> Option<Vec<String>> {
    if let Some(constant) = schema.get("const").and_then(Value::as_str) {
        return Some(vec![constant.to_owned()]);
    }
    schema.get("enum").and_then(Value::as_array).map(|choices| choices.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

/// The property that is a constant in every alternative.
fn discriminator<'a>(schemas: &[&'a Value]) -> Option<&'a str> {
    let constant = |schema: &Value, key: &str| schema.get("properties").and_then(|properties| properties.get(key)).and_then(|property| property.get("const")).is_some();
    let first = schemas.first()?.get("properties")?.as_object()?;
    first.keys().map(String::as_str).find(|key| schemas.iter().all(|schema| constant(schema, key)))
}

/// The one type besides `null`.
fn kind(schema: &Map<String, Value>) -> Option<&str> {
    match schema.get("type") {
        Some(Value::String(kind)) => Some(kind),
        Some(Value::Array(kinds)) => match kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect::<Vec<_>>().as_slice() {
            [only] => Some(only),
            _ => None,
        },
        None if schema.contains_key("properties") => Some("object"),
        _ => None,
    }
}

fn bound(schema: &Map<String, Value>, key: &str) -> Option<i128> {
    let value = schema.get(key)?;
    #[expect(clippy::cast_possible_truncation, reason = "bounds of integers are whole and small")]
    value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from)).or_else(|| value.as_f64().map(|bound| bound as i128))
}

/// The greatest value of schemars' integer formats.
fn format_bound(schema: &Map<String, Value>) -> Option<i128> {
    Some(match schema.get("format")?.as_str()? {
        "int8" => i128::from(i8::MAX),
        "uint8" => i128::from(u8::MAX),
        "int16" => i128::from(i16::MAX),
        "uint16" => i128::from(u16::MAX),
        "int32" => i128::from(i32::MAX),
        "uint32" => i128::from(u32::MAX),
        "int64" | "int" => i128::from(i64::MAX),
        "uint64" | "uint" => i128::from(u64::MAX),
        _ => return None,
    })
}

fn is_url(schema: &Map<String, Value>) -> bool {
    matches!(schema.get("format").and_then(Value::as_str), Some("uri" | "url")) || schema.get("x-scalar").and_then(Value::as_str) == Some("url")
}

fn scalar(kind: ScalarKind, schema: &Map<String, Value>) -> Shape {
    let expected = schema.get("title").and_then(Value::as_str).unwrap_or("a value of another form").to_owned();
    let example = schema.get("examples").and_then(Value::as_array).and_then(|examples| examples.first());
    let example = example.map_or_else(String::new, |example| example.as_str().map_or_else(|| example.to_string(), str::to_owned));
    Shape::Scalar { kind, expected, example }
}
