//! What a place that keeps state can do.

use crate::{Lease, Owner, RunRecord, StateError, StateSnapshot, StreamState, TableRun};
use async_trait::async_trait;
use karat_plugin_api::StreamId;
use std::fmt::Debug;

/// The operations of [`crate::StateStore`], which documents them.
#[async_trait]
pub(crate) trait Backend: Debug + Send + Sync {
    async fn snapshot(&self) -> Result<StateSnapshot, StateError>;
    async fn runs(&self, limit: u32) -> Result<Vec<RunRecord>, StateError>;
    async fn acquire(&self, owner: &Owner) -> Result<Lease, StateError>;
    async fn release(&self, lease: Lease) -> Result<(), StateError>;
    async fn record_commit(&self, lease: &Lease, stream: &StreamState) -> Result<(), StateError>;
    async fn rebuild_stream(&self, lease: &Lease, stream: &StreamState) -> Result<(), StateError>;
    async fn forget_stream(&self, lease: &Lease, stream: &StreamId) -> Result<(), StateError>;
    async fn start_run(&self, lease: &Lease, run: &RunRecord) -> Result<(), StateError>;
    async fn finish_run(&self, lease: &Lease, run: &RunRecord, tables: &[(String, TableRun)]) -> Result<(), StateError>;
}
