//! What can be wrong with a reference, in words.

use crate::{Reference, ReferenceKind, TableGraph, TableIndex};
use karat_diagnostics::{Code, Diagnostic, Edit, Fix, PLACE_OF_RELATED, Span, quoted};
use karat_spec::ProjectSpec;
use karat_spec::model::{Layer, TableName};
use std::collections::HashMap;

pub(crate) const UNKNOWN_IN_SQL: Code = Code("G002");
pub(crate) const UNKNOWN_IN_DEPENDS_ON: Code = Code("G003");
pub(crate) const UNKNOWN_ELSEWHERE: Code = Code("G004");
pub(crate) const CYCLE: Code = Code("G005");
pub(crate) const SELF_REFERENCE: Code = Code("G006");
pub(crate) const WRONG_DIRECTION: Code = Code("G007");
pub(crate) const UNQUALIFIED: Code = Code("G008");
pub(crate) const INPUT_NOT_READ: Code = Code("G009");

/// Collects findings; one that several tables of a `for_each` share is told once.
#[derive(Default)]
pub(crate) struct Findings {
    list: Vec<(Diagnostic, Vec<String>)>,
    by_place: HashMap<(Code, Span, String), usize>,
}

impl Findings {
    /// Adds a finding of `table` about `subject`.
    pub(crate) fn add(&mut self, table: &TableName, subject: &str, finding: Diagnostic) {
        let Some(label) = &finding.primary else {
            self.list.push((finding, Vec::new()));
            return;
        };
        let key = (finding.code, label.span, subject.to_owned());
        if let Some(index) = self.by_place.get(&key) {
            let also = format!("`{table}`");
            let others = &mut self.list[*index].1;
            if !others.contains(&also) {
                others.push(also);
            }
            return;
        }
        self.by_place.insert(key, self.list.len());
        self.list.push((finding, Vec::new()));
    }

    pub(crate) fn into_vec(self) -> Vec<Diagnostic> {
        let told = |(finding, others): (Diagnostic, Vec<String>)| match others.len() {
            0 => finding,
            1..=4 => finding.with_note(format!("the same holds for {}", others.join(", "))),
            count => finding.with_note(format!("the same holds for {} and {} more tables", others[..3].join(", "), count - 3)),
        };
        self.list.into_iter().map(told).collect()
    }
}

/// A name that no table has.
pub(crate) fn unknown(spec: &ProjectSpec, graph: &TableGraph, table: TableIndex, reference: &Reference) -> Diagnostic {
    let code = match reference.kind {
        ReferenceKind::Sql | ReferenceKind::BrokenSql => UNKNOWN_IN_SQL,
        ReferenceKind::DependsOn => UNKNOWN_IN_DEPENDS_ON,
        ReferenceKind::Check | ReferenceKind::Incremental | ReferenceKind::Test => UNKNOWN_ELSEWHERE,
    };
    let message = format!("`{}` {} `{}`, which is not defined", graph.name(table), reference.kind.verb(), reference.name);
    let finding = Diagnostic::error(code, message, reference.span).with_label("not defined").with_note("tables are named `<layer>.<table>`");
    if let Some(near) = graph.near_full_name(table, &reference.name) {
        return similar(finding, spec, graph, near);
    }
    let others: Vec<&TableName> = graph.tables().filter(|other| *other != table).map(|other| graph.name(other)).collect();
    if others.is_empty() || others.len() > 10 {
        finding.with_help("define the table, or mend the name")
    } else {
        finding.with_help(format!("the project defines {}", quoted(&others)))
    }
}

fn similar(finding: Diagnostic, spec: &ProjectSpec, graph: &TableGraph, near: TableIndex) -> Diagnostic {
    finding
        .with_help(format!("a table with a similar name is defined at {PLACE_OF_RELATED}: `{}`", graph.name(near)))
        .with_related(spec.tables[near.position()].name_span, format!("`{}` is defined here", graph.name(near)))
}

