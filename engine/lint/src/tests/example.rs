//! The example of the contract, whole, grown and mutilated.

use super::check;
use crate::fixture::Project;
use expect_test::expect;

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

#[test]
fn the_example_of_the_contract_is_clean_but_for_what_this_build_does_not_run() {
    check(
        &[("pipelines/market.yaml", MARKET)],
        expect![[r#"
        note[I006]: `chunk.parallel` of `bronze.trades_binance` has no effect
          --> pipelines/market.yaml:24:52
           |
        24 |     chunk: { rows: 50_000, bytes: 32MiB, parallel: 2 }
           |                                                    ^ strategy `hybrid` reads in order, by one reader
           |
        help: take `parallel` out

        warning[P016]: this build recomputes all of `silver.trades` in every run
          --> pipelines/market.yaml:37:5
           |
        37 |     incremental: { strategy: new_rows, inputs: [bronze.trades_binance] }
           |     ^^^^^^^^^^^ not part of this build
           |
           = note: the result is the same, only slower

        error[P009]: this build does not run load mode `upsert` of `silver.trades`
          --> pipelines/market.yaml:38:19
           |
        38 |     load: { mode: upsert }
           |                   ^^^^^^ not part of this build
           |
           = note: Silver and Gold are recomputed in every run and replaced atomically
        help: take `mode` out, or set `mode: replace`

        error[P014]: this build does not run `on_fail: quarantine` of `silver.trades`
          --> pipelines/market.yaml:41:56
           |
        41 |       - { type: expression, sql: "price > 0", on_fail: quarantine }
           |                                                        ^^^^^^^^^^ not part of this build
           |
        help: choose `fail` or `warn`; SQL can keep bad rows out with WHERE

        warning[P016]: this build recomputes all of `gold.ohlcv_1m` in every run
          --> pipelines/market.yaml:59:5
           |
        59 |     incremental: { strategy: touched_partitions, input: silver.trades, partition: "date_trunc('day', exchange_timestamp)" }
           |     ^^^^^^^^^^^ not part of this build
           |
           = note: the result is the same, only slower
           = note: the same holds for `gold.ohlcv_1h`

        2 errors, 2 warnings, 1 note
    "#]],
    );
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
}

#[test]
fn no_mutant_of_the_example_panics_and_every_finding_lies_in_the_text() {
    let lines: Vec<&str> = MARKET.lines().collect();
    let mut mutants = Vec::new();
    for at in 0..lines.len() {
        let without: Vec<&str> = lines.iter().enumerate().filter(|(index, _)| *index != at).map(|(_, line)| *line).collect();
        let mut twice = lines.clone();
        twice.insert(at, lines[at]);
        let half = lines[at].char_indices().nth(lines[at].chars().count() / 2).map_or(0, |(byte, _)| byte);
        let mut cut = lines.clone();
        cut[at] = &lines[at][..half];
        mutants.extend([without.join("\n"), twice.join("\n"), cut.join("\n"), lines[..at].join("\n")]);
    }
    for mutant in mutants {
        let project = Project::new(&[("pipelines/market.yaml", &mutant)], &["C002", "C003", "C008"]);
        for label in project.findings.iter().flat_map(|finding| &finding.primary) {
            assert!(label.span.end as usize <= mutant.len() && label.span.start <= label.span.end, "{mutant}");
        }
        assert!(project.findings.is_empty() || project.text().contains("market.yaml"));
    }
}
