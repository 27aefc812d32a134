//! The database of the `market` pipeline: trades of two exchanges, the same for the same number of rows.

use crate::ChoreError;
use rusqlite::{Connection, Transaction, params};
use std::path::Path;

/// Pairs with their price in ten-thousandths at the start.
const PAIRS: [(&str, &str, i64); 4] = [("BTCUSDT", "XBT/USD", 650_000_000), ("ETHUSDT", "ETH/USD", 34_500_000), ("SOLUSDT", "SOL/USD", 1_500_000), ("DOGEUSDT", "XDG/USD", 1_200)];

/// 2024-01-01T00:00:00Z in microseconds.
const START_MICROS: i64 = 1_704_067_200_000_000;

/// Every so many messages of kraken is sent a second time, as after a reconnect.
const RESEND_EVERY: i64 = 500;

/// How many rows a database holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarketTotals {
    /// Rows of `trades_binance`.
    pub binance: i64,
    /// Rows of `trades_kraken`, resent messages included.
    pub kraken: i64,
}

/// Writes a new database with `rows` trades, half of each exchange.
///
/// # Errors
/// When the file exists already or cannot be written.
pub fn write_database(path: &Path, rows: u32) -> Result<MarketTotals, ChoreError> {
    if path.exists() {
        return Err(ChoreError::new(format!("`{}` exists already: remove it, or choose another file", path.display())));
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|error| ChoreError::io("create folder", parent, &error))?;
    }
    fill(path, rows).map_err(|error| ChoreError::new(format!("cannot write `{}`: {error}", path.display())))
}

/// Adds `rows` trades after the newest one of an existing database.
///
/// # Errors
/// When the database cannot be written or is not one of ours.
pub fn append_trades(path: &Path, rows: u32) -> Result<MarketTotals, ChoreError> {
    let append = || -> rusqlite::Result<MarketTotals> {
        let mut connection = Connection::open(path)?;
        let before: i64 = connection.query_row("SELECT max(trade_id) FROM trades_binance", [], |row| row.get(0))?;
        let messages: i64 = connection.query_row("SELECT max(message_id) FROM trades_kraken", [], |row| row.get(0))?;
        let transaction = connection.transaction()?;
        let totals = insert(&transaction, before, messages, rows)?;
        transaction.commit()?;
        Ok(totals)
    };
    append().map_err(|error| ChoreError::new(format!("cannot append to `{}`: {error}", path.display())))
}

fn fill(path: &Path, rows: u32) -> rusqlite::Result<MarketTotals> {
    let mut connection = Connection::open(path)?;
    connection.execute_batch(
        "CREATE TABLE trades_binance (
           trade_id INTEGER PRIMARY KEY,
           symbol TEXT NOT NULL,
           price TEXT NOT NULL,
           quantity TEXT NOT NULL,
           is_buyer_maker INTEGER NOT NULL,
           exchange_timestamp INTEGER NOT NULL
         );
         CREATE INDEX trades_binance_time ON trades_binance (exchange_timestamp, trade_id);
         CREATE TABLE trades_kraken (
           message_id INTEGER PRIMARY KEY,
           pair TEXT NOT NULL,
           trade_id INTEGER NOT NULL,
           price TEXT NOT NULL,
           volume TEXT NOT NULL,
           side TEXT NOT NULL,
           time_us INTEGER NOT NULL
         );",
    )?;
    let transaction = connection.transaction()?;
    let totals = insert(&transaction, 0, 0, rows)?;
    transaction.commit()?;
    Ok(totals)
}

