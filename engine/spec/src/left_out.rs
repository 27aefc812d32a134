//! What findings kept out of the model, by the words it holds: what those words name may be used there, or defined there.

use crate::names::similar;
use crate::yaml::{Content, Node};
use std::collections::HashSet;

/// Words of all that was written, but could not be read. So that one mistake makes one finding, nothing is called unused or unknown that they name.
#[derive(Debug, Clone, Default)]
pub struct LeftOut {
    used: HashSet<Box<str>>,
    defined: HashSet<Box<str>>,
    /// True when tables may be defined there whose names only a template would tell.
    has_templated_names: bool,
}

impl LeftOut {
    /// True when what could not be read may use a connection, var, table or column of this name.
    #[must_use]
    pub fn may_use(&self, name: &str) -> bool {
        self.used.contains(name)
    }

    /// True when what could not be read may define a connection, var or table of this name.
    #[must_use]
    pub fn may_define(&self, name: &str) -> bool {
        self.defined.contains(name)
    }

    /// True when what could not be read may define a table of this name, written out or through a template.
    #[must_use]
    pub fn may_define_table(&self, name: &str) -> bool {
        self.has_templated_names || self.may_define(name)
    }

    /// Adds text that defines nothing by itself, such as a template that fails.
    pub(crate) fn add_use(&mut self, text: &str) {
        self.used.extend(words(text));
    }

    /// Adds text of a file, which may hold definitions.
    pub(crate) fn add_unread(&mut self, text: &str) {
        self.add_use(text);
        self.defined.extend(words(text));
        self.has_templated_names |= text.contains("for_each");
    }

    /// Adds a table whose name cannot be used, by the names that others may give it.
    pub(crate) fn add_table(&mut self, key: &str) {
        self.defined.extend([Box::from(key), similar(key).into_boxed_str()]);
        self.has_templated_names |= key.contains('{');
    }

    /// Adds all texts below `node`, as they are written.
    pub(crate) fn add_node(&mut self, node: &Node) {
        match &node.content {
            Content::Scalar(scalar) => self.add_use(&scalar.text),
            Content::List(items) => items.iter().for_each(|item| self.add_node(item)),
            Content::Map(map) => map.entries.iter().for_each(|entry| self.add_node(&entry.value)),
            Content::Broken => {}
        }
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.used.extend(other.used);
        self.defined.extend(other.defined);
        self.has_templated_names |= other.has_templated_names;
    }
}

fn words(text: &str) -> impl Iterator<Item = Box<str>> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty()).map(Box::from)
}
