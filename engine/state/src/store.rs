//! The state of one project, wherever it is kept.

use crate::backend::Backend;
use crate::postgres::PostgresState;
use crate::sqlite::SqliteState;
use crate::{Lease, Owner, RunRecord, StateError, StateSnapshot, StreamState, TableRun};
use karat_plugin_api::StreamId;
use std::path::Path;
use std::sync::Arc;

/// The state of one project.
///
/// Cheap to clone; all methods may be called concurrently. Writing needs a [`Lease`] and fails with [`StateError::Fenced`] once another run took it over.
#[derive(Debug, Clone)]
pub struct StateStore {
    backend: Arc<dyn Backend>,
}

impl StateStore {
    /// Opens a SQLite file (mode 0600, WAL, `synchronous=FULL`), or makes it.
    ///
    /// # Errors
    /// [`StateError::Corrupt`], [`StateError::NewerFormat`] and [`StateError::NetworkFileSystem`] before anything is changed.
    pub async fn open(path: &Path) -> Result<Self, StateError> {
        Ok(Self { backend: Arc::new(SqliteState::open(path).await?) })
    }

    /// Opens a SQLite file if there is one that holds anything.
    ///
    /// # Errors
    /// As [`StateStore::open`].
    pub async fn open_existing(path: &Path) -> Result<Option<Self>, StateError> {
        Ok(SqliteState::open_existing(path).await?.map(|state| Self { backend: Arc::new(state) }))
    }

    /// Opens the state of `project` in a PostgreSQL database, for runners on several machines; makes its schema `karat_state`.
    ///
    /// # Errors
    /// [`StateError::BadAddress`], [`StateError::NewerFormat`], or [`StateError::Database`] when the server refuses.
    pub async fn open_postgres(url: &str, project: &str) -> Result<Self, StateError> {
        let state = PostgresState::connect(url, project).await?;
        state.prepare().await?;
        Ok(Self { backend: Arc::new(state) })
    }

    /// Opens the state of `project` in a PostgreSQL database if any run has made it.
    ///
    /// # Errors
    /// As [`StateStore::open_postgres`].
    pub async fn open_existing_postgres(url: &str, project: &str) -> Result<Option<Self>, StateError> {
        let state = PostgresState::connect(url, project).await?;
        Ok(state.exists().await?.then(|| Self { backend: Arc::new(state) }))
    }

    /// Everything that plan and status read, in one transaction.
    ///
    /// # Errors
    /// [`StateError::Corrupt`] when a row's checksum does not match.
    pub async fn snapshot(&self) -> Result<StateSnapshot, StateError> {
        self.backend.snapshot().await
    }

    /// The newest runs, newest first.
    ///
    /// # Errors
    /// [`StateError::Corrupt`] when a row's checksum does not match.
    pub async fn runs(&self, limit: u32) -> Result<Vec<RunRecord>, StateError> {
        self.backend.runs(limit).await
    }

    /// Takes the lease: at most one run at a time writes this state. Never waits.
    ///
    /// # Errors
    /// [`StateError::Held`] names the run that has it.
    pub async fn acquire(&self, owner: &Owner) -> Result<Lease, StateError> {
        self.backend.acquire(owner).await
    }

    /// Gives the lease back. A lease that is dropped instead is free as well, but its owner stays on record.
    ///
    /// # Errors
    /// When the row cannot be written; the lock is given back all the same.
    pub async fn release(&self, lease: Lease) -> Result<(), StateError> {
        self.backend.release(lease).await
    }

    /// Remembers a commit that the sink has made.
    ///
    /// # Errors
    /// [`StateError::Fenced`] when another run took the lease over; [`StateError::Database`] when a position would go back.
    pub async fn record_commit(&self, lease: &Lease, stream: &StreamState) -> Result<(), StateError> {
        self.backend.record_commit(lease, stream).await
    }

    /// Takes a position from the sink, also one that lies before the remembered one.
    ///
    /// # Errors
    /// As [`StateStore::record_commit`].
    pub async fn rebuild_stream(&self, lease: &Lease, stream: &StreamState) -> Result<(), StateError> {
        self.backend.rebuild_stream(lease, stream).await
    }

    /// Forgets a stream, so that its next run is a first run.
    ///
    /// # Errors
    /// As [`StateStore::record_commit`].
    pub async fn forget_stream(&self, lease: &Lease, stream: &StreamId) -> Result<(), StateError> {
        self.backend.forget_stream(lease, stream).await
    }

    /// Opens a run in the history.
    ///
    /// # Errors
    /// As [`StateStore::record_commit`].
    pub async fn start_run(&self, lease: &Lease, run: &RunRecord) -> Result<(), StateError> {
        self.backend.start_run(lease, run).await
    }

    /// Closes a run in the history, with what it did to each table, by full name.
    ///
    /// # Errors
    /// As [`StateStore::record_commit`].
    pub async fn finish_run(&self, lease: &Lease, run: &RunRecord, tables: &[(String, TableRun)]) -> Result<(), StateError> {
        self.backend.finish_run(lease, run, tables).await
    }
}
