//! What all workloads stand on: the servers, the data in them, and the scripts that act on both.

use crate::bench::measure::{Bench, Job, python, succeed};
use crate::{ChoreError, write_text};
use serde::Deserialize;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

const REQUIREMENTS: &str = include_str!("requirements.txt");
/// Its dependencies do not agree with those of the others.
const INGESTR: &str = include_str!("requirements-ingestr.txt");
const SCRIPTS: [(&str, &str); 6] = [
    ("check.py", include_str!("check.py")),
    ("data.py", include_str!("data.py")),
    ("database.py", include_str!("database.py")),
    ("peers.py", include_str!("peers.py")),
    ("servers.py", include_str!("servers.py")),
    ("targets.py", include_str!("targets.py")),
];

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum System {
    MySql,
    Postgres,
}

impl System {
    /// As connections and scripts call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::MySql => "mysql",
            Self::Postgres => "postgres",
        }
    }
}

/// Two servers with data; they stop when this is dropped, or when this process ends in whatever way.
pub(in crate::bench) struct Ground {
    folder: PathBuf,
    environment: PathBuf,
    ingestr: PathBuf,
    servers: Child,
    said: Said,
}

/// What the servers say when they take connections.
#[derive(Debug, Deserialize)]
struct Said {
    postgres_port: u16,
    mysql_port: u16,
    processes: Vec<u32>,
    versions: Vec<String>,
    settings: Vec<String>,
}

/// What is different in a result.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Differences {
    /// Rows, columns or values.
    pub(super) wrong: Vec<String>,
    /// The values are right, in another type than at the source.
    pub(super) types: Vec<String>,
}

impl Ground {
    /// Installs the peers, starts the servers and loads the data, as far as that was not done before.
    pub(super) fn start(bench: &mut Bench<'_>) -> Result<Self, ChoreError> {
        let folder = bench.scratch("databases");
        for (name, text) in SCRIPTS {
            write_text(&folder.join(name), text)?;
        }
        let environment = bench.environment("venv-databases", REQUIREMENTS)?;
        let ingestr = bench.environment("venv-ingestr", INGESTR)?;
        let mut starting = Command::new(python(&environment));
        starting.arg(folder.join("servers.py")).arg(folder.join("servers")).stdin(Stdio::piped()).stdout(Stdio::piped());
        // An interrupt from the terminal ends this process; the end of its input ends the servers, in order.
        let mut servers = starting.process_group(0).spawn().map_err(|error| ChoreError::new(format!("cannot start the servers: {error}")))?;
        let mut line = String::new();
        if let Some(stdout) = servers.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(|error| ChoreError::new(format!("cannot hear the servers: {error}")))?;
        }
        let said = serde_json::from_str(&line).map_err(|_| ChoreError::new("the servers did not start; see above"))?;
        let ground = Self { folder, environment, ingestr, servers, said };
        bench.say("loading the tables, unless they are there");
        ground.script("data.py", &["load", &bench.options.scale.to_string()])?;
        Ok(ground)
    }

    /// A folder for projects and results.
    pub(super) fn work(&self, name: &str) -> PathBuf {
        self.folder.join("work").join(name)
    }

    /// Runs one of the scripts and returns what it printed.
    pub(super) fn script(&self, name: &str, arguments: &[&str]) -> Result<String, ChoreError> {
        let mut command = Command::new(self.python());
        command.arg(self.folder.join(name)).args(arguments).envs(self.variables());
        succeed(&mut command)
    }

    /// Brings a target into a known state.
    pub(super) fn target(&self, action: &str, system: System, name: Option<&str>) -> Result<(), ChoreError> {
        let arguments: Vec<&str> = [action, system.name()].into_iter().chain(name).collect();
        self.script("targets.py", &arguments).map(drop)
    }

    /// Compares a result with its source.
    pub(super) fn check(&self, place: &str, result: &str, source: &str) -> Result<Differences, ChoreError> {
        let printed = self.script("check.py", &[place, result, source])?;
        serde_json::from_str(&printed).map_err(|error| ChoreError::new(format!("the check of `{result}` printed no differences: {error}")))
    }

    /// A job that knows the servers.
    pub(super) fn job(&self, command: Vec<String>) -> Job {
        Job { command, environment: self.variables().into_iter().map(|(name, value)| (name.to_owned(), value)).collect(), servers: self.said.processes.clone(), watch: None }
    }

    /// The URL of a database on one of the servers.
    pub(super) fn url(&self, system: System, database: &str) -> String {
        let port = if system == System::MySql { self.said.mysql_port } else { self.said.postgres_port };
        format!("{}://bench:bench@127.0.0.1:{port}/{database}", system.name())
    }

    /// The interpreter that has the drivers of both systems.
    pub(super) fn python(&self) -> PathBuf {
        python(&self.environment)
    }

    /// Servers and peers with their versions.
    pub(super) fn versions(&self) -> impl Iterator<Item = &str> {
        self.said.versions.iter().map(String::as_str).chain(REQUIREMENTS.lines()).chain(INGESTR.lines())
    }

    /// The servers' settings, one text for each.
    pub(super) fn settings(&self) -> &[String] {
        &self.said.settings
    }

    fn variables(&self) -> [(&'static str, String); 3] {
        [
            ("BENCH_MYSQL_PORT", self.said.mysql_port.to_string()),
            ("BENCH_POSTGRES_PORT", self.said.postgres_port.to_string()),
            ("BENCH_INGESTR", self.ingestr.display().to_string()),
        ]
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        drop(self.servers.stdin.take());
        // They stop in order, which writes what is in memory to their files.
        let _ = self.servers.wait();
    }
}
