//! How tables are made, kept, changed and taken over.

use crate::world::{World, append, commit, load, newest, request, rows, staged, upsert, world};
use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Field, Schema};
use karat_plugin_api::{ErrorKind, LoadRequest, NativeTypes, TableLayout, WriteMode};
use std::sync::Arc;

fn columns(world: &World) -> String {
    world.database.query("SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN '!' ELSE '' END, ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'bronze.t'::regclass AND attnum > 0 AND NOT attisdropped").trim().to_owned()
}

fn batch(columns: Vec<(&str, ArrayRef, bool)>) -> RecordBatch {
    let fields: Vec<Field> = columns.iter().map(|(name, array, nullable)| Field::new(*name, array.data_type().clone(), *nullable)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, array, _)| array).collect()).unwrap()
}

fn of(batch: &RecordBatch, request: LoadRequest) -> LoadRequest {
    LoadRequest { schema: batch.schema(), ..request }
}

fn native(columns: &[(&str, &str)]) -> TableLayout {
    let columns = columns.iter().map(|(name, declared)| ((*name).to_owned(), (*declared).to_owned())).collect();
    TableLayout { key: vec!["id".into()], native: Some(NativeTypes { system: "postgres".into(), columns }), ..TableLayout::default() }
}

#[tokio::test]
async fn a_table_is_made_with_the_sources_own_types_a_primary_key_and_not_null() {
    let Some(world) = world("native types") else { return };
    let new = batch(vec![
        ("id", Arc::new(Int64Array::from(vec![1])), false),
        ("code", Arc::new(StringArray::from(vec!["ab"])), true),
        ("address", Arc::new(StringArray::from(vec!["10.0.0.1"])), true),
        ("mood", Arc::new(StringArray::from(vec!["happy"])), true),
    ]);
    let table = native(&[("id", "bigint"), ("code", "character varying(5) COLLATE pg_catalog.\"C\""), ("address", "inet"), ("mood", "public.no_such_enum")]);

    load(&world.sink, LoadRequest { table, ..of(&new, request(append(), 1, "a")) }, new, commit(1, 1, "a", 0, 1)).await.unwrap();

    assert_eq!(columns(&world), "id bigint!, code character varying(5), address inet, mood text");
    assert_eq!(world.relations(), "karat_commits karat_commits_pkey t t_pkey");
    assert_eq!(world.database.query("SELECT id, code, host(address), mood FROM bronze.t"), "1\tab\t10.0.0.1\thappy\n");
}

#[tokio::test]
async fn columns_are_added_widened_and_opened_in_the_commit_that_needs_them() {
    let Some(world) = world("evolution") else { return };
    let old =
        batch(vec![("id", Arc::new(Int32Array::from(vec![1])), false), ("n", Arc::new(Int32Array::from(vec![1])), false), ("code", Arc::new(StringArray::from(vec!["a"])), false)]);
    let table = native(&[("code", "character varying(2)")]);
    load(&world.sink, LoadRequest { table, ..of(&old, request(append(), 1, "a")) }, old, commit(1, 1, "a", 0, 1)).await.unwrap();
    assert_eq!(columns(&world), "id integer!, n integer!, code character varying(2)!");
    let new = batch(vec![
        ("id", Arc::new(Int32Array::from(vec![2])), false),
        ("n", Arc::new(Int64Array::from(vec![i64::MAX])), false),
        ("code", Arc::new(StringArray::from(vec!["abcd"])), false),
        ("extra", Arc::new(StringArray::from(vec!["new"])), true),
    ]);
    let table = native(&[("code", "character varying(4)")]);

    let open = staged(&world.sink, LoadRequest { table: table.clone(), ..of(&new, request(append(), 1, "b")) }, new.clone()).await.unwrap();
    assert_eq!(columns(&world), "id integer!, n integer!, code character varying(2)!", "nothing changes before the commit");
    drop(open);
    load(&world.sink, LoadRequest { table, ..of(&new, request(append(), 1, "b")) }, new, commit(1, 2, "b", 1, 2)).await.unwrap();

    assert_eq!(columns(&world), "id integer!, n bigint!, code character varying(4)!, extra text");
}

