//! State in a PostgreSQL database, for runners on several machines (COMMIT P6).
//!
//! One database serves many projects: every row carries the project's name. The advisory lock and all writes belong to one session, so whoever
//! loses it can write nothing more, and the server frees the lock. A pooler that shares sessions between transactions breaks that: connect directly.

use crate::backend::Backend;
use crate::integrity::{seal, unseal};
use crate::lease::{Hold, Lease};
use crate::sqlite::as_i64;
use crate::{Owner, RunRecord, StateError, StateSnapshot, StreamState, TableRun};
use async_trait::async_trait;
use karat_plugin_api::StreamId;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{Connection, PgConnection, PgTransaction, Row};
use std::str::FromStr;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};

/// The format this build writes.
const FORMAT: i64 = 1;
/// How long a connection is waited for.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

const TABLES: &str = "
CREATE SCHEMA karat_state;
CREATE TABLE karat_state.format (version bigint NOT NULL);
INSERT INTO karat_state.format VALUES (1);
CREATE TABLE karat_state.streams (project text, stream text, generation bigint NOT NULL, seq bigint NOT NULL, body text NOT NULL, crc bigint NOT NULL, PRIMARY KEY (project, stream));
CREATE TABLE karat_state.runs (project text, run_id text, body text NOT NULL, crc bigint NOT NULL, PRIMARY KEY (project, run_id));
CREATE TABLE karat_state.table_runs (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, project text NOT NULL, table_name text NOT NULL, body text NOT NULL, crc bigint NOT NULL);
CREATE INDEX table_runs_by_name ON karat_state.table_runs (project, table_name, number);
CREATE TABLE karat_state.lease (project text PRIMARY KEY, epoch bigint NOT NULL, owner text, crc bigint NOT NULL);
CREATE FUNCTION karat_state.positions_never_go_back() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (NEW.generation, NEW.seq) < (OLD.generation, OLD.seq) AND current_setting('karat.rewinding', true) IS DISTINCT FROM 'on' THEN
    RAISE EXCEPTION 'a position would go back';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER positions_never_go_back BEFORE UPDATE ON karat_state.streams FOR EACH ROW EXECUTE FUNCTION karat_state.positions_never_go_back();
";

/// The state of one project in a database.
#[derive(Debug)]
pub(crate) struct PostgresState {
    options: PgConnectOptions,
    /// For reading; writing is the lease's business.
    reader: Mutex<PgConnection>,
    project: String,
    place: String,
}

impl PostgresState {
    /// Connects to the database at `url`.
    pub(crate) async fn connect(url: &str, project: &str) -> Result<Self, StateError> {
        let options = PgConnectOptions::from_str(url).map_err(|error| StateError::BadAddress { reason: error.to_string() })?;
        let is_local = options.get_socket().is_some() || ["localhost", "127.0.0.1", "::1"].contains(&options.get_host()) || options.get_host().starts_with('/');
        // The driver's own default falls back to plain text when the server asks for it; ours never does.
        let says_how = url.contains("sslmode=") || url.contains("ssl-mode=");
        let options = match (says_how, is_local) {
            (true, _) => options,
            (false, true) => options.ssl_mode(PgSslMode::Disable),
            (false, false) => options.ssl_mode(PgSslMode::VerifyFull),
        };
        let options = options.application_name("karat").options([("synchronous_commit", "on"), ("lock_timeout", "10s"), ("statement_timeout", "60s")]);
        let place = format!("state database `{}:{}/{}`", options.get_host(), options.get_port(), options.get_database().unwrap_or(options.get_username()));
        let reader = Mutex::new(session(&options, &place).await?);
        Ok(Self { options, reader, project: project.to_owned(), place })
    }

    /// True when the schema is there and of a known format.
    pub(crate) async fn exists(&self) -> Result<bool, StateError> {
        self.exists_on(&mut *self.reader.lock().await).await
    }

