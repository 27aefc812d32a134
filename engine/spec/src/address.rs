//! Addresses of systems, checked without contacting any: scheme, host, port. No message shows any part of an address but scheme and port.

use crate::codes;
use karat_diagnostics::{Diagnostic, Span, did_you_mean};

/// What is wrong with an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AddressProblem {
    message: String,
    help: Option<String>,
}

impl AddressProblem {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: Some(help.into()) }
    }

    /// The finding about the value at `path`.
    pub(crate) fn finding(self, path: &str, span: Span) -> Diagnostic {
        Diagnostic::error(codes::ADDRESS, format!("`{path}` {}", self.message), span).with_help_opt(self.help)
    }
}

/// Checks `scheme://[user[:password]@]host[:port][/database][?options]`; `schemes` are the ones that fit, or empty for any.
pub(crate) fn url_problem(url: &str, schemes: &[&str]) -> Option<AddressProblem> {
    if let Some(odd) = url.chars().find(|c| c.is_whitespace() || c.is_control()) {
        let name = if odd == ' ' { "a space".to_owned() } else { format!("the character U+{:04X}", u32::from(odd)) };
        return Some(AddressProblem::new(format!("holds {name}, which no address may"), "remove it, or write it as `%20`"));
    }
    let shape = schemes.first().copied().unwrap_or("scheme");
    let Some((scheme, rest)) = url.split_once("://") else {
        return Some(AddressProblem::new("has no scheme", format!("write it like `{shape}://user@host:port/database`")));
    };
    let scheme = scheme.to_ascii_lowercase();
    let well_formed = scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    if !well_formed {
        return Some(AddressProblem::new("does not begin with a scheme", format!("write it like `{shape}://user@host:port/database`")));
    }
    if !schemes.is_empty() && !schemes.contains(&scheme.as_str()) {
        let help = did_you_mean(&scheme, schemes.iter().copied()).unwrap_or_else(|| format!("write `{shape}://…`"));
        return Some(AddressProblem::new(format!("has the scheme `{scheme}`, which does not fit this connection"), help));
    }
    authority_problem(rest)
}

fn authority_problem(rest: &str) -> Option<AddressProblem> {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    // An `@` behind the first `/`, `?` or `#`, with no `@` before it, is a password with one of these in it.
    let in_password = !authority.contains('@') && authority.contains(':') && tail.split(['?', '#']).next().is_some_and(|path| path.contains('@'));
    let hidden_at = !authority.contains('@') && authority.contains(':') && tail.starts_with(['#', '?']) && tail.contains('@');
    if in_password || hidden_at {
        let odd = &tail[..1];
        return Some(AddressProblem::new(format!("seems to hold an unescaped `{odd}` in its password"), format!("write `{odd}` as `{}`", percent(odd))));
    }
    let (user, host_port) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    if let Some(user) = user {
        if user.contains('@') {
            return Some(AddressProblem::new("holds an unescaped `@` in its user or password", "write `@` as `%40`"));
        }
        if user.matches(':').count() > 1 {
            return Some(AddressProblem::new("holds an unescaped `:` in its user or password", "write `:` as `%3A`"));
        }
        let escapes_fit = user.match_indices('%').all(|(at, _)| user.as_bytes().get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)));
        if !escapes_fit {
            return Some(AddressProblem::new("holds an unescaped `%` in its user or password", "write `%` as `%25`"));
        }
    }
    host_problem(host_port)
}

fn host_problem(host_port: &str) -> Option<AddressProblem> {
    let (host, port) = if let Some(rest) = host_port.strip_prefix('[') {
        let Some((address, after)) = rest.split_once(']') else {
            return Some(AddressProblem::new("has a `[` without `]`", "write an IPv6 host like `[::1]`"));
        };
        if address.parse::<std::net::Ipv6Addr>().is_err() {
            return Some(AddressProblem::new("has brackets around what is no IPv6 address", "write a name without brackets, or an address like `[::1]`"));
        }
        match after.strip_prefix(':') {
            Some(port) => (address, Some(port)),
            None if after.is_empty() => (address, None),
            None => return Some(AddressProblem::new("has text between `]` and the port", "write it like `[::1]:5432`")),
        }
    } else if host_port.matches(':').count() > 1 {
        return Some(AddressProblem::new("has more than one `:` in its host", "put brackets around an IPv6 address: `[::1]`; write `:` in a password as `%3A`"));
    } else {
        host_port.split_once(':').map_or((host_port, None), |(host, port)| (host, Some(port)))
    };
    if host.is_empty() {
        return Some(AddressProblem::new("has no host", "write the host behind `://`"));
    }
    port.and_then(port_text_problem)
}

fn port_text_problem(port: &str) -> Option<AddressProblem> {
    if port.is_empty() {
        return Some(AddressProblem::new("has a `:` without a port", "write the port, or remove the `:`"));
    }
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        // What looks like a port may be the rest of a password.
        return Some(AddressProblem::new(
            "has a port that is not a number",
            "write a port from 1 to 65535; write `/`, `?`, `#`, `@` and `:` in a password as `%2F`, `%3F`, `%23`, `%40`, `%3A`",
        ));
    }
    port_problem(port.parse().unwrap_or(i128::MAX))
}

/// Ports are 1 to 65535.
pub(crate) fn port_problem(port: i128) -> Option<AddressProblem> {
    (!(1..=65_535).contains(&port)).then(|| AddressProblem::new("has a port that does not exist", "write a port from 1 to 65535"))
}

fn percent(odd: &str) -> String {
    odd.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, expected: Option<&str>) {
        let problem = url_problem(url, &["postgres", "postgresql"]);
        assert_eq!(problem.as_ref().map(|problem| problem.message.as_str()), expected, "{url}");
        if let Some(problem) = problem {
            assert!(!problem.message.contains("geheim") && !problem.help.unwrap_or_default().contains("geheim"), "{url}");
        }
    }

    #[test]
    fn good_addresses_pass() {
        for url in
            ["postgres://db", "postgresql://u:p@db:5432/x?sslmode=require", "postgres://[::1]:5432/x", "postgres://u:a%40b@h/x", "POSTGRES://h", "postgres://u@h/x?options=a@b"]
        {
            check(url, None);
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        check("db:5432", Some("has no scheme"));
        check("postgers://db", Some("has the scheme `postgers`, which does not fit this connection"));
        check("postgres://", Some("has no host"));
        check("postgres://h:0/x", Some("has a port that does not exist"));
        check("postgres://h:99999/x", Some("has a port that does not exist"));
        check("postgres://h:/x", Some("has a `:` without a port"));
        check("postgres://::1:5432/x", Some("has more than one `:` in its host"));
        check("postgres://[::1/x", Some("has a `[` without `]`"));
        check("postgres://u:ge@heim@h/x", Some("holds an unescaped `@` in its user or password"));
        check("postgres://u:ge:heim@h/x", Some("holds an unescaped `:` in its user or password"));
        check("postgres://u:geheim/1@h/x", Some("seems to hold an unescaped `/` in its password"));
        check("postgres://u:geheim#1@h/x", Some("seems to hold an unescaped `#` in its password"));
        check("postgres://u:geheim?1@h/x", Some("seems to hold an unescaped `?` in its password"));
        check("postgres://u:100%geheim@h/x", Some("holds an unescaped `%` in its user or password"));
        check("postgres://h /x", Some("holds a space, which no address may"));
    }
}
