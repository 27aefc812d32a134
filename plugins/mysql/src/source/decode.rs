//! Row packets straight into Arrow columns: one decoder per column, chosen once per result.
//!
//! A column whose Arrow type is the natural one of its wire form has a decoder of its own; every other type goes through the checked cells of
//! `plugin-api`, so that a value is exact or refused. Rows are handed over as packets; nothing here knows where they come from.

use super::instant::{Stored, write_time};
use super::value::{Held, integer};
use crate::error::Fault;
use crate::schema::geometry_from_server;
use crate::wire::{ColumnDefinition, Parse, kind};
use arrow::array::builder::{
    BinaryBuilder, Date32Builder, Decimal128Builder, Float32Builder, Float64Builder, Int8Builder, Int16Builder, Int32Builder, Int64Builder, TimestampMicrosecondBuilder,
    UInt8Builder, UInt16Builder, UInt32Builder, UInt64Builder,
};
use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, TimeUnit};
use karat_plugin_api::cells::{Cells, Form, Mismatch, parse_decimal128};
use std::sync::Arc;

/// Why a value cannot be taken. Never holds the value.
#[derive(Debug)]
pub(crate) enum Misfit {
    /// It is no value of the promised type.
    Value(usize, Mismatch),
    /// It is no day of the calendar.
    NoDate(usize),
    /// It is NULL where none may be.
    Null(usize),
    /// The packet itself is damaged.
    Packet(Fault),
}

impl From<Fault> for Misfit {
    fn from(fault: Fault) -> Self {
        Self::Packet(fault)
    }
}

/// How a value lies in a packet.
#[derive(Debug, Clone, Copy)]
enum Width {
    Fixed(usize),
    /// One byte says how long it is.
    Short,
    /// A length of variable size says how long it is.
    Long,
    /// Nothing: it is always NULL.
    Nothing,
}

impl Width {
    fn of(column: &ColumnDefinition) -> Self {
        match column.kind {
            kind::TINY => Self::Fixed(1),
            kind::SHORT | kind::YEAR => Self::Fixed(2),
            kind::LONG | kind::INT24 | kind::FLOAT => Self::Fixed(4),
            kind::LONG_LONG | kind::DOUBLE => Self::Fixed(8),
            kind::DATE | kind::DATETIME | kind::TIMESTAMP | kind::TIME => Self::Short,
            kind::NULL => Self::Nothing,
            _ => Self::Long,
        }
    }

    #[inline]
    fn take<'a>(self, rest: &mut Parse<'a>) -> Result<&'a [u8], Fault> {
        match self {
            Self::Fixed(count) => rest.bytes(count),
            Self::Short => {
                let count = rest.byte()?;
                rest.bytes(usize::from(count))
            }
            Self::Long => Ok(rest.string()?.unwrap_or_default()),
            Self::Nothing => Ok(&[]),
        }
    }
}

/// The growing column.
enum Builder {
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
    Decimal(Decimal128Builder, Digits),
    Date(Date32Builder),
    Instant(TimestampMicrosecondBuilder),
    /// Checked as a whole when the column is finished.
    Text(BinaryBuilder),
    Bytes(BinaryBuilder),
    Geometry(BinaryBuilder),
    /// Any other type, value by value.
    Checked(Box<Cells>),
}

/// Calls the same method on whichever builder it is; checked cells have names of their own.
macro_rules! each {
    ($builder:expr, $name:ident => $call:expr, $cells:ident => $other:expr) => {
        match $builder {
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
            Builder::Decimal($name, _) => $call,
            Builder::Date($name) => $call,
            Builder::Instant($name) => $call,
            Builder::Text($name) | Builder::Bytes($name) | Builder::Geometry($name) => $call,
            Builder::Checked($cells) => $other,
        }
    };
}

/// Digits of an exact number.
struct Digits {
    precision: u8,
    scale: i8,
    /// The first number that has more of them.
    limit: i128,
}

/// A column of the result, and where its values go.
pub(crate) struct ColumnDecoder {
    definition: ColumnDefinition,
    width: Width,
    /// `None` for a column that is only watched.
    builder: Option<Builder>,
    data_type: DataType,
    nullable: bool,
    capacity: usize,
    scratch: String,
}

impl ColumnDecoder {
    /// A decoder for a column that is delivered as `data_type`; `None` when that type cannot hold any value of it.
    pub(crate) fn new(definition: &ColumnDefinition, data_type: &DataType, nullable: bool, capacity: usize) -> Option<Self> {
        let builder = Some(choose(definition, data_type, capacity)?);
        Some(Self { definition: definition.clone(), width: Width::of(definition), builder, data_type: data_type.clone(), nullable, capacity, scratch: String::new() })
    }

