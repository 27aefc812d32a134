//! Private database servers for tests: PostgreSQL, and MariaDB or MySQL, from Debian's packages, each in a temporary folder on a free port, and a proxy that
//! breaks connections on purpose.
//!
//! Servers are driven by their own client programs, so tests need no driver, and what they see is not what a plugin under test made of it.
//! Nothing outlives the test process, however it ends: a watching process stops the server and removes its folder (`home.rs`).
//! As root, PostgreSQL and MariaDB run as the users `postgres` and `mysql`, and MySQL as root, below whose home it lies. Read next: `postgres.rs`, `mysql.rs`, `flavour.rs`, `database.rs`, `chaos_proxy.rs`.
//!
//! ```no_run
//! # use karat_testkit::servers::PostgresServer;
//! let server = match PostgresServer::shared() {
//!     Ok(server) => server,
//!     Err(skip) => return skip.report("name_of_the_test"),
//! };
//! let database = server.database();
//! database.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)");
//! assert_eq!(database.query("SELECT id FROM t"), "1\n");
//! let _for_a_connection = database.url();
//! ```

mod certificates;
mod chaos_proxy;
mod chaos_rules;
mod client;
mod daemon;
mod database;
mod flavour;
mod home;
mod mysql;
mod options;
mod postgres;
mod programs;
mod session;

pub use chaos_proxy::ChaosProxy;
pub use chaos_rules::{Cut, Direction};
pub use database::Database;
pub use flavour::Flavour;
pub use mysql::{MysqlServer, numbers};
pub use options::ServerOptions;
pub use postgres::PostgresServer;
pub use session::Session;
