//! How changes at the source are detected.

use super::{Count, Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How changes are detected (`cdc`). A key that the strategy does not use is a finding.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cdc {
    /// What each run reads; default `full`.
    pub strategy: Option<Strategy>,
    /// The column whose order tells new rows from old ones.
    pub cursor: Option<String>,
    /// An expression in the source's own dialect instead of a column, such as `COALESCE(updated_at, created_at)`.
    pub cursor_sql: Option<String>,
    /// How far below the watermark rows are read again, because writers may be late.
    pub lookback: Option<Duration>,
    /// What happens to rows whose cursor is NULL; default `error`.
    pub null_cursor: Option<NullCursor>,
    /// What a window spans; default `month`.
    pub window: Option<Window>,
    /// How many of the newest windows are read again; default 1.
    pub refresh_last: Option<Count>,
    /// What happens to rows that vanished at the source; default `ignore`.
    pub deletes: Option<Deletes>,
    /// PostgreSQL's replication slot, for `log`.
    pub slot: Option<String>,
    /// The replica number Karat uses at a MySQL or MariaDB server, for `log`.
    pub server_id: Option<Count>,
}

/// What each run reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The whole table, in one consistent snapshot.
    Full,
    /// Rows above the watermark of one monotonic column, by keyset pagination.
    Id,
    /// Rows at or above the watermark of a change timestamp; the boundary group is read again and deduplicated.
    Timestamp,
    /// Rows ordered by cursor and key: exact resume inside a tie group; inserts and updates.
    Hybrid,
    /// Whole windows of a date column; each window is deleted and inserted in one commit.
    Window,
    /// Key and row hash of the whole table, compared with the last run: inserts, updates, deletes.
    Diff,
    /// The database's change log after a consistent snapshot.
    Log,
}

/// What happens to rows whose cursor is NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NullCursor {
    /// The run fails and says how many there are.
    Error,
    /// They are read in every run.
    AlwaysReread,
}

/// What a window spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// One day.
    Day,
    /// One week, from Monday.
    Week,
    /// One calendar month.
    Month,
}

/// What happens to rows that vanished at the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Deletes {
    /// They stay in the target.
    Ignore,
    /// They stay, and `_deleted_at` says since when they are gone.
    Soft,
    /// They are deleted.
    Hard,
}

impl Strategy {
    /// The name as written in YAML.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Id => "id",
            Self::Timestamp => "timestamp",
            Self::Hybrid => "hybrid",
            Self::Window => "window",
            Self::Diff => "diff",
            Self::Log => "log",
        }
    }

    /// All strategies, in the order of the documentation.
    pub const ALL: [Self; 7] = [Self::Full, Self::Id, Self::Timestamp, Self::Hybrid, Self::Window, Self::Diff, Self::Log];
}
