//! Many writers at once.

use crate::world::{World, named, schema};
use arrow::array::{Int64Array, RecordBatch, StringArray};
use karat_plugin_api::{StreamId, WriteMode};
use std::sync::Arc;
use std::time::{Duration, Instant};

const WORKERS: i64 = 4;
const BATCHES: i64 = 250;
const KEYS: i64 = 400;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_writers_of_the_same_keys_in_every_order_all_succeed() {
    let world = match World::new() {
        Ok(world) => world,
        Err(skip) => return skip.report("four_writers_of_the_same_keys_in_every_order_all_succeed"),
    };
    let upsert = WriteMode::Upsert { key: vec!["id".into()], unique_in_read: true, order_by: Vec::new() };
    crate::world::load(&world.sink, world.request(upsert.clone(), 1, 1, "first"), named(1..=KEYS, "first"), world.commit(1, 1, "first", 0, 1)).await.unwrap();
    // People write to the table as well, one row after the other, backwards.
    let mut person = world.database.session();
    person.send(
        &(0..20)
            .map(|_| format!("START TRANSACTION; UPDATE bronze_t SET name = 'person' WHERE id = {KEYS}; DO SLEEP(0.02); UPDATE bronze_t SET name = 'person' WHERE id = 1; COMMIT;"))
            .collect::<Vec<_>>()
            .join(" "),
    );

    let writers = (0..WORKERS).map(|worker| {
        let stream = StreamId::new("p", &format!("writer.w{worker}"));
        let request = karat_plugin_api::LoadRequest { stream: stream.clone(), ..world.request(upsert.clone(), 1, 1, &format!("w{worker}")) };
        let commits: Vec<_> = (1..=BATCHES)
            .map(|batch| {
                let mut commit = world.commit(1, batch.unsigned_abs(), &format!("w{worker}"), batch - 1, batch);
                commit.record.stream = stream.clone();
                commit
            })
            .collect();
        let sink = Arc::clone(&world.sink);
        tokio::spawn(async move {
            let mut longest = Duration::ZERO;
            let mut load = sink.begin(request).await.unwrap();
            for (number, commit) in commits.into_iter().enumerate() {
                let mut ids: Vec<i64> = (1..=KEYS).collect();
                if (number as i64 + worker) % 2 == 0 {
                    ids.reverse();
                }
                let names = ids.iter().map(|id| format!("{worker} {number} {id}"));
                let batch = RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from(ids.clone())), Arc::new(StringArray::from_iter_values(names))]).unwrap();
                load.write(batch).await.unwrap();
                load.stage().await.unwrap();
                let started = Instant::now();
                load.commit(commit).await.unwrap();
                longest = longest.max(started.elapsed());
            }
            longest
        })
    });
    let longest = futures::future::join_all(writers).await.into_iter().map(Result::unwrap).max().unwrap();

    drop(person);
    assert!(longest < Duration::from_secs(5), "{longest:?}");
    let found = world.database.query("SELECT COUNT(*), COUNT(DISTINCT SUBSTRING_INDEX(name, ' ', 2)), SUM(name LIKE CONCAT('% ', id)) FROM bronze_t WHERE name <> 'person'");
    let fields: Vec<i64> = found.trim().split('\t').map(|field| field.parse().unwrap()).collect();
    assert!(fields[0] >= KEYS - 2 && fields[1] == 1 && fields[2] == fields[0], "the last batch is there as a whole: {found}");
    assert_eq!(world.database.query(&format!("SELECT COUNT(*) FROM karat_commits WHERE seq = {BATCHES}")), "4\n");
}
