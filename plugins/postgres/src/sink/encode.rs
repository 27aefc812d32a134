//! Rows in the server's binary COPY form, written straight from Arrow.
//!
//! A value that a column cannot hold exactly is refused here, with its column and row: the server would only say that a message is malformed.

use super::form::{Form, Target};
use super::json_text::write_json;
use super::numeric::{put_decimal, put_decimal_text};
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, Float32Array, Float64Array, Int16Array, Int32Array,
    Int64Array, IntervalMonthDayNanoArray, LargeBinaryArray, LargeListArray, LargeStringArray, ListArray, RecordBatch, StringArray, StringViewArray, Time64MicrosecondArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Date64Type, Int64Type, IntervalUnit, Time64NanosecondType, TimeUnit, TimestampNanosecondType};
use karat_plugin_api::{ConnectorError, ErrorKind};

/// What every COPY begins with: signature, flags, no extension.
pub(crate) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// What every COPY ends with.
pub(crate) const TRAILER: &[u8] = &[0xff, 0xff];

/// Days from 1970-01-01 to 2000-01-01, where the server counts from.
const EPOCH_DAYS: i32 = 10_957;

/// The same in microseconds.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// What the server takes as a date, in its own count: 4713 BC to 5874897 AD.
const DATES: std::ops::Range<i32> = -2_451_545..2_145_031_949;

/// What the server takes as a timestamp, in its own count: 4713 BC to 294276 AD.
const TIMESTAMPS: std::ops::Range<i64> = -211_813_488_000_000_000..9_223_371_331_200_000_000;

/// One day.
const DAY_MICROS: i64 = 86_400_000_000;

/// Encodes the columns of a load.
#[derive(Debug, Clone)]
pub(crate) struct RowEncoder {
    targets: Vec<Target>,
    /// A first column numbers the rows in the order they came.
    is_numbered: bool,
}

/// Why a value was not taken.
pub(crate) struct Fault(&'static str);

impl RowEncoder {
    pub(crate) fn new(targets: Vec<Target>, is_numbered: bool) -> Self {
        Self { targets, is_numbered }
    }

    /// The batch, ready to be encoded; `first_row` is the number of its first row within the load.
    pub(crate) fn prepare(&self, batch: &RecordBatch, first_row: u64) -> Result<Rows<'_>, ConnectorError> {
        if batch.num_columns() != self.targets.len() {
            return Err(ConnectorError::new(ErrorKind::Bug, "a batch does not have the columns of its load"));
        }
        let fields = self.targets.len() + usize::from(self.is_numbered);
        let fields = i16::try_from(fields).map_err(|_| ConnectorError::new(ErrorKind::Unsupported, format!("{fields} columns are more than a COPY can have")))?;
        let columns = self.targets.iter().zip(batch.columns()).map(|(target, array)| Cells::of(&target.form, array).map_err(|why| refused(&target.column, None, why)));
        Ok(Rows { encoder: self, columns: columns.collect::<Result<_, _>>()?, fields, first_row, rows: batch.num_rows() })
    }
}

/// A batch that is being encoded.
pub(crate) struct Rows<'a> {
    encoder: &'a RowEncoder,
    columns: Vec<Cells>,
    fields: i16,
    first_row: u64,
    rows: usize,
}

impl Rows<'_> {
    /// Appends rows from `start` on until `out` holds `limit` bytes; gives the first row that is left.
    pub(crate) fn encode(&self, start: usize, limit: usize, out: &mut Vec<u8>) -> Result<usize, ConnectorError> {
        let mut row = start;
        while row < self.rows && out.len() < limit {
            out.extend_from_slice(&self.fields.to_be_bytes());
            let number = self.first_row + row as u64;
            if self.encoder.is_numbered {
                put(out, number.cast_signed().to_be_bytes());
            }
            for (at, cells) in self.columns.iter().enumerate() {
                cells.put(row, out).map_err(|Fault(why)| refused(&self.encoder.targets[at].column, Some(number), why))?;
            }
            row += 1;
        }
        Ok(row)
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }
}

fn refused(column: &str, row: Option<u64>, why: &str) -> ConnectorError {
    let place = row.map_or_else(String::new, |row| format!(", row {} of this load", row + 1));
    ConnectorError::new(ErrorKind::BadData, format!("column `{column}`{place}: {why}"))
        .with_help(format!("mend the value at its source, leave the column out with `exclude`, or read it as something else: `types: {{{column}: text}}`"))
}

/// The values of one column, in an array type that holds exactly what the form needs.
struct Cells {
    nulls: Option<NullBuffer>,
    values: Values,
}

