//! The source: what a connection offers to the engine.

use crate::client;
use crate::describe::{describe, estimate};
use crate::keyset;
use crate::reader::SqliteRead;
use async_trait::async_trait;
use karat_plugin_api::cells::Batcher;
use karat_plugin_api::{ConnectorError, ErrorKind, ReadRequest, ReadStrategy, Source, SourceObject, SourceRead, SourceSchema};
use std::path::PathBuf;
use std::sync::Arc;

/// One database file.
pub(crate) struct SqliteSource {
    path: PathBuf,
}

impl SqliteSource {
    /// The database at `path`, not opened yet.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }
}

#[async_trait]
impl Source for SqliteSource {
    async fn describe(&self, object: &SourceObject) -> Result<SourceSchema, ConnectorError> {
        let (path, object) = (self.path.clone(), object.clone());
        let described = tokio::task::spawn_blocking(move || {
            let connection = client::open(&path)?;
            let mut described = describe(&connection, &path, &object)?;
            estimate(&connection, &path, &mut described)?;
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
                return Err(ConnectorError::new(ErrorKind::Unsupported, "a `sqlite` connection has tables, not files")
                    .with_help("choose the strategy `full`, `id`, `timestamp`, `hybrid`, `window` or `diff`"));
            }
        }
        // Types that cannot be read are refused before anything is opened.
        let label = match &request.object {
            SourceObject::Table(name) => format!("table `{name}`"),
            SourceObject::Query(_) | SourceObject::Files(_) => "the query".to_owned(),
        };
        let schema = Arc::clone(Batcher::new(&label, &request.columns, 1, 1)?.schema());
        Ok(Box::new(SqliteRead { path: self.path.clone(), request, schema }))
    }
}
