//! Many writers whose transactions wait before they commit, and runs that never wait for them: nothing may be lost.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

mod fixture;

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use fixture::{Fixture, Keyset, by, fixture};
use futures::StreamExt;
use karat_plugin_api::{Position, SourceBatch};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const WRITERS: u64 = 8;
const WRITING: Duration = Duration::from_secs(8);

/// One writer: transactions that draw ids and times, wait, and commit in any order.
fn write(fixture: &Fixture, number: u64, stop: &AtomicBool) {
    let mut session = fixture.database.session();
    let mut round = 0;
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        let pause = format!("SELECT pg_sleep(random() * {})", if round % 7 == 0 { "0.6" } else { "0.05" });
        let statements = match (number + round) % 4 {
            0 => format!("INSERT INTO t (writer) VALUES ({number})"),
            1 => format!("BEGIN; INSERT INTO t (writer) SELECT {number} FROM generate_series(1, 20); {pause}; COMMIT"),
            // Nothing is written yet when the id and the time are drawn.
            2 => format!("BEGIN; SELECT now(), nextval('t_id_seq') AS drawn \\gset\n {pause}; INSERT INTO t (id, writer) VALUES (:drawn, {number}); COMMIT"),
            _ => format!("BEGIN; UPDATE t SET at = now(), writer = {number} WHERE id IN (SELECT id FROM t WHERE writer = {number} ORDER BY random() LIMIT 3); {pause}; COMMIT"),
        };
        session.execute(&statements);
    }
}

/// One run: what it delivers until its end, or until it is killed after a batch; gives the position to go on from.
async fn run(fixture: &Fixture, keyset: &Keyset<'_>, after: &Position, killed: bool, target: &mut BTreeMap<i64, i64>) -> Position {
    let mut request = fixture.keyset_request("t", keyset, after).await;
    request.batch_rows = 25;
    let mut stream = fixture.source.read(request).await.unwrap().into_stream();
    while let Some(item) = stream.next().await {
        match item.unwrap() {
            SourceBatch::Rows { batch, position } => {
                let ids = batch.column_by_name("id").unwrap().as_primitive::<Int64Type>();
                let times = batch.column_by_name("at").unwrap().as_primitive::<TimestampMicrosecondType>();
                for (id, time) in ids.values().iter().zip(times.values()) {
                    // The newest version of a key wins, as in an upsert.
                    let held = target.entry(*id).or_insert(*time);
                    *held = (*held).max(*time);
                }
                if killed {
                    return position.unwrap();
                }
            }
            SourceBatch::WindowEnd { .. } => panic!("no windows were asked for"),
            SourceBatch::End { position, .. } => return position,
        }
    }
    panic!("a stream ends with End or an error");
}

fn check(name: &str, keyset: Keyset<'_>, sees_updates: bool) {
    let Some(fixture) = fixture(
        name,
        "CREATE TABLE t (id bigserial PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), writer int NOT NULL); CREATE INDEX ON t (at, id); INSERT INTO t (writer) SELECT i % 8 FROM generate_series(1, 100) i",
    ) else {
        return;
    };
    let stop = AtomicBool::new(false);
    let runs = AtomicU64::new(0);
    let mut target = BTreeMap::new();
    let mut position = Position::Start;
    // One for all: connections that are kept belong to it.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    std::thread::scope(|scope| {
        for number in 0..WRITERS {
            let (fixture, stop) = (&fixture, &stop);
            scope.spawn(move || write(fixture, number, stop));
        }
        let _stop = Stop(&stop);
        let start = Instant::now();
        while start.elapsed() < WRITING {
            let count = runs.fetch_add(1, Ordering::Relaxed);
            position = runtime.block_on(run(&fixture, &keyset, &position, count % 3 == 1, &mut target));
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    for _ in 0..2 {
        position = runtime.block_on(run(&fixture, &keyset, &position, false, &mut target));
    }
    let rows = fixture.database.query("SELECT id, (extract(epoch FROM at) * 1000000)::bigint FROM t ORDER BY id");
    let mut lost = Vec::new();
    let mut count = 0;
    for line in rows.lines() {
        let (id, at) = line.split_once('\t').unwrap();
        let (id, at): (i64, i64) = (id.parse().unwrap(), at.parse().unwrap());
        count += 1;
        if target.get(&id).is_none_or(|held| sees_updates && *held != at) {
            lost.push(id);
        }
    }
    assert!(lost.is_empty(), "{name}: {} of {count} rows are lost after {} runs: {lost:?}", lost.len(), runs.load(Ordering::Relaxed));
    assert!(count > 200);
    assert!(matches!(position, Position::Cursor { unsettled: None, .. }), "{position:?}");
}

/// Stops the writers however the test ends.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn no_id_is_lost() {
    check("no_id_is_lost", by("id", &[]), false);
}

#[test]
fn no_timestamp_is_lost() {
    check("no_timestamp_is_lost", by("at", &[]), true);
}

#[test]
fn no_timestamp_with_its_key_is_lost() {
    check("no_timestamp_with_its_key_is_lost", by("at", &["id"]), true);
}
