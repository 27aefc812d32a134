//! The whole of parsing, in order: project file, pipelines, tables.

use crate::model::{ConnectionSpec, ProjectSpec, Settings};
use crate::reader::Reader;
use crate::{Catalog, Environment, SourceSet, SpanIndex, pipeline, project};
use karat_diagnostics::{Diagnostic, Fix, Span};
use serde_json::{Map, Value};
use std::collections::{BTreeSet, HashSet};

/// Name of the connection that every project has.
pub(crate) const WAREHOUSE: &str = "warehouse";

/// Reads all files of a project: the typed model of what could be read, and findings about the rest, in file and source order.
///
/// Total: it never fails and never panics, whatever the texts hold. A table with a finding is in `tables` as far as it could be read, or in
/// `broken_tables`; nothing is dropped without a finding.
#[must_use]
pub fn parse(sources: &SourceSet, environment: &Environment, catalog: &Catalog) -> (ProjectSpec, Vec<Diagnostic>) {
    let mut reader = Reader::new(sources, environment, catalog);
    let mut spec = ProjectSpec { root: sources.root.clone(), name: root_name(sources), ..ProjectSpec::default() };
    let shared = project::read(&mut reader, &mut spec);
    if !spec.connections.contains_key(WAREHOUSE) {
        spec.connections.insert(WAREHOUSE.to_owned(), built_in_warehouse(sources));
    }
    let mut names = pipeline::Names::default();
    for file in &sources.pipeline_files {
        pipeline::read(&mut reader, &mut spec, &shared, &mut names, *file);
    }
    spec.secrets.0 = std::mem::take(&mut reader.renderer.secrets).into_iter().collect();
    spec.left_out = std::mem::take(&mut reader.left_out);
    let mut findings = in_source_order(reader.findings);
    for finding in &mut findings {
        mask(finding, &spec.secrets.0);
    }
    (spec, findings)
}

/// Bytes of the shortest secret that is looked for in messages; shorter ones would hide ordinary words.
const SHORTEST_SECRET: usize = 4;

/// The last line of defence: no message shows a value of the environment, however it came there.
fn mask(finding: &mut Diagnostic, secrets: &[String]) {
    for secret in secrets.iter().filter(|secret| secret.len() >= SHORTEST_SECRET) {
        let texts = [&mut finding.message].into_iter().chain(&mut finding.notes).chain(&mut finding.help);
        let texts = texts
            .chain(finding.primary.iter_mut().chain(&mut finding.secondary).map(|label| &mut label.text))
            .chain(finding.related.iter_mut().map(|related| &mut related.message));
        for text in texts.filter(|text| text.contains(secret.as_str())) {
            *text = text.replace(secret.as_str(), "***");
        }
        let shows = |fix: &Fix| fix.title.contains(secret.as_str()) || fix.edits.iter().any(|edit| edit.replacement.contains(secret.as_str()));
        finding.fix = finding.fix.take().filter(|fix| !shows(fix));
    }
}

fn root_name(sources: &SourceSet) -> String {
    sources.root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// `{type: delta, path: .karat/warehouse}`, which no file defines.
fn built_in_warehouse(sources: &SourceSet) -> ConnectionSpec {
    let settings = Map::from_iter([("path".to_owned(), Value::from(".karat/warehouse"))]);
    let anywhere = sources.project_file.or_else(|| sources.pipeline_files.first().copied());
    ConnectionSpec {
        name: WAREHOUSE.to_owned(),
        plugin: "delta".to_owned(),
        settings: Settings::new(settings, BTreeSet::new(), BTreeSet::new()),
        spans: anywhere.map(|file| SpanIndex::new(Span::start_of(file))).unwrap_or_default(),
        built_in: true,
    }
}

/// Each finding once (`for_each` and defaults meet the same text several times), sorted by place.
fn in_source_order(findings: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let mut seen = HashSet::new();
    let place = |finding: &Diagnostic| finding.primary.as_ref().map(|label| label.span);
    let mut findings: Vec<Diagnostic> = findings.into_iter().filter(|finding| seen.insert((finding.code, place(finding), finding.message.clone()))).collect();
    findings.sort_by_key(|finding| place(finding).map(|span| (span.file, span.start, span.end)));
    findings
}
