//! Binary COPY: from the server's messages into batches.

use super::cell::{Cell, Refusal};
use super::selection::{Selected, Selection};
use crate::client::Session;
use crate::error::wrap;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, SchemaRef};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use karat_plugin_api::{ConnectorError, DeclaredType, ErrorKind};
use std::sync::Arc;

/// What every binary COPY begins with.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// One batch may hold a value of 1 GiB beyond this, and still be below Arrow's 2 GiB per column.
const GREATEST_BATCH_BYTES: usize = 512 << 20;

/// Collects rows until a batch is full.
pub(crate) struct Rows {
    label: String,
    schema: SchemaRef,
    columns: Vec<(Cell, Selected)>,
    visible: usize,
    rows: usize,
    bytes: usize,
    /// Rows that are left until the next multiple of `batch_rows`.
    room: usize,
    batch_rows: usize,
    batch_bytes: usize,
    /// Rows so far, for messages.
    total: u64,
    /// Where the values of the current row are.
    places: Vec<(usize, usize)>,
}

/// A full batch, and the columns that only the position needs.
pub(crate) struct Filled {
    /// What is delivered.
    pub(crate) batch: RecordBatch,
    /// All columns of the selection.
    pub(crate) columns: Vec<ArrayRef>,
}

impl Rows {
    /// A collector for a selection whose visible columns have `schema`; `label` names the object in messages.
    pub(crate) fn new(label: &str, schema: &SchemaRef, selection: &Selection, batch_rows: usize, batch_bytes: usize) -> Result<Self, ConnectorError> {
        let batch_rows = batch_rows.max(1);
        let bug = || ConnectorError::new(ErrorKind::Bug, format!("a column of {label} has no decoder"));
        let columns = selection
            .columns
            .iter()
            .map(|column| Cell::new(&column.wire, &column.data_type, capacity(batch_rows)).map(|cell| (cell, column.clone())).ok_or_else(bug))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            label: label.to_owned(),
            schema: Arc::clone(schema),
            places: vec![(0, 0); columns.len()],
            columns,
            visible: selection.visible,
            rows: 0,
            bytes: 0,
            room: batch_rows,
            batch_rows,
            batch_bytes: batch_bytes.clamp(1, GREATEST_BATCH_BYTES),
            total: 0,
        })
    }

    fn is_full(&self) -> bool {
        self.rows == self.room || self.bytes >= self.batch_bytes
    }

    /// The collected rows; `None` when there are none.
    pub(crate) fn take(&mut self) -> Result<Option<Filled>, ConnectorError> {
        if self.rows == 0 {
            return Ok(None);
        }
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        for (cell, column) in &mut self.columns {
            columns.push(cell.finish());
            // A finished column has no room left; a new one has it at once, instead of growing step by step.
            if let Some(next) = Cell::new(&column.wire, &column.data_type, capacity(self.batch_rows)) {
                *cell = next;
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.room -= self.rows;
        if self.room == 0 {
            self.room = self.batch_rows;
        }
        self.rows = 0;
        self.bytes = 0;
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns[..self.visible].to_vec(), &options)
            .map_err(|error| ConnectorError::new(ErrorKind::Bug, format!("columns of {} do not make a batch", self.label)).with_source(error))?;
        Ok(Some(Filled { batch, columns }))
    }

    /// Lets batches end at multiples of the asked row count from here on.
    pub(crate) fn count_anew(&mut self) {
        self.room = self.batch_rows;
    }

    /// Adds the row that `places` points at.
    #[inline]
    fn add(&mut self, row: &[u8]) -> Result<(), ConnectorError> {
        for ((cell, column), (start, end)) in self.columns.iter_mut().zip(&self.places) {
            if *end == usize::MAX {
                if !column.nullable {
                    return Err(refuse(&self.label, column, Refusal::Null, self.total + 1));
                }
                cell.null();
            } else if let Err(refusal) = cell.value(&row[*start..*end]) {
                return Err(refuse(&self.label, column, refusal, self.total + 1));
            }
        }
        self.rows += 1;
        self.total += 1;
        self.bytes += row.len();
        Ok(())
    }

    /// Finds the values of the row that `bytes` begins with, and its end; `None` when it is not all there.
    #[inline]
    fn locate(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 2;
        for place in &mut self.places {
            let head = bytes.get(at..at + 4)?;
            at += 4;
            match usize::try_from(i32::from_be_bytes([head[0], head[1], head[2], head[3]])) {
                Ok(length) => {
                    *place = (at, at + length);
                    at += length;
                }
                Err(_) => *place = (at, usize::MAX),
            }
        }
        (at <= bytes.len()).then_some(at)
    }
}

fn capacity(batch_rows: usize) -> usize {
    batch_rows.min(65_536)
}

