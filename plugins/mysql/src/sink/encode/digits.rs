//! Numbers and moments as the server reads them, appended to a buffer.

/// Appends a whole number.
pub(super) fn push_u64(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a signed whole number.
pub(super) fn push_i64(value: i64, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    push_u64(value.unsigned_abs(), out);
}

/// Appends a number of exactly `width` digits, which it must fit.
pub(super) fn push_padded(mut value: u64, width: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + width, b'0');
    for digit in out[start..].iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Appends an unscaled decimal with its point put in.
pub(super) fn push_decimal(value: i128, scale: i8, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    let mut rest = value.unsigned_abs();
    let mut digits = [b'0'; 40];
    let mut at = digits.len();
    loop {
        at -= 1;
        // The quotient of 64-bit halves is far cheaper than that of 128 bits, and most decimals fit.
        let digit = match u64::try_from(rest) {
            Ok(small) => {
                rest = u128::from(small / 10);
                (small % 10) as u8
            }
            Err(_) => {
                let digit = (rest % 10) as u8;
                rest /= 10;
                digit
            }
        };
        digits[at] = b'0' + digit;
        if rest == 0 {
            break;
        }
    }
    place_point(&digits[at..], scale, out);
}

/// Appends digits with a point before the last `scale` of them, or zeros after them.
pub(super) fn place_point(digits: &[u8], scale: i8, out: &mut Vec<u8>) {
    let Ok(scale) = usize::try_from(scale) else {
        out.extend_from_slice(digits);
        out.resize(out.len() + usize::from(scale.unsigned_abs()), b'0');
        return;
    };
    let whole = digits.len().saturating_sub(scale);
    if whole == 0 {
        out.push(b'0');
    } else {
        out.extend_from_slice(&digits[..whole]);
    }
    if scale > 0 {
        out.push(b'.');
        out.resize(out.len() + scale.saturating_sub(digits.len()), b'0');
        out.extend_from_slice(&digits[whole..]);
    }
}

/// Year, month and day of a day counted from 1970-01-01, in the calendar that goes on before 1582.
pub(super) fn civil(days: i64) -> (i64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097).unsigned_abs();
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = era * 400 + i64::try_from(year_of_era).unwrap_or(0) + i64::from(month <= 2);
    (year, month, day)
}

/// Appends a date; false, and nothing appended, when its year is none that the server stores.
pub(super) fn push_date(days: i64, out: &mut Vec<u8>) -> bool {
    let (year, month, day) = civil(days);
    let Some(year) = u64::try_from(year).ok().filter(|year| (1..=9_999).contains(year)) else { return false };
    push_padded(year, 4, out);
    out.push(b'-');
    push_padded(month, 2, out);
    out.push(b'-');
    push_padded(day, 2, out);
    true
}

/// Appends hours, minutes, seconds, and microseconds where there are any.
pub(super) fn push_time(micros: u64, out: &mut Vec<u8>) {
    let seconds = micros / 1_000_000;
    let hours = seconds / 3_600;
    if hours < 100 {
        push_padded(hours, 2, out);
    } else {
        push_u64(hours, out);
    }
    out.push(b':');
    push_padded(seconds / 60 % 60, 2, out);
    out.push(b':');
    push_padded(seconds % 60, 2, out);
    if !micros.is_multiple_of(1_000_000) {
        out.push(b'.');
        push_padded(micros % 1_000_000, 6, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(push: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        push(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn numbers_keep_every_digit() {
        assert_eq!(text(|out| push_i64(i64::MIN, out)), "-9223372036854775808");
        assert_eq!(text(|out| push_u64(u64::MAX, out)), "18446744073709551615");
        assert_eq!(text(|out| push_decimal(-5, 3, out)), "-0.005");
        assert_eq!(text(|out| push_decimal(12_345, 2, out)), "123.45");
        assert_eq!(text(|out| push_decimal(12, -2, out)), "1200");
        assert_eq!(text(|out| push_decimal(0, 2, out)), "0.00");
        assert_eq!(text(|out| push_decimal(i128::MAX, 0, out)), i128::MAX.to_string());
    }

    #[test]
    fn days_have_the_dates_that_chrono_gives_them() {
        for days in (-719_162..2_932_896).step_by(97) {
            let expected = chrono::DateTime::from_timestamp(days * 86_400, 0).map(|at| at.format("%Y-%m-%d").to_string());
            assert_eq!(Some(text(|out| assert!(push_date(days, out)))), expected);
        }
        assert!(!push_date(-719_163, &mut Vec::new()));
        assert!(!push_date(2_932_897, &mut Vec::new()));
    }

    #[test]
    fn times_are_longer_than_a_day_where_they_are() {
        assert_eq!(text(|out| push_time(838 * 3_600_000_000 + 59 * 60_000_000 + 59_000_001, out)), "838:59:59.000001");
        assert_eq!(text(|out| push_time(0, out)), "00:00:00");
    }
}
