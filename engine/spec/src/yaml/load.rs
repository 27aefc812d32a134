//! Parser events to the tree: duplicate keys, merge keys, aliases with a budget, one document per file.

use super::recover;
use super::syntax_error::syntax_finding;
use super::tree::{Content, Entry, Key, Map, Node, Scalar, Style};
use crate::{LeftOut, codes};
use granit_parser::{Event, Parser, ScalarStyle, Tag};
use karat_diagnostics::{Diagnostic, Edit, FileId, Fix, Span};
use std::collections::HashMap;
use std::rc::Rc;

/// Levels of nesting that are read, per kind of notation.
pub(crate) const MAX_DEPTH: usize = 64;
/// Bytes of one file.
const MAX_BYTES: usize = 32 << 20;
/// Nodes that aliases and merge keys of one file may stand for.
const MAX_EXPANDED: u64 = 500_000;

/// One file as a tree.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// The first document's value; `None` when there is none, or a syntax error hides it.
    pub(crate) root: Option<Rc<Node>>,
    /// True when a syntax error ended the reading.
    pub(crate) truncated: bool,
    /// What a finding kept out of the tree.
    pub(crate) left_out: LeftOut,
}

/// Reads one file, and reports what is wrong with its YAML.
pub(crate) fn load(file: FileId, text: &str, findings: &mut Vec<Diagnostic>) -> Loaded {
    if text.len() > MAX_BYTES {
        let finding = Diagnostic::error(codes::TOO_LARGE, format!("the file holds {} bytes; at most {MAX_BYTES} are read", text.len()), Span::start_of(file));
        findings.push(finding.with_help("split it into several pipeline files"));
        return Loaded { root: None, truncated: true, left_out: LeftOut::default() };
    }
    let mut others = Vec::new();
    match read(file, text, &mut others) {
        Ok(loaded) => {
            findings.append(&mut others);
            loaded
        }
        Err(error) => recover::load(file, text, findings).unwrap_or_else(|| {
            findings.append(&mut others);
            findings.push(*error);
            Loaded { root: None, truncated: true, left_out: LeftOut::default() }
        }),
    }
}

/// Reads a text that is YAML throughout, and reports what is wrong with it otherwise.
///
/// # Errors
/// The finding about the first syntax error, or about its cause.
pub(super) fn read(file: FileId, text: &str, findings: &mut Vec<Diagnostic>) -> Result<Loaded, Box<Diagnostic>> {
    let options = granit_parser::options! {
        emit_unresolved_aliases: true,
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut loader =
        Loader { file, text, findings, stack: Vec::new(), anchors: HashMap::new(), open_anchors: Vec::new(), expanded: 0, root: None, documents: 0, left_out: LeftOut::default() };
    for next in Parser::new_from_str_with_options(text, options) {
        match next {
            Ok((event, span)) => {
                let range = span.byte_range().unwrap_or(0..0);
                if loader.event(event, Span::new(file, range.start, range.end)) == Flow::Stop {
                    break;
                }
            }
            Err(error) => {
                let finding = syntax_finding(file, text, &error);
                // An unquoted `{{` or `*` has been reported already, and is the cause of what follows on its line.
                let line_of = |finding: &Diagnostic| finding.primary.as_ref().map(|label| text[..label.span.start as usize].matches('\n').count());
                let is_cause = |last: &mut Diagnostic| (last.code == codes::TEMPLATE_UNQUOTED || last.code == codes::ALIAS) && line_of(last) == line_of(&finding);
                return Err(Box::new(loader.findings.pop_if(is_cause).unwrap_or(finding)));
            }
        }
    }
    Ok(Loaded { root: loader.root, truncated: false, left_out: loader.left_out })
}

#[derive(PartialEq)]
enum Flow {
    Go,
    Stop,
}

struct Loader<'a> {
    file: FileId,
    text: &'a str,
    findings: &'a mut Vec<Diagnostic>,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Rc<Node>>,
    open_anchors: Vec<usize>,
    expanded: u64,
    root: Option<Rc<Node>>,
    documents: usize,
    left_out: LeftOut,
}

/// A list or map that is still open.
struct Frame {
    span: Span,
    anchor: usize,
    kind: FrameKind,
    weight: u64,
    depth: u32,
    dynamic: bool,
}

enum FrameKind {
    List(Vec<Rc<Node>>),
    Map { entries: Vec<Entry>, key: Option<PendingKey>, template: bool },
}

enum PendingKey {
    Text(Key),
    /// Reported already; its value is skipped.
    Broken,
}

