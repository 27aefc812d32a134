//! Connections that break, and reads that nobody wants any more.

use crate::world::{self, World};
use futures::StreamExt;
use karat_plugin_api::{ErrorKind, ReadStrategy, SourceBatch, SourceObject};
use karat_testkit::servers::{ChaosProxy, Cut, Direction, numbers};
use std::time::{Duration, Instant};

fn rows() -> String {
    format!("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(500) NOT NULL); INSERT INTO t SELECT seq, REPEAT('x', 500) FROM {}", numbers(100_000))
}

/// Reads until the stream ends; gives the kind of the error, or panics where there was none.
async fn kind_of_the_end(stream: &mut karat_plugin_api::BatchStream) -> ErrorKind {
    while let Some(item) = stream.next().await {
        match item {
            Ok(SourceBatch::Rows { .. }) => {}
            Ok(SourceBatch::WindowEnd { .. } | SourceBatch::End { .. }) => panic!("a broken read ended as if it were whole"),
            Err(error) => return error.kind(),
        }
    }
    panic!("the stream ended without a word");
}

#[tokio::test]
async fn a_killed_connection_is_an_error_that_is_tried_again() {
    let Some(world) = World::new("a_killed_connection_is_an_error_that_is_tried_again", &rows()) else { return };
    for kill in ["KILL", "KILL QUERY"] {
        let request = world.request(SourceObject::Table("t".into()), &[], ReadStrategy::Full).await;
        let mut stream = world.source.read(request).await.unwrap().into_stream();
        assert!(matches!(stream.next().await, Some(Ok(SourceBatch::Rows { .. }))));
        let thread = world.query(&format!("SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '{}' AND COMMAND = 'Execute'", world.database.name()));
        world.database.execute(&format!("{kill} {}", thread[0]));
        assert!(kind_of_the_end(&mut stream).await.is_transient());
    }
    assert_eq!(world.full("t", &[]).await.unwrap().rows, 100_000);
}

#[tokio::test]
async fn a_cut_connection_never_looks_like_an_end() {
    let Some(world) = World::new("a_cut_connection_never_looks_like_an_end", &rows()) else { return };
    let proxy = ChaosProxy::to(world.database.port());
    let source = world::source(&world.database.url_through(&proxy));
    let request = world.request(SourceObject::Table("t".into()), &[], ReadStrategy::Full).await;
    for bytes in [10, 90, 300, 2_000, 5_000, 100_000, 40_000_000] {
        let before = proxy.cuts();
        proxy.cut(Cut::after_bytes(Direction::ToClient, bytes));
        let mut stream = source.read(request.clone()).await.unwrap().into_stream();
        assert!(kind_of_the_end(&mut stream).await.is_transient(), "after {bytes} bytes");
        assert!(proxy.cuts() > before);
        proxy.clear();
    }
    proxy.slice(7);
    let mut small = request.clone();
    small.object = SourceObject::Query("SELECT * FROM t WHERE id < 200".into());
    assert_eq!(world::read(&source, small).await.unwrap().rows, 199);
    proxy.clear();
    proxy.refuse();
    let mut stream = source.read(request).await.unwrap().into_stream();
    assert_eq!(kind_of_the_end(&mut stream).await, ErrorKind::Unreachable);
}

#[tokio::test]
async fn a_dropped_read_stops_the_statement_at_the_server() {
    let Some(world) = World::new("a_dropped_read_stops_the_statement_at_the_server", &rows()) else { return };
    let running = || world.query(&format!("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = '{}' AND COMMAND = 'Execute'", world.database.name()))[0].clone();
    // One that sends, and one that thinks.
    for sql in ["SELECT * FROM t", "SELECT t.id, SLEEP(1000) AS v FROM t ORDER BY v"] {
        let request = world.request(SourceObject::Query(sql.into()), &[], ReadStrategy::Full).await;
        let mut stream = world.source.read(request).await.unwrap().into_stream();
        let _first = tokio::time::timeout(Duration::from_millis(500), stream.next()).await;
        assert_eq!(running(), "1", "{sql}");
        drop(stream);
        let dropped = Instant::now();
        while running() != "0" {
            assert!(dropped.elapsed() < Duration::from_secs(5), "{sql} still runs");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[tokio::test]
async fn a_slow_taker_loses_nothing() {
    let Some(world) = World::new("a_slow_taker_loses_nothing", &rows()) else { return };
    let mut request = world.request(SourceObject::Table("t".into()), &[], ReadStrategy::Full).await;
    request.batch_rows = 20_000;
    let mut stream = world.source.read(request).await.unwrap().into_stream();
    let mut rows = 0;
    while let Some(item) = stream.next().await {
        if let SourceBatch::Rows { batch, .. } = item.unwrap() {
            rows += batch.num_rows();
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
    assert_eq!(rows, 100_000);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    let source = world::source("mysql://nobody@127.0.0.1:1/nowhere");
    let error = source.describe(&SourceObject::Table("t".into())).await.unwrap_err();
    assert_eq!((error.kind(), error.help()), (ErrorKind::Unreachable, Some("start the server, or correct `host` and `port`")));
}
