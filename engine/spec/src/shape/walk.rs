//! The check of one tree against one shape: findings on the one hand, a value that serde accepts on the other.

use super::compile::{Hint, Record, Shape};
use super::describe::{Echo, example, expected, found, listed};
use super::scalar::{ScalarProblem, integer_guess};
use crate::yaml::{Content, Entry, Key, Node, Plain, Scalar, Style, resolve};
use crate::{SpanIndex, address, codes, pointer_part};
use karat_diagnostics::{Diagnostic, Edit, Fix, Span, did_you_mean, nearest};
use serde_json::{Map, Number, Value};
use std::fmt::Write;

/// What a value that still holds template text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dynamic {
    /// Everything is rendered and merged: what is missing is missing.
    Rendered,
    /// Defaults on their own: templates are left alone, and keys may come from elsewhere.
    Partial,
}

/// One check in progress.
pub(crate) struct Walk<'a> {
    pub(crate) findings: &'a mut Vec<Diagnostic>,
    /// Where each value of the result stands.
    pub(crate) spans: SpanIndex,
    /// True when something was left out because it waits for the environment.
    pub(crate) unresolved: bool,
    /// True when something was left out because of a finding.
    pub(crate) incomplete: bool,
    /// What the root is: `a Bronze table`.
    subject: &'a str,
    mode: Dynamic,
    echo: Echo,
    /// Where in the result: elements with findings are left out and not counted.
    pointer: String,
    /// Where in the text, as people write it: `checks[0].type`.
    path: String,
}

impl<'a> Walk<'a> {
    /// A check of a table or document.
    pub(crate) fn new(subject: &'a str, root: Span, mode: Dynamic, findings: &'a mut Vec<Diagnostic>) -> Self {
        Self { findings, spans: SpanIndex::new(root), unresolved: false, incomplete: false, subject, mode, echo: Echo::Show, pointer: String::new(), path: String::new() }
    }

    /// A check of a connection: messages name it, and show no values.
    pub(crate) fn of_connection(mut self, name: &str) -> Self {
        self.echo = Echo::Hide;
        self.path = format!("connections.{name}");
        self
    }

    /// A check of `karat.lock`, where any text may be empty, as names and types at a source are.
    pub(crate) fn of_lock(mut self) -> Self {
        self.echo = Echo::Hide;
        self
    }

    /// The value as serde reads it; `None` when it was left out.
    pub(crate) fn value(&mut self, node: &Node, shape: &Shape) -> Option<Value> {
        let before = self.findings.len();
        let value = self.dispatch(node, shape);
        self.incomplete |= value.is_none() && (self.findings.len() > before || matches!(node.content, Content::Broken));
        value
    }

    fn dispatch(&mut self, node: &Node, shape: &Shape) -> Option<Value> {
        match (&node.content, shape) {
            (Content::Broken, _) => None,
            (_, Shape::Any) => Some(any_value(node)),
            (_, Shape::Either(shapes)) => self.either(node, shapes),
            _ if node.is_null() => {
                self.no_value(node, shape);
                None
            }
            (Content::Scalar(scalar), _) => self.scalar(node, scalar, shape),
            (Content::List(items), Shape::List { item, non_empty }) => self.list(node, items, item, *non_empty),
            (Content::Map(map), Shape::Record(record)) => self.record(node, &map.entries, record, &[]),
            (Content::Map(map), Shape::Dictionary(values)) => Some(self.dictionary(&map.entries, values)),
            (Content::Map(map), Shape::Tagged { tag, variants }) => self.tagged(node, &map.entries, tag, variants),
            (Content::List(_) | Content::Map(_), _) => {
                self.wrong_type(node, shape, None);
                None
            }
        }
    }

    fn scalar(&mut self, node: &Node, scalar: &Scalar, shape: &Shape) -> Option<Value> {
        let text = scalar.value();
        let waits = self.waits(node, scalar);
        if waits && !matches!(shape, Shape::Text { .. }) && !matches!(shape, Shape::List { .. } | Shape::Record(_) | Shape::Dictionary(_) | Shape::Tagged { .. }) {
            self.unresolved = true;
            return None;
        }
        let plain = if scalar.is_plain() { resolve(text) } else { Plain::Text };
        match shape {
            Shape::Text { hint } => self.text(node, scalar, plain, *hint),
            Shape::Bool => match plain {
                Plain::Bool(value) => Some(Value::Bool(value)),
                _ => self.wrong_bool(node, text, shape),
            },
            Shape::Integer { min, max } => self.integer(node, scalar, (*min, *max), shape),
            Shape::Number { min, max } => self.number(node, plain, (*min, *max), shape),
            Shape::Choice(choices) => self.choice(node, text, choices),
            Shape::Scalar { kind, expected, example } => match kind.read(text, scalar.is_plain()) {
                Ok(value) => Some(value),
                Err(problem) => self.wrong_scalar(node, expected, example, problem),
            },
            _ => {
                self.wrong_type(node, shape, None);
                None
            }
        }
    }

