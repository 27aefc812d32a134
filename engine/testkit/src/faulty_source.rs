//! A source with a script of faults.

use crate::faults::through;
use crate::{Fault, FaultPoint, Faults};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use futures::{StreamExt, stream};
use karat_plugin_api::{BatchStream, ConnectorError, Position, ReadRequest, Source, SourceObject, SourceRead, SourceSchema};
use std::sync::Arc;

/// Any source, with a script of faults around it.
pub struct FaultySource {
    inner: Arc<dyn Source>,
    faults: Faults,
}

impl FaultySource {
    /// Wraps a source.
    #[must_use]
    pub fn new(inner: Arc<dyn Source>, faults: Faults) -> Self {
        Self { inner, faults }
    }
}

#[async_trait]
impl Source for FaultySource {
    async fn describe(&self, object: &SourceObject) -> Result<SourceSchema, ConnectorError> {
        through(&self.faults, FaultPoint::Describe, self.inner.describe(object)).await
    }

    async fn probe(&self, request: &ReadRequest, committed: &Position) -> Result<Option<Position>, ConnectorError> {
        self.inner.probe(request, committed).await
    }

    async fn read(&self, request: ReadRequest) -> Result<Box<dyn SourceRead>, ConnectorError> {
        let inner = through(&self.faults, FaultPoint::Read, self.inner.read(request)).await?;
        Ok(Box::new(FaultyRead { inner, faults: self.faults.clone() }))
    }
}

struct FaultyRead {
    inner: Box<dyn SourceRead>,
    faults: Faults,
}

impl SourceRead for FaultyRead {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }

    fn into_stream(self: Box<Self>) -> BatchStream {
        let state = (self.inner.into_stream(), self.faults);
        let steps = stream::unfold(Some(state), |state| async move {
            let (mut rows, faults) = state?;
            let step = match faults.pass(FaultPoint::Batch) {
                Some(Fault::EndWithoutMark) => return None,
                Some(fault) => through(&Faults::default().at(FaultPoint::Batch, 1, fault), FaultPoint::Batch, async { rows.next().await.transpose() }).await.transpose(),
                None => rows.next().await,
            };
            let step = step?;
            let rest = step.is_ok().then_some((rows, faults));
            Some((step, rest))
        });
        steps.boxed()
    }
}
