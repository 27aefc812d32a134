//! `karat.yaml`.

use crate::model::{Layer, LintSettings, ProjectSpec, StateSettings, VarUse};
use crate::names::name_finding;
use crate::reader::{Reader, record};
use crate::shape::{Dynamic, Walk, any_value, is_misspelt};
use crate::template::{LostVars, Scope};
use crate::yaml::{Content, Entry, Node, load};
use crate::{SpanIndex, codes, connection, pipeline};
use karat_diagnostics::{Diagnostic, Edit, FileId, Fix, Span};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::rc::Rc;

/// What pipelines take from the project, besides connections.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) vars: Vars,
    /// `defaults`, by layer.
    pub(crate) defaults: [Option<Rc<Node>>; 3],
    /// Vars that are defined, but could not be read.
    pub(crate) lost_vars: LostVars,
}

impl Shared {
    /// What a project file holds that nobody can read.
    fn unknown(file: FileId) -> Self {
        let broken = Rc::new(Node::leaf(Span::start_of(file), Content::Broken, false));
        Self { vars: Vars::new(), defaults: [0; 3].map(|_| Some(Rc::clone(&broken))), lost_vars: LostVars::all() }
    }
}

/// Vars of one file, in order.
pub(crate) type Vars = Vec<(String, Value)>;

/// Reads the project file, if there is one.
pub(crate) fn read(reader: &mut Reader<'_>, spec: &mut ProjectSpec) -> Shared {
    let Some(file) = reader.sources.project_file else { return Shared::default() };
    let Some(root) = document(reader, file) else {
        reader.left_out.add_unread(reader.sources.map.file(file).text());
        return Shared::unknown(file);
    };
    let Content::Map(map) = &root.content else { return Shared::default() };
    let shape = Rc::clone(&reader.project_shape);
    let Some(known) = record(&shape) else { return Shared::default() };
    check_version(reader, &root, &map.entries, "the project file");
    let vars = vars(reader, map.get("vars"));
    spec.vars.extend(var_uses(map.get("vars"), &vars, None));
    let scope = Scope::new(vec![("vars".to_owned(), vars_value(&vars))]);
    let header: Vec<Entry> = map.entries.iter().filter(|entry| !matches!(&*entry.key.text, "vars" | "defaults" | "connections")).cloned().collect();
    let header: Vec<Entry> = header.iter().map(|entry| reader.render_entry(entry, &scope)).collect();
    let mut walk = Walk::new("the project file", root.span, Dynamic::Rendered, &mut reader.findings);
    let values = walk.record(&root, &header, known, &["version", "vars", "defaults", "connections"]);
    spec.spans = walk.spans;
    pipeline::index_names(&mut spec.spans, map);
    if let Some(Value::Object(values)) = values {
        apply(&mut reader.findings, spec, values);
    }
    spec.connections = connection::read(reader, map.get("connections"), &scope);
    Shared { vars, defaults: defaults(reader, map.get("defaults")), lost_vars: reader.renderer.lost_vars.clone() }
}

fn apply(findings: &mut Vec<Diagnostic>, spec: &mut ProjectSpec, mut values: Map<String, Value>) {
    if let Some(name) = values.get("name").and_then(Value::as_str) {
        name.clone_into(&mut spec.name);
    }
    spec.state = take::<StateSettings>(findings, &spec.spans, &mut values, "state").unwrap_or_default();
    spec.lint = take::<LintSettings>(findings, &spec.spans, &mut values, "lint").unwrap_or_default();
    spec.memory_limit = take(findings, &spec.spans, &mut values, "memory_limit");
    spec.jobs = take(findings, &spec.spans, &mut values, "jobs");
}

