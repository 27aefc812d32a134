//! What every sink made of a database promises: loads, commits, conflicts, seen through the sink and through the database's own client.
//!
//! Read next: `database_windows.rs` and `database_diffs.rs` for what whole windows and whole loads replace, `database_values.rs` for what happens to
//! values, `database_reader.rs` for the independent reader.

use super::database_reader::{DatabaseReader, Form};
use super::database_watch::Watch;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use karat_plugin_api::{
    CommitRecord, CommitRequest, Committed, ConnectorError, CursorValue, ErrorKind, FileLayout, Generation, Load, LoadRequest, Position, Sink, StreamId, TableLayout, TargetObject,
    TargetState, WriteMode,
};
use karat_spec::model::TableName;
use std::sync::Arc;

/// A sink over an empty database, and an independent reader of that.
pub struct DatabaseSinkUnderTest {
    /// The sink.
    pub sink: Arc<dyn Sink>,
    /// The database as its own client sees it.
    pub reader: Box<dyn DatabaseReader>,
}

impl DatabaseSinkUnderTest {
    pub(super) fn target(&self) -> TargetObject {
        self.sink.default_target(&TableName::parse("bronze.t").unwrap())
    }

    /// Rows of the target; none when it does not exist.
    fn content(&self) -> Vec<(i64, Option<String>)> {
        let target = self.target().table;
        let exists = self.tables().iter().any(|table| table.ends_with(&format!(".{target}")) || *table == target);
        let rows = if exists { self.reader.rows(&target, &[("id", Form::Number), ("name", Form::Text)]) } else { Vec::new() };
        let mut rows: Vec<_> = rows.into_iter().map(|row| (row[0].as_ref().unwrap().parse().unwrap(), row[1].as_deref().map(from_hex))).collect();
        rows.sort();
        rows
    }

    fn tables(&self) -> Vec<String> {
        self.reader.database().query(&self.reader.tables_query()).lines().map(str::to_owned).collect()
    }

    pub(super) async fn record(&self) -> Option<CommitRecord> {
        match self.sink.target_state(&stream(), &self.target()).await {
            Ok(TargetState::Present { record, .. }) => record.filter(|record| record.stream == stream()),
            Ok(TargetState::Absent) => None,
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::Refused | ErrorKind::Corrupt), "{}", error.chain());
                None
            }
        }
    }

    pub(super) fn request(&self, mode: WriteMode, generation: u64, attempt: &str) -> LoadRequest {
        let key = match &mode {
            WriteMode::Upsert { key, .. } | WriteMode::Window { key, .. } | WriteMode::Diff { key, .. } => key.clone(),
            WriteMode::Append { .. } | WriteMode::Replace => Vec::new(),
        };
        LoadRequest {
            stream: stream(),
            generation: Generation(generation),
            epoch: 1,
            attempt: attempt.into(),
            target: self.target(),
            schema: schema(),
            mode,
            layout: FileLayout::default(),
            table: TableLayout { key, ..TableLayout::default() },
            memory_bytes: 64 << 20,
        }
    }

    pub(super) async fn load(&self, request: LoadRequest, batch: RecordBatch, commit: CommitRequest) -> Result<Committed, ConnectorError> {
        let mut load = self.sink.begin(request).await?;
        load.write(batch).await?;
        load.stage().await?;
        load.commit(commit).await
    }
}

pub(super) fn stream() -> StreamId {
    StreamId::new("p", "bronze.t")
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("name", DataType::Utf8, true)]))
}

fn rows(rows: &[(i64, Option<&str>)]) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)));
    let names: ArrayRef = Arc::new(StringArray::from_iter(rows.iter().map(|row| row.1)));
    RecordBatch::try_new(schema(), vec![ids, names]).unwrap()
}

pub(super) fn at(value: i64) -> Position {
    if value == 0 { Position::Start } else { Position::Cursor { values: vec![CursorValue::Int(value)], tail: None, unsettled: None } }
}

