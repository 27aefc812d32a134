//! Transactions in progress: what rows at or below a position may still appear, because somebody drew their values before and commits them later.
//!
//! Two ways to know. *Nobody writes*: the server's own account of its transactions is the same just before and just after the snapshot was taken,
//! and shows no writer: what the snapshot has is complete. *Somebody writes*: who is in progress is listed after one snapshot and again before a later
//! one; once the lists share nothing, everything that could appear below the greatest value of the first is visible in the second.
//!
//! `innodb_trx` is a copy that the server renews only when nobody has read it for 0.1 s. A list is therefore believed only when it shows the
//! transaction of our own snapshot. Both sources need the privilege PROCESS.

use super::reader::{Link, SNAPSHOT};
use crate::client::Family;
use crate::error::Fault;
use karat_plugin_api::ConnectorError;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Said in place of a list, when a run ended before it could be made.
pub(crate) const UNLISTED: &str = "unlisted";

/// Longer than the server keeps its copy of the list while nobody looks.
const BETWEEN_LISTS: Duration = Duration::from_millis(120);
/// How often a quiet moment is looked for.
const QUIET_TRIES: usize = 3;
/// How often the end of other transactions is waited for: about two seconds.
const WAITS: usize = 16;
/// Accounts of busy servers are cut at this length, so that longer ones prove nothing.
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

/// Takes the snapshot of a read. `earlier`, if given, was listed in an earlier snapshot that has ended; the end of all in it is waited for.
pub(crate) fn take_snapshot(link: &mut Link<'_>, earlier: Option<&[String]>) -> Result<Standing, ConnectorError> {
    let Some(earlier) = earlier else {
        link.run(SNAPSHOT)?;
        return Ok(Standing::Unknown);
    };
    let mut before = list(link)?;
    let mut has_caught_up = false;
    for _ in 0..WAITS {
        // The earlier list showed our snapshot, which has ended; one that shows it still is no newer.
        has_caught_up = !before.shows_us && !share(earlier, &before.items);
        if has_caught_up {
            break;
        }
        std::thread::sleep(BETWEEN_LISTS);
        before = list(link)?;
    }
    link.run(SNAPSHOT)?;
    Ok(Standing::Listed { before: before.items, has_caught_up })
}

/// Takes a snapshot at a moment when nobody writes; `None` when there was none, and no snapshot is open then.
///
/// # Errors
/// When the server cannot be asked. A missing privilege is `Some(Unknown)`, with a snapshot.
pub(crate) fn quiet_snapshot(link: &mut Link<'_>) -> Result<Option<Standing>, ConnectorError> {
    for attempt in 0..QUIET_TRIES {
        if attempt > 0 {
            std::thread::sleep(Duration::from_millis(3));
        }
        let Some(before) = account(link)? else {
            link.run(SNAPSHOT)?;
            return Ok(Some(Standing::Unknown));
        };
        let Some(before) = before.quiet_at else { continue };
        link.run(SNAPSHOT)?;
        if account(link)?.and_then(|after| after.quiet_at) == Some(before) {
            return Ok(Some(Standing::Settled));
        }
        link.run("ROLLBACK")?;
    }
    Ok(None)
}

/// The server's account of its transactions.
struct Account {
    /// The number that the next writer will get, when nobody writes.
    quiet_at: Option<String>,
}

/// `None` when the user may not ask.
fn account(link: &mut Link<'_>) -> Result<Option<Account>, ConnectorError> {
    // Statements first: one that starts after this look has drawn nothing before it, and one that ends after it leaves its number in the account.
    let running = statements(link)?;
    let text = match link.session.texts("SHOW ENGINE INNODB STATUS") {
        Ok(rows) => rows.into_iter().next().and_then(|row| row.into_iter().nth(2)).flatten().unwrap_or_default(),
        Err(Fault::Server { code: 1227 | 1142, .. }) => return Ok(None),
        Err(fault) => return Err(link.failed(fault)),
    };
    let prepared = prepared(link)?;
    let quiet_at = if running.is_empty() && prepared.is_empty() { next_writer(&text).map(str::to_owned) } else { None };
    Ok(Some(Account { quiet_at }))
}

