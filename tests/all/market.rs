//! The `market` pipeline: nine tables from two exchanges, judged by an independent computation.

use crate::project::Project;
use crate::reader::Reader;
use serde_json::Value;

/// All tables of the pipeline.
pub(crate) const TABLES: [&str; 9] =
    ["bronze.trades_binance", "bronze.trades_kraken", "gold.bars_15m", "gold.bars_1d", "gold.bars_1h", "gold.bars_1m", "gold.bars_4h", "gold.bars_5m", "silver.trades"];

#[test]
fn the_nine_tables_of_market_equal_values_computed_independently() {
    let Some(reader) = Reader::find("the_nine_tables_of_market_equal_values_computed_independently") else { return };
    let project = Project::market(20_000);

    let report = project.karat(["run", "--format", "json"]).run().expect(0).json();

    let mut names: Vec<&String> = report["tables"].as_object().expect("tables by name").keys().collect();
    names.sort();
    assert_eq!(names, TABLES);
    let faults = reader.script("market.py", &[project.path().join("data/market.db").as_ref(), project.path().join(".karat/warehouse").as_ref()]);
    assert_eq!(faults, serde_json::json!([]));
}

#[test]
fn new_trades_are_read_and_nothing_else() {
    let Some(reader) = Reader::find("new_trades_are_read_and_nothing_else") else { return };
    let project = Project::market(4_000);
    project.karat(["run"]).run().expect(0);
    let added = xtask::market::append_trades(&project.path().join("data/market.db"), 600).expect("trades can be appended");

    let report = project.karat(["run", "--format", "json"]).run().expect(0).json();

    assert_eq!(rows(&report, "bronze.trades_binance", "rows_written"), added.binance.unsigned_abs());
    assert_eq!(rows(&report, "bronze.trades_kraken", "rows_read"), added.kraken.unsigned_abs());
    assert_eq!(rows(&report, "bronze.trades_kraken", "rows_written"), added.kraken.unsigned_abs());
    let faults = reader.script("market.py", &[project.path().join("data/market.db").as_ref(), project.path().join(".karat/warehouse").as_ref()]);
    assert_eq!(faults, serde_json::json!([]));
}

#[test]
fn a_second_run_of_market_reads_nothing_and_writes_nothing() {
    let project = Project::market(4_000);
    project.karat(["run"]).run().expect(0);
    let warehouse = project.files(".karat/warehouse");

    let report = project.karat(["run", "--format", "json"]).run().expect(0).json();

    for table in TABLES {
        assert_eq!((rows(&report, table, "rows_read"), rows(&report, table, "rows_written")), (0, 0), "{table}: {}", report["tables"][table]);
    }
    assert!(project.files(".karat/warehouse") == warehouse, "an idle run changed the warehouse");
}

#[test]
fn only_the_selected_tables_are_run() {
    let project = Project::market(1_000);

    let report = project.karat(["run", "--select", "bronze.trades_kraken", "--format", "json"]).run().expect(0).json();

    assert_eq!(report["tables"].as_object().expect("tables by name").keys().collect::<Vec<_>>(), ["bronze.trades_kraken"]);
    let report = project.karat(["run", "--select", "+gold.bars_1h", "--format", "json"]).run().expect(0).json();
    let mut names: Vec<&String> = report["tables"].as_object().expect("tables by name").keys().collect();
    names.sort();
    assert_eq!(names, ["bronze.trades_binance", "bronze.trades_kraken", "gold.bars_1h", "silver.trades"]);
}

#[test]
fn a_full_refresh_reads_everything_again_and_changes_no_value() {
    let Some(reader) = Reader::find("a_full_refresh_reads_everything_again_and_changes_no_value") else { return };
    let project = Project::market(2_000);
    project.karat(["run"]).run().expect(0);
    let before = project.path().join("before");
    crate::project::copy_folder(&project.path().join(".karat/warehouse"), &before);

    let report = project.karat(["run", "--full-refresh", "--format", "json"]).run().expect(0).json();

    assert_eq!(rows(&report, "bronze.trades_binance", "rows_read"), 1_000);
    assert_eq!(reader.differences(&before, &project.path().join(".karat/warehouse")), Vec::<String>::new());
}

#[track_caller]
pub(crate) fn rows(report: &Value, table: &str, field: &str) -> u64 {
    report["tables"][table][field].as_u64().unwrap_or_else(|| panic!("no {field} of {table} in {report:#}"))
}
