//! The source: what a connection offers to the engine.

mod calendar;
mod cell;
mod copy;
mod describe;
mod full;
mod keyset;
mod numeric;
pub(crate) mod object;
mod order;
pub(crate) mod position;
mod reader;
mod selection;
mod settle;
mod snapshot;
mod transactions;
mod windows;

use crate::client::Client;
use async_trait::async_trait;
use karat_plugin_api::{ConnectorError, ReadRequest, Source, SourceObject, SourceRead, SourceSchema};
use std::sync::Arc;

/// One database.
pub(crate) struct PostgresSource {
    client: Arc<Client>,
}

impl PostgresSource {
    /// A source that has not connected yet.
    pub(crate) fn new(client: Arc<Client>) -> Self {
        Self { client }
    }
}

#[async_trait]
impl Source for PostgresSource {
    async fn describe(&self, object: &SourceObject) -> Result<SourceSchema, ConnectorError> {
        let mut session = self.client.session().await?;
        let described = describe::describe(&mut session, self.client.label(), object).await?;
        self.client.put_back(session);
        Ok(described.schema)
    }

    async fn read(&self, request: ReadRequest) -> Result<Box<dyn SourceRead>, ConnectorError> {
        Ok(Box::new(reader::PostgresRead::new(Arc::clone(&self.client), request)?))
    }
}
