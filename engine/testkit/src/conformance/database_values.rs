//! What happens to values on their way into a database: they arrive exactly, or the load says which does not.

use super::database_reader::Form;
use super::database_sink::{DatabaseSinkUnderTest, append, commit};
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array,
    LargeStringArray, RecordBatch, StringArray, StringViewArray, Time32MillisecondArray, Time64MicrosecondArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    TimestampNanosecondArray, TimestampSecondArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow::datatypes::{Field, Schema, i256};
use karat_plugin_api::{ErrorKind, LoadRequest, WriteMode};
use std::sync::Arc;

/// Values of one type, and what the database's own client must say of them.
struct Values {
    array: ArrayRef,
    form: Form,
    expected: Vec<Option<String>>,
    /// Not every database can hold them: then the load says so.
    may_be_refused: bool,
}

fn arrive<T: ToString>(array: impl arrow::array::Array + 'static, form: Form, expected: impl IntoIterator<Item = T>) -> Values {
    Values { array: Arc::new(array), form, expected: expected.into_iter().map(|text| Some(text.to_string())).collect(), may_be_refused: false }
}

fn arrive_or_refused<T: ToString>(array: impl arrow::array::Array + 'static, form: Form, expected: impl IntoIterator<Item = T>) -> Values {
    Values { may_be_refused: true, ..arrive(array, form, expected) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hexes(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| hex(text.as_bytes())).collect()
}

/// Loads the values into a new table, NULL beside them, and reads them with the database's own client.
async fn check(under_test: &DatabaseSinkUnderTest, number: usize, values: Values) {
    let Values { array, form, mut expected, may_be_refused } = values;
    let data_type = array.data_type().clone();
    let nulls = arrow::array::new_null_array(&data_type, 1);
    let array = arrow::compute::concat(&[&array, &nulls]).unwrap();
    expected.push(None);
    let ids = Int64Array::from_iter_values(0..array.len() as i64);
    let schema = Arc::new(Schema::new(vec![Field::new("id", arrow::datatypes::DataType::Int64, false), Field::new("value", data_type.clone(), true)]));
    let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(ids), array]).unwrap();
    let table = karat_spec::model::TableName::parse(&format!("bronze.values_{number}")).unwrap();
    let target = under_test.sink.default_target(&table);
    let attempt = format!("values{number}");
    let mut to_commit = commit(1, 1, &attempt, 0, 1);
    to_commit.record.stream = karat_plugin_api::StreamId::new("p", &table.to_string());
    let request = LoadRequest { schema, target: target.clone(), stream: to_commit.record.stream.clone(), ..under_test.request(append(), 1, &attempt) };

    match under_test.load(request, batch, to_commit).await {
        Ok(_) => {
            let read = under_test.reader.rows(&target.table, &[("id", Form::Number), ("value", form)]);
            let mut wanted: Vec<Vec<Option<String>>> = expected.into_iter().enumerate().map(|(id, value)| vec![Some(id.to_string()), value]).collect();
            wanted.sort();
            assert_eq!(read, wanted, "{data_type}");
        }
        Err(error) => {
            assert!(may_be_refused, "{data_type}: {}", error.chain());
            assert!(matches!(error.kind(), ErrorKind::BadData | ErrorKind::SchemaMismatch | ErrorKind::Unsupported), "{data_type}: {}", error.chain());
        }
    }
}

const DAY: i64 = 86_400_000_000;
/// 0001-01-01, 1582-10-14, 1969-12-31, 1970-01-01, 2000-02-29, 9999-12-31 as days.
const DAYS: [i32; 6] = [-719_162, -141_428, -1, 0, 11_016, 2_932_896];
const DATES: [&str; 6] = ["0001-01-01", "1582-10-14", "1969-12-31", "1970-01-01", "2000-02-29", "9999-12-31"];

