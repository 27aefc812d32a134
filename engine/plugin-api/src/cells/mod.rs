//! Values of loosely typed sources, checked one by one against the promised Arrow type: lossless or refused.
//!
//! Databases without strict columns, CSV and JSON all deliver a value whose form is not the declared type's. This module knows which forms are
//! exact values of which type; it must not know where they come from, and its errors carry no values. Read next: [`Cells`].

mod batcher;
mod instant;
mod number;

pub use batcher::{Batcher, Misfit, RowColumn};
pub use instant::{ParsedInstant, Zone, parse_date, parse_instant, parse_time, parse_timestamp};
pub use number::{parse_boolean, parse_decimal128, parse_decimal256, parse_float, parse_integer, shortest_decimal128};

use arrow_array::ArrayRef;
use arrow_array::builder::{
    ArrayBuilder, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Decimal256Builder, Float32Builder, Float64Builder, Int8Builder, Int16Builder, Int32Builder,
    Int64Builder, StringBuilder, Time32MillisecondBuilder, Time64MicrosecondBuilder, Time64NanosecondBuilder, TimestampMicrosecondBuilder, TimestampMillisecondBuilder,
    TimestampNanosecondBuilder, UInt8Builder, UInt16Builder, UInt32Builder, UInt64Builder,
};
use arrow_schema::{DataType, TimeUnit};
use std::fmt;
use std::sync::Arc;

/// Why a value is not exactly a value of the promised type. Never holds the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch {
    /// Its form is not one of the type.
    Form(Form),
    /// It is outside the type's range.
    OutOfRange,
    /// It has more digits after the point than the type keeps.
    TooManyDigits,
    /// It has an offset from UTC, which a type without zone would lose.
    HasOffset,
    /// It is not UTF-8.
    NotUtf8,
    /// It is empty, and empty does not mean NULL.
    Empty,
    /// It is an object or a list.
    Nested,
}

/// In which form a source stores a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// True or false.
    Boolean,
    /// A whole number.
    Integer,
    /// A binary floating-point number.
    Real,
    /// Text.
    Text,
    /// Bytes.
    Bytes,
}

impl fmt::Display for Form {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Boolean => "a boolean",
            Self::Integer => "a whole number",
            Self::Real => "a floating-point number",
            Self::Text => "text of another form",
            Self::Bytes => "bytes",
        })
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form(form) => write!(out, "the value is {form}"),
            Self::OutOfRange => out.write_str("the value is out of range"),
            Self::TooManyDigits => out.write_str("the value has more digits after the point than the type keeps"),
            Self::HasOffset => out.write_str("the value has an offset from UTC, which the type would lose"),
            Self::NotUtf8 => out.write_str("the text is not UTF-8"),
            Self::Empty => out.write_str("the value is empty"),
            Self::Nested => out.write_str("the value is an object or a list"),
        }
    }
}

/// A growing column of one Arrow type.
///
/// Whole numbers in a timestamp column count seconds since 1970-01-01 when the type is `timestamp` (microseconds), milliseconds for
/// `timestamp(0)` to `timestamp(3)`, nanoseconds for `timestamp(7)` to `timestamp(9)`; timestamps outside the years 0 to 9999 are refused, so
/// that a wrong unit is noticed. No other number becomes a date, time or timestamp.
pub struct Cells {
    builder: Builder,
    /// Room for text of numbers that arrive in a text column.
    scratch: String,
    data_type: DataType,
    capacity: usize,
}

