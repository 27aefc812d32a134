//! What a copy delivers, run after run.

use super::world::{World, copy, copy_of, copy_work, not_null, numbered, rows, statuses};
use karat_exec::{RunStatus, TableStatus};
use karat_plugin_api::Position;
use karat_spec::model::{LoadMode, OnFail, Strategy};

#[tokio::test]
async fn a_full_copy_delivers_all_rows_and_an_idle_run_commits_nothing() {
    let world = World::new();
    world.source.insert(&numbered(0..10));
    let plan = [copy("bronze.t", Strategy::Full, LoadMode::Replace)];

    let first = world.run(&plan).await;
    let second = world.run(&plan).await;

    assert_eq!((first.status, first.exit_code), (RunStatus::Done, 0));
    let table = &first.tables["bronze.t"];
    assert_eq!((table.rows_read, table.rows_written, table.commits), (10, 10, 1));
    assert_eq!(world.rows("bronze/t"), world.source_rows());
    assert_eq!(second.tables["bronze.t"].status, TableStatus::Unchanged);
    assert_eq!((second.tables["bronze.t"].rows_written, world.sink.version_count("bronze/t")), (0, 1));
}

#[tokio::test]
async fn each_keyset_strategy_delivers_only_what_is_new() {
    for (strategy, mode) in [
        (Strategy::Id, LoadMode::Append),
        (Strategy::Timestamp, LoadMode::Append),
        (Strategy::Timestamp, LoadMode::Upsert),
        (Strategy::Hybrid, LoadMode::Append),
        (Strategy::Hybrid, LoadMode::Upsert),
    ] {
        let world = World::new();
        let plan = [copy("bronze.t", strategy, mode)];
        world.source.insert(&numbered(0..10));
        world.run(&plan).await;
        world.source.insert(&numbered(10..13));

        let second = world.run(&plan).await;
        let idle = world.run(&plan).await;

        let table = &second.tables["bronze.t"];
        assert_eq!((table.status, table.rows_written), (TableStatus::Done, 3), "{strategy:?} {mode:?}");
        assert_eq!(world.rows("bronze/t"), world.source_rows(), "{strategy:?} {mode:?}");
        assert_eq!((idle.tables["bronze.t"].status, idle.tables["bronze.t"].commits), (TableStatus::Unchanged, 0), "{strategy:?} {mode:?}");
    }
}

#[tokio::test]
async fn rows_are_committed_while_they_arrive() {
    let world = World::committing_every(4);
    world.source.insert(&numbered(0..10));

    let report = world.run(&[copy("bronze.t", Strategy::Hybrid, LoadMode::Append)]).await;

    assert_eq!(report.tables["bronze.t"].commits, 3);
    let records = world.sink.table("bronze/t", None).unwrap().records;
    assert_eq!(records.values().next().unwrap().seq, 3);
}

#[tokio::test]
async fn a_late_row_with_the_watermarks_own_value_is_not_lost() {
    for mode in [LoadMode::Append, LoadMode::Upsert] {
        let world = World::new();
        let plan = [copy("bronze.t", Strategy::Timestamp, mode)];
        world.source.insert(&rows(&[(1, 1), (2, 5), (3, 5)]));
        world.run(&plan).await;
        world.source.insert(&rows(&[(4, 5)]));

        let report = world.run(&plan).await;

        assert_eq!(report.status, RunStatus::Done);
        assert_eq!(world.rows("bronze/t"), world.source_rows(), "{mode:?}");
    }
}

#[tokio::test]
async fn an_empty_source_makes_an_empty_table_once() {
    for (strategy, mode) in [(Strategy::Full, LoadMode::Replace), (Strategy::Hybrid, LoadMode::Upsert)] {
        let world = World::new();
        let plan = [copy("bronze.t", strategy, mode)];

        let first = world.run(&plan).await;
        let second = world.run(&plan).await;

        assert_eq!(statuses(&first)["bronze.t"], "done");
        assert_eq!(statuses(&second)["bronze.t"], "unchanged");
        assert_eq!(world.sink.table("bronze/t", None).unwrap().rows.num_rows(), 0);
    }
}

#[tokio::test]
async fn a_full_refresh_replaces_the_table_in_one_commit_and_goes_on_from_there() {
    let world = World::committing_every(4);
    let plan = [copy("bronze.t", Strategy::Hybrid, LoadMode::Append)];
    world.source.insert(&numbered(0..10));
    world.run(&plan).await;
    world.source.replace(numbered(2..12));

    let refreshed = world.refresh(&plan).await;

    assert_eq!((refreshed.status, refreshed.tables["bronze.t"].commits), (RunStatus::Done, 1));
    assert_eq!(world.rows("bronze/t"), world.source_rows());
    world.source.insert(&numbered(12..14));
    let next = world.run(&plan).await;
    assert_eq!(next.tables["bronze.t"].rows_written, 2);
    assert_eq!(world.rows("bronze/t"), world.source_rows());
    let record = world.sink.table("bronze/t", None).unwrap().records.into_values().next().unwrap();
    assert_eq!((record.generation.0, record.seq), (2, 2));
    assert!(matches!(record.hi, Position::Cursor { .. }));
}

#[tokio::test]
async fn a_full_refresh_of_an_upsert_does_not_let_two_rows_of_one_key_in() {
    let world = World::new();
    let plan = [copy("bronze.t", Strategy::Hybrid, LoadMode::Upsert)];
    world.source.insert(&rows(&[(1, 1), (2, 2)]));
    world.run(&plan).await;
    world.source.insert(&rows(&[(1, 3)]));

    let report = world.refresh(&plan).await;

    assert_eq!(report.tables["bronze.t"].error.as_ref().unwrap().kind, "check_failed");
    assert_eq!(world.rows("bronze/t").len(), 2);
}

#[tokio::test]
async fn a_failed_check_keeps_the_batch_invisible_and_a_warning_lets_it_pass() {
    let world = World::new();
    let bad = rows(&[(1, 1)]);
    let nulls = arrow::array::new_null_array(bad.column(2).data_type(), 1);
    let bad = arrow::array::RecordBatch::try_new(bad.schema(), vec![bad.column(0).clone(), bad.column(1).clone(), nulls, bad.column(3).clone()]).unwrap();
    world.source.insert(&bad);
    let mut work = copy_work("bronze.t", Strategy::Full, LoadMode::Replace);

    work.checks = vec![not_null("name", OnFail::Fail)];
    let failed = world.run(&[copy_of(work.clone())]).await;
    assert_eq!((failed.exit_code, failed.tables["bronze.t"].error.as_ref().unwrap().kind.as_str()), (3, "check_failed"));
    assert_eq!(world.sink.version_count("bronze/t"), 0);
    assert!(!failed.tables["bronze.t"].checks[0].passed);

    work.checks = vec![not_null("name", OnFail::Warn)];
    let warned = world.run(&[copy_of(work)]).await;
    assert_eq!((warned.exit_code, warned.tables["bronze.t"].warnings.len()), (0, 1));
    assert_eq!(world.rows("bronze/t").len(), 1);
}
