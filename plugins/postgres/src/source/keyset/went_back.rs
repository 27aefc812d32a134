//! Sources that went back: restored, emptied, or replaced by another.

use super::Keyset;
use crate::source::reader::Halt;
use karat_plugin_api::{ConnectorError, CursorExpr, CursorValue, ErrorKind};

impl Keyset<'_> {
    /// A sequence never goes back, so a lower one proves that the source was restored or replaced, once its newest rows are gone, too.
    pub(super) async fn refuse_a_source_that_went_back(&mut self) -> Result<(), Halt> {
        let (Some(CursorValue::Int(watermark)), CursorExpr::Column(name), true) = (self.watermark().cloned(), &self.cursor, self.order.is_unique) else { return Ok(()) };
        let Some(sequence) = self.snapshot().described.column(name).and_then(|(_, facts)| facts.sequence.clone()) else { return Ok(()) };
        let oid = sequence.oid;
        let last = format!("CASE WHEN pg_catalog.has_sequence_privilege({oid}::oid, 'USAGE, SELECT') THEN pg_catalog.pg_sequence_last_value({oid}::oid) END");
        let Some(last) = self.snapshot_mut().number(&last).await? else { return Ok(()) };
        if last >= watermark || self.stands_at_watermark().await? {
            return Ok(());
        }
        Err(Halt::Failed(
            ConnectorError::new(
                ErrorKind::Refused,
                format!("{} went back: its sequence stands at {last} and no row at {watermark}, up to which rows were read before", self.snapshot().described.label),
            )
            .with_help("the table was emptied with RESTART IDENTITY, or restored; read it again from the start with `karat run --full-refresh`, or rewind its state"),
        ))
    }

    pub(super) async fn stands_at_watermark(&mut self) -> Result<bool, Halt> {
        let Some(watermark) = self.watermark() else { return Ok(true) };
        let condition = format!("EXISTS (SELECT 1 FROM {} WHERE {} >= {})", self.snapshot().described.from, self.order.cursor, self.order.cursor_value(watermark)?);
        Ok(self.snapshot_mut().holds(&condition).await?)
    }

    /// Without a sequence nobody knows whether the newest rows were deleted or the database was restored.
    pub(super) async fn warn_of_a_source_that_may_have_gone_back(&mut self, delivered: u64, skipped: Option<u64>) -> Result<(), Halt> {
        if delivered == 0 && skipped.is_none_or(|rows| rows == 0) && !self.stands_at_watermark().await? {
            tracing::warn!(source = %self.snapshot().described.label, "nothing stands at or above the watermark any more: the newest rows were deleted, or the source was restored");
        }
        Ok(())
    }
}
