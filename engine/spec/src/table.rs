//! One table: defaults below it, `for_each` around it, then templates, shape and rules between keys.

use crate::for_each::{Bindings, combinations};
use crate::merge::{EXCLUSIVE, overlay};
use crate::model::{BronzeTable, Layer, ProjectSpec, SqlTable, TableDefinition, TableName, TableSpec};
use crate::names::name_finding;
use crate::pipeline::Names;
use crate::positions::{file_text, sql_text};
use crate::reader::{Reader, field, record};
use crate::shape::{Dynamic, Shape, Walk, is_misspelt};
use crate::template::Scope;
use crate::yaml::{Content, Entry, Map, Node, Scalar};
use crate::{SpanIndex, SqlText, codes};
use indexmap::IndexMap;
use karat_diagnostics::{Code, Diagnostic, Span, did_you_mean};
use minijinja::Value as TemplateValue;
use std::collections::HashSet;
use std::rc::Rc;

/// What the tables of one layer of one pipeline share.
pub(crate) struct TableContext<'a> {
    pub(crate) layer: Layer,
    pub(crate) pipeline: usize,
    pub(crate) shape: &'a Shape,
    pub(crate) defaults: Option<&'a Rc<Node>>,
    /// True when some of the defaults could not be read, so that what seems missing may be there.
    pub(crate) defaults_are_lost: bool,
    pub(crate) vars: &'a TemplateValue,
    pub(crate) names: &'a mut Names,
}

/// What messages call a table of `layer`.
pub(crate) fn subject(layer: Layer) -> &'static str {
    match layer {
        Layer::Bronze => "a Bronze table",
        Layer::Silver => "a Silver table",
        Layer::Gold => "a Gold table",
    }
}

/// Reads one entry of a layer: one table, or one per combination of its `for_each`.
pub(crate) fn read(reader: &mut Reader<'_>, spec: &mut ProjectSpec, context: &mut TableContext<'_>, entry: &Entry) {
    let written = match &entry.value.content {
        Content::Map(_) => context.defaults.map_or_else(|| Rc::clone(&entry.value), |defaults| overlay(defaults, &entry.value)),
        // `trades:` alone is complete when defaults say everything; what is missing is reported below.
        Content::Scalar(_) if entry.value.is_null() => {
            let empty = Rc::new(entry.value.with_content(Content::Map(Map::default())));
            context.defaults.map_or_else(|| Rc::clone(&empty), |defaults| overlay(defaults, &empty))
        }
        Content::Scalar(_) | Content::List(_) | Content::Broken => {
            if !matches!(entry.value.content, Content::Broken) {
                let finding = Diagnostic::error(codes::WRONG_TYPE, format!("the table `{}` expects a mapping", entry.key.text), entry.value.span);
                reader.findings.push(finding.with_help(if context.layer == Layer::Bronze {
                    "write its keys below it, such as `from`"
                } else {
                    "write its keys below it, such as `sql`"
                }));
            }
            reader.left_out.add_node(context.defaults.unwrap_or(&entry.value));
            reader.left_out.add_node(&entry.value);
            spec.broken_tables.push((TableName::new(context.layer, &*entry.key.text), entry.key.span));
            return;
        }
    };
    let Content::Map(map) = &written.content else { return };
    let combined = match map.get("for_each") {
        None => vec![Vec::new()],
        Some(for_each) => {
            let scope = Scope::new(vec![("vars".to_owned(), context.vars.clone())]);
            let node = reader.render(&for_each.value, &scope);
            match combinations(reader, &node) {
                Some(combined) => combined,
                None => {
                    reader.left_out.add_table(&entry.key.text);
                    reader.left_out.add_node(&written);
                    return;
                }
            }
        }
    };
    // One mistake in a template shows in every element; the first element's finding is enough.
    let mut reported: HashSet<(Code, Option<Span>)> = HashSet::new();
    for bindings in combined {
        let before = reader.findings.len();
        let tables = spec.tables.len();
        one(reader, spec, context, &Written { entry, merged: &written, bindings });
        if spec.tables.len() == tables || spec.tables.last().is_some_and(|table| table.incomplete) {
            reader.left_out.add_node(&written);
        }
        let place = |finding: &Diagnostic| (finding.code, finding.primary.as_ref().map(|label| label.span));
        let new = reader.findings.split_off(before);
        let fresh: Vec<Diagnostic> = new.into_iter().filter(|finding| !reported.contains(&place(finding))).collect();
        reported.extend(fresh.iter().map(place));
        reader.findings.extend(fresh);
    }
}

/// One table before rendering.
struct Written<'a> {
    entry: &'a Entry,
    /// What is written, over its defaults.
    merged: &'a Rc<Node>,
    /// The elements of `for_each`.
    bindings: Bindings,
}

