//! Secrets out of texts that are printed.

use std::ops::Range;

const MASK: &str = "***";
/// Keys whose literal value is a secret, as the end of the key's name.
const SECRET_KEYS: [&str; 7] = ["password", "passwd", "secret", "token", "api_key", "secret_key", "access_key"];
/// How well-known tokens begin.
const TOKENS: [&str; 9] = ["AKIA", "ASIA", "ghp_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "sk_live_", "-----BEGIN"];

/// A text without its secrets, and the way from offsets of the original to offsets of the masked text.
pub(crate) struct Masked {
    /// The text to show.
    pub(crate) text: String,
    cuts: Vec<Range<usize>>,
}

impl Masked {
    /// Masks `secrets` and passwords in URLs.
    pub(crate) fn message(text: &str, secrets: &[String]) -> Self {
        Self::cut(text, secret_values(text, secrets).chain(url_passwords(text)).collect())
    }

    /// Masks also literals after keys such as `password`, for quoted YAML.
    pub(crate) fn source(text: &str, secrets: &[String]) -> Self {
        Self::cut(text, secret_values(text, secrets).chain(url_passwords(text)).chain(secret_literals(text)).chain(tokens(text)).collect())
    }

    /// True when something was masked.
    pub(crate) fn is_changed(&self) -> bool {
        !self.cuts.is_empty()
    }

    /// The offset in the masked text of `offset` in the original; an offset inside a secret is the mask's start.
    pub(crate) fn offset(&self, offset: usize) -> usize {
        let mut shift = 0_isize;
        for cut in &self.cuts {
            if offset >= cut.end {
                shift += MASK.len() as isize - cut.len() as isize;
            } else if offset > cut.start {
                return cut.start.saturating_add_signed(shift);
            }
        }
        offset.saturating_add_signed(shift)
    }

    fn cut(text: &str, mut found: Vec<Range<usize>>) -> Self {
        found.sort_by_key(|range| (range.start, range.end));
        let mut cuts: Vec<Range<usize>> = Vec::with_capacity(found.len());
        for range in found {
            match cuts.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => cuts.push(range),
            }
        }
        let mut masked = String::with_capacity(text.len());
        let mut at = 0;
        for cut in &cuts {
            masked.push_str(&text[at..cut.start]);
            masked.push_str(MASK);
            at = cut.end;
        }
        masked.push_str(&text[at..]);
        Self { text: masked, cuts }
    }
}

/// A short value such as `5` or `dev` is masked only where it stands alone, or texts would become unreadable.
fn secret_values<'a>(text: &'a str, secrets: &'a [String]) -> impl Iterator<Item = Range<usize>> + 'a {
    const SHORT: usize = 6;
    let found = secrets.iter().filter(|secret| !secret.is_empty()).flat_map(move |secret| text.match_indices(secret.as_str()));
    found.filter(|(at, secret)| secret.len() >= SHORT || stands_alone(text, *at, secret.len())).map(|(at, secret)| at..at + secret.len())
}

fn stands_alone(text: &str, at: usize, length: usize) -> bool {
    let before = text[..at].chars().next_back();
    let after = text[at + length..].chars().next();
    !before.into_iter().chain(after).any(char::is_alphanumeric)
}

