//! The model to its graph.

use crate::findings::{self, Findings};
use crate::{Reference, ReferenceKind, SqlFacts, TableGraph, TableIndex, cycle};
use karat_diagnostics::Diagnostic;
use karat_spec::model::{Check, Incremental, Layer, TableName};
use karat_spec::{ProjectSpec, SqlText, TableSpec, pointer_part};
use std::collections::HashMap;

/// The graph of all tables, and what is wrong with how they name each other. Total: a wrong name makes no edge.
#[must_use]
pub fn build(spec: &ProjectSpec) -> (TableGraph, Vec<Diagnostic>) {
    let mut graph = TableGraph::new(spec.tables.iter().map(|table| table.name.clone()).collect());
    let mut unqualified = HashMap::new();
    for (position, table) in spec.tables.iter().enumerate() {
        let index = TableIndex::new(position);
        let facts = table.sql.as_ref().map(|sql| SqlFacts::read(sql.as_str()));
        // A template may read other tables when nothing is there yet: the table needs both.
        let full_facts = table.full_sql.as_ref().map(|sql| SqlFacts::read(sql.as_str()));
        let mut references: Vec<Reference> = Vec::new();
        for (sql, facts) in table.sql.iter().zip(&facts).chain(table.full_sql.iter().zip(&full_facts)) {
            for (reference, is_literal) in read(sql, facts) {
                if let Some(is_literal) = is_literal {
                    unqualified.insert((index, reference.span), is_literal);
                }
                if !references.contains(&reference) {
                    references.push(reference);
                }
            }
        }
        references.extend(named(table));
        for reference in &mut references {
            // `"silver.trades"` in double quotes is one name with a dot in it, and no table.
            let is_unqualified = reference.kind == ReferenceKind::Sql && unqualified.contains_key(&(index, reference.span));
            reference.target = TableName::parse(&reference.name).filter(|_| !is_unqualified).and_then(|name| graph.lookup(&name));
        }
        graph.set(index, references, facts);
    }
    let mut found = Findings::default();
    for table in graph.tables() {
        for reference in graph.references(table) {
            let finding = match unqualified.get(&(table, reference.span)) {
                Some(is_literal) if reference.kind == ReferenceKind::Sql => Some(findings::unqualified(spec, &graph, table, reference, *is_literal)),
                _ => judge(spec, &graph, table, reference),
            };
            if let Some(finding) = finding {
                found.add(graph.name(table), &reference.name, finding);
            }
        }
    }
    let mut diagnostics = found.into_vec();
    diagnostics.extend(cycle::findings(&graph));
    (graph, diagnostics)
}

/// The tables that one SQL text names; for a name without a layer also whether it is literally there, and not made by a template.
fn read(sql: &SqlText, facts: &SqlFacts) -> Vec<(Reference, Option<bool>)> {
    let kind = if facts.parses { ReferenceKind::Sql } else { ReferenceKind::BrokenSql };
    let named = facts.tables.iter().map(|table| {
        let span = sql.span(table.place.clone());
        let is_literal = (span.end - span.start) as usize == table.place.len();
        (Reference { name: table.name(), target: None, span, kind }, (table.parts.len() == 1).then_some(is_literal))
    });
    named.collect()
}

/// What is wrong with one reference by its full name, if anything.
fn judge(spec: &ProjectSpec, graph: &TableGraph, table: TableIndex, reference: &Reference) -> Option<Diagnostic> {
    if reference.kind == ReferenceKind::BrokenSql {
        return None;
    }
    let Some(target) = reference.target else {
        let is_broken = |name: &TableName| spec.broken_tables.iter().any(|(broken, _)| broken == name) || spec.left_out.may_define_table(name.name());
        return (!TableName::parse(&reference.name).is_some_and(|name| is_broken(&name))).then(|| findings::unknown(spec, graph, table, reference));
    };
    match reference.kind {
        // A parent row in the same table, or a sum over it, is a sensible check.
        ReferenceKind::Check | ReferenceKind::Test => None,
        ReferenceKind::Incremental => is_unread(graph, table, target).then(|| findings::input_not_read(graph, table, reference)),
        _ if target == table => Some(findings::self_reference(graph, table, reference)),
        ReferenceKind::Sql if !findings::may_read(graph.name(table).layer(), graph.name(target).layer()) => Some(findings::wrong_direction(graph, table, target, reference.span)),
        _ => None,
    }
}

