//! The graph as text, Mermaid, DOT and a value to serialise. Stable: tables in file and source order.

use crate::{Edge, ReferenceKind, TableGraph, TableIndex};
use karat_spec::model::Layer;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt::Write;

/// The graph for machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GraphRecord {
    /// The tables.
    pub tables: Vec<TableRecord>,
    /// Full names by wave.
    pub waves: Vec<Vec<String>>,
}

/// One table for machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableRecord {
    /// Its full name.
    pub name: String,
    /// `bronze`, `silver` or `gold`.
    pub layer: String,
    /// Full names of the tables that must be done before.
    pub upstream: Vec<String>,
    /// Full names of the tables that need it.
    pub downstream: Vec<String>,
}

/// The tables of `shown` as a value to serialise.
#[must_use]
pub fn record(graph: &TableGraph, shown: &BTreeSet<TableIndex>) -> GraphRecord {
    let names = |tables: Vec<TableIndex>| tables.into_iter().filter(|table| shown.contains(table)).map(|table| graph.name(table).to_string()).collect::<Vec<_>>();
    let tables = shown.iter().map(|table| TableRecord {
        name: graph.name(*table).to_string(),
        layer: graph.name(*table).layer().as_str().to_owned(),
        upstream: names(graph.upstream(*table)),
        downstream: names(graph.downstream(*table)),
    });
    GraphRecord { tables: tables.collect(), waves: graph.waves().into_iter().map(names).filter(|wave| !wave.is_empty()).collect() }
}

/// One line per table by wave, with what it reads.
#[must_use]
pub fn text(graph: &TableGraph, shown: &BTreeSet<TableIndex>) -> String {
    let mut out = String::new();
    let mut number = 0;
    for wave in graph.waves() {
        let wave: Vec<TableIndex> = wave.into_iter().filter(|table| shown.contains(table)).collect();
        if wave.is_empty() {
            continue;
        }
        number += 1;
        let _infallible = writeln!(out, "wave {number}");
        let width = wave.iter().map(|table| graph.name(*table).to_string().chars().count()).max().unwrap_or(0);
        for table in wave {
            let upstream: Vec<String> = graph.upstream(table).into_iter().map(|source| graph.name(source).to_string()).collect();
            let line = if upstream.is_empty() { format!("  {}", graph.name(table)) } else { format!("  {:width$}  ← {}", graph.name(table).to_string(), upstream.join(", ")) };
            let _infallible = writeln!(out, "{line}");
        }
    }
    out
}

/// A Mermaid flowchart, as GitHub and GitLab draw it. A dashed arrow is an order without a read.
#[must_use]
pub fn mermaid(graph: &TableGraph, shown: &BTreeSet<TableIndex>) -> String {
    let mut out = String::from("flowchart LR\n");
    for layer in Layer::ALL {
        let tables: Vec<&TableIndex> = shown.iter().filter(|table| graph.name(**table).layer() == layer).collect();
        if tables.is_empty() {
            continue;
        }
        let _infallible = writeln!(out, "  subgraph {}", layer.as_str());
        for table in tables {
            let _infallible = writeln!(out, "    t{}[\"{}\"]", table.position(), html(&graph.name(*table).to_string()));
        }
        out.push_str("  end\n");
    }
    for edge in edges(graph, shown) {
        let arrow = if is_read(&edge) { "-->" } else { "-.->" };
        let _infallible = writeln!(out, "  t{} {arrow} t{}", edge.from.position(), edge.to.position());
    }
    out
}

/// A Graphviz digraph. A dashed arrow is an order without a read.
#[must_use]
pub fn dot(graph: &TableGraph, shown: &BTreeSet<TableIndex>) -> String {
    let mut out = String::from("digraph karat {\n  rankdir=LR;\n  node [shape=box];\n");
    for layer in Layer::ALL {
        let tables: Vec<&TableIndex> = shown.iter().filter(|table| graph.name(**table).layer() == layer).collect();
        if tables.is_empty() {
            continue;
        }
        let _infallible = writeln!(out, "  subgraph cluster_{0} {{\n    label=\"{0}\";", layer.as_str());
        for table in tables {
            let _infallible = writeln!(out, "    t{} [label=\"{}\"];", table.position(), escaped(&graph.name(*table).to_string()));
        }
        out.push_str("  }\n");
    }
    for edge in edges(graph, shown) {
        let style = if is_read(&edge) { "" } else { " [style=dashed]" };
        let _infallible = writeln!(out, "  t{} -> t{}{style};", edge.from.position(), edge.to.position());
    }
    out.push_str("}\n");
    out
}

fn edges<'a>(graph: &'a TableGraph, shown: &'a BTreeSet<TableIndex>) -> impl Iterator<Item = Edge> + 'a {
    graph.edges().filter(|edge| shown.contains(&edge.from) && shown.contains(&edge.to))
}

fn is_read(edge: &Edge) -> bool {
    edge.kinds.iter().any(|kind| matches!(kind, ReferenceKind::Sql | ReferenceKind::BrokenSql))
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
