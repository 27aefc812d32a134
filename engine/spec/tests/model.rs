//! What reaches the model: defaults, environment, templates, connections, names of broken tables.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

mod catalog;

use catalog::catalog;
use expect_test::{Expect, expect};
use karat_diagnostics::Diagnostic;
use karat_spec::model::{ByteSize, Count, Duration, MaxFailed, Strategy};
use karat_spec::{Environment, ProjectSpec, SourceSet, TableSpec, parse};
use serde_json::Value;
use std::collections::BTreeMap;

fn parse_with(texts: &[(&str, &str)], environment: &Environment) -> (SourceSet, ProjectSpec, Vec<Diagnostic>) {
    let sources = SourceSet::from_texts("/project", texts);
    let (spec, findings) = parse(&sources, environment, &catalog());
    (sources, spec, findings)
}

fn parse_clean(texts: &[(&str, &str)]) -> (SourceSet, ProjectSpec) {
    let (sources, spec, findings) = parse_with(texts, &Environment::Unresolved);
    assert!(findings.is_empty(), "{findings:#?}");
    (sources, spec)
}

fn variables(pairs: &[(&str, &str)]) -> Environment {
    Environment::Variables(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>())
}

fn table<'a>(spec: &'a ProjectSpec, name: &str) -> &'a TableSpec {
    spec.tables.iter().find(|table| table.name.to_string() == name).unwrap_or_else(|| panic!("no table {name}"))
}

fn check_json(table: &TableSpec, expected: Expect) {
    let json = table.bronze().map_or_else(|| serde_json::to_value(table.transform()), serde_json::to_value).expect("JSON");
    let mut json = json;
    drop_nulls(&mut json);
    expected.assert_eq(&format!("{json:#}"));
}

fn drop_nulls(value: &mut Value) {
    if let Value::Object(map) = value {
        map.retain(|_, value| !value.is_null());
        map.values_mut().for_each(drop_nulls);
    }
}

