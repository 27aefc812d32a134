//! How far the rows of one read can be relied on.

use super::catalogue::Described;
use super::collect::{Collector, CollectorOptions};
use super::comparison::{Condition, Side};
use super::keyset::{Keyset, is_instant};
use super::reader::{Halt, Link, Query, SNAPSHOT};
use super::settle::{self, Standing, UNLISTED};
use super::value::{Held, cursor_value, parameter};
use karat_plugin_api::{ConnectorError, CursorValue, ErrorKind, Position, Unsettled};

impl Keyset<'_> {
    /// Ends the first snapshot, takes the one of the read, and finds out how far its rows can be relied on.
    pub(super) fn settle(&mut self, link: &mut Link<'_>) -> Result<(), Halt> {
        link.run("ROLLBACK")?;
        if let Some(standing) = settle::quiet_snapshot(link)? {
            if standing == Standing::Unknown {
                tracing::warn!(source = %self.described.label, "without the privilege PROCESS nobody can tell which rows are committed late; give a `lookback`, or grant it");
            }
            return Ok(());
        }
        link.run(SNAPSHOT)?;
        let greatest = self.greatest(link)?;
        let earlier = settle::list(link)?;
        link.run("ROLLBACK")?;
        let Standing::Listed { before, has_caught_up } = settle::late_snapshot(link, &earlier)? else { return Ok(()) };
        if has_caught_up {
            self.settlement.low = Some(greatest.unwrap_or_else(|| self.values().to_vec()));
            return Ok(());
        }
        self.settlement.low = Some(match &self.after {
            Position::Cursor { values, unsettled: Some(Unsettled { low, open }), .. } => {
                self.settlement.keeps_open = settle::share(open, &before);
                if self.settlement.keeps_open { low.clone() } else { values.clone() }
            }
            Position::Cursor { values, .. } => values.clone(),
            _ => Vec::new(),
        });
        Ok(())
    }

    /// The greatest tuple after the position that is not dated in the future.
    fn greatest(&self, link: &mut Link<'_>) -> Result<Option<Vec<CursorValue>>, Halt> {
        let mut condition = match self.watermark() {
            Some(_) => self.tuple(self.values(), Side::After)?,
            None => Condition::plain(format!("{} IS NOT NULL", self.cursor)),
        };
        let sql = format!("SELECT {} FROM {}", self.order, self.from);
        let types = link.session.columns_of(&sql).map_err(|fault| link.failed(fault))?;
        if types.first().is_some_and(is_instant) {
            let bound = Condition { sql: format!("{} <= ?", self.cursor), parameters: vec![parameter(&CursorValue::Timestamp(self.future_from))?] };
            condition = condition.and(bound);
        }
        let order: Vec<String> = std::iter::once(&self.cursor).chain(&self.ties).map(|column| format!("{column} DESC")).collect();
        let query =
            Query { sql: format!("{sql} WHERE {} ORDER BY {} LIMIT 1", condition.sql, order.join(", ")), parameters: condition.parameters, watch: (0..self.watch.len()).collect() };
        let mut row = watcher(link, self.described)?;
        let mut found = None;
        link.scan(&query, &mut row, |row| {
            found = Some(tuple_of(row)?);
            Ok(())
        })?;
        Ok(found)
    }

    /// What transactions in progress may still add at or below `values`, once the read is done.
    pub(super) fn unsettled(&self, link: &mut Link<'_>, values: &[CursorValue]) -> Result<Option<Unsettled>, Halt> {
        let Some(low) = &self.settlement.low else { return Ok(None) };
        if low == values {
            return Ok(None);
        }
        if let (true, false, Position::Cursor { unsettled: Some(Unsettled { open, .. }), .. }) = (self.settlement.keeps_open, self.moved, &self.after)
            && !open.iter().any(|item| item == UNLISTED)
        {
            return Ok(Some(Unsettled { low: low.clone(), open: open.clone() }));
        }
        let open = settle::list(link)?;
        tracing::info!(source = %self.described.label, ?open, "transactions in progress: the next run looks again at what they may add");
        Ok(Some(Unsettled { low: low.clone(), open }))
    }
}

/// A collector that delivers nothing, for single tuples.
fn watcher(link: &Link<'_>, described: &Described) -> Result<Collector, ConnectorError> {
    let options = CollectorOptions { server: link.server, label: &described.label, choices: &[], key: &[], batch_rows: 2, batch_bytes: 1 << 20 };
    Collector::new(&options)
}

fn tuple_of(row: &Collector) -> Result<Vec<CursorValue>, ConnectorError> {
    let value = |(at, held): &(usize, Held)| match row.definition(*at) {
        Some(definition) => cursor_value(definition, held.wire()),
        None => Err(ConnectorError::new(ErrorKind::Bug, "a tuple has fewer values than columns")),
    };
    row.watched.iter().map(value).collect()
}
