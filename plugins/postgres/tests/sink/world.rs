//! A database with a sink over it, and short ways to say what is loaded.

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use karat_plugin_api::{
    CommitRecord, CommitRequest, Committed, ConnectContext, ConnectorError, CursorValue, FileLayout, Generation, Load, LoadRequest, Plugin, Position, Sink, StreamId, TableLayout,
    TargetObject, TargetState, WriteMode,
};
use karat_postgres::POSTGRES;
use karat_testkit::servers::{Database, PostgresServer};
use serde_json::json;
use std::sync::Arc;

/// One database, and a sink.
pub(crate) struct World {
    pub(crate) database: Database,
    pub(crate) sink: Arc<dyn Sink>,
}

/// A new database of the shared server, or `None` after the skip was reported.
pub(crate) fn world(test: &str) -> Option<World> {
    match PostgresServer::shared() {
        Ok(server) => Some(on(server)),
        Err(skip) => {
            skip.report(test);
            None
        }
    }
}

/// A new database of a server.
pub(crate) fn on(server: &PostgresServer) -> World {
    let database = server.database();
    let sink = sink(&database.url());
    World { database, sink }
}

/// A sink over the database at `url`.
pub(crate) fn sink(url: &str) -> Arc<dyn Sink> {
    let settings = json!({ "url": url });
    POSTGRES.open_sink(settings.as_object().unwrap(), &context()).unwrap()
}

pub(crate) fn context() -> ConnectContext {
    ConnectContext { root: std::env::temp_dir(), scratch: std::env::temp_dir() }
}

pub(crate) fn stream() -> StreamId {
    StreamId::new("p", "bronze.t")
}

pub(crate) fn target() -> TargetObject {
    TargetObject { table: "bronze.t".into() }
}

pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("name", DataType::Utf8, true)]))
}

pub(crate) fn rows(ids: impl IntoIterator<Item = i64>, name: &str) -> RecordBatch {
    let ids = Int64Array::from_iter_values(ids);
    let names: ArrayRef = Arc::new(StringArray::from(vec![name; ids.values().len()]));
    RecordBatch::try_new(schema(), vec![Arc::new(ids), names]).unwrap()
}

pub(crate) fn append() -> WriteMode {
    WriteMode::Append { once_by: None }
}

pub(crate) fn upsert() -> WriteMode {
    WriteMode::Upsert { key: vec!["id".into()], unique_in_read: true, order_by: Vec::new() }
}

pub(crate) fn request(mode: WriteMode, generation: u64, attempt: &str) -> LoadRequest {
    LoadRequest {
        stream: stream(),
        generation: Generation(generation),
        epoch: 1,
        attempt: attempt.into(),
        target: target(),
        schema: schema(),
        mode,
        layout: FileLayout::default(),
        table: TableLayout { key: vec!["id".into()], ..TableLayout::default() },
        memory_bytes: 64 << 20,
    }
}

pub(crate) fn at(value: i64) -> Position {
    if value == 0 { Position::Start } else { Position::Cursor { values: vec![CursorValue::Int(value)], tail: None, unsettled: None } }
}

pub(crate) fn commit(generation: u64, seq: u64, attempt: &str, lo: i64, hi: i64) -> CommitRequest {
    let record = CommitRecord { stream: stream(), generation: Generation(generation), seq, epoch: 1, attempt: format!("{attempt}-{seq}"), lo: at(lo), hi: at(hi), rows: 0 };
    CommitRequest { record, run_id: "run".into(), window: None }
}

/// Writes a batch and stages it.
pub(crate) async fn staged(sink: &Arc<dyn Sink>, request: LoadRequest, batch: RecordBatch) -> Result<Box<dyn Load>, ConnectorError> {
    let mut load = sink.begin(request).await?;
    load.write(batch).await?;
    load.stage().await?;
    Ok(load)
}

/// Writes, stages and commits a batch.
pub(crate) async fn load(sink: &Arc<dyn Sink>, request: LoadRequest, batch: RecordBatch, commit: CommitRequest) -> Result<Committed, ConnectorError> {
    staged(sink, request, batch).await?.commit(commit).await
}

/// The newest commit: its number and attempt.
pub(crate) async fn newest(sink: &Arc<dyn Sink>) -> Option<(u64, String)> {
    match sink.target_state(&stream(), &target()).await.unwrap() {
        TargetState::Present { record, .. } => record.map(|record| (record.seq, record.attempt)),
        TargetState::Absent => None,
    }
}

impl World {
    /// The relations of the target's schema, in order.
    pub(crate) fn relations(&self) -> String {
        self.database.query("SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relnamespace = 'bronze'::regnamespace").trim().to_owned()
    }
}
