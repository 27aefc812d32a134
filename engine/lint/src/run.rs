//! All rules over a whole project.

use crate::levels;
use crate::rule::Check;
use crate::rules::RULES;
use crate::view::{PipelineView, ProjectView, TableView};
use karat_diagnostics::{Code, Diagnostic, Severity, Span, quoted};
use karat_graph::TableGraph;
use karat_spec::{Catalog, ProjectSpec};
use std::collections::HashMap;

/// Everything the rules have to say about the project, at the levels it sets. `levels_elsewhere` are codes of others that take a level, too.
#[must_use]
pub fn run(spec: &ProjectSpec, graph: &TableGraph, catalog: &Catalog, levels_elsewhere: &[&str]) -> Vec<Diagnostic> {
    let project = ProjectView { spec, graph, catalog, levels_elsewhere };
    let tables: Vec<TableView<'_>> = project.tables().collect();
    let pipelines: Vec<PipelineView<'_>> = project.pipelines().collect();
    let mut found = Found::default();
    for rule in RULES {
        let Some(severity) = levels::severity(rule, &spec.lint) else { continue };
        let code = Code(rule.code());
        match rule.check {
            Check::Table(check) => {
                for table in &tables {
                    for finding in check(table) {
                        found.add(code, severity, finding, &table.name().to_string());
                    }
                }
            }
            Check::Pipeline(check) => {
                for finding in pipelines.iter().flat_map(check) {
                    found.add(code, severity, finding, "");
                }
            }
            Check::Project(check) => {
                for finding in check(&project) {
                    found.add(code, severity, finding, "");
                }
            }
        }
    }
    found.into_vec()
}

/// Findings; one that several tables share, through `for_each` or defaults, is told once.
#[derive(Default)]
struct Found {
    list: Vec<(Diagnostic, Vec<String>)>,
    by_place: HashMap<(Code, Span, String), usize>,
}

impl Found {
    fn add(&mut self, code: Code, severity: Severity, mut finding: Diagnostic, table: &str) {
        (finding.code, finding.severity) = (code, severity);
        let span = finding.primary.as_ref().map(|label| label.span).filter(|_| !table.is_empty());
        let Some(span) = span else {
            self.list.push((finding, Vec::new()));
            return;
        };
        let same = finding.message.replace(&format!("`{table}`"), "``");
        if let Some(index) = self.by_place.get(&(code, span, same.clone())) {
            let others = &mut self.list[*index].1;
            // What names no table, such as a fault of a connection, holds once.
            if same == finding.message {
                return;
            }
            if others.last().is_none_or(|last| last != table) {
                others.push(table.to_owned());
            }
            return;
        }
        self.by_place.insert((code, span, same), self.list.len());
        self.list.push((finding, Vec::new()));
    }

    fn into_vec(self) -> Vec<Diagnostic> {
        let told = |(finding, others): (Diagnostic, Vec<String>)| match others.len() {
            0 => finding,
            1..=4 => finding.with_note(format!("the same holds for {}", quoted(&others))),
            count => finding.with_note(format!("the same holds for {} and {} more tables", quoted(&others[..3]), count - 3)),
        };
        self.list.into_iter().map(told).collect()
    }
}
