//! The independent reader: delta-rs and DuckDB in Python, who know nothing of Karat.

use crate::karat::repository;
use karat_testkit::skipped;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The Python of the tests' virtual environment, which `tests/run` makes.
pub(crate) struct Reader {
    python: PathBuf,
}

impl Reader {
    /// The reader; `None`, loudly, when the virtual environment is not there.
    pub(crate) fn find(test: &str) -> Option<Self> {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
        let python = std::env::var_os("KARAT_TEST_PYTHON").map(PathBuf::from).or_else(|| Some(cache?.join("karat/venv/bin/python")))?;
        if python.exists() {
            return Some(Self { python });
        }
        skipped(test, &format!("no independent reader at {}; tests/run makes it", python.display()));
        None
    }

    /// Rows of a query over the tables of a warehouse; every value is a text, a number, a boolean or null.
    #[track_caller]
    pub(crate) fn query(&self, warehouse: &Path, sql: &str) -> Vec<Vec<Value>> {
        serde_json::from_value(self.script("warehouse.py", &["query".as_ref(), warehouse.as_ref(), sql.as_ref()])).expect("the reader prints rows")
    }

    /// What differs between the tables of two warehouses, as multisets of rows; empty when nothing does.
    #[track_caller]
    pub(crate) fn differences(&self, one: &Path, two: &Path) -> Vec<String> {
        serde_json::from_value(self.script("warehouse.py", &["compare".as_ref(), one.as_ref(), two.as_ref()])).expect("the reader prints differences")
    }

    /// Runs one of the scripts in `tests/python`; it prints JSON.
    #[track_caller]
    pub(crate) fn script(&self, name: &str, arguments: &[&std::ffi::OsStr]) -> Value {
        let output = self.command(name, arguments).output().expect("the virtual environment's Python starts");
        assert!(output.status.success(), "{name} failed: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("the script prints JSON")
    }

    /// Starts a script that runs until its standard input is closed.
    pub(crate) fn start(&self, name: &str, arguments: &[&std::ffi::OsStr]) -> Child {
        self.command(name, arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the virtual environment's Python starts")
    }

    fn command(&self, name: &str, arguments: &[&std::ffi::OsStr]) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(repository().join("tests/python").join(name)).args(arguments).stdin(Stdio::null());
        command
    }
}
