//! `karat_commits`: the newest commit of each stream into each table of a database, beside the tables themselves.
//!
//! A commit locks its row first, so that committers of one stream stand in line, and the fate of one whose reply was lost can be waited for.
//! A row speaks of the table that carries the row's `marker` in its comment, and of no other: a table that was dropped, restored or made by somebody
//! else has no record. A new generation is `pending` until the rename that makes it live; whoever reads the row decides by the live table's comment.

use crate::client::{literal, quote};
use crate::sink::session::Session;
use karat_plugin_api::{CommitRecord, ConnectorError, ErrorKind, Generation, Position, StreamId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The commit table.
pub(crate) const COMMITS: &str = "karat_commits";

/// Most characters of a stream's name.
const STREAM_CHARACTERS: usize = 400;

/// What is remembered of the newest commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The record.
    pub(crate) record: CommitRecord,
    /// Comment that proves which table is meant.
    pub(crate) marker: String,
    /// Rows of the table, as commits counted them.
    pub(crate) table_rows: u64,
    /// The language's types that columns were loaded as, where their own types do not tell.
    pub(crate) types: BTreeMap<String, String>,
}

/// A generation that waits for its rename.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pending {
    /// What holds once the table is live.
    pub(crate) entry: Entry,
    /// The table that is renamed.
    pub(crate) shadow: String,
    /// What the former table is renamed to.
    pub(crate) former: String,
}

/// One row of the commit table.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Row {
    /// The newest commit, of whichever table had this name.
    pub(crate) entry: Option<Entry>,
    /// The generation that may have become live.
    pub(crate) pending: Option<Pending>,
    /// Indexes that were dropped for loading, as `ALTER TABLE` clauses.
    pub(crate) dropped_indexes: Vec<String>,
}

impl Row {
    /// The commit that a table with this marker stands at.
    pub(crate) fn of_table(&self, marker: Option<&str>) -> Option<&Entry> {
        let marker = marker?;
        let pending = self.pending.as_ref().map(|pending| &pending.entry);
        pending.into_iter().chain(&self.entry).find(|entry| entry.marker == marker)
    }
}

/// Names one row.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    /// The database, quoted with a point, or nothing for the connection's own.
    pub(crate) schema: String,
    /// The table's name in its database.
    pub(crate) target: String,
    /// The stream.
    pub(crate) stream: StreamId,
}

type Fields = (
    Option<u64>,
    Option<u64>,
    Option<u64>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<u64>,
    Option<String>,
    Option<u64>,
    Option<String>,
    Option<String>,
    Option<String>,
);

impl Ledger {
    fn table(&self) -> String {
        format!("{}{}", self.schema, quote(COMMITS))
    }

    fn condition(&self) -> String {
        format!("target = {} AND stream = {}", literal(&self.target), literal(self.stream.as_str()))
    }

