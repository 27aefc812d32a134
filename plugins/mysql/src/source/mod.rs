//! The source: what a connection offers to the engine.

mod catalogue;
mod collect;
mod comparison;
mod course;
mod decode;
mod full;
mod guards;
mod instant;
mod keyset;
mod lookback;
mod ranges;
mod reader;
mod settle;
mod standing;
mod value;
mod windows;

use crate::config::Server;
use crate::error::wrap;
use crate::wire::{Brake, Session};
use async_trait::async_trait;
use karat_plugin_api::cells::Batcher;
use karat_plugin_api::{ConnectorError, ErrorKind, ReadRequest, ReadStrategy, Source, SourceObject, SourceRead, SourceSchema};
use reader::MysqlRead;
use settle::Readers;
use std::sync::Arc;

/// One server and database.
pub(crate) struct MysqlSource {
    server: Server,
    readers: Arc<Readers>,
}

impl MysqlSource {
    /// The database, not connected yet.
    pub(crate) fn new(server: Server) -> Self {
        Self { server, readers: Arc::default() }
    }
}

#[async_trait]
impl Source for MysqlSource {
    async fn describe(&self, object: &SourceObject) -> Result<SourceSchema, ConnectorError> {
        let (server, object) = (self.server.clone(), object.clone());
        let described = tokio::task::spawn_blocking(move || {
            let mut session = Session::open(&server, &Brake::default()).map_err(|fault| wrap("connect", &server, fault))?;
            let described = catalogue::describe(&mut session, &server, &object)?;
            session.quit();
            Ok(described.schema)
        });
        described.await.map_err(|error| ConnectorError::new(ErrorKind::Bug, "the catalogue could not be read to its end").with_source(error))?
    }

    async fn read(&self, request: ReadRequest) -> Result<Box<dyn SourceRead>, ConnectorError> {
        match &request.strategy {
            ReadStrategy::Full => {}
            ReadStrategy::Keyset { after, .. } => keyset::check_position(after)?,
            ReadStrategy::Windows { after, .. } => after.expect_windows()?,
            ReadStrategy::NewFiles { .. } => {
                return Err(ConnectorError::new(ErrorKind::Unsupported, "a `mysql` connection has tables, not files")
                    .with_help("choose the strategy `full`, `id`, `timestamp`, `hybrid`, `window` or `diff`"));
            }
        }
        // Types that cannot be read are refused before anything is opened.
        let label = match &request.object {
            SourceObject::Table(name) => format!("table `{name}`"),
            SourceObject::Query(_) | SourceObject::Files(_) => "the query".to_owned(),
        };
        let schema = Arc::clone(Batcher::new(&label, &request.columns, 1, 1)?.schema());
        Ok(Box::new(MysqlRead { server: self.server.clone(), readers: Arc::clone(&self.readers), request, schema }))
    }
}
