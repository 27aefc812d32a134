//! Writes tables of every type and partition oddity where `KARAT_INTEROP_DIR` says, for readers of other makers; checks them with our own reader.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use arrow::array::{ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, SchemaRef, TimeUnit};
use karat_delta::DELTA;
use karat_lake::LakePlugin;
use karat_plugin_api::{
    CommitRecord, CommitRequest, Committed, ConnectContext, CursorValue, FileLayout, Generation, LoadRequest, Plugin, Position, StreamId, TableLayout, TargetObject, WindowBounds,
    WriteMode,
};
use karat_spec::model::{Deletes, PartitionTransform};
use serde_json::{Map, Value, json};
use std::sync::Arc;

fn batch() -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3, 4]))),
        ("part", Arc::new(StringArray::from(vec![Some("a/b=c %&ä"), None, Some("plain"), Some("x:y")]))),
        ("day", Arc::new(Date32Array::from(vec![Some(-1), Some(19_875), None, Some(0)]))),
        ("price", Arc::new(Decimal128Array::from(vec![Some(12_345), None, Some(-1), Some(0)]).with_precision_and_scale(18, 4).unwrap())),
        ("big", Arc::new(Decimal128Array::from(vec![Some(10_i128.pow(37)), None, Some(-1), Some(0)]).with_precision_and_scale(38, 10).unwrap())),
        ("unsigned", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None, Some(0), Some(1)]))),
        ("local", Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), None, Some(1_717_200_000_123_456), Some(0)]))),
        ("instant", Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), None, Some(1_717_200_000_123_456), Some(0)]).with_timezone("UTC"))),
        ("ratio", Arc::new(Float64Array::from(vec![Some(f64::NAN), None, Some(-0.0), Some(1.5)]))),
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true)]))),
        ("raw", Arc::new(BinaryArray::from_opt_vec(vec![Some(b"\x00\xff".as_slice()), None, Some(b""), Some(b"x")]))),
        ("text", Arc::new(StringArray::from(vec![Some(""), None, Some("zürich"), Some("line\nbreak")]))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn place(own: &tempfile::TempDir) -> ConnectContext {
    let root = std::env::var_os("KARAT_INTEROP_DIR").map_or_else(|| own.path().to_path_buf(), Into::into);
    ConnectContext { root, scratch: own.path().to_path_buf() }
}

fn settings() -> Map<String, Value> {
    json!({"path": "lake"}).as_object().cloned().unwrap()
}

/// Loads the batch as the commit of this number.
async fn load(context: &ConnectContext, table: &str, mode: WriteMode, batch: RecordBatch, (seq, window): (u64, Option<WindowBounds>)) -> Committed {
    let request = LoadRequest {
        stream: StreamId::new("p", "bronze.odd"),
        generation: Generation(1),
        epoch: 1,
        attempt: format!("a{seq}"),
        target: TargetObject { table: table.into() },
        schema: batch.schema(),
        mode,
        layout: FileLayout {
            partition_by: vec![PartitionTransform::Identity("part".into()), PartitionTransform::Identity("day".into()), PartitionTransform::Month("local".into())],
            ..FileLayout::default()
        },
        table: TableLayout::default(),
        memory_bytes: 64 << 20,
    };
    let mut load = DELTA.open_sink(&settings(), context).unwrap().begin(request.clone()).await.unwrap();
    load.write(batch).await.unwrap();
    load.stage().await.unwrap();
    let attempt = format!("a{seq}-1");
    let record = CommitRecord { stream: request.stream, generation: Generation(1), seq, epoch: 1, attempt, lo: Position::Start, hi: Position::Start, rows: 4 };
    load.commit(CommitRequest { record, run_id: "run".into(), window }).await.unwrap()
}

async fn rows(context: &ConnectContext, table: &str) -> (Vec<String>, SchemaRef) {
    let target = TargetObject { table: table.into() };
    let table = DELTA.open_lake(&settings(), context).unwrap().table(&target, None).await.unwrap().unwrap();
    let mut rows: Vec<String> = Vec::new();
    for batch in table.collect().await.unwrap() {
        let formatters: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| arrow::util::display::ArrayFormatter::try_new(column, &arrow::util::display::FormatOptions::default().with_null("NULL")).unwrap())
            .collect();
        rows.extend((0..batch.num_rows()).map(|row| formatters.iter().map(|cell| cell.value(row).to_string()).collect::<Vec<_>>().join("|")));
    }
    rows.sort();
    (rows, table.schema)
}

