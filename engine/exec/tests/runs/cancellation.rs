//! A run that is told to stop stays at its last committed batches.

use super::world::{World, copy, numbered, options, plan, statuses, transform};
use karat_exec::{Event, run};
use karat_spec::model::{LoadMode, Strategy};
use karat_testkit::{Fault, FaultPoint, Faults};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_cancelled_run_keeps_what_was_committed_and_the_next_one_goes_on() {
    for point in [FaultPoint::Batch, FaultPoint::Write, FaultPoint::Stage] {
        let world = World::committing_every(4);
        world.source.insert(&numbered(0..12));
        let nth = if point == FaultPoint::Stage { 2 } else { 4 };
        world.set_faults(Faults::default().at(point, nth, Fault::Hang));
        let tables = [copy("bronze.t", Strategy::Hybrid, LoadMode::Append), transform("silver.t", "SELECT * FROM bronze.t", &["bronze.t"])];
        let cancel = CancellationToken::new();
        let services = world.services(options()).await;
        let going = run(plan(&tables), services, cancel.clone());
        let stop = async {
            while !world.events.0.lock().unwrap().iter().any(|event| matches!(event, Event::Committed { .. })) {
                tokio::task::yield_now().await;
            }
            cancel.cancel();
        };

        let (report, ()) = tokio::join!(going, stop);

        assert_eq!((report.exit_code, statuses(&report)["bronze.t"], statuses(&report)["silver.t"]), (130, "cancelled", "cancelled"), "{point:?}");
        assert_eq!(world.rows("bronze/t").len(), 4, "{point:?}");
        world.set_faults(Faults::default());
        assert_eq!(world.run(&tables).await.exit_code, 0);
        assert_eq!(world.rows("bronze/t"), world.source_rows());
    }
}

#[tokio::test]
async fn a_run_that_is_stopped_before_it_begins_touches_nothing() {
    let world = World::new();
    world.source.insert(&numbered(0..12));
    let cancel = CancellationToken::new();
    cancel.cancel();

    let report = run(plan(&[copy("bronze.t", Strategy::Full, LoadMode::Replace)]), world.services(options()).await, cancel).await;

    assert_eq!((report.exit_code, world.sink.version_count("bronze/t")), (130, 0));
}
