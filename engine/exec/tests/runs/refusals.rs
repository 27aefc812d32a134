//! When going on would lose or destroy rows, nothing happens and a person is asked.

use super::world::{World, copy, copy_of, copy_work, numbered, rows, statuses};
use karat_exec::{RunReport, rebuild};
use karat_plan::TablePlan;
use karat_spec::model::{LoadMode, Strategy};

fn hybrid() -> TablePlan {
    copy("bronze.t", Strategy::Hybrid, LoadMode::Append)
}

fn assert_refused(report: &RunReport, says: &str) {
    let error = report.tables["bronze.t"].error.as_ref().expect("the table is refused");
    assert_eq!((report.exit_code, error.kind.as_str()), (5, "refused"), "{error:?}");
    assert!(error.message.contains(says) && error.help.is_some(), "{error:?}");
}

async fn loaded() -> World {
    let world = World::new();
    world.source.insert(&numbered(0..10));
    assert_eq!(world.run(&[hybrid()]).await.exit_code, 0);
    world
}

#[tokio::test]
async fn a_read_that_shrank_or_is_empty_does_not_replace_a_table() {
    let world = World::new();
    let plan = [copy("bronze.t", Strategy::Full, LoadMode::Replace)];
    world.source.insert(&numbered(0..10));
    world.run(&plan).await;

    for left in [numbered(0..0), numbered(0..4)] {
        world.source.replace(left);
        assert_refused(&world.run(&plan).await, "bronze.t");
        assert_eq!(world.rows("bronze/t").len(), 10);
    }
}

#[tokio::test]
async fn another_source_is_refused_until_a_full_refresh() {
    let world = loaded().await;
    let mut work = copy_work("bronze.t", Strategy::Hybrid, LoadMode::Append);
    work.source_identity = Some("source-2".into());

    assert_refused(&world.run(&[copy_of(work.clone())]).await, "not the one that was read before");
    assert_eq!(world.refresh(&[copy_of(work.clone())]).await.exit_code, 0);
    assert_eq!(world.run(&[copy_of(work)]).await.exit_code, 0);
}

#[tokio::test]
async fn another_strategy_does_not_continue_a_position_of_another_kind() {
    let world = World::new();
    world.source.insert(&numbered(0..10));
    world.run(&[copy("bronze.t", Strategy::Full, LoadMode::Replace)]).await;

    assert_refused(&world.run(&[hybrid()]).await, "strategy was changed");
}

#[tokio::test]
async fn a_target_that_is_gone_or_rolled_back_is_refused_until_a_full_refresh() {
    for rolled_back in [true, false] {
        let world = loaded().await;
        if rolled_back {
            world.sink.roll_back("bronze/t")
        } else {
            world.sink.remove("bronze/t")
        }

        assert_refused(&world.run(&[hybrid()]).await, if rolled_back { "behind state" } else { "is gone" });

        assert_eq!(world.refresh(&[hybrid()]).await.exit_code, 0);
        assert_eq!(world.rows("bronze/t"), world.source_rows());
        world.source.insert(&rows(&[(99, 99)]));
        assert_eq!(world.run(&[hybrid()]).await.tables["bronze.t"].rows_written, 1);
    }
}

#[tokio::test]
async fn lost_state_is_taken_from_the_target_without_a_row_twice() {
    let world = loaded().await;
    for file in ["state.db", "state.db-wal", "state.db-shm"] {
        std::fs::remove_file(world.folder.path().join(file)).ok();
    }
    world.source.insert(&rows(&[(99, 99)]));

    let report = world.run(&[hybrid()]).await;

    assert!(report.tables["bronze.t"].recovered);
    assert_eq!((report.exit_code, report.tables["bronze.t"].rows_written), (0, 1));
    assert_eq!(world.rows("bronze/t"), world.source_rows());
}

#[tokio::test]
async fn a_changed_column_is_refused_with_its_name() {
    let world = loaded().await;
    let mut work = copy_work("bronze.t", Strategy::Hybrid, LoadMode::Append);
    work.columns.retain(|column| column.name != "name");
    world.source.insert(&rows(&[(99, 99)]));

    let report = world.run(&[copy_of(work)]).await;

    assert_eq!(report.tables["bronze.t"].error.as_ref().unwrap().kind, "schema_mismatch");
    assert!(report.tables["bronze.t"].error.as_ref().unwrap().message.contains("column `name` is gone"));
    assert_eq!(statuses(&report)["bronze.t"], "failed");
}

#[tokio::test]
async fn a_rebuild_of_nothing_changes_nothing() {
    let world = loaded().await;
    let services = world.services(super::world::options()).await;

    let report = rebuild(
        &karat_spec::ProjectSpec::default(),
        &[],
        &karat_exec::RebuildServices { connections: services.connections.as_ref(), state: &services.state, owner: &services.owner, clock: services.clock.as_ref() },
    )
    .await;

    assert_eq!((report.exit_code, report.tables.len()), (0, 0));
}
