//! Plans of small projects, as people read them.

use crate::render::{dot, json, markdown, mermaid, text};
use crate::{PlanInput, PlanOptions, RunPlan, Schemas, Targets, build, explanations, locked_sources};
use arrow_schema::{DataType, Field, Schema};
use expect_test::{Expect, expect};
use karat_diagnostics::Diagnostic;
use karat_diagnostics::render::Color;
use karat_graph::CheckedGraph;
use karat_plugin_api::{Column, CursorValue, DeclaredType, Generation, Position, SeesWriters, SourceSchema, StreamId, Tail};
use karat_spec::model::TableName;
use karat_spec::{Capabilities, Catalog, Environment, PluginManifest, SourceSet};
use karat_state::{StateSnapshot, StreamState};
use std::sync::Arc;
use std::time::Instant;

const MARKET: &str = r#"version: 1
name: market
schedule: { cron: "*/15 * * * *" }
connections:
  exchange: { type: sqlite, path: market.db }
  lake: { type: delta, path: .karat/warehouse }
defaults:
  bronze: { to: { connection: lake } }
bronze:
  trades:
    from: { connection: exchange, table: trades }
    cdc: { strategy: hybrid, cursor: traded_at }
    chunk: { rows: 20_000, bytes: 32MiB }
    load: { mode: append }
    layout: { partition_by: ["day(traded_at)"] }
    checks:
      - { type: not_null, columns: [symbol, price] }
  rates:
    from: { connection: files, path: "*.csv" }
    types: { currency: text, rate: "decimal(18,6)" }
silver:
  clean:
    sql: |
      SELECT * FROM bronze.trades JOIN bronze.rates USING (currency);
    key: [trade_id]
    dedup: { order_by: [traded_at] }
    checks:
      - { type: expression, sql: "price > 0", on_fail: warn }
"#;

fn catalog() -> Catalog {
    let config = serde_json::json!({"type": "object", "properties": {"path": {"type": "string"}, "format": {"type": "string"}}});
    let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    let plugin = |name: &str, strategies: &[&str], objects: &[&str], modes: &[&str]| {
        let capabilities = Capabilities {
            source_strategies: owned(strategies),
            source_objects: owned(objects),
            load_modes: owned(modes),
            layout: !modes.is_empty(),
            atomic_position: !modes.is_empty(),
            declared_types_only: false,
            serial_commits: name == "sqlite",
            settles_late_commits: false,
            parallel_writers: false,
        };
        (name.to_owned(), PluginManifest { name: name.to_owned(), description: String::new(), available: true, capabilities, config: config.clone() })
    };
    let plugins = [
        plugin("delta", &[], &[], &["append", "upsert", "replace"]),
        plugin("files", &["full"], &["path"], &["append", "replace"]),
        plugin("sqlite", &["full", "id", "timestamp", "hybrid"], &["table", "query"], &[]),
    ];
    Catalog { plugins: plugins.into_iter().collect() }
}

fn source(columns: &[(&str, &str, bool)], primary_key: &[&str], rows: Option<u64>) -> SourceSchema {
    let column = |(name, declared, nullable): &(&str, &str, bool)| Column {
        name: (*name).to_owned(),
        declared: (*declared).to_owned(),
        data_type: DeclaredType::parse(declared).expect("a type").data_type().clone(),
        nullable: *nullable,
    };
    SourceSchema {
        columns: columns.iter().map(column).collect(),
        primary_key: primary_key.iter().map(|name| (*name).to_owned()).collect(),
        indexes: Vec::new(),
        estimated_rows: rows,
        estimated_bytes: rows.map(|rows| rows * 80),
        identity: "market.db".into(),
        sees_writers: SeesWriters::Unasked,
    }
}

fn trades() -> SourceSchema {
    let columns = [("trade_id", "bigint", false), ("symbol", "text", true), ("price", "decimal(18,8)", true), ("currency", "text", true), ("traded_at", "timestamp", false)];
    source(&columns, &["trade_id"], Some(4_000_000))
}

