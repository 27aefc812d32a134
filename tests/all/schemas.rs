//! What the commands print is what the published schemas promise.

use crate::karat::repository;
use crate::project::Project;
use crate::reader::Reader;
use serde_json::Value;

#[test]
fn the_offline_plan_of_market_is_valid_by_its_schema() {
    let Some(reader) = Reader::find("the_offline_plan_of_market_is_valid_by_its_schema") else { return };
    let project = Project::copy_of("market");

    let plan = project.karat(["plan", "--offline", "--format", "json"]).run().expect(0).json();

    expect_valid(&reader, "plan", &plan);
}

#[test]
fn plans_of_both_pipelines_with_the_database_at_hand_are_valid_by_their_schema() {
    let Some(reader) = Reader::find("plans_of_both_pipelines_with_the_database_at_hand_are_valid_by_their_schema") else { return };
    for project in [Project::market(1_000), Project::copy_of("flights")] {
        let plan = project.karat(["plan", "--format", "json"]).run().expect(0).json();

        expect_valid(&reader, "plan", &plan);
    }
}

#[test]
fn reports_on_stdout_and_in_a_file_are_the_same_and_valid() {
    let Some(reader) = Reader::find("reports_on_stdout_and_in_a_file_are_the_same_and_valid") else { return };
    let project = Project::market(1_000);
    let file = project.path().join("report.json");

    for _ in 0..2 {
        let printed = project.karat(["run", "--format", "json", "--report", "report.json"]).run().expect(0).json();
        let written: Value = serde_json::from_str(&std::fs::read_to_string(&file).expect("the report was written")).expect("the report is JSON");
        assert_eq!(printed, written);
        expect_valid(&reader, "report", &written);
    }
}

#[test]
fn the_report_of_a_failed_run_is_valid() {
    let Some(reader) = Reader::find("the_report_of_a_failed_run_is_valid") else { return };
    let project = Project::market(1_000);
    project.database("data/market.db", "DROP TABLE trades_kraken;");

    let outcome = project.karat(["run", "--report", "report.json"]).run();

    assert!(matches!(outcome.code, Some(3 | 4)), "exit code {:?}\n{}", outcome.code, outcome.stderr);
    let report = std::fs::read_to_string(project.path().join("report.json")).expect("a failed run writes its report too");
    expect_valid(&reader, "report", &serde_json::from_str(&report).expect("the report is JSON"));
}

#[test]
fn findings_are_valid_by_their_schema() {
    let Some(reader) = Reader::find("findings_are_valid_by_their_schema") else { return };
    let project = Project::of("version: 1\nnmae: shop\nsilver:\n  one: { sql: SELECT * FROM bronze.nothing }\n");

    let report = project.karat(["lint", "--format", "json"]).run().expect(1).json();

    expect_valid(&reader, "diagnostic", &report);
}

#[test]
fn every_pipeline_of_this_repository_is_valid_for_the_editor() {
    let Some(reader) = Reader::find("every_pipeline_of_this_repository_is_valid_for_the_editor") else { return };
    let schemas = repository().join("schemas");

    for (kind, file) in [("pipeline", "flights/flights.yaml"), ("pipeline", "market/market.yaml"), ("project", "flights/karat.yaml"), ("project", "market/karat.yaml")] {
        let schema = schemas.join(format!("{kind}.schema.json"));
        let faults = reader.script("validate_yaml.py", &[schema.as_ref(), repository().join("pipelines").join(file).as_ref()]);
        assert_eq!(faults, serde_json::json!([]), "{file}");
    }
}

#[track_caller]
fn expect_valid(reader: &Reader, kind: &str, value: &Value) {
    let schema = repository().join("schemas").join(format!("{kind}.schema.json"));
    let scratch = Project::empty();
    let file = scratch.write("value.json", value.to_string());
    let faults = reader.script("validate.py", &[schema.as_ref(), file.as_ref()]);
    assert_eq!(faults, serde_json::json!([]), "not valid by {kind}.schema.json: {value:#}");
}
