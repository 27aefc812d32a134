//! What a read of whole windows delivers, seen from outside.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use futures::StreamExt;
use karat_plugin_api::{
    ColumnChoice, ConnectContext, ConnectorError, CursorValue, DeclaredType, ErrorKind, ExtraColumns, Plugin, Position, ReadRequest, ReadStrategy, Source, SourceBatch,
    SourceObject,
};
use karat_spec::model::{NullCursor, Window};
use rusqlite::Connection;
use std::sync::Arc;
use tempfile::TempDir;

struct Fixture {
    _folder: TempDir,
    database: Connection,
    source: Arc<dyn Source>,
}

/// One read: which ids each window has, between which bounds, and where it ends.
struct Outcome {
    /// `from..until: ids`, with `null` for windows that rows without a date belong to.
    windows: Vec<String>,
    positions: Vec<Position>,
    future_rows: u64,
}

impl Outcome {
    fn position(&self) -> Position {
        self.positions.last().unwrap().clone()
    }
}

struct Asked {
    unit: Window,
    after: Position,
    refresh_last: u64,
    null_cursor: NullCursor,
    data_type: &'static str,
}

const MONTHS: Asked = Asked { unit: Window::Month, after: Position::Start, refresh_last: 1, null_cursor: NullCursor::Error, data_type: "date" };

fn fixture(sql: &str) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let database = Connection::open(folder.path().join("shop.db")).unwrap();
    database.execute_batch(sql).unwrap();
    let settings = serde_json::json!({"path": "shop.db"});
    let context = ConnectContext { root: folder.path().to_owned(), scratch: folder.path().join("scratch") };
    let source = karat_sqlite::Sqlite.open_source(settings.as_object().unwrap(), &context).unwrap();
    Fixture { _folder: folder, database, source }
}

fn date(text: &str) -> CursorValue {
    let day: chrono::NaiveDate = text.parse().unwrap();
    CursorValue::Date(i32::try_from(day.signed_duration_since(chrono::NaiveDate::default()).num_days()).unwrap())
}

fn through(text: &str) -> Position {
    Position::Windows { through: date(text) }
}

impl Fixture {
    fn read(&self, asked: &Asked) -> Result<Outcome, ConnectorError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let object = SourceObject::Table("t".into());
            let described = self.source.describe(&object).await?;
            let columns = described.columns.iter().map(|column| {
                let data_type = if column.name == "day" { DeclaredType::parse(asked.data_type).unwrap().data_type().clone() } else { column.data_type.clone() };
                ColumnChoice { name: column.name.clone(), data_type, nullable: column.nullable }
            });
            let strategy =
                ReadStrategy::Windows { cursor: "day".into(), unit: asked.unit, after: asked.after.clone(), refresh_last: asked.refresh_last, null_cursor: asked.null_cursor };
            let request = ReadRequest { object, columns: columns.collect(), extra_columns: ExtraColumns::Refuse, strategy, batch_rows: 3, batch_bytes: 1 << 20, parallel: 2 };
            let mut stream = self.source.read(request).await?.into_stream();
            let mut outcome = Outcome { windows: Vec::new(), positions: Vec::new(), future_rows: 0 };
            let (mut ids, mut count, mut last, mut has_ended) = (Vec::new(), 0, None, false);
            while let Some(step) = stream.next().await {
                match step? {
                    SourceBatch::Rows { batch, position } => {
                        assert!(position.is_none() && (1..=3).contains(&batch.num_rows()));
                        count += batch.num_rows() as u64;
                        ids.extend(batch.column_by_name("id").unwrap().as_primitive::<Int64Type>().values().to_vec());
                    }
                    SourceBatch::WindowEnd { bounds, position } => {
                        assert_eq!(last.take().unwrap_or(bounds.from.clone()), bounds.from, "windows follow each other without a gap");
                        let limit = |bound: &Option<CursorValue>| bound.as_ref().map_or_else(String::new, ToString::to_string);
                        let null = if bounds.with_null { " null" } else { "" };
                        let texts: Vec<String> = ids.drain(..).map(|id: i64| id.to_string()).collect();
                        outcome.windows.push(format!("{}..{}{null}: {}", limit(&bounds.from), limit(&bounds.until), texts.join(" ")));
                        outcome.positions.push(position);
                        has_ended = bounds.until.is_none();
                        last = Some(bounds.until);
                    }
                    SourceBatch::End { rows, position, future_rows, skipped_rows } => {
                        assert!(has_ended && ids.is_empty(), "the last window has no end");
                        assert_eq!((rows, skipped_rows, &position), (count, 0, outcome.positions.last().unwrap()));
                        outcome.future_rows = future_rows;
                        return Ok(outcome);
                    }
                }
            }
            panic!("a stream ends with its end or an error");
        })
    }

    fn refused(&self, asked: &Asked) -> ConnectorError {
        self.read(asked).err().unwrap()
    }
}

