//! Windows of a date or timestamp column, by one reader and by several.

use crate::world::World;
use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::StreamExt;
use karat_plugin_api::{ConnectorError, CursorValue, ErrorKind, Position, ReadRequest, ReadStrategy, SourceBatch, SourceObject};
use karat_spec::model::{NullCursor, Window};
use karat_testkit::servers::numbers;
use std::sync::atomic::{AtomicBool, Ordering};

/// One window: bounds, position, and its rows as text of their first column, in the order of delivery.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    from: String,
    until: String,
    with_null: bool,
    position: Position,
    rows: Vec<String>,
}

impl Seen {
    fn line(&self) -> String {
        let null = if self.with_null { " and NULL" } else { "" };
        format!("[{}, {}){null}: {}", self.from, self.until, self.rows.join(" "))
    }
}

#[derive(Debug)]
struct Read {
    windows: Vec<Seen>,
    position: Position,
    future_rows: u64,
}

impl Read {
    fn lines(&self) -> Vec<String> {
        self.windows.iter().map(Seen::line).collect()
    }
}

/// How windows are asked for.
struct Ask<'a> {
    column: &'a str,
    unit: Window,
    after: Position,
    refresh_last: u64,
    null_cursor: NullCursor,
    parallel: usize,
    batch_rows: usize,
}

impl<'a> Ask<'a> {
    fn of(column: &'a str, unit: Window) -> Self {
        Self { column, unit, after: Position::Start, refresh_last: 1, null_cursor: NullCursor::Error, parallel: 1, batch_rows: 1_000 }
    }
}

async fn request(world: &World, object: SourceObject, ask: &Ask<'_>) -> ReadRequest {
    let strategy = ReadStrategy::Windows { cursor: ask.column.into(), unit: ask.unit, after: ask.after.clone(), refresh_last: ask.refresh_last, null_cursor: ask.null_cursor };
    ReadRequest { batch_rows: ask.batch_rows, parallel: ask.parallel, ..world.request(object, &[], strategy).await }
}

fn texts(batch: &RecordBatch) -> Vec<String> {
    let format = FormatOptions::default().with_null("NULL");
    let formatter = ArrayFormatter::try_new(batch.column(0), &format).unwrap();
    (0..batch.num_rows()).map(|row| formatter.value(row).to_string()).collect()
}

fn bound(value: Option<&CursorValue>) -> String {
    value.map_or_else(|| "-".into(), |value| value.to_string().replace(" 00:00:00.000000", ""))
}

async fn read(world: &World, request: ReadRequest) -> Result<Read, ConnectorError> {
    let batch_rows = request.batch_rows;
    let mut stream = world.source.read(request).await?.into_stream();
    let (mut windows, mut rows, mut count, mut end) = (Vec::new(), Vec::new(), 0, None);
    while let Some(step) = stream.next().await {
        assert!(end.is_none(), "nothing follows the end");
        match step? {
            SourceBatch::Rows { batch, position } => {
                assert!(position.is_none() && batch.num_rows() > 0 && count % batch_rows + batch.num_rows() <= batch_rows);
                count += batch.num_rows();
                rows.extend(texts(&batch));
            }
            SourceBatch::WindowEnd { bounds, position } => windows.push(Seen {
                from: bound(bounds.from.as_ref()),
                until: bound(bounds.until.as_ref()),
                with_null: bounds.with_null,
                position,
                rows: std::mem::take(&mut rows),
            }),
            SourceBatch::End { rows: sum, position, future_rows, skipped_rows } => {
                assert_eq!((sum, skipped_rows), (count as u64, 0));
                end = Some((position, future_rows));
            }
        }
    }
    let (position, future_rows) = end.expect("a stream ends with End or an error");
    assert!(rows.is_empty(), "rows belong to a window");
    assert_eq!(windows.last().map(|last| (last.until.as_str(), &last.position)), Some(("-", &position)), "the last window is unbounded");
    assert!(windows.windows(2).all(|pair| pair[0].until == pair[1].from), "no gaps: {windows:?}");
    Ok(Read { windows, position, future_rows })
}

async fn windows(world: &World, ask: &Ask<'_>) -> Result<Read, ConnectorError> {
    read(world, request(world, SourceObject::Table("t".into()), ask).await).await
}

