//! Whatever fails, and whenever: in the end each row is there exactly once.

use super::world::{World, copy_of, copy_work, numbered, options, plan, rows, transform};
use karat_exec::{FAILPOINTS, Failpoints, RunOptions, run};
use karat_plan::TablePlan;
use karat_plugin_api::ErrorKind;
use karat_spec::model::{LoadMode, Strategy as Cdc};
use karat_testkit::{Fault, FaultPoint, Faults, sorted_row_texts};
use proptest::prelude::{Strategy, any, prop};
use proptest::test_runner::{Config, TestRunner};
use tokio_util::sync::CancellationToken;

const KINDS: [(Cdc, LoadMode); 8] = [
    (Cdc::Full, LoadMode::Replace),
    (Cdc::Id, LoadMode::Append),
    (Cdc::Timestamp, LoadMode::Append),
    (Cdc::Timestamp, LoadMode::Upsert),
    (Cdc::Hybrid, LoadMode::Append),
    (Cdc::Hybrid, LoadMode::Upsert),
    (Cdc::Window, LoadMode::Window),
    (Cdc::Diff, LoadMode::Upsert),
];

fn tables(strategy: Cdc, mode: LoadMode) -> [TablePlan; 2] {
    let mut work = copy_work("bronze.t", strategy, mode);
    // Then nothing but the position keeps a row from coming twice.
    work.key_is_unique = strategy == Cdc::Id;
    [copy_of(work), transform("silver.t", "SELECT * FROM bronze.t", &["bronze.t"])]
}

fn assert_exact(world: &World, note: &str) {
    assert_eq!(world.rows("bronze/t"), world.source_rows(), "{note}");
    assert_eq!(world.rows("silver/t"), world.source_rows(), "{note}");
}

#[tokio::test]
async fn a_transient_fault_anywhere_is_mended_within_the_run() {
    use FaultPoint::{Batch, Begin, Commit, Read, Stage, TargetState, Write};
    for (strategy, mode) in KINDS {
        for point in [Read, Batch, TargetState, Begin, Write, Stage, Commit] {
            for fault in [Fault::Reject(ErrorKind::Unreachable), Fault::FailAfter(ErrorKind::Busy), Fault::EndWithoutMark, Fault::LostReply, Fault::LostRequest, Fault::Slow(50)] {
                let is_unknown = matches!(fault, Fault::LostReply | Fault::LostRequest);
                if is_unknown && point != Commit {
                    continue;
                }
                for nth in [1, 2, 3] {
                    let world = World::with_unique_ids(4);
                    world.source.insert(&numbered(0..11));
                    world.set_faults(Faults::default().at(point, nth, fault));

                    let report = world.run(&tables(strategy, mode)).await;

                    let note = format!("{strategy:?} {mode:?} {point:?} {nth} {fault:?}");
                    assert_eq!(report.exit_code, 0, "{note}: {report:#?}");
                    assert_exact(&world, &note);
                }
            }
        }
    }
}

#[tokio::test]
async fn every_failpoint_can_fail_or_panic_and_the_next_run_mends_it() {
    for (strategy, mode) in KINDS {
        for place in FAILPOINTS {
            for action in ["error", "error@1", "error@2", "panic@1", "panic@3"] {
                // A panic outside of stages is the process's end, which the black-box tests look at.
                if place.name.starts_with("run.") || (place.name == "stage.ended" && action.starts_with("panic")) {
                    continue;
                }
                let world = World::with_unique_ids(4);
                world.source.insert(&numbered(0..11));
                let failpoints = Failpoints::parse(&format!("{}={action}", place.name)).unwrap();

                world.run_with(&tables(strategy, mode), RunOptions { failpoints, ..options() }).await;
                let report = world.run(&tables(strategy, mode)).await;

                let note = format!("{strategy:?} {mode:?} {} {action}", place.name);
                assert_eq!(report.exit_code, 0, "{note}: {report:#?}");
                assert_exact(&world, &note);
            }
        }
    }
}

