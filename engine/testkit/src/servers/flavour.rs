//! The two servers of the MySQL family: where their programs lie, and what each wants to be told.

use super::home::{Home, cache_folder};
use super::options::ServerOptions;
use super::programs::{Account, Program, find, run};
use crate::skip::Skip;
use std::path::{Path, PathBuf};

/// Names the server that tests of the family run with; `tests/run` runs them with each that it has.
const VARIABLE: &str = "KARAT_MYSQL_SERVER";

/// A server of the MySQL family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// MariaDB.
    MariaDb,
    /// MySQL itself.
    MySql,
}

impl Flavour {
    /// The one that this run of the tests is about: MariaDB, or what `KARAT_MYSQL_SERVER` says.
    ///
    /// # Panics
    /// When the variable names neither `mariadb` nor `mysql`.
    #[must_use]
    pub fn of_this_run() -> Self {
        match std::env::var(VARIABLE).as_deref() {
            Err(_) | Ok("" | "mariadb") => Self::MariaDb,
            Ok("mysql") => Self::MySql,
            Ok(other) => panic!("{VARIABLE} is `{other}`, and there are `mariadb` and `mysql`"),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::MariaDb => "mariadb",
            Self::MySql => "mysql",
        }
    }
}

/// The programs of one flavour, and the arguments that only it wants.
pub(super) struct Installation {
    pub(super) flavour: Flavour,
    pub(super) server: Program,
    pub(super) client: Program,
    pub(super) account: Option<Account>,
    /// Makes a data folder; the folder's own argument is added.
    install: Program,
    install_arguments: Vec<String>,
    /// Of the server, whatever it does.
    own: Vec<String>,
    /// Of the server that takes connections.
    pub(super) running: Vec<String>,
    /// The setting without which the server would offer TLS with certificates that it made for itself.
    pub(super) without_tls: &'static [&'static str],
    /// Settings that a data folder is made with, and keeps.
    lasting: &'static [&'static str],
}

impl Installation {
    pub(super) fn find(flavour: Flavour) -> Result<Self, Skip> {
        match flavour {
            Flavour::MariaDb => mariadb(),
            Flavour::MySql => mysql(),
        }
    }

    /// Fills the server's data folder.
    pub(super) fn fill_data(&self, home: &Home, options: &ServerOptions) {
        let lasting: Vec<String> = options.arguments().filter(|argument| self.lasting.iter().any(|name| argument.starts_with(&format!("--{name}=")))).collect();
        let version = run(self.server.command(None).args(["--no-defaults", "--version"]));
        home.fill_data(&format!("{} {}", version.trim(), lasting.concat()), || {
            let mut initialise = self.install.command_in(home);
            initialise.arg("--no-defaults").args(&self.own).args(&self.install_arguments).args(&lasting);
            run(initialise.arg(format!("--datadir={}", home.data().display())));
        });
        // A copy is another server, which finds itself a name of its own.
        let _absent = std::fs::remove_file(home.data().join("auto.cnf"));
    }

    /// The server's first arguments.
    pub(super) fn arguments(&self) -> Vec<String> {
        [&["--no-defaults".to_owned()], self.own.as_slice(), self.running.as_slice()].concat()
    }
}

fn owned(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|argument| (*argument).to_owned()).collect()
}

fn mariadb() -> Result<Installation, Skip> {
    Ok(Installation {
        flavour: Flavour::MariaDb,
        server: find("mariadbd", "mariadb-server")?.into(),
        client: find("mariadb", "mariadb-server")?.into(),
        account: Account::for_server("mysql")?,
        install: find("mariadb-install-db", "mariadb-server")?.into(),
        install_arguments: owned(&["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]),
        // The log is copied with the data folder; its default size would be most of that.
        own: owned(&["--innodb-log-file-size=32M"]),
        running: owned(&["--max-recursive-iterations=1000000", "--skip-name-resolve"]),
        without_tls: &[],
        lasting: &[],
    })
}

fn mysql() -> Result<Installation, Skip> {
    let (server, client, mut own) = match installed() {
        Some((server, client)) => (server, client, Vec::new()),
        None => unpacked(&cache_folder().map(|cache| cache.join("mysql-server")).unwrap_or_default())
            .ok_or_else(|| Skip::because("no MySQL of its makers; tests/run unpacks one where it can"))?,
    };
    own.extend(owned(&["--innodb-redo-log-capacity=32M", "--mysqlx=OFF", "--secure-file-priv="]));
    if rustix::process::geteuid().is_root() {
        // It lies below the home of root, where the account of a server may not look.
        own.push("--user=root".into());
    }
    Ok(Installation {
        flavour: Flavour::MySql,
        install: server.clone(),
        server,
        client,
        account: None,
        install_arguments: owned(&["--initialize-insecure"]),
        own,
        // Logged as replicas want it, which also forbids some statements. Names are resolved: the user root is one of `localhost`, which 127.0.0.1 then is.
        running: owned(&[
            "--cte-max-recursion-depth=1000000",
            "--performance-schema=OFF",
            "--gtid-mode=ON",
            "--enforce-gtid-consistency=ON",
            "--sync-binlog=0",
            "--innodb-flush-method=nosync",
        ]),
        without_tls: &["--tls-version="],
        lasting: &["lower-case-table-names"],
    })
}

/// A server on `PATH` that calls itself `mysqld` and is not MariaDB.
fn installed() -> Option<(Program, Program)> {
    let server = Program::from(find("mysqld", "mysql-server").ok()?);
    let version = server.command(None).args(["--no-defaults", "--version"]).output().ok()?;
    let is_it = version.status.success() && !String::from_utf8_lossy(&version.stdout).contains("MariaDB");
    is_it.then_some((server, find("mysql", "mysql-client").ok()?.into()))
}

/// Debian's packages with all that they depend on, unpacked into a folder: a whole system beside the machine's own, started by its own loader.
fn unpacked(root: &Path) -> Option<(Program, Program, Vec<String>)> {
    let entries = |folder: &Path| -> Vec<PathBuf> { std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect() };
    let named = |path: &PathBuf, start: &str| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start));
    let libraries = entries(&root.join("usr/lib")).into_iter().find(|folder| folder.to_string_lossy().ends_with("-linux-gnu"))?;
    let loader = entries(&libraries).into_iter().find(|file| named(file, "ld-linux"))?;
    let path = format!("{0}:{0}/mysql/private", libraries.display());
    let program = |name: &str| {
        let file = root.join(name);
        file.is_file().then(|| Program { path: loader.clone(), first: vec!["--library-path".into(), path.clone(), file.display().to_string()] })
    };
    let place = |argument: &str, folder: &str| format!("--{argument}={}", root.join(folder).display());
    let own = vec![
        place("basedir", "usr"),
        place("lc-messages-dir", "usr/share/mysql"),
        place("character-sets-dir", "usr/share/mysql/charsets"),
        place("plugin-dir", "usr/lib/mysql/plugin"),
    ];
    Some((program("usr/sbin/mysqld")?, program("usr/bin/mysql")?, own))
}
