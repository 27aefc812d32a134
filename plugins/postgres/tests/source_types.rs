//! Extremes of every type, compared with what the server's own client says.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

mod fixture;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, IntervalMonthDayNanoType, Time64MicrosecondType,
    TimestampMicrosecondType,
};
use fixture::{Fixture, by, fixture, open_source};
use karat_plugin_api::{DeclaredType, ErrorKind, Position};

const SETUP: &str = "CREATE EXTENSION IF NOT EXISTS hstore; CREATE TYPE mood AS ENUM ('so la la', 'größer', 'x\"y'); CREATE DOMAIN cents AS numeric(12,2) CHECK (value >= 0);
    CREATE DOMAIN nested AS cents; CREATE TYPE pair AS (a int, b text); CREATE DOMAIN code AS char(3);";

/// Declared type, the Arrow type as the language names it, and values as SQL.
const CASES: &[(&str, &str, &[&str])] = &[
    ("boolean", "boolean", &["true", "false"]),
    ("smallint", "smallint", &["-32768", "32767", "0"]),
    ("integer", "int", &["-2147483648", "2147483647"]),
    ("bigint", "bigint", &["-9223372036854775808", "9223372036854775807"]),
    ("oid", "bigint", &["0", "4294967295"]),
    ("real", "real", &["'3.4028235e38'", "'-1e-45'", "'NaN'", "'-Infinity'", "'-0'", "0.1"]),
    ("double precision", "double", &["'1.7976931348623157e308'", "'5e-324'", "'NaN'", "'Infinity'", "'-0'", "0.1"]),
    ("numeric(18,4)", "decimal(18,4)", &["99999999999999.9999", "-99999999999999.9999", "0", "0.0001", "-1", "10000", "12345.67"]),
    ("numeric(38,0)", "decimal(38,0)", &["99999999999999999999999999999999999999", "-1", "100000000000000000000"]),
    ("numeric(38,38)", "decimal(38,38)", &["0.99999999999999999999999999999999999999", "-0.00000000000000000000000000000000000001"]),
    ("numeric(76,30)", "decimal(76,30)", &["9999999999999999999999999999999999999999999999.999999999999999999999999999999", "-0.000000000000000000000000000001", "1"]),
    ("numeric(5,-2)", "decimal(7,0)", &["9999900", "-100", "1234567"]),
    ("numeric(3,5)", "decimal(5,5)", &["0.00999", "-0.00001"]),
    ("cents", "decimal(12,2)", &["9999999999.99", "0"]),
    ("nested", "decimal(12,2)", &["0.01"]),
    ("text", "text", &["''", "E'a\\tb\\nc\\\\d'", "'NULL'", "'\\N'", "'𝄞 größer 日本語'", "repeat('x', 100000)"]),
    ("varchar(10)", "text", &["'ä  '", "''"]),
    ("character(6)", "text", &["'ab'", "''"]),
    ("code", "text", &["'a'"]),
    ("name", "text", &["'a name'"]),
    ("\"char\"", "text", &["'x'"]),
    ("bytea", "binary", &["'\\x'", "'\\x00ff5c27'"]),
    ("date", "date", &["'0001-01-01'", "'9999-12-31'", "'4713-11-24 BC'", "'5874897-12-31'", "'1969-12-31'"]),
    ("time", "time", &["'00:00'", "'23:59:59.999999'"]),
    ("time with time zone", "text", &["'23:59:59.999999+14'", "'24:00:00-15:59'"]),
    ("timestamp", "timestamp", &["'0001-01-01'", "'9999-12-31 23:59:59.999999'", "'4713-11-24 00:00:00 BC'", "'294246-12-31 23:59:59.999999'", "'1969-12-31 23:59:59.999999'"]),
    ("timestamptz", "timestamptz", &["'2024-03-31 02:30:00.123456+01'", "'4713-11-24 00:00:00+00 BC'", "'294246-12-31 23:59:59.999999+00'"]),
    ("timestamp(0)", "timestamp", &["'2024-01-01 12:00:00.6'"]),
    ("interval", "interval", &["'1 year 2 mons -3 days 04:05:06.000007'", "'-1 mons +1 day -00:00:00.000001'", "'178000 years'", "'0'"]),
    ("uuid", "text", &["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "'00000000-0000-0000-0000-000000000000'"]),
    ("json", "text", &["'{\"b\": 1,  \"a\":1.0, \"b\": 2}'", "'1e400'", "'null'"]),
    ("jsonb", "text", &["'{\"b\": 1, \"a\": 1.0, \"b\": 2}'", "'123456789012345678901234567890.10'", "'null'"]),
    ("xml", "text", &["'<a b=\"1\">ü</a>'"]),
    ("mood", "text", &["'größer'", "'x\"y'"]),
    ("inet", "text", &["'192.168.0.1/24'", "'::1'"]),
    ("cidr", "text", &["'10.0.0.0/8'"]),
    ("macaddr", "text", &["'08:00:2b:01:02:03'"]),
    ("bit(5)", "text", &["B'10101'"]),
    ("bit varying(9)", "text", &["B''", "B'101'"]),
    ("money", "text", &["'-92233720368547758.08'", "'0.01'"]),
    ("int4range", "text", &["'[1,5)'", "'empty'"]),
    ("tstzrange", "text", &["'[2024-01-01 00:00+02,)'"]),
    ("tsvector", "text", &["'a fat cat'"]),
    ("point", "text", &["'(0.1,-1e300)'"]),
    ("pair", "text", &["ROW(1, 'a,\"b')", "ROW(NULL, '')"]),
    ("hstore", "text", &["'a=>1, b=>NULL'"]),
    ("int4[]", "list<int>", &["'{}'", "'{1,NULL,-2147483648}'"]),
    ("text[]", "list<text>", &["ARRAY['a,b', NULL, '', 'NULL', '{x}']"]),
    ("numeric(10,2)[]", "list<decimal(10,2)>", &["'{1,2.50,NULL}'"]),
    ("timestamptz[]", "list<timestamptz>", &["ARRAY[timestamptz '2024-01-01 00:00+02', NULL]"]),
    ("uuid[]", "list<text>", &["ARRAY['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid]"]),
    ("inet[]", "list<text>", &["ARRAY['10.0.0.1'::inet, NULL]"]),
    ("mood[]", "list<text>", &["'{größer,\"so la la\"}'"]),
    ("character(4)[]", "list<text>", &["'{ab,NULL}'"]),
];

fn table() -> String {
    let columns: Vec<String> = CASES.iter().enumerate().map(|(at, (declared, ..))| format!("c{at} {declared}")).collect();
    let rows = CASES.iter().map(|(_, _, values)| values.len()).max().unwrap() + 1;
    let line = |row: usize| {
        let values: Vec<&str> = CASES.iter().map(|(_, _, values)| *values.get(row).unwrap_or(&"NULL")).collect();
        format!("({row}, timestamptz '2024-01-01' + {row} * interval '1 h', {})", values.join(", "))
    };
    format!(
        "{SETUP} CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz NOT NULL, {}); INSERT INTO t VALUES {}",
        columns.join(", "),
        (0..rows).map(line).collect::<Vec<_>>().join(", ")
    )
}

/// A value as [`expected_sql`] makes the server write it.
fn written(array: &dyn Array, at: usize) -> String {
    if array.is_null(at) {
        return "NULL!".into();
    }
    match array.data_type() {
        DataType::Boolean => array.as_boolean().value(at).to_string(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(at).to_string(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(at).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(at).to_string(),
        DataType::Float32 => format!("{:08x}", array.as_primitive::<Float32Type>().value(at).to_bits()),
        DataType::Float64 => format!("{:016x}", array.as_primitive::<Float64Type>().value(at).to_bits()),
        DataType::Decimal128(..) => array.as_primitive::<Decimal128Type>().value_as_string(at),
        DataType::Decimal256(..) => array.as_primitive::<Decimal256Type>().value_as_string(at),
        DataType::Utf8 => array.as_string::<i32>().value(at).to_owned(),
        DataType::Binary => array.as_binary::<i32>().value(at).iter().fold("\\x".into(), |text, byte| format!("{text}{byte:02x}")),
        DataType::Date32 => array.as_primitive::<Date32Type>().value(at).to_string(),
        DataType::Time64(_) => array.as_primitive::<Time64MicrosecondType>().value(at).to_string(),
        DataType::Timestamp(..) => array.as_primitive::<TimestampMicrosecondType>().value(at).to_string(),
        DataType::Interval(_) => {
            let value = array.as_primitive::<IntervalMonthDayNanoType>().value(at);
            format!("{} {} {}", value.months, value.days, value.nanoseconds)
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(at);
            (0..items.len()).map(|at| written(items.as_ref(), at)).collect::<Vec<_>>().join("|")
        }
        other => panic!("{other}"),
    }
}

/// The same by the server, out of its own functions and text forms.
fn expected_sql(value: &str, data_type: &DataType) -> String {
    match data_type {
        DataType::Float32 => format!("encode(float4send({value}), 'hex')"),
        DataType::Float64 => format!("encode(float8send({value}), 'hex')"),
        DataType::Date32 => format!("({value} - date '1970-01-01')::text"),
        DataType::Timestamp(..) | DataType::Time64(_) => format!("(extract(epoch FROM {value}) * 1000000)::numeric(40,0)::text"),
        DataType::Interval(_) => format!(
            "(extract(year FROM {value}) * 12 + extract(month FROM {value}))::int || ' ' || extract(day FROM {value})::int || ' ' || ((extract(hour FROM {value}) * 3600 + extract(minute FROM {value}) * 60) * 1000000 + extract(microseconds FROM {value}))::bigint * 1000"
        ),
        // A cast would cut the padding.
        DataType::Utf8 => format!("format('%s', {value})"),
        DataType::List(item) => format!(
            "(SELECT coalesce(string_agg(CASE WHEN v IS NULL THEN 'NULL!' ELSE {} END, '|' ORDER BY n), '') FROM unnest({value}) WITH ORDINALITY u (v, n) WHERE {value} IS NOT NULL)",
            expected_sql("v", item.data_type())
        ),
        _ => format!("({value})::text"),
    }
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => out.push(match letters.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some(other) => other,
                None => '\\',
            }),
            other => out.push(other),
        }
    }
    out
}

async fn check_all(fixture: &Fixture) {
    let whole = fixture.full("t", &[]).await.unwrap();
    let onward = fixture.keyset("t", &by("at", &["id"]), &Position::Start).await.unwrap();
    for (at, (declared, type_name, values)) in CASES.iter().enumerate() {
        let name = format!("c{at}");
        let column = whole.column(&name);
        assert_eq!(DeclaredType::name_of(column.data_type()).as_deref(), Some(*type_name), "{declared}");
        let sql = format!("SELECT CASE WHEN {name} IS NULL THEN 'NULL!' ELSE {} END FROM t ORDER BY id", expected_sql(&name, column.data_type()));
        let expected: Vec<String> = fixture.database.query(&sql).lines().map(unescaped).collect();
        let found: Vec<String> = (0..column.len()).map(|row| written(column.as_ref(), row)).collect();
        assert_eq!(found, expected, "{declared}");
        assert_eq!(column.null_count(), column.len() - values.len(), "{declared}");
        assert_eq!(&onward.column(&name), &column, "{declared}");
    }
}

#[tokio::test]
async fn extremes_of_every_type_are_what_the_server_says() {
    let Some(fixture) = fixture("extremes_of_every_type_are_what_the_server_says", &table()) else { return };
    check_all(&fixture).await;
}

#[tokio::test]
async fn what_a_role_has_set_by_default_changes_nothing() {
    let Some(mut fixture) = fixture("what_a_role_has_set_by_default_changes_nothing", &table()) else { return };
    let role = format!("hostile_{}", fixture.database.name());
    let settings = [
        "DateStyle = 'SQL, DMY'",
        "TimeZone = 'Asia/Kathmandu'",
        "IntervalStyle = 'sql_standard'",
        "bytea_output = 'escape'",
        "extra_float_digits = -10",
        "default_transaction_isolation = 'serializable'",
        "default_transaction_deferrable = on",
        "statement_timeout = '1ms'",
        "lock_timeout = '1ms'",
        "idle_in_transaction_session_timeout = '1ms'",
        "search_path = 'evil', 'pg_catalog'",
        "standard_conforming_strings = off",
        "client_encoding = 'LATIN1'",
        "quote_all_identifiers = on",
        "enable_indexscan = off",
        "xmlbinary = 'hex'",
    ];
    let alter: Vec<String> = settings.iter().map(|setting| format!("ALTER ROLE {role} SET {setting};")).collect();
    fixture.database.execute(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'p@ss:w/rd'; {} GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}; CREATE SCHEMA evil; CREATE TABLE evil.t (id text); GRANT USAGE ON SCHEMA evil TO {role}; GRANT SELECT ON evil.t TO {role}",
        alter.concat()
    ));
    fixture.source = open_source(&format!("postgres://{role}:p%40ss%3Aw%2Frd@127.0.0.1:{}/{}", fixture.database.port(), fixture.database.name()));
    check_all(&fixture).await;
    let first = fixture.keyset("t", &by("c15", &["id"]), &Position::Start).await;
    assert_eq!(first.unwrap_err().kind(), ErrorKind::BadData, "a cursor that is NULL somewhere");
    let first = fixture.keyset("t", &by("at", &["id"]), &Position::Start).await.unwrap();
    let idle = fixture.keyset("t", &by("at", &["id"]), &first.position).await.unwrap();
    assert_eq!((idle.rows, &idle.position), (0, &first.position));
    fixture.source = open_source(&fixture.database.url());
    let other = fixture.keyset("t", &by("at", &["id"]), &Position::Start).await.unwrap();
    assert_eq!(other.position, first.position, "positions do not depend on who reads");
    drop(fixture.source);
    fixture.database.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

