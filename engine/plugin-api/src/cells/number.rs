//! Numbers and booleans from text, exactly.

use super::{Form, Mismatch};
use arrow_array::ArrowPrimitiveType;
use arrow_array::types::Decimal256Type;
use std::fmt::{Arguments, Write};

type Wide = <Decimal256Type as ArrowPrimitiveType>::Native;

const MALFORMED: Mismatch = Mismatch::Form(Form::Text);

/// Powers of ten that 128 bits hold.
const POWERS: [i128; 39] = {
    let mut powers = [1_i128; 39];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// Powers of ten that a binary number holds exactly, as far as 15 digits need them.
const EXACT_POWERS: [f64; 16] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// `true`, `false`, `1` or `0`, in any case.
///
/// # Errors
/// When it is none of them.
pub fn parse_boolean(text: &[u8]) -> Result<bool, Mismatch> {
    match text {
        b"1" => Ok(true),
        b"0" => Ok(false),
        _ if text.eq_ignore_ascii_case(b"true") => Ok(true),
        _ if text.eq_ignore_ascii_case(b"false") => Ok(false),
        _ => Err(MALFORMED),
    }
}

/// A whole number: digits with an optional sign.
///
/// # Errors
/// When it has another form or does not fit 128 bits.
pub fn parse_integer(text: &[u8]) -> Result<i128, Mismatch> {
    let (negative, digits) = sign(text);
    if digits.is_empty() {
        return Err(MALFORMED);
    }
    if digits.len() <= 18 {
        let mut value = 0_i64;
        for digit in digits {
            value = value * 10 + i64::from(digit_of(*digit)?);
        }
        return Ok(i128::from(if negative { -value } else { value }));
    }
    let mut value = 0_i128;
    for digit in digits {
        value = value
            .checked_mul(10)
            .and_then(|value| value.checked_add(i128::from(digit_of(*digit).ok()?)))
            .ok_or(MALFORMED)
            .map_err(|error| if digits.iter().all(u8::is_ascii_digit) { Mismatch::OutOfRange } else { error })?;
    }
    Ok(if negative { -value } else { value })
}

/// A finite decimal number with optional fraction and exponent.
///
/// # Errors
/// When it has another form or is beyond the range of a 64-bit number.
pub fn parse_float(text: &[u8]) -> Result<f64, Mismatch> {
    let (_, body) = sign(text);
    // Rust also reads `inf` and `nan`, which are no numbers in any file.
    if !body.first().is_some_and(|first| first.is_ascii_digit() || *first == b'.') {
        return Err(MALFORMED);
    }
    let value: f64 = std::str::from_utf8(text).map_err(|_| MALFORMED)?.parse().map_err(|_| MALFORMED)?;
    if value.is_finite() { Ok(value) } else { Err(Mismatch::OutOfRange) }
}

/// An exact decimal of at most 38 digits, as its unscaled value.
///
/// # Errors
/// When digits would be lost, at either end, or the form is another.
pub fn parse_decimal128(text: &[u8], precision: u8, scale: i8) -> Result<i128, Mismatch> {
    let (negative, body) = sign(text);
    let scale = usize::from(scale.unsigned_abs());
    let mut value = 0_i128;
    let mut digits = 0_usize;
    let mut fraction: Option<usize> = None;
    for (at, byte) in body.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {
                if let Some(kept) = &mut fraction {
                    if *kept == scale {
                        // Further zeros lose nothing.
                        if *byte != b'0' {
                            return if body[at..].iter().all(u8::is_ascii_digit) { Err(Mismatch::TooManyDigits) } else { exponent_form(text, precision, scale) };
                        }
                        continue;
                    }
                    *kept += 1;
                }
                digits += 1;
                value = value.checked_mul(10).and_then(|value| value.checked_add(i128::from(byte - b'0'))).ok_or(Mismatch::OutOfRange)?;
            }
            b'.' if fraction.is_none() => fraction = Some(0),
            b'e' | b'E' if digits > 0 => return exponent_form(text, precision, scale),
            _ => return Err(MALFORMED),
        }
    }
    if digits == 0 && !body.iter().any(u8::is_ascii_digit) {
        return Err(MALFORMED);
    }
    let missing = scale - fraction.unwrap_or(0);
    let value = POWERS.get(missing).and_then(|power| value.checked_mul(*power)).ok_or(Mismatch::OutOfRange)?;
    within(if negative { -value } else { value }, precision)
}

/// An exact decimal of at most 76 digits, as its unscaled value.
///
/// # Errors
/// As [`parse_decimal128`].
pub fn parse_decimal256(text: &[u8], precision: u8, scale: i8) -> Result<Wide, Mismatch> {
    let digits = plain_digits(text, usize::from(scale.unsigned_abs()))?;
    let significant = digits.trim_start_matches(['-', '0']);
    if significant.len() > usize::from(precision) {
        return Err(Mismatch::OutOfRange);
    }
    Wide::from_string(&digits).ok_or(Mismatch::OutOfRange)
}

