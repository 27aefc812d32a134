//! Opens connections by the plugins of the bundle, once each.

use crate::error::CliError;
use karat_exec::{Connections, Home};
use karat_lake::{LakePlugin, LakeTables};
use karat_plugin_api::{ConnectContext, ConnectorError, ErrorKind, Plugin, Sink, Source};
use karat_spec::model::{ConnectionSpec, TableName};
use karat_spec::{ProjectSpec, TableSpec};
use std::collections::HashMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Folder of local state, the default warehouse and scratch files, below the project root.
pub(crate) const LOCAL_FOLDER: &str = ".karat";
/// The connection of tables that name none.
const WAREHOUSE: &str = "warehouse";

/// The connections of one project, opened lazily.
pub(crate) struct ProjectConnections {
    context: ConnectContext,
    definitions: HashMap<Place, ConnectionSpec>,
    homes: HashMap<TableName, Home>,
    sources: Cache<dyn Source>,
    sinks: Cache<dyn Sink>,
    lakes: Cache<dyn LakeTables>,
}

/// A connection as its definition: of a pipeline, or of the whole project.
type Place = (Option<usize>, String);
type Cache<T> = Mutex<HashMap<Place, Arc<T>>>;

impl ProjectConnections {
    /// The connections that `spec` defines; nothing is opened.
    pub(crate) fn new(spec: &ProjectSpec) -> Self {
        let shared = spec.connections.values().map(|connection| ((None, connection.name.clone()), connection.clone()));
        let own = spec
            .pipelines
            .iter()
            .enumerate()
            .flat_map(|(index, pipeline)| pipeline.connections.values().map(move |connection| ((Some(index), connection.name.clone()), connection.clone())));
        Self {
            context: ConnectContext { root: spec.root.clone(), scratch: spec.root.join(LOCAL_FOLDER).join("tmp") },
            definitions: shared.chain(own).collect(),
            homes: spec.tables.iter().map(|table| (table.name.clone(), home(table))).collect(),
            sources: Cache::default(),
            sinks: Cache::default(),
            lakes: Cache::default(),
        }
    }

    /// Private scratch space.
    pub(crate) fn scratch(&self) -> &Path {
        &self.context.scratch
    }

    fn open<T: ?Sized>(
        &self,
        cache: &Cache<T>,
        pipeline: usize,
        name: &str,
        open: impl FnOnce(&ConnectionSpec) -> Result<Arc<T>, ConnectorError>,
    ) -> Result<Arc<T>, ConnectorError> {
        let (place, definition) = self.find(pipeline, name)?;
        let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = cache.get(&place) {
            return Ok(Arc::clone(known));
        }
        let opened = open(definition)?;
        cache.insert(place, Arc::clone(&opened));
        Ok(opened)
    }

    fn find(&self, pipeline: usize, name: &str) -> Result<(Place, &ConnectionSpec), ConnectorError> {
        let places = [(Some(pipeline), name.to_owned()), (None, name.to_owned())];
        let found = places.into_iter().find_map(|place| Some((place.clone(), self.definitions.get(&place)?)));
        let (place, definition) = found.ok_or_else(|| ConnectorError::new(ErrorKind::NotFound, format!("connection `{name}` is not defined")).with_help("run `karat lint`"))?;
        if definition.settings.is_unresolved() {
            return Err(ConnectorError::new(ErrorKind::BadConfiguration, format!("connection `{name}` needs a variable of the environment that is not set")));
        }
        Ok((place, definition))
    }
}

impl Connections for ProjectConnections {
    fn source(&self, pipeline: usize, name: &str) -> Result<Arc<dyn Source>, ConnectorError> {
        self.open(&self.sources, pipeline, name, |definition| plugin(definition)?.open_source(definition.settings.expose(), &self.context))
    }

    fn sink(&self, pipeline: usize, name: &str) -> Result<Arc<dyn Sink>, ConnectorError> {
        self.open(&self.sinks, pipeline, name, |definition| plugin(definition)?.open_sink(definition.settings.expose(), &self.context))
    }

    fn lake(&self, pipeline: usize, name: &str) -> Result<Option<Arc<dyn LakeTables>>, ConnectorError> {
        let (_, definition) = self.find(pipeline, name)?;
        let Some(lake) = lake_plugin(&definition.plugin) else { return Ok(None) };
        self.open(&self.lakes, pipeline, name, |definition| lake.open_lake(definition.settings.expose(), &self.context)).map(Some)
    }

    fn home(&self, table: &TableName) -> Option<Home> {
        self.homes.get(table).cloned()
    }
}

fn home(table: &TableSpec) -> Home {
    let to = table.to().cloned().unwrap_or_default();
    Home { pipeline: table.pipeline, connection: to.connection.unwrap_or_else(|| WAREHOUSE.to_owned()), table: to.table }
}

fn plugin(definition: &ConnectionSpec) -> Result<&'static dyn Plugin, ConnectorError> {
    let absent = || ConnectorError::new(ErrorKind::Unsupported, format!("this build has no plugin `{}`", definition.plugin)).with_help("`karat schema` lists the plugins");
    karat_bundle::PLUGINS.iter().copied().find(|plugin| plugin.name() == definition.plugin).ok_or_else(absent)
}

fn lake_plugin(name: &str) -> Option<&'static dyn LakePlugin> {
    karat_bundle::LAKES.iter().copied().find(|lake| lake.name() == name)
}

/// Makes the folder of local files, readable by its owner only.
pub(crate) fn make_private(folder: &Path) -> Result<(), CliError> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| CliError::io("make folder", folder, &error))
}
