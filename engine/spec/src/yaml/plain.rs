//! Types of plain scalars: the YAML 1.2 core schema, plus underscores in integers, minus leading zeros.

/// What a plain scalar means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Plain {
    Null,
    Bool(bool),
    /// Saturates at the ends of `i128`, which no place in the language reaches.
    Integer(i128),
    Float(f64),
    Text,
}

/// Resolves the text of a plain scalar.
pub(crate) fn resolve(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        "true" | "True" | "TRUE" => return Plain::Bool(true),
        "false" | "False" | "FALSE" => return Plain::Bool(false),
        _ => {}
    }
    let numeric = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
    if !numeric {
        return Plain::Text;
    }
    integer(text).map(Plain::Integer).or_else(|| float(text).map(Plain::Float)).unwrap_or(Plain::Text)
}

fn integer(text: &str) -> Option<i128> {
    if let Some(digits) = text.strip_prefix("0x") {
        return i128::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with(['-', '+']));
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return i128::from_str_radix(digits, 8).ok().filter(|_| !digits.starts_with(['-', '+']));
    }
    let negative = text.starts_with('-');
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let separated = !digits.starts_with('_') && !digits.ends_with('_') && !digits.contains("__");
    if digits.is_empty() || !separated || !digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_') {
        return None;
    }
    let leading_zero = digits.len() > 1 && digits.starts_with('0');
    if leading_zero {
        return None;
    }
    let value = digits.bytes().filter(u8::is_ascii_digit).fold(0_i128, |value, digit| value.saturating_mul(10).saturating_add(i128::from(digit - b'0')));
    Some(if negative { -value } else { value })
}

fn float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    match unsigned {
        ".inf" | ".Inf" | ".INF" => return Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY }),
        ".nan" | ".NaN" | ".NAN" => return Some(f64::NAN),
        _ => {}
    }
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).map_or((unsigned, None), |(mantissa, exponent)| (mantissa, Some(exponent)));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let exponent_fits = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !digits.is_empty() && all_digits(digits)
    });
    let octal_like = exponent.is_none() && !mantissa.contains('.');
    if octal_like || !exponent_fits || !all_digits(whole) || !all_digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_may_have_underscores_and_bases() {
        for (text, value) in [("0", 0), ("-5", -5), ("+7", 7), ("50_000", 50_000), ("0x1F", 31), ("0o17", 15)] {
            assert_eq!(resolve(text), Plain::Integer(value), "{text}");
        }
    }

    #[test]
    fn what_other_versions_of_yaml_would_convert_is_text() {
        for text in ["010", "12:30", "yes", "no", "on", "off", "NO", "1__0", "_1", "1_", "0b11", "1_000.5", "-", "+", ".", "1e", "0x", "0x-1", "２"] {
            assert_eq!(resolve(text), Plain::Text, "{text}");
        }
    }

    #[test]
    fn floats_are_the_core_schema() {
        for (text, value) in [("1.5", 1.5), ("5e4", 5e4), (".5", 0.5), ("1.", 1.0), ("-1e-3", -1e-3)] {
            assert_eq!(resolve(text), Plain::Float(value), "{text}");
        }
    }
}
