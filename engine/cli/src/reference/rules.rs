//! Pages of rules and of all other codes.

use super::{Facts, cell};
use karat_diagnostics::Explanation;
use std::fmt::Write;

/// Letters of codes and what they stand for, in the order of the index.
const LETTERS: [(char, &str); 8] = [
    ('S', "Shape"),
    ('G', "Graph"),
    ('I', "Incremental"),
    ('D', "Data safety"),
    ('Q', "SQL and types"),
    ('L', "Layout and cost"),
    ('P', "Plugins and capabilities"),
    ('C', "Style"),
];

pub(super) fn index(facts: &Facts<'_>) -> String {
    let mut text =
        "# Codes\n\nEvery finding has a code, and every code has a page; `karat explain CODE` prints it.\nCodes are never reused.\nA project sets levels with `lint.levels` in `karat.yaml`.\n".to_owned();
    for (letter, title) in LETTERS {
        let members: Vec<_> = facts.explanations.iter().filter(|page| page.code.starts_with(letter)).collect();
        if members.is_empty() {
            continue;
        }
        let _ = writeln!(text, "\n## {letter}: {title}\n\n| code | what | level |\n|---|---|---|");
        for page in members {
            let _ = writeln!(text, "| [{}]({}.md) | {} | {} |", page.code, page.code, cell(page.title), (facts.level_of)(page.code));
        }
    }
    text
}

/// The page of one code, which also reads well in a terminal.
pub(crate) fn page(page: &Explanation, level: &str) -> String {
    let mut text = format!("# {}: {}\n\nSince {}, level `{level}`.\n", page.code, page.title, page.since);
    for (title, body) in [("What it does", page.what), ("Why is this bad?", page.why)] {
        let _ = writeln!(text, "\n## {title}\n\n{}", body.trim());
    }
    // What lies outside of any YAML has no example.
    for (title, yaml) in [("Fails", page.fails), ("Passes", page.passes)].into_iter().filter(|(_, yaml)| !yaml.is_empty()) {
        let _ = writeln!(text, "\n## {title}\n\n```yaml\n{}\n```", yaml.trim_end());
    }
    let _ = writeln!(text, "\n## How to fix\n\n{}", page.fix.trim());
    text
}
