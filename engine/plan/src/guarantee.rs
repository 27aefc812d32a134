//! What is promised of completeness, and why.

use crate::Guarantee;
use karat_plugin_api::SeesWriters;
use karat_spec::Capabilities;
use karat_spec::model::{Deletes, Duration, LoadMode, Strategy};

/// What decides the level of a copy.
pub(crate) struct CopyFacts<'a> {
    pub(crate) strategy: Strategy,
    pub(crate) mode: LoadMode,
    pub(crate) lookback: Option<Duration>,
    /// How many of the newest windows are read again.
    pub(crate) refresh_last: u64,
    pub(crate) deletes: Deletes,
    pub(crate) is_files: bool,
    pub(crate) has_key: bool,
    /// False where the source has said that it has none, either.
    pub(crate) may_have_key: bool,
    pub(crate) source: Option<&'a Capabilities>,
    pub(crate) sees_writers: &'a SeesWriters,
    pub(crate) target: Option<&'a Capabilities>,
}

/// The level of a copy and its reason.
pub(crate) fn of_copy(facts: &CopyFacts<'_>) -> (Guarantee, String) {
    let is_atomic = facts.target.is_none_or(|target| target.atomic_position);
    if !is_atomic && facts.mode == LoadMode::Append && !facts.has_key {
        return (Guarantee::G0, "the target does not keep the position with the rows, and without a key a repeated batch cannot be told apart".into());
    }
    let moves = if facts.strategy == Strategy::Id { "inserts" } else { "inserts, and updates that move the cursor" };
    match facts.strategy {
        Strategy::Full if facts.is_files && facts.mode != LoadMode::Replace => {
            (Guarantee::G2, "every file is delivered once, by path, size, time and content; rows of files that vanish stay".into())
        }
        Strategy::Full if facts.is_files => (Guarantee::G3, "every run reads all files; what vanished at the source vanishes here".into()),
        Strategy::Full if facts.mode != LoadMode::Replace => (Guarantee::G2, "every run reads the whole table; rows that vanish at the source stay".into()),
        Strategy::Full => (Guarantee::G3, "every run reads the whole table in one snapshot; what vanished at the source vanishes here".into()),
        Strategy::Window => {
            let again = if facts.refresh_last > 1 { format!("the newest {} windows", facts.refresh_last) } else { "the newest window".to_owned() };
            let moved = if facts.may_have_key { "" } else { "; without a key a row that moved away from an older one is there twice" };
            (Guarantee::G1, format!("complete, deletes included, if rows change only in {again}: older ones are not read again{moved}"))
        }
        Strategy::Diff => match facts.deletes {
            Deletes::Ignore => (Guarantee::G2, "every run compares the whole table by key, all columns; rows that vanish at the source stay".into()),
            Deletes::Soft => (Guarantee::G3, "every run compares the whole table by key, all columns; what vanished at the source gets its time in `_deleted_at`".into()),
            Deletes::Hard => (Guarantee::G3, "every run compares the whole table by key, all columns; what vanished at the source is deleted".into()),
        },
        Strategy::Log => (Guarantee::G3, "the source's own change log".into()),
        Strategy::Id | Strategy::Timestamp | Strategy::Hybrid if facts.source.is_some_and(|source| source.serial_commits) => {
            (Guarantee::G2, format!("commits at the source are serial: {moves} are complete if the database assigns the cursor; deletes are not seen"))
        }
        // What a transaction wrote is visible before it leaves the lists of both systems: the stress test of late commits is the evidence for that.
        Strategy::Id | Strategy::Timestamp | Strategy::Hybrid if facts.source.is_some_and(|source| source.settles_late_commits) => {
            let late = format!("rows of transactions that commit late are read by a later run: {moves} are complete if the database assigns the cursor; deletes are not seen");
            match facts.sees_writers {
                SeesWriters::Yes => (Guarantee::G2, late),
                SeesWriters::Unasked => (Guarantee::G2, format!("{late} (if the source shows this connection who is writing)")),
                SeesWriters::No(why) => by_lookback(facts.lookback, &format!("{why}: ")),
            }
        }
        Strategy::Id | Strategy::Timestamp | Strategy::Hybrid => by_lookback(facts.lookback, ""),
    }
}

/// What holds where late commits are looked for by time only.
fn by_lookback(lookback: Option<Duration>, why: &str) -> (Guarantee, String) {
    match lookback {
        Some(lookback) => (Guarantee::G1, format!("{why}complete if rows become visible at most {lookback} after their cursor value; deletes are not seen")),
        None => (Guarantee::G1, format!("{why}complete only if rows become visible in the order of the cursor: there is no `lookback`; deletes are not seen")),
    }
}

/// The level of a transform and its reason: it is recomputed from whole inputs, so it is as complete as the weakest of them.
pub(crate) fn of_transform<'a>(inputs: impl Iterator<Item = (&'a str, Guarantee)>) -> (Guarantee, String) {
    match inputs.min_by_key(|(_, level)| *level) {
        None => (Guarantee::G3, "computed from nothing but its own SQL".into()),
        Some((_, Guarantee::G3)) => (Guarantee::G3, "recomputed from complete inputs, each at one version".into()),
        Some((name, level)) => (level, format!("recomputed from whole inputs, each at one version; the weakest is `{name}` with {level}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_commits_are_found_only_where_writers_are_seen() {
        let source = Capabilities { settles_late_commits: true, ..Capabilities::default() };
        let level = |sees_writers: SeesWriters| {
            of_copy(&CopyFacts {
                strategy: Strategy::Hybrid,
                mode: LoadMode::Upsert,
                lookback: None,
                refresh_last: 1,
                deletes: Deletes::Ignore,
                is_files: false,
                has_key: true,
                may_have_key: true,
                source: Some(&source),
                sees_writers: &sees_writers,
                target: None,
            })
        };

        assert_eq!(level(SeesWriters::Yes).0, Guarantee::G2);
        let (unasked, reason) = level(SeesWriters::Unasked);
        assert!(unasked == Guarantee::G2 && reason.ends_with("(if the source shows this connection who is writing)"), "{reason}");
        let (hidden, reason) = level(SeesWriters::No("no privilege".into()));
        assert!(hidden == Guarantee::G1 && reason.starts_with("no privilege: complete only if"), "{reason}");
    }
}
