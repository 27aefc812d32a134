//! The naming rule: `[a-z_][a-z0-9_]*`, at most 63 bytes.

use crate::codes;
use karat_diagnostics::{Diagnostic, Span};

/// Bytes of the longest name.
const MAX_BYTES: usize = 63;

/// The finding about a name that breaks the rule; `kind` is `table`, `pipeline`, ….
pub(crate) fn name_finding(kind: &str, name: &str, span: Span) -> Option<Diagnostic> {
    if is_name(name) {
        return None;
    }
    if name.len() > MAX_BYTES && name.bytes().all(is_name_byte) {
        let finding = Diagnostic::error(codes::NAME, format!("the {kind} name holds {} bytes", name.len()), span);
        return Some(finding.with_note(format!("names hold at most {MAX_BYTES} bytes")).with_help("shorten it"));
    }
    let message = if name.is_empty() { format!("the {kind} name is empty") } else { format!("`{name}` cannot name a {kind}") };
    let mut finding = Diagnostic::error(codes::NAME, message, span).with_note("names match `[a-z_][a-z0-9_]*`");
    if name.contains("${") {
        finding = finding.with_note("`${NAME}` is read in values only");
    } else if let Some(odd) = name.chars().find(|c| !c.is_ascii()) {
        finding = finding.with_note(format!("it holds the character U+{:04X}, which is not ASCII", u32::from(odd)));
    }
    let near = similar(name);
    let guessed = name.is_ascii() && !name.contains('$') && is_name(&near);
    Some(finding.with_help_opt(guessed.then(|| format!("write `{near}`"))))
}

/// True when `name` follows the rule.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_BYTES && name.bytes().all(is_name_byte) && !name.starts_with(|c: char| c.is_ascii_digit())
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'
}

/// `OrderLines`, `order-lines` and `order lines` become `order_lines`.
pub(crate) fn similar(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    let mut lower_before = false;
    for c in name.trim().chars() {
        if c.is_ascii_uppercase() && lower_before {
            out.push('_');
        }
        lower_before = c.is_ascii_lowercase() || c.is_ascii_digit();
        out.push(if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' });
    }
    if out.starts_with(|c: char| c.is_ascii_digit()) { format!("_{out}") } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_follow_the_rule() {
        for (name, near) in [("OrderLines", "order_lines"), ("order-lines", "order_lines"), ("NO", "no"), ("2024", "_2024"), (" a b ", "a_b")] {
            assert_eq!(similar(name), near);
        }
    }
}
