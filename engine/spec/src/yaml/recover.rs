//! What can be read of a file with syntax errors: everything but the tables, connections or sections that hold them.
//!
//! The text is cut by its indentation into sections (`bronze:`) and their entries (one table), each is parsed alone, and those that fail are
//! blanked out: positions stay exact, one mistake costs one entry, and every broken entry is told at once. What was blanked comes back as a
//! broken value, so that nobody calls it missing.

use super::load::{Loaded, read};
use super::tree::{Content, Entry, Key, Map, Node, Style};
use crate::{LeftOut, codes};
use karat_diagnostics::{Diagnostic, FileId, Span};
use std::ops::Range;
use std::rc::Rc;

/// Keys that something else in the project may depend on.
const TOP_LEVEL_KEYS: [&str; 7] = ["version", "vars", "connections", "defaults", "bronze", "silver", "gold"];

/// Reads around the syntax errors of `text`; `None` when it has no sections, or what is left is no YAML either.
pub(super) fn load(file: FileId, text: &str, findings: &mut Vec<Diagnostic>) -> Option<Loaded> {
    let mut lost: Vec<Lost> = Vec::new();
    for section in sections(text) {
        lost.extend(losses(file, text, section));
    }
    let ranges: Vec<Range<usize>> = lost.iter().map(|lost| lost.range.clone()).collect();
    let mut others = Vec::new();
    let mut loaded = read(file, &blanked(text, 0..text.len(), &ranges), &mut others).ok().filter(|_| !lost.is_empty())?;
    findings.extend(lost.iter_mut().flat_map(|lost| std::mem::take(&mut lost.errors)));
    others.retain(|finding| !is_about_lost_anchor(finding, text, &ranges));
    findings.append(&mut others);
    let mut left_out = LeftOut::default();
    let mut root = loaded.root.take().map_or_else(|| empty(file, text), |root| (*root).clone());
    for lost in &lost {
        left_out.add_unread(&text[lost.range.clone()]);
        graft(&mut root, lost, file);
    }
    loaded.left_out.extend(left_out);
    Some(Loaded { root: Some(Rc::new(root)), ..loaded })
}

/// A key at the start of a line, with the lines that belong to it.
#[derive(Debug, Clone)]
struct Block {
    key: Range<usize>,
    range: Range<usize>,
    /// Keys one level below; none when the value stands on the key's own line, or is no mapping.
    entries: Vec<Block>,
}

/// What a syntax error costs.
struct Lost {
    /// The keys that lead there: a section, and possibly an entry of it.
    path: Vec<(Rc<str>, Range<usize>)>,
    range: Range<usize>,
    errors: Vec<Diagnostic>,
}

/// What has to be left out of one section so that the rest of it is YAML.
fn losses(file: FileId, text: &str, section: Block) -> Vec<Lost> {
    let Some(whole) = error_in(file, text, &section.range, &[]) else { return Vec::new() };
    let named = |block: &Block| (Rc::from(text[block.key.clone()].trim_matches(['"', '\''])), block.key.clone());
    let entry = |entry: &Block| {
        let error = error_in(file, text, &entry.range, &[])?;
        Some(Lost { path: vec![named(&section), named(entry)], range: entry.range.clone(), errors: vec![error] })
    };
    let entries: Vec<Lost> = section.entries.iter().filter_map(entry).collect();
    let ranges: Vec<Range<usize>> = entries.iter().map(|lost| lost.range.clone()).collect();
    if !entries.is_empty() && error_in(file, text, &section.range, &ranges).is_none() {
        return entries;
    }
    let mut errors: Vec<Diagnostic> = entries.into_iter().flat_map(|lost| lost.errors).collect();
    if errors.is_empty() {
        errors.push(whole);
    }
    vec![Lost { path: vec![named(&section)], range: section.range.clone(), errors }]
}

/// The syntax error of one part of the text, read alone and without the `blank` ranges of the text.
fn error_in(file: FileId, text: &str, part: &Range<usize>, blank: &[Range<usize>]) -> Option<Diagnostic> {
    let mut others = Vec::new();
    let error = read(file, &blanked(text, part.clone(), blank), &mut others).err()?;
    Some(moved(*error, part.start))
}

/// True for an alias whose anchor was blanked out.
fn is_about_lost_anchor(finding: &Diagnostic, text: &str, lost: &[Range<usize>]) -> bool {
    let place = finding.primary.as_ref().filter(|_| finding.code == codes::ALIAS).map(|label| label.span.start as usize..label.span.end as usize);
    let Some(name) = place.and_then(|place| text.get(place)?.strip_prefix('*')) else { return false };
    lost.iter().any(|range| text[range.clone()].contains(&format!("&{name}")))
}

/// A part of the text in which other bytes than line ends of the `blank` ranges are spaces.
fn blanked(text: &str, part: Range<usize>, blank: &[Range<usize>]) -> String {
    let mut out = String::with_capacity(part.len());
    let mut at = part.start;
    for range in blank {
        out.push_str(&text[at..range.start]);
        out.extend(text[range.clone()].bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { char::from(byte) } else { ' ' }));
        at = range.end;
    }
    out.push_str(&text[at..part.end]);
    out
}

/// A finding about a part of the text, at its place in the whole.
fn moved(mut finding: Diagnostic, by: usize) -> Diagnostic {
    let by = u32::try_from(by).unwrap_or(u32::MAX);
    let labels = finding.primary.iter_mut().chain(&mut finding.secondary).map(|label| &mut label.span);
    let places = labels.chain(finding.related.iter_mut().map(|related| &mut related.span));
    for span in places.chain(finding.fix.iter_mut().flat_map(|fix| &mut fix.edits).map(|edit| &mut edit.span)) {
        (span.start, span.end) = (span.start.saturating_add(by), span.end.saturating_add(by));
    }
    finding
}