/// Renders, checks and types one table.
fn one(reader: &mut Reader<'_>, spec: &mut ProjectSpec, context: &mut TableContext<'_>, written: &Written<'_>) {
    let Written { entry, merged, bindings } = written;
    let Some(name) = table_name(reader, context, entry, bindings) else {
        reader.left_out.add_table(&entry.key.text);
        return;
    };
    let name_span = entry.key.span;
    if let Some(first) = context.names.tables.get(&name) {
        let finding = Diagnostic::error(codes::DUPLICATE_NAME, format!("the table `{name}` is defined twice"), name_span);
        let finding = if *first == name_span {
            finding.with_help("make the name differ for every element of `for_each`")
        } else {
            finding.with_related(*first, "it is defined first here").with_help("rename one of the two")
        };
        reader.findings.push(finding);
        return;
    }
    context.names.tables.insert(name.clone(), name_span);

    let is_incremental = merged.map().is_some_and(|map| map.get("incremental").is_some());
    let scope = table_scope(context, &name, bindings, is_incremental);
    let Content::Map(map) = &merged.content else { return };
    // `for_each` has done its work: a table does not carry all elements of all its siblings.
    let entries = map.entries.iter().filter(|entry| &*entry.key.text != "for_each").map(|entry| reader.render_entry(entry, &scope)).collect();
    let node = Node { content: Content::Map(Map { entries }), ..(***merged).clone() };
    let Content::Map(rendered) = &node.content else { return };

    let mut walk = Walk::new(subject(context.layer), name_span, Dynamic::Rendered, &mut reader.findings);
    let value = walk.value(&node, context.shape);
    let (mut spans, unresolved, incomplete) = (walk.spans, walk.unresolved, walk.incomplete || context.defaults_are_lost);
    if let Some(for_each) = map.get("for_each") {
        spans.insert("/for_each", Some(for_each.key.span), for_each.value.span);
    }
    let usable = check_keys(reader, context, rendered, name_span);
    let sql = if context.layer == Layer::Bronze { Sql::default() } else { sql(reader, map, rendered, &scope, &|| table_scope(context, &name, bindings, false)) };
    let definition = value.filter(|_| usable && !sql.broken).and_then(|value| definition(reader, context.layer, value, name_span));
    let Some(definition) = definition else {
        // The text of a `sql_file` is not in the YAML.
        reader.left_out.add_use(sql.text.as_ref().map_or("", |text| text.as_str()));
        spec.broken_tables.push((name, name_span));
        return;
    };
    let has_source = match &definition {
        TableDefinition::Bronze(table) => table.from.is_some() || unresolved,
        TableDefinition::Sql(_) => sql.text.is_some() || unresolved,
    };
    if !has_source {
        spec.broken_tables.push((name, name_span));
        return;
    }
    let check_sql = check_sql(reader, rendered, &definition, &spans);
    let table = TableSpec {
        name,
        pipeline: context.pipeline,
        name_span,
        spans,
        definition,
        sql: sql.text,
        full_sql: sql.full,
        check_sql,
        unresolved: unresolved || sql.unresolved,
        incomplete,
    };
    check_tags(reader, &table);
    spec.tables.push(table);
}

fn table_name(reader: &mut Reader<'_>, context: &TableContext<'_>, entry: &Entry, bindings: &Bindings) -> Option<TableName> {
    let mut names = vec![("vars".to_owned(), context.vars.clone())];
    names.extend(bindings.iter().cloned());
    let mut text = Rc::clone(&entry.key.text);
    if text.contains("{{") || text.contains("{%") || text.contains("{#") {
        let key = Node::leaf(entry.key.span, Content::Broken, true);
        let scalar = Scalar { text: Rc::clone(&text), style: entry.key.style, rendered: None };
        match reader.renderer.render(&text, &Scope::new(names)) {
            Ok(Some(rendered)) => text = Rc::clone(&rendered.text),
            Ok(None) => {}
            Err(problems) => {
                for problem in problems {
                    let span = crate::positions::value_span(&reader.sources.map, &key, &scalar, &problem.range);
                    reader.problem(problem, span);
                }
                return None;
            }
        }
    }
    if let Some(finding) = name_finding("table", &text, entry.key.span) {
        reader.findings.push(finding);
        return None;
    }
    Some(TableName::new(context.layer, &*text))
}

fn table_scope(context: &TableContext<'_>, name: &TableName, bindings: &Bindings, is_incremental: bool) -> Scope {
    let mut names = vec![("vars".to_owned(), context.vars.clone())];
    names.extend(bindings.iter().cloned());
    names.push(("this".to_owned(), TemplateValue::from(name.to_string())));
    names.push(("is_incremental".to_owned(), TemplateValue::from(is_incremental)));
    Scope::new(names)
}

