//! The plan of a whole run.

use crate::ends::Names;
use crate::input::PlanInput;
use crate::{RunPlan, TablePlan, copy, transform};
use indexmap::IndexMap;
use karat_diagnostics::Diagnostic;
use karat_graph::{TableGraph, TableIndex};
use std::collections::{BTreeSet, HashMap};

/// What a run will do, and what is wrong now that sources and targets have been asked.
///
/// Total: a finding at error level does not leave its table out of the plan. Who runs a plan looks at the findings first.
#[must_use]
pub fn build(input: &PlanInput<'_>) -> (RunPlan, Vec<Diagnostic>) {
    let (spec, graph) = (input.checked.spec(), input.checked.graph());
    let selected: BTreeSet<TableIndex> = input.options.selection.clone().unwrap_or_else(|| graph.tables().collect());
    let mut findings = Vec::new();
    let mut tables: IndexMap<String, TablePlan> = IndexMap::with_capacity(selected.len());
    // Also tables outside the selection: a transform promises what the weakest of its inputs does.
    let mut guarantees = HashMap::with_capacity(graph.len());
    for index in graph.waves().into_iter().flatten() {
        let table = &spec.tables[index.position()];
        let names = Names { depends_on: names(graph, graph.upstream(index)), blocks: names(graph, graph.downstream(index)) };
        let (plan, found) = match (table.bronze(), table.transform()) {
            (Some(bronze), _) => copy::plan(input, table, bronze, names),
            (None, Some(sql)) => transform::plan(input, index, sql, names, &guarantees),
            (None, None) => continue,
        };
        guarantees.insert(index, plan.guarantee);
        if selected.contains(&index) {
            findings.extend(found);
            tables.insert(graph.name(index).to_string(), plan);
        }
    }
    let waves = waves(graph, &selected);
    let order: HashMap<&str, usize> = waves.iter().flatten().enumerate().map(|(position, name)| (name.as_str(), position)).collect();
    tables.sort_by_cached_key(|name, _| order.get(name.as_str()).copied().unwrap_or(usize::MAX));
    let plan = RunPlan { project: spec.name.clone(), offline: input.options.offline, full_refresh: input.options.full_refresh, waves, tables };
    (plan, findings)
}

fn names(graph: &TableGraph, tables: Vec<TableIndex>) -> Vec<String> {
    tables.into_iter().map(|table| graph.name(table).to_string()).collect()
}

/// Each selected table as early as its selected inputs allow.
fn waves(graph: &TableGraph, selected: &BTreeSet<TableIndex>) -> Vec<Vec<String>> {
    let mut levels: HashMap<TableIndex, usize> = HashMap::with_capacity(selected.len());
    let mut waves: Vec<BTreeSet<TableIndex>> = Vec::new();
    for table in graph.waves().into_iter().flatten().filter(|table| selected.contains(table)) {
        let level = graph.upstream(table).iter().filter_map(|input| levels.get(input)).max().map_or(0, |level| level + 1);
        levels.insert(table, level);
        if waves.len() <= level {
            waves.resize_with(level + 1, BTreeSet::new);
        }
        waves[level].insert(table);
    }
    waves.into_iter().map(|wave| names(graph, wave.into_iter().collect())).collect()
}
