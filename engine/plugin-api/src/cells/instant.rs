//! Dates, times and timestamps from ISO 8601 text, exactly.

use super::{Form, Mismatch};
use arrow_schema::TimeUnit;

const MALFORMED: Mismatch = Mismatch::Form(Form::Text);
const DAY_SECONDS: i64 = 86_400;
/// 0000-01-01T00:00:00 and 9999-12-31T23:59:59, in seconds since 1970.
const FIRST_SECOND: i64 = -62_167_219_200;
const LAST_SECOND: i64 = 253_402_300_799;

/// What a timestamp column does with offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// No zone: `Z` and `+00:00` are accepted, any other offset would be lost and is refused.
    None,
    /// An instant: offsets are applied, text without one is UTC.
    Utc,
}

/// A point in time as text wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParsedInstant {
    /// Whole seconds since 1970-01-01T00:00:00 of the written clock, the offset not yet applied.
    pub seconds: i64,
    /// Nanoseconds within the second.
    pub nanos: u32,
    /// Digits written after the point.
    pub fraction_digits: usize,
    /// The offset from UTC in seconds, when one is written.
    pub offset: Option<i32>,
    /// How many bytes date, time and fraction take; a zone follows.
    pub clock_bytes: usize,
    /// Bytes of the time of day: 0 for a date, 5 for `HH:MM`, 8 for `HH:MM:SS`.
    pub time_bytes: usize,
}

/// A date: `YYYY-MM-DD`, or a timestamp at midnight.
///
/// # Errors
/// When it is not one.
pub fn parse_date(text: &[u8]) -> Result<i32, Mismatch> {
    if text.len() == 10 {
        return date(text);
    }
    let instant = parse_instant(text)?;
    if instant.offset.is_some_and(|offset| offset != 0) {
        return Err(Mismatch::HasOffset);
    }
    if instant.nanos != 0 || instant.seconds.rem_euclid(DAY_SECONDS) != 0 {
        return Err(Mismatch::TooManyDigits);
    }
    i32::try_from(instant.seconds.div_euclid(DAY_SECONDS)).map_err(|_| Mismatch::OutOfRange)
}

/// A time of day, `HH:MM[:SS[.fff]]`, in units since midnight.
///
/// # Errors
/// When it is not one, or has more digits than the unit.
pub fn parse_time(text: &[u8], unit: TimeUnit) -> Result<i64, Mismatch> {
    let (seconds, nanos, _, used, _) = clock(text)?;
    if used != text.len() {
        return Err(MALFORMED);
    }
    in_unit(i64::from(seconds), nanos, unit)
}

/// A timestamp, in units since 1970-01-01T00:00:00.
///
/// # Errors
/// When it is not one, has more digits than the unit, or an offset that `zone` would lose.
#[inline]
pub fn parse_timestamp(text: &[u8], unit: TimeUnit, zone: Zone) -> Result<i64, Mismatch> {
    let instant = parse_instant(text)?;
    let offset = match (instant.offset, zone) {
        (None | Some(0), _) => 0,
        (Some(offset), Zone::Utc) => i64::from(offset),
        (Some(_), Zone::None) => return Err(Mismatch::HasOffset),
    };
    in_unit(instant.seconds - offset, instant.nanos, unit)
}

/// Date and time as written: `YYYY-MM-DD`, then optionally `T` or a blank, `HH:MM[:SS[.fff]]`, and `Z` or an offset `±HH[:MM]`, `±HHMM`.
///
/// # Errors
/// When the text has another form.
#[inline]
pub fn parse_instant(text: &[u8]) -> Result<ParsedInstant, Mismatch> {
    // Nearly all timestamps have this form: one pass without a branch per digit.
    if let Some((head, rest)) = text.split_first_chunk::<19>()
        && let Some(seconds) = whole_seconds(head)
    {
        if rest.is_empty() {
            return Ok(ParsedInstant { seconds, nanos: 0, fraction_digits: 0, offset: None, clock_bytes: 19, time_bytes: 8 });
        }
        let (nanos, fraction_digits) = fraction(rest)?;
        let used = if fraction_digits == 0 { 0 } else { 1 + fraction_digits };
        return Ok(ParsedInstant { seconds, nanos, fraction_digits, offset: zone_offset(&rest[used..])?, clock_bytes: 19 + used, time_bytes: 8 });
    }
    let day = date(text.get(..10).ok_or(MALFORMED)?)?;
    let midnight = i64::from(day) * DAY_SECONDS;
    let Some((separator, rest)) = text[10..].split_first() else {
        return Ok(ParsedInstant { seconds: midnight, nanos: 0, fraction_digits: 0, offset: None, clock_bytes: 10, time_bytes: 0 });
    };
    if !matches!(separator, b' ' | b'T' | b't') {
        return Err(MALFORMED);
    }
    let (seconds, nanos, fraction_digits, used, time_bytes) = clock(rest)?;
    let offset = zone_offset(&rest[used..])?;
    Ok(ParsedInstant { seconds: midnight + i64::from(seconds), nanos, fraction_digits, offset, clock_bytes: 11 + used, time_bytes })
}

/// Units since the epoch from a count in another unit, refused outside the years 0 to 9999.
pub(super) fn epoch(value: i64, factor: i64, unit: TimeUnit) -> Result<i64, Mismatch> {
    let value = value.checked_mul(factor).ok_or(Mismatch::OutOfRange)?;
    let seconds = value.div_euclid(per_second(unit));
    if (FIRST_SECOND..=LAST_SECOND).contains(&seconds) { Ok(value) } else { Err(Mismatch::OutOfRange) }
}

