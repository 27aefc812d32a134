//! How fast rows are decoded, beside draining the same COPY without looking at it.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

mod fixture;

use fixture::fixture;
use futures::StreamExt;
use karat_plugin_api::{ReadStrategy, SourceBatch, SourceObject};
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use std::io::Write;
use std::time::{Duration, Instant};

const ROWS: u64 = 3_868_696;

/// Processor time of this process so far.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = text.rsplit_once(')').unwrap().1;
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

fn report(what: &str, start: Instant, processor: Duration) {
    let wall = start.elapsed();
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let speed = ROWS as f64 / wall.as_secs_f64();
    writeln!(std::io::stderr(), "{what}: {wall:.2?}, {speed:.0} rows/s, {:.2?} of our processor time", processor_time() - processor).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures; run it alone on a quiet machine, optimised: cargo test --release -p karat-postgres --test source_speed -- --ignored"]
async fn trades_are_decoded_about_as_fast_as_the_server_sends_them() {
    let sql = format!(
        "CREATE TABLE trades (trade_id bigint PRIMARY KEY, symbol varchar(20) NOT NULL, price numeric(18,8) NOT NULL, quantity numeric(18,8) NOT NULL, quote_qty numeric(28,8) NOT NULL,
           is_buyer_maker boolean NOT NULL, exchange_timestamp timestamp NOT NULL, ingested_at timestamp NOT NULL, sequence_number bigint NOT NULL, buyer_order_id bigint, seller_order_id bigint, order_type varchar(10) NOT NULL);
         INSERT INTO trades SELECT 3600000000 + i, (ARRAY['BTCUSDT','ETHUSDT','SOLUSDT'])[1 + i % 3], 67000 + (i % 100000) * 0.01, 0.00001 * (1 + i % 9999), (67000 + (i % 100000) * 0.01) * 0.00001 * (1 + i % 9999),
           i % 2 = 0, timestamp '2024-01-01' + i * interval '1 ms', timestamp '2024-01-01' + i * interval '1 ms' + interval '5 ms', 7000000 + i, 10000000000 + i * 4, 10000000000 + i * 3, (ARRAY['MARKET','LIMIT','IOC'])[1 + i % 3]
         FROM generate_series(1, {ROWS}) i; VACUUM ANALYZE trades"
    );
    let Some(fixture) = fixture("trades_are_decoded_about_as_fast_as_the_server_sends_them", &sql) else { return };
    for _ in 0..3 {
        let (start, processor) = (Instant::now(), processor_time());
        let mut connection = PgConnection::connect(&fixture.database.url()).await.unwrap();
        let mut messages = connection.copy_out_raw("COPY (SELECT * FROM trades) TO STDOUT (FORMAT binary)").await.unwrap();
        let mut count = 0_u64;
        while let Some(message) = messages.next().await {
            count += u64::from(!message.unwrap().is_empty());
        }
        assert!(count >= ROWS);
        drop(messages);
        connection.close().await.unwrap();
        report("drained", start, processor);
        for parallel in [1, 2] {
            let (start, processor) = (Instant::now(), processor_time());
            let mut request = fixture.request(SourceObject::Table("trades".into()), &[], ReadStrategy::Full).await;
            request.batch_rows = 8_192;
            request.parallel = parallel;
            let mut stream = fixture.source.read(request).await.unwrap().into_stream();
            let mut rows = 0;
            while let Some(item) = stream.next().await {
                if let SourceBatch::Rows { batch, .. } = item.unwrap() {
                    rows += batch.num_rows() as u64;
                }
            }
            assert_eq!(rows, ROWS);
            report(&format!("decoded by {parallel}"), start, processor);
        }
    }
}
