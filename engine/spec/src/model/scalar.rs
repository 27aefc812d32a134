//! Scalars with a unit. Each is written as text or number in YAML and checked by its own JSON Schema pattern.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::borrow::Cow;
use std::fmt;

/// A number of things; may be written with underscores: `50_000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(pub u64);

/// A number of bytes: `64MiB`, `1GB`, `512B`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// A span of time: `5m`, `1h30m`, `2d`. Units `ms`, `s`, `m`, `h`, `d`, `w`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub std::time::Duration);

/// A share of a whole, from 0 to 100: `20%`, `0.1%`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Percent(pub f64);

/// JSON Schema pattern of [`Count`] written as text.
pub const COUNT_PATTERN: &str = "^[0-9]+(_[0-9]+)*$";
/// JSON Schema pattern of [`ByteSize`].
pub const SIZE_PATTERN: &str = "^[0-9]+(_[0-9]+)*(\\.[0-9]+)? ?(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)$";
/// JSON Schema pattern of [`Duration`].
pub const DURATION_PATTERN: &str = "^([0-9]+(ms|s|m|h|d|w))+$";
/// JSON Schema pattern of [`Percent`].
pub const PERCENT_PATTERN: &str = "^[0-9]+(\\.[0-9]+)?%$";

impl Count {
    /// Reads `50_000`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let well_formed = !text.is_empty() && !text.starts_with('_') && !text.ends_with('_') && !text.contains("__");
        (well_formed && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_')).then(|| text.replace('_', "").parse().ok().map(Self)).flatten()
    }
}

impl ByteSize {
    /// Reads `64MiB`; the unit is required.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let unit_at = text.find(|c: char| c.is_ascii_alphabetic())?;
        let factor: u64 = match &text[unit_at..] {
            "B" => 1,
            "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "TB" => 1_000_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return None,
        };
        let number = text[..unit_at].strip_suffix(' ').unwrap_or(&text[..unit_at]);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let bytes = Count::parse(whole)?.0.checked_mul(factor)?;
        if fraction.is_empty() {
            return (!number.contains('.')).then_some(Self(bytes));
        }
        let digits = u32::try_from(fraction.len()).ok().filter(|digits| *digits <= 12)?;
        let part = u128::from(fraction.parse::<u64>().ok()?) * u128::from(factor) / 10_u128.pow(digits);
        bytes.checked_add(u64::try_from(part).ok()?).map(Self)
    }
}

impl Duration {
    /// Reads `1h30m`; every number needs a unit.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text;
        let mut millis: u64 = 0;
        if rest.is_empty() {
            return None;
        }
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let number: u64 = rest[..digits].parse().ok()?;
            rest = &rest[digits..];
            let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
            let factor: u64 = match &rest[..letters] {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                "w" => 604_800_000,
                _ => return None,
            };
            millis = millis.checked_add(number.checked_mul(factor)?)?;
            rest = &rest[letters..];
        }
        Some(Self(std::time::Duration::from_millis(millis)))
    }
}

impl Percent {
    /// Reads `20%`, at most `100%`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let number = text.strip_suffix('%')?;
        let plain = number.starts_with(|c: char| c.is_ascii_digit()) && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        plain.then(|| number.parse::<f64>().ok()).flatten().filter(|share| *share <= 100.0).map(Self)
    }
}

impl fmt::Display for Count {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("TiB", 1_u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        match units.iter().find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor)) {
            Some((unit, factor)) => write!(out, "{}{unit}", self.0 / factor),
            None => write!(out, "{}B", self.0),
        }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if millis == 0 {
            return out.write_str("0s");
        }
        for (unit, factor) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
            if millis >= factor {
                write!(out, "{}{unit}", millis / factor)?;
                millis %= factor;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}%", self.0)
    }
}

macro_rules! text_scalar {
    // Expands to Serialize (as `Display` prints), Deserialize (as `parse` reads) and a string JSON Schema with `pattern` and `x-scalar`.
    ($name:ident, $title:literal, $scalar:literal, $pattern:ident, $example:literal) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).ok_or_else(|| D::Error::custom(concat!("expected ", $title, " such as `", $example, "`")))
            }
        }
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "pattern": $pattern, "examples": [$example], "x-scalar": $scalar, "title": $title})
            }
        }
    };
}
text_scalar!(ByteSize, "a size with a unit", "size", SIZE_PATTERN, "64MiB");
text_scalar!(Duration, "a duration with units", "duration", DURATION_PATTERN, "1h30m");
text_scalar!(Percent, "a percentage", "percent", PERCENT_PATTERN, "20%");

impl Serialize for Count {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(Self)
    }
}

impl JsonSchema for Count {
    fn schema_name() -> Cow<'static, str> {
        "Count".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["integer", "string"], "minimum": 0, "pattern": COUNT_PATTERN, "examples": [50000], "x-scalar": "count", "title": "a whole number"})
    }
}
