//! Writing: one line per column, so that a diff shows what changed and nothing else.

use crate::model::{LockDocument, LockedColumn, LockedFrom, LockedTable};
use std::fmt::Write;

const HEAD: &str = "# Written by `karat lock`: what the sources looked like when they were last asked.\n# Commit it, review its changes, and do not edit it.\n";
/// Words that some reader of YAML takes for something else than text.
const WORDS: [&str; 10] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan"];

/// The text of a lock, tables in the order of their names.
#[must_use]
pub fn lock_text(document: &LockDocument) -> String {
    let mut text = format!("{HEAD}version: {}\n", document.version);
    let mut tables: Vec<(&String, &LockedTable)> = document.tables.iter().collect();
    tables.sort_by_key(|(name, _)| *name);
    text.push_str(if tables.is_empty() { "tables: {}\n" } else { "tables:\n" });
    for (name, table) in tables {
        add_table(&mut text, name, table);
    }
    text
}

fn add_table(text: &mut String, name: &str, table: &LockedTable) {
    let mut line = |indent: usize, content: &str| {
        text.extend(std::iter::repeat_n(' ', indent));
        text.push_str(content);
        text.push('\n');
    };
    line(2, &format!("{}:", yaml_text(name)));
    line(4, &format!("from: {}", from(&table.from)));
    line(4, &format!("identity: {}", yaml_text(&table.identity)));
    for (key, count) in [("rows", table.rows), ("bytes", table.bytes)] {
        if let Some(count) = count {
            line(4, &format!("{key}: {count}"));
        }
    }
    if !table.primary_key.is_empty() {
        line(4, &format!("primary_key: {}", list(&table.primary_key)));
    }
    if !table.indexes.is_empty() {
        line(4, "indexes:");
    }
    for index in &table.indexes {
        line(6, &format!("- {}", list(index)));
    }
    line(4, if table.columns.is_empty() { "columns: []" } else { "columns:" });
    for column in &table.columns {
        line(6, &format!("- {}", of_column(column)));
    }
}

fn from(from: &LockedFrom) -> String {
    let mut text = format!("{{ connection: {}", yaml_text(&from.connection));
    for (key, value) in [("table", &from.table), ("query", &from.query), ("path", &from.path)] {
        if let Some(value) = value {
            let _ = write!(text, ", {key}: {}", yaml_text(value));
        }
    }
    text + " }"
}

fn of_column(column: &LockedColumn) -> String {
    let kind = column.data_type.as_ref().map(|name| format!("type: {}, ", yaml_text(name))).unwrap_or_default();
    format!("{{ name: {}, {kind}declared: {}, nullable: {} }}", yaml_text(&column.name), yaml_text(&column.declared), column.nullable)
}

fn list(names: &[String]) -> String {
    format!("[{}]", names.iter().map(|name| yaml_text(name)).collect::<Vec<_>>().join(", "))
}

