//! Rows since last time.

use crate::world::{Keyset, World};
use karat_plugin_api::{CursorExpr, CursorValue, ErrorKind, Position, Unsettled};
use karat_spec::model::NullCursor;
use karat_testkit::servers::{Flavour, numbers};
use std::collections::BTreeSet;
use std::time::Duration;

fn values(position: &Position) -> Vec<CursorValue> {
    match position {
        Position::Cursor { values, .. } => values.clone(),
        other => panic!("{other:?}"),
    }
}

fn unsettled(position: &Position) -> Option<Unsettled> {
    match position {
        Position::Cursor { unsettled, .. } => unsettled.clone(),
        _ => None,
    }
}

#[tokio::test]
async fn sparse_ids_are_read_with_a_handful_of_statements() {
    let sql = &format!(
        "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(20) NOT NULL); \
               INSERT INTO t SELECT seq * 239 + 13 * (seq % 7) + IF(seq > 150000, 10083, 0), CONCAT('v', seq) FROM {}; UPDATE t SET id = 71714083 ORDER BY id DESC LIMIT 1",
        numbers(300_000)
    );
    let Some(server) = crate::world::server("sparse_ids_are_read_with_a_handful_of_statements") else { return };
    let world = World::at(server, sql);
    let mut keyset = Keyset::by("t", "id", &[]);
    keyset.batch_rows = 50_000;
    let request = world.keyset_request(&keyset, &Position::Start).await;
    let count = || {
        world
            .query("SHOW GLOBAL STATUS WHERE Variable_name IN ('Com_select', 'Com_stmt_execute')")
            .iter()
            .map(|line| line.rsplit('\t').next().unwrap().parse::<f64>().unwrap())
            .sum::<f64>()
    };
    let before = count();
    let first = world.read(request).await.unwrap();
    let asked = count() - before;
    assert_eq!(first.batches.iter().map(arrow::array::RecordBatch::num_rows).collect::<Vec<_>>(), [50_000; 6]);
    assert_eq!(values(&first.position), [CursorValue::Int(71_714_083)]);
    // Other tests share the server; what this read asks is counted exactly by its own steps, and does not grow with rows or gaps.
    assert!(asked < 400.0, "{asked}");
    let second = world.keyset(&keyset, &first.position).await.unwrap();
    assert_eq!((second.rows, second.position), (0, first.position));
}

#[tokio::test]
async fn a_position_inside_a_group_of_ties_goes_on_there() {
    let sql = &format!(
        "CREATE TABLE t (id INT NOT NULL, sub VARCHAR(5) CHARACTER SET latin1 COLLATE latin1_german1_ci NOT NULL, at DATETIME(6) NOT NULL, PRIMARY KEY (id, sub), INDEX (at)); \
               INSERT INTO t SELECT seq, IF(seq % 2, 'ä', 'B'), '2024-01-01' + INTERVAL (seq DIV 100) SECOND FROM {}",
        numbers(1_000)
    );
    let Some(world) = World::quiet("a_position_inside_a_group_of_ties_goes_on_there", sql) else { return };
    let mut keyset = Keyset::by("t", "at", &["id", "sub"]);
    keyset.batch_rows = 33;
    let all = world.keyset(&keyset, &Position::Start).await.unwrap();
    let ids = all.integers("id");
    assert_eq!(ids, (1..=1000).collect::<Vec<i64>>());
    for at in [0, 1, 7, 20] {
        let delivered = (at + 1) * 33;
        let rest = world.keyset(&keyset, all.positions[at].as_ref().unwrap()).await.unwrap();
        let seen: BTreeSet<i64> = rest.integers("id").into_iter().chain(ids[..delivered].iter().copied()).collect();
        assert_eq!(seen.len(), 1000);
        assert!(rest.rows <= (1000 - delivered + 100) as u64, "only the group of the position is looked at again");
        assert_eq!(values(&rest.position), values(&all.position));
    }
}

