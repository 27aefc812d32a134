//! What the server says of a column of a result.

use super::parse::Parse;
use crate::error::Fault;

/// Numbers of the protocol's types.
pub(crate) mod kind {
    pub(crate) const DECIMAL: u8 = 0;
    pub(crate) const TINY: u8 = 1;
    pub(crate) const SHORT: u8 = 2;
    pub(crate) const LONG: u8 = 3;
    pub(crate) const FLOAT: u8 = 4;
    pub(crate) const DOUBLE: u8 = 5;
    pub(crate) const NULL: u8 = 6;
    pub(crate) const TIMESTAMP: u8 = 7;
    pub(crate) const LONG_LONG: u8 = 8;
    pub(crate) const INT24: u8 = 9;
    pub(crate) const DATE: u8 = 10;
    pub(crate) const TIME: u8 = 11;
    pub(crate) const DATETIME: u8 = 12;
    pub(crate) const YEAR: u8 = 13;
    pub(crate) const BIT: u8 = 16;
    pub(crate) const JSON: u8 = 245;
    pub(crate) const NEW_DECIMAL: u8 = 246;
    pub(crate) const BLOB: u8 = 252;
    pub(crate) const VAR_STRING: u8 = 253;
    pub(crate) const GEOMETRY: u8 = 255;
}

const UNSIGNED: u16 = 32;
const NOT_NULL: u16 = 1;
/// The "character set" of bytes.
const BINARY: u16 = 63;

/// One column of a result.
#[derive(Debug, Clone)]
pub(crate) struct ColumnDefinition {
    pub(crate) name: String,
    pub(crate) kind: u8,
    pub(crate) length: u32,
    pub(crate) decimals: u8,
    charset: u16,
    flags: u16,
}

impl ColumnDefinition {
    pub(crate) fn read(packet: &[u8]) -> Result<Self, Fault> {
        let mut rest = Parse(packet);
        for _skipped in ["catalog", "schema", "table", "original table"] {
            rest.string()?;
        }
        let name = String::from_utf8_lossy(rest.string()?.unwrap_or_default()).into_owned();
        rest.string()?;
        rest.length()?;
        let charset = u16::from_le_bytes(rest.array()?);
        let length = u32::from_le_bytes(rest.array()?);
        let kind = rest.byte()?;
        let flags = u16::from_le_bytes(rest.array()?);
        let decimals = rest.byte()?;
        Ok(Self { name, kind, length, decimals, charset, flags })
    }

    /// True when values of both columns come in the same form.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        (self.kind, self.is_unsigned(), self.decimals, self.charset) == (other.kind, other.is_unsigned(), other.decimals, other.charset)
    }

    /// True for numbers without a sign.
    pub(crate) fn is_unsigned(&self) -> bool {
        self.flags & UNSIGNED != 0
    }

    /// True when NULL cannot occur.
    pub(crate) fn is_not_null(&self) -> bool {
        self.flags & NOT_NULL != 0
    }

    /// True for bytes without a character set.
    pub(crate) fn is_binary(&self) -> bool {
        self.charset == BINARY
    }

    /// Digits after the second that a time is declared with.
    pub(crate) fn fraction_digits(&self) -> usize {
        if self.decimals <= 6 { usize::from(self.decimals) } else { 0 }
    }
}
