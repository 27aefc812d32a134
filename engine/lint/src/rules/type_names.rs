//! S101: text that is no type.

use crate::rule::{Check, Group, Rule, at};
use crate::type_name;
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};
use karat_spec::pointer_part;

pub(super) static RULE: Rule = Rule {
    group: Group::Correctness,
    page: Explanation {
        code: "S101",
        title: "text that is no type",
        since: "0.1.0",
        what: "A value of `types` is not a type of the language.",
        why: "Types are exact: a name of another system may mean something else here.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    types: { amount: "numeric(18,2)" }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    types: { amount: "decimal(18,2)" }
"#,
        fix: "Write one of `boolean`, `tinyint`, `smallint`, `int`, `bigint` (also with `unsigned`), `real`, `double`, `decimal(p,s)`, `text`, `binary`, `date`, `time`, `timestamp`, `timestamptz`, `interval`, `json`, `uuid`, `list<T>`, `struct<name: T>`.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let types = table.table.types().into_iter().flatten().filter(|(_, text)| TableView::is_known(text));
    types
        .filter_map(|(column, text)| {
            let fault = type_name::check(text).err()?;
            let span = table.value(&format!("/types/{}", pointer_part(column)));
            Some(at(span, format!("the type of column `{column}` of `{}` cannot be read: {}", table.name(), fault.what)).with_label("no type").with_help_opt(fault.help))
        })
        .collect()
}