/// Inserts `rows` trades, numbered from `before + 1` on each exchange; kraken's messages go on from `messages + 1`.
fn insert(transaction: &Transaction<'_>, before: i64, messages: i64, rows: u32) -> rusqlite::Result<MarketTotals> {
    let mut binance = transaction.prepare("INSERT INTO trades_binance VALUES (?, ?, ?, ?, ?, ?)")?;
    let mut kraken = transaction.prepare("INSERT INTO trades_kraken VALUES (?, ?, ?, ?, ?, ?, ?)")?;
    let mut walk = Walk::seeded(before);
    let mut message_id = messages;
    let kraken_rows = i64::from(rows / 2);
    let binance_rows = i64::from(rows) - kraken_rows;
    for step in 1..=binance_rows {
        let id = before + step;
        let trade = walk.next_trade(id);
        // Milliseconds: many trades share one, as they do in life.
        binance.execute(params![id, PAIRS[trade.pair].0, trade.price(), trade.quantity(), trade.sold, trade.micros / 1000])?;
        if step > kraken_rows {
            continue;
        }
        let trade = walk.next_trade(id);
        for _ in 0..=i64::from(id % RESEND_EVERY == 0) {
            message_id += 1;
            let side = if trade.sold { "s" } else { "b" };
            kraken.execute(params![message_id, PAIRS[trade.pair].1, id, trade.price(), trade.quantity(), side, trade.micros])?;
        }
    }
    Ok(MarketTotals { binance: binance_rows, kraken: message_id - messages })
}

struct Trade {
    pair: usize,
    ticks: i64,
    units: u64,
    sold: bool,
    micros: i64,
}

impl Trade {
    /// The price as the exchanges write it: decimal text with trailing zeros.
    fn price(&self) -> String {
        format!("{}.{:04}0000", self.ticks / 10_000, self.ticks % 10_000)
    }

    fn quantity(&self) -> String {
        format!("{}.{:08}", self.units / 100_000_000, self.units % 100_000_000)
    }
}

/// A random walk of four prices.
struct Walk {
    state: u64,
    ticks: [i64; PAIRS.len()],
}

impl Walk {
    fn seeded(seed: i64) -> Self {
        Self { state: seed.unsigned_abs().wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x005D_EECE_66D1_CE5D, ticks: PAIRS.map(|(_, _, ticks)| ticks) }
    }

    /// SplitMix64: small, well mixed, and the same everywhere.
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random() % bound
    }

    fn next_trade(&mut self, id: i64) -> Trade {
        let pair = usize::try_from(self.below(PAIRS.len() as u64)).unwrap_or_default();
        let step = self.ticks[pair] / 5_000 + 1;
        let moved = i64::try_from(self.below(2 * step.unsigned_abs() + 1)).unwrap_or_default() - step;
        self.ticks[pair] = (self.ticks[pair] + moved).max(1);
        // One trade a second on each exchange, at an uneven moment of it.
        let micros = START_MICROS + id * 1_000_000 + i64::try_from(self.below(999_999)).unwrap_or_default();
        Trade { pair, ticks: self.ticks[pair], units: self.below(500_000_000) + 1, sold: self.below(2) == 1, micros }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows_of(path: &Path, table: &str) -> Vec<String> {
        let connection = Connection::open(path).unwrap();
        let mut statement = connection.prepare(&format!("SELECT * FROM {table} ORDER BY 1")).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| (0..columns).map(|i| Ok(format!("{:?}", row.get_ref(i)?))).collect::<rusqlite::Result<Vec<_>>>()).unwrap();
        rows.map(|row| row.unwrap().join("|")).collect()
    }

    #[test]
    fn the_same_number_of_rows_gives_the_same_database() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one.db"), folder.path().join("two.db"));

        let totals = write_database(&one, 3_000).unwrap();
        write_database(&two, 3_000).unwrap();

        assert_eq!(totals, MarketTotals { binance: 1_500, kraken: 1_503 });
        for table in ["trades_binance", "trades_kraken"] {
            assert_eq!(rows_of(&one, table), rows_of(&two, table));
        }
    }

    #[test]
    fn appended_trades_are_newer_than_all_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("market.db");
        write_database(&path, 1_000).unwrap();

        append_trades(&path, 100).unwrap();

        let connection = Connection::open(&path).unwrap();
        let (count, sorted): (i64, bool) = connection
            .query_row(
                "SELECT count(*), (SELECT min(exchange_timestamp) FROM trades_binance WHERE trade_id > 500) > (SELECT max(exchange_timestamp) FROM trades_binance WHERE trade_id <= 500)
                 FROM trades_binance",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .unwrap();
        assert_eq!((count, sorted), (550, true));
    }

    #[test]
    fn an_existing_file_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("market.db");
        std::fs::write(&path, "precious").unwrap();

        let error = write_database(&path, 10).unwrap_err();

        assert!(error.to_string().contains("exists already"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }
}
