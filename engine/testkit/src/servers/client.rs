//! The server's own client program.

use super::session::Session;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// How one kind of client wants to be used.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) dialect: &'static Dialect,
}

/// What one kind of client needs.
pub(super) struct Dialect {
    /// A query as its client must be given it, so that the answer is escaped text.
    pub(super) as_text: fn(&str) -> String,
    /// A line that makes the client answer with `mark`.
    pub(super) say: fn(mark: &str) -> String,
    /// Arguments that make it name another database.
    pub(super) choose: fn(database: &str) -> Vec<String>,
}

impl Client {
    /// The same client, in another database.
    pub(super) fn within(&self, database: &str) -> Self {
        let mut arguments = self.arguments.clone();
        arguments.extend((self.dialect.choose)(database));
        Self { arguments, ..self.clone() }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        // What the tests' own environment says about servers must not reach them.
        command.args(&self.arguments).env_clear().env("HOME", "/nonexistent").env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs statements, each on its own; the first that fails ends it.
    pub(super) fn run(&self, statements: &str) -> Result<String, String> {
        let mut command = self.command();
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let mut stdin = child.stdin.take().expect("the pipe was asked for");
        let statements = format!("{statements}\n");
        // Beside the wait: a client that answers while it still reads would otherwise stop for ever.
        let writer = std::thread::spawn(move || {
            // A client that ends early says why itself.
            let _ = stdin.write_all(statements.as_bytes());
        });
        let output = child.wait_with_output().expect("the output of a child can be read");
        writer.join().expect("the writer does not panic");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    /// Runs statements.
    ///
    /// # Panics
    /// When one fails.
    #[track_caller]
    pub(super) fn execute(&self, statements: &str) {
        if let Err(message) = self.run(statements) {
            panic!("{message}\nin: {}", shortened(statements));
        }
    }

    /// The answer to a query.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub(super) fn query(&self, query: &str) -> String {
        self.run(&(self.dialect.as_text)(query)).unwrap_or_else(|message| panic!("{message}\nin: {}", shortened(query)))
    }

    pub(super) fn session(&self) -> Session {
        let mut command = self.command();
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Session::over(child, self.dialect)
    }
}

fn shortened(statements: &str) -> String {
    statements.chars().take(2_000).collect()
}
