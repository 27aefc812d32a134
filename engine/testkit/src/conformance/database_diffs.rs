//! What every sink made of a database promises of whole loads that are compared with what it holds: only what differs is touched.

use super::database_reader::Form;
use super::database_sink::{DatabaseSinkUnderTest, commit, from_hex};
use super::database_watch::Watch;
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use karat_plugin_api::{Committed, ConnectorError, DELETED_AT, ErrorKind, LoadRequest, WriteMode};
use karat_spec::model::Deletes;
use std::sync::Arc;

/// One row: id, name, amount.
type Row<'a> = (i64, Option<&'a str>, Option<f64>);

fn rows(rows: &[Row<'_>], deletes: Deletes) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)));
    let names: ArrayRef = Arc::new(StringArray::from_iter(rows.iter().map(|row| row.1)));
    let amounts: ArrayRef = Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.2)));
    let mut fields = vec![Field::new("id", DataType::Int64, false), Field::new("name", DataType::Utf8, true), Field::new("amount", DataType::Float64, true)];
    let mut columns = vec![ids, names, amounts];
    if deletes == Deletes::Soft {
        let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        columns.push(new_null_array(&instant, rows.len()));
        fields.push(Field::new(DELETED_AT, instant, true));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn request(under_test: &DatabaseSinkUnderTest, batch: &RecordBatch, deletes: Deletes, attempt: &str) -> LoadRequest {
    let mode = WriteMode::Diff { key: vec!["id".into()], deletes, max_delete: 0.5 };
    LoadRequest { schema: batch.schema(), ..under_test.request(mode, 1, attempt) }
}

/// Loads all rows that the source has now.
async fn diff(under_test: &DatabaseSinkUnderTest, seq: u64, now: &[Row<'_>], deletes: Deletes) -> Result<Committed, ConnectorError> {
    let batch = rows(now, deletes);
    let attempt = format!("d{seq}");
    let hi = i64::try_from(seq).unwrap();
    under_test.load(request(under_test, &batch, deletes, &attempt), batch, commit(1, seq, &attempt, hi - 1, hi)).await
}

/// Ids, names and amounts, sorted.
fn content(under_test: &DatabaseSinkUnderTest) -> String {
    let rows = under_test.reader.rows(&under_test.target().table, &[("id", Form::Number), ("name", Form::Text), ("amount", Form::Float)]);
    let mut rows: Vec<(i64, String)> = rows
        .into_iter()
        .map(|row| {
            let name = row[1].as_deref().map_or_else(|| "NULL".to_owned(), |name| format!("'{}'", from_hex(name)));
            (row[0].as_deref().unwrap().parse().unwrap(), format!("{name} {}", row[2].as_deref().unwrap_or("NULL")))
        })
        .collect();
    rows.sort();
    rows.iter().map(|(id, text)| format!("{id} {text}")).collect::<Vec<_>>().join(", ")
}

/// A diff adds, replaces and removes what differs.
pub async fn a_diff_adds_replaces_and_removes_what_differs(under_test: DatabaseSinkUnderTest) {
    let first = diff(&under_test, 1, &[(1, Some("a"), None), (2, Some("b"), Some(1.5)), (3, None, None), (4, Some("d"), None)], Deletes::Hard).await.unwrap();
    assert_eq!((first.rows_written, first.rows_removed), (4, 0));

    let second = diff(&under_test, 2, &[(5, Some("e"), None), (1, Some("a"), None), (2, Some("b"), Some(2.5)), (4, None, None)], Deletes::Hard).await.unwrap();

    assert_eq!((second.rows_written, second.rows_removed), (3, 3), "one new, two replaced, one gone");
    assert_eq!(content(&under_test), "1 'a' NULL, 2 'b' 2.5, 4 NULL NULL, 5 'e' NULL");
    assert_eq!(under_test.record().await.map(|record| record.seq), Some(2));
}

/// A diff without a difference writes nothing but the position.
pub async fn a_diff_without_a_difference_writes_nothing_but_the_position(under_test: DatabaseSinkUnderTest) {
    let now = [(1, Some("a"), Some(f64::NAN)), (2, None, Some(-0.0)), (3, Some(""), None)];
    let now = if under_test.reader.has_nan() { now } else { [now[1], now[2], (4, Some("d"), Some(0.1))] };
    diff(&under_test, 1, &now, Deletes::Hard).await.unwrap();
    let writes = under_test.reader.writes_query(&under_test.reader.table(&under_test.target().table));
    let look = || writes.as_deref().map(|query| under_test.reader.database().query(query));
    let before = look();

    let again = diff(&under_test, 2, &now, Deletes::Hard).await.unwrap();

    assert_eq!((again.rows_written, again.rows_removed), (0, 0));
    assert_eq!(look(), before);
    assert_eq!(under_test.record().await.map(|record| record.seq), Some(2));
}

/// Values that only seem equal are told apart.
pub async fn values_that_only_seem_equal_are_told_apart(under_test: DatabaseSinkUnderTest) {
    let first = [(1, None, None), (2, Some(""), None), (3, Some("a"), None), (4, Some("a"), None), (5, None, Some(0.0)), (6, None, None), (7, Some("é"), None)];
    diff(&under_test, 1, &first, Deletes::Hard).await.unwrap();
    let (zero, written) = if under_test.reader.has_nan() { (-0.0, "-0") } else { (1e-300, "1e-300") };
    let second = [(1, Some(""), None), (2, None, None), (3, Some("A"), None), (4, Some("a "), None), (5, None, Some(zero)), (6, None, Some(0.0)), (7, Some("e"), None)];

    let committed = diff(&under_test, 2, &second, Deletes::Hard).await.unwrap();

    assert_eq!((committed.rows_written, committed.rows_removed), (7, 7));
    let held = content(&under_test).replace(&1e-300_f64.to_string(), "1e-300");
    assert_eq!(held, format!("1 '' NULL, 2 NULL NULL, 3 'A' NULL, 4 'a ' NULL, 5 NULL {written}, 6 NULL 0, 7 'e' NULL"));
}

/// Vanished rows stay where deletes are ignored.
pub async fn vanished_rows_stay_where_deletes_are_ignored(under_test: DatabaseSinkUnderTest) {
    diff(&under_test, 1, &[(1, Some("a"), None), (2, Some("b"), None), (3, Some("c"), None)], Deletes::Ignore).await.unwrap();

    let committed = diff(&under_test, 2, &[(3, Some("new"), None)], Deletes::Ignore).await.unwrap();
    assert_eq!((committed.rows_written, committed.rows_removed), (1, 1));
    diff(&under_test, 3, &[], Deletes::Ignore).await.unwrap();

    assert_eq!(content(&under_test), "1 'a' NULL, 2 'b' NULL, 3 'new' NULL");
}

/// A vanished row is marked once, and no longer when it returns.
pub async fn a_vanished_row_is_marked_once_and_no_longer_when_it_returns(under_test: DatabaseSinkUnderTest) {
    let marks = || {
        let mut rows = under_test.reader.rows(&under_test.target().table, &[("id", Form::Number), (DELETED_AT, Form::TimestampUtc)]);
        rows.sort();
        rows.into_iter().map(|row| row[1].clone()).collect::<Vec<_>>()
    };
    let (a, b, c) = ((1, Some("a"), None), (2, Some("b"), None), (3, Some("c"), None));
    diff(&under_test, 1, &[a, b, c], Deletes::Soft).await.unwrap();
    assert_eq!(marks(), [None, None, None]);

    let gone = diff(&under_test, 2, &[a, c], Deletes::Soft).await.unwrap();
    assert_eq!((gone.rows_written, gone.rows_removed), (0, 1));
    let first = marks();
    assert!(first[0].is_none() && first[1].is_some() && first[2].is_none(), "{first:?}");
    let still = diff(&under_test, 3, &[a, c], Deletes::Soft).await.unwrap();
    assert_eq!((still.rows_written, still.rows_removed), (0, 0));
    assert_eq!(marks(), first, "it keeps the time at which it was found gone");
    // Of two rows that are left one may go: those that are gone already do not count.
    diff(&under_test, 4, &[a], Deletes::Soft).await.unwrap();
    let back = diff(&under_test, 5, &[a, b], Deletes::Soft).await.unwrap();

    assert_eq!((back.rows_written, back.rows_removed), (1, 1));
    let last = marks();
    assert!(last[0].is_none() && last[1].is_none() && last[2].is_some(), "{last:?}");
    assert_eq!(content(&under_test), "1 'a' NULL, 2 'b' NULL, 3 'c' NULL");
}

/// A diff that would remove too much is refused before anything changes.
pub async fn a_diff_that_would_remove_too_much_is_refused_before_anything_changes(under_test: DatabaseSinkUnderTest) {
    for (at, deletes) in [Deletes::Hard, Deletes::Soft].into_iter().enumerate() {
        let seq = 2 * at as u64;
        diff(&under_test, seq + 1, &[(1, Some("a"), None), (2, Some("b"), None), (3, Some("c"), None), (4, Some("d"), None)], deletes).await.unwrap();
        let before = content(&under_test);

        for now in [&[(4, Some("new"), None), (5, Some("e"), None)][..], &[]] {
            let refused = diff(&under_test, seq + 2, now, deletes).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Refused, "{}", refused.chain());
        }
        assert_eq!((content(&under_test), under_test.record().await.map(|record| record.seq)), (before, Some(seq + 1)));
        let half = diff(&under_test, seq + 2, &[(3, Some("c"), None), (4, Some("d"), None)], deletes).await.unwrap();
        assert_eq!((half.rows_written, half.rows_removed), (0, 2), "half is what may go");
    }
}

/// A key that comes twice is refused.
pub async fn a_key_that_comes_twice_is_refused(under_test: DatabaseSinkUnderTest) {
    let twice = [(1, Some("a"), None), (2, Some("b"), None), (1, Some("a"), None)];
    let refused = diff(&under_test, 1, &twice, Deletes::Hard).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::BadData, "{}", refused.chain());
    diff(&under_test, 1, &[(1, Some("a"), None), (2, Some("b"), None)], Deletes::Hard).await.unwrap();

    for now in [&twice[..], &[(1, Some("a"), None), (2, Some("b"), None), (3, Some("x"), None), (3, Some("y"), None)]] {
        let refused = diff(&under_test, 2, now, Deletes::Hard).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::BadData, "{}", refused.chain());
    }

    assert_eq!(content(&under_test), "1 'a' NULL, 2 'b' NULL");
    assert_eq!(under_test.record().await.map(|record| record.seq), Some(1));
}

async fn diff_named(under_test: &DatabaseSinkUnderTest, number: i64, all: Vec<(i64, String)>) {
    let now: Vec<Row<'_>> = all.iter().map(|(id, name)| (*id, Some(name.as_str()), None)).collect();
    diff(under_test, u64::try_from(number).unwrap(), &now, Deletes::Hard).await.unwrap();
}

/// A reader sees a diff as a whole.
pub async fn a_reader_sees_a_diff_as_a_whole(under_test: DatabaseSinkUnderTest) {
    const ROWS: i64 = 500;
    let round = |number: i64| {
        let name = format!("{number:03}");
        (0..ROWS).map(move |row| (number * ROWS / 5 + row, name.clone())).collect::<Vec<_>>()
    };
    diff_named(&under_test, 1, round(1)).await;
    let watch = Watch::names(&under_test);

    for number in 2..=10 {
        diff_named(&under_test, number, round(number)).await;
    }

    watch.saw_one_name_in(ROWS);
}
