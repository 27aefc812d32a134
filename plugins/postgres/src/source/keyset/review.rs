//! What stands below a position, as a digest: equal to the remembered one, nothing is new there.

use super::Keyset;
use super::bounds::Lower;
use crate::source::copy::{Copying, Fill, Rows};
use crate::source::reader::Halt;
use crate::source::selection::Selection;
use crate::source::settle::Settled;
use crate::source::transactions::InProgress;
use karat_plugin_api::{ConnectorError, CursorValue, ErrorKind, Position, Tail, TailDigest, Unsettled};
use karat_spec::model::NullCursor;

/// Rows per batch where rows are only hashed.
const HASHED_ROWS: usize = 8_192;

impl Keyset<'_> {
    /// The digest that the position remembers.
    pub(super) fn known(&self) -> Result<Option<TailDigest>, ConnectorError> {
        let Position::Cursor { tail: Some(tail), .. } = &self.after else { return Ok(None) };
        TailDigest::of_tail(tail).map(Some).ok_or_else(|| ConnectorError::new(ErrorKind::Corrupt, "the digest in the stored position is damaged"))
    }

    /// How many rows were compared, when not a single one is new or changed.
    pub(super) async fn nothing_new(&mut self) -> Result<Option<u64>, Halt> {
        if matches!(self.after, Position::Start) {
            return Ok(None);
        }
        let lower = self.lower(self.values(), self.unsettled())?;
        let known = match (&lower, self.known()?) {
            (Lower::None, _) => TailDigest::default(),
            (_, Some(known)) => {
                let upto = self.upto_position()?;
                let seen = self.digest(&lower, upto.as_deref(), known.rows).await?;
                self.reviewed = Some(seen == known);
                if seen != known {
                    // Rows dated in the future stand after the position, and are part of what it remembers.
                    let is_same = self.digest(&lower, None, known.rows).await? == known;
                    return Ok(is_same.then_some(known.rows));
                }
                known
            }
            (_, None) => return Ok(None),
        };
        let condition = format!("EXISTS (SELECT 1 FROM {} WHERE {})", self.snapshot().described.from, self.beyond_position()?);
        let news = self.snapshot_mut().holds(&condition).await?;
        Ok((!news).then_some(known.rows))
    }

    /// The same position, settled if that can be said now.
    pub(super) async fn position_without_news(&mut self, before: Option<&InProgress>) -> Result<Position, Halt> {
        // A standby does not say what is in progress on its primary.
        if self.unsettled().is_none() || self.snapshot().is_standby {
            return Ok(self.after.clone());
        }
        if matches!(self.settled_by_the_last_read(before), Settled::Blocked(_)) && !self.prove_quiet().await? {
            return Ok(self.after.clone());
        }
        let values = self.values().to_vec();
        let tail = self.tail(&values, None).await?;
        Ok(Position::Cursor { values, tail, unsettled: None })
    }

    /// The digest of everything that the next run looks at again; `None` when that is nothing, or the whole table.
    pub(super) async fn tail(&mut self, values: &[CursorValue], unsettled: Option<&Unsettled>) -> Result<Option<Tail>, Halt> {
        let lower = self.lower(values, unsettled)?;
        match lower {
            Lower::None => Ok(None),
            Lower::All if unsettled.is_some() => Ok(None),
            Lower::All | Lower::Where(_) => Ok(Some(self.digest(&lower, None, u64::MAX).await?.tail())),
        }
    }

    /// The digest of rows from a lower bound on, and of those without a cursor; soon after there are more than `at_most` it stops, which makes it
    /// differ from any with so many.
    pub(super) async fn digest(&mut self, lower: &Lower, upto: Option<&str>, at_most: u64) -> Result<TailDigest, Halt> {
        let mut digest = TailDigest::default();
        let mut conditions: Vec<String> = upto.map(str::to_owned).into_iter().collect();
        match lower {
            Lower::None => return Ok(digest),
            Lower::All => conditions.push(format!("{} IS NOT NULL", self.order.cursor)),
            Lower::Where(condition) => conditions.push(condition.clone()),
        }
        self.hash(&conditions.join(" AND "), at_most, &mut digest).await?;
        if self.order.cursor_is_nullable && self.null_cursor == NullCursor::AlwaysReread {
            self.hash(&format!("{} IS NULL", self.order.cursor), at_most, &mut digest).await?;
        }
        Ok(digest)
    }

    pub(super) async fn hash(&mut self, condition: &str, at_most: u64, digest: &mut TailDigest) -> Result<(), Halt> {
        let limit = at_most.saturating_sub(digest.rows).saturating_add(1).min(i64::MAX as u64);
        let selection = Selection { columns: self.order.selection.columns[..self.order.selection.visible].to_vec(), visible: self.order.selection.visible };
        let Some(snapshot) = &mut self.snapshot else { return Ok(()) };
        let query = format!("SELECT {} FROM {} WHERE {condition} LIMIT {limit}", selection.sql(), snapshot.described.from);
        let mut rows = Rows::new(&snapshot.described.label, self.schema, &selection, HASHED_ROWS, self.request.batch_bytes)?;
        let mut copying = Copying::start(&mut snapshot.session, &snapshot.described.label, &query).await?;
        loop {
            let fill = copying.fill(&mut rows).await?;
            if let Some(filled) = rows.take()? {
                digest.add(&filled.batch)?;
            }
            if fill == Fill::End {
                return Ok(());
            }
        }
    }
}
