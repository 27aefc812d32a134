//! The tree itself. Nodes are shared: aliases, merge keys and defaults never copy what they refer to.

use crate::template::Rendered;
use karat_diagnostics::Span;
use std::rc::Rc;

/// One value.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Where it stands, without anchors and tags; block scalars without their header.
    pub(crate) span: Span,
    pub(crate) content: Content,
    /// How many nodes this one stands for once aliases are followed.
    pub(crate) weight: u64,
    /// Levels below and including this one once aliases are followed.
    pub(crate) depth: u32,
    /// True when something below may hold a template or `${NAME}`.
    pub(crate) dynamic: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Content {
    Scalar(Scalar),
    List(Vec<Rc<Node>>),
    Map(Map),
    /// Already reported; whoever meets it says nothing more.
    Broken,
}

/// A scalar after YAML's own escapes and folding.
#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    pub(crate) text: Rc<str>,
    pub(crate) style: Style,
    /// What templates and the environment made of `text`, if it held any.
    pub(crate) rendered: Option<Rc<Rendered>>,
}

/// How a scalar was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Its type follows from its text.
    Plain,
    SingleQuoted,
    DoubleQuoted,
    Literal,
    Folded,
    /// Tagged `!!str`: text, however it is written.
    Text,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Map {
    pub(crate) entries: Vec<Entry>,
}

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) value: Rc<Node>,
}

#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) text: Rc<str>,
    pub(crate) span: Span,
    pub(crate) style: Style,
}

impl Map {
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| &*entry.key.text == key)
    }
}

impl Node {
    /// A value without others below it.
    pub(crate) fn leaf(span: Span, content: Content, dynamic: bool) -> Self {
        Self { span, content, weight: 1, depth: 1, dynamic }
    }

    pub(crate) fn map(&self) -> Option<&Map> {
        match &self.content {
            Content::Map(map) => Some(map),
            Content::Scalar(_) | Content::List(_) | Content::Broken => None,
        }
    }

    pub(crate) fn scalar(&self) -> Option<&Scalar> {
        match &self.content {
            Content::Scalar(scalar) => Some(scalar),
            Content::Map(_) | Content::List(_) | Content::Broken => None,
        }
    }

    /// True for a value that was left out or written `null` or `~`.
    pub(crate) fn is_null(&self) -> bool {
        self.scalar().is_some_and(|scalar| scalar.rendered.is_none() && scalar.style == Style::Plain && matches!(super::resolve(&scalar.text), super::Plain::Null))
    }

    /// True when some text below holds a value from the environment.
    pub(crate) fn holds_secret(&self) -> bool {
        match &self.content {
            Content::Scalar(scalar) => scalar.is_secret(),
            Content::List(items) => items.iter().any(|item| item.holds_secret()),
            Content::Map(map) => map.entries.iter().any(|entry| entry.value.holds_secret()),
            Content::Broken => false,
        }
    }

    /// The same place and weight with other content, such as rendered text.
    pub(crate) fn with_content(&self, content: Content) -> Self {
        Self { span: self.span, content, weight: self.weight, depth: self.depth, dynamic: self.dynamic }
    }
}

impl Scalar {
    /// The text as the engine uses it.
    pub(crate) fn value(&self) -> &str {
        self.rendered.as_ref().map_or(&*self.text, |rendered| &rendered.text)
    }

    /// True when the text decides its own type: written plain, or wholly a template tag or `${NAME}`.
    pub(crate) fn is_plain(&self) -> bool {
        self.style == Style::Plain || self.is_whole_tag()
    }

    /// True when the text is wholly one tag, so that it takes the type of its place.
    pub(crate) fn is_whole_tag(&self) -> bool {
        self.rendered.as_ref().is_some_and(|rendered| rendered.whole)
    }

    /// True when the text holds a value from the environment, which no message may show.
    pub(crate) fn is_secret(&self) -> bool {
        self.rendered.as_ref().is_some_and(|rendered| rendered.from_environment)
    }

    /// True when the text waits for the environment.
    pub(crate) fn is_unresolved(&self) -> bool {
        self.rendered.as_ref().is_some_and(|rendered| rendered.unresolved)
    }
}
