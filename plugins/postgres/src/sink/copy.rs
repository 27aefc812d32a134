//! Rows on their way to the server: encoded, collected, and sent by COPY.

use super::encode::{HEADER, RowEncoder, TRAILER};
use super::relation::Trouble;
use crate::client::Session;
use arrow::array::RecordBatch;

/// Bytes that are encoded before they are sent: little enough to share the thread with others.
const PIECE: usize = 256 << 10;

/// Bytes that are collected before a COPY begins.
const HOLD: usize = 1 << 20;

/// Encoded rows that wait for their COPY.
pub(crate) struct Outbox {
    encoder: RowEncoder,
    buffer: Vec<u8>,
    rows: u64,
}

impl Outbox {
    pub(crate) fn new(encoder: RowEncoder) -> Self {
        Self { encoder, buffer: Vec::new(), rows: 0 }
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Encodes a batch and keeps it.
    pub(crate) fn keep(&mut self, batch: &RecordBatch, first_row: u64) -> Result<(), Trouble> {
        let Self { encoder, buffer, rows } = self;
        let prepared = encoder.prepare(batch, first_row)?;
        prepared.encode(0, usize::MAX, buffer)?;
        *rows += batch.num_rows() as u64;
        Ok(())
    }

    /// Encodes a batch; as soon as enough bytes wait, all rows are sent with the COPY statement. Dropping the future breaks the connection's COPY.
    pub(crate) async fn pass(&mut self, session: &mut Session, statement: &str, batch: &RecordBatch, first_row: u64) -> Result<(), Trouble> {
        let Self { encoder, buffer, rows } = self;
        let prepared = encoder.prepare(batch, first_row)?;
        let mut next = prepared.encode(0, HOLD, buffer)?;
        let waiting = *rows + batch.num_rows() as u64;
        if next == prepared.rows() && buffer.len() < HOLD {
            *rows = waiting;
            return Ok(());
        }
        let mut copy = session.connection().copy_in_raw(statement).await?;
        copy.send(HEADER).await?;
        loop {
            copy.send(buffer.as_slice()).await?;
            buffer.clear();
            if next == prepared.rows() {
                break;
            }
            next = prepared.encode(next, PIECE, buffer)?;
        }
        copy.send(TRAILER).await?;
        expect_rows(copy.finish().await?, waiting)?;
        *rows = 0;
        Ok(())
    }

    /// Sends what waits, and keeps it: a transaction that fails sends it again.
    pub(crate) async fn send(&self, session: &mut Session, statement: &str) -> Result<u64, Trouble> {
        if self.rows == 0 {
            return Ok(0);
        }
        let mut copy = session.connection().copy_in_raw(statement).await?;
        copy.send(HEADER).await?;
        copy.send(self.buffer.as_slice()).await?;
        copy.send(TRAILER).await?;
        expect_rows(copy.finish().await?, self.rows)?;
        Ok(self.rows)
    }

    /// Forgets what waits: it is sent.
    pub(crate) fn clear(&mut self) {
        self.buffer.clear();
        self.rows = 0;
    }
}

/// The server counts what it took (I9): a COPY that swallowed rows, by a trigger or a rule, must not pass for a whole one.
fn expect_rows(taken: u64, sent: u64) -> Result<(), Trouble> {
    if taken == sent {
        return Ok(());
    }
    let message = format!("{sent} rows were sent, but the server took {taken}: a trigger or a rule of the table leaves rows out");
    Err(karat_plugin_api::ConnectorError::new(karat_plugin_api::ErrorKind::Refused, message).with_help("remove the trigger, or load another table").into())
}
