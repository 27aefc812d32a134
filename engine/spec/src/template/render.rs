//! Rendering with the way back.
//!
//! Before rendering, each literal part and each expression is marked with characters of a private plane; after it, the marks say which part
//! every byte came from, through loops and conditions alike. A value with such characters of its own is rendered without marks.

use super::environment::{Variable, look_up};
use super::failure::{Problem, scan_problem, template_problems};
use super::sandbox::{MAX_OUTPUT, Written, engine, grows_too_much};
use super::scan::{Segment, is_literal, scan};
use crate::{Environment, codes};
use minijinja::{Environment as Engine, Value};
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::ops::Range;
use std::rc::Rc;
use std::sync::atomic::Ordering;

/// First of the marks.
const MARKS: u32 = 0xF_0000;
const MAX_MARKS: usize = 60_000;

/// A value after the environment and templates.
#[derive(Debug, Clone)]
pub(crate) struct Rendered {
    pub(crate) text: Rc<str>,
    /// In order of `rendered`, without gaps between parts that came from somewhere.
    pub(crate) pieces: Vec<RenderedPiece>,
    /// True when a `${NAME}` has no value yet and stays in the text.
    pub(crate) unresolved: bool,
    /// True when the text holds a value from the environment.
    pub(crate) from_environment: bool,
    /// True when the value is wholly one `{{ … }}` or `${NAME}`.
    pub(crate) whole: bool,
}

/// Bytes of the rendered text and the bytes of the value that they came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RenderedPiece {
    pub(crate) rendered: Range<usize>,
    pub(crate) origin: Range<usize>,
    /// True when both are the same text.
    pub(crate) exact: bool,
}

/// What templates can see.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    value: Value,
    /// True when some value of the scope waits for the environment.
    unresolved: bool,
    marks_are_free: bool,
}

impl Scope {
    /// A scope with these names.
    pub(crate) fn new(names: Vec<(String, Value)>) -> Self {
        let value = Value::from_pairs(names);
        let shown = value.to_string();
        Self { unresolved: shown.contains("${"), marks_are_free: !shown.contains(is_mark), value }
    }

    pub(super) fn value(&self) -> &Value {
        &self.value
    }
}

/// A value of the file as templates see it.
pub(crate) fn template_value(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::from(()),
        serde_json::Value::Bool(value) => Value::from(*value),
        serde_json::Value::Number(number) => {
            number.as_i64().map(Value::from).or_else(|| number.as_u64().map(Value::from)).unwrap_or_else(|| Value::from(number.as_f64().unwrap_or(f64::NAN)))
        }
        serde_json::Value::String(text) => Value::from(text.as_str()),
        serde_json::Value::Array(items) => items.iter().map(template_value).collect(),
        serde_json::Value::Object(map) => Value::from_pairs(map.iter().map(|(key, value)| (key.clone(), template_value(value)))),
    }
}

/// Renders values; one per project.
pub(crate) struct Renderer<'a> {
    engine: Engine<'static>,
    written: Written,
    environment: &'a Environment,
    /// Values that came from the environment so far.
    pub(crate) secrets: BTreeSet<String>,
    /// Names of vars that templates read since the caller last took them; `*` stands for all.
    pub(crate) read_vars: BTreeSet<String>,
    /// Vars whose values are not known: what reads them is left out, and nothing more is said of it.
    pub(crate) lost_vars: LostVars,
    /// Vars that hold a value from the environment; `*` when there is one.
    pub(crate) secret_vars: BTreeSet<String>,
}

/// Vars that are defined, but could not be read.
#[derive(Debug, Clone, Default)]
pub(crate) struct LostVars {
    are_all: bool,
    names: BTreeSet<String>,
}

impl LostVars {
    /// Every var there is.
    pub(crate) fn all() -> Self {
        Self { are_all: true, names: BTreeSet::new() }
    }

    pub(crate) fn add(&mut self, name: &str) {
        self.names.insert(name.to_owned());
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.names.remove(name);
    }