    /// Makes the commit table and this stream's row, where they are not there.
    pub(crate) async fn prepare(&self, session: &mut Session) -> Result<(), ConnectorError> {
        if self.stream.as_str().chars().count() > STREAM_CHARACTERS {
            return Err(ConnectorError::new(ErrorKind::BadConfiguration, format!("the name of stream `{}` is longer than {STREAM_CHARACTERS} characters", self.stream))
                .with_help("give pipeline and table shorter names"));
        }
        let collation = session.dialect.exact_collation();
        let create = format!(
            "CREATE TABLE IF NOT EXISTS {} (\
             target varchar(64) NOT NULL, stream varchar({STREAM_CHARACTERS}) NOT NULL, \
             generation bigint unsigned, seq bigint unsigned, epoch bigint unsigned, attempt text, lo longtext, hi longtext, row_count bigint unsigned, \
             marker text, table_rows bigint unsigned, types longtext, run_id text, committed_at datetime(6), pending longtext, dropped_indexes longtext, \
             PRIMARY KEY (target, stream)) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE={collation} \
             COMMENT='positions of karat: what is committed to the tables of this database'",
            self.table()
        );
        session.define("make the table `karat_commits`", &create).await?;
        let insert = format!(
            "INSERT INTO {0} (target, stream) SELECT {1}, {2} FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM {0} AS known WHERE {3})",
            self.table(),
            literal(&self.target),
            literal(self.stream.as_str()),
            self.condition()
        );
        match session.run("note a stream in `karat_commits`", &insert).await {
            // Somebody else noted it at the same time.
            Err(error) if crate::sink::session::code_of(&error) == Some(1062) => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// Reads the row, and locks it until the transaction ends: waits for whoever is committing.
    pub(crate) async fn lock(&self, session: &mut Session) -> Result<Row, ConnectorError> {
        self.select(session, " FOR UPDATE").await
    }

    /// Reads the row after every commit that is under way was decided; nothing where there is no commit table.
    pub(crate) async fn read(&self, session: &mut Session) -> Result<Row, ConnectorError> {
        session.define("begin a transaction", "START TRANSACTION").await?;
        let row = self.lock(session).await;
        session.define("end a transaction", "ROLLBACK").await?;
        match row {
            Err(error) if crate::sink::session::code_of(&error) == Some(1146) => Ok(Row::default()),
            other => other,
        }
    }

    /// The stream that another pipeline wrote a table with this marker under.
    pub(crate) async fn foreign(&self, session: &mut Session, marker: &str) -> Result<Option<Entry>, ConnectorError> {
        let sql = format!("SELECT stream FROM {} WHERE target = {} AND marker = {}", self.table(), literal(&self.target), literal(marker));
        let streams: Vec<String> = match session.rows("read `karat_commits`", &sql).await {
            Err(error) if crate::sink::session::code_of(&error) == Some(1146) => return Ok(None),
            other => other?,
        };
        for stream in streams {
            let other = Self { stream: parse_stream(&stream)?, ..self.clone() };
            if let Some(entry) = other.select(session, "").await?.of_table(Some(marker)) {
                return Ok(Some(entry.clone()));
            }
        }
        Ok(None)
    }

    async fn select(&self, session: &mut Session, lock: &str) -> Result<Row, ConnectorError> {
        let sql = format!(
            "SELECT generation, seq, epoch, attempt, lo, hi, row_count, marker, table_rows, types, pending, dropped_indexes FROM {} WHERE {}{lock}",
            self.table(),
            self.condition()
        );
        let Some(fields) = session.row::<Fields>("read `karat_commits`", &sql).await? else { return Ok(Row::default()) };
        self.parse(fields)
    }

    fn parse(&self, fields: Fields) -> Result<Row, ConnectorError> {
        let (generation, seq, epoch, attempt, lo, hi, rows, marker, table_rows, types, pending, dropped) = fields;
        let corrupt = |what: &str| {
            ConnectorError::new(ErrorKind::Corrupt, format!("the row of `{}` for table `{}` in `karat_commits` has no readable {what}", self.stream, self.target))
                .with_help("restore the row, or load the table anew with `--full-refresh` after deleting it")
        };
        let entry = match (generation, seq, attempt, marker) {
            (None, None, None, None) => None,
            (Some(generation), Some(seq), Some(attempt), Some(marker)) => {
                let position = |text: Option<String>, what: &str| text.and_then(|text| Position::decode(&text).ok()).ok_or_else(|| corrupt(what));
                let record = CommitRecord {
                    stream: self.stream.clone(),
                    generation: Generation(generation),
                    seq,
                    epoch: epoch.ok_or_else(|| corrupt("epoch"))?,
                    attempt,
                    lo: position(lo, "lo")?,
                    hi: position(hi, "hi")?,
                    rows: rows.ok_or_else(|| corrupt("row_count"))?,
                };
                let types = types.map_or_else(|| Ok(BTreeMap::new()), |types| serde_json::from_str(&types).map_err(|_| corrupt("types")))?;
                Some(Entry { record, marker, table_rows: table_rows.ok_or_else(|| corrupt("table_rows"))?, types })
            }
            _ => return Err(corrupt("record")),
        };
        let pending = pending.map(|pending| serde_json::from_str(&pending).map_err(|_| corrupt("pending"))).transpose()?;
        let dropped_indexes = dropped.map_or_else(|| Ok(Vec::new()), |dropped| serde_json::from_str(&dropped).map_err(|_| corrupt("dropped_indexes")))?;
        Ok(Row { entry, pending, dropped_indexes })
    }

    /// Writes the newest commit, and that nothing is pending. The row must be locked.
    pub(crate) async fn write(&self, session: &mut Session, entry: &Entry, run_id: &str) -> Result<(), ConnectorError> {
        let record = &entry.record;
        let sql = format!(
            "UPDATE {} SET generation = {}, seq = {}, epoch = {}, attempt = {}, lo = {}, hi = {}, row_count = {}, marker = {}, table_rows = {}, types = {}, run_id = {}, \
             committed_at = UTC_TIMESTAMP(6), pending = NULL WHERE {}",
            self.table(),
            record.generation.0,
            record.seq,
            record.epoch,
            literal(&record.attempt),
            literal(&record.lo.encode()),
            literal(&record.hi.encode()),
            record.rows,
            literal(&entry.marker),
            entry.table_rows,
            literal(&json(&entry.types)),
            literal(run_id),
            self.condition()
        );
        self.update(session, &sql).await
    }

    /// Says which generation may become live, or that none may. The row must be locked.
    pub(crate) async fn write_pending(&self, session: &mut Session, pending: Option<&Pending>) -> Result<(), ConnectorError> {
        let value = pending.map_or_else(|| "NULL".to_owned(), |pending| literal(&json(pending)));
        // Setting the same value again changes no row, which is no sign of a lost row here.
        self.update(session, &format!("UPDATE {} SET pending = {value}, committed_at = UTC_TIMESTAMP(6) WHERE {}", self.table(), self.condition())).await
    }

    /// Says which indexes must be built again, durable before they are dropped.
    pub(crate) async fn write_dropped(&self, session: &mut Session, clauses: &[String]) -> Result<(), ConnectorError> {
        let value = if clauses.is_empty() { "NULL".to_owned() } else { literal(&json(clauses)) };
        session.run("note dropped indexes in `karat_commits`", &format!("UPDATE {} SET dropped_indexes = {value} WHERE {}", self.table(), self.condition())).await?;
        Ok(())
    }

    async fn update(&self, session: &mut Session, sql: &str) -> Result<(), ConnectorError> {
        let done = session.run("write `karat_commits`", sql).await?;
        if done.affected == 1 {
            return Ok(());
        }
        Err(ConnectorError::new(ErrorKind::Conflict, format!("the row of `{}` in `karat_commits` is gone", self.stream)))
    }
}

/// JSON of values that have nothing JSON does not know.
fn json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("records hold only text and whole numbers")
}

fn parse_stream(text: &str) -> Result<StreamId, ConnectorError> {
    serde_json::from_value(serde_json::Value::String(text.to_owned()))
        .map_err(|error| ConnectorError::new(ErrorKind::Corrupt, "a stream in `karat_commits` has no name").with_source(error))
}

/// How a commit relates to the newest record of its stream: the rule of [`karat_plugin_api::CommitRequest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is the next one.
    Extends,
    /// It is that record.
    AlreadyApplied,
    /// Somebody else committed first.
    Conflict,
}

/// Compares a commit with the newest record of its stream.
pub(crate) fn step(newest: Option<&CommitRecord>, next: &CommitRecord) -> Step {
    let starts = next.seq == 1 && next.lo == Position::Start;
    let extends = match newest {
        None => starts,
        Some(newest) if newest.generation != next.generation => starts && newest.generation.0.checked_add(1) == Some(next.generation.0),
        Some(newest) if newest.seq == next.seq && newest.attempt == next.attempt => return Step::AlreadyApplied,
        Some(newest) => newest.seq.checked_add(1) == Some(next.seq) && newest.hi == next.lo,
    };
    if extends { Step::Extends } else { Step::Conflict }
}
