//! One column of a read: from the server's binary form into an Arrow array, exactly or refused.

use super::numeric;
use crate::schema::Wire;
use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBufferBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Decimal256Builder, Float32Builder, Float64Builder, Int16Builder, Int32Builder,
    Int64Builder, IntervalMonthDayNanoBuilder, ListArray, StringBuilder, Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, FieldRef, IntervalMonthDayNano, IntervalUnit, TimeUnit};
use karat_plugin_api::cells::{Cells, Mismatch};
use std::fmt;
use std::sync::Arc;

/// Days from 1970-01-01 to 2000-01-01.
const EPOCH_DAYS: i32 = 10_957;
/// Microseconds from 1970-01-01 to 2000-01-01.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// Microseconds of a day.
const DAY_MICROS: i64 = 86_400_000_000;

/// Why a value is not taken. Never holds the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// NULL where none may be.
    Null,
    /// `NaN` in a decimal.
    NotANumber,
    /// An infinite number, date or timestamp.
    Infinite,
    /// Outside of what the Arrow type holds.
    OutOfRange,
    /// More digits after the point than the type keeps.
    TooManyDigits,
    /// 24:00:00.
    EndOfDay,
    /// An array of more than one dimension, or one that does not count from 1.
    Shape,
    /// Bytes of another form than the type's.
    Malformed,
    /// It does not fit a type that the user declared.
    Misfit(Mismatch),
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Null => "the value is NULL",
            Self::NotANumber => "the value is NaN",
            Self::Infinite => "the value is infinite",
            Self::OutOfRange => "the value is out of range",
            Self::TooManyDigits => "the value has more digits after the point than the type keeps",
            Self::EndOfDay => "the value is 24:00:00, which is no time of a day",
            Self::Shape => "the array has several dimensions, or does not count from 1",
            Self::Malformed => "the server sent another form than that of the type",
            Self::Misfit(mismatch) => return mismatch.fmt(out),
        })
    }
}

impl From<Mismatch> for Refusal {
    fn from(mismatch: Mismatch) -> Self {
        Self::Misfit(mismatch)
    }
}