    async fn exists_on(&self, connection: &mut PgConnection) -> Result<bool, StateError> {
        let failed = |error| self.failed("look for the schema `karat_state`", error);
        let is_there: bool = sqlx::query_scalar("SELECT to_regclass('karat_state.format') IS NOT NULL").fetch_one(&mut *connection).await.map_err(failed)?;
        if !is_there {
            return Ok(false);
        }
        let format: Option<i64> = sqlx::query_scalar("SELECT version FROM karat_state.format").fetch_optional(connection).await.map_err(failed)?;
        match format {
            Some(found) if found > FORMAT => Err(StateError::NewerFormat { place: self.place.clone(), found, known: FORMAT }),
            Some(_) => Ok(true),
            None => Err(self.corrupt("its format is not on record")),
        }
    }

    /// Makes the schema where it is not there yet.
    pub(crate) async fn prepare(&self) -> Result<(), StateError> {
        let failed = |error| self.failed("make the schema `karat_state`", error);
        let mut reader = self.reader.lock().await;
        let mut transaction = reader.begin().await.map_err(failed)?;
        // Of two runs that start together one makes it; the number is the name's first bytes.
        sqlx::query("SELECT pg_advisory_xact_lock(x'6b61726174'::bigint)").execute(&mut *transaction).await.map_err(failed)?;
        if !self.exists_on(&mut transaction).await? {
            sqlx::raw_sql(TABLES).execute(&mut *transaction).await.map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)
    }

    async fn holder(&self) -> Result<Option<Owner>, StateError> {
        let row = sqlx::query("SELECT epoch, owner, crc FROM karat_state.lease WHERE project = $1").bind(&self.project).fetch_optional(&mut *self.reader.lock().await).await;
        let Some(row) = row.map_err(|error| self.failed("read the lease", error))? else { return Ok(None) };
        let (epoch, body, crc): (i64, Option<String>, i64) = (row.get(0), row.get(1), row.get(2));
        unseal(&self.place, &epoch.to_string(), body.as_deref().unwrap_or("null"), crc)
    }

    /// Writes the next epoch under the advisory lock that this session holds.
    async fn next_epoch(&self, session: &mut PgConnection, owner: &Owner) -> Result<u64, StateError> {
        let failed = |error| self.failed("take the lease", error);
        let mut transaction = session.begin().await.map_err(failed)?;
        let known = sqlx::query("SELECT epoch, owner, crc FROM karat_state.lease WHERE project = $1 FOR UPDATE").bind(&self.project).fetch_optional(&mut *transaction).await;
        let epoch = match known.map_err(failed)? {
            Some(row) => {
                let (epoch, body, crc): (i64, Option<String>, i64) = (row.get(0), row.get(1), row.get(2));
                let _previous: Option<Owner> = unseal(&self.place, &epoch.to_string(), body.as_deref().unwrap_or("null"), crc)?;
                epoch + 1
            }
            None => 1,
        };
        let sealed = seal(&epoch.to_string(), &Some(owner));
        let put = "INSERT INTO karat_state.lease (project, epoch, owner, crc) VALUES ($1, $2, $3, $4) ON CONFLICT (project) DO UPDATE SET epoch = $2, owner = $3, crc = $4";
        sqlx::query(put).bind(&self.project).bind(epoch).bind(sealed.body).bind(sealed.crc).execute(&mut *transaction).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(u64::try_from(epoch).unwrap_or(u64::MAX))
    }