#[tokio::test]
async fn late_ties_and_updates_within_the_resolution_are_found() {
    let sql = "CREATE TABLE t (id INT PRIMARY KEY, at DATETIME NOT NULL, v INT NOT NULL, INDEX (at)); INSERT INTO t VALUES (1, '2024-01-01', 1), (2, '2024-01-02', 1), (3, '2024-01-02', 1)";
    let Some(world) = World::quiet("late_ties_and_updates_within_the_resolution_are_found", sql) else { return };
    for keyset in [Keyset::by("t", "at", &["id"]), Keyset::by("t", "at", &[])] {
        let first = world.keyset(&keyset, &Position::Start).await.unwrap();
        let idle = world.keyset(&keyset, &first.position).await.unwrap();
        assert_eq!((idle.rows, &idle.position), (0, &first.position));
        assert!(idle.skipped_rows >= 2);
        world.database.execute("INSERT INTO t VALUES (0, '2024-01-02', 1)");
        let tie = world.keyset(&keyset, &first.position).await.unwrap();
        assert!(tie.integers("id").contains(&0));
        world.database.execute("UPDATE t SET v = 2 WHERE id = 2");
        let update = world.keyset(&keyset, &tie.position).await.unwrap();
        assert!(update.integers("id").contains(&2));
        world.database.execute("DELETE FROM t WHERE id = 0; UPDATE t SET v = 1");
    }
}

#[tokio::test]
async fn future_rows_are_delivered_and_do_not_move_the_watermark() {
    let sql = "CREATE TABLE t (id INT PRIMARY KEY, at TIMESTAMP(6) NOT NULL, INDEX (at)); INSERT INTO t VALUES (1, '2024-01-01'), (2, '2037-12-31')";
    let Some(world) = World::quiet("future_rows_are_delivered_and_do_not_move_the_watermark", sql) else { return };
    let keyset = Keyset::by("t", "at", &["id"]);
    let first = world.keyset(&keyset, &Position::Start).await.unwrap();
    assert_eq!((first.rows, first.future_rows), (2, 1));
    assert_eq!(values(&first.position), [CursorValue::Timestamp(1_704_067_200_000_000), CursorValue::Int(1)]);
    let idle = world.keyset(&keyset, &first.position).await.unwrap();
    assert_eq!((idle.rows, &idle.position), (0, &first.position));
    world.database.execute("INSERT INTO t VALUES (3, '2025-01-01')");
    let next = world.keyset(&keyset, &first.position).await.unwrap();
    assert!(next.integers("id").contains(&3));
    assert_eq!(values(&next.position)[1], CursorValue::Int(3));
}

#[tokio::test]
async fn rows_without_a_cursor_are_refused_or_read_every_time() {
    let sql = "CREATE TABLE t (id INT PRIMARY KEY, at DATETIME, v INT, INDEX (at)); INSERT INTO t VALUES (1, '2024-01-01', 1), (2, NULL, 1)";
    let Some(world) = World::quiet("rows_without_a_cursor_are_refused_or_read_every_time", sql) else { return };
    let mut keyset = Keyset::by("t", "at", &["id"]);
    let error = world.keyset(&keyset, &Position::Start).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadData);
    keyset.null_cursor = NullCursor::AlwaysReread;
    let first = world.keyset(&keyset, &Position::Start).await.unwrap();
    assert_eq!(first.integers("id"), [1, 2]);
    let idle = world.keyset(&keyset, &first.position).await.unwrap();
    assert_eq!((idle.rows, &idle.position), (0, &first.position));
    world.database.execute("UPDATE t SET v = 2 WHERE id = 2");
    assert!(world.keyset(&keyset, &first.position).await.unwrap().integers("id").contains(&2));
    let by_expression = Keyset { cursor: CursorExpr::Sql("COALESCE(at, '2000-01-01') -- never NULL".into()), null_cursor: NullCursor::Error, ..keyset };
    let first = world.keyset(&by_expression, &Position::Start).await.unwrap();
    assert_eq!(first.integers("id"), [2, 1]);
    assert_eq!(world.keyset(&by_expression, &first.position).await.unwrap().rows, 0);
}

