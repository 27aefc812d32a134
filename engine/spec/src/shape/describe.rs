//! Words for what was expected and what was found.

use super::compile::Shape;
use crate::yaml::{Content, Node, Plain, resolve};

/// What a shape accepts: `a list of texts`.
pub(super) fn expected(shape: &Shape) -> String {
    match shape {
        Shape::Any => "a value".to_owned(),
        Shape::Bool => "`true` or `false`".to_owned(),
        Shape::Integer { .. } => "a whole number".to_owned(),
        Shape::Number { .. } => "a number".to_owned(),
        Shape::Text { .. } => "a text".to_owned(),
        Shape::Choice(choices) if choices.len() <= 10 => format!("one of {}", listed(choices.iter().map(String::as_str))),
        Shape::Choice(_) => "one of a list of names".to_owned(),
        Shape::Scalar { expected, .. } => expected.clone(),
        Shape::List { .. } => "a list".to_owned(),
        Shape::Record(_) | Shape::Dictionary(_) | Shape::Tagged { .. } => "a mapping".to_owned(),
        Shape::Either(shapes) => shapes.iter().map(|shape| expected(shape)).collect::<Vec<_>>().join(" or "),
    }
}

/// A value of the shape, as written: `[a, b]`.
pub(super) fn example(shape: &Shape) -> Option<String> {
    match shape {
        Shape::Scalar { example, .. } if !example.is_empty() => Some(example.clone()),
        Shape::List { .. } => Some("[a, b]".to_owned()),
        Shape::Record(record) => record.fields.keys().next().map(|key| format!("{{ {key}: … }}")),
        Shape::Tagged { tag, variants } => variants.keys().next().map(|variant| format!("{{ {tag}: {variant}, … }}")),
        Shape::Dictionary(_) => Some("{ name: … }".to_owned()),
        _ => None,
    }
}

/// What stands there: ``the text `5e4` ``; secrets and long texts are not shown.
pub(super) fn found(node: &Node, echo: Echo) -> String {
    let scalar = match &node.content {
        Content::List(_) => return "a list".to_owned(),
        Content::Map(_) => return "a mapping".to_owned(),
        Content::Broken => return "something else".to_owned(),
        Content::Scalar(scalar) => scalar,
    };
    let text = scalar.value();
    let kind = match if scalar.is_plain() { resolve(text) } else { Plain::Text } {
        Plain::Null => return "nothing".to_owned(),
        Plain::Bool(_) | Plain::Text => "text",
        Plain::Integer(_) | Plain::Float(_) => "number",
    };
    let is_bool = scalar.is_plain() && matches!(resolve(text), Plain::Bool(_));
    if echo == Echo::Hide || scalar.is_secret() || text.contains('\n') || text.chars().count() > 40 {
        return format!("a {kind}");
    }
    if is_bool { format!("`{text}`") } else { format!("the {kind} `{text}`") }
}

/// Whether a message may show values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Echo {
    Show,
    /// Connections: any value may be a secret.
    Hide,
}

/// `` `a`, `b` ``
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
