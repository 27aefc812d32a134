//! A script of faults: at the n-th passing of a place, this happens.

use karat_plugin_api::{ConnectorError, ErrorKind};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A place where a wrapper may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultPoint {
    /// `Source::describe`.
    Describe,
    /// `Source::read`.
    Read,
    /// Each step of a read, its end included.
    Batch,
    /// `Sink::target_state`.
    TargetState,
    /// `Sink::begin`.
    Begin,
    /// `Load::write`.
    Write,
    /// `Load::stage`.
    Stage,
    /// `Load::commit`.
    Commit,
}

/// What happens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done, an error of this kind comes back.
    Reject(ErrorKind),
    /// It is done, and an error of this kind comes back all the same.
    FailAfter(ErrorKind),
    /// It is done, but nobody hears of it: [`ErrorKind::UnknownOutcome`].
    LostReply,
    /// It is not done, and nobody knows: [`ErrorKind::UnknownOutcome`].
    LostRequest,
    /// A read stops here without its end mark; elsewhere as [`Fault::Reject`] with [`ErrorKind::Unreachable`].
    EndWithoutMark,
    /// It gives way to other tasks this often before it is done.
    Slow(u32),
    /// It never comes back; only dropping it helps.
    Hang,
    /// It panics.
    Panic,
}

/// Which fault happens at which passing of which place. Clones share one script.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    script: Arc<Mutex<Script>>,
}

#[derive(Debug, Default)]
struct Script {
    planned: BTreeMap<(FaultPoint, u64), Fault>,
    passed: BTreeMap<FaultPoint, u64>,
}

impl Faults {
    /// Adds a fault at the `nth` passing of `point`, counted from 1.
    #[must_use]
    pub fn at(self, point: FaultPoint, nth: u64, fault: Fault) -> Self {
        self.lock().planned.insert((point, nth), fault);
        self
    }

    /// How often a place was passed.
    #[must_use]
    pub fn passed(&self, point: FaultPoint) -> u64 {
        self.lock().passed.get(&point).copied().unwrap_or(0)
    }

    /// Passes a place once.
    pub(crate) fn pass(&self, point: FaultPoint) -> Option<Fault> {
        let mut script = self.lock();
        let passed = script.passed.entry(point).or_default();
        *passed += 1;
        let nth = *passed;
        script.planned.remove(&(point, nth))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does `work` as the script says for this passing.
pub(crate) async fn through<T>(faults: &Faults, point: FaultPoint, work: impl Future<Output = Result<T, ConnectorError>> + Send) -> Result<T, ConnectorError> {
    let scripted = |kind: ErrorKind| ConnectorError::new(kind, format!("scripted fault at {point:?}"));
    match faults.pass(point) {
        None => work.await,
        Some(Fault::Reject(kind)) => Err(scripted(kind)),
        Some(Fault::FailAfter(kind)) => work.await.and_then(|_| Err(scripted(kind))),
        Some(Fault::LostReply) => work.await.and_then(|_| Err(scripted(ErrorKind::UnknownOutcome))),
        Some(Fault::LostRequest) => Err(scripted(ErrorKind::UnknownOutcome)),
        Some(Fault::EndWithoutMark) => Err(scripted(ErrorKind::Unreachable)),
        Some(Fault::Slow(turns)) => {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            work.await
        }
        Some(Fault::Hang) => futures::future::pending().await,
        Some(Fault::Panic) => panic!("scripted panic at {point:?}"),
    }
}
