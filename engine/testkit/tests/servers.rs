//! The servers keep what tests rely on: they come up, answer, survive, and leave nothing behind.
#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use karat_testkit::Skip;
use karat_testkit::servers::{ChaosProxy, Cut, Direction, MysqlServer, PostgresServer, ServerOptions, numbers};

fn or_skip<T>(test: &str, server: Result<T, Skip>) -> Option<T> {
    server.inspect_err(|skip| skip.report(test)).ok()
}

#[test]
fn a_postgresql_answers_in_one_database_per_test() {
    let Some(server) = or_skip("a_postgresql_answers_in_one_database_per_test", PostgresServer::shared()) else { return };
    let (one, other) = (server.database(), server.database());

    one.execute("CREATE TABLE t (id int, name text); INSERT INTO t VALUES (1, E'a\\tb\\\\c\\nd'), (2, NULL);");

    assert_eq!(one.query("SELECT * FROM t ORDER BY id;"), "1\ta\\tb\\\\c\\nd\n2\t\\N\n");
    assert_eq!(one.query("SHOW TimeZone"), "UTC\n");
    assert!(other.try_execute("SELECT * FROM t").unwrap_err().contains("does not exist"));
}

#[test]
fn a_mysql_answers_in_one_database_per_test() {
    let Some(server) = or_skip("a_mysql_answers_in_one_database_per_test", MysqlServer::shared()) else { return };
    let (one, other) = (server.database(), server.database());

    one.execute(r"CREATE TABLE t (id int, name text); INSERT INTO t VALUES (1, 'a\tb\\c\nd'), (2, NULL);");

    assert_eq!(one.query("SELECT * FROM t ORDER BY id;"), "1\ta\\tb\\\\c\\nd\n2\tNULL\n");
    assert!(other.try_execute("SELECT * FROM t").unwrap_err().contains("doesn't exist"));
}

#[test]
fn a_session_holds_its_transaction_open() {
    if let Some(server) = or_skip("a_session_holds_its_transaction_open", PostgresServer::shared()) {
        let database = server.database();
        database.execute("CREATE TABLE t (id int)");
        let mut session = database.session();
        session.execute("BEGIN; INSERT INTO t VALUES (1);");
        assert_eq!((database.query("SELECT count(*) FROM t").as_str(), session.execute("SELECT count(*) FROM t").as_str()), ("0\n", "1\n"));
        session.execute("COMMIT");
        assert_eq!(database.query("SELECT count(*) FROM t"), "1\n");
    }
    if let Some(server) = or_skip("a_session_holds_its_transaction_open", MysqlServer::shared()) {
        let database = server.database();
        database.execute("CREATE TABLE t (id int)");
        let mut session = database.session();
        session.execute("BEGIN; INSERT INTO t VALUES (1);");
        assert_eq!((database.query("SELECT count(*) FROM t").as_str(), session.execute("SELECT count(*) FROM t").as_str()), ("0\n", "1\n"));
        drop(session);
        assert_eq!(database.query("SELECT count(*) FROM t FOR UPDATE"), "0\n");
    }
}

#[test]
fn what_was_committed_survives_a_kill_and_a_restart() {
    if let Some(server) = or_skip("what_was_committed_survives_a_kill_and_a_restart", PostgresServer::start()) {
        server.execute("CREATE TABLE t AS SELECT generate_series(1, 1000) AS id");
        server.kill();
        assert!(std::net::TcpStream::connect(("127.0.0.1", server.port())).is_err());
        server.restart();
        assert_eq!(server.query("SELECT count(*) FROM t"), "1000\n");
        server.restart();
        assert_eq!(server.query("SELECT count(*) FROM t"), "1000\n");
    }
    if let Some(server) = or_skip("what_was_committed_survives_a_kill_and_a_restart", MysqlServer::start()) {
        server.execute(&format!("CREATE DATABASE d; USE d; CREATE TABLE t AS SELECT seq AS id FROM {}", numbers(1_000)));
        server.kill();
        server.restart();
        assert_eq!(server.query("SELECT count(*) FROM d.t"), "1000\n");
        server.restart();
        assert_eq!(server.query("SELECT count(*) FROM d.t"), "1000\n");
    }
}

