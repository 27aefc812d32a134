//! A database, a source over it, and what a read of it gave.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::StreamExt;
use karat_plugin_api::{
    ColumnChoice, ConnectContext, ConnectorError, CursorExpr, DeclaredType, ExtraColumns, Plugin, Position, ReadRequest, ReadStrategy, Source, SourceBatch, SourceObject,
    SourceSchema,
};
use karat_spec::model::NullCursor;
use karat_testkit::Skip;
use karat_testkit::servers::{Database, MysqlServer, ServerOptions};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The server of this test process; `None`, and counted, where there is none.
pub(crate) fn server(test: &str) -> Option<&'static MysqlServer> {
    MysqlServer::shared().map_err(|skip| skip.report(test)).ok()
}

/// A source over a URL.
pub(crate) fn source(url: &str) -> Arc<dyn Source> {
    source_of(serde_json::json!({ "url": url }))
}

/// A source with these settings.
pub(crate) fn source_of(settings: serde_json::Value) -> Arc<dyn Source> {
    let context = ConnectContext { root: "/".into(), scratch: "/tmp".into() };
    karat_mysql::MYSQL.open_source(settings.as_object().unwrap(), &context).unwrap()
}

/// A database with a source over it.
pub(crate) struct World {
    pub(crate) database: Database,
    pub(crate) source: Arc<dyn Source>,
    /// Its own server, for tests that keep transactions open: those are seen by all reads at a server.
    _server: Option<MysqlServer>,
}

/// What a read delivered.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) positions: Vec<Option<Position>>,
    pub(crate) rows: u64,
    pub(crate) position: Position,
    pub(crate) future_rows: u64,
    pub(crate) skipped_rows: u64,
}

impl Outcome {
    pub(crate) fn column(&self, name: &str) -> ArrayRef {
        let columns: Vec<_> = self.batches.iter().map(|batch| batch.column_by_name(name).unwrap().as_ref()).collect();
        arrow::compute::concat(&columns).unwrap()
    }

    /// Whole numbers of a column, of any width.
    pub(crate) fn integers(&self, name: &str) -> Vec<i64> {
        if self.batches.is_empty() {
            return Vec::new();
        }
        let wide = arrow::compute::cast(&self.column(name), &arrow::datatypes::DataType::Int64).unwrap();
        wide.as_primitive::<Int64Type>().values().to_vec()
    }

    /// Values of a column as text; NULL is `NULL`.
    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        if self.batches.is_empty() {
            return Vec::new();
        }
        let column = self.column(name);
        let format = FormatOptions::default().with_null("NULL");
        let formatter = ArrayFormatter::try_new(&column, &format).unwrap();
        (0..column.len()).map(|row| formatter.value(row).to_string()).collect()
    }
}

/// How a keyset read is asked for.
#[derive(Clone)]
pub(crate) struct Keyset {
    pub(crate) table: &'static str,
    pub(crate) cursor: CursorExpr,
    pub(crate) tie: &'static [&'static str],
    pub(crate) lookback: Option<Duration>,
    pub(crate) null_cursor: NullCursor,
    pub(crate) batch_rows: usize,
}

impl Keyset {
    pub(crate) fn by(table: &'static str, cursor: &str, tie: &'static [&'static str]) -> Self {
        Self { table, cursor: CursorExpr::Column(cursor.into()), tie, lookback: None, null_cursor: NullCursor::Error, batch_rows: 1_000 }
    }
}

impl World {
    /// A new database that `sql` fills; `None` where there is no server.
    pub(crate) fn new(test: &str, sql: &str) -> Option<Self> {
        Some(Self::at(server(test)?, sql))
    }

    pub(crate) fn at(server: &MysqlServer, sql: &str) -> Self {
        let database = server.database();
        database.execute(sql);
        let source = source(&database.url());
        Self { database, source, _server: None }
    }

    /// A new database at a server where no statement takes long: other tests' would be seen by reads that ask who writes.
    pub(crate) fn quiet(test: &str, sql: &str) -> Option<Self> {
        static QUIET: OnceLock<Result<MysqlServer, Skip>> = OnceLock::new();
        match QUIET.get_or_init(MysqlServer::start) {
            Ok(server) => Some(Self::at(server, sql)),
            Err(skip) => {
                skip.report(test);
                None
            }
        }
    }