fn day(text: &str) -> Position {
    let days = text.parse::<chrono::NaiveDate>().unwrap().signed_duration_since(chrono::NaiveDate::default()).num_days();
    Position::Windows { through: CursorValue::Date(i32::try_from(days).unwrap()) }
}

fn instant(text: &str) -> Position {
    let Position::Windows { through: CursorValue::Date(days) } = day(text) else { panic!("a day") };
    Position::Windows { through: CursorValue::Timestamp(i64::from(days) * 86_400_000_000) }
}

const DATES: &str = "CREATE TABLE t (id INT PRIMARY KEY, d DATE NOT NULL, KEY (d)); \
    INSERT INTO t VALUES (1, '2023-11-30'), (2, '2024-01-01'), (3, '2024-01-31'), (4, '2024-03-15'), (5, '2024-03-15'), (6, '9999-12-31')";

#[tokio::test]
async fn windows_that_exist_are_delivered_in_order_and_cover_all_there_is() {
    let Some(world) = World::new("windows_that_exist_are_delivered_in_order_and_cover_all_there_is", DATES) else { return };
    let expected = ["[-, 2024-01-01): 1", "[2024-01-01, 2024-03-01): 2 3", "[2024-03-01, 9999-12-01): 4 5", "[9999-12-01, -): 6"];
    for (parallel, batch_rows) in [(1, 1_000), (1, 1), (2, 1_000), (3, 2)] {
        let first = windows(&world, &Ask { parallel, batch_rows, ..Ask::of("d", Window::Month) }).await.unwrap();
        assert_eq!(first.lines(), expected, "{parallel} readers");
        assert_eq!(first.windows.iter().map(|window| window.position.clone()).collect::<Vec<_>>(), ["2023-11-01", "2024-01-01", "2024-03-01", "2024-03-01"].map(day));
        assert_eq!((first.position, first.future_rows), (day("2024-03-01"), 1), "a date to come moves no position");
    }

    let again = windows(&world, &Ask { after: day("2024-03-01"), refresh_last: 3, ..Ask::of("d", Window::Month) }).await.unwrap();

    assert_eq!(again.lines(), ["[2024-01-01, 2024-03-01): 2 3", "[2024-03-01, 9999-12-01): 4 5", "[9999-12-01, -): 6"]);
    assert_eq!(again.windows[0].position, day("2024-03-01"), "a position never goes back");
    world.database.execute("DELETE FROM t WHERE id IN (2, 3)");
    let shrunk = windows(&world, &Ask { after: day("2024-03-01"), refresh_last: 3, ..Ask::of("d", Window::Month) }).await.unwrap();
    assert_eq!(shrunk.lines()[0], "[2024-01-01, 9999-12-01): 4 5", "what was there before the first window is covered");
}

#[tokio::test]
async fn windows_without_an_index_and_of_queries_are_the_same() {
    let sql = format!("{DATES}; CREATE TABLE bare (id INT, d DATETIME(3) NOT NULL); INSERT INTO bare SELECT id, d + INTERVAL 86399999 * 1000 MICROSECOND FROM t");
    let Some(world) = World::new("windows_without_an_index_and_of_queries_are_the_same", &sql) else { return };
    let bare = |object| {
        let world = &world;
        async move { read(world, request(world, object, &Ask { parallel: 3, batch_rows: 2, ..Ask::of("d", Window::Week) }).await).await.unwrap() }
    };
    let table = bare(SourceObject::Table("bare".into())).await;
    let query = bare(SourceObject::Query("SELECT id, d FROM bare -- all".into())).await;
    assert_eq!(table.lines(), ["[-, 2024-01-01): 1", "[2024-01-01, 2024-01-29): 2", "[2024-01-29, 2024-03-11): 3", "[2024-03-11, 9999-12-27): 4 5", "[9999-12-27, -): 6"]);
    assert_eq!(query.windows, table.windows);
    assert_eq!(table.position, instant("2024-03-11"));
}

