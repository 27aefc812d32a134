//! Whether a commit extends the newest one of its stream: the rule that every log applies inside its atomic step.

use karat_plugin_api::CommitRecord;

/// How a commit relates to the newest record of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainStep {
    /// It is the next one.
    Extends,
    /// It is that record: an earlier try of the same attempt took effect.
    AlreadyApplied,
    /// Somebody else committed first, or the position it was built on is not the newest.
    Conflict,
}

/// Compares a commit with the newest record of its stream.
///
/// Within a generation `(seq - 1, lo)` must be the newest `(seq, hi)`. The first commit of a newer generation follows anything older.
#[must_use]
pub fn chain_step(newest: Option<&CommitRecord>, next: &CommitRecord) -> ChainStep {
    let Some(newest) = newest else {
        return if next.seq == 1 { ChainStep::Extends } else { ChainStep::Conflict };
    };
    if newest.generation != next.generation {
        return if newest.generation < next.generation && next.seq == 1 { ChainStep::Extends } else { ChainStep::Conflict };
    }
    if newest.seq == next.seq && newest.attempt == next.attempt {
        return ChainStep::AlreadyApplied;
    }
    if newest.seq.checked_add(1) == Some(next.seq) && newest.hi == next.lo { ChainStep::Extends } else { ChainStep::Conflict }
}

#[cfg(test)]
mod tests {
    use super::*;
    use karat_plugin_api::{CursorValue, Generation, Position, StreamId};

    fn at(value: i64) -> Position {
        Position::Cursor { values: vec![CursorValue::Int(value)], tail: None, unsettled: None }
    }

    fn record(generation: u64, seq: u64, attempt: &str, lo: Position, hi: Position) -> CommitRecord {
        CommitRecord { stream: StreamId::new("p", "bronze.t"), generation: Generation(generation), seq, epoch: 1, attempt: attempt.into(), lo, hi, rows: 1 }
    }

    #[test]
    fn a_commit_extends_only_the_record_it_was_built_on() {
        let newest = record(1, 2, "a-2", at(5), at(9));

        assert_eq!(chain_step(Some(&newest), &record(1, 3, "a-3", at(9), at(12))), ChainStep::Extends);
        assert_eq!(chain_step(Some(&newest), &record(1, 3, "a-3", at(8), at(12))), ChainStep::Conflict);
        assert_eq!(chain_step(Some(&newest), &record(1, 4, "a-4", at(9), at(12))), ChainStep::Conflict);
        assert_eq!(chain_step(Some(&newest), &record(1, 2, "b-2", at(5), at(9))), ChainStep::Conflict);
        assert_eq!(chain_step(Some(&newest), &record(1, 2, "a-2", at(5), at(9))), ChainStep::AlreadyApplied);
    }

    #[test]
    fn a_new_generation_starts_at_one_and_an_old_one_is_over() {
        let newest = record(2, 7, "a-7", at(5), at(9));

        assert_eq!(chain_step(Some(&newest), &record(3, 1, "b-1", Position::Start, at(1))), ChainStep::Extends);
        assert_eq!(chain_step(Some(&newest), &record(3, 2, "b-2", at(9), at(10))), ChainStep::Conflict);
        assert_eq!(chain_step(Some(&newest), &record(1, 8, "b-8", at(9), at(10))), ChainStep::Conflict);
        assert_eq!(chain_step(None, &record(1, 2, "b-2", at(9), at(10))), ChainStep::Conflict);
    }
}