    /// A new database at a server of its own.
    pub(crate) fn alone(test: &str, sql: &str) -> Option<Self> {
        Self::alone_with(&ServerOptions::default(), test, sql)
    }

    /// A new database at a server of its own, which was started with options.
    pub(crate) fn alone_with(options: &ServerOptions, test: &str, sql: &str) -> Option<Self> {
        let server = MysqlServer::start_with(options).map_err(|skip| skip.report(test)).ok()?;
        let world = Self::at(&server, sql);
        Some(Self { _server: Some(server), ..world })
    }

    pub(crate) async fn describe(&self, table: &str) -> Result<SourceSchema, ConnectorError> {
        self.source.describe(&SourceObject::Table(table.into())).await
    }

    pub(crate) async fn request(&self, object: SourceObject, types: &[(&str, &str)], strategy: ReadStrategy) -> ReadRequest {
        let schema = self.source.describe(&object).await.unwrap();
        let columns = schema
            .columns
            .iter()
            .map(|column| {
                let declared = types.iter().find(|(name, _)| *name == column.name).map(|(_, text)| DeclaredType::parse(text).unwrap().data_type().clone());
                ColumnChoice { name: column.name.clone(), data_type: declared.unwrap_or(column.data_type.clone()), nullable: column.nullable }
            })
            .collect();
        ReadRequest { object, columns, extra_columns: ExtraColumns::Refuse, strategy, batch_rows: 1_000, batch_bytes: 32 << 20, parallel: 1 }
    }

    pub(crate) async fn read(&self, request: ReadRequest) -> Result<Outcome, ConnectorError> {
        read(&self.source, request).await
    }

    pub(crate) async fn full(&self, table: &str, types: &[(&str, &str)]) -> Result<Outcome, ConnectorError> {
        self.read(self.request(SourceObject::Table(table.into()), types, ReadStrategy::Full).await).await
    }

    pub(crate) async fn keyset_request(&self, keyset: &Keyset, after: &Position) -> ReadRequest {
        let strategy = ReadStrategy::Keyset {
            cursor: keyset.cursor.clone(),
            tie: keyset.tie.iter().map(|name| (*name).to_owned()).collect(),
            after: after.clone(),
            lookback: keyset.lookback,
            null_cursor: keyset.null_cursor,
        };
        let mut request = self.request(SourceObject::Table(keyset.table.into()), &[], strategy).await;
        request.batch_rows = keyset.batch_rows;
        request
    }

    pub(crate) async fn keyset(&self, keyset: &Keyset, after: &Position) -> Result<Outcome, ConnectorError> {
        self.read(self.keyset_request(keyset, after).await).await
    }

    /// The lines that the server's own client prints.
    pub(crate) fn query(&self, sql: &str) -> Vec<String> {
        self.database.query(sql).lines().map(str::to_owned).collect()
    }
}

pub(crate) async fn read(source: &Arc<dyn Source>, request: ReadRequest) -> Result<Outcome, ConnectorError> {
    let read = source.read(request).await?;
    let schema = read.schema();
    let mut stream = read.into_stream();
    let mut outcome = Outcome { batches: Vec::new(), positions: Vec::new(), rows: 0, position: Position::Start, future_rows: 0, skipped_rows: 0 };
    let mut ended = false;
    while let Some(item) = stream.next().await {
        assert!(!ended, "nothing follows the end");
        match item? {
            SourceBatch::Rows { batch, position } => {
                assert_eq!(batch.schema(), schema);
                assert!(batch.num_rows() > 0);
                outcome.batches.push(batch);
                outcome.positions.push(position);
            }
            SourceBatch::WindowEnd { .. } => panic!("no windows were asked for"),
            SourceBatch::End { rows, position, future_rows, skipped_rows } => {
                ended = true;
                (outcome.rows, outcome.position, outcome.future_rows, outcome.skipped_rows) = (rows, position, future_rows, skipped_rows);
            }
        }
    }
    assert!(ended, "a stream ends with End or an error");
    assert_eq!(outcome.rows, outcome.batches.iter().map(|batch| batch.num_rows() as u64).sum::<u64>());
    Ok(outcome)
}
