//! L008: compression that takes very long.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};
use karat_spec::model::Compression;

pub(super) static RULE: Rule = Rule {
    group: Group::Cost,
    page: Explanation {
        code: "L008",
        title: "compression that takes very long",
        since: "0.1.0",
        what: "`layout.compression` is `zstd(16)` or more.",
        why: "High levels write ten times slower and take much memory, for files that are a few percent smaller.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    layout: { compression: zstd(19) }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    layout: { compression: zstd(9) }
"#,
        fix: "Choose a level up to 15; the default is `zstd(3)`.",
    },
    check: Check::Table(check),
};

const HIGH_LEVEL: u8 = 16;

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let Some(Compression::Zstd(level)) = table.table.layout().and_then(|layout| layout.compression) else { return Vec::new() };
    if level < HIGH_LEVEL {
        return Vec::new();
    }
    let found = at(table.value("/layout/compression"), format!("files of `{}` are compressed with zstd level {level}", table.name()));
    vec![found.with_label("very slow to write").with_help("choose a level up to 15; the default is `zstd(3)`")]
}
