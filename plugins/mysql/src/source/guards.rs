//! What a source must not have done since last time, and rows that no cursor covers.

use super::catalogue::Described;
use super::comparison::Condition;
use super::keyset::Keyset;
use super::reader::{Halt, Link};
use super::value::parameter;
use crate::client::quote;
use karat_plugin_api::{ConnectorError, CursorValue, ErrorKind};
use karat_spec::model::NullCursor;

impl Keyset<'_> {
    /// A counter never goes back, so a lower one proves that the table was made again or restored, unless a row is there that proves the contrary.
    pub(super) fn refuse_a_source_that_went_back(&self, link: &mut Link<'_>) -> Result<(), Halt> {
        let (Some(watermark), Some((column, next))) = (self.watermark().cloned(), &self.described.counter) else { return Ok(()) };
        let read_upto = match watermark {
            CursorValue::Int(number) => u64::try_from(number).unwrap_or(0),
            CursorValue::UInt(number) => number,
            _ => return Ok(()),
        };
        if !self.is_unique || self.cursor != quote(column) || *next > read_upto || self.stands_at_or_above(link, &watermark)? {
            return Ok(());
        }
        Err(Halt::Failed(
            ConnectorError::new(ErrorKind::Refused, format!("{} went back: its next key is {next}, and rows up to {read_upto} were read before", self.described.label))
                .with_help("the table was emptied, made again or restored; read it again from the start with `karat run --full-refresh`, or rewind its state"),
        ))
    }

    fn stands_at_or_above(&self, link: &mut Link<'_>, watermark: &CursorValue) -> Result<bool, Halt> {
        self.exists(link, &Condition::from(&self.cursor, parameter(watermark)?))
    }

    pub(super) fn exists(&self, link: &mut Link<'_>, condition: &Condition) -> Result<bool, Halt> {
        exists(link, self.described, &self.from, condition)
    }

    /// Without a counter nobody knows whether the newest rows were deleted or the table was restored.
    pub(super) fn warn_of_a_source_that_may_have_gone_back(&self, link: &mut Link<'_>, delivered: u64, skipped: Option<u64>) -> Result<(), Halt> {
        let nothing_seen = delivered == 0 && skipped.is_none_or(|rows| rows == 0);
        let (true, Some(watermark)) = (nothing_seen, self.watermark()) else { return Ok(()) };
        if !self.stands_at_or_above(link, &watermark.clone())? {
            tracing::warn!(source = %self.described.label, "nothing stands at or above the watermark any more: the newest rows were deleted, or the source was restored");
        }
        Ok(())
    }

    /// True when there are rows without a cursor, and they are wanted.
    pub(super) fn null_rows(&self, link: &mut Link<'_>) -> Result<bool, Halt> {
        if !self.cursor_nullable {
            return Ok(false);
        }
        if !self.exists(link, &Condition::plain(format!("{} IS NULL", self.cursor)))? {
            return Ok(false);
        }
        if self.null_cursor == NullCursor::Error {
            let help = "choose a cursor that is never NULL, combine columns in `cursor_sql` (`COALESCE(updated_at, created_at)`), or set `null_cursor: always_reread`";
            return Err(Halt::Failed(ConnectorError::new(ErrorKind::BadData, format!("rows of {} have no cursor value", self.described.label)).with_help(help)));
        }
        Ok(true)
    }
}

/// True when a row meets the condition.
pub(super) fn exists(link: &mut Link<'_>, described: &Described, from: &str, condition: &Condition) -> Result<bool, Halt> {
    let sql = format!("SELECT 1 FROM {from} WHERE {} LIMIT 1", condition.sql);
    let failed = |fault| Halt::Failed(crate::error::wrap(&format!("read {}", described.label), link.server, fault));
    let mut rows = link.session.rows(&sql, &condition.parameters).map_err(failed)?;
    let mut found = false;
    while rows.next().map_err(failed)?.is_some() {
        found = true;
    }
    rows.finish().map_err(failed)?;
    Ok(found)
}
