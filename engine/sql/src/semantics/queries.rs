//! Queries: NULL, empty inputs, one row per key, what may be asked.

use super::{MIB, check, engine, extremes, show, trades};
use crate::TransformRequest;
use datafusion::arrow::util::pretty::pretty_format_batches;
use expect_test::expect;
use futures::StreamExt;
use indexmap::IndexMap;
use karat_spec::model::{Dedup, KeepRow, TableName};

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
