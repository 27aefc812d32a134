use super::*;
use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int64Type, TimestampMicrosecondType};
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use proptest::prelude::*;

fn micros(text: &str) -> Result<i64, Mismatch> {
    parse_timestamp(text.as_bytes(), TimeUnit::Microsecond, Zone::Utc)
}

#[test]
fn timestamps_in_every_spelling_are_the_same_instant() {
    let expected = Ok(1_357_034_400_000_000);
    for text in [
        "2013-01-01T10:00:00Z",
        "2013-01-01 10:00:00",
        "2013-01-01 10:00",
        "2013-01-01T10:00:00.000000000",
        "2013-01-01T12:00:00+02:00",
        "2013-01-01T04:30:00-0530",
        "2013-01-01 11:00:00 +01",
    ] {
        assert_eq!(micros(text), expected, "{text}");
    }
}

#[test]
fn what_is_no_timestamp_is_refused() {
    for text in [
        "",
        "2013",
        "2013-02-29",
        "2013-01-01T",
        "2013-01-01T24:00:00",
        "2013-01-01T10:00:60",
        "2013-13-01",
        "2013-01-01T10:00:00.",
        "2013-1-1",
        "2013-01-01X10:00",
        "2456293.5",
        "2013-01-01T10:00:00Q",
    ] {
        assert!(micros(text).is_err(), "{text}");
    }
    assert_eq!(micros("2013-01-01T10:00:00.1234567"), Err(Mismatch::TooManyDigits));
    assert_eq!(parse_timestamp(b"2013-01-01T10:00:00+01:00", TimeUnit::Microsecond, Zone::None), Err(Mismatch::HasOffset));
}

#[test]
fn whole_numbers_in_a_timestamp_count_the_units_of_its_precision() {
    let mut cells = Cells::new(&DataType::Timestamp(TimeUnit::Microsecond, None), 1).unwrap();
    cells.integer(1_357_034_400).unwrap();
    assert_eq!(cells.integer(1_357_034_400_000), Err(Mismatch::OutOfRange), "milliseconds in a column of seconds are noticed");
    assert_eq!(cells.real(2_456_293.5), Err(Mismatch::Form(Form::Real)));
    assert_eq!(cells.finish().as_primitive::<TimestampMicrosecondType>().value(0), 1_357_034_400_000_000);
}

#[test]
fn decimals_are_exact_or_refused() {
    let parse = |text: &str| parse_decimal128(text.as_bytes(), 5, 2);
    assert_eq!(parse("123.45"), Ok(12345));
    assert_eq!(parse("-0.5"), Ok(-50));
    assert_eq!(parse(".5"), Ok(50));
    assert_eq!(parse("7."), Ok(700));
    assert_eq!(parse("1.500"), Ok(150));
    assert_eq!(parse("1.25e2"), Ok(12500));
    assert_eq!(parse("12500e-2"), Ok(12500));
    assert_eq!(parse("1.505"), Err(Mismatch::TooManyDigits));
    assert_eq!(parse("1000.00"), Err(Mismatch::OutOfRange));
    for text in ["", ".", "-", "1.2.3", "1,5", " 1", "e5", "1e", "0x1", "nan"] {
        assert!(matches!(parse(text), Err(Mismatch::Form(_))), "{text}: {:?}", parse(text));
    }
    assert_eq!(parse_decimal128("9".repeat(38).as_bytes(), 38, 0), Ok(10_i128.pow(38) - 1));
    assert_eq!(parse_decimal256("9".repeat(76).as_bytes(), 76, 0).unwrap().to_string(), "9".repeat(76));
    assert!(parse_decimal256("9".repeat(77).as_bytes(), 76, 0).is_err());
}

#[test]
fn binary_numbers_become_the_decimals_they_stand_for_or_none() {
    assert_eq!(shortest_decimal128(0.1, 10, 2), Ok(10));
    assert_eq!(shortest_decimal128(1234.56, 10, 2), Ok(123_456));
    assert_eq!(shortest_decimal128(0.1 + 0.2, 10, 2), Ok(30), "the next neighbour of 0.3");
    assert_eq!(shortest_decimal128(0.3 + f64::EPSILON, 10, 2), Err(Mismatch::TooManyDigits));
    assert_eq!(shortest_decimal128(f64::from_bits(1), 10, 2), Err(Mismatch::TooManyDigits));
    assert_eq!(shortest_decimal128(-0.0, 10, 2), Ok(0));
    assert_eq!(shortest_decimal128(f64::NAN, 10, 2), Err(Mismatch::OutOfRange));
    assert_eq!(shortest_decimal128(1e20, 38, 2), Ok(10_i128.pow(22)));
}

