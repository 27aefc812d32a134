//! A sink with a script of faults.

use crate::faults::through;
use crate::{FaultPoint, Faults};
use arrow::array::RecordBatch;
use async_trait::async_trait;
use karat_plugin_api::{CommitRequest, Committed, ConnectorError, Load, LoadRequest, Sink, Staged, StreamId, TargetObject, TargetState, WriteProgress};
use karat_spec::model::TableName;
use std::sync::Arc;

/// Any sink, with a script of faults around it.
pub struct FaultySink {
    inner: Arc<dyn Sink>,
    faults: Faults,
}

impl FaultySink {
    /// Wraps a sink.
    #[must_use]
    pub fn new(inner: Arc<dyn Sink>, faults: Faults) -> Self {
        Self { inner, faults }
    }
}

#[async_trait]
impl Sink for FaultySink {
    fn default_target(&self, table: &TableName) -> TargetObject {
        self.inner.default_target(table)
    }

    fn describe_target(&self, target: &TargetObject) -> String {
        self.inner.describe_target(target)
    }

    async fn target_state(&self, stream: &StreamId, target: &TargetObject) -> Result<TargetState, ConnectorError> {
        through(&self.faults, FaultPoint::TargetState, self.inner.target_state(stream, target)).await
    }

    async fn begin(&self, request: LoadRequest) -> Result<Box<dyn Load>, ConnectorError> {
        let inner = through(&self.faults, FaultPoint::Begin, self.inner.begin(request)).await?;
        Ok(Box::new(FaultyLoad { inner, faults: self.faults.clone() }))
    }
}

struct FaultyLoad {
    inner: Box<dyn Load>,
    faults: Faults,
}

#[async_trait]
impl Load for FaultyLoad {
    async fn write(&mut self, batch: RecordBatch) -> Result<WriteProgress, ConnectorError> {
        through(&self.faults, FaultPoint::Write, self.inner.write(batch)).await
    }

    async fn stage(&mut self) -> Result<Staged, ConnectorError> {
        through(&self.faults, FaultPoint::Stage, self.inner.stage()).await
    }

    async fn commit(&mut self, request: CommitRequest) -> Result<Committed, ConnectorError> {
        through(&self.faults, FaultPoint::Commit, self.inner.commit(request)).await
    }
}
