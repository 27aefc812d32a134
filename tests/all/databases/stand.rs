//! A source, a target and a pipeline between them.

use crate::karat::Karat;
use crate::market::rows;
use crate::project::Project;
use crate::reader::Reader;
use karat_testkit::conformance::database_reader::{DatabaseReader, Form, MysqlReader, PostgresReader};
use karat_testkit::servers::{ChaosProxy, MysqlServer, PostgresServer};
use std::fmt::Write;

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum System {
    PostgreSql,
    MySql,
}

/// From where to where; `None` is the lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pair(pub(crate) System, pub(crate) Option<System>);

/// Columns of `orders`.
const COLUMNS: [(&str, Form); 7] = [
    ("id", Form::Number),
    ("customer", Form::Text),
    ("amount", Form::Number),
    ("flag", Form::Boolean),
    ("day", Form::Date),
    ("payload", Form::Bytes),
    ("updated_at", Form::TimestampUtc),
];

impl System {
    /// A new database; `None`, loudly, where the server is not installed.
    pub(crate) fn database(self, test: &str) -> Option<Box<dyn DatabaseReader>> {
        let database = match self {
            Self::PostgreSql => PostgresServer::shared().map(|server| Box::new(PostgresReader(server.database())) as Box<dyn DatabaseReader>),
            Self::MySql => MysqlServer::shared().map(|server| Box::new(MysqlReader(server.database())) as Box<dyn DatabaseReader>),
        };
        database.inspect_err(|skip| skip.report(test)).ok()
    }

    pub(crate) fn orders(self) -> &'static str {
        match self {
            Self::PostgreSql => {
                "CREATE TABLE orders (id bigserial PRIMARY KEY, customer text, amount numeric(12,2) NOT NULL DEFAULT 0, flag boolean, day date, payload bytea,
                 updated_at timestamptz NOT NULL DEFAULT now()); CREATE INDEX ON orders (updated_at, id);"
            }
            Self::MySql => {
                "CREATE TABLE orders (id bigint AUTO_INCREMENT PRIMARY KEY, customer varchar(200), amount decimal(12,2) NOT NULL DEFAULT 0, flag tinyint(1), day date,
                 payload varbinary(100), updated_at datetime(6) NOT NULL DEFAULT current_timestamp(6), KEY (updated_at, id));"
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::PostgreSql => "postgres",
            Self::MySql => "mysql",
        }
    }

    fn bytes(self, hex: &str) -> String {
        match self {
            Self::PostgreSql => format!("decode('{hex}', 'hex')"),
            Self::MySql => format!("unhex('{hex}')"),
        }
    }

    /// A statement that does nothing for a while.
    pub(crate) fn sleep(self, millis: u64) -> String {
        let seconds = format!("{}.{:03}", millis / 1_000, millis % 1_000);
        match self {
            Self::PostgreSql => format!("SELECT pg_sleep({seconds});"),
            Self::MySql => format!("DO sleep({seconds});"),
        }
    }

    /// Statements that insert orders with these ids, a minute apart.
    pub(crate) fn insert(self, ids: impl IntoIterator<Item = i64>) -> String {
        let mut sql = String::new();
        for (at, id) in ids.into_iter().enumerate() {
            let start = if at % 1_000 == 0 { ";\nINSERT INTO orders (id, customer, amount, flag, day, payload, updated_at) VALUES" } else { "," };
            let customer = if id % 7 == 0 { "NULL".into() } else { format!("'O''Brien & \"Söhne\" €😀 {id}'") };
            let flag = ["NULL", "TRUE", "FALSE"][usize::try_from(id.rem_euclid(3)).unwrap()];
            let (minute, hour, day) = (id % 60, id / 60 % 24, 1 + id / 1_440 % 28);
            let month = 1 + id / 40_320 % 12;
            let moment = format!("'2024-{month:02}-{day:02} {hour:02}:{minute:02}:00.{:06}'", id % 1_000_000);
            let date = format!("'2024-{month:02}-{day:02}'");
            let payload = self.bytes(&format!("00ff{id:016x}"));
            write!(sql, "{start} ({id}, {customer}, {}.{:02}, {flag}, {date}, {payload}, {moment})", id % 100_000, id % 100).unwrap();
        }
        format!("{}{}", sql.trim_start_matches(';'), if sql.is_empty() { "" } else { ";" })
    }
}

/// Servers that no other test uses, for tests that count what is read: a transaction of somebody else makes a run read more, and rightly so.
pub(crate) struct Servers {
    postgres: PostgresServer,
    mysql: MysqlServer,
}

impl Servers {
    /// Both; `None`, loudly, where they are not installed.
    pub(crate) fn start(test: &str) -> Option<Self> {
        let started = PostgresServer::start().and_then(|postgres| Ok(Self { postgres, mysql: MysqlServer::start()? }));
        started.inspect_err(|skip| skip.report(test)).ok()
    }

