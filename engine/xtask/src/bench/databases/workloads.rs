//! What is measured on databases, as data.

use super::ground::System;

/// Who does the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Karat itself.
    Karat,
    /// A tool for this purpose.
    Peer,
    /// Programs of the database, which know their own system only.
    Own,
}

/// One who does the job of a workload.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tool {
    /// On the page.
    pub(super) title: &'static str,
    /// In `peers.py`.
    pub(super) name: &'static str,
    pub(super) standing: Standing,
}

/// Where rows go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Parquet,
    Database(System),
}

/// What is done with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// A whole table, into nothing.
    Copy,
    /// Changed rows into a table that holds the rest; the size as the tables of the source are called.
    Upsert(&'static str),
    /// The second run of an increment, with nothing new.
    Increment,
}

/// One comparison.
#[derive(Debug, Clone, Copy)]
pub(super) struct Workload {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) from: System,
    pub(super) to: Target,
    pub(super) mode: Mode,
    pub(super) table: &'static str,
    pub(super) tools: &'static [Tool],
}

const fn peer(title: &'static str, name: &'static str) -> Tool {
    Tool { title, name, standing: Standing::Peer }
}

const fn own(title: &'static str, name: &'static str) -> Tool {
    Tool { title, name, standing: Standing::Own }
}

const CONNECTORX: Tool = peer("connectorx", "connectorx");
const CONNECTORX_2: Tool = peer("connectorx (2 partitions)", "connectorx_2");
const DLT: Tool = peer("dlt (connectorx)", "dlt");
const DUCKDB: Tool = peer("duckdb (scanner)", "duckdb");
const INGESTR: Tool = peer("ingestr", "ingestr");
const SLING: Tool = peer("sling", "sling");
const MERGE_IN_SERVER: Tool = own("INSERT ... SELECT in the server", "server_upsert");

const TO_PARQUET: &[Tool] = &[CONNECTORX_2, CONNECTORX, DUCKDB, DLT, INGESTR, SLING];
const MYSQL_UPSERT: &[Tool] = &[MERGE_IN_SERVER, own("mariadb: LOAD DATA, INSERT ... SELECT", "client_upsert"), DUCKDB, DLT, INGESTR, SLING];
const POSTGRES_UPSERT: &[Tool] = &[MERGE_IN_SERVER, own("psql: COPY, INSERT ... SELECT", "client_upsert"), DUCKDB, DLT, INGESTR, SLING];

const fn upsert(name: &'static str, title: &'static str, system: System, size: &'static str) -> Workload {
    let (table, tools) = (
        if size.len() == 3 { "changed_50k" } else { "changed_500k" },
        match system {
            System::MySql => MYSQL_UPSERT,
            System::Postgres => POSTGRES_UPSERT,
        },
    );
    Workload { name, title, from: system, to: Target::Database(system), mode: Mode::Upsert(size), table, tools }
}

