//! How many rows one commit takes, so that its transaction stays short.

use std::time::Duration;

/// Rows of the first commit, when nothing was measured yet.
const FIRST_ROWS: u64 = 32_768;

/// Bytes of the first commit.
const FIRST_BYTES: u64 = 32 << 20;

/// The least a commit is cut down to.
const LEAST_ROWS: u64 = 500;

/// The share of the allowed time that is aimed at: what comes next may be slower.
const AIM: f64 = 0.5;

/// Counts rows towards the next commit.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    limit: Duration,
    most_rows: u64,
    rows: u64,
    bytes: u64,
}

impl Pace {
    pub(crate) fn new(limit: Duration, transaction_rows: Option<u64>) -> Self {
        let most_rows = transaction_rows.unwrap_or(u64::MAX).max(1);
        Self { limit, most_rows, rows: FIRST_ROWS.min(most_rows), bytes: FIRST_BYTES }
    }

    /// True when a commit of so much should be made now.
    pub(crate) fn is_full(&self, rows: u64, bytes: u64) -> bool {
        rows >= self.rows || bytes >= self.bytes
    }

    /// Learns from a transaction.
    pub(crate) fn measured(&mut self, rows: u64, bytes: u64, took: Duration) {
        if rows == 0 {
            return;
        }
        let aim = self.limit.as_secs_f64() * AIM;
        // A small sample says little, and the next transaction may meet colder pages: grow by steps, shrink at once.
        let factor = (aim / took.as_secs_f64().max(0.001)).clamp(0.05, 4.0);
        self.rows = scaled(rows, factor).clamp(LEAST_ROWS, u64::MAX).min(self.most_rows);
        self.bytes = scaled(bytes.max(1 << 20), factor).max(1 << 20);
    }
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an estimate needs no more than 52 bits, and both factors are positive")]
fn scaled(number: u64, factor: f64) -> u64 {
    (number as f64 * factor) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_grow_while_they_are_fast_and_shrink_at_once() {
        let mut pace = Pace::new(Duration::from_secs(2), None);
        assert!(pace.is_full(32_768, 0) && !pace.is_full(32_767, 0));

        pace.measured(32_768, 1 << 20, Duration::from_millis(100));
        assert!(!pace.is_full(100_000, 0) && pace.is_full(131_072, 0));
        pace.measured(131_072, 4 << 20, Duration::from_secs(4));
        assert!(pace.is_full(32_768, 0) && !pace.is_full(32_000, 0));
    }

    #[test]
    fn the_users_bound_holds() {
        let mut pace = Pace::new(Duration::from_secs(2), Some(1_000));
        assert!(pace.is_full(1_000, 0));
        pace.measured(1_000, 1_000, Duration::from_millis(1));
        assert!(pace.is_full(1_000, 0) && !pace.is_full(999, 0));
    }
}
