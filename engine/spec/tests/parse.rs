//! What a user writes, and what comes out: positions, findings, the typed model.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

mod catalog;

use catalog::catalog;
use karat_diagnostics::{Diagnostic, SourceMap};
use karat_spec::{Environment, ProjectSpec, SourceSet, parse};
use std::fmt::Write;

const MARKET: &str = include_str!("data/market.yaml");

fn parse_texts(texts: &[(&str, &str)]) -> (SourceSet, ProjectSpec, Vec<Diagnostic>) {
    let sources = SourceSet::from_texts("/project", texts);
    let (spec, findings) = parse(&sources, &Environment::Unresolved, &catalog());
    (sources, spec, findings)
}

fn shown(map: &SourceMap, findings: &[Diagnostic]) -> String {
    let mut out = String::new();
    for finding in findings {
        let span = finding.primary.as_ref().expect("a place").span;
        let at = map.file(span.file).line_column(span.start);
        let _ = writeln!(out, "{}:{}:{} {} {} [{}]", map.file(span.file).path(), at.line, at.column, finding.code, finding.message, map.snippet(span).replace('\n', "⏎"));
        for note in &finding.notes {
            let _ = writeln!(out, "  = {note}");
        }
        if let Some(help) = &finding.help {
            let _ = writeln!(out, "  ? {help}");
        }
        for related in &finding.related {
            let at = map.file(related.span.file).line_column(related.span.start);
            let _ = writeln!(out, "  @ {}:{} {}", at.line, at.column, related.message);
        }
    }
    out
}

#[test]
fn the_example_of_the_language_parses_completely() {
    let (sources, spec, findings) = parse_texts(&[("pipelines/market.yaml", MARKET)]);

    assert_eq!(shown(&sources.map, &findings), "");
    let names: Vec<String> = spec.tables.iter().map(|table| table.name.to_string()).collect();
    assert_eq!(names, ["bronze.trades_binance", "silver.trades", "gold.ohlcv_1m", "gold.ohlcv_1h"]);
}

#[test]
fn a_word_inside_sql_stands_where_it_was_written() {
    let (sources, spec, _) = parse_texts(&[("pipelines/market.yaml", MARKET)]);
    for (table, word) in [(1, "bronze.trades_binance"), (3, "date_bin"), (3, "silver.trades")] {
        let sql = spec.tables[table].sql.as_ref().expect("a transform");
        let at = sql.as_str().find(word).expect("the word");
        let span = sql.span(at..at + word.len());
        assert_eq!(sources.map.snippet(span), word);
    }
    let sql = spec.tables[3].sql.as_ref().expect("a transform");
    let at = sql.as_str().find("1 hour").expect("the rendered interval");
    assert_eq!(sources.map.snippet(sql.span(at..at + 6)), "{{ bar.interval }}");
}
