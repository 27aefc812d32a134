//! Writers that never stop, with pauses inside their transactions, while the binary runs every second: nothing is lost, nothing comes twice.
//!
//! `KARAT_STRESS_SECS` makes a round longer (20), `KARAT_STRESS_ROUNDS` makes more of them (1): the promise is 60 seconds, ten times in a row.

use super::{Pair, Stand, System};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const WRITERS: u64 = 16;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// What writers do to existing rows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Workload {
    Inserts,
    InsertsAndUpdates,
}

fn nothing_is_lost_and_nothing_comes_twice(pair: Pair, cdc: &str, load: &str, workload: Workload, test: &str) {
    for round in 0..number("KARAT_STRESS_ROUNDS", 1) {
        let Some(stand) = Stand::new(pair, cdc, load, test) else { return };
        // Writers update rows of their own by this; without the index they would wait for each other's rows.
        stand.source.database().execute("CREATE UNIQUE INDEX by_customer ON orders (customer);");
        let stop = AtomicBool::new(false);
        let runs = std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (stop, stand) = (&stop, &stand);
                scope.spawn(move || write(stand, workload, writer, round, stop));
            }
            // Also when a run fails: else the writers would go on for ever.
            let _stop = StopOnDrop(&stop);
            run_every_second(&stand, Duration::from_secs(number("KARAT_STRESS_SECS", 20)))
        });
        assert!(runs > 3, "only {runs} runs: this machine is too slow to show anything");

        stand.run_until_idle();
        stand.expect_equal(&format!("round {round}, after {runs} runs beside the writers"));
    }
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn run_every_second(stand: &Stand, duration: Duration) -> u32 {
    let started = Instant::now();
    let mut runs = 0;
    while started.elapsed() < duration {
        let next = Instant::now() + Duration::from_secs(1);
        stand.run();
        runs += 1;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    runs
}

/// One writer: transactions of one to three rows, with pauses before, between and after; some are rolled back.
fn write(stand: &Stand, workload: Workload, writer: u64, round: u64, stop: &AtomicBool) {
    let mut session = stand.source.database().session();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(writer + 1) ^ ((round + 1) << 32);
    let mut next = |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let mut count = 0;
    while !stop.load(Ordering::SeqCst) {
        let mut transaction = String::from("BEGIN;");
        for _ in 0..=next(3) {
            count += 1;
            transaction.push_str(&stand.pair.0.sleep(next(150)));
            transaction.push_str(&format!("INSERT INTO orders (customer, amount) VALUES ('writer {writer} row {count}', {count});"));
            // Mostly short, sometimes longer than the pause between two runs.
            let pause = if next(8) == 0 { next(2_500) } else { next(200) };
            transaction.push_str(&stand.pair.0.sleep(pause));
        }
        if workload == Workload::InsertsAndUpdates {
            let row = 1 + next(count);
            transaction.push_str(&format!("UPDATE orders SET amount = amount + 0.01, updated_at = current_timestamp(6) WHERE customer = 'writer {writer} row {row}';"));
            transaction.push_str(&stand.pair.0.sleep(next(300)));
        }
        transaction.push_str(if next(10) == 0 { "ROLLBACK;" } else { "COMMIT;" });
        session.execute(&transaction);
    }
}

macro_rules! stress {
    ($($name:ident: $source:ident to $target:expr, $cdc:expr, $load:expr, $workload:ident;)+) => {
        $(
            #[test]
            fn $name() {
                let pair = Pair(System::$source, $target);
                nothing_is_lost_and_nothing_comes_twice(pair, $cdc, $load, Workload::$workload, concat!(module_path!(), "::", stringify!($name)));
            }
        )+
    };
}

const ID: &str = "{ strategy: id, cursor: id }";
const TIMESTAMP: &str = "{ strategy: timestamp, cursor: updated_at }";
const HYBRID: &str = "{ strategy: hybrid, cursor: updated_at }";

stress! {
    postgres_by_id: PostgreSql to Some(System::PostgreSql), ID, "{ mode: append }", Inserts;
    postgres_by_timestamp: PostgreSql to Some(System::PostgreSql), TIMESTAMP, "{ mode: append }", Inserts;
    postgres_by_hybrid: PostgreSql to Some(System::PostgreSql), HYBRID, "{ mode: upsert }", InsertsAndUpdates;
    postgres_by_id_into_the_lake: PostgreSql to None, ID, "{ mode: append }", Inserts;
    mysql_by_id: MySql to Some(System::MySql), ID, "{ mode: append }", Inserts;
    mysql_by_timestamp: MySql to Some(System::MySql), TIMESTAMP, "{ mode: append }", Inserts;
    mysql_by_hybrid: MySql to Some(System::MySql), HYBRID, "{ mode: upsert }", InsertsAndUpdates;
    mysql_by_hybrid_into_the_lake: MySql to None, HYBRID, "{ mode: upsert }", InsertsAndUpdates;
}