/// One key of a value that was checked against the shape of `T`; that serde refuses it would be a bug of the shape, and is reported as such.
pub(crate) fn take<T: DeserializeOwned>(findings: &mut Vec<Diagnostic>, spans: &SpanIndex, values: &mut Map<String, Value>, key: &str) -> Option<T> {
    let value = values.remove(key)?;
    match serde_json::from_value(value) {
        Ok(value) => Some(value),
        Err(error) => {
            findings.push(Diagnostic::error(codes::WRONG_TYPE, format!("`{key}` cannot be read: {error}"), spans.value(&format!("/{key}"))));
            None
        }
    }
}

/// The root mapping of a file; findings say why there is none.
pub(crate) fn document(reader: &mut Reader<'_>, file: FileId) -> Option<Rc<Node>> {
    let text = reader.sources.map.file(file).text();
    let loaded = load(file, text, &mut reader.findings);
    reader.left_out.extend(loaded.left_out);
    let Some(root) = loaded.root else {
        if !loaded.truncated {
            let finding = Diagnostic::error(codes::EMPTY, "the file holds no YAML", Span::start_of(file));
            reader.findings.push(finding.with_help("begin with `version: 1`"));
        }
        return None;
    };
    match &root.content {
        Content::Map(_) => Some(root),
        Content::Broken => None,
        Content::Scalar(_) if root.is_null() => {
            reader.findings.push(Diagnostic::error(codes::EMPTY, "the file holds no YAML", root.span).with_help("begin with `version: 1`"));
            None
        }
        Content::List(_) | Content::Scalar(_) => {
            let found = if matches!(root.content, Content::List(_)) { "a list" } else { "a text" };
            let finding = Diagnostic::error(codes::TOP_LEVEL, format!("the file is {found}, not a mapping"), first_line(text, root.span));
            reader.findings.push(finding.with_help("write keys such as `version: 1` at the start of lines"));
            None
        }
    }
}

fn first_line(text: &str, span: Span) -> Span {
    let covered = text.get(span.start as usize..span.end as usize).unwrap_or("");
    let length = covered.lines().next().map_or(0, |line| line.trim_end().len());
    Span::new(span.file, span.start as usize, span.start as usize + length)
}

/// `version` is there and is 1.
pub(crate) fn check_version(reader: &mut Reader<'_>, root: &Node, entries: &[Entry], subject: &str) {
    let Some(entry) = entries.iter().find(|entry| &*entry.key.text == "version") else {
        let misspelt = record(&reader.pipeline_shape).is_some_and(|record| is_misspelt("version", entries, record));
        if misspelt {
            return;
        }
        let place = entries.iter().map(|entry| entry.key.span).find(|key| key.file == root.span.file).unwrap_or(root.span);
        let start = Span { end: root.span.start, ..root.span };
        let finding = Diagnostic::error(codes::VERSION, format!("{subject} needs the key `version`"), place).with_help("add `version: 1`");
        let fix = Fix { title: "add `version: 1`".to_owned(), edits: vec![Edit { span: start, replacement: "version: 1\n".to_owned() }] };
        let at_line_start = reader.sources.map.file(root.span.file).line_column(root.span.start).column == 1;
        let flow = reader.sources.map.snippet(root.span).starts_with('{');
        reader.findings.push(if at_line_start && !flow { finding.with_fix(fix) } else { finding });
        return;
    };
    let node = &entry.value;
    if matches!(node.content, Content::Broken) || matches!(&node.content, Content::Scalar(scalar) if scalar.is_plain() && &*scalar.text == "1") {
        return;
    }
    let finding = Diagnostic::error(codes::VERSION, "`version` must be 1", node.span).with_note("1 is the only version of the language so far").with_help("write `version: 1`");
    let fixable = matches!(node.content, Content::Scalar(_)) && node.span.end > node.span.start;
    let fix = Fix { title: "write `1`".to_owned(), edits: vec![Edit { span: node.span, replacement: "1".to_owned() }] };
    reader.findings.push(if fixable { finding.with_fix(fix) } else { finding });
}

