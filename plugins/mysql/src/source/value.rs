//! Cursor and key values exactly as the server holds them, and back as parameters of the same type.

use super::instant::{Stored, write_time};
use crate::wire::{ColumnDefinition, Parameter, kind};
use chrono::{DateTime, Datelike, Timelike};
use karat_plugin_api::{ConnectorError, CursorValue, ErrorKind};
use std::fmt::Write;

/// The last seen value of a column, as it came; its room is used again for each row.
#[derive(Debug, Default, Clone)]
pub(crate) struct Held {
    is_there: bool,
    bytes: Vec<u8>,
}

impl Held {
    /// Takes a value over.
    #[inline]
    pub(crate) fn set(&mut self, value: Option<&[u8]>) {
        self.is_there = value.is_some();
        self.bytes.clear();
        self.bytes.extend_from_slice(value.unwrap_or_default());
    }

    /// The value as it came.
    pub(crate) fn wire(&self) -> Option<&[u8]> {
        self.is_there.then_some(self.bytes.as_slice())
    }
}

/// The value for a position.
pub(crate) fn cursor_value(column: &ColumnDefinition, wire: Option<&[u8]>) -> Result<CursorValue, ConnectorError> {
    let Some(wire) = wire else { return Ok(CursorValue::Null) };
    let malformed = || ConnectorError::new(ErrorKind::Bug, format!("a value of `{}` is not as its column says", column.name));
    Ok(match column.kind {
        kind::TINY | kind::SHORT | kind::YEAR | kind::LONG | kind::INT24 | kind::LONG_LONG => whole(column, wire).ok_or_else(malformed)?,
        kind::BIT => unsigned(wire.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))),
        kind::FLOAT => CursorValue::Float(f64::from(f32::from_le_bytes(wire.try_into().map_err(|_| malformed())?)).to_bits()),
        kind::DOUBLE => CursorValue::Float(u64::from_le_bytes(wire.try_into().map_err(|_| malformed())?)),
        kind::DECIMAL | kind::NEW_DECIMAL => {
            let text = std::str::from_utf8(wire).map_err(|_| malformed())?;
            let scale = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
            CursorValue::Decimal(text.replace('.', ""), i8::try_from(scale).map_err(|_| malformed())?)
        }
        kind::DATE => {
            let stored = Stored::read(wire).ok_or_else(malformed)?;
            stored.days().map_or_else(|| CursorValue::Text(spelled(|out| stored.write_date(out))), CursorValue::Date)
        }
        kind::DATETIME | kind::TIMESTAMP => {
            let stored = Stored::read(wire).ok_or_else(malformed)?;
            stored.micros().map_or_else(|| CursorValue::Text(spelled(|out| stored.write_date_time(out, column.fraction_digits()))), CursorValue::Timestamp)
        }
        kind::TIME => {
            let mut text = String::new();
            if !write_time(wire, &mut text, 6) {
                return Err(malformed());
            }
            CursorValue::Text(text)
        }
        _ if column.is_binary() => CursorValue::Bytes(spelled(|out| {
            for byte in wire {
                // Writing into a string cannot fail.
                let _infallible = write!(out, "{byte:02x}");
            }
        })),
        _ => CursorValue::Text(
            String::from_utf8(wire.to_vec())
                .map_err(|_| ConnectorError::new(ErrorKind::BadData, format!("a value of `{}` is not UTF-8", column.name)).with_help("choose another cursor or key"))?,
        ),
    })
}

fn spelled(write: impl FnOnce(&mut String)) -> String {
    let mut out = String::new();
    write(&mut out);
    out
}

fn unsigned(number: u64) -> CursorValue {
    i64::try_from(number).map_or(CursorValue::UInt(number), CursorValue::Int)
}

/// A whole number of any width.
#[inline]
pub(crate) fn integer(column: &ColumnDefinition, wire: &[u8]) -> Option<i128> {
    let mut all = [0_u8; 8];
    all.get_mut(..wire.len())?.copy_from_slice(wire);
    let number = u64::from_le_bytes(all);
    if column.is_unsigned() || column.kind == kind::YEAR {
        return Some(i128::from(number));
    }
    let shift = 64 - 8 * u32::try_from(wire.len()).ok()?;
    Some(i128::from(number.checked_shl(shift)?.cast_signed() >> shift))
}

fn whole(column: &ColumnDefinition, wire: &[u8]) -> Option<CursorValue> {
    let number = integer(column, wire)?;
    i64::try_from(number).map(CursorValue::Int).or_else(|_| u64::try_from(number).map(CursorValue::UInt)).ok()
}

/// The parameter for a position's value.
pub(crate) fn parameter(value: &CursorValue) -> Result<Parameter, ConnectorError> {
    Ok(match value {
        CursorValue::Null => return Err(foreign()),
        CursorValue::Int(number) => Parameter::Int(*number),
        CursorValue::UInt(number) => Parameter::UInt(*number),
        CursorValue::Float(bits) => Parameter::Double(f64::from_bits(*bits)),
        CursorValue::Decimal(unscaled, scale) => Parameter::Decimal(with_point(unscaled, usize::try_from(*scale).map_err(|_| foreign())?)),
        CursorValue::Text(text) => Parameter::Text(text.clone()),
        CursorValue::Bytes(hex) => {
            let digits: Option<Vec<u8>> = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect();
            Parameter::Bytes(digits.ok_or_else(foreign)?)
        }
        CursorValue::Date(days) => {
            let date = DateTime::from_timestamp(i64::from(*days) * 86_400, 0).ok_or_else(foreign)?;
            let [year, month, day, ..] = parts(date).ok_or_else(foreign)?;
            Parameter::Date(year, u8::try_from(month).map_err(|_| foreign())?, u8::try_from(day).map_err(|_| foreign())?)
        }
        CursorValue::Timestamp(micros) => {
            let at = DateTime::from_timestamp_micros(*micros).ok_or_else(foreign)?;
            Parameter::DateTime(parts(at).ok_or_else(foreign)?, at.timestamp_subsec_micros())
        }
    })
}

fn parts(at: DateTime<chrono::Utc>) -> Option<[u16; 6]> {
    let year = u16::try_from(at.year()).ok()?;
    let mut parts = [year, 0, 0, 0, 0, 0];
    for (part, value) in parts[1..].iter_mut().zip([at.month(), at.day(), at.hour(), at.minute(), at.second()]) {
        *part = u16::try_from(value).ok()?;
    }
    Some(parts)
}

fn with_point(unscaled: &str, scale: usize) -> String {
    let (sign, digits) = unscaled.strip_prefix('-').map_or(("", unscaled), |digits| ("-", digits));
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

fn foreign() -> ConnectorError {
    ConnectorError::new(ErrorKind::Refused, "the stored position was not written by the `mysql` plugin")
        .with_help("read the table again from the start: `karat run --full-refresh`")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends where it fails")]
    use super::*;

    #[test]
    fn exact_numbers_get_their_point_back() {
        assert_eq!(with_point("-12050", 3), "-12.050");
        assert_eq!(with_point("5", 3), "0.005");
        assert_eq!(with_point("-5", 0), "-5");
    }

    #[test]
    fn instants_become_typed_parameters() {
        assert_eq!(parameter(&CursorValue::Timestamp(-1)).unwrap(), Parameter::DateTime([1969, 12, 31, 23, 59, 59], 999_999));
        assert_eq!(parameter(&CursorValue::Date(-1)).unwrap(), Parameter::Date(1969, 12, 31));
        assert!(parameter(&CursorValue::Null).is_err());
    }
}