const SALES: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, day DATE); INSERT INTO t VALUES (1, '2023-11-30'), (2, '2024-01-31'), (3, '2024-01-01'), (4, '2024-02-01'), (5, '2024-02-29'), (6, '2024-02-10'), (7, '2024-02-11');";

#[test]
fn a_first_read_delivers_every_window_that_has_rows_and_covers_all_time() {
    let fixture = fixture(SALES);

    let outcome = fixture.read(&MONTHS).unwrap();

    assert_eq!(outcome.windows, ["..2024-01-01: 1", "2024-01-01..2024-02-01: 3 2", "2024-02-01..: 4 6 7 5"]);
    assert_eq!(outcome.positions, ["2023-11-01", "2024-01-01", "2024-02-01"].map(through));
}

#[test]
fn a_later_read_begins_with_the_newest_window_or_as_many_before_it_as_were_asked_for() {
    let fixture = fixture(SALES);
    fixture.database.execute_batch("INSERT INTO t VALUES (8, '2024-04-05'), (9, '2023-01-01')").unwrap();

    let newest = fixture.read(&Asked { after: through("2024-02-01"), ..MONTHS }).unwrap();
    let more = fixture.read(&Asked { after: through("2024-02-01"), refresh_last: 3, ..MONTHS }).unwrap();
    let all = fixture.read(&Asked { after: through("2024-02-01"), refresh_last: u64::MAX, ..MONTHS }).unwrap();

    assert_eq!(newest.windows, ["2024-02-01..2024-04-01: 4 6 7 5", "2024-04-01..: 8"]);
    assert_eq!(more.windows, ["2023-12-01..2024-02-01: 3 2", "2024-02-01..2024-04-01: 4 6 7 5", "2024-04-01..: 8"]);
    assert_eq!(all.windows.len(), 5);
    assert_eq!(newest.position(), through("2024-04-01"));
}

#[test]
fn windows_without_rows_are_covered_by_the_one_before_them_and_an_empty_read_covers_everything() {
    let fixture = fixture("CREATE TABLE t (id INTEGER PRIMARY KEY, day DATE)");

    let first = fixture.read(&MONTHS).unwrap();
    let later = fixture.read(&Asked { after: through("2024-02-01"), ..MONTHS }).unwrap();

    assert_eq!((first.windows, first.positions), (vec!["..: ".to_owned()], vec![Position::Start]));
    assert_eq!((later.windows, later.positions), (vec!["2024-02-01..: ".to_owned()], vec![through("2024-02-01")]));
}

#[test]
fn a_row_from_the_future_is_delivered_and_does_not_move_the_position() {
    let fixture = fixture(SALES);
    fixture.database.execute_batch("INSERT INTO t VALUES (8, '9999-12-31')").unwrap();

    let outcome = fixture.read(&Asked { after: through("2024-02-01"), ..MONTHS }).unwrap();

    assert_eq!(outcome.windows, ["2024-02-01..9999-12-01: 4 6 7 5", "9999-12-01..: 8"]);
    assert_eq!((outcome.position(), outcome.future_rows), (through("2024-02-01"), 1));
}

#[test]
fn weeks_begin_on_monday_and_another_unit_begins_where_its_own_window_does() {
    let fixture = fixture(SALES);

    let weeks = fixture.read(&Asked { unit: Window::Week, after: through("2024-02-29"), ..MONTHS }).unwrap();
    let months = fixture.read(&Asked { after: through("2024-02-29"), ..MONTHS }).unwrap();

    assert_eq!(weeks.windows, ["2024-02-26..: 5"]);
    assert_eq!((months.position(), months.windows), (through("2024-02-29"), vec!["2024-02-01..: 4 6 7 5".to_owned()]));
}

