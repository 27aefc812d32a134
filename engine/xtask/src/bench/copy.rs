//! SQLite to Parquet and Delta: one wide-enough table, integers, decimals, texts and timestamps.

use super::measure::{Bench, Sample, median, python, remove, succeed};
use super::page::{Page, Row};
use crate::{ChoreError, write_text};
use rusqlite::{Connection, params};
use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

const SCRIPT: &str = include_str!("peers.py");
const REQUIREMENTS: &str = include_str!("requirements.txt");
const ENVIRONMENT: &str = "venv";

/// The peers that `peers.py` knows.
const PEERS: [&str; 4] = ["connectorx", "connectorx (2 partitions)", "duckdb", "polars"];

/// What Karat writes to, by the name on the page.
const TARGETS: [(&str, &str); 2] = [("karat (delta)", "delta"), ("karat (files)", "files")];

/// Measures the copy of `rows` and of twice as many.
pub(super) fn run(bench: &mut Bench<'_>) -> Result<String, ChoreError> {
    let rows = bench.options.rows;
    let environment = bench.environment(ENVIRONMENT, REQUIREMENTS)?;
    write_text(&bench.scratch("peers.py"), SCRIPT)?;
    let versions = succeed(Command::new(python(&environment)).args(["-m", "pip", "freeze"]))?;
    let versions: Vec<&str> = versions.lines().collect();
    let mut page = Page::new(bench, "SQLite to Parquet and Delta", &format!("cargo xtask bench --workloads copy --rows {rows}"), &versions)?;
    page.paragraph(
        "One table of 12 columns (4 integers, 3 decimals, 3 texts, 2 timestamps) is copied from an SQLite file to Parquet with zstd(3), each tool as a whole process from start to exit.\n\
         Karat reads the whole table with two readers, as `connectorx (2 partitions)` does.\n\
         The tools take turns, so that whatever else happens on the machine happens to all of them; the table shows medians.\n\
         A result counts only when its row count, sums, text lengths and extremes equal those of the source, read by DuckDB.",
    );
    let all: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).chain(PEERS).collect();
    round(bench, &mut page, rows, &all)?;
    let ours: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    round(bench, &mut page, rows * 2, &ours)?;
    Ok(page.finish())
}

fn round(bench: &mut Bench<'_>, page: &mut Page, rows: u32, names: &[&str]) -> Result<(), ChoreError> {
    let database = bench.scratch(format!("orders-{rows}.db"));
    if !database.exists() {
        bench.say(&format!("writing {rows} rows to {}", database.display()));
        write_orders(&database, rows).map_err(|error| ChoreError::new(format!("cannot write `{}`: {error}", database.display())))?;
    }
    let expected = checked(bench, "sqlite", &database)?;
    let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); names.len()];
    for repetition in 1..=bench.options.repetitions {
        for (name, taken) in names.iter().zip(&mut samples) {
            let sample = measure_one(bench, name, &database, &expected)?;
            bench.say(&format!("{rows} rows, {name}, repetition {repetition}: {:.2} s, {} MiB", sample.wall_seconds, sample.peak_bytes >> 20));
            taken.push(sample);
        }
    }
    page.heading(&format!("{rows} rows"));
    page.table(rows, &names.iter().zip(&samples).map(|(name, taken)| summarise(name, taken)).collect::<Vec<_>>());
    Ok(())
}

fn summarise(name: &str, samples: &[Sample]) -> Row {
    let walls = samples.iter().map(|sample| sample.wall_seconds);
    Row {
        name: name.to_owned(),
        wall: median(walls.clone()),
        fastest: walls.clone().fold(f64::INFINITY, f64::min),
        slowest: walls.fold(0.0, f64::max),
        cpu: median(samples.iter().map(|sample| sample.cpu_seconds)),
        peak_bytes: samples.iter().map(|sample| sample.peak_bytes).max().unwrap_or_default(),
    }
}

fn measure_one(bench: &Bench<'_>, name: &str, database: &Path, expected: &Value) -> Result<Sample, ChoreError> {
    let (command, kind, result) = match TARGETS.iter().find(|(target, _)| *target == name) {
        Some((_, sink)) => karat_command(bench, sink, database)?,
        None => peer_command(bench, name, database)?,
    };
    let sample = bench.measure(&command)?;
    let found = checked(bench, kind, &result)?;
    if found != *expected {
        return Err(ChoreError::new(format!("the result of {name} is not the source: {found} instead of {expected}")));
    }
    Ok(sample)
}