/// What state knows of a table of the pipeline `market`.
fn state(table: &str, hi: Position) -> (StreamId, StreamState) {
    let stream = StreamId::new("market", table);
    let state = StreamState {
        stream: stream.clone(),
        table: table.to_owned(),
        generation: Generation(1),
        seq: 1,
        epoch: 1,
        attempt: "a".into(),
        hi,
        source_identity: None,
        source_columns: Vec::new(),
        rows: 10,
        committed_at: chrono::DateTime::UNIX_EPOCH,
    };
    (stream, state)
}

struct Case {
    schemas: Schemas,
    targets: Targets,
    state: StateSnapshot,
    options: PlanOptions,
}

impl Case {
    fn offline() -> Self {
        let options = PlanOptions { offline: true, ..Default::default() };
        Self { schemas: Schemas::new(), targets: Targets::new(), state: StateSnapshot::default(), options }
    }

    fn online(schemas: &[(&str, SourceSchema)]) -> Self {
        let schemas = schemas.iter().map(|(name, schema)| (TableName::parse(name).expect("a full name"), schema.clone())).collect();
        Self { schemas, options: PlanOptions::default(), ..Self::offline() }
    }

    fn plan(&self, yaml: &str) -> (RunPlan, Vec<Diagnostic>, SourceSet) {
        let sources = SourceSet::from_texts("/project", &[("karat.yaml", "version: 1\nname: shop\nconnections:\n  files: { type: files, path: data }\n"), ("market.yaml", yaml)]);
        let catalog = catalog();
        let (spec, findings) = karat_spec::parse(&sources, &Environment::Unresolved, &catalog);
        let shown = karat_diagnostics::render::text(&findings, &sources.map, &[], Color::Never);
        let (graph, _) = karat_graph::build(&spec);
        let checked = CheckedGraph::try_from_parts(spec, graph, &findings).unwrap_or_else(|_| panic!("{shown}"));
        let input = PlanInput { checked: &checked, catalog: &catalog, schemas: &self.schemas, targets: &self.targets, state: &self.state, options: &self.options };
        let (plan, findings) = build(&input);
        (plan, findings, sources)
    }
}

fn check(text: &str, expected: Expect) {
    expected.assert_eq(text);
}

