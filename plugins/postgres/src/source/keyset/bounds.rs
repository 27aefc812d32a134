//! Which rows a position stands for, in SQL: those after it, those up to it, and those below it that are looked at again.

use super::Keyset;
use crate::source::position::{before, earlier};
use crate::source::transactions::first_unseen;
use karat_plugin_api::{ConnectorError, CursorValue, Unsettled};

/// Which rows a position says to look at again.
pub(super) enum Lower {
    /// None: nothing can have changed there.
    None,
    /// All that have a cursor.
    All,
    /// Those for which this holds.
    Where(String),
}

impl Keyset<'_> {
    /// `SELECT … WHERE condition`.
    pub(super) fn query(&self, condition: &str) -> String {
        format!("SELECT {} FROM {} WHERE {condition}", self.order.selection.sql(), self.snapshot().described.from)
    }

    pub(super) fn beyond_position(&self) -> Result<String, ConnectorError> {
        match self.watermark() {
            Some(_) => self.order.compared(">", self.values()),
            None => Ok(format!("{} IS NOT NULL", self.order.cursor)),
        }
    }

    pub(super) fn upto_position(&self) -> Result<Option<String>, ConnectorError> {
        match self.watermark() {
            Some(_) => self.order.compared("<=", self.values()).map(Some),
            // Nothing has a place below it.
            None => Ok(Some("false".into())),
        }
    }

    pub(super) fn lower(&self, values: &[CursorValue], unsettled: Option<&Unsettled>) -> Result<Lower, ConnectorError> {
        let Some(watermark) = values.first().filter(|value| **value != CursorValue::Null) else { return Ok(Lower::All) };
        let low = match unsettled {
            Some(unsettled) => match unsettled.low.first().filter(|value| **value != CursorValue::Null) {
                Some(low) => Some((low, &unsettled.low)),
                None => return Ok(Lower::All),
            },
            None => None,
        };
        let condition = match (self.lookback, low) {
            (Some(lookback), low) => {
                let bound = before(watermark, lookback)?;
                let bound = low.map_or(bound.clone(), |(low, _)| earlier(bound, low.clone()));
                format!("{} >= {}", self.order.cursor, self.order.cursor_value(&bound)?)
            }
            (None, Some((_, tuple))) if self.order.is_unique => self.order.compared(">", tuple)?,
            (None, Some((low, _))) => format!("{} >= {}", self.order.cursor, self.order.cursor_value(low)?),
            (None, None) if self.order.is_unique => return Ok(Lower::None),
            (None, None) => format!("{} >= {}", self.order.cursor, self.order.cursor_value(watermark)?),
        };
        Ok(Lower::Where(condition))
    }

    /// True of rows that were written by transactions which the last read could not see, and of a few more: what is older was delivered by it.
    pub(super) fn unseen_by_the_last_read(&self) -> Result<Option<String>, ConnectorError> {
        let described = &self.snapshot().described;
        // A lookback may reach further down than that of the last read did.
        let Some(first) = self.unsettled().and_then(first_unseen).filter(|_| described.heap.is_some() && self.lookback.is_none()) else { return Ok(None) };
        // Numbers of rows have 32 bits, so their ages are compared, which is only right within half of that range.
        let Some(distance) = self.snapshot().taken.transactions.1.checked_sub(first) else { return Ok(None) };
        if distance >= 1 << 31 {
            return Ok(None);
        }
        let unseen = format!("pg_catalog.age(source.xmin) <= pg_catalog.age('{}'::xid)", first % (1 << 32));
        // A read that was stopped inside a group of equal cursors has delivered only a part of that group.
        Ok(Some(match self.watermark() {
            Some(watermark) if !self.order.is_unique => format!("({unseen} OR {} >= {})", self.order.cursor, self.order.cursor_value(watermark)?),
            _ => unseen,
        }))
    }
}