enum Values {
    Boolean(BooleanArray),
    Int16(Int16Array),
    Int32(Int32Array),
    Int64(Int64Array),
    Oid(Int64Array),
    Float32(Float32Array),
    Float64(Float64Array),
    Decimal128(Decimal128Array, i8),
    Decimal256(Decimal256Array, i8),
    Text(Texts, Prefix),
    Uuid(Texts),
    UuidBytes(arrow::array::FixedSizeBinaryArray),
    Json(ArrayRef),
    Bytes(BinaryArray),
    LargeBytes(LargeBinaryArray),
    BytesView(BinaryViewArray),
    Date(Date32Array),
    Time(Time64MicrosecondArray),
    Timestamp(TimestampMicrosecondArray),
    Interval(IntervalMonthDayNanoArray),
    List(Offsets, Box<Cells>, u32),
}

/// Texts in any of Arrow's layouts.
enum Texts {
    Utf8(StringArray),
    Large(LargeStringArray),
    View(StringViewArray),
}

/// What stands before a text.
#[derive(Clone, Copy)]
enum Prefix {
    None,
    /// The version of `jsonb`'s binary form.
    Jsonb,
}

enum Offsets {
    Small(ListArray),
    Large(LargeListArray),
}

impl Texts {
    fn of(array: &ArrayRef) -> Result<Self, &'static str> {
        match array.data_type() {
            DataType::Utf8 => Ok(Self::Utf8(array.as_string().clone())),
            DataType::LargeUtf8 => Ok(Self::Large(array.as_string().clone())),
            DataType::Utf8View => Ok(Self::View(array.as_string_view().clone())),
            _ => Err("its values are no texts"),
        }
    }

    fn value(&self, row: usize) -> &str {
        match self {
            Self::Utf8(array) => array.value(row),
            Self::Large(array) => array.value(row),
            Self::View(array) => array.value(row),
        }
    }
}