    /// True when one of the vars that a template reads is lost; `*` reads all of them.
    fn hold_one_of(&self, read: &[String]) -> bool {
        let is_lost = |name: &String| self.are_all || self.names.contains(name) || (name == "*" && !self.names.is_empty());
        read.iter().any(is_lost)
    }
}

impl<'a> Renderer<'a> {
    pub(crate) fn new(environment: &'a Environment) -> Self {
        let (engine, written) = engine();
        Self { engine, written, environment, secrets: BTreeSet::new(), read_vars: BTreeSet::new(), lost_vars: LostVars::default(), secret_vars: BTreeSet::new() }
    }

    /// Renders one value; `None` when it holds nothing to evaluate.
    pub(crate) fn render(&mut self, text: &str, scope: &Scope) -> Result<Option<Rendered>, Vec<Problem>> {
        if is_literal(text) {
            return Ok(None);
        }
        let (segments, scan_problems) = scan(text);
        if !scan_problems.is_empty() {
            return Err(scan_problems.iter().map(|problem| scan_problem(problem, text)).collect());
        }
        let parts = self.parts(text, &segments)?;
        let read: Vec<String> = parts.iter().flat_map(Part::vars).collect();
        self.read_vars.extend(read.iter().cloned());
        if self.lost_vars.hold_one_of(&read) {
            return Err(Vec::new());
        }
        let has_tags = segments.iter().any(|segment| matches!(segment, Segment::Expression { .. } | Segment::Statement { .. } | Segment::Raw(_)));
        let whole = matches!(segments.as_slice(), [Segment::Expression { range, .. } | Segment::Variable { range, .. }] if *range == (0..text.len()));
        let mut rendered = if has_tags { self.evaluate(text, &segments, &parts, scope)? } else { plain(&parts) };
        rendered.unresolved = parts.iter().any(|part| part.unresolved) || (scope.unresolved && rendered.text.contains("${"));
        rendered.from_environment = parts.iter().any(|part| part.secret) || read.iter().any(|name| self.secret_vars.contains(name));
        rendered.whole = whole;
        Ok(Some(rendered))
    }

