//! What to do when sink and state have been read: the table of COMMIT §3.1, S1.

use crate::StreamState;
use karat_plugin_api::{CommitRecord, StreamId, TargetState};

/// What a run does with what it found.
#[derive(Debug, Clone, PartialEq)]
pub enum Reconcile {
    /// Neither knows the stream, and the target holds nothing: start.
    FirstRun,
    /// Both agree: go on.
    InStep(CommitRecord),
    /// The sink committed, and the run died before state heard of it: adopt the sink's position.
    SinkAhead(CommitRecord),
    /// State was lost: rebuild it from the sink.
    Rebuild(CommitRecord),
    /// Going on would lose or duplicate rows: a person must decide.
    Refused {
        /// What was found.
        message: String,
        /// The choices.
        help: String,
    },
}

/// Compares the newest commit in the sink with what state remembers. Never looks at a clock.
#[must_use]
pub fn reconcile(sink: &TargetState, state: Option<&StreamState>, stream: &StreamId) -> Reconcile {
    match (sink, state) {
        (TargetState::Absent, None) => Reconcile::FirstRun,
        (TargetState::Absent, Some(known)) => refused(
            format!("the target of `{}` is gone, but {} batches were committed to it", known.table, known.seq),
            "restore the target, or load it from the beginning with `--full-refresh`",
        ),
        (TargetState::Present { record: Some(record), .. }, None) if record.stream == *stream => Reconcile::Rebuild(record.clone()),
        (TargetState::Present { record: Some(record), .. }, Some(known)) if record.stream == *stream => compare(record, known),
        (TargetState::Present { record: Some(record), .. }, _) => {
            refused(format!("the target was written by `{}`", record.stream), "name another target in `to.table`, or remove the foreign table")
        }
        (TargetState::Present { record: None, rows, .. }, None) if *rows == Some(0) => Reconcile::FirstRun,
        (TargetState::Present { record: None, .. }, None) => {
            refused("the target already holds rows that this pipeline did not write".to_owned(), "name another target in `to.table`, or replace the table with `--full-refresh`")
        }
        (TargetState::Present { record: None, .. }, Some(known)) => refused(
            format!("the target of `{}` no longer carries its position: it was replaced by somebody else", known.table),
            "restore the target, or load it from the beginning with `--full-refresh`",
        ),
    }
}

fn compare(record: &CommitRecord, known: &StreamState) -> Reconcile {
    let sink = (record.generation, record.seq);
    let state = (known.generation, known.seq);
    if sink == state && record.attempt == known.attempt {
        Reconcile::InStep(record.clone())
    } else if sink > state {
        Reconcile::SinkAhead(record.clone())
    } else if sink == state {
        refused(
            format!("batch {} of `{}` in the target is not the one that state remembers", record.seq, known.table),
            "if the target is right, run `karat state rebuild`; else restore it",
        )
    } else {
        refused(
            format!("the target of `{}` is behind state: it holds {} batches of {}, it was restored or rolled back", known.table, record.seq, known.seq),
            "to deliver the missing rows again run `karat state rebuild`; to start over use `--full-refresh`",
        )
    }
}

fn refused(message: String, help: &str) -> Reconcile {
    Reconcile::Refused { message, help: help.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_schema_for_tests::empty;
    use chrono::DateTime;
    use karat_plugin_api::{Generation, Position};

    mod arrow_schema_for_tests {
        use std::sync::Arc;

        pub(super) fn empty() -> arrow_schema::SchemaRef {
            Arc::new(arrow_schema::Schema::empty())
        }
    }

    fn record(generation: u64, seq: u64, attempt: &str) -> CommitRecord {
        let stream = StreamId::new("p", "bronze.t");
        CommitRecord { stream, generation: Generation(generation), seq, epoch: 1, attempt: attempt.into(), lo: Position::Start, hi: Position::Start, rows: 1 }
    }

    fn known(generation: u64, seq: u64, attempt: &str) -> StreamState {
        StreamState {
            stream: StreamId::new("p", "bronze.t"),
            table: "bronze.t".into(),
            generation: Generation(generation),
            seq,
            epoch: 1,
            attempt: attempt.into(),
            hi: Position::Start,
            source_identity: None,
            source_columns: Vec::new(),
            rows: 1,
            committed_at: DateTime::UNIX_EPOCH,
        }
    }

    fn decide(sink: Option<Option<CommitRecord>>, rows: u64, state: Option<StreamState>) -> Reconcile {
        let sink = match sink {
            None => TargetState::Absent,
            Some(record) => TargetState::Present { record, version: "1".into(), rows: Some(rows), schema: empty() },
        };
        reconcile(&sink, state.as_ref(), &StreamId::new("p", "bronze.t"))
    }

    #[test]
    fn nothing_on_both_sides_is_a_first_run() {
        assert_eq!(decide(None, 0, None), Reconcile::FirstRun);
        assert_eq!(decide(Some(None), 0, None), Reconcile::FirstRun);
    }

    #[test]
    fn a_commit_that_state_did_not_hear_of_is_adopted() {
        assert_eq!(decide(Some(Some(record(1, 3, "b"))), 9, Some(known(1, 2, "a"))), Reconcile::SinkAhead(record(1, 3, "b")));
        assert_eq!(decide(Some(Some(record(2, 1, "b"))), 9, Some(known(1, 2, "a"))), Reconcile::SinkAhead(record(2, 1, "b")));
    }

    #[test]
    fn equal_positions_go_on() {
        assert_eq!(decide(Some(Some(record(1, 2, "a"))), 9, Some(known(1, 2, "a"))), Reconcile::InStep(record(1, 2, "a")));
    }

    #[test]
    fn lost_state_is_rebuilt_from_the_sink() {
        assert_eq!(decide(Some(Some(record(1, 2, "a"))), 9, None), Reconcile::Rebuild(record(1, 2, "a")));
    }

    #[test]
    fn a_target_that_is_gone_behind_foreign_or_different_is_refused() {
        let mut foreign = record(1, 2, "a");
        foreign.stream = StreamId::new("q", "bronze.t");
        for case in [
            decide(None, 0, Some(known(1, 2, "a"))),
            decide(Some(Some(record(1, 1, "a"))), 9, Some(known(1, 2, "b"))),
            decide(Some(Some(record(1, 2, "x"))), 9, Some(known(1, 2, "a"))),
            decide(Some(Some(foreign)), 9, None),
            decide(Some(None), 9, None),
            decide(Some(None), 9, Some(known(1, 2, "a"))),
        ] {
            assert!(matches!(case, Reconcile::Refused { .. }), "{case:?}");
        }
    }
}
