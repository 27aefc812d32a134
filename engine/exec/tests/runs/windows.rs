//! Tables whose windows are replaced: what is committed when, and what a run that died leaves to the next.

use super::world::{World, copy, copy_of, copy_work, options, rows};
use karat_exec::{Failpoints, RunOptions, RunReport, RunStatus, TableStatus};
use karat_plan::{CopyWork, TablePlan};
use karat_plugin_api::{CursorValue, Position};
use karat_spec::model::{LoadMode, NullCursor, Strategy};

/// Weeks 0 to 4 are in January 1970, 5 to 8 in February, 9 to 12 in March.
const FIRST: [(i64, i64); 6] = [(1, 0), (2, 4), (3, 5), (4, 8), (5, 9), (6, 10)];

fn work() -> CopyWork {
    copy_work("bronze.t", Strategy::Window, LoadMode::Window)
}

fn months() -> [TablePlan; 1] {
    [copy_of(work())]
}

fn months_again(refresh_last: u64) -> [TablePlan; 1] {
    let work = work();
    [copy_of(CopyWork { window: work.window.map(|(unit, _)| (unit, refresh_last)), ..work })]
}

async fn loaded() -> World {
    let world = World::new();
    world.source.insert(&rows(&FIRST));
    assert_eq!(world.run(&months()).await.exit_code, 0);
    world
}

fn position(world: &World) -> Position {
    world.sink.table("bronze/t", None).unwrap().records.into_values().next().unwrap().hi
}

fn done(report: &RunReport) -> (u64, u64, u64, u64) {
    let table = &report.tables["bronze.t"];
    assert_eq!((report.status, table.status), (RunStatus::Done, TableStatus::Done), "{report:#?}");
    (table.commits, table.rows_read, table.rows_written, table.rows_removed)
}

#[tokio::test]
async fn each_window_is_one_commit() {
    let world = World::new();
    world.source.insert(&rows(&FIRST));

    let report = world.run(&months()).await;

    assert_eq!(done(&report), (3, 6, 6, 0));
    assert_eq!(world.rows("bronze/t"), world.source_rows());
    assert_eq!(position(&world), Position::Windows { through: CursorValue::Date(59) });
    assert_eq!(report.tables["bronze.t"].watermark.as_deref(), Some("the window from 1970-03-01"));
}

#[tokio::test]
async fn the_newest_windows_are_read_again_and_what_vanished_in_them_vanishes() {
    let world = loaded().await;
    // In March one row is gone, one is new; in February, which is read again only when asked for, one is gone; April comes.
    world.source.replace(rows(&[(1, 0), (2, 4), (3, 5), (6, 10), (7, 12), (8, 14)]));

    let newest = world.run(&months()).await;

    assert_eq!(done(&newest), (2, 3, 3, 2));
    assert_eq!(world.rows("bronze/t").len(), 7);
    let more = world.run(&months_again(3)).await;
    assert_eq!(done(&more), (3, 4, 4, 5));
    assert_eq!(world.rows("bronze/t"), world.source_rows());
}

#[tokio::test]
async fn a_row_that_moved_into_a_window_that_is_read_is_there_once() {
    let world = loaded().await;
    world.source.replace(rows(&[(1, 11), (2, 4), (3, 5), (4, 8), (5, 9), (6, 20)]));

    world.run(&months()).await;

    assert_eq!(world.rows("bronze/t"), world.source_rows());
}

#[tokio::test]
async fn windows_without_rows_are_emptied_with_the_next_that_has_some() {
    let world = World::with_empty_windows();
    // Ten years lie between the first rows and the last.
    world.source.insert(&rows(&[(1, 0), (2, 5), (3, 520)]));
    assert_eq!(done(&world.run(&months()).await), (3, 3, 3, 0));
    world.source.replace(rows(&[(1, 0), (3, 520)]));

    let report = world.run(&months_again(200)).await;

    assert_eq!(done(&report), (2, 2, 2, 3));
    assert_eq!(world.rows("bronze/t"), world.source_rows());
}

#[tokio::test]
async fn windows_at_the_end_that_have_no_rows_any_more_are_emptied_too() {
    let world = World::with_empty_windows();
    world.source.insert(&rows(&FIRST));
    world.run(&months()).await;
    world.source.replace(rows(&FIRST[..2]));

    let report = world.run(&months_again(3)).await;

    assert_eq!(done(&report), (2, 2, 2, 6));
    assert_eq!(world.rows("bronze/t"), world.source_rows());
    assert_eq!(position(&world), Position::Windows { through: CursorValue::Date(59) });
}

