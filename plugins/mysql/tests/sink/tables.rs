//! What a target must be, how it is made, and how it changes.

use crate::world::{World, load, open_sink, rows, schema, staged};
use arrow::array::{ArrayRef, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use karat_plugin_api::{ErrorKind, LoadRequest, NativeTypes, TableLayout, TargetState, WriteMode};
use karat_testkit::servers::Flavour;
use std::sync::Arc;

macro_rules! world {
    ($name:literal) => {
        match World::new() {
            Ok(world) => world,
            Err(skip) => return skip.report($name),
        }
    };
}

fn append() -> WriteMode {
    WriteMode::Append { once_by: None }
}

fn upsert() -> WriteMode {
    WriteMode::Upsert { key: vec!["id".into()], unique_in_read: true, order_by: Vec::new() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_transaction_could_write_is_refused_with_the_cure() {
    let cases = [
        ("CREATE TABLE bronze_t (id bigint NOT NULL PRIMARY KEY, name text) ENGINE=MyISAM;", append(), "ENGINE=InnoDB"),
        ("CREATE TABLE bronze_t (id bigint NOT NULL PRIMARY KEY, name varchar(9)) ENGINE=MEMORY;", WriteMode::Replace, "ENGINE=InnoDB"),
        ("CREATE VIEW bronze_t AS SELECT 1 AS id, 'x' AS name;", append(), "to.table"),
        ("CREATE TABLE bronze_t (id bigint NOT NULL PRIMARY KEY, name text); INSERT INTO bronze_t VALUES (1, 'mine');", append(), "to.table"),
        (
            "CREATE TABLE bronze_t (id bigint NOT NULL PRIMARY KEY, name text); CREATE TRIGGER trig BEFORE INSERT ON bronze_t FOR EACH ROW SET NEW.name = 'x';",
            WriteMode::Replace,
            "drop the triggers",
        ),
        (
            "CREATE TABLE bronze_t (id bigint NOT NULL PRIMARY KEY, name text); CREATE TABLE child (id bigint, FOREIGN KEY (id) REFERENCES bronze_t (id));",
            WriteMode::Replace,
            "drop the foreign keys",
        ),
        ("CREATE TABLE bronze_t (id bigint NOT NULL, name text, KEY (id));", upsert(), "ADD UNIQUE INDEX"),
        ("CREATE TABLE bronze_t (id bigint NOT NULL PRIMARY KEY, name varchar(20), UNIQUE KEY other (name));", upsert(), "DROP INDEX `other`"),
    ];
    for (made, mode, cure) in cases {
        let world = world!("what_no_transaction_could_write_is_refused_with_the_cure");
        world.database.execute(made);

        let error = load(&world.sink, world.request(mode, 1, 1, "a"), rows(&[(1, None)]), world.commit(1, 1, "a", 0, 1)).await.unwrap_err();

        assert_eq!(error.kind(), ErrorKind::Refused, "{made}: {}", error.chain());
        assert!(error.help().unwrap().contains(cure), "{made}: {:?}", error.help());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_privileges_that_the_manual_names_are_enough() {
    let world = world!("the_privileges_that_the_manual_names_are_enough");
    let name = world.database.name();
    world.database.execute(&format!(
        "CREATE USER writer_{name} IDENTIFIED BY 'pw'; \
         GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX, CREATE TEMPORARY TABLES, LOCK TABLES ON {name}.* TO writer_{name};"
    ));
    let sink = open_sink(&world.database.url().replace("root@", &format!("writer_{name}:pw@")));
    let diff = WriteMode::Diff { key: vec!["id".into()], deletes: karat_spec::model::Deletes::Hard, max_delete: 1.0 };
    for (generation, seq, mode) in [(1, 1, WriteMode::Replace), (1, 2, upsert()), (1, 3, append()), (1, 4, diff), (2, 1, WriteMode::Replace)] {
        let (attempt, at) = (format!("{generation}-{seq}"), i64::try_from(seq).unwrap());
        let mut request = world.request(mode.clone(), generation, 1, &attempt);
        (request.table.table_lock, request.table.disable_indexes) = (seq == 2, seq == 3);

        let loaded = load(&sink, request, rows(&[(at, Some("x"))]), world.commit(generation, seq, &attempt, at - 1, at)).await;

        assert!(loaded.is_ok(), "{mode:?}: {}", loaded.unwrap_err().chain());
    }
    world.database.execute(&format!("DROP USER writer_{name};"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_does_not_fit_stops_the_load_and_names_its_column() {
    let long = "x".repeat(300);
    let cases = [
        ("CREATE TABLE bronze_t (id bigint NOT NULL PRIMARY KEY, name varchar(9));", rows(&[(1, None), (2, Some("too long for it"))]), "`name`"),
        ("CREATE TABLE bronze_t (id bigint NOT NULL PRIMARY KEY, name varchar(9) NOT NULL);", rows(&[(1, Some("x")), (2, None)]), "`name`"),
        ("CREATE TABLE bronze_t (id bigint NOT NULL PRIMARY KEY, name enum('a','b'));", rows(&[(1, Some("c"))]), "`name`"),
        ("CREATE TABLE bronze_t (id bigint NOT NULL PRIMARY KEY, name varchar(90) CHARACTER SET latin1);", rows(&[(1, Some("\u{1f600}"))]), "`name`"),
        ("SELECT 1;", rows(&[(1, Some("x")), (1, Some("y"))]), "one key"),
    ];
    for (made, batch, named) in cases {
        let world = world!("a_value_that_does_not_fit_stops_the_load_and_names_its_column");
        world.database.execute(made);

        let Err(error) = load(&world.sink, world.request(append(), 1, 1, "a"), batch, world.commit(1, 1, "a", 0, 1)).await else { panic!("{made} took it") };

        assert_eq!(error.kind(), ErrorKind::BadData, "{made}: {}", error.chain());
        assert!(error.to_string().contains(named) && !error.chain().contains("too long for it"), "{made}: {}", error.chain());
        assert_eq!(world.record().await, None);
    }
    let world = world!("a_value_that_does_not_fit_stops_the_load_and_names_its_column");
    let texts = Arc::new(Schema::new(vec![Field::new("id", DataType::Utf8, false)]));
    let batch = RecordBatch::try_new(texts.clone(), vec![Arc::new(StringArray::from(vec![long.as_str()]))]).unwrap();
    let request = LoadRequest { schema: texts, ..world.request(append(), 1, 1, "a") };
    let Err(error) = load(&world.sink, request, batch, world.commit(1, 1, "a", 0, 1)).await else { panic!("a key of 300 characters was taken") };
    assert!(error.kind() == ErrorKind::BadData && error.to_string().contains("`id`"), "{}", error.chain());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_that_are_new_or_wider_change_the_table() {
    let world = world!("columns_that_are_new_or_wider_change_the_table");
    let narrow = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("n", DataType::Int32, true)]));
    let batch = RecordBatch::try_new(narrow.clone(), vec![Arc::new(Int64Array::from(vec![1])), Arc::new(Int32Array::from(vec![7]))]).unwrap();
    load(&world.sink, LoadRequest { schema: narrow, ..world.request(upsert(), 1, 1, "a") }, batch, world.commit(1, 1, "a", 0, 1)).await.unwrap();

    let wide = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("n", DataType::Int64, true), Field::new("new", DataType::Utf8, false)]));
    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![2])), Arc::new(Int64Array::from(vec![i64::MAX])), Arc::new(StringArray::from(vec!["x"]))];
    let batch = RecordBatch::try_new(wide.clone(), columns).unwrap();
    load(&world.sink, LoadRequest { schema: wide.clone(), ..world.request(upsert(), 1, 1, "b") }, batch, world.commit(1, 2, "b", 1, 2)).await.unwrap();

    assert_eq!(world.database.query("SELECT id, n, new FROM bronze_t ORDER BY id"), format!("1\t7\tNULL\n2\t{}\tx\n", i64::MAX));
    let TargetState::Present { schema, .. } = world.sink.target_state(&world.stream, &world.target()).await.unwrap() else { panic!("a table") };
    assert_eq!(schema.field(1).data_type(), &DataType::Int64);
    let text = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("n", DataType::Utf8, true), Field::new("new", DataType::Utf8, true)]));
    let Err(error) = world.sink.begin(LoadRequest { schema: text, ..world.request(upsert(), 1, 1, "c") }).await else { panic!("text went into numbers") };
    assert_eq!(error.kind(), ErrorKind::SchemaMismatch);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_a_table_of_the_same_system_has_the_very_same_types() {
    let world = world!("a_copy_of_a_table_of_the_same_system_has_the_very_same_types");
    // Times of MySQL end with the second.
    let longest = if Flavour::of_this_run() == Flavour::MariaDb { "-838:59:59.000001" } else { "-838:59:58.999999" };
    let columns: Vec<(&str, &'static str, ArrayRef)> = vec![
        ("id", "bigint(20) unsigned", Arc::new(UInt64Array::from(vec![u64::MAX]))),
        ("medium", "mediumint(9)", Arc::new(Int32Array::from(vec![-8_388_608]))),
        ("price", "decimal(18,4)", Arc::new(Decimal128Array::from(vec![-12_345]).with_precision_and_scale(18, 4).unwrap())),
        ("label", "enum('a','ä')", Arc::new(StringArray::from(vec!["ä"]))),
        ("flags", "set('x','y')", Arc::new(StringArray::from(vec!["x,y"]))),
        ("bits", "bit(64)", Arc::new(UInt64Array::from(vec![u64::MAX - 1]))),
        ("at", "timestamp(3)", Arc::new(TimestampMicrosecondArray::from(vec![1_711_852_200_123_000]).with_timezone("UTC"))),
        ("local", "datetime", Arc::new(TimestampMicrosecondArray::from(vec![-1_000_000]))),
        ("span", "time(6)", Arc::new(StringArray::from(vec![longest]))),
        ("year", "year(4)", Arc::new(arrow::array::Int16Array::from(vec![0]))),
        ("short", "varchar(5)", Arc::new(StringArray::from(vec!["ÄÖÜ"]))),
        ("fixed", "binary(3)", Arc::new(arrow::array::BinaryArray::from(vec![&b"\0\t\\"[..]]))),
        ("name", "varchar(40) CHARACTER SET latin1 COLLATE latin1_german1_ci", Arc::new(StringArray::from(vec!["Müller"]))),
        ("who", "uuid", Arc::new(StringArray::from(vec!["123e4567-e89b-12d3-a456-426655440000"]))),
        ("place", "point", Arc::new(arrow::array::BinaryArray::from(vec![&[1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0x40][..]]))),
        ("document", "json", Arc::new(StringArray::from(vec!["{\"a\": [1, \"\\n\"]}"]))),
    ];
    let schema = Arc::new(Schema::new(columns.iter().map(|(name, _, array)| Field::new(*name, array.data_type().clone(), *name != "id")).collect::<Vec<_>>()));
    let batch = RecordBatch::try_new(schema.clone(), columns.iter().map(|column| column.2.clone()).collect()).unwrap();
    let native = NativeTypes { system: "mysql".into(), columns: columns.iter().map(|(name, declared, _)| ((*name).to_owned(), (*declared).to_owned())).collect() };
    let request = |generation, attempt: &str, mode| LoadRequest {
        schema: schema.clone(),
        table: TableLayout { key: vec!["id".into()], native: Some(native.clone()), ..TableLayout::default() },
        ..world.request(mode, generation, 1, attempt)
    };

    load(&world.sink, request(1, "a", WriteMode::Replace), batch.clone(), world.commit(1, 1, "a", 0, 1)).await.unwrap();
    let idle = load(&world.sink, request(1, "b", upsert()), batch.clone(), world.commit(1, 2, "b", 1, 2)).await.unwrap();

    assert_eq!((idle.rows_written, idle.rows_removed), (0, 0), "what is there is what would be written");
    let types = world.database.query("SELECT COLUMN_TYPE FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'bronze_t' ORDER BY ORDINAL_POSITION");
    let spelled = |declared: &'static str| match (Flavour::of_this_run(), declared) {
        (Flavour::MariaDb, "json") => "longtext",
        (Flavour::MariaDb, declared) => declared,
        // What was copied from a MariaDB: no widths that only concern showing, and no type that MySQL does not have.
        (Flavour::MySql, "bigint(20) unsigned") => "bigint unsigned",
        (Flavour::MySql, "mediumint(9)") => "mediumint",
        (Flavour::MySql, "year(4)") => "year",
        (Flavour::MySql, "uuid") => "longtext",
        (Flavour::MySql, declared) => declared,
    };
    let expected: Vec<&str> = columns.iter().map(|column| spelled(column.1.split(" CHARACTER").next().unwrap())).collect();
    assert_eq!(types.lines().collect::<Vec<_>>(), expected);
    let values = world.database.query(
        "SELECT id, medium, price, label, flags, bits + 0, CONVERT_TZ(at, @@session.time_zone, '+00:00'), local, span, year, short, HEX(fixed), HEX(name), who, ST_AsText(place), document FROM bronze_t",
    );
    assert_eq!(
        values,
        format!(
            "18446744073709551615\t-8388608\t-1.2345\tä\tx,y\t18446744073709551614\t2024-03-31 02:30:00.123\t1969-12-31 23:59:59\t{longest}\t0000\tÄÖÜ\t00095C\t4DFC6C6C6572\t123e4567-e89b-12d3-a456-426655440000\tPOINT(1 2)\t{{\"a\": [1, \"\\\\n\"]}}\n"
        )
    );
    let later = TimestampMicrosecondArray::from(vec![1]).with_timezone("UTC");
    let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
    columns[6] = Arc::new(later);
    let finer = RecordBatch::try_new(schema.clone(), columns).unwrap();
    let Err(error) = staged(&world.sink, request(1, "c", upsert()), finer).await else { panic!("a microsecond was rounded away") };
    assert!(error.kind() == ErrorKind::BadData && error.to_string().contains("`at`"), "{}", error.chain());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_and_times_with_a_zone_come_back_as_what_they_were() {
    let world = world!("lists_and_times_with_a_zone_come_back_as_what_they_were");
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("flag", DataType::Boolean, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("list", DataType::List(Arc::new(Field::new("item", DataType::Int32, true))), true),
    ]));
    let list = arrow::array::ListArray::from_iter_primitive::<arrow::datatypes::Int32Type, _, _>([Some(vec![Some(1), None])]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1])),
        Arc::new(arrow::array::BooleanArray::from(vec![true])),
        Arc::new(TimestampMicrosecondArray::from(vec![253_402_300_799_999_999]).with_timezone("UTC")),
        Arc::new(list),
    ];
    let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();

    load(&world.sink, LoadRequest { schema: schema.clone(), ..world.request(append(), 1, 1, "a") }, batch, world.commit(1, 1, "a", 0, 1)).await.unwrap();

    // MySQL spells documents in its own way.
    let list = if Flavour::of_this_run() == Flavour::MariaDb { "[1,null]" } else { "[1, null]" };
    assert_eq!(world.database.query("SELECT * FROM bronze_t"), format!("1\t1\t9999-12-31 23:59:59.999999\t{list}\n"));
    let TargetState::Present { schema: found, .. } = world.sink.target_state(&world.stream, &world.target()).await.unwrap() else { panic!("a table") };
    let types = |schema: &Schema| schema.fields().iter().map(|field| field.data_type().clone()).collect::<Vec<_>>();
    assert_eq!(types(&found), types(&schema));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_of_a_row_are_found_by_an_index_and_appended_once() {
    let world = world!("versions_of_a_row_are_found_by_an_index_and_appended_once");
    let once = || WriteMode::Append { once_by: Some(vec!["id".into(), "at".into()]) };
    let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Utf8, false), Field::new("at", DataType::Int64, true), Field::new("more", DataType::Int64, true)]));
    let batch = |rows: &[(&str, Option<i64>)]| {
        let (ids, at) = (StringArray::from_iter_values(rows.iter().map(|row| row.0)), Int64Array::from_iter(rows.iter().map(|row| row.1)));
        let columns: Vec<ArrayRef> = vec![Arc::new(ids), Arc::new(at.clone()), Arc::new(at)];
        RecordBatch::try_new(schema.clone(), columns).unwrap()
    };
    let request = |attempt| LoadRequest { schema: schema.clone(), ..world.request(once(), 1, 1, attempt) };
    load(&world.sink, request("a"), batch(&[("a", Some(1)), ("a", Some(2)), ("b", None)]), world.commit(1, 1, "a", 0, 1)).await.unwrap();

    let again =
        load(&world.sink, request("b"), batch(&[("a", Some(2)), ("A", Some(2)), ("a ", Some(2)), ("b", None), ("a", Some(3))]), world.commit(1, 2, "b", 1, 2)).await.unwrap();

    assert_eq!(again.rows_written, 3);
    assert!(world.database.query("SHOW CREATE TABLE bronze_t").contains("KEY `karat_identity` (`id`,`at`)"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn indexes_that_are_off_while_loading_always_come_back() {
    let world = world!("indexes_that_are_off_while_loading_always_come_back");
    world.database.execute("CREATE TABLE bronze_t (id bigint NOT NULL PRIMARY KEY, name varchar(50), KEY by_name (name), KEY both_columns (name, id));");
    let request =
        |mode, attempt: &str| LoadRequest { table: TableLayout { key: vec!["id".into()], disable_indexes: true, ..TableLayout::default() }, ..world.request(mode, 1, 1, attempt) };
    let has_both = || {
        let shown = world.database.query("SHOW CREATE TABLE bronze_t");
        shown.contains("KEY `by_name` (`name`)") && shown.contains("KEY `both_columns` (`name`,`id`)")
    };

    load(&world.sink, request(upsert(), "a"), rows(&[(1, Some("x"))]), world.commit(1, 1, "a", 0, 1)).await.unwrap();
    assert!(has_both());
    // A load that dies between dropping and building.
    drop(staged(&world.sink, request(upsert(), "b"), rows(&[(2, Some("y"))])).await.unwrap());
    assert!(!has_both());
    let open = world.sink.begin(world.request(append(), 1, 1, "c")).await.unwrap();
    drop(open);
    assert!(has_both());
    let mut late = staged(&world.sink, request(upsert(), "d"), rows(&[(2, Some("y"))])).await.unwrap();
    assert_eq!(late.commit(world.commit(1, 9, "d", 8, 9)).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert!(has_both(), "also when the commit fails");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_locked_while_loading_is_free_afterwards() {
    let world = world!("a_table_that_is_locked_while_loading_is_free_afterwards");
    for (seq, mode) in [(1, upsert()), (2, upsert()), (3, WriteMode::Append { once_by: Some(vec!["id".into()]) })] {
        let attempt = format!("a{seq}");
        let table = TableLayout { key: vec!["id".into()], table_lock: true, ..TableLayout::default() };
        let lo = i64::try_from(seq).unwrap() - 1;
        let request = LoadRequest { table, ..world.request(mode, 1, 1, &attempt) };
        let mut open = staged(&world.sink, request, rows(&[(1, Some("x")), (lo + 1, Some("x"))][usize::from(lo == 0)..])).await.unwrap();
        open.commit(world.commit(1, seq, &attempt, lo, lo + 1)).await.unwrap();
        world.database.execute("UPDATE bronze_t SET name = 'free';");
    }
    assert_eq!(world.content().len(), 3);
    assert_eq!(schema().fields().len(), 2);
}
