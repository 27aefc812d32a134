//! Dates and times as the binary protocol has them.

use std::fmt::Write;

const DAY_MICROS: i64 = 86_400_000_000;
const DAYS: [u8; 13] = [0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// A date with a time, as stored: not every one is a day of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) year: u16,
    pub(crate) month: u8,
    pub(crate) day: u8,
    pub(crate) hour: u8,
    pub(crate) minute: u8,
    pub(crate) second: u8,
    pub(crate) micros: u32,
}

impl Stored {
    /// Reads the protocol's form, whose trailing zeros are left out.
    #[inline]
    pub(crate) fn read(wire: &[u8]) -> Option<Self> {
        let mut all = [0_u8; 11];
        match wire.len() {
            0 | 4 | 7 | 11 => all[..wire.len()].copy_from_slice(wire),
            _ => return None,
        }
        let [y0, y1, month, day, hour, minute, second, m0, m1, m2, m3] = all;
        Some(Self { year: u16::from_le_bytes([y0, y1]), month, day, hour, minute, second, micros: u32::from_le_bytes([m0, m1, m2, m3]) })
    }

    /// Days since 1970-01-01; `None` for what is no day of the calendar, such as `0000-00-00` and `2024-02-31`.
    #[inline]
    pub(crate) fn days(self) -> Option<i32> {
        let (year, month, day) = (i32::from(self.year), self.month, self.day);
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let longest = *DAYS.get(usize::from(month))? + u8::from(month == 2 && is_leap);
        if day == 0 || day > longest {
            return None;
        }
        // Howard Hinnant's days_from_civil, for years from 0 on: years begin in March, so that leap days come last.
        let month = i32::from(month);
        let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
        let era = year.div_euclid(400);
        let of_era = year.rem_euclid(400);
        let of_year = (153 * month + 2) / 5 + i32::from(day) - 1;
        Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
    }

    /// Microseconds since 1970-01-01T00:00:00.
    #[inline]
    pub(crate) fn micros(self) -> Option<i64> {
        let seconds = i64::from(self.hour) * 3_600 + i64::from(self.minute) * 60 + i64::from(self.second);
        Some(i64::from(self.days()?) * DAY_MICROS + seconds * 1_000_000 + i64::from(self.micros))
    }

    /// The server's own spelling of the date.
    pub(crate) fn write_date(self, out: &mut String) {
        write_into(out, format_args!("{:04}-{:02}-{:02}", self.year, self.month, self.day));
    }

    /// The server's own spelling of date and time, with so many digits after the second.
    pub(crate) fn write_date_time(self, out: &mut String, digits: usize) {
        self.write_date(out);
        write_into(out, format_args!(" {:02}:{:02}:{:02}", self.hour, self.minute, self.second));
        write_fraction(out, self.micros, digits);
    }
}

/// Writes a time, which may be negative and longer than a day, as the server spells it; false when it is malformed.
pub(crate) fn write_time(wire: &[u8], out: &mut String, digits: usize) -> bool {
    let mut all = [0_u8; 12];
    match wire.len() {
        0 | 8 | 12 => all[..wire.len()].copy_from_slice(wire),
        _ => return false,
    }
    let [sign, d0, d1, d2, d3, hour, minute, second, m0, m1, m2, m3] = all;
    let hours = u64::from(u32::from_le_bytes([d0, d1, d2, d3])) * 24 + u64::from(hour);
    write_into(out, format_args!("{}{hours:02}:{minute:02}:{second:02}", if sign == 0 { "" } else { "-" }));
    write_fraction(out, u32::from_le_bytes([m0, m1, m2, m3]), digits);
    true
}

fn write_fraction(out: &mut String, micros: u32, digits: usize) {
    // What a computed value has beyond its declared digits is kept.
    let digits = if micros.is_multiple_of(10_u32.pow(6 - u32::try_from(digits.min(6)).unwrap_or(0))) { digits.min(6) } else { 6 };
    if digits > 0 {
        out.push('.');
        let text = format!("{micros:06}");
        out.push_str(text.get(..digits).unwrap_or(&text));
    }
}

fn write_into(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing into a string cannot fail.
    let _infallible = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{Datelike, NaiveDate};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn days_are_those_of_the_calendar(year in 0_u16..=9999, month in 0_u8..=13, day in 0_u8..=32) {
            let stored = Stored { year, month, day, hour: 0, minute: 0, second: 0, micros: 0 };
            let expected = NaiveDate::from_ymd_opt(i32::from(year), u32::from(month), u32::from(day)).map(|date| date.num_days_from_ce() - 719_163);
            prop_assert_eq!(stored.days(), expected);
        }
    }

    #[test]
    fn times_are_spelled_as_the_server_does() {
        let spelled = |wire: &[u8], digits| {
            let mut out = String::new();
            assert!(write_time(wire, &mut out, digits));
            out
        };
        assert_eq!(spelled(&[], 0), "00:00:00");
        assert_eq!(spelled(&[1, 34, 0, 0, 0, 22, 59, 59], 0), "-838:59:59");
        assert_eq!(spelled(&[0, 0, 0, 0, 0, 1, 2, 3, 0x40, 0xe2, 0x01, 0], 6), "01:02:03.123456");
        assert_eq!(spelled(&[0, 0, 0, 0, 0, 1, 2, 3, 0xa0, 0x86, 0x01, 0], 1), "01:02:03.1");
    }
}
