//! Rows on their way out, and how they move the position.

use super::Keyset;
use super::bounds::Lower;
use crate::source::copy::{Copying, Fill, Filled};
use crate::source::position::{rows_until, value};
use crate::source::reader::{Halt, Out};
use crate::source::settle::Settled;
use karat_plugin_api::{ConnectorError, CursorValue, Position, Unsettled};

impl Keyset<'_> {
    /// Delivers what stands at or before the position again, unless nothing changed there; then says how many rows were compared.
    pub(super) async fn again(&mut self, out: &mut Out) -> Result<Option<u64>, Halt> {
        if matches!(self.after, Position::Start) {
            return Ok(None);
        }
        let lower = self.lower(self.values(), self.unsettled())?;
        if matches!(lower, Lower::None) {
            return Ok(Some(0));
        }
        let upto = self.upto_position()?;
        if let Some(known) = self.known()? {
            let is_same = match self.reviewed {
                Some(is_same) => is_same,
                None => self.digest(&lower, upto.as_deref(), known.rows).await? == known,
            };
            if is_same {
                return Ok(Some(known.rows));
            }
        }
        if self.watermark().is_none() {
            return Ok(None);
        }
        let mut conditions: Vec<String> = upto.into_iter().collect();
        if let Lower::Where(condition) = lower {
            conditions.push(condition);
        }
        conditions.extend(self.unseen_by_the_last_read()?);
        let query = format!("{} ORDER BY {}", self.query(&conditions.join(" AND ")), self.order.by);
        let position = self.after_without_digest();
        self.deliver(&query, position, out).await?;
        Ok(None)
    }

    /// Delivers rows that do not move the position.
    pub(super) async fn deliver(&mut self, query: &str, position: Position, out: &mut Out) -> Result<(), Halt> {
        let Some(snapshot) = &mut self.snapshot else { return Ok(()) };
        let mut copying = Copying::start(&mut snapshot.session, &snapshot.described.label, query).await?;
        loop {
            let fill = copying.fill(&mut self.rows).await?;
            if let Some(filled) = self.rows.take()? {
                out.rows(filled.batch, Some(position.clone())).await?;
            }
            if fill == Fill::End {
                return Ok(());
            }
        }
    }

    /// Delivers the rows after the position.
    pub(super) async fn beyond(&mut self, settled: &Settled, out: &mut Out) -> Result<(), Halt> {
        let beyond = self.beyond_position()?;
        let (first, second) = match settled {
            Settled::Whole => (Some(beyond), None),
            Settled::Upto(tuple) if tuple.is_empty() => (None, Some(beyond)),
            Settled::Upto(tuple) if tuple.as_slice() == self.values() => (None, Some(beyond)),
            Settled::Upto(tuple) => (Some(format!("{beyond} AND {}", self.order.compared("<=", tuple)?)), Some(format!("{beyond} AND {}", self.order.compared(">", tuple)?))),
            Settled::Blocked(_) => (None, Some(beyond)),
        };
        if let Some(condition) = first {
            self.advance(&condition, None, out).await?;
        }
        if let Some(condition) = second {
            let low = match settled {
                Settled::Upto(tuple) | Settled::Blocked(tuple) => tuple.clone(),
                Settled::Whole => Vec::new(),
            };
            self.advance(&condition, Some(&low), out).await?;
        }
        Ok(())
    }

    /// Delivers rows in order, which moves the position; `low` is the tuple up to which they are settled, when that is not all.
    pub(super) async fn advance(&mut self, condition: &str, low: Option<&[CursorValue]>, out: &mut Out) -> Result<(), Halt> {
        let query = format!("{} ORDER BY {}", self.query(condition), self.order.by);
        let mut unsettled = None;
        let Some(mut snapshot) = self.snapshot.take() else { return Ok(()) };
        let taken = snapshot.taken;
        {
            let mut copying = Copying::start(&mut snapshot.session, &snapshot.described.label, &query).await?;
            loop {
                let fill = copying.fill(&mut self.rows).await?;
                if let Some(filled) = self.rows.take()? {
                    self.look_at(&filled, low.is_some())?;
                    if let (Some(low), None) = (low, &unsettled) {
                        unsettled = Some(self.transactions.unsettled(low, &taken, self.order.is_instant).await?);
                    }
                    out.rows(filled.batch, Some(self.present_position(unsettled.as_ref()))).await?;
                }
                if fill == Fill::End {
                    break;
                }
            }
        }
        self.snapshot = Some(snapshot);
        Ok(())
    }

    /// Moves the position to the last row that is not dated in the future.
    pub(super) fn look_at(&mut self, filled: &Filled, is_unsettled: bool) -> Result<(), ConnectorError> {
        let rows = filled.batch.num_rows();
        let cursor = &filled.columns[self.order.cursor_at];
        let upto = if self.order.is_instant { rows_until(cursor.as_ref(), self.order.future_from) } else { rows };
        self.future_rows += (rows - upto) as u64;
        if upto > 0 {
            let tuple = std::iter::once(&self.order.cursor_at).chain(&self.order.ties_at).map(|at| value(filled.columns[*at].as_ref(), upto - 1));
            self.moved = Some(tuple.collect::<Result<_, _>>()?);
            self.moved_beyond |= is_unsettled;
        }
        Ok(())
    }

    pub(super) fn after_without_digest(&self) -> Position {
        match &self.after {
            Position::Cursor { values, unsettled, .. } => Position::Cursor { values: values.clone(), tail: None, unsettled: unsettled.clone() },
            other => other.clone(),
        }
    }

    /// Where a read can be resumed now.
    pub(super) fn present_position(&self, unsettled: Option<&Unsettled>) -> Position {
        match &self.moved {
            Some(values) => Position::Cursor { values: values.clone(), tail: None, unsettled: unsettled.cloned() },
            None => self.after_without_digest(),
        }
    }

    /// Where the next run starts, with what it will compare.
    pub(super) async fn end_position(&mut self, settled: &Settled, delivered: u64, skipped: Option<u64>) -> Result<Position, Halt> {
        // What was open still is, and nothing came: the next run looks at the same rows again, by the same mark.
        if delivered == 0 && (matches!(self.after, Position::Start) || matches!(settled, Settled::Blocked(_))) {
            return Ok(self.after.clone());
        }
        let unsettled = match settled {
            Settled::Whole => None,
            Settled::Upto(_) if !self.moved_beyond => None,
            Settled::Upto(low) | Settled::Blocked(low) => self.unsettled_above(low).await?,
        };
        if delivered == 0 && skipped.is_some() && unsettled.is_some() == self.unsettled().is_some() {
            return Ok(self.after.clone());
        }
        let values = match (&self.moved, self.values()) {
            (Some(values), _) => values.clone(),
            (None, []) => vec![CursorValue::Null],
            (None, values) => values.to_vec(),
        };
        let tail = self.tail(&values, unsettled.as_ref()).await?;
        Ok(Position::Cursor { values, tail, unsettled })
    }
}
