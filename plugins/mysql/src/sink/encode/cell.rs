//! One column of a batch: each of its values, spelled.

use super::digits::{place_point, push_date, push_decimal, push_i64, push_padded, push_time, push_u64};
use super::{Spelling, Unfit};
use crate::sink::column::Kind;
use arrow::array::cast::AsArray;
use arrow::array::types::{
    ArrowDictionaryKeyType, ArrowPrimitiveType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, Float16Type, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, IntervalDayTimeType, IntervalMonthDayNanoType, IntervalYearMonthType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, FieldRef, IntervalUnit, TimeUnit};
use arrow::json::writer::{EncoderOptions, make_encoder};
use std::cell::RefCell;
use std::sync::LazyLock;

type Spell<'a> = Box<dyn Fn(usize, &mut Vec<u8>) -> Result<(), Unfit> + 'a>;

/// The values of one column of a batch.
pub(super) struct Cells<'a> {
    nulls: Option<NullBuffer>,
    values: Values<'a>,
}

enum Values<'a> {
    /// Bytes that must be built first.
    BuiltBytes(Spell<'a>),
    /// Spelled without any byte that needs escaping; quoted or not as a literal.
    Plain { spell: Spell<'a>, is_quoted: bool },
    /// Bytes of the batch itself.
    Bytes { get: Box<dyn Fn(usize) -> Result<&'a [u8], Unfit> + 'a>, is_text: bool },
    /// Text that must be built first.
    Built(Spell<'a>),
}

const NO_FINITE: Unfit = Unfit("NaN and infinity are no numbers that MySQL stores");
const NO_YEAR: Unfit = Unfit("MySQL stores dates of the years 1 to 9999 only");
const TOO_FINE: Unfit = Unfit("the column keeps fewer digits of a second than the value has");
const TOO_LONG_TIME: Unfit = Unfit("MySQL stores times up to 838:59:59 only");

impl<'a> Cells<'a> {
    /// How values of `array` are spelled for a column of `kind`; `None` when they are not.
    pub(super) fn new(array: &'a ArrayRef, field: &'a FieldRef, kind: &'a Kind) -> Option<Self> {
        let values = if array.data_type().is_nested() { json(array, field) } else { values(array, kind) };
        // The logical ones: a dictionary's value can be NULL where its key is not.
        Some(Self { nulls: array.logical_nulls(), values: values? })
    }

    /// Appends the value of one row.
    pub(super) fn append(&self, row: usize, spelling: Spelling, out: &mut Vec<u8>, scratch: &mut Vec<u8>) -> Result<(), Unfit> {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            out.extend_from_slice(if spelling == Spelling::Load { b"\\N" } else { b"NULL" });
            return Ok(());
        }
        match (&self.values, spelling) {
            (Values::Plain { spell, is_quoted: true }, Spelling::Literals) => {
                out.push(b'\'');
                spell(row, out)?;
                out.push(b'\'');
            }
            (Values::Plain { spell, .. }, _) => spell(row, out)?,
            (Values::Bytes { get, .. }, Spelling::Load) => push_escaped(get(row)?, out),
            (Values::Bytes { get, is_text }, Spelling::Literals) => push_hex(get(row)?, *is_text, out),
            (Values::Built(spell) | Values::BuiltBytes(spell), _) => {
                scratch.clear();
                spell(row, scratch)?;
                let is_text = matches!(self.values, Values::Built(_));
                if spelling == Spelling::Load { push_escaped(scratch, out) } else { push_hex(scratch, is_text, out) }
            }
        }
        Ok(())
    }
}

/// Appends bytes so that `LOAD DATA` reads the very same bytes.
fn push_escaped(bytes: &[u8], out: &mut Vec<u8>) {
    let mut start = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let escaped = match byte {
            b'\\' => b'\\',
            b'\t' => b't',
            b'\n' => b'n',
            0 => b'0',
            _ => continue,
        };
        out.extend_from_slice(&bytes[start..at]);
        out.extend_from_slice(&[b'\\', escaped]);
        start = at + 1;
    }
    out.extend_from_slice(&bytes[start..]);
}

