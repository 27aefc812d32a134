//! The folder of a server, and the process that watches over it: when the test process ends, in whatever way, it kills the server and removes the folder.

use super::programs::{Account, run};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{fs, os::unix};

/// Waits for the end of its input, which the kernel closes when the test process ends: a static value is never dropped, a killed process drops nothing.
/// Then the server is told to go, and killed with all its children when it does not.
const WATCH: &str = r#"
trap '' INT TERM HUP
farewell=
read -r farewell
children() { cat /proc/"$1"/task/*/children 2>/dev/null; }
family() { echo "$1"; for child in $(children "$1"); do family "$child"; done; }
alive() { [ -d /proc/"$1" ] && ! grep -q '^State:.Z' /proc/"$1"/status 2>/dev/null; }
pid=$(cat "$1/server.pid" 2>/dev/null)
if [ -n "$pid" ] && alive "$pid"; then
  family=$(family "$pid")
  kill -"$2" "$pid"
  turn=0
  while alive "$pid" && [ "$turn" -lt 250 ]; do sleep 0.02; turn=$((turn + 1)); done
  for member in $family; do alive "$member" && kill -KILL "$member"; done
fi
rm -rf "$1"
[ -n "$farewell" ] && exit
# The test process was killed, perhaps between starting something and telling of it.
for turn in 1 2 3 4 5; do
  for process in /proc/[0-9]*; do
    case "$(readlink "$process/cwd" 2>/dev/null)" in "$1" | "$1"/*) kill -KILL "${process#/proc/}" ;; esac
  done
  rm -rf "$1"
  sleep 1
done
"#;

/// A folder for one server, watched over.
pub(super) struct Home {
    path: PathBuf,
    account: Option<Account>,
    watch: Child,
}

impl Home {
    /// A new folder that `account` may write. `farewell` is the signal at which the server goes at once and leaves nothing behind, such as `QUIT`.
    pub(super) fn new(server: &str, account: Option<Account>, farewell: &str) -> Self {
        let folder = tempfile::Builder::new().prefix(&format!("karat-{server}-")).tempdir().expect("a temporary folder can be made");
        let path = folder.keep();
        let watch = Command::new("/bin/sh")
            .args(["-c", WATCH, "watch"])
            .arg(&path)
            .arg(farewell)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn_apart()
            .expect("a shell can be started");
        let home = Self { path, account, watch };
        let anybody = <fs::Permissions as unix::fs::PermissionsExt>::from_mode(0o755);
        fs::set_permissions(&home.path, anybody).expect("permissions of an own folder can be set");
        home.give(&home.path);
        home
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// A command that runs as the server does, in this folder.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Account::command(self.account, program);
        command.current_dir(&self.path).env("HOME", &self.path).env("LC_ALL", "C.UTF-8").env("TZ", "UTC").stdin(Stdio::null());
        command
    }

    /// Writes a file that the server owns and nobody else reads, as servers ask of private keys.
    pub(super) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path.join(name);
        fs::write(&path, content).expect("files of a temporary folder can be written");
        self.own(&path);
        path
    }

    /// Makes a file the server's own.
    pub(super) fn own(&self, path: &Path) {
        let private = <fs::Permissions as unix::fs::PermissionsExt>::from_mode(0o600);
        fs::set_permissions(path, private).expect("permissions of an own file can be set");
        self.give(path);
    }

    fn give(&self, path: &Path) {
        if let Some(account) = self.account {
            unix::fs::chown(path, Some(account.uid), Some(account.gid)).expect("root may give files away");
        }
    }

    /// Tells the watching process which server to stop; 0 for none.
    pub(super) fn note_server(&self, pid: u32) {
        let note = if pid == 0 { String::new() } else { pid.to_string() };
        fs::write(self.path.join("server.pid"), note).expect("files of a temporary folder can be written");
    }

    /// Fills the data folder: by `initialise`, or with a copy of what an earlier call with the same `version` made. Databases take seconds for it.
    pub(super) fn fill_data(&self, version: &str, initialise: impl FnOnce()) {
        let Some(cache) = cache_folder().map(|cache| cache.join("servers")) else { return initialise() };
        let owner = self.account.map_or_else(|| rustix::process::geteuid().as_raw(), |account| account.uid);
        let name: String = format!("{version}-{owner}").chars().map(|letter| if letter.is_ascii_alphanumeric() || letter == '.' { letter } else { '-' }).collect();
        let kept = cache.join(&name);
        if kept.is_dir() {
            copy(&kept, &self.data());
            return;
        }
        initialise();
        let own = cache.join(format!(".{name}.{}", std::process::id()));
        if fs::create_dir_all(&cache).is_err() {
            return;
        }
        copy(&self.data(), &own);
        // Another process may have been faster; its copy is as good.
        if fs::rename(&own, &kept).is_err() {
            let _ = fs::remove_dir_all(&own);
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Some(mut stdin) = self.watch.stdin.take() {
            // A watching process that is gone already has nothing left to hear.
            let _ = stdin.write_all(b"farewell\n");
        }
        let _ = self.watch.wait();
    }
}

/// Starts a process that signals to the tests' own process group do not reach.
pub(super) trait SpawnApart {
    fn spawn_apart(&mut self) -> std::io::Result<Child>;
}

impl SpawnApart for Command {
    fn spawn_apart(&mut self) -> std::io::Result<Child> {
        unix::process::CommandExt::process_group(self, 0).spawn()
    }
}

fn copy(from: &Path, to: &Path) {
    // In the new folder's parent, where the watching process finds it.
    let parent = to.parent().expect("copies go into folders");
    run(Command::new("cp").current_dir(parent).args(["--archive", "--reflink=auto", "--sparse=always"]).arg(from).arg(to));
}

/// What this project keeps between runs of its tests.
pub(super) fn cache_folder() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    Some(base.join("karat"))
}
