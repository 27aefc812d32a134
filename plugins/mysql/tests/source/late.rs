//! Transactions that draw a value before a read and commit it after: delivered by the next run, once.

use crate::world::{Keyset, World};
use karat_plugin_api::{Position, SeesWriters, Source, SourceObject, Unsettled};
use karat_testkit::servers::{ServerOptions, numbers};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const TABLE: &str = "CREATE TABLE t (id BIGINT AUTO_INCREMENT PRIMARY KEY, at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6), v INT NOT NULL, INDEX (at))";

fn unsettled(position: &Position) -> Option<&Unsettled> {
    match position {
        Position::Cursor { unsettled, .. } => unsettled.as_ref(),
        _ => None,
    }
}

fn keysets() -> [Keyset; 3] {
    [Keyset::by("t", "id", &[]), Keyset::by("t", "at", &[]), Keyset::by("t", "at", &["id"])]
}

#[tokio::test]
async fn a_smaller_value_that_is_committed_late_is_delivered_by_the_next_run() {
    let Some(world) = World::alone("a_smaller_value_that_is_committed_late_is_delivered_by_the_next_run", "") else { return };
    for keyset in keysets() {
        world.database.execute(&format!("DROP TABLE IF EXISTS t; {TABLE}"));
        world.database.execute(&format!("INSERT INTO t (v) SELECT seq FROM {}", numbers(10)));
        let mut late = world.database.session();
        late.execute("BEGIN; INSERT INTO t (v) VALUES (100)");
        world.database.execute("INSERT INTO t (v) VALUES (12)");

        let first = world.keyset(&keyset, &Position::Start).await.unwrap();
        assert_eq!(first.rows, 11);
        let waits = unsettled(&first.position).expect("a transaction is open");
        assert!(waits.open.iter().any(|item| item.starts_with("transaction ")), "{waits:?}");

        let still = world.keyset(&keyset, &first.position).await.unwrap();
        assert_eq!((still.rows, &still.position), (0, &first.position), "as long as it is open, nothing changes");

        late.execute("COMMIT");
        let second = world.keyset(&keyset, &first.position).await.unwrap();
        assert_eq!(second.integers("v").iter().filter(|v| **v == 100).count(), 1);
        settles(&world, &keyset, second.position).await;
    }
}

/// After a few runs without writers nothing is open any more, and nothing is read twice.
async fn settles(world: &World, keyset: &Keyset, position: Position) {
    let mut position = position;
    for _ in 0..10 {
        let next = world.keyset(keyset, &position).await.unwrap();
        if next.rows == 0 && next.position == position && unsettled(&position).is_none() {
            return;
        }
        position = next.position;
    }
    panic!("still unsettled: {position:?}");
}

#[tokio::test]
async fn a_long_report_delays_nothing() {
    let Some(world) = World::alone("a_long_report_delays_nothing", TABLE) else { return };
    let mut report = world.database.session();
    report.send("SELECT SLEEP(600) FROM t");
    world.database.execute(&format!("INSERT INTO t (v) SELECT seq FROM {}", numbers(10)));
    report.send("SELECT SLEEP(600)");
    let keyset = Keyset::by("t", "id", &[]);
    let first = world.keyset(&keyset, &Position::Start).await.unwrap();
    assert_eq!((first.rows, unsettled(&first.position)), (10, None));
}

/// Pools keep their sessions, which run one statement after the other: what they run now is not what they ran before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_always_runs_something_holds_nothing_up() {
    let options = ServerOptions::default().set("performance-schema", "ON");
    let Some(world) = World::alone_with(&options, "a_session_that_always_runs_something_holds_nothing_up", TABLE) else { return };
    let name = world.database.name();
    world
        .database
        .execute(&format!("CREATE USER reader IDENTIFIED BY 'pw'; GRANT SELECT ON {name}.* TO reader; GRANT PROCESS ON *.* TO reader; INSERT INTO t (v) VALUES (1), (2)"));
    let reader = crate::world::source(&world.database.url().replace("root@", "reader:pw@"));
    let keyset = Keyset::by("t", "id", &[]);
    let request = world.keyset_request(&keyset, &Position::Start).await;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut session = world.database.session();
            // With a character that the catalogue of MySQL cannot show.
            session.send(&"DO SLEEP(0.05), '😀';".repeat(2_000));
            while !done.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                tokio::time::sleep(Duration::from_millis(300)).await;
                let read = crate::world::read(&world.source, request.clone()).await;
                // One who may not see the numbers of statements waits for the session, and reads as well.
                let by_reader = crate::world::read(&reader, request).await;
                done.store(true, Ordering::Relaxed);
                let read = read.unwrap();
                assert_eq!((read.rows, unsettled(&read.position)), (2, None));
                assert_eq!(by_reader.unwrap().rows, 2);
            });
        });
    });
}

