//! The pages of this crate's codes.

use karat_diagnostics::Explanation;

/// The pages of all codes of this crate, sorted by code.
#[must_use]
pub fn explanations() -> &'static [Explanation] {
    &PAGES
}

const SINCE: &str = "0.1.0";

static PAGES: [Explanation; 8] = [
    Explanation {
        code: "G002",
        title: "unknown table in SQL",
        since: SINCE,
        what: "SQL reads a table that no pipeline of the project defines.",
        why: "The run would fail in the middle, after other tables were already written.",
        fails: r#"version: 1
connections: { exchange: { type: sqlite, path: exchange.db } }
bronze:
  trades: { from: { connection: exchange, table: trades } }
silver:
  clean: { sql: "SELECT price FROM bronze.tradez" }
"#,
        passes: r#"version: 1
connections: { exchange: { type: sqlite, path: exchange.db } }
bronze:
  trades: { from: { connection: exchange, table: trades } }
silver:
  clean: { sql: "SELECT price FROM bronze.trades" }
"#,
        fix: "Write the full name of a defined table, `<layer>.<table>`, or define the table.",
    },
    Explanation {
        code: "G003",
        title: "unknown table in depends_on",
        since: SINCE,
        what: "`depends_on` names a table that no pipeline of the project defines.",
        why: "The order that was meant cannot be kept.",
        fails: r#"version: 1
silver:
  one: { sql: "SELECT 1 AS n" }
  two: { sql: "SELECT 2 AS n", depends_on: [silver.onne] }
"#,
        passes: r#"version: 1
silver:
  one: { sql: "SELECT 1 AS n" }
  two: { sql: "SELECT 2 AS n", depends_on: [silver.one] }
"#,
        fix: "Write the full name of a defined table, or take the entry out.",
    },
    Explanation {
        code: "G004",
        title: "unknown table in a check, in incremental or in a test",
        since: SINCE,
        what: "A check, `incremental` or a unit test names a table that no pipeline of the project defines.",
        why: "The check could not be made, and nobody would know that the data is unchecked.",
        fails: r#"version: 1
silver:
  one: { sql: "SELECT 1 AS n" }
  two: { sql: "SELECT n FROM silver.one", incremental: { strategy: new_rows, inputs: [silver.onne] } }
"#,
        passes: r#"version: 1
silver:
  one: { sql: "SELECT 1 AS n" }
  two: { sql: "SELECT n FROM silver.one", incremental: { strategy: new_rows, inputs: [silver.one] } }
"#,
        fix: "Write the full name of a defined table.",
    },
    Explanation {
        code: "G005",
        title: "cycle of tables",
        since: SINCE,
        what: "Tables wait for each other in a circle, through SQL, `depends_on` or checks.",
        why: "A table is made only after all that it needs is there, so none of them could ever start.",
        fails: r#"version: 1
silver:
  one: { sql: "SELECT n FROM silver.two" }
  two: { sql: "SELECT n FROM silver.one" }
"#,
        passes: r#"version: 1
silver:
  one: { sql: "SELECT 1 AS n" }
  two: { sql: "SELECT n FROM silver.one" }
"#,
        fix: "Take one of the references out, or split a table so that the circle opens.",
    },
    Explanation {
        code: "G006",
        title: "table needs itself",
        since: SINCE,
        what: "SQL or `depends_on` of a table names the table itself.",
        why: "A table is made only after all that it needs is there.",
        fails: r#"version: 1
silver:
  one: { sql: "SELECT n FROM silver.one" }
"#,
        passes: r#"version: 1
silver:
  one: { sql: "WITH one AS (SELECT 1 AS n) SELECT n FROM one" }
"#,
        fix: "Read the input instead of the table itself.",
    },
    Explanation {
        code: "G007",
        title: "read against the direction of the layers",
        since: SINCE,
        what: "SQL of a Silver table reads Gold, or SQL of a Gold table reads Bronze.",
        why: "Bronze reads sources, Silver reads Bronze and Silver, Gold reads Silver and Gold: only then is every number in Gold made of cleaned data.",
        fails: r#"version: 1
connections: { exchange: { type: sqlite, path: exchange.db } }
bronze:
  trades: { from: { connection: exchange, table: trades } }
gold:
  volume: { sql: "SELECT sum(price) AS volume FROM bronze.trades" }
"#,
        passes: r#"version: 1
connections: { exchange: { type: sqlite, path: exchange.db } }
bronze:
  trades: { from: { connection: exchange, table: trades } }
silver:
  trades: { sql: "SELECT price FROM bronze.trades WHERE price > 0" }
gold:
  volume: { sql: "SELECT sum(price) AS volume FROM silver.trades" }
"#,
        fix: "Read a Silver table that is made of the Bronze table, or move the table to the layer it belongs to.",
    },
    Explanation {
        code: "G008",
        title: "table without its layer",
        since: SINCE,
        what: "SQL reads a table by its bare name, which is no CTE either.",
        why: "Tables are named `<layer>.<table>`: the same bare name may exist in every layer.",
        fails: r#"version: 1
silver:
  one: { sql: "SELECT 1 AS n" }
  two: { sql: "SELECT n FROM one" }
"#,
        passes: r#"version: 1
silver:
  one: { sql: "SELECT 1 AS n" }
  two: { sql: "SELECT n FROM silver.one" }
"#,
        fix: "Write the full name.",
    },
    Explanation {
        code: "G009",
        title: "incremental input that the SQL does not read",
        since: SINCE,
        what: "`incremental` names a table that the SQL of the table does not read.",
        why: "`incremental` says which tables of the SQL show only their new rows; one that is not read has no effect, and the one that was meant is read whole.",
        fails: r#"version: 1
silver:
  one: { sql: "SELECT 1 AS n" }
  two: { sql: "SELECT 2 AS n" }
  all: { sql: "SELECT n FROM silver.one", incremental: { strategy: new_rows, inputs: [silver.two] } }
"#,
        passes: r#"version: 1
silver:
  one: { sql: "SELECT 1 AS n" }
  all: { sql: "SELECT n FROM silver.one", incremental: { strategy: new_rows, inputs: [silver.one] } }
"#,
        fix: "Name a table that the SQL reads.",
    },
];
