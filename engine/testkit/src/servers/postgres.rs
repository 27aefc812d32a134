//! A private PostgreSQL.

use super::certificates::Certificates;
use super::client::{Client, Dialect};
use super::daemon::{Daemon, DidNotStart, Kind, free_port};
use super::database::{Address, Database};
use super::home::Home;
use super::options::ServerOptions;
use super::programs::{Account, find, run};
use crate::skip::Skip;
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::OnceLock;

/// How often a server is tried on another port, when somebody else took the free one first.
const PORTS: usize = 5;

/// A private PostgreSQL in a temporary folder, on a free port of 127.0.0.1; gone when dropped, or when the test process ends.
///
/// The user `postgres` needs no password; any other that a test makes does (SCRAM). It writes nothing through to the disk, but survives [`Self::kill`].
pub struct PostgresServer {
    daemon: Daemon,
    client: Client,
    port: u16,
    authority: Option<PathBuf>,
}

static KIND: Kind = Kind { is_ready, stop: Signal::INT };

static DIALECT: Dialect = Dialect {
    as_text: |query| {
        let query = query.trim().trim_end_matches(';');
        let first = query.trim_start_matches('(').split(|letter: char| !letter.is_ascii_alphabetic()).next().unwrap_or_default().to_ascii_uppercase();
        // COPY escapes what is in texts; what is no query it cannot take.
        if ["SELECT", "WITH", "VALUES", "TABLE"].contains(&first.as_str()) { format!("COPY ({query}\n) TO STDOUT;") } else { format!("{query};") }
    },
    say: |mark| format!("\\echo {mark}"),
    choose: |database| vec!["--dbname".into(), database.into()],
};

impl PostgresServer {
    /// Starts a server.
    ///
    /// # Errors
    /// Where PostgreSQL is not installed.
    ///
    /// # Panics
    /// When it is, and does not start.
    pub fn start() -> Result<Self, Skip> {
        Self::start_with(&ServerOptions::default())
    }

    /// Starts a server with options.
    ///
    /// # Errors
    /// As [`Self::start`].
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn start_with(options: &ServerOptions) -> Result<Self, Skip> {
        let program = find("postgres", "postgresql")?;
        let initdb = find("initdb", "postgresql")?;
        let psql = find("psql", "postgresql")?;
        let account = Account::for_server("postgres")?;
        let mut last = String::new();
        for _ in 0..PORTS {
            let port = free_port();
            let home = Home::new("postgres", account, "QUIT");
            let version = run(Command::new(&program).arg("--version"));
            home.fill_data(version.trim(), || {
                let mut initialise = home.command(&initdb);
                initialise.arg("--pgdata").arg(home.data()).args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]);
                run(&mut initialise);
            });
            let certificates = if options.tls { Some(Certificates::make(&home)?) } else { None };
            home.write("data/pg_hba.conf", &access(certificates.is_some()));
            let arguments = arguments(&home, port, certificates.as_ref(), options);
            let client = client(psql.clone(), home.path(), port);
            let daemon = Daemon::new(home, &KIND, program.clone(), arguments);
            match daemon.start() {
                Ok(()) => return Ok(Self { daemon, client, port, authority: certificates.map(|made| made.authority) }),
                Err(DidNotStart(log)) => last = log,
            }
        }
        panic!("PostgreSQL does not start:\n{last}")
    }

    /// The server of this test process, started by whoever asks first. Tests that restart or kill one start their own.
    ///
    /// # Errors
    /// As [`Self::start`].
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn shared() -> Result<&'static Self, Skip> {
        static SHARED: OnceLock<Result<PostgresServer, Skip>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref().map_err(Clone::clone)
    }

    /// A new, empty database.
    ///
    /// # Panics
    /// When the server does not answer.
    #[must_use]
    pub fn database(&self) -> Database {
        let address = Address { scheme: "postgres", user: "postgres", port: self.port };
        Database::create(&self.client, address, ["CREATE DATABASE", "TEMPLATE template0"], ["DROP DATABASE IF EXISTS", "WITH (FORCE)"])
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of the database `postgres`, for the user `postgres`.
    #[must_use]
    pub fn url(&self) -> String {
        Address { scheme: "postgres", user: "postgres", port: self.port }.url(self.port, "postgres")
    }

    /// The certificate of the authority, in PEM form, when it was started with TLS.
    #[must_use]
    pub fn authority(&self) -> Option<&Path> {
        self.authority.as_deref()
    }

    /// Folder of the unix socket.
    #[must_use]
    pub fn socket_folder(&self) -> &Path {
        self.daemon.home.path()
    }

    /// Runs statements in the database `postgres`, as [`Database::execute`].
    ///
    /// # Panics
    /// When one fails.
    #[track_caller]
    pub fn execute(&self, statements: &str) {
        self.client.execute(statements);
    }

    /// The rows of one query in the database `postgres`, as [`Database::query`].
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    #[must_use]
    pub fn query(&self, query: &str) -> String {
        self.client.query(query)
    }

    /// Stops it in order, breaking all connections, and starts it again on the same port; after [`Self::kill`] it recovers.
    ///
    /// # Panics
    /// When it does not start again.
    pub fn restart(&self) {
        self.daemon.restart();
    }

    /// Kills all its processes at once (SIGKILL). [`Self::restart`] brings it back.
    ///
    /// # Panics
    /// When the kernel does not do that.
    pub fn kill(&self) {
        self.daemon.kill();
    }

    /// The end of its log.
    #[must_use]
    pub fn log(&self) -> String {
        self.daemon.log()
    }
}

