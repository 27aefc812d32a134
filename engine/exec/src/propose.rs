//! Types for files that carry none: a proposal for a person to read and paste, never used by itself.

use crate::Connections;
use arrow::array::AsArray;
use arrow::datatypes::{DataType, TimeUnit};
use futures::StreamExt;
use karat_plugin_api::cells::{parse_float, parse_instant, parse_integer, parse_time};
use karat_plugin_api::{ColumnChoice, ConnectorError, ExtraColumns, ReadRequest, ReadStrategy, SourceBatch, SourceObject, SourceSchema};

/// Rows that are looked at, at most.
const SAMPLE_ROWS: u64 = 500_000;
const BATCH_ROWS: usize = 8_192;
const BATCH_BYTES: usize = 8 << 20;
/// Digits before the point that a proposed decimal leaves room for.
const ROOM: usize = 18;
const MOST_DIGITS: usize = 38;
const MICROSECOND_DIGITS: usize = 6;

/// Types that all rows looked at have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// Each column with a type of the language.
    pub columns: Vec<(String, String)>,
    /// Rows that were looked at.
    pub rows: u64,
    /// True when these were all rows.
    pub is_whole: bool,
}

/// Reads the files behind `path` as text, up to a bounded number of rows, and proposes types. `schema` names their columns.
///
/// Dropping the future ends the read.
///
/// # Errors
/// Those of the source.
pub async fn propose(connections: &dyn Connections, pipeline: usize, connection: &str, path: &str, schema: &SourceSchema) -> Result<Proposal, ConnectorError> {
    let source = connections.source(pipeline, connection)?;
    let column = |name: &String| ColumnChoice { name: name.clone(), data_type: DataType::Utf8, nullable: true };
    let names: Vec<String> = schema.columns.iter().map(|column| column.name.clone()).collect();
    let request = ReadRequest {
        object: SourceObject::Files(path.to_owned()),
        columns: names.iter().map(column).collect(),
        extra_columns: ExtraColumns::Ignore,
        strategy: ReadStrategy::Full,
        batch_rows: BATCH_ROWS,
        batch_bytes: BATCH_BYTES,
        parallel: 1,
    };
    let mut stream = source.read(request).await?.into_stream();
    let mut guesses = vec![Guess::default(); names.len()];
    let mut rows = 0;
    let mut is_whole = false;
    while rows < SAMPLE_ROWS {
        let Some(step) = stream.next().await else { break };
        let SourceBatch::Rows { batch, .. } = step? else {
            is_whole = true;
            break;
        };
        rows += batch.num_rows() as u64;
        for (guess, column) in guesses.iter_mut().zip(batch.columns()) {
            let Some(texts) = column.as_string_opt::<i32>() else { continue };
            texts.iter().flatten().filter(|text| !text.is_empty()).for_each(|text| guess.see(text));
        }
    }
    let columns = names.into_iter().zip(&guesses).map(|(name, guess)| (name, guess.data_type())).collect();
    Ok(Proposal { columns, rows, is_whole })
}

/// What all values of a column so far could be.
#[derive(Debug, Clone)]
struct Guess {
    is_empty: bool,
    boolean: bool,
    integer: bool,
    decimal: bool,
    float: bool,
    date: bool,
    time: bool,
    timestamp: bool,
    timestamptz: bool,
    /// Most digits before and after the point.
    digits: (usize, usize),
    nanoseconds: bool,
}

impl Default for Guess {
    fn default() -> Self {
        Self {
            is_empty: true,
            boolean: true,
            integer: true,
            decimal: true,
            float: true,
            date: true,
            time: true,
            timestamp: true,
            timestamptz: true,
            digits: (0, 0),
            nanoseconds: false,
        }
    }
}

impl Guess {
    fn see(&mut self, text: &str) {
        self.is_empty = false;
        let bytes = text.as_bytes();
        self.boolean &= text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false");
        if self.float {
            self.see_number(text);
        }
        if self.date || self.timestamp || self.timestamptz {
            let instant = parse_instant(bytes).ok();
            let timed = instant.as_ref().filter(|instant| instant.time_bytes > 0);
            self.date &= instant.is_some() && timed.is_none();
            self.timestamp &= timed.is_some_and(|instant| instant.offset.is_none());
            self.timestamptz &= timed.is_some_and(|instant| instant.offset.is_some());
            self.nanoseconds |= timed.is_some_and(|instant| instant.fraction_digits > MICROSECOND_DIGITS);
        }
        self.time = self.time && parse_time(bytes, TimeUnit::Microsecond).is_ok();
    }

    fn see_number(&mut self, text: &str) {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        // A leading zero is a code, such as a postal one: a number would lose it.
        let is_code = whole.len() > 1 && whole.starts_with('0') || text.starts_with('+');
        self.float &= !is_code && parse_float(text.as_bytes()).is_ok();
        self.integer &= self.float && parse_integer(text.as_bytes()).is_ok_and(|value| i64::try_from(value).is_ok());
        self.decimal &= self.float && [whole, fraction].iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
        self.digits = (self.digits.0.max(whole.len()), self.digits.1.max(fraction.len()));
        self.decimal &= self.digits.0 + self.digits.1 <= MOST_DIGITS;
    }

    fn data_type(&self) -> String {
        let suffix = if self.nanoseconds { "(9)" } else { "" };
        match self {
            _ if self.is_empty => "text".to_owned(),
            _ if self.boolean => "boolean".to_owned(),
            _ if self.integer => "bigint".to_owned(),
            _ if self.decimal => {
                let (whole, fraction) = self.digits;
                format!("decimal({},{fraction})", (whole.max(ROOM.saturating_sub(fraction)) + fraction).min(MOST_DIGITS))
            }
            _ if self.float => "double".to_owned(),
            _ if self.date => "date".to_owned(),
            _ if self.time => "time".to_owned(),
            _ if self.timestamp => format!("timestamp{suffix}"),
            _ if self.timestamptz => format!("timestamptz{suffix}"),
            _ => "text".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Guess;

    fn guess(values: &[&str]) -> String {
        let mut guess = Guess::default();
        values.iter().for_each(|value| guess.see(value));
        guess.data_type()
    }

    #[test]
    fn a_type_is_proposed_that_holds_every_value() {
        for (values, expected) in [
            (&[][..], "text"),
            (&["true", "FALSE"], "boolean"),
            (&["0", "1"], "bigint"),
            (&["1", "-20"], "bigint"),
            (&["01234", "99999"], "text"),
            (&["9223372036854775808"], "decimal(19,0)"),
            (&["1", "2.50", "-3.125"], "decimal(18,3)"),
            (&["0.5", "12345678901234567890.5"], "decimal(21,1)"),
            (&["1.5", "1e9"], "double"),
            (&["1.5", "x"], "text"),
            (&["2024-02-29"], "date"),
            (&["2024-02-30"], "text"),
            (&["10:30:00"], "time"),
            (&["2024-02-29 10:30:00", "2024-02-29 10:30:00.5"], "timestamp"),
            (&["2024-02-29T10:30:00Z", "2024-02-29T10:30:00+02:00"], "timestamptz"),
            (&["2024-02-29T10:30:00Z", "2024-02-29T10:30:00"], "text"),
            (&["2024-02-29 10:30:00.123456789"], "timestamp(9)"),
            (&["nan", "inf"], "text"),
        ] {
            assert_eq!(guess(values), expected, "{values:?}");
        }
    }
}
