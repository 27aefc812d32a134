//! What `karat lock` did or found, for people and for programs.

use indexmap::IndexMap;
use karat_exec::{ErrorReport, Proposal};
use karat_plan::ChangeKind;
use karat_plan::render::count;
use karat_spec::{LOCK_FILE, yaml_text};
use schemars::JsonSchema;
use serde::Serialize;
use std::fmt::Write;

/// What `karat lock` did, or what `karat lock --check` found.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct LockReport {
    /// The project's name.
    pub(crate) project: String,
    /// The lock, relative to the folder the command was started in.
    pub(crate) file: String,
    /// True for `--check`, which writes nothing.
    pub(crate) check: bool,
    /// True when the file was written; it is not when nothing changed.
    pub(crate) written: bool,
    /// The tables that were asked for, and entries of no table, by full name.
    pub(crate) tables: IndexMap<String, LockedReport>,
}

/// One table.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct LockedReport {
    /// How the source compares with its entry.
    pub(crate) status: LockStatus,
    /// How many columns the source has.
    pub(crate) columns: Option<u64>,
    /// What changed since it was locked.
    pub(crate) changes: Vec<ChangeReport>,
    /// What changed and is no drift, such as another estimate.
    pub(crate) notes: Vec<String>,
    /// Why the source could not be asked; its entry is kept.
    pub(crate) error: Option<ErrorReport>,
    /// Types for files that carry none, to be pasted into `types`; never used by themselves.
    pub(crate) proposal: Option<ProposalReport>,
}

/// How a source compares with its entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LockStatus {
    /// It has no entry yet.
    New,
    /// It is not what its entry says.
    Changed,
    /// It is what its entry says.
    Unchanged,
    /// It could not be asked.
    Failed,
    /// The entry is of no table of the project.
    Gone,
}

/// One change, and where it matters.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct ChangeReport {
    /// What kind of change.
    pub(crate) kind: ChangeKind,
    /// The column that changed.
    pub(crate) column: Option<String>,
    /// The change in words.
    pub(crate) text: String,
    /// The Silver and Gold tables that it reaches.
    pub(crate) reaches: Vec<ReachReport>,
}

/// One table that a change reaches.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct ReachReport {
    /// The table.
    pub(crate) table: String,
    /// Its columns that are reached; null where its SQL could not be followed, so that any may be.
    pub(crate) columns: Option<Vec<String>>,
}

/// Proposed types.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct ProposalReport {
    /// Type by column.
    pub(crate) types: IndexMap<String, String>,
    /// Rows that were looked at.
    pub(crate) rows: u64,
    /// True when these were all rows.
    pub(crate) is_whole: bool,
}

impl From<Proposal> for ProposalReport {
    fn from(proposal: Proposal) -> Self {
        Self { types: proposal.columns.into_iter().collect(), rows: proposal.rows, is_whole: proposal.is_whole }
    }
}

impl LockReport {
    /// True when some source is not what the lock says.
    pub(crate) fn has_drift(&self) -> bool {
        self.tables.values().any(|table| matches!(table.status, LockStatus::New | LockStatus::Changed | LockStatus::Gone))
    }

    /// As people read it: changes, then a line about the file.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        for (name, table) in &self.tables {
            table.add_text(&mut out, name, self.check);
        }
        let tables = self.tables.values().filter(|table| matches!(table.status, LockStatus::New | LockStatus::Changed | LockStatus::Unchanged)).count();
        let tables = format!("{tables} {}", if tables == 1 { "table" } else { "tables" });
        let file = &self.file;
        let _infallible = match (self.check, self.written) {
            (true, _) if self.has_drift() => writeln!(out, "`{file}` is out of date: `karat lock` takes over what the sources say"),
            (true, _) => writeln!(out, "`{file}` agrees with {tables}"),
            (false, true) => writeln!(out, "wrote `{file}`: {tables} asked"),
            (false, false) => writeln!(out, "`{file}` is as it was: {tables} asked"),
        };
        out
    }
}

impl LockedReport {
    fn add_text(&self, out: &mut String, name: &str, is_check: bool) {
        let _infallible = match self.status {
            LockStatus::New if is_check => writeln!(out, "{name}: not in `{LOCK_FILE}`"),
            LockStatus::New => writeln!(out, "{name}: locked, {} columns", self.columns.unwrap_or(0)),
            LockStatus::Changed => writeln!(out, "{name}: changed"),
            LockStatus::Gone if is_check => writeln!(out, "{name}: in `{LOCK_FILE}`, but no Bronze table of the project"),
            LockStatus::Gone => writeln!(out, "{name}: taken out, the project has no such Bronze table"),
            LockStatus::Unchanged if !self.notes.is_empty() => writeln!(out, "{name}: unchanged"),
            LockStatus::Unchanged | LockStatus::Failed => Ok(()),
        };
        for change in &self.changes {
            let _infallible = writeln!(out, "  {}", change.text);
            for reached in &change.reaches {
                let columns = reached.columns.as_ref().map(|columns| format!(" ({})", columns.join(", "))).unwrap_or_default();
                let _infallible = writeln!(out, "    reaches {}{columns}", reached.table);
            }
        }
        for note in &self.notes {
            let _infallible = writeln!(out, "  note: {note}");
        }
        if let Some(proposal) = &self.proposal {
            proposal.add_text(out, name);
        }
    }
}

impl ProposalReport {
    fn add_text(&self, out: &mut String, name: &str) {
        let rows = if self.is_whole { format!("all {} rows have", count(self.rows)) } else { format!("the first {} rows have", count(self.rows)) };
        let _infallible = writeln!(out, "  {name} declares no `types`; these are types that {rows}, to be read and pasted:\n    types:");
        for (column, data_type) in &self.types {
            let _infallible = writeln!(out, "      {}: {}", yaml_text(column), yaml_text(data_type));
        }
    }
}

/// The content of `schemas/lock-report.schema.json`.
pub(crate) fn json_schema() -> serde_json::Value {
    schemars::schema_for!(LockReport).to_value()
}
