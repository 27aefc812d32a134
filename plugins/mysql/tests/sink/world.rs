//! One database, one target, one stream; and a small engine that delivers to it until all is there.

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use karat_plugin_api::{
    CommitRecord, CommitRequest, Committed, ConnectContext, ConnectorError, CursorValue, ErrorKind, FileLayout, Generation, Load, LoadRequest, Plugin, Position, Sink, StreamId,
    TableLayout, TargetObject, TargetState, WriteMode,
};
use karat_testkit::Skip;
use karat_testkit::servers::{ChaosProxy, Database, MysqlServer};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Opens the plugin on a URL.
pub(crate) fn open_sink(url: &str) -> Arc<dyn Sink> {
    let settings = serde_json::json!({ "url": url }).as_object().cloned().unwrap();
    let context = ConnectContext { root: std::env::temp_dir(), scratch: std::env::temp_dir() };
    karat_mysql::MYSQL.open_sink(&settings, &context).unwrap()
}

/// A database and a stream into its table `bronze_t`.
pub(crate) struct World {
    pub(crate) database: Database,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) stream: StreamId,
}

impl World {
    pub(crate) fn new() -> Result<Self, Skip> {
        Ok(Self::over(MysqlServer::shared()?.database()))
    }

    pub(crate) fn over(database: Database) -> Self {
        Self { sink: open_sink(&database.url()), database, stream: StreamId::new("p", "bronze.t") }
    }

    /// The same database, reached through a proxy.
    pub(crate) fn through(&self, proxy: &ChaosProxy) -> Arc<dyn Sink> {
        open_sink(&self.database.url_through(proxy))
    }

    pub(crate) fn target(&self) -> TargetObject {
        TargetObject { table: "bronze_t".into() }
    }

    pub(crate) fn request(&self, mode: WriteMode, generation: u64, epoch: u64, attempt: &str) -> LoadRequest {
        LoadRequest {
            stream: self.stream.clone(),
            generation: Generation(generation),
            epoch,
            attempt: attempt.into(),
            target: self.target(),
            schema: schema(),
            mode,
            layout: FileLayout::default(),
            table: TableLayout { key: vec!["id".into()], ..TableLayout::default() },
            memory_bytes: 64 << 20,
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a commit is named by all of them, and a test gives each its own value")]
    pub(crate) fn commit(&self, generation: u64, seq: u64, attempt: &str, lo: i64, hi: i64) -> CommitRequest {
        let record =
            CommitRecord { stream: self.stream.clone(), generation: Generation(generation), seq, epoch: 1, attempt: format!("{attempt}-{seq}"), lo: at(lo), hi: at(hi), rows: 0 };
        CommitRequest { record, run_id: "run".into(), window: None }
    }

    pub(crate) async fn record(&self) -> Option<CommitRecord> {
        match self.sink.target_state(&self.stream, &self.target()).await.unwrap() {
            TargetState::Present { record, .. } => record,
            TargetState::Absent => None,
        }
    }

    /// `id=name`, sorted by id.
    pub(crate) fn content(&self) -> Vec<String> {
        self.database.query("SELECT CONCAT(id, '=', COALESCE(name, 'NULL')) FROM bronze_t ORDER BY id").lines().map(str::to_owned).collect()
    }

    pub(crate) fn tables(&self) -> Vec<String> {
        self.database.query("SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1").lines().map(str::to_owned).collect()
    }

    /// One generation with these rows, committed in order.
    pub(crate) async fn replace(&self, generation: u64, attempt: &str, batch: RecordBatch) -> Committed {
        load(&self.sink, self.request(WriteMode::Replace, generation, 1, attempt), batch, self.commit(generation, 1, attempt, 0, 1)).await.unwrap()
    }
}

/// Opens a load, delivers one batch and commits it.
pub(crate) async fn load(sink: &Arc<dyn Sink>, request: LoadRequest, batch: RecordBatch, commit: CommitRequest) -> Result<Committed, ConnectorError> {
    let mut load = staged(sink, request, batch).await?;
    load.commit(commit).await
}

/// Opens a load and delivers one batch, up to the commit.
pub(crate) async fn staged(sink: &Arc<dyn Sink>, request: LoadRequest, batch: RecordBatch) -> Result<Box<dyn Load>, ConnectorError> {
    let mut load = sink.begin(request).await?;
    load.write(batch).await?;
    load.stage().await?;
    Ok(load)
}

pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("name", DataType::Utf8, true)]))
}

