//! The state file from outside: it survives, it excludes, it notices damage.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use chrono::DateTime;
use karat_plugin_api::{CursorValue, Generation, Position, StreamId};
use karat_state::{Owner, RunRecord, StateError, StateStore, StreamState, TableRun};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

fn owner(run_id: &str) -> Owner {
    Owner { run_id: run_id.into(), host: "here".into(), boot_id: "b".into(), pid: 1, process_start: 2, since: DateTime::UNIX_EPOCH }
}

fn stream(seq: u64, hi: i64) -> StreamState {
    StreamState {
        stream: StreamId::new("shop", "bronze.orders"),
        table: "bronze.orders".into(),
        generation: Generation(1),
        seq,
        epoch: 1,
        attempt: format!("a{seq}"),
        hi: Position::Cursor { values: vec![CursorValue::Int(hi), CursorValue::Text("x'y".into())], tail: None, unsettled: None },
        source_identity: Some("id".into()),
        source_columns: Vec::new(),
        rows: seq * 10,
        committed_at: DateTime::UNIX_EPOCH,
    }
}

struct Fixture {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("deep/state.db");
    Fixture { _folder: folder, path }
}

#[tokio::test]
async fn positions_survive_closing_and_opening() {
    let fixture = fixture();
    let store = StateStore::open(&fixture.path).await.unwrap();
    let lease = store.acquire(&owner("r1")).await.unwrap();
    store.record_commit(&lease, &stream(1, 5)).await.unwrap();
    store.record_commit(&lease, &stream(2, i64::MAX)).await.unwrap();
    store.release(lease).await.unwrap();
    drop(store);

    let again = StateStore::open_existing(&fixture.path).await.unwrap().expect("the file exists");
    let snapshot = again.snapshot().await.unwrap();
    assert_eq!(snapshot.streams.values().collect::<Vec<_>>(), [&stream(2, i64::MAX)]);
}

#[tokio::test]
async fn a_missing_file_is_no_state_and_is_not_created_by_asking() {
    let fixture = fixture();
    assert!(StateStore::open_existing(&fixture.path).await.unwrap().is_none());
    assert!(!fixture.path.exists());
}

#[tokio::test]
async fn files_are_private() {
    let fixture = fixture();
    let store = StateStore::open(&fixture.path).await.unwrap();
    let lease = store.acquire(&owner("r1")).await.unwrap();
    store.record_commit(&lease, &stream(1, 5)).await.unwrap();
    for entry in std::fs::read_dir(fixture.path.parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", entry.path());
    }
}

#[tokio::test]
async fn the_second_run_is_told_who_holds_the_lease() {
    let fixture = fixture();
    let first = StateStore::open(&fixture.path).await.unwrap();
    let second = StateStore::open(&fixture.path).await.unwrap();
    let lease = first.acquire(&owner("r1")).await.unwrap();

    let refused = second.acquire(&owner("r2")).await.unwrap_err();
    assert!(matches!(&refused, StateError::Held { owner } if owner.run_id == "r1"), "{refused}");

    first.release(lease).await.unwrap();
    assert_eq!(second.acquire(&owner("r2")).await.unwrap().epoch, 2);
}

#[tokio::test]
async fn a_dead_owner_is_replaced_and_a_paused_one_is_fenced() {
    let fixture = fixture();
    let store = StateStore::open(&fixture.path).await.unwrap();
    let zombie = store.acquire(&owner("r1")).await.unwrap();
    // The operating system frees the lock of a dead process; a zombie's lock file may also have been removed by hand.
    std::fs::remove_file(format!("{}.lock", fixture.path.display())).unwrap();
    let lease = store.acquire(&owner("r2")).await.unwrap();

    assert!(matches!(store.record_commit(&zombie, &stream(1, 1)).await, Err(StateError::Fenced { epoch: 1 })));
    store.record_commit(&lease, &stream(1, 1)).await.unwrap();
}

