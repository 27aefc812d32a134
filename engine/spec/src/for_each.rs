//! `for_each`: one table per combination of elements.

use crate::codes;
use crate::names::name_finding;
use crate::reader::Reader;
use crate::shape::any_value;
use crate::yaml::{Content, Node};
use karat_diagnostics::Diagnostic;
use minijinja::Value;
use std::rc::Rc;

/// Tables that one `for_each` may make.
const MAX_TABLES: usize = 10_000;
/// Names that templates have anyway.
const TAKEN: &[&str] = &["vars", "this", "is_incremental", "loop", "self"];

/// The names of one combination.
pub(crate) type Bindings = Vec<(String, Value)>;

/// All combinations, the last variable changing fastest; `None` when a finding says why there are none.
pub(crate) fn combinations(reader: &mut Reader<'_>, node: &Rc<Node>) -> Option<Vec<Bindings>> {
    let Content::Map(map) = &node.content else {
        if !matches!(node.content, Content::Broken) {
            let finding = Diagnostic::error(codes::FOR_EACH, "`for_each` expects a mapping from names to lists", node.span);
            reader.findings.push(finding.with_help("write it like `for_each: { bar: [1m, 1h] }`"));
        }
        return None;
    };
    let before = reader.findings.len();
    let mut combined: Vec<Bindings> = vec![Vec::new()];
    let mut broken = map.entries.is_empty();
    if broken {
        reader.findings.push(Diagnostic::error(codes::FOR_EACH, "`for_each` names no variable", node.span).with_help("write it like `for_each: { bar: [1m, 1h] }`, or remove it"));
    }
    for entry in &map.entries {
        reader.findings.extend(name_finding("`for_each` variable", &entry.key.text, entry.key.span));
        if TAKEN.contains(&&*entry.key.text) {
            let finding = Diagnostic::error(codes::FOR_EACH, format!("`{}` is a name that templates have already", entry.key.text), entry.key.span);
            reader.findings.push(finding.with_help("choose another name for the variable"));
        }
        let Some(elements) = elements(reader, &entry.key.text, &entry.value) else {
            broken = true;
            continue;
        };
        if combined.len().saturating_mul(elements.len()) > MAX_TABLES {
            let finding = Diagnostic::error(codes::FOR_EACH, "`for_each` makes too many tables", entry.key.span).with_note(format!("at most {MAX_TABLES} are made"));
            reader.findings.push(finding.with_help("use fewer elements"));
            return None;
        }
        combined = combined.iter().flat_map(|bindings| elements.iter().map(|element| extended(bindings, &entry.key.text, element))).collect();
    }
    (!broken && reader.findings.len() == before).then_some(combined)
}

fn extended(bindings: &Bindings, name: &str, element: &Value) -> Bindings {
    let mut bindings = bindings.clone();
    bindings.push((name.to_owned(), element.clone()));
    bindings
}

/// The elements of one variable: all scalars or all mappings.
fn elements(reader: &mut Reader<'_>, name: &str, node: &Rc<Node>) -> Option<Vec<Value>> {
    let Content::List(items) = &node.content else {
        if !matches!(node.content, Content::Broken) {
            let finding = Diagnostic::error(codes::FOR_EACH, format!("`for_each.{name}` expects a list"), node.span);
            reader.findings.push(finding.with_help("write it as a list: `[…]`"));
        }
        return None;
    };
    if items.is_empty() {
        let finding = Diagnostic::error(codes::FOR_EACH, format!("`for_each.{name}` has no elements, so no table is made"), node.span);
        reader.findings.push(finding.with_help("add an element, or remove the table"));
        return None;
    }
    let before = reader.findings.len();
    let keys: Option<Vec<&str>> = items.iter().find_map(|item| item.map()).map(|map| map.entries.iter().map(|entry| &*entry.key.text).collect());
    for item in items {
        let problem = match (&item.content, &keys) {
            (Content::List(_), _) => Some("an element of `for_each` is a list".to_owned()),
            (Content::Scalar(_), Some(_)) => Some("some elements of `for_each` are mappings, this one is not".to_owned()),
            (Content::Scalar(_), None) if item.is_null() => Some("an element of `for_each` has no value".to_owned()),
            (Content::Map(map), Some(keys)) => {
                keys.iter().find(|key| map.get(key).is_none()).map(|missing| format!("this element of `for_each` has no `{missing}`; the first one has"))
            }
            (Content::Broken, _) => return None,
            _ => None,
        };
        if let Some(message) = problem {
            reader.findings.push(Diagnostic::error(codes::FOR_EACH, message, item.span).with_help("give all elements the same form: scalars, or mappings with the same keys"));
        }
    }
    (reader.findings.len() == before).then(|| items.iter().map(|item| crate::template::template_value(&any_value(item))).collect())
}
