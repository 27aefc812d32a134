//! Positions: how far a stream has been delivered, typed and exact.

use crate::{ConnectorError, ErrorKind, window_start};
use karat_spec::model::Window;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One value of a cursor or key column, exactly as the source holds it.
///
/// Ordering of positions is the source's business (collations!), so there is deliberately no `Ord`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "t", content = "v", rename_all = "snake_case")]
pub enum CursorValue {
    /// A missing value.
    Null,
    /// A signed whole number.
    Int(i64),
    /// A whole number above `i64::MAX`.
    UInt(u64),
    /// A finite binary floating-point number, by its bits.
    Float(u64),
    /// An exact decimal: unscaled value as text, and scale.
    Decimal(String, i8),
    /// Text as stored, in the source's own precision; also timestamps of sources that store them as text.
    Text(String),
    /// Bytes, hexadecimal.
    Bytes(String),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since 1970-01-01T00:00:00, in UTC or without a zone as the column has it.
    Timestamp(i64),
}

/// One input file, as a ledger remembers it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileIdentity {
    /// Path relative to the connection's path, `/` between names.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// Modification time, nanoseconds since the epoch.
    pub modified_ns: i64,
    /// XXH3-128 of the content, hexadecimal.
    pub hash: String,
}

/// The rows that every run looks at again (boundary group, lookback, future-dated rows), as an order-independent digest.
///
/// Lets an idle run prove that nothing changed without reading whole rows: ties at the watermark cost no state that grows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tail {
    /// How many rows.
    pub rows: u64,
    /// Sum modulo 2^128 of each row's XXH3-128 over an injective encoding of all columns read, hexadecimal. All columns, because a second update
    /// within the cursor's resolution changes neither cursor nor key.
    pub digest: String,
}

/// The part of a position that late commits may still fill (COMMIT: deferred promotion of the low watermark).
///
/// A transaction may draw an id or a timestamp before a snapshot is taken, and commit after it. The next read therefore starts at `low` again, and
/// moves it up only once every transaction in `open` has ended before its own snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsettled {
    /// The low watermark: nothing can appear at or below this tuple any more. Empty: anything can.
    pub low: Vec<CursorValue>,
    /// The transactions that were in progress after the snapshot was taken, in the source's own terms, sorted.
    pub open: Vec<String>,
}

/// How far a stream has been delivered.
///
/// Equality is exact; a commit takes effect only when the sink's current position equals the one it was built on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Position {
    /// Nothing delivered yet.
    #[default]
    Start,
    /// Everything up to and including this tuple: the cursor, then the key columns for `hybrid`.
    Cursor {
        /// The tuple.
        values: Vec<CursorValue>,
        /// What stood at or above the re-read bound when the last run ended; equal again means nothing is new there.
        tail: Option<Tail>,
        /// What transactions that were in progress may still add at or below `values`; `None` when nothing can, or when the source cannot tell.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unsettled: Option<Unsettled>,
    },
    /// A whole snapshot was delivered.
    Snapshot {
        /// Rows in it.
        rows: u64,
        /// What identifies its content, where the source can say so.
        digest: Option<String>,
    },
    /// All windows up to and including this one were delivered.
    Windows {
        /// Where the newest delivered window starts that is not in the future of the source's clock.
        through: CursorValue,
    },
    /// These files were delivered.
    Files {
        /// Every file of the stream so far, sorted by path.
        files: Vec<FileIdentity>,
    },
    /// A transform was computed from exactly these inputs by exactly this code.
    Inputs {
        /// Hash of the code: SQL, types, checks, layout.
        code: String,
        /// Version of each input, by full table name, sorted.
        versions: Vec<(String, String)>,
    },
}

impl fmt::Display for CursorValue {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => out.write_str("NULL"),
            Self::Int(value) => write!(out, "{value}"),
            Self::UInt(value) => write!(out, "{value}"),
            Self::Float(bits) => write!(out, "{}", f64::from_bits(*bits)),
            Self::Decimal(unscaled, scale) => write!(out, "{unscaled}e-{scale}"),
            Self::Text(text) => write!(out, "'{text}'"),
            Self::Bytes(hex) => write!(out, "x'{hex}'"),
            Self::Date(days) => match chrono::DateTime::from_timestamp(i64::from(*days) * 86_400, 0) {
                Some(at) => write!(out, "{}", at.format("%Y-%m-%d")),
                None => write!(out, "day {days}"),
            },
            Self::Timestamp(micros) => match chrono::DateTime::from_timestamp_micros(*micros) {
                Some(at) => write!(out, "{}", at.format("%Y-%m-%d %H:%M:%S%.6f")),
                None => write!(out, "{micros} µs"),
            },
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => out.write_str("start"),
            Self::Cursor { values, .. } if values.len() == 1 => write!(out, "{}", values[0]),
            Self::Cursor { values, .. } => {
                let texts: Vec<String> = values.iter().map(ToString::to_string).collect();
                write!(out, "({})", texts.join(", "))
            }
            Self::Snapshot { rows: 1, .. } => out.write_str("snapshot of 1 row"),
            Self::Snapshot { rows, .. } => write!(out, "snapshot of {rows} rows"),
            Self::Windows { through } => write!(out, "the window from {through}"),
            Self::Files { files } if files.len() == 1 => out.write_str("1 file"),
            Self::Files { files } => write!(out, "{} files", files.len()),
            Self::Inputs { versions, .. } if versions.len() == 1 => out.write_str("1 input"),
            Self::Inputs { versions, .. } => write!(out, "{} inputs", versions.len()),
        }
    }
}

impl Position {
    /// The canonical text: equal positions have equal texts, and it parses back to the same position.
    ///
    /// # Panics
    /// Never: a position holds nothing that JSON cannot.
    #[must_use]
    pub fn encode(&self) -> String {
        serde_json::to_string(self).expect("a position holds only text and whole numbers")
    }

    /// What a source says to a position that another strategy left.
    #[must_use]
    pub fn of_another_strategy(&self) -> ConnectorError {
        ConnectorError::new(ErrorKind::Refused, format!("the table was read with another strategy before: its position is {self}"))
            .with_help("read it again from the start with `karat run --full-refresh`, or go back to the earlier strategy")
    }

    /// Lets pass what a read of windows can go on from: the start, and a window of the calendar.
    ///
    /// # Errors
    /// [`Position::of_another_strategy`].
    pub fn expect_windows(&self) -> Result<(), ConnectorError> {
        match self {
            Self::Start => Ok(()),
            Self::Windows { through } if window_start(through, Window::Day).is_some() => Ok(()),
            Self::Windows { .. } | Self::Cursor { .. } | Self::Snapshot { .. } | Self::Files { .. } | Self::Inputs { .. } => Err(self.of_another_strategy()),
        }
    }

    /// Reads what [`Position::encode`] wrote.
    ///
    /// # Errors
    /// When the text is not a position.
    pub fn decode(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}