impl Loader<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Flow {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let finding = Diagnostic::error(codes::DOCUMENTS, "a second YAML document begins here", self.visible(span));
                    self.findings.push(finding.with_note("a file holds one document").with_help("move it into a file of its own, or remove the `---` or `...` line"));
                    return Flow::Stop;
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let style = self.tagged(written_as(style), tag.as_deref(), span);
                self.scalar(&text, style, anchor, span);
            }
            Event::SequenceStart(_, anchor, tag) => self.open(FrameKind::List(Vec::new()), anchor, tag.as_deref(), span),
            Event::MappingStart(_, anchor, tag) => self.open(FrameKind::Map { entries: Vec::new(), key: None, template: false }, anchor, tag.as_deref(), span),
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::UnresolvedAlias(name) => {
                let finding = Diagnostic::error(codes::ALIAS, format!("`*{name}` refers to an anchor that is not defined above"), span);
                self.findings.push(finding.with_help(format!("define it with `&{name}` before this line, or quote the text: `\"*{name}\"`")));
                self.complete(Rc::new(Node::leaf(span, Content::Broken, false)));
            }
            _ => {}
        }
        Flow::Go
    }

    fn scalar(&mut self, text: &str, style: Style, anchor: usize, span: Span) {
        let empty = style == Style::Plain && span.start == span.end;
        let span = if matches!(style, Style::Literal | Style::Folded) { self.trimmed(span) } else { span };
        let text: Rc<str> = if empty { "".into() } else { text.into() };
        let dynamic = text.contains("${") || text.contains("{{") || text.contains("{%") || text.contains("{#");
        let node = Rc::new(Node::leaf(span, Content::Scalar(Scalar { text, style, rendered: None }), dynamic));
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.complete(node);
    }

    /// Core tags are honoured where they mean something; others are findings.
    fn tagged(&mut self, style: Style, tag: Option<&Tag>, span: Span) -> Style {
        match tag.map(|tag| (tag, tag.core_suffix())) {
            None => style,
            Some((_, Some("str"))) if style == Style::Plain => Style::Text,
            Some((_, Some(_))) => style,
            Some((tag, None)) if tag.parts().1.is_empty() || tag.original() == "!" => Style::Text,
            Some((tag, None)) => {
                let span = self.tag_before(&tag.original(), span);
                self.findings.push(
                    Diagnostic::error(codes::TAG, format!("the YAML tag `{}` means nothing here", tag.original()), span)
                        .with_help("remove the tag, or quote the text if it begins with `!`"),
                );
                style
            }
        }
    }

    /// Where a tag stands: before its value, whose span does not hold it.
    fn tag_before(&self, tag: &str, value: Span) -> Span {
        let before = self.text.get(..value.start as usize).unwrap_or_default();
        before.rfind(tag).map_or(value, |at| Span::new(value.file, at, at + tag.len()))
    }

    fn open(&mut self, kind: FrameKind, anchor: usize, tag: Option<&Tag>, span: Span) {
        self.tagged(Style::Text, tag, span);
        if anchor != 0 {
            self.open_anchors.push(anchor);
        }
        self.stack.push(Frame { span, anchor, kind, weight: 1, depth: 1, dynamic: false });
    }

    fn close(&mut self, end: Span) {
        let Some(frame) = self.stack.pop() else { return };
        if frame.anchor != 0 {
            self.open_anchors.retain(|open| *open != frame.anchor);
        }
        let flow = end.end > end.start;
        let (content, last) = match frame.kind {
            FrameKind::List(items) => {
                let last = items.last().map(|item| item.span.end);
                (Content::List(items), last)
            }
            FrameKind::Map { template: true, .. } => {
                self.left_out.add_use(self.text.get(frame.span.start as usize..end.end as usize).unwrap_or_default());
                (Content::Broken, None)
            }
            FrameKind::Map { entries, .. } => {
                let last = entries.last().map(|entry| entry.value.span.end.max(entry.key.span.end));
                (Content::Map(self.finish_map(entries)), last)
            }
        };
        // An alias' value stands elsewhere, so the last child's end may lie before the start or in front of the closing mark.
        let end = if flow { end.end } else { last.unwrap_or(end.start).clamp(frame.span.start, end.start.max(frame.span.start)) };
        let span = self.trimmed(Span { end, ..frame.span });
        let node = Rc::new(Node { span, content, weight: frame.weight, depth: frame.depth, dynamic: frame.dynamic });
        if frame.anchor != 0 {
            self.anchors.insert(frame.anchor, Rc::clone(&node));
        }
        self.complete(node);
    }

    fn alias(&mut self, anchor: usize, span: Span) {
        if self.open_anchors.contains(&anchor) {
            self.findings.push(Diagnostic::error(codes::ALIAS, "this alias stands inside of what it refers to", span).with_help("write the value out, or refer to something else"));
            self.complete(Rc::new(Node::leaf(span, Content::Broken, false)));
            return;
        }
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            self.complete(Rc::new(Node::leaf(span, Content::Broken, false)));
            return;
        };
        if node.depth as usize > 2 * MAX_DEPTH {
            let finding = Diagnostic::error(codes::TOO_LARGE, "aliases of aliases nest too deeply", span).with_note(format!("at most {} levels are read", 2 * MAX_DEPTH));
            self.findings.push(finding.with_help("write the value out"));
            self.complete(Rc::new(Node::leaf(span, Content::Broken, false)));
            return;
        }
        let before = self.expanded;
        self.expanded = self.expanded.saturating_add(node.weight);
        if self.expanded > MAX_EXPANDED {
            if before <= MAX_EXPANDED {
                let finding = Diagnostic::error(codes::TOO_LARGE, "aliases of this file stand for too much text", span);
                self.findings.push(finding.with_note(format!("at most {MAX_EXPANDED} values may come from aliases")).with_help("use fewer aliases of aliases"));
            }
            self.complete(Rc::new(Node::leaf(span, Content::Broken, false)));
            return;
        }
        self.complete(node);
    }

    /// Hands a finished value to the list or map around it.
    fn complete(&mut self, node: Rc<Node>) {
        let Some(frame) = self.stack.last_mut() else {
            if self.root.is_none() {
                self.root = Some(node);
            }
            return;
        };
        frame.weight = frame.weight.saturating_add(node.weight);
        frame.depth = frame.depth.max(node.depth.saturating_add(1));
        frame.dynamic |= node.dynamic;
        match &mut frame.kind {
            FrameKind::List(items) => items.push(node),
            FrameKind::Map { entries, key, template } => match key.take() {
                Some(PendingKey::Text(key)) => entries.push(Entry { key, value: node }),
                Some(PendingKey::Broken) => {}
                None => {
                    let is_template = node.span.start == frame.span.start + 1 && self.text[frame.span.start as usize..].starts_with("{{");
                    *template |= is_template;
                    *key = Some(pending_key(&node, is_template, frame.span, self.text, self.findings));
                }
            },
        }
    }

    /// Removes duplicates and applies merge keys.
    fn finish_map(&mut self, entries: Vec<Entry>) -> Map {
        let mut kept: Vec<Entry> = Vec::with_capacity(entries.len());
        let mut merges = Vec::new();
        let mut seen: HashMap<Rc<str>, Span> = HashMap::new();
        for entry in entries {
            let first = if kept.len() < 16 { kept.iter().find(|other| other.key.text == entry.key.text).map(|other| other.key.span) } else { None };
            if kept.len() == 16 && seen.is_empty() {
                seen.extend(kept.iter().map(|entry| (Rc::clone(&entry.key.text), entry.key.span)));
            }
            let first = first.or_else(|| seen.get(&entry.key.text).copied());
            let first = first.or_else(|| if is_merge(&entry.key) { merges.first().map(|merge: &Entry| merge.key.span) } else { None });
            if let Some(first) = first {
                let finding = Diagnostic::error(codes::DUPLICATE_KEY, format!("the key `{}` is written twice in one mapping", entry.key.text), entry.key.span);
                self.findings.push(finding.with_related(first, "it is written first here").with_help("remove one of the two, or rename it"));
                self.left_out.add_node(&entry.value);
                continue;
            }
            if is_merge(&entry.key) {
                merges.push(entry);
                continue;
            }
            if kept.len() >= 16 {
                seen.insert(Rc::clone(&entry.key.text), entry.key.span);
            }
            kept.push(entry);
        }
        for merge in merges {
            self.merge(&mut kept, &merge.value, merge.key.span);
        }
        Map { entries: kept }
    }

    /// Adds what `<<` names; keys that are there already win.
    fn merge(&mut self, kept: &mut Vec<Entry>, source: &Rc<Node>, key: Span) {
        match &source.content {
            Content::Map(map) => {
                for entry in &map.entries {
                    if !kept.iter().any(|other| other.key.text == entry.key.text) {
                        kept.push(entry.clone());
                    }
                }
            }
            Content::List(items) if items.iter().all(|item| matches!(item.content, Content::Map(_) | Content::Broken)) => {
                for item in items {
                    self.merge(kept, item, key);
                }
            }
            Content::Broken => {}
            Content::List(_) | Content::Scalar(_) => {
                self.findings
                    .push(Diagnostic::error(codes::MERGE_KEY, "`<<` merges mappings, but its value is not one", key).with_help("write `<<: *name`, where `&name` marks a mapping"));
            }
        }
    }

    /// Without the white space and line ends at the end.
    fn trimmed(&self, span: Span) -> Span {
        let text = self.text.get(span.start as usize..span.end as usize).unwrap_or("");
        Span::new(self.file, span.start as usize, span.start as usize + text.trim_end().len())
    }

    /// At least one character wide, where there is one.
    fn visible(&self, span: Span) -> Span {
        if span.end > span.start {
            return span;
        }
        let width = self.text.get(span.start as usize..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        Span::new(self.file, span.start as usize, span.start as usize + width)
    }
}