fn numbers() -> Vec<Values> {
    use Form::{Boolean, Float, Number, Single};
    let most = |digits: usize| "9".repeat(digits);
    vec![
        arrive(BooleanArray::from(vec![true, false]), Boolean, [1, 0]),
        arrive(Int8Array::from(vec![i8::MIN, -1, 0, i8::MAX]), Number, [i8::MIN, -1, 0, i8::MAX]),
        arrive(Int16Array::from(vec![i16::MIN, i16::MAX]), Number, [i16::MIN, i16::MAX]),
        arrive(Int32Array::from(vec![i32::MIN, i32::MAX]), Number, [i32::MIN, i32::MAX]),
        arrive(Int64Array::from(vec![i64::MIN, 9_007_199_254_740_993, i64::MAX]), Number, [i64::MIN, 9_007_199_254_740_993, i64::MAX]),
        arrive(UInt8Array::from(vec![0, u8::MAX]), Number, [0, u8::MAX]),
        arrive(UInt16Array::from(vec![0, u16::MAX]), Number, [0, u16::MAX]),
        arrive(UInt32Array::from(vec![0, u32::MAX]), Number, [0, u32::MAX]),
        arrive(UInt64Array::from(vec![0, i64::MAX as u64 + 1, u64::MAX]), Number, [0, i64::MAX as u64 + 1, u64::MAX]),
        arrive(Float32Array::from(vec![f32::MIN, 0.1, f32::MAX, f32::MIN_POSITIVE]), Single, [f32::MIN, 0.1, f32::MAX, f32::MIN_POSITIVE]),
        arrive(Float64Array::from(vec![f64::MIN, 0.1, 1.0 / 3.0, f64::MAX, f64::MIN_POSITIVE]), Float, [f64::MIN, 0.1, 1.0 / 3.0, f64::MAX, f64::MIN_POSITIVE]),
        arrive_or_refused(Float64Array::from(vec![f64::NAN]), Float, ["NaN"]),
        arrive_or_refused(Float64Array::from(vec![f64::INFINITY, f64::NEG_INFINITY]), Float, ["inf", "-inf"]),
        arrive(Decimal128Array::from(vec![-1, 12_345_678_901_234_567, 10]).with_precision_and_scale(18, 2).unwrap(), Number, ["-0.01", "123456789012345.67", "0.1"]),
        arrive(
            Decimal128Array::from(vec![10_i128.pow(38) - 1, 1 - 10_i128.pow(38), 1]).with_precision_and_scale(38, 10).unwrap(),
            Number,
            [format!("{}.{}", most(28), most(10)), format!("-{}.{}", most(28), most(10)), "0.0000000001".into()],
        ),
        arrive(Decimal128Array::from(vec![10_i128.pow(38) - 1]).with_precision_and_scale(38, 0).unwrap(), Number, [most(38)]),
        arrive(Decimal256Array::from(vec![i256::from_string(&most(65)).unwrap()]).with_precision_and_scale(65, 0).unwrap(), Number, [most(65)]),
        arrive_or_refused(Decimal256Array::from(vec![i256::from_string(&most(76)).unwrap()]).with_precision_and_scale(76, 0).unwrap(), Number, [most(76)]),
        arrive_or_refused(Decimal128Array::from(vec![12]).with_precision_and_scale(5, -2).unwrap(), Number, ["1200"]),
    ]
}

fn texts() -> Vec<Values> {
    use Form::{Bytes, Text};
    let long = "ä€😀x".repeat(20_000);
    let hard: Vec<&str> = vec![
        "",
        " ",
        "NULL",
        "null",
        "\\N",
        "\\.",
        "\\",
        "\\\\",
        "'",
        "''",
        "\"",
        "`",
        "a'b\"c`d\\e",
        "line\nline",
        "line\r\nline",
        "tab\tend\t",
        "a,b;c|d",
        "--",
        "/* */",
        "#",
        "$1",
        "%s",
        "{}",
        "?",
        ":x",
        "trailing ",
        "e\u{301}",
        "\u{e9}",
        "\u{feff}bom",
        "\u{1f600}",
        "\u{10ffff}",
        "\u{7f}\u{80}\u{1}",
        &long,
    ];
    let all_bytes: Vec<u8> = (0..=255).collect();
    let long_bytes = all_bytes.repeat(400);
    let bytes: Vec<&[u8]> = vec![b"", b"\0", b"\\x00", b"'\"\\\n\t\r", b"\x1a", &all_bytes, &long_bytes];
    vec![
        arrive(StringArray::from(hard.clone()), Text, hexes(&hard)),
        arrive(LargeStringArray::from(hard.clone()), Text, hexes(&hard)),
        arrive(StringViewArray::from(hard.clone()), Text, hexes(&hard)),
        arrive(BinaryArray::from(bytes.clone()), Bytes, bytes.iter().map(|bytes| hex(bytes))),
    ]
}

