//! Transactions in progress: what rows at or below a position may still appear, because somebody drew their values before and commits them later.
//!
//! Two ways to know. *Nobody writes*: the server's own account of its transactions is the same just before and just after the snapshot was taken,
//! and shows no writer: what the snapshot has is complete. *Somebody writes*: who is in progress is listed after one snapshot and again before a later
//! one; once the lists share nothing, everything that could appear below the greatest value of the first is visible in the second.
//!
//! A transaction is known by the number that InnoDB gives it when it first writes; it keeps that while it is prepared, without a session, and over
//! restarts. Before that it holds no value that the server has drawn, except while a statement runs, so running statements that
//! may write are listed as well.
//! `SHOW ENGINE INNODB STATUS` is asked and not `innodb_trx`, which is a copy that the server does not renew while several look at it.
//! All of this needs the privilege PROCESS.

use super::reader::{Link, SNAPSHOT};
use crate::client::Family;
use crate::error::Fault;
use crate::wire::Session;
use karat_plugin_api::{ConnectorError, SeesWriters};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The server's account of its transactions.
const ACCOUNT: &str = "SHOW ENGINE INNODB STATUS";
/// Said in place of a list, when a run ended before it could be made.
pub(crate) const UNLISTED: &str = "unlisted";

/// How often a quiet moment is looked for, and the pause between two looks.
const QUIET_TRIES: usize = 3;
const BETWEEN_TRIES: Duration = Duration::from_millis(3);
/// How often the end of other transactions is waited for, and the pause between two looks: about a second.
const WAITS: usize = 50;
const BETWEEN_WAITS: Duration = Duration::from_millis(20);
/// The server cuts longer accounts, so that they prove nothing.
const GREATEST_ACCOUNT: usize = 900_000;

/// Sessions of this source, which only read.
#[derive(Debug, Default)]
pub(crate) struct Readers(Mutex<BTreeSet<u32>>);

impl Readers {
    pub(crate) fn add(&self, thread: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(thread);
    }

    pub(crate) fn remove(&self, thread: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&thread);
    }

    fn has(&self, thread: &str) -> bool {
        thread.parse().is_ok_and(|thread: u32| self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&thread))
    }
}

/// What is known of the snapshot that a read takes place in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing was in progress: the snapshot is complete.
    Settled,
    /// These were in progress before it was taken.
    Listed {
        /// The list.
        before: Vec<String>,
        /// Everything that was in progress at the earlier look has ended.
        has_caught_up: bool,
    },
    /// The user may not see who writes.
    Unknown,
}

/// Takes a snapshot at a moment when nobody writes; `None` when there was none, and no snapshot is open then.
///
/// # Errors
/// When the server cannot be asked. A missing privilege is `Some(Unknown)`, with a snapshot.
pub(crate) fn quiet_snapshot(link: &mut Link<'_>) -> Result<Option<Standing>, ConnectorError> {
    for attempt in 0..QUIET_TRIES {
        if attempt > 0 {
            std::thread::sleep(BETWEEN_TRIES);
        }
        let Some(before) = account(link)? else {
            link.run(SNAPSHOT)?;
            return Ok(Some(Standing::Unknown));
        };
        if !before.is_quiet() {
            continue;
        }
        link.run(SNAPSHOT)?;
        if account(link)?.is_some_and(|after| after.is_quiet() && after.next_writer == before.next_writer) {
            return Ok(Some(Standing::Settled));
        }
        link.run("ROLLBACK")?;
    }
    Ok(None)
}

/// Takes the snapshot of a read. `earlier` was listed in an earlier snapshot that has ended; the end of all in it is waited for, for a while.
pub(crate) fn late_snapshot(link: &mut Link<'_>, earlier: &[String]) -> Result<Standing, ConnectorError> {
    let mut before = list(link)?;
    for _ in 0..WAITS {
        if !share(earlier, &before) {
            break;
        }
        std::thread::sleep(BETWEEN_WAITS);
        before = list(link)?;
    }
    link.run(SNAPSHOT)?;
    let has_caught_up = !share(earlier, &before);
    Ok(Standing::Listed { before, has_caught_up })
}

/// Whether the user may see who is in progress.
pub(crate) fn sees_writers(session: &mut Session) -> Result<SeesWriters, Fault> {
    match session.texts(ACCOUNT) {
        Ok(_) => Ok(SeesWriters::Yes),
        Err(Fault::Server { code: 1227 | 1142, .. }) => Ok(SeesWriters::No("the user of this connection lacks the privilege PROCESS".into())),
        Err(fault) => Err(fault),
    }
}

