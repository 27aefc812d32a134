//! Decimals in the server's binary form: base 10,000 digits, the weight of the first, a sign.

use super::cell::Refusal;
use arrow::datatypes::i256;

const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
const NOT_A_NUMBER: u16 = 0xC000;

/// 10^0 to 10^38.
static POWERS: [u128; 39] = {
    let mut powers = [1_u128; 39];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

struct Digits<'a> {
    negative: bool,
    /// Power of ten that the last digit counts.
    exponent: i32,
    digits: &'a [u8],
}

fn digits(bytes: &[u8]) -> Result<Digits<'_>, Refusal> {
    let (head, digits) = bytes.split_first_chunk::<8>().ok_or(Refusal::Malformed)?;
    let count = u16::from_be_bytes([head[0], head[1]]);
    let weight = i16::from_be_bytes([head[2], head[3]]);
    let negative = match u16::from_be_bytes([head[4], head[5]]) {
        POSITIVE => false,
        NEGATIVE => true,
        NOT_A_NUMBER => return Err(Refusal::NotANumber),
        _ => return Err(Refusal::Infinite),
    };
    if digits.len() != usize::from(count) * 2 {
        return Err(Refusal::Malformed);
    }
    Ok(Digits { negative, exponent: 4 * (i32::from(weight) - i32::from(count) + 1), digits })
}

impl Digits<'_> {
    fn each(&self) -> impl Iterator<Item = u16> {
        self.digits.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
    }
}

/// The value times 10^`scale`, below 10^`precision`.
#[inline]
pub(crate) fn decimal128(bytes: &[u8], precision: u8, scale: i8) -> Result<i128, Refusal> {
    let found = digits(bytes)?;
    let shift = found.exponent + i32::from(scale);
    let unscaled = if found.digits.len() <= 8 {
        // At most 16 decimal digits: machine words do.
        let value = found.each().fold(0_u64, |value, digit| value * 10_000 + u64::from(digit));
        shifted_word(value, shift)?
    } else {
        wide(&found, shift)?
    };
    if unscaled >= POWERS[usize::from(precision.min(38))] {
        return Err(Refusal::OutOfRange);
    }
    // Below 10^38, so it fits.
    let signed = i128::try_from(unscaled).map_err(|_| Refusal::OutOfRange)?;
    Ok(if found.negative { -signed } else { signed })
}

#[inline]
fn shifted_word(value: u64, shift: i32) -> Result<u128, Refusal> {
    if shift >= 0 || value == 0 {
        return shifted(u128::from(value), shift);
    }
    let power = POWERS.get(shift.unsigned_abs() as usize).and_then(|power| u64::try_from(*power).ok()).ok_or(Refusal::TooManyDigits)?;
    if value.is_multiple_of(power) { Ok(u128::from(value / power)) } else { Err(Refusal::TooManyDigits) }
}

/// Group by group: what is cut off below the scale must be zeros, and needs no room.
fn wide(found: &Digits<'_>, shift: i32) -> Result<u128, Refusal> {
    let mut value = 0_u128;
    let mut exponent = shift + 4 * (i32::try_from(found.digits.len() / 2).map_err(|_| Refusal::OutOfRange)? - 1);
    for digit in found.each() {
        let (places, kept) = kept_part(digit, exponent)?;
        value = value.checked_mul(POWERS[places]).and_then(|value| value.checked_add(u128::from(kept))).ok_or(Refusal::OutOfRange)?;
        exponent -= 4;
    }
    shifted(value, shift.max(0))
}

/// How many decimal places of a group of four stand above the scale, and what is in them.
fn kept_part(digit: u16, exponent: i32) -> Result<(usize, u16), Refusal> {
    let (places, divisor) = match exponent {
        0.. => return Ok((4, digit)),
        -1 => (3, 10),
        -2 => (2, 100),
        -3 => (1, 1_000),
        _ => (0, 10_000),
    };
    if digit.is_multiple_of(divisor) { Ok((places, digit / divisor)) } else { Err(Refusal::TooManyDigits) }
}

fn shifted(value: u128, shift: i32) -> Result<u128, Refusal> {
    if value == 0 {
        return Ok(0);
    }
    let power = POWERS.get(shift.unsigned_abs() as usize);
    match (shift >= 0, power) {
        (true, Some(power)) => value.checked_mul(*power).ok_or(Refusal::OutOfRange),
        (true, None) => Err(Refusal::OutOfRange),
        (false, Some(power)) if value.is_multiple_of(*power) => Ok(value / power),
        (false, _) => Err(Refusal::TooManyDigits),
    }
}

