//! The `flights` pipeline on real data, judged by values that were computed without Karat.

use crate::project::Project;
use crate::reader::Reader;

#[test]
fn the_gold_tables_of_flights_equal_values_computed_independently() {
    let Some(reader) = Reader::find("the_gold_tables_of_flights_equal_values_computed_independently") else { return };
    let project = Project::copy_of("flights");

    project.karat(["run"]).run().expect(0);

    let faults = reader.script("flights.py", &[project.path().join("data").as_ref(), project.path().join(".karat/warehouse").as_ref()]);
    assert_eq!(faults, serde_json::json!([]), "Gold differs from the independent computation");
}

#[test]
fn a_second_run_of_flights_reads_nothing_and_writes_nothing() {
    let project = Project::copy_of("flights");
    let first = project.karat(["run", "--format", "json"]).run().expect(0).json();
    assert_eq!(first["tables"]["bronze.flights"]["rows_read"], 166_158);
    assert_eq!(first["tables"]["silver.flights"]["rows_written"], 166_158);
    let warehouse = project.files(".karat/warehouse");

    let second = project.karat(["run", "--format", "json"]).run().expect(0).json();

    for (name, table) in second["tables"].as_object().expect("tables by name") {
        assert_eq!((table["rows_read"].as_u64(), table["rows_written"].as_u64()), (Some(0), Some(0)), "{name} was not idle: {table}");
    }
    assert!(project.files(".karat/warehouse") == warehouse, "an idle run changed the warehouse");
}

#[test]
fn a_run_prints_one_line_with_rows_for_each_table() {
    let project = Project::copy_of("flights");

    let outcome = project.karat(["run"]).run().expect(0);

    for (table, rows) in [("bronze.flights", "166,158"), ("bronze.airlines", "16"), ("bronze.airports", "1,462"), ("bronze.weather", "26,115"), ("gold.routes", "213")] {
        let line = outcome.stdout.lines().find(|line| line.contains(table)).unwrap_or_else(|| panic!("no line for {table}:\n{}", outcome.stdout));
        assert!(line.replace([',', '_', ' '], "").contains(&rows.replace(',', "")), "no `{rows}` in `{line}`");
    }
}