    async fn session<'a>(&self, lease: &'a Lease) -> Result<MutexGuard<'a, PgConnection>, StateError> {
        match &lease.hold {
            Hold::Session(session) => Ok(session.lock().await),
            Hold::File(_) => Err(StateError::Fenced { epoch: lease.epoch }),
        }
    }

    /// A transaction that exists only while `lease` is the newest one.
    async fn begin_as<'a>(&self, session: &'a mut PgConnection, lease: &Lease, action: &'static str) -> Result<PgTransaction<'a>, StateError> {
        let mut transaction = session.begin().await.map_err(|error| self.failed(action, error))?;
        let epoch: Option<i64> = sqlx::query_scalar("SELECT epoch FROM karat_state.lease WHERE project = $1 FOR UPDATE")
            .bind(&self.project)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(|error| self.failed(action, error))?;
        if epoch == Some(as_i64(lease.epoch)) { Ok(transaction) } else { Err(StateError::Fenced { epoch: lease.epoch }) }
    }

    async fn put_stream(&self, transaction: &mut PgTransaction<'_>, stream: &StreamState) -> Result<(), StateError> {
        let sealed = seal(stream.stream.as_str(), stream);
        let put = "INSERT INTO karat_state.streams (project, stream, generation, seq, body, crc) VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (project, stream) DO UPDATE SET generation = $3, seq = $4, body = $5, crc = $6";
        let query = sqlx::query(put).bind(&self.project).bind(stream.stream.as_str()).bind(as_i64(stream.generation.0)).bind(as_i64(stream.seq));
        query.bind(sealed.body).bind(sealed.crc).execute(&mut **transaction).await.map(|_| ()).map_err(|error| self.failed("record a position", error))
    }

    async fn put_run(&self, transaction: &mut PgTransaction<'_>, run: &RunRecord) -> Result<(), StateError> {
        let sealed = seal(&run.run_id, run);
        let put = "INSERT INTO karat_state.runs (project, run_id, body, crc) VALUES ($1, $2, $3, $4) ON CONFLICT (project, run_id) DO UPDATE SET body = $3, crc = $4";
        let query = sqlx::query(put).bind(&self.project).bind(&run.run_id).bind(sealed.body).bind(sealed.crc);
        query.execute(&mut **transaction).await.map(|_| ()).map_err(|error| self.failed("record a run", error))
    }

    fn failed(&self, action: &'static str, source: sqlx::Error) -> StateError {
        StateError::Database { action, place: self.place.clone(), source }
    }

    fn corrupt(&self, reason: &str) -> StateError {
        StateError::Corrupt { place: self.place.clone(), reason: reason.to_owned() }
    }
}

/// Opens a session; a server that does not answer is not waited for without end.
async fn session(options: &PgConnectOptions, place: &str) -> Result<PgConnection, StateError> {
    let connecting = tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(options)).await;
    let timed_out = |_| Err(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()))));
    connecting.unwrap_or_else(timed_out).map_err(|source| StateError::Database { action: "open a session", place: place.to_owned(), source })
}

#[async_trait]
impl Backend for PostgresState {
    async fn snapshot(&self) -> Result<StateSnapshot, StateError> {
        let mut reader = self.reader.lock().await;
        let mut transaction = reader.begin().await.map_err(|error| self.failed("read", error))?;
        sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY").execute(&mut *transaction).await.map_err(|error| self.failed("read", error))?;
        let mut snapshot = StateSnapshot::default();
        let streams = sqlx::query("SELECT stream, generation, seq, body, crc FROM karat_state.streams WHERE project = $1").bind(&self.project).fetch_all(&mut *transaction).await;
        for row in streams.map_err(|error| self.failed("read streams", error))? {
            let key: String = row.get(0);
            let state: StreamState = unseal(&self.place, &key, row.get(3), row.get(4))?;
            let (generation, seq): (i64, i64) = (row.get(1), row.get(2));
            if state.stream.as_str() != key || as_i64(state.generation.0) != generation || as_i64(state.seq) != seq {
                return Err(self.corrupt(&format!("the row of stream `{key}` contradicts itself")));
            }
            snapshot.streams.insert(state.stream.clone(), state);
        }
        let newest = "SELECT DISTINCT ON (table_name) table_name, body, crc FROM karat_state.table_runs WHERE project = $1 ORDER BY table_name, number DESC";
        for row in sqlx::query(newest).bind(&self.project).fetch_all(&mut *transaction).await.map_err(|error| self.failed("read runs", error))? {
            let table: String = row.get(0);
            let run = unseal(&self.place, &table, row.get(1), row.get(2))?;
            snapshot.last_runs.insert(table, run);
        }
        Ok(snapshot)
    }

    async fn runs(&self, limit: u32) -> Result<Vec<RunRecord>, StateError> {
        let read = "SELECT run_id, body, crc FROM karat_state.runs WHERE project = $1 ORDER BY run_id DESC LIMIT $2";
        let rows = sqlx::query(read).bind(&self.project).bind(i64::from(limit)).fetch_all(&mut *self.reader.lock().await).await;
        rows.map_err(|error| self.failed("read runs", error))?.iter().map(|row| unseal(&self.place, row.get::<&str, _>(0), row.get(1), row.get(2))).collect()
    }