#[tokio::test]
async fn every_type_and_partition_oddity_is_read_back() {
    let own = tempfile::tempdir().unwrap();
    let context = place(&own);

    load(&context, "bronze/odd", WriteMode::Append { once_by: None }, batch(), (1, None)).await;

    let (rows, schema) = rows(&context, "bronze/odd").await;
    assert_eq!(
        rows,
        [
            "1|a/b=c %&ä|1969-12-31|1.2345|1000000000000000000000000000.0000000000|18446744073709551615|1969-12-31T23:59:59.999999|1969-12-31T23:59:59.999999Z|NaN|true|00ff|",
            "2|NULL|2024-06-01|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL",
            "3|plain|NULL|-0.0001|-0.0000000001|0|2024-06-01T00:00:00.123456|2024-06-01T00:00:00.123456Z|-0.0|false||zürich",
            "4|x:y|1970-01-01|0.0000|0.0000000000|1|1970-01-01T00:00:00|1970-01-01T00:00:00Z|1.5|true|78|line\nbreak",
        ]
    );
    assert_eq!(schema.field_with_name("local").unwrap(), &Field::new("local", DataType::Timestamp(TimeUnit::Microsecond, None), true));
    assert_eq!(schema.fields().len(), 12);
}

#[tokio::test]
async fn windows_and_diffs_change_only_what_differs_in_any_type() {
    let own = tempfile::tempdir().unwrap();
    let (context, table) = (place(&own), "bronze/changed");
    let diff = || WriteMode::Diff { key: vec!["id".into(), "big".into()], deletes: Deletes::Hard, max_delete: 0.5 };
    load(&context, table, WriteMode::Append { once_by: None }, batch(), (1, None)).await;
    let (all, _) = rows(&context, table).await;

    let same = load(&context, table, diff(), batch(), (2, None)).await;
    assert_eq!((same.rows_written, same.rows_removed, same.files), (0, 0, 0));
    let gone = load(&context, table, diff(), batch().slice(1, 3), (3, None)).await;
    assert_eq!((gone.rows_written, gone.rows_removed, gone.files), (0, 1, 0));
    for (number, column) in ["local", "instant"].into_iter().enumerate() {
        let bounds = WindowBounds { from: Some(CursorValue::Timestamp(-1)), until: Some(CursorValue::Timestamp(1)), with_null: false };
        let mode = WriteMode::Window { column: column.into(), key: vec!["text".into()] };
        let again = load(&context, table, mode, batch().slice(0, 1), (4 + number as u64, Some(bounds))).await;
        assert_eq!((again.rows_written, again.rows_removed), (1, 1), "{column}");
    }
    let bounds = WindowBounds { from: Some(CursorValue::Date(0)), until: Some(CursorValue::Date(1)), with_null: false };
    load(&context, table, WriteMode::Window { column: "day".into(), key: Vec::new() }, batch().slice(3, 1), (6, Some(bounds))).await;

    assert_eq!(rows(&context, table).await.0, all);
}

#[tokio::test]
async fn a_diff_compares_in_the_wider_type_that_a_column_takes() {
    let own = tempfile::tempdir().unwrap();
    let (context, table) = (place(&own), "bronze/wider");
    let wide = batch();
    let schema = wide.schema();
    let narrow = schema.fields().iter().zip(wide.columns()).map(|(field, column)| match field.name().as_str() {
        "id" => ("id", cast(column, &DataType::Int32).unwrap(), true),
        "price" => ("price", cast(column, &DataType::Decimal128(10, 4)).unwrap(), true),
        name => (name, Arc::clone(column), true),
    });
    let narrow = RecordBatch::try_from_iter_with_nullable(narrow).unwrap();
    load(&context, table, WriteMode::Append { once_by: None }, narrow, (1, None)).await;

    let same = load(&context, table, WriteMode::Diff { key: vec!["id".into()], deletes: Deletes::Hard, max_delete: 0.0 }, wide.clone(), (2, None)).await;

    assert_eq!((same.rows_written, same.rows_removed), (0, 0));
    let (rows, schema) = rows(&context, table).await;
    assert_eq!((rows.len(), schema.field_with_name("id").unwrap().data_type()), (4, &DataType::Int64));
    assert_eq!(schema.field_with_name("price").unwrap().data_type(), &DataType::Decimal128(18, 4));
}