fn times() -> Vec<Values> {
    use Form::{Date, Time, Timestamp, TimestampUtc};
    // The last microsecond of 9999, the first of 1000, the last before 1970.
    let micros: Vec<i64> = vec![253_402_300_799_999_999, -30_610_224_000_000_000, -1, 0, 951_868_799_999_999];
    let texts = ["9999-12-31 23:59:59.999999", "1000-01-01 00:00:00.000000", "1969-12-31 23:59:59.999999", "1970-01-01 00:00:00.000000", "2000-02-29 23:59:59.999999"];
    // 02:30 on the night when Berlin's clocks went forward, and 01:30 UTC when they went back, twice 02:30 there.
    let shift: Vec<i64> = vec![1_711_852_200_000_000, 1_729_989_000_000_000, 1_729_992_600_000_000];
    let shift_texts = ["2024-03-31 02:30:00.000000", "2024-10-27 00:30:00.000000", "2024-10-27 01:30:00.000000"];
    let millis = |micros: i64| micros.div_euclid(1_000);
    vec![
        arrive(Date32Array::from(DAYS.to_vec()), Date, DATES),
        arrive_or_refused(Date32Array::from(vec![i32::MIN]), Date, ["-5877641-06-23"]),
        arrive_or_refused(Date32Array::from(vec![i32::MAX]), Date, ["5881580-07-11"]),
        arrive(Time64MicrosecondArray::from(vec![0, 1, DAY - 1]), Time, ["00:00:00.000000", "00:00:00.000001", "23:59:59.999999"]),
        arrive(Time32MillisecondArray::from(vec![0, 86_399_999]), Time, ["00:00:00.000000", "23:59:59.999000"]),
        arrive(TimestampMicrosecondArray::from(micros.clone()), Timestamp, texts),
        arrive(TimestampMicrosecondArray::from(shift.clone()), Timestamp, shift_texts),
        arrive(TimestampMicrosecondArray::from(shift.clone()).with_timezone("UTC"), TimestampUtc, shift_texts),
        arrive(TimestampMicrosecondArray::from(shift.clone()).with_timezone("+00:00"), TimestampUtc, shift_texts),
        arrive_or_refused(TimestampMicrosecondArray::from(micros.clone()).with_timezone("UTC"), TimestampUtc, texts),
        arrive(TimestampSecondArray::from(vec![0, 951_868_799]), Timestamp, [texts[3], "2000-02-29 23:59:59.000000"]),
        arrive(TimestampMillisecondArray::from(vec![0, millis(micros[4])]), Timestamp, [texts[3], "2000-02-29 23:59:59.999000"]),
        arrive(TimestampNanosecondArray::from(vec![0, 951_868_799_999_999_000]), Timestamp, [texts[3], texts[4]]),
        // A nanosecond is never rounded away in silence.
        refused(TimestampNanosecondArray::from(vec![1]), Timestamp),
    ]
}

/// Values that have no exact text in the database: any answer of it would be wrong.
fn refused(array: impl arrow::array::Array + 'static, form: Form) -> Values {
    arrive_or_refused(array, form, ["the load must refuse this"])
}

/// Extremes of every type arrive or are refused.
pub async fn extremes_of_every_type_arrive_or_are_refused(under_test: DatabaseSinkUnderTest) {
    for (number, values) in numbers().into_iter().chain(texts()).chain(times()).enumerate() {
        check(&under_test, number, values).await;
    }
}

/// A zero byte in a text arrives or is refused.
pub async fn a_zero_byte_in_a_text_arrives_or_is_refused(under_test: DatabaseSinkUnderTest) {
    let text = "a\0b";
    check(&under_test, 0, arrive_or_refused(StringArray::from(vec![text]), Form::Text, hexes(&[text]))).await;
}

