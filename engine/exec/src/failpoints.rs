//! Named places where a test makes a run die, panic or fail.
//!
//! A run without failpoints pays one comparison per place. They are a value of the run, not of the process: nothing here reads the environment.

use karat_plugin_api::{ConnectorError, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use thiserror::Error;

/// One place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failpoint {
    /// Its name in `KARAT_FAILPOINTS`.
    pub name: &'static str,
    /// When it is passed.
    pub description: &'static str,
}

macro_rules! failpoints {
    // Expands to one constant per place, and to the list of all of them in order.
    ($($constant:ident = $name:literal, $description:literal;)+) => {
        $(pub(crate) const $constant: Failpoint = Failpoint { name: $name, description: $description };)+
        /// All places, in the order in which a table passes them.
        pub const FAILPOINTS: &[Failpoint] = &[$($constant),+];
    };
}
failpoints! {
    LEASE_TAKEN = "run.lease_taken", "the lease is held, nothing was read";
    RECONCILED = "stage.reconciled", "sink and state were compared, and what was missing in state was adopted";
    READ_OPENED = "stage.read_opened", "the read is open at the source, no row was asked for";
    LOAD_OPENED = "stage.load_opened", "the load is open at the sink, no row was written";
    BATCH_WRITTEN = "stage.batch_written", "a batch was accepted by the sink";
    STAGE_BEFORE = "commit.before_stage", "all rows of a commit are with the sink, not durable";
    STAGE_AFTER = "commit.after_stage", "all rows of a commit are durable, not visible";
    CHECKS_AFTER = "commit.after_checks", "guard and checks let the commit pass";
    COMMIT_BEFORE = "commit.before_commit", "the commit is about to be sent";
    COMMIT_AFTER = "commit.after_commit", "the sink has committed, state does not know";
    STATE_AFTER = "commit.after_state", "state knows of the commit";
    STAGE_ENDED = "stage.ended", "a table is done, the tables behind it have not begun";
    RELEASE_BEFORE = "run.before_release", "all tables are done, the lease is held";
}

/// What happens at some places. Cheap to clone; clones count together.
#[derive(Debug, Clone, Default)]
pub struct Failpoints {
    armed: Option<Arc<Vec<Armed>>>,
}

#[derive(Debug)]
struct Armed {
    name: String,
    action: Action,
    at: Option<u64>,
    passed: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Kill,
    Panic,
    Error,
}

/// Why a text is no list of failpoints.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("failpoint `{text}`: {reason}")]
pub struct FailpointSyntax {
    text: String,
    reason: String,
}

impl Failpoints {
    /// Reads `name=kill|panic|error`, each with an optional `@n` for its n-th passing only, separated by commas.
    ///
    /// # Errors
    /// When a name or an action is not known.
    pub fn parse(text: &str) -> Result<Self, FailpointSyntax> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let armed: Vec<Armed> = parts.map(Armed::parse).collect::<Result<_, _>>()?;
        Ok(Self { armed: (!armed.is_empty()).then(|| Arc::new(armed)) })
    }

    /// Passes one place.
    pub(crate) fn pass(&self, place: Failpoint) -> Result<(), ConnectorError> {
        match &self.armed {
            None => Ok(()),
            Some(armed) => armed.iter().filter(|armed| armed.name == place.name).try_for_each(Armed::pass),
        }
    }
}

impl Armed {
    fn parse(text: &str) -> Result<Self, FailpointSyntax> {
        let wrong = |reason: &str| FailpointSyntax { text: text.to_owned(), reason: reason.to_owned() };
        let (name, rest) = text.split_once('=').ok_or_else(|| wrong("it is written `name=action`"))?;
        if !FAILPOINTS.iter().any(|place| place.name == name) {
            let names: Vec<&str> = FAILPOINTS.iter().map(|place| place.name).collect();
            return Err(wrong(&format!("there is no such place; there are {}", names.join(", "))));
        }
        let (action, at) = match rest.split_once('@') {
            Some((action, at)) => (action, Some(at.parse().ok().filter(|at| *at > 0).ok_or_else(|| wrong("after `@` stands a number from 1"))?)),
            None => (rest, None),
        };
        let action = match action {
            "kill" => Action::Kill,
            "panic" => Action::Panic,
            "error" => Action::Error,
            _ => return Err(wrong("the action is `kill`, `panic` or `error`")),
        };
        Ok(Self { name: name.to_owned(), action, at, passed: AtomicU64::new(0) })
    }

    fn pass(&self) -> Result<(), ConnectorError> {
        let passing = self.passed.fetch_add(1, Ordering::Relaxed) + 1;
        if self.at.is_some_and(|at| at != passing) {
            return Ok(());
        }
        match self.action {
            Action::Kill => kill(),
            Action::Panic => panic!("failpoint `{}`", self.name),
            Action::Error => Err(ConnectorError::new(ErrorKind::Unreachable, format!("failpoint `{}`", self.name))),
        }
    }
}

/// Ends the process as `kill -9` does: no destructor runs, nothing is flushed.
fn kill() -> ! {
    // A failed signal must end the process as well, so the result does not matter.
    let _sent = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unarmed_place_is_passed() {
        assert!(Failpoints::default().pass(COMMIT_AFTER).is_ok());
        assert!(Failpoints::parse("commit.before_commit=error").unwrap().pass(COMMIT_AFTER).is_ok());
    }

    #[test]
    fn a_numbered_place_fails_at_that_passing_only() {
        let points = Failpoints::parse("commit.after_commit=error@2").unwrap();

        let passings: Vec<bool> = (0..4).map(|_| points.pass(COMMIT_AFTER).is_ok()).collect();

        assert_eq!(passings, [true, false, true, true]);
    }

    #[test]
    fn what_is_not_known_is_named() {
        for text in ["commit.after_comit=kill", "commit.after_commit=explode", "commit.after_commit", "commit.after_commit=kill@0"] {
            assert!(Failpoints::parse(text).unwrap_err().to_string().contains(text), "{text}");
        }
    }
}
