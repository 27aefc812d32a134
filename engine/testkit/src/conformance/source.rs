//! What every source promises: it says its columns first, ends only where it can prove the end, and starts again where it ended.

use arrow::array::RecordBatch;
use futures::StreamExt;
use karat_plugin_api::{ColumnChoice, ErrorKind, ExtraColumns, Position, ReadRequest, ReadStrategy, Source, SourceBatch, SourceObject};
use std::sync::Arc;

/// A connected source with one object in it, and what is known of that.
pub struct SourceUnderTest {
    /// Kept as long as the case runs: the folder that holds the object.
    pub folder: tempfile::TempDir,
    /// The source.
    pub source: Arc<dyn Source>,
    /// An object with at least 20 rows.
    pub object: SourceObject,
    /// Its columns; empty to take those that `describe` gives.
    pub columns: Vec<ColumnChoice>,
    /// How many rows it holds.
    pub rows: u64,
    /// An object of the same kind that does not exist.
    pub missing: SourceObject,
    /// A strategy that reads on from a position; `None` when the source has none.
    pub onward: Option<fn(Position) -> ReadStrategy>,
}

struct Read {
    batches: Vec<RecordBatch>,
    rows: u64,
    position: Position,
}

async fn request(under_test: &SourceUnderTest, strategy: ReadStrategy, batch_rows: usize) -> ReadRequest {
    let described = under_test.source.describe(&under_test.object).await.unwrap();
    let choice = |column: &karat_plugin_api::Column| ColumnChoice { name: column.name.clone(), data_type: column.data_type.clone(), nullable: column.nullable };
    let columns = if under_test.columns.is_empty() { described.columns.iter().map(choice).collect() } else { under_test.columns.clone() };
    ReadRequest { object: under_test.object.clone(), columns, extra_columns: ExtraColumns::Refuse, strategy, batch_rows, batch_bytes: 1 << 20, parallel: 1 }
}

async fn read(under_test: &SourceUnderTest, strategy: ReadStrategy, batch_rows: usize) -> Read {
    let opened = under_test.source.read(request(under_test, strategy, batch_rows).await).await.unwrap();
    let schema = opened.schema();
    let mut stream = opened.into_stream();
    let mut batches = Vec::new();
    while let Some(item) = stream.next().await {
        match item.unwrap() {
            SourceBatch::Rows { batch, .. } => {
                assert_eq!(batch.schema(), schema, "every batch has the columns that were promised");
                assert!((1..=batch_rows).contains(&batch.num_rows()), "a batch holds 1 to `batch_rows` rows");
                batches.push(batch);
            }
            SourceBatch::WindowEnd { .. } => panic!("no windows were asked for"),
            SourceBatch::End { rows, position, .. } => {
                assert!(stream.next().await.is_none(), "nothing comes after the end");
                return Read { batches, rows, position };
            }
        }
    }
    panic!("the stream ended without a proven end");
}

/// Every row is delivered once and counted.
pub async fn every_row_is_delivered_once_and_counted(under_test: SourceUnderTest) {
    let whole = read(&under_test, ReadStrategy::Full, 1_000).await;

    assert_eq!(whole.rows, under_test.rows);
    assert_eq!(whole.batches.iter().map(|batch| batch.num_rows() as u64).sum::<u64>(), under_test.rows);
}

/// No batch crosses a multiple of the asked row count.
pub async fn no_batch_crosses_a_multiple_of_the_asked_row_count(under_test: SourceUnderTest) {
    let whole = read(&under_test, ReadStrategy::Full, 7).await;

    let mut delivered = 0;
    for batch in &whole.batches {
        assert!(delivered % 7 + batch.num_rows() <= 7, "after {delivered} rows came {}", batch.num_rows());
        delivered += batch.num_rows();
    }
}

/// Two reads of the same data are equal.
pub async fn two_reads_of_the_same_data_are_equal(under_test: SourceUnderTest) {
    let first = read(&under_test, ReadStrategy::Full, 11).await;
    let second = read(&under_test, ReadStrategy::Full, 11).await;

    assert_eq!(first.batches, second.batches);
    assert_eq!(first.position, second.position);
}

/// A read that goes on where the last one ended delivers nothing and stays there.
pub async fn a_read_that_goes_on_where_the_last_one_ended_delivers_nothing(under_test: SourceUnderTest) {
    let Some(onward) = under_test.onward else { return };
    let first = read(&under_test, onward(Position::Start), 11).await;
    let second = read(&under_test, onward(first.position.clone()), 11).await;

    assert_eq!(first.rows, under_test.rows);
    assert_eq!((second.rows, second.position), (0, first.position));
}

/// An object that does not exist is not found by name.
pub async fn an_object_that_does_not_exist_is_not_found_by_name(under_test: SourceUnderTest) {
    let error = under_test.source.describe(&under_test.missing).await.unwrap_err();
    let (SourceObject::Table(name) | SourceObject::Query(name) | SourceObject::Files(name)) = &under_test.missing;

    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.chain().contains(name.as_str()), "{}", error.chain());
}

/// A dropped read leaves the source usable.
pub async fn a_dropped_read_leaves_the_source_usable(under_test: SourceUnderTest) {
    let opened = under_test.source.read(request(&under_test, ReadStrategy::Full, 1).await).await.unwrap();
    let mut stream = opened.into_stream();
    assert!(matches!(stream.next().await, Some(Ok(SourceBatch::Rows { .. }))));
    drop(stream);

    assert_eq!(read(&under_test, ReadStrategy::Full, 1_000).await.rows, under_test.rows);
}
