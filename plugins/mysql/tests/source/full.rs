//! Whole tables, by one reader and by several.

use crate::world::{self, World};
use karat_plugin_api::{Position, ReadStrategy, SourceObject};
use karat_testkit::servers::numbers;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

async fn read_with(world: &World, readers: usize, batch_rows: usize) -> world::Outcome {
    let mut request = world.request(SourceObject::Table("t".into()), &[], ReadStrategy::Full).await;
    request.parallel = readers;
    request.batch_rows = batch_rows;
    world.read(request).await.unwrap()
}

#[tokio::test]
async fn several_readers_deliver_every_row_once() {
    let sql = &format!(
        "CREATE TABLE t (id BIGINT UNSIGNED PRIMARY KEY, v INT NOT NULL); INSERT INTO t SELECT seq * 9999 + IF(seq > 30000, 9223372036854775808, 0), 1 FROM {}; \
               INSERT INTO t VALUES (18446744073709551615, 1), (0, 1); ANALYZE TABLE t",
        numbers(60_000)
    );
    let Some(world) = World::new("several_readers_deliver_every_row_once", sql) else { return };
    for readers in [1, 2, 4, 16] {
        let read = read_with(&world, readers, 7_000).await;
        assert_eq!((read.rows, &read.position), (60_002, &Position::Snapshot { rows: 60_002, digest: None }));
        let ids: BTreeSet<String> = read.texts("id").into_iter().collect();
        assert_eq!(ids.len(), 60_002);
        let mut delivered = 0;
        for batch in &read.batches {
            assert!(delivered % 7_000 + batch.num_rows() <= 7_000, "no batch crosses a multiple");
            delivered += batch.num_rows();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_one_snapshot_while_others_write() {
    let sql = &format!("CREATE TABLE t (id INT PRIMARY KEY, v INT NOT NULL); INSERT INTO t SELECT seq * 10, 100 FROM {}; ANALYZE TABLE t", numbers(40_000));
    let Some(world) = World::new("readers_see_one_snapshot_while_others_write", sql) else { return };
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 1..=3_u32 {
            let (world, done) = (&world, &done);
            scope.spawn(move || {
                let mut session = world.database.session();
                let mut at = writer;
                while !done.load(Ordering::Relaxed) {
                    // Sum and count are the same in every committed state.
                    at = at.wrapping_mul(7_919).wrapping_add(writer) % 20_000 + 1;
                    session.execute(&format!("BEGIN; UPDATE t SET v = v - 1 WHERE id = {}; UPDATE t SET v = v + 1 WHERE id = {}; COMMIT", at * 10, (40_001 - at) * 10));
                }
            });
        }
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                for readers in [1, 2, 4, 4, 4] {
                    let read = read_with(&world, readers, 1_000).await;
                    assert_eq!((read.rows, read.integers("v").iter().sum::<i64>()), (40_000, 4_000_000), "{readers} readers");
                }
            });
        });
        done.store(true, Ordering::Relaxed);
    });
}

#[tokio::test]
async fn a_long_writer_costs_the_parallel_readers_not_the_read() {
    let sql = &format!("CREATE TABLE t (id INT PRIMARY KEY, v INT NOT NULL); INSERT INTO t SELECT seq, 1 FROM {}; ANALYZE TABLE t", numbers(20_000));
    let Some(world) = World::alone("a_long_writer_costs_the_parallel_readers_not_the_read", sql) else { return };
    let mut writer = world.database.session();
    writer.execute("BEGIN; UPDATE t SET v = 2 WHERE id = 1");
    let read = read_with(&world, 4, 1_000).await;
    assert_eq!((read.rows, read.integers("v").iter().sum::<i64>()), (20_000, 20_000));
}

#[tokio::test]
async fn tables_without_a_whole_number_as_key_are_read_by_one_reader() {
    let sql = &format!("CREATE TABLE t (id VARCHAR(20) PRIMARY KEY, v INT) ENGINE=MyISAM; INSERT INTO t SELECT CONCAT('k', seq), NULL FROM {}", numbers(5_000));
    let Some(world) = World::new("tables_without_a_whole_number_as_key_are_read_by_one_reader", sql) else { return };
    assert_eq!(read_with(&world, 4, 1_000).await.rows, 5_000);
    world.database.execute("DELETE FROM t");
    let empty = read_with(&world, 4, 1_000).await;
    assert_eq!((empty.rows, empty.position), (0, Position::Snapshot { rows: 0, digest: None }));
}
