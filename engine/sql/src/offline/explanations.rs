//! The pages of this crate's codes.

use karat_diagnostics::Explanation;

/// The pages of all codes of this crate, sorted by code.
#[must_use]
pub fn explanations() -> &'static [Explanation] {
    &PAGES
}

const SINCE: &str = "0.1.0";

/// The example that follows a Bronze table `orders` whose columns are known.
macro_rules! with_orders {
    // Expands to one literal: the connection and the table, then the rest.
    ($rest:literal) => {
        concat!(
            r#"version: 1
connections:
  in: { type: files, path: data, format: csv }
bronze:
  orders:
    from: { connection: in, path: orders.csv }
    types: { id: bigint, name: text, amount: "decimal(18,2)", ordered_at: timestamp }
"#,
            $rest
        )
    };
}

static PAGES: [Explanation; 14] = [
    Explanation {
        code: "Q001",
        title: "syntax error in SQL",
        since: SINCE,
        what: "The SQL of a table, or of a check, is not SQL.",
        why: "The run would fail at this table, after others were already written.",
        fails: with_orders!(
            r#"silver:
  clean:
    sql: SELECT id, FROM WHERE bronze.orders
"#
        ),
        passes: with_orders!(
            r#"silver:
  clean:
    sql: SELECT id FROM bronze.orders
"#
        ),
        fix: "Mend the SQL at the place shown. It is read in DataFusion's dialect, which is close to PostgreSQL's.",
    },
    Explanation {
        code: "Q002",
        title: "not exactly one SELECT",
        since: SINCE,
        what: "The SQL of a table is empty, holds several statements, or does something else than SELECT.",
        why: "Karat itself creates, fills and replaces tables, atomically; a statement that writes would go round that.",
        fails: with_orders!(
            r#"silver:
  clean:
    sql: DELETE FROM bronze.orders
"#
        ),
        passes: with_orders!(
            r#"silver:
  clean:
    sql: SELECT id FROM bronze.orders
"#
        ),
        fix: "Write one SELECT. It may start with WITH. Put other statements into tables of their own.",
    },
    Explanation {
        code: "Q003",
        title: "unknown column",
        since: SINCE,
        what: "SQL names a column that none of the tables it reads has. Names without double quotes are read as lower case.",
        why: "The run would fail at this table.",
        fails: with_orders!(
            r#"silver:
  clean:
    sql: SELECT amuont FROM bronze.orders
"#
        ),
        passes: with_orders!(
            r#"silver:
  clean:
    sql: SELECT amount FROM bronze.orders
"#
        ),
        fix: r#"Correct the name, or write a name with capitals in double quotes: `"Amount"`."#,
    },
    Explanation {
        code: "Q004",
        title: "ambiguous column",
        since: SINCE,
        what: "SQL names a column that more than one of the tables it reads has.",
        why: "Which one is meant cannot be known.",
        fails: with_orders!(
            r#"silver:
  clean:
    sql: SELECT id FROM bronze.orders a JOIN bronze.orders b ON a.id = b.id
"#
        ),
        passes: with_orders!(
            r#"silver:
  clean:
    sql: SELECT a.id FROM bronze.orders a JOIN bronze.orders b ON a.id = b.id
"#
        ),
        fix: "Put the table or its alias before the name: `a.id`.",
    },
    Explanation {
        code: "Q005",
        title: "types do not fit",
        since: SINCE,
        what: "An operator or a function is given types that it does not take, or a text in the SQL can never be a value of the type it is compared with.",
        why: "The run would fail when it meets the first row.",
        fails: with_orders!(
            r#"silver:
  clean:
    sql: SELECT id FROM bronze.orders WHERE ordered_at > 'yesterday'
"#
        ),
        passes: with_orders!(
            r#"silver:
  clean:
    sql: SELECT id FROM bronze.orders WHERE ordered_at > '2024-01-01'
"#
        ),
        fix: "Cast one side with `CAST(… AS …)`, or write a value of the right type.",
    },
    Explanation {
        code: "Q006",
        title: "column not in GROUP BY",
        since: SINCE,
        what: "A SELECT with GROUP BY, or with an aggregate function, uses a column that is neither grouped nor aggregated.",
        why: "A group has many values of the column, and none of them is the right one.",
        fails: with_orders!(
            r#"silver:
  clean:
    sql: SELECT name, count(*) AS orders FROM bronze.orders
"#
        ),
        passes: with_orders!(
            r#"silver:
  clean:
    sql: SELECT name, count(*) AS orders FROM bronze.orders GROUP BY name
"#
        ),
        fix: "Add the column to GROUP BY, or say which value is wanted: `min`, `max`, `first_value(… ORDER BY …)`.",
    },
    Explanation {
        code: "Q007",
        title: "unknown function",
        since: SINCE,
        what: "SQL calls a function that does not exist.",
        why: "The run would fail at this table.",
        fails: with_orders!(
            r#"silver:
  clean:
    sql: SELECT uper(name) AS name FROM bronze.orders
"#
        ),
        passes: with_orders!(
            r#"silver:
  clean:
    sql: SELECT upper(name) AS name FROM bronze.orders
"#
        ),
        fix: "Correct the name. The functions are those of DataFusion.",
    },
    Explanation {
        code: "Q008",
        title: "SQL that cannot be planned",
        since: SINCE,
        what: "SQL is well-formed, but says something that cannot be done, and no other code fits.",
        why: "The run would fail at this table.",
        fails: with_orders!(
            r#"silver:
  clean:
    sql: SELECT id FROM bronze.orders UNION ALL SELECT id, name FROM bronze.orders
"#
        ),
        passes: with_orders!(
            r#"silver:
  clean:
    sql: SELECT id FROM bronze.orders UNION ALL SELECT id FROM bronze.orders
"#
        ),
        fix: "Read the message; it comes from the SQL planner.",
    },
    Explanation {
        code: "Q009",
        title: "check of an unknown column",
        since: SINCE,
        what: "A check names a column that the table does not have. Column names in checks are case-sensitive.",
        why: "The check could not be made, and the run would fail.",
        fails: with_orders!(
            r#"    checks:
      - { type: not_null, columns: [amuont] }
"#
        ),
        passes: with_orders!(
            r#"    checks:
      - { type: not_null, columns: [amount] }
"#
        ),
        fix: "Write the column as the table spells it.",
    },
    Explanation {
        code: "Q010",
        title: "check that cannot be made",
        since: SINCE,
        what: "A check's expression is no condition over one row, or its values or its column have the wrong type.",
        why: "The check could not be made, and the run would fail.",
        fails: with_orders!(
            r#"    checks:
      - { type: expression, sql: amount + 1 }
"#
        ),
        passes: with_orders!(
            r#"    checks:
      - { type: expression, sql: amount + 1 > 0 }
"#
        ),
        fix: "Write a condition that is true for every good row, and values of the column's type.",
    },
    Explanation {
        code: "Q011",
        title: "output column without a name",
        since: SINCE,
        what: "A column of the SELECT is computed and has no name.",
        why: "The table's column would be named after the expression, and change its name whenever somebody touches the SQL.",
        fails: with_orders!(
            r#"silver:
  clean:
    sql: SELECT count(*) FROM bronze.orders
"#
        ),
        passes: with_orders!(
            r#"silver:
  clean:
    sql: SELECT count(*) AS orders FROM bronze.orders
"#
        ),
        fix: "Add `AS` and a name.",
    },
    Explanation {
        code: "Q012",
        title: "two output columns with one name",
        since: SINCE,
        what: "Two columns of the SELECT have the same name, or names that differ only in capitals.",
        why: "A table cannot hold both, and many readers do not tell capitals apart.",
        fails: with_orders!(
            r#"silver:
  clean:
    sql: SELECT a.id, b.id FROM bronze.orders a JOIN bronze.orders b ON a.id = b.id
"#
        ),
        passes: with_orders!(
            r#"silver:
  clean:
    sql: SELECT a.id, b.id AS other_id FROM bronze.orders a JOIN bronze.orders b ON a.id = b.id
"#
        ),
        fix: "Give each its own name with `AS`.",
    },
    Explanation {
        code: "Q013",
        title: "key or type of a column that is not there",
        since: SINCE,
        what: "`key` or `types` names a column that the SELECT does not give.",
        why: "Rows could not be told apart by the key, or the type would silently not apply.",
        fails: with_orders!(
            r#"silver:
  clean:
    sql: SELECT id FROM bronze.orders
    key: [order_id]
"#
        ),
        passes: with_orders!(
            r#"silver:
  clean:
    sql: SELECT id FROM bronze.orders
    key: [id]
"#
        ),
        fix: "Correct the name, or add the column to the SELECT.",
    },
    Explanation {
        code: "Q014",
        title: "output column of a type that tables do not hold",
        since: SINCE,
        what: "A column of the SELECT is NULL and nothing else, is a length of time, or cannot become the type that `types` says.",
        why: "The sink could not write it.",
        fails: with_orders!(
            r#"silver:
  clean:
    sql: SELECT NULL AS note FROM bronze.orders
"#
        ),
        passes: with_orders!(
            r#"silver:
  clean:
    sql: SELECT CAST(NULL AS TEXT) AS note FROM bronze.orders
"#
        ),
        fix: "Cast the column to a type that tables hold.",
    },
];
