//! The sink of every folder of tables: finds the table's folder, and opens loads.

use crate::load::LakeLoad;
use crate::provider::SnapshotProvider;
use crate::{CommitLog, LakeTable, LakeTables};
use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use karat_plugin_api::{ConnectorError, ErrorKind, Load, LoadRequest, Sink, Staged, StreamId, TargetObject, TargetState};
use karat_spec::model::TableName;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Tables in the folders below one root, committed through a log of type `L`.
pub struct LakeSink<L> {
    log: Arc<L>,
    root: PathBuf,
}

impl<L: CommitLog> LakeSink<L> {
    /// The tables below `root`, an absolute path that need not exist yet.
    #[must_use]
    pub fn new(log: L, root: PathBuf) -> Self {
        Self { log: Arc::new(log), root }
    }

    /// The folder of a table, which never lies outside the root.
    fn folder(&self, target: &TargetObject) -> Result<PathBuf, ConnectorError> {
        let escapes = || {
            ConnectorError::new(ErrorKind::Refused, format!("table `{}` would lie outside the connection's folder `{}`", target.table, self.root.display()))
                .with_help("name it like `silver/trades`: without `..`, without a leading `/`, and without symbolic links that lead out")
        };
        let relative = Path::new(&target.table);
        let is_plain = relative.components().all(|part| matches!(part, Component::Normal(_))) && relative.components().next().is_some();
        if !is_plain || target.table.contains(['\0', '\\']) {
            return Err(escapes());
        }
        let folder = self.root.join(relative);
        let (Ok(real_root), Some(real_folder)) = (self.root.canonicalize(), nearest_real(&folder)) else { return Ok(folder) };
        // While the root itself does not exist, nothing below it can be a link.
        if real_folder.starts_with(&real_root) { Ok(folder) } else { Err(escapes()) }
    }
}

/// The nearest folder above that exists, with all links resolved.
fn nearest_real(path: &Path) -> Option<PathBuf> {
    path.ancestors().find_map(|ancestor| ancestor.canonicalize().ok())
}

#[async_trait]
impl<L: CommitLog> Sink for LakeSink<L> {
    fn default_target(&self, table: &TableName) -> TargetObject {
        TargetObject { table: format!("{}/{}", table.layer().as_str(), table.name()) }
    }

    fn describe_target(&self, target: &TargetObject) -> String {
        self.root.join(&target.table).display().to_string()
    }

    async fn target_state(&self, stream: &StreamId, target: &TargetObject) -> Result<TargetState, ConnectorError> {
        let folder = self.folder(target)?;
        Ok(match self.log.load(&folder, None).await? {
            None => TargetState::Absent,
            Some(snapshot) => TargetState::Present {
                record: snapshot.records.get(stream).cloned(),
                rows: Some(snapshot.files.iter().map(|file| file.rows).sum()),
                version: snapshot.version,
                schema: snapshot.schema,
            },
        })
    }

    async fn begin(&self, request: LoadRequest) -> Result<Box<dyn Load>, ConnectorError> {
        let folder = self.folder(&request.target)?;
        let described = format!("table `{}`", self.describe_target(&request.target));
        Ok(Box::new(LakeLoad::begin(Arc::clone(&self.log), folder, described, request).await?))
    }
}

#[async_trait]
impl<L: CommitLog> LakeTables for LakeSink<L> {
    async fn table(&self, target: &TargetObject, version: Option<&str>) -> Result<Option<LakeTable>, ConnectorError> {
        let folder = self.folder(target)?;
        let Some(snapshot) = self.log.load(&folder, version).await? else { return Ok(None) };
        Ok(Some(LakeTable {
            version: snapshot.version.clone(),
            schema: Arc::clone(&snapshot.schema),
            rows: snapshot.files.iter().map(|file| file.rows).sum(),
            bytes: snapshot.files.iter().map(|file| file.size).sum(),
            files: snapshot.files.len() as u64,
            provider: Arc::new(SnapshotProvider::of_snapshot(&folder, &snapshot)?),
        }))
    }

    async fn staged(&self, schema: SchemaRef, staged: &Staged) -> Result<Arc<dyn TableProvider>, ConnectorError> {
        Ok(Arc::new(SnapshotProvider::of_staged(schema, staged)?))
    }
}
