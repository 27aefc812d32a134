//! Strategies and load modes on small databases: what is new is read, what changed is replaced, the rest is left alone.

use crate::market::rows;
use crate::project::Project;
use crate::reader::Reader;

const ORDERS: &str = "
    CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT, amount DECIMAL(12,2) NOT NULL, updated_at TIMESTAMP NOT NULL);
    INSERT INTO orders VALUES
      (1, 'ada', 10.50, '2024-01-01 10:00:00'),
      (2, 'bob', 20.00, '2024-01-01 10:00:00'),
      (3, NULL, 30.25, '2024-01-01 10:05:00.123456');
";

fn project(cdc: &str, load: &str) -> Project {
    Project::shop("orders", ORDERS, &format!("    cdc: {cdc}\n    load: {load}\n"))
}

fn run(project: &Project) -> (u64, u64) {
    let report = project.karat(["run", "--format", "json"]).run().expect(0).json();
    (rows(&report, "bronze.orders", "rows_read"), rows(&report, "bronze.orders", "rows_written"))
}

const CONTENT: &str = "SELECT id, customer, amount, updated_at FROM bronze.orders ORDER BY id, updated_at";

#[test]
fn hybrid_reads_only_what_is_new_and_replaces_what_changed() {
    let Some(reader) = Reader::find("hybrid_reads_only_what_is_new_and_replaces_what_changed") else { return };
    let project = project("{ strategy: hybrid, cursor: updated_at }", "{ mode: upsert }");
    assert_eq!(run(&project), (3, 3));
    assert_eq!(run(&project), (0, 0));
    project.database(
        "shop.db",
        "UPDATE orders SET amount = 99.99, updated_at = '2024-01-02 00:00:00' WHERE id = 1; INSERT INTO orders VALUES (4, 'eve', 1.01, '2024-01-02 00:00:01');",
    );

    run(&project);

    let content = reader.query(&project.warehouse(), CONTENT);
    let expected = serde_json::json!([
        [1, "ada", "99.99", "2024-01-02 00:00:00"],
        [2, "bob", "20.00", "2024-01-01 10:00:00"],
        [3, null, "30.25", "2024-01-01 10:05:00.123456"],
        [4, "eve", "1.01", "2024-01-02 00:00:01"],
    ]);
    assert_eq!(serde_json::to_value(content).expect("rows are JSON"), expected);
    assert_eq!(run(&project), (0, 0));
}

#[test]
fn a_row_that_ties_with_the_watermark_is_not_lost() {
    let Some(reader) = Reader::find("a_row_that_ties_with_the_watermark_is_not_lost") else { return };
    for strategy in ["hybrid", "timestamp"] {
        let project = project(&format!("{{ strategy: {strategy}, cursor: updated_at }}"), "{ mode: append }");
        run(&project);
        // The same moment as the newest row, and a smaller key: a strict `>` would never see it.
        project.database("shop.db", "INSERT INTO orders VALUES (-7, 'late', 5.00, '2024-01-01 10:05:00.123456');");

        run(&project);

        let ids = reader.query(&project.warehouse(), "SELECT id FROM bronze.orders ORDER BY id");
        assert_eq!(serde_json::to_value(ids).expect("rows are JSON"), serde_json::json!([[-7], [1], [2], [3]]), "{strategy}");
        assert_eq!(run(&project), (0, 0), "{strategy}");
    }
}

#[test]
fn id_appends_what_is_above_the_watermark() {
    let Some(reader) = Reader::find("id_appends_what_is_above_the_watermark") else { return };
    let project = project("{ strategy: id, cursor: id }", "{ mode: append }");
    assert_eq!(run(&project), (3, 3));
    project.database("shop.db", "INSERT INTO orders VALUES (10, 'eve', 1.00, '2020-01-01 00:00:00');");

    assert_eq!(run(&project), (1, 1));

    assert_eq!(run(&project), (0, 0));
    assert_eq!(reader.query(&project.warehouse(), "SELECT count(*), sum(amount) FROM bronze.orders"), [[serde_json::json!(4), serde_json::json!("61.75")]]);
}

#[test]
fn full_replaces_the_table_in_one_step() {
    let Some(reader) = Reader::find("full_replaces_the_table_in_one_step") else { return };
    let project = project("{ strategy: full }", "{ mode: replace }");
    run(&project);
    project.database("shop.db", "DELETE FROM orders WHERE id = 2; UPDATE orders SET customer = 'zoe' WHERE id = 3;");

    run(&project);

    let content = reader.query(&project.warehouse(), "SELECT id, customer FROM bronze.orders ORDER BY id");
    assert_eq!(serde_json::to_value(content).expect("rows are JSON"), serde_json::json!([[1, "ada"], [3, "zoe"]]));
}

