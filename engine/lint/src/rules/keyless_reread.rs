//! D003: append without a key under a strategy that reads rows again.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};
use karat_spec::model::{LoadMode, NullCursor, Strategy};

pub(super) static RULE: Rule = Rule {
    group: Group::DataSafety,
    page: Explanation {
        code: "D003",
        title: "append without a key under a strategy that reads rows again",
        since: "0.1.0",
        what: "A table is appended to, its strategy reads rows at the watermark again, and no `key` says which of them are there already.",
        why: "The strategies `timestamp` and `hybrid` read the newest rows again in every run, and `lookback` and `null_cursor: always_reread` read more. Without a key two equal rows cannot be told from one row read twice.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    cdc: { strategy: timestamp, cursor: updated_at, lookback: 5m }
    load: { mode: append }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    key: [order_id]
    cdc: { strategy: timestamp, cursor: updated_at, lookback: 5m }
    load: { mode: append }
"#,
        fix: "Write the identifying columns as `key`, or replace the whole table with `strategy: full`.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let Some(strategy) = table.strategy() else { return Vec::new() };
    if !matches!(strategy, Strategy::Timestamp | Strategy::Hybrid) || table.load_mode() != Some(LoadMode::Append) || table.has_key() {
        return Vec::new();
    }
    let cdc = table.cdc();
    let (pointer, why) = match cdc {
        Some(cdc) if cdc.null_cursor == Some(NullCursor::AlwaysReread) => ("/cdc/null_cursor", "rows without a cursor value are read in every run"),
        Some(cdc) if cdc.lookback.is_some_and(|lookback| !lookback.0.is_zero()) => ("/cdc/lookback", "rows of the lookback are read again in every run"),
        _ => ("/cdc/strategy", "the rows at the watermark are read again in every run"),
    };
    let found = at(table.value(pointer), format!("`{}` reads rows again and appends them, but has no `key`", table.name()))
        .with_label("reads rows again")
        .with_note(format!("{why}; without a key nobody can tell which of them are there already"));
    let found =
        if table.written_mode().is_some() { found.with_secondary(table.value("/load/mode"), "appends them") } else { found.with_note("without a key the load mode is `append`") };
    vec![found.with_help("write the columns that identify a row as `key`")]
}