#[tokio::test]
async fn timestamps_are_cut_in_utc_and_up_to_their_end() {
    let sql = "CREATE TABLE t (id INT PRIMARY KEY, at TIMESTAMP(6) NOT NULL DEFAULT '2000-01-01', KEY (at)); SET time_zone = '+00:00'; \
               INSERT INTO t VALUES (1, '1970-01-01 00:00:01'), (2, '2024-02-29 23:59:59.999999'), (3, '2024-03-01'), (4, '2038-01-19 03:14:07.999999')";
    let Some(world) = World::new("timestamps_are_cut_in_utc_and_up_to_their_end", sql) else { return };
    for parallel in [1, 2] {
        let first = windows(&world, &Ask { parallel, ..Ask::of("at", Window::Day) }).await.unwrap();
        assert_eq!(first.lines(), ["[-, 2024-02-29): 1", "[2024-02-29, 2024-03-01): 2", "[2024-03-01, 2038-01-19): 3", "[2038-01-19, -): 4"]);
    }
    world.database.execute("ALTER TABLE t DROP INDEX at");
    let unindexed = windows(&world, &Ask { after: instant("2024-03-01"), refresh_last: 2, ..Ask::of("at", Window::Day) }).await.unwrap();
    assert_eq!(unindexed.lines(), ["[2024-02-29, 2024-03-01): 2", "[2024-03-01, 2038-01-19): 3", "[2038-01-19, -): 4"]);
}

#[tokio::test]
async fn a_read_without_rows_covers_everything_from_its_lower_bound() {
    let sql = "CREATE TABLE t (id INT PRIMARY KEY, d DATE, KEY (d)); CREATE TABLE bare (id INT, d DATE)";
    let Some(world) = World::new("a_read_without_rows_covers_everything_from_its_lower_bound", sql) else { return };
    for table in ["t", "bare"] {
        for parallel in [1, 2] {
            let ask = |after| Ask { after, parallel, null_cursor: NullCursor::AlwaysReread, ..Ask::of("d", Window::Month) };
            let first = read(&world, request(&world, SourceObject::Table(table.into()), &ask(Position::Start)).await).await.unwrap();
            assert_eq!((first.lines(), first.position), (vec!["[-, -) and NULL: ".to_owned()], Position::Start));
            // The unit was a day before.
            let later = read(&world, request(&world, SourceObject::Table(table.into()), &ask(day("2024-03-15"))).await).await.unwrap();
            assert_eq!((later.lines(), later.position), (vec!["[2024-03-01, -) and NULL: ".to_owned()], day("2024-03-01")));
        }
    }
}

/// Makes or drops the index on `d`.
fn set_index(world: &World, is_wanted: bool) {
    if world.query("SHOW INDEX FROM t WHERE Key_name = 'd'").is_empty() == is_wanted {
        world.database.execute(if is_wanted { "ALTER TABLE t ADD INDEX d (d)" } else { "ALTER TABLE t DROP INDEX d" });
    }
}

#[tokio::test]
async fn rows_without_a_value_are_refused_or_belong_to_the_last_window() {
    let sql = "CREATE TABLE t (id INT PRIMARY KEY, d DATE, KEY (d)); INSERT INTO t VALUES (1, NULL), (2, '2024-01-05'), (3, NULL), (4, '2024-02-05')";
    let Some(world) = World::new("rows_without_a_value_are_refused_or_belong_to_the_last_window", sql) else { return };
    for parallel in [1, 2] {
        let refused = windows(&world, &Ask { parallel, ..Ask::of("d", Window::Month) }).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::BadData, "{}", refused.chain());
        for (index, after) in [(true, Position::Start), (true, day("2024-02-01")), (false, day("2024-02-01"))] {
            set_index(&world, index);
            let read = windows(&world, &Ask { after, parallel, null_cursor: NullCursor::AlwaysReread, ..Ask::of("d", Window::Month) }).await.unwrap();
            assert_eq!(read.lines().last().unwrap(), "[2024-02-01, -) and NULL: 4 1 3");
            assert_eq!((read.position, read.future_rows), (day("2024-02-01"), 0));
        }
    }
}

