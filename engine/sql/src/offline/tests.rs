//! Findings of whole projects.

use super::{check_project, explanations};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use expect_test::{Expect, expect};
use karat_diagnostics::Diagnostic;
use karat_diagnostics::render::{Color, text};
use karat_spec::model::TableName;
use karat_spec::{Capabilities, Catalog, Environment, PluginManifest, ProjectSpec, SourceSet};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;

const HEAD: &str = "version: 1
connections:
  in: { type: files, path: data, format: csv }
bronze:
  orders:
    from: { connection: in, path: orders.csv }
    types: { id: bigint, Name: text, amount: \"decimal(18,2)\", ordered_at: timestamp }
";

fn catalog() -> Catalog {
    let plugin = |name: &str| {
        let capabilities = Capabilities {
            source_strategies: vec!["full".into()],
            source_objects: vec!["path".into(), "table".into()],
            load_modes: vec!["replace".into()],
            layout: true,
            ..Default::default()
        };
        let config = serde_json::json!({"type": "object", "properties": {"path": {"type": "string"}, "format": {"type": "string"}}});
        (name.to_owned(), PluginManifest { name: name.to_owned(), description: String::new(), available: true, capabilities, config })
    };
    Catalog { plugins: [plugin("delta"), plugin("files"), plugin("sqlite")].into_iter().collect() }
}

fn parse(yaml: &str) -> (SourceSet, ProjectSpec, Vec<Diagnostic>) {
    let sources = SourceSet::from_texts("/project", &[("p.yaml", yaml)]);
    let (spec, findings) = karat_spec::parse(&sources, &Environment::Unresolved, &catalog());
    (sources, spec, findings)
}

fn findings(yaml: &str, schemas: &BTreeMap<TableName, SchemaRef>) -> (SourceSet, Vec<Diagnostic>) {
    let (sources, spec, mut findings) = parse(yaml);
    let (graph, more) = karat_graph::build(&spec);
    findings.extend(more);
    findings.extend(check_project(&spec, &graph, schemas));
    (sources, findings)
}

fn check(yaml: &str, expected: Expect) {
    let (sources, found) = findings(yaml, &BTreeMap::new());
    expected.assert_eq(&text(&found, &sources.map, &[], Color::Never));
}

fn check_sql(sql: &str, expected: Expect) {
    check(&format!("{HEAD}silver:\n  clean:\n    sql: |\n      {}\n", sql.replace('\n', "\n      ")), expected);
}

#[test]
fn every_page_fails_and_passes_as_it_says() {
    let mut faults = String::new();
    for page in explanations() {
        let (sources, failing) = findings(page.fails, &BTreeMap::new());
        if !failing.iter().any(|finding| finding.code.0 == page.code && finding.help.is_some()) {
            writeln!(faults, "{} is not reported:\n{}", page.code, text(&failing, &sources.map, &[], Color::Never)).unwrap();
        }
        let (sources, passing) = findings(page.passes, &BTreeMap::new());
        if !passing.is_empty() {
            writeln!(faults, "{} does not pass:\n{}", page.code, text(&passing, &sources.map, &[], Color::Never)).unwrap();
        }
    }
    assert!(faults.is_empty(), "{faults}");
    assert!(explanations().windows(2).all(|pair| pair[0].code < pair[1].code));
}

#[test]
fn syntax_errors_point_at_the_word() {
    check_sql(
        "SELECT id,\n       amount\nFORM bronze.orders",
        expect![[r#"
        error[Q001]: `silver.clean`: syntax error: expected end of statement, found `bronze`
          --> p.yaml:13:12
           |
        13 |       FORM bronze.orders
           |            ^^^^^^
           |
        help: look at what stands right before this place: a comma, a parenthesis or a keyword is missing or misspelled

        1 error
    "#]],
    );
    check_sql(
        "SELECT id, FROM bronze.orders WHERE amount >",
        expect![[r#"
        error[Q001]: `silver.clean`: syntax error: expected an expression, found the end of the SQL
          --> p.yaml:11:50
           |
        11 |       SELECT id, FROM bronze.orders WHERE amount >
           |                                                  ^
           |
        help: look at what stands right before this place: a comma, a parenthesis or a keyword is missing or misspelled

        1 error
    "#]],
    );
    check_sql(
        "SELECT 'abc FROM bronze.orders",
        expect![[r#"
        error[Q001]: `silver.clean`: syntax error: unterminated string literal
          --> p.yaml:11:14
           |
        11 |       SELECT 'abc FROM bronze.orders
           |              ^
           |
        help: look at what stands right before this place: a comma, a parenthesis or a keyword is missing or misspelled

        1 error
    "#]],
    );
    check_sql(
        "SELECT id FROM bronze.orders; SELECT 1",
        expect![[r#"
        error[Q002]: `silver.clean`: there is more than one statement
          --> p.yaml:11:37
           |
        11 |       SELECT id FROM bronze.orders; SELECT 1
           |                                     ^^^^^^^^
           |
        help: keep one SELECT; put the others into tables of their own, or into a WITH clause

        1 error
    "#]],
    );
    check_sql(
        "INSERT INTO bronze.orders SELECT 1",
        expect![[r#"
        error[Q002]: `silver.clean`: INSERT is not a SELECT
          --> p.yaml:11:7
           |
        11 |       INSERT INTO bronze.orders SELECT 1
           |       ^^^^^^
           |
        help: write one SELECT (it may start with WITH); Karat creates and fills the table

        1 error
    "#]],
    );
}

#[test]
fn columns_and_types_are_checked_offline() {
    check_sql(
        "SELECT id,\n       amuont\nFROM bronze.orders",
        expect![[r#"
        error[Q003]: `silver.clean`: there is no column `amuont`
          --> p.yaml:12:14
           |
        12 |              amuont
           |              ^^^^^^ no such column
           |
        help: did you mean `amount`?

        1 error
    "#]],
    );
    check_sql(
        "SELECT name FROM bronze.orders",
        expect![[r#"
        error[Q003]: `silver.clean`: there is no column `name`
          --> p.yaml:11:14
           |
        11 |       SELECT name FROM bronze.orders
           |              ^^^^ no such column
           |
        help: write `"Name"`: names without double quotes are read as lower case

        1 error
    "#]],
    );
    check_sql(
        "SELECT o.id, p.amount FROM bronze.orders AS o",
        expect![[r#"
        error[Q003]: `silver.clean`: `p.amount` names `p`, which is not read here
          --> p.yaml:11:20
           |
        11 |       SELECT o.id, p.amount FROM bronze.orders AS o
           |                    ^^^^^^^^ not read here
           |
        help: columns here come from `o`

        1 error
    "#]],
    );
    check_sql(
        "SELECT id FROM bronze.orders a JOIN bronze.orders b USING (amount)",
        expect![[r#"
        error[Q004]: `silver.clean`: `id` is a column of more than one table
          --> p.yaml:11:14
           |
        11 |       SELECT id FROM bronze.orders a JOIN bronze.orders b USING (amount)
           |              ^^ which one?
           |
        help: write `a.id` or `b.id`

        1 error
    "#]],
    );
    check_sql(
        "SELECT id + upper(\"Name\", id) AS total FROM bronze.orders",
        expect![[r#"
        error[Q005]: `silver.clean`: `upper` does not take (text, bigint)
          --> p.yaml:11:19
           |
        11 |       SELECT id + upper("Name", id) AS total FROM bronze.orders
           |                   ^^^^^ arguments do not fit
           |
        help: look at their number and types; CAST(… AS …) changes a type

        1 error
    "#]],
    );
    check_sql(
        "SELECT id + \"Name\" AS total FROM bronze.orders",
        expect![[r#"
        error[Q005]: `silver.clean`: bigint and text cannot be combined
          --> p.yaml:11:14
           |
        11 |       SELECT id + "Name" AS total FROM bronze.orders
           |              ^^^^^^^^^^^ types do not fit
           |
        help: cast one side with CAST(… AS …) before `+`

        1 error
    "#]],
    );
    check_sql(
        "SELECT sum(\"Name\") AS total FROM bronze.orders",
        expect![[r#"
        error[Q005]: `silver.clean`: `sum` does not take (text)
          --> p.yaml:11:14
           |
        11 |       SELECT sum("Name") AS total FROM bronze.orders
           |              ^^^ arguments do not fit
           |
        help: look at their number and types; CAST(… AS …) changes a type

        1 error
    "#]],
    );
    check_sql(
        "SELECT id FROM bronze.orders WHERE amount",
        expect![[r#"
            error[Q005]: `silver.clean`: the condition `amount` is decimal(18,2), not true or false
              --> p.yaml:11:7
               |
            11 |       SELECT id FROM bronze.orders WHERE amount
               |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
               |
            help: compare it with something, such as `amount > 0`

            1 error
        "#]],
    );
    check_sql(
        "SELECT id FROM bronze.orders WHERE ordered_at > 'soon'",
        expect![[r#"
            error[Q005]: `silver.clean`: 'soon' can never be a timestamp
              --> p.yaml:11:55
               |
            11 |       SELECT id FROM bronze.orders WHERE ordered_at > 'soon'
               |                                                       ^^^^^^ not of this type
               |
            help: the other side is of this type: write a value of it, or cast the other side to text

            1 error
        "#]],
    );
    check_sql("SELECT id FROM bronze.orders WHERE id = '12' AND ordered_at > '2024-01-01'", expect![""]);
    check_sql(
        "SELECT id, count(*) AS n FROM bronze.orders HAVING amount > 1",
        expect![[r#"
            error[Q006]: `silver.clean`: `id` must stand in GROUP BY or inside an aggregate function
              --> p.yaml:11:14
               |
            11 |       SELECT id, count(*) AS n FROM bronze.orders HAVING amount > 1
               |              ^^ not grouped
               |
            help: add `id` to GROUP BY, or take `min(id)`, `max(id)`, `first_value(id ORDER BY …)`

            1 error
        "#]],
    );
    check_sql(
        "SELECT suum(amount) AS total FROM bronze.orders",
        expect![[r#"
        error[Q007]: `silver.clean`: there is no function `suum`
          --> p.yaml:11:14
           |
        11 |       SELECT suum(amount) AS total FROM bronze.orders
           |              ^^^^ no such function
           |
        help: did you mean `sum`?

        1 error
    "#]],
    );
    check_sql(
        "SELECT id FROM bronze.orders WHERE id IN (SELECT id, amount FROM bronze.orders)",
        expect![[r#"
        error[Q008]: `silver.clean`: too many columns! The subquery should only return one column: bronze.orders.id, bronze.orders.amount
          --> p.yaml:11:56
           |
        11 |       SELECT id FROM bronze.orders WHERE id IN (SELECT id, amount FROM bronze.orders)
           |                                                        ^^^^^^^^^^
           |
        help: the SQL is read in the dialect of DataFusion: see its SQL reference

        1 error
    "#]],
    );
    check_sql("WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT i, x.value FROM n, generate_series(1, 2) AS x", expect![""]);
}

#[test]
fn one_mistake_is_one_finding_and_known_columns_go_through_the_layers() {
    check(
        &format!(
            "{HEAD}silver:
  good: {{ sql: 'SELECT id, amount * 2 AS twice FROM bronze.orders' }}
  broken: {{ sql: SELECT idd FROM bronze.orders }}
gold:
  behind_good: {{ sql: SELECT id + twise AS n FROM silver.good }}
  behind_broken: {{ sql: SELECT whatever FROM silver.broken }}
  behind_unknown: {{ sql: SELECT whatever FROM silver.nobody }}
"
        ),
        expect![[r#"
            error[Q003]: `silver.broken`: there is no column `idd`
              --> p.yaml:10:25
               |
            10 |   broken: { sql: SELECT idd FROM bronze.orders }
               |                         ^^^ no such column
               |
            help: did you mean `id`?

            error[Q003]: `gold.behind_good`: there is no column `twise`
              --> p.yaml:12:35
               |
            12 |   behind_good: { sql: SELECT id + twise AS n FROM silver.good }
               |                                   ^^^^^ no such column
               |
            help: did you mean `twice`?

            error[G002]: `gold.behind_unknown` reads `silver.nobody`, which is not defined
              --> p.yaml:14:47
               |
            14 |   behind_unknown: { sql: SELECT whatever FROM silver.nobody }
               |                                               ^^^^^^^^^^^^^ not defined
               |
               = note: tables are named `<layer>.<table>`
            help: a table with a similar name is defined at p.yaml:9:3: `silver.good`

            3 errors
        "#]],
    );
}

#[test]
fn checks_are_checked() {
    check(
        &format!(
            "{HEAD}    checks:
      - {{ type: not_null, columns: [id, amont] }}
      - {{ type: unique, columns: [name] }}
      - {{ type: accepted_values, column: id, values: [1, two] }}
      - {{ type: expression, sql: amount > 0 AND missing = 1 }}
      - {{ type: expression, sql: amount > }}
      - {{ type: expression, sql: count(*) > 1 }}
      - {{ type: row_count, min: 1, where: amount }}
      - {{ type: expression, sql: ordered_at < 'soon' }}
      - {{ type: freshness, column: id, max_age: 1h }}
      - {{ type: freshness, column: ordered_at, max_age: 1h }}
"
        ),
        expect![[r#"
            error[Q009]: `not_null` check of `bronze.orders`: there is no column `amont`
             --> p.yaml:9:41
              |
            9 |       - { type: not_null, columns: [id, amont] }
              |                                         ^^^^^ no such column
              |
            help: did you mean `amount`?

            error[Q009]: `unique` check of `bronze.orders`: there is no column `name`
              --> p.yaml:10:35
               |
            10 |       - { type: unique, columns: [name] }
               |                                   ^^^^ no such column
               |
            help: did you mean `Name`?

            error[Q010]: `accepted_values` check of `bronze.orders`: `two` is no bigint, as column `id` is
              --> p.yaml:11:58
               |
            11 |       - { type: accepted_values, column: id, values: [1, two] }
               |                                                          ^^^
               |
            help: write a value of the column's type; NULL is never accepted, leave such rows out with `where`

            error[Q003]: `expression` check of `bronze.orders`: there is no column `missing`
              --> p.yaml:12:49
               |
            12 |       - { type: expression, sql: amount > 0 AND missing = 1 }
               |                                                 ^^^^^^^ no such column
               |
            help: there are `Name`, `amount`, `id`, `ordered_at`

            error[Q001]: `expression` check of `bronze.orders`: syntax error: expected an expression, found the end of the SQL
              --> p.yaml:13:41
               |
            13 |       - { type: expression, sql: amount > }
               |                                         ^
               |
            help: look at what stands right before this place: a comma, a parenthesis or a keyword is missing or misspelled

            error[Q010]: `expression` check of `bronze.orders`: `sql` looks at one row at a time: it cannot hold an aggregate or a window
              --> p.yaml:14:34
               |
            14 |       - { type: expression, sql: count(*) > 1 }
               |                                  ^^^^^^^^^^^^
               |
            help: write a condition over the columns of one row, such as `price > 0`

            error[Q010]: `row_count` check of `bronze.orders`: `where` is decimal(18,2), not true or false
              --> p.yaml:15:43
               |
            15 |       - { type: row_count, min: 1, where: amount }
               |                                           ^^^^^^
               |
            help: write a condition over the columns of one row, such as `price > 0`

            error[Q005]: `expression` check of `bronze.orders`: 'soon' can never be a timestamp
              --> p.yaml:16:47
               |
            16 |       - { type: expression, sql: ordered_at < 'soon' }
               |                                               ^^^^^^ not of this type
               |
            help: the other side is of this type: write a value of it, or cast the other side to text

            error[Q010]: `freshness` check of `bronze.orders`: column `id` is bigint, not a date or a timestamp
              --> p.yaml:17:36
               |
            17 |       - { type: freshness, column: id, max_age: 1h }
               |                                    ^^
               |
            help: name a column that says when the row came to be

            9 errors
        "#]],
    );
}

#[test]
fn places_survive_templates_and_wide_letters() {
    check(
        "version: 1
vars: { columns: [id, amount] }
connections:
  in: { type: files, path: data, format: csv }
bronze:
  orders:
    from: { connection: in, path: orders.csv }
    types: { id: bigint, amount: bigint }
silver:
  clean:
    sql: |
      SELECT 'Zürich 東京' AS place, {% for c in vars.columns %}{{ c }}, {% endfor %} amuont
      FROM bronze.orders
",
        expect![[r#"
            error[Q003]: `silver.clean`: there is no column `amuont`
              --> p.yaml:12:85
               |
            12 |       SELECT 'Zürich 東京' AS place, {% for c in vars.columns %}{{ c }}, {% endfor %} amuont
               |                                                                                       ^^^^^^ no such column
               |
            help: did you mean `amount`?

            1 error
        "#]],
    );
}

#[test]
fn output_columns_are_checked() {
    check(
        &format!(
            "{HEAD}silver:
  clean:
    sql: SELECT id, NULL AS note, ordered_at - ordered_at AS took, amount FROM bronze.orders
    types: {{ amount: date, prize: int }}
    key: [id, day]
"
        ),
        expect![[r#"
            error[Q014]: `silver.clean`: column `note` is NULL and nothing else, so it has no type
              --> p.yaml:10:29
               |
            10 |     sql: SELECT id, NULL AS note, ordered_at - ordered_at AS took, amount FROM bronze.orders
               |                             ^^^^
               |
            help: write CAST(NULL AS …)

            error[Q014]: `silver.clean`: column `took` is Duration(µs), which tables do not hold
              --> p.yaml:10:62
               |
            10 |     sql: SELECT id, NULL AS note, ordered_at - ordered_at AS took, amount FROM bronze.orders
               |                                                              ^^^^
               |
            help: cast it to a type that tables hold; for the length of time between two timestamps take date_part('epoch', …)

            error[Q014]: `silver.clean`: column `amount` is decimal(18,2) and cannot become date
              --> p.yaml:11:22
               |
            11 |     types: { amount: date, prize: int }
               |                      ^^^^
               |
            help: convert it in the SQL, or take the entry out of `types`

            error[Q013]: `silver.clean`: `types` names the column `prize`, which the SELECT does not give
              --> p.yaml:11:28
               |
            11 |     types: { amount: date, prize: int }
               |                            ^^^^^
               |
            help: there are `id`, `note`, `took`, `amount`

            error[Q013]: `silver.clean`: `key` names the column `day`, which the SELECT does not give
              --> p.yaml:12:15
               |
            12 |     key: [id, day]
               |               ^^^
               |
            help: there are `id`, `note`, `took`, `amount`

            5 errors
        "#]],
    );
}

#[test]
fn schemas_of_the_caller_are_known() {
    let yaml = "version: 1
connections:
  shop: { type: sqlite, path: shop.db }
bronze:
  orders: { from: { connection: shop, table: orders } }
silver:
  clean: { sql: SELECT nothing FROM bronze.orders }
";
    assert!(!findings(yaml, &BTreeMap::new()).1.iter().any(|finding| finding.code.0.starts_with('Q')));
    let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)]));
    let found = findings(yaml, &BTreeMap::from([(TableName::parse("bronze.orders").unwrap(), schema)])).1;
    assert_eq!(found.iter().filter(|finding| finding.code.0 == "Q003").count(), 1);
}

#[test]
fn a_thousand_tables_are_checked() {
    let mut yaml = format!("{HEAD}silver:\n");
    for n in 0..1000 {
        writeln!(yaml, "  t{n}:\n    sql: |\n      SELECT a.id, a.\"Name\" AS name, sum(a.amount * 2) AS total, count(*) FILTER (WHERE a.id > 5) AS some\n      FROM bronze.orders a JOIN bronze.orders b ON a.id = b.id\n      WHERE a.ordered_at > '2024-01-01' GROUP BY a.id, a.\"Name\"\n    key: [id, name]").unwrap();
    }
    let (_, spec, _) = parse(&yaml);
    let (graph, _) = karat_graph::build(&spec);
    let start = Instant::now();
    let found = check_project(&spec, &graph, &BTreeMap::new());
    eprintln!("1,000 tables checked in {:?}", start.elapsed());
    assert!(found.is_empty());
}
