//! The registry as a whole.

use crate::fixture::Project;
use crate::registry;
use expect_test::{Expect, expect};
use karat_diagnostics::Severity;

fn check(files: &[(&str, &str)], expected: Expect) {
    expected.assert_eq(&Project::new(files, &[]).text());
}

/// A page whose YAML belongs into `karat.yaml` says so in its first line; everything else is a pipeline.
fn file_of(yaml: &str) -> &'static str {
    if yaml.starts_with("# karat.yaml") { "karat.yaml" } else { "pipelines/example.yaml" }
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
        let unparsed: Vec<String> =
            project.findings.iter().filter(|finding| finding.code.0.starts_with('S') && finding.code.0 < "S100").map(|finding| finding.message.clone()).collect();
        if !unparsed.is_empty() {
            faults.push(format!("{}: the example does not parse: {}", rule.code(), unparsed.join("; ")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn nothing_is_found_in_what_a_page_says_passes() {
    let mut faults = Vec::new();
    let pages = karat_graph::explanations().iter().chain(registry().iter().map(|rule| &rule.page));
    for page in pages {
        let forced = registry().iter().map(|rule| rule.code()).filter(|code| *code == page.code).collect::<Vec<_>>();
        let project = Project::new(&[(file_of(page.passes), page.passes)], &forced);
        // A secret needs a connection to a server, which this build does not carry.
        if project.findings.iter().any(|finding| finding.code.0 == page.code || finding.severity == Severity::Error && finding.code.0 != "P001") {
            faults.push(format!("{}:\n{}", page.code, project.text()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

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
    check(
        &[("pipelines/shop.yaml", yaml)],
        expect![[r#"
            warning[C006]: var `unused` is not used
             --> pipelines/shop.yaml:2:9
              |
            2 | vars: { unused: 1 }
              |         ^^^^^^ no template reads it
              |
            help: take it out, or use it as `{{ vars.unused }}`

            warning[C005]: connection `old` is not used
             --> pipelines/shop.yaml:5:3
              |
            5 |   old: { type: postgres, url: "postgres://me:***@db/x", password: *** }
              |   ^^^ no table reads from it or writes to it
              |
            help: take it out, or use it

            error[P001]: plugin `postgres` of connection `old` is not part of this build
             --> pipelines/shop.yaml:5:16
              |
            5 |   old: { type: postgres, url: "postgres://me:***@db/x", password: *** }
              |                ^^^^^^^^ not part of this build
              |
              = note: this build carries `delta`, `files`, `sqlite`
            help: use a connection of another type

            error[D008]: connection `old` holds a password in plain text
             --> pipelines/shop.yaml:5:31
              |
            5 |   old: { type: postgres, url: "postgres://me:***@db/x", password: *** }
              |                               ^^^^^^^^^^^^^^^^^^^^^^^^ readable by everybody who can read this file
              |
              = note: what was committed once stays in the history: change the secret as well
            help: take it from the environment, such as `${OLD_URL}`

            error[D008]: connection `old` holds a secret in plain text
             --> pipelines/shop.yaml:5:67
              |
            5 |   old: { type: postgres, url: "postgres://me:***@db/x", password: *** }
              |                                                                   ^^^ readable by everybody who can read this file
              |
              = note: what was committed once stays in the history: change the secret as well
            help: take it from the environment, such as `${OLD_PASSWORD}`

            error[G020]: `bronze.orders` is copied from connection `shpo`, which is not defined
             --> pipelines/shop.yaml:8:25
              |
            8 |     from: { connection: shpo, table: orders }
              |                         ^^^^ not defined
              |
              = note: defined are `old`, `shop`, `warehouse`
            help: did you mean `shop`?

            error[D002]: strategy `timestamp` of `bronze.orders` has no `cursor`
             --> pipelines/shop.yaml:9:22
              |
            9 |     cdc: { strategy: timestamp, lookback: 0s, deletes: hard, slot: a }
              |                      ^^^^^^^^^ needs a cursor
              |
              = note: the cursor is the column whose order tells new rows from old ones
            help: add `cursor: updated_at`, or an expression as `cursor_sql`

            error[D003]: `bronze.orders` reads rows again and appends them, but has no `key`
              --> pipelines/shop.yaml:9:22
               |
             9 |     cdc: { strategy: timestamp, lookback: 0s, deletes: hard, slot: a }
               |                      ^^^^^^^^^ reads rows again
            10 |     load: { mode: append }
               |                   ------ appends them
               |
               = note: the rows at the watermark are read again in every run; without a key nobody can tell which of them are there already
            help: write the columns that identify a row as `key`

            warning[I004]: `lookback` of `bronze.orders` is zero
             --> pipelines/shop.yaml:9:43
              |
            9 |     cdc: { strategy: timestamp, lookback: 0s, deletes: hard, slot: a }
              |                                           ^^ reads nothing again
              |
            help: choose the time by which writers may be late, such as `5m`

            error[D005]: strategy `timestamp` of `bronze.orders` cannot see deletes
             --> pipelines/shop.yaml:9:56
              |
            9 |     cdc: { strategy: timestamp, lookback: 0s, deletes: hard, slot: a }
              |                                                        ^^^^ would have no effect
              |
              = note: deletes are seen by `full`, `window`, `diff` and `log`
            help: set `deletes: ignore`, or `strategy: diff` to see deletes

            warning[I001]: strategy `timestamp` of `bronze.orders` does not use `slot`
             --> pipelines/shop.yaml:9:62
              |
            9 |     cdc: { strategy: timestamp, lookback: 0s, deletes: hard, slot: a }
              |                                                              ^^^^ has no effect
              |
              = note: `slot` is used by `log`
            help: take `slot` out, or choose a strategy that uses it

            warning[L002]: files of `bronze.orders` close after 10 rows
              --> pipelines/shop.yaml:11:30
               |
            11 |     layout: { min_file_rows: 10, partition_by: [b], compression: zstd(22) }
               |                              ^^ tiny files
               |
            help: take `min_file_rows` out: the default is 50 000

            warning[L004]: `bronze.orders` makes a partition for almost every value of `b`
              --> pipelines/shop.yaml:11:49
               |
            11 |     layout: { min_file_rows: 10, partition_by: [b], compression: zstd(22) }
               |                                                 ^ a type of many values
               |
            help: partition by `month(b)` if it is a time, or by a column with few values

            warning[L008]: files of `bronze.orders` are compressed with zstd level 22
              --> pipelines/shop.yaml:11:66
               |
            11 |     layout: { min_file_rows: 10, partition_by: [b], compression: zstd(22) }
               |                                                                  ^^^^^^^^ very slow to write
               |
            help: choose a level up to 15; the default is `zstd(3)`

            warning[D009]: `guard.max_delete` of `bronze.orders` never refuses anything
              --> pipelines/shop.yaml:12:14
               |
            12 |     guard: { max_delete: 5% }
               |              ^^^^^^^^^^ no rows are deleted one by one here
               |
            help: take `max_delete` out

            error[S101]: the type of column `a` of `bronze.orders` cannot be read: `txt` is no type
              --> pipelines/shop.yaml:13:17
               |
            13 |     types: { a: txt, b: timestamp }
               |                 ^^^ no type
               |
            help: did you mean `text`?

            warning[L005]: `bronze.orders` is read in chunks of 1 row
              --> pipelines/shop.yaml:14:20
               |
            14 |     chunk: { rows: 1, parallel: 0 }
               |                    ^ a query at the source for each
               |
            help: take `rows` out: the default suits most tables

            warning[L005]: `bronze.orders` is read by no reader
              --> pipelines/shop.yaml:14:33
               |
            14 |     chunk: { rows: 1, parallel: 0 }
               |                                 ^ at least 1
               |
            help: take `parallel` out: the default suits most tables

            warning[C004]: the name of `silver.silver_orders` says its layer twice
              --> pipelines/shop.yaml:16:3
               |
            16 |   silver_orders:
               |   ^^^^^^^^^^^^^ says `silver` again
               |
            help: name it `orders`

            warning[C001]: `silver.silver_orders` takes whatever columns its inputs have
              --> pipelines/shop.yaml:18:14
               |
            18 |       SELECT *, now()
               |              ^ which columns?
               |
            help: name the columns

            warning[I005]: `silver.silver_orders` calls `now`, which differs from run to run
              --> pipelines/shop.yaml:18:17
               |
            18 |       SELECT *, now()
               |                 ^^^ another value in every run
               |
               = note: the table is recomputed in every run: the same inputs would give another result
            help: take the value from the data

            error[D007]: `silver.silver_orders` would be written outside of connection `warehouse`
              --> pipelines/shop.yaml:20:18
               |
            20 |     to: { table: ../x }
               |                  ^^^^ leads out of the connection's folder
               |
               = note: outputs may not leave the project or the declared warehouse
            help: write a path below the connection's folder, such as `silver/prices`

            error[S106]: check `row_count` of `silver.silver_orders` has neither `min` nor `max`
              --> pipelines/shop.yaml:22:9
               |
            22 |       - { type: row_count, max_failed: 1 }
               |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ can never do its work
               |
            help: add `min` or `max`

            warning[C009]: check `row_count` of `silver.silver_orders` does not use `max_failed`
              --> pipelines/shop.yaml:22:28
               |
            22 |       - { type: row_count, max_failed: 1 }
               |                            ^^^^^^^^^^ has no effect
               |
            help: take `max_failed` out

            error[P015]: this build does not make check `relationship` of `silver.silver_orders`
              --> pipelines/shop.yaml:23:17
               |
            23 |       - { type: relationship, columns: [a, a], to: bronze.orders, to_columns: [b], on_fail: drop }
               |                 ^^^^^^^^^^^^ not part of this build
               |
            help: choose one of `not_null`, `unique`, `accepted_values`, `expression`, `row_count`, `freshness`

            error[S103]: `checks[1].columns` of `silver.silver_orders` names column `a` twice
              --> pipelines/shop.yaml:23:44
               |
            23 |       - { type: relationship, columns: [a, a], to: bronze.orders, to_columns: [b], on_fail: drop }
               |                                         -  ^ named again
               |                                         |
               |                                         named first
               |
            help: take one of them out

            error[S106]: check `relationship` of `silver.silver_orders` compares 2 columns with 1
              --> pipelines/shop.yaml:23:79
               |
            23 |       - { type: relationship, columns: [a, a], to: bronze.orders, to_columns: [b], on_fail: drop }
               |                                                                               ^^^ can never do its work
               |
            help: name as many columns there as here

            error[P014]: this build does not run `on_fail: drop` of `silver.silver_orders`
              --> pipelines/shop.yaml:23:93
               |
            23 |       - { type: relationship, columns: [a, a], to: bronze.orders, to_columns: [b], on_fail: drop }
               |                                                                                             ^^^^ not part of this build
               |
            help: choose `fail` or `warn`; SQL can keep bad rows out with WHERE

            14 errors, 14 warnings
        "#]],
    );
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
    check(
        &[("pipelines/shop.yaml", yaml)],
        expect![[r#"
        error[G020]: `bronze.a` is written to connection `lake`, which is not defined
         --> pipelines/shop.yaml:3:69
          |
        3 | defaults: { bronze: { from: { connection: shop }, to: { connection: lake } } }
          |                                                                     ^^^^ not defined
          |
          = note: defined are `shop`, `warehouse`
          = note: the same holds for `bronze.b`, `bronze.c_1`, `bronze.c_2` and 3 more tables
        help: define `lake` below `connections`, or name a defined one

        1 error
    "#]],
    );
}

#[test]
fn a_default_that_does_not_suit_every_table_is_no_fault_of_a_table() {
    let yaml = r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
defaults:
  bronze:
    from: { connection: shop }
    guard: { max_shrink: 10% }
    cdc: { lookback: 5m }
bronze:
  whole: { from: { table: whole } }
  changes: { from: { table: changes }, key: [id], cdc: { strategy: hybrid, cursor: updated_at } }
"#;
    check(&[("pipelines/shop.yaml", yaml)], expect![[""]]);
}

#[test]
fn a_project_sets_levels() {
    let karat = "version: 1\nlint: { levels: { C004: error, L002: \"off\", C003: note, S013: warn, D999: warn, D101: warn, D0101: warn } }\n";
    let yaml = "version: 1\nsilver:\n  silver_x: { sql: \"SELECT 1 AS a\", layout: { min_file_rows: 1 } }\n";
    check(
        &[("karat.yaml", karat), ("pipelines/a.yaml", yaml)],
        expect![[r#"
            error[S104]: `S013` is no lint rule
             --> karat.yaml:2:57
              |
            2 | lint: { levels: { C004: error, L002: "off", C003: note, S013: warn, D999: warn, D101: warn, D0101: warn } }
              |                                                         ^^^^ its level cannot be changed
              |
            help: take it out: only rules of lint have a level

            error[S104]: `D999` is no lint rule
             --> karat.yaml:2:69
              |
            2 | lint: { levels: { C004: error, L002: "off", C003: note, S013: warn, D999: warn, D101: warn, D0101: warn } }
              |                                                                     ^^^^ no rule has this code
              |
            help: rules have codes such as `D001` or `C005`

            error[S104]: `D0101` is no lint rule
             --> karat.yaml:2:93
              |
            2 | lint: { levels: { C004: error, L002: "off", C003: note, S013: warn, D999: warn, D101: warn, D0101: warn } }
              |                                                                                             ^^^^^ no rule has this code
              |
            help: did you mean `D001`?

            note[C003]: nobody owns `silver.silver_x`
             --> pipelines/a.yaml:3:3
              |
            3 |   silver_x: { sql: "SELECT 1 AS a", layout: { min_file_rows: 1 } }
              |   ^^^^^^^^ no owner here or in the pipeline
              |
            help: add `owner` to the pipeline

            error[C004]: the name of `silver.silver_x` says its layer twice
             --> pipelines/a.yaml:3:3
              |
            3 |   silver_x: { sql: "SELECT 1 AS a", layout: { min_file_rows: 1 } }
              |   ^^^^^^^^ says `silver` again
              |
            help: name it `x`

            4 errors, 1 note
        "#]],
    );
}

#[test]
fn windows_and_comparisons_go_with_their_own_modes_and_guards() {
    for (table, expected) in [
        ("cdc: { strategy: window, cursor: day }", &[][..]),
        ("cdc: { strategy: window, cursor: day }, load: { mode: window }", &[]),
        ("cdc: { strategy: window, cursor: day }, load: { mode: upsert }", &["D013"]),
        ("cdc: { strategy: window, cursor: day }, load: { mode: replace }", &["D013"]),
        ("cdc: { strategy: window, cursor_sql: day }", &["D002", "I001"]),
        ("cdc: { strategy: window, cursor: day }, guard: { allow_empty: true }", &[]),
        ("cdc: { strategy: window, cursor: day }, guard: { max_shrink: 10%, max_delete: 10% }", &["D009", "D009"]),
        ("cdc: { strategy: diff }", &[]),
        ("cdc: { strategy: diff }, load: { mode: upsert }", &[]),
        ("cdc: { strategy: diff }, load: { mode: append }", &["D013"]),
        ("cdc: { strategy: diff }, load: { mode: replace }", &["D013"]),
        ("cdc: { strategy: diff, cursor: day }", &["I001"]),
        ("cdc: { strategy: diff }, guard: { max_delete: 10% }", &["D009"]),
        ("cdc: { strategy: diff }, guard: { allow_empty: true }", &["D009"]),
        ("cdc: { strategy: diff, deletes: soft }, guard: { max_delete: 10%, allow_empty: true }", &[]),
        ("cdc: { strategy: diff, deletes: hard }, guard: { max_shrink: 10% }", &["D009"]),
        ("cdc: { strategy: hybrid, cursor: day }, load: { mode: window }", &["D013"]),
    ] {
        let yaml = format!(
            "version: 1\nconnections: {{ shop: {{ type: sqlite, path: shop.db }} }}\nbronze:\n  orders:\n    {{ from: {{ connection: shop, table: orders }}, key: [id], {table} }}\n"
        );
        let project = Project::new(&[("pipelines/shop.yaml", &yaml)], &[]);

        let mut codes: Vec<&str> = project.findings.iter().map(|finding| finding.code.0).filter(|code| code.starts_with(['D', 'I', 'P'])).collect();
        codes.sort_unstable();
        assert_eq!(codes, expected, "{table}");
    }
}

#[test]
fn a_misspelt_table_is_not_called_unread_as_well() {
    let yaml = |reads: &str| {
        format!(
            "version: 1\nconnections: {{ shop: {{ type: sqlite, path: shop.db }} }}\nbronze:\n  orders: {{ from: {{ connection: shop, table: orders }} }}\n\
             silver:\n  sales: {{ sql: \"SELECT id FROM {reads}\" }}\ngold:\n  total: {{ sql: \"SELECT count(*) AS n FROM silver.sales\" }}\n"
        )
    };
    for reads in ["bronze.ordres", "orders", "ordres", "raw.orders", "silver.orders"] {
        assert_eq!(Project::new(&[("shop.yaml", &yaml(reads))], &[]).findings.len(), 1, "{reads}");
    }
    let unlike = Project::new(&[("shop.yaml", &yaml("bronze.customers"))], &[]);
    assert_eq!(unlike.findings.iter().map(|finding| finding.code.0).collect::<Vec<_>>(), ["G002", "L007"]);
}

#[test]
fn what_a_broken_table_names_is_not_called_unused() {
    let head = "version: 1\nvars: { since: 2024 }\nconnections: { shop: { type: sqlite, path: shop.db } }\n";
    let whole = "bronze:\n  orders: { from: { connection: shop, table: orders } }\nsilver:\n  sales: { sql: \"SELECT id FROM bronze.orders WHERE y > {{ vars.since }}\" }\n\
                 gold:\n  total: { sql: \"SELECT 1 AS n FROM silver.sales\" }\n";
    for (sound, broken) in [
        ("", ""),
        ("  orders: { from", "  Orders: { from"),
        ("  orders: { from", "  orders: { key: {}, from"),
        ("  orders: { from", "  orders: { for_each: { n: [] }, from"),
        ("connection: shop", "connection: [shop]"),
        ("  orders: { from", "  orders: { from: { connection: shop, table: x } }\n  orders: { from"),
        ("  sales: { sql", "  sales: { sql_file: x.sql, sql"),
        ("  sales: {", "  sales: { key: 1,"),
        ("vars.since }}", "vars.since }} {{"),
        ("\"SELECT id FROM bronze.orders WHERE y > {{ vars.since }}\"", "{{ vars.since }} FROM bronze.orders"),
        ("gold:\n  total: { sql: \"SELECT 1 AS n FROM silver.sales\" }", "gold:\n  total: [ \"SELECT 1 AS n FROM silver.sales\" ]\n  other: { sql: SELECT 1 AS n }"),
        ("gold:\n  total: { sql: \"SELECT 1 AS n FROM silver.sales\" }", "gold: [ \"SELECT 1 AS n FROM silver.sales\" ]"),
    ] {
        let yaml = format!("{head}{}", whole.replacen(sound, broken, 1));
        let project = Project::new(&[("shop.yaml", &yaml)], &[]);
        assert_eq!(project.findings.len(), usize::from(!broken.is_empty()), "{broken}\n{}", project.text());
    }
}

/// A project in which everything is used and every default is needed, with pieces of its text replaced.
fn with_syntax_errors(edits: &[(&str, &str)]) -> Project {
    let mut karat = "version: 1\nvars:\n  since: 2024\n  quote: USDT\nconnections:\n  shop: { type: sqlite, path: shop.db }\n  old: { type: sqlite, path: old.db }\n\
                     defaults:\n  bronze:\n    from: { connection: shop }\n"
        .to_owned();
    let mut pipeline = "version: 1\nbronze:\n  orders: { from: { table: orders } }\n  returns:\n    from: { table: returns }\n    key: [id]\n  \"odd_{{ n }}\":\n    for_each: { n: [1] }\n    \
                        from: { connection: old, table: \"t{{ n }}\" }\nsilver:\n  sales:\n    sql: |\n      SELECT a.id FROM bronze.orders a JOIN bronze.returns b ON a.id = b.id\n      \
                        WHERE a.y > {{ vars.since }} AND q = '{{ vars.quote }}'\n  odds: { sql: \"SELECT id FROM bronze.odd_1\" }\ngold:\n  \
                        total: { sql: \"SELECT count(*) AS n FROM silver.sales JOIN silver.odds ON sales.id = odds.id\" }\n"
        .to_owned();
    for (sound, broken) in edits {
        assert!(karat.contains(sound) || pipeline.contains(sound), "{sound}");
        karat = karat.replacen(sound, broken, 1);
        pipeline = pipeline.replacen(sound, broken, 1);
    }
    Project::new(&[("karat.yaml", &karat), ("shop.yaml", &pipeline)], &[])
}

#[test]
fn a_syntax_error_is_one_finding_wherever_it_stands() {
    assert_eq!(with_syntax_errors(&[]).text(), "");
    for edit in [
        ("  orders: { from: { table: orders } }", "  orders: { from: { table: orders }"),
        ("  orders: { from: { table: orders } }", "  orders: { from: { table: \"orders } }"),
        ("    from: { table: returns }\n", "   from: { table: returns }\n"),
        ("    key: [id]", "\tkey: [id]"),
        ("    key: [id]", "  - key"),
        ("for_each: { n: [1] }", "for_each: { n: [1 }"),
        ("  sales:\n", "  sales\n"),
        ("silver:\n", "silver\n"),
        ("silver:\n", "silver: x\n"),
        ("gold:\n", "gold: [\n"),
        ("  since: 2024", "  since: \"2024"),
        ("vars:\n", "vars: &\n"),
        ("  shop: { type: sqlite", "  shop: { type: @sqlite"),
        ("connections:\n", "connections: x: y\n"),
        ("    from: { connection: shop }", "    from: { connection: shop"),
        ("defaults:\n", "defaults: '\n"),
        ("version: 1\nvars", "version: [1\nvars"),
        ("version: 1\nbronze", "{ version: 1\nbronze"),
    ] {
        let project = with_syntax_errors(&[edit]);
        assert_eq!(project.findings.iter().map(|finding| finding.code.0).collect::<Vec<_>>(), ["S001"], "{edit:?}\n{}", project.text());
    }
}

#[test]
fn syntax_errors_hide_neither_each_other_nor_anything_else() {
    let project = with_syntax_errors(&[
        ("  since: 2024", "  since: \"2024"),
        ("  orders: { from: { table: orders } }", "  orders: { from: { table: orders }"),
        ("    key: [id]", "    kee: [id]"),
        ("  odds: { sql: \"SELECT id FROM bronze.odd_1\" }", "  odds: { sql: \"SELECT id FROM bronze.odd_1 }"),
        ("gold:\n", "gold:\n  more: { sql: SELECT id FROM silver.unheard_of }\n"),
    ]);
    let shown: Vec<String> = project.findings.iter().map(|finding| project.sources.map.place(finding.primary.as_ref().expect("a place").span) + " " + finding.code.0).collect();
    assert_eq!(shown, ["karat.yaml:3:10 S001", "shop.yaml:3:11 S001", "shop.yaml:6:5 S013", "shop.yaml:15:16 S001", "shop.yaml:17:31 G002"], "{}", project.text());
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
    check(
        &[("pipelines/a.yaml", yaml)],
        expect![[r#"
        error[D006]: `silver.two` writes into the folder that `silver.one` writes
         --> pipelines/a.yaml:5:60
          |
        5 |   two: { sql: "SELECT 1 AS n", to: { connection: b, table: x/y } }
          |                                                            ^^^ writes `.karat/warehouse/x/y`
          |
          = note: a table owns the whole folder it is written to
        note: `silver.one` is written here
         --> pipelines/a.yaml:4:60
          |
        4 |   one: { sql: "SELECT 1 AS n", to: { connection: a, table: x } }
          |                                                            ^
        help: give one of them another `to.table`

        error[D006]: `silver.four` and `silver.five` write the same target
         --> pipelines/a.yaml:8:61
          |
        8 |   five: { sql: "SELECT 1 AS n", to: { connection: c, table: x } }
          |                                                             ^ writes `x`
          |
          = note: a table owns the whole folder it is written to
        note: `silver.four` is written here
         --> pipelines/a.yaml:7:61
          |
        7 |   four: { sql: "SELECT 1 AS n", to: { connection: c, table: x } }
          |                                                             ^
        help: give one of them another `to.table`

        error[D006]: `silver.six` and `silver.seven` write the same target
          --> pipelines/a.yaml:10:47
           |
        10 |   seven: { sql: "SELECT 1 AS n", to: { table: silver/six } }
           |                                               ^^^^^^^^^^ writes `.karat/warehouse/silver/six`
           |
           = note: a table owns the whole folder it is written to
        note: `silver.six` is written here
          --> pipelines/a.yaml:9:3
           |
         9 |   six: { sql: "SELECT 1 AS n" }
           |   ^^^
        help: give one of them another `to.table`

        3 errors
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