    /// A decoder for a column that is not delivered.
    pub(crate) fn watched(definition: &ColumnDefinition) -> Self {
        let width = Width::of(definition);
        Self { definition: definition.clone(), width, builder: None, data_type: DataType::Null, nullable: true, capacity: 0, scratch: String::new() }
    }

    /// What the server says of the column.
    pub(crate) fn definition(&self) -> &ColumnDefinition {
        &self.definition
    }

    /// The column so far; `Err` when text is not UTF-8.
    pub(crate) fn finish(&mut self) -> Result<Option<ArrayRef>, Mismatch> {
        let Some(builder) = &mut self.builder else { return Ok(None) };
        // A finished builder has no room left; a new one has it at once, instead of growing step by step.
        let next = choose(&self.definition, &self.data_type, self.capacity);
        let column = match builder {
            Builder::Text(bytes) => Arc::new(StringArray::try_from_binary(bytes.finish()).map_err(|_| Mismatch::NotUtf8)?),
            builder => each!(builder, builder => Arc::new(builder.finish()) as ArrayRef, cells => cells.finish()),
        };
        self.builder = next;
        Ok(Some(column))
    }
}

fn choose(definition: &ColumnDefinition, data_type: &DataType, rows: usize) -> Option<Builder> {
    let unsigned = definition.is_unsigned();
    let bytes = || BinaryBuilder::with_capacity(rows, rows * 16);
    Some(match (definition.kind, data_type) {
        (kind::TINY, DataType::Int8) if !unsigned => Builder::Int8(Int8Builder::with_capacity(rows)),
        (kind::TINY, DataType::UInt8) if unsigned => Builder::UInt8(UInt8Builder::with_capacity(rows)),
        (kind::SHORT, DataType::Int16) if !unsigned => Builder::Int16(Int16Builder::with_capacity(rows)),
        (kind::SHORT, DataType::UInt16) if unsigned => Builder::UInt16(UInt16Builder::with_capacity(rows)),
        (kind::LONG | kind::INT24, DataType::Int32) if !unsigned => Builder::Int32(Int32Builder::with_capacity(rows)),
        (kind::LONG | kind::INT24, DataType::UInt32) if unsigned => Builder::UInt32(UInt32Builder::with_capacity(rows)),
        (kind::LONG_LONG, DataType::Int64) if !unsigned => Builder::Int64(Int64Builder::with_capacity(rows)),
        (kind::LONG_LONG, DataType::UInt64) if unsigned => Builder::UInt64(UInt64Builder::with_capacity(rows)),
        (kind::FLOAT, DataType::Float32) => Builder::Float32(Float32Builder::with_capacity(rows)),
        (kind::DOUBLE, DataType::Float64) => Builder::Float64(Float64Builder::with_capacity(rows)),
        (kind::DECIMAL | kind::NEW_DECIMAL, DataType::Decimal128(precision, scale)) => {
            let digits = Digits { precision: *precision, scale: *scale, limit: 10_i128.checked_pow(u32::from(*precision))? };
            Builder::Decimal(Decimal128Builder::with_capacity(rows).with_data_type(data_type.clone()), digits)
        }
        (kind::DATE, DataType::Date32) => Builder::Date(Date32Builder::with_capacity(rows)),
        (kind::DATETIME | kind::TIMESTAMP, DataType::Timestamp(TimeUnit::Microsecond, _)) => {
            Builder::Instant(TimestampMicrosecondBuilder::with_capacity(rows).with_data_type(data_type.clone()))
        }
        (kind::GEOMETRY, DataType::Binary) => Builder::Geometry(bytes()),
        (kind::GEOMETRY, _) => return None,
        (of, DataType::Utf8) if is_bytes(of) => Builder::Text(bytes()),
        (of, DataType::Binary) if is_bytes(of) => Builder::Bytes(bytes()),
        _ => Builder::Checked(Box::new(Cells::new(data_type, rows)?)),
    })
}

/// True for values that come as bytes and mean those bytes.
fn is_bytes(of: u8) -> bool {
    !matches!(of, 0..=kind::YEAR | kind::BIT | kind::NEW_DECIMAL | kind::GEOMETRY)
}

