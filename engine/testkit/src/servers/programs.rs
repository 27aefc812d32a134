//! Where a server's programs lie, and as whom they run.

use super::home::Home;
use crate::skip::Skip;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The user that a server runs as, when this is root: servers refuse to be root.
#[derive(Debug, Clone, Copy)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Account {
    /// The account `name` when this is root, else nobody: the server then runs as whoever runs the tests.
    pub(super) fn for_server(name: &str) -> Result<Option<Self>, Skip> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let found = users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == name);
        let id = |field: Option<&&str>| field.and_then(|id| id.parse().ok());
        let account = found.and_then(|fields| Some(Self { uid: id(fields.get(2))?, gid: id(fields.get(3))? }));
        account.map(Some).ok_or_else(|| Skip::because(format!("this is root, and there is no user `{name}` to run the server as; tests/run installs it")))
    }

    /// A command that runs as this account.
    pub(super) fn command(account: Option<Self>, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some(account) = account {
            command.uid(account.uid).gid(account.gid);
        }
        command
    }
}

/// A program, and what must stand before its arguments, such as the program itself behind its loader.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) first: Vec<String>,
}

impl From<PathBuf> for Program {
    fn from(path: PathBuf) -> Self {
        Self { path, first: Vec::new() }
    }
}

impl Program {
    /// All its arguments.
    pub(super) fn arguments(&self, arguments: Vec<String>) -> Vec<String> {
        [self.first.as_slice(), &arguments].concat()
    }

    /// A command that runs it as this account.
    pub(super) fn command(&self, account: Option<Account>) -> Command {
        let mut command = Account::command(account, &self.path);
        command.args(&self.first);
        command
    }

    /// A command that runs it as the server does, in its folder.
    pub(super) fn command_in(&self, home: &Home) -> Command {
        let mut command = home.command(&self.path);
        command.args(&self.first);
        command
    }
}

/// The program, from `PATH` or from where Debian hides what daemons need.
pub(super) fn find(name: &str, package: &str) -> Result<PathBuf, Skip> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin"].map(PathBuf::from));
    folders.extend(postgres_folders());
    folders.iter().map(|folder| folder.join(name)).find(|program| program.is_file()).ok_or_else(|| Skip::because(format!("no `{name}`; tests/run installs the package {package}")))
}

/// Debian keeps the programs of each PostgreSQL in a folder of its own; the newest first.
fn postgres_folders() -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort();
    versions.into_iter().rev().map(|(_, folder)| folder).collect()
}

/// Runs a program to its end.
///
/// # Panics
/// When it fails, with what it said.
pub(super) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?} failed: {}\n{}{}", output.status, text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}