/// Appends a hexadecimal literal, which no setting of the session reads otherwise.
fn push_hex(bytes: &[u8], is_text: bool, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    if is_text {
        out.extend_from_slice(b"_utf8mb4 ");
    }
    out.extend_from_slice(b"x'");
    for byte in bytes {
        out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    out.push(b'\'');
}

fn values<'a>(array: &'a ArrayRef, kind: &'a Kind) -> Option<Values<'a>> {
    let number = |spell: Spell<'a>| Some(Values::Plain { spell, is_quoted: false });
    match (array.data_type(), kind) {
        (DataType::Int64, Kind::Time { digits }) => {
            let values = array.as_primitive::<Int64Type>();
            Some(span(*digits, move |row| Some(values.value(row))))
        }
        (DataType::Boolean, _) => {
            let values = array.as_boolean();
            number(Box::new(move |row, out| {
                out.push(b'0' + u8::from(values.value(row)));
                Ok(())
            }))
        }
        (DataType::Int8, _) => signed::<Int8Type>(array, kind),
        (DataType::Int16, _) => signed::<Int16Type>(array, kind),
        (DataType::Int32, _) => signed::<Int32Type>(array, kind),
        (DataType::Int64, _) => signed::<Int64Type>(array, kind),
        (DataType::UInt8, _) => unsigned::<UInt8Type>(array, kind),
        (DataType::UInt16, _) => unsigned::<UInt16Type>(array, kind),
        (DataType::UInt32, _) => unsigned::<UInt32Type>(array, kind),
        (DataType::UInt64, _) => unsigned::<UInt64Type>(array, kind),
        (DataType::Float16, _) => {
            let values = array.as_primitive::<Float16Type>();
            number(Box::new(move |row, out| push_float(f64::from(values.value(row)), out)))
        }
        (DataType::Float32, _) => {
            // As the double that it exactly is: read back as a double and narrowed, it is the same float again.
            let values = array.as_primitive::<Float32Type>();
            number(Box::new(move |row, out| push_float(f64::from(values.value(row)), out)))
        }
        (DataType::Float64, _) => {
            let values = array.as_primitive::<Float64Type>();
            number(Box::new(move |row, out| push_float(values.value(row), out)))
        }
        (DataType::Decimal32(_, scale), _) => {
            let (values, scale) = (array.as_primitive::<Decimal32Type>(), *scale);
            decimal(
                kind,
                Box::new(move |row, out| {
                    push_decimal(i128::from(values.value(row)), scale, out);
                    Ok(())
                }),
            )
        }
        (DataType::Decimal64(_, scale), _) => {
            let (values, scale) = (array.as_primitive::<Decimal64Type>(), *scale);
            decimal(
                kind,
                Box::new(move |row, out| {
                    push_decimal(i128::from(values.value(row)), scale, out);
                    Ok(())
                }),
            )
        }
        (DataType::Decimal128(_, scale), _) => {
            let (values, scale) = (array.as_primitive::<Decimal128Type>(), *scale);
            decimal(
                kind,
                Box::new(move |row, out| {
                    push_decimal(values.value(row), scale, out);
                    Ok(())
                }),
            )
        }
        (DataType::Decimal256(_, scale), _) => {
            let (values, scale) = (array.as_primitive::<Decimal256Type>(), *scale);
            decimal(
                kind,
                Box::new(move |row, out| {
                    let text = values.value(row).to_string();
                    let digits = text.strip_prefix('-').inspect(|_| out.push(b'-')).unwrap_or(&text);
                    place_point(digits.as_bytes(), scale, out);
                    Ok(())
                }),
            )
        }
        (DataType::Utf8, _) => {
            let values = array.as_string::<i32>();
            Some(Values::Bytes { get: Box::new(move |row| Ok(values.value(row).as_bytes())), is_text: true })
        }
        (DataType::LargeUtf8, _) => {
            let values = array.as_string::<i64>();
            Some(Values::Bytes { get: Box::new(move |row| Ok(values.value(row).as_bytes())), is_text: true })
        }
        (DataType::Utf8View, _) => {
            let values = array.as_string_view();
            Some(Values::Bytes { get: Box::new(move |row| Ok(values.value(row).as_bytes())), is_text: true })
        }
        (DataType::Binary, _) => {
            let values = array.as_binary::<i32>();
            Some(bytes(kind, move |row| values.value(row)))
        }
        (DataType::LargeBinary, _) => {
            let values = array.as_binary::<i64>();
            Some(bytes(kind, move |row| values.value(row)))
        }
        (DataType::BinaryView, _) => {
            let values = array.as_binary_view();
            Some(bytes(kind, move |row| values.value(row)))
        }
        (DataType::FixedSizeBinary(16), Kind::TextForm) => {
            let values = array.as_fixed_size_binary();
            Some(Values::Plain { spell: Box::new(move |row, out| push_uuid(values.value(row), out)), is_quoted: true })
        }
        (DataType::FixedSizeBinary(_), _) => {
            let values = array.as_fixed_size_binary();
            Some(bytes(kind, move |row| values.value(row)))
        }
        (DataType::Date32, Kind::Date | Kind::DateTime { .. }) => {
            let values = array.as_primitive::<Date32Type>();
            Some(quoted(move |row, out| push_date(i64::from(values.value(row)), out).then_some(()).ok_or(NO_YEAR)))
        }
        (DataType::Date64, Kind::Date) => {
            let values = array.as_primitive::<Date64Type>();
            Some(quoted(move |row, out| {
                let millis = values.value(row);
                if millis.rem_euclid(86_400_000) != 0 {
                    return Err(Unfit("a date with a time of day"));
                }
                push_date(millis.div_euclid(86_400_000), out).then_some(()).ok_or(NO_YEAR)
            }))
        }
        (DataType::Time32(unit) | DataType::Time64(unit) | DataType::Duration(unit), Kind::Time { digits }) => {
            let (counts, unit) = (counts(array)?, *unit);
            Some(span(*digits, move |row| micros_of(counts(row), unit)))
        }
        (DataType::Timestamp(unit, _), Kind::DateTime { digits } | Kind::Timestamp { digits }) => {
            let (counts, unit, step) = (counts(array)?, *unit, step_of(*digits));
            Some(quoted(move |row, out| push_moment(micros_of(counts(row), unit).ok_or(TOO_FINE)?, step, out)))
        }
        (DataType::Interval(unit), _) => Some(Values::Built(interval(array, *unit))),
        (DataType::Dictionary(..), _) => dictionary(array, kind),
        _ => None,
    }
}

fn quoted<'a>(spell: impl Fn(usize, &mut Vec<u8>) -> Result<(), Unfit> + 'a) -> Values<'a> {
    Values::Plain { spell: Box::new(spell), is_quoted: true }
}