#[tokio::test]
async fn a_column_that_may_be_null_now_loses_its_not_null() {
    let Some(world) = world("drop not null") else { return };
    let old = batch(vec![("id", Arc::new(Int32Array::from(vec![1])), false), ("n", Arc::new(Int32Array::from(vec![1])), false)]);
    load(&world.sink, of(&old, request(upsert(), 1, "a")), old, commit(1, 1, "a", 0, 1)).await.unwrap();
    let new = batch(vec![("id", Arc::new(Int32Array::from(vec![1])), true), ("n", Arc::new(Int32Array::from(vec![None::<i32>])), true)]);

    load(&world.sink, of(&new, request(upsert(), 1, "b")), new, commit(1, 2, "b", 1, 2)).await.unwrap();

    assert_eq!(columns(&world), "id integer!, n integer");
    assert_eq!(world.database.query("SELECT id, n FROM bronze.t"), "1\t\\N\n");
}

#[tokio::test]
async fn what_a_column_cannot_hold_is_refused_before_a_row_is_sent() {
    let Some(world) = world("mismatch") else { return };
    load(&world.sink, request(append(), 1, "a"), rows([1], "x"), commit(1, 1, "a", 0, 1)).await.unwrap();
    let new = batch(vec![("id", Arc::new(Int64Array::from(vec![2])), false), ("name", Arc::new(Int64Array::from(vec![2])), true)]);

    let refused = world.sink.begin(of(&new, request(append(), 1, "b"))).await.err().unwrap();

    assert_eq!(refused.kind(), ErrorKind::SchemaMismatch);
    assert!(refused.to_string().contains("`name`"), "{refused}");
}

#[tokio::test]
async fn a_foreign_table_is_filled_only_when_it_is_empty_and_never_without_a_key() {
    let Some(world) = world("foreign tables") else { return };
    world.database.execute("CREATE SCHEMA bronze; CREATE TABLE bronze.t (id bigint, name varchar(9)); INSERT INTO bronze.t VALUES (7, 'mine')");

    let refused = world.sink.begin(request(append(), 1, "a")).await.err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::Refused);
    assert!(refused.help().unwrap().contains("TRUNCATE"), "{refused:?}");
    world.database.execute("TRUNCATE bronze.t");
    let refused = world.sink.begin(request(upsert(), 1, "a")).await.err().unwrap();
    assert_eq!((refused.kind(), refused.help()), (ErrorKind::Refused, Some("run: CREATE UNIQUE INDEX ON \"bronze\".\"t\" (\"id\")")));
    world.database.execute("CREATE UNIQUE INDEX ON bronze.t (id)");
    load(&world.sink, request(upsert(), 1, "a"), rows([1, 2], "x"), commit(1, 1, "a", 0, 2)).await.unwrap();

    assert_eq!(columns(&world), "id bigint, name character varying(9)");
    assert_eq!(newest(&world.sink).await, Some((1, "a-1".into())));
    world.database.execute("CREATE VIEW bronze.v AS SELECT 1 AS id");
    let view = LoadRequest { target: karat_plugin_api::TargetObject { table: "bronze.v".into() }, ..request(append(), 1, "a") };
    assert_eq!(world.sink.begin(view).await.err().unwrap().kind(), ErrorKind::Refused);
}

const FURNISH: &str = "CREATE ROLE reader; GRANT SELECT ON bronze.t TO reader WITH GRANT OPTION; GRANT UPDATE (name) ON bronze.t TO PUBLIC; CREATE INDEX by_name ON bronze.t (lower(name)) WHERE id > 0; \
    ALTER TABLE bronze.t ADD CONSTRAINT positive CHECK (id > 0), ADD CONSTRAINT pair UNIQUE (id, name); ALTER TABLE bronze.t ALTER name SET DEFAULT 'none'; ALTER TABLE bronze.t SET (fillfactor = 70); \
    COMMENT ON TABLE bronze.t IS 'it''s'; COMMENT ON COLUMN bronze.t.name IS 'who'";

fn furniture(world: &World) -> String {
    world.database.query(
        "SELECT relacl, reloptions, obj_description(oid, 'pg_class'), col_description(oid, 2), (SELECT attacl FROM pg_attribute WHERE attrelid = c.oid AND attname = 'name'), \
         (SELECT string_agg(pg_get_indexdef(indexrelid), '; ' ORDER BY 1) FROM (SELECT indexrelid FROM pg_index WHERE indrelid = c.oid ORDER BY indexrelid::regclass::text) i), \
         (SELECT string_agg(conname || ' ' || pg_get_constraintdef(oid), '; ' ORDER BY conname) FROM pg_constraint WHERE conrelid = c.oid), \
         (SELECT column_default FROM information_schema.columns WHERE table_schema = 'bronze' AND table_name = 't' AND column_name = 'name') FROM pg_class c WHERE oid = 'bronze.t'::regclass",
    )
}

