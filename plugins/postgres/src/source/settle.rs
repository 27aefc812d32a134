//! Up to where a read is settled: the tuple at and below which nothing can appear any more once its snapshot was read.
//!
//! A transaction draws ids and timestamps before it commits. If a read took them for done, a late commit would be lost. So a position says how far it
//! is settled, and the next read begins there. Two proofs need no later read: that nothing was in progress at the snapshot; or that everything that
//! was in progress when the greatest tuple was seen has ended before the snapshot that is read.

use super::keyset::Keyset;
use super::reader::Halt;
use super::snapshot::Snapshot;
use super::transactions::InProgress;
use karat_plugin_api::{CursorValue, ErrorKind, Position};
use std::time::{Duration, Instant};

/// How long the first read of a table waits for the transactions that are open before it: it pays when the alternative is to look at all rows again.
const FIRST_PATIENCE: Duration = Duration::from_secs(5);
/// How long later reads wait.
const PATIENCE: Duration = Duration::from_millis(400);
/// How often they look.
const PAUSE: Duration = Duration::from_millis(10);

/// How far a read is settled.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Settled {
    /// All of it.
    Whole,
    /// Up to and including this tuple, which is at or above where the read started.
    Upto(Vec<CursorValue>),
    /// Transactions that were open at the last read still are: only up to this tuple, below where the read started.
    Blocked(Vec<CursorValue>),
}

impl Keyset<'_> {
    /// Finds out how far the coming read is settled; may take a newer snapshot for it. `before` was listed before the present one.
    pub(crate) async fn settle(&mut self, before: Option<&InProgress>) -> Result<Settled, Halt> {
        if self.snapshot().is_standby {
            tracing::warn!(source = %self.snapshot().described.label, "a standby does not say which transactions are in progress: rows of late commits need a `lookback`");
            return Ok(self.unsettled().map_or(Settled::Whole, |unsettled| Settled::Blocked(unsettled.low.clone())));
        }
        if self.prove_quiet().await? {
            return Ok(Settled::Whole);
        }
        let greatest = self.greatest().await?;
        let in_progress = self.list_after_snapshot().await?;
        self.end_snapshot().await?;
        let patience = if matches!(self.after(), Position::Start) { FIRST_PATIENCE } else { PATIENCE };
        let start = Instant::now();
        let (drained, now) = loop {
            let now = self.list().await?;
            let drained = !now.may_include(in_progress.names());
            if drained || start.elapsed() >= patience {
                break (drained, now);
            }
            tokio::time::sleep(PAUSE).await;
        };
        self.take_snapshot().await?;
        if drained {
            return Ok(Settled::Upto(greatest.unwrap_or_else(|| self.values().to_vec())));
        }
        tracing::info!(source = %self.snapshot().described.label, "transactions stay open: rows above the last settled value are looked at again by the next run");
        Ok(self.settled_by_the_last_read(before.filter(|before| !self.is_blocked_by(before)).or(Some(&now))))
    }

    /// How far the last read is settled, when `before` was listed before the present snapshot.
    pub(crate) fn settled_by_the_last_read(&self, before: Option<&InProgress>) -> Settled {
        match (self.unsettled(), before) {
            (None, _) => Settled::Upto(self.values().to_vec()),
            (Some(_), Some(before)) if !self.is_blocked_by(before) => Settled::Upto(self.values().to_vec()),
            (Some(unsettled), _) => Settled::Blocked(unsettled.low.clone()),
        }
    }

    fn is_blocked_by(&self, before: &InProgress) -> bool {
        self.unsettled().is_some_and(|unsettled| before.may_include(&unsettled.open))
    }

    /// Exchanges the snapshot for a newer one of the same table.
    async fn take_snapshot(&mut self) -> Result<(), Halt> {
        let snapshot = Snapshot::take(self.client(), &self.request().object).await?;
        if snapshot.described.schema.identity != self.identity() {
            return Err(Halt::Failed(karat_plugin_api::ConnectorError::new(
                ErrorKind::Busy,
                format!("{} was exchanged for another one while it was about to be read", snapshot.described.label),
            )));
        }
        self.use_snapshot(snapshot).await
    }
}
