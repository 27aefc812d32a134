//! Checks of data.

use super::{MIB, engine, trades};
use crate::{CheckRequest, CheckToRun};
use chrono::Utc;
use expect_test::expect;
use karat_spec::model::Check;

#[tokio::test]
async fn checks_count_bad_rows() {
    let folder = tempfile::tempdir().unwrap();
    let checks = [
        r#"{"type":"not_null","columns":["id","symbol"]}"#,
        r#"{"type":"not_null","columns":["id"],"max_failed":1}"#,
        r#"{"type":"not_null","columns":["id"],"max_failed":"25%"}"#,
        r#"{"type":"not_null","columns":["id"],"where":"symbol = 'BTC'"}"#,
        r#"{"type":"not_null","columns":["od\"d"]}"#,
        r#"{"type":"unique","columns":["id"]}"#,
        r#"{"type":"unique","columns":["symbol"]}"#,
        r#"{"type":"unique","columns":["symbol","od\"d"]}"#,
        r#"{"type":"unique","columns":["symbol"],"where":"\"Price\" > 0"}"#,
        r#"{"type":"accepted_values","column":"symbol","values":["BTC","XRP"]}"#,
        r#"{"type":"accepted_values","column":"id","values":[1,2,3],"where":"id IS NOT NULL"}"#,
        r#"{"type":"accepted_values","column":"amount","values":["0.10",0.2,0.01],"where":"id IS NOT NULL"}"#,
        r#"{"type":"expression","sql":"\"Price\" >= 0"}"#,
        r#"{"type":"expression","sql":"id > 0 OR id IS NULL"}"#,
        r#"{"type":"row_count","min":4,"max":4}"#,
        r#"{"type":"row_count","max":3}"#,
        r#"{"type":"row_count","min":4,"where":"symbol = 'BTC'"}"#,
        r#"{"type":"freshness","column":"at","max_age":"2h"}"#,
        r#"{"type":"freshness","column":"at","max_age":"5m"}"#,
        r#"{"type":"freshness","column":"at","max_age":"5m","where":"false"}"#,
    ];
    let checks = checks.iter().map(|json| CheckToRun { name: "c".to_owned(), check: serde_json::from_str::<Check>(json).unwrap(), sql: None }).collect();
    let input = trades();
    let request = CheckRequest { table: input.name, provider: input.provider, checks, now: "2024-05-06T07:10:00.5Z".parse().unwrap() };
    let outcomes = engine(folder.path(), 64 * MIB).check(request).await.unwrap();
    let lines: Vec<String> =
        outcomes.iter().map(|o| format!("{} {} {}/{}: {}", if o.passed { "ok  " } else { "FAIL" }, o.kind, o.failed_rows, o.checked_rows, o.message)).collect();
    expect![[r#"
        FAIL not_null 1/4: 1 of 4 rows have NULL in `id`, `symbol`
        ok   not_null 1/4: 1 of 4 rows have NULL in `id`
        ok   not_null 1/4: 1 of 4 rows have NULL in `id`
        ok   not_null 0/2: no NULL in `id`
        ok   not_null 0/4: no NULL in `od"d`
        ok   unique 0/4: `id` is unique
        FAIL unique 1/4: 1 of 4 rows repeat `symbol` (1 combinations occur more than once)
        ok   unique 0/4: `symbol`, `od"d` is unique
        ok   unique 0/1: `symbol` is unique
        FAIL accepted_values 2/4: 2 of 4 rows have a value in `symbol` that is not accepted
        ok   accepted_values 0/3: all values of `id` are accepted
        ok   accepted_values 0/3: all values of `amount` are accepted
        FAIL expression 2/4: `"Price" >= 0` is not true for 2 of 4 rows
        ok   expression 0/4: `id > 0 OR id IS NULL` is true for all rows
        ok   row_count 0/4: 4 rows
        FAIL row_count 0/4: 4 rows; there must be at most 3
        FAIL row_count 0/2: 2 rows; there must be at least 4
        ok   freshness 0/4: the newest `at` is 1m51s old; up to 2h is allowed
        ok   freshness 0/4: the newest `at` is 1m51s old; up to 5m is allowed
        FAIL freshness 0/0: `at` has no value, so its age is not known"#]]
    .assert_eq(&lines.join("\n"));
}

#[tokio::test]
async fn a_check_that_does_not_fit_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path(), 64 * MIB);
    let mut lines = Vec::new();
    for json in [
        r#"{"type":"not_null","columns":["Symbol"]}"#,
        r#"{"type":"accepted_values","column":"id","values":["one"]}"#,
        r#"{"type":"accepted_values","column":"id","values":[null]}"#,
        r#"{"type":"expression","sql":"id + 1"}"#,
        r#"{"type":"expression","sql":"count(*) > 1"}"#,
        r#"{"type":"expression","sql":"price > 0"}"#,
        r#"{"type":"expression","sql":"id >"}"#,
        r#"{"type":"freshness","column":"symbol","max_age":"5m"}"#,
        r#"{"type":"relationship","columns":["id"],"to":"bronze.extremes","to_columns":["big"]}"#,
    ] {
        let input = trades();
        let checks = vec![CheckToRun { name: "c".to_owned(), check: serde_json::from_str(json).unwrap(), sql: None }];
        let error = engine.check(CheckRequest { table: input.name, provider: input.provider, checks, now: Utc::now() }).await.unwrap_err();
        lines.push(format!("{:?}: {} | {}", error.kind(), error, error.help().unwrap_or("-")));
    }
    expect![[r#"
        SchemaMismatch: check `c` of `silver.trades`: there is no column `Symbol` | did you mean `symbol`?
        BadConfiguration: check `c` of `silver.trades`: `one` is no bigint, as column `id` is | -
        BadConfiguration: check `c` of `silver.trades`: `values` holds something that is no text, number or boolean | -
        BadConfiguration: check `c` of `silver.trades`: `sql` is bigint, not true or false | -
        BadConfiguration: check `c` of `silver.trades`: `sql` looks at one row at a time: it cannot hold an aggregate or a window | -
        SchemaMismatch: check `c` of `silver.trades`: there is no column `price` (line 1, column 1) | write `"Price"`: names without double quotes are read as lower case
        BadConfiguration: check `c` of `silver.trades`: syntax error: expected an expression, found the end of the SQL | -
        BadConfiguration: check `c` of `silver.trades`: column `symbol` is text, not a date or a timestamp | -
        Unsupported: `relationship` checks are not run by this build | take the check out, or write it as a table whose `row_count` must be 0"#]]
    .assert_eq(&lines.join("\n"));
}