fn signed<'a, T: ArrowPrimitiveType>(array: &'a ArrayRef, kind: &Kind) -> Option<Values<'a>>
where
    T::Native: Into<i64>,
{
    let values = array.as_primitive::<T>();
    if *kind == Kind::Year {
        return Some(quoted(move |row, out| push_year(u64::try_from(values.value(row).into()).ok(), out)));
    }
    let spell: Spell<'a> = Box::new(move |row, out| {
        push_i64(values.value(row).into(), out);
        Ok(())
    });
    Some(Values::Plain { spell, is_quoted: false })
}

fn unsigned<'a, T: ArrowPrimitiveType>(array: &'a ArrayRef, kind: &Kind) -> Option<Values<'a>>
where
    T::Native: Into<u64>,
{
    let values = array.as_primitive::<T>();
    if *kind == Kind::Year {
        return Some(quoted(move |row, out| push_year(Some(values.value(row).into()), out)));
    }
    let spell: Spell<'a> = Box::new(move |row, out| {
        push_u64(values.value(row).into(), out);
        Ok(())
    });
    Some(Values::Plain { spell, is_quoted: false })
}

/// A year of one or two digits would be read as one of this century: `0` as 2000.
fn push_year(year: Option<u64>, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let year = year.filter(|year| *year == 0 || (1901..=2155).contains(year)).ok_or(Unfit("a `year` is 0 or from 1901 to 2155"))?;
    push_padded(year, 4, out);
    Ok(())
}

