//! What every sink made of a database promises, on a private server.

use karat_plugin_api::{ConnectContext, Plugin};
use karat_postgres::POSTGRES;
use karat_testkit::Skip;
use karat_testkit::conformance::database_reader::PostgresReader;
use karat_testkit::conformance::database_sink::DatabaseSinkUnderTest;
use karat_testkit::servers::PostgresServer;
use serde_json::json;

fn under_test() -> Result<DatabaseSinkUnderTest, Skip> {
    let database = PostgresServer::shared()?.database();
    let settings = json!({ "url": database.url() });
    let context = ConnectContext { root: std::env::temp_dir(), scratch: std::env::temp_dir() };
    let sink = POSTGRES.open_sink(settings.as_object().unwrap(), &context).unwrap();
    Ok(DatabaseSinkUnderTest { sink, reader: Box::new(PostgresReader(database)) })
}

karat_testkit::database_sink_conformance!(under_test());