    /// True when the text is not known yet: it waits for the environment, or defaults are checked on their own.
    fn waits(&self, node: &Node, scalar: &Scalar) -> bool {
        scalar.is_unresolved() || (self.mode == Dynamic::Partial && node.dynamic)
    }

    fn text(&mut self, node: &Node, scalar: &Scalar, plain: Plain, hint: Hint) -> Option<Value> {
        let waits = self.waits(node, scalar);
        self.unresolved |= waits;
        if !matches!(plain, Plain::Text) && !scalar.is_whole_tag() {
            let shape = Shape::Text { hint };
            let quoted = format!("\"{}\"", scalar.text);
            let fix = (self.echo == Echo::Show).then(|| Fix { title: "quote the value".to_owned(), edits: vec![Edit { span: node.span, replacement: quoted.clone() }] });
            let help = if self.echo == Echo::Show { format!("quote it: `{quoted}`") } else { "quote it".to_owned() };
            self.wrong_type(node, &shape, Some((help, fix)));
            return None;
        }
        if scalar.value().trim().is_empty() && self.key_is(NEVER_EMPTY_TEXTS) {
            self.findings.push(Diagnostic::error(codes::EMPTY_VALUE, format!("{} is empty", self.here()), node.span).with_help("write a value, or remove the key"));
            return None;
        }
        let checked = (hint == Hint::Url && !waits).then(|| scalar.value());
        if let Some(problem) = checked.and_then(|url| address::url_problem(url, &[])) {
            self.findings.push(problem.finding(&self.path, node.span));
            return None;
        }
        Some(Value::from(scalar.value()))
    }

    fn integer(&mut self, node: &Node, scalar: &Scalar, (min, max): (Option<i128>, Option<i128>), shape: &Shape) -> Option<Value> {
        let plain = if scalar.is_plain() { resolve(scalar.value()) } else { Plain::Text };
        let Plain::Integer(value) = plain else {
            let guess = integer_guess(scalar.value()).filter(|_| self.echo == Echo::Show);
            let help = guess.or_else(|| matches!(resolve(scalar.value()), Plain::Integer(_)).then(|| "remove the quotes".to_owned()));
            self.wrong_type(node, shape, help.map(|help| (help, None)));
            return None;
        };
        let (low, high) = (min.unwrap_or(i128::from(i64::MIN)), max.unwrap_or(i128::from(u64::MAX)));
        if value < low || value > high {
            self.out_of_range(node, min.map(|min| min.to_string()), max.map(|max| max.to_string()));
            return None;
        }
        u64::try_from(value).map(Value::from).or_else(|_| i64::try_from(value).map(Value::from)).ok()
    }

    fn number(&mut self, node: &Node, plain: Plain, (min, max): (Option<f64>, Option<f64>), shape: &Shape) -> Option<Value> {
        #[expect(clippy::cast_precision_loss, reason = "a place for a fraction takes what a double can hold")]
        let value = match plain {
            Plain::Integer(value) => value as f64,
            Plain::Float(value) => value,
            Plain::Null | Plain::Bool(_) | Plain::Text => {
                self.wrong_type(node, shape, None);
                return None;
            }
        };
        if min.is_some_and(|min| value < min) || max.is_some_and(|max| value > max) || !value.is_finite() {
            self.out_of_range(node, min.map(|min| min.to_string()), max.map(|max| max.to_string()));
            return None;
        }
        Number::from_f64(value).map(Value::Number)
    }

    fn choice(&mut self, node: &Node, text: &str, choices: &[String]) -> Option<Value> {
        if choices.iter().any(|choice| choice == text) {
            return Some(Value::from(text));
        }
        let names = || choices.iter().map(String::as_str);
        let path = &self.path;
        let shown = node.scalar().is_some_and(|scalar| !scalar.is_secret()) && text.chars().count() <= 40;
        let message = if shown { format!("`{path}` cannot be `{text}`") } else { format!("`{path}` cannot have this value") };
        let mut finding = Diagnostic::error(codes::CHOICE, message, node.span).with_help_opt(did_you_mean(text, names()));
        if choices.len() <= 12 {
            finding = finding.with_note(format!("choices: {}", listed(names())));
        }
        if let Some(near) = nearest(text, names()).filter(|_| node.scalar().is_some_and(|scalar| scalar.rendered.is_none() && scalar.style == Style::Plain)) {
            finding = finding.with_fix(Fix { title: format!("replace it by `{near}`"), edits: vec![Edit { span: node.span, replacement: near.to_owned() }] });
        }
        self.findings.push(finding);
        None
    }

