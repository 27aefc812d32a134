//! Mistakes: short, without values, and with a way out.

use super::{MIB, check, engine, trades};
use expect_test::expect;

#[tokio::test]
async fn a_failed_cast_is_an_error_without_the_value() {
    check(
        "SELECT CAST(word AS INT) AS n FROM bronze.extremes",
        expect![[r#"
        BadData: SQL of `gold.t`: Cannot cast string '…' to value of Int32 type
        help: TRY_CAST gives NULL where a value does not fit, or leave such rows out with WHERE"#]],
    )
    .await;
    check(
        "SELECT TRY_CAST(word AS INT) AS n FROM bronze.extremes",
        expect![[r#"
        +----+
        | n  |
        +----+
        | 12 |
        |    |
        +----+"#]],
    )
    .await;
    check(
        "SELECT CAST(word AS TIMESTAMP) AS n FROM bronze.extremes WHERE word > 'a'",
        expect![[r#"
        BadData: SQL of `gold.t`: Error parsing timestamp from '…': timestamp must contain at least … characters
        help: TRY_CAST gives NULL where a value does not fit, or leave such rows out with WHERE"#]],
    )
    .await;
}

#[tokio::test]
async fn planning_errors_are_short_and_say_how_to_mend() {
    check(
        "SELECT price FROM silver.trades",
        expect![[r#"
        SchemaMismatch: SQL of `gold.t`: there is no column `price` (line 1, column 8)
        help: write `"Price"`: names without double quotes are read as lower case"#]],
    )
    .await;
    check(
        "SELECT symbl FROM silver.trades",
        expect![[r#"
        SchemaMismatch: SQL of `gold.t`: there is no column `symbl` (line 1, column 8)
        help: did you mean `symbol`?"#]],
    )
    .await;
    check(
        "SELECT id FROM silver.tradez",
        expect![[r#"
            BadConfiguration: SQL of `gold.t`: there is no table `silver.tradez` (line 1, column 16)
            help: tables are named `<layer>.<table>`"#]],
    )
    .await;
    check(
        "SELECT summ(id) AS n FROM silver.trades",
        expect![[r#"
            BadConfiguration: SQL of `gold.t`: there is no function `summ` (line 1, column 8)
            help: did you mean `sum`?"#]],
    )
    .await;
    check(
        "SELECT id, count(*) AS n FROM silver.trades",
        expect![[r#"
            BadConfiguration: SQL of `gold.t`: `id` must stand in GROUP BY or inside an aggregate function (line 1, column 8)
            help: add `id` to GROUP BY, or take `min(id)`, `max(id)`, `first_value(id ORDER BY …)`"#]],
    )
    .await;
    check(
        "SELECT a.id, b.id FROM silver.trades a JOIN silver.trades b ON a.id = b.id",
        expect![[r#"
        BadConfiguration: SQL of `gold.t`: two output columns are named `id`
        help: give each its own name with AS; many readers do not tell capitals apart"#]],
    )
    .await;
    check(
        "SELECT id FROM silver.trades a JOIN silver.trades b ON a.id = b.id",
        expect![[r#"
            SchemaMismatch: SQL of `gold.t`: `id` is a column of more than one table (line 1, column 8)
            help: write `a.id` or `b.id`"#]],
    )
    .await;
    check(
        "SELECT id + symbol AS n FROM silver.trades",
        expect![[r#"
            BadConfiguration: SQL of `gold.t`: bigint and text cannot be combined (line 1, column 8)
            help: cast one side with CAST(… AS …) before `+`"#]],
    )
    .await;
    check(
        "SELECT NULL AS n",
        expect![[r#"
        BadConfiguration: SQL of `gold.t`: column `n` is NULL and nothing else, so it has no type
        help: write CAST(NULL AS …)"#]],
    )
    .await;
    check(
        "SELECT at - at AS n FROM silver.trades",
        expect![[r#"
        BadConfiguration: SQL of `gold.t`: column `n` is Duration(µs), which tables do not hold
        help: cast it to a type that tables hold; for the length of time between two timestamps take date_part('epoch', …)"#]],
    )
    .await;
}

#[tokio::test]
async fn files_cannot_be_read_or_written_from_sql() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("people.csv");
    std::fs::write(&file, "name\nalice\n").unwrap();
    for sql in [
        format!("SELECT * FROM '{}'", file.display()),
        format!("SELECT * FROM \"{}\"", file.display()),
        format!("SELECT * FROM read_csv('{}')", file.display()),
        format!("COPY (SELECT 1) TO '{}'", folder.path().join("out.csv").display()),
        format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{}'", file.display()),
        format!("EXPLAIN ANALYZE COPY (SELECT 1) TO '{}'", folder.path().join("out.csv").display()),
        "EXPLAIN ANALYZE CREATE TABLE bronze.t AS SELECT 1".to_owned(),
        "SET datafusion.execution.batch_size = 1".to_owned(),
    ] {
        assert!(engine(folder.path(), 64 * MIB).query(&sql, vec![trades()]).await.is_err(), "{sql}");
    }
    assert!(!folder.path().join("out.csv").exists());
}
