//! Strategy `diff` on a small database: only what differs is written, and what vanished stays, is marked or goes.

use crate::market::rows;
use crate::project::Project;
use crate::reader::Reader;
use serde_json::{Value, json};

const PEOPLE: &str = "
    CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, score DOUBLE);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10) INSERT INTO people SELECT i, 'name ' || i, i / 4.0 FROM n;
";

/// One row changed to NULL, one changed, one is new, one is gone.
const CHANGES: &str =
    "UPDATE people SET name = NULL WHERE id = 2; UPDATE people SET score = 33.5 WHERE id = 3; INSERT INTO people VALUES (11, 'new', NULL); DELETE FROM people WHERE id = 10;";

fn project(deletes: &str, more: &str) -> Project {
    Project::shop("people", PEOPLE, &format!("    cdc: {{ strategy: diff, deletes: {deletes} }}\n{more}"))
}

/// Rows read, written and removed.
fn run(project: &Project) -> [u64; 3] {
    let report = project.karat(["run", "--format", "json"]).run().expect(0).json();
    ["rows_read", "rows_written", "rows_removed"].map(|count| rows(&report, "bronze.people", count))
}

fn content(reader: &Reader, project: &Project, sql: &str) -> Value {
    serde_json::to_value(reader.query(&project.warehouse(), sql)).expect("rows are JSON")
}

const ALL: &str = "SELECT id, name, score FROM bronze.people ORDER BY id";

#[test]
fn only_what_differs_is_written() {
    let Some(reader) = Reader::find("only_what_differs_is_written") else { return };
    let project = project("ignore", "");
    assert_eq!(run(&project), [10, 10, 0]);
    let parquet = |project: &Project| project.files(".karat/warehouse").into_iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "parquet")).collect::<Vec<_>>();
    let before = parquet(&project);

    assert_eq!(run(&project), [10, 0, 0]);
    assert_eq!(parquet(&project), before, "equal rows are not written again");
    project.database("shop.db", CHANGES);
    assert_eq!(run(&project), [10, 3, 2]);

    let row = |id: i64, name: Value, score: f64| json!([id, name, score]);
    let mut expected: Vec<Value> = vec![row(1, "name 1".into(), 0.25), row(2, Value::Null, 0.5), row(3, "name 3".into(), 33.5)];
    expected.extend((4..=10).map(|id| row(id, format!("name {id}").into(), f64::from(i32::try_from(id).expect("small")) / 4.0)));
    expected.push(json!([11, "new", null]));
    assert_eq!(content(&reader, &project, ALL), Value::from(expected));
}

#[test]
fn hard_deletes_take_rows_away() {
    let Some(reader) = Reader::find("hard_deletes_take_rows_away") else { return };
    let project = project("hard", "");
    run(&project);
    project.database("shop.db", CHANGES);

    assert_eq!(run(&project), [10, 3, 3]);

    assert_eq!(content(&reader, &project, "SELECT id FROM bronze.people ORDER BY id"), json!([[1], [2], [3], [4], [5], [6], [7], [8], [9], [11]]));
}

#[test]
fn soft_deletes_mark_a_row_until_it_returns() {
    let Some(reader) = Reader::find("soft_deletes_mark_a_row_until_it_returns") else { return };
    let project = project("soft", "silver:\n  present:\n    sql: SELECT id FROM bronze.people WHERE _deleted_at IS NULL\n    key: [id]\n");
    run(&project);
    let marks = "SELECT id, CAST(_deleted_at AS VARCHAR) FROM bronze.people WHERE _deleted_at IS NOT NULL ORDER BY id";
    assert_eq!(content(&reader, &project, marks), json!([]));

    project.database("shop.db", CHANGES);
    run(&project);
    let gone = content(&reader, &project, marks);
    assert_eq!(content(&reader, &project, "SELECT count(*) FROM silver.present"), json!([[10]]));
    project.database("shop.db", "UPDATE people SET score = 1 WHERE id = 1;");
    run(&project);
    let later = content(&reader, &project, marks);
    project.database("shop.db", "INSERT INTO people VALUES (10, 'name 10', 2.5);");
    run(&project);

    assert_eq!((gone[0][0].as_i64(), gone.as_array().map(Vec::len)), (Some(10), Some(1)));
    assert_eq!(later, gone, "a row that stays away keeps its time");
    assert_eq!(content(&reader, &project, marks), json!([]));
    assert_eq!(content(&reader, &project, "SELECT count(*) FROM bronze.people"), json!([[11]]));
}