    fn list(&mut self, node: &Node, items: &[std::rc::Rc<Node>], shape: &Shape, non_empty: bool) -> Option<Value> {
        if items.is_empty() && non_empty {
            self.findings.push(Diagnostic::error(codes::EMPTY_VALUE, format!("`{}` is empty", self.path), node.span).with_help("add an item, or remove the key"));
            return None;
        }
        let mut values = Vec::with_capacity(items.len());
        for (written, item) in items.iter().enumerate() {
            let (length, path_length) = (self.pointer.len(), self.path.len());
            let _ = write!(self.path, "[{written}]");
            self.pointer.push('/');
            self.pointer.push_str(&values.len().to_string());
            self.spans.insert(self.pointer.as_str(), None, item.span);
            values.extend(self.value(item, shape));
            self.pointer.truncate(length);
            self.path.truncate(path_length);
        }
        Some(Value::Array(values))
    }

    fn dictionary(&mut self, entries: &[Entry], shape: &Shape) -> Value {
        let mut values = Map::with_capacity(entries.len());
        for entry in entries {
            if let Some(value) = self.entry(entry, shape) {
                values.insert(entry.key.text.to_string(), value);
            }
        }
        Value::Object(values)
    }

    /// `hidden` are keys that the caller has dealt with.
    pub(crate) fn record(&mut self, node: &Node, entries: &[Entry], record: &Record, hidden: &[&str]) -> Option<Value> {
        let mut values = Map::with_capacity(entries.len());
        let mut decisive_is_broken = false;
        for entry in entries.iter().filter(|entry| !hidden.contains(&&*entry.key.text)) {
            match record.fields.get(&*entry.key.text) {
                Some(field) => match self.entry(entry, &field.shape) {
                    Some(value) => {
                        values.insert(entry.key.text.to_string(), value);
                    }
                    None => decisive_is_broken |= matches!(&*entry.key.text, "strategy" | "mode"),
                },
                None if record.open => {
                    let value = self.entry(entry, &Shape::Any);
                    values.extend(value.map(|value| (entry.key.text.to_string(), value)));
                }
                None => self.unknown_key(&entry.key, entries, record, hidden),
            }
        }
        let mut complete = !decisive_is_broken;
        for (key, _) in record.fields.iter().filter(|(key, field)| field.required && !values.contains_key(*key) && !hidden.contains(&key.as_str())) {
            complete = false;
            let written = entries.iter().any(|entry| &*entry.key.text == key) || is_misspelt(key, entries, record);
            if !written && self.mode == Dynamic::Rendered {
                let finding = Diagnostic::error(codes::MISSING_KEY, format!("{} needs the key `{key}`", self.here()), head(node));
                let shape = record.fields.get(key).map(|field| expected(&field.shape));
                self.findings.push(finding.with_help_opt(shape.map(|shape| format!("add `{key}`: {shape}"))));
            }
        }
        complete.then_some(Value::Object(values))
    }

    fn tagged(&mut self, node: &Node, entries: &[Entry], tag: &str, variants: &indexmap::IndexMap<String, Record>) -> Option<Value> {
        let Some(entry) = entries.iter().find(|entry| &*entry.key.text == tag) else {
            if self.mode == Dynamic::Rendered {
                let finding = Diagnostic::error(codes::MISSING_KEY, format!("{} needs the key `{tag}`", self.here()), head(node));
                self.findings.push(finding.with_note(format!("choices: {}", listed(variants.keys().map(String::as_str)))).with_help(format!("add `{tag}`")));
            }
            return None;
        };
        let choices: Vec<String> = variants.keys().cloned().collect();
        let Value::String(variant) = self.entry(entry, &Shape::Choice(choices))? else { return None };
        let record = variants.get(&variant)?;
        let Value::Object(mut values) = self.record(node, entries, record, &[tag])? else { return None };
        values.insert(tag.to_owned(), Value::String(variant));
        Some(Value::Object(values))
    }