#[tokio::test]
async fn what_is_no_date_is_refused() {
    let sql =
        "SET sql_mode = ''; CREATE TABLE t (id INT PRIMARY KEY, d DATE NOT NULL, s VARCHAR(10), KEY (d)); INSERT INTO t VALUES (1, '0000-00-00', 'x'), (2, '2024-01-01', 'y')";
    let Some(world) = World::new("what_is_no_date_is_refused", sql) else { return };
    for (index, parallel) in [(true, 1), (true, 2), (false, 1)] {
        set_index(&world, index);
        let zero = windows(&world, &Ask { parallel, ..Ask::of("d", Window::Month) }).await.unwrap_err();
        assert!(zero.kind() == ErrorKind::BadData && zero.to_string().contains("`d`"), "{}", zero.chain());
    }
    for (column, kind) in [("s", ErrorKind::BadConfiguration), ("missing", ErrorKind::SchemaMismatch)] {
        assert_eq!(windows(&world, &Ask::of(column, Window::Month)).await.unwrap_err().kind(), kind);
    }
    for after in [Position::Snapshot { rows: 1, digest: None }, Position::Windows { through: CursorValue::Int(5) }] {
        assert_eq!(windows(&world, &Ask { after, ..Ask::of("d", Window::Month) }).await.unwrap_err().kind(), ErrorKind::Refused);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_moves_between_windows_is_there_once() {
    let sql = &format!(
        "CREATE TABLE t (id INT PRIMARY KEY, d DATE NOT NULL, KEY (d)); INSERT INTO t SELECT seq, '2024-01-01' + INTERVAL seq % 400 DAY FROM {}; ANALYZE TABLE t",
        numbers(8_000)
    );
    let Some(world) = World::new("a_row_that_moves_between_windows_is_there_once", sql) else { return };
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 1..=2_u32 {
            let (world, done) = (&world, &done);
            scope.spawn(move || {
                let mut session = world.database.session();
                let mut at = writer;
                while !done.load(Ordering::Relaxed) {
                    at = at.wrapping_mul(7_919).wrapping_add(writer) % 8_000 + 1;
                    session.execute(&format!("UPDATE t SET d = '2024-01-01' + INTERVAL {} DAY WHERE id = {at}", at.wrapping_mul(31) % 400));
                }
            });
        }
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                for (parallel, unit) in [(1, Window::Day), (2, Window::Day), (4, Window::Week), (3, Window::Month)] {
                    let read = windows(&world, &Ask { parallel, batch_rows: 70, ..Ask::of("d", unit) }).await.unwrap();
                    let mut ids: Vec<u32> = read.windows.iter().flat_map(|window| window.rows.iter().map(|row| row.parse().unwrap())).collect();
                    ids.sort_unstable();
                    assert!(ids.iter().copied().eq(1..=8_000), "{parallel} readers: {} rows", ids.len());
                }
            });
        });
        done.store(true, Ordering::Relaxed);
    });
}

#[tokio::test]
async fn a_stream_that_is_dropped_ends_its_readers() {
    let sql = &format!(
        "CREATE TABLE t (id INT PRIMARY KEY, d DATE NOT NULL, KEY (d)); INSERT INTO t SELECT seq, '2024-01-01' + INTERVAL seq % 40 DAY FROM {}; ANALYZE TABLE t",
        numbers(40_000)
    );
    let Some(world) = World::alone("a_stream_that_is_dropped_ends_its_readers", sql) else { return };
    let asked = request(&world, SourceObject::Table("t".into()), &Ask { parallel: 4, batch_rows: 10, ..Ask::of("d", Window::Day) }).await;
    let mut stream = world.source.read(asked).await.unwrap().into_stream();
    assert!(stream.next().await.unwrap().is_ok());
    drop(stream);
    for _ in 0..200 {
        if world.query("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'root' AND ID <> CONNECTION_ID()") == ["0"] {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("readers stay: {:?}", world.query("SHOW PROCESSLIST"));
}

#[tokio::test]
async fn a_prepared_transaction_keeps_the_position_where_it_is() {
    let test = "a_prepared_transaction_keeps_the_position_where_it_is";
    let Some(world) = World::alone(test, "CREATE TABLE t (id int PRIMARY KEY, day date, KEY (day)); INSERT INTO t VALUES (1, '2024-01-31'), (2, '2024-02-01')") else { return };
    let name = world.database.name().to_owned();
    let ask = |after: Position| Ask { after, ..Ask::of("day", Window::Month) };
    world.database.execute(&format!("XA START '{name}'; INSERT INTO t VALUES (3, '2024-01-31'); XA END '{name}'; XA PREPARE '{name}'"));

    let before = read(&world, request(&world, SourceObject::Table("t".into()), &ask(Position::Start)).await).await.unwrap();
    world.database.execute(&format!("XA COMMIT '{name}'"));
    let after = read(&world, request(&world, SourceObject::Table("t".into()), &ask(before.position.clone())).await).await.unwrap();

    assert_eq!((before.lines().len(), before.position), (2, Position::Start), "nobody knows when it began");
    assert_eq!(after.lines()[0], "[-, 2024-02-01): 1 3");
}
