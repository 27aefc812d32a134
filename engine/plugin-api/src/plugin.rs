//! What a plugin is: a typed trait to write, an object-safe one to call.

use crate::{ConnectorError, ErrorKind, Sink, Source};
use karat_spec::{Capabilities, PluginManifest};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::sync::Arc;

/// What a plugin may know of the project it is used in.
#[derive(Debug, Clone)]
pub struct ConnectContext {
    /// Relative paths start here.
    pub root: PathBuf,
    /// Private scratch space of this project.
    pub scratch: PathBuf,
}

/// What a plugin author writes. The static value of it is all that a plugin crate exports.
pub trait Connector: Send + Sync + 'static {
    /// The connection's keys besides `type`; its doc comments are the user reference.
    type Config: DeserializeOwned + JsonSchema;

    /// What `type` says.
    const NAME: &'static str;

    /// One sentence for people.
    const DESCRIPTION: &'static str;

    /// What it can do; pure.
    fn capabilities(&self) -> Capabilities;

    /// Opens the source. Cheap: the first request may be what connects.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] when it is no source.
    fn source(&self, config: Self::Config, context: &ConnectContext) -> Result<Arc<dyn Source>, ConnectorError>;

    /// Opens the sink. Cheap: the first request may be what connects.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] when it is no sink.
    fn sink(&self, config: Self::Config, context: &ConnectContext) -> Result<Arc<dyn Sink>, ConnectorError>;
}

/// What the engine calls: any [`Connector`], without its type.
pub trait Plugin: Send + Sync {
    /// What `type` says.
    fn name(&self) -> &'static str;

    /// The manifest that lint and plan read.
    fn manifest(&self) -> PluginManifest;

    /// Opens the source.
    ///
    /// # Errors
    /// As [`Connector::source`], or [`ErrorKind::BadConfiguration`].
    fn open_source(&self, settings: &Map<String, Value>, context: &ConnectContext) -> Result<Arc<dyn Source>, ConnectorError>;

    /// Opens the sink.
    ///
    /// # Errors
    /// As [`Connector::sink`], or [`ErrorKind::BadConfiguration`].
    fn open_sink(&self, settings: &Map<String, Value>, context: &ConnectContext) -> Result<Arc<dyn Sink>, ConnectorError>;
}

impl<C: Connector> Plugin for C {
    fn name(&self) -> &'static str {
        C::NAME
    }

    fn manifest(&self) -> PluginManifest {
        let config = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<C::Config>();
        PluginManifest { name: C::NAME.to_owned(), description: C::DESCRIPTION.to_owned(), available: true, capabilities: self.capabilities(), config: config.to_value() }
    }

    fn open_source(&self, settings: &Map<String, Value>, context: &ConnectContext) -> Result<Arc<dyn Source>, ConnectorError> {
        self.source(read_config::<C>(settings)?, context)
    }

    fn open_sink(&self, settings: &Map<String, Value>, context: &ConnectContext) -> Result<Arc<dyn Sink>, ConnectorError> {
        self.sink(read_config::<C>(settings)?, context)
    }
}

fn read_config<C: Connector>(settings: &Map<String, Value>) -> Result<C::Config, ConnectorError> {
    // The cause is left out on purpose: serde quotes the value, which may be a secret.
    serde_json::from_value(Value::Object(settings.clone())).map_err(|error| {
        let class = format!("{:?}", error.classify());
        ConnectorError::new(ErrorKind::BadConfiguration, format!("settings of a `{}` connection do not fit ({class})", C::NAME)).with_help("run `karat lint`")
    })
}
