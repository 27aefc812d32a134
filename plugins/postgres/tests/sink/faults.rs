//! Connections that break, servers that die, replies that are lost: nothing is lost, nothing is twice, nothing is left behind.

use crate::world::{World, append, commit, load, newest, on, request, rows, sink, staged, upsert, world};
use karat_plugin_api::{ErrorKind, WriteMode};
use karat_testkit::servers::{ChaosProxy, Cut, Direction, PostgresServer};
use std::time::Duration;

const ENDS: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'karat' AND pid <> pg_backend_pid()";

fn content(world: &World) -> String {
    world.database.query("SELECT string_agg(id::text, ' ' ORDER BY id) FROM bronze.t").trim().to_owned()
}

#[tokio::test]
async fn a_commit_whose_reply_is_lost_is_found_in_the_target() {
    for mode in [append(), upsert(), WriteMode::Replace] {
        let Some(world) = world("lost reply") else { return };
        let proxy = ChaosProxy::to(world.database.port());
        let through = sink(&world.database.url_through(&proxy));
        let mut open = staged(&through, request(mode, 1, "a"), rows([1, 2], "x")).await.unwrap();

        proxy.cut(Cut::reply_to(b"COMMIT").times(1));
        let error = open.commit(commit(1, 1, "a", 0, 2)).await.unwrap_err();

        assert_eq!(error.kind(), ErrorKind::UnknownOutcome, "{}", error.chain());
        assert_eq!(proxy.cuts(), 1);
        assert_eq!(newest(&through).await, Some((1, "a-1".into())));
        assert_eq!(content(&world), "1 2");
    }
}

#[tokio::test]
async fn a_commit_that_never_arrived_has_not_happened() {
    let Some(world) = world("lost request") else { return };
    let proxy = ChaosProxy::to(world.database.port());
    let through = sink(&world.database.url_through(&proxy));
    let mut open = staged(&through, request(append(), 1, "a"), rows([1, 2], "x")).await.unwrap();

    proxy.cut(Cut::before(Direction::ToServer, b"COMMIT").times(1));
    let error = open.commit(commit(1, 1, "a", 0, 2)).await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::UnknownOutcome, "{}", error.chain());
    assert_eq!(newest(&through).await, None);
    load(&through, request(append(), 1, "b"), rows([1, 2], "x"), commit(1, 1, "b", 0, 2)).await.unwrap();
    assert_eq!(content(&world), "1 2");
    assert_eq!(world.relations(), "karat_commits karat_commits_pkey t t_pkey");
}