async fn check_refused(sql: &str, types: &[(&str, &str)], says: &str) {
    let Some(fixture) = fixture("values_that_arrow_cannot_hold_are_refused_without_being_told", &format!("CREATE TABLE t (c {sql})")) else { return };
    let error = fixture.full("t", types).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadData, "{sql}");
    assert!(error.chain().contains(says) && error.chain().contains("`c`") && error.chain().contains("row 2"), "{sql}: {}", error.chain());
}

#[tokio::test]
async fn values_that_arrow_cannot_hold_are_refused_without_being_told() {
    for (sql, types, says) in [
        ("date); INSERT INTO t VALUES ('2024-01-01'), ('infinity'", &[][..], "infinite"),
        ("timestamp); INSERT INTO t VALUES ('2024-01-01'), ('-infinity'", &[], "infinite"),
        ("timestamptz); INSERT INTO t VALUES ('2024-01-01'), ('infinity'", &[], "infinite"),
        ("timestamp); INSERT INTO t VALUES ('2024-01-01'), ('294276-12-31 23:59:59.999999'", &[], "out of range"),
        ("time); INSERT INTO t VALUES ('12:00'), ('24:00'", &[], "24:00:00"),
        ("numeric(10,2)); INSERT INTO t VALUES (1), ('NaN'", &[], "NaN"),
        ("numeric); INSERT INTO t VALUES (1), ('Infinity'", &[("c", "decimal(38,9)")], "infinite"),
        ("numeric); INSERT INTO t VALUES (1), (1.0000000001", &[("c", "decimal(38,9)")], "more digits"),
        ("numeric); INSERT INTO t VALUES (1), (1e30", &[("c", "decimal(38,9)")], "out of range"),
        ("int[]); INSERT INTO t VALUES ('{1}'), ('{{1,2},{3,4}}'", &[], "dimensions"),
        ("int[]); INSERT INTO t VALUES ('{1}'), ('[0:1]={1,2}'", &[], "dimensions"),
        ("bigint); INSERT INTO t VALUES (1), (3000000000", &[("c", "int")], "out of range"),
        ("text); INSERT INTO t VALUES ('1'), ('x'", &[("c", "bigint")], ""),
    ] {
        check_refused(sql, types, says).await;
    }
}

#[tokio::test]
async fn types_of_the_user_read_what_the_server_declares_inexactly() {
    let sql = "CREATE TABLE t (n numeric, w numeric(100,2), a numeric[], i int, x text, f double precision, d timestamp, j int[][]);
               INSERT INTO t VALUES (123456789012345678901234567890.123456789, 1.25, '{1.5,NULL}', 7, '2024-01-01', 0.1, '2024-01-01', '{{1,2},{3,4}}')";
    let Some(fixture) = fixture("types_of_the_user_read_what_the_server_declares_inexactly", sql) else { return };
    let error = fixture.full("t", &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SchemaMismatch);
    let types = [("n", "text"), ("w", "decimal(76,2)"), ("a", "list<decimal(18,4)>"), ("i", "decimal(10,1)"), ("x", "date"), ("f", "text"), ("d", "text"), ("j", "text")];
    let outcome = fixture.full("t", &types).await.unwrap();
    let found: Vec<String> = types.iter().map(|(name, _)| written(outcome.column(name).as_ref(), 0)).collect();
    assert_eq!(found, ["123456789012345678901234567890.123456789", "1.25", "1.5000|NULL!", "7.0", "19723", "0.1", "2024-01-01 00:00:00", "{{1,2},{3,4}}"]);
}