    fn database(&self, system: System) -> Box<dyn DatabaseReader> {
        match system {
            System::PostgreSql => Box::new(PostgresReader(self.postgres.database())),
            System::MySql => Box::new(MysqlReader(self.mysql.database())),
        }
    }
}

/// A source with a table `orders`, a target, and a pipeline between them.
pub(crate) struct Stand {
    pub(crate) pair: Pair,
    pub(crate) project: Project,
    pub(crate) source: Box<dyn DatabaseReader>,
    target: Target,
    source_url: String,
    target_url: String,
}

enum Target {
    Database(Box<dyn DatabaseReader>),
    Lake(Reader),
}

impl Stand {
    /// On the servers that all tests of this process share; `None`, loudly, where they are not installed.
    pub(crate) fn new(pair: Pair, cdc: &str, load: &str, test: &str) -> Option<Self> {
        let source = pair.0.database(test)?;
        let target = match pair.1 {
            Some(system) => Target::Database(system.database(test)?),
            None => Target::Lake(Reader::find(test)?),
        };
        Some(Self::over(pair, source, target, &format!("    cdc: {cdc}\n    load: {load}\n")))
    }

    /// On servers that no other test uses; `None`, loudly, where there is no reader of the lake.
    pub(crate) fn on(servers: &Servers, pair: Pair, (cdc, load): (&str, &str), test: &str) -> Option<Self> {
        let target = match pair.1 {
            Some(system) => Target::Database(servers.database(system)),
            None => Target::Lake(Reader::find(test)?),
        };
        Some(Self::over(pair, servers.database(pair.0), target, &format!("    cdc: {cdc}\n    load: {load}\n")))
    }

    /// Between two databases of servers that the test started itself.
    pub(crate) fn between(pair: Pair, source: Box<dyn DatabaseReader>, target: Box<dyn DatabaseReader>, options: &str) -> Self {
        Self::over(pair, source, Target::Database(target), options)
    }

