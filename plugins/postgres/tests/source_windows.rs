//! Which windows a read of a real server delivers, and what is in them.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

mod fixture;

use arrow::array::AsArray;
use arrow::datatypes::Int32Type;
use fixture::{Fixture, fixture};
use futures::StreamExt;
use karat_plugin_api::{ConnectorError, CursorValue, ErrorKind, Position, ReadRequest, ReadStrategy, SourceBatch, SourceObject};
use karat_spec::model::{NullCursor, Window};
use std::time::{Duration, Instant};

macro_rules! fixture_or_skip {
    ($name:literal, $sql:expr) => {
        match fixture($name, $sql) {
            Some(fixture) => fixture,
            None => return,
        }
    };
}

/// One window: its bounds as people write them, its rows, and where to go on.
#[derive(Debug, PartialEq)]
struct Delivered {
    bounds: String,
    ids: Vec<i32>,
    position: Position,
}

#[derive(Debug)]
struct Outcome {
    windows: Vec<Delivered>,
    position: Position,
    future_rows: u64,
}

impl Outcome {
    fn summary(&self) -> String {
        self.windows.iter().map(|window| format!("{} {:?}", window.bounds, window.ids)).collect::<Vec<_>>().join("; ")
    }
}

fn bound(value: Option<&CursorValue>) -> String {
    value.map_or_else(|| "*".to_owned(), |value| value.to_string().trim_end_matches(" 00:00:00.000000").to_owned())
}

/// How a table is read.
struct Reading {
    unit: Window,
    refresh_last: u64,
    null_cursor: NullCursor,
    parallel: usize,
}

fn monthly() -> Reading {
    Reading { unit: Window::Month, refresh_last: 1, null_cursor: NullCursor::Error, parallel: 1 }
}

impl Reading {
    async fn request(&self, fixture: &Fixture, object: SourceObject, after: &Position, types: &[(&str, &str)]) -> ReadRequest {
        let strategy = ReadStrategy::Windows { cursor: "at".into(), unit: self.unit, after: after.clone(), refresh_last: self.refresh_last, null_cursor: self.null_cursor };
        ReadRequest { parallel: self.parallel, batch_rows: 3, ..fixture.request(object, types, strategy).await }
    }

    async fn of(&self, fixture: &Fixture, after: &Position) -> Result<Outcome, ConnectorError> {
        read(fixture, self.request(fixture, SourceObject::Table("t".into()), after, &[]).await).await
    }
}

async fn read(fixture: &Fixture, request: ReadRequest) -> Result<Outcome, ConnectorError> {
    let mut stream = fixture.source.read(request).await?.into_stream();
    let (mut windows, mut ids, mut total) = (Vec::new(), Vec::new(), 0);
    while let Some(item) = stream.next().await {
        match item? {
            SourceBatch::Rows { batch, position } => {
                assert!(position.is_none(), "a window is whole or not there");
                assert!((1..=3).contains(&batch.num_rows()));
                ids.extend_from_slice(batch.column_by_name("id").unwrap().as_primitive::<Int32Type>().values());
                total += batch.num_rows() as u64;
            }
            SourceBatch::WindowEnd { bounds, position } => {
                ids.sort_unstable();
                let null = if bounds.with_null { "+null" } else { "" };
                windows.push(Delivered { bounds: format!("{}..{}{null}", bound(bounds.from.as_ref()), bound(bounds.until.as_ref())), ids: std::mem::take(&mut ids), position });
            }
            SourceBatch::End { rows, position, future_rows, skipped_rows } => {
                assert_eq!((rows, skipped_rows), (total, 0));
                assert!(stream.next().await.is_none());
                assert!(ids.is_empty(), "every row belongs to a window");
                assert_eq!(windows.last().map(|window| &window.position), Some(&position));
                return Ok(Outcome { windows, position, future_rows });
            }
        }
    }
    panic!("a stream ends with End or an error")
}

/// Rows at the edges of months of a column of some type.
fn table(type_name: &str) -> String {
    format!(
        "CREATE TABLE t (id int PRIMARY KEY, at {type_name} NOT NULL); CREATE INDEX ON t (at); \
         INSERT INTO t VALUES (1, '2019-12-31'), (2, '2020-01-01'), (3, '2020-01-31'), (4, '2020-03-01'), (5, '2020-03-02'), (6, '2020-03-31'), (7, '2020-03-15'), (8, '2021-06-30')"
    )
}

const MONTHS: &str = "*..2020-01-01 [1]; 2020-01-01..2020-03-01 [2, 3]; 2020-03-01..2021-06-01 [4, 5, 6, 7]; 2021-06-01..* [8]";