fn written_as(style: ScalarStyle) -> Style {
    match style {
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::SingleQuoted => Style::SingleQuoted,
        ScalarStyle::DoubleQuoted => Style::DoubleQuoted,
        ScalarStyle::Literal => Style::Literal,
        ScalarStyle::Folded => Style::Folded,
    }
}

fn is_merge(key: &Key) -> bool {
    key.style == Style::Plain && &*key.text == "<<"
}

fn pending_key(node: &Rc<Node>, is_template: bool, map: Span, text: &str, findings: &mut Vec<Diagnostic>) -> PendingKey {
    match &node.content {
        Content::Scalar(scalar) if !(scalar.text.is_empty() && scalar.style == Style::Plain) => {
            PendingKey::Text(Key { text: Rc::clone(&scalar.text), span: node.span, style: scalar.style })
        }
        Content::Broken => PendingKey::Broken,
        _ if is_template => {
            findings.push(unquoted_template(map, text));
            PendingKey::Broken
        }
        Content::Scalar(_) => {
            findings.push(Diagnostic::error(codes::KEY, "a key is missing before this `:`", node.span).with_help("write a name before the colon"));
            PendingKey::Broken
        }
        Content::List(_) | Content::Map(_) => {
            findings.push(Diagnostic::error(codes::KEY, "a key must be a text, not a list or mapping", node.span).with_help("quote it if it is meant as text"));
            PendingKey::Broken
        }
    }
}