    /// Resolves `${NAME}` and notes which vars are read.
    fn parts<'t>(&mut self, text: &'t str, segments: &[Segment]) -> Result<Vec<Part<'t>>, Vec<Problem>> {
        let mut parts = Vec::with_capacity(segments.len());
        let mut problems = Vec::new();
        for segment in segments {
            match segment {
                Segment::Literal(range) => parts.push(Part::new(range, PartKind::Literal(&text[range.clone()]))),
                Segment::Raw(range) => parts.push(Part::new(range, PartKind::Raw(&text[range.clone()]))),
                Segment::Escaped(range) => parts.push(Part::new(range, PartKind::Value("${".to_owned()))),
                Segment::Expression { range, inner } => {
                    parts.push(Part::new(range, PartKind::Expression(&text[inner.clone()])));
                }
                Segment::Statement { range, inner } => {
                    parts.push(Part::new(range, PartKind::Statement(&text[inner.clone()])));
                }
                Segment::Variable { range, name, default } => {
                    let default = default.clone().map(|default| &text[default]);
                    match look_up(self.environment, &text[name.clone()], default, range) {
                        Ok(Variable::Secret(value)) => {
                            self.secrets.insert(value.to_owned());
                            parts.push(Part { secret: true, ..Part::new(range, PartKind::Value(value.to_owned())) });
                        }
                        Ok(Variable::Default) => parts.push(Part::new(range, PartKind::Value(default.unwrap_or("").to_owned()))),
                        Ok(Variable::Unresolved) => parts.push(Part { unresolved: true, ..Part::new(range, PartKind::Value(text[range.clone()].to_owned())) }),
                        Err(problem) => problems.push(problem),
                    }
                }
            }
        }
        if problems.is_empty() { Ok(parts) } else { Err(problems) }
    }

    fn evaluate(&self, text: &str, segments: &[Segment], parts: &[Part<'_>], scope: &Scope) -> Result<Rendered, Vec<Problem>> {
        if let Some(range) = grows_too_much(text, segments) {
            return Err(vec![
                Problem::new(codes::TEMPLATE_FAILED, &range, "the statements of this template hold too many `~`, `+` and `*`").with_help("make the text in `{{ … }}` instead"),
            ]);
        }
        let markable = scope.marks_are_free && !text.contains(is_mark) && parts.len() * 2 < MAX_MARKS;
        let marked = markable.then(|| self.output(&marked_template(parts), scope).ok()).flatten().and_then(|output| unmark(&output, text, parts));
        // Inside `set`, `macro`, `call` and `filter` blocks the marks are part of what the template computes with.
        let captures =
            parts.iter().any(|part| matches!(&part.kind, PartKind::Statement(inner) if ["set", "macro", "call", "filter"].iter().any(|word| inner.trim_start().starts_with(word))));
        if let Some(rendered) = marked.as_ref().filter(|_| !captures) {
            return Ok(rendered.clone());
        }
        // Without marks: each `${NAME}` becomes a mark-free stand-in only when it holds no braces that the engine would read.
        match self.output(text, scope) {
            Ok(_) if parts.iter().any(|part| matches!(part.kind, PartKind::Value(_))) => {
                marked.map_or_else(|| Err(vec![Problem::new(codes::TEMPLATE_FAILED, &(0..text.len()), "a template that captures blocks cannot hold `${NAME}`")]), Ok)
            }
            Ok(output) => match marked {
                Some(rendered) if *rendered.text == *output => Ok(rendered),
                _ => {
                    let pieces = vec![RenderedPiece { rendered: 0..output.len(), origin: 0..text.len(), exact: false }];
                    Ok(Rendered { text: output.into(), pieces, unresolved: false, from_environment: false, whole: false })
                }
            },
            Err(error) => Err(template_problems(&error, text, segments, &self.undeclared(text), scope)),
        }
    }

    fn output(&self, template: &str, scope: &Scope) -> Result<String, minijinja::Error> {
        self.written.store(0, Ordering::Relaxed);
        let template = self.engine.template_from_str(template)?;
        let mut output = Bounded { bytes: Vec::new() };
        template.render_captured_to(scope.value.clone(), &mut output)?;
        Ok(String::from_utf8_lossy(&output.bytes).into_owned())
    }

    fn undeclared(&self, text: &str) -> Vec<String> {
        self.engine.template_from_str(text).map(|template| template.undeclared_variables(true).into_iter().collect()).unwrap_or_default()
    }
}

/// One segment with what it stands for.
struct Part<'t> {
    origin: Range<usize>,
    kind: PartKind<'t>,
    secret: bool,
    unresolved: bool,
}