/// Reads `vars`: names checked, `${NAME}` filled in; templates see no vars yet.
pub(crate) fn vars(reader: &mut Reader<'_>, entry: Option<&Entry>) -> Vars {
    let Some(entries) = section(reader, entry, "vars") else {
        if entry.is_some_and(|entry| !entry.value.is_null()) {
            reader.renderer.lost_vars = LostVars::all();
        }
        return Vec::new();
    };
    let scope = Scope::new(Vec::new());
    let mut vars = Vec::with_capacity(entries.len());
    for entry in entries {
        reader.findings.extend(name_finding("var", &entry.key.text, entry.key.span));
        let value = reader.render(&entry.value, &scope);
        if value.holds_secret() {
            reader.renderer.secret_vars.extend([entry.key.text.to_string(), "*".to_owned()]);
        }
        if matches!(value.content, Content::Broken) {
            reader.renderer.lost_vars.add(&entry.key.text);
        } else {
            reader.renderer.lost_vars.remove(&entry.key.text);
        }
        vars.push((entry.key.text.to_string(), any_value(&value)));
    }
    vars
}

/// The vars of a file as lint sees them, unused so far.
pub(crate) fn var_uses(entry: Option<&Entry>, vars: &Vars, pipeline: Option<usize>) -> Vec<VarUse> {
    let entries = entry.and_then(|entry| entry.value.map()).into_iter().flat_map(|map| &map.entries);
    entries.zip(vars).map(|(entry, (name, _))| VarUse { name: name.clone(), span: entry.key.span, used: false, pipeline }).collect()
}

/// Vars as templates see them.
pub(crate) fn vars_value(vars: &Vars) -> minijinja::Value {
    minijinja::Value::from_pairs(vars.iter().map(|(name, value)| (name.clone(), crate::template::template_value(value))))
}

/// The entries of a section that is a mapping, or empty; anything else is a finding.
pub(crate) fn section<'n>(reader: &mut Reader<'_>, entry: Option<&'n Entry>, key: &str) -> Option<&'n [Entry]> {
    let entry = entry?;
    match &entry.value.content {
        Content::Map(map) => Some(&map.entries),
        Content::Broken => None,
        Content::Scalar(_) if entry.value.is_null() => None,
        Content::Scalar(_) | Content::List(_) => {
            reader.left_out.add_node(&entry.value);
            let found = if matches!(entry.value.content, Content::List(_)) { "a list" } else { "a text" };
            let finding = Diagnostic::error(codes::WRONG_TYPE, format!("`{key}` expects a mapping from names; found {found}"), entry.value.span);
            reader.findings.push(finding.with_help(format!("write it like `{key}: {{ name: … }}`")));
            None
        }
    }
}

/// Reads `defaults`, and checks them on their own: a layer without tables must not hide a mistake.
pub(crate) fn defaults(reader: &mut Reader<'_>, entry: Option<&Entry>) -> [Option<Rc<Node>>; 3] {
    let mut layers = [None, None, None];
    let Some(entries) = section(reader, entry, "defaults") else {
        let broken = entry.filter(|entry| matches!(entry.value.content, Content::Broken)).map(|entry| Rc::clone(&entry.value));
        return [0; 3].map(|_| broken.clone());
    };
    let shape = crate::reader::field(&reader.pipeline_shape, "defaults");
    let Some(known) = shape.as_deref().and_then(record) else { return layers };
    for entry in entries {
        let Some(layer) = Layer::parse(&entry.key.text) else {
            Walk::new("`defaults`", entry.key.span, Dynamic::Partial, &mut reader.findings).unknown_key(&entry.key, entries, known, &[]);
            continue;
        };
        if entry.value.is_null() {
            continue;
        }
        let Some(field) = known.fields.get(layer.as_str()) else { continue };
        let subject = crate::table::subject(layer);
        Walk::new(subject, entry.value.span, Dynamic::Partial, &mut reader.findings).value(&entry.value, &field.shape);
        if matches!(entry.value.content, Content::Map(_) | Content::Broken) {
            layers[layer as usize] = Some(Rc::clone(&entry.value));
        }
    }
    layers
}
