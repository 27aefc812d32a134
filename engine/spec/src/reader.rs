//! What all parts of the parser share: texts, findings, the renderer, compiled shapes.

use crate::model::{PipelineDocument, ProjectDocument};
use crate::positions::value_span;
use crate::shape::{Record, Shape, compile};
use crate::template::{Problem, Renderer, Scope};
use crate::yaml::{Content, Entry, Map, Node, Scalar};
use crate::{Catalog, Environment, LeftOut, SourceSet, codes};
use karat_diagnostics::{Diagnostic, Span};
use schemars::generate::SchemaSettings;
use serde_json::Value;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::OnceLock;

/// One parse in progress.
pub(crate) struct Reader<'a> {
    pub(crate) sources: &'a SourceSet,
    pub(crate) catalog: &'a Catalog,
    pub(crate) renderer: Renderer<'a>,
    pub(crate) findings: Vec<Diagnostic>,
    pub(crate) left_out: LeftOut,
    pub(crate) pipeline_shape: Rc<Shape>,
    pub(crate) project_shape: Rc<Shape>,
    plugin_shapes: HashMap<String, Rc<Shape>>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(sources: &'a SourceSet, environment: &'a Environment, catalog: &'a Catalog) -> Self {
        static SCHEMAS: OnceLock<[Value; 2]> = OnceLock::new();
        let generator = || SchemaSettings::draft2020_12().for_deserialize().into_generator();
        let [pipeline, project] =
            SCHEMAS.get_or_init(|| [generator().into_root_schema_for::<PipelineDocument>().to_value(), generator().into_root_schema_for::<ProjectDocument>().to_value()]);
        Self {
            sources,
            catalog,
            renderer: Renderer::new(environment),
            findings: Vec::new(),
            left_out: LeftOut::default(),
            pipeline_shape: compile(pipeline),
            project_shape: compile(project),
            plugin_shapes: HashMap::new(),
        }
    }

    /// The shape of a plugin's connections.
    pub(crate) fn plugin_shape(&mut self, plugin: &str) -> Option<Rc<Shape>> {
        let manifest = self.catalog.plugins.get(plugin)?;
        Some(Rc::clone(self.plugin_shapes.entry(plugin.to_owned()).or_insert_with(|| compile(&manifest.config))))
    }

    /// Evaluates templates and `${NAME}` in the values below `node`.
    pub(crate) fn render(&mut self, node: &Rc<Node>, scope: &Scope) -> Rc<Node> {
        if !node.dynamic {
            return Rc::clone(node);
        }
        let content = match &node.content {
            Content::Broken => Content::Broken,
            Content::Scalar(scalar) => self.render_scalar(node, scalar, scope),
            Content::List(items) => Content::List(items.iter().map(|item| self.render(item, scope)).collect()),
            Content::Map(map) => Content::Map(Map { entries: map.entries.iter().map(|entry| self.render_entry(entry, scope)).collect() }),
        };
        Rc::new(node.with_content(content))
    }

    /// Renders a value, and reports a template in its key: keys are not rendered.
    pub(crate) fn render_entry(&mut self, entry: &Entry, scope: &Scope) -> Entry {
        if entry.key.text.contains("{{") || entry.key.text.contains("{%") || entry.key.text.contains("${") {
            let finding = Diagnostic::error(codes::KEY, format!("the key `{}` holds a template", entry.key.text), entry.key.span);
            self.findings.push(finding.with_note("templates and `${NAME}` are read in values and in names of tables only").with_help("write the key out"));
        }
        Entry { key: entry.key.clone(), value: self.render(&entry.value, scope) }
    }

    fn render_scalar(&mut self, node: &Node, scalar: &Scalar, scope: &Scope) -> Content {
        match self.renderer.render(&scalar.text, scope) {
            Ok(None) => node.content.clone(),
            Ok(Some(rendered)) => Content::Scalar(Scalar { rendered: Some(Rc::new(rendered)), ..scalar.clone() }),
            Err(problems) => {
                self.left_out.add_use(&scalar.text);
                for problem in problems {
                    let span = value_span(&self.sources.map, node, scalar, &problem.range);
                    self.problem(problem, span);
                }
                Content::Broken
            }
        }
    }

    /// Reports what went wrong in a template.
    pub(crate) fn problem(&mut self, problem: Problem, span: Span) {
        let mut finding = Diagnostic::error(problem.code, problem.message, span).with_help_opt(problem.help);
        finding.notes.extend(problem.note);
        self.findings.push(finding);
    }
}

/// The record of a document's shape.
pub(crate) fn record(shape: &Shape) -> Option<&Record> {
    match shape {
        Shape::Record(record) => Some(record),
        _ => None,
    }
}

/// The shape of one key of a record.
pub(crate) fn field(shape: &Shape, key: &str) -> Option<Rc<Shape>> {
    record(shape).and_then(|record| record.fields.get(key)).map(|field| Rc::clone(&field.shape))
}