#[tokio::test]
async fn a_position_never_goes_back_except_by_rebuild() {
    let fixture = fixture();
    let store = StateStore::open(&fixture.path).await.unwrap();
    let lease = store.acquire(&owner("r1")).await.unwrap();
    store.record_commit(&lease, &stream(5, 50)).await.unwrap();

    assert!(store.record_commit(&lease, &stream(4, 60)).await.is_err());
    assert_eq!(store.snapshot().await.unwrap().streams.values().next(), Some(&stream(5, 50)));

    store.rebuild_stream(&lease, &stream(4, 40)).await.unwrap();
    assert_eq!(store.snapshot().await.unwrap().streams.values().next(), Some(&stream(4, 40)));
    assert!(store.record_commit(&lease, &stream(3, 30)).await.is_err(), "the right to go back ends with the rebuild");
}

#[tokio::test]
async fn run_history_keeps_the_newest_run_of_each_table() {
    let fixture = fixture();
    let store = StateStore::open(&fixture.path).await.unwrap();
    let lease = store.acquire(&owner("r1")).await.unwrap();
    for (run_id, rows) in [("r1", 10), ("r2", 0)] {
        let mut run = RunRecord { run_id: run_id.into(), started_at: DateTime::UNIX_EPOCH, ended_at: None, exit_code: None };
        store.start_run(&lease, &run).await.unwrap();
        run.exit_code = Some(0);
        let table = TableRun {
            run_id: run_id.into(),
            status: "done".into(),
            started_at: DateTime::UNIX_EPOCH,
            ended_at: DateTime::UNIX_EPOCH,
            rows_read: rows,
            rows_written: rows,
            error: None,
        };
        store.finish_run(&lease, &run, &[("bronze.orders".into(), table)]).await.unwrap();
    }
    assert_eq!(store.runs(10).await.unwrap().iter().map(|run| run.run_id.as_str()).collect::<Vec<_>>(), ["r2", "r1"]);
    assert_eq!(store.snapshot().await.unwrap().last_runs["bronze.orders"].run_id, "r2");
}

async fn closed_state(fixture: &Fixture) {
    let store = StateStore::open(&fixture.path).await.unwrap();
    let lease = store.acquire(&owner("r1")).await.unwrap();
    store.record_commit(&lease, &stream(1, 5)).await.unwrap();
    store.release(lease).await.unwrap();
    drop(store);
    // The journal is folded into the file, so that the tests damage what is read.
    let folded = rusqlite::Connection::open(&fixture.path).unwrap().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
    assert!(folded.is_ok(), "{folded:?}");
}

#[tokio::test]
async fn every_flipped_bit_of_a_position_is_noticed() {
    let fixture = fixture();
    closed_state(&fixture).await;
    let clean = std::fs::read(&fixture.path).unwrap();
    let body = clean.windows(11).position(|window| window == b"{\"stream\":\"").expect("the row is in the file");
    for offset in 0..120 {
        let mut bytes = clean.clone();
        bytes[body + offset] ^= 1 << (offset % 7);
        std::fs::write(&fixture.path, &bytes).unwrap();
        let outcome = match StateStore::open_existing(&fixture.path).await {
            Ok(store) => store.unwrap().snapshot().await.map(|_| ()),
            Err(error) => Err(error),
        };
        assert!(matches!(outcome, Err(StateError::Corrupt { .. })), "byte {offset}: {outcome:?}");
    }
}

#[tokio::test]
async fn foreign_newer_truncated_and_garbage_files_are_refused_by_name() {
    let fixture = fixture();
    closed_state(&fixture).await;
    let clean = std::fs::read(&fixture.path).unwrap();
    let cut = &clean[..clean.len() / 2];
    for bytes in [cut.to_vec(), vec![0; 4096], b"not a database at all, not even close to one ......................................................".to_vec()] {
        std::fs::write(&fixture.path, bytes).unwrap();
        let refused = StateStore::open(&fixture.path).await.map(|_| ()).unwrap_err();
        assert!(matches!(refused, StateError::Corrupt { .. }), "{refused:?}");
    }
    let mut newer = clean.clone();
    newer[60..64].copy_from_slice(&9_u32.to_be_bytes());
    std::fs::write(&fixture.path, newer).unwrap();
    assert!(matches!(StateStore::open(&fixture.path).await, Err(StateError::NewerFormat { found: 9, .. })));
    let mut foreign = clean;
    foreign[68..72].copy_from_slice(&7_u32.to_be_bytes());
    std::fs::write(&fixture.path, foreign).unwrap();
    assert!(matches!(StateStore::open(&fixture.path).await, Err(StateError::Corrupt { .. })));
}