#[test]
fn extremes_of_integers_pass_and_one_beyond_does_not() {
    for (data_type, low, high) in [
        (DataType::Int8, -128_i128, 127_i128),
        (DataType::Int16, -32768, 32767),
        (DataType::Int32, i128::from(i32::MIN), i128::from(i32::MAX)),
        (DataType::Int64, i128::from(i64::MIN), i128::from(i64::MAX)),
        (DataType::UInt8, 0, 255),
        (DataType::UInt16, 0, 65535),
        (DataType::UInt32, 0, i128::from(u32::MAX)),
        (DataType::UInt64, 0, i128::from(u64::MAX)),
    ] {
        let mut cells = Cells::new(&data_type, 4).unwrap();
        for value in [low, high] {
            cells.text(value.to_string().as_bytes()).unwrap();
        }
        for value in [low - 1, high + 1] {
            assert_eq!(cells.text(value.to_string().as_bytes()), Err(Mismatch::OutOfRange), "{data_type} {value}");
        }
        assert_eq!(cells.len(), 2);
    }
}

#[test]
fn a_refused_value_leaves_the_column_as_it_was() {
    let mut cells = Cells::new(&DataType::Int64, 4).unwrap();
    cells.integer(1).unwrap();
    assert!(cells.text(b"one").is_err());
    assert!(cells.bytes(b"\x01").is_err());
    assert!(cells.real(0.5).is_err());
    cells.null();
    let column = cells.finish();
    assert_eq!((column.len(), column.null_count(), column.as_primitive::<Int64Type>().value(0)), (2, 1, 1));
}

#[test]
fn unsupported_types_have_no_cells() {
    assert!(Cells::new(&DataType::Null, 1).is_none());
    assert!(Cells::new(&DataType::Interval(arrow_schema::IntervalUnit::MonthDayNano), 1).is_none());
}

proptest! {
    #[test]
    fn timestamps_agree_with_chrono(seconds in -62_167_219_200_i64..=253_402_300_799, micro in 0_u32..1_000_000) {
        let time = DateTime::from_timestamp(seconds, micro * 1000).unwrap().naive_utc();
        let text = time.format("%Y-%m-%d %H:%M:%S%.6f").to_string();
        prop_assert_eq!(micros(&text), Ok(seconds * 1_000_000 + i64::from(micro)));
    }

    #[test]
    fn text_that_is_accepted_means_the_same_to_chrono(text in "[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,6})?") {
        let chrono = NaiveDateTime::parse_from_str(&text.replace('T', " "), "%Y-%m-%d %H:%M:%S%.f").ok();
        // chrono reads second 60 as a leap second, which no column keeps.
        let chrono = chrono.filter(|_| &text[17..19] != "60").map(|time| time.and_utc().timestamp_micros());
        prop_assert_eq!(micros(&text).ok(), chrono);
    }

    #[test]
    fn dates_agree_with_chrono(days in -719_528_i32..=2_932_896) {
        let date = NaiveDate::from_epoch_days(days).unwrap();
        prop_assert_eq!(parse_date(date.format("%Y-%m-%d").to_string().as_bytes()), Ok(days));
    }

    #[test]
    fn decimals_come_back(unscaled in -10_i128.pow(38) + 1..10_i128.pow(38), scale in 0_i8..=38) {
        let mut cells = Cells::new(&DataType::Decimal128(38, scale), 1).unwrap();
        let negative = unscaled < 0;
        let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale as usize + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
        let text = format!("{}{whole}.{fraction}", if negative { "-" } else { "" });
        cells.text(text.as_bytes()).unwrap();
        prop_assert_eq!(cells.finish().as_primitive::<Decimal128Type>().value(0), unscaled);
    }

    #[test]
    fn shortest_forms_agree_with_the_printed_number(value in any::<f64>(), scale in 0_i8..=20) {
        let slow = parse_decimal128(format!("{value}").as_bytes(), 38, scale);
        prop_assume!(value.is_finite());
        let found = shortest_decimal128(value, 38, scale);
        // Only a number whose shortest form has 16 or 17 digits may be taken for the decimal of 15 digits beside it.
        prop_assert!(found == slow || (slow == Err(Mismatch::TooManyDigits) && found.is_ok_and(|unscaled| unscaled.abs() < 10_i128.pow(15))));
    }

    #[test]
    fn prices_take_the_fast_way_and_are_right(cents in -10_i64.pow(14)..10_i64.pow(14)) {
        let value: f64 = format!("{}e-2", cents).parse().unwrap();
        prop_assert_eq!(shortest_decimal128(value, 38, 2), Ok(i128::from(cents)));
    }

    #[test]
    fn no_text_panics(text in any::<Vec<u8>>(), digits in "[-+0-9.eE:TZ ]{0,40}") {
        for bytes in [text.as_slice(), digits.as_bytes()] {
            for data_type in [DataType::Int64, DataType::UInt64, DataType::Float32, DataType::Float64, DataType::Decimal128(38, 10), DataType::Decimal256(76, 30), DataType::Date32,
                DataType::Time64(TimeUnit::Nanosecond), DataType::Timestamp(TimeUnit::Nanosecond, None), DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), DataType::Boolean] {
                let _checked = Cells::new(&data_type, 1).unwrap().text(bytes);
            }
        }
    }
}