#[tokio::test]
async fn a_lookback_finds_what_was_written_late() {
    let sql = "CREATE TABLE t (id INT PRIMARY KEY, at DATETIME(3) NOT NULL, INDEX (at)); INSERT INTO t VALUES (1, '2024-01-01 00:00:00'), (2, '2024-01-01 01:00:00.500')";
    let Some(world) = World::quiet("a_lookback_finds_what_was_written_late", sql) else { return };
    let keyset = Keyset { lookback: Some(Duration::from_secs(600)), ..Keyset::by("t", "at", &["id"]) };
    let first = world.keyset(&keyset, &Position::Start).await.unwrap();
    world.database.execute("INSERT INTO t VALUES (3, '2024-01-01 00:55:00'), (4, '2024-01-01 00:40:00')");
    let second = world.keyset(&keyset, &first.position).await.unwrap();
    assert_eq!(second.integers("id"), [3, 2]);
    assert_eq!(world.keyset(&keyset, &second.position).await.unwrap().rows, 0);
}

#[tokio::test]
async fn cursors_of_every_kind_are_compared_by_the_server() {
    // MySQL has no type for them.
    let uuid = if Flavour::of_this_run() == Flavour::MariaDb { "UUID" } else { "CHAR(36)" };
    // Texts in which spaces at the end count.
    let nopad = if Flavour::of_this_run() == Flavour::MariaDb { "utf8mb4_unicode_nopad_ci" } else { "utf8mb4_0900_ai_ci" };
    let sql = &format!(
        "SET sql_mode = ''; CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(10) COLLATE utf8mb4_german2_ci NOT NULL UNIQUE, b BINARY(4) NOT NULL UNIQUE, c DECIMAL(30,10) NOT NULL UNIQUE, \
               d BIGINT UNSIGNED NOT NULL UNIQUE, e ENUM('z','y','x') NOT NULL, f FLOAT NOT NULL, g TIME(2) NOT NULL, h BIT(40) NOT NULL UNIQUE, i {uuid} NOT NULL UNIQUE, j DATE NOT NULL, k DOUBLE NOT NULL UNIQUE, \
               l VARCHAR(10) CHARACTER SET latin1 NOT NULL UNIQUE, m YEAR NOT NULL, n VARCHAR(10) COLLATE {nopad} NOT NULL UNIQUE); \
               INSERT INTO t VALUES (1, 'Z', x'00', 12345678901234567890.0000000001, 1, 'z', -0.1, '-10:00', b'1', '00000000-0000-0000-0000-000000000001', '0000-00-00', -1.5, 'a', 0, 'a'), \
               (2, 'ä', x'ff00', 12345678901234567890.0000000002, 9223372036854775808, 'y', 0.1, '10:00:00.5', b'10', '10000000-0000-0000-0000-000000000000', '2024-01-01', 0.1, 'Ä', 1999, 'B'), \
               (3, 'b ', x'ff01', 12345678901234567890.0000000003, 18446744073709551615, 'x', 1e30, '100:00', b'1111111111111111111111111111111111111111', 'f0000000-0000-0000-0000-000000000000', '2024-01-02', 1e300, 'z', 2024, 'a ')"
    );
    let Some(world) = World::quiet("cursors_of_every_kind_are_compared_by_the_server", sql) else { return };
    for column in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n"] {
        for tie in [&[][..], &["id"]] {
            let mut keyset = Keyset { batch_rows: 1, ..Keyset::by("t", column, tie) };
            let mut types = world.keyset_request(&keyset, &Position::Start).await;
            types.columns.retain(|choice| choice.name != "j");
            let all = world.read(types).await.unwrap();
            let sorted: Vec<i64> = world.query(&format!("SELECT id FROM t ORDER BY {column}")).iter().map(|line| line.parse().unwrap()).collect();
            assert_eq!(all.integers("id"), sorted, "{column}");
            for (at, position) in all.positions.iter().enumerate() {
                keyset.batch_rows = 10;
                let mut rest = world.keyset_request(&keyset, position.as_ref().unwrap()).await;
                rest.columns.retain(|choice| choice.name != "j");
                let rest = world.read(rest).await.unwrap();
                assert!(rest.integers("id").ends_with(&sorted[at + 1..]), "{column} after {position:?}: {:?}", rest.integers("id"));
                assert!(rest.rows as usize <= sorted.len() - at, "{column} after {position:?}");
                assert_eq!(values(&rest.position), values(&all.position), "{column}");
            }
        }
    }
}