/// A growing column.
pub(crate) enum Cell {
    Boolean(BooleanBuilder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Oid(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Decimal128(Decimal128Builder, u8, i8),
    Decimal256(Decimal256Builder, u8, i8),
    Text(StringBuilder),
    Jsonb(StringBuilder),
    Uuid(StringBuilder),
    Bytes(BinaryBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Interval(IntervalMonthDayNanoBuilder),
    List(Box<List>),
    /// A type that the user declared: whole numbers, floats or text as values of it.
    Declared(Wire, Cells),
}

/// A growing column of lists.
pub(crate) struct List {
    field: FieldRef,
    items: Cell,
    offsets: Vec<i32>,
    validity: BooleanBufferBuilder,
    length: i32,
}

impl Cell {
    /// A column that takes `wire` as `data_type`; `None` where that is no exact conversion.
    pub(crate) fn new(wire: &Wire, data_type: &DataType, rows: usize) -> Option<Self> {
        let text = || StringBuilder::with_capacity(rows, rows * 16);
        Some(match (wire, data_type) {
            (Wire::Boolean, DataType::Boolean) => Self::Boolean(BooleanBuilder::with_capacity(rows)),
            (Wire::Int16, DataType::Int16) => Self::Int16(Int16Builder::with_capacity(rows)),
            (Wire::Int32, DataType::Int32) => Self::Int32(Int32Builder::with_capacity(rows)),
            (Wire::Int64, DataType::Int64) => Self::Int64(Int64Builder::with_capacity(rows)),
            (Wire::Oid, DataType::Int64) => Self::Oid(Int64Builder::with_capacity(rows)),
            (Wire::Float32, DataType::Float32) => Self::Float32(Float32Builder::with_capacity(rows)),
            (Wire::Float64, DataType::Float64) => Self::Float64(Float64Builder::with_capacity(rows)),
            (Wire::Numeric, DataType::Decimal128(precision, scale)) => {
                Self::Decimal128(Decimal128Builder::with_capacity(rows).with_data_type(data_type.clone()), *precision, *scale)
            }
            (Wire::Numeric, DataType::Decimal256(precision, scale)) => {
                Self::Decimal256(Decimal256Builder::with_capacity(rows).with_data_type(data_type.clone()), *precision, *scale)
            }
            (Wire::Text, DataType::Utf8) => Self::Text(text()),
            (Wire::Jsonb, DataType::Utf8) => Self::Jsonb(text()),
            (Wire::Uuid, DataType::Utf8) => Self::Uuid(StringBuilder::with_capacity(rows, rows * 36)),
            (Wire::Bytes, DataType::Binary) => Self::Bytes(BinaryBuilder::with_capacity(rows, rows * 16)),
            (Wire::Date, DataType::Date32) => Self::Date(Date32Builder::with_capacity(rows)),
            (Wire::Time, DataType::Time64(TimeUnit::Microsecond)) => Self::Time(Time64MicrosecondBuilder::with_capacity(rows)),
            (Wire::Timestamp, DataType::Timestamp(TimeUnit::Microsecond, _)) => Self::Timestamp(TimestampMicrosecondBuilder::with_capacity(rows).with_data_type(data_type.clone())),
            (Wire::Interval, DataType::Interval(IntervalUnit::MonthDayNano)) => Self::Interval(IntervalMonthDayNanoBuilder::with_capacity(rows)),
            (Wire::List(item), DataType::List(field)) => {
                let items = Self::new(item, field.data_type(), rows)?;
                Self::List(Box::new(List { field: Arc::clone(field), items, offsets: vec![0], validity: BooleanBufferBuilder::new(rows), length: 0 }))
            }
            (Wire::Int16 | Wire::Int32 | Wire::Int64 | Wire::Oid | Wire::Float32 | Wire::Float64 | Wire::Text, _) => Self::Declared(wire.clone(), Cells::new(data_type, rows)?),
            _ => return None,
        })
    }

    /// Adds a missing value.
    #[inline]
    pub(crate) fn null(&mut self) {
        match self {
            Self::Boolean(builder) => builder.append_null(),
            Self::Int16(builder) => builder.append_null(),
            Self::Int32(builder) => builder.append_null(),
            Self::Int64(builder) | Self::Oid(builder) => builder.append_null(),
            Self::Float32(builder) => builder.append_null(),
            Self::Float64(builder) => builder.append_null(),
            Self::Decimal128(builder, ..) => builder.append_null(),
            Self::Decimal256(builder, ..) => builder.append_null(),
            Self::Text(builder) | Self::Jsonb(builder) | Self::Uuid(builder) => builder.append_null(),
            Self::Bytes(builder) => builder.append_null(),
            Self::Date(builder) => builder.append_null(),
            Self::Time(builder) => builder.append_null(),
            Self::Timestamp(builder) => builder.append_null(),
            Self::Interval(builder) => builder.append_null(),
            Self::List(list) => {
                list.offsets.push(list.length);
                list.validity.append(false);
            }
            Self::Declared(_, cells) => cells.null(),
        }
    }

    /// Adds a value in the server's binary form.
    #[inline]
    pub(crate) fn value(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        match self {
            Self::Boolean(builder) => builder.append_value(fixed::<1>(bytes)?[0] != 0),
            Self::Int16(builder) => builder.append_value(i16::from_be_bytes(fixed(bytes)?)),
            Self::Int32(builder) => builder.append_value(i32::from_be_bytes(fixed(bytes)?)),
            Self::Int64(builder) => builder.append_value(i64::from_be_bytes(fixed(bytes)?)),
            Self::Oid(builder) => builder.append_value(i64::from(u32::from_be_bytes(fixed(bytes)?))),
            Self::Float32(builder) => builder.append_value(f32::from_be_bytes(fixed(bytes)?)),
            Self::Float64(builder) => builder.append_value(f64::from_be_bytes(fixed(bytes)?)),
            Self::Decimal128(builder, precision, scale) => builder.append_value(numeric::decimal128(bytes, *precision, *scale)?),
            Self::Decimal256(builder, precision, scale) => builder.append_value(numeric::decimal256(bytes, *precision, *scale)?),
            Self::Text(builder) => builder.append_value(text(bytes)?),
            Self::Jsonb(builder) => match bytes.split_first() {
                Some((1, rest)) => builder.append_value(text(rest)?),
                _ => return Err(Refusal::Malformed),
            },
            Self::Uuid(builder) => {
                let mut room = [0_u8; 36];
                builder.append_value(&*uuid::Uuid::from_bytes(fixed(bytes)?).hyphenated().encode_lower(&mut room));
            }
            Self::Bytes(builder) => builder.append_value(bytes),
            Self::Date(builder) => builder.append_value(date(bytes)?),
            Self::Time(builder) => builder.append_value(time(bytes)?),
            Self::Timestamp(builder) => builder.append_value(timestamp(bytes)?),
            Self::Interval(builder) => builder.append_value(interval(bytes)?),
            Self::List(list) => list.value(bytes)?,
            Self::Declared(wire, cells) => declared(wire, cells, bytes)?,
        }
        Ok(())
    }

    /// The column so far; the next value starts a new one.
    pub(crate) fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::Int16(builder) => Arc::new(builder.finish()),
            Self::Int32(builder) => Arc::new(builder.finish()),
            Self::Int64(builder) | Self::Oid(builder) => Arc::new(builder.finish()),
            Self::Float32(builder) => Arc::new(builder.finish()),
            Self::Float64(builder) => Arc::new(builder.finish()),
            Self::Decimal128(builder, ..) => Arc::new(builder.finish()),
            Self::Decimal256(builder, ..) => Arc::new(builder.finish()),
            Self::Text(builder) | Self::Jsonb(builder) | Self::Uuid(builder) => Arc::new(builder.finish()),
            Self::Bytes(builder) => Arc::new(builder.finish()),
            Self::Date(builder) => Arc::new(builder.finish()),
            Self::Time(builder) => Arc::new(builder.finish()),
            Self::Timestamp(builder) => Arc::new(builder.finish()),
            Self::Interval(builder) => Arc::new(builder.finish()),
            Self::List(list) => list.finish(),
            Self::Declared(_, cells) => cells.finish(),
        }
    }
}

impl List {
    fn value(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let (head, mut rest) = bytes.split_first_chunk::<12>().ok_or(Refusal::Malformed)?;
        match i32::from_be_bytes([head[0], head[1], head[2], head[3]]) {
            0 => {}
            1 => {
                let (size, values) = rest.split_first_chunk::<8>().ok_or(Refusal::Malformed)?;
                let count = i32::from_be_bytes([size[0], size[1], size[2], size[3]]);
                if i32::from_be_bytes([size[4], size[5], size[6], size[7]]) != 1 {
                    return Err(Refusal::Shape);
                }
                rest = values;
                for _ in 0..count {
                    let (length, after) = rest.split_first_chunk::<4>().ok_or(Refusal::Malformed)?;
                    rest = after;
                    match usize::try_from(i32::from_be_bytes(*length)) {
                        Ok(length) => {
                            self.items.value(rest.get(..length).ok_or(Refusal::Malformed)?)?;
                            rest = &rest[length..];
                        }
                        Err(_) => self.items.null(),
                    }
                }
                self.length = self.length.checked_add(count).ok_or(Refusal::OutOfRange)?;
            }
            _ => return Err(Refusal::Shape),
        }
        self.offsets.push(self.length);
        self.validity.append(true);
        Ok(())
    }