/// Adds one row to all columns, and remembers the values of `watched`. Gives the bytes that were not of fixed width.
#[inline]
pub(crate) fn push(columns: &mut [ColumnDecoder], row: &[u8], watched: &mut [(usize, Held)]) -> Result<usize, Misfit> {
    let mut rest = Parse(row);
    let nulls = rest.bytes((columns.len() + 9) / 8)?;
    let mut bytes = 0;
    for (at, column) in columns.iter_mut().enumerate() {
        // Two bits stand before those of the columns.
        let bit = at + 2;
        let is_null = nulls[bit / 8] & (1 << (bit % 8)) != 0 || matches!(column.width, Width::Nothing);
        let value = if is_null { None } else { Some(column.width.take(&mut rest)?) };
        for (of, held) in watched.iter_mut() {
            if *of == at {
                held.set(value);
            }
        }
        match (value, &mut column.builder) {
            (_, None) => {}
            (Some(value), Some(_)) => {
                bytes += column.add(at, value)?;
            }
            (None, Some(_)) if !column.nullable => return Err(Misfit::Null(at)),
            (None, Some(builder)) => each!(builder, builder => builder.append_null(), cells => cells.null()),
        }
    }
    Ok(bytes)
}

/// The values of a row as they came; `None` for a damaged packet.
pub(crate) fn values<'a>(columns: &[ColumnDecoder], row: &'a [u8]) -> Option<Vec<Option<&'a [u8]>>> {
    let mut rest = Parse(row);
    let nulls = rest.bytes((columns.len() + 9) / 8).ok()?;
    let value = |(at, column): (usize, &ColumnDecoder)| {
        let bit = at + 2;
        if nulls[bit / 8] & (1 << (bit % 8)) != 0 { Some(None) } else { column.width.take(&mut rest).ok().map(Some) }
    };
    columns.iter().enumerate().map(value).collect()
}

/// Fixed-width little-endian bytes.
#[inline]
fn fixed<const N: usize>(value: &[u8]) -> Result<[u8; N], Fault> {
    value.try_into().map_err(|_| Fault::Protocol("a value has another width than its column"))
}

impl ColumnDecoder {
    /// Adds a value, and gives its bytes when they are not of fixed width.
    #[inline]
    fn add(&mut self, at: usize, value: &[u8]) -> Result<usize, Misfit> {
        let Some(builder) = &mut self.builder else { return Ok(0) };
        match builder {
            Builder::Int8(builder) => builder.append_value(i8::from_le_bytes(fixed(value)?)),
            Builder::Int16(builder) => builder.append_value(i16::from_le_bytes(fixed(value)?)),
            Builder::Int32(builder) => builder.append_value(i32::from_le_bytes(fixed(value)?)),
            Builder::Int64(builder) => builder.append_value(i64::from_le_bytes(fixed(value)?)),
            Builder::UInt8(builder) => builder.append_value(u8::from_le_bytes(fixed(value)?)),
            Builder::UInt16(builder) => builder.append_value(u16::from_le_bytes(fixed(value)?)),
            Builder::UInt32(builder) => builder.append_value(u32::from_le_bytes(fixed(value)?)),
            Builder::UInt64(builder) => builder.append_value(u64::from_le_bytes(fixed(value)?)),
            Builder::Float32(builder) => builder.append_value(f32::from_le_bytes(fixed(value)?)),
            Builder::Float64(builder) => builder.append_value(f64::from_le_bytes(fixed(value)?)),
            Builder::Decimal(builder, digits) => {
                let short = plain_decimal(value, digits.scale).filter(|number| number.abs() < digits.limit);
                let number = short.map_or_else(|| parse_decimal128(value, digits.precision, digits.scale), Ok);
                builder.append_value(number.map_err(|mismatch| Misfit::Value(at, mismatch))?);
            }
            Builder::Date(builder) => builder.append_value(stored(value)?.days().ok_or(Misfit::NoDate(at))?),
            Builder::Instant(builder) => builder.append_value(stored(value)?.micros().ok_or(Misfit::NoDate(at))?),
            Builder::Text(builder) | Builder::Bytes(builder) => {
                builder.append_value(value);
                return Ok(value.len());
            }
            Builder::Geometry(builder) => {
                builder.append_value(geometry_from_server(value).ok_or(Misfit::Value(at, Mismatch::Form(Form::Bytes)))?);
                return Ok(value.len());
            }
            Builder::Checked(_) => return self.add_checked(at, value),
        }
        Ok(0)
    }