#[tokio::test]
async fn an_emptied_source_is_refused_unless_that_is_allowed() {
    for world in [World::new(), World::with_empty_windows()] {
        world.source.insert(&rows(&FIRST));
        world.run(&months()).await;
        world.source.replace(rows(&[]));

        let refused = world.run(&months_again(3)).await;

        let error = refused.tables["bronze.t"].error.as_ref().unwrap();
        assert_eq!((refused.exit_code, error.kind.as_str()), (5, "refused"), "{error:?}");
        assert!(error.message.contains("lose all of its 6 rows") && error.help.is_some(), "{error:?}");
        assert_eq!(world.rows("bronze/t").len(), 6);
        let mut work = work();
        work.guard.allow_empty = true;
        assert_eq!(world.run(&[copy_of(work)]).await.exit_code, 0);
        assert_eq!(world.rows("bronze/t").len(), 4, "March is empty, what was not read is left alone");
    }
}

#[tokio::test]
async fn an_empty_source_makes_an_empty_table_once() {
    let world = World::new();

    let first = world.run(&months()).await;
    let second = world.run(&months()).await;

    assert_eq!(done(&first), (1, 0, 0, 0));
    assert_eq!(second.tables["bronze.t"].status, TableStatus::Unchanged);
}

#[tokio::test]
async fn a_run_that_died_between_two_windows_is_continued_at_the_next() {
    let world = World::new();
    world.source.insert(&rows(&FIRST));
    let failpoints = Failpoints::parse("commit.after_state=panic@2").unwrap();

    let died = world.run_with(&months(), RunOptions { failpoints, ..options() }).await;
    let seen = world.rows("bronze/t").len();
    let next = world.run(&months()).await;

    assert_eq!((died.exit_code, died.tables["bronze.t"].commits, seen), (4, 2, 4));
    assert_eq!(done(&next), (2, 4, 4, 2), "February, the newest that was there, and March");
    assert_eq!(world.rows("bronze/t"), world.source_rows());
}

#[tokio::test]
async fn a_full_refresh_replaces_the_table_in_one_commit() {
    let world = loaded().await;
    world.source.replace(rows(&[(2, 1), (3, 5), (5, 9), (9, 9)]));

    let report = world.refresh(&months()).await;

    assert_eq!(done(&report).0, 1);
    assert_eq!(world.rows("bronze/t"), world.source_rows());
    assert_eq!(done(&world.run(&months()).await), (1, 2, 2, 2));
}

#[tokio::test]
async fn rows_without_a_date_stop_the_table_or_are_read_again_in_every_run() {
    let world = loaded().await;
    world.source.insert(&rows(&[(8, -1), (9, -1)]));
    let always = [copy_of(CopyWork { null_cursor: NullCursor::AlwaysReread, ..work() })];

    let stopped = world.run(&months()).await;
    world.run(&always).await;
    world.source.replace(rows(&[(1, 0), (2, 4), (3, 5), (4, 8), (5, 9), (6, 10), (9, -1)]));
    world.run(&always).await;

    assert_eq!(stopped.exit_code, 3);
    assert_eq!(world.rows("bronze/t"), world.source_rows());
}

#[tokio::test]
async fn without_a_key_a_window_is_replaced_all_the_same() {
    let world = World::new();
    let plan = [copy_of(CopyWork { key: Vec::new(), ..work() })];
    world.source.insert(&rows(&[(1, 0), (1, 0), (2, 5)]));

    world.run(&plan).await;
    world.run(&plan).await;

    assert_eq!(world.rows("bronze/t"), world.source_rows());
}

#[tokio::test]
async fn strategy_and_load_mode_that_do_not_go_together_are_refused_before_anything_is_read() {
    for (strategy, mode) in [(Strategy::Window, LoadMode::Replace), (Strategy::Window, LoadMode::Upsert), (Strategy::Diff, LoadMode::Append), (Strategy::Full, LoadMode::Window)] {
        let world = World::new();
        world.source.insert(&rows(&FIRST));

        let report = world.run(&[copy("bronze.t", strategy, mode)]).await;

        assert_eq!(report.tables["bronze.t"].error.as_ref().unwrap().kind, "bad_configuration", "{strategy:?} {mode:?}");
        assert!(world.sink.table("bronze/t", None).is_none());
    }
}
