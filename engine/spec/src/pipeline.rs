//! One pipeline file.

use crate::model::{Layer, PipelineSpec, ProjectSpec, Schedule, TableName};
use crate::names::name_finding;
use crate::project::{Shared, Vars, check_version, defaults, document, section, take, var_uses, vars, vars_value};
use crate::reader::{Reader, field, record};
use crate::schedule::{cron_finding, timezone_finding};
use crate::shape::{Dynamic, Walk};
use crate::table::{self, TableContext};
use crate::template::Scope;
use crate::yaml::{Content, Entry, Map, Node};
use crate::{SpanIndex, codes, connection, merge, pointer_part};
use karat_diagnostics::{Diagnostic, FileId, Span};
use serde_json::Value;
use std::collections::HashMap;
use std::rc::Rc;

/// Names that must be unique in a project, with where they stand first.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pipelines: HashMap<String, Span>,
    pub(crate) tables: HashMap<TableName, Span>,
}

/// Keys of a pipeline that are no part of its header.
const SECTIONS: &[&str] = &["version", "vars", "connections", "defaults", "bronze", "silver", "gold"];

/// Reads one pipeline file into `spec`.
pub(crate) fn read(reader: &mut Reader<'_>, spec: &mut ProjectSpec, shared: &Shared, names: &mut Names, file: FileId) {
    let Some(root) = document(reader, file) else {
        reader.left_out.add_unread(reader.sources.map.file(file).text());
        shared.defaults.iter().flatten().for_each(|defaults| reader.left_out.add_node(defaults));
        return;
    };
    let Content::Map(map) = &root.content else { return };
    let index = spec.pipelines.len();
    check_version(reader, &root, &map.entries, "a pipeline file");
    reader.renderer.lost_vars.clone_from(&shared.lost_vars);
    let own_vars = vars(reader, map.get("vars"));
    let first_use = spec.vars.len();
    spec.vars.extend(var_uses(map.get("vars"), &own_vars, Some(index)));
    let vars = vars_value(&merged_vars(&shared.vars, &own_vars));
    reader.renderer.read_vars.clear();

    let scope = Scope::new(vec![("vars".to_owned(), vars.clone())]);
    let mut pipeline = header(reader, &root, map, file, &scope);
    unique_pipeline(reader, names, &pipeline, map.get("name").map_or(Span::start_of(file), |entry| entry.value.span));
    pipeline.connections = connection::read(reader, map.get("connections"), &scope);
    let own_defaults = defaults(reader, map.get("defaults"));
    index_names(&mut pipeline.spans, map);
    spec.pipelines.push(pipeline);

    for layer in Layer::ALL {
        let low = [&shared.defaults[layer as usize], &own_defaults[layer as usize]];
        let below = match low {
            [Some(project), Some(own)] => Some(merge::overlay(project, own)),
            [project, own] => own.clone().or_else(|| project.clone()),
        };
        let Some(shape) = field(&reader.pipeline_shape, layer.as_str()).and_then(|section| match &*section {
            crate::shape::Shape::Dictionary(table) => Some(Rc::clone(table)),
            _ => None,
        }) else {
            continue;
        };
        // What the tables use that nobody can read, they may use through defaults.
        if map.get(layer.as_str()).is_some_and(|section| matches!(section.value.content, Content::Broken)) {
            low.into_iter().flatten().for_each(|defaults| reader.left_out.add_node(defaults));
        }
        let defaults_are_lost = low.into_iter().flatten().any(|defaults| matches!(defaults.content, Content::Broken));
        let mut context = TableContext { layer, pipeline: index, shape: &shape, defaults: below.as_ref(), defaults_are_lost, vars: &vars, names };
        for entry in section(reader, map.get(layer.as_str()), layer.as_str()).unwrap_or_default() {
            table::read(reader, spec, &mut context, entry);
        }
    }
    mark_used(reader, spec, index, first_use);
}

/// The pipeline's vars over the project's, by name.
fn merged_vars(shared: &Vars, own: &Vars) -> Vars {
    let inherited = shared.iter().filter(|(name, _)| !own.iter().any(|(other, _)| other == name));
    inherited.chain(own).cloned().collect()
}

