//! One fault is one finding: what follows from it is not told as well.

use crate::fixture::Project;

#[test]
fn a_misspelt_table_is_not_called_unread_as_well() {
    let yaml = |reads: &str| {
        format!(
            "version: 1\nconnections: {{ shop: {{ type: sqlite, path: shop.db }} }}\nbronze:\n  orders: {{ from: {{ connection: shop, table: orders }} }}\n\
             silver:\n  sales: {{ sql: \"SELECT id FROM {reads}\" }}\ngold:\n  total: {{ sql: \"SELECT count(*) AS n FROM silver.sales\" }}\n"
        )
    };
    for reads in ["bronze.ordres", "orders", "ordres", "raw.orders", "silver.orders"] {
        assert_eq!(Project::new(&[("shop.yaml", &yaml(reads))], &[]).findings.len(), 1, "{reads}");
    }
    let unlike = Project::new(&[("shop.yaml", &yaml("bronze.customers"))], &[]);
    assert_eq!(unlike.findings.iter().map(|finding| finding.code.0).collect::<Vec<_>>(), ["G002", "L007"]);
}

#[test]
fn what_a_broken_table_names_is_not_called_unused() {
    let head = "version: 1\nvars: { since: 2024 }\nconnections: { shop: { type: sqlite, path: shop.db } }\n";
    let whole = "bronze:\n  orders: { from: { connection: shop, table: orders } }\nsilver:\n  sales: { sql: \"SELECT id FROM bronze.orders WHERE y > {{ vars.since }}\" }\n\
                 gold:\n  total: { sql: \"SELECT 1 AS n FROM silver.sales\" }\n";
    for (sound, broken) in [
        ("", ""),
        ("  orders: { from", "  Orders: { from"),
        ("  orders: { from", "  orders: { key: {}, from"),
        ("  orders: { from", "  orders: { for_each: { n: [] }, from"),
        ("connection: shop", "connection: [shop]"),
        ("  orders: { from", "  orders: { from: { connection: shop, table: x } }\n  orders: { from"),
        ("  sales: { sql", "  sales: { sql_file: x.sql, sql"),
        ("  sales: {", "  sales: { key: 1,"),
        ("vars.since }}", "vars.since }} {{"),
        ("\"SELECT id FROM bronze.orders WHERE y > {{ vars.since }}\"", "{{ vars.since }} FROM bronze.orders"),
        ("gold:\n  total: { sql: \"SELECT 1 AS n FROM silver.sales\" }", "gold:\n  total: [ \"SELECT 1 AS n FROM silver.sales\" ]\n  other: { sql: SELECT 1 AS n }"),
        ("gold:\n  total: { sql: \"SELECT 1 AS n FROM silver.sales\" }", "gold: [ \"SELECT 1 AS n FROM silver.sales\" ]"),
    ] {
        let yaml = format!("{head}{}", whole.replacen(sound, broken, 1));
        let project = Project::new(&[("shop.yaml", &yaml)], &[]);
        assert_eq!(project.findings.len(), usize::from(!broken.is_empty()), "{broken}\n{}", project.text());
    }
}

/// A project in which everything is used and every default is needed, with pieces of its text replaced.
fn with_syntax_errors(edits: &[(&str, &str)]) -> Project {
    let mut karat = "version: 1\nvars:\n  since: 2024\n  quote: USDT\nconnections:\n  shop: { type: sqlite, path: shop.db }\n  old: { type: sqlite, path: old.db }\n\
                     defaults:\n  bronze:\n    from: { connection: shop }\n"
        .to_owned();
    let mut pipeline = "version: 1\nbronze:\n  orders: { from: { table: orders } }\n  returns:\n    from: { table: returns }\n    key: [id]\n  \"odd_{{ n }}\":\n    for_each: { n: [1] }\n    \
                        from: { connection: old, table: \"t{{ n }}\" }\nsilver:\n  sales:\n    sql: |\n      SELECT a.id FROM bronze.orders a JOIN bronze.returns b ON a.id = b.id\n      \
                        WHERE a.y > {{ vars.since }} AND q = '{{ vars.quote }}'\n  odds: { sql: \"SELECT id FROM bronze.odd_1\" }\ngold:\n  \
                        total: { sql: \"SELECT count(*) AS n FROM silver.sales JOIN silver.odds ON sales.id = odds.id\" }\n"
        .to_owned();
    for (sound, broken) in edits {
        assert!(karat.contains(sound) || pipeline.contains(sound), "{sound}");
        karat = karat.replacen(sound, broken, 1);
        pipeline = pipeline.replacen(sound, broken, 1);
    }
    Project::new(&[("karat.yaml", &karat), ("shop.yaml", &pipeline)], &[])
}

#[test]
fn a_syntax_error_is_one_finding_wherever_it_stands() {
    assert_eq!(with_syntax_errors(&[]).text(), "");
    for edit in [
        ("  orders: { from: { table: orders } }", "  orders: { from: { table: orders }"),
        ("  orders: { from: { table: orders } }", "  orders: { from: { table: \"orders } }"),
        ("    from: { table: returns }\n", "   from: { table: returns }\n"),
        ("    key: [id]", "\tkey: [id]"),
        ("    key: [id]", "  - key"),
        ("for_each: { n: [1] }", "for_each: { n: [1 }"),
        ("  sales:\n", "  sales\n"),
        ("silver:\n", "silver\n"),
        ("silver:\n", "silver: x\n"),
        ("gold:\n", "gold: [\n"),
        ("  since: 2024", "  since: \"2024"),
        ("vars:\n", "vars: &\n"),
        ("  shop: { type: sqlite", "  shop: { type: @sqlite"),
        ("connections:\n", "connections: x: y\n"),
        ("    from: { connection: shop }", "    from: { connection: shop"),
        ("defaults:\n", "defaults: '\n"),
        ("version: 1\nvars", "version: [1\nvars"),
        ("version: 1\nbronze", "{ version: 1\nbronze"),
    ] {
        let project = with_syntax_errors(&[edit]);
        assert_eq!(project.findings.iter().map(|finding| finding.code.0).collect::<Vec<_>>(), ["S001"], "{edit:?}\n{}", project.text());
    }
}

#[test]
fn syntax_errors_hide_neither_each_other_nor_anything_else() {
    let project = with_syntax_errors(&[
        ("  since: 2024", "  since: \"2024"),
        ("  orders: { from: { table: orders } }", "  orders: { from: { table: orders }"),
        ("    key: [id]", "    kee: [id]"),
        ("  odds: { sql: \"SELECT id FROM bronze.odd_1\" }", "  odds: { sql: \"SELECT id FROM bronze.odd_1 }"),
        ("gold:\n", "gold:\n  more: { sql: SELECT id FROM silver.unheard_of }\n"),
    ]);
    let shown: Vec<String> = project.findings.iter().map(|finding| project.sources.map.place(finding.primary.as_ref().expect("a place").span) + " " + finding.code.0).collect();
    assert_eq!(shown, ["karat.yaml:3:10 S001", "shop.yaml:3:11 S001", "shop.yaml:6:5 S013", "shop.yaml:15:16 S001", "shop.yaml:17:31 G002"], "{}", project.text());
}