/// Who is in progress, one item each, sorted: `transaction <number> <session>` and `statement <session> <query>`.
pub(crate) fn list(link: &mut Link<'_>) -> Result<Vec<String>, ConnectorError> {
    Ok(account(link)?.and_then(|account| account.in_progress).unwrap_or_else(|| vec![UNLISTED.into()]))
}

/// The earliest `NOW()`, in microseconds since 1970, that somebody may have written whose rows a snapshot taken after this does not show. `now` was
/// the server's clock before this is asked. `None` when nobody knows: a prepared transaction, or an account that is not whole. A user who may not
/// ask gets `now`, and a warning. A statement that waited for the table's definition to be free drew its value up to that wait earlier.
pub(crate) fn earliest_now(link: &mut Link<'_>, now: i64) -> Result<Option<i64>, ConnectorError> {
    let Some(account) = account(link)? else {
        tracing::warn!(source = %link.label, "without the privilege PROCESS nobody can tell which rows are committed late; raise `refresh_last`, or grant it");
        return Ok(Some(now));
    };
    // Ages are whole seconds that have passed.
    let began = |seconds: u64| i64::try_from(seconds).ok().and_then(|seconds| now.checked_sub((seconds + 1).checked_mul(1_000_000)?));
    Ok(account.in_progress.and(account.oldest_seconds).and_then(|oldest| oldest.map_or(Some(now), began)))
}

/// The server's account of who is in progress.
struct Account {
    /// The number that the next writer will get.
    next_writer: String,
    /// Who is in progress; `None` when the server cannot say it in full.
    in_progress: Option<Vec<String>>,
    /// How long ago the oldest of them began, where there is one; `None` when the server cannot say it.
    oldest_seconds: Option<Option<u64>>,
}

/// A transaction that has written and not ended.
#[derive(Debug, PartialEq, Eq)]
struct Writer {
    number: String,
    /// Its session; `0` for a prepared transaction whose session has left.
    thread: String,
    /// `None` for a prepared one: after a restart its age is that of the restart.
    seconds: Option<u64>,
}

/// A session that runs a statement which may write.
struct Running {
    thread: String,
    query: String,
    seconds: Option<u64>,
}

impl Account {
    fn is_quiet(&self) -> bool {
        self.in_progress.as_ref().is_some_and(Vec::is_empty)
    }
}

/// `None` when the user may not ask.
fn account(link: &mut Link<'_>) -> Result<Option<Account>, ConnectorError> {
    // Statements first: one that starts after this look has drawn nothing before it, and one that ends after it leaves its number in the account.
    let running = statements(link)?;
    let text = match link.session.texts(ACCOUNT) {
        Ok(rows) => rows.into_iter().next().and_then(|row| row.into_iter().nth(2)).flatten().unwrap_or_default(),
        Err(Fault::Server { code: 1227 | 1142, .. }) => return Ok(None),
        Err(fault) => return Err(link.failed(fault)),
    };
    let Some((next_writer, writers)) = writers(&text) else { return Ok(Some(Account { next_writer: String::new(), in_progress: None, oldest_seconds: None })) };
    let mut items: BTreeSet<String> = writers.iter().map(|writer| format!("transaction {} {}", writer.number, writer.thread)).collect();
    let has_number = |thread: &String| writers.iter().any(|writer| writer.thread == *thread);
    items.extend(running.iter().filter(|running| !has_number(&running.thread)).map(|running| format!("statement {} {}", running.thread, running.query)));
    let ages: Option<Vec<u64>> = writers.iter().map(|writer| writer.seconds).chain(running.iter().map(|running| running.seconds)).collect();
    Ok(Some(Account { next_writer, in_progress: Some(items.into_iter().collect()), oldest_seconds: ages.map(|ages| ages.into_iter().max()) }))
}

