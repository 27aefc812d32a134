//! Many writers of one table, and writers that are in each other's way.

use crate::world::{at, load, request, rows, sink, target, upsert, world};
use karat_plugin_api::{CommitRecord, CommitRequest, Generation, LoadRequest, StreamId};
use std::time::{Duration, Instant};

const WORKERS: u64 = 4;
const BATCHES: u64 = 40;
const ROWS: i64 = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_write_the_same_rows_in_opposite_orders_all_succeed() {
    let Some(world) = world("deadlock storm") else { return };
    load(&world.sink, request(upsert(), 1, "first"), rows(0..ROWS, "first"), crate::world::commit(1, 1, "first", 0, 1)).await.unwrap();
    // Somebody else's transactions take row locks in the other order, so that the server must break deadlocks.
    let mut troublemaker = world.database.session();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let until = stop.clone();
    let trouble = std::thread::spawn(move || {
        while !until.load(std::sync::atomic::Ordering::SeqCst) {
            troublemaker.execute("BEGIN; UPDATE bronze.t SET name = name WHERE id = 199; SELECT pg_sleep(0.01); UPDATE bronze.t SET name = name WHERE id = 0; COMMIT;");
        }
    });

    let workers = (0..WORKERS).map(|worker| {
        let sink = sink(&world.database.url());
        tokio::spawn(async move {
            let stream = StreamId::new("p", &format!("worker{worker}"));
            let mut longest = Duration::ZERO;
            for seq in 1..=BATCHES {
                let attempt = format!("w{worker}-{seq}");
                let ids: Vec<i64> = if worker % 2 == 0 { (0..ROWS).collect() } else { (0..ROWS).rev().collect() };
                let hi = i64::try_from(seq).unwrap();
                let record =
                    CommitRecord { stream: stream.clone(), generation: Generation(1), seq, epoch: 1, attempt: format!("{attempt}-{seq}"), lo: at(hi - 1), hi: at(hi), rows: 0 };
                let request = LoadRequest { stream: stream.clone(), target: target(), ..request(upsert(), 1, &attempt) };
                let started = Instant::now();
                // A transaction of somebody else is the one that may be given up, too: then the engine tries the stage again.
                load(&sink, request, rows(ids, &attempt), CommitRequest { record, run_id: "run".into() }).await.unwrap();
                longest = longest.max(started.elapsed());
            }
            longest
        })
    });
    let longest = futures_join(workers).await;

    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    let _its_own_deadlocks_are_no_concern = trouble.join();
    assert!(longest < Duration::from_secs(5), "{longest:?}");
    assert_eq!(world.database.query("SELECT count(*), count(DISTINCT name) FROM bronze.t"), format!("{ROWS}\t1\n"));
    assert_eq!(world.database.query("SELECT min(seq), max(seq), sum(table_rows) FROM bronze.karat_commits WHERE stream <> 'p/bronze.t'"), format!("{BATCHES}\t{BATCHES}\t0\n"));
}

async fn futures_join(tasks: impl Iterator<Item = tokio::task::JoinHandle<Duration>>) -> Duration {
    let tasks: Vec<_> = tasks.collect();
    let mut longest = Duration::ZERO;
    for task in tasks {
        longest = longest.max(task.await.unwrap());
    }
    longest
}
