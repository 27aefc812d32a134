//! A connection that stays open, so that a test can hold a transaction while others act.

use super::client::Dialect;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout};

/// A connection that stays open; dropping it ends the connection, and rolls back what was not committed.
pub struct Session {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    dialect: &'static Dialect,
    marks: u64,
}

impl Session {
    pub(super) fn over(mut child: Child, dialect: &'static Dialect) -> Self {
        let stdin = child.stdin.take().expect("the pipe was asked for");
        let stdout = BufReader::new(child.stdout.take().expect("the pipe was asked for"));
        Self { child, stdin, stdout, dialect, marks: 0 }
    }

    /// Runs statements and waits until the server has done them; gives what they answered.
    ///
    /// # Panics
    /// When one fails: the client then ends.
    #[track_caller]
    pub fn execute(&mut self, statements: &str) -> String {
        self.send(statements);
        self.wait()
    }

    /// Sends statements without waiting for them, such as one that will wait for a lock.
    ///
    /// # Panics
    /// When the client has ended.
    #[track_caller]
    pub fn send(&mut self, statements: &str) {
        self.marks += 1;
        let text = format!("{statements}\n;{}\n", (self.dialect.say)(&mark(self.marks)));
        let sent = self.stdin.write_all(text.as_bytes()).and_then(|()| self.stdin.flush());
        if sent.is_err() {
            panic!("the client has ended: {}", self.last_words());
        }
    }

    /// Waits until everything that was sent is done; gives what it answered.
    ///
    /// # Panics
    /// When a statement failed.
    #[track_caller]
    pub fn wait(&mut self) -> String {
        let end = format!("{}\n", mark(self.marks));
        let mut answer = String::new();
        loop {
            let mut line = String::new();
            let read = self.stdout.read_line(&mut line).expect("what the client says is UTF-8");
            if read == 0 {
                panic!("a statement failed: {}", self.last_words());
            }
            if line == end {
                return answer;
            }
            if !(1..=self.marks).any(|number| line.trim_end() == mark(number)) {
                answer.push_str(&line);
            }
        }
    }

    fn last_words(&mut self) -> String {
        let mut words = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            let _ = std::io::Read::read_to_string(&mut stderr, &mut words);
        }
        words
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn mark(number: u64) -> String {
    format!("-- done {number} --")
}
