//! Extremes of every declared type, compared with what the server's own client prints.

use crate::world::{Keyset, World};
use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, TimeUnit};
use karat_plugin_api::{DeclaredType, ErrorKind, Position, ReadStrategy, SourceObject};
use karat_testkit::servers::{Flavour, MysqlServer, ServerOptions};

/// Column name, declared type, the Arrow type's name, and values as SQL.
type Case = (&'static str, &'static str, &'static str, &'static [&'static str]);

/// What both servers have.
const OF_BOTH: &[Case] = &[
    ("ti", "TINYINT", "tinyint", &["-128", "127", "0"]),
    ("tb", "TINYINT(1)", "tinyint", &["2", "-1", "1"]),
    ("tu", "TINYINT UNSIGNED", "tinyint unsigned", &["255", "0", "1"]),
    ("si", "SMALLINT", "smallint", &["-32768", "32767", "0"]),
    ("su", "SMALLINT UNSIGNED", "smallint unsigned", &["65535", "0", "1"]),
    ("mi", "MEDIUMINT", "int", &["-8388608", "8388607", "0"]),
    ("mu", "MEDIUMINT UNSIGNED", "int unsigned", &["16777215", "0", "1"]),
    ("ii", "INT", "int", &["-2147483648", "2147483647", "0"]),
    ("iu", "INT UNSIGNED", "int unsigned", &["4294967295", "0", "1"]),
    ("bi", "BIGINT", "bigint", &["-9223372036854775808", "9223372036854775807", "0"]),
    ("bu", "BIGINT UNSIGNED", "bigint unsigned", &["18446744073709551615", "9223372036854775808", "0"]),
    (
        "de",
        "DECIMAL(65,30)",
        "decimal(65,30)",
        &[
            "99999999999999999999999999999999999.999999999999999999999999999999",
            "-99999999999999999999999999999999999.999999999999999999999999999999",
            "0.000000000000000000000000000001",
        ],
    ),
    ("d38", "DECIMAL(38,18)", "decimal(38,18)", &["99999999999999999999.999999999999999999", "-0.000000000000000001", "-1"]),
    ("d18", "DECIMAL(18,8) UNSIGNED", "decimal(18,8)", &["9999999999.99999999", "0.00000001", "0"]),
    ("d5", "DECIMAL(5,0)", "decimal(5,0)", &["99999", "-99999", "0"]),
    ("b1", "BIT(1)", "boolean", &["b'1'", "b'0'", "b'1'"]),
    ("ye", "YEAR", "smallint", &["1901", "2155", "0"]),
    ("ch", "CHAR(5)", "text", &["'a  '", "''", "'äöü€😀'"]),
    ("vl", "VARCHAR(20) CHARACTER SET latin1", "text", &["'äöü€'", "' x '", "''"]),
    ("vg", "VARCHAR(20) CHARACTER SET gbk", "text", &["'中文'", "'a'", "''"]),
    ("v1", "VARCHAR(20) CHARACTER SET utf16", "text", &["'😀中'", "'a'", "''"]),
    ("tt", "TINYTEXT", "text", &["'tiny'", "''", "'x'"]),
    ("lt", "LONGTEXT", "text", &["REPEAT('ab', 1000)", "''", "'NULL'"]),
    ("en", "ENUM('b','ä','a')", "text", &["'ä'", "'a'", "'b'"]),
    ("se", "SET('x','y','z')", "text", &["'x,z'", "''", "'y'"]),
    ("js", "JSON", "text", &["'{\"a\": 12345678901234567890123.0, \"a\":  1}'", "'[]'", "'null'"]),
    ("da", "DATE", "date", &["'0001-01-01'", "'9999-12-31'", "'1969-12-31'"]),
    ("t0", "TIME", "text", &["'-838:59:59'", "'838:59:59'", "'00:00:00'"]),
    ("t6", "TIME(6)", "text", &["'-838:59:59.999999'", "'12:34:56.000001'", "'-00:00:00.000001'"]),
];

const OF_MARIADB: &[Case] = &[
    ("u", "UUID", "text", &["'123e4567-e89b-12d3-a456-426655440000'", "'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"]),
    ("i6", "INET6", "text", &["'2001:db8::ff00:42:8329'", "'::ffff:192.0.2.1'", "'::'"]),
    ("i4", "INET4", "text", &["'255.255.255.255'", "'0.0.0.0'", "'10.0.0.1'"]),
];

fn cases() -> impl Iterator<Item = Case> {
    OF_BOTH.iter().chain(if Flavour::of_this_run() == Flavour::MariaDb { OF_MARIADB } else { &[] }).copied()
}

/// Columns whose text the client prints in another form than Arrow: compared as the query in the fourth place gives them.
const SPELLED: &[(&str, &str, &str, &str, &[&str])] = &[
    ("bx", "BIT(64)", "bigint unsigned", "CAST(bx AS UNSIGNED)", &["b'1111111111111111111111111111111111111111111111111111111111111111'", "b'0'", "b'101'"]),
    ("fl", "FLOAT", "real", "CAST(fl AS DOUBLE)", &["3.4028234663852886e38", "-1.17549435e-38", "0.1"]),
    ("do", "DOUBLE", "double", "do", &["1.7976931348623157e308", "-2.2250738585072014e-308", "0.1"]),
    ("bn", "BINARY(4)", "binary", "LOWER(HEX(bn))", &["x'00ff'", "x'61626364'", "''"]),
    ("vb", "VARBINARY(300)", "binary", "LOWER(HEX(vb))", &["x'00ff0a5c27'", "''", "REPEAT(x'fe', 300)"]),
    ("lb", "LONGBLOB", "binary", "LOWER(HEX(lb))", &["REPEAT(x'00ff', 40000)", "''", "x'fb'"]),
    ("d0", "DATETIME", "timestamp", "DATE_FORMAT(d0, '%Y-%m-%dT%H:%i:%s')", &["'0001-01-01 00:00:00'", "'9999-12-31 23:59:59'", "'1969-12-31 23:59:59'"]),
    (
        "d6",
        "DATETIME(6)",
        "timestamp",
        "TRIM(TRAILING '.000000' FROM DATE_FORMAT(d6, '%Y-%m-%dT%H:%i:%s.%f'))",
        &["'0001-01-01 00:00:00.000001'", "'9999-12-31 23:59:59.999999'", "'1969-12-31 23:59:59.500001'"],
    ),
    (
        "ts",
        "TIMESTAMP(6)",
        "timestamptz",
        "DATE_FORMAT(CONVERT_TZ(ts, @@time_zone, '+00:00'), '%Y-%m-%dT%H:%i:%s.%fZ')",
        &["'1970-01-01 18:00:01.000001'", "'2038-01-18 03:14:07.999999'", "'2026-03-29 03:30:00.100001'"],
    ),
    ("po", "POINT", "binary", "LOWER(HEX(ST_AsWKB(po)))", &["POINT(1, 2)", "POINT(-0.5, 1e300)", "POINT(0, 0)"]),
];

fn table() -> String {
    let columns: Vec<String> = cases()
        .map(|case| (case.0, case.1))
        .chain(SPELLED.iter().map(|case| (case.0, case.1)))
        .map(|(name, declared)| format!("`{name}` {declared}{}", if declared.starts_with("TIMESTAMP") { " NULL" } else { "" }))
        .collect();
    let mut sql = format!("SET sql_mode = ''; CREATE TABLE t (id INT PRIMARY KEY, {}) ROW_FORMAT=DYNAMIC;", columns.join(", "));
    for row in 0..3 {
        let values: Vec<&str> = cases().map(|case| case.3[row]).chain(SPELLED.iter().map(|case| case.4[row])).collect();
        sql.push_str(&format!("INSERT INTO t VALUES ({row}, {});", values.join(", ")));
    }
    sql.push_str("INSERT INTO t (id) VALUES (3)");
    sql
}

fn unescaped(line: &str) -> String {
    line.replace("\\t", "\t").replace("\\n", "\n").replace("\\0", "\0").replace("\\\\", "\\")
}

async fn compare(world: &World) {
    let described = world.describe("t").await.unwrap();
    let read = world.full("t", &[]).await.unwrap();
    assert_eq!(read.rows, 4);
    for (name, declared, arrow, _) in cases() {
        let column = described.column(name).unwrap();
        assert_eq!(DeclaredType::name_of(&column.data_type).as_deref(), Some(arrow), "{declared}");
        let spelled = match name {
            "b1" => "IF(b1, 'true', 'false')",
            "ye" => "ye + 0",
            other => other,
        };
        let expected: Vec<String> = world.query(&format!("SELECT {spelled} FROM t ORDER BY id")).iter().map(|line| unescaped(line)).collect();
        let mut got = read.texts(name);
        if name == "b1" {
            assert_eq!(got.pop().unwrap(), "NULL");
            assert_eq!(got, expected[..3], "{declared}");
        } else {
            assert_eq!(got, expected, "{declared}");
        }
    }
    for (name, declared, arrow, spelled, _) in SPELLED {
        let column = described.column(name).unwrap();
        assert_eq!(DeclaredType::name_of(&column.data_type).as_deref(), Some(*arrow), "{declared}");
        let expected = world.query(&format!("SELECT {spelled} FROM t ORDER BY id"));
        match &column.data_type {
            DataType::Float32 | DataType::Float64 => {
                let wide = arrow::compute::cast(&read.column(name), &DataType::Float64).unwrap();
                let got = wide.as_primitive::<arrow::datatypes::Float64Type>();
                for (row, line) in expected.iter().enumerate().take(3) {
                    let expected: f64 = line.parse().unwrap();
                    assert!((got.value(row) - expected).abs() <= expected.abs() * 1e-15, "{declared}: {} {expected}", got.value(row));
                }
                assert!(got.is_null(3));
            }
            _ => assert_eq!(read.texts(name), expected, "{declared}"),
        }
    }
    // The greatest and least floating-point numbers keep every bit.
    let real = read.column("fl");
    let real = real.as_primitive::<arrow::datatypes::Float32Type>();
    assert_eq!((real.value(0).to_bits(), real.value(2).to_bits()), (f32::MAX.to_bits(), 0.1_f32.to_bits()));
    let double = read.column("do");
    let double = double.as_primitive::<arrow::datatypes::Float64Type>();
    assert_eq!((double.value(0).to_bits(), double.value(1).to_bits(), double.value(2).to_bits()), (f64::MAX.to_bits(), (-f64::MIN_POSITIVE).to_bits(), 0.1_f64.to_bits()));
}

#[tokio::test]
async fn extremes_of_every_type_are_what_the_client_prints() {
    let Some(world) = World::new("extremes_of_every_type_are_what_the_client_prints", &table()) else { return };
    compare(&world).await;
}

#[tokio::test]
async fn no_global_setting_changes_a_value() {
    let test = "no_global_setting_changes_a_value";
    let (limit, least) = match Flavour::of_this_run() {
        Flavour::MariaDb => ("max_statement_time", "0.001"),
        Flavour::MySql => ("max_execution_time", "1"),
    };
    let hostile = ServerOptions::default()
        .set("default-time-zone", "-07:30")
        .set("sql-mode", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH,PIPES_AS_CONCAT,ONLY_FULL_GROUP_BY,NO_ZERO_DATE,NO_ZERO_IN_DATE")
        .set("collation-server", "latin1_german1_ci")
        .set("character-set-server", "latin1")
        .set(limit, least)
        .set("wait-timeout", "1")
        .set("net-write-timeout", "1")
        .set("autocommit", "0")
        .set("lower-case-table-names", "1")
        .set("transaction-isolation", "READ-UNCOMMITTED");
    let server = match MysqlServer::start_with(&hostile) {
        Ok(server) => server,
        Err(skip) => return skip.report(test),
    };
    let friendly = "SET SESSION sql_select_limit = DEFAULT;  SET SESSION sql_mode = ''; SET NAMES utf8mb4; SET SESSION autocommit = 1; SET time_zone = '+00:00'; SET character_set_database = utf8mb4; ALTER DATABASE CHARACTER SET utf8mb4;";
    let world = World::at(&server, &format!("SET SESSION {limit} = 0; {friendly} {}", table()));
    server.execute("SET GLOBAL sql_select_limit = 2");
    let plain = World::new(test, &table()).unwrap();
    let hostile = world.full("T", &[]).await.unwrap();
    let expected = plain.full("t", &[]).await.unwrap();
    for name in cases().map(|case| case.0).chain(SPELLED.iter().map(|case| case.0)).filter(|name| *name != "ts") {
        assert_eq!(&hostile.column(name), &expected.column(name), "{name}");
    }
}

#[tokio::test]
async fn zero_and_partial_dates_are_refused_by_name_and_read_as_text() {
    let sql = "SET sql_mode = 'ALLOW_INVALID_DATES'; CREATE TABLE t (id INT PRIMARY KEY, d DATE, dt DATETIME(3)); \
               INSERT INTO t VALUES (1, '2024-01-01', '2024-01-01 00:00:00'), (2, '2024-00-10', '0000-00-00 00:00:00'), (3, '0000-00-00', '2024-02-31 01:02:03.5')";
    let Some(world) = World::new("zero_and_partial_dates_are_refused_by_name_and_read_as_text", sql) else { return };
    let error = world.full("t", &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadData);
    assert_eq!(error.chain(), "column `d` of table `t` holds a zero or partial date, which is no day of the calendar, in the row with `id` = 2");
    assert_eq!(error.help(), Some("read the column as text with `types: {d: text}`, or correct the row at the source"));
    assert!(world.full("t", &[("d", "text")]).await.unwrap_err().chain().contains("`dt`"));
    let read = world.full("t", &[("d", "text"), ("dt", "text")]).await.unwrap();
    assert_eq!(read.texts("d"), ["2024-01-01", "2024-00-10", "0000-00-00"]);
    assert_eq!(read.texts("dt"), ["2024-01-01 00:00:00.000", "0000-00-00 00:00:00.000", "2024-02-31 01:02:03.500"]);
}

#[tokio::test]
async fn other_types_are_exact_or_refused() {
    let sql = "CREATE TABLE t (id INT PRIMARY KEY, b TINYINT, n DECIMAL(10,2), w TIME, s DATETIME(6), v VARCHAR(30), u BIGINT UNSIGNED, f FLOAT, y BIT(9)); \
               INSERT INTO t VALUES (1, 1, 12.50, '12:30:00', '2024-01-01 00:00:00.123', '99.5', 18446744073709551615, 0.1, b'100000001')";
    let Some(world) = World::new("other_types_are_exact_or_refused", sql) else { return };
    let types = [("b", "boolean"), ("n", "decimal(4,1)"), ("w", "time"), ("s", "timestamp(3)"), ("v", "decimal(5,2)"), ("u", "decimal(20,0)"), ("f", "text"), ("y", "int")];
    let read = world.full("t", &types).await.unwrap();
    let row: Vec<String> = ["b", "n", "w", "s", "v", "u", "f", "y"].iter().map(|name| read.texts(name)[0].clone()).collect();
    assert_eq!(row, ["true", "12.5", "12:30:00", "2024-01-01T00:00:00.123", "99.50", "18446744073709551615", "0.1", "257"]);

    world.database.execute("UPDATE t SET b = 2, n = 12.55, w = '25:00:00', s = '2024-01-01 00:00:00.1234', v = 'x', f = 0.5");
    for (column, wanted) in [("b", "boolean"), ("n", "decimal(4,1)"), ("w", "time"), ("s", "timestamp(3)"), ("v", "decimal(5,2)"), ("u", "bigint")] {
        let error = world.full("t", &[(column, wanted)]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadData, "{column}");
        assert!(error.chain().contains(&format!("column `{column}` of table `t`")) && error.chain().contains("`id` = 1"), "{}", error.chain());
    }
}

#[tokio::test]
async fn geometries_with_a_reference_system_keep_it() {
    let sql = "CREATE TABLE t (id INT PRIMARY KEY, g GEOMETRY); INSERT INTO t VALUES (1, ST_GeomFromText('POINT(1 2)', 4326)), (2, ST_GeomFromText('LINESTRING(0 0, 1 1)'))";
    let Some(world) = World::new("geometries_with_a_reference_system_keep_it", sql) else { return };
    let read = world.full("t", &[]).await.unwrap();
    // MySQL takes the coordinates of 4326 as latitude and longitude, and keeps them the other way round.
    let point = if Flavour::of_this_run() == Flavour::MariaDb { "000000000000f03f0000000000000040" } else { "0000000000000040000000000000f03f" };
    assert_eq!(read.texts("g")[0], format!("0101000020e6100000{point}"));
    assert_eq!(read.texts("g")[1], world.query("SELECT LOWER(HEX(ST_AsWKB(g))) FROM t WHERE id = 2")[0]);
}

#[tokio::test]
async fn generated_invisible_and_oddly_named_columns_are_read() {
    let sql = "CREATE TABLE `we``ird t` (`select` INT PRIMARY KEY, `a``b \"c` VARCHAR(10), g INT GENERATED ALWAYS AS (`select` * 2) VIRTUAL, s INT AS (`select` + 1) STORED, \
               hidden INT INVISIBLE DEFAULT 7, `größe?` INT); INSERT INTO `we``ird t` (`select`, `a``b \"c`, `größe?`) VALUES (1, 'x', 5)";
    let Some(world) = World::new("generated_invisible_and_oddly_named_columns_are_read", sql) else { return };
    let read = world.full("we`ird t", &[]).await.unwrap();
    let row: Vec<String> = ["select", "a`b \"c", "g", "s", "hidden", "größe?"].iter().map(|name| read.texts(name)[0].clone()).collect();
    assert_eq!(row, ["1", "x", "2", "2", "7", "5"]);
}

#[tokio::test]
async fn the_catalogue_says_what_a_table_is() {
    let sql = "CREATE TABLE orders (a BIGINT UNSIGNED NOT NULL, b VARCHAR(40) CHARACTER SET latin1 COLLATE latin1_german2_ci NOT NULL, c DATETIME(6), PRIMARY KEY (b, a), UNIQUE (a), INDEX (c, a), INDEX (b(5))) \
               COMMENT 'x'; INSERT INTO orders VALUES (1, 'x', NULL); CREATE VIEW v AS SELECT a, c, 1.50 AS d FROM orders";
    let Some(world) = World::new("the_catalogue_says_what_a_table_is", sql) else { return };
    let schema = world.describe("orders").await.unwrap();
    let declared: Vec<&str> = schema.columns.iter().map(|column| column.declared.as_str()).collect();
    // MySQL says no width that only concerns showing.
    let number = if Flavour::of_this_run() == Flavour::MariaDb { "bigint(20) unsigned" } else { "bigint unsigned" };
    assert_eq!(declared, [number, "varchar(40) character set latin1 collate latin1_german2_ci", "datetime(6)"]);
    assert_eq!(schema.primary_key, ["b", "a"]);
    assert!(schema.indexes.contains(&vec!["a".to_owned()]) && schema.indexes.contains(&vec!["c".to_owned(), "a".to_owned()]) && schema.indexes.len() == 2);
    assert_eq!(schema.columns.iter().map(|column| column.nullable).collect::<Vec<_>>(), [false, false, true]);

    let before = schema.identity.clone();
    world.database.execute("ALTER TABLE orders ADD COLUMN e INT, ADD INDEX (e)");
    assert_eq!(world.describe("orders").await.unwrap().identity, before);
    assert_ne!(world.describe("v").await.unwrap().identity, before);
    assert_eq!(world.describe("v").await.unwrap().column("d").unwrap().data_type, DataType::Decimal128(3, 2));

    let error = world.describe("ordrs").await.unwrap_err();
    assert_eq!((error.kind(), error.help()), (ErrorKind::NotFound, Some("a table with a similar name exists: `orders`")));
    assert_eq!(world.describe("Orders").await.unwrap_err().kind(), ErrorKind::NotFound);
    let other = format!("{}.orders", world.database.name());
    assert_eq!(world.describe(&other).await.unwrap().identity, before);
}

#[tokio::test]
async fn keys_and_indexes_of_every_form_are_told_apart() {
    let made = "CREATE TABLE down (id INT, v VARCHAR(30), PRIMARY KEY (id DESC), INDEX (v DESC), INDEX part (v(5))); INSERT INTO down VALUES (1, 'a'), (2, 'b'); \
                CREATE TABLE bare (v INT); INSERT INTO bare VALUES (7)";
    let of_mysql = "SET SESSION sql_generate_invisible_primary_key = ON; CREATE TABLE keyless (v INT); INSERT INTO keyless VALUES (8), (9); \
                    CREATE TABLE computed (id INT PRIMARY KEY, v VARCHAR(30), INDEX lower_v ((LOWER(v))), INDEX unseen (v) INVISIBLE); INSERT INTO computed VALUES (1, 'A')";
    let flavour = Flavour::of_this_run();
    let sql = if flavour == Flavour::MySql { format!("{made}; {of_mysql}") } else { made.to_owned() };
    let Some(world) = World::new("keys_and_indexes_of_every_form_are_told_apart", &sql) else { return };
    let down = world.describe("down").await.unwrap();
    assert_eq!((down.primary_key.as_slice(), down.indexes.len()), (&["id".to_owned()][..], 0), "no index has rows in the order that is asked for");
    assert_eq!(world.describe("bare").await.unwrap().primary_key, Vec::<String>::new());
    let after_one = world.keyset(&Keyset::by("down", "id", &[]), &Position::Start).await.unwrap();
    assert_eq!(after_one.integers("id"), [1, 2]);
    if flavour == Flavour::MySql {
        assert_eq!(world.describe("keyless").await.unwrap().primary_key, ["my_row_id"], "a key that nobody asked for is a key");
        assert_eq!(world.full("keyless", &[]).await.unwrap().integers("my_row_id"), [1, 2]);
        assert!(world.describe("computed").await.unwrap().indexes.is_empty());
        assert_eq!(world.full("computed", &[]).await.unwrap().batches[0].num_columns(), 2);
    }
}

#[tokio::test]
async fn queries_are_read_with_the_types_of_their_results() {
    let sql = "CREATE TABLE t (id INT UNSIGNED PRIMARY KEY, p DECIMAL(12,4), n DATETIME(3) NOT NULL); INSERT INTO t VALUES (1, 2.5, '2024-01-01'), (2, 3, '2024-01-02')";
    let Some(world) = World::new("queries_are_read_with_the_types_of_their_results", sql) else { return };
    let query = SourceObject::Query("SELECT id, p * 2 AS p2, n, CONCAT('x', id) AS name, COUNT(*) OVER () AS c FROM t -- all of it".into());
    let request = world.request(query.clone(), &[], ReadStrategy::Full).await;
    let types: Vec<DataType> = request.columns.iter().map(|choice| choice.data_type.clone()).collect();
    assert_eq!(types, [DataType::UInt32, DataType::Decimal128(13, 4), DataType::Timestamp(TimeUnit::Microsecond, None), DataType::Utf8, DataType::Int64]);
    let read = world.read(request).await.unwrap();
    assert_eq!((read.texts("p2"), read.texts("name"), read.integers("c")), (vec!["5.0000".into(), "6.0000".into()], vec!["x1".into(), "x2".into()], vec![2, 2]));
    let error = world.source.describe(&SourceObject::Query("SELECT * FROM nowhere".into())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = world.source.describe(&SourceObject::Query("SELEC 1".into())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadConfiguration);
}

#[tokio::test]
async fn rows_larger_than_a_packet_come_whole() {
    let sql = "SET GLOBAL max_allowed_packet = 1073741824; CREATE TABLE t (id INT PRIMARY KEY, b LONGBLOB)";
    let Some(world) = World::new("rows_larger_than_a_packet_come_whole", sql) else { return };
    world.database.execute("INSERT INTO t VALUES (1, REPEAT('a', 16777215 - 20)), (2, REPEAT('b', 16777215 * 2)), (3, 'c')");
    let read = world.full("t", &[]).await.unwrap();
    let lengths: Vec<usize> = read.batches.iter().flat_map(|batch| batch.column(1).as_binary::<i32>().iter().map(|value| value.unwrap().len()).collect::<Vec<_>>()).collect();
    assert_eq!(lengths, [16_777_195, 33_554_430, 1]);
}