/// A table in FROM without its layer.
pub(crate) fn unqualified(spec: &ProjectSpec, graph: &TableGraph, table: TableIndex, reference: &Reference, is_literal: bool) -> Diagnostic {
    let message = format!("`{}` reads `{}`, which names no layer", graph.name(table), reference.name);
    let finding =
        Diagnostic::error(UNQUALIFIED, message, reference.span).with_label("no layer").with_note("tables are named `<layer>.<table>`, so that they are unique in a project");
    let candidates: Vec<&TableName> = graph.without_layer(table, &reference.name).into_iter().map(|candidate| graph.name(candidate)).collect();
    let may_be_read = |name: &TableName| may_read(graph.name(table).layer(), name.layer());
    match candidates.as_slice() {
        [] => match graph.near_short_name(table, &reference.name) {
            Some(near) => similar(finding, spec, graph, near),
            None => finding.with_help(format!("write `<layer>.{}`, or define a CTE with this name", reference.name)),
        },
        [only] if may_be_read(only) => {
            let fixed = only.to_string();
            let finding = finding.with_help(format!("write `{fixed}`"));
            if is_literal { finding.with_fix(Fix { title: format!("write `{fixed}`"), edits: vec![Edit { span: reference.span, replacement: fixed }] }) } else { finding }
        }
        several if several.iter().all(|name| may_be_read(name)) => finding.with_help(format!("write one of {}", quoted(several))),
        all => finding.with_help(format!("write {}", quoted(all))),
    }
}

/// A table that reads against the direction of the layers.
pub(crate) fn wrong_direction(graph: &TableGraph, table: TableIndex, source: TableIndex, span: Span) -> Diagnostic {
    let (reader, read) = (graph.name(table), graph.name(source));
    let finding = Diagnostic::error(WRONG_DIRECTION, format!("`{reader}` reads `{read}` against the direction of the layers"), span)
        .with_label(format!("a {} table", read.layer().as_str()))
        .with_note("Bronze reads sources, Silver reads Bronze and Silver, Gold reads Silver and Gold");
    let between: Vec<&TableName> =
        graph.downstream(source).into_iter().map(|other| graph.name(other)).filter(|name| *name != reader && may_read(reader.layer(), name.layer())).take(3).collect();
    match (reader.layer(), between.is_empty()) {
        (Layer::Gold, true) => finding.with_help(format!("make a Silver table of `{read}` and read that")),
        (Layer::Gold, false) => finding.with_help(format!("read what is made of it: {}", quoted(&between))),
        _ => finding.with_help(format!("move `{reader}` to Gold, or `{read}` to Silver")),
    }
}

/// A table that needs itself.
pub(crate) fn self_reference(graph: &TableGraph, table: TableIndex, reference: &Reference) -> Diagnostic {
    let message = format!("`{}` {} itself", graph.name(table), reference.kind.verb());
    Diagnostic::error(SELF_REFERENCE, message, reference.span)
        .with_label("the table itself")
        .with_note("a table is made only after all that it needs is there")
        .with_help("read its input instead; name a CTE differently from the table if a CTE was meant")
}

/// An input of `incremental` that the SQL does not read.
pub(crate) fn input_not_read(graph: &TableGraph, table: TableIndex, reference: &Reference) -> Diagnostic {
    let message = format!("`{}` is incremental over `{}`, but its SQL does not read that table", graph.name(table), reference.name);
    let read: Vec<&TableName> =
        graph.references(table).iter().filter(|other| other.kind == ReferenceKind::Sql).filter_map(|other| other.target).map(|other| graph.name(other)).collect();
    let finding = Diagnostic::error(INPUT_NOT_READ, message, reference.span)
        .with_label("not read by the SQL")
        .with_note("`incremental` says which of the tables in the SQL show only their new rows");
    if read.is_empty() { finding.with_help("remove `incremental`, or read the table in the SQL") } else { finding.with_help(format!("the SQL reads {}", quoted(&read))) }
}

/// Whether SQL of a table in `reader` may read a table in `read`.
pub(crate) fn may_read(reader: Layer, read: Layer) -> bool {
    match reader {
        Layer::Bronze => false,
        Layer::Silver => matches!(read, Layer::Bronze | Layer::Silver),
        Layer::Gold => matches!(read, Layer::Silver | Layer::Gold),
    }
}
