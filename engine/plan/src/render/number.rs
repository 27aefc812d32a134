//! Numbers as people read them.

/// `4 000 000`, with narrow gaps between thousands.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// `310.4 MiB`.
#[must_use]
pub fn bytes(number: u64) -> String {
    let units = [("TiB", 1_u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.iter().find(|(_, factor)| number >= *factor) {
        Some((unit, factor)) => {
            let tenths = u128::from(number) * 10 / u128::from(*factor);
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{number} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::{bytes, count};

    #[test]
    fn numbers_are_grouped() {
        assert_eq!((count(0).as_str(), count(999).as_str(), count(1000).as_str(), count(4_000_000).as_str()), ("0", "999", "1 000", "4 000 000"));
        assert_eq!((bytes(0).as_str(), bytes(1023).as_str(), bytes(1536).as_str(), bytes(5 << 30).as_str()), ("0 B", "1023 B", "1.5 KiB", "5.0 GiB"));
    }
}
