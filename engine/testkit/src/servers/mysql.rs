//! A private server of the MySQL family.

use super::certificates::Certificates;
use super::client::{Client, Dialect};
use super::daemon::{Daemon, DidNotStart, Kind, free_port};
use super::database::{Address, Database};
use super::flavour::{Flavour, Installation};
use super::home::Home;
use super::options::ServerOptions;
use crate::skip::Skip;
use rustix::process::Signal;
use std::io::Read;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::OnceLock;
use std::time::Duration;

/// How often a server is tried on another port, when somebody else took the free one first.
const PORTS: usize = 5;

/// A private MariaDB or MySQL, as [`Flavour::of_this_run`] says, in a temporary folder, on a free port of 127.0.0.1; gone when dropped, or when the test
/// process ends.
///
/// The user `root` needs no password. Commits reach the kernel, not the disk: they survive [`Self::kill`].
pub struct MysqlServer {
    flavour: Flavour,
    daemon: Daemon,
    client: Client,
    port: u16,
    authority: Option<PathBuf>,
}

static KIND: Kind = Kind { is_ready, stop: Signal::TERM };

static DIALECT: Dialect = Dialect {
    as_text: |query| format!("{};", query.trim().trim_end_matches(';')),
    say: |mark| format!("SELECT '{mark}';"),
    choose: |database| vec![format!("--database={database}")],
};

impl MysqlServer {
    /// Starts a server.
    ///
    /// # Errors
    /// Where it is not installed.
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
        let installation = Installation::find(Flavour::of_this_run())?;
        let mut last = String::new();
        for _ in 0..PORTS {
            let port = free_port();
            let home = Home::new(installation.flavour.name(), installation.account, "KILL");
            installation.fill_data(&home, options);
            let certificates = if options.tls { Some(Certificates::make(&home)?) } else { None };
            let arguments = installation.server.arguments(arguments(&installation, &home, port, (certificates.as_ref(), options)));
            let client = client(&installation, home.path());
            let daemon = Daemon::new(home, &KIND, installation.server.path.clone(), arguments);
            match daemon.start() {
                Ok(()) => return Ok(Self { flavour: installation.flavour, daemon, client, port, authority: certificates.map(|made| made.authority) }),
                Err(DidNotStart(log)) => last = log,
            }
        }
        panic!("{} does not start:\n{last}", installation.flavour.name())
    }

    /// The server of this test process, started by whoever asks first. Tests that restart or kill one start their own.
    ///
    /// # Errors
    /// As [`Self::start`].
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn shared() -> Result<&'static Self, Skip> {
        static SHARED: OnceLock<Result<MysqlServer, Skip>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref().map_err(Clone::clone)
    }

    /// A new, empty database.
    ///
    /// # Panics
    /// When the server does not answer.
    #[must_use]
    pub fn database(&self) -> Database {
        Database::create(&self.client, self.address(), ["CREATE DATABASE", ""], ["DROP DATABASE IF EXISTS", ""])
    }

    fn address(&self) -> Address {
        Address { scheme: "mysql", user: "root", port: self.port }
    }

    /// Which of the family it is.
    #[must_use]
    pub fn flavour(&self) -> Flavour {
        self.flavour
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of the database `mysql`, for the user `root`.
    #[must_use]
    pub fn url(&self) -> String {
        self.address().url(self.port, "mysql")
    }

    /// The certificate of the authority, in PEM form, when it was started with TLS.
    #[must_use]
    pub fn authority(&self) -> Option<&Path> {
        self.authority.as_deref()
    }

    /// The unix socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        socket(self.daemon.home.path())
    }

    /// Runs statements in no database, as [`Database::execute`].
    ///
    /// # Panics
    /// When one fails.
    #[track_caller]
    pub fn execute(&self, statements: &str) {
        self.client.execute(statements);
    }

    /// The rows of one query in no database, as [`Database::query`].
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

    /// Kills it (SIGKILL). [`Self::restart`] brings it back.
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

fn socket(home: &Path) -> PathBuf {
    home.join("socket")
}

fn client(installation: &Installation, home: &Path) -> Client {
    let mut arguments: Vec<String> =
        ["--no-defaults", "--user=root", "--batch", "--skip-column-names", "--unbuffered", "--skip-reconnect", "--default-character-set=utf8mb4"].map(String::from).into();
    arguments.push(format!("--socket={}", socket(home).display()));
    Client { program: installation.client.path.clone(), arguments: installation.client.arguments(arguments), dialect: &DIALECT }
}

fn arguments(installation: &Installation, home: &Home, port: u16, (certificates, options): (Option<&Certificates>, &ServerOptions)) -> Vec<String> {
    let mut arguments = installation.arguments();
    arguments.extend([
        format!("--datadir={}", home.data().display()),
        format!("--socket={}", socket(home.path()).display()),
        format!("--tmpdir={}", home.path().display()),
        format!("--pid-file={}", home.path().join("mysql.pid").display()),
        format!("--port={port}"),
    ]);
    let fixed = ["--bind-address=127.0.0.1", "--local-infile=1", "--character-set-server=utf8mb4", "--server-id=1", "--max-connections=200"];
    arguments.extend(fixed.map(String::from));
    // A killed process loses nothing that the kernel has; only a power cut would.
    arguments.extend(["--innodb-buffer-pool-size=128M", "--innodb-flush-log-at-trx-commit=2"].map(String::from));
    match certificates {
        Some(made) => {
            arguments.extend([("ca", &made.authority), ("cert", &made.certificate), ("key", &made.key)].map(|(name, path)| format!("--ssl-{name}={}", path.display())));
            arguments.push("--require-secure-transport=ON".into());
        }
        None => arguments.extend(installation.without_tls.iter().map(|argument| (*argument).to_owned())),
    }
    arguments.extend(options.arguments());
    arguments
}

/// A table of the numbers from 1 to `count`, in a column `seq`, for the FROM of a statement that either server takes.
#[must_use]
pub fn numbers(count: u64) -> String {
    format!("(WITH RECURSIVE numbers (seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM numbers WHERE seq < {count}) SELECT seq FROM numbers) AS numbers")
}

/// The server greets whoever connects, as soon as it takes connections.
fn is_ready(_: &Home, _: &Child, arguments: &[String]) -> bool {
    let port = arguments.iter().find_map(|argument| argument.strip_prefix("--port=")?.parse::<u16>().ok());
    let Some(mut stream) = port.and_then(|port| TcpStream::connect(("127.0.0.1", port)).ok()) else { return false };
    let mut greeting = [0; 5];
    stream.set_read_timeout(Some(Duration::from_secs(5))).is_ok() && stream.read_exact(&mut greeting).is_ok() && greeting[4] == 10
}