#[test]
fn options_reach_the_server() {
    let options = || ServerOptions::default().with_tls().set("max_connections", "17");
    if let Some(server) = or_skip("options_reach_the_server", PostgresServer::start_with(&options())) {
        assert_eq!(server.query("SELECT current_setting('ssl'), current_setting('max_connections')"), "on\t17\n");
        assert!(server.authority().unwrap().is_file());
    }
    if let Some(server) = or_skip("options_reach_the_server", MysqlServer::start_with(&options())) {
        assert_eq!(server.query("SELECT @@require_secure_transport, @@max_connections"), "1\t17\n");
        assert!(server.authority().unwrap().is_file());
    }
}

#[test]
fn nothing_is_left_of_a_server_that_was_dropped() {
    let Some(server) = or_skip("nothing_is_left_of_a_server_that_was_dropped", PostgresServer::start()) else { return };
    let (folder, port) = (server.socket_folder().to_owned(), server.port());
    // The database is given up with this name, not before the session has used it.
    let database = server.database();
    let mut session = database.session();
    session.send("SELECT pg_sleep(600)");

    drop(server);

    assert!(!folder.exists());
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}

/// A test that hangs is killed, and drops nothing.
#[test]
fn nothing_is_left_of_a_server_whose_test_was_killed() {
    const TEST: &str = "nothing_is_left_of_a_server_whose_test_was_killed";
    if let Some(note) = std::env::var_os("KARAT_TEST_SERVER_NOTE") {
        let Some(server) = or_skip(TEST, PostgresServer::start()) else { return };
        std::fs::write(note, format!("{} {}", server.port(), server.socket_folder().display())).unwrap();
        std::thread::park();
    }
    if or_skip(TEST, PostgresServer::shared()).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("note");
    let mut test = std::process::Command::new(std::env::current_exe().unwrap()).args(["--exact", TEST]).env("KARAT_TEST_SERVER_NOTE", &note).spawn().unwrap();
    let written = wait_for(|| std::fs::read_to_string(&note).ok().filter(|text| !text.is_empty()));
    let (port, home) = written.split_once(' ').unwrap();
    assert!(std::path::Path::new(home).is_dir());

    test.kill().unwrap();
    test.wait().unwrap();

    wait_for(|| (!std::path::Path::new(home).exists() && std::net::TcpStream::connect(("127.0.0.1", port.parse::<u16>().unwrap())).is_err()).then_some(()));
}

fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(std::time::Instant::now() < deadline, "waited in vain");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn a_proxy_loses_a_request_or_only_its_reply() {
    use std::io::{Read, Write};
    // A server that answers `ok` to every line.
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let proxy = ChaosProxy::to(listener.local_addr().unwrap().port());
    let (heard, hears) = std::sync::mpsc::channel::<String>();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, heard) = (stream.unwrap(), heard.clone());
            std::thread::spawn(move || {
                let mut buffer = [0; 100];
                while let Ok(read @ 1..) = stream.read(&mut buffer) {
                    if heard.send(String::from_utf8_lossy(&buffer[..read]).into_owned()).is_err() || stream.write_all(b"ok").is_err() {
                        return;
                    }
                }
            });
        }
    });
    let try_to_ask = |words: &str| {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", proxy.port()))?;
        stream.write_all(words.as_bytes())?;
        let mut buffer = [0; 2];
        stream.read_exact(&mut buffer).map(|()| String::from_utf8_lossy(&buffer).into_owned())
    };
    // A connection that is cut may break at any of its steps.
    let ask = |words: &str| try_to_ask(words).ok();

    assert_eq!((ask("COMMIT"), hears.recv().unwrap()), (Some("ok".into()), "COMMIT".into()));
    proxy.cut(Cut::reply_to(b"COMMIT").times(1));
    assert_eq!((ask("COMMIT"), hears.recv().unwrap()), (None, "COMMIT".into()));
    proxy.cut(Cut::before(Direction::ToServer, b"COMMIT").times(1));
    assert_eq!((ask("COMMIT"), hears.try_recv().ok()), (None, None));
    assert_eq!((ask("COMMIT"), hears.recv().unwrap()), (Some("ok".into()), "COMMIT".into()));
    proxy.refuse();
    assert_eq!(ask("COMMIT"), None);
    assert_eq!((proxy.connections(), proxy.cuts()), (5, 3));
    proxy.clear();
    assert_eq!(ask("COMMIT"), Some("ok".into()));
}