/// The number of the next writer, and those that have written and not ended; `None` for an account that is not whole.
fn writers(account: &str) -> Option<(String, Vec<Writer>)> {
    if account.len() > GREATEST_ACCOUNT {
        return None;
    }
    let (_, rest) = account.split_once("Trx id counter ")?;
    let next_writer = rest.lines().next()?.trim();
    let (_, list) = rest.split_once("LIST OF TRANSACTIONS FOR EACH SESSION")?;
    let mut writers: Vec<Writer> = Vec::new();
    let mut is_open = false;
    for line in list.lines() {
        if let Some(head) = line.strip_prefix("---TRANSACTION ") {
            // A transaction that has written has a number; one that has only read has an address, or a number far beyond the counter.
            let number = head.split([',', ' ']).next().unwrap_or_default();
            is_open = !head.contains("not started") && !number.starts_with('(') && !is_far_beyond(number, next_writer);
            if is_open {
                let seconds = head.split_once("ACTIVE ").and_then(|(_, active)| active.split(' ').next()?.parse().ok());
                writers.push(Writer { number: number.to_owned(), thread: "0".into(), seconds });
            }
        } else if let (true, Some(rest), Some(last)) = (is_open, line.strip_prefix("MySQL thread id "), writers.last_mut()) {
            rest.split(',').next().unwrap_or_default().trim().clone_into(&mut last.thread);
        } else if line.starts_with("--------") || line.starts_with("END OF INNODB") {
            is_open = false;
        }
    }
    Some((next_writer.to_owned(), writers))
}

/// MySQL shows readers with numbers that are addresses above 2^48.
fn is_far_beyond(number: &str, next_writer: &str) -> bool {
    match (number.parse::<u64>(), next_writer.parse::<u64>()) {
        (Ok(number), Ok(next_writer)) => number > next_writer.saturating_add(1 << 40),
        _ => false,
    }
}

/// Sessions that run a statement which may write, and which statement it is.
fn statements(link: &mut Link<'_>) -> Result<Vec<Running>, ConnectorError> {
    let (sql, places) = match link.session.family {
        Family::MariaDb => ("SELECT ID, COMMAND, TIME, LEFT(INFO, 400), QUERY_ID FROM information_schema.PROCESSLIST", [0, 1, 2, 3]),
        // Its catalogue fails as a whole where a statement has a character of four bytes.
        Family::MySql => ("SHOW PROCESSLIST", [0, 4, 5, 7]),
    };
    let rows = link.session.texts(sql).map_err(|fault| link.failed(fault))?;
    // After the sessions: a number that is asked for too late is that of a statement which came when the listed one had ended.
    let mut numbers = match link.session.family {
        Family::MariaDb => rows.iter().filter_map(|row| Some((row.first()?.clone()?, row.get(4)?.clone()?))).collect(),
        Family::MySql => events(link)?,
    };
    let running = rows.into_iter().filter_map(|mut row| {
        let [thread, command, seconds, text] = places.map(|place| row.get_mut(place).and_then(Option::take));
        let (thread, command) = (thread?, command?);
        let seconds = seconds.and_then(|seconds| seconds.parse().ok());
        let may_write = may_run_statements(&command) && !link.readers.has(&thread) && !text.as_deref().is_some_and(only_reads);
        may_write.then(|| Running { query: numbers.remove(&thread).unwrap_or_else(|| "0".into()), thread, seconds })
    });
    Ok(running.collect())
}

/// False for sessions that wait, and for the server's own threads, which are never done.
fn may_run_statements(command: &str) -> bool {
    !["Sleep", "Daemon", "Connect", "Binlog Dump", "Binlog Dump GTID"].contains(&command) && !command.starts_with("Slave") && !command.starts_with("Replica")
}

/// The numbers of running statements, by session. MySQL has them in `performance_schema` only, which may be off, or not to be seen by this user; without
/// them, a session that always runs something is taken to run the same. Where one statement calls others, it is that of the outermost.
fn events(link: &mut Link<'_>) -> Result<HashMap<String, String>, ConnectorError> {
    let sql = "SELECT t.PROCESSLIST_ID, MIN(e.EVENT_ID) FROM performance_schema.threads AS t JOIN performance_schema.events_statements_current AS e ON e.THREAD_ID = t.THREAD_ID \
               WHERE e.END_EVENT_ID IS NULL GROUP BY t.PROCESSLIST_ID";
    match link.session.texts(sql) {
        Ok(rows) => Ok(rows.into_iter().filter_map(|row| <[Option<String>; 2]>::try_from(row).ok()).filter_map(|[thread, number]| Some((thread?, number?))).collect()),
        Err(Fault::Server { code: 1142 | 1227 | 1044, .. }) => Ok(HashMap::new()),
        Err(fault) => Err(link.failed(fault)),
    }
}

/// True for a statement that reads: a dump or a report may take hours, and draws nothing. One that calls a function which writes gets a number when
/// it does, and is listed from then on.
fn only_reads(statement: &str) -> bool {
    let mut rest = statement.trim_start_matches(['(', ' ', '\t', '\r', '\n']);
    while let Some((_, after)) = rest.strip_prefix("/*").filter(|comment| !comment.starts_with(['!', 'M'])).and_then(|comment| comment.split_once("*/")) {
        rest = after.trim_start_matches(['(', ' ', '\t', '\r', '\n']);
    }
    let word = rest.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    ["select", "show", "explain"].iter().any(|reads| word.eq_ignore_ascii_case(reads))
}

