//! Decimals in the server's binary form: digits of base 10,000, with weight, sign and scale.

/// Digits of base 10,000 that a decimal of 64 bits, with its fraction filled up to a whole digit, can have.
const FEW: usize = 8;

const POSITIVE: u16 = 0;
const NEGATIVE: u16 = 0x4000;

/// Writes `value` × 10^-`scale`.
pub(crate) fn put_decimal(out: &mut Vec<u8>, value: i128, scale: i8) {
    let Ok(scale_digits) = u32::try_from(scale) else { return put_decimal_text(out, &value.to_string(), scale) };
    // The point must lie between two digits of base 10,000.
    let filled = 10_u64.pow((4 - scale_digits % 4) % 4);
    let Some(mut rest) = u64::try_from(value.unsigned_abs()).ok().and_then(|value| value.checked_mul(filled)) else {
        return put_decimal_text(out, &value.to_string(), scale);
    };
    let mut digits = [0_u16; FEW];
    let mut first = FEW;
    while rest != 0 {
        first -= 1;
        digits[first] = low_digit(rest);
        rest /= 10_000;
    }
    let fraction = scale_digits.div_ceil(4).cast_signed();
    let weight = (FEW - first) as i32 - fraction - 1;
    put_digits(out, &digits[first..], weight, if value < 0 { NEGATIVE } else { POSITIVE }, scale_digits);
}

fn low_digit(value: u64) -> u16 {
    (value % 10_000) as u16
}

/// Writes a decimal whose unscaled value is the whole number in `text`.
pub(crate) fn put_decimal_text(out: &mut Vec<u8>, text: &str, scale: i8) {
    let (sign, unscaled) = match text.strip_prefix('-') {
        Some(rest) => (NEGATIVE, rest),
        None => (POSITIVE, text),
    };
    let mut decimal = unscaled.trim_start_matches('0').to_owned();
    let scale_digits = if decimal.is_empty() { usize::from(scale.unsigned_abs()) * usize::from(scale > 0) } else { usize::try_from(scale).unwrap_or(0) };
    if !decimal.is_empty() && scale < 0 {
        decimal.extend(std::iter::repeat_n('0', usize::from(scale.unsigned_abs())));
    }
    let filled = (4 - scale_digits % 4) % 4;
    if !decimal.is_empty() {
        decimal.extend(std::iter::repeat_n('0', filled));
    }
    let lead = (4 - decimal.len() % 4) % 4;
    decimal.insert_str(0, &"000"[..lead]);
    let digits: Vec<u16> = decimal.as_bytes().chunks_exact(4).map(|digit| digit.iter().fold(0, |number, byte| number * 10 + u16::from(byte - b'0'))).collect();
    let fraction = scale_digits.div_ceil(4);
    let weight = i32::try_from(digits.len()).unwrap_or(0) - i32::try_from(fraction).unwrap_or(0) - 1;
    put_digits(out, &digits, weight, sign, u32::try_from(scale_digits).unwrap_or(0));
}

#[expect(clippy::cast_possible_truncation, reason = "a decimal has at most 76 digits and a scale of 127")]
fn put_digits(out: &mut Vec<u8>, digits: &[u16], weight: i32, sign: u16, scale: u32) {
    // Zero has no digits, no sign, and by convention no weight.
    let (weight, sign) = if digits.is_empty() { (0, POSITIVE) } else { (weight, sign) };
    out.extend_from_slice(&(8 + 2 * digits.len() as u32).to_be_bytes());
    out.extend_from_slice(&(digits.len() as u16).to_be_bytes());
    out.extend_from_slice(&(weight as i16).to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&(scale as u16).to_be_bytes());
    for digit in digits {
        out.extend_from_slice(&digit.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the server makes of the bytes.
    fn read(bytes: &[u8]) -> String {
        let word = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        assert_eq!(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize, bytes.len() - 4);
        let (count, weight, sign, scale) = (word(4), word(6).cast_signed(), word(8), usize::from(word(10)));
        let digit = |place: i32| {
            let at = i32::from(weight) - place;
            if at >= 0 && at < i32::from(count) { word(12 + 2 * usize::try_from(at).expect("not negative")) } else { 0 }
        };
        let whole: String = (0..=i32::from(weight).max(0)).rev().map(|place| format!("{:04}", digit(place))).collect();
        let whole = whole.trim_start_matches('0');
        let fraction: String = (1..=20).map(|place| format!("{:04}", digit(-place))).collect();
        let point = if scale > 0 { format!(".{}", &fraction[..scale]) } else { String::new() };
        assert!(fraction[scale..].chars().all(|c| c == '0'), "digits beyond the scale");
        format!("{}{}{point}", if sign == NEGATIVE { "-" } else { "" }, if whole.is_empty() { "0" } else { whole })
    }

    fn check(value: i128, scale: i8, expected: &str) {
        let mut fast = Vec::new();
        put_decimal(&mut fast, value, scale);
        let mut slow = Vec::new();
        put_decimal_text(&mut slow, &value.to_string(), scale);
        assert_eq!((read(&fast).as_str(), read(&slow).as_str()), (expected, expected));
    }

    #[test]
    fn decimals_keep_every_digit_and_the_scale() {
        check(0, 0, "0");
        check(0, 4, "0.0000");
        check(1, 0, "1");
        check(-1, 2, "-0.01");
        check(10_000, 0, "10000");
        check(123_456_789, 4, "12345.6789");
        check(123_456_789, 5, "1234.56789");
        check(1, 9, "0.000000001");
        check(7, -3, "7000");
        check(i128::from(u64::MAX), 0, "18446744073709551615");
        check(99_999_999_999_999_999_999_999_999_999_999_999_999, 10, "9999999999999999999999999999.9999999999");
        check(-99_999_999_999_999_999_999_999_999_999_999_999_999, 38, "-0.99999999999999999999999999999999999999");
    }

    #[test]
    fn a_decimal_of_76_digits_is_written() {
        let mut out = Vec::new();
        put_decimal_text(&mut out, &"9".repeat(76), 3);
        assert_eq!(read(&out), format!("{}.999", "9".repeat(73)));
    }
}