    fn finish(&mut self) -> ArrayRef {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        self.length = 0;
        Arc::new(ListArray::new(Arc::clone(&self.field), OffsetBuffer::new(ScalarBuffer::from(offsets)), self.items.finish(), Some(NullBuffer::new(self.validity.finish()))))
    }
}

#[inline]
fn fixed<const SIZE: usize>(bytes: &[u8]) -> Result<[u8; SIZE], Refusal> {
    bytes.try_into().map_err(|_| Refusal::Malformed)
}

#[inline]
fn text(bytes: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(bytes).map_err(|_| Refusal::Misfit(Mismatch::NotUtf8))
}

fn date(bytes: &[u8]) -> Result<i32, Refusal> {
    match i32::from_be_bytes(fixed(bytes)?) {
        i32::MIN | i32::MAX => Err(Refusal::Infinite),
        days => days.checked_add(EPOCH_DAYS).ok_or(Refusal::OutOfRange),
    }
}

fn time(bytes: &[u8]) -> Result<i64, Refusal> {
    match i64::from_be_bytes(fixed(bytes)?) {
        DAY_MICROS => Err(Refusal::EndOfDay),
        micros => Ok(micros),
    }
}

#[inline]
fn timestamp(bytes: &[u8]) -> Result<i64, Refusal> {
    match i64::from_be_bytes(fixed(bytes)?) {
        i64::MIN | i64::MAX => Err(Refusal::Infinite),
        micros => micros.checked_add(EPOCH_MICROS).ok_or(Refusal::OutOfRange),
    }
}

fn interval(bytes: &[u8]) -> Result<IntervalMonthDayNano, Refusal> {
    let bytes: [u8; 16] = fixed(bytes)?;
    let (time, dates) = bytes.split_at(8);
    let (days, months) = dates.split_at(4);
    let (micros, days, months) = (i64::from_be_bytes(fixed(time)?), i32::from_be_bytes(fixed(days)?), i32::from_be_bytes(fixed(months)?));
    if (micros, days, months) == (i64::MAX, i32::MAX, i32::MAX) || (micros, days, months) == (i64::MIN, i32::MIN, i32::MIN) {
        return Err(Refusal::Infinite);
    }
    Ok(IntervalMonthDayNano::new(months, days, micros.checked_mul(1_000).ok_or(Refusal::OutOfRange)?))
}

fn declared(wire: &Wire, cells: &mut Cells, bytes: &[u8]) -> Result<(), Refusal> {
    match wire {
        Wire::Int16 => cells.integer(i64::from(i16::from_be_bytes(fixed(bytes)?)))?,
        Wire::Int32 => cells.integer(i64::from(i32::from_be_bytes(fixed(bytes)?)))?,
        Wire::Int64 => cells.integer(i64::from_be_bytes(fixed(bytes)?))?,
        Wire::Oid => cells.integer(i64::from(u32::from_be_bytes(fixed(bytes)?)))?,
        // The shortest decimal form of the float is what the server prints, too.
        Wire::Float32 if !cells.is_text() => cells.real(f64::from(f32::from_be_bytes(fixed(bytes)?)))?,
        Wire::Float64 if !cells.is_text() => cells.real(f64::from_be_bytes(fixed(bytes)?))?,
        Wire::Text => cells.text(bytes)?,
        _ => return Err(Refusal::Malformed),
    }
    Ok(())
}
