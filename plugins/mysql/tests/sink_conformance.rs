//! What every database sink promises, on a MariaDB.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use karat_plugin_api::ConnectContext;
use karat_testkit::Skip;
use karat_testkit::conformance::database_reader::MariaDbReader;
use karat_testkit::conformance::database_sink::DatabaseSinkUnderTest;
use karat_testkit::servers::MariaDbServer;

fn under_test() -> Result<DatabaseSinkUnderTest, Skip> {
    let database = MariaDbServer::shared()?.database();
    let settings = serde_json::json!({ "url": database.url() }).as_object().cloned().unwrap();
    let context = ConnectContext { root: std::env::temp_dir(), scratch: std::env::temp_dir() };
    let sink = karat_mysql::MYSQL.open_sink(&settings, &context).unwrap();
    Ok(DatabaseSinkUnderTest { sink, reader: Box::new(MariaDbReader(database)) })
}

karat_testkit::database_sink_conformance!(under_test());
