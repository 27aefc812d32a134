//! Cycles: tables that can never run because each waits for the other.

use crate::table_graph::{index, node};
use crate::{Reference, TableGraph, TableIndex, findings};
use karat_diagnostics::Diagnostic;
use petgraph::Direction;
use petgraph::algo::tarjan_scc;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};

/// One finding per knot of tables: its shortest cycle through its first table, with every place that makes it.
pub(crate) fn findings(graph: &TableGraph) -> Vec<Diagnostic> {
    let mut knots: Vec<Vec<TableIndex>> = tarjan_scc(graph.petgraph())
        .into_iter()
        .filter(|knot| knot.len() > 1)
        .map(|knot| {
            let mut tables: Vec<TableIndex> = knot.into_iter().map(index).collect();
            tables.sort_unstable();
            tables
        })
        .collect();
    knots.sort();
    knots.iter().filter_map(|knot| finding(graph, knot)).collect()
}

fn finding(graph: &TableGraph, knot: &[TableIndex]) -> Option<Diagnostic> {
    let path = shortest(graph, knot)?;
    let names: Vec<String> = path.iter().map(|table| format!("`{}`", graph.name(*table))).collect();
    let mut steps = path.windows(2).filter_map(|pair| Some((pair[0], pair[1], step(graph, pair[0], pair[1])?)));
    let (from, to, first) = steps.next()?;
    let text = |from, to, reference: &Reference| format!("`{}` {} `{}`", graph.name(from), reference.kind.verb(), graph.name(to));
    let mut finding = Diagnostic::error(findings::CYCLE, format!("tables wait for each other in a circle: {}", names.join(" → ")), first.span).with_label(text(from, to, first));
    for (from, to, reference) in steps {
        finding = finding.with_secondary(reference.span, text(from, to, reference));
    }
    if knot.len() + 1 > path.len() {
        finding = finding.with_note(format!("{} tables are tied together in this way; this is the shortest circle through the first", knot.len()));
    }
    Some(finding.with_note("a table is made only after all that it needs is there").with_help("take one of these references out"))
}

/// The shortest way from the knot's first table back to itself, following what each table needs.
fn shortest(graph: &TableGraph, knot: &[TableIndex]) -> Option<Vec<TableIndex>> {
    let start = *knot.first()?;
    let members: HashSet<TableIndex> = knot.iter().copied().collect();
    let mut came_from: HashMap<TableIndex, TableIndex> = HashMap::new();
    let mut pending = VecDeque::from([start]);
    while let Some(table) = pending.pop_front() {
        let mut needed: Vec<TableIndex> = graph.petgraph().neighbors_directed(node(table), Direction::Incoming).map(index).filter(|other| members.contains(other)).collect();
        needed.sort_unstable();
        for other in needed {
            if other == start {
                // From the last table back to the start, then turned round.
                let mut path = vec![start, table];
                while let Some(before) = came_from.get(path.last()?) {
                    path.push(*before);
                }
                path.reverse();
                return Some(path);
            }
            if let Entry::Vacant(unseen) = came_from.entry(other) {
                unseen.insert(table);
                pending.push_back(other);
            }
        }
    }
    None
}

fn step(graph: &TableGraph, from: TableIndex, to: TableIndex) -> Option<&Reference> {
    graph.references(from).iter().find(|reference| reference.kind.orders() && reference.target == Some(to))
}