/// The number of the next writer, when the account shows no writer and is whole.
fn next_writer(account: &str) -> Option<&str> {
    if account.len() > GREATEST_ACCOUNT {
        return None;
    }
    let (_, rest) = account.split_once("Trx id counter ")?;
    let counter = rest.lines().next()?.trim();
    let (_, list) = rest.split_once("LIST OF TRANSACTIONS FOR EACH SESSION")?;
    let has_writer = list.lines().filter_map(|line| line.strip_prefix("---TRANSACTION ")).any(|line| {
        // A transaction that has written has a number; one that has only read has an address, or a number far beyond the counter.
        let id = line.split([',', ' ']).next().unwrap_or_default();
        !line.contains("not started") && !id.starts_with('(') && !is_far_beyond(id, counter)
    });
    (!has_writer).then_some(counter)
}

/// MySQL shows readers with numbers that are addresses above 2^48.
fn is_far_beyond(id: &str, counter: &str) -> bool {
    match (id.parse::<u64>(), counter.parse::<u64>()) {
        (Ok(id), Ok(counter)) => id > counter.saturating_add(1 << 40),
        _ => false,
    }
}

/// Who is in progress, one item each, sorted.
pub(crate) struct InProgress {
    /// `transaction <session> <start>`, `statement <session> <query>` and `prepared <name>`.
    pub(crate) items: Vec<String>,
    /// Our own snapshot is among what the server showed, so the list is newer than that.
    shows_us: bool,
}

/// Lists who is in progress after our snapshot was taken; `None` when the server keeps showing an older list.
pub(crate) fn list_after_snapshot(link: &mut Link<'_>) -> Result<Option<Vec<String>>, ConnectorError> {
    let mut last = None;
    for attempt in 0..8 {
        if attempt > 0 {
            std::thread::sleep(BETWEEN_LISTS);
        }
        let listed = list(link)?;
        if !listed.shows_us {
            continue;
        }
        // A statement that has no transaction yet gets one in a moment, or ends; then it can be told from the next.
        let is_final = !listed.items.iter().any(|item| item.starts_with("statement "));
        last = Some(listed.items);
        if is_final {
            break;
        }
    }
    Ok(last)
}

fn list(link: &mut Link<'_>) -> Result<InProgress, ConnectorError> {
    // Statements first: one that gets a transaction between the two looks is then seen twice instead of never.
    let running = statements(link)?;
    let rows = link.session.texts("SELECT trx_mysql_thread_id, trx_started, trx_is_read_only FROM information_schema.INNODB_TRX").map_err(|fault| link.failed(fault))?;
    let us = link.session.thread.to_string();
    let mut shows_us = false;
    let mut items = BTreeSet::new();
    let mut threads = BTreeSet::new();
    for row in rows {
        let text = |at: usize| row.get(at).and_then(Option::as_deref).unwrap_or_default();
        let thread = text(0);
        shows_us |= thread == us;
        // A transaction without a session is a prepared one.
        if thread == "0" {
            items.insert(format!("prepared {}", text(1)));
        } else if !link.readers.has(thread) && text(2) != "1" {
            threads.insert(thread.to_owned());
            items.insert(format!("transaction {thread} {}", text(1)));
        }
    }
    items.extend(running.into_iter().filter(|(thread, _)| !threads.contains(thread)).map(|(thread, query)| format!("statement {thread} {query}")));
    items.extend(prepared(link)?);
    Ok(InProgress { items: items.into_iter().collect(), shows_us })
}