/// The decimal that a binary number stands for, as its unscaled value: the one of at most 15 digits next to it, else its shortest decimal form.
///
/// # Errors
/// When that form has more digits after the point than `scale`, or does not fit.
pub fn shortest_decimal128(value: f64, precision: u8, scale: i8) -> Result<i128, Mismatch> {
    if !value.is_finite() {
        return Err(Mismatch::OutOfRange);
    }
    if let Some(power) = EXACT_POWERS.get(usize::from(scale.unsigned_abs())) {
        let scaled = value * power;
        if scaled.abs() < 1e15 {
            #[expect(clippy::cast_possible_truncation, reason = "below 10^15")]
            let unscaled = (scaled + 0.5_f64.copysign(scaled)) as i64;
            #[expect(clippy::cast_precision_loss, reason = "at most 10^15, which is exact")]
            let back = unscaled as f64 / power;
            // Decimals of at most 15 digits lie more than four binary neighbours apart, so this is the only one that can be meant.
            // Databases that turn text into binary numbers are exact to 15 digits, but may miss the nearest neighbour by one:
            // https://www.sqlite.org/floatingpoint.html
            let neighbours = if unscaled == 0 { 0 } else { 1 };
            if unscaled.unsigned_abs() < 1_000_000_000_000_000 && back.abs().to_bits().abs_diff(value.abs().to_bits()) <= neighbours {
                return within(i128::from(unscaled), precision);
            }
        }
    }
    let mut text = String::new();
    write_text(&mut text, format_args!("{value}"));
    parse_decimal128(text.as_bytes(), precision, scale)
}

pub(super) fn scaled128(value: i64, precision: u8, scale: i8) -> Result<i128, Mismatch> {
    let power = POWERS.get(usize::from(scale.unsigned_abs())).ok_or(Mismatch::OutOfRange)?;
    within(i128::from(value).checked_mul(*power).ok_or(Mismatch::OutOfRange)?, precision)
}

pub(super) fn exact_f64(value: i64) -> Result<f64, Mismatch> {
    #[expect(clippy::cast_precision_loss, reason = "the way back is compared")]
    let wide = value as f64;
    #[expect(clippy::cast_possible_truncation, reason = "compared with what it came from")]
    let back = wide as i128;
    if back == i128::from(value) { Ok(wide) } else { Err(Mismatch::OutOfRange) }
}

pub(super) fn exact_f32(value: f64) -> Result<f32, Mismatch> {
    #[expect(clippy::cast_possible_truncation, reason = "the way back is compared")]
    let narrow = value as f32;
    if f64::from(narrow).to_bits() == value.to_bits() || value.is_nan() { Ok(narrow) } else { Err(Mismatch::TooManyDigits) }
}

pub(super) fn write_text(out: &mut String, text: Arguments<'_>) {
    // Writing into a string cannot fail.
    let _infallible = out.write_fmt(text);
}

fn within(value: i128, precision: u8) -> Result<i128, Mismatch> {
    match POWERS.get(usize::from(precision)) {
        Some(limit) if value.unsigned_abs() >= limit.unsigned_abs() => Err(Mismatch::OutOfRange),
        _ => Ok(value),
    }
}

fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

fn digit_of(byte: u8) -> Result<u8, Mismatch> {
    if byte.is_ascii_digit() { Ok(byte - b'0') } else { Err(MALFORMED) }
}

fn exponent_form(text: &[u8], precision: u8, scale: usize) -> Result<i128, Mismatch> {
    let digits = plain_digits(text, scale)?;
    within(digits.parse().map_err(|_| Mismatch::OutOfRange)?, precision)
}

/// The unscaled value of a decimal number as text: `-12.5e1` with scale 2 is `-12500`.
fn plain_digits(text: &[u8], scale: usize) -> Result<String, Mismatch> {
    let (negative, body) = sign(text);
    let body = std::str::from_utf8(body).map_err(|_| MALFORMED)?;
    let (mantissa, exponent) = match body.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, parse_integer(exponent.as_bytes())?),
        None => (body, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all: String = [whole, fraction].concat();
    if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(MALFORMED);
    }
    let significant = all.trim_start_matches('0');
    if significant.is_empty() {
        return Ok("0".into());
    }
    // How many zeros to add (or digits to drop) so that the text counts units of 10^-scale.
    let shift = exponent.saturating_sub(fraction.len() as i128).saturating_add(scale as i128);
    let digits = match usize::try_from(shift) {
        Ok(zeros) if significant.len() + zeros <= 80 => format!("{significant}{}", "0".repeat(zeros)),
        Ok(_) => return Err(Mismatch::OutOfRange),
        Err(_) => {
            let drop = usize::try_from(shift.unsigned_abs()).unwrap_or(usize::MAX);
            let kept = significant.len().checked_sub(drop).ok_or(Mismatch::TooManyDigits)?;
            if significant[kept..].bytes().any(|digit| digit != b'0') {
                return Err(Mismatch::TooManyDigits);
            }
            significant[..kept].to_owned()
        }
    };
    Ok(if negative { format!("-{digits}") } else { digits })
}