    fn entry(&mut self, entry: &Entry, shape: &Shape) -> Option<Value> {
        let (length, path_length) = (self.pointer.len(), self.path.len());
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(&entry.key.text);
        self.pointer.push('/');
        push_escaped(&mut self.pointer, &entry.key.text);
        self.spans.insert(self.pointer.as_str(), Some(entry.key.span), entry.value.span);
        let value = self.value(&entry.value, shape);
        self.pointer.truncate(length);
        self.path.truncate(path_length);
        value
    }

    fn either(&mut self, node: &Node, shapes: &[std::rc::Rc<Shape>]) -> Option<Value> {
        let before = self.findings.len();
        let mut kept: Vec<Diagnostic> = Vec::new();
        for shape in shapes {
            let value = self.value(node, shape);
            if value.is_some() && self.findings.len() == before {
                return value;
            }
            let new = self.findings.split_off(before);
            if kept.is_empty() || same_kind(node, shape) {
                kept = new;
            }
        }
        self.findings.extend(kept);
        None
    }

    /// Reports a key that `record` does not have.
    pub(crate) fn unknown_key(&mut self, key: &Key, entries: &[Entry], record: &Record, hidden: &[&str]) {
        let names = || record.fields.keys().map(String::as_str).chain(hidden.iter().copied().filter(|key| !record.fields.contains_key(*key)));
        let owner = self.here();
        let mut finding = Diagnostic::error(codes::UNKNOWN_KEY, format!("`{}` is not a key of {owner}", key.text), key.span);
        if let Some(odd) = key.text.chars().find(|c| !c.is_ascii()) {
            finding = finding.with_note(format!("it holds the character U+{:04X}, which is not ASCII", u32::from(odd)));
        }
        match nearest(&key.text, names()) {
            Some(near) => {
                finding = finding.with_help(format!("did you mean `{near}`?"));
                if !entries.iter().any(|entry| &*entry.key.text == near) {
                    finding = finding.with_fix(Fix { title: format!("rename the key to `{near}`"), edits: vec![Edit { span: key.span, replacement: near.to_owned() }] });
                }
            }
            None if names().count() <= 10 => finding = finding.with_note(format!("keys: {}", listed(names()))),
            None => {
                let mut all: Vec<&str> = names().collect();
                all.sort_unstable();
                finding = finding.with_note(format!("keys: {}", listed(all)));
            }
        }
        self.incomplete = true;
        self.findings.push(finding);
    }

    /// True when the value belongs to one of these keys of a table, or stands in a list that does.
    fn key_is(&self, keys: &[&str]) -> bool {
        let key = self.pointer.rsplit('/').find(|part| !part.bytes().all(|byte| byte.is_ascii_digit()));
        self.echo == Echo::Show && key.is_some_and(|key| keys.contains(&key))
    }

    /// `` `cdc` ``, or what the root is.
    fn here(&self) -> String {
        if self.pointer.is_empty() { self.subject.to_owned() } else { format!("`{}`", self.path) }
    }

    fn no_value(&mut self, node: &Node, shape: &Shape) {
        let finding = Diagnostic::error(codes::NO_VALUE, format!("{} has no value", self.here()), node.span);
        let example = example(shape).map_or_else(String::new, |example| format!(", such as `{example}`"));
        self.findings.push(finding.with_help(format!("write {}{example}, or remove the key", expected(shape))));
    }

    fn wrong_type(&mut self, node: &Node, shape: &Shape, cure: Option<(String, Option<Fix>)>) {
        let mut finding = Diagnostic::error(codes::WRONG_TYPE, format!("{} expects {}; found {}", self.here(), expected(shape), found(node, self.echo)), node.span);
        let single = matches!((shape, &node.content), (Shape::List { .. }, Content::Scalar(_)));
        match cure {
            Some((help, fix)) => {
                finding = finding.with_help(help);
                finding.fix = fix;
            }
            None if single && self.echo == Echo::Show => finding = finding.with_help("write it as a list: `[…]`"),
            None => finding = finding.with_help_opt(example(shape).map(|example| format!("write it like `{example}`"))),
        }
        self.findings.push(finding);
    }

    fn wrong_bool(&mut self, node: &Node, text: &str, shape: &Shape) -> Option<Value> {
        let meant = match text.to_lowercase().as_str() {
            "yes" | "y" | "on" | "true" | "1" => Some("true"),
            "no" | "n" | "off" | "false" | "0" => Some("false"),
            _ => None,
        };
        let cure = meant.map(|meant| {
            let fix = Fix { title: format!("replace it by `{meant}`"), edits: vec![Edit { span: node.span, replacement: meant.to_owned() }] };
            (format!("write `{meant}`"), Some(fix))
        });
        self.wrong_type(node, shape, cure);
        None
    }

