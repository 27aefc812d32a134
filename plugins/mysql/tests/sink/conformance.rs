//! What every database sink promises, with and without `LOAD DATA LOCAL`.

use crate::world::open_sink;
use karat_testkit::Skip;
use karat_testkit::conformance::database_reader::MysqlReader;
use karat_testkit::conformance::database_sink::DatabaseSinkUnderTest;
use karat_testkit::servers::{Database, Flavour, MysqlServer, ServerOptions};
use std::sync::OnceLock;

fn over(database: Database) -> DatabaseSinkUnderTest {
    DatabaseSinkUnderTest { sink: open_sink(&database.url()), reader: Box::new(MysqlReader(database)) }
}

fn with_load_data() -> Result<DatabaseSinkUnderTest, Skip> {
    Ok(over(MysqlServer::shared()?.database()))
}

/// A server as a cautious administrator sets it up: no local files, and settings of its own for whatever a session can set.
fn without_load_data() -> Result<DatabaseSinkUnderTest, Skip> {
    static SERVER: OnceLock<Result<MysqlServer, Skip>> = OnceLock::new();
    let hostile = ServerOptions::default()
        .set("local-infile", "0")
        .set("sql-mode", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES")
        .set("default-time-zone", "+09:30")
        .set("character-set-server", "latin1")
        .set("transaction-isolation", "SERIALIZABLE");
    let hostile = match Flavour::of_this_run() {
        Flavour::MariaDb => hostile,
        // As clusters and managed servers have it.
        Flavour::MySql => hostile.set("sql-generate-invisible-primary-key", "ON").set("sql-require-primary-key", "ON"),
    };
    let server = SERVER.get_or_init(|| MysqlServer::start_with(&hostile)).as_ref().map_err(Clone::clone)?;
    Ok(over(server.database()))
}

mod load_data {
    karat_testkit::database_sink_conformance!(super::with_load_data());
}

mod inserts {
    karat_testkit::database_sink_conformance!(super::without_load_data());
}