/// `{{ x }}` without quotes is a mapping whose key is a mapping.
fn unquoted_template(map: Span, text: &str) -> Diagnostic {
    let start = map.start as usize;
    let line = text[start..].lines().next().unwrap_or("");
    let end = line.find("}}").map_or(start + 2, |at| start + at + 2);
    let span = Span::new(map.file, start, end);
    let finding = Diagnostic::error(codes::TEMPLATE_UNQUOTED, "a value or key that begins with a template must be quoted", span);
    let finding = finding.with_note("without quotes YAML reads `{` as the start of a mapping").with_help("put double quotes around the whole value");
    let tag = &text[start..end];
    let alone = matches!(text[end..].chars().next(), None | Some('\n' | '\r' | ',' | ']' | '}' | ':'));
    if !alone || tag.contains(['"', '\\']) {
        return finding;
    }
    finding.with_fix(Fix { title: "quote the template".to_owned(), edits: vec![Edit { span, replacement: format!("\"{tag}\"") }] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::any_value;
    use karat_diagnostics::{SourceFile, SourceMap};

    /// The same text through another reader of YAML.
    #[test]
    fn another_reader_sees_the_same_values() {
        for text in [
            include_str!("../../tests/data/market.yaml"),
            "a: |\n  x\n   y\n\n  z\nb: >-\n  f g\n  h\n\n  i\nc: 'it''s\n  two'\nd: \"e\\n\\u0041 f\"\ne:\nf: [1, {g: h}, true, 1.5, ~]\n",
            "a: &a {x: 1}\nb: *a\nc: [*a, *a]\n\"quoted key\": 'null'\n",
            "a: |2\n    x\n   y\nb: |+\n  z\n\nc: >\n  1\n    2\n  3\n",
            "a: b\r\nc: |\r\n  d\r\n  e\r\n",
        ] {
            let file = SourceMap::default().add(SourceFile::new("a.yaml", text));
            let mut findings = Vec::new();
            let root = load(file, text, &mut findings).root.expect("a value");
            let other: serde_json::Value = serde_yaml::from_str(text).expect("YAML");
            let without_underscores = any_value(&root).to_string().replace("\"50_000\"", "50000");
            assert_eq!(without_underscores, other.to_string().replace("\"50_000\"", "50000"), "{text}");
            assert!(findings.is_empty());
        }
    }
}