impl Cells {
    fn of(form: &Form, array: &ArrayRef) -> Result<Self, &'static str> {
        let array = &plain(array)?;
        let values = match form {
            Form::Boolean => Values::Boolean(array.as_boolean_opt().ok_or("its values are not true or false")?.clone()),
            Form::Int16 => Values::Int16(cast(array, &DataType::Int16)?.as_primitive().clone()),
            Form::Int32 => Values::Int32(cast(array, &DataType::Int32)?.as_primitive().clone()),
            Form::Int64 => Values::Int64(cast(array, &DataType::Int64)?.as_primitive().clone()),
            Form::Oid => Values::Oid(cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().clone()),
            Form::Float32 => Values::Float32(cast(array, &DataType::Float32)?.as_primitive().clone()),
            Form::Float64 => Values::Float64(cast(array, &DataType::Float64)?.as_primitive().clone()),
            Form::Numeric => match array.data_type() {
                DataType::Decimal128(_, scale) => Values::Decimal128(array.as_primitive().clone(), *scale),
                DataType::Decimal256(_, scale) => Values::Decimal256(array.as_primitive().clone(), *scale),
                DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
                    Values::Decimal128(cast(array, &DataType::Decimal128(*precision, *scale))?.as_primitive().clone(), *scale)
                }
                _ => Values::Decimal128(cast(array, &DataType::Decimal128(20, 0))?.as_primitive().clone(), 0),
            },
            Form::Text => Values::Text(Texts::of(array)?, Prefix::None),
            Form::Jsonb => match array.data_type() {
                DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Values::Text(Texts::of(array)?, Prefix::Jsonb),
                _ => Values::Json(array.clone()),
            },
            Form::Uuid => match array.data_type() {
                DataType::FixedSizeBinary(_) => Values::UuidBytes(array.as_fixed_size_binary().clone()),
                _ => Values::Uuid(Texts::of(array)?),
            },
            Form::Bytes => match array.data_type() {
                DataType::LargeBinary => Values::LargeBytes(array.as_binary().clone()),
                DataType::BinaryView => Values::BytesView(array.as_binary_view().clone()),
                _ => Values::Bytes(cast(array, &DataType::Binary)?.as_binary().clone()),
            },
            Form::Date => Values::Date(dates(array)?),
            Form::Time => Values::Time(times(array)?),
            Form::Timestamp => Values::Timestamp(timestamps(array)?),
            Form::Interval => Values::Interval(intervals(array)?),
            Form::List(element, oid) => match array.data_type() {
                DataType::LargeList(_) => {
                    let list: LargeListArray = array.as_list().clone();
                    let inner = Self::of(element, list.values())?;
                    Values::List(Offsets::Large(list), Box::new(inner), *oid)
                }
                _ => {
                    let list: ListArray = array.as_list_opt().ok_or("its values are no lists")?.clone();
                    let inner = Self::of(element, list.values())?;
                    Values::List(Offsets::Small(list), Box::new(inner), *oid)
                }
            },
        };
        Ok(Self { nulls: array.logical_nulls(), values })
    }

    #[inline]
    fn put(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            out.extend_from_slice(&(-1_i32).to_be_bytes());
            return Ok(());
        }
        match &self.values {
            Values::Boolean(array) => put(out, [u8::from(array.value(row))]),
            Values::Int16(array) => put(out, array.value(row).to_be_bytes()),
            Values::Int32(array) => put(out, array.value(row).to_be_bytes()),
            Values::Int64(array) => put(out, array.value(row).to_be_bytes()),
            Values::Oid(array) => put(out, u32::try_from(array.value(row)).map_err(|_| Fault("the number is no object identifier"))?.to_be_bytes()),
            Values::Float32(array) => put(out, array.value(row).to_be_bytes()),
            Values::Float64(array) => put(out, array.value(row).to_be_bytes()),
            Values::Decimal128(array, scale) => put_decimal(out, array.value(row), *scale),
            Values::Decimal256(array, scale) => match array.value(row).to_i128() {
                Some(value) => put_decimal(out, value, *scale),
                None => put_decimal_text(out, &array.value(row).to_string(), *scale),
            },
            Values::Text(texts, prefix) => put_text(out, texts.value(row), *prefix)?,
            Values::Uuid(texts) => put(out, *uuid::Uuid::try_parse(texts.value(row)).map_err(|_| Fault("the text is no UUID"))?.as_bytes()),
            Values::UuidBytes(array) => put_bytes(out, array.value(row))?,
            Values::Json(array) => put_sized(out, |out| {
                out.push(1);
                write_json(array, row, out).map_err(Fault)
            })?,
            Values::Bytes(array) => put_bytes(out, array.value(row))?,
            Values::LargeBytes(array) => put_bytes(out, array.value(row))?,
            Values::BytesView(array) => put_bytes(out, array.value(row))?,
            Values::Date(array) => {
                let days = array.value(row).checked_sub(EPOCH_DAYS).filter(|days| DATES.contains(days));
                put(out, days.ok_or(Fault("the date lies outside of 4713 BC to 5874897 AD"))?.to_be_bytes());
            }
            Values::Time(array) => {
                let micros = Some(array.value(row)).filter(|micros| (0..=DAY_MICROS).contains(micros));
                put(out, micros.ok_or(Fault("the time of day is no time within a day"))?.to_be_bytes());
            }
            Values::Timestamp(array) => {
                let micros = array.value(row).checked_sub(EPOCH_MICROS).filter(|micros| TIMESTAMPS.contains(micros));
                put(out, micros.ok_or(Fault("the timestamp lies outside of 4713 BC to 294276 AD"))?.to_be_bytes());
            }
            Values::Interval(array) => put_interval(out, array.value(row))?,
            Values::List(offsets, inner, oid) => put_list(out, offsets, inner, *oid, row)?,
        }
        Ok(())
    }
}

#[inline]
fn put<const N: usize>(out: &mut Vec<u8>, bytes: [u8; N]) {
    // Lengths of fixed forms are tiny.
    out.extend_from_slice(&(N as u32).to_be_bytes());
    out.extend_from_slice(&bytes);
}