/// Rules between keys; false when what the table needs is not there.
fn check_keys(reader: &mut Reader<'_>, context: &TableContext<'_>, map: &Map, name_span: Span) -> bool {
    let layer = context.layer;
    let misspelt = |key: &str| context.defaults_are_lost || record(context.shape).is_some_and(|record| is_misspelt(key, &map.entries, record));
    exclusive(reader, map);
    if let Some(cdc) = map.get("cdc").and_then(|entry| entry.value.map()) {
        exclusive(reader, cdc);
    }
    if layer != Layer::Bronze {
        if map.get("sql").is_none() && map.get("sql_file").is_none() {
            if misspelt("sql") || misspelt("sql_file") {
                return false;
            }
            let finding = Diagnostic::error(codes::MISSING_KEY, format!("{} needs the key `sql` or `sql_file`", subject(layer)), name_span);
            reader.findings.push(finding.with_help("add `sql` with one SELECT"));
            return false;
        }
        return true;
    }
    let Some(from) = map.get("from") else {
        if misspelt("from") {
            return false;
        }
        let finding = Diagnostic::error(codes::MISSING_KEY, "a Bronze table needs the key `from`", name_span);
        reader.findings.push(finding.with_help("add `from: { connection: …, table: … }`"));
        return false;
    };
    let Some(keys) = from.value.map() else { return false };
    let mut complete = exclusive(reader, keys);
    let from_shape = field(context.shape, "from");
    let misspelt = |key: &str| context.defaults_are_lost || from_shape.as_deref().and_then(record).is_some_and(|record| is_misspelt(key, &keys.entries, record));
    if keys.get("connection").is_none() && misspelt("connection") {
        complete = false;
    } else if keys.get("connection").is_none() {
        reader.findings.push(Diagnostic::error(codes::MISSING_KEY, "`from` needs the key `connection`", from.key.span).with_help("add `connection` with the name of a connection"));
        complete = false;
    }
    let objects = ["table", "query", "path"];
    if objects.iter().all(|key| keys.get(key).is_none()) && objects.iter().any(|key| misspelt(key)) {
        complete = false;
    } else if objects.iter().all(|key| keys.get(key).is_none()) {
        reader
            .findings
            .push(Diagnostic::error(codes::MISSING_KEY, "`from` needs one of the keys `table`, `query`, `path`", from.key.span).with_help("add `table` with the name of a table"));
        complete = false;
    }
    complete
}

/// At most one key of each group; true when that is so.
fn exclusive(reader: &mut Reader<'_>, map: &Map) -> bool {
    let mut fine = true;
    for group in EXCLUSIVE {
        let present: Vec<&Entry> = map.entries.iter().filter(|entry| group.contains(&&*entry.key.text)).collect();
        if let [first, second, ..] = present.as_slice() {
            let finding = Diagnostic::error(codes::EXCLUSIVE_KEYS, format!("`{}` and `{}` exclude each other", first.key.text, second.key.text), second.key.span);
            reader.findings.push(finding.with_related(first.key.span, "the other one stands here").with_help("keep one of the two"));
            fine = false;
        }
    }
    fine
}

/// The SELECT of a table.
#[derive(Default)]
struct Sql {
    text: Option<SqlText>,
    full: Option<SqlText>,
    unresolved: bool,
    broken: bool,
}

fn sql(reader: &mut Reader<'_>, written: &Map, rendered: &Map, scope: &Scope, full_scope: &dyn Fn() -> Scope) -> Sql {
    if let Some(entry) = rendered.get("sql") {
        return inline_sql(reader, written, entry, full_scope);
    }
    let Some(entry) = rendered.get("sql_file") else { return Sql { broken: true, ..Sql::default() } };
    let Some(scalar) = entry.value.scalar() else { return Sql { broken: true, ..Sql::default() } };
    if scalar.is_unresolved() {
        return Sql { unresolved: true, ..Sql::default() };
    }
    sql_from_file(reader, entry, scalar, scope, full_scope)
}

fn inline_sql(reader: &mut Reader<'_>, written: &Map, entry: &Entry, full_scope: &dyn Fn() -> Scope) -> Sql {
    let Some(scalar) = entry.value.scalar().filter(|scalar| !scalar.is_plain() || !entry.value.is_null() || scalar.is_whole_tag()) else {
        return Sql { broken: true, ..Sql::default() };
    };
    if scalar.value().trim().is_empty() {
        reader.findings.push(Diagnostic::error(codes::EMPTY_VALUE, "`sql` is empty", entry.key.span).with_help("write one SELECT"));
        return Sql { broken: true, ..Sql::default() };
    }
    let text = sql_text(&reader.sources.map, &entry.value, scalar);
    let mut sql = Sql { text: Some(text), full: None, unresolved: scalar.is_unresolved(), broken: false };
    let again = written.get("sql").filter(|_| scalar.rendered.is_some() && scalar.text.contains("is_incremental"));
    if let Some(again) = again {
        let node = reader.render(&again.value, &full_scope());
        sql.full = node.scalar().map(|scalar| sql_text(&reader.sources.map, &node, scalar));
    }
    sql
}