fn client(psql: PathBuf, socket_folder: &Path, port: u16) -> Client {
    let mut arguments: Vec<String> =
        ["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--no-password", "--set=ON_ERROR_STOP=1", "--username=postgres"].map(String::from).into();
    arguments.extend(["--field-separator=\t".into(), format!("--host={}", socket_folder.display()), format!("--port={port}"), "--dbname=postgres".into()]);
    Client { program: psql, arguments, dialect: &DIALECT }
}

/// The client comes over the socket, plugins over TCP: with TLS nothing else is taken there.
fn access(tls: bool) -> String {
    let host = if tls { "hostssl" } else { "host" };
    let network = ["127.0.0.1/32", "::1/128"].map(|network| {
        format!("{host} all postgres {network} trust\n{host} all all {network} scram-sha-256\n{host} replication postgres {network} trust\n{host} replication all {network} scram-sha-256\n")
    });
    format!("local all all trust\nlocal replication all trust\n{}", network.concat())
}

fn arguments(home: &Home, port: u16, certificates: Option<&Certificates>, options: &ServerOptions) -> Vec<String> {
    let mut settings = vec![
        ("port".to_owned(), port.to_string()),
        ("listen_addresses".into(), "127.0.0.1".into()),
        ("unix_socket_directories".into(), home.path().display().to_string()),
        // A killed process loses nothing that the kernel has; only a power cut would.
        ("fsync".into(), "off".into()),
        ("shared_buffers".into(), "64MB".into()),
        ("max_connections".into(), "200".into()),
        ("max_prepared_transactions".into(), "20".into()),
        ("wal_level".into(), "logical".into()),
    ];
    if let Some(made) = certificates {
        settings.push(("ssl".into(), "on".into()));
        settings.extend(
            [("ssl_ca_file", &made.authority), ("ssl_cert_file", &made.certificate), ("ssl_key_file", &made.key)].map(|(name, path)| (name.into(), path.display().to_string())),
        );
    }
    settings.extend(options.settings.iter().cloned());
    let mut arguments = vec!["-D".to_owned(), home.data().display().to_string()];
    arguments.extend(settings.into_iter().flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")]));
    arguments
}

/// The server writes its state into the eighth line of this file.
fn is_ready(home: &Home, child: &Child, _: &[String]) -> bool {
    let state = std::fs::read_to_string(home.data().join("postmaster.pid")).unwrap_or_default();
    let lines: Vec<&str> = state.lines().map(str::trim).collect();
    lines.first() == Some(&child.id().to_string().as_str()) && lines.get(7) == Some(&"ready")
}
