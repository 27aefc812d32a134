//! A server process: started, awaited, stopped, killed with all its children.

use super::home::{Home, SpawnApart};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a server may take to start or to stop; recovery after a kill included.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that can be stopped and started again in its folder.
pub(super) struct Daemon {
    pub(super) home: Home,
    kind: &'static Kind,
    arguments: Vec<String>,
    program: std::path::PathBuf,
    running: Mutex<Option<Child>>,
}

/// What one kind of server needs.
pub(super) struct Kind {
    /// True when the process takes connections; asked every few milliseconds.
    pub(super) is_ready: fn(&Home, &Child, &[String]) -> bool,
    /// The signal for an orderly end.
    pub(super) stop: Signal,
}

/// The process ended instead of taking connections; holds the end of its log.
#[derive(Debug)]
pub(super) struct DidNotStart(pub(super) String);

impl Daemon {
    pub(super) fn new(home: Home, kind: &'static Kind, program: std::path::PathBuf, arguments: Vec<String>) -> Self {
        Self { home, kind, program, arguments, running: Mutex::new(None) }
    }

    /// Starts the process and waits until it takes connections.
    pub(super) fn start(&self) -> Result<(), DidNotStart> {
        let mut running = self.running();
        let log = File::options().create(true).append(true).open(self.log_path()).expect("files of a temporary folder can be written");
        let mut command: Command = self.home.command(&self.program);
        command.args(&self.arguments).stdout(log.try_clone().expect("file handles can be copied")).stderr(log);
        let mut child = command.spawn_apart().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        self.home.note_server(child.id());
        let deadline = Instant::now() + PATIENCE;
        while !(self.kind.is_ready)(&self.home, &child, &self.arguments) {
            if child.try_wait().expect("the state of a child can be asked").is_some() {
                self.home.note_server(0);
                return Err(DidNotStart(self.log()));
            }
            assert!(Instant::now() < deadline, "{command:?} takes no connections after {PATIENCE:?}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        *running = Some(child);
        Ok(())
    }

    /// Stops it in order, if it runs, and starts it again in the same place.
    pub(super) fn restart(&self) {
        self.end(self.kind.stop);
        let deadline = Instant::now() + PATIENCE;
        while let Err(DidNotStart(log)) = self.start() {
            // What a killed server left behind, such as shared memory, may take a moment to go.
            assert!(Instant::now() < deadline, "the server does not start again\n{log}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Ends the server and everything it started at once, as a power cut would.
    pub(super) fn kill(&self) {
        self.end(Signal::KILL);
    }

    fn end(&self, signal: Signal) {
        let mut running = self.running();
        let Some(mut child) = running.take() else { return };
        let family = family(child.id());
        send(child.id(), signal);
        let deadline = Instant::now() + PATIENCE;
        while child.try_wait().expect("the state of a child can be asked").is_none() {
            assert!(Instant::now() < deadline, "the server does not stop\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        if signal == Signal::KILL {
            family.into_iter().for_each(|member| send(member, Signal::KILL));
        }
        self.home.note_server(0);
    }

    /// The end of what the server said.
    pub(super) fn log(&self) -> String {
        let log = fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(4_000)..]).into_owned()
    }

    fn log_path(&self) -> std::path::PathBuf {
        self.home.path().join("server.log")
    }

    fn running(&self) -> MutexGuard<'_, Option<Child>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Daemon {
    /// The watching process stops the server when the home goes, right after this; here the zombie is collected.
    fn drop(&mut self) {
        let running = self.running().take();
        if let Some(mut child) = running {
            std::thread::spawn(move || child.wait());
        }
    }
}

/// All processes below `pid`.
fn family(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut open = vec![pid];
    while let Some(parent) = open.pop() {
        for thread in fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            let children = children.split_ascii_whitespace().filter_map(|child| child.parse().ok());
            open.extend(children.inspect(|child| found.push(*child)));
        }
    }
    found
}

fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have ended a moment ago; then there is nobody to tell.
        let _ = kill_process(pid, signal);
    }
}

/// A port that nobody listens on.
pub(super) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("the loopback has a free port");
    listener.local_addr().expect("a listener has an address").port()
}