#[tokio::test]
async fn a_replacement_keeps_rights_comments_indexes_checks_and_defaults() {
    let Some(world) = world("furniture") else { return };
    load(&world.sink, request(WriteMode::Replace, 1, "a"), rows([1, 2], "x"), commit(1, 1, "a", 0, 2)).await.unwrap();
    world.database.execute(FURNISH);
    let (before, oid) = (furniture(&world), world.database.query("SELECT 'bronze.t'::regclass::oid"));

    let second = load(&world.sink, request(WriteMode::Replace, 2, "b"), rows([9], "z"), commit(2, 1, "b", 0, 9)).await.unwrap();

    assert_eq!((second.rows_written, second.rows_removed), (1, 2));
    assert_eq!(furniture(&world), before);
    assert_ne!(world.database.query("SELECT 'bronze.t'::regclass::oid"), oid);
    assert_eq!(world.relations(), "by_name karat_commits karat_commits_pkey pair t t_pkey");
    world.database.execute("DROP OWNED BY reader; DROP ROLE reader");
}

#[tokio::test]
async fn a_table_that_views_and_keys_hang_on_stays_and_changes_its_rows() {
    let Some(world) = world("dependents") else { return };
    load(&world.sink, request(WriteMode::Replace, 1, "a"), rows([1, 2], "x"), commit(1, 1, "a", 0, 2)).await.unwrap();
    world.database.execute("CREATE VIEW bronze.v AS SELECT id FROM bronze.t; CREATE TABLE bronze.child (id bigint REFERENCES bronze.t); INSERT INTO bronze.child VALUES (2)");
    let oid = world.database.query("SELECT 'bronze.t'::regclass::oid");

    let broken = load(&world.sink, request(WriteMode::Replace, 2, "b"), rows([9], "z"), commit(2, 1, "b", 0, 9)).await.unwrap_err();
    assert_eq!(broken.kind(), ErrorKind::BadData, "the child's row would point nowhere: {}", broken.chain());
    load(&world.sink, request(WriteMode::Replace, 2, "c"), rows([2, 9], "z"), commit(2, 1, "c", 0, 9)).await.unwrap();

    assert_eq!(world.database.query("SELECT 'bronze.t'::regclass::oid"), oid);
    assert_eq!(world.database.query("SELECT id FROM bronze.v ORDER BY 1"), "2\n9\n");
    assert_eq!(newest(&world.sink).await, Some((1, "c-1".into())));
    assert!(!world.relations().contains("__karat"), "{}", world.relations());
}

#[tokio::test]
async fn indexes_that_are_switched_off_are_built_again_whatever_happens() {
    let Some(world) = world("disable_indexes") else { return };
    load(&world.sink, request(append(), 1, "a"), rows([1], "x"), commit(1, 1, "a", 0, 1)).await.unwrap();
    world.database.execute("CREATE INDEX by_name ON bronze.t (name); COMMENT ON INDEX bronze.by_name IS 'names'");
    let look =
        || world.database.query("SELECT pg_get_indexdef(i.oid), obj_description(i.oid), indisvalid FROM pg_class i JOIN pg_index ON indexrelid = i.oid WHERE relname = 'by_name'");
    let before = look();
    let off = |attempt| {
        let request = request(append(), 1, attempt);
        LoadRequest { table: TableLayout { disable_indexes: true, ..request.table.clone() }, ..request }
    };

    let twice = load(&world.sink, off("b"), rows([2, 1], "y"), commit(1, 2, "b", 1, 2)).await.unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::BadData);
    assert_eq!(look(), before, "after a commit that failed");
    load(&world.sink, off("c"), rows([2, 3], "y"), commit(1, 2, "c", 1, 3)).await.unwrap();

    assert_eq!(look(), before);
    assert_eq!(world.database.query("SELECT count(*) FROM bronze.t"), "3\n");
}

#[tokio::test]
async fn a_row_that_is_refused_is_named_by_column_and_number() {
    let Some(world) = world("refused rows") else { return };
    let bad = batch(vec![("id", Arc::new(Int64Array::from(vec![1, 2])), false), ("name", Arc::new(StringArray::from(vec!["fine", "a\0secret"])), true)]);

    let refused = load(&world.sink, of(&bad, request(append(), 1, "a")), bad, commit(1, 1, "a", 0, 2)).await.unwrap_err();

    assert_eq!(refused.kind(), ErrorKind::BadData);
    assert!(refused.to_string().contains("`name`, row 2") && !refused.chain().contains("secret"), "{}", refused.chain());
    assert_eq!(newest(&world.sink).await, None);
}
