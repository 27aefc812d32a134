//! From PostgreSQL to PostgreSQL every declared type arrives as itself, with its extremes.

use crate::world::{World, append, commit, context, request, world};
use arrow::datatypes::Schema;
use futures::StreamExt;
use karat_plugin_api::{ColumnChoice, ExtraColumns, LoadRequest, NativeTypes, Plugin, ReadRequest, ReadStrategy, SourceBatch, SourceObject, TableLayout, WriteMode};
use karat_postgres::POSTGRES;
use serde_json::json;
use std::sync::Arc;

const SOURCE: &str = r#"
CREATE TYPE mood AS ENUM ('sad', 'très heureux');
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE TABLE source (
  id integer PRIMARY KEY, b boolean, i2 smallint, i8 bigint, o oid, f4 real, f8 double precision, n numeric(38,10), n76 numeric(76,20), ns numeric(5,-2),
  t text, vc varchar(7), c char(5), nm name, j json, jb jsonb, u uuid, by bytea, d date, tm time, tm0 time(0), ts timestamp, ts3 timestamp(3), tz timestamptz, iv interval,
  m mood, dom positive, ip inet, net cidr, mac macaddr, bits bit varying(9), pt point, r int4range, x xml, tv tsvector, mo money,
  ai integer[], at text[], an numeric(10,2)[], am mood[], aip inet[], ttz timetz, cc text COLLATE "C"
);
INSERT INTO source VALUES
 (1, true, -32768, -9223372036854775808, 4294967295, '-3.4028235e38', '-1.7976931348623157e308', -9999999999999999999999999999.9999999999, -99999999999999999999999999999999999999999999999999999999.99999999999999999999, 9999900,
  'a"b\''', 'seven77', 'ab', 'n', '{"a": 1,  "a": 2}', '{"n": 123456789012345678901234567890.5}', 'ffffffff-ffff-ffff-ffff-ffffffffffff', '\x00ff', '4713-01-01 BC', '00:00', '23:59:59',
  '0001-01-01', '1969-12-31 23:59:59.999', '294247-01-10 04:00:54.775807+00', '-178000000 years', 'très heureux', 1, '::1/64', '10.0.0.0/8', '08:00:2b:01:02:03', B'101', '(1.5,-2)', '[1,10)', '<a>b</a>', 'a:1 b:2', '-92233720368547758.08',
  '{1,NULL,3}', '{"",NULL,"NULL","a,b"}', '{1.50,-99999999.99}', '{sad}', '{10.0.0.1}', '24:00:00+15:59', 'ä'),
 (2, false, 32767, 9223372036854775807, 0, 'NaN', 'Infinity', 0, 0.00000000000000000001, 100,
  '', '', '     ', '', 'null', '[]', '00000000-0000-0000-0000-000000000000', '', '5874897-12-31', '23:59:59.999999', '00:00',
  '2000-02-29 12:34:56.123456', '2038-01-19 03:14:08', '1883-11-18 12:03:57.999999-08', '1 mon -1 day 00:00:00.000001', 'sad', 2147483647, '1.2.3.4', '::/0', 'ff:ff:ff:ff:ff:ff', B'', '(0,0)', 'empty', '', '', '0',
  '{}', '{}', '{}', '{}', '{}', '00:00:00-15:59', ''),
 (3, NULL, NULL, NULL, NULL, '-0', '-0', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
  NULL, NULL, NULL, NULL, NULL, NULL, NULL);
"#;

async fn copy(world: &World, mode: WriteMode, generation: u64, seq: u64, attempt: &str) {
    let settings = json!({ "url": world.database.url() });
    let source = POSTGRES.open_source(settings.as_object().unwrap(), &context()).unwrap();
    let object = SourceObject::Table("source".into());
    let described = source.describe(&object).await.unwrap();
    let columns = described.columns.iter().map(|column| ColumnChoice { name: column.name.clone(), data_type: column.data_type.clone(), nullable: column.nullable }).collect();
    let native = described.columns.iter().map(|column| (column.name.clone(), column.declared.clone())).collect();
    let read = ReadRequest { object, columns, extra_columns: ExtraColumns::Ignore, strategy: ReadStrategy::Full, batch_rows: 2, batch_bytes: 1 << 20, parallel: 1 };
    let read = source.read(read).await.unwrap();
    let schema: Arc<Schema> = read.schema();
    let table = TableLayout { key: vec!["id".into()], native: Some(NativeTypes { system: "postgres".into(), columns: native }), ..TableLayout::default() };
    let mut load = world.sink.begin(LoadRequest { schema, table, ..request(mode, generation, attempt) }).await.unwrap();
    let mut stream = read.into_stream();
    while let Some(step) = stream.next().await {
        match step.unwrap() {
            SourceBatch::Rows { batch, .. } => {
                load.write(batch).await.unwrap();
            }
            SourceBatch::WindowEnd { .. } => panic!("no windows were asked for"),
            SourceBatch::End { .. } => break,
        }
    }
    load.stage().await.unwrap();
    let lo = i64::try_from(seq).unwrap() - 1;
    load.commit(commit(generation, seq, attempt, lo, lo + 1)).await.unwrap();
}

fn dump(world: &World, table: &str) -> (String, String) {
    let types = world.database.query(&format!(
        "SELECT attname, format_type(atttypid, atttypmod), attcollation::regcollation, attnotnull FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 ORDER BY attnum"
    ));
    (types, world.database.query(&format!("SELECT * FROM {table} ORDER BY id")))
}

#[tokio::test]
async fn a_copy_has_the_very_same_columns_and_values_in_every_mode() {
    let Some(world) = world("types") else { return };
    world.database.execute(SOURCE);
    let expected = dump(&world, "source");
    let upsert = WriteMode::Upsert { key: vec!["id".into()], unique_in_read: true, order_by: vec!["id".into()] };
    let all: Vec<String> =
        world.database.query("SELECT attname FROM pg_attribute WHERE attrelid = 'source'::regclass AND attnum > 0 ORDER BY attnum").lines().map(str::to_owned).collect();

    copy(&world, upsert.clone(), 1, 1, "a").await;
    assert_eq!(dump(&world, "bronze.t"), expected, "a new table");
    copy(&world, upsert, 1, 2, "b").await;
    assert_eq!(dump(&world, "bronze.t"), expected, "an upsert of the same rows");
    world.database.execute("DELETE FROM bronze.t WHERE id > 1; UPDATE bronze.t SET jb = NULL, pt = '(9,9)', at = NULL");
    copy(&world, WriteMode::Upsert { key: vec!["id".into()], unique_in_read: false, order_by: vec!["id".into()] }, 1, 3, "c").await;
    assert_eq!(dump(&world, "bronze.t"), expected, "an upsert of other rows");
    copy(&world, WriteMode::Append { once_by: Some(all) }, 1, 4, "d").await;
    assert_eq!(dump(&world, "bronze.t"), expected, "an append of rows that are there");
    copy(&world, WriteMode::Replace, 2, 1, "e").await;
    assert_eq!(dump(&world, "bronze.t"), expected, "a replacement");
    world.database.execute("TRUNCATE bronze.t");
    copy(&world, append(), 2, 2, "f").await;
    assert_eq!(dump(&world, "bronze.t"), expected, "an append to a table that stands");
}