/// Sessions that run a statement, and which.
fn statements(link: &mut Link<'_>) -> Result<Vec<(String, String)>, ConnectorError> {
    let query = match link.session.family {
        Family::MariaDb => "QUERY_ID",
        Family::MySql => "0",
    };
    // The rest are the server's own threads, which are never done.
    let sql = format!(
        "SELECT ID, {query} FROM information_schema.PROCESSLIST \
         WHERE COMMAND NOT IN ('Sleep', 'Daemon', 'Connect', 'Binlog Dump', 'Binlog Dump GTID') AND COMMAND NOT LIKE 'Slave%' AND COMMAND NOT LIKE 'Replica%'"
    );
    let rows = link.session.texts(&sql).map_err(|fault| link.failed(fault))?;
    let pairs = rows.into_iter().filter_map(|row| {
        let mut row = row.into_iter().flatten();
        Some((row.next()?, row.next()?))
    });
    Ok(pairs.filter(|(thread, _)| !link.readers.has(thread)).collect())
}

fn prepared(link: &mut Link<'_>) -> Result<Vec<String>, ConnectorError> {
    match link.session.texts("XA RECOVER") {
        Ok(rows) => Ok(rows.into_iter().map(|row| format!("prepared {}", row.into_iter().last().flatten().unwrap_or_default())).collect()),
        // MySQL shows prepared transactions only to XA_RECOVER_ADMIN; `innodb_trx` has them too, without a session.
        Err(Fault::Server { code: 1401 | 1227 | 1142, .. }) => Ok(Vec::new()),
        Err(fault) => Err(link.failed(fault)),
    }
}

/// True when something of the earlier list may still be in progress in the later one.
pub(crate) fn share(earlier: &[String], later: &[String]) -> bool {
    let may_be = |old: &String, new: &String| {
        let (old, new): (Vec<&str>, Vec<&str>) = (old.splitn(3, ' ').collect(), new.splitn(3, ' ').collect());
        match (old.as_slice(), new.as_slice()) {
            // A prepared transaction has lost its session, so nobody knows which one it was.
            (_, ["prepared", ..]) => true,
            // The statement may have got its transaction since.
            (["statement", old, _], ["transaction", new, _]) => old == new,
            (old, new) => old == new,
        }
    };
    earlier.iter().any(|old| old == UNLISTED || later.iter().any(|new| may_be(old, new)))
        // Whoever was listed may have prepared and left.
        || later.iter().any(|new| new.starts_with("prepared "))
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
        assert!(shares(&["transaction 7 2026-01-01 00:00:00"], &["transaction 7 2026-01-01 00:00:00"]));
        assert!(!shares(&["transaction 7 2026-01-01 00:00:00"], &["transaction 7 2026-01-01 00:00:01", "statement 8 9"]));
        assert!(shares(&["statement 7 100"], &["transaction 7 2026-01-01 00:00:01"]));
        assert!(shares(&["statement 7 100"], &["statement 7 100"]));
        assert!(!shares(&["statement 7 100"], &["statement 7 101"]));
        assert!(shares(&[], &["prepared x"]));
        assert!(shares(&[UNLISTED], &[]));
        assert!(!shares(&["transaction 7 a"], &[]));
    }

    #[test]
    fn only_a_whole_account_without_writers_is_quiet() {
        let account = |list: &str| {
            format!("------------\nTRANSACTIONS\n------------\nTrx id counter 35\nPurge done\nLIST OF TRANSACTIONS FOR EACH SESSION:\n{list}\nEND OF INNODB MONITOR OUTPUT\n")
        };
        assert_eq!(next_writer(&account("---TRANSACTION (0x7f01), ACTIVE 5 sec\nMySQL thread id 31")), Some("35"));
        assert_eq!(next_writer(&account("---TRANSACTION 421937, not started\n---TRANSACTION (0x7f01), not started")), Some("35"));
        assert_eq!(next_writer(&account("---TRANSACTION 283462437, ACTIVE 0 sec")), None);
        assert_eq!(next_writer(&account("---TRANSACTION 421937283462437, ACTIVE 0 sec")), Some("35"));
        assert_eq!(next_writer(&account("---TRANSACTION 34, ACTIVE (PREPARED) 5 sec")), None);
        assert_eq!(next_writer("Trx id counter 35"), None);
    }
}
