//! Connections that break, servers that die, and writers that come back from the dead.

use crate::world::{World, deliver, expect_delivered, load, named, rows, staged};
use karat_plugin_api::{ErrorKind, WriteMode};
use karat_testkit::servers::{ChaosProxy, Cut, Direction, MysqlServer, ServerOptions};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn append() -> WriteMode {
    WriteMode::Append { once_by: None }
}

fn upsert() -> WriteMode {
    WriteMode::Upsert { key: vec!["id".into()], unique_in_read: true, order_by: Vec::new() }
}

macro_rules! world {
    ($name:literal) => {
        match World::new() {
            Ok(world) => world,
            Err(skip) => return skip.report($name),
        }
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_to_a_commit_is_found_out_from_the_target() {
    for (is_applied, cut) in [(true, Cut::reply_to(b"\x03COMMIT").times(1)), (false, Cut::before(Direction::ToServer, b"\x03COMMIT").times(1))] {
        let world = world!("a_lost_answer_to_a_commit_is_found_out_from_the_target");
        load(&world.sink, world.request(append(), 1, 1, "a"), rows(&[(1, None)]), world.commit(1, 1, "a", 0, 1)).await.unwrap();
        let proxy = ChaosProxy::to(world.database.port());
        let sink = world.through(&proxy);
        let mut open = staged(&sink, world.request(append(), 1, 1, "b"), rows(&[(2, None)])).await.unwrap();
        proxy.cut(cut);

        let error = open.commit(world.commit(1, 2, "b", 1, 2)).await.unwrap_err();

        assert_eq!(error.kind(), ErrorKind::UnknownOutcome, "{}", error.chain());
        assert_eq!(proxy.cuts(), 1);
        let record = world.record().await.unwrap();
        assert_eq!(record.attempt == "b-2", is_applied);
        assert_eq!(world.content().len(), if is_applied { 2 } else { 1 });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_loads_the_one_that_comes_second_finds_the_first() {
    let world = world!("of_two_loads_the_one_that_comes_second_finds_the_first");
    load(&world.sink, world.request(append(), 1, 1, "a"), rows(&[(1, None)]), world.commit(1, 1, "a", 0, 1)).await.unwrap();
    let mut zombie = staged(&world.sink, world.request(append(), 1, 1, "zombie"), rows(&[(2, Some("zombie"))])).await.unwrap();
    let mut shadow = staged(&world.sink, world.request(WriteMode::Replace, 2, 1, "shadow"), rows(&[(3, Some("shadow"))])).await.unwrap();

    load(&world.sink, world.request(append(), 1, 2, "b"), rows(&[(2, Some("b"))]), world.commit(1, 2, "b", 1, 2)).await.unwrap();

    assert_eq!(zombie.commit(world.commit(1, 2, "zombie", 1, 2)).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(shadow.commit(world.commit(2, 1, "shadow", 0, 3)).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(world.content(), ["1=NULL", "2=b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_killed_while_rows_are_sent_is_a_passing_error() {
    let world = world!("a_connection_that_is_killed_while_rows_are_sent_is_a_passing_error");
    for mode in [append(), upsert(), WriteMode::Replace] {
        let mut open = world.sink.begin(world.request(mode.clone(), 1, 1, "a")).await.unwrap();
        open.write(named(1..=1_000, "x")).await.unwrap();
        for id in world.database.query("SELECT ID FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND ID <> CONNECTION_ID()").lines() {
            // It may have ended by itself.
            let _ = world.database.try_execute(&format!("KILL {id};"));
        }

        let mut error = None;
        for batch in 1..200 {
            if let Err(broken) = open.write(named(batch * 1_000 + 1..=batch * 1_000 + 1_000, "x")).await {
                error = Some(broken);
                break;
            }
        }
        let error = match error {
            Some(error) => error,
            None => open.stage().await.unwrap_err(),
        };

        assert!(error.kind().is_transient(), "{mode:?}: {:?} {}", error.kind(), error.chain());
    }
    assert_eq!(world.record().await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_arrive_once_over_connections_that_break_all_the_time() {
    for mode in [append(), upsert()] {
        let world = world!("rows_arrive_once_over_connections_that_break_all_the_time");
        let proxy = ChaosProxy::to(world.database.port());
        let sink = world.through(&proxy);
        let stop = Arc::new(AtomicBool::new(false));
        let breaking = tokio::spawn({
            let stop = Arc::clone(&stop);
            async move {
                // Odd pauses, so that cuts meet every step of a load.
                for pause in [3, 41, 17, 97, 29, 61, 11, 73, 53, 7].into_iter().cycle() {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(pause * 2)).await;
                    proxy.cut_all();
                }
            }
        });

        let failures = deliver(&sink, &world, &mode, 20_000, 50).await;

        stop.store(true, Ordering::SeqCst);
        breaking.await.unwrap();
        assert!(failures > 0);
        expect_delivered(&world, 20_000, 50);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_arrive_once_into_a_server_that_dies_at_random() {
    let server = match MysqlServer::start_with(&ServerOptions::default().set("log-bin", "binlog").set("binlog-format", "MIXED")) {
        Ok(server) => Arc::new(server),
        Err(skip) => return skip.report("rows_arrive_once_into_a_server_that_dies_at_random"),
    };
    let world = World::over(server.database());
    let killing = std::thread::spawn({
        let server = Arc::clone(&server);
        move || {
            for pause in [300, 170, 450, 90, 260] {
                std::thread::sleep(Duration::from_millis(pause));
                server.kill();
                server.restart();
            }
        }
    });

    deliver(&world.sink, &world, &upsert(), 4_000, 20).await;

    killing.join().unwrap();
    expect_delivered(&world, 4_000, 20);
}
