//! Reading: anything that is wrong is a finding at its place, and then nothing of the file is used.

use crate::model::LockDocument;
use crate::shape::{Dynamic, Shape, Walk, compile};
use crate::yaml::{Content, Node, Plain, load, resolve};
use crate::{SourceSet, SpanIndex, codes};
use karat_diagnostics::{Diagnostic, FileId, Span};
use schemars::generate::SchemaSettings;
use serde_json::Value;
use std::rc::Rc;

/// Name of the file, beside `karat.yaml` or the pipeline.
pub const LOCK_FILE: &str = "karat.lock";
const VERSION: i128 = 1;
const WRITE_ANEW: &str = "`karat lock` writes the file; run it to write it anew";

/// A lock that could be read.
#[derive(Debug, Clone)]
pub struct Lock {
    /// What it says.
    pub document: LockDocument,
    /// Where it says that: `/tables/bronze.orders/columns/0/type`.
    pub spans: SpanIndex,
    /// The file.
    pub file: FileId,
}

/// The JSON Schema (2020-12) of the file.
#[must_use]
pub fn lock_schema() -> Value {
    SchemaSettings::draft2020_12().for_deserialize().into_generator().into_root_schema_for::<LockDocument>().to_value()
}

/// The project's lock, if it has one that can be used; findings say why it cannot.
#[must_use]
pub fn read_lock(sources: &SourceSet) -> (Option<Lock>, Vec<Diagnostic>) {
    let Some(file) = sources.lock_file else { return (None, Vec::new()) };
    let mut findings = Vec::new();
    let lock = read(sources, file, &mut findings);
    for finding in &mut findings {
        finding.notes.push(WRITE_ANEW.to_owned());
    }
    (lock.filter(|_| findings.is_empty()), findings)
}

fn read(sources: &SourceSet, file: FileId, findings: &mut Vec<Diagnostic>) -> Option<Lock> {
    let loaded = load(file, sources.map.file(file).text(), findings);
    if loaded.truncated || !findings.is_empty() {
        return None;
    }
    let Some((root, map)) = loaded.root.as_ref().and_then(|root| Some((root, root.map()?))) else {
        findings.push(unusable(format!("`{LOCK_FILE}` holds no lock"), Span::start_of(file)));
        return None;
    };
    match map.get("version") {
        None => findings.push(unusable(format!("`{LOCK_FILE}` does not say its version"), Span::start_of(file))),
        Some(entry) if integer(&entry.value) == Some(VERSION) => {}
        Some(entry) => {
            let finding = unusable(format!("`{LOCK_FILE}` is of a version that this build does not read"), entry.value.span);
            findings.push(finding.with_label(format!("version {VERSION} is read")).with_help("use the build of Karat that wrote it, or write it anew"));
        }
    }
    if !findings.is_empty() {
        return None;
    }
    document(root, file, findings)
}

fn document(root: &Rc<Node>, file: FileId, findings: &mut Vec<Diagnostic>) -> Option<Lock> {
    let before = findings.len();
    let schema = lock_schema();
    let shape: Rc<Shape> = compile(&schema);
    let mut walk = Walk::new("the lock", root.span, Dynamic::Rendered, findings).of_lock();
    let value: Option<Value> = walk.value(root, &shape);
    let spans = walk.spans;
    if findings.len() > before {
        return None;
    }
    match serde_json::from_value(value?) {
        Ok(document) => Some(Lock { document, spans, file }),
        Err(error) => {
            findings.push(unusable(format!("`{LOCK_FILE}` cannot be read: {error}"), root.span));
            None
        }
    }
}

fn integer(node: &Node) -> Option<i128> {
    match &node.content {
        Content::Scalar(scalar) if scalar.is_plain() => match resolve(scalar.value()) {
            Plain::Integer(value) => Some(value),
            _ => None,
        },
        Content::Scalar(_) | Content::List(_) | Content::Map(_) | Content::Broken => None,
    }
}

fn unusable(message: String, span: Span) -> Diagnostic {
    Diagnostic::error(codes::LOCK, message, span)
}
