//! What the machine has: memory, processors, and who this process is.

use crate::error::CliError;
use chrono::Utc;
use karat_plugin_api::ErrorKind;
use karat_spec::ProjectSpec;
use karat_state::Owner;
use std::num::NonZeroUsize;

/// What is assumed where the machine does not say.
const ASSUMED_MEMORY: u64 = 2 << 30;

/// The memory limit: the command line's, the project's, else half of the machine's.
pub(crate) fn memory_limit(asked: Option<u64>, spec: &ProjectSpec) -> u64 {
    asked.or_else(|| spec.memory_limit.map(|size| size.0)).unwrap_or_else(|| memory() / 2)
}

/// Tables at once: the command line's, the project's, else one per processor.
pub(crate) fn jobs(asked: Option<usize>, spec: &ProjectSpec) -> usize {
    let configured = spec.jobs.and_then(|jobs| usize::try_from(jobs.0).ok());
    asked.or(configured).unwrap_or_else(processors).max(1)
}

/// Processors this process may use.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Who takes the lease.
pub(crate) fn owner() -> Result<Owner, CliError> {
    let read = |path: &str| std::fs::read_to_string(path).map(|text| text.trim().to_owned());
    let cannot = |path: &str, error: &std::io::Error| CliError::failed(ErrorKind::of_io(error), format!("cannot read `{path}`, which tells one process from another: {error}"));
    let boot = "/proc/sys/kernel/random/boot_id";
    let stat = "/proc/self/stat";
    Ok(Owner {
        run_id: uuid::Uuid::now_v7().to_string(),
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        boot_id: read(boot).map_err(|error| cannot(boot, &error))?,
        pid: std::process::id(),
        process_start: process_start(&read(stat).map_err(|error| cannot(stat, &error))?).unwrap_or(0),
        since: Utc::now(),
    })
}

/// Field 22 of `/proc/<pid>/stat`; the name in field 2 may hold anything, so counting starts behind its last parenthesis.
fn process_start(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// The machine's memory, or the container's if that is less.
fn memory() -> u64 {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let machine = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()).map(|kib| kib << 10);
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let container = limits.into_iter().filter_map(|path| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok());
    container.chain(machine).min().unwrap_or(ASSUMED_MEMORY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_a_process_is_read_behind_any_name() {
        let stat = "4242 (a) b (c) R 1 4242 4242 0 -1 4194304 100 0 0 0 1 2 0 0 20 0 4 0 987654 1000 10";

        assert_eq!(process_start(stat), Some(987_654));
        assert_eq!(process_start("nonsense"), None);
    }

    #[test]
    fn this_machine_has_memory_and_an_owner() {
        assert!(memory() >= 64 << 20);
        let owner = owner().expect("an owner");
        assert!(owner.process_start > 0 && !owner.host.is_empty());
    }
}
