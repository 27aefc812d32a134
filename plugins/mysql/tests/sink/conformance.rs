//! What every database sink promises, with and without `LOAD DATA LOCAL`.

use crate::world::open_sink;
use karat_testkit::Skip;
use karat_testkit::conformance::database_reader::MariaDbReader;
use karat_testkit::conformance::database_sink::DatabaseSinkUnderTest;
use karat_testkit::servers::{Database, MariaDbServer, ServerOptions};
use std::sync::OnceLock;

fn over(database: Database) -> DatabaseSinkUnderTest {
    DatabaseSinkUnderTest { sink: open_sink(&database.url()), reader: Box::new(MariaDbReader(database)) }
}

fn with_load_data() -> Result<DatabaseSinkUnderTest, Skip> {
    Ok(over(MariaDbServer::shared()?.database()))
}

/// A server as a cautious administrator sets it up: no local files, and settings of its own for whatever a session can set.
fn without_load_data() -> Result<DatabaseSinkUnderTest, Skip> {
    static SERVER: OnceLock<Result<MariaDbServer, Skip>> = OnceLock::new();
    let hostile = ServerOptions::default()
        .set("local-infile", "0")
        .set("sql-mode", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES")
        .set("default-time-zone", "+09:30")
        .set("character-set-server", "latin1")
        .set("transaction-isolation", "SERIALIZABLE");
    let server = SERVER.get_or_init(|| MariaDbServer::start_with(&hostile)).as_ref().map_err(Clone::clone)?;
    Ok(over(server.database()))
}

mod load_data {
    karat_testkit::database_sink_conformance!(super::with_load_data());
}

mod inserts {
    karat_testkit::database_sink_conformance!(super::without_load_data());
}