pub(super) fn commit(generation: u64, seq: u64, attempt: &str, lo: i64, hi: i64) -> CommitRequest {
    let record = CommitRecord { stream: stream(), generation: Generation(generation), seq, epoch: 1, attempt: format!("{attempt}-{seq}"), lo: at(lo), hi: at(hi), rows: 0 };
    CommitRequest { record, run_id: "run".into(), window: None }
}

pub(super) fn append() -> WriteMode {
    WriteMode::Append { once_by: None }
}

fn upsert(unique_in_read: bool) -> WriteMode {
    WriteMode::Upsert { key: vec!["id".into()], unique_in_read, order_by: vec!["name".into()] }
}

fn expected(rows: &[(i64, Option<&str>)]) -> Vec<(i64, Option<String>)> {
    rows.iter().map(|(id, name)| (*id, name.map(str::to_owned))).collect()
}

pub(super) fn from_hex(text: &str) -> String {
    let bytes = (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap());
    String::from_utf8(bytes.collect()).unwrap()
}

/// Appended rows are read back with their position.
pub async fn appended_rows_are_read_back_with_their_position(under_test: DatabaseSinkUnderTest) {
    let mut open = under_test.sink.begin(under_test.request(append(), 1, "a")).await.unwrap();
    open.write(rows(&[(1, Some("x")), (2, None)])).await.unwrap();
    open.write(rows(&[(3, Some("")), (4, Some("y")), (5, None)])).await.unwrap();
    assert_eq!(open.stage().await.unwrap().rows, 5);
    assert!(under_test.content().is_empty());
    let committed = open.commit(commit(1, 1, "a", 0, 5)).await.unwrap();
    assert_eq!((committed.rows_written, committed.was_already_applied), (5, false));
    open.write(rows(&[(6, None)])).await.unwrap();
    open.stage().await.unwrap();
    open.commit(commit(1, 2, "a", 5, 6)).await.unwrap();

    assert_eq!(under_test.content(), expected(&[(1, Some("x")), (2, None), (3, Some("")), (4, Some("y")), (5, None), (6, None)]));
    let TargetState::Present { record: Some(record), rows, schema: found, .. } = under_test.sink.target_state(&stream(), &under_test.target()).await.unwrap() else {
        panic!("a table")
    };
    assert_eq!((record.seq, record.hi, record.lo), (2, at(6), at(5)));
    assert!(rows.is_none_or(|rows| rows == 6), "{rows:?}");
    assert_eq!(found.fields().iter().map(|field| (field.name().as_str(), field.data_type().clone())).collect::<Vec<_>>(), [("id", DataType::Int64), ("name", DataType::Utf8)]);
}

/// A position without rows is committed.
pub async fn a_position_without_rows_is_committed(under_test: DatabaseSinkUnderTest) {
    let mut open = under_test.sink.begin(under_test.request(append(), 1, "a")).await.unwrap();
    open.stage().await.unwrap();
    open.commit(commit(1, 1, "a", 0, 5)).await.unwrap();

    assert_eq!(under_test.record().await.map(|record| (record.seq, record.hi)), Some((1, at(5))));
    assert!(under_test.tables().iter().any(|table| table.ends_with(&under_test.target().table)), "an empty source makes an empty table");
    assert!(under_test.content().is_empty());
}

/// A replacement swaps all rows.
pub async fn a_replacement_swaps_all_rows(under_test: DatabaseSinkUnderTest) {
    under_test.load(under_test.request(WriteMode::Replace, 1, "a"), rows(&[(1, None), (2, None)]), commit(1, 1, "a", 0, 2)).await.unwrap();

    let second = under_test.load(under_test.request(WriteMode::Replace, 2, "b"), rows(&[(9, Some("z"))]), commit(2, 1, "b", 0, 9)).await.unwrap();

    assert_eq!(second.rows_written, 1);
    assert_eq!(under_test.content(), expected(&[(9, Some("z"))]));
    assert_eq!(under_test.record().await.map(|record| (record.generation, record.seq, record.hi)), Some((Generation(2), 1, at(9))));
}