#[tokio::test]
async fn windows_come_in_order_and_their_bounds_leave_no_gap() {
    for type_name in ["date", "timestamp", "timestamptz", "timestamp(0)"] {
        let fixture = fixture_or_skip!("windows_come_in_order_and_their_bounds_leave_no_gap", &table(type_name));
        for parallel in [1, 3, 16] {
            let outcome = Reading { parallel, ..monthly() }.of(&fixture, &Position::Start).await.unwrap();
            assert_eq!(outcome.summary(), MONTHS, "{type_name} {parallel}");
            assert_eq!(outcome.position.to_string().trim_end_matches(" 00:00:00.000000"), "the window from 2021-06-01", "{type_name}");
            assert_eq!(outcome.future_rows, 0);
        }
        let weekly = Reading { unit: Window::Week, ..monthly() }.of(&fixture, &Position::Start).await.unwrap();
        assert_eq!(
            weekly.summary(),
            "*..2020-01-27 [1, 2]; 2020-01-27..2020-02-24 [3]; 2020-02-24..2020-03-02 [4]; 2020-03-02..2020-03-09 [5]; 2020-03-09..2020-03-30 [7]; 2020-03-30..2021-06-28 [6]; 2021-06-28..* [8]"
        );
    }
}

#[tokio::test]
async fn a_query_and_a_column_without_an_index_have_the_same_windows() {
    let fixture = fixture_or_skip!("a_query_and_a_column_without_an_index_have_the_same_windows", &table("timestamptz").replace("CREATE INDEX ON t (at);", ""));
    assert_eq!(monthly().of(&fixture, &Position::Start).await.unwrap().summary(), MONTHS);

    let query = SourceObject::Query("SELECT id, at FROM t WHERE id <> 2 -- all but one".into());
    let request = Reading { parallel: 2, null_cursor: NullCursor::AlwaysReread, ..monthly() }.request(&fixture, query, &Position::Start, &[]).await;

    assert_eq!(read(&fixture, request).await.unwrap().summary(), MONTHS.replace("[2, 3]", "[3]").replace("..* [8]", "..*+null [8]"));
}

#[tokio::test]
async fn days_of_an_instant_are_those_of_utc() {
    let fixture = fixture_or_skip!(
        "days_of_an_instant_are_those_of_utc",
        "CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL); INSERT INTO t VALUES (1, '2020-01-01 00:30+02'), (2, '2020-01-01 00:00+00'), (3, '2020-01-31 23:59:59.999999+00'), (4, '2020-01-31 23:30-01')"
    );
    fixture.database.execute(&format!("ALTER DATABASE {} SET timezone = 'Pacific/Kiritimati'", fixture.database.name()));
    for index in ["", "CREATE INDEX ON t (at)"] {
        fixture.database.execute(index);
        let outcome = monthly().of(&fixture, &Position::Start).await.unwrap();
        assert_eq!(outcome.summary(), "*..2020-01-01 [1]; 2020-01-01..2020-02-01 [2, 3]; 2020-02-01..* [4]");
    }
}

#[tokio::test]
async fn later_reads_begin_with_the_newest_windows_that_were_read() {
    let fixture = fixture_or_skip!("later_reads_begin_with_the_newest_windows_that_were_read", &table("date"));
    let first = monthly().of(&fixture, &Position::Start).await.unwrap();
    let idle = monthly().of(&fixture, &first.position).await.unwrap();
    assert_eq!((idle.summary().as_str(), &idle.position), ("2021-06-01..* [8]", &first.position));
    fixture.database.execute("INSERT INTO t VALUES (9, '2021-06-01'), (10, '2021-09-09'), (11, '2021-05-31'); DELETE FROM t WHERE id = 8");

    let again = monthly().of(&fixture, &first.position).await.unwrap();
    assert_eq!(again.summary(), "2021-06-01..2021-09-01 [9]; 2021-09-01..* [10]");
    assert_eq!(again.position.to_string(), "the window from 2021-09-01");
    let further = Reading { refresh_last: 2, ..monthly() }.of(&fixture, &first.position).await.unwrap();
    assert_eq!(further.summary(), "2021-05-01..2021-06-01 [11]; 2021-06-01..2021-09-01 [9]; 2021-09-01..* [10]");

    // The newest window is empty now; what stood in it is covered all the same, and the position does not go back.
    fixture.database.execute("DELETE FROM t WHERE id > 4");
    let empty = Reading { refresh_last: 3, ..monthly() }.of(&fixture, &again.position).await.unwrap();
    assert_eq!((empty.summary().as_str(), &empty.position), ("2021-07-01..* []", &again.position));
}

