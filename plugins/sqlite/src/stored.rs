//! Cursor and key values exactly as SQLite stores them.

use karat_plugin_api::{ConnectorError, CursorValue, ErrorKind};
use rusqlite::types::{Value, ValueRef};
use std::fmt::Write;

/// The last seen value of a column; its room is used again for each row.
#[derive(Debug, Default, Clone)]
pub(crate) struct Held {
    kind: Kind,
    number: i64,
    bytes: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Kind {
    #[default]
    Null,
    Integer,
    Real,
    Text,
    Blob,
}

impl Held {
    /// True when `value` is stored with the same class and bytes.
    #[inline]
    pub(crate) fn is(&self, value: ValueRef<'_>) -> bool {
        match value {
            ValueRef::Null => self.kind == Kind::Null,
            ValueRef::Integer(number) => self.kind == Kind::Integer && self.number == number,
            ValueRef::Real(number) => self.kind == Kind::Real && self.number == number.to_bits().cast_signed(),
            ValueRef::Text(text) => self.kind == Kind::Text && self.bytes == text,
            ValueRef::Blob(bytes) => self.kind == Kind::Blob && self.bytes == bytes,
        }
    }

    /// Takes a value over.
    #[inline]
    pub(crate) fn set(&mut self, value: ValueRef<'_>) {
        let (kind, number, bytes): (Kind, i64, &[u8]) = match value {
            ValueRef::Null => (Kind::Null, 0, b""),
            ValueRef::Integer(number) => (Kind::Integer, number, b""),
            ValueRef::Real(number) => (Kind::Real, number.to_bits().cast_signed(), b""),
            ValueRef::Text(text) => (Kind::Text, 0, text),
            ValueRef::Blob(bytes) => (Kind::Blob, 0, bytes),
        };
        self.kind = kind;
        self.number = number;
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
    }

    /// True for whole numbers, of which equal ones are stored alike.
    pub(crate) fn is_integer(&self) -> bool {
        self.kind == Kind::Integer
    }

    /// The value for a position.
    pub(crate) fn cursor_value(&self) -> Result<CursorValue, ConnectorError> {
        Ok(match self.kind {
            Kind::Null => CursorValue::Null,
            Kind::Integer => CursorValue::Int(self.number),
            Kind::Real => CursorValue::Float(self.number.cast_unsigned()),
            Kind::Text => CursorValue::Text(
                String::from_utf8(self.bytes.clone())
                    .map_err(|_| ConnectorError::new(ErrorKind::BadData, "a cursor or key value is not UTF-8").with_help("choose another cursor or key"))?,
            ),
            Kind::Blob => {
                let mut hex = String::with_capacity(self.bytes.len() * 2);
                for byte in &self.bytes {
                    // Writing into a string cannot fail.
                    let _infallible = write!(hex, "{byte:02x}");
                }
                CursorValue::Bytes(hex)
            }
        })
    }
}

/// The value to bind for a position's value.
pub(crate) fn bound(value: &CursorValue) -> Result<Value, ConnectorError> {
    Ok(match value {
        CursorValue::Null => Value::Null,
        CursorValue::Int(number) => Value::Integer(*number),
        CursorValue::Float(bits) => Value::Real(f64::from_bits(*bits)),
        CursorValue::Text(text) => Value::Text(text.clone()),
        CursorValue::Bytes(hex) => {
            let digits: Option<Vec<u8>> = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect();
            Value::Blob(digits.ok_or_else(foreign)?)
        }
        CursorValue::UInt(_) | CursorValue::Decimal(..) | CursorValue::Date(_) | CursorValue::Timestamp(_) => return Err(foreign()),
    })
}

fn foreign() -> ConnectorError {
    ConnectorError::new(ErrorKind::Refused, "the stored position was not written by the `sqlite` plugin")
        .with_help("read the table again from the start: `karat run --full-refresh`")
}