/// A reader sees only whole generations.
pub async fn a_reader_sees_only_whole_generations(under_test: DatabaseSinkUnderTest) {
    const ROWS: i64 = 500;
    let generation = |number: u64| {
        let name = format!("{number:03}");
        (0..ROWS).map(move |id| (id, Some(name.clone()))).collect::<Vec<_>>()
    };
    let batch = |number: u64| rows(&generation(number).iter().map(|(id, name)| (*id, name.as_deref())).collect::<Vec<_>>());
    under_test.load(under_test.request(WriteMode::Replace, 1, "g1"), batch(1), commit(1, 1, "g1", 0, 1)).await.unwrap();
    let watch = Watch::names(&under_test);

    for number in 2..=10 {
        let attempt = format!("g{number}");
        under_test.load(under_test.request(WriteMode::Replace, number, &attempt), batch(number), commit(number, 1, &attempt, 0, 1)).await.unwrap();
    }

    watch.saw_one_name_in(ROWS);
}

/// What was staged but not committed is invisible and cleaned up.
pub async fn what_was_staged_but_not_committed_is_invisible_and_cleaned_up(under_test: DatabaseSinkUnderTest) {
    // As an upsert, so that the table has the key that the upsert below needs.
    under_test.load(under_test.request(upsert(true), 1, "a"), rows(&[(1, None)]), commit(1, 1, "a", 0, 1)).await.unwrap();
    let clean = under_test.tables();

    for mode in [append(), upsert(false), WriteMode::Replace] {
        let generation = if mode == WriteMode::Replace { 2 } else { 1 };
        let mut open = under_test.sink.begin(under_test.request(mode, generation, "b")).await.unwrap();
        open.write(rows(&[(2, None)])).await.unwrap();
        open.stage().await.unwrap();
        drop(open);
    }

    assert_eq!(under_test.content(), expected(&[(1, None)]));
    assert_eq!(under_test.record().await.map(|record| record.seq), Some(1));
    // The next run of the pipeline holds the lease, so nobody works on what is left.
    let next = LoadRequest { epoch: 2, ..under_test.request(append(), 1, "c") };
    let mut to_commit = commit(1, 2, "c", 1, 3);
    to_commit.record.epoch = 2;
    under_test.load(next, rows(&[(3, None)]), to_commit).await.unwrap();
    assert_eq!(under_test.tables(), clean);
    assert_eq!(under_test.content(), expected(&[(1, None), (3, None)]));
}

/// Of two committers of one batch exactly one wins.
pub async fn of_two_committers_of_one_batch_exactly_one_wins(under_test: DatabaseSinkUnderTest) {
    let mut opens: Vec<(String, Box<dyn Load>)> = Vec::new();
    for attempt in ["a", "b", "c"] {
        let mut open = under_test.sink.begin(under_test.request(append(), 1, attempt)).await.unwrap();
        open.write(rows(&[(1, Some(attempt))])).await.unwrap();
        open.stage().await.unwrap();
        opens.push((attempt.to_owned(), open));
    }

    let tries = opens.into_iter().map(|(attempt, mut open)| tokio::spawn(async move { open.commit(commit(1, 1, &attempt, 0, 1)).await.map_err(|error| error.kind()) }));
    let outcomes: Vec<_> = futures::future::join_all(tries).await.into_iter().map(Result::unwrap).collect();

    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Err(ErrorKind::Conflict)).count(), 2, "{outcomes:?}");
    assert_eq!(under_test.content().len(), 1);
}

/// A commit that does not follow the newest record is a conflict.
pub async fn a_commit_that_does_not_follow_the_newest_record_is_a_conflict(under_test: DatabaseSinkUnderTest) {
    under_test.load(under_test.request(append(), 1, "a"), rows(&[(1, None)]), commit(1, 1, "a", 0, 1)).await.unwrap();

    for (name, wrong) in [("a gap", commit(1, 3, "b", 1, 2)), ("another position", commit(1, 2, "b", 5, 6)), ("the first again", commit(1, 1, "b", 0, 1))] {
        let refused = under_test.load(under_test.request(append(), 1, "b"), rows(&[(2, None)]), wrong).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict, "{name}: {}", refused.chain());
    }
    under_test.load(under_test.request(WriteMode::Replace, 2, "c"), rows(&[(3, None)]), commit(2, 1, "c", 0, 3)).await.unwrap();
    let late = under_test.load(under_test.request(append(), 1, "d"), rows(&[(4, None)]), commit(1, 2, "d", 1, 4)).await.unwrap_err();

    assert_eq!(late.kind(), ErrorKind::Conflict, "a late commit of an older generation: {}", late.chain());
    assert_eq!(under_test.content(), expected(&[(3, None)]));
}

