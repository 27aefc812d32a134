//! Every byte of a text that the engine uses leads back to the bytes it was written with.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

mod catalog;

use catalog::catalog;
use karat_spec::{Environment, SourceSet, SqlText, parse};
use proptest::prelude::{Strategy, any, prop, prop_assert_eq, proptest};

/// The SQL of the last table of a pipeline.
fn sql(texts: &[(&str, &str)]) -> (SourceSet, SqlText) {
    let sources = SourceSet::from_texts("/project", texts);
    let (mut spec, findings) = parse(&sources, &Environment::Unresolved, &catalog());
    assert!(findings.is_empty(), "{findings:?}\n{}", texts[0].1);
    let sql = spec.tables.pop().and_then(|table| table.sql).expect("a transform");
    (sources, sql)
}

/// Each word of the text covers the same word of the file.
fn check_words(texts: &[(&str, &str)]) {
    let (sources, sql) = sql(texts);
    let text = sql.as_str();
    for word in text.split_whitespace() {
        let start = word.as_ptr() as usize - text.as_ptr() as usize;
        assert_eq!(sources.map.snippet(sql.span(start..start + word.len())), word, "{texts:?} {text:?}");
    }
}

fn pipeline(value: &str) -> String {
    format!("version: 1\nvars: {{ x: 1 }}\nsilver:\n  s:\n    sql: {value}\n")
}

#[test]
fn every_way_of_writing_a_text_is_laid_back() {
    for value in [
        "SELECT a FROM b",
        "SELECT a\n      FROM b\n\n      WHERE c",
        "'SELECT a\n      FROM b'",
        "\"SELECT a\n      FROM b\"",
        "|\n      SELECT a\n        FROM b\n\n      WHERE c",
        "|-\n\n\n      SELECT é\n        FROM b",
        "|+\n      SELECT a\n\n",
        "|2\n        SELECT a\n       FROM b",
        ">\n      SELECT a\n      FROM b\n\n      WHERE c\n        AND d\n      ORDER",
        ">-\n      SELECT a\n\n\n      FROM b   \n      x",
        "|\n      SELECT a -- {{ x }}\n",
    ] {
        check_words(&[("a.yaml", &pipeline(&value.replace("{{ x }}", "")))]);
        check_words(&[("a.yaml", &pipeline(&value.replace("{{ x }}", "").replace('\n', "\r\n")))]);
        check_words(&[("a.yaml", &format!("\u{feff}{}", pipeline(&value.replace("{{ x }}", ""))))]);
    }
}

#[test]
fn literal_words_around_tags_keep_their_places() {
    for (value, rendered) in [
        ("|\n      SELECT a {%- if vars.x %} , b {% endif -%}  , c\n", "SELECT a , b , c\n"),
        ("|\n      {% for i in range(2) -%}\n      SELECT a\n      {% endfor %}\n", "SELECT a\nSELECT a\n\n"),
        ("|\n      {% raw %} {{ raw }} {% endraw %} x\n", " {{ raw }}  x\n"),
        ("|\n      a {# gone #} b\n", "a  b\n"),
        ("|\n      $${a} b\n", "${a} b\n"),
    ] {
        let (sources, sql) = sql(&[("a.yaml", &pipeline(value))]);
        assert_eq!(sql.as_str(), rendered);
        for word in ["SELECT", "a", "b", "c", "x"] {
            for (at, _) in rendered.match_indices(word).filter(|(at, _)| !rendered[..*at].ends_with('$') && !rendered[..*at].ends_with('{')) {
                let whole_word = rendered[at + word.len()..].starts_with([' ', '\n']) && rendered[..at].chars().next_back().is_none_or(char::is_whitespace);
                if whole_word {
                    assert_eq!(sources.map.snippet(sql.span(at..at + word.len())), word, "{value}");
                }
            }
        }
    }
}

