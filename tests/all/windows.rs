//! Strategy `window` on a small database: whole months are replaced, one commit each, and what an independent reader finds is the source.

use crate::market::rows;
use crate::project::Project;
use crate::reader::Reader;
use serde_json::{Value, json};

const SALES: &str = "
    CREATE TABLE sales (id INTEGER PRIMARY KEY, day DATE, amount DECIMAL(12,2) NOT NULL);
    INSERT INTO sales VALUES
      (1, '2023-12-31', 1.00), (2, '2024-01-01', 2.00), (3, '2024-01-31', 3.00), (4, '2024-02-01', 4.00), (5, '2024-02-29', 5.00), (6, '2024-03-15', 6.00);
";

fn project(cdc: &str, more: &str) -> Project {
    Project::shop("sales", SALES, &format!("    cdc: {{ strategy: window, cursor: day, null_cursor: error{cdc} }}\n{more}"))
}

/// Commits, rows read, written and removed.
fn run(project: &Project) -> [u64; 4] {
    let report = project.karat(["run", "--format", "json"]).run().expect(0).json();
    ["commits", "rows_read", "rows_written", "rows_removed"].map(|count| rows(&report, "bronze.sales", count))
}

fn content(reader: &Reader, project: &Project) -> Value {
    serde_json::to_value(reader.query(&project.warehouse(), "SELECT id, day, amount FROM bronze.sales ORDER BY id")).expect("rows are JSON")
}

fn source(project: &Project) -> Value {
    let database = rusqlite::Connection::open(project.path().join("shop.db")).expect("the database opens");
    let mut statement = database.prepare("SELECT id, day, printf('%.2f', amount) FROM sales ORDER BY id").expect("the query is sound");
    let row = |row: &rusqlite::Row<'_>| Ok(json!([row.get::<_, i64>(0)?, row.get::<_, Option<String>>(1)?, row.get::<_, String>(2)?]));
    statement.query_map([], row).expect("the query runs").collect::<Result<Vec<Value>, _>>().expect("rows are read").into()
}

#[test]
fn each_month_is_one_commit_and_the_newest_is_read_again() {
    let Some(reader) = Reader::find("each_month_is_one_commit_and_the_newest_is_read_again") else { return };
    let project = project("", "");

    assert_eq!(run(&project), [4, 6, 6, 0]);
    assert_eq!(content(&reader, &project), source(&project));
    assert_eq!(run(&project), [1, 1, 1, 1]);
    assert_eq!(content(&reader, &project), source(&project));
}

#[test]
fn what_changes_vanishes_or_moves_in_the_windows_that_are_read_again_does_so_here() {
    let Some(reader) = Reader::find("what_changes_vanishes_or_moves_in_the_windows_that_are_read_again_does_so_here") else { return };
    let project = project(", refresh_last: 2", "");
    run(&project);
    project.database(
        "shop.db",
        "UPDATE sales SET amount = 40 WHERE id = 4; DELETE FROM sales WHERE id = 5; UPDATE sales SET day = '2024-03-02' WHERE id = 2; INSERT INTO sales VALUES (7, '2024-05-01', 7);",
    );

    assert_eq!(run(&project), [3, 4, 4, 4]);

    assert_eq!(content(&reader, &project), source(&project));
}

#[test]
fn a_window_older_than_those_is_left_alone_until_a_full_refresh() {
    let Some(reader) = Reader::find("a_window_older_than_those_is_left_alone_until_a_full_refresh") else { return };
    let project = project("", "");
    run(&project);
    project.database("shop.db", "DELETE FROM sales WHERE id = 2;");

    run(&project);
    assert_eq!(reader.query(&project.warehouse(), "SELECT count(*) FROM bronze.sales"), [[json!(6)]]);
    project.karat(["run", "--full-refresh", "--quiet"]).run().expect(0);

    assert_eq!(content(&reader, &project), source(&project));
    assert_eq!(run(&project), [1, 1, 1, 1]);
}

#[test]
fn a_row_from_the_end_of_time_does_not_stop_the_present_month_from_being_read() {
    let Some(reader) = Reader::find("a_row_from_the_end_of_time_does_not_stop_the_present_month_from_being_read") else { return };
    let project = project("", "");
    project.database("shop.db", "INSERT INTO sales VALUES (8, '9999-12-31', 8);");
    run(&project);
    project.database("shop.db", "UPDATE sales SET amount = 60 WHERE id = 6; INSERT INTO sales VALUES (9, '2024-04-01', 9);");

    assert_eq!(run(&project), [3, 3, 3, 2]);

    assert_eq!(content(&reader, &project), source(&project));
}

#[test]
fn an_emptied_source_changes_nothing_until_that_is_allowed() {
    let Some(reader) = Reader::find("an_emptied_source_changes_nothing_until_that_is_allowed") else { return };
    let project = project(", refresh_last: 9", "");
    run(&project);
    let before = content(&reader, &project);
    project.database("shop.db", "DELETE FROM sales;");

    project.karat(["run"]).run().expect(5).says(&["bronze.sales", "allow_empty"]);
    assert_eq!(content(&reader, &project), before);
    let text = std::fs::read_to_string(project.path().join("pipeline.yaml")).expect("the pipeline is there");
    project.write("pipeline.yaml", format!("{text}    guard: {{ allow_empty: true }}\n"));
    run(&project);

    assert_eq!(content(&reader, &project), json!([]));
}

#[test]
fn a_run_killed_between_two_windows_is_continued_at_the_next() {
    let Some(reader) = Reader::find("a_run_killed_between_two_windows_is_continued_at_the_next") else { return };
    for place in ["commit.after_stage", "commit.before_commit", "commit.after_commit", "commit.after_state"] {
        let project = project("", "");

        project.karat(["run", "--quiet"]).env("KARAT_FAILPOINTS", format!("{place}=kill@3")).run().expect(137);
        let seen = content(&reader, &project);
        let [commits, read, ..] = run(&project);

        let is_third_there = place.starts_with("commit.after_commit") || place.starts_with("commit.after_state");
        assert_eq!(seen.as_array().map(Vec::len), Some(if is_third_there { 5 } else { 3 }), "{place}");
        assert_eq!((commits, read), if is_third_there { (2, 3) } else { (3, 5) }, "{place}");
        assert_eq!(content(&reader, &project), source(&project), "{place}");
    }
}

#[test]
fn the_plan_says_which_windows_are_read() {
    let project = project(", window: week, refresh_last: 2", "");
    run(&project);

    let outcome = project.karat(["plan", "--format", "json"]).run().expect(0);

    let table = &outcome.json()["tables"]["bronze.sales"];
    assert_eq!(table["predicate"], "day >= '2024-03-04', week by week, the newest 2 again");
    assert_eq!((&table["load_mode"], &table["guarantee"], &table["watermark"]), (&json!("window"), &json!("G1"), &json!("the window from 2024-03-11")));
}

#[test]
fn checks_see_the_rows_of_one_window_and_stop_it_alone() {
    let Some(reader) = Reader::find("checks_see_the_rows_of_one_window_and_stop_it_alone") else { return };
    let project = project("", "    checks:\n      - { type: expression, sql: \"amount < 4.5\" }\n");

    project.karat(["run"]).run().expect(4).says(&["amount < 4.5"]);

    assert_eq!(reader.query(&project.warehouse(), "SELECT count(*) FROM bronze.sales"), [[json!(3)]]);
}