#[test]
fn an_empty_source_does_not_replace_a_full_table() {
    let Some(reader) = Reader::find("an_empty_source_does_not_replace_a_full_table") else { return };
    let project = project("{ strategy: full }", "{ mode: replace }");
    run(&project);
    project.database("shop.db", "DELETE FROM orders;");

    project.karat(["run"]).run().expect(5).says(&["bronze.orders"]);

    assert_eq!(reader.query(&project.warehouse(), "SELECT count(*) FROM bronze.orders"), [[serde_json::json!(3)]]);
}

#[test]
fn a_row_from_the_future_is_delivered_and_does_not_stop_later_rows() {
    let Some(reader) = Reader::find("a_row_from_the_future_is_delivered_and_does_not_stop_later_rows") else { return };
    let project = project("{ strategy: hybrid, cursor: updated_at }", "{ mode: upsert }");
    project.database("shop.db", "INSERT INTO orders VALUES (4, 'far', 4.00, '2199-01-01 00:00:00');");
    run(&project);
    project.database("shop.db", "INSERT INTO orders VALUES (5, 'near', 5.00, '2024-03-01 00:00:00');");

    run(&project);

    assert_eq!(reader.query(&project.warehouse(), "SELECT count(*) FROM bronze.orders"), [[serde_json::json!(5)]]);
}