enum Builder {
    Boolean(BooleanBuilder),
    Int8(Int8Builder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    UInt8(UInt8Builder),
    UInt16(UInt16Builder),
    UInt32(UInt32Builder),
    UInt64(UInt64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Decimal128(Decimal128Builder, u8, i8),
    Decimal256(Decimal256Builder, u8, i8),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    Date(Date32Builder),
    TimeMillis(Time32MillisecondBuilder),
    TimeMicros(Time64MicrosecondBuilder),
    TimeNanos(Time64NanosecondBuilder),
    Millis(TimestampMillisecondBuilder, Zone),
    Micros(TimestampMicrosecondBuilder, Zone),
    Nanos(TimestampNanosecondBuilder, Zone),
}

/// Calls the same method on whichever builder it is.
macro_rules! each {
    ($builder:expr, $name:ident => $call:expr) => {
        match $builder {
            Builder::Boolean($name) => $call,
            Builder::Int8($name) => $call,
            Builder::Int16($name) => $call,
            Builder::Int32($name) => $call,
            Builder::Int64($name) => $call,
            Builder::UInt8($name) => $call,
            Builder::UInt16($name) => $call,
            Builder::UInt32($name) => $call,
            Builder::UInt64($name) => $call,
            Builder::Float32($name) => $call,
            Builder::Float64($name) => $call,
            Builder::Decimal128($name, _, _) => $call,
            Builder::Decimal256($name, _, _) => $call,
            Builder::Text($name) => $call,
            Builder::Bytes($name) => $call,
            Builder::Date($name) => $call,
            Builder::TimeMillis($name) => $call,
            Builder::TimeMicros($name) => $call,
            Builder::TimeNanos($name) => $call,
            Builder::Millis($name, _) => $call,
            Builder::Micros($name, _) => $call,
            Builder::Nanos($name, _) => $call,
        }
    };
}

impl Cells {
    /// An empty column with room for `rows`; `None` for types that have no scalar form here, such as lists.
    #[must_use]
    pub fn new(data_type: &DataType, rows: usize) -> Option<Self> {
        let zone = |zone: &Option<Arc<str>>| if zone.is_some() { Zone::Utc } else { Zone::None };
        let text_bytes = rows * 16;
        let builder = match data_type {
            DataType::Boolean => Builder::Boolean(BooleanBuilder::with_capacity(rows)),
            DataType::Int8 => Builder::Int8(Int8Builder::with_capacity(rows)),
            DataType::Int16 => Builder::Int16(Int16Builder::with_capacity(rows)),
            DataType::Int32 => Builder::Int32(Int32Builder::with_capacity(rows)),
            DataType::Int64 => Builder::Int64(Int64Builder::with_capacity(rows)),
            DataType::UInt8 => Builder::UInt8(UInt8Builder::with_capacity(rows)),
            DataType::UInt16 => Builder::UInt16(UInt16Builder::with_capacity(rows)),
            DataType::UInt32 => Builder::UInt32(UInt32Builder::with_capacity(rows)),
            DataType::UInt64 => Builder::UInt64(UInt64Builder::with_capacity(rows)),
            DataType::Float32 => Builder::Float32(Float32Builder::with_capacity(rows)),
            DataType::Float64 => Builder::Float64(Float64Builder::with_capacity(rows)),
            DataType::Decimal128(precision, scale) => Builder::Decimal128(Decimal128Builder::with_capacity(rows).with_data_type(data_type.clone()), *precision, *scale),
            DataType::Decimal256(precision, scale) => Builder::Decimal256(Decimal256Builder::with_capacity(rows).with_data_type(data_type.clone()), *precision, *scale),
            DataType::Utf8 => Builder::Text(StringBuilder::with_capacity(rows, text_bytes)),
            DataType::Binary => Builder::Bytes(BinaryBuilder::with_capacity(rows, text_bytes)),
            DataType::Date32 => Builder::Date(Date32Builder::with_capacity(rows)),
            DataType::Time32(TimeUnit::Millisecond) => Builder::TimeMillis(Time32MillisecondBuilder::with_capacity(rows)),
            DataType::Time64(TimeUnit::Microsecond) => Builder::TimeMicros(Time64MicrosecondBuilder::with_capacity(rows)),
            DataType::Time64(TimeUnit::Nanosecond) => Builder::TimeNanos(Time64NanosecondBuilder::with_capacity(rows)),
            DataType::Timestamp(TimeUnit::Millisecond, tz) => Builder::Millis(TimestampMillisecondBuilder::with_capacity(rows).with_data_type(data_type.clone()), zone(tz)),
            DataType::Timestamp(TimeUnit::Microsecond, tz) => Builder::Micros(TimestampMicrosecondBuilder::with_capacity(rows).with_data_type(data_type.clone()), zone(tz)),
            DataType::Timestamp(TimeUnit::Nanosecond, tz) => Builder::Nanos(TimestampNanosecondBuilder::with_capacity(rows).with_data_type(data_type.clone()), zone(tz)),
            _ => return None,
        };
        Some(Self { builder, scratch: String::new(), data_type: data_type.clone(), capacity: rows })
    }

    /// True for columns that take any text.
    #[must_use]
    pub fn is_text(&self) -> bool {
        matches!(self.builder, Builder::Text(_))
    }

    /// How many values.
    #[must_use]
    pub fn len(&self) -> usize {
        each!(&self.builder, builder => builder.len())
    }

    /// True without values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The column so far; the next value starts a new one.
    pub fn finish(&mut self) -> ArrayRef {
        // A finished builder has no room left; a new one has it at once, instead of growing step by step.
        let next = Self::new(&self.data_type, self.capacity);
        let column: ArrayRef = each!(&mut self.builder, builder => Arc::new(builder.finish()));
        if let Some(next) = next {
            self.builder = next.builder;
        }
        column
    }

    /// A missing value.
    #[inline]
    pub fn null(&mut self) {
        each!(&mut self.builder, builder => builder.append_null());
    }

    /// True or false: for boolean columns, and as text for text columns.
    ///
    /// # Errors
    /// In any other column.
    pub fn boolean(&mut self, value: bool) -> Result<(), Mismatch> {
        match &mut self.builder {
            Builder::Boolean(builder) => builder.append_value(value),
            Builder::Text(builder) => builder.append_value(if value { "true" } else { "false" }),
            _ => return Err(Mismatch::Form(Form::Boolean)),
        }
        Ok(())
    }

    /// A whole number.
    ///
    /// # Errors
    /// When it does not fit the type exactly.
    #[inline]
    pub fn integer(&mut self, value: i64) -> Result<(), Mismatch> {
        if let Builder::Int64(builder) = &mut self.builder {
            builder.append_value(value);
            return Ok(());
        }
        self.other_integer(value)
    }

    fn other_integer(&mut self, value: i64) -> Result<(), Mismatch> {
        fn fit<T: TryFrom<i64>>(value: i64) -> Result<T, Mismatch> {
            T::try_from(value).map_err(|_| Mismatch::OutOfRange)
        }
        match &mut self.builder {
            Builder::Boolean(builder) => match value {
                0 | 1 => builder.append_value(value == 1),
                _ => return Err(Mismatch::OutOfRange),
            },
            Builder::Int8(builder) => builder.append_value(fit(value)?),
            Builder::Int16(builder) => builder.append_value(fit(value)?),
            Builder::Int32(builder) => builder.append_value(fit(value)?),
            Builder::Int64(builder) => builder.append_value(value),
            Builder::UInt8(builder) => builder.append_value(fit(value)?),
            Builder::UInt16(builder) => builder.append_value(fit(value)?),
            Builder::UInt32(builder) => builder.append_value(fit(value)?),
            Builder::UInt64(builder) => builder.append_value(fit(value)?),
            Builder::Float32(builder) => builder.append_value(number::exact_f32(number::exact_f64(value)?)?),
            Builder::Float64(builder) => builder.append_value(number::exact_f64(value)?),
            Builder::Decimal128(builder, precision, scale) => builder.append_value(number::scaled128(value, *precision, *scale)?),
            Builder::Decimal256(builder, precision, scale) => builder.append_value(parse_decimal256(value.to_string().as_bytes(), *precision, *scale)?),
            Builder::Text(builder) => {
                self.scratch.clear();
                number::write_text(&mut self.scratch, format_args!("{value}"));
                builder.append_value(&self.scratch);
            }
            Builder::Millis(builder, _) => builder.append_value(instant::epoch(value, 1, TimeUnit::Millisecond)?),
            Builder::Micros(builder, _) => builder.append_value(instant::epoch(value, 1_000_000, TimeUnit::Microsecond)?),
            Builder::Nanos(builder, _) => builder.append_value(instant::epoch(value, 1, TimeUnit::Nanosecond)?),
            Builder::Bytes(_) | Builder::Date(_) | Builder::TimeMillis(_) | Builder::TimeMicros(_) | Builder::TimeNanos(_) => return Err(Mismatch::Form(Form::Integer)),
        }
        Ok(())
    }

    /// A binary floating-point number. A decimal column takes it only when its shortest decimal form fits the scale.
    ///
    /// # Errors
    /// When it does not fit the type exactly.
    pub fn real(&mut self, value: f64) -> Result<(), Mismatch> {
        match &mut self.builder {
            Builder::Float64(builder) => builder.append_value(value),
            Builder::Float32(builder) => builder.append_value(number::exact_f32(value)?),
            Builder::Decimal128(builder, precision, scale) => builder.append_value(shortest_decimal128(value, *precision, *scale)?),
            Builder::Decimal256(builder, precision, scale) => {
                if !value.is_finite() {
                    return Err(Mismatch::OutOfRange);
                }
                builder.append_value(parse_decimal256(value.to_string().as_bytes(), *precision, *scale)?);
            }
            Builder::Text(builder) => {
                self.scratch.clear();
                number::write_text(&mut self.scratch, format_args!("{value:?}"));
                builder.append_value(&self.scratch);
            }
            Builder::Boolean(_)
            | Builder::Int8(_)
            | Builder::Int16(_)
            | Builder::Int32(_)
            | Builder::Int64(_)
            | Builder::UInt8(_)
            | Builder::UInt16(_)
            | Builder::UInt32(_)
            | Builder::UInt64(_) => {
                // Beyond 2^53 a binary number stands for several whole numbers.
                if value.fract() != 0.0 || value.abs() > 9_007_199_254_740_992.0 {
                    return Err(Mismatch::Form(Form::Real));
                }
                #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53, checked above")]
                return self.integer(value as i64);
            }
            Builder::Bytes(_)
            | Builder::Date(_)
            | Builder::TimeMillis(_)
            | Builder::TimeMicros(_)
            | Builder::TimeNanos(_)
            | Builder::Millis(..)
            | Builder::Micros(..)
            | Builder::Nanos(..) => return Err(Mismatch::Form(Form::Real)),
        }
        Ok(())
    }

    /// Text: kept as it is in a text column, else read as a value of the column's type.
    ///
    /// # Errors
    /// When it is not exactly a value of the type.
    #[inline]
    pub fn text(&mut self, value: &[u8]) -> Result<(), Mismatch> {
        if let Builder::Text(builder) = &mut self.builder {
            builder.append_value(std::str::from_utf8(value).map_err(|_| Mismatch::NotUtf8)?);
            return Ok(());
        }
        self.typed_text(value)
    }

    fn typed_text(&mut self, value: &[u8]) -> Result<(), Mismatch> {
        fn whole<T: TryFrom<i128>>(value: &[u8]) -> Result<T, Mismatch> {
            T::try_from(parse_integer(value)?).map_err(|_| Mismatch::OutOfRange)
        }
        match &mut self.builder {
            Builder::Boolean(builder) => builder.append_value(parse_boolean(value)?),
            Builder::Int8(builder) => builder.append_value(whole(value)?),
            Builder::Int16(builder) => builder.append_value(whole(value)?),
            Builder::Int32(builder) => builder.append_value(whole(value)?),
            Builder::Int64(builder) => builder.append_value(whole(value)?),
            Builder::UInt8(builder) => builder.append_value(whole(value)?),
            Builder::UInt16(builder) => builder.append_value(whole(value)?),
            Builder::UInt32(builder) => builder.append_value(whole(value)?),
            Builder::UInt64(builder) => builder.append_value(whole(value)?),
            // Text is decimal anyway; the nearest number of the declared width is what its writer meant.
            #[expect(clippy::cast_possible_truncation, reason = "an overflow gives infinity, which is refused")]
            Builder::Float32(builder) => {
                let wide = parse_float(value)?;
                let narrow = std::str::from_utf8(value).ok().and_then(|text| text.parse::<f32>().ok()).unwrap_or(wide as f32);
                if narrow.is_infinite() && wide.is_finite() {
                    return Err(Mismatch::OutOfRange);
                }
                builder.append_value(narrow);
            }
            Builder::Float64(builder) => builder.append_value(parse_float(value)?),
            Builder::Decimal128(builder, precision, scale) => builder.append_value(parse_decimal128(value, *precision, *scale)?),
            Builder::Decimal256(builder, precision, scale) => builder.append_value(parse_decimal256(value, *precision, *scale)?),
            Builder::Text(builder) => builder.append_value(std::str::from_utf8(value).map_err(|_| Mismatch::NotUtf8)?),
            Builder::Bytes(builder) => builder.append_value(value),
            Builder::Date(builder) => builder.append_value(parse_date(value)?),
            #[expect(clippy::cast_possible_truncation, reason = "a day has 86,400,000 milliseconds")]
            Builder::TimeMillis(builder) => builder.append_value(parse_time(value, TimeUnit::Millisecond)? as i32),
            Builder::TimeMicros(builder) => builder.append_value(parse_time(value, TimeUnit::Microsecond)?),
            Builder::TimeNanos(builder) => builder.append_value(parse_time(value, TimeUnit::Nanosecond)?),
            Builder::Millis(builder, zone) => builder.append_value(parse_timestamp(value, TimeUnit::Millisecond, *zone)?),
            Builder::Micros(builder, zone) => builder.append_value(parse_timestamp(value, TimeUnit::Microsecond, *zone)?),
            Builder::Nanos(builder, zone) => builder.append_value(parse_timestamp(value, TimeUnit::Nanosecond, *zone)?),
        }
        Ok(())
    }

    /// Bytes, only for binary columns.
    ///
    /// # Errors
    /// In any other column.
    pub fn bytes(&mut self, value: &[u8]) -> Result<(), Mismatch> {
        let Builder::Bytes(builder) = &mut self.builder else { return Err(Mismatch::Form(Form::Bytes)) };
        builder.append_value(value);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