#[tokio::test]
async fn reading_where_the_target_stands_waits_for_a_commit_that_is_on_its_way() {
    let Some(world) = world("zombie") else { return };
    load(&world.sink, request(append(), 1, "a"), rows([1], "x"), commit(1, 1, "a", 0, 1)).await.unwrap();
    let mut open = staged(&world.sink, request(append(), 1, "b"), rows([2], "x")).await.unwrap();
    // Somebody's lock holds the commit up in the middle.
    let mut blocker = world.database.session();
    blocker.execute("BEGIN; LOCK TABLE bronze.t IN ACCESS EXCLUSIVE MODE;");
    let committing = tokio::spawn(async move { open.commit(commit(1, 2, "b", 1, 2)).await });
    while world.database.query("SELECT count(*) FROM pg_locks WHERE NOT granted").trim() == "0" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let other = sink(&world.database.url());
    let asking = tokio::spawn(async move { newest(&other).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!asking.is_finished(), "it answered before the commit was decided");

    blocker.execute("ROLLBACK;");

    committing.await.unwrap().unwrap();
    assert_eq!(asking.await.unwrap(), Some((2, "b-2".into())));
}

#[tokio::test]
async fn a_session_that_is_ended_leaves_nothing_behind() {
    for mode in [append(), upsert(), WriteMode::Replace] {
        let Some(world) = world("terminated sessions") else { return };
        load(&world.sink, request(upsert(), 1, "a"), rows([1], "x"), commit(1, 1, "a", 0, 1)).await.unwrap();
        let before = world.relations();
        let generation = if mode == WriteMode::Replace { 2 } else { 1 };
        let (seq, lo) = if mode == WriteMode::Replace { (1, 0) } else { (2, 1) };

        let mut open = world.sink.begin(request(mode.clone(), generation, "b")).await.unwrap();
        open.write(rows(2..100_000, "some text that makes rows wide enough")).await.unwrap();
        assert_ne!(world.database.query(ENDS).trim(), "0");
        let error = open.stage().await.err();
        let error = match error {
            Some(error) => error,
            None => open.commit(commit(generation, seq, "b", lo, 2)).await.unwrap_err(),
        };
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{}", error.chain());
        drop(open);

        assert_eq!(newest(&world.sink).await, Some((1, "a-1".into())));
        assert_eq!((world.relations(), content(&world)), (before, "1".into()));
        load(&world.sink, request(mode, generation, "c"), rows([2], "y"), commit(generation, seq, "c", lo, 2)).await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_is_killed_loses_no_commit_and_keeps_no_half() {
    let server = match PostgresServer::start() {
        Ok(server) => server,
        Err(skip) => return skip.report("killed servers"),
    };
    let world = on(&server);
    load(&world.sink, request(upsert(), 1, "a"), rows([1], "x"), commit(1, 1, "a", 0, 1)).await.unwrap();

    for mode in [append(), upsert(), WriteMode::Replace] {
        let generation = if mode == WriteMode::Replace { 2 } else { 1 };
        let (seq, lo) = if mode == WriteMode::Replace { (1, 0) } else { (2, 1) };
        let mut open = world.sink.begin(request(mode, generation, "b")).await.unwrap();
        open.write(rows(2..50_000, "some text that makes rows wide enough")).await.unwrap();
        open.stage().await.unwrap();
        server.kill();
        let error = open.commit(commit(generation, seq, "b", lo, 2)).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::UnknownOutcome), "{}", error.chain());
        server.restart();

        assert_eq!(newest(&world.sink).await, Some((1, "a-1".into())));
        assert_eq!(content(&world), "1");
    }
    load(&world.sink, request(append(), 1, "c"), rows([2], "y"), commit(1, 2, "c", 1, 2)).await.unwrap();
    server.kill();
    server.restart();
    assert_eq!((newest(&world.sink).await, content(&world)), (Some((2, "c-2".into())), "1 2".into()));
}

#[tokio::test]
async fn commits_killed_at_random_moments_are_whole_or_not_there() {
    let server = match PostgresServer::start() {
        Ok(server) => server,
        Err(skip) => return skip.report("random kills"),
    };
    let world = on(&server);
    load(&world.sink, request(upsert(), 1, "a"), rows(0..1_000, "x"), commit(1, 1, "a", 0, 1)).await.unwrap();
    let mut seq = 1;
    for round in 0..8_u64 {
        let attempt = format!("b{round}");
        let mut open = staged(&world.sink, request(upsert(), 1, &attempt), rows(0..1_000, &attempt)).await.unwrap();
        let hi = i64::try_from(seq).unwrap() + 1;
        let next = commit(1, seq + 1, &attempt, hi - 1, hi);
        let committing = tokio::spawn(async move { open.commit(next).await });
        tokio::time::sleep(Duration::from_micros(700 * round)).await;
        server.kill();
        let answer = committing.await.unwrap();
        server.restart();

        let (found, by) = newest(&world.sink).await.unwrap();
        if answer.is_ok() {
            assert_eq!(found, seq + 1, "an acknowledged commit is gone");
        }
        seq = found;
        let names = world.database.query("SELECT DISTINCT name FROM bronze.t");
        let expected = by.rsplit_once('-').unwrap().0.to_owned();
        assert_eq!(names.trim(), if expected == "a" { "x" } else { &expected }, "half a commit");
        assert_eq!(world.database.query("SELECT count(*) FROM bronze.t").trim(), "1000");
    }
}

/// A file system of a few megabytes; gone when dropped.
struct Tiny(tempfile::TempDir);

impl Tiny {
    /// `None` where this process may not mount.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let is_done = |program: &str, arguments: &[&str]| std::process::Command::new(program).args(arguments).status().is_ok_and(|status| status.success());
        let path = folder.path().to_str().unwrap().to_owned();
        if !is_done("mount", &["-t", "tmpfs", "-o", "size=8m,mode=0777", "tmpfs", &path]) {
            return None;
        }
        let tiny = Self(folder);
        // The server runs as another user, who must own the folder.
        is_done("chown", &["postgres", &path]).then_some(tiny)
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        let _busy_or_done = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_named_and_leaves_the_target_as_it_was() {
    let server = match PostgresServer::start() {
        Ok(server) => server,
        Err(skip) => return skip.report("full disk"),
    };
    let world = on(&server);
    load(&world.sink, request(upsert(), 1, "a"), rows([1], "x"), commit(1, 1, "a", 0, 1)).await.unwrap();
    let Some(tiny) = Tiny::mount() else { return karat_testkit::skipped("full disk", "only root may mount a small file system") };
    world.database.execute(&format!("CREATE TABLESPACE tiny LOCATION '{}'", tiny.0.path().display()));
    world.database.execute(&format!("ALTER DATABASE {name} SET default_tablespace = tiny; ALTER DATABASE {name} SET temp_tablespaces = tiny", name = world.database.name()));

    for mode in [upsert(), WriteMode::Replace] {
        let fresh = sink(&world.database.url());
        let generation = if mode == WriteMode::Replace { 2 } else { 1 };
        let mut open = fresh.begin(request(mode, generation, "b")).await.unwrap();
        let full = open.write(rows(2..200_000, "some text that makes rows wide enough to fill a disk")).await.unwrap_err();
        assert_eq!(full.kind(), ErrorKind::NoSpace, "{}", full.chain());
        drop(open);
        assert_eq!((newest(&fresh).await, content(&world)), (Some((1, "a-1".into())), "1".into()));
    }
    world.database.execute(&format!("ALTER DATABASE {name} RESET default_tablespace; ALTER DATABASE {name} RESET temp_tablespaces", name = world.database.name()));
    load(&sink(&world.database.url()), request(upsert(), 1, "d"), rows([2], "y"), commit(1, 2, "d", 1, 2)).await.unwrap();
    assert_eq!(content(&world), "1 2");
}
