//! What an incremental read of a real server delivers, seen from outside.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

mod fixture;

use fixture::{Fixture, Keyset, by, fixture, open_source, read};
use karat_plugin_api::{CursorExpr, CursorValue, ErrorKind, Position, SourceObject};
use karat_spec::model::NullCursor;
use karat_testkit::servers::{PostgresServer, ServerOptions};
use std::time::{Duration, Instant};

macro_rules! fixture_or_skip {
    ($name:literal, $sql:expr) => {
        match fixture($name, $sql) {
            Some(fixture) => fixture,
            None => return,
        }
    };
}

fn is_settled(position: &Position) -> bool {
    matches!(position, Position::Cursor { unsettled: None, .. })
}

fn values(position: &Position) -> &[CursorValue] {
    match position {
        Position::Cursor { values, .. } => values,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_idle_run_gives_back_the_very_position() {
    let fixture = fixture_or_skip!(
        "an_idle_run_gives_back_the_very_position",
        "CREATE TABLE t (id bigserial PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), day date NOT NULL DEFAULT current_date, name text NOT NULL COLLATE \"C\"); INSERT INTO t (name) SELECT i FROM generate_series(1, 500) i"
    );
    for keyset in [
        by("id", &[]),
        by("at", &["id"]),
        by("at", &[]),
        by("day", &["id"]),
        by("name", &["id"]),
        Keyset { cursor: CursorExpr::Sql("coalesce(at, now()) -- c".into()), ..by("", &["id"]) },
    ] {
        let first = fixture.keyset("t", &keyset, &Position::Start).await.unwrap();
        assert_eq!(first.rows, 500, "{:?}", keyset.cursor);
        assert!(is_settled(&first.position), "{:?}: {:?}", keyset.cursor, first.position);

        let start = Instant::now();
        let second = fixture.keyset("t", &keyset, &first.position).await.unwrap();
        assert_eq!((second.rows, &second.position), (0, &first.position), "{:?}", keyset.cursor);
        assert!(start.elapsed() < Duration::from_secs(2));
    }
}

#[tokio::test]
async fn new_rows_are_delivered_and_old_ones_are_not() {
    let fixture = fixture_or_skip!(
        "new_rows_are_delivered_and_old_ones_are_not",
        "CREATE TABLE t (id bigserial PRIMARY KEY, name text); INSERT INTO t (name) SELECT i FROM generate_series(1, 5) i"
    );
    let first = fixture.keyset("t", &by("id", &[]), &Position::Start).await.unwrap();
    fixture.database.execute("INSERT INTO t (name) VALUES ('a'), ('b')");
    let second = fixture.keyset("t", &by("id", &[]), &first.position).await.unwrap();

    assert_eq!(second.integers("id"), [6, 7]);
    assert_eq!(values(&second.position), [CursorValue::Int(7)]);
    assert!(is_settled(&second.position));
}

async fn late_commit(fixture: &Fixture, keyset: &Keyset<'_>, prepare: &str, late: &str) {
    let first = fixture.keyset("t", keyset, &Position::Start).await.unwrap();
    let mut session = fixture.database.session();
    session.execute(prepare);
    std::thread::sleep(Duration::from_millis(5));
    fixture.database.execute("INSERT INTO t (name) VALUES ('early')");
    let second = fixture.keyset("t", keyset, &first.position).await.unwrap();
    assert_eq!(second.rows, 1, "{:?}", keyset.cursor);
    assert!(!is_settled(&second.position), "{:?}", second.position);
    // As long as the transaction is open, nothing new comes, and nothing changes.
    let idle = fixture.keyset("t", keyset, &second.position).await.unwrap();
    assert_eq!((idle.rows, &idle.position), (0, &second.position), "{:?}", keyset.cursor);
    session.execute(late);

    let third = fixture.keyset("t", keyset, &second.position).await.unwrap();

    let names: Vec<String> = fixture.database.query("SELECT id FROM t WHERE name = 'late'").lines().map(str::to_owned).collect();
    assert_eq!(names.len(), 1);
    assert!(third.integers("id").contains(&names[0].parse().unwrap()), "{:?}", keyset.cursor);
    // All first rows have one timestamp; transactions of other tests on this server may make them look as new as the late one.
    let most = if matches!(&keyset.cursor, CursorExpr::Column(name) if name == "id") { 2 } else { 22 };
    assert!(third.rows <= most, "only what the watermark does not cover is delivered again: {}", third.rows);
    assert!(is_settled(&third.position), "{:?}", third.position);
    let fourth = fixture.keyset("t", keyset, &third.position).await.unwrap();
    assert_eq!((fourth.rows, &fourth.position), (0, &third.position));
}

const SHOP: &str = "CREATE TABLE t (id bigserial PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), name text); CREATE INDEX ON t (at, id); INSERT INTO t (name) SELECT i FROM generate_series(1, 20) i";

#[tokio::test]
async fn a_late_commit_with_a_smaller_id_is_delivered_by_the_next_run() {
    let fixture = fixture_or_skip!("a_late_commit_with_a_smaller_id_is_delivered_by_the_next_run", SHOP);
    late_commit(&fixture, &by("id", &[]), "BEGIN; INSERT INTO t (name) VALUES ('late')", "COMMIT").await;
}

#[tokio::test]
async fn a_late_commit_with_an_earlier_timestamp_is_delivered_by_the_next_run() {
    for keyset in [by("at", &[]), by("at", &["id"])] {
        let fixture = fixture_or_skip!("a_late_commit_with_an_earlier_timestamp_is_delivered_by_the_next_run", SHOP);
        late_commit(&fixture, &keyset, "BEGIN; INSERT INTO t (name) VALUES ('late')", "COMMIT").await;
    }
}

#[tokio::test]
async fn a_session_that_drew_an_id_and_has_no_transaction_number_yet_is_waited_for() {
    for keyset in [by("id", &[]), by("at", &["id"])] {
        let fixture = fixture_or_skip!("a_session_that_drew_an_id_and_has_no_transaction_number_yet_is_waited_for", &format!("{SHOP}; CREATE TABLE drawn (id bigint)"));
        late_commit(&fixture, &keyset, "BEGIN; SELECT now(); SELECT nextval('t_id_seq') AS drawn \\gset", "INSERT INTO t (id, name) VALUES (:drawn, 'late'); COMMIT").await;
    }
}

#[tokio::test]
async fn a_prepared_transaction_is_waited_for() {
    let fixture = fixture_or_skip!("a_prepared_transaction_is_waited_for", SHOP);
    late_commit(
        &fixture,
        &by("id", &[]),
        &format!("BEGIN; INSERT INTO t (name) VALUES ('late'); PREPARE TRANSACTION '{}'", fixture.database.name()),
        &format!("COMMIT PREPARED '{}'", fixture.database.name()),
    )
    .await;
}

#[tokio::test]
async fn a_transaction_that_is_open_at_the_first_read_costs_only_its_own_rows_later() {
    let fixture = fixture_or_skip!("a_transaction_that_is_open_at_the_first_read_costs_only_its_own_rows_later", "CREATE TABLE t (id bigserial PRIMARY KEY, name text)");
    let mut session = fixture.database.session();
    session.execute("BEGIN; INSERT INTO t (name) VALUES ('late')");
    fixture.database.execute("INSERT INTO t (name) SELECT i FROM generate_series(1, 3000) i");
    let first = fixture.keyset("t", &by("id", &[]), &Position::Start).await.unwrap();
    assert_eq!(first.rows, 3000);
    assert!(!is_settled(&first.position));
    session.execute("COMMIT");

    let second = fixture.keyset("t", &by("id", &[]), &first.position).await.unwrap();

    assert!(second.integers("id").contains(&1));
    assert!(second.rows <= 3001);
    assert!(is_settled(&second.position));
    // Resuming from a batch in the middle loses nothing either.
    let middle = first.positions[1].clone().unwrap();
    let resumed = fixture.keyset("t", &by("id", &[]), &middle).await.unwrap();
    let delivered = resumed.integers("id");
    assert!(delivered.contains(&1) && (2002..=3001).all(|id| delivered.contains(&id)));
}

#[tokio::test]
async fn rows_of_one_timestamp_are_all_delivered_wherever_a_run_stops() {
    let fixture = fixture_or_skip!(
        "rows_of_one_timestamp_are_all_delivered_wherever_a_run_stops",
        "CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL, name text); INSERT INTO t SELECT i, timestamptz '2024-01-01' + (i / 2500) * interval '1 s', 'n' FROM generate_series(0, 4999) i"
    );
    for keyset in [by("at", &["id"]), by("at", &[])] {
        let first = fixture.keyset("t", &keyset, &Position::Start).await.unwrap();
        assert_eq!(first.rows, 5000);
        for position in first.positions.iter().flatten() {
            let before: usize = first.batches[..=first.positions.iter().position(|other| other.as_ref() == Some(position)).unwrap()].iter().map(|batch| batch.num_rows()).sum();
            let rest = fixture.keyset("t", &keyset, position).await.unwrap();
            let delivered = rest.integers("id");
            let missing = first.integers("id")[before..].iter().filter(|id| !delivered.contains(id)).count();
            assert_eq!(missing, 0, "after {before} rows");
        }
        // A row put into the group of the watermark later, with a smaller key.
        fixture.database.execute("INSERT INTO t VALUES (-1, timestamptz '2024-01-01 00:00:01', 'tie')");
        let next = fixture.keyset("t", &keyset, &first.position).await.unwrap();
        assert!(next.integers("id").contains(&-1));
        let idle = fixture.keyset("t", &keyset, &next.position).await.unwrap();
        assert_eq!((idle.rows, &idle.position), (0, &next.position));
        fixture.database.execute("DELETE FROM t WHERE id = -1");
    }
}

#[tokio::test]
async fn rows_dated_in_the_future_are_delivered_and_do_not_move_the_watermark() {
    for column in ["timestamptz", "timestamp", "date"] {
        let fixture = fixture_or_skip!(
            "rows_dated_in_the_future_are_delivered_and_do_not_move_the_watermark",
            &format!("CREATE TABLE t (id serial PRIMARY KEY, at {column} NOT NULL); INSERT INTO t (at) VALUES ('2024-01-01'), ('2024-01-02'), ('9999-12-31')")
        );
        let keyset = by("at", &["id"]);
        let first = fixture.keyset("t", &keyset, &Position::Start).await.unwrap();
        assert_eq!((first.rows, first.future_rows), (3, 1), "{column}");
        let idle = fixture.keyset("t", &keyset, &first.position).await.unwrap();
        assert_eq!((idle.rows, &idle.position), (0, &first.position), "{column}");
        fixture.database.execute("INSERT INTO t (at) VALUES ('2024-01-03')");
        let next = fixture.keyset("t", &keyset, &first.position).await.unwrap();
        assert!(next.integers("id").contains(&4), "{column}");
    }
}

#[tokio::test]
async fn rows_without_a_cursor_are_refused_or_read_each_time_they_change() {
    let fixture = fixture_or_skip!(
        "rows_without_a_cursor_are_refused_or_read_each_time_they_change",
        "CREATE TABLE t (id serial PRIMARY KEY, at timestamp, name text); INSERT INTO t (at) VALUES ('2024-01-01'), (NULL), ('2024-01-02')"
    );
    let error = fixture.keyset("t", &by("at", &["id"]), &Position::Start).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadData);
    assert!(error.chain().contains("1 rows"), "{}", error.chain());

    let keyset = Keyset { null_cursor: NullCursor::AlwaysReread, ..by("at", &["id"]) };
    let first = fixture.keyset("t", &keyset, &Position::Start).await.unwrap();
    assert_eq!(first.rows, 3);
    let idle = fixture.keyset("t", &keyset, &first.position).await.unwrap();
    assert_eq!((idle.rows, &idle.position), (0, &first.position));
    fixture.database.execute("UPDATE t SET name = 'x' WHERE at IS NULL");
    assert!(fixture.keyset("t", &keyset, &first.position).await.unwrap().integers("id").contains(&2));
}

#[tokio::test]
async fn a_lookback_finds_rows_that_were_put_in_below_the_watermark() {
    let fixture = fixture_or_skip!(
        "a_lookback_finds_rows_that_were_put_in_below_the_watermark",
        "CREATE TABLE t (id serial PRIMARY KEY, at timestamptz NOT NULL); INSERT INTO t (at) SELECT timestamptz '2024-01-01' + i * interval '1 min' FROM generate_series(1, 100) i"
    );
    let keyset = Keyset { lookback: Some(Duration::from_secs(600)), ..by("at", &["id"]) };
    let first = fixture.keyset("t", &keyset, &Position::Start).await.unwrap();
    let idle = fixture.keyset("t", &keyset, &first.position).await.unwrap();
    assert_eq!((idle.rows, idle.skipped_rows, &idle.position), (0, 11, &first.position));
    fixture.database.execute("INSERT INTO t (at) VALUES ('2024-01-01 01:35')");
    let next = fixture.keyset("t", &keyset, &first.position).await.unwrap();
    assert!(next.integers("id").contains(&101));
    assert!(next.rows <= 12);
}

#[tokio::test]
async fn text_keys_are_compared_by_the_database() {
    let fixture = fixture_or_skip!(
        "text_keys_are_compared_by_the_database",
        "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false); CREATE COLLATION de (provider = icu, locale = 'de-u-co-phonebk');
         CREATE TABLE t (id int NOT NULL, name text COLLATE de PRIMARY KEY, loose text COLLATE ci NOT NULL, fixed char(8) NOT NULL, mood uuid NOT NULL);
         INSERT INTO t SELECT i, chr(64 + i % 60) || 'ß' || E'\\\\' || '''' || i, (ARRAY['a','A','b','B','ä'])[1 + i % 5], 'x' || i % 7, md5(i::text)::uuid FROM generate_series(1, 2500) i"
    );
    for keyset in [by("name", &[]), by("loose", &["name"]), by("fixed", &["name"]), by("mood", &[]), by("id", &["mood"])] {
        let first = fixture.keyset("t", &keyset, &Position::Start).await.unwrap();
        assert_eq!(first.rows, 2500, "{:?}", keyset.cursor);
        let resumed = fixture.keyset("t", &keyset, first.positions[0].as_ref().unwrap()).await.unwrap();
        let rest = resumed.integers("id");
        assert!(first.integers("id")[1000..].iter().all(|id| rest.contains(id)), "{:?}", keyset.cursor);
        let idle = fixture.keyset("t", &keyset, &first.position).await.unwrap();
        assert_eq!((idle.rows, &idle.position), (0, &first.position), "{:?}", keyset.cursor);
    }
}

#[tokio::test]
async fn sparse_ids_cost_one_statement_however_wide_the_gaps_are() {
    let settings = [("log_statement", "all"), ("logging_collector", "on"), ("log_filename", "statements.log"), ("log_rotation_size", "0")];
    let server = match PostgresServer::start_with(&ServerOptions { settings: settings.map(|(name, value)| (name.into(), value.into())).to_vec(), ..ServerOptions::default() }) {
        Ok(server) => server,
        Err(skip) => return skip.report("sparse_ids_cost_one_statement_however_wide_the_gaps_are"),
    };
    let database = server.database();
    database.execute("CREATE TABLE t (id bigint PRIMARY KEY, name text); INSERT INTO t SELECT 1 + (i::numeric * 71714082 / 299999)::bigint, 'n' FROM generate_series(0, 299999) i");
    assert_eq!(database.query("SELECT count(*), max(id) FROM t"), "300000\t71714083\n");
    let fixture = Fixture { source: open_source(&database.url()), database };
    let mut request = fixture.keyset_request("t", &by("id", &[]), &Position::Start).await;
    request.batch_rows = 10_000;
    let count = || std::fs::read_to_string(server.socket_folder().join("data/log/statements.log")).unwrap().matches("LOG:  statement: ").count();
    let before = count();
    let outcome = read(&fixture.source, request).await.unwrap();
    let statements = count() - before;

    assert_eq!(outcome.rows, 300_000);
    assert!(outcome.batches.iter().all(|batch| batch.num_rows() == 10_000));
    assert!(statements <= 30 + 10, "{statements} statements");
}

#[tokio::test]
async fn a_source_that_went_back_is_refused() {
    let fixture = fixture_or_skip!("a_source_that_went_back_is_refused", SHOP);
    let first = fixture.keyset("t", &by("id", &[]), &Position::Start).await.unwrap();
    fixture.database.execute("TRUNCATE t RESTART IDENTITY; INSERT INTO t (name) VALUES ('again')");
    let error = fixture.keyset("t", &by("id", &[]), &first.position).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{}", error.chain());
}

#[tokio::test]
async fn positions_of_other_strategies_are_refused() {
    let fixture = fixture_or_skip!("positions_of_other_strategies_are_refused", SHOP);
    for position in [Position::Snapshot { rows: 1, digest: None }, Position::Cursor { values: vec![CursorValue::Float(1)], tail: None, unsettled: None }] {
        let error = fixture.keyset("t", &by("id", &[]), &position).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
    }
}

#[tokio::test]
async fn views_and_queries_can_be_read_onward() {
    let fixture = fixture_or_skip!("views_and_queries_can_be_read_onward", &format!("{SHOP}; CREATE VIEW v AS SELECT * FROM t; CREATE MATERIALIZED VIEW m AS SELECT * FROM t"));
    for object in [SourceObject::Table("v".into()), SourceObject::Table("m".into()), SourceObject::Query("SELECT id, at, name FROM t -- all;".into())] {
        let mut request = fixture.keyset_request("t", &by("at", &["id"]), &Position::Start).await;
        request.object = object.clone();
        for column in &mut request.columns {
            column.nullable = true;
        }
        let first = read(&fixture.source, request.clone()).await.unwrap();
        assert_eq!(first.rows, 20, "{object:?}");
        if let karat_plugin_api::ReadStrategy::Keyset { after, .. } = &mut request.strategy {
            *after = first.position.clone();
        }
        let second = read(&fixture.source, request).await.unwrap();
        assert_eq!((second.rows, &second.position), (0, &first.position), "{object:?}");
    }
}
