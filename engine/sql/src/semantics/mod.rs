//! What SQL means in Karat, shown by running it; one file per subject.

mod checks;
mod memory;
mod mistakes;
mod numbers;
mod queries;
mod times;

use crate::{SqlEngine, SqlInput, SqlOptions, TransformRequest};
use chrono::{DateTime, Utc};
use datafusion::arrow::array::{ArrayRef, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray, StringViewArray, TimestampMicrosecondArray};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use expect_test::Expect;
use futures::StreamExt;
use indexmap::IndexMap;
use karat_plugin_api::ConnectorError;
use karat_spec::model::TableName;
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
