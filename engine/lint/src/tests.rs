//! The registry as a whole.

use crate::fixture::Project;
use crate::registry;
use expect_test::{Expect, expect};
use karat_diagnostics::Severity;

fn check(files: &[(&str, &str)], expected: Expect) {
    expected.assert_eq(&Project::new(files, &[]).text());
}

/// `lint.levels` and the like stand in `karat.yaml`; everything else is a pipeline.
fn file_of(yaml: &str) -> &'static str {
    if yaml.contains("\nlint:") || yaml.contains("\nstate:") { "karat.yaml" } else { "pipelines/example.yaml" }
}

#[test]
fn codes_are_sorted_unique_and_in_their_ranges() {
    let codes: Vec<&str> = registry().iter().map(|rule| rule.code()).collect();
    let mut sorted = codes.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(codes, sorted);
    assert!(codes.iter().all(|code| code.len() == 4 && code.starts_with(['S', 'G', 'I', 'D', 'L', 'P', 'C'])));
    let pages = crate::explanations();
    assert!(pages.windows(2).all(|pair| pair[0].code < pair[1].code), "two pages have one code");
}

#[test]
fn every_page_says_everything() {
    for page in crate::explanations() {
        let texts = [page.title, page.since, page.what, page.why, page.fails, page.passes, page.fix];
        assert!(texts.iter().all(|text| !text.trim().is_empty()), "{}", page.code);
    }
}

