//! What SQL means in Karat, shown by running it.

use crate::{CheckRequest, CheckToRun, SqlEngine, SqlInput, SqlOptions, TransformRequest};
use chrono::{DateTime, Utc};
use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, StringViewArray, TimestampMicrosecondArray};
use datafusion::arrow::array::{Decimal128Array, Float64Array};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use expect_test::{Expect, expect};
use futures::StreamExt;
use indexmap::IndexMap;
use karat_plugin_api::{ConnectorError, ErrorKind};
use karat_spec::model::{Check, Dedup, KeepRow, TableName};
use std::path::Path;
use std::sync::Arc;

const MIB: u64 = 1 << 20;

fn engine(folder: &Path, memory_limit_bytes: u64) -> SqlEngine {
    let options = SqlOptions { memory_limit_bytes, spill_dir: folder.join("spill"), parallelism: 2 };
    SqlEngine::new(options).unwrap().with_now("2024-05-06T07:08:09Z".parse::<DateTime<Utc>>().unwrap())
}

fn table(name: &str, columns: Vec<(&str, ArrayRef)>) -> SqlInput {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap();
    let provider = MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap();
    SqlInput { name: TableName::parse(name).unwrap(), provider: Arc::new(provider) }
}

fn trades() -> SqlInput {
    table(
        "silver.trades",
        vec![
            ("id", Arc::new(Int64Array::from(vec![Some(1), Some(2), Some(3), None]))),
            ("symbol", Arc::new(StringViewArray::from(vec![Some("BTC"), Some("ETH"), Some("BTC"), None]))),
            ("Price", Arc::new(Float64Array::from(vec![Some(1.5), Some(0.0), Some(-2.0), None]))),
            ("amount", Arc::new(Decimal128Array::from(vec![Some(10), Some(20), Some(1), None]).with_precision_and_scale(38, 2).unwrap())),
            ("at", Arc::new(TimestampMicrosecondArray::from(vec![Some(1_714_979_289_000_000), Some(0), Some(1), None]))),
            ("od\"d", Arc::new(Int64Array::from(vec![1, 1, 2, 2]))),
        ],
    )
}

fn extremes() -> SqlInput {
    table(
        "bronze.extremes",
        vec![
            ("big", Arc::new(Int64Array::from(vec![i64::MAX, 1]))),
            ("low", Arc::new(Int64Array::from(vec![i64::MIN, -1]))),
            ("money", Arc::new(Decimal128Array::from(vec![99_999_999_999_999_999_999_999_999_999_999_999_999, 1]).with_precision_and_scale(38, 0).unwrap())),
            ("word", Arc::new(StringArray::from(vec!["12", "secret"]))),
        ],
    )
}

async fn rows(engine: &SqlEngine, sql: &str, types: &[(&str, &str)]) -> Result<Vec<RecordBatch>, ConnectorError> {
    let types: IndexMap<String, String> = types.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let request = TransformRequest { table: TableName::parse("gold.t").unwrap(), sql: sql.to_owned(), inputs: vec![trades(), extremes()], types, key: Vec::new(), dedup: None };
    let mut transform = engine.transform(request).await?;
    let mut batches = Vec::new();
    while let Some(batch) = transform.stream.next().await {
        batches.push(batch?);
    }
    if batches.is_empty() {
        batches.push(RecordBatch::new_empty(transform.schema));
    }
    Ok(batches)
}

fn show(result: Result<Vec<RecordBatch>, ConnectorError>) -> String {
    match result {
        Ok(batches) => pretty_format_batches(&batches).unwrap().to_string(),
        Err(error) => format!("{:?}: {}\nhelp: {}", error.kind(), error.chain(), error.help().unwrap_or("-")),
    }
}

async fn check(sql: &str, expected: Expect) {
    let folder = tempfile::tempdir().unwrap();
    expected.assert_eq(&show(rows(&engine(folder.path(), 64 * MIB), sql, &[]).await));
}

