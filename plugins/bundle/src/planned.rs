//! Plugins that are part of the language, but not of this build: their keys are checked, and a finding says that they do not run here.

use karat_spec::{Capabilities, PluginManifest};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Deserialize;

/// A database server: either `url`, or its parts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct ServerConfig {
    /// `scheme://user:password@host:port/database`. Take it from the environment: `${NAME}`.
    url: Option<String>,
    /// Name or address of the server.
    host: Option<String>,
    /// Port; default: the system's own.
    port: Option<u16>,
    /// The database.
    database: Option<String>,
    /// The user.
    user: Option<String>,
    /// The password. Take it from the environment: `${NAME}`.
    password: Option<String>,
    /// How the connection is encrypted. Default: `verify_full`.
    sslmode: Option<SslMode>,
}

/// How a connection is encrypted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum SslMode {
    /// Not at all.
    Disable,
    /// Encrypted; the server is not verified.
    Require,
    /// Encrypted; the server's certificate is verified.
    VerifyCa,
    /// Encrypted; the server's certificate and name are verified.
    VerifyFull,
}

/// Iceberg tables.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct IcebergConfig {
    /// The warehouse: a folder or a URL.
    path: String,
    /// The catalog that names the tables.
    catalog: IcebergCatalog,
}

/// The catalog of Iceberg tables.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct IcebergCatalog {
    /// What kind of catalog it is.
    r#type: IcebergCatalogType,
    /// Address of a REST catalog.
    url: Option<String>,
    /// File of an SQLite catalog.
    path: Option<String>,
    /// Region of a Glue catalog.
    region: Option<String>,
    /// Token of a REST catalog. Take it from the environment: `${NAME}`.
    token: Option<String>,
}

/// The kind of a catalog of Iceberg tables.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum IcebergCatalogType {
    /// A SQLite database.
    Sqlite,
    /// A service that speaks the Iceberg REST protocol.
    Rest,
    /// AWS Glue.
    Glue,
}

/// Tables of the AWS Glue catalog.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct GlueConfig {
    /// The Glue database.
    database: String,
    /// The AWS region.
    region: Option<String>,
    /// Where new tables are stored: an `s3://` URL.
    path: Option<String>,
}

const CURSORS: [&str; 4] = ["full", "id", "timestamp", "hybrid"];
const TABLES: [&str; 2] = ["table", "query"];
const LOADS: [&str; 4] = ["append", "upsert", "replace", "window"];

/// The manifests of all planned plugins.
pub(crate) fn manifests() -> Vec<PluginManifest> {
    let server = schema::<ServerConfig>();
    vec![
        manifest("clickhouse", "ClickHouse, as source and target.", &server, database(&["window"], &["append", "replace", "replace_partitions"])),
        manifest("glue", "Tables of the AWS Glue catalog.", &schema::<GlueConfig>(), lake(&[])),
        manifest("iceberg", "Iceberg tables in a SQLite, REST or Glue catalog.", &schema::<IcebergConfig>(), lake(&["scd2"])),
        manifest("redshift", "Amazon Redshift, as a target.", &server, Capabilities { load_modes: owned(&LOADS), atomic_position: true, ..Capabilities::default() }),
        manifest("sqlserver", "Microsoft SQL Server, as source and target.", &server, database(&["window", "diff"], &LOADS)),
    ]
}

fn manifest(name: &str, description: &str, config: &serde_json::Value, capabilities: Capabilities) -> PluginManifest {
    PluginManifest { name: name.to_owned(), description: description.to_owned(), available: false, capabilities, config: config.clone() }
}

fn database(more_strategies: &[&str], load_modes: &[&str]) -> Capabilities {
    Capabilities {
        source_strategies: owned(&[&CURSORS, more_strategies].concat()),
        source_objects: owned(&TABLES),
        load_modes: owned(load_modes),
        atomic_position: true,
        ..Capabilities::default()
    }
}

fn lake(more_modes: &[&str]) -> Capabilities {
    Capabilities {
        load_modes: owned(&[&["append", "upsert", "replace", "replace_partitions"], more_modes].concat()),
        layout: true,
        atomic_position: true,
        ..Capabilities::default()
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn schema<C: JsonSchema>() -> serde_json::Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<C>().to_value()
}