#[test]
fn every_rule_reports_what_its_page_says_fails() {
    let mut faults = Vec::new();
    for rule in registry() {
        let project = Project::new(&[(file_of(rule.page.fails), rule.page.fails)], &[rule.code()]);
        let hits: Vec<_> = project.findings.iter().filter(|finding| finding.code.0 == rule.code()).collect();
        if hits.is_empty() {
            faults.push(format!("{} is not reported; found instead:\n{}", rule.code(), project.text()));
        }
        if hits.iter().any(|hit| hit.primary.is_none() || hit.help.is_none() && hit.notes.is_empty()) {
            faults.push(format!("{} has no place, or says neither why nor how", rule.code()));
        }
        let unparsed: Vec<String> = project.findings.iter().filter(|finding| finding.code.0.starts_with('S') && finding.code.0 < "S100").map(|finding| finding.message.clone()).collect();
        if !unparsed.is_empty() {
            faults.push(format!("{}: the example does not parse: {}", rule.code(), unparsed.join("; ")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn nothing_is_found_in_what_a_page_says_passes() {
    let mut faults = Vec::new();
    for page in crate::explanations() {
        let forced = registry().iter().map(|rule| rule.code()).filter(|code| *code == page.code).collect::<Vec<_>>();
        let project = Project::new(&[(file_of(page.passes), page.passes)], &forced);
        if project.findings.iter().any(|finding| finding.code.0 == page.code || finding.severity == Severity::Error) {
            faults.push(format!("{}:\n{}", page.code, project.text()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_example_of_the_contract_is_clean_but_for_what_this_build_does_not_run() {
    check(&[("pipelines/market.yaml", MARKET)], expect![[""]]);
}

#[test]
fn several_faults_are_found_at_once() {
    let yaml = r#"version: 1
vars: { unused: 1 }
connections:
  shop: { type: sqlite, path: shop.db }
  old: { type: postgres, url: "postgres://me:hunter2@db/x", password: hunter3 }
bronze:
  orders:
    from: { connection: shpo, table: orders }
    cdc: { strategy: timestamp, lookback: 0s, deletes: hard, slot: a }
    load: { mode: append }
    layout: { min_file_rows: 10, partition_by: [b], compression: zstd(22) }
    guard: { max_delete: 5% }
    types: { a: txt, b: timestamp }
    chunk: { rows: 1, parallel: 0 }
silver:
  silver_orders:
    sql: |
      SELECT *, now()
      FROM bronze.orders
    to: { table: ../x }
    checks:
      - { type: row_count, max_failed: 1 }
      - { type: relationship, columns: [a, a], to: bronze.orders, to_columns: [b], on_fail: drop }
"#;
    check(&[("pipelines/shop.yaml", yaml)], expect![[""]]);
}

#[test]
fn a_finding_shared_through_defaults_is_told_once() {
    let yaml = r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
defaults: { bronze: { from: { connection: shop }, to: { connection: lake } } }
bronze:
  a: { from: { table: a } }
  b: { from: { table: b } }
  "c_{{ n }}": { for_each: { n: [1, 2, 3, 4, 5] }, from: { table: "c{{ n }}" } }
"#;
    check(&[("pipelines/shop.yaml", yaml)], expect![[""]]);
}

#[test]
fn a_project_sets_levels() {
    let karat = "version: 1\nlint: { levels: { C004: error, L002: \"off\", C003: note, S013: warn, D999: warn } }\n";
    let yaml = "version: 1\nsilver:\n  silver_x: { sql: \"SELECT 1 AS a\", layout: { min_file_rows: 1 } }\n";
    check(&[("karat.yaml", karat), ("pipelines/a.yaml", yaml)], expect![[""]]);
}

#[test]
fn targets_inside_each_other_are_found_whatever_the_spelling() {
    let yaml = r#"version: 1
connections: { a: { type: delta, path: .karat/warehouse }, b: { type: delta, path: ./.karat//warehouse/ }, c: { type: delta, path: "${LAKE}" } }
silver:
  one: { sql: "SELECT 1 AS n", to: { connection: a, table: x } }
  two: { sql: "SELECT 1 AS n", to: { connection: b, table: x/y } }
  three: { sql: "SELECT 1 AS n", to: { connection: b, table: x-y } }
  four: { sql: "SELECT 1 AS n", to: { connection: c, table: x } }
  five: { sql: "SELECT 1 AS n", to: { connection: c, table: x } }
  six: { sql: "SELECT 1 AS n" }
  seven: { sql: "SELECT 1 AS n", to: { table: silver/six } }
"#;
    check(&[("pipelines/a.yaml", yaml)], expect![[""]]);
}

#[test]
fn a_thousand_tables_are_judged() {
    let mut yaml = String::from("version: 1\nconnections: { shop: { type: sqlite, path: shop.db } }\nbronze:\n");
    for n in 0..500 {
        yaml.push_str(&format!("  t{n}: {{ from: {{ connection: shop, table: t{n} }}, key: [id], cdc: {{ strategy: hybrid, cursor: updated_at }} }}\n"));
    }
    yaml.push_str("gold: {}\nsilver:\n");
    for n in 0..500 {
        yaml.push_str(&format!("  t{n}: {{ sql: \"SELECT id, v FROM bronze.t{n} WHERE v > {n}\", key: [id] }}\n"));
    }
    let project = Project::new(&[("pipelines/a.yaml", yaml.as_str())], &[]);
    assert_eq!((project.spec.tables.len(), project.text()), (1000, String::new()));
    let start = std::time::Instant::now();
    let found = crate::run(&project.spec, &project.graph, &crate::fixture::catalog());
    assert!(found.is_empty() && start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}

const MARKET: &str = r#"version: 1
name: market
description: Trades of two exchanges, unified, then rolled up to price bars.
owner: market-data
tags: [trading]
schedule: { cron: "*/15 * * * *", timezone: UTC }
vars: { quote: USDT }

connections:
  exchange: { type: sqlite, path: exchange.db }
  lake: { type: delta, path: .karat/warehouse }

defaults:
  bronze: { to: { connection: lake } }
  silver: { to: { connection: lake } }
  gold: { to: { connection: lake } }

bronze:
  trades_binance:
    description: One row per executed trade.
    from: { connection: exchange, table: bronze_trades_binance }
    key: [trade_id]
    cdc: { strategy: hybrid, cursor: exchange_timestamp, lookback: 5m }
    chunk: { rows: 50_000, bytes: 32MiB, parallel: 2 }
    load: { mode: append }
    layout: { partition_by: ["day(exchange_timestamp)"], compression: zstd(3), min_file_rows: 50_000, target_file_bytes: 128MiB }
    checks:
      - { type: not_null, columns: [symbol, price] }

silver:
  trades:
    sql: |
      SELECT 'binance' AS exchange, symbol, trade_id, price, quantity, exchange_timestamp
      FROM bronze.trades_binance
      WHERE symbol LIKE '%{{ vars.quote }}'
    key: [exchange, symbol, trade_id]
    incremental: { strategy: new_rows, inputs: [bronze.trades_binance] }
    load: { mode: upsert }
    checks:
      - { type: unique, columns: [exchange, symbol, trade_id] }
      - { type: expression, sql: "price > 0", on_fail: quarantine }

gold:
  "ohlcv_{{ bar.name }}":
    for_each:
      bar:
        - { name: 1m, interval: 1 minute }
        - { name: 1h, interval: 1 hour }
    depends_on: [silver.trades]
    sql: |
      SELECT symbol,
             date_bin(INTERVAL '{{ bar.interval }}', exchange_timestamp) AS bar_start,
             first_value(price ORDER BY exchange_timestamp, trade_id) AS open,
             max(price) AS high, min(price) AS low,
             last_value(price ORDER BY exchange_timestamp, trade_id) AS close,
             sum(quantity) AS volume
      FROM silver.trades GROUP BY 1, 2
    key: [symbol, bar_start]
    incremental: { strategy: touched_partitions, input: silver.trades, partition: "date_trunc('day', exchange_timestamp)" }
"#;