#[tokio::test]
async fn integer_overflow_is_an_error_that_names_the_expression() {
    check(
        "SELECT 10000000000 * 10000000000 AS n",
        expect![[r#"
        BadData: SQL of `gold.t`: integer overflow in `10000000000 * 10000000000`
        help: compute in a wider type: CAST(… AS DECIMAL(38, 0))"#]],
    )
    .await;
    check(
        "SELECT big + id AS n FROM bronze.extremes CROSS JOIN silver.trades",
        expect![[r#"
        BadData: SQL of `gold.t`: integer overflow in `bronze.extremes.big + silver.trades.id`
        help: compute in a wider type: CAST(… AS DECIMAL(38, 0))"#]],
    )
    .await;
    check(
        "SELECT low - 1 AS n FROM bronze.extremes",
        expect![[r#"
        BadData: SQL of `gold.t`: integer overflow in `bronze.extremes.low - 1`
        help: compute in a wider type: CAST(… AS DECIMAL(38, 0))"#]],
    )
    .await;
    check(
        "SELECT -low AS n FROM bronze.extremes",
        expect![[r#"
        BadData: SQL of `gold.t`: integer overflow in `(- bronze.extremes.low)`
        help: compute in a wider type: CAST(… AS DECIMAL(38, 0))"#]],
    )
    .await;
    check(
        "SELECT id FROM silver.trades WHERE id IN (SELECT big * 2 FROM bronze.extremes)",
        expect![[r#"
        BadData: SQL of `gold.t`: integer overflow in `bronze.extremes.big * 2`
        help: compute in a wider type: CAST(… AS DECIMAL(38, 0))"#]],
    )
    .await;
    check(
        "SELECT id + 1 AS n, count(*) AS rows FROM silver.trades GROUP BY id + 1 ORDER BY id + 1",
        expect![[r#"
        +---+------+
        | n | rows |
        +---+------+
        | 2 | 1    |
        | 3 | 1    |
        | 4 | 1    |
        |   | 1    |
        +---+------+"#]],
    )
    .await;
    check(
        "SELECT at + INTERVAL '1 day' AS next, \"Price\" * 2 AS twice, amount * 2 AS more FROM silver.trades WHERE id = 1",
        expect![[r#"
        +---------------------+-------+------+
        | next                | twice | more |
        +---------------------+-------+------+
        | 2024-05-07T07:08:09 | 3.0   | 0.20 |
        +---------------------+-------+------+"#]],
    )
    .await;
}

#[tokio::test]
async fn a_total_that_does_not_fit_is_an_error() {
    check(
        "SELECT sum(big) AS total FROM bronze.extremes",
        expect![[r#"
            BadData: SQL of `gold.t`: the total of `sum(bronze.extremes.big)` does not fit bigint
            help: compute in a wider type: CAST(… AS DECIMAL(38, 0))"#]],
    )
    .await;
    check(
        "SELECT word, sum(big) OVER (ORDER BY word) AS total FROM bronze.extremes",
        expect![[r#"
        BadData: SQL of `gold.t`: the total of `sum(bronze.extremes.big) ORDER BY [bronze.extremes.word ASC…` does not fit bigint
        help: compute in a wider type: CAST(… AS DECIMAL(38, 0))"#]],
    )
    .await;
    check(
        "SELECT sum(big) AS a, sum(DISTINCT low) AS b FROM bronze.extremes",
        expect![[r#"
            BadData: SQL of `gold.t`: the total of `sum(alias2)` does not fit bigint
            help: compute in a wider type: CAST(… AS DECIMAL(38, 0))"#]],
    )
    .await;
    check(
        "SELECT sum(money) AS total FROM bronze.extremes",
        expect![[r#"
            BadData: SQL of `gold.t`: the total of `sum(bronze.extremes.money)` does not fit decimal(38,0)
            help: compute in a wider type: CAST(… AS DECIMAL(38, 0))"#]],
    )
    .await;
    check(
        "SELECT sum(x) AS total FROM (SELECT big AS x FROM bronze.extremes UNION ALL SELECT low FROM bronze.extremes)",
        expect![[r#"
        +-------+
        | total |
        +-------+
        | -1    |
        +-------+"#]],
    )
    .await;
    check(
        "SELECT symbol, sum(id) AS n, sum(DISTINCT \"od\"\"d\") AS d FROM silver.trades GROUP BY symbol ORDER BY symbol",
        expect![[r#"
        +--------+---+---+
        | symbol | n | d |
        +--------+---+---+
        | BTC    | 4 | 3 |
        | ETH    | 2 | 1 |
        |        |   | 2 |
        +--------+---+---+"#]],
    )
    .await;
    check(
        "SELECT id, sum(id) OVER (ORDER BY id ROWS 1 PRECEDING) AS n FROM silver.trades WHERE id > 0",
        expect![[r#"
        +----+---+
        | id | n |
        +----+---+
        | 1  | 1 |
        | 2  | 3 |
        | 3  | 5 |
        +----+---+"#]],
    )
    .await;
}

#[tokio::test]
async fn decimals_are_added_exactly() {
    check(
        "SELECT sum(amount) AS total FROM silver.trades",
        expect![[r#"
        +-------+
        | total |
        +-------+
        | 0.31  |
        +-------+"#]],
    )
    .await;
    check(
        "SELECT sum(CAST('0.1' AS DECIMAL(10,1))) AS total FROM generate_series(1, 1000)",
        expect![[r#"
        +-------+
        | total |
        +-------+
        | 100.0 |
        +-------+"#]],
    )
    .await;
}

#[tokio::test]
async fn division_by_zero_is_an_error_for_integers_and_infinite_for_floats() {
    check(
        "SELECT id / (id - id) AS n FROM silver.trades",
        expect![[r#"
        BadData: SQL of `gold.t`: division by zero
        help: divide by NULLIF(…, 0) to get NULL"#]],
    )
    .await;
    check(
        "SELECT 1 / \"Price\" AS n FROM silver.trades WHERE id = 2",
        expect![[r#"
        +-----+
        | n   |
        +-----+
        | inf |
        +-----+"#]],
    )
    .await;
}

#[tokio::test]
async fn not_in_with_null_gives_no_rows() {
    check(
        "SELECT id FROM silver.trades WHERE id NOT IN (SELECT id FROM silver.trades WHERE id IS NULL OR id = 1)",
        expect![[r#"
        +----+
        | id |
        +----+
        +----+"#]],
    )
    .await;
    check(
        "SELECT id FROM silver.trades WHERE id NOT IN (2, NULL)",
        expect![[r#"
        +----+
        | id |
        +----+
        +----+"#]],
    )
    .await;
    check(
        "SELECT id FROM silver.trades WHERE id NOT IN (SELECT id FROM silver.trades WHERE id > 1)",
        expect![[r#"
        +----+
        | id |
        +----+
        | 1  |
        +----+"#]],
    )
    .await;
}

#[tokio::test]
async fn nothing_in_gives_null_totals_and_keeps_the_columns() {
    check(
        "SELECT sum(id) AS total, min(symbol) AS least, count(*) AS rows FROM silver.trades WHERE false",
        expect![[r#"
        +-------+-------+------+
        | total | least | rows |
        +-------+-------+------+
        |       |       | 0    |
        +-------+-------+------+"#]],
    )
    .await;
    check(
        "SELECT id, symbol FROM silver.trades WHERE false",
        expect![[r#"
        +----+--------+
        | id | symbol |
        +----+--------+
        +----+--------+"#]],
    )
    .await;
}

#[tokio::test]
async fn now_is_the_time_of_the_run() {
    check(
        "SELECT now() AS now, current_date AS today, arrow_typeof(now()) AS kind",
        expect![[r#"
        +----------------------+------------+----------------------+
        | now                  | today      | kind                 |
        +----------------------+------------+----------------------+
        | 2024-05-06T07:08:09Z | 2024-05-06 | Timestamp(ns, "UTC") |
        +----------------------+------------+----------------------+"#]],
    )
    .await;
    check(
        "SELECT to_timestamp('2024-01-02T03:04:05.123456789') AS at",
        expect![[r#"
        BadData: SQL of `gold.t`: column `at` holds a value that does not fit timestamptz
        help: it is exact to the nanosecond: write CAST(… AS TIMESTAMP(6)) to cut it off, or declare `timestamp(9)` in `types`"#]],
    )
    .await;
    check(
        "SELECT CAST(to_timestamp('2024-01-02T03:04:05.123456789') AS TIMESTAMP(6)) AS at",
        expect![[r#"
        +----------------------------+
        | at                         |
        +----------------------------+
        | 2024-01-02T03:04:05.123456 |
        +----------------------------+"#]],
    )
    .await;
    check(
        "SELECT date_trunc('day', at) AS day, date_bin(INTERVAL '1 hour', at) AS hour FROM silver.trades WHERE id = 1",
        expect![[r#"
        +---------------------+---------------------+
        | day                 | hour                |
        +---------------------+---------------------+
        | 2024-05-06T00:00:00 | 2024-05-06T07:00:00 |
        +---------------------+---------------------+"#]],
    )
    .await;
}

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

#[tokio::test]
async fn a_query_may_describe_and_show() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for sql in ["DESCRIBE silver.trades", "SHOW TABLES", "SELECT count(*), count(*) FILTER (WHERE id > 1) FROM silver.trades", "SHOW COLUMNS FROM bronze.extremes"] {
        let mut query = engine(folder.path(), 64 * MIB).query(sql, vec![trades(), extremes()]).await.unwrap();
        while let Some(batch) = query.stream.next().await {
            text.push_str(&pretty_format_batches(&[batch.unwrap()]).unwrap().to_string());
            text.push('\n');
        }
    }
    expect![[r#"
        +-------------+-------------------+-------------+
        | column_name | data_type         | is_nullable |
        +-------------+-------------------+-------------+
        | id          | Int64             | YES         |
        | symbol      | Utf8View          | YES         |
        | Price       | Float64           | YES         |
        | amount      | Decimal128(38, 2) | YES         |
        | at          | Timestamp(µs)     | YES         |
        | od"d        | Int64             | YES         |
        +-------------+-------------------+-------------+
        +-----------------+
        | table           |
        +-----------------+
        | bronze.extremes |
        | silver.trades   |
        +-----------------+
        +----------+-----------------------------------------------------+
        | count(*) | count(*) FILTER (WHERE silver.trades.id > Int64(1)) |
        +----------+-----------------------------------------------------+
        | 4        | 2                                                   |
        +----------+-----------------------------------------------------+
        +---------------+--------------+------------+-------------+-------------------+-------------+
        | table_catalog | table_schema | table_name | column_name | data_type         | is_nullable |
        +---------------+--------------+------------+-------------+-------------------+-------------+
        | karat         | bronze       | extremes   | big         | Int64             | YES         |
        | karat         | bronze       | extremes   | low         | Int64             | YES         |
        | karat         | bronze       | extremes   | money       | Decimal128(38, 0) | YES         |
        | karat         | bronze       | extremes   | word        | Utf8              | YES         |
        +---------------+--------------+------------+-------------+-------------------+-------------+
    "#]]
    .assert_eq(&text);
    expect![[r#"
        Projection: silver.trades.symbol, count(Int64(1)) AS count(*)
          Aggregate: groupBy=[[silver.trades.symbol]], aggr=[[count(Int64(1))]]
            Projection: silver.trades.symbol
              Filter: checked_add(silver.trades.id, Int64(1)) > Int64(2)
                TableScan: silver.trades projection=[id, symbol]

        ProjectionExec: expr=[symbol@0 as symbol, count(Int64(1))@1 as count(*)]
          AggregateExec: mode=FinalPartitioned, gby=[symbol@0 as symbol], aggr=[count(Int64(1))]
            RepartitionExec: partitioning=Hash([symbol@0], 2), input_partitions=2
              AggregateExec: mode=Partial, gby=[symbol@0 as symbol], aggr=[count(Int64(1))]
                RepartitionExec: partitioning=RoundRobinBatch(2), input_partitions=1
                  FilterExec: checked_add(id@0, 1) > 2, projection=[symbol@1]
                    DataSourceExec: partitions=1, partition_sizes=[1]
    "#]]
    .assert_eq(&engine(folder.path(), 64 * MIB).explain("SELECT symbol, count(*) FROM silver.trades WHERE id + 1 > 2 GROUP BY symbol", vec![trades()]).await.unwrap());
}

#[tokio::test]
async fn a_big_sort_and_a_big_aggregation_spill_below_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path(), 64 * MIB);
    // 2,000,000 rows of about 60 bytes, all different.
    let series = "SELECT value AS n, concat('a rather long text that differs in its number ', CAST(value AS VARCHAR)) AS word FROM generate_series(1, 2000000)";
    let sort = format!("SELECT n, word FROM ({series}) ORDER BY word DESC, n");
    let sorted = rows(&engine, &sort, &[]).await.unwrap();
    assert_eq!(sorted.iter().map(RecordBatch::num_rows).sum::<usize>(), 2_000_000);
    drop(sorted);

    let group = format!("SELECT count(*) AS groups, sum(n) AS total, max(length(word)) AS longest FROM (SELECT word, sum(n) AS n FROM ({series}) GROUP BY word)");
    expect![[r#"
        +---------+---------------+---------+
        | groups  | total         | longest |
        +---------+---------------+---------+
        | 2000000 | 2000001000000 | 53      |
        +---------+---------------+---------+"#]]
    .assert_eq(&show(rows(&engine, &group, &[]).await));
}

/// A million rows of a hundred bytes on each side: more than the limit.
const BIG_JOIN: &str = "SELECT count(*) AS n FROM (SELECT value AS v, repeat('y', 100) AS pad FROM generate_series(1, 1000000)) a
    JOIN (SELECT value AS v, repeat('x', 100) AS pad FROM generate_series(1, 1000000)) b ON a.v = b.v AND a.pad > b.pad";

#[tokio::test]
async fn a_join_that_does_not_fit_is_sorted_instead() {
    let folder = tempfile::tempdir().unwrap();
    expect![[r#"
        +---------+
        | n       |
        +---------+
        | 1000000 |
        +---------+"#]]
    .assert_eq(&show(rows(&engine(folder.path(), 48 * MIB), BIG_JOIN, &[]).await));
}

#[tokio::test]
async fn out_of_memory_names_the_table_and_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    // `NOT IN` needs a hash table, whatever the limit.
    let sql = "SELECT count(*) AS n FROM generate_series(1, 1000000) a WHERE a.value NOT IN (SELECT CASE WHEN value > 0 THEN value * 2 END FROM generate_series(1, 10))";
    let error = rows(&engine(folder.path(), 2 * MIB), sql, &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    expect![[r#"
        SQL of `gold.t` needs more memory than the limit of 2MiB
        help: raise `--memory-limit`, or join and group fewer rows at once: the smaller side of a join and the rows of a window must fit"#]]
    .assert_eq(&format!("{error}\nhelp: {}", error.help().unwrap()));
    expect![[r#"
        +--------+
        | n      |
        +--------+
        | 999990 |
        +--------+"#]]
    .assert_eq(&show(rows(&engine(folder.path(), 256 * MIB), sql, &[]).await));
}

#[tokio::test]
async fn temporary_files_are_gone_when_the_engine_is() {
    let folder = tempfile::tempdir().unwrap();
    drop(engine(folder.path(), 64 * MIB));
    assert_eq!(std::fs::read_dir(folder.path().join("spill")).unwrap().count(), 0);
}

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

#[tokio::test]
async fn qualify_keeps_one_row_per_key() {
    let sql = "SELECT * FROM (\nSELECT symbol, id FROM silver.trades\n) AS d QUALIFY row_number() OVER (PARTITION BY \"symbol\" ORDER BY \"id\" DESC NULLS LAST) = 1 ORDER BY id";
    check(
        sql,
        expect![[r#"
        +--------+----+
        | symbol | id |
        +--------+----+
        | ETH    | 2  |
        | BTC    | 3  |
        |        |    |
        +--------+----+"#]],
    )
    .await;
}

#[tokio::test]
async fn dedup_keeps_one_row_per_key() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for (keep, order_by) in [(None, "id"), (Some(KeepRow::First), "id"), (None, "Price"), (None, "idd")] {
        let request = TransformRequest {
            table: TableName::parse("gold.t").unwrap(),
            sql: "SELECT symbol, id, \"Price\" FROM silver.trades".to_owned(),
            inputs: vec![trades()],
            types: IndexMap::new(),
            key: vec!["symbol".to_owned()],
            dedup: Some(Dedup { keep, order_by: vec![order_by.to_owned()] }),
        };
        let result = match engine(folder.path(), 64 * MIB).transform(request).await {
            Ok(transform) => transform.stream.collect::<Vec<_>>().await.into_iter().collect(),
            Err(error) => Err(error),
        };
        let mut lines: Vec<String> = show(result).lines().map(str::to_owned).collect();
        lines.sort();
        text.push_str(&lines.join("\n"));
        text.push('\n');
    }
    expect![[r#"
        +--------+----+-------+
        +--------+----+-------+
        +--------+----+-------+
        |        |    |       |
        | BTC    | 3  | -2.0  |
        | ETH    | 2  | 0.0   |
        | symbol | id | Price |
        +--------+----+-------+
        +--------+----+-------+
        +--------+----+-------+
        |        |    |       |
        | BTC    | 1  | 1.5   |
        | ETH    | 2  | 0.0   |
        | symbol | id | Price |
        +--------+----+-------+
        +--------+----+-------+
        +--------+----+-------+
        |        |    |       |
        | BTC    | 1  | 1.5   |
        | ETH    | 2  | 0.0   |
        | symbol | id | Price |
        BadConfiguration: SQL of `gold.t`: `dedup` needs the column `idd`, which the SELECT does not give
        help: did you mean `id`?
    "#]]
    .assert_eq(&text);
}
