//! The sink: tables of one database, filled by binary COPY, committed with their position in one transaction (COMMIT P1, P8).
//!
//! Knows how rows become visible; must not know where they come from. Read next: `load.rs`, then `finish.rs`.

mod commits;
mod copy;
mod design;
mod diff;
mod encode;
mod finish;
mod form;
mod json_text;
mod load;
mod merge;
mod name;
mod numeric;
mod pace;
mod plan;
mod relation;
mod replace;
mod transaction;
mod window;

use crate::client::{Client, Session};
use crate::spelling::quote;
use async_trait::async_trait;
use karat_plugin_api::{ConnectorError, Load, LoadRequest, Sink, StreamId, TargetObject, TargetState};
use load::PostgresLoad;
use name::TableName;
use relation::Trouble;
use std::sync::Arc;
use transaction::{Frame, enter};

/// One database.
pub(crate) struct PostgresSink {
    client: Arc<Client>,
}

impl PostgresSink {
    /// A sink that has not connected yet.
    pub(crate) fn new(client: Arc<Client>) -> Self {
        Self { client }
    }
}

/// Reads under the target's lock, so that a commit that is still on its way has arrived or failed before.
async fn state(session: &mut Session, name: &TableName, stream: &StreamId) -> Result<TargetState, Trouble> {
    enter(session, name, Frame::Own).await?;
    let (place, known) = plan::look(session, name, stream).await?;
    let Some(relation) = place.relation else {
        session.execute("ROLLBACK").await?;
        return Ok(TargetState::Absent);
    };
    let schema = relation::arrow_schema(&relation::columns(session, relation.oid).await?);
    let rows = match known.table_rows {
        Some(rows) => Some(rows),
        // A view or the like: whoever loads it is told.
        None if !matches!(relation.kind.as_str(), "r" | "p") => None,
        None if relation::has_rows(session, name).await? => Some(relation.estimated_rows.max(1)),
        None => Some(0),
    };
    session.execute("ROLLBACK").await?;
    let version = known.record.as_ref().map_or_else(|| "0".to_owned(), |record| format!("{}.{}", record.generation.0, record.seq));
    Ok(TargetState::Present { record: known.record, version, rows, schema })
}

#[async_trait]
impl Sink for PostgresSink {
    fn default_target(&self, table: &karat_spec::model::TableName) -> TargetObject {
        TargetObject { table: format!("{}.{}", quoted(table.layer().as_str()), quoted(table.name())) }
    }

    fn describe_target(&self, target: &TargetObject) -> String {
        format!("{} in {}", target.table, self.client.label())
    }

    async fn target_state(&self, stream: &StreamId, target: &TargetObject) -> Result<TargetState, ConnectorError> {
        let name = TableName::of(target)?;
        let mut session = self.client.session().await?;
        let found = state(&mut session, &name, stream).await.map_err(|trouble| trouble.named(&format!("read the state of {}", name.label())))?;
        self.client.put_back(session);
        Ok(found)
    }

    async fn begin(&self, request: LoadRequest) -> Result<Box<dyn Load>, ConnectorError> {
        Ok(Box::new(PostgresLoad::begin(Arc::clone(&self.client), request).await?))
    }
}

/// A part of a name as people write it: in quotes only where it needs them.
fn quoted(part: &str) -> String {
    if part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !part.is_empty() { part.to_owned() } else { quote(part) }
}
