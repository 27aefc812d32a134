//! What the YAML parser complains about, in words that say how to mend it.

use super::unclosed;
use crate::codes;
use granit_parser::{ErrorKind, ScanError};
use karat_diagnostics::{Diagnostic, FileId, Span};

/// The finding for a syntax error of `text`.
pub(crate) fn syntax_finding(file: FileId, text: &str, error: &ScanError) -> Diagnostic {
    let at = error.marker().byte_offset().unwrap_or(0).min(text.len());
    let width = text.get(at..).and_then(|rest| rest.chars().next()).filter(|c| *c != '\n').map_or(0, char::len_utf8);
    let span = Span::new(file, at, at + width);
    let opened = unclosed::innermost(text, at);
    match error.kind() {
        ErrorKind::TabInBlockIndentation | ErrorKind::TabInIndentation => {
            let line = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
            let tab = text[line..].find('\t').map_or(at, |offset| line + offset);
            let span = Span::new(file, tab, tab + 1);
            Diagnostic::error(codes::SYNTAX, "a tab indents this line; YAML allows only spaces", span).with_help("replace the tab by spaces")
        }
        ErrorKind::UnclosedQuotedScalar | ErrorKind::InvalidQuotedScalarIndent | ErrorKind::DocumentIndicatorInQuotedScalar => {
            // Where the parser stops at the quote itself, what is open there is a bracket around it.
            let span = opened.filter(|(_, open)| matches!(open, '"' | '\'')).map_or(span, |(quote, _)| Span::new(file, quote, quote + 1));
            Diagnostic::error(codes::SYNTAX, "a quoted text is never closed, or its next line is not indented", span).with_help("close the quote, or indent the lines of the text")
        }
        // The parser names the outermost bracket, at its own place.
        ErrorKind::UnclosedFlowCollection { open } => {
            let innermost = unclosed::innermost(text, text.len()).filter(|(_, open)| matches!(open, '[' | '{'));
            never_closed(file, innermost.or(opened).unwrap_or((at, *open)))
        }
        ErrorKind::UnexpectedCharacter { character } if character.is_control() => control_character(*character, span),
        ErrorKind::RecursionLimitExceeded => {
            Diagnostic::error(codes::TOO_LARGE, "the text is nested too deeply", span).with_note(format!("at most {} levels are read", super::load::MAX_DEPTH))
        }
        ErrorKind::UnknownQuotedScalarEscape | ErrorKind::InvalidQuotedScalarHexEscape => {
            Diagnostic::error(codes::SYNTAX, "double quotes hold an escape that YAML does not have", span).with_help("write `\\\\` for a backslash, or use single quotes")
        }
        _ => match opened {
            // Inside brackets the parser gives up at a later line, far from what is missing.
            Some((start, open @ ('[' | '{'))) if text.get(start..at).is_some_and(|inside| inside.contains('\n')) => never_closed(file, (start, open)),
            _ => {
                let reason = error.info();
                let finding = Diagnostic::error(codes::SYNTAX, format!("this is not YAML: {}", plain_words(error.kind(), &reason)), span);
                finding.with_help_opt(hint(text, at, &reason))
            }
        },
    }
}

fn never_closed(file: FileId, (at, open): (usize, char)) -> Diagnostic {
    let close = if open == '[' { ']' } else { '}' };
    Diagnostic::error(codes::SYNTAX, format!("`{open}` is never closed"), Span::new(file, at, at + 1)).with_help(format!("add the missing `{close}`"))
}

/// The parser's words where they are clear, better ones where they are not.
fn plain_words(kind: &ErrorKind, reason: &str) -> String {
    match kind {
        ErrorKind::MappingValueNotAllowed => "a `:` cannot stand here".to_owned(),
        ErrorKind::SimpleKeyExpected => "this line has no `:` behind its key".to_owned(),
        ErrorKind::UnexpectedCharacter { character } => format!("`{character}` cannot begin a value"),
        _ if reason.contains("did not find expected key") => "a key is expected here".to_owned(),
        _ if reason.contains("did not find expected ',' or") => "a `,` or a closing bracket is expected here".to_owned(),
        _ => reason.replace("illegal placement of ':' indicator", "a `:` cannot stand here").replace("illegal ", "misplaced ").replace("invalid ", "wrong "),
    }
}

fn control_character(character: char, span: Span) -> Diagnostic {
    let name = if character == '\0' { "a NUL character".to_owned() } else { format!("the control character U+{:04X}", u32::from(character)) };
    Diagnostic::error(codes::CHARACTER, format!("the text holds {name}"), span).with_help("remove it, or write it as an escape such as `\"\\u0000\"` in double quotes")
}

/// Guesses from the line what was meant.
fn hint(text: &str, at: usize, reason: &str) -> Option<String> {
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[start..].lines().next().unwrap_or("");
    if text[..at].ends_with('$') && text[at..].starts_with('{') {
        return Some("quote a value that holds `${…}` inside of `{ }` or `[ ]`: `\"${NAME}\"`".to_owned());
    }
    let line_before = text[..start].trim_end().lines().next_back().unwrap_or("").trim_end();
    if [" |", " >", " |-", " >-", " |+", " >+"].iter().any(|header| line_before.ends_with(header)) {
        return Some("indent the lines of a text deeper than its key".to_owned());
    }
    if let Some(odd) = text[at..].chars().next().filter(|c| matches!(c, '@' | '`' | '%')) {
        return Some(format!("quote a text that begins with `{odd}`"));
    }
    if reason.contains("did not find expected key") {
        return Some("check the indentation: keys of one mapping begin in the same column".to_owned());
    }
    let value = line.split_once(": ").map_or(line, |(_, value)| value).trim_start_matches([' ', '-']);
    let first = value.chars().next()?;
    if value.starts_with("{{") || value.starts_with("{%") {
        return Some("quote a value that begins with a template: `\"{{ … }}\"`".to_owned());
    }
    if matches!(first, '@' | '`' | '%' | '*' | '&' | '!' | '|' | '>') {
        return Some(format!("quote a text that begins with `{first}`"));
    }
    let indented = line.starts_with(' ') && !line.trim_start().starts_with('-') && line.split_once(": ").is_some_and(|(key, _)| !key.trim().contains(' '));
    if reason.contains("mapping values") && indented && !value.contains(": ") {
        return Some("check the indentation: keys of one mapping begin in the same column".to_owned());
    }
    if value.contains(": ") && !value.starts_with(['"', '\'', '{', '[']) {
        return Some("quote a text that contains `: `".to_owned());
    }
    if reason.contains("quote") {
        return Some("close the quote".to_owned());
    }
    reason.contains("simple key").then(|| "write `key: value`, with a space after the colon".to_owned())
}