fn empty(file: FileId, text: &str) -> Node {
    Node::leaf(Span::new(file, 0, text.trim_end().len()), Content::Map(Map::default()), false)
}

/// Puts a broken value where something was blanked out.
fn graft(root: &mut Node, lost: &Lost, file: FileId) {
    let mut node = root;
    for (depth, (name, key)) in lost.path.iter().enumerate() {
        if node.is_null() {
            node.content = Content::Map(Map::default());
        }
        let span = |range: &Range<usize>| Span::new(file, range.start, range.end);
        let Content::Map(map) = &mut node.content else { return };
        let place = map.entries.iter().position(|entry| entry.key.text == *name);
        let is_last = depth + 1 == lost.path.len();
        // A word at the start of a line is not always a key.
        let is_key = depth > 0 || TOP_LEVEL_KEYS.contains(&&**name);
        if is_last && place.is_none() && is_key {
            let value = Rc::new(Node::leaf(span(key), Content::Broken, false));
            map.entries.push(Entry { key: Key { text: Rc::clone(name), span: span(key), style: Style::Plain }, value });
        }
        match place {
            Some(place) if !is_last => node = Rc::make_mut(&mut map.entries[place].value),
            _ => return,
        }
    }
}

/// The sections of a file in block style.
fn sections(text: &str) -> Vec<Block> {
    blocks(text, 0..text.len(), 0).into_iter().map(|section| Block { entries: entries(text, &section), ..section }).collect()
}

fn entries(text: &str, section: &Block) -> Vec<Block> {
    let header_end = text[section.key.end..section.range.end].find('\n').map_or(section.range.end, |at| section.key.end + at + 1);
    let after_key = text[section.key.end..header_end].trim_start_matches(':').trim();
    if !after_key.is_empty() && !after_key.starts_with(['#', '&']) {
        return Vec::new();
    }
    let body = header_end..section.range.end;
    let first = lines(text, body.clone()).map(|(_, line)| line).find(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    let Some(first) = first.filter(|line| key_of(line.trim_start()).is_some()) else { return Vec::new() };
    blocks(text, body, first.len() - first.trim_start_matches(' ').len())
}

/// The keys that are indented by exactly `indent`, each with all lines up to the next. A line without `:` counts as a key that lacks it.
fn blocks(text: &str, part: Range<usize>, indent: usize) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    for (start, line) in lines(text, part.clone()) {
        let mark = if start == 0 && line.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let content = line[mark..].trim_start_matches(' ');
        if line.len() - mark - content.len() != indent {
            continue;
        }
        let Some(key) = key_of(content).or_else(|| first_word(content)) else { continue };
        let at = start + mark + indent;
        if let Some(last) = found.last_mut() {
            last.range.end = start;
        }
        found.push(Block { key: at..at + key.len(), range: start + mark..part.end, entries: Vec::new() });
    }
    found
}

fn lines(text: &str, part: Range<usize>) -> impl Iterator<Item = (usize, &str)> {
    let mut at = part.start;
    text[part].split_inclusive('\n').map(move |line| {
        let start = at;
        at += line.len();
        (start, line)
    })
}

/// The key that a line begins with, with its quotes.
fn key_of(line: &str) -> Option<&str> {
    let first = line.chars().next()?;
    let length = if matches!(first, '"' | '\'') {
        1 + line[1..].find(first)? + 1
    } else if first.is_whitespace() || matches!(first, '#' | '-' | '?' | '[' | ']' | '{' | '}' | ',' | '&' | '*' | '!' | '|' | '>' | '%' | '@' | '`' | ':') {
        return None;
    } else {
        line.match_indices(':').map(|(at, _)| at).find(|at| line[at + 1..].chars().next().is_none_or(char::is_whitespace))?
    };
    line[length..].trim_start_matches(' ').strip_prefix(':').filter(|rest| rest.chars().next().is_none_or(char::is_whitespace))?;
    Some(line[..length].trim_end())
}

/// The word that a line begins with, where a `:` was likely forgotten.
fn first_word(line: &str) -> Option<&str> {
    let end = line.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(line.len());
    Some(&line[..end]).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_cut_into_sections_and_their_entries() {
        let text = "\u{feff}# c\nversion: 1\nbronze: # x\n  # y\n  \"a b\":\n    from: {}\n   odd: 1\n  c: { d: e }\n\n'silver': { f: g }\ntext\ngold:\n- a: 1\n";

        let shown: Vec<String> = sections(text)
            .iter()
            .map(|section| {
                let entries: Vec<String> = section.entries.iter().map(|entry| format!("{}={:?}", &text[entry.key.clone()], &text[entry.range.clone()])).collect();
                format!("{} {}", &text[section.key.clone()], entries.join(" "))
            })
            .collect();

        assert_eq!(shown, ["version ", "bronze \"a b\"=\"  \\\"a b\\\":\\n    from: {}\\n   odd: 1\\n\" c=\"  c: { d: e }\\n\\n\"", "'silver' ", "text ", "gold "]);
    }

    #[test]
    fn blanks_keep_every_byte_in_its_place() {
        assert_eq!(blanked("aé\r\nb: ü\nc", 0..12, std::slice::from_ref(&(1..10))), "a  \r\n     \nc".to_owned());
    }
}