#[tokio::test]
async fn a_prepared_transaction_keeps_its_place() {
    let Some(world) = World::alone("a_prepared_transaction_keeps_its_place", TABLE) else { return };
    let keyset = Keyset::by("t", "id", &[]);
    let name = world.database.name().to_owned();
    let mut late = world.database.session();
    late.execute(&format!("XA START '{name}'; INSERT INTO t (v) VALUES (100)"));
    world.database.execute("INSERT INTO t (v) VALUES (12)");
    let first = world.keyset(&keyset, &Position::Start).await.unwrap();
    late.execute(&format!("XA END '{name}'; XA PREPARE '{name}'"));
    drop(late);
    let second = world.keyset(&keyset, &first.position).await.unwrap();
    assert!(unsettled(&second.position).is_some());
    world.database.execute(&format!("XA COMMIT '{name}'"));
    let third = world.keyset(&keyset, &second.position).await.unwrap();
    assert!(third.integers("v").contains(&100));
}

#[tokio::test]
async fn without_the_privilege_nothing_is_tracked() {
    let Some(world) = World::alone("without_the_privilege_nothing_is_tracked", TABLE) else { return };
    let name = world.database.name().to_owned();
    world.database.execute(&format!("CREATE USER reader_{name} IDENTIFIED BY 'pw'; GRANT SELECT ON {name}.* TO reader_{name}; INSERT INTO t (v) VALUES (1)"));
    let source = crate::world::source(&world.database.url().replace("root@", &format!("reader_{name}:pw@")));
    let mut late = world.database.session();
    late.execute("BEGIN; INSERT INTO t (v) VALUES (100)");
    let request = world.keyset_request(&Keyset::by("t", "id", &[]), &Position::Start).await;
    let read = crate::world::read(&source, request).await.unwrap();
    assert_eq!(unsettled(&read.position), None);
    let seen = async |source: &Arc<dyn Source>| source.describe(&SourceObject::Table("t".into())).await.unwrap().sees_writers;
    assert!(matches!(seen(&source).await, SeesWriters::No(why) if why.contains("PROCESS")));
    assert_eq!(seen(&world.source).await, SeesWriters::Yes);
    world.database.execute(&format!("DROP USER reader_{name}"));
}

/// Writers with pauses inside their transactions, and runs beside them: every row arrives, and an append that drops what it has sees each once.
async fn storm(test: &str, keyset: Keyset, time: Duration) {
    let Some(world) = World::alone(test, TABLE) else { return };
    let done = AtomicBool::new(false);
    let mut delivered: BTreeMap<i64, i64> = BTreeMap::new();
    let mut position = Position::Start;
    std::thread::scope(|scope| {
        for writer in 0..16_u64 {
            let (world, done) = (&world, &done);
            scope.spawn(move || {
                let mut session = world.database.session();
                let mut seed = writer + 1;
                while !done.load(Ordering::Relaxed) {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let (before, inside) = (seed >> 58, (seed >> 40) % 200);
                    session.execute(&format!(
                        "DO SLEEP(0.0{before:02}); BEGIN; INSERT INTO t (v) VALUES ({writer}); DO SLEEP({}.{:03}); INSERT INTO t (v) VALUES ({writer}); {}",
                        0,
                        inside,
                        if seed >> 61 == 0 { "ROLLBACK" } else { "COMMIT" }
                    ));
                }
            });
        }
        let end = Instant::now() + time;
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                loop {
                    let last = Instant::now() > end;
                    if last {
                        done.store(true, Ordering::Relaxed);
                        tokio::time::sleep(Duration::from_millis(1500)).await;
                    }
                    for _ in 0..if last { 4 } else { 1 } {
                        let read = world.keyset(&keyset, &position).await.unwrap();
                        let (ids, values) = (read.integers("id"), read.integers("v"));
                        for (id, v) in ids.into_iter().zip(values) {
                            delivered.insert(id, v);
                        }
                        position = read.position;
                    }
                    if last {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            });
        });
    });
    let expected = world.query("SELECT COUNT(*), SUM(id) FROM t");
    assert_eq!(format!("{}\t{}", delivered.len(), delivered.keys().sum::<i64>()), expected[0]);
    assert_eq!(unsettled(&position), None, "it settles when nobody writes");
    let idle = world.keyset(&keyset, &position).await.unwrap();
    assert_eq!((idle.rows, idle.position), (0, position));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_pause_lose_nothing_by_id() {
    let [by_id, ..] = keysets();
    storm("writers_that_pause_lose_nothing_by_id", by_id, Duration::from_secs(6)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_pause_lose_nothing_by_timestamp() {
    let [_, by_time, _] = keysets();
    storm("writers_that_pause_lose_nothing_by_timestamp", by_time, Duration::from_secs(6)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_pause_lose_nothing_by_both() {
    let [_, _, hybrid] = keysets();
    storm("writers_that_pause_lose_nothing_by_both", hybrid, Duration::from_secs(6)).await;
}
