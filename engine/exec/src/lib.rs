//! Runs a plan: the one place where stages, back-pressure, retry, commit order and cancellation live.
//!
//! Knows the contracts of sources, sinks, SQL and state. Must not know any external system, print, read the environment, or name a DataFusion type:
//! a table's provider goes from the lake to SQL as it came.
//! Read next: [`run()`], then `stage.rs` (one table), `copy.rs` and `transform.rs` (what its rows are), `delivery.rs` (how they become durable).

mod columns;
mod copy;
mod delivery;
mod discover;
mod event;
mod failpoints;
mod guard;
mod pins;
mod propose;
mod pump;
mod rebuild;
mod report;
mod request;
mod retry;
mod run;
mod schedule;
mod services;
mod stage;
mod transform;

pub use discover::discover;
pub use event::{Event, Observer};
pub use failpoints::{FAILPOINTS, Failpoint, FailpointSyntax, Failpoints};
pub use propose::{Proposal, propose};
pub use rebuild::{RebuildReport, RebuildServices, RebuiltTable, rebuild};
pub use report::{CheckReport, ErrorReport, RunReport, RunStatus, TableReport, TableStatus, json_schema};
pub use retry::RetryPolicy;
pub use run::run;
pub use services::{Clock, Connections, Home, RunOptions, Services, SystemClock};