/// What happens before and during one run.
#[derive(Debug, Clone)]
struct Episode {
    /// Rows that appear at the source before it: how many, and whether they share the newest change time.
    arrives: (u8, bool),
    faults: Vec<(FaultPoint, u64, Fault)>,
    /// The process dies after this many turns of the scheduler.
    dies_after: Option<u16>,
    /// The state file is lost before it.
    loses_state: bool,
}

fn episode() -> impl Strategy<Value = Episode> {
    use FaultPoint::{Batch, Begin, Commit, Read, Stage, TargetState, Write};
    let point = prop::sample::select(vec![Read, Batch, TargetState, Begin, Write, Stage, Commit, Commit, Commit]);
    let fault = prop::sample::select(vec![
        Fault::Reject(ErrorKind::Unreachable),
        Fault::Reject(ErrorKind::BadData),
        Fault::FailAfter(ErrorKind::Busy),
        Fault::FailAfter(ErrorKind::NoSpace),
        Fault::LostReply,
        Fault::LostRequest,
        Fault::EndWithoutMark,
        Fault::Slow(20),
        Fault::Panic,
    ]);
    let faults = prop::collection::vec((point, 1_u64..6, fault), 0..4);
    (((0_u8..9), any::<bool>()), faults, prop::option::of(0_u16..400), prop::bool::weighted(0.1)).prop_map(|(arrives, faults, dies_after, loses_state)| Episode {
        arrives,
        faults,
        dies_after,
        loses_state,
    })
}

#[test]
fn after_any_history_of_faults_and_crashes_each_row_is_there_exactly_once() {
    let cases = (prop::sample::select(KINDS.to_vec()), prop::collection::vec(episode(), 1..5));
    let mut runner = TestRunner::new(Config { cases: 150, failure_persistence: None, ..Config::default() });
    let done = runner.run(&cases, |((strategy, mode), episodes)| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(play(strategy, mode, &episodes));
        Ok(())
    });
    done.unwrap();
}

async fn play(strategy: Cdc, mode: LoadMode, episodes: &[Episode]) {
    let world = World::with_unique_ids(4);
    let (mut next_id, mut newest) = (0, 0);
    for episode in episodes {
        for _ in 0..episode.arrives.0 {
            // A unique growing id must not meet ties; change times may.
            newest += i64::from(!(episode.arrives.1 && next_id > 0));
            world.source.insert(&rows(&[(next_id, newest)]));
            next_id += 1;
        }
        if episode.loses_state {
            for file in ["state.db", "state.db-wal", "state.db-shm"] {
                std::fs::remove_file(world.folder.path().join(file)).ok();
            }
        }
        world.set_faults(episode.faults.iter().fold(Faults::default(), |faults, (point, nth, fault)| faults.at(*point, *nth, *fault)));
        let services = world.services(options()).await;
        let going = run(plan(&tables(strategy, mode)), services, CancellationToken::new());
        match episode.dies_after {
            None => drop(going.await),
            Some(turns) => tokio::select! {
                biased;
                _ = going => {}
                () = async { for _ in 0..turns { tokio::task::yield_now().await } } => {}
            },
        }
        // Aborted tasks let go of their lease when the scheduler comes to them.
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        let seen = world.sink.table("bronze/t", None).map(|table| sorted_row_texts(&[table.rows])).unwrap_or_default();
        let source = world.source_rows();
        assert!(seen.iter().all(|row| source.contains(row)), "a reader never sees a row that is not there");
        assert!(seen.windows(2).all(|pair| pair[0] != pair[1]), "a reader never sees a row twice: {seen:?}");
    }
    world.set_faults(Faults::default());

    let report = world.run(&tables(strategy, mode)).await;

    assert_eq!(report.exit_code, 0, "{report:#?}");
    assert_exact(&world, "at the end");
}