#[test]
fn files_that_were_read_are_not_read_again() {
    let Some(reader) = Reader::find("files_that_were_read_are_not_read_again") else { return };
    let project = Project::of(
        "version: 1
name: landing
connections:
  landing: { type: files, path: landing, format: csv }
bronze:
  events:
    from: { connection: landing, path: \"*.csv\" }
    types: { id: bigint, at: timestamp, note: text }
    load: { mode: append }
",
    );
    project.write("landing/a.csv", "id,at,note\n1,2024-01-01 00:00:00,one\n2,2024-01-01 00:00:01,\"two, and more\"\n");
    let first = project.karat(["run", "--format", "json"]).run().expect(0).json();
    assert_eq!(rows(&first, "bronze.events", "rows_written"), 2);
    project.write("landing/b.csv", "id,at,note\n3,2024-01-02 00:00:00,three\n");

    let second = project.karat(["run", "--format", "json"]).run().expect(0).json();
    let third = project.karat(["run", "--format", "json"]).run().expect(0).json();

    assert_eq!((rows(&second, "bronze.events", "rows_written"), rows(&third, "bronze.events", "rows_written")), (1, 0));
    let content = reader.query(&project.warehouse(), "SELECT id, note FROM bronze.events ORDER BY id");
    assert_eq!(serde_json::to_value(content).expect("rows are JSON"), serde_json::json!([[1, "one"], [2, "two, and more"], [3, "three"]]));
}

#[test]
fn a_failing_check_lets_nothing_of_the_batch_become_visible() {
    let Some(reader) = Reader::find("a_failing_check_lets_nothing_of_the_batch_become_visible") else { return };
    let project = Project::of(
        "version: 1
name: shop
connections:
  shop: { type: sqlite, path: shop.db }
bronze:
  orders:
    from: { connection: shop, table: orders }
    key: [id]
    cdc: { strategy: id, cursor: id }
silver:
  orders:
    sql: SELECT id, customer, amount FROM bronze.orders
    key: [id]
    checks:
      - { type: not_null, columns: [customer] }
  amounts:
    sql: SELECT id, amount FROM bronze.orders
    key: [id]
    checks:
      - { type: expression, sql: \"amount < 25\", on_fail: warn }
gold:
  customers:
    sql: SELECT customer, sum(amount) AS amount FROM silver.orders GROUP BY 1
    key: [customer]
",
    );
    project.database("shop.db", ORDERS);

    let outcome = project.karat(["run", "--format", "json"]).run().expect(4);

    let report = outcome.json();
    assert_eq!(report["tables"]["silver.orders"]["status"], "failed");
    assert_eq!(report["tables"]["gold.customers"]["status"], "skipped");
    assert_eq!(report["tables"]["bronze.orders"]["status"], "done");
    assert_eq!(rows(&report, "silver.amounts", "rows_written"), 3);
    assert!(!project.warehouse().join("gold/customers/_delta_log").exists(), "a table behind a failed one was written");
    assert_eq!(reader.query(&project.warehouse(), "SELECT count(*) FROM silver.amounts"), [[serde_json::json!(3)]]);
    outcome.says(&["not_null", "customer"]);
}

#[test]
fn a_table_can_be_written_as_parquet_files_with_a_commit_log() {
    let project = Project::of(
        "version: 1
name: shop
connections:
  shop: { type: sqlite, path: shop.db }
  lake: { type: files, path: lake, format: parquet }
bronze:
  orders:
    from: { connection: shop, table: orders }
    key: [id]
    cdc: { strategy: hybrid, cursor: updated_at }
    load: { mode: upsert }
    to: { connection: lake }
silver:
  amounts:
    sql: SELECT customer, sum(amount) AS amount FROM bronze.orders GROUP BY 1
    key: [customer]
    to: { connection: lake }
",
    );
    project.database("shop.db", ORDERS);
    project.karat(["run"]).run().expect(0);
    project.database("shop.db", "UPDATE orders SET amount = 0.01, updated_at = '2024-02-01 00:00:00' WHERE id = 1;");
    project.karat(["run"]).run().expect(0);

    let shown = project.karat(["query", "--format", "json", "SELECT sum(amount) AS total, count(*) AS orders FROM bronze.orders"]).run().expect(0);

    assert!(shown.stdout.contains("50.26"), "{}", shown.stdout);
    assert!(project.files("lake/bronze/orders").iter().any(|(path, _)| path.extension().is_some_and(|extension| extension == "parquet")));
    let report = project.karat(["run", "--format", "json"]).run().expect(0).json();
    assert_eq!((rows(&report, "bronze.orders", "rows_written"), rows(&report, "silver.amounts", "rows_written")), (0, 0));
}

#[test]
fn a_long_history_is_summed_up_and_reads_the_same_without_its_old_versions() {
    let Some(reader) = Reader::find("a_long_history_is_summed_up_and_reads_the_same_without_its_old_versions") else { return };
    let project = project("{ strategy: hybrid, cursor: updated_at }", "{ mode: upsert }");
    run(&project);
    for minute in 10..32 {
        project.database("shop.db", &format!("UPDATE orders SET amount = amount + 1, updated_at = '2024-02-01 00:{minute}:00' WHERE id = 1 + {minute} % 3;"));
        run(&project);
    }
    let complete = reader.query(&project.warehouse(), CONTENT);

    let log = project.warehouse().join("bronze/orders/_delta_log");
    let last = serde_json::from_slice::<serde_json::Value>(&std::fs::read(log.join("_last_checkpoint")).expect("a checkpoint is named")).expect("it is JSON");
    assert_eq!(last["version"], 20);
    for version in 0..20 {
        std::fs::remove_file(log.join(format!("{version:020}.json"))).expect("the version is there");
    }

    assert_eq!(reader.query(&project.warehouse(), CONTENT), complete);
    assert_eq!(run(&project), (0, 0));
    project.database("shop.db", "INSERT INTO orders VALUES (9, 'new', 1.00, '2024-03-01 00:00:00');");
    assert_eq!(run(&project).1, 1);
    assert_eq!(serde_json::to_value(reader.query(&project.warehouse(), "SELECT count(*) FROM bronze.orders")).expect("rows are JSON"), serde_json::json!([[4]]));
}

/// How the columns of `orders` change, and a row after that.
const SCHEMA_CHANGES: [(&str, &str, &str); 8] = [
    ("add", "ALTER TABLE orders ADD COLUMN note TEXT;", "(4, 'eve', 4.00, '2024-02-01 00:00:00', 'new')"),
    ("drop", "ALTER TABLE orders DROP COLUMN customer;", "(4, 4.00, '2024-02-01 00:00:00')"),
    ("rename", "ALTER TABLE orders RENAME COLUMN customer TO client;", "(4, 'eve', 4.00, '2024-02-01 00:00:00')"),
    ("widen", "id INTEGER PRIMARY KEY, customer TEXT, amount DECIMAL(18,4) NOT NULL, updated_at TIMESTAMP NOT NULL", "(4, 'eve', 12345678901.1234, '2024-02-01 00:00:00')"),
    ("narrow", "id INTEGER PRIMARY KEY, customer TEXT, amount DECIMAL(6,2) NOT NULL, updated_at TIMESTAMP NOT NULL", "(4, 'eve', 4.00, '2024-02-01 00:00:00')"),
    ("retype", "id INTEGER PRIMARY KEY, customer TEXT, amount TEXT NOT NULL, updated_at TIMESTAMP NOT NULL", "(4, 'eve', '4.00', '2024-02-01 00:00:00')"),
    ("reorder", "customer TEXT, updated_at TIMESTAMP NOT NULL, amount DECIMAL(12,2) NOT NULL, id INTEGER PRIMARY KEY", "('eve', '2024-02-01 00:00:00', 4.00, 4)"),
    ("null", "id INTEGER PRIMARY KEY, customer TEXT, amount DECIMAL(12,2), updated_at TIMESTAMP NOT NULL", "(4, 'eve', NULL, '2024-02-01 00:00:00')"),
];

/// What is said, by policy: `evolve`, `ignore_new_columns`, `freeze`. A text that begins with `!` is a refusal.
const SCHEMA_OUTCOMES: [[&str; 3]; 8] = [
    ["column `note` text is new", "column `note` text is new and is not taken", "!column `note` text is new"],
    ["!column `customer` is gone", "!column `customer` is gone", "!column `customer` is gone"],
    ["!`client` of the same type is new: was it renamed?", "!column `customer` is gone", "!column `customer` is gone"],
    [
        "column `amount` is widened from decimal(12,2) to decimal(18,4)",
        "column `amount` is widened from decimal(12,2) to decimal(18,4)",
        "!column `amount` was decimal(12,2), now it is decimal(18,4)",
    ],
    [
        "column `amount` was decimal(12,2), now it is decimal(6,2) at the source",
        "column `amount` was decimal(12,2), now it is decimal(6,2) at the source",
        "!column `amount` was decimal(12,2), now it is decimal(6,2)",
    ],
    ["!column `amount` was decimal(12,2), now it is text", "!column `amount` was decimal(12,2), now it is text", "!column `amount` was decimal(12,2), now it is text"],
    ["the columns stand in another order", "the columns stand in another order", "the columns stand in another order"],
    ["column `amount` may be NULL now", "column `amount` may be NULL now", "!column `amount` may be NULL now"],
];

#[test]
fn every_change_of_columns_is_told_and_done_or_refused_by_policy() {
    let Some(reader) = Reader::find("every_change_of_columns_is_told_and_done_or_refused_by_policy") else { return };
    for ((name, change, row), outcomes) in SCHEMA_CHANGES.into_iter().zip(SCHEMA_OUTCOMES) {
        for ((policy, expected), mode) in ["evolve", "ignore_new_columns", "freeze"].into_iter().zip(outcomes).zip(["upsert", "append", "upsert"]) {
            let case = format!("{name}, {policy}");
            let project = project("{ strategy: hybrid, cursor: updated_at }", &format!("{{ mode: {mode} }}\n    schema_changes: {policy}"));
            run(&project);
            project.database("shop.db", &ddl(change));
            project.database("shop.db", &format!("INSERT INTO orders VALUES {row};"));

            let outcome = project.karat(["run", "--format", "json"]).run();

            let report = &outcome.json()["tables"]["bronze.orders"];
            let ids = reader.query(&project.warehouse(), "SELECT count(*), count(DISTINCT id), sum(amount) FROM bronze.orders");
            if let Some(expected) = expected.strip_prefix('!') {
                assert_eq!(outcome.code, Some(3), "{case}: {report:#}");
                assert!(report["error"]["message"].as_str().is_some_and(|message| message.contains(expected)), "{case}: {report:#}");
                assert_eq!(ids, [[serde_json::json!(3), serde_json::json!(3), serde_json::json!("60.75")]], "{case}: a refused change left rows");
            } else {
                assert_eq!(outcome.code, Some(0), "{case}: {report:#}");
                assert!(report["schema_changes"].to_string().contains(expected), "{case}: {report:#}");
                assert_eq!((&ids[0][0], &ids[0][1]), (&serde_json::json!(4), &serde_json::json!(4)), "{case}");
                assert_eq!(run(&project), (0, 0), "{case}: an idle run after it");
            }
            if name == "widen" && expected.starts_with("column") {
                assert_eq!(ids[0][2], serde_json::json!("12345678961.8734"), "{case}: values of before and after");
            }
        }
    }
}

/// A statement as it is, or the columns of a table that takes the place of `orders`.
fn ddl(change: &str) -> String {
    if change.starts_with("ALTER") {
        return change.to_owned();
    }
    let names: Vec<&str> = change.split(", ").filter_map(|column| column.split(' ').next()).collect();
    let names = names.join(", ");
    format!("CREATE TABLE moved ({change}); INSERT INTO moved ({names}) SELECT {names} FROM orders; DROP TABLE orders; ALTER TABLE moved RENAME TO orders;")
}