#[test]
fn an_offline_plan_says_what_it_knows() {
    let (plan, findings, _) = Case::offline().plan(MARKET);

    assert_eq!(findings, []);
    check(
        &text(&plan, Color::Never),
        expect![[r#"
        shop · 3 tables in 2 waves, offline: only files of the project were read
        market runs at */15 * * * * (UTC)

        wave 1
          bronze.trades  hybrid → append, G2
            from          exchange: trades
            reads         all rows, ordered by traded_at, then the key
            chunk         20 000 rows or 32MiB
            to            lake: bronze/trades
            layout        by day(traded_at) · 50 000 rows or 128MiB per file · zstd(3)
            guarantee     G2: commits at the source are serial: inserts, and updates that move the cursor
                          are complete if the database assigns the cursor; deletes are not seen
            checks        not_null(symbol, price): fail
          bronze.rates  full → replace, G3
            from          files: *.csv
            reads         all files `*.csv`
            chunk         50 000 rows or 32MiB
            to            lake: bronze/rates
            layout        50 000 rows or 128MiB per file · zstd(3)
            guarantee     G3: every run reads all files; what vanished at the source vanishes here
            by default    cdc.strategy: full · load.mode: replace · chunk.rows: 50000 · chunk.bytes: 32MiB

        wave 2
          silver.clean  recompute → replace, G2
            reads         all rows of bronze.trades, bronze.rates
            key           trade_id
            to            warehouse: silver/clean
            layout        50 000 rows or 128MiB per file · zstd(3)
            guarantee     G2: recomputed from whole inputs, each at one version; the weakest is
                          `bronze.trades` with G2
            checks        expression(price > 0): warn
            by default    to.connection: warehouse · load.mode: replace
    "#]],
    );
}

#[test]
fn an_online_plan_shows_watermark_rows_and_columns() {
    let mut case = Case::online(&[("bronze.trades", trades())]);
    let stream = StreamId::new("market", "bronze.trades");
    let tail = Some(Tail { rows: 1, digest: "0".into() });
    let hi = Position::Cursor { values: vec![CursorValue::Timestamp(1_704_067_200_000_000), CursorValue::Int(17)], tail, unsettled: None };
    let committed_at = chrono::DateTime::from_timestamp(1_704_067_300, 0).expect("a time");
    let state = StreamState { source_identity: Some("other.db".into()), rows: 3_999_000, seq: 3, epoch: 2, committed_at, ..state("bronze.trades", hi).1 };
    case.state.streams.insert(stream, state);
    let target = Schema::new(vec![Field::new("trade_id", DataType::Int64, false), Field::new("price", DataType::Float64, true), Field::new("venue", DataType::Utf8, true)]);
    case.targets.insert(TableName::parse("bronze.trades").expect("a name"), Some(Arc::new(target)));
    case.targets.insert(TableName::parse("silver.clean").expect("a name"), None);

    let (plan, findings, _) = case.plan(MARKET);

    assert_eq!(findings.iter().map(|finding| finding.code.0).collect::<Vec<_>>(), ["L101"]);
    check(
        &text(&plan, Color::Never),
        expect![[r#"
        shop · 3 tables in 2 waves
        market runs at */15 * * * * (UTC)

        wave 1
          bronze.trades  hybrid → append, G2
            from          exchange: trades
            watermark     (2024-01-01 00:00:00.000000, 17)
            reads         (traded_at, trade_id) > ('2024-01-01 00:00:00.000000', 17)
            chunk         20 000 rows or 32MiB
            estimate      about 1 000 rows, 78.1 KiB, 1 file per partition at most
            key           trade_id
            to            lake: bronze/trades
            layout        by day(traded_at) · 50 000 rows or 128MiB per file · zstd(3)
            ddl           add column `symbol` text
            ddl           change column `price` from double to decimal(18,8)
            ddl           add column `currency` text
            ddl           add column `traded_at` timestamp
            ddl           column `venue` is no longer read
            guarantee     G2: commits at the source are serial: inserts, and updates that move the cursor
                          are complete if the database assigns the cursor; deletes are not seen
            checks        not_null(symbol, price): fail
            by default    key: [trade_id]
            warning       cursor `traded_at` of `bronze.trades` has no index at its source: every run scans
                          the whole table
            warning       the source is not the one that was read last time: it was exchanged or restored
          bronze.rates  full → replace, G3
            from          files: *.csv
            reads         all files `*.csv`
            chunk         50 000 rows or 32MiB
            to            lake: bronze/rates
            layout        50 000 rows or 128MiB per file · zstd(3)
            guarantee     G3: every run reads all files; what vanished at the source vanishes here
            by default    cdc.strategy: full · load.mode: replace · chunk.rows: 50000 · chunk.bytes: 32MiB

        wave 2
          silver.clean  recompute → replace, G2
            reads         all rows of bronze.trades, bronze.rates
            key           trade_id
            to            warehouse: silver/clean
            layout        50 000 rows or 128MiB per file · zstd(3)
            ddl           create
            guarantee     G2: recomputed from whole inputs, each at one version; the weakest is
                          `bronze.trades` with G2
            checks        expression(price > 0): warn
            by default    to.connection: warehouse · load.mode: replace
    "#]],
    );
    check(
        &markdown(&plan),
        expect![[r#"
        ## Plan of `shop`

        3 tables in 2 waves.

        ### Wave 1

        | table | strategy | reads | load | target | guarantee | rows | bytes |
        |---|---|---|---|---|---|--:|--:|
        | `bronze.trades` | hybrid | `(traded_at, trade_id) > ('2024-01-01 00:00:00.000000', 17)` | append | `lake: bronze/trades` | G2: commits at the source are serial: inserts, and updates that move the cursor are complete if the database assigns the cursor; deletes are not seen | ≈ 1 000 | ≈ 78.1 KiB |
        | `bronze.rates` | full | `` all files `*.csv` `` | replace | `lake: bronze/rates` | G3: every run reads all files; what vanished at the source vanishes here | – | – |

        ### Wave 2

        | table | strategy | reads | load | target | guarantee | rows | bytes |
        |---|---|---|---|---|---|--:|--:|
        | `silver.clean` | recompute | `all rows of bronze.trades, bronze.rates` | replace | `warehouse: silver/clean` | G2: recomputed from whole inputs, each at one version; the weakest is `bronze.trades` with G2 | – | – |

        <details><summary>Changes of columns (6)</summary>

        - `bronze.trades`: add column `symbol` text
        - `bronze.trades`: change column `price` from double to decimal(18,8)
        - `bronze.trades`: add column `currency` text
        - `bronze.trades`: add column `traded_at` timestamp
        - `bronze.trades`: column `venue` is no longer read
        - `silver.clean`: create

        </details>

        <details><summary>Warnings (2)</summary>

        - `bronze.trades`: cursor `traded_at` of `bronze.trades` has no index at its source: every run scans the whole table
        - `bronze.trades`: the source is not the one that was read last time: it was exchanged or restored

        </details>

        <details><summary>Checks (2)</summary>

        - `bronze.trades`: not_null(symbol, price): fail
        - `silver.clean`: expression(price > 0): warn

        </details>
    "#]],
    );
    check(
        &mermaid(&plan),
        expect![[r#"
        flowchart LR
          subgraph w0 ["wave 1"]
            t0["bronze.trades<br/>hybrid → append, G2"]
            t1["bronze.rates<br/>full → replace, G3"]
          end
          subgraph w1 ["wave 2"]
            t2["silver.clean<br/>recompute → replace, G2"]
          end
          t0 --> t2
          t1 --> t2
    "#]],
    );
    check(
        &dot(&plan),
        expect![[r#"
        digraph karat {
          rankdir=LR;
          node [shape=box];
          subgraph cluster_0 {
            label="wave 1";
            t0 [label="bronze.trades\nhybrid → append, G2"];
            t1 [label="bronze.rates\nfull → replace, G3"];
          }
          subgraph cluster_1 {
            label="wave 2";
            t2 [label="silver.clean\nrecompute → replace, G2"];
          }
          t0 -> t2;
          t1 -> t2;
        }
    "#]],
    );
    let value: serde_json::Value = serde_json::from_str(&json(&plan)).expect("JSON");
    assert_eq!(value["tables"]["bronze.trades"]["watermark"], "(2024-01-01 00:00:00.000000, 17)");
}

#[test]
fn windows_and_comparisons_say_what_they_read_and_what_becomes_of_what_vanished() {
    let yaml = r#"version: 1
connections:
  exchange: { type: sqlite, path: market.db }
bronze:
  by_default: { from: { connection: exchange, table: sales }, cdc: { strategy: window, cursor: day } }
  by_week: { from: { connection: exchange, table: sales }, cdc: { strategy: window, cursor: day, window: week, refresh_last: 3, null_cursor: always_reread } }
  same: { from: { connection: exchange, table: sales }, key: [id], cdc: { strategy: diff } }
  soft: { from: { connection: exchange, table: sales }, key: [id], cdc: { strategy: diff, deletes: soft } }
  hard: { from: { connection: exchange, table: sales }, key: [id], cdc: { strategy: diff, deletes: hard } }
"#;
    let mut case = Case::online(&[]);
    let first = case.plan(yaml).0;
    // 2024-03-13, a Wednesday.
    let stand = |name: &str| state(name, Position::Windows { through: CursorValue::Date(19_795) });
    case.state.streams.extend(["bronze.by_default", "bronze.by_week"].map(stand));
    let later = case.plan(yaml).0;

    let lines = |plan: &RunPlan| -> String {
        let line = |(name, table): (&String, &crate::TablePlan)| {
            format!(
                "{name}: {} → {}; {}; {} {}; {:?}\n",
                table.strategy,
                table.load_mode,
                table.predicate.as_deref().unwrap_or_default(),
                table.guarantee,
                table.guarantee_reason,
                table.defaults
            )
        };
        plan.tables.iter().map(line).collect()
    };
    check(
        &lines(&first),
        expect![[r#"
            bronze.by_default: window → window; all rows, month by month of day; G1 complete, deletes included, if rows change only in the newest window: older ones are not read again; {"load.mode": "window", "cdc.window": "month", "cdc.refresh_last": "1", "chunk.rows": "50000", "chunk.bytes": "32MiB", "to.connection": "warehouse"}
            bronze.by_week: window → window; all rows, week by week of day; G1 complete, deletes included, if rows change only in the newest 3 windows: older ones are not read again; {"load.mode": "window", "chunk.rows": "50000", "chunk.bytes": "32MiB", "to.connection": "warehouse"}
            bronze.same: diff → upsert; all rows, in one snapshot, compared with the target by key; G2 every run compares the whole table by key, all columns; rows that vanish at the source stay; {"load.mode": "upsert", "cdc.deletes": "ignore", "chunk.rows": "50000", "chunk.bytes": "32MiB", "to.connection": "warehouse"}
            bronze.soft: diff → upsert; all rows, in one snapshot, compared with the target by key; G3 every run compares the whole table by key, all columns; what vanished at the source gets its time in `_deleted_at`; {"load.mode": "upsert", "chunk.rows": "50000", "chunk.bytes": "32MiB", "to.connection": "warehouse"}
            bronze.hard: diff → upsert; all rows, in one snapshot, compared with the target by key; G3 every run compares the whole table by key, all columns; what vanished at the source is deleted; {"load.mode": "upsert", "chunk.rows": "50000", "chunk.bytes": "32MiB", "to.connection": "warehouse"}
        "#]],
    );
    check(
        &lines(&later),
        expect![[r#"
            bronze.by_default: window → window; day >= '2024-03-01', month by month, the newest again; G1 complete, deletes included, if rows change only in the newest window: older ones are not read again; {"load.mode": "window", "cdc.window": "month", "cdc.refresh_last": "1", "chunk.rows": "50000", "chunk.bytes": "32MiB", "to.connection": "warehouse"}
            bronze.by_week: window → window; day >= '2024-02-26' OR day IS NULL, week by week, the newest 3 again; G1 complete, deletes included, if rows change only in the newest 3 windows: older ones are not read again; {"load.mode": "window", "chunk.rows": "50000", "chunk.bytes": "32MiB", "to.connection": "warehouse"}
            bronze.same: diff → upsert; all rows, in one snapshot, compared with the target by key; G2 every run compares the whole table by key, all columns; rows that vanish at the source stay; {"load.mode": "upsert", "cdc.deletes": "ignore", "chunk.rows": "50000", "chunk.bytes": "32MiB", "to.connection": "warehouse"}
            bronze.soft: diff → upsert; all rows, in one snapshot, compared with the target by key; G3 every run compares the whole table by key, all columns; what vanished at the source gets its time in `_deleted_at`; {"load.mode": "upsert", "chunk.rows": "50000", "chunk.bytes": "32MiB", "to.connection": "warehouse"}
            bronze.hard: diff → upsert; all rows, in one snapshot, compared with the target by key; G3 every run compares the whole table by key, all columns; what vanished at the source is deleted; {"load.mode": "upsert", "chunk.rows": "50000", "chunk.bytes": "32MiB", "to.connection": "warehouse"}
        "#]],
    );
}

#[test]
fn soft_deletes_are_a_column_that_readers_see() {
    let sales = source(&[("id", "bigint", false), ("day", "date", true)], &["id"], Some(10));
    let yaml = |deletes: &str| {
        format!(
            "version: 1\nconnections:\n  exchange: {{ type: sqlite, path: market.db }}\nbronze:\n  sales: {{ from: {{ connection: exchange, table: sales }}, cdc: {{ strategy: diff, deletes: {deletes} }} }}\n"
        )
    };
    let names = |deletes: &str| -> Vec<String> {
        let sources = SourceSet::from_texts("/project", &[("shop.yaml", &yaml(deletes))]);
        let (spec, _) = karat_spec::parse(&sources, &Environment::Unresolved, &catalog());
        let schemas = [(TableName::parse("bronze.sales").expect("a full name"), sales.clone())].into_iter().collect();
        let known = crate::known_copies(&spec, &catalog(), &schemas);
        known.columns.values().flat_map(|columns| columns.fields().iter().map(|field| field.name().clone())).collect()
    };

    assert_eq!(names("soft"), ["id", "day", "_deleted_at"]);
    assert_eq!(names("hard"), ["id", "day"]);
}

#[test]
fn windows_need_a_date_and_a_comparison_needs_a_key() {
    let sales = source(&[("id", "bigint", false), ("day", "date", true), ("text", "text", false)], &[], Some(10));
    let case = Case::online(&[("bronze.sales", sales)]);
    let codes = |cdc: &str| {
        codes_of_plan(
            &case,
            &format!("version: 1\nconnections:\n  exchange: {{ type: sqlite, path: market.db }}\nbronze:\n  sales: {{ from: {{ connection: exchange, table: sales }}, {cdc} }}\n"),
        )
    };

    assert_eq!(codes("cdc: { strategy: window, cursor: id }"), ["D106"]);
    assert_eq!(codes("cdc: { strategy: window, cursor: text }"), ["D106"]);
    assert_eq!(codes("cdc: { strategy: window, cursor: when }"), ["D101"]);
    assert_eq!(codes("cdc: { strategy: window, cursor: day }"), ["I101"]);
    assert_eq!(codes("types: { text: date }, cdc: { strategy: window, cursor: text }"), [] as [&str; 0]);
    assert_eq!(codes("cdc: { strategy: diff }"), ["D107"]);
    assert_eq!(codes("key: [id], cdc: { strategy: diff }"), [] as [&str; 0]);
}

#[test]
fn a_selection_is_planned_alone_and_as_early_as_possible() {
    let mut case = Case::offline();
    case.options.selection = Some([karat_graph::TableIndex::new(2)].into());

    let (plan, _, _) = case.plan(MARKET);

    assert_eq!(plan.waves, [["silver.clean"]]);
    assert_eq!(plan.tables["silver.clean"].depends_on, ["bronze.trades", "bronze.rates"]);
}

#[test]
fn dedup_is_part_of_the_code_that_decides_about_a_recomputation() {
    let code = |yaml: &str| {
        let (plan, _, _) = Case::offline().plan(yaml);
        let Some(crate::StageWork::Transform(work)) = &plan.tables["silver.clean"].work else { panic!("a transform") };
        work.code.clone()
    };

    assert_eq!(code(MARKET), code(MARKET));
    assert_ne!(code(MARKET), code(&MARKET.replace("order_by: [traded_at]", "keep: first, order_by: [traded_at]")));
}

#[test]
fn every_page_fails_and_passes_as_it_says() {
    let orders =
        source(&[("id", "bigint", false), ("code", "text", true), ("updated_at", "text", true), ("amount", "double", true), ("flag", "boolean", true)], &["id"], Some(1_000_000));
    let lines = source(&[("order_id", "bigint", false), ("line", "bigint", false)], &["order_id", "line"], None);
    let keyless = source(&[("code", "text", true)], &[], Some(10));
    let marked = source(&[("id", "bigint", false), ("_deleted_at", "timestamptz", true)], &["id"], Some(10));
    let case = Case::online(&[("bronze.orders", orders), ("bronze.lines", lines), ("bronze.keyless", keyless), ("bronze.marked", marked)]);
    for page in explanations() {
        let codes = |yaml: &str| if yaml.starts_with("# karat.lock") { codes_of_lock(yaml) } else { codes_of_plan(&case, yaml) };
        assert!(codes(page.fails).contains(&page.code), "{} is not found in its own example: {:?}", page.code, codes(page.fails));
        assert!(!codes(page.passes).contains(&page.code), "{} is found where it should pass", page.code);
    }
}

fn codes_of_plan(case: &Case, yaml: &str) -> Vec<&'static str> {
    case.plan(yaml).1.iter().map(|finding| finding.code.0).collect()
}

/// What is said of a lock beside a pipeline of one table.
fn codes_of_lock(yaml: &str) -> Vec<&'static str> {
    let pipeline = "version: 1\nconnections:\n  shop: { type: sqlite, path: shop.db }\nbronze:\n  orders: { from: { connection: shop, table: orders } }\n";
    let sources = SourceSet::from_texts("/project", &[("karat.lock", yaml), ("shop.yaml", pipeline)]);
    let (spec, _) = karat_spec::parse(&sources, &Environment::Unresolved, &catalog());
    let (lock, findings) = karat_spec::read_lock(&sources);
    assert_eq!(findings, [], "{yaml}");
    locked_sources(&spec, &catalog(), lock.as_ref()).findings.iter().map(|finding| finding.code.0).collect()
}

#[test]
fn findings_point_at_the_word_and_suggest_the_right_one() {
    let case = Case::online(&[("bronze.trades", trades())]);
    let yaml = "version: 1\nconnections:\n  exchange: { type: sqlite, path: market.db }\nbronze:\n  trades:\n    from: { connection: exchange, table: trades }\n    exclude: [curency]\n    cdc: { strategy: id, cursor: trade_idd }\n    types: { price: double }\n";

    let (_, findings, sources) = case.plan(yaml);

    check(
        &karat_diagnostics::render::text(&findings, &sources.map, &[], Color::Never),
        expect![[r#"
        error[D103]: column `curency` of `bronze.trades` is no column of its source
         --> market.yaml:7:15
          |
        7 |     exclude: [curency]
          |               ^^^^^^^ not at the source
          |
        help: did you mean `currency`?

        error[D101]: cursor `trade_idd` of `bronze.trades` is no column of its source
         --> market.yaml:8:34
          |
        8 |     cdc: { strategy: id, cursor: trade_idd }
          |                                  ^^^^^^^^^ not at the source
          |
        help: did you mean `trade_id`?

        error[D105]: `price` of `bronze.trades` loses something as `double`: a binary fraction is not the same number
         --> market.yaml:9:21
          |
        9 |     types: { price: double }
          |                     ^^^^^^
          |
          = note: the source has decimal(18,8) (`decimal(18,8)`)
        help: take the override out, and convert in Silver where the loss is meant

        3 errors
    "#]],
    );
}

#[test]
fn a_project_of_a_thousand_tables_is_planned_quickly() {
    let mut yaml = String::from("version: 1\nconnections:\n  exchange: { type: sqlite, path: market.db }\nbronze:\n");
    for table in 0..500 {
        yaml.push_str(&format!("  t{table}: {{ from: {{ connection: exchange, table: t{table} }}, cdc: {{ strategy: id, cursor: id }} }}\n"));
    }
    yaml.push_str("silver:\n");
    for table in 0..500 {
        yaml.push_str(&format!("  s{table}: {{ sql: \"SELECT * FROM bronze.t{table}\" }}\n"));
    }
    let started = Instant::now();

    let (plan, _, _) = Case::offline().plan(&yaml);

    assert_eq!(plan.tables.len(), 1000);
    // Parsing included, unoptimised: the release build is measured by the benchmark.
    assert!(started.elapsed().as_secs() < 20);
}