#[test]
fn more_vanished_rows_than_the_guard_lets_pass_change_nothing() {
    let Some(reader) = Reader::find("more_vanished_rows_than_the_guard_lets_pass_change_nothing") else { return };
    for deletes in ["soft", "hard"] {
        let project = project(deletes, "");
        run(&project);
        let before = content(&reader, &project, ALL);
        project.database("shop.db", "DELETE FROM people WHERE id <= 3;");
        project.karat(["run"]).run().expect(5).says(&["bronze.people"]);
        project.database("shop.db", "DELETE FROM people;");
        project.karat(["run"]).run().expect(5).says(&["bronze.people", "allow_empty"]);
        assert_eq!(content(&reader, &project, ALL), before, "{deletes}");

        let text = std::fs::read_to_string(project.path().join("pipeline.yaml")).expect("the pipeline is there");
        project.write("pipeline.yaml", format!("{text}    guard: {{ max_delete: 100%, allow_empty: true }}\n"));
        project.karat(["run", "--quiet"]).run().expect(0);

        assert_eq!(content(&reader, &project, "SELECT count(*) FROM bronze.people"), json!([[if deletes == "hard" { 0 } else { 10 }]]), "{deletes}");
    }
}

#[test]
fn a_key_that_is_there_twice_is_refused_by_name() {
    let Some(reader) = Reader::find("a_key_that_is_there_twice_is_refused_by_name") else { return };
    let project = project("hard", "");
    let pipeline = std::fs::read_to_string(project.path().join("pipeline.yaml")).expect("the pipeline is there");
    project.write(
        "pipeline.yaml",
        pipeline
            .replace("table: people }", "query: \"SELECT * FROM people UNION ALL SELECT 1, 'again', 0.5 WHERE (SELECT count(*) FROM people) > 10\" }")
            .replace("    key: [id]", "    key: [id]\n    types: { id: bigint, name: text, score: double }"),
    );
    run(&project);
    project.database("shop.db", "INSERT INTO people VALUES (11, 'new', NULL);");

    let said = project.karat(["run"]).run().expect(3).says(&["bronze.people", "id"]).said();
    assert!(said.contains("same key") || said.contains("twice"), "{said}");
    assert_eq!(content(&reader, &project, "SELECT count(*) FROM bronze.people"), json!([[10]]));
    project.karat(["run", "--full-refresh"]).run().expect(3).says(&["bronze.people", "id"]);

    let first = Project::of(&std::fs::read_to_string(project.path().join("pipeline.yaml")).expect("the pipeline is there"));
    first.database("shop.db", PEOPLE);
    first.database("shop.db", "INSERT INTO people VALUES (11, 'new', NULL);");
    first.karat(["run"]).run().expect(3).says(&["bronze.people", "id"]);
}

#[test]
fn a_full_refresh_keeps_the_column_of_soft_deletes_and_a_killed_comparison_leaves_nothing_behind() {
    let Some(reader) = Reader::find("a_full_refresh_keeps_the_column_of_soft_deletes_and_a_killed_comparison_leaves_nothing_behind") else { return };
    let project = project("soft", "");
    run(&project);
    let before = content(&reader, &project, ALL);
    project.database("shop.db", CHANGES);

    for place in ["commit.after_stage", "commit.before_commit"] {
        project.karat(["run", "--quiet"]).env("KARAT_FAILPOINTS", format!("{place}=kill")).run().expect(137);
        assert_eq!(content(&reader, &project, ALL), before, "{place}");
    }
    project.karat(["run", "--quiet"]).env("KARAT_FAILPOINTS", "commit.after_commit=kill").run().expect(137);
    assert_eq!(run(&project), [10, 0, 0]);
    assert_eq!(content(&reader, &project, "SELECT count(*), count(_deleted_at) FROM bronze.people"), json!([[11, 1]]));
    project.karat(["run", "--full-refresh", "--quiet"]).run().expect(0);

    assert_eq!(content(&reader, &project, "SELECT count(*), count(_deleted_at) FROM bronze.people"), json!([[10, 0]]));
    assert_eq!(run(&project), [10, 0, 0]);
}