/// A wide table arrives in every mode.
pub async fn a_wide_table_arrives_in_every_mode(under_test: DatabaseSinkUnderTest) {
    const COLUMNS: usize = 184;
    const ROWS: i64 = 300;
    let names: Vec<String> = (0..COLUMNS).map(|column| if column == 0 { "id".into() } else { format!("column_{column:03}") }).collect();
    let mut columns: Vec<(Field, ArrayRef, Form, Vec<Option<String>>)> = Vec::new();
    for (column, name) in names.iter().enumerate() {
        let is_null = |row: i64| column > 0 && (row + column as i64) % 7 == 0;
        let kind = if column == 0 { 0 } else { column % 4 };
        let value = |row: i64| (!is_null(row)).then_some(row * 1_000 + column as i64);
        let (array, form, text): (ArrayRef, Form, fn(i64) -> String) =
            match kind {
                0 => (Arc::new(Int64Array::from_iter((0..ROWS).map(|row| if column == 0 { Some(row) } else { value(row) }))), Form::Number, |value| value.to_string()),
                1 => (Arc::new(StringArray::from_iter((0..ROWS).map(|row| value(row).map(|value| format!("text {value}"))))), Form::Text, |value| {
                    hex(format!("text {value}").as_bytes())
                }),
                2 => (Arc::new(Float64Array::from_iter((0..ROWS).map(|row| value(row).map(|value| value as f64 / 8.0)))), Form::Float, |value| (value as f64 / 8.0).to_string()),
                _ => (Arc::new(BinaryArray::from_iter((0..ROWS).map(|row| value(row).map(|value| value.to_be_bytes().to_vec())))), Form::Bytes, |value| hex(&value.to_be_bytes())),
            };
        let expected = (0..ROWS).map(|row| if column == 0 { Some(row.to_string()) } else { value(row).map(text) }).collect();
        columns.push((Field::new(name, array.data_type().clone(), column > 0), array, form, expected));
    }
    let schema = Arc::new(Schema::new(columns.iter().map(|column| column.0.clone()).collect::<Vec<_>>()));
    let batch = RecordBatch::try_new(schema.clone(), columns.iter().map(|column| column.1.clone()).collect()).unwrap();
    let forms: Vec<(&str, Form)> = names.iter().map(String::as_str).zip(columns.iter().map(|column| column.2)).collect();
    let mut expected: Vec<Vec<Option<String>>> = (0..ROWS as usize).map(|row| columns.iter().map(|column| column.3[row].clone()).collect()).collect();
    expected.sort();
    let upsert = WriteMode::Upsert { key: vec!["id".into()], unique_in_read: true, order_by: vec!["id".into()] };
    let once = WriteMode::Append { once_by: Some(names.clone()) };

    for (number, mode) in [append(), upsert, once, WriteMode::Replace].into_iter().enumerate() {
        let table = karat_spec::model::TableName::parse(&format!("bronze.wide_{number}")).unwrap();
        let target = under_test.sink.default_target(&table);
        let mut to_commit = commit(1, 1, "wide", 0, 1);
        to_commit.record.stream = karat_plugin_api::StreamId::new("p", &table.to_string());
        let stream = to_commit.record.stream.clone();
        let request = LoadRequest { schema: schema.clone(), target: target.clone(), stream, ..under_test.request(mode, 1, "wide") };

        let committed = under_test.load(request, batch.clone(), to_commit).await.unwrap();

        assert_eq!(committed.rows_written, ROWS as u64);
        assert!(under_test.reader.rows(&target.table, &forms) == expected, "{}: the rows differ", target.table);
    }
}

/// Columns may be called anything.
pub async fn columns_may_be_called_anything(under_test: DatabaseSinkUnderTest) {
    let names = ["select", "a\"b", "c`d", "e'f", "g h", "ÄÖ 日本", "CamelCase", "camelcase2", "$1", "a.b", "_karat", "100%", "back\\slash"];
    let fields: Vec<Field> = names.iter().map(|name| Field::new(*name, arrow::datatypes::DataType::Int64, false)).collect();
    let schema = Arc::new(Schema::new(fields));
    let columns: Vec<ArrayRef> = (0..names.len()).map(|at| Arc::new(Int64Array::from(vec![at as i64])) as ArrayRef).collect();
    let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
    let upsert = WriteMode::Upsert { key: vec!["a\"b".into(), "c`d".into()], unique_in_read: false, order_by: vec!["e'f".into()] };
    let request = LoadRequest { schema, ..under_test.request(upsert, 1, "a") };

    under_test.load(request, batch, commit(1, 1, "a", 0, 1)).await.unwrap();

    let forms: Vec<(&str, Form)> = names.iter().map(|name| (*name, Form::Number)).collect();
    let expected: Vec<Option<String>> = (0..names.len()).map(|at| Some(at.to_string())).collect();
    assert_eq!(under_test.reader.rows(&under_test.target().table, &forms), [expected]);
}