fn is_unread(graph: &TableGraph, table: TableIndex, target: TableIndex) -> bool {
    let reads = |reference: &Reference| reference.kind == ReferenceKind::Sql && reference.target == Some(target);
    graph.sql_facts(table).is_some_and(|facts| facts.parses) && !graph.references(table).iter().any(reads)
}

/// Names outside SQL.
fn named(table: &TableSpec) -> Vec<Reference> {
    let reference = |name: &str, pointer: String, kind| Reference { name: name.to_owned(), target: None, span: table.spans.value(&pointer), kind };
    let mut found = Vec::new();
    for (index, name) in table.depends_on().into_iter().flatten().enumerate() {
        found.push(reference(name, format!("/depends_on/{index}"), ReferenceKind::DependsOn));
    }
    for (index, check) in table.checks().into_iter().flatten().enumerate() {
        match check {
            Check::Relationship { to, .. } => found.push(reference(to, format!("/checks/{index}/to"), ReferenceKind::Check)),
            Check::ReconcilesWith { table, .. } => found.push(reference(table, format!("/checks/{index}/table"), ReferenceKind::Check)),
            _ => {}
        }
    }
    let Some(transform) = table.transform().filter(|_| table.name.layer() != Layer::Bronze) else { return found };
    match &transform.incremental {
        Some(Incremental::NewRows { inputs }) => {
            found.extend(inputs.iter().enumerate().map(|(index, name)| reference(name, format!("/incremental/inputs/{index}"), ReferenceKind::Incremental)));
        }
        Some(Incremental::TouchedPartitions { input, .. }) => found.push(reference(input, "/incremental/input".to_owned(), ReferenceKind::Incremental)),
        None => {}
    }
    for (index, test) in transform.tests.iter().flatten().enumerate() {
        for name in test.given.iter().flat_map(|given| given.keys()) {
            let pointer = format!("/tests/{index}/given/{}", pointer_part(name));
            found.push(Reference { name: name.clone(), target: None, span: table.spans.key(&pointer), kind: ReferenceKind::Test });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;
    use expect_test::{Expect, expect};
    use karat_diagnostics::render::{Color, text};

    fn check(fixture: &Fixture, expected: Expect) {
        let (_, findings) = build(&fixture.spec);
        expected.assert_eq(&text(&findings, &fixture.sources, &[], Color::Never));
    }

    #[test]
    fn a_sane_project_has_no_findings() {
        let fixture = Fixture::new(&[
            ("bronze.trades_binance", "", &[]),
            ("silver.trades", "SELECT * FROM bronze.trades_binance", &[]),
            ("silver.clean", "SELECT * FROM silver.trades", &[]),
            ("gold.bars", "WITH trades AS (SELECT * FROM silver.trades) SELECT * FROM trades", &["bronze.trades_binance"]),
        ]);
        check(&fixture, expect![[""]]);
    }

    #[test]
    fn an_unknown_table_is_found_with_a_suggestion() {
        check(
            &Fixture::new(&[("bronze.trades_binance", "", &[]), ("silver.trades", "SELECT *\nFROM bronze.trades_binanse", &[])]),
            expect![[r#"
            error[G002]: `silver.trades` reads `bronze.trades_binanse`, which is not defined
             --> market.yaml:5:6
              |
            5 | FROM bronze.trades_binanse
              |      ^^^^^^^^^^^^^^^^^^^^^ not defined
              |
              = note: tables are named `<layer>.<table>`
            help: a table with a similar name is defined at market.yaml:1:1: `bronze.trades_binance`

            1 error
        "#]],
        );
    }

    #[test]
    fn unknown_tables_in_every_other_place_are_found() {
        check(
            &Fixture::new(&[("bronze.a", "", &[]), ("silver.b", "SELECT 1 FROM public.a", &["bronze.aa", "nonsense"])]),
            expect![[r#"
            error[G002]: `silver.b` reads `public.a`, which is not defined
             --> market.yaml:4:15
              |
            4 | SELECT 1 FROM public.a
              |               ^^^^^^^^ not defined
              |
              = note: tables are named `<layer>.<table>`
            help: a table with a similar name is defined at market.yaml:1:1: `bronze.a`

            error[G003]: `silver.b` depends on `bronze.aa`, which is not defined
             --> market.yaml:5:1
              |
            5 | bronze.aa
              | ^^^^^^^^^ not defined
              |
              = note: tables are named `<layer>.<table>`
            help: a table with a similar name is defined at market.yaml:1:1: `bronze.a`

            error[G003]: `silver.b` depends on `nonsense`, which is not defined
             --> market.yaml:6:1
              |
            6 | nonsense
              | ^^^^^^^^ not defined
              |
              = note: tables are named `<layer>.<table>`
            help: the project defines `bronze.a`

            3 errors
        "#]],
        );
    }

    #[test]
    fn a_name_without_a_layer_is_found_with_the_layer() {
        check(
            &Fixture::new(&[
                ("bronze.trades", "", &[]),
                ("silver.clean", "SELECT * FROM trades, tradez, \"bronze.trades\", nothing_like_it", &[]),
                ("gold.trades", "SELECT * FROM trades", &[]),
            ]),
            expect![[r#"
                error[G008]: `silver.clean` reads `trades`, which names no layer
                 --> market.yaml:4:15
                  |
                4 | SELECT * FROM trades, tradez, "bronze.trades", nothing_like_it
                  |               ^^^^^^ no layer
                  |
                  = note: tables are named `<layer>.<table>`, so that they are unique in a project
                help: write `bronze.trades`

                error[G008]: `silver.clean` reads `tradez`, which names no layer
                 --> market.yaml:4:23
                  |
                4 | SELECT * FROM trades, tradez, "bronze.trades", nothing_like_it
                  |                       ^^^^^^ no layer
                  |
                  = note: tables are named `<layer>.<table>`, so that they are unique in a project
                help: a table with a similar name is defined at market.yaml:1:1: `bronze.trades`

                error[G008]: `silver.clean` reads `bronze.trades`, which names no layer
                 --> market.yaml:4:31
                  |
                4 | SELECT * FROM trades, tradez, "bronze.trades", nothing_like_it
                  |                               ^^^^^^^^^^^^^^^ no layer
                  |
                  = note: tables are named `<layer>.<table>`, so that they are unique in a project
                help: write `bronze.trades`

                error[G008]: `silver.clean` reads `nothing_like_it`, which names no layer
                 --> market.yaml:4:48
                  |
                4 | SELECT * FROM trades, tradez, "bronze.trades", nothing_like_it
                  |                                                ^^^^^^^^^^^^^^^ no layer
                  |
                  = note: tables are named `<layer>.<table>`, so that they are unique in a project
                help: write `<layer>.nothing_like_it`, or define a CTE with this name

                error[G008]: `gold.trades` reads `trades`, which names no layer
                 --> market.yaml:6:15
                  |
                6 | SELECT * FROM trades
                  |               ^^^^^^ no layer
                  |
                  = note: tables are named `<layer>.<table>`, so that they are unique in a project
                help: write `bronze.trades`

                5 errors
            "#]],
        );
    }

    #[test]
    fn reading_against_the_layers_is_found() {
        check(
            &Fixture::new(&[
                ("bronze.a", "", &[]),
                ("silver.b", "SELECT * FROM bronze.a", &[]),
                ("gold.c", "SELECT * FROM bronze.a", &[]),
                ("silver.d", "SELECT * FROM gold.c", &[]),
            ]),
            expect![[r#"
                error[G007]: `gold.c` reads `bronze.a` against the direction of the layers
                 --> market.yaml:6:15
                  |
                6 | SELECT * FROM bronze.a
                  |               ^^^^^^^^ a bronze table
                  |
                  = note: Bronze reads sources, Silver reads Bronze and Silver, Gold reads Silver and Gold
                help: read what is made of it: `silver.b`

                error[G007]: `silver.d` reads `gold.c` against the direction of the layers
                 --> market.yaml:8:15
                  |
                8 | SELECT * FROM gold.c
                  |               ^^^^^^ a gold table
                  |
                  = note: Bronze reads sources, Silver reads Bronze and Silver, Gold reads Silver and Gold
                help: move `silver.d` to Gold, or `gold.c` to Silver

                2 errors
            "#]],
        );
    }

    #[test]
    fn a_cycle_is_shown_with_its_whole_path() {
        check(
            &Fixture::new(&[
                ("silver.a", "SELECT * FROM silver.c", &[]),
                ("silver.b", "SELECT * FROM silver.a JOIN silver.d ON true", &[]),
                ("silver.c", "SELECT 1", &["silver.b"]),
                ("silver.d", "SELECT * FROM silver.b", &[]),
                ("gold.after", "SELECT * FROM silver.a", &[]),
            ]),
            expect![[r#"
                error[G005]: tables wait for each other in a circle: `silver.a` → `silver.c` → `silver.b` → `silver.a`
                 --> market.yaml:2:15
                  |
                2 | SELECT * FROM silver.c
                  |               ^^^^^^^^ `silver.a` reads `silver.c`
                3 | silver.b
                4 | SELECT * FROM silver.a JOIN silver.d ON true
                  |               -------- `silver.b` reads `silver.a`
                ...
                7 | silver.b
                  | -------- `silver.c` depends on `silver.b`
                  |
                  = note: 4 tables are tied together in this way; this is the shortest circle through the first
                  = note: a table is made only after all that it needs is there
                help: take one of these references out

                1 error
            "#]],
        );
    }

    #[test]
    fn a_table_cannot_read_itself() {
        check(
            &Fixture::new(&[("silver.a", "SELECT * FROM silver.a", &["silver.a"])]),
            expect![[r#"
            error[G006]: `silver.a` reads itself
             --> market.yaml:2:15
              |
            2 | SELECT * FROM silver.a
              |               ^^^^^^^^ the table itself
              |
              = note: a table is made only after all that it needs is there
            help: read its input instead; name a CTE differently from the table if a CTE was meant

            error[G006]: `silver.a` depends on itself
             --> market.yaml:3:1
              |
            3 | silver.a
              | ^^^^^^^^ the table itself
              |
              = note: a table is made only after all that it needs is there
            help: read its input instead; name a CTE differently from the table if a CTE was meant

            2 errors
        "#]],
        );
    }

    #[test]
    fn a_broken_table_is_not_unknown() {
        let mut fixture = Fixture::new(&[("silver.a", "SELECT * FROM bronze.broken", &["bronze.broken"])]);
        fixture.spec.broken_tables.push((TableName::parse("bronze.broken").expect("a full name"), fixture.spec.tables[0].name_span));
        check(&fixture, expect![[""]]);
    }

    #[test]
    fn broken_sql_is_no_finding_here_but_still_orders() {
        let fixture = Fixture::new(&[("bronze.a", "", &[]), ("silver.b", "SELEC * FRM bronze.a, bronze.unknown", &[])]);
        let (graph, findings) = build(&fixture.spec);
        assert_eq!(findings, []);
        assert_eq!(graph.waves().len(), 2);
    }

    #[test]
    fn a_thousand_tables_build_quickly() {
        let tables: Vec<(String, String)> = (0..1000)
            .map(|n| match n {
                0..500 => (format!("bronze.t{n}"), String::new()),
                _ => (
                    format!("silver.t{n}"),
                    format!(
                        "WITH q AS (SELECT id, max(v) AS v FROM bronze.t{} GROUP BY id) SELECT q.id, q.v + 1 AS w, b.x FROM q JOIN bronze.t{} AS b ON q.id = b.id WHERE b.x > 3",
                        n - 500,
                        n - 499.min(n)
                    ),
                ),
            })
            .collect();
        let rows: Vec<(&str, &str, &[&str])> = tables.iter().map(|(name, sql)| (name.as_str(), sql.as_str(), &[] as &[&str])).collect();
        let fixture = Fixture::new(&rows);
        let (graph, findings) = build(&fixture.spec);
        assert_eq!((graph.len(), graph.edges().count(), findings.len()), (1000, 999, 1));
    }
}
