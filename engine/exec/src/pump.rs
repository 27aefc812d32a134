//! Reading ahead: the source is polled while the sink writes, with a bounded channel between them.

use futures::StreamExt;
use futures::stream::BoxStream;
use karat_plugin_api::{ConnectorError, ErrorKind, SourceBatch};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// How many batches wait between source and sink at most.
const CHANNEL_BATCHES: usize = 2;

/// A read that goes on in its own task. Dropping it aborts the task, which cancels the read at the source.
pub(crate) struct Pump {
    batches: mpsc::Receiver<Result<SourceBatch, ConnectorError>>,
    reader: JoinSet<()>,
    stop: CancellationToken,
}

impl Pump {
    /// Starts reading.
    pub(crate) fn start(stream: BoxStream<'static, Result<SourceBatch, ConnectorError>>, cancel: &CancellationToken) -> Self {
        let (sender, batches) = mpsc::channel(CHANNEL_BATCHES);
        let stop = cancel.child_token();
        let mut reader = JoinSet::new();
        reader.spawn(read(stream, sender, stop.clone()).in_current_span());
        Self { batches, reader, stop }
    }

    /// The next step of the read. After the end, or an error, it is not to be called again. Dropping the future loses nothing.
    ///
    /// # Errors
    /// Those of the source; [`ErrorKind::Bug`] when the reading task panicked; [`ErrorKind::Cancelled`].
    pub(crate) async fn next(&mut self) -> Result<SourceBatch, ConnectorError> {
        let step = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err(cancelled()),
            step = self.batches.recv() => step,
        };
        match step {
            Some(step) => step,
            // A closed channel proves nothing: only the task's own result tells a panic from a stream that forgot its end.
            None => match self.reader.join_next().await {
                Some(Err(error)) if error.is_panic() => Err(ConnectorError::new(ErrorKind::Bug, format!("the source panicked: {}", panic_text(&*error.into_panic())))),
                Some(Err(_)) => Err(cancelled()),
                Some(Ok(())) | None if self.stop.is_cancelled() => Err(cancelled()),
                Some(Ok(())) | None => {
                    Err(ConnectorError::new(ErrorKind::Unreachable, "the read ended without the source's own end mark: rows may be missing, so nothing of it is committed"))
                }
            },
        }
    }

    /// Stops the reading task and waits until it has let go of the source.
    pub(crate) async fn close(mut self) {
        self.stop.cancel();
        self.batches.close();
        self.reader.shutdown().await;
    }
}

async fn read(mut stream: BoxStream<'static, Result<SourceBatch, ConnectorError>>, sender: mpsc::Sender<Result<SourceBatch, ConnectorError>>, stop: CancellationToken) {
    loop {
        let step = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            step = stream.next() => step,
        };
        let Some(step) = step else { return };
        let is_last = !matches!(step, Ok(SourceBatch::Rows { .. } | SourceBatch::WindowEnd { .. }));
        // The receiver is gone only when nobody wants the rest.
        if sender.send(step).await.is_err() || is_last {
            return;
        }
    }
}

/// The run was told to stop.
pub(crate) fn cancelled() -> ConnectorError {
    ConnectorError::new(ErrorKind::Cancelled, "the run was told to stop")
}

/// What a panic said.
pub(crate) fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    payload.downcast_ref::<&str>().map(|text| (*text).to_owned()).or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}