fn push_float(value: f64, out: &mut Vec<u8>) -> Result<(), Unfit> {
    if !value.is_finite() {
        return Err(NO_FINITE);
    }
    // The shortest digits that read back as the same double; never the 300 zeros of a large one.
    use std::io::Write;
    write!(out, "{value:e}").map_err(|_| NO_FINITE)
}

fn decimal<'a>(kind: &Kind, spell: Spell<'a>) -> Option<Values<'a>> {
    // A literal of a decimal is a number for numbers, and must be a text for texts.
    Some(Values::Plain { spell, is_quoted: matches!(kind, Kind::Text { .. }) })
}

fn bytes<'a>(kind: &Kind, get: impl Fn(usize) -> &'a [u8] + 'a) -> Values<'a> {
    match kind {
        Kind::Bytes { length: Some(length), is_fixed: true } => {
            let length = *length;
            let checked = move |row| {
                let value = get(row);
                if value.len() as u64 == length { Ok(value) } else { Err(Unfit("a `binary` column would fill up shorter bytes with zeros")) }
            };
            Values::Bytes { get: Box::new(checked), is_text: false }
        }
        Kind::Geometry => Values::BuiltBytes(Box::new(move |row, out| push_geometry(get(row), out))),
        _ => Values::Bytes { get: Box::new(move |row| Ok(get(row))), is_text: false },
    }
}

/// WKB, or EWKB with a reference system, in the server's own form: the reference system, then WKB.
fn push_geometry(value: &[u8], out: &mut Vec<u8>) -> Result<(), Unfit> {
    const HAS_REFERENCE: u8 = 0x20;
    const NO_WKB: Unfit = Unfit("a geometry is little-endian WKB or EWKB");
    let (head, body) = value.split_first_chunk::<5>().filter(|(head, _)| head[0] == 1).ok_or(NO_WKB)?;
    let (reference, body) = if head[4] & HAS_REFERENCE == 0 { (&[0; 4], body) } else { body.split_first_chunk::<4>().ok_or(NO_WKB)? };
    out.extend_from_slice(reference);
    out.extend_from_slice(&head[..4]);
    out.push(head[4] & !HAS_REFERENCE);
    out.extend_from_slice(body);
    Ok(())
}

fn push_uuid(value: &[u8], out: &mut Vec<u8>) -> Result<(), Unfit> {
    let id = uuid::Uuid::from_slice(value).map_err(|_| Unfit("a UUID has 16 bytes"))?;
    out.extend_from_slice(id.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()).as_bytes());
    Ok(())
}