    async fn acquire(&self, owner: &Owner) -> Result<Lease, StateError> {
        let mut session = session(&self.options, &self.place).await?;
        let lock = "SELECT pg_try_advisory_lock(hashtextextended('karat state of ' || $1, 0))";
        let is_ours: bool = sqlx::query_scalar(lock).bind(&self.project).fetch_one(&mut session).await.map_err(|error| self.failed("take the lease", error))?;
        if !is_ours {
            let holder = self.holder().await?.unwrap_or_else(|| Owner { run_id: "that is starting".to_owned(), ..owner.clone() });
            return Err(StateError::Held { owner: Box::new(holder) });
        }
        let epoch = self.next_epoch(&mut session, owner).await?;
        Ok(Lease { epoch, hold: Hold::Session(Mutex::new(session)) })
    }

    async fn release(&self, lease: Lease) -> Result<(), StateError> {
        let sealed = seal(&lease.epoch.to_string(), &None::<Owner>);
        let Hold::Session(session) = lease.hold else { return Err(StateError::Fenced { epoch: lease.epoch }) };
        let mut session = session.into_inner();
        let give_back = "UPDATE karat_state.lease SET owner = NULL, crc = $3 WHERE project = $1 AND epoch = $2";
        let done = sqlx::query(give_back).bind(&self.project).bind(as_i64(lease.epoch)).bind(sealed.crc).execute(&mut session).await;
        done.map_err(|error| self.failed("release the lease", error))?;
        session.close().await.map_err(|error| self.failed("release the lease", error))
    }

    async fn record_commit(&self, lease: &Lease, stream: &StreamState) -> Result<(), StateError> {
        let mut session = self.session(lease).await?;
        let mut transaction = self.begin_as(&mut session, lease, "record a commit").await?;
        self.put_stream(&mut transaction, stream).await?;
        transaction.commit().await.map_err(|error| self.failed("record a commit", error))
    }

    async fn rebuild_stream(&self, lease: &Lease, stream: &StreamState) -> Result<(), StateError> {
        let mut session = self.session(lease).await?;
        let mut transaction = self.begin_as(&mut session, lease, "rebuild a stream").await?;
        sqlx::query("SET LOCAL karat.rewinding = 'on'").execute(&mut *transaction).await.map_err(|error| self.failed("rebuild a stream", error))?;
        self.put_stream(&mut transaction, stream).await?;
        transaction.commit().await.map_err(|error| self.failed("rebuild a stream", error))
    }

    async fn forget_stream(&self, lease: &Lease, stream: &StreamId) -> Result<(), StateError> {
        let mut session = self.session(lease).await?;
        let mut transaction = self.begin_as(&mut session, lease, "forget a stream").await?;
        let forget = sqlx::query("DELETE FROM karat_state.streams WHERE project = $1 AND stream = $2").bind(&self.project).bind(stream.as_str());
        forget.execute(&mut *transaction).await.map_err(|error| self.failed("forget a stream", error))?;
        transaction.commit().await.map_err(|error| self.failed("forget a stream", error))
    }

    async fn start_run(&self, lease: &Lease, run: &RunRecord) -> Result<(), StateError> {
        let mut session = self.session(lease).await?;
        let mut transaction = self.begin_as(&mut session, lease, "start a run").await?;
        self.put_run(&mut transaction, run).await?;
        transaction.commit().await.map_err(|error| self.failed("start a run", error))
    }

    async fn finish_run(&self, lease: &Lease, run: &RunRecord, tables: &[(String, TableRun)]) -> Result<(), StateError> {
        let mut session = self.session(lease).await?;
        let mut transaction = self.begin_as(&mut session, lease, "finish a run").await?;
        self.put_run(&mut transaction, run).await?;
        for (table, run) in tables {
            let sealed = seal(table, run);
            let put = sqlx::query("INSERT INTO karat_state.table_runs (project, table_name, body, crc) VALUES ($1, $2, $3, $4)").bind(&self.project).bind(table);
            put.bind(sealed.body).bind(sealed.crc).execute(&mut *transaction).await.map_err(|error| self.failed("finish a run", error))?;
        }
        transaction.commit().await.map_err(|error| self.failed("finish a run", error))
    }
}
