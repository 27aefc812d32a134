//! What changed at a source since it was locked.

use karat_spec::model::{LockedColumn, LockedTable};
use schemars::JsonSchema;
use serde::Serialize;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Change {
    /// What kind of change.
    pub kind: ChangeKind,
    /// The column that changed, by its name in the lock where it has one there.
    pub column: Option<String>,
    /// The change in words.
    pub text: String,
}

/// What kind of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// A column that was not there.
    Added,
    /// A column that is no longer there.
    Gone,
    /// A column is read as another type.
    Type,
    /// The source declares another type, which is read as the same one.
    Declared,
    /// A column may be NULL now, or may no longer be.
    Nullable,
    /// The columns stand in another order.
    Order,
    /// Another primary key.
    Key,
    /// Other indexes.
    Indexes,
    /// The pipeline reads another object.
    Source,
}

/// Every change, in the order of the columns. Estimates and identity are no changes: nothing is judged by them.
#[must_use]
pub fn changes(before: &LockedTable, now: &LockedTable) -> Vec<Change> {
    let mut found = Vec::new();
    if before.from != now.from {
        found.push(change(ChangeKind::Source, None, "the pipeline reads another object".into()));
    }
    for (at, column) in before.columns.iter().enumerate() {
        match find(now, &column.name) {
            Some(new) => of_column(column, new, &mut found),
            None => {
                let heir = now.columns.get(at).filter(|heir| find(before, &heir.name).is_none() && heir.data_type == column.data_type && heir.declared == column.declared);
                let guess = heir.map(|heir| format!("; `{}` of the same type stands in its place", heir.name)).unwrap_or_default();
                found.push(change(ChangeKind::Gone, Some(column), format!("column `{}` {} is gone{guess}", column.name, shown(column))));
            }
        }
    }
    for column in now.columns.iter().filter(|column| find(before, &column.name).is_none()) {
        let null = if column.nullable { "" } else { " not null" };
        found.push(change(ChangeKind::Added, Some(column), format!("column `{}` {}{null} is new", column.name, shown(column))));
    }
    if is_reordered(before, now) {
        found.push(change(ChangeKind::Order, None, "the columns stand in another order".into()));
    }
    if before.primary_key != now.primary_key {
        found.push(change(ChangeKind::Key, None, format!("the primary key was {}, now it is {}", names(&before.primary_key), names(&now.primary_key))));
    }
    for (list, other, what) in [(&before.indexes, &now.indexes, "is gone"), (&now.indexes, &before.indexes, "is new")] {
        let differing = list.iter().filter(|index| !other.contains(index));
        found.extend(differing.map(|index| change(ChangeKind::Indexes, None, format!("the index on {} {what}", names(index)))));
    }
    found
}

/// The changes of columns alone.
pub(crate) fn column_changes(before: &[LockedColumn], now: &[LockedColumn]) -> Vec<Change> {
    let table = |columns: &[LockedColumn]| LockedTable { columns: columns.to_vec(), ..LockedTable::default() };
    changes(&table(before), &table(now))
}

fn of_column(before: &LockedColumn, now: &LockedColumn, found: &mut Vec<Change>) {
    let name = &before.name;
    if before.data_type != now.data_type {
        found.push(change(ChangeKind::Type, Some(before), format!("column `{name}` was {}, now it is {}", shown(before), shown(now))));
    } else if before.declared != now.declared {
        found.push(change(ChangeKind::Declared, Some(before), format!("column `{name}` was declared `{}`, now `{}`", before.declared, now.declared)));
    }
    if before.nullable != now.nullable {
        let text = if now.nullable { "may be NULL now" } else { "is never NULL now" };
        found.push(change(ChangeKind::Nullable, Some(before), format!("column `{name}` {text}")));
    }
}

fn is_reordered(before: &LockedTable, now: &LockedTable) -> bool {
    let kept = before.columns.iter().filter(|column| find(now, &column.name).is_some()).map(|column| &column.name);
    let still = now.columns.iter().filter(|column| find(before, &column.name).is_some()).map(|column| &column.name);
    !kept.eq(still)
}

fn find<'a>(table: &'a LockedTable, name: &str) -> Option<&'a LockedColumn> {
    table.columns.iter().find(|column| column.name == name)
}

fn change(kind: ChangeKind, column: Option<&LockedColumn>, text: String) -> Change {
    Change { kind, column: column.map(|column| column.name.clone()), text }
}

fn shown(column: &LockedColumn) -> &str {
    column.data_type.as_deref().unwrap_or("of no exact type")
}

fn names(columns: &[String]) -> String {
    if columns.is_empty() { "none".to_owned() } else { columns.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: &[(&str, &str, bool)]) -> LockedTable {
        let column = |(name, kind, nullable): &(&str, &str, bool)| LockedColumn {
            name: (*name).to_owned(),
            data_type: Some((*kind).to_owned()),
            declared: (*kind).to_owned(),
            nullable: *nullable,
        };
        LockedTable { columns: columns.iter().map(column).collect(), primary_key: vec!["id".into()], ..LockedTable::default() }
    }

    fn texts(before: &LockedTable, now: &LockedTable) -> Vec<String> {
        changes(before, now).into_iter().map(|change| change.text).collect()
    }

    #[test]
    fn every_kind_of_change_is_named() {
        let before = table(&[("id", "bigint", false), ("a", "text", true), ("b", "int", true)]);

        assert_eq!(texts(&before, &before), Vec::<String>::new());
        assert_eq!(texts(&before, &LockedTable { rows: Some(7), identity: "x".into(), ..before.clone() }), Vec::<String>::new());
        let now = table(&[("id", "bigint", false), ("c", "text", true), ("b", "bigint", false)]);
        assert_eq!(
            texts(&before, &now),
            ["column `a` text is gone; `c` of the same type stands in its place", "column `b` was int, now it is bigint", "column `b` is never NULL now", "column `c` text is new",]
        );
        let now = table(&[("id", "bigint", false), ("b", "int", true), ("a", "text", true)]);
        assert_eq!(texts(&before, &now), ["the columns stand in another order"]);
        let now = LockedTable { primary_key: Vec::new(), indexes: vec![vec!["a".into(), "b".into()]], ..before.clone() };
        assert_eq!(texts(&before, &now), ["the primary key was `id`, now it is none", "the index on `a`, `b` is new"]);
    }
}
