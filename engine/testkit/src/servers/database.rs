//! One database of a server, for one test.

use super::chaos_proxy::ChaosProxy;
use super::client::Client;
use super::session::Session;
use std::sync::atomic::{AtomicU64, Ordering};

/// One database of a server, for one test; dropped with it.
pub struct Database {
    name: String,
    client: Client,
    administrator: Client,
    drop_statement: String,
    address: Address,
}

/// What a URL is made of.
#[derive(Clone, Copy)]
pub(super) struct Address {
    pub(super) scheme: &'static str,
    pub(super) user: &'static str,
    pub(super) port: u16,
}

impl Address {
    pub(super) fn url(self, port: u16, database: &str) -> String {
        format!("{}://{}@127.0.0.1:{port}/{database}", self.scheme, self.user)
    }
}

impl Database {
    /// Makes a database with `create`, to which the name is added; and `drop_statement` likewise.
    pub(super) fn create(administrator: &Client, address: Address, [create, created_with]: [&str; 2], [drop, dropped_with]: [&str; 2]) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        administrator.execute(&format!("{create} {name} {created_with};"));
        Self { client: administrator.within(&name), administrator: administrator.clone(), drop_statement: format!("{drop} {name} {dropped_with};"), name, address }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The URL of it, for a user who may do everything and has no password.
    #[must_use]
    pub fn url(&self) -> String {
        self.address.url(self.address.port, &self.name)
    }

    /// The URL of it through a proxy.
    #[must_use]
    pub fn url_through(&self, proxy: &ChaosProxy) -> String {
        self.address.url(proxy.port(), &self.name)
    }

    /// The port of the server.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port
    }

    /// Runs statements, separated by semicolons, with the server's own client.
    ///
    /// # Panics
    /// When one fails, with what the client said.
    #[track_caller]
    pub fn execute(&self, statements: &str) {
        self.client.execute(statements);
    }

    /// Runs statements that may fail; gives the client's answer.
    ///
    /// # Errors
    /// What the client said.
    pub fn try_execute(&self, statements: &str) -> Result<String, String> {
        self.client.run(statements)
    }

    /// The rows of one query, one a line, values separated by tabs; tab, newline and backslash are written `\t`, `\n`, `\\`.
    /// NULL is `\N` on PostgreSQL and `NULL` on MariaDB and MySQL, whose clients cannot tell it from the text.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    #[must_use]
    pub fn query(&self, query: &str) -> String {
        self.client.query(query)
    }

    /// A connection that stays open.
    #[must_use]
    pub fn session(&self) -> Session {
        self.client.session()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // The server may be gone already, and the test that failed is the better message.
        let _ = self.administrator.run(&self.drop_statement);
    }
}
