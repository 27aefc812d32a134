//! The content of `docs/reference/`.

use super::{NOTICE, all_pages, command_line, error_page, page, plugins};
use crate::exit::Exit;
use karat_plugin_api::ErrorKind;
use karat_spec::Catalog;
use std::fmt::Write;

/// Variables of the environment that mean something, besides `${NAME}` in YAML.
const ENVIRONMENT: [(&str, &str); 4] = [
    ("NO_COLOR", "no colours, whatever the terminal; `--color always` outweighs it"),
    ("TERM", "`dumb` means no progress bars"),
    ("KARAT_LOG", "what is logged to stderr, such as `karat_exec=debug`; nothing by default"),
    ("KARAT_FAILPOINTS", "places where a test makes a run fail; never set in production"),
];

/// All pages of the reference: path below `docs/reference/`, and text.
pub(crate) fn reference(catalog: &Catalog) -> Vec<(String, String)> {
    let mut files = vec![
        ("command-line.md".to_owned(), command_line::markdown()),
        ("environment.md".to_owned(), environment()),
        ("error-kinds.md".to_owned(), error_kinds()),
        ("exit-codes.md".to_owned(), exit_codes()),
        ("rules.md".to_owned(), rules()),
    ];
    files.extend(catalog.plugins.values().map(|manifest| (format!("plugins/{}.md", manifest.name), plugins::markdown(manifest))));
    files.sort();
    files
}

fn environment() -> String {
    let mut out = format!("{NOTICE}# Environment variables\n\nBesides these, `${{NAME}}` in YAML takes any variable; its value is a secret and is never printed.\n\n| variable | meaning |\n|---|---|\n");
    for (name, meaning) in ENVIRONMENT {
        let _infallible = writeln!(out, "| `{name}` | {meaning} |");
    }
    out
}

fn exit_codes() -> String {
    let mut out = format!("{NOTICE}# Exit codes\n\n| code | meaning |\n|--:|---|\n");
    for exit in Exit::ALL {
        let _infallible = writeln!(out, "| {} | {} |", exit.code(), exit.meaning());
    }
    out
}

fn error_kinds() -> String {
    let mut out = format!("{NOTICE}# Error kinds\n\nAn error reads `error[kind]: message`; `karat explain KIND` prints the same as here.\n");
    for kind in ErrorKind::ALL {
        let _infallible = write!(out, "\n{}", deeper(&error_page(kind)));
    }
    out
}

fn rules() -> String {
    let pages = all_pages();
    let mut out = format!("{NOTICE}# Rules\n\nA finding reads `error[CODE]: message`; `karat explain CODE` prints the same as here.\n\n| code | what is found |\n|---|---|\n");
    for found in &pages {
        let anchor = format!("{}-{}", found.code, found.title).to_lowercase();
        let anchor: String = anchor.chars().filter_map(|c| if c == ' ' { Some('-') } else { Some(c).filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')) }).collect();
        let _infallible = writeln!(out, "| [{}](#{anchor}) | {} |", found.code, found.title);
    }
    for found in &pages {
        let _infallible = write!(out, "\n{}", deeper(&page(found)));
    }
    out
}

/// Every heading one level down, outside of code.
fn deeper(markdown: &str) -> String {
    let mut is_code = false;
    let mut out = String::with_capacity(markdown.len());
    for line in markdown.lines() {
        is_code ^= line.starts_with("```");
        if line.starts_with('#') && !is_code {
            out.push('#');
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}