#[tokio::test]
async fn another_unit_begins_where_its_own_window_does() {
    let fixture = fixture_or_skip!("another_unit_begins_where_its_own_window_does", &table("date"));
    let days = Reading { unit: Window::Day, ..monthly() };
    let daily = days.of(&fixture, &Position::Start).await.unwrap();
    assert_eq!(daily.position.to_string(), "the window from 2021-06-30");

    let months = monthly().of(&fixture, &daily.position).await.unwrap();
    assert_eq!((months.summary().as_str(), &months.position), ("2021-06-01..* [8]", &daily.position));
    let through = Position::Windows { through: CursorValue::Date(18_322) };
    let back = days.of(&fixture, &through).await.unwrap();
    assert_eq!(back.summary(), "2020-03-01..2020-03-02 [4]; 2020-03-02..2020-03-15 [5]; 2020-03-15..2020-03-31 [7]; 2020-03-31..2021-06-30 [6]; 2021-06-30..* [8]");
}

#[tokio::test]
async fn far_dates_and_empty_centuries_cost_nothing_and_the_future_does_not_move_the_position() {
    let fixture = fixture_or_skip!(
        "far_dates_and_empty_centuries_cost_nothing_and_the_future_does_not_move_the_position",
        "CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL); CREATE INDEX ON t (at); \
         INSERT INTO t VALUES (1, '4713-01-01 BC'), (2, '0001-01-01'), (3, '1970-01-01'), (4, now()), (5, now() + interval '70 days'), (6, '9999-12-31'), (7, '9999-12-31 23:59:59')"
    );
    let start = Instant::now();
    let outcome = Reading { unit: Window::Day, ..monthly() }.of(&fixture, &Position::Start).await.unwrap();

    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(outcome.windows.iter().map(|window| window.ids.clone()).collect::<Vec<_>>(), [vec![1], vec![2], vec![3], vec![4], vec![5], vec![6, 7]]);
    assert_eq!(outcome.future_rows, 3);
    assert_eq!(outcome.position, outcome.windows[3].position);
    assert_eq!(outcome.windows[5].position, outcome.position);
    assert_eq!(fixture.database.query("SELECT concat('the window from ', current_date)").trim(), outcome.position.to_string().trim_end_matches(" 00:00:00.000000"));
    let again = Reading { unit: Window::Day, ..monthly() }.of(&fixture, &outcome.position).await.unwrap();
    assert_eq!(again.windows.iter().flat_map(|window| window.ids.clone()).collect::<Vec<_>>(), [4, 5, 6, 7]);
}

#[tokio::test]
async fn what_lies_outside_of_the_calendar_belongs_to_the_first_or_last_window() {
    for (type_name, greatest) in [("date", "5874897-12-31"), ("timestamp", "294276-12-31"), ("timestamptz", "294276-12-31 23:59:59+00")] {
        let values = format!("(1, '-infinity'), (2, '2020-01-05'), (3, '2020-02-05'), (4, 'infinity'), (5, '{greatest}')");
        let fixture = fixture_or_skip!(
            "what_lies_outside_of_the_calendar_belongs_to_the_first_or_last_window",
            &format!("CREATE TABLE t (id int PRIMARY KEY, at {type_name} NOT NULL); INSERT INTO t VALUES {values}")
        );
        for index in ["", "CREATE INDEX ON t (at)"] {
            fixture.database.execute(index);
            let request = monthly().request(&fixture, SourceObject::Table("t".into()), &Position::Start, &[("at", "text")]).await;
            let outcome = read(&fixture, request).await.unwrap();
            assert_eq!(outcome.summary(), "*..2020-02-01 [1, 2]; 2020-02-01..* [3, 4, 5]", "{type_name} {index}");
        }
        fixture.database.execute("DELETE FROM t WHERE id IN (2, 3)");
        let request = monthly().request(&fixture, SourceObject::Table("t".into()), &Position::Start, &[("at", "text")]).await;
        let outcome = read(&fixture, request).await.unwrap();
        assert_eq!((outcome.summary().as_str(), outcome.position), ("*..* [1, 4, 5]", Position::Start), "{type_name}");
    }
}