    fn add_checked(&mut self, at: usize, value: &[u8]) -> Result<usize, Misfit> {
        let Some(Builder::Checked(cells)) = &mut self.builder else { return Ok(0) };
        let misfit = |mismatch| Misfit::Value(at, mismatch);
        let digits = self.definition.fraction_digits();
        self.scratch.clear();
        match self.definition.kind {
            kind::TINY | kind::SHORT | kind::YEAR | kind::LONG | kind::INT24 | kind::LONG_LONG => {
                let number = integer(&self.definition, value).ok_or(Fault::Protocol("a number is too wide"))?;
                put_integer(cells, number).map_err(misfit)?;
            }
            kind::BIT => put_integer(cells, value.iter().fold(0, |sum, byte| sum << 8 | i128::from(*byte))).map_err(misfit)?,
            kind::FLOAT => {
                let number = f32::from_le_bytes(fixed(value)?);
                // Its own shortest form; that of the wider number would show digits that nobody wrote.
                if cells.is_text() { cells.text(number.to_string().as_bytes()) } else { cells.real(f64::from(number)) }.map_err(misfit)?;
            }
            kind::DOUBLE => {
                let number = f64::from_le_bytes(fixed(value)?);
                if cells.is_text() { cells.text(number.to_string().as_bytes()) } else { cells.real(number) }.map_err(misfit)?;
            }
            kind::DATE => {
                let stored = stored(value)?;
                stored.write_date(&mut self.scratch);
                if !cells.is_text() && stored.days().is_none() {
                    return Err(Misfit::NoDate(at));
                }
                cells.text(self.scratch.as_bytes()).map_err(misfit)?;
            }
            kind::DATETIME | kind::TIMESTAMP => {
                let stored = stored(value)?;
                stored.write_date_time(&mut self.scratch, digits);
                if !cells.is_text() && stored.days().is_none() {
                    return Err(Misfit::NoDate(at));
                }
                cells.text(self.scratch.as_bytes()).map_err(misfit)?;
            }
            kind::TIME => {
                if !write_time(value, &mut self.scratch, digits) {
                    return Err(Fault::Protocol("a time is malformed").into());
                }
                cells.text(self.scratch.as_bytes()).map_err(misfit)?;
            }
            _ => cells.text(value).map_err(misfit)?,
        }
        Ok(value.len())
    }
}

fn put_integer(cells: &mut Cells, number: i128) -> Result<(), Mismatch> {
    match i64::try_from(number) {
        Ok(number) => cells.integer(number),
        Err(_) => cells.text(number.to_string().as_bytes()),
    }
}

#[inline]
fn stored(value: &[u8]) -> Result<Stored, Fault> {
    Stored::read(value).ok_or(Fault::Protocol("a date is malformed"))
}

/// The unscaled value of a number of at most 18 digits, written with exactly `scale` digits after the point; `None` for every other form.
#[inline]
fn plain_decimal(text: &[u8], scale: i8) -> Option<i128> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let scale = usize::try_from(scale).ok()?;
    let whole = if scale == 0 { digits.len() } else { digits.len().checked_sub(scale + 1)? };
    if digits.len() > 19 || whole == 0 || (scale > 0 && digits[whole] != b'.') {
        return None;
    }
    let mut number = 0_i64;
    let mut is_plain = digits.len() - usize::from(scale > 0) <= 18;
    for (at, byte) in digits.iter().enumerate() {
        if at == whole {
            continue;
        }
        let digit = byte.wrapping_sub(b'0');
        is_plain &= digit <= 9;
        number = number.wrapping_mul(10).wrapping_add(i64::from(digit));
    }
    is_plain.then_some(i128::from(if negative { -number } else { number }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_short_way_for_exact_numbers_is_the_long_one(number in -9_999_999_999_999_999_i64..9_999_999_999_999_999, scale in 0_i8..=8) {
            let power = 10_i64.pow(u32::try_from(scale).unwrap_or(0));
            let sign = if number < 0 { "-" } else { "" };
            let text = if scale == 0 { number.to_string() } else { format!("{sign}{}.{:0width$}", number.abs() / power, number.abs() % power, width = usize::try_from(scale).unwrap_or(0)) };
            prop_assert_eq!(plain_decimal(text.as_bytes(), scale), Some(i128::from(number)));
            prop_assert_eq!(parse_decimal128(text.as_bytes(), 38, scale), Ok(i128::from(number)));
        }
    }

    #[test]
    fn other_forms_of_exact_numbers_take_the_long_way() {
        for (text, scale) in [("1.5", 2), ("12345678901234567890", 0), ("1e5", 0), ("", 0), (".5", 1), ("-", 0), ("1x3", 1)] {
            assert_eq!(plain_decimal(text.as_bytes(), scale), None, "{text}");
        }
    }
}