#[test]
fn rows_without_a_date_stop_the_read_or_belong_to_its_last_window() {
    let fixture = fixture(SALES);
    fixture.database.execute_batch("INSERT INTO t VALUES (8, NULL), (9, NULL)").unwrap();
    let asked = Asked { after: through("2024-02-01"), ..MONTHS };

    let outcome = fixture.read(&Asked { null_cursor: NullCursor::AlwaysReread, ..asked }).unwrap();
    let refused = fixture.refused(&MONTHS);

    assert_eq!(outcome.windows, ["2024-02-01.. null: 4 6 7 5 8 9"]);
    assert_eq!(refused.kind(), ErrorKind::BadData);
    assert!(refused.to_string().contains("2 rows of table `t` have no cursor value"), "{refused}");
}

#[test]
fn timestamps_as_text_and_as_numbers_have_the_same_windows() {
    let written = "CREATE TABLE t (id INTEGER PRIMARY KEY, day TIMESTAMP); INSERT INTO t SELECT id, strftime('%FORM', moment) FROM
        (SELECT 1 AS id, '2024-01-31 23:59:59' AS moment UNION ALL SELECT 2, '2024-02-01 00:00:00' UNION ALL SELECT 3, '2024-02-29 12:00:00')";
    for (form, declared) in [("%Y-%m-%d %H:%M:%S", "TIMESTAMP"), ("%Y-%m-%dT%H:%M:%SZ", "TEXT"), ("%s", "INTEGER"), ("%s", "TIMESTAMP")] {
        let fixture = fixture(&written.replace("%FORM", form).replace("TIMESTAMP", declared));
        let asked = Asked { data_type: "timestamp", ..MONTHS };

        let first = fixture.read(&asked).unwrap();
        let later = fixture.read(&Asked { after: first.position(), ..asked }).unwrap();

        assert_eq!(first.windows, ["..2024-02-01 00:00:00.000000: 1", "2024-02-01 00:00:00.000000..: 2 3"], "{form} {declared}");
        assert_eq!(later.windows, ["2024-02-01 00:00:00.000000..: 2 3"], "{form} {declared}");
    }
}

#[test]
fn an_offset_moves_a_row_into_its_window_of_utc() {
    let fixture = fixture("CREATE TABLE t (id INTEGER PRIMARY KEY, day TEXT); INSERT INTO t VALUES (1, '2024-01-31 23:30:00-02:00'), (2, '2024-02-05 00:00:00-02:00')");
    let after = Position::Windows { through: CursorValue::Timestamp(1_706_745_600_000_000) };

    let outcome = fixture.read(&Asked { data_type: "timestamptz", after, ..MONTHS }).unwrap();

    assert_eq!(outcome.windows, ["2024-02-01 00:00:00.000000..: 1 2"]);
}

#[test]
fn what_does_not_stand_in_the_order_of_time_is_refused() {
    for values in [
        // By the clock on the wall the first is later, in UTC the second.
        "(1, '2024-02-01 00:30:00-02:00'), (2, '2024-02-01 01:00:00+02:00')",
        // A number stands before every text.
        "(1, 1709294400), (2, '2024-02-01 00:00:00')",
    ] {
        let fixture = fixture(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY, day TIMESTAMP); INSERT INTO t VALUES {values}"));

        let refused = fixture.refused(&Asked { data_type: "timestamptz", ..MONTHS });

        assert_eq!(refused.kind(), ErrorKind::BadData);
        assert!(refused.to_string().contains("does not stand in the order of time"), "{refused}");
    }
}

#[test]
fn julian_days_are_refused_even_where_no_bound_would_find_them() {
    let fixture = fixture(SALES);
    fixture.database.execute_batch("INSERT INTO t VALUES (8, 2460310.5)").unwrap();

    let refused = fixture.refused(&Asked { after: through("2024-02-01"), ..MONTHS });

    assert!(refused.to_string().contains("floating-point numbers"), "{refused}");
}

#[test]
fn a_column_that_is_no_date_and_a_position_of_another_strategy_are_refused() {
    let fixture = fixture(SALES);

    let text = fixture.refused(&Asked { data_type: "text", ..MONTHS });
    let cursor = fixture.refused(&Asked { after: Position::Cursor { values: vec![CursorValue::Int(1)], tail: None, unsettled: None }, ..MONTHS });
    let other_type = fixture.refused(&Asked { after: Position::Windows { through: CursorValue::Timestamp(0) }, ..MONTHS });

    assert_eq!(text.kind(), ErrorKind::BadConfiguration);
    assert_eq!((cursor.kind(), other_type.kind()), (ErrorKind::Refused, ErrorKind::Refused));
}
