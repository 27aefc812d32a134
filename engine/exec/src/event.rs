//! What a run says while it runs.

use crate::{RunStatus, TableReport};
use karat_plan::StageKind;
use std::time::Duration;

/// Hears what happens. Called from the run's own tasks, in order for each table; must return at once.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn event(&self, event: Event);
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The lease is held, stages begin.
    RunStarted {
        /// The run.
        run_id: String,
        /// Tables in the plan.
        tables: usize,
    },
    /// A stage began.
    TableStarted {
        /// Full name.
        table: String,
        /// Copy or transform.
        stage: StageKind,
    },
    /// Rows went to the sink; not yet visible.
    Progress {
        /// Full name.
        table: String,
        /// Rows of this table in this run so far.
        rows: u64,
        /// Their bytes in memory.
        bytes: u64,
    },
    /// Rows became visible, together with their position.
    Committed {
        /// Full name.
        table: String,
        /// Number of the batch in its generation.
        seq: u64,
        /// Rows of the batch that were written.
        rows: u64,
        /// The version readers can pin.
        version: String,
    },
    /// A transient error: the stage is tried again from its last commit.
    Retrying {
        /// Full name.
        table: String,
        /// Number of the next try, from 2.
        attempt: u32,
        /// Pause before it.
        delay: Duration,
        /// What failed.
        message: String,
    },
    /// Somebody should know.
    Warning {
        /// Full name.
        table: String,
        /// What.
        message: String,
    },
    /// A stage ended, or never began.
    TableFinished {
        /// Full name.
        table: String,
        /// How it ended.
        report: Box<TableReport>,
    },
    /// The lease is given back.
    RunFinished {
        /// How it ended.
        status: RunStatus,
    },
}
