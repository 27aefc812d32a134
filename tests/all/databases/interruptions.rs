//! Kills, restarts and broken connections in the middle: after one plain rerun the target equals the source.
//!
//! `KARAT_KILLS` makes more of them.

use super::{Pair, Stand, System};
use karat_testkit::conformance::database_reader::{DatabaseReader, MysqlReader, PostgresReader};
use karat_testkit::servers::{ChaosProxy, Cut, Direction, MysqlServer, PostgresServer};
use rustix::process::Signal;
use std::time::{Duration, Instant};

const ROWS: i64 = 40_000;

/// How a table is copied while something goes wrong.
const WAYS: [&str; 3] = [
    "    cdc: { strategy: id, cursor: id }\n    load: { mode: append, transaction_rows: 5_000 }\n    chunk: { rows: 5_000 }\n",
    "    cdc: { strategy: hybrid, cursor: updated_at }\n    load: { mode: upsert, transaction_rows: 5_000 }\n    chunk: { rows: 5_000 }\n",
    "    cdc: { strategy: full }\n    load: { mode: replace }\n    chunk: { rows: 5_000, parallel: 2 }\n",
];

fn times() -> u64 {
    std::env::var("KARAT_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(4)
}

/// A server of the test's own, which may be restarted and killed.
enum Server {
    PostgreSql(PostgresServer),
    MySql(MysqlServer),
}

impl Server {
    fn start(system: System, test: &str) -> Option<Self> {
        let server = match system {
            System::PostgreSql => PostgresServer::start().map(Self::PostgreSql),
            System::MySql => MysqlServer::start().map(Self::MySql),
        };
        server.inspect_err(|skip| skip.report(test)).ok()
    }

    fn database(&self) -> Box<dyn DatabaseReader> {
        match self {
            Self::PostgreSql(server) => Box::new(PostgresReader(server.database())),
            Self::MySql(server) => Box::new(MysqlReader(server.database())),
        }
    }

    fn kill(&self) {
        match self {
            Self::PostgreSql(server) => server.kill(),
            Self::MySql(server) => server.kill(),
        }
    }

    fn restart(&self) {
        match self {
            Self::PostgreSql(server) => server.restart(),
            Self::MySql(server) => server.restart(),
        }
    }
}

/// A filled source and an empty target on one server.
fn stand(server: &Server, system: System, way: &str) -> Stand {
    let stand = Stand::between(Pair(system, Some(system)), server.database(), server.database(), way);
    stand.insert(1..=ROWS);
    stand
}

/// What is left after something went wrong is made whole by one plain run.
#[track_caller]
fn expect_whole(stand: &Stand, when: &str) {
    stand.karat(["run", "--quiet"]).run().expect(0);
    stand.expect_equal(when);
}

/// Parts of `whole` that are spread evenly, and differ from round to round.
fn part(whole: Duration, round: u64, rounds: u64) -> Duration {
    whole.mul_f64((round as f64 + 0.5) / rounds as f64)
}

fn a_killed_run_is_made_whole_by_the_next(system: System) {
    let Some(server) = Server::start(system, &format!("databases::a_killed_run_is_made_whole_by_the_next {system:?}")) else { return };
    for way in WAYS {
        let timed = stand(&server, system, way);
        let started = Instant::now();
        timed.run();
        let duration = started.elapsed();
        timed.expect_equal("undisturbed");
        let mut met = 0;
        for round in 0..times() {
            let stand = stand(&server, system, way);
            let mut run = stand.karat(["run", "--quiet"]).start();
            std::thread::sleep(part(duration, round, times()));
            met += u64::from(run.is_running());
            run.signal(Signal::KILL);
            drop(run);

            expect_whole(&stand, &format!("killed after {:?} of {duration:?}: {way}", part(duration, round, times())));
        }
        assert!(met * 2 >= times(), "only {met} of {} kills met a running process: {way}", times());
    }
}

#[test]
fn a_killed_run_is_made_whole_by_the_next_on_postgres() {
    a_killed_run_is_made_whole_by_the_next(System::PostgreSql);
}

#[test]
fn a_killed_run_is_made_whole_by_the_next_on_mysql() {
    a_killed_run_is_made_whole_by_the_next(System::MySql);
}

fn a_server_that_goes_and_comes_back_costs_nothing(system: System) {
    let Some(server) = Server::start(system, &format!("databases::a_server_that_goes_and_comes_back_costs_nothing {system:?}")) else { return };
    for way in WAYS {
        for (round, is_killed) in [(0, false), (1, true)] {
            let stand = stand(&server, system, way);
            let run = stand.karat(["run", "--quiet"]).start();
            std::thread::sleep(Duration::from_millis(150 + 150 * round));
            if is_killed {
                server.kill();
            }
            server.restart();

            // The run may get over it by itself, or end with an error.
            let outcome = run.outcome();
            assert!(matches!(outcome.code, Some(0 | 3 | 4)), "{outcome:?}");
            expect_whole(&stand, &format!("server gone, killed: {is_killed}: {way}"));
        }
    }
}

#[test]
fn a_postgres_that_goes_and_comes_back_costs_nothing() {
    a_server_that_goes_and_comes_back_costs_nothing(System::PostgreSql);
}

#[test]
fn a_mysql_that_goes_and_comes_back_costs_nothing() {
    a_server_that_goes_and_comes_back_costs_nothing(System::MySql);
}

/// A connection that is cut once: the run gets over it, or ends with an error; the next one makes it whole.
fn cut_once((server, system): (&Server, System), way: &str, proxied: Proxied, cut: Cut, when: &str) {
    let mut stand = stand(server, system, way);
    let proxy = ChaosProxy::to(stand.target_port());
    match proxied {
        Proxied::Source => stand.source_through(&proxy),
        Proxied::Target => stand.target_through(&proxy),
    }
    proxy.cut(cut.times(1));

    let outcome = stand.karat(["run", "--quiet"]).run();

    assert_eq!(proxy.cuts(), 1, "nothing was cut: {when}: {way}");
    assert!(matches!(outcome.code, Some(0 | 3 | 4)), "{when}: {way}: {outcome:?}");
    expect_whole(&stand, &format!("{when}, exit {:?}: {way}", outcome.code));
}

#[derive(Clone, Copy)]
enum Proxied {
    Source,
    Target,
}

fn a_connection_cut_in_the_middle_costs_nothing(system: System) {
    let Some(server) = Server::start(system, &format!("databases::a_connection_cut_in_the_middle_costs_nothing {system:?}")) else { return };
    for way in WAYS {
        for part in 1..=times() {
            // The rows are about three million bytes.
            let bytes = 3_000_000 * part / (times() + 1) / 2;
            cut_once((&server, system), way, Proxied::Source, Cut::after_bytes(Direction::ToClient, bytes), &format!("source cut after {bytes} bytes"));
            cut_once((&server, system), way, Proxied::Target, Cut::after_bytes(Direction::ToServer, bytes / 4), &format!("target cut after {} bytes", bytes / 4));
        }
    }
}

#[test]
fn a_connection_cut_in_the_middle_costs_nothing_on_postgres() {
    a_connection_cut_in_the_middle_costs_nothing(System::PostgreSql);
}

#[test]
fn a_connection_cut_in_the_middle_costs_nothing_on_mysql() {
    a_connection_cut_in_the_middle_costs_nothing(System::MySql);
}

fn a_commit_whose_request_or_reply_is_lost_counts_once(system: System) {
    let Some(server) = Server::start(system, &format!("databases::a_commit_whose_request_or_reply_is_lost_counts_once {system:?}")) else { return };
    // The replacement is swapped in by a statement of its own on MariaDB.
    let ways = if system == System::PostgreSql { &WAYS[..] } else { &WAYS[..2] };
    for way in ways {
        cut_once((&server, system), way, Proxied::Target, Cut::before(Direction::ToServer, b"COMMIT"), "a lost commit");
        cut_once((&server, system), way, Proxied::Target, Cut::reply_to(b"COMMIT"), "a commit whose reply was lost");
    }
    if system == System::MySql {
        cut_once((&server, system), WAYS[2], Proxied::Target, Cut::before(Direction::ToServer, b"RENAME"), "a lost swap");
        cut_once((&server, system), WAYS[2], Proxied::Target, Cut::reply_to(b"RENAME"), "a swap whose reply was lost");
    }
}

#[test]
fn a_commit_whose_request_or_reply_is_lost_counts_once_on_postgres() {
    a_commit_whose_request_or_reply_is_lost_counts_once(System::PostgreSql);
}

#[test]
fn a_commit_whose_request_or_reply_is_lost_counts_once_on_mysql() {
    a_commit_whose_request_or_reply_is_lost_counts_once(System::MySql);
}
