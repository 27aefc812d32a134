//! Running the binary as a user does: another process, a clean environment, nothing but its output and exit code.

use serde_json::Value;
use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// How long any single command may take before the test gives up on it.
const PATIENCE: Duration = Duration::from_secs(240);

/// The root of the repository.
pub(crate) fn repository() -> PathBuf {
    xtask::repository_root().expect("tests run inside the repository")
}

/// The binary: `KARAT_BIN`, or the one beside this test in the target folder.
pub(crate) fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("KARAT_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().expect("the test knows its own path");
    let beside = test.ancestors().nth(2).expect("tests are built into target/<profile>/deps").join("karat");
    assert!(beside.exists(), "`{}` does not exist: run `cargo build --release` first, or set KARAT_BIN", beside.display());
    beside
}

/// One command line, not yet started.
pub(crate) struct Karat(Command);

/// What a finished command left behind.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Karat {
    /// `karat` in `folder`, with an environment that holds nothing but a home.
    pub(crate) fn within(folder: &Path) -> Self {
        let mut command = Command::new(binary());
        command.current_dir(folder).env_clear().env("HOME", folder).env("NO_COLOR", "1").stdin(Stdio::null());
        Self(command)
    }

    /// Another program that will start the binary, such as `prlimit`.
    pub(crate) fn through(mut self, program: &[&str]) -> Self {
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).arg(self.0.get_program()).args(self.0.get_args()).env_clear().envs(self.0.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
        if let Some(folder) = self.0.get_current_dir() {
            command.current_dir(folder);
        }
        self.0 = command;
        self
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.0.args(arguments);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    /// Runs it to its end.
    pub(crate) fn run(self) -> Outcome {
        let described = format!("{:?}", self.0);
        let output = self.start().wait_with_output_within(PATIENCE, &described);
        let outcome = Outcome { code: exit_code(output.status), stdout: text(output.stdout), stderr: text(output.stderr) };
        assert!(!outcome.stderr.contains("panicked"), "{described} panicked:\n{}", outcome.stderr);
        outcome
    }

    /// Runs another copy of the binary, for callers who may not look into the target folder.
    pub(crate) fn run_as(self, copy: &Path) -> Outcome {
        let mut command = Command::new(self.0.get_program());
        let own = binary();
        command.args(self.0.get_args().map(|argument| if argument == own { copy.as_os_str() } else { argument }));
        command.env_clear().envs(self.0.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
        if let Some(folder) = self.0.get_current_dir() {
            command.current_dir(folder);
        }
        Self(command).run()
    }

    /// Starts it with a stderr that is full and that nobody reads: whoever says something waits for ever. The reader must be kept.
    pub(crate) fn start_unheard(mut self) -> (Running, std::io::PipeReader) {
        let (reader, mut writer) = std::io::pipe().expect("a pipe can be made");
        let flags = rustix::fs::fcntl_getfl(&writer).expect("a pipe has flags");
        rustix::fs::fcntl_setfl(&writer, flags | rustix::fs::OFlags::NONBLOCK).expect("flags can be set");
        while writer.write(&[b'.'; 512]).is_ok() {}
        rustix::fs::fcntl_setfl(&writer, flags).expect("flags can be set");
        let child = self.0.stdout(Stdio::null()).stderr(writer).spawn();
        (Running(child.unwrap_or_else(|error| panic!("cannot start {:?}: {error}", self.0))), reader)
    }

    /// Starts it and lets it run.
    pub(crate) fn start(mut self) -> Running {
        let child = self.0.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Running(child.unwrap_or_else(|error| panic!("cannot start {:?}: {error}", self.0)))
    }
}

/// A started command; killed when the test ends before it does.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn id(&self) -> i32 {
        i32::try_from(self.0.id()).expect("process ids fit")
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let process = rustix::process::Pid::from_raw(self.id()).expect("a started process has an id");
        // The process may have ended a moment ago; then there is nobody to tell.
        let _ = rustix::process::kill_process(process, signal);
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.0.try_wait().expect("the state of a child can be asked").is_none()
    }

    /// Waits for the end, however it comes.
    pub(crate) fn outcome(self) -> Outcome {
        self.outcome_within(PATIENCE)
    }

    pub(crate) fn outcome_within(self, patience: Duration) -> Outcome {
        let output = self.wait_with_output_within(patience, "karat");
        Outcome { code: exit_code(output.status), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    fn wait_with_output_within(mut self, patience: Duration, described: &str) -> Output {
        let stdout = drain(self.0.stdout.take());
        let stderr = drain(self.0.stderr.take());
        let deadline = Instant::now() + patience;
        let status = loop {
            if let Some(status) = self.0.try_wait().expect("the state of a child can be asked") {
                break status;
            }
            assert!(Instant::now() < deadline, "{described} did not end within {patience:?}");
            std::thread::sleep(Duration::from_millis(5));
        };
        Output { status, stdout: stdout.join().expect("the reader of stdout ends"), stderr: stderr.join().expect("the reader of stderr ends") }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Outcome {
    /// The outcome, if it ended with `code`; else the test fails and shows everything.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert!(self.code == Some(code), "exit code {:?} instead of {code}\n--- stdout\n{}\n--- stderr\n{}", self.code, self.stdout, self.stderr);
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("stdout is not JSON: {error}\n{}\n--- stderr\n{}", self.stdout, self.stderr))
    }

    /// Both outputs, to look for words that may stand in either.
    pub(crate) fn said(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }

    #[track_caller]
    pub(crate) fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.said().contains(word), "nothing about `{word}`\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        }
        self
    }
}

/// The exit code; a signal counts as a shell counts it.
fn exit_code(status: ExitStatus) -> Option<i32> {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal))
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("output is UTF-8")
}

/// Reads a pipe to its end beside the test, so that a full pipe never stops the child.
fn drain(pipe: Option<impl std::io::Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}
