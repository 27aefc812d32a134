//! Work on many files on several threads at once.

use karat_plugin_api::{ConnectorError, ErrorKind};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Threads at most: each may hold a row group in memory.
const MAX_THREADS: usize = 4;

/// Threads for work that is worth `wanted`: at most one per core.
pub(crate) fn threads(wanted: usize) -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS).min(wanted).max(1)
}

/// Runs `work` on so many threads; each gets its number and takes items until none is left.
///
/// Returns what each did. Called where blocking is allowed; ends when all have ended.
pub(crate) fn side_by_side<T, R, W>(items: Vec<T>, threads: usize, work: W) -> Vec<Result<R, ConnectorError>>
where
    T: Send,
    R: Send,
    W: Fn(usize, &mut dyn Iterator<Item = T>) -> Result<R, ConnectorError> + Sync,
{
    let queue = Mutex::new(items.into_iter());
    let run = |number| work(number, &mut std::iter::from_fn(|| queue.lock().unwrap_or_else(PoisonError::into_inner).next()));
    let broken = |_| Err(ConnectorError::new(ErrorKind::Bug, "a thread that works on files broke down"));
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|number| scope.spawn(move || run(number))).collect();
        let first = run(0);
        let others = others.into_iter().map(|thread| thread.join().unwrap_or_else(broken));
        std::iter::once(first).chain(others).collect()
    })
}
