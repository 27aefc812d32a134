//! Selectors: `silver.trades`, `gold.*`, `+gold.ohlcv_1m`, `bronze.trades+`, `tag:trading`, `pipeline:market`.

use crate::{TableGraph, TableIndex};
use karat_diagnostics::nearest;
use karat_spec::ProjectSpec;
use std::collections::BTreeSet;

/// Why a selection cannot be made. The texts are for people, without a full stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// Nothing has this name.
    #[error("selector `{selector}` matches no table")]
    NoMatch {
        /// As the user wrote it.
        selector: String,
        /// What was likely meant, or what there is to choose from.
        help: String,
    },
    /// It is no selector at all.
    #[error("`{selector}` is no selector")]
    Malformed {
        /// As the user wrote it.
        selector: String,
        /// The forms that exist.
        help: String,
    },
}

impl SelectError {
    /// How to mend it.
    #[must_use]
    pub fn help(&self) -> &str {
        match self {
            Self::NoMatch { help, .. } | Self::Malformed { help, .. } => help,
        }
    }
}

/// The union of `include` (all tables when empty) without all that `exclude` names.
///
/// # Errors
/// [`SelectError`] for the first selector that is malformed or matches nothing.
pub fn select(spec: &ProjectSpec, graph: &TableGraph, include: &[String], exclude: &[String]) -> Result<BTreeSet<TableIndex>, SelectError> {
    let mut selected = BTreeSet::new();
    if include.is_empty() {
        selected.extend(graph.tables());
    }
    for selector in include {
        selected.extend(matches(spec, graph, selector)?);
    }
    for selector in exclude {
        for table in matches(spec, graph, selector)? {
            selected.remove(&table);
        }
    }
    Ok(selected)
}

fn matches(spec: &ProjectSpec, graph: &TableGraph, selector: &str) -> Result<BTreeSet<TableIndex>, SelectError> {
    let text = selector.trim();
    let (with_inputs, text) = text.strip_prefix('+').map_or((false, text), |rest| (true, rest));
    let (with_readers, pattern) = text.strip_suffix('+').map_or((false, text), |rest| (true, rest));
    if pattern.is_empty() || pattern.contains(['+', ',']) || pattern.contains(char::is_whitespace) {
        let help = "write `silver.trades`, `gold.*`, `*`, `tag:name` or `pipeline:name`, with `+` before it for its inputs and after it for its readers".to_owned();
        return Err(SelectError::Malformed { selector: selector.to_owned(), help });
    }
    let mut found: BTreeSet<TableIndex> = graph.tables().filter(|table| is_match(spec, graph, *table, pattern)).collect();
    if found.is_empty() {
        return Err(SelectError::NoMatch { selector: selector.to_owned(), help: suggestion(spec, graph, pattern) });
    }
    let core: Vec<TableIndex> = found.iter().copied().collect();
    for table in core {
        if with_inputs {
            found.extend(graph.all_upstream(table));
        }
        if with_readers {
            found.extend(graph.all_downstream(table));
        }
    }
    Ok(found)
}

fn is_match(spec: &ProjectSpec, graph: &TableGraph, table: TableIndex, pattern: &str) -> bool {
    if let Some(tag) = pattern.strip_prefix("tag:") {
        return tags(spec, table).any(|own| own == tag);
    }
    if let Some(pipeline) = pattern.strip_prefix("pipeline:") {
        return pipeline_of(spec, table) == Some(pipeline);
    }
    pattern == "*" || glob(pattern, &graph.name(table).to_string())
}

fn tags(spec: &ProjectSpec, table: TableIndex) -> impl Iterator<Item = &str> {
    let own = spec.tables.get(table.position());
    let pipeline = own.and_then(|own| spec.pipelines.get(own.pipeline));
    let shared = pipeline.into_iter().flat_map(|pipeline| &pipeline.tags);
    own.and_then(|own| own.tags()).into_iter().flatten().chain(shared).map(String::as_str)
}

fn pipeline_of(spec: &ProjectSpec, table: TableIndex) -> Option<&str> {
    let own = spec.tables.get(table.position())?;
    spec.pipelines.get(own.pipeline).map(|pipeline| pipeline.name.as_str())
}

/// `*` stands for any characters but a dot.
fn glob(pattern: &str, name: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return pattern == name };
    let Some(rest) = name.strip_prefix(before) else { return false };
    let reach = rest.find('.').unwrap_or(rest.len());
    rest.char_indices().map(|(at, _)| at).chain([rest.len()]).take_while(|at| *at <= reach).any(|at| glob(after, &rest[at..]))
}

fn suggestion(spec: &ProjectSpec, graph: &TableGraph, pattern: &str) -> String {
    let (prefix, name, candidates): (&str, &str, BTreeSet<String>) = if let Some(tag) = pattern.strip_prefix("tag:") {
        ("tag:", tag, graph.tables().flat_map(|table| tags(spec, table)).map(str::to_owned).collect())
    } else if let Some(pipeline) = pattern.strip_prefix("pipeline:") {
        ("pipeline:", pipeline, spec.pipelines.iter().map(|pipeline| pipeline.name.clone()).collect())
    } else {
        ("", pattern, graph.tables().map(|table| graph.name(table).to_string()).collect())
    };
    let by_last_part = || candidates.iter().find(|candidate| candidate.rsplit('.').next() == Some(name)).map(String::as_str);
    match nearest(name, candidates.iter().map(String::as_str)).or_else(by_last_part) {
        Some(near) => format!("did you mean `{prefix}{near}`?"),
        None if candidates.is_empty() => "there is nothing of this kind in the project".to_owned(),
        None if candidates.len() <= 10 => format!("there are {}", candidates.iter().map(|name| format!("`{prefix}{name}`")).collect::<Vec<_>>().join(", ")),
        None => "`karat graph` shows all tables".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn a_star_stands_for_anything_but_a_dot() {
        assert!(glob("gold.*", "gold.ohlcv_1m") && glob("*.trades", "silver.trades") && glob("gold.o*_1m", "gold.ohlcv_1m") && glob("g*.*", "gold.x"));
        assert!(!glob("gold*", "gold.x") && !glob("gold.*_1h", "gold.ohlcv_1m") && !glob("silver.trade", "silver.trades"));
    }
}
