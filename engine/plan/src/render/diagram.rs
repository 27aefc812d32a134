//! The plan as a diagram: waves as boxes, tables with what happens to them.

use crate::RunPlan;
use std::collections::HashMap;
use std::fmt::Write;

/// A Mermaid flowchart, as GitHub and GitLab draw it.
#[must_use]
pub fn mermaid(plan: &RunPlan) -> String {
    let mut out = String::from("flowchart LR\n");
    let ids = ids(plan);
    for (index, wave) in plan.waves.iter().enumerate() {
        let _infallible = writeln!(out, "  subgraph w{index} [\"wave {}\"]", index + 1);
        for name in wave {
            let _infallible = writeln!(out, "    t{}[\"{}\"]", ids[name.as_str()], label(plan, name, "<br/>").replace('"', "&quot;"));
        }
        out.push_str("  end\n");
    }
    for (from, to) in edges(plan, &ids) {
        let _infallible = writeln!(out, "  t{from} --> t{to}");
    }
    out
}

/// A Graphviz digraph.
#[must_use]
pub fn dot(plan: &RunPlan) -> String {
    let mut out = String::from("digraph karat {\n  rankdir=LR;\n  node [shape=box];\n");
    let ids = ids(plan);
    for (index, wave) in plan.waves.iter().enumerate() {
        let _infallible = writeln!(out, "  subgraph cluster_{index} {{\n    label=\"wave {}\";", index + 1);
        for name in wave {
            let _infallible = writeln!(out, "    t{} [label=\"{}\"];", ids[name.as_str()], label(plan, name, "\\n").replace('"', "\\\""));
        }
        out.push_str("  }\n");
    }
    for (from, to) in edges(plan, &ids) {
        let _infallible = writeln!(out, "  t{from} -> t{to};");
    }
    out.push_str("}\n");
    out
}

fn ids(plan: &RunPlan) -> HashMap<&str, usize> {
    plan.waves.iter().flatten().enumerate().map(|(index, name)| (name.as_str(), index)).collect()
}

fn label(plan: &RunPlan, name: &str, line_break: &str) -> String {
    match plan.tables.get(name) {
        Some(table) => format!("{name}{line_break}{} → {}, {}", table.strategy, table.load_mode, table.guarantee),
        None => name.to_owned(),
    }
}

fn edges(plan: &RunPlan, ids: &HashMap<&str, usize>) -> Vec<(usize, usize)> {
    let all = plan.tables.iter().flat_map(|(name, table)| table.depends_on.iter().map(move |input| (input, name)));
    all.filter_map(|(input, name)| Some((*ids.get(input.as_str())?, *ids.get(name.as_str())?))).collect()
}
