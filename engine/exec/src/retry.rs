//! How often and how fast a stage is tried again.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// Bounds on trying again after a transient error. A commit in between starts the count anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries without progress, the first one included.
    pub attempts: u32,
    /// Longest pause after the first failure; doubles with each further one.
    pub base: Duration,
    /// Longest pause of all.
    pub cap: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 6, base: Duration::from_millis(250), cap: Duration::from_secs(20) }
    }
}

impl RetryPolicy {
    /// The pause after `failures` failures in a row (from 1), or `None` when it is time to give up.
    ///
    /// Full jitter: anything from nothing to the exponential bound, so that stages that failed together do not come back together.
    pub(crate) fn pause(&self, failures: u32) -> Option<Duration> {
        if failures >= self.attempts {
            return None;
        }
        let bound = self.base.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX)).min(self.cap);
        let nanos = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        Some(Duration::from_nanos(if nanos == 0 { 0 } else { random() % nanos }))
    }
}

/// A random number: the standard library seeds every `RandomState` anew.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_cap_and_end() {
        let policy = RetryPolicy { attempts: 8, base: Duration::from_millis(100), cap: Duration::from_secs(1) };

        for failures in 1..8 {
            let bound = Duration::from_millis(100 << (failures - 1)).min(Duration::from_secs(1));
            assert!(policy.pause(failures).unwrap() < bound);
        }
        assert_eq!(policy.pause(8), None);
    }
}