/// `scheme://user:password@`: from the first `:` after the scheme to the last `@`, since passwords may hold `/ ? # @ :`.
fn url_passwords(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    text.match_indices("://").filter_map(|(at, found)| {
        let start = at + found.len();
        let rest = &text[start..];
        let url = &rest[..rest.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`')).unwrap_or(rest.len())];
        let end = url.rfind('@')?;
        let colon = url[..end].find(':')?;
        literal(text, start + colon + 1..start + end)
    })
}

/// The literal after `password:`, with or without quotes.
fn secret_literals(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    text.match_indices(':').filter_map(|(colon, _)| {
        let key = text[..colon].trim_end_matches(['"', '\'', ' ']);
        if !ends_with_secret_key(key) {
            return None;
        }
        let after = &text[colon + 1..];
        if !after.starts_with([' ', '\t', '"', '\'']) {
            return None;
        }
        let value = after.trim_start_matches([' ', '\t']);
        let start = text.len() - value.len();
        match value.chars().next()? {
            quote @ ('"' | '\'') => {
                let inner = &value[1..];
                let end = inner.find([quote, '\n']).unwrap_or(inner.len());
                literal(text, start + 1..start + 1 + end)
            }
            '{' | '[' | '|' | '>' | '&' | '*' | '#' | '\r' | '\n' => None,
            _ => {
                let end = value.find(['\n', '\r', ',', '}']).unwrap_or(value.len());
                let end = value[..end].find(" #").unwrap_or(end);
                literal(text, start..start + value[..end].trim_end().len())
            }
        }
    })
}

/// `AKIA…` and the like, and `password=…` in a URL, wherever they stand.
fn tokens(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let stop = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | ',' | '}' | '&');
    let known = TOKENS.iter().flat_map(move |token| text.match_indices(token)).map(move |(at, _)| {
        let rest = &text[at..];
        at..at + rest.find(stop).unwrap_or(rest.len())
    });
    let parameters = text.match_indices('=').filter_map(move |(equals, _)| {
        let rest = &text[equals + 1..];
        let is_secret = ends_with_secret_key(&text[..equals]);
        is_secret.then(|| literal(text, equals + 1..equals + 1 + rest.find(stop).unwrap_or(rest.len()))).flatten()
    });
    known.filter(|range| range.len() >= 16).chain(parameters)
}

fn ends_with_secret_key(text: &str) -> bool {
    let tail = &text.as_bytes()[text.len().saturating_sub(16)..];
    SECRET_KEYS.iter().any(|name| tail.len() >= name.len() && tail[tail.len() - name.len()..].eq_ignore_ascii_case(name.as_bytes()))
}

/// A value from the environment is no literal: `${NAME}` may be shown.
fn literal(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let value = &text[range.clone()];
    let is_reference = value.starts_with("${") && value.ends_with('}') && value.matches("${").count() == 1 && !value.contains(":-");
    (!value.is_empty() && !is_reference).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(text: &str, secrets: &[&str], expected: Expect) {
        let secrets: Vec<String> = secrets.iter().map(|secret| (*secret).to_owned()).collect();
        expected.assert_eq(&Masked::source(text, &secrets).text);
    }

    #[test]
    fn values_from_the_environment_are_masked() {
        check("url: mysql://db/hunter2?x=hunter2", &["hunter2", ""], expect!["url: mysql://db/***?x=***"]);
    }

    #[test]
    fn short_values_are_masked_where_they_stand_alone() {
        check("port: 5, 15 developers in dev", &["5", "dev"], expect!["port: ***, 15 developers in ***"]);
    }

    #[test]
    fn overlapping_secrets_are_masked_as_one() {
        check("abcdefgh", &["abcdef", "cdefgh"], expect!["***"]);
    }

    #[test]
    fn the_password_of_a_url_is_masked_whatever_it_holds() {
        check("{ url: \"mysql://me:p/a?s#s@w:ord@db:3306/x\" }", &[], expect![[r#"{ url: "mysql://me:***@db:3306/x" }"#]]);
    }

    #[test]
    fn a_reference_to_the_environment_is_shown() {
        check(
            "url: mysql://me:${PASSWORD}@db\npassword: ${PASSWORD}",
            &[],
            expect![[r#"
                url: mysql://me:${PASSWORD}@db
                password: ***}"#]],
        );
    }

    #[test]
    fn a_literal_after_a_secret_key_is_masked() {
        check("{ user: me, password: hunter2, \"api_key\": 'a b' } # x", &[], expect!["{ user: me, password: ***, \"api_key\": '***' } # x"]);
        check("db_password: hunter2 # do not tell\nnext: 1", &[], expect!["db_password: *** # do not tell\nnext: 1"]);
        check("token:\n  - a", &[], expect!["token:\n  - a"]);
    }

    #[test]
    fn tokens_and_parameters_of_urls_are_masked() {
        check("user: AKIAIOSFODNN7EXAMPLE, url: https://h/x?password=hunter2&a=b", &[], expect!["user: ***, url: https://h/x?password=***&a=b"]);
    }

    #[test]
    fn offsets_follow_the_masking() {
        let masked = Masked::message("a://u:password@h rest", &[]);
        assert_eq!(masked.text, "a://u:***@h rest");
        assert_eq!((masked.offset(6), masked.offset(9), masked.offset(14), masked.offset(17)), (6, 6, 9, 12));
    }
}
