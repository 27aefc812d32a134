//! What a user writes, and what comes out: positions, findings, the typed model.

mod catalog;

use catalog::catalog;
use expect_test::{Expect, expect};
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

fn check(texts: &[(&str, &str)], expected: Expect) {
    let (sources, _, findings) = parse_texts(texts);
    expected.assert_eq(&shown(&sources.map, &findings));
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

#[test]
fn probe() {
    check(
        &[(
            "a.yaml",
            "version: 1\nbronze:\n  t:\n    frm: {}\n    chunk: {rows: 5e4, bytes: 10MBB}\n    cdc: {strategy: hybird, lookback: 30}\n    guard: {allow_empty: yes}\n    key: id\n",
        )],
        expect![[r#"
            a.yaml:3:3 S019 a Bronze table needs the key `from` [t]
              ? add `from: { connection: …, table: … }`
            a.yaml:4:5 S013 `frm` is not a key of a Bronze table [frm]
              ? did you mean `from`?
            a.yaml:5:19 S018 `chunk.rows` expects a number of rows above 0, or `auto`; found the number `5e4` [5e4]
              ? write `50000`
            a.yaml:5:31 S018 `chunk.bytes` expects a size with a unit; found the text `10MBB` [10MBB]
              ? write `10MB`
            a.yaml:6:21 S016 `cdc.strategy` cannot be `hybird` [hybird]
              = choices: `full`, `id`, `timestamp`, `hybrid`, `window`, `diff`, `log`
              ? did you mean `hybrid`?
            a.yaml:6:39 S018 `cdc.lookback` expects a duration with units; found the number `30` [30]
              ? add a unit: `30s`, `30m`, `30h` or `30d`
            a.yaml:7:26 S014 `guard.allow_empty` expects `true` or `false`; found the text `yes` [yes]
              ? write `true`
            a.yaml:8:10 S014 `key` expects a list; found the text `id` [id]
              ? write it as a list: `[…]`
        "#]],
    );
}
