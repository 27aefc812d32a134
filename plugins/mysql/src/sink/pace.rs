//! How many rows one transaction takes: as many as its time allows, by what earlier ones took.

use std::time::Duration;

/// Rows of the first transaction, before anything was measured.
const FIRST_ROWS: u64 = 50_000;
/// Bytes of rows that wait, at most, whatever the time would allow.
const MOST_BYTES: u64 = 128 << 20;
/// Bytes of the first transaction.
const FIRST_BYTES: u64 = 16 << 20;
/// Part of the time that is aimed at: the next transaction may be slower than the last.
const AIM: f64 = 0.6;
/// A transaction that took a part of the time between these is neither too short nor too long. The band is wide because part of the time does not
/// depend on the rows: whoever answers each slow transaction with a smaller one ends with many that are nothing but that part.
const GOOD: std::ops::RangeInclusive<f64> = 0.35..=0.85;

/// Measures transactions, and says when the next one is full.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    limit: Duration,
    most_rows: u64,
    rows: u64,
    bytes: u64,
}

impl Pace {
    /// Transactions of at most about `limit`, and of at most `most_rows`.
    pub(crate) fn new(limit: Duration, most_rows: Option<u64>) -> Self {
        let most_rows = most_rows.unwrap_or(u64::MAX).max(1);
        Self { limit, most_rows, rows: FIRST_ROWS.min(most_rows), bytes: FIRST_BYTES }
    }

    /// True when another batch of this size would not fit any more.
    pub(crate) fn is_full(&self, rows: u64, bytes: u64, next_rows: u64) -> bool {
        rows + next_rows > self.rows || bytes >= self.bytes
    }

    /// Learns from a transaction.
    pub(crate) fn observe(&mut self, rows: u64, bytes: u64, took: Duration) {
        let share = took.as_secs_f64() / self.limit.as_secs_f64().max(0.001);
        // A small transaction that was quick says nothing.
        let was_full = rows * 2 >= self.rows || bytes * 2 >= self.bytes;
        if rows == 0 || GOOD.contains(&share) || (share < *GOOD.start() && !was_full) {
            return;
        }
        let factor = (AIM / share).clamp(0.1, 4.0);
        let scaled = |count: u64, least: u64| ((count as f64 * factor) as u64).max(least);
        self.rows = scaled(rows, 500).min(self.most_rows);
        self.bytes = scaled(bytes, 64 << 10).min(MOST_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_transactions_make_smaller_ones_and_fast_ones_larger() {
        let mut pace = Pace::new(Duration::from_secs(2), None);
        assert!(!pace.is_full(30_000, 1 << 20, 10_000));
        assert!(pace.is_full(45_000, 1 << 20, 10_000));

        pace.observe(50_000, 5 << 20, Duration::from_millis(1_500));
        assert!(!pace.is_full(30_000, 1 << 20, 10_000));
        pace.observe(50_000, 5 << 20, Duration::from_secs(4));
        assert!(pace.is_full(15_000, 1 << 20, 1_000));
        pace.observe(15_000, 2 << 20, Duration::from_millis(300));
        assert!(!pace.is_full(40_000, 1 << 20, 10_000));
    }

    #[test]
    fn a_bound_in_rows_holds() {
        let mut pace = Pace::new(Duration::from_secs(2), Some(10_000));

        pace.observe(10_000, 1 << 20, Duration::from_millis(10));

        assert!(pace.is_full(8_000, 1 << 20, 3_000));
    }
}