/// The 64-bit counts behind times, spans and timestamps.
fn counts(array: &ArrayRef) -> Option<Box<dyn Fn(usize) -> i64 + '_>> {
    use arrow::array::types::{
        DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
        Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    };
    fn of<T: ArrowPrimitiveType>(array: &ArrayRef) -> Box<dyn Fn(usize) -> i64 + '_>
    where
        T::Native: Into<i64>,
    {
        let values = array.as_primitive::<T>();
        Box::new(move |row| values.value(row).into())
    }
    Some(match array.data_type() {
        DataType::Time32(TimeUnit::Second) => of::<Time32SecondType>(array),
        DataType::Time32(TimeUnit::Millisecond) => of::<Time32MillisecondType>(array),
        DataType::Time64(TimeUnit::Microsecond) => of::<Time64MicrosecondType>(array),
        DataType::Time64(TimeUnit::Nanosecond) => of::<Time64NanosecondType>(array),
        DataType::Duration(TimeUnit::Second) => of::<DurationSecondType>(array),
        DataType::Duration(TimeUnit::Millisecond) => of::<DurationMillisecondType>(array),
        DataType::Duration(TimeUnit::Microsecond) => of::<DurationMicrosecondType>(array),
        DataType::Duration(TimeUnit::Nanosecond) => of::<DurationNanosecondType>(array),
        DataType::Timestamp(TimeUnit::Second, _) => of::<TimestampSecondType>(array),
        DataType::Timestamp(TimeUnit::Millisecond, _) => of::<TimestampMillisecondType>(array),
        DataType::Timestamp(TimeUnit::Microsecond, _) => of::<TimestampMicrosecondType>(array),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => of::<TimestampNanosecondType>(array),
        _ => return None,
    })
}

/// The count in microseconds; `None` when it has finer parts, or is beyond any date.
fn micros_of(count: i64, unit: TimeUnit) -> Option<i64> {
    match unit {
        TimeUnit::Second => count.checked_mul(1_000_000),
        TimeUnit::Millisecond => count.checked_mul(1_000),
        TimeUnit::Microsecond => Some(count),
        TimeUnit::Nanosecond => (count % 1_000 == 0).then_some(count / 1_000),
    }
}

/// The smallest difference that a column with this many digits of a second keeps, in microseconds.
fn step_of(digits: u8) -> i64 {
    10_i64.pow(6 - u32::from(digits.min(6)))
}

fn push_moment(micros: i64, step: i64, out: &mut Vec<u8>) -> Result<(), Unfit> {
    if micros % step != 0 {
        return Err(TOO_FINE);
    }
    let (days, of_day) = (micros.div_euclid(86_400_000_000), micros.rem_euclid(86_400_000_000));
    if !push_date(days, out) {
        return Err(NO_YEAR);
    }
    out.push(b' ');
    push_time(of_day.unsigned_abs(), out);
    Ok(())
}

fn span<'a>(digits: u8, micros: impl Fn(usize) -> Option<i64> + 'a) -> Values<'a> {
    const MOST: u64 = (838 * 3_600 + 59 * 60 + 60) * 1_000_000;
    let step = step_of(digits);
    quoted(move |row, out| {
        let micros = micros(row).filter(|micros| micros % step == 0).ok_or(TOO_FINE)?;
        if micros.unsigned_abs() >= MOST {
            return Err(TOO_LONG_TIME);
        }
        if micros < 0 {
            out.push(b'-');
        }
        push_time(micros.unsigned_abs(), out);
        Ok(())
    })
}

/// Intervals in the notation of ISO 8601, which keeps months, days and nanoseconds apart.
fn interval(array: &ArrayRef, unit: IntervalUnit) -> Spell<'_> {
    let iso = |months: i64, days: i64, nanos: i128, out: &mut Vec<u8>| {
        let mut text = format!("P{months}M{days}DT");
        let (sign, whole, part) = (if nanos < 0 { "-" } else { "" }, nanos.unsigned_abs() / 1_000_000_000, nanos.unsigned_abs() % 1_000_000_000);
        text.push_str(&if part == 0 { format!("{sign}{whole}S") } else { format!("{sign}{whole}.{part:09}S") });
        out.extend_from_slice(text.as_bytes());
        Ok(())
    };
    match unit {
        IntervalUnit::YearMonth => {
            let values = array.as_primitive::<IntervalYearMonthType>();
            Box::new(move |row, out| iso(i64::from(values.value(row)), 0, 0, out))
        }
        IntervalUnit::DayTime => {
            let values = array.as_primitive::<IntervalDayTimeType>();
            Box::new(move |row, out| iso(0, i64::from(values.value(row).days), i128::from(values.value(row).milliseconds) * 1_000_000, out))
        }
        IntervalUnit::MonthDayNano => {
            let values = array.as_primitive::<IntervalMonthDayNanoType>();
            Box::new(move |row, out| iso(i64::from(values.value(row).months), i64::from(values.value(row).days), i128::from(values.value(row).nanoseconds), out))
        }
    }
}