/// True when something of the earlier list may still be in progress in the later one.
pub(crate) fn share(earlier: &[String], later: &[String]) -> bool {
    let may_be = |old: &String, new: &String| {
        let (old, new): (Vec<&str>, Vec<&str>) = (old.split(' ').collect(), new.split(' ').collect());
        match (old.as_slice(), new.as_slice()) {
            (["transaction", old, ..], ["transaction", new, ..]) => old == new,
            // The statement may have got its number since, and its session may have left.
            (["statement", old, ..], ["transaction", _, new]) => old == new || *new == "0",
            (old, new) => old == new || *new == [UNLISTED],
        }
    };
    earlier.iter().any(|old| old == UNLISTED || later.iter().any(|new| may_be(old, new)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(earlier: &[&str], later: &[&str]) -> bool {
        let owned = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>();
        share(&owned(earlier), &owned(later))
    }

    #[test]
    fn a_list_blocks_as_long_as_one_of_it_may_be_in_progress() {
        assert!(shares(&["transaction 35 7"], &["transaction 35 7"]));
        assert!(shares(&["transaction 35 7"], &["transaction 35 0"]), "prepared, and its session has left");
        assert!(!shares(&["transaction 35 7"], &["transaction 36 7", "statement 8 9"]));
        assert!(shares(&["statement 7 100"], &["transaction 36 7"]));
        assert!(shares(&["statement 7 100"], &["transaction 36 0"]));
        assert!(shares(&["statement 7 100"], &["statement 7 100"]));
        assert!(!shares(&["statement 7 100"], &["statement 7 101"]));
        assert!(shares(&[UNLISTED], &[]));
        assert!(shares(&["transaction 35 7"], &[UNLISTED]));
        assert!(!shares(&["transaction 35 7"], &[]));
        assert!(!shares(&[], &["transaction 35 7"]));
    }

    #[test]
    fn reports_and_dumps_are_not_waited_for() {
        for reads in ["SELECT 1", " (select a from b)", "/* app */ /* x */ SELECT SLEEP(9)", "SELECT /*!40001 SQL_NO_CACHE */ * FROM t", "show tables"] {
            assert!(only_reads(reads), "{reads}");
        }
        for other in ["INSERT INTO t SELECT 1", "/*!50000 INSERT */ INTO t", "/* SELECT */ DELETE FROM t", "WITH x AS (SELECT 1) DELETE FROM t", "SELECTED", "", "/* open SELECT"] {
            assert!(!only_reads(other), "{other}");
        }
    }

    #[test]
    fn writers_are_told_from_readers() {
        let account = |list: &str| {
            format!("------------\nTRANSACTIONS\n------------\nTrx id counter 35\nPurge done\nLIST OF TRANSACTIONS FOR EACH SESSION:\n{list}\nEND OF INNODB MONITOR OUTPUT\n")
        };
        let check = |list: &str, expected: &[(&str, &str, Option<u64>)]| {
            let (next, writers) = writers(&account(list)).unwrap_or_default();
            let writers: Vec<(&str, &str, Option<u64>)> = writers.iter().map(|writer| (writer.number.as_str(), writer.thread.as_str(), writer.seconds)).collect();
            assert_eq!((next.as_str(), writers.as_slice()), ("35", expected), "{list}");
        };
        check("---TRANSACTION (0x7f01), ACTIVE 5 sec\nMySQL thread id 31, OS", &[]);
        check("---TRANSACTION 421937, not started\n---TRANSACTION (0x7f01), not started", &[]);
        check(
            "---TRANSACTION 34, ACTIVE 0 sec\n1 lock struct(s)\nMySQL thread id 31, OS thread handle 1\n---TRANSACTION (0x7f01), ACTIVE 1 sec\nMySQL thread id 9, OS",
            &[("34", "31", Some(0))],
        );
        check("---TRANSACTION 421937283462437, ACTIVE 0 sec\nMySQL thread id 9, OS", &[]);
        check("---TRANSACTION 34, ACTIVE (PREPARED) 5 sec recovered trx", &[("34", "0", None)]);
        check("---TRANSACTION 34, ACTIVE 75 sec inserting\nMySQL thread id 31, OS", &[("34", "31", Some(75))]);
        assert_eq!(writers("Trx id counter 35"), None);
    }
}