fn header(reader: &mut Reader<'_>, root: &Rc<Node>, map: &Map, file: FileId, scope: &Scope) -> PipelineSpec {
    let shape = Rc::clone(&reader.pipeline_shape);
    let entries: Vec<Entry> = map.entries.iter().filter(|entry| !SECTIONS.contains(&&*entry.key.text)).map(|entry| reader.render_entry(entry, scope)).collect();
    let mut walk = Walk::new("a pipeline file", root.span, Dynamic::Rendered, &mut reader.findings);
    let values = record(&shape).and_then(|known| walk.record(root, &entries, known, SECTIONS));
    let spans = walk.spans;
    let mut values = match values {
        Some(Value::Object(values)) => values,
        _ => serde_json::Map::new(),
    };
    let stem = stem(reader.sources.map.file(file).path());
    let written = take::<String>(&mut reader.findings, &spans, &mut values, "name");
    let name_span = map.get("name").map_or(Span::start_of(file), |entry| entry.value.span);
    if written.is_some() || map.get("name").is_none() {
        let checked = written.as_deref().unwrap_or(&stem);
        let finding = name_finding("pipeline", checked, name_span);
        let from_stem = written.is_none();
        reader.findings.extend(finding.map(|finding| if from_stem { finding.with_note("the name comes from the file; the key `name` can give another") } else { finding }));
    }
    let findings = &mut reader.findings;
    let pipeline = PipelineSpec {
        name: written.unwrap_or(stem),
        file,
        description: take(findings, &spans, &mut values, "description"),
        owner: take(findings, &spans, &mut values, "owner"),
        tags: take(findings, &spans, &mut values, "tags").unwrap_or_default(),
        schedule: take(findings, &spans, &mut values, "schedule"),
        connections: indexmap::IndexMap::new(),
        spans,
    };
    check_header(reader, &pipeline);
    pipeline
}

fn check_header(reader: &mut Reader<'_>, pipeline: &PipelineSpec) {
    for (at, tag) in pipeline.tags.iter().enumerate() {
        reader.findings.extend(name_finding("tag", tag, pipeline.spans.value(&format!("/tags/{at}"))));
    }
    if let Some(Schedule { cron, timezone }) = &pipeline.schedule {
        reader.findings.extend(cron_finding(cron, pipeline.spans.value("/schedule/cron")));
        let zone = timezone.as_deref().and_then(|zone| timezone_finding(zone, pipeline.spans.value("/schedule/timezone")));
        reader.findings.extend(zone);
    }
}

fn unique_pipeline(reader: &mut Reader<'_>, names: &mut Names, pipeline: &PipelineSpec, span: Span) {
    if let Some(first) = names.pipelines.get(&pipeline.name) {
        let finding = Diagnostic::error(codes::DUPLICATE_NAME, format!("the pipeline name `{}` is taken", pipeline.name), span);
        let finding = finding.with_related(*first, "this pipeline has it, too").with_help("give one of the two another `name`");
        reader.findings.push(finding);
        return;
    }
    names.pipelines.insert(pipeline.name.clone(), span);
}

/// Where sections and the names in them stand.
pub(crate) fn index_names(spans: &mut SpanIndex, map: &Map) {
    for entry in map.entries.iter().filter(|entry| SECTIONS.contains(&&*entry.key.text)) {
        spans.insert(format!("/{}", entry.key.text), Some(entry.key.span), entry.value.span);
        for inner in entry.value.map().into_iter().flat_map(|map| &map.entries) {
            spans.insert(format!("/{}/{}", entry.key.text, pointer_part(&inner.key.text)), Some(inner.key.span), inner.value.span);
        }
    }
}

/// A var that a template of this pipeline read is used: the pipeline's own, or else the project's.
fn mark_used(reader: &mut Reader<'_>, spec: &mut ProjectSpec, pipeline: usize, first_use: usize) {
    let read = std::mem::take(&mut reader.renderer.read_vars);
    let own: Vec<String> = spec.vars[first_use..].iter().map(|var| var.name.clone()).collect();
    for var in &mut spec.vars {
        let visible = var.pipeline == Some(pipeline) || (var.pipeline.is_none() && !own.contains(&var.name));
        var.used |= visible && (read.contains("*") || read.contains(&var.name));
    }
}

/// File name without folder and extension.
fn stem(path: &str) -> String {
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
    name.strip_suffix(".yaml").or_else(|| name.strip_suffix(".yml")).unwrap_or(name).to_owned()
}
