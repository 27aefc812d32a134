//! Values of a prepared statement, typed: the server compares them as what they are.

use super::column::kind;

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Parameter {
    /// A whole number.
    Int(i64),
    /// A whole number without a sign.
    UInt(u64),
    /// A floating-point number.
    Double(f64),
    /// An exact number, written out.
    Decimal(String),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Year, month, day.
    Date(u16, u8, u8),
    /// Year, month, day; hour, minute, second; microseconds.
    DateTime([u16; 6], u32),
}

const UNSIGNED: u8 = 0x80;

impl Parameter {
    /// Type and flags.
    pub(crate) fn kind(&self) -> [u8; 2] {
        match self {
            Self::Int(_) => [kind::LONG_LONG, 0],
            Self::UInt(_) => [kind::LONG_LONG, UNSIGNED],
            Self::Double(_) => [kind::DOUBLE, 0],
            Self::Decimal(_) => [kind::NEW_DECIMAL, 0],
            Self::Text(_) => [kind::VAR_STRING, 0],
            Self::Bytes(_) => [kind::BLOB, 0],
            Self::Date(..) => [kind::DATE, 0],
            Self::DateTime(..) => [kind::DATETIME, 0],
        }
    }

    /// The value as the protocol has it.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Int(number) => out.extend_from_slice(&number.to_le_bytes()),
            Self::UInt(number) => out.extend_from_slice(&number.to_le_bytes()),
            Self::Double(number) => out.extend_from_slice(&number.to_le_bytes()),
            Self::Decimal(text) | Self::Text(text) => write_string(out, text.as_bytes()),
            Self::Bytes(bytes) => write_string(out, bytes),
            Self::Date(year, month, day) => {
                out.push(4);
                out.extend_from_slice(&year.to_le_bytes());
                out.extend_from_slice(&[*month, *day]);
            }
            Self::DateTime([year, rest @ ..], micros) => {
                out.push(11);
                out.extend_from_slice(&year.to_le_bytes());
                out.extend(rest.iter().map(|part| u8::try_from(*part).unwrap_or(u8::MAX)));
                out.extend_from_slice(&micros.to_le_bytes());
            }
        }
    }
}

/// Bytes with their length before them.
pub(crate) fn write_string(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = bytes.len() as u64;
    match length {
        0..=0xfa => out.extend(length.to_le_bytes().first()),
        0xfb..=0xffff => {
            out.push(0xfc);
            out.extend_from_slice(&length.to_le_bytes()[..2]);
        }
        0x1_0000..=0xff_ffff => {
            out.push(0xfd);
            out.extend_from_slice(&length.to_le_bytes()[..3]);
        }
        _ => {
            out.push(0xfe);
            out.extend_from_slice(&length.to_le_bytes());
        }
    }
    out.extend_from_slice(bytes);
}