/// As [`decimal128`], for more than 38 digits.
pub(crate) fn decimal256(bytes: &[u8], precision: u8, scale: i8) -> Result<i256, Refusal> {
    let found = digits(bytes)?;
    let ten = i256::from_i128(10);
    let mut value = i256::ZERO;
    let shift = found.exponent + i32::from(scale);
    let mut exponent = shift + 4 * (i32::try_from(found.digits.len() / 2).map_err(|_| Refusal::OutOfRange)? - 1);
    for digit in found.each() {
        let (places, kept) = kept_part(digit, exponent)?;
        let power = i256::from_i128(POWERS[places].cast_signed());
        value = value.checked_mul(power).and_then(|value| value.checked_add(i256::from_i128(i128::from(kept)))).ok_or(Refusal::OutOfRange)?;
        exponent -= 4;
    }
    if value != i256::ZERO && shift > 0 {
        let power = ten.checked_pow(shift.unsigned_abs()).ok_or(Refusal::OutOfRange)?;
        value = value.checked_mul(power).ok_or(Refusal::OutOfRange)?;
    }
    let limit = ten.checked_pow(u32::from(precision)).ok_or(Refusal::OutOfRange)?;
    if value >= limit {
        return Err(Refusal::OutOfRange);
    }
    if found.negative { value.checked_neg().ok_or(Refusal::OutOfRange) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

    use super::*;

    fn wire(weight: i16, sign: u16, groups: &[u16]) -> Vec<u8> {
        let head = [groups.len() as u16, weight.cast_unsigned(), sign, 0];
        head.iter().chain(groups).flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn digits_are_moved_to_the_scale_exactly_or_refused() {
        // 12345.6789
        let value = wire(1, POSITIVE, &[1, 2345, 6789]);
        assert_eq!(decimal128(&value, 18, 4), Ok(123_456_789));
        assert_eq!(decimal128(&value, 18, 8), Ok(1_234_567_890_000));
        assert_eq!(decimal128(&value, 18, 3), Err(Refusal::TooManyDigits));
        assert_eq!(decimal128(&value, 8, 4), Err(Refusal::OutOfRange));
        assert_eq!(decimal128(&wire(0, NEGATIVE, &[1, 5000]), 10, 1), Ok(-15));
        assert_eq!(decimal128(&wire(-2, POSITIVE, &[1]), 10, 8), Ok(1));
        assert_eq!(decimal128(&wire(3, POSITIVE, &[1]), 38, 2), Ok(100_000_000_000_000));
        assert_eq!(decimal128(&wire(0, POSITIVE, &[]), 5, 2), Ok(0));
        assert_eq!(decimal256(&value, 60, 8), Ok(i256::from_i128(1_234_567_890_000)));
        assert_eq!(decimal256(&wire(0, NEGATIVE, &[1, 5000]), 40, 1), Ok(i256::from_i128(-15)));
    }

    #[test]
    fn greatest_values_fit_and_greater_ones_do_not() {
        let nines = wire(9, POSITIVE, &[99, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999]);
        assert_eq!(decimal128(&nines, 38, 0), Ok(10_i128.pow(38) - 1));
        // 38 nines after the point take ten groups, the last of them 9900.
        let fraction = wire(-1, POSITIVE, &[9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9900]);
        assert_eq!(decimal128(&fraction, 38, 38), Ok(10_i128.pow(38) - 1));
        assert_eq!(decimal128(&fraction, 38, 37), Err(Refusal::TooManyDigits));
        assert_eq!(decimal128(&wire(9, POSITIVE, &[100]), 38, 0), Err(Refusal::OutOfRange));
        assert_eq!(decimal256(&wire(18, POSITIVE, &[9999; 19]), 76, 0).map(|value| value.to_string()), Ok("9".repeat(76)));
        assert_eq!(decimal256(&wire(19, POSITIVE, &[1]), 76, 0), Err(Refusal::OutOfRange));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        assert_eq!(decimal128(&wire(0, NOT_A_NUMBER, &[]), 10, 2), Err(Refusal::NotANumber));
        assert_eq!(decimal128(&wire(0, 0xD000, &[]), 10, 2), Err(Refusal::Infinite));
        assert_eq!(decimal128(&wire(0, 0xF000, &[]), 10, 2), Err(Refusal::Infinite));
        assert_eq!(decimal128(&[0; 7], 10, 2), Err(Refusal::Malformed));
    }
}