    fn wrong_scalar(&mut self, node: &Node, expected: &str, example: &str, problem: ScalarProblem) -> Option<Value> {
        let path = self.here();
        let finding = match problem {
            ScalarProblem::Range => Diagnostic::error(codes::RANGE, format!("{path} expects {expected}; this one is out of range"), node.span)
                .with_note(format!("the greatest is {}; negative numbers mean nothing here", i64::MAX)),
            ScalarProblem::Form(guess) => {
                let help = guess.unwrap_or_else(|| format!("write it like `{example}`"));
                Diagnostic::error(codes::SCALAR, format!("{path} expects {expected}; found {}", found(node, self.echo)), node.span).with_help(help)
            }
        };
        self.findings.push(finding);
        None
    }

    fn out_of_range(&mut self, node: &Node, min: Option<String>, max: Option<String>) {
        let range = match (min, max) {
            (Some(min), Some(max)) => format!("from {min} to {max}"),
            (Some(min), None) => format!("of at least {min}"),
            (None, Some(max)) => format!("of at most {max}"),
            (None, None) => "that fits in 64 bits".to_owned(),
        };
        self.findings.push(Diagnostic::error(codes::RANGE, format!("{} expects a number {range}; found {}", self.here(), found(node, self.echo)), node.span));
    }
}

/// True when a key that does not exist is likely `key`: that finding is enough.
pub(crate) fn is_misspelt(key: &str, entries: &[Entry], record: &Record) -> bool {
    let unknown = |entry: &&Entry| !record.fields.contains_key(&*entry.key.text);
    entries.iter().filter(unknown).any(|entry| nearest(&entry.key.text, record.fields.keys().map(String::as_str)) == Some(key))
}

/// Texts that name or compute something, on their own or in a list.
const NEVER_EMPTY_TEXTS: &[&str] = &[
    "key",
    "select",
    "exclude",
    "columns",
    "to_columns",
    "order_by",
    "inputs",
    "input",
    "partition",
    "sort_by",
    "depends_on",
    "connection",
    "table",
    "query",
    "path",
    "cursor",
    "cursor_sql",
    "column",
    "slot",
    "where",
    "to",
    "sql_file",
    "cron",
    "timezone",
    "name",
];

/// A value whose shape is free, by the YAML core schema.
pub(crate) fn any_value(node: &Node) -> Value {
    match &node.content {
        Content::Broken => Value::Null,
        Content::List(items) => items.iter().map(|item| any_value(item)).collect(),
        Content::Map(map) => Value::Object(map.entries.iter().map(|entry| (entry.key.text.to_string(), any_value(&entry.value))).collect()),
        Content::Scalar(scalar) => {
            let text = scalar.value();
            match if scalar.is_plain() { resolve(text) } else { Plain::Text } {
                Plain::Null => Value::Null,
                Plain::Bool(value) => Value::Bool(value),
                Plain::Integer(value) => u64::try_from(value).map(Value::from).or_else(|_| i64::try_from(value).map(Value::from)).unwrap_or_else(|_| Value::from(text)),
                Plain::Float(value) => Number::from_f64(value).map_or_else(|| Value::from(text), Value::Number),
                Plain::Text => Value::from(text),
            }
        }
    }
}

/// The first line of a mapping: enough to show which one is meant.
fn head(node: &Node) -> Span {
    match &node.content {
        // Merged keys stand elsewhere.
        Content::Map(map) => map.entries.iter().map(|entry| entry.key.span).find(|key| key.file == node.span.file && key.start >= node.span.start).unwrap_or(node.span),
        Content::Scalar(_) | Content::List(_) | Content::Broken => node.span,
    }
}

fn same_kind(node: &Node, shape: &Shape) -> bool {
    match node.content {
        Content::Map(_) => matches!(shape, Shape::Record(_) | Shape::Dictionary(_) | Shape::Tagged { .. }),
        Content::List(_) => matches!(shape, Shape::List { .. }),
        Content::Scalar(_) | Content::Broken => !matches!(shape, Shape::Record(_) | Shape::Dictionary(_) | Shape::Tagged { .. } | Shape::List { .. }),
    }
}

fn push_escaped(pointer: &mut String, key: &str) {
    if key.contains(['~', '/']) {
        pointer.push_str(&pointer_part(key));
    } else {
        pointer.push_str(key);
    }
}