type Prepared = (Vec<OsString>, &'static str, PathBuf);

fn peer_command(bench: &Bench<'_>, name: &str, database: &Path) -> Result<Prepared, ChoreError> {
    let target = bench.scratch("peer.parquet");
    remove(&target)?;
    let command = vec![python(&bench.scratch(ENVIRONMENT)).into(), bench.scratch("peers.py").into(), name.into(), database.into(), target.clone().into()];
    Ok((command, "file", target))
}

/// A fresh project for every run, so that each one is a first run.
fn karat_command(bench: &Bench<'_>, sink: &str, database: &Path) -> Result<Prepared, ChoreError> {
    let project = bench.scratch(format!("copy-{sink}"));
    remove(&project)?;
    let lake = if sink == "delta" { "{ type: delta, path: lake }" } else { "{ type: files, path: lake, format: parquet }" };
    let pipeline = format!(
        "version: 1\n\
         connections:\n  shop: {{ type: sqlite, path: {} }}\n  lake: {lake}\n\
         bronze:\n  orders:\n    from: {{ connection: shop, table: orders }}\n    key: [id]\n    chunk: {{ parallel: 2 }}\n    to: {{ connection: lake }}\n    layout: {{ compression: zstd(3), min_file_rows: 1_000_000 }}\n",
        database.display()
    );
    let file = project.join("copy.yaml");
    write_text(&file, &pipeline)?;
    let kind = if sink == "delta" { "delta" } else { "folder" };
    Ok((vec![bench.karat.clone().into(), "run".into(), "--quiet".into(), file.into()], kind, project.join("lake/bronze/orders")))
}

fn checked(bench: &Bench<'_>, kind: &str, path: &Path) -> Result<Value, ChoreError> {
    let printed = succeed(Command::new(python(&bench.scratch(ENVIRONMENT))).arg(bench.scratch("peers.py")).args([OsStr::new("check"), OsStr::new(kind), path.as_os_str()]))?;
    serde_json::from_str(&printed).map_err(|error| ChoreError::new(format!("the check of `{}` printed no sums: {error}", path.display())))
}

/// The same rows for the same number, whoever asks.
fn write_orders(path: &Path, rows: u32) -> rusqlite::Result<()> {
    let half_written = path.with_extension("part");
    let mut connection = Connection::open(&half_written)?;
    connection.execute_batch(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
         DROP TABLE IF EXISTS orders;
         CREATE TABLE orders (
           id INTEGER PRIMARY KEY,
           account_id INTEGER NOT NULL,
           order_id BIGINT NOT NULL,
           quantity INTEGER NOT NULL,
           price DECIMAL(18,2) NOT NULL,
           amount DECIMAL(18,4) NOT NULL,
           fee DECIMAL(10,4) NOT NULL,
           symbol TEXT NOT NULL,
           side TEXT NOT NULL,
           note TEXT,
           created_at TIMESTAMP NOT NULL,
           updated_at TIMESTAMP NOT NULL
         );",
    )?;
    let transaction = connection.transaction()?;
    {
        let mut insert = transaction.prepare("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, datetime(?, 'unixepoch'), datetime(?, 'unixepoch'))")?;
        let mut state = 42_u64;
        for id in 1..=i64::from(rows) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let random = (state >> 20).cast_signed();
            let quantity = random % 1_000 + 1;
            let cents = (random >> 10) % 10_000_000 + 1;
            let second = 1_704_067_200 + id * 2;
            let note = (random % 3 == 0).then(|| format!("note {:x} of order {id}", random % 1_000_003));
            insert.execute(params![
                id,
                random % 50_000,
                1_000_000_000_000 + id * 7,
                quantity,
                format!("{}.{:02}", cents / 100, cents % 100),
                format!("{}.{:04}", cents * quantity / 100, random % 10_000),
                format!("0.{:04}", (random >> 7) % 10_000),
                ["BTCUSDT", "ETHUSDT", "SOLUSDT", "DOGEUSDT", "ADAUSDT"][usize::try_from(random % 5).unwrap_or_default()],
                if random % 2 == 0 { "buy" } else { "sell" },
                note,
                second,
                second + random % 86_400,
            ])?;
        }
    }
    transaction.commit()?;
    drop(connection);
    // A file under the final name is complete.
    std::fs::rename(&half_written, path).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}