#[tokio::test]
async fn a_source_that_went_back_is_refused() {
    let sql = &format!("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, v INT); INSERT INTO t (v) SELECT seq FROM {}", numbers(100));
    let Some(world) = World::quiet("a_source_that_went_back_is_refused", sql) else { return };
    let keyset = Keyset::by("t", "id", &[]);
    let first = world.keyset(&keyset, &Position::Start).await.unwrap();
    world.database.execute("DELETE FROM t WHERE id > 50");
    assert_eq!(world.keyset(&keyset, &first.position).await.unwrap().position, first.position);
    world.database.execute("TRUNCATE TABLE t; INSERT INTO t (v) VALUES (1), (2)");
    let error = world.keyset(&keyset, &first.position).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.chain().contains("table `t` went back: its next key is 3, and rows up to 100 were read before"), "{}", error.chain());
    let error = world.keyset(&keyset, &Position::Snapshot { rows: 1, digest: None }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
}

#[tokio::test]
async fn a_quiet_server_settles_at_once() {
    let sql = &format!("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, v INT); INSERT INTO t (v) SELECT seq FROM {}", numbers(1_000));
    let Some(world) = World::alone("a_quiet_server_settles_at_once", sql) else { return };
    let keyset = Keyset::by("t", "id", &[]);
    let first = world.keyset(&keyset, &Position::Start).await.unwrap();
    assert_eq!(first.position, Position::Cursor { values: vec![CursorValue::Int(1000)], tail: None, unsettled: None });
    assert!(first.positions.iter().flatten().all(|position| unsettled(position).is_none()));
    let second = world.keyset(&keyset, &first.position).await.unwrap();
    assert_eq!((second.rows, second.position), (0, first.position));
}

#[tokio::test]
async fn orders_of_an_index_are_read_without_sorting() {
    let sql = &format!(
        "CREATE TABLE t (id INT PRIMARY KEY, at DATETIME NOT NULL, pad CHAR(200) NOT NULL DEFAULT '', INDEX by_time (at)); \
               INSERT INTO t (id, at) SELECT seq, '2024-01-01' + INTERVAL seq % 1000 SECOND FROM {}; ANALYZE TABLE t",
        numbers(20_000)
    );
    let Some(world) = World::quiet("orders_of_an_index_are_read_without_sorting", sql) else { return };
    let condition = "at >= '2024-01-01 00:10:00' AND (at > '2024-01-01 00:10:00' OR (at = '2024-01-01 00:10:00' AND id > 5))";
    for (hint, condition) in [("FORCE INDEX (`by_time`)", condition), ("FORCE INDEX (`by_time`)", "at IS NOT NULL")] {
        let plan = world.query(&format!("EXPLAIN SELECT * FROM t {hint} WHERE {condition} ORDER BY at, id"));
        assert!(plan.len() == 1 && plan[0].contains("by_time") && !plan[0].contains("filesort"), "{plan:?}");
    }
}
