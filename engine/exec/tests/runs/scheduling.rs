//! Which tables run, which are skipped, and what the exit code says.

use super::world::{World, copy, copy_of, copy_work, numbered, options, statuses, transform};
use karat_exec::{Event, RunOptions};
use karat_spec::model::{LoadMode, Strategy};
use karat_testkit::{Fault, FaultPoint, Faults};

fn broken(name: &str) -> karat_plan::TablePlan {
    let mut work = copy_work(name, Strategy::Full, LoadMode::Replace);
    work.connection = "elsewhere".into();
    copy_of(work)
}

#[tokio::test]
async fn tables_behind_a_failed_one_are_skipped_and_others_go_on() {
    let world = World::new();
    world.source.insert(&numbered(0..5));
    let plan = [
        broken("bronze.bad"),
        copy("bronze.good", Strategy::Full, LoadMode::Replace),
        transform("silver.bad", "SELECT * FROM bronze.bad", &["bronze.bad"]),
        transform("gold.bad", "SELECT * FROM silver.bad", &["silver.bad"]),
        transform("silver.good", "SELECT * FROM bronze.good", &["bronze.good"]),
    ];

    let report = world.run(&plan).await;

    let found: Vec<(String, &str)> = statuses(&report).into_iter().collect();
    let expected = [("bronze.bad", "failed"), ("bronze.good", "done"), ("gold.bad", "skipped"), ("silver.bad", "skipped"), ("silver.good", "done")];
    assert_eq!(found, expected.map(|(name, status)| (name.to_owned(), status)));
    assert_eq!(report.exit_code, 4);
    assert_eq!(report.tables["bronze.bad"].retries, 5);
    assert!(report.tables["gold.bad"].reason.as_ref().unwrap().contains("`silver.bad`"));
    let names: Vec<&String> = report.tables.keys().collect();
    assert_eq!(names, ["bronze.bad", "bronze.good", "silver.bad", "gold.bad", "silver.good"], "the report keeps the plan's order");
}

#[tokio::test]
async fn nothing_committed_is_exit_3_and_fail_fast_ends_the_run() {
    let world = World::new();
    let plan = [broken("bronze.bad"), copy("bronze.good", Strategy::Full, LoadMode::Replace)];

    let report = world.run_with(&plan, RunOptions { jobs: 1, fail_fast: true, ..options() }).await;

    assert_eq!((report.exit_code, statuses(&report)["bronze.good"]), (3, "skipped"));
}

#[tokio::test]
async fn a_panic_is_a_bug_of_its_table_alone() {
    for point in [FaultPoint::Batch, FaultPoint::Write, FaultPoint::Commit, FaultPoint::TargetState] {
        let world = World::new();
        world.source.insert(&numbered(0..5));
        world.set_faults(Faults::default().at(point, 1, Fault::Panic));
        let plan = [copy("bronze.a", Strategy::Full, LoadMode::Replace), copy("bronze.b", Strategy::Full, LoadMode::Replace)];

        let report = world.run_with(&plan, RunOptions { jobs: 1, ..options() }).await;

        assert_eq!(report.tables["bronze.a"].error.as_ref().unwrap().kind, "bug", "{point:?}");
        assert_eq!((statuses(&report)["bronze.b"], report.exit_code), ("done", 4), "{point:?}");
    }
}

#[tokio::test]
async fn a_second_run_does_not_start_while_the_first_holds_the_lease() {
    let world = World::new();
    let state = world.state().await;
    let lease = state.acquire(&world.owner()).await.unwrap();

    let report = world.run(&[copy("bronze.t", Strategy::Full, LoadMode::Replace)]).await;

    assert_eq!((report.exit_code, statuses(&report)["bronze.t"]), (6, "skipped"));
    assert!(report.error.unwrap().message.contains("holds the lease"));
    state.release(lease).await.unwrap();
    assert_eq!(world.run(&[copy("bronze.t", Strategy::Full, LoadMode::Replace)]).await.exit_code, 0);
}

#[tokio::test]
async fn the_history_says_what_each_run_did() {
    let world = World::new();
    world.source.insert(&numbered(0..5));

    world.run(&[copy("bronze.t", Strategy::Full, LoadMode::Replace), broken("bronze.bad")]).await;

    let snapshot = world.state().await.snapshot().await.unwrap();
    assert_eq!(snapshot.last_runs["bronze.t"].rows_written, 5);
    assert_eq!(snapshot.last_runs["bronze.bad"].status, "failed");
    let run = &world.state().await.runs(1).await.unwrap()[0];
    assert_eq!(run.exit_code, Some(4));
    assert!(run.ended_at.is_some());
    let events = world.events.0.lock().unwrap();
    assert!(matches!(events.first(), Some(Event::RunStarted { tables: 2, .. })));
    assert!(matches!(events.last(), Some(Event::RunFinished { .. })));
    assert_eq!(events.iter().filter(|event| matches!(event, Event::TableFinished { .. })).count(), 2);
}
