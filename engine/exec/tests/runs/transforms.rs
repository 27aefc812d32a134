//! What a transform computes, and when it does not have to.

use super::world::{World, copy, not_null, numbered, statuses, transform, transform_of, transform_work};
use karat_exec::RunStatus;
use karat_spec::model::{LoadMode, OnFail, Strategy};

const DOUBLE: &str = "SELECT id, id * 2 AS twice FROM bronze.t";

#[tokio::test]
async fn bronze_silver_and_gold_are_loaded_in_one_run_and_not_again() {
    let world = World::new();
    world.source.insert(&numbered(0..5));
    let plan = [
        copy("bronze.t", Strategy::Hybrid, LoadMode::Append),
        transform("silver.t", DOUBLE, &["bronze.t"]),
        transform("gold.t", "SELECT count(*) AS n, sum(twice) AS total FROM silver.t", &["silver.t"]),
    ];

    let first = world.run(&plan).await;
    let idle = world.run(&plan).await;
    world.source.insert(&numbered(5..6));
    let third = world.run(&plan).await;

    assert_eq!((first.status, idle.status, third.status), (RunStatus::Done, RunStatus::Done, RunStatus::Done), "{first:#?}");
    assert_eq!((first.tables["silver.t"].rows_read, first.tables["silver.t"].rows_written), (5, 5));
    assert!(statuses(&idle).values().all(|status| *status == "unchanged"), "{idle:#?}");
    assert_eq!(world.rows("gold/t"), ["6|30"]);
    assert_eq!(third.tables["silver.t"].rows_written, 6);
}

#[tokio::test]
async fn an_input_that_was_never_loaded_is_named() {
    let world = World::new();

    let report = world.run(&[transform("silver.t", DOUBLE, &["bronze.t"])]).await;

    let error = report.tables["silver.t"].error.clone().unwrap();
    assert_eq!((report.exit_code, error.kind.as_str()), (3, "not_found"));
    assert!(error.message.contains("`bronze.t`") && error.help.unwrap().contains("+silver.t"));
}

#[tokio::test]
async fn an_input_outside_of_the_run_is_read_as_it_was_at_its_start() {
    let world = World::new();
    world.source.insert(&numbered(0..5));
    world.run(&[copy("bronze.t", Strategy::Hybrid, LoadMode::Append)]).await;

    let report = world.run(&[transform("silver.t", DOUBLE, &["bronze.t"])]).await;

    assert_eq!((report.status, world.rows("silver/t").len()), (RunStatus::Done, 5));
}

#[tokio::test]
async fn changed_code_is_computed_again_and_may_change_columns() {
    let world = World::new();
    world.source.insert(&numbered(0..5));
    world.run(&[copy("bronze.t", Strategy::Hybrid, LoadMode::Append), transform("silver.t", DOUBLE, &["bronze.t"])]).await;

    let report = world.run(&[transform("silver.t", "SELECT id, 'x' AS mark FROM bronze.t", &["bronze.t"])]).await;

    assert_eq!(report.status, RunStatus::Done, "{report:#?}");
    assert_eq!(world.rows("silver/t")[0], "0|x");
    assert_eq!(report.tables["silver.t"].schema_changes.len(), 2);
}

#[tokio::test]
async fn a_check_that_fails_keeps_the_old_table() {
    let world = World::new();
    world.source.insert(&numbered(0..5));
    let bronze = copy("bronze.t", Strategy::Hybrid, LoadMode::Append);
    world.run(&[bronze.clone(), transform("silver.t", DOUBLE, &["bronze.t"])]).await;
    let mut work = transform_work("silver.t", "SELECT id, nullif(id, 3) AS twice FROM bronze.t", &["bronze.t"]);
    work.checks = vec![not_null("twice", OnFail::Fail)];

    let report = world.run(&[bronze, transform_of(work), transform("gold.t", "SELECT * FROM silver.t", &["silver.t"])]).await;

    assert_eq!(statuses(&report)["silver.t"], "failed");
    assert_eq!(statuses(&report)["gold.t"], "skipped");
    assert_eq!(world.rows("silver/t").len(), 5);
}

#[tokio::test]
async fn a_query_that_fails_half_way_leaves_the_old_table() {
    let world = World::new();
    world.source.insert(&numbered(0..5));
    let bronze = copy("bronze.t", Strategy::Hybrid, LoadMode::Append);
    world.run(&[bronze.clone(), transform("silver.t", DOUBLE, &["bronze.t"])]).await;

    let report = world.run(&[bronze, transform("silver.t", "SELECT id, 1 / (id - 3) AS twice FROM bronze.t", &["bronze.t"])]).await;

    assert_eq!((report.exit_code, statuses(&report)["silver.t"]), (3, "failed"));
    assert_eq!(world.sink.version_count("silver/t"), 1);
}
