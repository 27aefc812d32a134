//! Trying a whole transaction again: how often, and after which pause.

use crate::sink::session::code_of;
use karat_plugin_api::ConnectorError;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// Tries of one transaction.
const TRIES: u32 = 8;
/// Longest pause after the first failure; doubles with each further one.
const BASE: Duration = Duration::from_millis(50);
/// Longest pause of all.
const CAP: Duration = Duration::from_secs(3);

/// Whether the server undid a transaction, or a statement of it, for a reason that passes: a lock, a deadlock, a primary that is just changing.
pub(crate) fn passes(error: &ConnectorError) -> bool {
    matches!(code_of(error), Some(1205 | 1213 | 1290 | 1792 | 1836 | 1020 | 1317 | 1637))
}

/// The pause after `failures` failures in a row, anything up to a bound that grows, so that those who collided do not meet again.
pub(crate) fn pause(failures: u32) -> Option<Duration> {
    if failures >= TRIES {
        return None;
    }
    let bound = BASE.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(CAP);
    let nanos = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX).max(1);
    Some(Duration::from_nanos(RandomState::new().build_hasher().finish() % nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_end() {
        assert!(pause(1).is_some_and(|pause| pause < BASE));
        assert!(pause(TRIES - 1).is_some_and(|pause| pause < CAP));
        assert_eq!(pause(TRIES), None);
    }
}