fn dictionary<'a>(array: &'a ArrayRef, kind: &'a Kind) -> Option<Values<'a>> {
    fn of<'a, K: ArrowDictionaryKeyType>(array: &'a ArrayRef, kind: &'a Kind) -> Option<Values<'a>> {
        let dictionary = array.as_dictionary::<K>();
        let at = move |row| dictionary.key(row).unwrap_or(0);
        Some(match values(dictionary.values(), kind)? {
            Values::Plain { spell, is_quoted } => Values::Plain { spell: Box::new(move |row, out| spell(at(row), out)), is_quoted },
            Values::Bytes { get, is_text } => Values::Bytes { get: Box::new(move |row| get(at(row))), is_text },
            Values::Built(spell) => Values::Built(Box::new(move |row, out| spell(at(row), out))),
            Values::BuiltBytes(spell) => Values::BuiltBytes(Box::new(move |row, out| spell(at(row), out))),
        })
    }
    match array.data_type() {
        DataType::Dictionary(key, _) => match key.as_ref() {
            DataType::Int8 => of::<Int8Type>(array, kind),
            DataType::Int16 => of::<Int16Type>(array, kind),
            DataType::Int32 => of::<Int32Type>(array, kind),
            DataType::Int64 => of::<Int64Type>(array, kind),
            DataType::UInt8 => of::<UInt8Type>(array, kind),
            DataType::UInt16 => of::<UInt16Type>(array, kind),
            DataType::UInt32 => of::<UInt32Type>(array, kind),
            DataType::UInt64 => of::<UInt64Type>(array, kind),
            _ => None,
        },
        _ => None,
    }
}

/// How lists and structs are written.
static JSON: LazyLock<EncoderOptions> = LazyLock::new(|| EncoderOptions::default().with_explicit_nulls(true));

/// Lists and structs as JSON; numbers that JSON does not know are refused.
fn json<'a>(array: &'a ArrayRef, field: &'a FieldRef) -> Option<Values<'a>> {
    if has_odd_numbers(array.as_ref()) {
        return Some(Values::Built(Box::new(|_, _| Err(Unfit("JSON has no NaN and no infinity")))));
    }
    let encoder = RefCell::new(make_encoder(field, array.as_ref(), &JSON).ok()?);
    Some(Values::Built(Box::new(move |row, out| {
        encoder.borrow_mut().encode(row, out);
        Ok(())
    })))
}

fn has_odd_numbers(array: &dyn Array) -> bool {
    match array.data_type() {
        DataType::Float16 => array.as_primitive::<Float16Type>().iter().flatten().any(|value| !value.is_finite()),
        DataType::Float32 => array.as_primitive::<Float32Type>().iter().flatten().any(|value| !value.is_finite()),
        DataType::Float64 => array.as_primitive::<Float64Type>().iter().flatten().any(|value| !value.is_finite()),
        DataType::List(_) => has_odd_numbers(array.as_list::<i32>().values()),
        DataType::LargeList(_) => has_odd_numbers(array.as_list::<i64>().values()),
        DataType::FixedSizeList(..) => has_odd_numbers(array.as_fixed_size_list().values()),
        DataType::Map(..) => has_odd_numbers(array.as_map().entries()),
        DataType::Struct(_) => array.as_struct().columns().iter().any(|column| has_odd_numbers(column)),
        _ => false,
    }
}
