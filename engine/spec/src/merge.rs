//! Defaults under a table: mappings merge key by key, everything else replaces.

use crate::yaml::{Content, Entry, Map, Node};
use std::rc::Rc;

/// Keys of which one mapping holds at most one: whoever writes one of them drops the others from the defaults below.
pub(crate) const EXCLUSIVE: &[&[&str]] = &[&["table", "query", "path"], &["sql", "sql_file"], &["cursor", "cursor_sql"]];

/// Keys that say which other keys there are: a mapping with another choice replaces the one below as a whole.
const DECISIVE: &[&str] = &["strategy", "type"];

/// `high` over `low`. Nothing is copied: merged mappings share their values with both.
pub(crate) fn overlay(low: &Rc<Node>, high: &Rc<Node>) -> Rc<Node> {
    let (Content::Map(below), Content::Map(above)) = (&low.content, &high.content) else { return Rc::clone(high) };
    if DECISIVE.iter().any(|key| differs(below, above, key)) {
        return Rc::clone(high);
    }
    let excluded = |key: &str| EXCLUSIVE.iter().any(|group| group.contains(&key) && group.iter().any(|other| *other != key && above.get(other).is_some()));
    let mut entries: Vec<Entry> = Vec::with_capacity(below.entries.len() + above.entries.len());
    for entry in &below.entries {
        match above.get(&entry.key.text) {
            Some(winner) => entries.push(Entry { key: winner.key.clone(), value: overlay(&entry.value, &winner.value) }),
            None if excluded(&entry.key.text) => {}
            None => entries.push(entry.clone()),
        }
    }
    entries.extend(above.entries.iter().filter(|entry| below.get(&entry.key.text).is_none()).cloned());
    Rc::new(Node {
        span: high.span,
        content: Content::Map(Map { entries }),
        weight: low.weight.saturating_add(high.weight),
        depth: low.depth.max(high.depth),
        dynamic: low.dynamic || high.dynamic,
    })
}

fn differs(below: &Map, above: &Map, key: &str) -> bool {
    let text = |map: &Map| map.get(key).and_then(|entry| entry.value.scalar().map(|scalar| Rc::clone(&scalar.text)));
    matches!((text(below), text(above)), (Some(low), Some(high)) if low != high)
}