pub(crate) fn rows(rows: &[(i64, Option<&str>)]) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)));
    let names: ArrayRef = Arc::new(StringArray::from_iter(rows.iter().map(|row| row.1)));
    RecordBatch::try_new(schema(), vec![ids, names]).unwrap()
}

/// Rows with these ids, all of one name.
pub(crate) fn named(ids: impl Iterator<Item = i64>, name: &str) -> RecordBatch {
    let ids = Int64Array::from_iter_values(ids);
    let names = StringArray::from_iter_values(std::iter::repeat_n(name, arrow::array::Array::len(&ids)));
    RecordBatch::try_new(schema(), vec![Arc::new(ids), Arc::new(names)]).unwrap()
}

pub(crate) fn at(value: i64) -> Position {
    if value == 0 { Position::Start } else { Position::Cursor { values: vec![CursorValue::Int(value)], tail: None, unsettled: None } }
}

fn value_of(position: &Position) -> i64 {
    match position {
        Position::Cursor { values, .. } => match values[0] {
            CursorValue::Int(value) => value,
            _ => panic!("{position:?}"),
        },
        _ => 0,
    }
}

/// Delivers ids 1 to `last` in batches of `step`, whatever happens on the way, as the engine does: after each failure from where the target stands.
pub(crate) async fn deliver(sink: &Arc<dyn Sink>, world: &World, mode: &WriteMode, last: i64, step: i64) -> u64 {
    let mut failures = 0;
    // A server that was killed may need its time to recover.
    let deadline = Instant::now() + Duration::from_secs(180);
    for attempt in 0_u64.. {
        match deliver_once(sink, world, mode, (last, step), attempt).await {
            Ok(()) => break,
            Err(error) => {
                let kind = error.kind();
                assert!(kind.is_transient() || matches!(kind, ErrorKind::UnknownOutcome | ErrorKind::Conflict), "{}", error.chain());
                failures += 1;
                assert!(Instant::now() < deadline, "no end of {}", error.chain());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    failures
}

async fn deliver_once(sink: &Arc<dyn Sink>, world: &World, mode: &WriteMode, (last, step): (i64, i64), attempt: u64) -> Result<(), ConnectorError> {
    let state = sink.target_state(&world.stream, &world.target()).await?;
    let record = match state {
        TargetState::Present { record, .. } => record,
        TargetState::Absent => None,
    };
    let (generation, mut seq, mut lo) = record.map_or((1, 0, 0), |record| (record.generation.0, record.seq, value_of(&record.hi)));
    if lo >= last {
        return Ok(());
    }
    let attempt = format!("run-{attempt}");
    let mut load = sink.begin(world.request(mode.clone(), generation, attempt_epoch(&attempt), &attempt)).await?;
    while lo < last {
        let hi = (lo + step).min(last);
        load.write(named(lo + 1..=hi, &format!("batch {hi}"))).await?;
        load.stage().await?;
        load.commit(world.commit(generation, seq + 1, &attempt, lo, hi)).await?;
        (seq, lo) = (seq + 1, hi);
    }
    Ok(())
}

fn attempt_epoch(attempt: &str) -> u64 {
    attempt.rsplit('-').next().unwrap().parse::<u64>().unwrap() + 1
}

/// Every id once, with the name of its batch.
pub(crate) fn expect_delivered(world: &World, last: i64, step: i64) {
    let found = world
        .database
        .query(&format!("SELECT COUNT(*), COUNT(DISTINCT id), MIN(id), MAX(id), SUM(name = CONCAT('batch ', LEAST({last}, CEIL(id / {step}) * {step}))) FROM bronze_t"));
    assert_eq!(found, format!("{last}\t{last}\t1\t{last}\t{last}\n"));
}