enum PartKind<'t> {
    Literal(&'t str),
    Raw(&'t str),
    /// Text that no template sees: a variable's value, `${`.
    Value(String),
    Expression(&'t str),
    Statement(&'t str),
}

impl<'t> Part<'t> {
    /// The vars that a tag reads; any use of `vars` besides `vars.name` reads all of them: `*`.
    fn vars(&self) -> Vec<String> {
        let (PartKind::Expression(inner) | PartKind::Statement(inner)) = self.kind else { return Vec::new() };
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let is_alone = |at: &usize| !inner[..*at].ends_with(|c: char| is_word(c) || c == '.') && !inner[at + 4..].starts_with(is_word);
        let name = |at: usize| {
            let rest = inner[at + 4..].trim_start();
            let name = rest.strip_prefix('.').map(str::trim_start).map(|name| &name[..name.len() - name.trim_start_matches(is_word).len()]);
            let quoted = rest.strip_prefix('[').map(str::trim_start).and_then(|rest| {
                let quote = rest.chars().next().filter(|c| *c == '"' || *c == '\'')?;
                rest[1..].split_once(quote).map(|(name, _)| name)
            });
            name.filter(|name| !name.is_empty()).or(quoted).unwrap_or("*").to_owned()
        };
        inner.match_indices("vars").map(|(at, _)| at).filter(is_alone).map(name).collect()
    }

    fn new(origin: &Range<usize>, kind: PartKind<'t>) -> Self {
        Self { origin: origin.clone(), kind, secret: false, unresolved: false }
    }
}

/// Refuses to grow beyond the bound.
struct Bounded {
    bytes: Vec<u8>,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > MAX_OUTPUT {
            return Err(io::Error::other("too much text"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A value without tags.
fn plain(parts: &[Part<'_>]) -> Rendered {
    let mut made = Made::default();
    for part in parts {
        match &part.kind {
            PartKind::Literal(literal) | PartKind::Raw(literal) | PartKind::Expression(literal) | PartKind::Statement(literal) => made.push(literal, part.origin.clone(), true),
            PartKind::Value(value) => made.push(value, part.origin.clone(), false),
        }
    }
    made.finish()
}

/// The template with a mark at the start of each literal and value, and around each expression.
fn marked_template(parts: &[Part<'_>]) -> String {
    let mut template = String::new();
    for (index, part) in parts.iter().enumerate() {
        let (open, close) = (mark(2 * index), mark(2 * index + 1));
        match &part.kind {
            PartKind::Literal(text) => {
                template.push(open);
                template.push_str(text);
            }
            PartKind::Raw(text) => {
                template.push_str("{% raw %}");
                template.push(open);
                template.push_str(text);
                template.push_str("{% endraw %}");
            }
            PartKind::Value(_) => template.push(open),
            PartKind::Expression(inner) => {
                template.push(open);
                template.push_str("{{ ");
                template.push_str(inner);
                template.push_str(" }}");
                template.push(close);
            }
            PartKind::Statement(inner) => {
                template.push_str("{% ");
                template.push_str(inner);
                template.push_str(" %}");
            }
        }
    }
    template
}

/// Takes the marks out again; `None` when they are not where they should be.
fn unmark(output: &str, text: &str, parts: &[Part<'_>]) -> Option<Rendered> {
    let mut made = Made::default();
    let mut from = 0;
    let mut current: Option<Range<usize>> = None;
    let flush = |made: &mut Made, until: usize, from: usize, current: &Option<Range<usize>>| {
        let run = &output[from..until];
        if run.is_empty() {
            return;
        }
        let origin = current.clone().unwrap_or(0..text.len());
        // A literal is exact as far as it matches; what follows it without a mark of its own came from the value as a whole.
        if text.get(origin.clone()).is_some_and(|literal| literal.starts_with(run)) {
            made.push(run, origin.start..origin.start + run.len(), true);
        } else {
            made.push(run, origin, false);
        }
    };
    for (at, c) in output.char_indices().filter(|(_, c)| is_mark(*c)) {
        flush(&mut made, at, from, &current);
        from = at + c.len_utf8();
        let number = usize::try_from(u32::from(c) - MARKS).ok()?;
        let part = parts.get(number / 2)?;
        current = match &part.kind {
            PartKind::Value(value) => {
                made.push(value, part.origin.clone(), false);
                None
            }
            PartKind::Expression(_) if number % 2 == 1 => None,
            PartKind::Expression(_) | PartKind::Literal(_) | PartKind::Raw(_) => Some(part.origin.clone()),
            PartKind::Statement(_) => return None,
        };
    }
    flush(&mut made, output.len(), from, &current);
    Some(made.finish())
}

#[derive(Default)]
struct Made {
    text: String,
    pieces: Vec<RenderedPiece>,
}

impl Made {
    fn push(&mut self, run: &str, origin: Range<usize>, exact: bool) {
        if run.is_empty() {
            return;
        }
        let start = self.text.len();
        self.text.push_str(run);
        self.pieces.push(RenderedPiece { rendered: start..self.text.len(), origin, exact });
    }

    fn finish(self) -> Rendered {
        Rendered { text: self.text.into(), pieces: self.pieces, unresolved: false, from_environment: false, whole: false }
    }
}

fn mark(number: usize) -> char {
    u32::try_from(number).ok().and_then(|number| char::from_u32(MARKS + number)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn is_mark(c: char) -> bool {
    ('\u{F0000}'..='\u{FFFFD}').contains(&c)
}