#[tokio::test]
async fn rows_without_a_value_are_refused_or_belong_to_the_last_window() {
    let fixture = fixture_or_skip!(
        "rows_without_a_value_are_refused_or_belong_to_the_last_window",
        "CREATE TABLE t (id int PRIMARY KEY, at date); INSERT INTO t VALUES (1, '2020-01-01'), (2, NULL), (3, '2020-05-05')"
    );
    let refused = monthly().of(&fixture, &Position::Start).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::BadData, "{}", refused.chain());

    let reread = Reading { null_cursor: NullCursor::AlwaysReread, ..monthly() };
    let outcome = reread.of(&fixture, &Position::Start).await.unwrap();
    assert_eq!(outcome.summary(), "*..2020-05-01 [1]; 2020-05-01..*+null [2, 3]");
    fixture.database.execute("UPDATE t SET at = '2020-01-02' WHERE id = 2");
    assert_eq!(reread.of(&fixture, &outcome.position).await.unwrap().summary(), "2020-05-01..*+null [3]", "what has a value now leaves the target");
}

#[tokio::test]
async fn the_position_waits_for_a_transaction_of_which_nobody_knows_when_it_began() {
    let fixture = fixture_or_skip!("the_position_waits_for_a_transaction_of_which_nobody_knows_when_it_began", &table("date"));
    let mut session = fixture.database.session();
    session.execute(&format!("BEGIN; INSERT INTO t VALUES (9, '2020-01-15'); PREPARE TRANSACTION '{}'", fixture.database.name()));
    let first = monthly().of(&fixture, &Position::Start).await.unwrap();
    assert_eq!((first.summary().as_str(), &first.position), (MONTHS, &Position::Start));
    session.execute(&format!("COMMIT PREPARED '{}'", fixture.database.name()));

    let second = monthly().of(&fixture, &first.position).await.unwrap();

    assert_eq!(second.summary(), MONTHS.replace("[2, 3]", "[2, 3, 9]"));
    assert_eq!(second.position.to_string(), "the window from 2021-06-01");
}

#[tokio::test]
async fn an_empty_table_is_one_window_without_rows() {
    let fixture = fixture_or_skip!("an_empty_table_is_one_window_without_rows", "CREATE TABLE t (id int PRIMARY KEY, at date NOT NULL)");
    let outcome = Reading { parallel: 4, ..monthly() }.of(&fixture, &Position::Start).await.unwrap();
    assert_eq!((outcome.summary().as_str(), outcome.position), ("*..* []", Position::Start));
}

#[tokio::test]
async fn a_row_that_moves_during_the_read_is_delivered_once() {
    let fixture = fixture_or_skip!(
        "a_row_that_moves_during_the_read_is_delivered_once",
        "CREATE TABLE t (id int PRIMARY KEY, at timestamp NOT NULL, pad text NOT NULL DEFAULT repeat('x', 2000)); CREATE INDEX ON t (at); \
         INSERT INTO t (id, at) SELECT i, timestamp '2020-01-01' + (i / 2000) * interval '1 month' FROM generate_series(0, 11999) i"
    );
    for parallel in [1, 2] {
        let request = Reading { parallel, ..monthly() }.request(&fixture, SourceObject::Table("t".into()), &Position::Start, &[]).await;
        let mut stream = fixture.source.read(request).await.unwrap().into_stream();
        let mut ids = Vec::new();
        let mut has_moved = false;
        while let Some(item) = stream.next().await {
            if let SourceBatch::Rows { batch, .. } = item.unwrap() {
                ids.extend_from_slice(batch.column_by_name("id").unwrap().as_primitive::<Int32Type>().values());
                if !has_moved {
                    // Half of the rows of each month go to the next or to the one before; the table is emptied behind them.
                    fixture.database.execute(
                        "UPDATE t SET at = at + CASE WHEN id % 4 = 0 THEN interval '1 month' ELSE interval '-1 month' END WHERE id % 2 = 0; DELETE FROM t WHERE id % 5 = 0",
                    );
                    has_moved = true;
                }
            }
        }
        ids.sort_unstable();
        let expected: Vec<i32> = if parallel == 1 { (0..12_000).collect() } else { (0..12_000).filter(|id| id % 5 != 0).collect() };
        assert_eq!(ids, expected, "{parallel}");
    }
}

#[tokio::test]
async fn what_has_no_windows_is_refused_with_a_reason() {
    let fixture = fixture_or_skip!("what_has_no_windows_is_refused_with_a_reason", "CREATE TABLE t (id int PRIMARY KEY, at bigint NOT NULL, day date NOT NULL)");
    let refused = monthly().of(&fixture, &Position::Start).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::BadConfiguration);
    assert!(refused.to_string().contains("`at`"), "{refused}");

    for after in [Position::Snapshot { rows: 1, digest: None }, Position::Windows { through: CursorValue::Int(5) }] {
        let refused = monthly().of(&fixture, &after).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Refused, "{after}");
    }
}