fn refuse(label: &str, column: &Selected, refusal: Refusal, row: u64) -> ConnectorError {
    let name = &column.name;
    if refusal == Refusal::Null {
        return ConnectorError::new(ErrorKind::BadData, format!("column `{name}` of {label} may not be NULL, and is NULL in row {row} of this read"))
            .with_help("correct the row at the source");
    }
    let type_name = DeclaredType::name_of(&column.data_type).map_or_else(|| column.data_type.to_string(), |name| format!("`{name}`"));
    let wider = match (&column.data_type, refusal) {
        (DataType::Decimal128(..) | DataType::Decimal256(..), Refusal::OutOfRange | Refusal::TooManyDigits) => "decimal(p,s)` with more digits, or `text",
        _ => "text",
    };
    ConnectorError::new(ErrorKind::BadData, format!("column `{name}` of {label} cannot be read as {type_name} in row {row} of this read: {refusal}"))
        .with_help(format!("correct the row at the source, or read the column as the server prints it: `types: {{{name}: {wider}}}`"))
}

/// One running COPY.
pub(crate) struct Copying<'s> {
    label: String,
    messages: BoxStream<'s, Result<Bytes, sqlx::Error>>,
    /// The message that is being read, from `at` on.
    chunk: Bytes,
    at: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The signature comes next.
    Header,
    Rows,
    /// The trailer was seen; only the end of the protocol may follow.
    Trailer,
    End,
}

/// What stopped [`Copying::fill`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fill {
    /// The batch is full.
    Full,
    /// All rows were read: the trailer, and the server's own word that the command is complete.
    End,
}

impl<'s> Copying<'s> {
    /// Starts `COPY (query) TO STDOUT`; `label` names what is read in messages.
    pub(crate) async fn start(session: &'s mut Session, label: &str, query: &str) -> Result<Self, ConnectorError> {
        let statement = format!("COPY ({query}) TO STDOUT (FORMAT binary)");
        tracing::debug!(statement, "copy");
        let messages = session.connection().copy_out_raw(&statement).await.map_err(|error| wrap(&format!("read {label}"), error))?;
        Ok(Self { label: label.to_owned(), messages, chunk: Bytes::new(), at: 0, state: State::Header })
    }

    /// Adds rows until the batch is full or there are no more. Cancelling it loses rows: drop the connection then.
    pub(crate) async fn fill(&mut self, rows: &mut Rows) -> Result<Fill, ConnectorError> {
        loop {
            if self.state == State::End {
                return Ok(Fill::End);
            }
            while self.step(rows)? {
                if rows.is_full() {
                    return Ok(Fill::Full);
                }
            }
            match self.messages.next().await {
                Some(Ok(message)) => self.receive(message),
                Some(Err(error)) => return Err(wrap(&format!("read {}", self.label), error)),
                None if self.state == State::Trailer && self.at == self.chunk.len() => self.state = State::End,
                None => return Err(ConnectorError::new(ErrorKind::Unreachable, format!("the rows of {} end in the middle", self.label))),
            }
        }
    }

    fn receive(&mut self, message: Bytes) {
        // The server sends one message per row; what a proxy in between makes of it is put together again.
        self.chunk = if self.at == self.chunk.len() { message } else { Bytes::from([&self.chunk[self.at..], &message[..]].concat()) };
        self.at = 0;
    }

    /// Reads the header, a row or the trailer; false when the next one is not all there yet.
    #[inline]
    fn step(&mut self, rows: &mut Rows) -> Result<bool, ConnectorError> {
        let bytes = &self.chunk[self.at..];
        if self.state == State::Header {
            let Some(length) = header(bytes).map_err(|()| self.malformed())? else { return Ok(false) };
            self.at += length;
            self.state = State::Rows;
            return Ok(true);
        }
        let Some(count) = bytes.first_chunk::<2>() else { return Ok(false) };
        let count = i16::from_be_bytes(*count);
        if self.state != State::Rows {
            return Err(self.malformed());
        }
        if count == -1 {
            self.at += 2;
            self.state = State::Trailer;
            return Ok(false);
        }
        if usize::try_from(count) != Ok(rows.columns.len()) {
            return Err(self.malformed());
        }
        let Some(length) = rows.locate(bytes) else { return Ok(false) };
        rows.add(&bytes[..length])?;
        self.at += length;
        Ok(true)
    }

    fn malformed(&self) -> ConnectorError {
        ConnectorError::new(ErrorKind::Bug, format!("the server's COPY of {} has another form than promised", self.label))
    }
}

fn header(bytes: &[u8]) -> Result<Option<usize>, ()> {
    let shown = bytes.len().min(SIGNATURE.len());
    if bytes[..shown] != SIGNATURE[..shown] {
        return Err(());
    }
    let Some(extension) = bytes.get(15..19) else { return Ok(None) };
    let length = usize::try_from(i32::from_be_bytes([extension[0], extension[1], extension[2], extension[3]])).map_err(|_| ())?;
    Ok((bytes.len() >= 19 + length).then_some(19 + length))
}
