//! What survives a run: positions, leases, run history. Pure decisions, I/O at the rim.
//!
//! The sink is the truth of how far a stream was delivered (its commit carries the position); state is a cache of it that can be rebuilt.
//! Must not know sources, SQL or how a run is scheduled. Read next: [`reconcile()`], then `store.rs`.

mod backend;
mod error;
mod integrity;
mod lease;
mod model;
mod postgres;
mod reconcile;
mod sqlite;
mod store;

pub use error::StateError;
pub use lease::Lease;
pub use model::{Owner, RunRecord, StateSnapshot, StreamState, TableRun};
pub use reconcile::{Reconcile, reconcile};
pub use store::StateStore;