#[test]
fn every_key_of_the_language_reaches_the_model() {
    let (_, spec) = parse_clean(&[("full.yaml", include_str!("data/full.yaml"))]);
    let orders = table(&spec, "bronze.orders").bronze().expect("Bronze");
    let cdc = orders.cdc.as_ref().expect("cdc");
    assert_eq!((cdc.strategy, cdc.cursor.as_deref(), cdc.lookback), (Some(Strategy::Hybrid), Some("updated_at"), Duration::parse("5m")));
    let chunk = orders.chunk.as_ref().expect("chunk");
    assert_eq!((chunk.bytes, chunk.parallel), (ByteSize::parse("8MiB"), Some(Count(2))));
    assert_eq!(orders.checks.as_ref().map(|checks| checks[0].max_failed()), Some(MaxFailed::Rows(Count(10))));
    assert_eq!(spec.pipelines[0].schedule.as_ref().and_then(|schedule| schedule.timezone.as_deref()), Some("Europe/Berlin"));
    check_json(
        table(&spec, "bronze.events_us_view"),
        expect![[r#"
            {
              "from": {
                "connection": "raw",
                "path": "us/view/*.csv"
              },
              "types": {
                "id": "bigint",
                "at": "timestamp(3)"
              },
              "cdc": {
                "strategy": "full"
              },
              "chunk": {
                "rows": 2,
                "bytes": "64000B"
              },
              "to": {
                "connection": "lake"
              }
            }"#]],
    );
}

#[test]
fn nearer_defaults_win_key_by_key() {
    let (sources, spec) = parse_clean(&[
        (
            "karat.yaml",
            "version: 1\nconnections: { db: { type: sqlite, path: a.db } }\ndefaults:\n  bronze: { owner: project, tags: [p], from: { connection: db, table: t }, chunk: { rows: 1, parallel: 2 }, cdc: { strategy: hybrid, cursor: c, lookback: 5m } }\n",
        ),
        (
            "p.yaml",
            "version: 1\ndefaults:\n  bronze: { owner: pipeline, chunk: { rows: 3 } }\nbronze:\n  a:\n  b: { from: { query: SELECT 1 }, tags: [own], cdc: { cursor_sql: x } }\n  c: { cdc: { strategy: full } }\n",
        ),
    ]);
    check_json(
        table(&spec, "bronze.a"),
        expect![[r#"
        {
          "owner": "pipeline",
          "tags": [
            "p"
          ],
          "from": {
            "connection": "db",
            "table": "t"
          },
          "cdc": {
            "strategy": "hybrid",
            "cursor": "c",
            "lookback": "5m"
          },
          "chunk": {
            "rows": 3,
            "parallel": 2
          }
        }"#]],
    );
    check_json(
        table(&spec, "bronze.b"),
        expect![[r#"
        {
          "owner": "pipeline",
          "tags": [
            "own"
          ],
          "from": {
            "connection": "db",
            "query": "SELECT 1"
          },
          "cdc": {
            "strategy": "hybrid",
            "cursor_sql": "x",
            "lookback": "5m"
          },
          "chunk": {
            "rows": 3,
            "parallel": 2
          }
        }"#]],
    );
    check_json(
        table(&spec, "bronze.c"),
        expect![[r#"
        {
          "owner": "pipeline",
          "tags": [
            "p"
          ],
          "from": {
            "connection": "db",
            "table": "t"
          },
          "cdc": {
            "strategy": "full"
          },
          "chunk": {
            "rows": 3,
            "parallel": 2
          }
        }"#]],
    );
    let a = table(&spec, "bronze.a");
    assert_eq!(sources.map.file(a.spans.value("/from/table").file).path(), "karat.yaml");
    assert_eq!(sources.map.file(a.spans.value("/chunk/rows").file).path(), "p.yaml");
}

#[test]
fn values_of_the_environment_are_secrets() {
    let texts =
        [("p.yaml", "version: 1\nconnections:\n  db: { type: postgres, host: \"${HOST:-localhost}\", port: \"${PORT}\", password: \"${PASSWORD}\", user: \"u_${USER}\" }\n")];
    let (_, spec, findings) = parse_with(&texts, &variables(&[("PORT", "5432"), ("PASSWORD", "hunter2 {{ 1 }}"), ("USER", "me")]));
    assert!(findings.is_empty(), "{findings:#?}");
    let db = &spec.pipelines[0].connections["db"];
    assert_eq!(db.settings.get("port"), Some(&Value::from(5432)));
    assert_eq!(db.settings.known_text("password"), Some("hunter2 {{ 1 }}"));
    assert_eq!(db.settings.known_text("host"), Some("localhost"));
    assert!(db.settings.is_secret("password") && db.settings.is_secret("user") && !db.settings.is_secret("host"));
    assert_eq!(spec.secrets.0, ["5432", "hunter2 {{ 1 }}", "me"]);
    assert!(!format!("{db:?} {spec:?}").contains("hunter2"));
}

#[test]
fn short_values_of_the_environment_are_hidden_where_they_come_from_is_known() {
    let texts = [(
        "p.yaml",
        "version: 1\nvars: { v: \"${V}\" }\nconnections: { db: { type: postgres, port: \"{{ vars.v }}\" } }\nbronze:\n  b: { from: { connection: db, query: \"SELECT '${E}'\" } }\n\
         silver:\n  s: { sql: \"SELECT '${E}' AS x, '{{ vars.v }}' AS y, 1 AS z\", load: { mode: \"{{ vars.v }}\" } }\n",
    )];
    let (_, spec, findings) = parse_with(&texts, &variables(&[("V", "q7"), ("E", "e%")]));

    assert!(spec.pipelines[0].connections["db"].settings.is_secret("port"));
    assert!(format!("{:?}", table(&spec, "silver.s")).contains("SELECT '***' AS x, '***' AS y, 1 AS z"), "{:?}", table(&spec, "silver.s"));
    let shown = format!("{spec:?} {findings:?}");
    assert!(!shown.contains("e%") && !shown.contains("q7"), "{shown}");
    assert_eq!(findings.len(), 2, "{findings:?}");
}

#[test]
fn offline_a_variable_need_not_be_set() {
    let texts = [(
        "p.yaml",
        "version: 1\nconnections:\n  db: { type: postgres, url: \"${URL}\", port: \"${PORT}\" }\nbronze:\n  t: { from: { connection: db, table: \"${T}\" }, chunk: { rows: \"${ROWS}\", parallel: \"${P:-3}\" } }\n  u: { from: { connection: db, table: t } }\n",
    )];
    let (_, spec) = parse_clean(&texts);
    let db = &spec.pipelines[0].connections["db"];
    assert!(db.settings.is_unresolved() && db.settings.is_secret("url") && db.settings.known_text("url").is_none());
    assert!(table(&spec, "bronze.t").unresolved && !table(&spec, "bronze.u").unresolved);
    check_json(
        table(&spec, "bronze.t"),
        expect![[r#"
        {
          "from": {
            "connection": "db",
            "table": "${T}"
          },
          "chunk": {
            "parallel": 3
          }
        }"#]],
    );
}

#[test]
fn a_missing_variable_is_a_finding_that_shows_no_other_value() {
    let texts = [(
        "p.yaml",
        "version: 1\nname: \"${A} \"\nschedule: { cron: \"${A}\", timezone: \"${A}\" }\ntags: [\"${A}!\"]\nvars: { v: \"${A}\" }\nsilver:\n  \"s-{{ vars.v }}\": { sql: SELECT 1 }\n  t: { sql_file: \"{{ vars.v }}\", key: \"{{ vars.v }}\" }\nconnections:\n  db: { type: postgrs, url: \"${A}${B}\" }\n  dc: { type: postgres, url: \"${A}\", port: \"${A}\", sslmode: \"${A}\", \"${A}\": 1 }\nbronze:\n  t: { from: { connection: db, table: t }, chunk: { rows: \"${A}\", bytes: \"${A}\" }, cdc: { strategy: \"${A}\" }, load: \"${A}\", key: [\"${B}\"] }\n",
    )];
    let (_, _, findings) = parse_with(&texts, &variables(&[("A", "geheim")]));
    let shown = format!("{findings:?}");
    assert!(!shown.contains("geheim"), "{findings:#?}");
    assert_eq!(findings.iter().filter(|finding| finding.code.0 == "S024").count(), 2, "{findings:#?}");
}

#[test]
fn used_vars_are_known() {
    let (_, spec) = parse_clean(&[
        ("a.yaml", "version: 1\nvars: { own: 1, unused: 2, quoted: 3 }\nsilver:\n  s: { sql: \"SELECT {{ vars.own }} {{ vars['quoted'] }}\" }\n"),
        ("karat.yaml", "version: 1\nvars: { own: 5, shared: 6 }\n"),
    ]);
    let used: Vec<(&str, Option<usize>)> = spec.vars.iter().filter(|var| var.used).map(|var| (var.name.as_str(), var.pipeline)).collect();
    assert_eq!(used, [("own", Some(0)), ("quoted", Some(0))]);
}

#[test]
fn an_incremental_table_has_both_texts() {
    let (_, spec) = parse_clean(&[("full.yaml", include_str!("data/full.yaml"))]);
    let orders = table(&spec, "silver.shop_orders");
    let sql = |text: &Option<karat_spec::SqlText>| text.as_ref().map(|text| text.as_str().to_owned()).unwrap_or_default();
    let lines: Vec<String> = sql(&orders.sql).lines().map(|line| line.trim_end().to_owned()).collect();
    let expected = ["SELECT o.id, o.status", "FROM bronze.orders o", "WHERE o.quote = 'USDT' -- silver.shop_orders", "  AND a IS NOT NULL", "  AND b IS NOT NULL", ""];
    assert_eq!(lines, expected);
    assert!(sql(&orders.full_sql).contains("FROM bronze.orders AS o"));
    assert_eq!(sql(&table(&spec, "silver.folded").sql), "SELECT id FROM bronze.orders WHERE status = 'new'");
    assert!(table(&spec, "silver.folded").full_sql.is_none());
}

#[test]
fn expressions_of_checks_have_positions() {
    let (sources, spec, _) = parse_with(
        &[("p.yaml", "version: 1\nsilver:\n  s:\n    sql: SELECT 1\n    checks:\n      - { type: nope }\n      - { type: expression, sql: \"a > 0\", where: 'b' }\n")],
        &Environment::Unresolved,
    );
    let sql = &table(&spec, "silver.s").check_sql;
    assert_eq!(sql.keys().collect::<Vec<_>>(), ["/checks/0/sql", "/checks/0/where"]);
    assert_eq!(sources.map.snippet(sql["/checks/0/sql"].span(0..1)), "a");
    assert!(table(&spec, "silver.s").incomplete);
}

#[test]
fn broken_tables_keep_their_names() {
    let (_, spec, findings) = parse_with(
        &[
            (
                "a.yaml",
                "version: 1\nbronze:\n  a: { from: { connection: x } }\n  b: text\n  c: { from: { connection: x, table: t }, chunk: { rows: x } }\nsilver:\n  d: { sql_file: no.sql }\n",
            ),
            ("b.yaml", "version: 1\nbronze:\n  e:\n    from: { connection: x, table: y\n  f: {}\nsilver:\n  \"g\": { sql: SELECT 1 }\n"),
        ],
        &Environment::Unresolved,
    );
    assert!(!findings.is_empty());
    let broken: Vec<String> = spec.broken_tables.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(broken, ["bronze.a", "bronze.b", "silver.d", "bronze.f", "bronze.e"]);
    assert_eq!(spec.tables.iter().map(|table| table.name.to_string()).collect::<Vec<_>>(), ["bronze.c", "silver.g"]);
}

#[test]
fn every_project_has_a_warehouse_unless_it_defines_one() {
    let (_, spec) = parse_clean(&[("p.yaml", "version: 1\n")]);
    let warehouse = &spec.connections["warehouse"];
    assert!(warehouse.built_in && warehouse.plugin == "delta" && warehouse.settings.known_text("path") == Some(".karat/warehouse"));
    let (_, spec) = parse_clean(&[("karat.yaml", "version: 1\nname: my-shop\nconnections: { warehouse: { type: delta, path: lake } }\n"), ("p.yaml", "version: 1\n")]);
    assert!(!spec.connections["warehouse"].built_in);
    assert_eq!(spec.name, "my-shop");
    let (spec, findings) = parse(&SourceSet::default(), &Environment::Unresolved, &catalog());
    assert!(findings.is_empty() && spec.connections["warehouse"].built_in);
}
