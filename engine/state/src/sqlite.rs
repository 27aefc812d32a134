//! State in a SQLite file (COMMIT P5).

use crate::backend::Backend;
use crate::integrity::{refuse_network_file_system, seal, unseal};
use crate::lease::{Hold, Lease, try_lock};
use crate::{Owner, RunRecord, StateError, StateSnapshot, StreamState, TableRun};
use async_trait::async_trait;
use karat_plugin_api::StreamId;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sqlx::{Row, Sqlite, Transaction};
use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// `application_id` of a state file: "KRAT".
const APPLICATION_ID: i64 = 0x4b52_4154;
/// The format this build writes.
const FORMAT: i64 = 1;

const TABLES: &str = "
CREATE TABLE streams (stream TEXT PRIMARY KEY, generation INTEGER NOT NULL, seq INTEGER NOT NULL, body TEXT NOT NULL, crc INTEGER NOT NULL) STRICT;
CREATE TABLE runs (run_id TEXT PRIMARY KEY, body TEXT NOT NULL, crc INTEGER NOT NULL) STRICT;
CREATE TABLE table_runs (number INTEGER PRIMARY KEY, table_name TEXT NOT NULL, body TEXT NOT NULL, crc INTEGER NOT NULL) STRICT;
CREATE INDEX table_runs_by_name ON table_runs (table_name, number);
CREATE TABLE lease (one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL, owner TEXT, crc INTEGER NOT NULL) STRICT;
CREATE TABLE rewinding (one INTEGER PRIMARY KEY) STRICT;
CREATE TRIGGER positions_never_go_back BEFORE UPDATE ON streams
WHEN (NEW.generation, NEW.seq) < (OLD.generation, OLD.seq) AND NOT EXISTS (SELECT 1 FROM rewinding)
BEGIN SELECT RAISE(ABORT, 'a position would go back'); END;
";

/// The state of one project, in one SQLite file (mode 0600, WAL, `synchronous=FULL`).
#[derive(Debug)]
pub(crate) struct SqliteState {
    path: PathBuf,
    pool: SqlitePool,
}

