//! Faults of what several tables share: defaults, levels, targets.

use super::check;
use crate::fixture::Project;
use expect_test::expect;

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
fn several_writers_are_for_databases_that_take_them() {
    let yaml = |plugin: &str| {
        format!(
            "version: 1\nconnections:\n  shop: {{ type: sqlite, path: shop.db }}\n  copy: {{ type: {plugin}, url: \"${{COPY_URL}}\" }}\n\
             bronze:\n  orders:\n    from: {{ connection: shop, table: orders }}\n    to: {{ connection: copy }}\n    load: {{ mode: replace, workers: 2 }}\n"
        )
    };
    let found = |plugin: &str| Project::new(&[("pipelines/shop.yaml", &yaml(plugin))], &[]).text();
    assert!(found("postgres").contains("`load.workers` of `bronze.orders` has no effect: plugin `postgres` writes with one connection"), "{}", found("postgres"));
    assert!(!found("mysql").contains("has no effect"), "{}", found("mysql"));
}