/// All comparisons.
pub(super) const WORKLOADS: &[Workload] = &[
    Workload { name: "mysql_to_parquet", title: "MariaDB to Parquet", from: System::MySql, to: Target::Parquet, mode: Mode::Copy, table: "trades", tools: TO_PARQUET },
    Workload { name: "postgres_to_parquet", title: "PostgreSQL to Parquet", from: System::Postgres, to: Target::Parquet, mode: Mode::Copy, table: "trades", tools: TO_PARQUET },
    Workload {
        name: "mysql_to_mysql_wide",
        title: "MariaDB to MariaDB, 184 columns",
        from: System::MySql,
        to: Target::Database(System::MySql),
        mode: Mode::Copy,
        table: "sales_wide",
        tools: &[own("mariadb: SELECT, LOAD DATA", "copy_pipe"), own("mysqldump, mariadb", "dump_pipe"), DUCKDB, DLT, INGESTR, SLING],
    },
    Workload {
        name: "postgres_to_postgres_wide",
        title: "PostgreSQL to PostgreSQL, 184 columns",
        from: System::Postgres,
        to: Target::Database(System::Postgres),
        mode: Mode::Copy,
        table: "sales_wide",
        tools: &[own("psql: COPY, COPY", "copy_pipe"), own("pg_dump, psql", "dump_pipe"), DUCKDB, DLT, INGESTR, SLING],
    },
    upsert("mysql_upsert_50k", "MariaDB: 50,000 changed rows into 2,000,000", System::MySql, "50k"),
    upsert("mysql_upsert_500k", "MariaDB: 500,000 changed rows into 2,000,000", System::MySql, "500k"),
    upsert("postgres_upsert_50k", "PostgreSQL: 50,000 changed rows into 2,000,000", System::Postgres, "50k"),
    upsert("postgres_upsert_500k", "PostgreSQL: 500,000 changed rows into 2,000,000", System::Postgres, "500k"),
    Workload {
        name: "nothing_new",
        title: "A second run with nothing new",
        from: System::MySql,
        to: Target::Database(System::Postgres),
        mode: Mode::Increment,
        table: "orders_sparse",
        tools: &[DLT, INGESTR, SLING],
    },
];

impl Workload {
    /// The rows that are delivered.
    pub(super) fn rows(&self, scale: f64) -> f64 {
        let full = match self.table {
            "trades" => 3_868_696.0,
            "sales_wide" => 400_000.0,
            "orders_sparse" => 300_000.0,
            "changed_50k" => 50_000.0,
            _ => 500_000.0,
        };
        (full * scale).floor()
    }

    /// The table that Karat reads, which is also what the result must be.
    pub(super) fn source(&self) -> String {
        match self.mode {
            Mode::Upsert(size) => format!("transaksi_{size}"),
            Mode::Copy | Mode::Increment => self.table.to_owned(),
        }
    }

    /// The table of the target; those who run twice have one each.
    pub(super) fn result(&self, tool: Tool) -> String {
        match self.mode {
            Mode::Copy => self.table.to_owned(),
            Mode::Upsert(_) => "transaksi".to_owned(),
            Mode::Increment => format!("{}_{}", self.table, tool.name),
        }
    }

    /// What the page says about the job.
    pub(super) fn text(&self, scale: f64) -> String {
        let rows = crate::bench::page::grouped(self.rows(scale));
        match (self.mode, self.to) {
            (Mode::Upsert(_), _) => format!(
                "{rows} changed rows, four of five of them known by their key, are merged into a table of {} rows and 8 columns in the same server.\n\
                 The peers are handed the changed rows in a table of their own; Karat finds them in the whole table by its strategy `hybrid`.\n\
                 Before each repetition the target is made again, page for page, as it was after the first load.\n\
                 The longest transaction is the longest one that wrote anything, seen from outside every {}.",
                crate::bench::page::grouped(2_000_000.0 * scale),
                if self.from == System::MySql { "0.12 s" } else { "0.05 s" },
            ),
            (Mode::Increment, _) => format!(
                "A table of {rows} rows, whose ids reach 71,714,083 with large gaps, has been copied from MariaDB to PostgreSQL by its id; this is the next run, and nothing has been added."
            ),
            (Mode::Copy, Target::Parquet) => format!(
                "`trades`, {rows} rows of 12 columns (4 integers, a boolean, 3 decimals, 2 texts, 2 timestamps), is copied whole to Parquet with snappy.\n\
                 Karat reads with two readers in one snapshot, as `connectorx (2 partitions)` does without one."
            ),
            (Mode::Copy, Target::Database(_)) => format!(
                "`sales_wide`, {rows} rows of 184 columns (64 decimals, 49 integers, 44 texts, 13 dates, 14 timestamps), is copied whole into an empty database of the same server."
            ),
        }
    }
}

/// The column that tells rows of a table apart.
pub(super) fn key(table: &str) -> &'static str {
    match table {
        "trades" => "trade_id",
        "sales_wide" => "sale_id",
        _ => "id",
    }
}