fn sql_from_file(reader: &mut Reader<'_>, entry: &Entry, scalar: &Scalar, scope: &Scope, full_scope: &dyn Fn() -> Scope) -> Sql {
    let broken = Sql { broken: true, ..Sql::default() };
    let path = scalar.value();
    let normal = path.strip_prefix("./").unwrap_or(path);
    let Some(file) = reader.sources.sql_files.get(normal).copied() else {
        let near = did_you_mean(normal, reader.sources.sql_files.keys().map(String::as_str));
        let shown = if scalar.is_secret() { "the SQL file is not there".to_owned() } else { format!("the SQL file `{path}` is not there") };
        let finding = Diagnostic::error(codes::SQL_FILE, shown, entry.value.span).with_note("paths are relative to the project root and end in `.sql`");
        reader.findings.push(finding.with_help_opt(near.or_else(|| Some("create the file, or correct the path".to_owned()))));
        return broken;
    };
    let source = reader.sources.map.file(file).text();
    let source = source.strip_prefix('\u{feff}').map_or(source, |_| source);
    if source.trim_matches(['\u{feff}', ' ', '\n', '\r', '\t']).is_empty() {
        reader.findings.push(Diagnostic::error(codes::EMPTY_VALUE, "the SQL file is empty", Span::start_of(file)).with_help("write one SELECT"));
        return broken;
    }
    let mut render = |scope: &Scope| match reader.renderer.render(source, scope) {
        Ok(rendered) => Some((file_text(source, file, rendered.as_ref()), rendered.is_some_and(|rendered| rendered.unresolved))),
        Err(problems) => {
            reader.left_out.add_use(source);
            for problem in problems {
                let span = Span::new(file, problem.range.start, problem.range.end);
                reader.problem(problem, span);
            }
            None
        }
    };
    let Some((text, unresolved)) = render(scope) else { return broken };
    let full = source.contains("is_incremental").then(|| render(&full_scope())).flatten().map(|(text, _)| text);
    Sql { text: Some(text), full, unresolved, broken: false }
}

/// Serde reads what the walk has let through.
fn definition(reader: &mut Reader<'_>, layer: Layer, value: serde_json::Value, name_span: Span) -> Option<TableDefinition> {
    let typed = match layer {
        Layer::Bronze => serde_json::from_value::<BronzeTable>(value).map(|table| TableDefinition::Bronze(Box::new(table))),
        Layer::Silver | Layer::Gold => serde_json::from_value::<SqlTable>(value).map(|table| TableDefinition::Sql(Box::new(table))),
    };
    match typed {
        Ok(definition) => Some(definition),
        Err(error) => {
            reader.findings.push(Diagnostic::error(codes::WRONG_TYPE, format!("{} cannot be read: {error}", subject(layer)), name_span));
            None
        }
    }
}

/// SQL expressions of the checks that are in the definition.
fn check_sql(reader: &Reader<'_>, map: &Map, definition: &TableDefinition, spans: &SpanIndex) -> IndexMap<String, SqlText> {
    let mut texts = IndexMap::new();
    let count = match definition {
        TableDefinition::Bronze(table) => table.checks.as_ref().map_or(0, Vec::len),
        TableDefinition::Sql(table) => table.checks.as_ref().map_or(0, Vec::len),
    };
    let Some(Content::List(checks)) = map.get("checks").map(|entry| &entry.value.content) else { return texts };
    for at in 0..count {
        let pointer = format!("/checks/{at}");
        // A check with a finding is left out, and those behind it move up.
        let Some(check) = checks.iter().find(|check| spans.value(&pointer) == check.span) else { continue };
        for key in ["sql", "where"] {
            let found = check.map().and_then(|map| map.get(key)).and_then(|entry| entry.value.scalar().map(|scalar| sql_text(&reader.sources.map, &entry.value, scalar)));
            texts.extend(found.map(|text| (format!("{pointer}/{key}"), text)));
        }
    }
    texts
}

fn check_tags(reader: &mut Reader<'_>, table: &TableSpec) {
    for (at, tag) in table.tags().into_iter().flatten().enumerate() {
        reader.findings.extend(name_finding("tag", tag, table.spans.value(&format!("/tags/{at}"))));
    }
}
