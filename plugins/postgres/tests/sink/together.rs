//! Many writers of one table, and writers that are in each other's way.

use crate::world::{World, at, load, request, rows, sink, target, upsert, world};
use karat_plugin_api::{CommitRecord, CommitRequest, Generation, LoadRequest, StreamId};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const WORKERS: u64 = 4;
const BATCHES: u64 = 250;
const ROWS: i64 = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_write_the_same_rows_in_opposite_orders_all_succeed() {
    let Some(world) = world("deadlock storm") else { return };
    load(&world.sink, request(upsert(), 1, "first"), rows(0..ROWS, "first"), crate::world::commit(1, 1, "first", 0, 1)).await.unwrap();

    let longest = storm(&world, BATCHES).await;

    assert!(longest < Duration::from_secs(5), "{longest:?}");
    expect_all(&world, BATCHES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_who_writes_in_another_order_stops_nobody() {
    let Some(world) = world("foreign deadlocks") else { return };
    load(&world.sink, request(upsert(), 1, "first"), rows(0..ROWS, "first"), crate::world::commit(1, 1, "first", 0, 1)).await.unwrap();
    let database = &world.database;
    let stop = AtomicBool::new(false);
    let longest = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                // The server may choose this one to break a deadlock.
                let _given_up =
                    database.try_execute("BEGIN; UPDATE bronze.t SET name = name WHERE id = 199; SELECT pg_sleep(0.02); UPDATE bronze.t SET name = name WHERE id = 0; COMMIT;");
            }
        });
        let longest = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(storm(&world, 10)));
        stop.store(true, Ordering::SeqCst);
        longest
    });

    assert!(longest < Duration::from_secs(30), "{longest:?}");
    expect_all(&world, 10);
}

/// Each worker upserts the same rows again and again, every second one in the opposite order. Gives the longest load.
async fn storm(world: &World, batches: u64) -> Duration {
    let workers = (0..WORKERS).map(|worker| {
        let sink = sink(&world.database.url());
        tokio::spawn(async move {
            let stream = StreamId::new("p", &format!("worker{worker}"));
            let mut longest = Duration::ZERO;
            for seq in 1..=batches {
                let attempt = format!("w{worker}-{seq}");
                let ids: Vec<i64> = if worker % 2 == 0 { (0..ROWS).collect() } else { (0..ROWS).rev().collect() };
                let hi = i64::try_from(seq).unwrap();
                let record =
                    CommitRecord { stream: stream.clone(), generation: Generation(1), seq, epoch: 1, attempt: format!("{attempt}-{seq}"), lo: at(hi - 1), hi: at(hi), rows: 0 };
                let request = LoadRequest { stream: stream.clone(), target: target(), ..request(upsert(), 1, &attempt) };
                let started = Instant::now();
                load(&sink, request, rows(ids, &attempt), CommitRequest { record, run_id: "run".into(), window: None }).await.unwrap();
                longest = longest.max(started.elapsed());
            }
            longest
        })
    });
    futures_join(workers).await
}

fn expect_all(world: &World, batches: u64) {
    assert_eq!(world.database.query("SELECT count(*), count(DISTINCT name) FROM bronze.t"), format!("{ROWS}\t1\n"));
    assert_eq!(world.database.query("SELECT min(seq), max(seq), sum(table_rows) FROM bronze.karat_commits WHERE stream <> 'p/bronze.t'"), format!("{batches}\t{batches}\t0\n"));
}

async fn futures_join(tasks: impl Iterator<Item = tokio::task::JoinHandle<Duration>>) -> Duration {
    let tasks: Vec<_> = tasks.collect();
    let mut longest = Duration::ZERO;
    for task in tasks {
        longest = longest.max(task.await.unwrap());
    }
    longest
}