    fn over(pair: Pair, source: Box<dyn DatabaseReader>, target: Target, options: &str) -> Self {
        source.database().execute(pair.0.orders());
        let from = if pair.0 == System::PostgreSql { "public.orders" } else { "orders" };
        let to = match pair.1 {
            Some(system) => format!("{{ type: {}, url: \"${{TARGET_URL}}\" }}", system.name()),
            None => "{ type: delta, path: .karat/warehouse }".into(),
        };
        let project = Project::of(&format!(
            "version: 1
name: shop
connections:
  source: {{ type: {}, url: \"${{SOURCE_URL}}\" }}
  target: {to}
bronze:
  orders:
    from: {{ connection: source, table: {from} }}
    to: {{ connection: target }}
    key: [id]
{options}",
            pair.0.name()
        ));
        let source_url = source.database().url();
        let target_url = match &target {
            Target::Database(target) => target.database().url(),
            Target::Lake(_) => String::new(),
        };
        Self { pair, project, source, target, source_url, target_url }
    }

    /// The source is reached through a proxy.
    pub(crate) fn source_through(&mut self, proxy: &ChaosProxy) {
        self.source_url = self.source.database().url_through(proxy);
    }

    /// The target is reached through a proxy.
    pub(crate) fn target_through(&mut self, proxy: &ChaosProxy) {
        self.target_url = self.target_database().database().url_through(proxy);
    }

    pub(crate) fn target_port(&self) -> u16 {
        self.target_database().database().port()
    }

    fn target_database(&self) -> &dyn DatabaseReader {
        match &self.target {
            Target::Database(target) => target.as_ref(),
            Target::Lake(_) => panic!("the target is a lake"),
        }
    }

    pub(crate) fn karat<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Karat {
        self.karat_in(&self.project, arguments)
    }

    /// The name of the target's database.
    pub(crate) fn target_name(&self) -> &str {
        self.target_database().database().name()
    }

    /// The binary in another copy of the project, with a state of its own.
    pub(crate) fn karat_in<'a>(&self, project: &Project, arguments: impl IntoIterator<Item = &'a str>) -> Karat {
        project.karat(arguments).env("SOURCE_URL", &self.source_url).env("TARGET_URL", &self.target_url)
    }

    /// Runs to success; rows read and rows written.
    #[track_caller]
    pub(crate) fn run(&self) -> (u64, u64) {
        let report = self.karat(["run", "--format", "json"]).run().expect(0).json();
        (rows(&report, "bronze.orders", "rows_read"), rows(&report, "bronze.orders", "rows_written"))
    }

    /// Runs until a run finds nothing to do. On a quiet database that is the first one; a server's own housekeeping may hold a transaction for a moment.
    #[track_caller]
    pub(crate) fn run_until_idle(&self) {
        let mut last = (0, 0);
        for _ in 0..10 {
            last = self.run();
            if last == (0, 0) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
        panic!("after ten runs on a quiet database there is still something to read and write: {last:?}");
    }

    fn target_table(&self) -> String {
        let target = self.target_database();
        target.table(if self.pair.1 == Some(System::PostgreSql) { "bronze.orders" } else { "bronze_orders" })
    }

    /// Makes the target table as somebody else would, with one row.
    pub(crate) fn make_foreign_target(&self) {
        let system = self.pair.1.expect("the target is a database");
        let create = system.orders().replace("orders", "bronze_orders");
        let create = if system == System::PostgreSql {
            format!("CREATE SCHEMA bronze; {create} ALTER TABLE bronze_orders SET SCHEMA bronze; ALTER TABLE bronze.bronze_orders RENAME TO orders;")
        } else {
            create
        };
        self.target_database().database().execute(&format!("{create} INSERT INTO {} (customer) VALUES ('mine');", self.target_table()));
    }

    /// Drops the target table.
    pub(crate) fn drop_target(&self) {
        self.target_database().database().execute(&format!("DROP TABLE {};", self.target_table()));
    }

    /// Inserts orders into the source.
    #[track_caller]
    pub(crate) fn insert(&self, ids: impl IntoIterator<Item = i64>) {
        self.source.database().execute(&self.pair.0.insert(ids));
        if self.pair.0 == System::PostgreSql {
            // Explicit ids leave the counter where it was, unlike on MariaDB.
            self.source.database().execute("SELECT setval('orders_id_seq', greatest((SELECT last_value FROM orders_id_seq), (SELECT max(id) FROM orders)));");
        }
    }

    #[track_caller]
    pub(crate) fn source_rows(&self) -> Vec<Vec<Option<String>>> {
        self.source.rows("orders", &COLUMNS)
    }

    /// The rows of the target, as its own client or an independent reader sees them.
    #[track_caller]
    pub(crate) fn target_rows(&self) -> Vec<Vec<Option<String>>> {
        match (&self.target, self.pair.1) {
            (Target::Database(target), Some(System::PostgreSql)) => target.rows("bronze.orders", &COLUMNS),
            (Target::Database(target), _) => target.rows("bronze_orders", &COLUMNS),
            (Target::Lake(reader), _) => {
                let texts = COLUMNS.map(|(name, form)| format!("CASE WHEN {name} IS NULL THEN NULL ELSE {} END", in_duckdb(name, form)));
                let rows = reader.query(&self.project.path().join(".karat/warehouse"), &format!("SELECT {} FROM bronze.orders", texts.join(", ")));
                let value = |(value, (_, form)): (&serde_json::Value, &(&str, Form))| value.as_str().map(|text| form.canonical(text));
                let mut rows: Vec<Vec<Option<String>>> = rows.iter().map(|row| row.iter().zip(&COLUMNS).map(value).collect()).collect();
                rows.sort();
                rows
            }
        }
    }

    /// Fails unless the target holds exactly the rows of the source, each as often.
    #[track_caller]
    pub(crate) fn expect_equal(&self, when: &str) {
        let (source, target) = (self.source_rows(), self.target_rows());
        if source == target {
            return;
        }
        let lost = difference(&source, &target);
        let surplus = difference(&target, &source);
        let some = |rows: &[Vec<Option<String>>]| rows.iter().take(3).map(|row| format!("{row:?}")).collect::<Vec<_>>().join("\n  ");
        panic!(
            "{when}: {} rows in the source, {} in the target\n{} lost or outdated:\n  {}\n{} too many:\n  {}",
            source.len(),
            target.len(),
            lost.len(),
            some(&lost),
            surplus.len(),
            some(&surplus)
        );
    }
}

/// What is in one sorted multiset and not in the other.
fn difference(one: &[Vec<Option<String>>], other: &[Vec<Option<String>>]) -> Vec<Vec<Option<String>>> {
    let mut counts = std::collections::BTreeMap::<&Vec<Option<String>>, i64>::new();
    other.iter().for_each(|row| *counts.entry(row).or_default() += 1);
    let mut missing = Vec::new();
    for row in one {
        let left = counts.entry(row).or_default();
        *left -= 1;
        if *left < 0 {
            missing.push(row.clone());
        }
    }
    missing
}

fn in_duckdb(column: &str, form: Form) -> String {
    match form {
        Form::Boolean => format!("CAST(CAST({column} AS INTEGER) AS VARCHAR)"),
        Form::Number | Form::Float | Form::Single => format!("CAST({column} AS VARCHAR)"),
        Form::Text | Form::Bytes => format!("lower(hex({column}))"),
        Form::Date => format!("strftime({column}, '%Y-%m-%d')"),
        Form::Time => format!("strftime({column}, '%H:%M:%S.%f')"),
        Form::Timestamp | Form::TimestampUtc => format!("strftime({column}::TIMESTAMP, '%Y-%m-%d %H:%M:%S.%f')"),
    }
}
