//! Ranges of a table's key that hold about as many rows each, found by asking the optimiser, which looks into the index and reads no rows.

use super::catalogue::Described;
use super::comparison::Condition;
use super::reader::Link;
use crate::client::quote;
use crate::wire::Parameter;
use arrow::datatypes::DataType;
use karat_plugin_api::ConnectorError;

/// Ranges per reader, so that one slow range does not keep the others waiting at the end.
const PER_READER: u64 = 8;
/// Halvings of the key's range, at most: enough for any 64-bit key however its values crowd.
const GREATEST_DEPTH: u32 = 40;
/// Questions to the optimiser, at most.
const GREATEST_QUESTIONS: usize = 600;

/// Conditions that every row meets exactly one of; none when the table cannot be split, or is not worth it.
pub(crate) fn of_key(link: &mut Link<'_>, described: &Described, readers: usize) -> Result<Vec<Condition>, ConnectorError> {
    let Some(first) = described.schema.primary_key.first().filter(|_| described.is_table) else { return Ok(Vec::new()) };
    let is_whole = described.schema.column(first).is_some_and(|column| is_whole_number(&column.data_type));
    if !is_whole {
        return Ok(Vec::new());
    }
    let column = quote(first);
    let bounds = link.session.texts(&format!("SELECT MIN({column}), MAX({column}) FROM {}", described.from)).map_err(|fault| link.failed(fault))?;
    let bound = |at: usize| bounds.first().and_then(|row| row.get(at)).and_then(Option::as_deref).and_then(|text| text.parse::<i128>().ok());
    let (Some(least), Some(greatest)) = (bound(0), bound(1)) else { return Ok(Vec::new()) };
    let mut splitter = Splitter { link, from: &described.from, column: &column, questions: 0, most: 0, points: Vec::new() };
    let all = splitter.rows(least, greatest + 1)?;
    splitter.most = (all / (readers as u64 * PER_READER)).max(1_000);
    splitter.split(least, greatest + 1, 0)?;
    let points = splitter.points;
    if points.is_empty() {
        return Ok(Vec::new());
    }
    let below = |point: i128| Condition { sql: format!("{column} < ?"), parameters: vec![number(point)] };
    let mut conditions = vec![below(points[0])];
    conditions.extend(points.windows(2).map(|pair| Condition::from(&column, number(pair[0])).and(below(pair[1]))));
    conditions.extend(points.last().map(|last| Condition::from(&column, number(*last))));
    Ok(conditions)
}

fn is_whole_number(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64)
}

fn number(value: i128) -> Parameter {
    i64::try_from(value).map_or_else(|_| Parameter::UInt(u64::try_from(value).unwrap_or(u64::MAX)), Parameter::Int)
}

struct Splitter<'a, 'b> {
    link: &'a mut Link<'b>,
    from: &'a str,
    column: &'a str,
    questions: usize,
    /// Rows per range, about.
    most: u64,
    points: Vec<i128>,
}

impl Splitter<'_, '_> {
    /// About how many rows have a key in `[from, to)`.
    fn rows(&mut self, from: i128, to: i128) -> Result<u64, ConnectorError> {
        self.questions += 1;
        let sql = format!(
            "EXPLAIN FORMAT=TRADITIONAL SELECT 1 FROM {} FORCE INDEX (PRIMARY) WHERE {column} >= {from} AND {column} <= {last}",
            self.from,
            column = self.column,
            last = to - 1
        );
        let rows = self.link.session.texts(&sql).map_err(|fault| self.link.failed(fault))?;
        // The count stands before the last column, or before the last two where the server also says how much is filtered.
        let row = rows.first().map(Vec::as_slice).unwrap_or_default();
        let count = row.get(if row.len() > 10 { 9 } else { 8 }).and_then(Option::as_deref).and_then(|text| text.parse().ok());
        Ok(count.unwrap_or(0))
    }

    fn split(&mut self, from: i128, to: i128, depth: u32) -> Result<(), ConnectorError> {
        if depth >= GREATEST_DEPTH || to - from < 2 || self.questions >= GREATEST_QUESTIONS || self.rows(from, to)? <= self.most {
            return Ok(());
        }
        let middle = from + (to - from) / 2;
        self.split(from, middle, depth + 1)?;
        self.points.push(middle);
        self.split(middle, to, depth + 1)
    }
}