#[test]
fn rendered_text_leads_to_its_tag() {
    let (sources, sql) = sql(&[("a.yaml", &pipeline("\"SELECT\\t{{ vars.x + 1000000 }}, '${A:-default}' \\u00e9 z\""))]);
    let text = sql.as_str();
    assert_eq!(text, "SELECT\t1000001, 'default' é z");
    for (rendered, source) in [("1000001", "{{ vars.x + 1000000 }}"), ("default", "${A:-default}"), ("é", "\\u00e9"), ("z", "z"), ("SELECT", "SELECT")] {
        let at = text.find(rendered).expect("rendered");
        assert_eq!(sources.map.snippet(sql.span(at..at + rendered.len())), source);
    }
}

#[test]
fn sql_files_lead_to_their_own_bytes() {
    let yaml = "version: 1\nvars: { x: 1 }\nsilver:\n  s: { sql_file: ./sql/s.sql }\n";
    check_words(&[("a.yaml", yaml), ("sql/s.sql", "SELECT a\r\nFROM b\n")]);
    let (sources, sql) = sql(&[("a.yaml", yaml), ("sql/s.sql", "SELECT {{ vars.x }} FROM b")]);
    assert_eq!(sql.as_str(), "SELECT 1 FROM b");
    assert_eq!(sources.map.snippet(sql.span(9..13)), "FROM");
}

/// Lines of words; a block scalar's first line must not be blank or begin with white space.
fn lines() -> impl Strategy<Value = Vec<String>> {
    let line = "[a-zé(][a-z日0-9 ()'\",;:#=<>{}%$.*-]{0,12}";
    prop::collection::vec(prop::string::string_regex(line).expect("a pattern"), 1..8)
}

fn is_template(text: &str) -> bool {
    ["{{", "{%", "{#", "${"].iter().any(|tag| text.contains(tag))
}

proptest! {
    #[test]
    fn any_range_of_a_literal_covers_the_same_text(lines in lines(), indents in prop::collection::vec(0_usize..3, 8), crlf in any::<bool>(), from in 0_usize..60, length in 1_usize..20) {
        if is_template(&lines.concat()) {
            return Ok(());
        }
        let mut value = String::from("|\n");
        for (at, line) in lines.iter().enumerate() {
            let indent = if at == 0 { 0 } else { indents[at % indents.len()] };
            value.push_str(&format!("      {}{line}\n", " ".repeat(indent)));
        }
        let yaml = pipeline(value.trim_end_matches('\n'));
        let yaml = if crlf { yaml.replace('\n', "\r\n") } else { yaml };
        let (sources, sql) = sql(&[("a.yaml", &yaml)]);
        let text = sql.as_str();
        let start = text.floor_char_boundary(from.min(text.len() - 1));
        let end = text.ceil_char_boundary((start + length).min(text.len())).max(text.ceil_char_boundary(start + 1));
        let squeeze = |text: &str| text.split_whitespace().collect::<String>();
        let covered = sources.map.snippet(sql.span(start..end));
        prop_assert_eq!(squeeze(covered), squeeze(&text[start..end]), "{:?} {:?}", &text[start..end], covered);
    }

    #[test]
    fn literal_parts_between_tags_keep_their_places(words in prop::collection::vec("[b-z]{3}", 1..10), tags in prop::collection::vec(0_usize..6, 10)) {
        let kinds = ["{{ vars.x }}", "{% if vars.x %}", "{%- if vars.x -%}", "{# c #}", "{{- vars.x -}}", ""];
        let mut text = String::from("A");
        let mut open = 0;
        for (at, word) in words.iter().enumerate() {
            let tag = kinds[tags[at]];
            open += usize::from(tag.contains("if"));
            text.push_str(&format!(" {tag} {word}{at}"));
        }
        text.push_str(&" {% endif %}".repeat(open));
        let (sources, sql) = sql(&[("a.yaml", &pipeline(&format!("|\n      {text}")))]);
        for (at, word) in words.iter().enumerate() {
            let word = format!("{word}{at}");
            let Some(start) = sql.as_str().find(&word) else { continue };
            prop_assert_eq!(sources.map.snippet(sql.span(start..start + word.len())), word);
        }
    }
}
