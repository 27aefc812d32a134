//! Projects and a catalog for tests.

use karat_diagnostics::Diagnostic;
use karat_diagnostics::render::{Color, text};
use karat_spec::model::{LintLevel, ProjectSpec};
use karat_spec::{Capabilities, Catalog, Environment, PluginManifest, SourceSet};

/// A parsed project with all that was found in it.
pub(crate) struct Project {
    pub(crate) sources: SourceSet,
    pub(crate) spec: ProjectSpec,
    pub(crate) findings: Vec<Diagnostic>,
}

impl Project {
    /// Parses, builds and lints; `forced` rules run even if they are off by default.
    pub(crate) fn new(files: &[(&str, &str)], forced: &[&str]) -> Self {
        let sources = SourceSet::from_texts("/project", files);
        let catalog = catalog();
        let (mut spec, mut findings) = karat_spec::parse(&sources, &Environment::Unresolved, &catalog);
        for code in forced {
            let rule = crate::registry().iter().find(|rule| rule.code() == *code).expect("a rule's code");
            if rule.default_level() == LintLevel::Off {
                spec.lint.levels.insert((*code).to_owned(), LintLevel::Warn);
            }
        }
        let (graph, more) = karat_graph::build(&spec);
        findings.extend(more);
        findings.extend(crate::run(&spec, &graph, &catalog, &["D101"]));
        Self { sources, spec, findings }
    }

    /// The findings as people see them.
    pub(crate) fn text(&self) -> String {
        text(&self.findings, &self.sources.map, &[], Color::Never)
    }
}

/// Plugins as far as the rules' examples need them.
pub(crate) fn catalog() -> Catalog {
    let config = serde_json::json!({
        "type": "object",
        "properties": {
            "path": {"type": "string"}, "url": {"type": "string"}, "format": {"type": "string"}, "compression": {"type": "string"}, "csv": {"type": "object"},
            "host": {"type": "string"}, "port": {"type": "integer"}, "database": {"type": "string"}, "user": {"type": "string"}, "password": {"type": "string"}
        }
    });
    let plugin = |name: &str, available: bool, strategies: &[&str], objects: &[&str], modes: &[&str], layout: bool| {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        let capabilities = Capabilities {
            source_strategies: owned(strategies),
            source_objects: owned(objects),
            load_modes: owned(modes),
            layout,
            atomic_position: !modes.is_empty(),
            declared_types_only: false,
            serial_commits: false,
            settles_late_commits: false,
            parallel_writers: name == "mysql",
        };
        (name.to_owned(), PluginManifest { name: name.to_owned(), description: String::new(), available, capabilities, config: config.clone() })
    };
    let all = ["full", "id", "timestamp", "hybrid", "window", "diff", "log"];
    let plugins = [
        plugin("delta", true, &[], &[], &["append", "upsert", "replace", "window"], true),
        plugin("files", true, &["full"], &["path"], &["append", "replace"], true),
        plugin("mysql", false, &all, &["table", "query"], &["append", "upsert", "replace"], false),
        plugin("postgres", false, &all, &["table", "query"], &["append", "upsert", "replace"], false),
        plugin("sqlite", true, &["full", "id", "timestamp", "hybrid", "window", "diff"], &["table", "query"], &[], false),
    ];
    Catalog { plugins: plugins.into_iter().collect() }
}
