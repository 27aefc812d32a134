//! A new generation takes the place of the old one exactly once, wherever the connection breaks.

use crate::world::{World, load, named, rows, staged};
use karat_plugin_api::{ErrorKind, Generation, WriteMode};
use karat_testkit::servers::{ChaosProxy, Cut, Direction};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swap_that_breaks_off_anywhere_is_decided_exactly() {
    let places: [&[u8]; 7] = [b"COMMENT='karat:", b"GET_LOCK", b"SET pending = '", b"\x03RENAME TABLE", b"SET generation = ", b"DROP TABLE IF EXISTS `karat_old", b"RELEASE_LOCK"];
    for place in places {
        for (is_answer, cut) in [(false, Cut::before(Direction::ToServer, place)), (true, Cut::reply_to(place))] {
            let what = format!("{} {}", if is_answer { "answer to" } else { "before" }, String::from_utf8_lossy(place));
            let world = match World::new() {
                Ok(world) => world,
                Err(skip) => return skip.report("a_swap_that_breaks_off_anywhere_is_decided_exactly"),
            };
            world.replace(1, "old", rows(&[(1, Some("old")), (2, Some("old"))])).await;
            let proxy = ChaosProxy::to(world.database.port());
            let sink = world.through(&proxy);
            let mut open = staged(&sink, world.request(WriteMode::Replace, 2, 1, "new"), named(1..=3, "new")).await.unwrap();
            proxy.cut(cut.times(1));

            let error = open.commit(world.commit(2, 1, "new", 0, 5)).await.unwrap_err();
            drop(open);

            assert_eq!(proxy.cuts(), 1, "{what}");
            let is_live = world.content().len() == 3;
            let record = world.record().await.unwrap();
            assert_eq!((record.generation, record.attempt.as_str()), if is_live { (Generation(2), "new-1") } else { (Generation(1), "old-1") }, "{what}: {}", error.chain());
            assert!(error.kind().is_transient() || error.kind() == ErrorKind::UnknownOutcome, "{what}: {}", error.chain());
            assert!(!is_live || error.kind() == ErrorKind::UnknownOutcome, "{what}: {}", error.chain());

            let generation = record.generation.0 + 1;
            load(&world.sink, world.request(WriteMode::Replace, generation, 2, "next"), rows(&[(9, Some("next"))]), world.commit(generation, 1, "next", 0, 9)).await.unwrap();
            assert_eq!(world.content(), ["9=next"], "{what}");
            assert_eq!(world.tables(), ["bronze_t", "karat_commits"], "{what}");
            assert_eq!(world.database.query("SELECT generation, pending FROM karat_commits"), format!("{generation}\tNULL\n"), "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_join_a_generation_whose_record_was_not_written() {
    let world = match World::new() {
        Ok(world) => world,
        Err(skip) => return skip.report("rows_join_a_generation_whose_record_was_not_written"),
    };
    let proxy = ChaosProxy::to(world.database.port());
    let sink = world.through(&proxy);
    let append = WriteMode::Append { once_by: None };
    let mut open = staged(&sink, world.request(append.clone(), 1, 1, "a"), rows(&[(1, None)])).await.unwrap();
    proxy.cut(Cut::reply_to(b"\x03RENAME TABLE").times(1));
    assert_eq!(open.commit(world.commit(1, 1, "a", 0, 1)).await.unwrap_err().kind(), ErrorKind::UnknownOutcome);

    load(&world.sink, world.request(append, 1, 1, "b"), rows(&[(2, None)]), world.commit(1, 2, "b", 1, 2)).await.unwrap();

    assert_eq!(world.content(), ["1=NULL", "2=NULL"]);
    assert_eq!(world.record().await.map(|record| record.seq), Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_holds_the_table_delays_a_swap_and_breaks_nothing() {
    let world = match World::new() {
        Ok(world) => world,
        Err(skip) => return skip.report("a_reader_that_holds_the_table_delays_a_swap_and_breaks_nothing"),
    };
    world.replace(1, "old", rows(&[(1, Some("old"))])).await;
    let mut reader = world.database.session();
    reader.execute("START TRANSACTION; SELECT * FROM bronze_t;");
    let mut open = staged(&world.sink, world.request(WriteMode::Replace, 2, 1, "new"), rows(&[(1, Some("new"))])).await.unwrap();
    let commit = world.commit(2, 1, "new", 0, 5);
    let swapping = tokio::spawn(async move { open.commit(commit).await });
    // Until the swap waits, and the reader then goes on with the table that it knows.
    while !world.database.query("SELECT STATE FROM information_schema.PROCESSLIST WHERE DB = DATABASE()").contains("metadata lock") {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(reader.execute("SELECT name FROM bronze_t;").contains("old"));
    assert_eq!(world.content().len(), 1);

    reader.execute("COMMIT;");

    swapping.await.unwrap().unwrap();
    assert_eq!(world.content(), ["1=new"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn indexes_and_remarks_of_a_person_survive_a_new_generation() {
    let world = match World::new() {
        Ok(world) => world,
        Err(skip) => return skip.report("indexes_and_remarks_of_a_person_survive_a_new_generation"),
    };
    world.database.execute(
        "CREATE TABLE bronze_t (id bigint NOT NULL PRIMARY KEY, name varchar(50), KEY by_name (name(10), id), UNIQUE KEY both_columns (name, id)) COMMENT='what we sell';",
    );

    world.replace(1, "a", rows(&[(1, Some("x"))])).await;
    world.replace(2, "b", rows(&[(2, Some("y"))])).await;

    let shown = world.database.query("SHOW CREATE TABLE bronze_t");
    assert!(
        shown.contains("KEY `by_name` (`name`(10),`id`)")
            && shown.contains("UNIQUE KEY `both_columns` (`name`,`id`)")
            && shown.contains("varchar(50)")
            && shown.contains("COMMENT='what we sell karat:gen=2;seq=1;attempt=b-1'"),
        "{shown}"
    );
}