/// Committing the same attempt again changes nothing.
pub async fn committing_the_same_attempt_again_changes_nothing(under_test: DatabaseSinkUnderTest) {
    let mut open = under_test.sink.begin(under_test.request(append(), 1, "a")).await.unwrap();
    open.write(rows(&[(1, None)])).await.unwrap();
    open.stage().await.unwrap();
    open.commit(commit(1, 1, "a", 0, 1)).await.unwrap();

    let again = open.commit(commit(1, 1, "a", 0, 1)).await.unwrap();

    assert!(again.was_already_applied);
    assert_eq!(under_test.content().len(), 1);
}

/// An upsert replaces rows of earlier commits and the greater value wins inside a batch.
pub async fn an_upsert_replaces_rows_of_earlier_commits_and_the_greater_value_wins_inside_a_batch(under_test: DatabaseSinkUnderTest) {
    let first = rows(&[(1, Some("b")), (1, Some("a")), (2, Some("x")), (2, Some("x")), (3, None)]);
    under_test.load(under_test.request(upsert(false), 1, "a"), first, commit(1, 1, "a", 0, 3)).await.unwrap();
    assert_eq!(under_test.content(), expected(&[(1, Some("b")), (2, Some("x")), (3, None)]));

    let second = under_test.load(under_test.request(upsert(false), 1, "b"), rows(&[(2, Some("new")), (4, None)]), commit(1, 2, "b", 3, 4)).await.unwrap();

    assert_eq!(second.rows_written, 2);
    assert_eq!(under_test.content(), expected(&[(1, Some("b")), (2, Some("new")), (3, None), (4, None)]));
}

/// An idle upsert writes nothing but the position.
pub async fn an_idle_upsert_writes_nothing_but_the_position(under_test: DatabaseSinkUnderTest) {
    let batch = [(1, Some("a")), (2, None), (3, Some(""))];
    under_test.load(under_test.request(upsert(true), 1, "a"), rows(&batch), commit(1, 1, "a", 0, 3)).await.unwrap();
    let writes = under_test.reader.writes_query(&under_test.reader.table(&under_test.target().table));
    let look = || writes.as_deref().map(|query| under_test.reader.database().query(query));
    let before = look();

    for (seq, unique_in_read) in [(2, true), (3, false)] {
        let idle = under_test.load(under_test.request(upsert(unique_in_read), 1, "b"), rows(&batch), commit(1, seq, "b", 3, 3)).await.unwrap();
        assert_eq!((idle.rows_written, idle.rows_removed), (0, 0));
    }

    assert_eq!(look(), before);
    assert_eq!(under_test.content(), expected(&batch));
    assert_eq!(under_test.record().await.map(|record| record.seq), Some(3));
}

/// Rows that were delivered before are appended once.
pub async fn rows_that_were_delivered_before_are_appended_once(under_test: DatabaseSinkUnderTest) {
    let once = || WriteMode::Append { once_by: Some(vec!["id".into()]) };
    under_test.load(under_test.request(once(), 1, "a"), rows(&[(1, None), (2, None)]), commit(1, 1, "a", 0, 2)).await.unwrap();

    let again = under_test.load(under_test.request(once(), 1, "b"), rows(&[(2, None), (3, None)]), commit(1, 2, "b", 2, 3)).await.unwrap();

    assert_eq!(again.rows_written, 1);
    assert_eq!(under_test.content(), expected(&[(1, None), (2, None), (3, None)]));
}

