//! `karat lock`: what sources look like, kept beside the pipelines, and used where no source can be asked.

use crate::karat::{Karat, repository};
use crate::project::Project;
use crate::reader::Reader;
use serde_json::{Value, json};
use std::fmt::Write;
use std::time::{Duration, Instant};

const SHOP: &str = "version: 1
name: shop
connections:
  shop: { type: sqlite, path: shop.db }
bronze:
  orders:
    from: { connection: shop, table: orders }
    cdc: { strategy: hybrid, cursor: updated_at, null_cursor: error }
silver:
  orders:
    sql: |
      SELECT id, amount * 2 AS doubled, upper(note) AS note
      FROM bronze.orders
    key: [id]
gold:
  totals:
    sql: SELECT count(*) AS orders, sum(doubled) AS amount FROM silver.orders
";

const ORDERS: &str = "
    CREATE TABLE orders (id INTEGER PRIMARY KEY, amount DECIMAL(12,2), note TEXT, updated_at TIMESTAMP NOT NULL);
    CREATE INDEX orders_by_time ON orders (updated_at);
    INSERT INTO orders VALUES (1, 1.25, 'a', '2024-01-01 00:00:00'), (2, 2.50, NULL, '2024-01-02 00:00:00');";

fn shop() -> Project {
    let project = Project::of(SHOP);
    project.database("shop.db", ORDERS);
    project
}

fn lock_of(project: &Project) -> String {
    std::fs::read_to_string(project.path().join("karat.lock")).expect("there is a lock")
}

/// `CODE file:line:column` of each finding.
fn findings(project: &Project) -> Vec<String> {
    let report = project.karat(["lint", "--format", "json"]).run().json();
    let place = |finding: &Value| format!("{} {}:{}:{}", finding["code"].as_str().unwrap_or("-"), finding["file"].as_str().unwrap_or("-"), finding["line"], finding["column"]);
    report["findings"].as_array().expect("findings are a list").iter().map(place).collect()
}