#[inline]
fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Fault> {
    let length = i32::try_from(bytes.len()).map_err(|_| Fault("the value is larger than 2 GiB"))?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

#[inline]
fn put_text(out: &mut Vec<u8>, text: &str, prefix: Prefix) -> Result<(), Fault> {
    if text.as_bytes().contains(&0) {
        return Err(Fault("the text holds a NUL character, which PostgreSQL cannot store"));
    }
    match prefix {
        Prefix::None => put_bytes(out, text.as_bytes()),
        Prefix::Jsonb => put_sized(out, |out| {
            out.push(1);
            out.extend_from_slice(text.as_bytes());
            Ok(())
        }),
    }
}

/// Writes a value of a length that is known only afterwards.
fn put_sized(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<(), Fault>) -> Result<(), Fault> {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out)?;
    let length = i32::try_from(out.len() - at - 4).map_err(|_| Fault("the value is larger than 2 GiB"))?;
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

fn put_interval(out: &mut Vec<u8>, value: arrow::datatypes::IntervalMonthDayNano) -> Result<(), Fault> {
    if value.nanoseconds % 1_000 != 0 {
        return Err(Fault("the interval holds nanoseconds, which PostgreSQL cannot keep"));
    }
    out.extend_from_slice(&16_u32.to_be_bytes());
    out.extend_from_slice(&(value.nanoseconds / 1_000).to_be_bytes());
    out.extend_from_slice(&value.days.to_be_bytes());
    out.extend_from_slice(&value.months.to_be_bytes());
    Ok(())
}

fn put_list(out: &mut Vec<u8>, offsets: &Offsets, inner: &Cells, oid: u32, row: usize) -> Result<(), Fault> {
    let as_place = |offset: i64| usize::try_from(offset).map_err(|_| Fault("the list is damaged"));
    let (start, end) = match offsets {
        Offsets::Small(list) => (as_place(i64::from(list.value_offsets()[row]))?, as_place(i64::from(list.value_offsets()[row + 1]))?),
        Offsets::Large(list) => (as_place(list.value_offsets()[row])?, as_place(list.value_offsets()[row + 1])?),
    };
    let length = i32::try_from(end - start).map_err(|_| Fault("the list is too long"))?;
    let has_null = inner.nulls.as_ref().is_some_and(|nulls| (start..end).any(|at| nulls.is_null(at)));
    put_sized(out, |out| {
        out.extend_from_slice(&i32::from(length > 0).to_be_bytes());
        out.extend_from_slice(&i32::from(has_null).to_be_bytes());
        out.extend_from_slice(&oid.to_be_bytes());
        if length > 0 {
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(&1_i32.to_be_bytes());
        }
        (start..end).try_for_each(|at| inner.put(at, out))
    })
}

/// The array itself, not a dictionary or runs of it.
fn plain(array: &ArrayRef) -> Result<ArrayRef, &'static str> {
    match array.data_type() {
        DataType::Dictionary(_, value) => cast(array, value),
        DataType::RunEndEncoded(_, value) => cast(array, value.data_type()),
        _ => Ok(array.clone()),
    }
}

fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, &'static str> {
    if array.data_type() == to {
        return Ok(array.clone());
    }
    cast_with_options(array, to, &CastOptions { safe: false, ..CastOptions::default() }).map_err(|_| "one of its values is out of the range of the target's column")
}

fn dates(array: &ArrayRef) -> Result<Date32Array, &'static str> {
    if let Some(milliseconds) = array.as_primitive_opt::<Date64Type>()
        && milliseconds.iter().flatten().any(|value| value % 86_400_000 != 0)
    {
        return Err("one of its dates holds a time of day, which the target's column cannot keep");
    }
    Ok(cast(array, &DataType::Date32)?.as_primitive().clone())
}

fn times(array: &ArrayRef) -> Result<Time64MicrosecondArray, &'static str> {
    if let Some(nanos) = array.as_primitive_opt::<Time64NanosecondType>()
        && nanos.iter().flatten().any(|value| value % 1_000 != 0)
    {
        return Err(NANOSECONDS);
    }
    Ok(cast(array, &DataType::Time64(TimeUnit::Microsecond))?.as_primitive().clone())
}

const NANOSECONDS: &str = "one of its values holds nanoseconds, which PostgreSQL cannot keep";

fn timestamps(array: &ArrayRef) -> Result<TimestampMicrosecondArray, &'static str> {
    if let Some(nanos) = array.as_primitive_opt::<TimestampNanosecondType>()
        && nanos.iter().flatten().any(|value| value % 1_000 != 0)
    {
        return Err(NANOSECONDS);
    }
    let zone = if let DataType::Timestamp(_, zone) = array.data_type() { zone.clone() } else { None };
    Ok(cast(array, &DataType::Timestamp(TimeUnit::Microsecond, zone))?.as_primitive().clone())
}

fn intervals(array: &ArrayRef) -> Result<IntervalMonthDayNanoArray, &'static str> {
    let interval = DataType::Interval(IntervalUnit::MonthDayNano);
    match array.data_type() {
        DataType::Duration(_) => {
            let micros = cast(array, &DataType::Duration(TimeUnit::Microsecond))?;
            let micros = micros.as_primitive::<arrow::datatypes::DurationMicrosecondType>();
            if !micros.is_empty() && array.data_type() == &DataType::Duration(TimeUnit::Nanosecond) {
                let nanos = array.as_primitive::<arrow::datatypes::DurationNanosecondType>();
                if nanos.iter().flatten().any(|value| value % 1_000 != 0) {
                    return Err(NANOSECONDS);
                }
            }
            let interval = |micros: i64| micros.checked_mul(1_000).map(|nanos| arrow::datatypes::IntervalMonthDayNano::new(0, 0, nanos));
            micros.iter().map(|value| value.map_or(Some(None), |micros| interval(micros).map(Some))).collect::<Option<_>>().ok_or("one of its durations is longer than 292 years")
        }
        _ => Ok(cast(array, &interval)?.as_primitive().clone()),
    }
}