/// Without a key equal rows are counted.
pub async fn without_a_key_equal_rows_are_counted(under_test: DatabaseSinkUnderTest) {
    let once = || WriteMode::Append { once_by: Some(vec!["id".into(), "name".into()]) };
    under_test.load(under_test.request(once(), 1, "a"), rows(&[(1, None), (1, None)]), commit(1, 1, "a", 0, 1)).await.unwrap();

    let mut open = under_test.sink.begin(under_test.request(once(), 1, "b")).await.unwrap();
    open.write(rows(&[(1, None)])).await.unwrap();
    open.stage().await.unwrap();
    open.commit(commit(1, 2, "b", 1, 1)).await.unwrap();
    open.write(rows(&[(1, None), (1, None)])).await.unwrap();
    open.stage().await.unwrap();
    open.commit(commit(1, 3, "b", 1, 1)).await.unwrap();

    assert_eq!(under_test.content(), expected(&[(1, None), (1, None), (1, None)]));
}

/// A table that this pipeline did not write is seen as such.
pub async fn a_table_that_this_pipeline_did_not_write_is_seen_as_such(under_test: DatabaseSinkUnderTest) {
    let other = StreamId::new("q", "bronze.t");
    under_test.load(under_test.request(append(), 1, "a"), rows(&[(1, None)]), commit(1, 1, "a", 0, 1)).await.unwrap();
    let TargetState::Present { record, rows, .. } = under_test.sink.target_state(&other, &under_test.target()).await.unwrap() else {
        panic!("a table of another stream is a table")
    };
    assert!(record.is_some_and(|record| record.stream == stream()) || rows != Some(0), "the rows of another stream would be taken for nothing");
    let foreign = under_test.sink.default_target(&TableName::parse("bronze.foreign_table").unwrap());
    let table = under_test.reader.table(&foreign.table);
    under_test.reader.database().execute(&format!("CREATE TABLE {table} (id bigint, name varchar(10)); INSERT INTO {table} VALUES (7, 'mine');"));

    let state = under_test.sink.target_state(&stream(), &foreign).await.unwrap();

    let TargetState::Present { record: None, rows, .. } = state else { panic!("a foreign table has no record: {state:?}") };
    assert_ne!(rows, Some(0), "its rows would be taken for nothing");
    assert_eq!(under_test.reader.database().query(&format!("SELECT * FROM {table}")), "7\tmine\n");
}

/// A target that is gone or was made anew is noticed.
pub async fn a_target_that_is_gone_or_was_made_anew_is_noticed(under_test: DatabaseSinkUnderTest) {
    under_test.load(under_test.request(append(), 1, "a"), rows(&[(1, None)]), commit(1, 1, "a", 0, 1)).await.unwrap();
    let table = under_test.reader.table(&under_test.target().table);
    assert!(under_test.record().await.is_some());

    under_test.reader.database().execute(&format!("DROP TABLE {table};"));
    assert_eq!(under_test.record().await, None, "the table is gone");
    under_test.reader.database().execute(&format!("CREATE TABLE {table} (id bigint NOT NULL, name varchar(10));"));
    assert_eq!(under_test.record().await, None, "the table is another one");
}

/// Loads of different tables go on beside each other.
pub async fn loads_of_different_tables_go_on_beside_each_other(under_test: DatabaseSinkUnderTest) {
    let names: Vec<String> = (0..8).map(|number| format!("bronze.t{number}")).collect();
    let targets: Vec<TargetObject> = names.iter().map(|name| under_test.sink.default_target(&TableName::parse(name).unwrap())).collect();
    let loads = names.iter().zip(&targets).map(|(name, target)| {
        let stream = StreamId::new("p", name);
        let request = LoadRequest { stream: stream.clone(), target: target.clone(), ..under_test.request(upsert(false), 1, name) };
        let mut to_commit = commit(1, 1, name, 0, 1);
        to_commit.record.stream = stream;
        let sink = under_test.sink.clone();
        tokio::spawn(async move {
            let mut load = sink.begin(request).await?;
            load.write(rows(&[(1, Some("a")), (2, None)])).await?;
            load.stage().await?;
            load.commit(to_commit).await
        })
    });

    for outcome in futures::future::join_all(loads).await {
        assert_eq!(outcome.unwrap().unwrap().rows_written, 2);
    }
    for target in &targets {
        assert_eq!(under_test.reader.rows(&target.table, &[("id", Form::Number)]).len(), 2);
    }
}