#[inline]
fn in_unit(seconds: i64, nanos: u32, unit: TimeUnit) -> Result<i64, Mismatch> {
    let scale = per_second(unit);
    let nanos_per_unit = 1_000_000_000 / scale;
    let nanos = i64::from(nanos);
    if nanos % nanos_per_unit != 0 {
        return Err(Mismatch::TooManyDigits);
    }
    seconds.checked_mul(scale).and_then(|value| value.checked_add(nanos / nanos_per_unit)).ok_or(Mismatch::OutOfRange)
}

fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

#[inline]
fn two(text: &[u8]) -> Result<u32, Mismatch> {
    match text {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9', ..] => Ok(u32::from(tens - b'0') * 10 + u32::from(ones - b'0')),
        _ => Err(MALFORMED),
    }
}

/// Days since 1970-01-01 of `YYYY-MM-DD`.
#[inline]
fn date(text: &[u8]) -> Result<i32, Mismatch> {
    if text.len() != 10 || text[4] != b'-' || text[7] != b'-' {
        return Err(MALFORMED);
    }
    let year = two(text)? * 100 + two(&text[2..])?;
    let month = two(&text[5..])?;
    let day = two(&text[8..])?;
    if !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) {
        return Err(MALFORMED);
    }
    Ok(days_since_epoch(year, month, day))
}

fn days_in_month(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Howard Hinnant's `days_from_civil` for years 0 to 9999; one 400-year era is added so that nothing is negative before the last step.
#[inline]
fn days_since_epoch(year: u32, month: u32, day: u32) -> i32 {
    let year = year + 400 - u32::from(month <= 2);
    let era = year / 400;
    let year_of_era = year % 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era;
    days.cast_signed() - 719_468 - 146_097
}

/// Seconds of the day, nanoseconds, fraction digits, bytes used, bytes without the fraction.
#[inline]
fn clock(text: &[u8]) -> Result<(u32, u32, usize, usize, usize), Mismatch> {
    if text.get(2) != Some(&b':') {
        return Err(MALFORMED);
    }
    let hours = two(text)?;
    let minutes = two(&text[3..])?;
    if hours > 23 || minutes > 59 {
        return Err(MALFORMED);
    }
    let so_far = hours * 3600 + minutes * 60;
    if text.get(5) != Some(&b':') {
        return Ok((so_far, 0, 0, 5, 5));
    }
    let seconds = two(&text[6..])?;
    if seconds > 59 {
        return Err(MALFORMED);
    }
    let (nanos, digits) = fraction(&text[8..])?;
    Ok((so_far + seconds, nanos, digits, if digits == 0 { 8 } else { 9 + digits }, 8))
}

/// Seconds since the epoch of `YYYY-MM-DD HH:MM:SS`; `None` when a field is out of its range or has another form.
#[inline]
fn whole_seconds(text: &[u8; 19]) -> Option<i64> {
    let digit = |at: usize| u32::from(text[at].wrapping_sub(b'0'));
    let digits = [0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18];
    let are_digits = digits.iter().fold(true, |so_far, at| so_far & (digit(*at) <= 9));
    let are_marks = (text[4] == b'-') & (text[7] == b'-') & ((text[10] == b' ') | (text[10] == b'T')) & (text[13] == b':') & (text[16] == b':');
    if !(are_digits & are_marks) {
        return None;
    }
    let two = |at: usize| digit(at) * 10 + digit(at + 1);
    let (year, month, day) = (two(0) * 100 + two(2), two(5), two(8));
    let (hours, minutes, seconds) = (two(11), two(14), two(17));
    let is_date = (month.wrapping_sub(1) < 12) & (day != 0) & ((day <= 28) || (month <= 12 && day <= days_in_month(year, month)));
    let is_time = (hours < 24) & (minutes < 60) & (seconds < 60);
    (is_date & is_time).then(|| i64::from(days_since_epoch(year, month, day)) * DAY_SECONDS + i64::from(hours * 3600 + minutes * 60 + seconds))
}

/// Nanoseconds and digits of a fraction `.ddd` at the start of `text`; no digits without a point.
#[inline]
fn fraction(text: &[u8]) -> Result<(u32, usize), Mismatch> {
    let Some((b'.', text)) = text.split_first() else { return Ok((0, 0)) };
    let mut nanos = 0_u32;
    let mut digits = 0_usize;
    for byte in text {
        if !byte.is_ascii_digit() {
            break;
        }
        if digits < 9 {
            nanos = nanos * 10 + u32::from(byte - b'0');
        } else if *byte != b'0' {
            return Err(Mismatch::TooManyDigits);
        }
        digits += 1;
    }
    if digits == 0 {
        return Err(MALFORMED);
    }
    const TO_NANOS: [u32; 10] = [1_000_000_000, 100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];
    Ok((nanos * TO_NANOS[digits.min(9)], digits))
}

fn zone_offset(text: &[u8]) -> Result<Option<i32>, Mismatch> {
    let (sign, rest) = match text {
        [] => return Ok(None),
        b"Z" | b"z" => return Ok(Some(0)),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        // PostgreSQL and SQLite write a blank before the zone at times.
        [b' ', rest @ ..] if !rest.is_empty() && rest[0] != b' ' => return zone_offset(rest),
        _ => return Err(MALFORMED),
    };
    let (hours, minutes) = match rest.len() {
        2 => (two(rest)?, 0),
        4 => (two(rest)?, two(&rest[2..])?),
        5 if rest[2] == b':' => (two(rest)?, two(&rest[3..])?),
        _ => return Err(MALFORMED),
    };
    if hours > 23 || minutes > 59 {
        return Err(MALFORMED);
    }
    Ok(Some(sign * (hours * 3600 + minutes * 60).cast_signed()))
}
