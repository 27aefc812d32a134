//! Writing tables: a database as the target of loads.
//!
//! Rows wait in a table that no reader sees and become visible together with their position in one step: a short transaction that moves them
//! (`load.rs`, `merge.rs`), or the rename of a table that was filled on the side (`swap.rs`). Positions are in `karat_commits` (`ledger.rs`).

mod bulk;
mod column;
mod commit;
mod compare;
mod define;
mod encode;
mod indexes;
mod ledger;
mod live;
mod load;
mod merge;
mod pace;
mod retry;
mod route;
mod session;
mod swap;
mod window;

use crate::config::Server;
use async_trait::async_trait;
use karat_plugin_api::{ConnectorError, Load, LoadRequest, Sink, StreamId, TargetObject, TargetState};
use ledger::Ledger;
use live::{LiveTable, TableName};
use load::MysqlLoad;
use session::Session;
use std::sync::{Arc, Mutex, PoisonError};

/// A server as a target.
pub(crate) struct MysqlSink {
    server: Arc<Server>,
    abandoned: Abandoned,
}

/// Tables that loads of this process filled and did not put in place: dropped by the next load.
#[derive(Clone, Default)]
pub(crate) struct Abandoned(Arc<Mutex<Vec<TableName>>>);

impl Abandoned {
    pub(crate) fn add(&self, table: TableName) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(table);
    }

    pub(crate) fn take(&self) -> Vec<TableName> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl MysqlSink {
    /// The server; nothing is sent yet.
    pub(crate) fn new(server: Server) -> Self {
        Self { server: Arc::new(server), abandoned: Abandoned::default() }
    }
}

/// The row of a stream for a table.
fn ledger_of(name: &TableName, stream: &StreamId) -> Ledger {
    Ledger { schema: name.prefix(), target: name.table.clone(), stream: stream.clone() }
}

#[async_trait]
impl Sink for MysqlSink {
    fn default_target(&self, table: &karat_spec::model::TableName) -> TargetObject {
        TargetObject { table: format!("{}_{}", table.layer().as_str(), table.name()) }
    }

    fn describe_target(&self, target: &TargetObject) -> String {
        format!("{}/{}/{}", self.server, self.server.database, target.table)
    }

    async fn target_state(&self, stream: &StreamId, target: &TargetObject) -> Result<TargetState, ConnectorError> {
        let name = TableName::parse(target)?;
        let mut session = Session::open(&self.server).await?;
        let state = state_of(&mut session, stream, &name).await?;
        session.close().await;
        Ok(state)
    }

    async fn begin(&self, request: LoadRequest) -> Result<Box<dyn Load>, ConnectorError> {
        Ok(Box::new(MysqlLoad::begin(Arc::clone(&self.server), self.abandoned.clone(), request).await?))
    }
}

async fn state_of(session: &mut Session, stream: &StreamId, name: &TableName) -> Result<TargetState, ConnectorError> {
    let ledger = ledger_of(name, stream);
    // The row first: it waits for a commit under way, and the table is then as that commit left it.
    let row = ledger.read(session).await?;
    let Some(live) = LiveTable::read(session, name).await? else { return Ok(TargetState::Absent) };
    if let Some(entry) = row.of_table(live.marker()) {
        let record = entry.record.clone();
        let version = format!("{}.{}", record.generation.0, record.seq);
        return Ok(TargetState::Present { schema: live.schema(&entry.types), record: Some(record), version, rows: Some(entry.table_rows) });
    }
    // Written by another pipeline, or by nobody that we know.
    let foreign = match live.marker() {
        Some(marker) => ledger.foreign(session, marker).await?,
        None => None,
    };
    let types = foreign.as_ref().map(|entry| entry.types.clone()).unwrap_or_default();
    let rows = if live.table_type == "BASE TABLE" && live.is_empty(session).await? { Some(0) } else { None };
    Ok(TargetState::Present { schema: live.schema(&types), record: foreign.map(|entry| entry.record), version: "0".to_owned(), rows })
}