#[test]
fn a_lock_says_what_the_source_says_one_column_a_line() {
    let project = shop();

    project.karat(["lock"]).run().expect(0).says(&["bronze.orders", "karat.lock"]);

    let lock = lock_of(&project);
    let from = lock.find("tables:").expect("tables");
    let without_identity: String = lock[from..].lines().filter(|line| !line.contains("identity:") && !line.contains("bytes:")).fold(String::new(), |text, line| text + line + "\n");
    assert_eq!(
        without_identity,
        "tables:
  bronze.orders:
    from: { connection: shop, table: orders }
    rows: 2
    primary_key: [id]
    indexes:
      - [updated_at]
    columns:
      - { name: id, type: bigint, declared: INTEGER, nullable: false }
      - { name: amount, type: \"decimal(12,2)\", declared: \"DECIMAL(12,2)\", nullable: true }
      - { name: note, type: text, declared: TEXT, nullable: true }
      - { name: updated_at, type: timestamp, declared: TIMESTAMP, nullable: false }
"
    );
    assert!(!project.path().join(".karat").exists(), "a lock needs no state");
}

#[test]
fn a_second_lock_writes_nothing_and_more_rows_change_nothing() {
    let project = shop();
    project.karat(["lock"]).run().expect(0);
    let (text, written) = (lock_of(&project), std::fs::metadata(project.path().join("karat.lock")).expect("a file").modified().expect("a time"));
    project.database("shop.db", "INSERT INTO orders VALUES (3, 3.75, 'c', '2024-01-03 00:00:00');");

    let report = project.karat(["lock", "--format", "json"]).run().expect(0).json();

    assert_eq!(report["written"], false);
    assert_eq!(report["tables"]["bronze.orders"]["status"], "unchanged");
    assert_eq!(lock_of(&project), text);
    assert_eq!(std::fs::metadata(project.path().join("karat.lock")).expect("a file").modified().expect("a time"), written);
    project.karat(["lock", "--check"]).run().expect(0);
    assert_eq!(project.karat(["lock", "--check", "--quiet"]).run().expect(0).said().trim(), "");
}

#[test]
fn lint_without_a_lock_says_once_per_table_that_it_would_know_more() {
    let project = shop();
    assert_eq!(findings(&project), ["C102 pipeline.yaml:7:11"]);

    project.karat(["lock"]).run().expect(0);

    assert_eq!(findings(&project), Vec::<String>::new());
}

#[test]
fn lint_and_the_offline_plan_know_the_columns_of_the_lock() {
    let project = shop();
    project.karat(["lock"]).run().expect(0);
    std::fs::remove_file(project.path().join("shop.db")).expect("the database can be removed");

    let plan = project.karat(["plan", "--offline", "--format", "json"]).run().expect(0).json();
    assert_eq!(plan["tables"]["bronze.orders"]["key"], json!(["id"]));
    assert_eq!(plan["tables"]["bronze.orders"]["estimated_rows"], 2);

    for (right, wrong, expected) in [
        ("upper(note)", "upper(nte)", "Q003 pipeline.yaml:12:47"),
        ("cursor: updated_at,", "cursor: update_at,", "D101 pipeline.yaml:8:38"),
        ("    cdc: {", "    exclude: [not]\n    cdc: {", "D103 pipeline.yaml:8:15"),
        ("    cdc: {", "    exclude: [note]\n    cdc: {", "Q003 pipeline.yaml:13:47"),
        ("    cdc: {", "    types: { note: bigint }\n    cdc: {", "Q005 pipeline.yaml:13:41"),
        ("cursor: updated_at, null_cursor: error", "cursor: amount", "I101 pipeline.yaml:8:38"),
        ("strategy: hybrid, cursor: updated_at, null_cursor: error", "strategy: id, cursor: amount, null_cursor: error", "D104 pipeline.yaml:8:34"),
        ("table: orders }", "table: lines }", "C103 pipeline.yaml:7:11"),
    ] {
        project.write("pipeline.yaml", SHOP.replacen(right, wrong, 1));
        let found = findings(&project);
        assert!(found.iter().any(|finding| finding == expected), "{wrong}: {found:?} instead of {expected}");
    }
}

#[test]
fn a_check_names_every_change_and_the_columns_it_reaches() {
    let project = shop();
    project.karat(["lock"]).run().expect(0);
    let before = project.files(".");
    project.database("shop.db", "ALTER TABLE orders RENAME COLUMN amount TO total; ALTER TABLE orders ADD COLUMN extra BIGINT NOT NULL DEFAULT 0; DROP INDEX orders_by_time;");
    let database = std::fs::read(project.path().join("shop.db")).expect("the database can be read");

    let outcome = project.karat(["lock", "--check", "--format", "json"]).run().expect(7);

    let changes = &outcome.json()["tables"]["bronze.orders"]["changes"];
    let told: Vec<(&str, &str)> =
        changes.as_array().expect("changes").iter().map(|change| (change["kind"].as_str().expect("a kind"), change["text"].as_str().expect("a text"))).collect();
    assert_eq!(
        told,
        [
            ("gone", "column `amount` decimal(12,2) is gone; `total` of the same type stands in its place"),
            ("added", "column `total` decimal(12,2) is new"),
            ("added", "column `extra` bigint not null is new"),
            ("indexes", "the index on `updated_at` is gone"),
        ]
    );
    assert_eq!(changes[0]["reaches"], json!([{"table": "silver.orders", "columns": ["doubled"]}, {"table": "gold.totals", "columns": ["amount"]}]));
    assert_eq!(changes[1]["reaches"], json!([]));
    project.karat(["lock", "--check"]).run().expect(7).says(&["`amount`", "reaches silver.orders (doubled)"]);
    project.database("shop.db", "");
    let after: Vec<_> = project.files(".").into_iter().filter(|(path, _)| !path.ends_with("shop.db")).collect();
    assert_eq!(after, before.into_iter().filter(|(path, _)| !path.ends_with("shop.db")).collect::<Vec<_>>(), "a check wrote something");
    assert!(!database.is_empty());

    project.karat(["lock"]).run().expect(0);
    project.karat(["lock", "--check"]).run().expect(0);
    assert_eq!(findings(&project), ["Q003 pipeline.yaml:12:18"], "SQL reads a column that is gone; a small table needs no index");
}

#[test]
fn sources_that_do_not_answer_keep_their_entries() {
    let project = Project::of(
        &SHOP
            .replace("bronze:\n", "bronze:\n  lines:\n    from: { connection: far, table: lines }\n")
            .replace("connections:\n", "connections:\n  far: { type: sqlite, path: far.db }\n"),
    );
    project.database("shop.db", ORDERS);
    project.database("far.db", "CREATE TABLE lines (id INTEGER PRIMARY KEY, amount DOUBLE);");
    project.karat(["lock"]).run().expect(0);
    let before = lock_of(&project);
    std::fs::remove_file(project.path().join("far.db")).expect("the database can be removed");

    project.karat(["lock"]).run().expect(4).says(&["bronze.lines", "far.db"]);
    assert_eq!(lock_of(&project), before);
    project.database("shop.db", "ALTER TABLE orders ADD COLUMN extra TEXT;");
    project.karat(["lock"]).run().expect(4);
    assert!(lock_of(&project).contains("bronze.lines:") && lock_of(&project).contains("extra"));
    project.karat(["lock", "--select", "bronze.lines"]).run().expect(3);
    project.karat(["lock", "--check", "--select", "bronze.lines"]).run().expect(3);
}

#[test]
fn selectors_say_which_entries_are_written() {
    let project = Project::of(&SHOP.replace("bronze:\n", "bronze:\n  lines:\n    from: { connection: shop, table: lines }\n"));
    project.database("shop.db", ORDERS);
    project.database("shop.db", "CREATE TABLE lines (id INTEGER PRIMARY KEY);");

    project.karat(["lock", "--select", "bronze.lines"]).run().expect(0);
    assert!(!lock_of(&project).contains("bronze.orders:"));
    project.karat(["lock", "--select", "silver.orders"]).run().expect(2).says(&["+silver.trades"]);
    project.karat(["lock", "--select", "+silver.orders"]).run().expect(0);
    assert!(lock_of(&project).contains("bronze.orders:") && lock_of(&project).contains("bronze.lines:"));
    project.karat(["lock", "--check", "--select", "bronze.nothing"]).run().expect(2);
}

#[test]
fn an_entry_of_no_table_is_found_and_taken_out() {
    let project = shop();
    project.karat(["lock"]).run().expect(0);
    let text = lock_of(&project).replace("tables:\n", "tables:\n  bronze.gone: { from: { connection: shop, table: gone }, identity: a1, columns: [] }\n");
    let line = text.lines().position(|line| line.contains("bronze.gone")).expect("the entry") + 1;
    project.write("karat.lock", &text);

    assert_eq!(findings(&project), [format!("C101 karat.lock:{line}:3")]);
    project.karat(["lock", "--check"]).run().expect(7).says(&["bronze.gone"]);
    project.karat(["lock"]).run().expect(0).says(&["bronze.gone"]);
    assert!(!lock_of(&project).contains("bronze.gone"));
}

#[test]
fn a_broken_lock_is_a_finding_and_a_new_one_mends_it() {
    let project = shop();
    project.karat(["lock"]).run().expect(0);
    let sound = lock_of(&project);
    for (broken, expected) in [
        (sound.replace("version: 1", "version: 7"), "S035 karat.lock:3:10"),
        (sound.replace("type: bigint", "type: number"), "S110 karat.lock:"),
        (sound.replace("primary_key: [id]", "primary_key: [di]"), "S110 karat.lock:"),
        (sound.replace("nullable: false }", "nullable: fals }"), "S014 karat.lock:"),
        (sound.replace("declared: INTEGER, ", ""), "S019 karat.lock:"),
        (format!("<<<<<<< ours\n{sound}=======\n{sound}>>>>>>> theirs\n"), "S0"),
        (String::new(), "S035 karat.lock:1:1"),
        ("\u{0}".to_owned(), "S"),
        (sound[..sound.len() / 2].to_owned(), "S"),
    ] {
        project.write("karat.lock", &broken);

        let found = findings(&project);
        assert!(found.first().is_some_and(|finding| finding.starts_with(expected) && finding.contains("karat.lock")), "{found:?} instead of {expected}");
        project.karat(["lint"]).run().expect(1);
        project.karat(["plan", "--offline"]).run().expect(1);
        project.karat(["plan"]).run().expect(0);
        project.karat(["lock"]).run().expect(0);
        assert_eq!(lock_of(&project), sound);
    }
    std::fs::remove_file(project.path().join("karat.lock")).expect("the lock can be removed");
    std::fs::create_dir(project.path().join("karat.lock")).expect("a folder can be made");
    assert_eq!(findings(&project), ["S090 karat.lock:1:1"]);
    project.karat(["lock"]).run().expect(3).says(&["karat.lock"]);
}

#[test]
fn every_lock_cut_short_is_refused_or_believed_and_never_a_panic() {
    let project = shop();
    project.karat(["lock"]).run().expect(0);
    let sound = lock_of(&project);
    for length in (0..sound.len()).step_by(97) {
        project.write("karat.lock", &sound[..length]);
        let code = project.karat(["lint", "--quiet"]).run().code;
        assert!(matches!(code, Some(0 | 1)), "cut at {length}: {code:?}");
    }
}

#[test]
fn hostile_names_come_back_as_they_are() {
    let hostile = ["we,ird \"\"n\"", "a: b #c", "- x", "yes", "null", "1e5", "{{ x }}", "${HOME}", "größe", "列", "tab\there", "line\nbreak", "\u{202e}reverse", "~", "'", "}", ""];
    let mut columns = String::from("id INTEGER PRIMARY KEY");
    for name in hostile {
        let _infallible = write!(columns, ", \"{}\" TEXT", name.replace('"', "\"\""));
    }
    let project = Project::of("version: 1\nname: odd\nconnections:\n  odd: { type: sqlite, path: odd.db }\nbronze:\n  odd:\n    from: { connection: odd, table: \"we: {ird}\" }\n");
    project.database("odd.db", &format!("CREATE TABLE \"we: {{ird}}\" ({columns});"));

    project.karat(["lock"]).run().expect(0);

    let text = lock_of(&project);
    assert!(!text.contains('\u{202e}') && text.contains("\\U0000202E"), "a reviewer would not see it:\n{text}");
    project.karat(["lock", "--check"]).run().expect(0);
    assert!(project.karat(["lint"]).run().expect(0).stdout.contains("karat.lock").eq(&false));
    assert_eq!(project.karat(["lock", "--format", "json"]).run().expect(0).json()["written"], false);
}

#[test]
fn values_of_the_environment_are_not_in_the_lock() {
    let project = Project::of(&SHOP.replace("{ type: sqlite, path: shop.db }", "{ type: sqlite, path: \"${SHOP_DB}\" }").replace("table: orders }", "table: \"${SHOP_TABLE}\" }"));
    project.database("hidden-place.db", &ORDERS.replace("orders", "secret_orders"));

    let lock = || project.karat(["lock"]).env("SHOP_DB", "hidden-place.db").env("SHOP_TABLE", "secret_orders");
    let outcome = lock().run().expect(0);

    assert!(!outcome.said().contains("secret_orders") && !outcome.said().contains("hidden-place"), "{}", outcome.said());
    let text = lock_of(&project);
    assert!(!text.contains("secret_orders") && !text.contains("hidden-place"), "{text}");
    assert!(text.contains("table: \"${SHOP_TABLE}\""), "{text}");
    // And without the environment it is still about this table.
    assert_eq!(findings(&project), Vec::<String>::new());
}

#[test]
fn types_for_csv_are_proposed_and_never_used() {
    let yaml = "version: 1\nname: rates\nconnections:\n  drop: { type: files, path: in, format: csv }\nbronze:\n  rates:\n    from: { connection: drop, path: \"*.csv\" }\n";
    let project = Project::of(yaml);
    project.write("in/a.csv", "code,rate,day,zip,on\nEUR,1.0825,2024-01-01,01234,true\n");
    project.write("in/b.csv", "code,rate,day,zip,on\nUSD,1,2024-01-02,,false\n");

    let outcome = project.karat(["lock"]).run().expect(0);

    let proposal = "    types:\n      code: text\n      rate: \"decimal(18,4)\"\n      day: date\n      zip: text\n      \"on\": boolean\n";
    assert!(outcome.stdout.contains(proposal), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("all 2 rows"), "{}", outcome.stdout);
    project.karat(["lint"]).run().expect(1).says(&["P012"]);
    let entry = lock_of(&project);
    assert!(!entry.contains("decimal") && entry.contains("declared: untyped"), "{entry}");
    project.write("pipeline.yaml", format!("{yaml}{proposal}"));
    project.karat(["run"]).run().expect(0);
    project.karat(["lint"]).run().expect(0);
}

#[test]
fn parquet_files_are_locked_with_their_types() {
    let Some(reader) = Reader::find("parquet_files_are_locked_with_their_types") else { return };
    let project = Project::of(
        "version: 1\nname: lake\nconnections:\n  drop: { type: files, path: in, format: parquet }\nbronze:\n  bars:\n    from: { connection: drop, path: \"*.parquet\" }\nsilver:\n  bars: { sql: \"SELECT total + 1 AS total, price FROM bronze.bars\" }\n",
    );
    project.write("in/.keep", "");
    let rows = "SELECT 1::BIGINT AS total, 1.5::DECIMAL(18,4) AS price, TIMESTAMP '2024-01-01' AS at, [1, 2] AS list, {'a': 'x'} AS pair";
    reader.script("parquet.py", &[project.path().join("in/a.parquet").as_ref(), rows.as_ref()]);

    project.karat(["lock"]).run().expect(0);

    let text = lock_of(&project);
    for line in [
        "name: total, type: bigint",
        "name: price, type: \"decimal(18,4)\"",
        "name: at, type: timestamp,",
        "name: list, type: \"list<int>\"",
        "name: pair, type: \"struct<a: text>\"",
    ] {
        assert!(text.contains(line), "no `{line}` in\n{text}");
    }
    project.write("pipeline.yaml", std::fs::read_to_string(project.path().join("pipeline.yaml")).expect("a file").replace("price FROM", "prise FROM"));
    assert!(findings(&project).iter().any(|finding| finding.starts_with("Q003")), "{:?}", findings(&project));
}

#[test]
fn the_reference_pipelines_are_locked_as_their_sources_are() {
    let flights = Project::copy_of("flights");
    flights.karat(["lock", "--check"]).run().expect(0);
    let market = Project::market(1_000);
    market.karat(["lock", "--check"]).run().expect(0);
    let outcome = Karat::within(&repository()).args(["lint", "pipelines"]).run().expect(0);
    assert_eq!(outcome.said().trim(), "");
}

#[test]
fn a_thousand_locked_tables_lint_in_half_a_second() {
    let mut yaml = String::from("version: 1\nname: many\nconnections:\n  shop: { type: sqlite, path: shop.db }\nbronze:\n");
    let mut tables = String::new();
    for number in 0..500 {
        let _infallible = writeln!(yaml, "  t{number}: {{ description: One of many., from: {{ connection: shop, table: t{number} }} }}");
        let columns: Vec<String> = (0..20).map(|column| format!("column_{column} DECIMAL(18,2) NOT NULL")).collect();
        let _infallible = write!(tables, "CREATE TABLE t{number} (id INTEGER PRIMARY KEY, {});", columns.join(", "));
    }
    yaml.push_str("silver:\n");
    for number in 0..500 {
        let _infallible = writeln!(yaml, "  s{number}: {{ description: One of many., sql: \"SELECT id, column_1 + column_2 AS total FROM bronze.t{number}\" }}");
    }
    let project = Project::of(&yaml);
    project.database("shop.db", &format!("BEGIN; {tables} COMMIT;"));
    project.karat(["lock"]).run().expect(0);

    let lint = || {
        let started = Instant::now();
        project.karat(["lint"]).run().expect(0);
        started.elapsed()
    };
    let fastest = (0..3).map(|_| lint()).min().expect("three times");

    // Generous, for machines that do other things as well; the benchmark page has the exact number.
    assert!(fastest < Duration::from_secs(5), "{fastest:?}");
}

#[test]
fn what_a_lock_prints_is_valid_by_its_schema() {
    let Some(reader) = Reader::find("what_a_lock_prints_is_valid_by_its_schema") else { return };
    let project = shop();
    project.karat(["lock"]).run().expect(0);
    project.database("shop.db", "ALTER TABLE orders ADD COLUMN extra TEXT;");
    let report = project.karat(["lock", "--check", "--format", "json"]).run().expect(7).stdout;

    let file = project.write("report.json", report);
    let schemas = repository().join("schemas");
    assert_eq!(reader.script("validate.py", &[schemas.join("lock-report.schema.json").as_ref(), file.as_ref()]), json!([]));
    assert_eq!(reader.script("validate_yaml.py", &[schemas.join("lock.schema.json").as_ref(), project.path().join("karat.lock").as_ref()]), json!([]));
}
