//! D008: secret in plain text.

use crate::rule::{Check, Group, Rule, at};
use crate::view::{ProjectView, TableView};
use karat_diagnostics::{Diagnostic, Explanation};

pub(super) static RULE: Rule = Rule {
    group: Group::DataSafety,
    page: Explanation {
        code: "D008",
        title: "secret in plain text",
        since: "0.1.0",
        what: "A connection holds a password, a token or a key as text.",
        why: "Pipelines are committed to git and shown in reviews: everybody who can read them has the secret, for ever.",
        fails: r#"version: 1
connections: { shop: { type: postgres, url: "postgres://app:hunter2@db.example.com/shop" } }
"#,
        passes: r#"version: 1
connections: { shop: { type: postgres, url: "${SHOP_URL}" } }
"#,
        fix: "Take the value from the environment, `${NAME}`, and change the secret that was written down.",
    },
    check: Check::Project(check),
};

const SECRET_KEYS: [&str; 8] = ["password", "passwd", "secret", "token", "api_key", "secret_key", "access_key", "private_key"];
/// How well-known tokens begin.
const TOKENS: [&str; 9] = ["AKIA", "ASIA", "ghp_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "sk_live_", "-----BEGIN"];

fn check(project: &ProjectView<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (_, connection) in project.connections() {
        for (key, value) in connection.settings.expose() {
            // A value that came from the environment is where it belongs; one that waits for it may still hold a literal password.
            let text = value.as_str().unwrap_or("");
            if connection.settings.is_secret(key) && TableView::is_known(text) {
                continue;
            }
            search(&format!("/{key}"), key, value, &mut |pointer, what| {
                let variable = format!("{}_{}", connection.name, key).to_uppercase();
                found.push(
                    at(connection.spans.value(pointer), format!("connection `{}` holds {what} in plain text", connection.name))
                        .with_label("readable by everybody who can read this file")
                        .with_note("what was committed once stays in the history: change the secret as well")
                        .with_help(format!("take it from the environment, such as `${{{variable}}}`")),
                );
            });
        }
    }
    found
}

fn search(pointer: &str, key: &str, value: &serde_json::Value, report: &mut impl FnMut(&str, &str)) {
    match value {
        serde_json::Value::String(text) => {
            if let Some(what) = secret(key, text) {
                report(pointer, what);
            }
        }
        serde_json::Value::Object(map) => map.iter().for_each(|(key, value)| search(&format!("{pointer}/{key}"), key, value, report)),
        serde_json::Value::Array(list) => list.iter().enumerate().for_each(|(index, value)| search(&format!("{pointer}/{index}"), key, value, report)),
        _ => {}
    }
}

fn secret(key: &str, text: &str) -> Option<&'static str> {
    let key = key.to_lowercase();
    let is_literal = |text: &str| !text.is_empty() && TableView::is_known(text);
    if SECRET_KEYS.iter().any(|name| key.ends_with(name)) && is_literal(text) {
        return Some("a secret");
    }
    if url_password(text).is_some_and(is_literal) {
        return Some("a password");
    }
    let parameters = text.split_once('?').map_or("", |(_, parameters)| parameters).split('&');
    if parameters.filter_map(|pair| pair.split_once('=')).any(|(name, value)| SECRET_KEYS.contains(&name.to_lowercase().as_str()) && is_literal(value)) {
        return Some("a secret");
    }
    (text.len() >= 16 && TOKENS.iter().any(|token| text.starts_with(token))).then_some("a token")
}

/// The password of `scheme://user:password@host`; it may hold `/ ? # @ :`.
fn url_password(text: &str) -> Option<&str> {
    let rest = text.split_once("://")?.1;
    rest[..rest.rfind('@')?].split_once(':').map(|(_, password)| password)
}