impl SqliteState {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// [`StateError::Corrupt`], [`StateError::NewerFormat`] and [`StateError::NetworkFileSystem`] before anything is changed.
    pub(crate) async fn open(path: &Path) -> Result<Self, StateError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|source| StateError::Io { action: "create folder", path: folder.to_owned(), source })?;
        }
        refuse_network_file_system(path)?;
        // SQLite gives its journal files the mode of the main file, so that is made first.
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path).map_err(|source| StateError::Io {
            action: "open state file",
            path: path.to_owned(),
            source,
        })?;
        Self::connect(path).await
    }

    /// Opens the file if there is one that holds anything.
    ///
    /// # Errors
    /// As [`SqliteState::open`].
    pub(crate) async fn open_existing(path: &Path) -> Result<Option<Self>, StateError> {
        match std::fs::metadata(path) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StateError::Io { action: "open state file", path: path.to_owned(), source }),
        }
        Ok(Some(Self::connect(path).await?))
    }

    async fn connect(path: &Path) -> Result<Self, StateError> {
        let options = SqliteConnectOptions::new().filename(path).busy_timeout(Duration::from_secs(10)).foreign_keys(false);
        // Settings of a connection are made once, so the one that there is stays.
        let pool = SqlitePoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None).connect_with(options).await;
        let store = Self { path: path.to_owned(), pool: pool.map_err(|error| not_a_database(path, "open", error))? };
        if let Err(error) = store.prepare().await {
            // A connection that closes later would take the journal of the file that replaces this one with it.
            store.pool.close().await;
            return Err(error);
        }
        Ok(store)
    }

    async fn prepare(&self) -> Result<(), StateError> {
        let settings = sqlx::raw_sql("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL").execute(&self.pool).await;
        settings.map_err(|error| not_a_database(&self.path, "open", error))?;
        let application_id = self.pragma("PRAGMA application_id").await?;
        let format = self.pragma("PRAGMA user_version").await?;
        let tables = self.pragma("SELECT count(*) FROM sqlite_schema").await?;
        if application_id == 0 && format == 0 && tables == 0 {
            return self.create().await;
        }
        if application_id != APPLICATION_ID {
            return Err(self.corrupt("it is another program's database"));
        }
        if format > FORMAT {
            return Err(StateError::NewerFormat { place: self.place(), found: format, known: FORMAT });
        }
        let verdict: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&self.pool).await.map_err(|error| not_a_database(&self.path, "check", error))?;
        if verdict == "ok" { Ok(()) } else { Err(self.corrupt(&verdict)) }
    }

    async fn create(&self) -> Result<(), StateError> {
        let mut transaction = self.begin("create tables").await?;
        // Another process may have been quicker.
        let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut *transaction).await.map_err(|error| self.failed("create tables", error))?;
        if tables == 0 {
            sqlx::raw_sql(TABLES).execute(&mut *transaction).await.map_err(|error| self.failed("create tables", error))?;
            sqlx::raw_sql("PRAGMA application_id = 1263681876; PRAGMA user_version = 1").execute(&mut *transaction).await.map_err(|error| self.failed("create tables", error))?;
        }
        transaction.commit().await.map_err(|error| self.failed("create tables", error))
    }

    async fn holder(&self) -> Result<Option<Owner>, StateError> {
        let row = sqlx::query("SELECT epoch, owner, crc FROM lease").fetch_optional(&self.pool).await.map_err(|error| self.failed("read the lease", error))?;
        let Some(row) = row else { return Ok(None) };
        let (epoch, body, crc): (i64, Option<String>, i64) = (row.get(0), row.get(1), row.get(2));
        unseal(&self.place(), &epoch.to_string(), body.as_deref().unwrap_or("null"), crc)
    }

    async fn put_stream(&self, transaction: &mut Transaction<'_, Sqlite>, stream: &StreamState) -> Result<(), StateError> {
        let sealed = seal(stream.stream.as_str(), stream);
        let put = "INSERT INTO streams (stream, generation, seq, body, crc) VALUES (?1, ?2, ?3, ?4, ?5)
            ON CONFLICT (stream) DO UPDATE SET generation = ?2, seq = ?3, body = ?4, crc = ?5";
        let query = sqlx::query(put).bind(stream.stream.as_str()).bind(as_i64(stream.generation.0)).bind(as_i64(stream.seq)).bind(sealed.body).bind(sealed.crc);
        query.execute(&mut **transaction).await.map(|_| ()).map_err(|error| self.failed("record a position", error))
    }

    async fn put_run(&self, transaction: &mut Transaction<'_, Sqlite>, run: &RunRecord) -> Result<(), StateError> {
        let sealed = seal(&run.run_id, run);
        let put = "INSERT INTO runs (run_id, body, crc) VALUES (?1, ?2, ?3) ON CONFLICT (run_id) DO UPDATE SET body = ?2, crc = ?3";
        let query = sqlx::query(put).bind(&run.run_id).bind(sealed.body).bind(sealed.crc);
        query.execute(&mut **transaction).await.map(|_| ()).map_err(|error| self.failed("record a run", error))
    }

    async fn begin(&self, action: &'static str) -> Result<Transaction<'static, Sqlite>, StateError> {
        self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(|error| self.failed(action, error))
    }

    /// A transaction that exists only while `lease` is the newest one.
    async fn begin_as(&self, lease: &Lease, action: &'static str) -> Result<Transaction<'static, Sqlite>, StateError> {
        let mut transaction = self.begin(action).await?;
        let epoch: Option<i64> = sqlx::query_scalar("SELECT epoch FROM lease").fetch_optional(&mut *transaction).await.map_err(|error| self.failed(action, error))?;
        if epoch == Some(as_i64(lease.epoch)) { Ok(transaction) } else { Err(StateError::Fenced { epoch: lease.epoch }) }
    }

    async fn pragma(&self, sql: &'static str) -> Result<i64, StateError> {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.map_err(|error| not_a_database(&self.path, "open", error))
    }

    fn failed(&self, action: &'static str, source: sqlx::Error) -> StateError {
        not_a_database(&self.path, action, source)
    }

    fn place(&self) -> String {
        place(&self.path)
    }

    fn corrupt(&self, reason: &str) -> StateError {
        StateError::Corrupt { place: self.place(), reason: reason.to_owned() }
    }
}

#[async_trait]
impl Backend for SqliteState {
    async fn snapshot(&self) -> Result<StateSnapshot, StateError> {
        let mut transaction = self.pool.begin().await.map_err(|error| self.failed("read", error))?;
        let mut snapshot = StateSnapshot::default();
        for row in sqlx::query("SELECT stream, generation, seq, body, crc FROM streams").fetch_all(&mut *transaction).await.map_err(|error| self.failed("read streams", error))? {
            let key: String = row.get(0);
            let state: StreamState = unseal(&self.place(), &key, row.get(3), row.get(4))?;
            let (generation, seq): (i64, i64) = (row.get(1), row.get(2));
            if state.stream.as_str() != key || as_i64(state.generation.0) != generation || as_i64(state.seq) != seq {
                return Err(self.corrupt(&format!("the row of stream `{key}` contradicts itself")));
            }
            snapshot.streams.insert(state.stream.clone(), state);
        }
        let newest = "SELECT table_name, body, crc FROM table_runs WHERE number IN (SELECT max(number) FROM table_runs GROUP BY table_name)";
        for row in sqlx::query(newest).fetch_all(&mut *transaction).await.map_err(|error| self.failed("read runs", error))? {
            let table: String = row.get(0);
            let run = unseal(&self.place(), &table, row.get(1), row.get(2))?;
            snapshot.last_runs.insert(table, run);
        }
        Ok(snapshot)
    }

    async fn runs(&self, limit: u32) -> Result<Vec<RunRecord>, StateError> {
        let rows = sqlx::query("SELECT run_id, body, crc FROM runs ORDER BY run_id DESC LIMIT ?").bind(limit).fetch_all(&self.pool).await;
        rows.map_err(|error| self.failed("read runs", error))?.iter().map(|row| unseal(&self.place(), row.get::<&str, _>(0), row.get(1), row.get(2))).collect()
    }

    async fn acquire(&self, owner: &Owner) -> Result<Lease, StateError> {
        let Some(lock) = try_lock(&self.path)? else {
            let holder = self.holder().await?.unwrap_or_else(|| Owner { run_id: "that is starting".to_owned(), ..owner.clone() });
            return Err(StateError::Held { owner: Box::new(holder) });
        };
        let mut transaction = self.begin("take the lease").await?;
        let known = sqlx::query("SELECT epoch, owner, crc FROM lease").fetch_optional(&mut *transaction).await.map_err(|error| self.failed("take the lease", error))?;
        let epoch = match known {
            Some(row) => {
                let (epoch, body, crc): (i64, Option<String>, i64) = (row.get(0), row.get(1), row.get(2));
                let _previous: Option<Owner> = unseal(&self.place(), &epoch.to_string(), body.as_deref().unwrap_or("null"), crc)?;
                epoch + 1
            }
            None => 1,
        };
        let sealed = seal(&epoch.to_string(), &Some(owner));
        sqlx::query("INSERT INTO lease (one, epoch, owner, crc) VALUES (1, ?1, ?2, ?3) ON CONFLICT (one) DO UPDATE SET epoch = ?1, owner = ?2, crc = ?3")
            .bind(epoch)
            .bind(sealed.body)
            .bind(sealed.crc)
            .execute(&mut *transaction)
            .await
            .map_err(|error| self.failed("take the lease", error))?;
        transaction.commit().await.map_err(|error| self.failed("take the lease", error))?;
        Ok(Lease { epoch: u64::try_from(epoch).unwrap_or(u64::MAX), hold: Hold::File(lock) })
    }

    async fn release(&self, lease: Lease) -> Result<(), StateError> {
        let sealed = seal(&lease.epoch.to_string(), &None::<Owner>);
        let done = sqlx::query("UPDATE lease SET owner = NULL, crc = ? WHERE epoch = ?").bind(sealed.crc).bind(as_i64(lease.epoch)).execute(&self.pool).await;
        done.map(|_| ()).map_err(|error| self.failed("release the lease", error))
    }

    async fn record_commit(&self, lease: &Lease, stream: &StreamState) -> Result<(), StateError> {
        let mut transaction = self.begin_as(lease, "record a commit").await?;
        self.put_stream(&mut transaction, stream).await?;
        transaction.commit().await.map_err(|error| self.failed("record a commit", error))
    }

    async fn rebuild_stream(&self, lease: &Lease, stream: &StreamState) -> Result<(), StateError> {
        let mut transaction = self.begin_as(lease, "rebuild a stream").await?;
        sqlx::query("INSERT INTO rewinding VALUES (1)").execute(&mut *transaction).await.map_err(|error| self.failed("rebuild a stream", error))?;
        self.put_stream(&mut transaction, stream).await?;
        sqlx::query("DELETE FROM rewinding").execute(&mut *transaction).await.map_err(|error| self.failed("rebuild a stream", error))?;
        transaction.commit().await.map_err(|error| self.failed("rebuild a stream", error))
    }

    async fn forget_stream(&self, lease: &Lease, stream: &StreamId) -> Result<(), StateError> {
        let mut transaction = self.begin_as(lease, "forget a stream").await?;
        sqlx::query("DELETE FROM streams WHERE stream = ?").bind(stream.as_str()).execute(&mut *transaction).await.map_err(|error| self.failed("forget a stream", error))?;
        transaction.commit().await.map_err(|error| self.failed("forget a stream", error))
    }

    async fn start_run(&self, lease: &Lease, run: &RunRecord) -> Result<(), StateError> {
        let mut transaction = self.begin_as(lease, "start a run").await?;
        self.put_run(&mut transaction, run).await?;
        transaction.commit().await.map_err(|error| self.failed("start a run", error))
    }

    async fn finish_run(&self, lease: &Lease, run: &RunRecord, tables: &[(String, TableRun)]) -> Result<(), StateError> {
        let mut transaction = self.begin_as(lease, "finish a run").await?;
        self.put_run(&mut transaction, run).await?;
        for (table, run) in tables {
            let sealed = seal(table, run);
            sqlx::query("INSERT INTO table_runs (table_name, body, crc) VALUES (?, ?, ?)")
                .bind(table)
                .bind(sealed.body)
                .bind(sealed.crc)
                .execute(&mut *transaction)
                .await
                .map_err(|error| self.failed("finish a run", error))?;
        }
        transaction.commit().await.map_err(|error| self.failed("finish a run", error))
    }
}

fn place(path: &Path) -> String {
    format!("state file `{}`", path.display())
}

/// SQLite says "malformed" or "not a database" for a damaged file: that is the file's fault, not the request's.
fn not_a_database(path: &Path, action: &'static str, source: sqlx::Error) -> StateError {
    // Primary result codes SQLITE_CORRUPT and SQLITE_NOTADB: https://www.sqlite.org/rescode.html
    let code = source.as_database_error().and_then(|error| error.code()).and_then(|code| code.parse::<i64>().ok()).map(|code| code & 0xff);
    match code {
        Some(11 | 26) => StateError::Corrupt { place: place(path), reason: source.to_string() },
        _ => StateError::Database { action, place: place(path), source },
    }
}

pub(crate) fn as_i64(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