/// A text as YAML writes it, quoted unless it can be nothing but text.
///
/// What does not print, or turns the direction of writing around, is escaped: a reviewer sees what is there.
#[must_use]
pub fn yaml_text(text: &str) -> String {
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'));
    if is_word && !WORDS.iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return text.to_owned();
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if is_hidden(c) => {
                let _ = write!(quoted, "\\U{:08X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn is_hidden(c: char) -> bool {
    let point = u32::from(c);
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
        || matches!(point & 0xffff, 0xfffe | 0xffff)
        || (0xe000..=0xf8ff).contains(&point)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SourceSet, read_lock};
    use indexmap::IndexMap;

    fn locked(names: &[&str]) -> LockDocument {
        let column = |name: &&str| LockedColumn { name: (*name).to_owned(), data_type: Some("decimal(18,2)".into()), declared: (*name).to_owned(), nullable: true };
        let table = LockedTable {
            from: LockedFrom { connection: "shop".into(), table: Some("on".into()), ..LockedFrom::default() },
            identity: "12e4567890123456".into(),
            rows: Some(300_000),
            primary_key: vec!["id".into()],
            indexes: vec![vec!["a".into(), "b c".into()]],
            columns: names.iter().map(column).collect(),
            ..LockedTable::default()
        };
        LockDocument {
            version: 1,
            tables: IndexMap::from([("bronze.orders".to_owned(), table.clone()), ("bronze.empty".to_owned(), LockedTable { columns: Vec::new(), ..table })]),
        }
    }

    #[test]
    fn what_is_written_is_read_again_whatever_the_names_are() {
        let hostile = [
            "id",
            "",
            " ",
            "yes",
            "null",
            "~",
            "1",
            "0x1F",
            "1e5",
            "- a",
            "a: b",
            "a #b",
            "{{ x }}",
            "${HOME}",
            "*a",
            "&a",
            "!t",
            "a\"b\\c",
            "line\nbreak\ttab\r",
            "\u{0}\u{7}\u{85}",
            "\u{2028}\u{202e}\u{feff}",
            "größe",
            "列",
            "🚀",
            "'",
            "[x]",
            "}",
            "a,b",
            "%",
            "@",
            "`",
            "\u{e000}\u{fffe}",
        ];
        let document = locked(&hostile);

        let text = lock_text(&document);
        let (read, findings) = read_lock(&SourceSet::from_texts("/project", &[("karat.lock", &text)]));

        assert_eq!(findings, Vec::new(), "{text}");
        let read = read.expect("a lock").document;
        assert_eq!(read.tables["bronze.orders"], document.tables["bronze.orders"]);
        assert_eq!(lock_text(&read), text);
        assert!(!text.contains('\u{202e}'), "a reviewer would not see it");
    }

    #[test]
    fn each_column_is_one_line() {
        let text = lock_text(&locked(&["id", "b"]));

        expect_test::expect![[r#"
            # Written by `karat lock`: what the sources looked like when they were last asked.
            # Commit it, review its changes, and do not edit it.
            version: 1
            tables:
              bronze.empty:
                from: { connection: shop, table: "on" }
                identity: "12e4567890123456"
                rows: 300000
                primary_key: [id]
                indexes:
                  - [a, "b c"]
                columns: []
              bronze.orders:
                from: { connection: shop, table: "on" }
                identity: "12e4567890123456"
                rows: 300000
                primary_key: [id]
                indexes:
                  - [a, "b c"]
                columns:
                  - { name: id, type: "decimal(18,2)", declared: id, nullable: true }
                  - { name: b, type: "decimal(18,2)", declared: b, nullable: true }
        "#]]
        .assert_eq(&text);
    }

    #[test]
    fn a_broken_lock_is_a_finding_at_its_place_and_not_used() {
        for (text, expected) in [
            ("", "S035 1:1"),
            ("[]", "S035 1:1"),
            ("tables: {}\n", "S035 1:1"),
            ("version: 2\ntables: {}\n", "S035 1:10"),
            ("version: one\ntables: {}\n", "S035 1:10"),
            ("version: 1\n", "S019 1:1"),
            ("version: 1\ntables: []\n", "S014 2:9"),
            ("version: 1\ntables:\n  bronze.a: { from: { connection: x }, identity: y, columns: [{ name: a, declared: b, nullable: maybe }] }\n", "S014 3:97"),
            ("<<<<<<< HEAD\nversion: 1\n=======\nversion: 1\n>>>>>>> other\n", "S001"),
        ] {
            let sources = SourceSet::from_texts("/project", &[("karat.lock", text)]);
            let (read, findings) = read_lock(&sources);

            assert!(read.is_none(), "{text}");
            let first = findings.first().expect("a finding");
            let place = first.primary.as_ref().map(|label| sources.map.file(label.span.file).line_column(label.span.start)).expect("a place");
            let shown = format!("{} {}:{}", first.code.0, place.line, place.column);
            assert!(shown.starts_with(expected), "{text}: {shown} {}", first.message);
        }
    }
}
