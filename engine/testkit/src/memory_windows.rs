//! A read of whole windows of a table in memory.

use crate::dated;
use crate::memory_source::bug;
use arrow::array::{RecordBatch, UInt64Array};
use arrow::compute::take_record_batch;
use karat_plugin_api::{ConnectorError, CursorValue, ErrorKind, Position, SourceBatch, WindowBounds, next_window, window_start, windows_before};
use karat_spec::model::{NullCursor, Window};
use std::collections::BTreeMap;

/// What is read, and how.
pub(crate) struct Windows<'a> {
    /// The snapshot.
    pub(crate) rows: &'a RecordBatch,
    /// The columns that are wanted.
    pub(crate) columns: &'a [usize],
    pub(crate) batch_rows: usize,
    pub(crate) cursor: &'a str,
    pub(crate) unit: Window,
    pub(crate) after: &'a Position,
    pub(crate) refresh_last: u64,
    pub(crate) null_cursor: NullCursor,
    /// The clock; without one all time is past.
    pub(crate) now: Option<&'a CursorValue>,
    /// Whether windows without rows are ended one by one.
    pub(crate) walks: bool,
}

/// One window.
struct Group {
    /// Where it starts; `None` for the one at the end of every calendar, and for a read without rows that begins at the start of time.
    start: Option<CursorValue>,
    rows: Vec<usize>,
}

impl Windows<'_> {
    /// All steps of the read.
    pub(crate) fn read(&self) -> Result<Vec<SourceBatch>, ConnectorError> {
        let through = match self.after {
            Position::Start => None,
            Position::Windows { through } => Some(through.clone()),
            other => return Err(ConnectorError::new(ErrorKind::Bug, format!("a read of windows cannot start at {other}"))),
        };
        let from = through.as_ref().and_then(|through| windows_before(&window_start(through, self.unit)?, self.unit, self.refresh_last.max(1) - 1));
        let (mut groups, nulls) = self.groups(from.as_ref())?;
        if self.walks {
            self.fill(&mut groups, from.as_ref(), through.as_ref());
        }
        let mut groups: Vec<Group> = groups.into_values().collect();
        match groups.last_mut() {
            Some(last) => last.rows.extend(nulls),
            None => groups.push(Group { start: from.clone(), rows: nulls }),
        }
        self.steps(&groups, from, through)
    }

    /// The windows from `from` on that have rows, by where they start, and the rows without a value.
    fn groups(&self, from: Option<&CursorValue>) -> Result<(BTreeMap<i64, Group>, Vec<usize>), ConnectorError> {
        let least = from.and_then(dated::number);
        let (mut groups, mut nulls) = (BTreeMap::new(), Vec::new());
        for (row, cell) in dated::cells(self.rows, self.cursor)?.into_iter().enumerate() {
            let Some(cell) = cell else {
                nulls.push(row);
                continue;
            };
            let start = window_start(&cell, self.unit);
            // What no calendar knows belongs to the window at its end.
            let number = start.as_ref().and_then(dated::number).unwrap_or(i64::MAX);
            if least.is_none_or(|least| least <= number) {
                groups.entry(number).or_insert_with(|| Group { start, rows: Vec::new() }).rows.push(row);
            }
        }
        if !nulls.is_empty() && self.null_cursor == NullCursor::Error {
            return Err(ConnectorError::new(ErrorKind::BadData, format!("{} rows have no cursor value", nulls.len())));
        }
        Ok((groups, nulls))
    }

    /// Adds the windows without rows between the first and the last.
    fn fill(&self, groups: &mut BTreeMap<i64, Group>, from: Option<&CursorValue>, through: Option<&CursorValue>) {
        let mut start = from.cloned().or_else(|| groups.values().next()?.start.clone());
        let last = groups.keys().next_back().copied().max(through.and_then(dated::number));
        while let Some(next) = start.take().filter(|start| dated::number(start) <= last) {
            start = next_window(&next, self.unit);
            groups.entry(dated::number(&next).unwrap_or_default()).or_insert_with(|| Group { start: Some(next), rows: Vec::new() });
        }
    }

    fn steps(&self, groups: &[Group], mut from: Option<CursorValue>, mut through: Option<CursorValue>) -> Result<Vec<SourceBatch>, ConnectorError> {
        let mut steps = Vec::new();
        let (mut delivered, mut future_rows) = (0, 0);
        for (at, group) in groups.iter().enumerate() {
            for chunk in group.rows.chunks(self.batch_rows.max(1)) {
                let indices = UInt64Array::from_iter_values(chunk.iter().map(|row| *row as u64));
                let batch = take_record_batch(self.rows, &indices).and_then(|picked| picked.project(self.columns)).map_err(bug)?;
                steps.push(SourceBatch::Rows { batch, position: None });
            }
            delivered += group.rows.len() as u64;
            match &group.start {
                Some(start) if self.is_future(start) => future_rows += group.rows.len() as u64,
                Some(start) if !group.rows.is_empty() && through.as_ref().and_then(dated::number) < dated::number(start) => through = Some(start.clone()),
                _ => {}
            }
            let until = groups.get(at + 1).and_then(|next| next.start.clone());
            let with_null = at + 1 == groups.len() && self.null_cursor == NullCursor::AlwaysReread;
            let bounds = WindowBounds { from: from.take(), until: until.clone(), with_null };
            from = until;
            steps.push(SourceBatch::WindowEnd { bounds, position: position(through.as_ref()) });
        }
        steps.push(SourceBatch::End { rows: delivered, position: position(through.as_ref()), future_rows, skipped_rows: 0 });
        Ok(steps)
    }

    fn is_future(&self, start: &CursorValue) -> bool {
        self.now.and_then(|now| Some(dated::number(&window_start(now, self.unit)?)? < dated::number(start)?)).unwrap_or(false)
    }
}

fn position(through: Option<&CursorValue>) -> Position {
    through.map_or(Position::Start, |through| Position::Windows { through: through.clone() })
}
