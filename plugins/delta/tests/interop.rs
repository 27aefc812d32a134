//! Writes one table of every type and partition oddity where `KARAT_INTEROP_DIR` says, for readers of other makers; checks it with our own reader.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use arrow::array::{ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use karat_delta::DELTA;
use karat_lake::LakePlugin;
use karat_plugin_api::{CommitRecord, CommitRequest, ConnectContext, FileLayout, Generation, LoadRequest, Plugin, Position, StreamId, TableLayout, TargetObject, WriteMode};
use karat_spec::model::PartitionTransform;
use serde_json::json;
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

#[tokio::test]
async fn every_type_and_partition_oddity_is_read_back() {
    let own = tempfile::tempdir().unwrap();
    let root = std::env::var_os("KARAT_INTEROP_DIR").map_or_else(|| own.path().to_path_buf(), Into::into);
    let context = ConnectContext { root, scratch: own.path().to_path_buf() };
    let settings = json!({"path": "lake"}).as_object().cloned().unwrap();
    let target = TargetObject { table: "bronze/odd".into() };
    let request = LoadRequest {
        stream: StreamId::new("p", "bronze.odd"),
        generation: Generation(1),
        epoch: 1,
        attempt: "a".into(),
        target: target.clone(),
        schema: batch().schema(),
        mode: WriteMode::Append { once_by: None },
        layout: FileLayout {
            partition_by: vec![PartitionTransform::Identity("part".into()), PartitionTransform::Identity("day".into()), PartitionTransform::Month("local".into())],
            ..FileLayout::default()
        },
        table: TableLayout::default(),
        memory_bytes: 64 << 20,
    };

    let mut load = DELTA.open_sink(&settings, &context).unwrap().begin(request.clone()).await.unwrap();
    load.write(batch()).await.unwrap();
    load.stage().await.unwrap();
    let record = CommitRecord { stream: request.stream, generation: Generation(1), seq: 1, epoch: 1, attempt: "a-1".into(), lo: Position::Start, hi: Position::Start, rows: 4 };
    load.commit(CommitRequest { record, run_id: "run".into(), window: None }).await.unwrap();

    let table = DELTA.open_lake(&settings, &context).unwrap().table(&target, None).await.unwrap().unwrap();
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
    assert_eq!(
        rows,
        [
            "1|a/b=c %&ä|1969-12-31|1.2345|1000000000000000000000000000.0000000000|18446744073709551615|1969-12-31T23:59:59.999999|1969-12-31T23:59:59.999999Z|NaN|true|00ff|",
            "2|NULL|2024-06-01|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL",
            "3|plain|NULL|-0.0001|-0.0000000001|0|2024-06-01T00:00:00.123456|2024-06-01T00:00:00.123456Z|-0.0|false||zürich",
            "4|x:y|1970-01-01|0.0000|0.0000000000|1|1970-01-01T00:00:00|1970-01-01T00:00:00Z|1.5|true|78|line\nbreak",
        ]
    );
    assert_eq!(table.schema.field_with_name("local").unwrap(), &Field::new("local", DataType::Timestamp(TimeUnit::Microsecond, None), true));
    assert_eq!(Schema::new(table.schema.fields().clone()).fields().len(), 12);
}
