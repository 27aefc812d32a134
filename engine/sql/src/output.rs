//! The types in which rows leave the engine.
//!
//! Sinks take plain types only. So a table's columns come out as: text (never a view, a large text or a dictionary), binary likewise,
//! decimals of 128 bits, timestamps and times in microseconds (zones as UTC), lists and structs of these. `types` of the table win.
//! Every conversion is exact or fails the table and names the column: nothing is cut off, and nothing becomes NULL in silence. The one
//! exception is a declared `decimal`, `real` or `double` over a float, or `double` over a decimal, which rounds to the nearest.
//! All columns may hold NULL, so that a later edit of the SQL does not change the schema; `not_null` is a check.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::kernels::cmp::not_distinct;
use datafusion::arrow::compute::{CastOptions, can_cast_types, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Field, Fields, Schema, SchemaRef, TimeUnit};
use indexmap::IndexMap;
use karat_diagnostics::did_you_mean;
use karat_plugin_api::{ConnectorError, DeclaredType, ErrorKind};
use std::collections::HashMap;
use std::sync::Arc;

const STRICT: CastOptions<'static> = CastOptions { safe: false, format_options: datafusion::arrow::util::display::FormatOptions::new() };

/// What becomes of each column.
#[derive(Debug)]
pub(crate) struct Output {
    subject: String,
    schema: SchemaRef,
    /// `None` passes rows on as they are.
    columns: Option<Vec<Conversion>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Conversion {
    None,
    /// Strict cast.
    Cast,
    /// Strict cast; casting back must give the same value.
    Exact,
}

impl Output {
    /// Rows as they are, for people to look at.
    pub(crate) fn of_query(subject: &str, schema: &SchemaRef) -> Self {
        Self { subject: subject.to_owned(), schema: Arc::clone(schema), columns: None }
    }

    /// Rows of a table; every fault of the columns, or how to convert them.
    pub(crate) fn of_table(subject: &str, schema: &SchemaRef, types: &IndexMap<String, String>, key: &[String]) -> Result<Self, Vec<OutputProblem>> {
        let mut problems = Vec::new();
        problems.extend(different_names(schema).err());
        problems.extend(types.keys().filter_map(|name| unknown(schema, OutputPlace::Type(name.clone()), name)));
        problems.extend(key.iter().enumerate().filter_map(|(index, name)| unknown(schema, OutputPlace::Key(index), name)));
        let mut fields = Vec::with_capacity(schema.fields().len());
        let mut columns = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            match target_type(field, types.get(field.name()).map(String::as_str)) {
                Ok(target) => {
                    columns.push(conversion(field.data_type(), &target));
                    fields.push(Field::new(field.name(), target, true));
                }
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(Self { subject: subject.to_owned(), schema: Arc::new(Schema::new(fields)), columns: Some(columns) }) } else { Err(problems) }
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Converts one batch.
    pub(crate) fn cast(&self, batch: &RecordBatch) -> Result<RecordBatch, ConnectorError> {
        let Some(conversions) = &self.columns else { return Ok(batch.clone()) };
        let columns = batch
            .columns()
            .iter()
            .zip(self.schema.fields())
            .zip(conversions)
            .map(|((array, field), conversion)| convert(array, field.data_type(), *conversion).ok_or_else(|| self.does_not_fit(field, array.data_type())));
        let columns: Vec<ArrayRef> = columns.collect::<Result<_, _>>()?;
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|error| ConnectorError::new(ErrorKind::Bug, format!("{}: columns do not fit the schema", self.subject)).with_source(error))
    }

    fn does_not_fit(&self, field: &Field, from: &DataType) -> ConnectorError {
        let target = DeclaredType::name_of(field.data_type()).unwrap_or_else(|| field.data_type().to_string());
        let error = ConnectorError::new(ErrorKind::BadData, format!("{}: column `{}` holds a value that does not fit {target}", self.subject, field.name()));
        error.with_help(match from {
            DataType::Timestamp(TimeUnit::Nanosecond, _) => "it is exact to the nanosecond: write CAST(… AS TIMESTAMP(6)) to cut it off, or declare `timestamp(9)` in `types`",
            _ => "round or cast it in the SQL, or declare a wider type in `types`",
        })
    }
}

/// What is wrong with a column of the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OutputProblem {
    pub(crate) place: OutputPlace,
    pub(crate) message: String,
    pub(crate) help: String,
}

/// Which part of the table says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OutputPlace {
    /// Two columns of the SELECT have this name.
    Name(String),
    /// The SELECT gives this column a type that tables do not hold.
    Column(String),
    /// The entry of `types` for this column.
    Type(String),
    /// The entry of `key` at this index.
    Key(usize),
}

impl OutputProblem {
    pub(crate) fn into_error(self, subject: &str) -> ConnectorError {
        ConnectorError::new(ErrorKind::BadConfiguration, format!("{subject}: {}", self.message)).with_help(self.help)
    }
}

/// A name that two columns have, capitals aside.
fn different_names(schema: &Schema) -> Result<(), OutputProblem> {
    let mut seen: HashMap<String, &str> = HashMap::new();
    for field in schema.fields() {
        if let Some(first) = seen.insert(field.name().to_lowercase(), field.name()) {
            let names = if first == field.name() { format!("`{first}`") } else { format!("`{first}` and `{}`", field.name()) };
            let help = "give each its own name with AS; many readers do not tell capitals apart".to_owned();
            return Err(OutputProblem { place: OutputPlace::Name(field.name().clone()), message: format!("two output columns are named {names}"), help });
        }
    }
    Ok(())
}

fn unknown(schema: &Schema, place: OutputPlace, column: &str) -> Option<OutputProblem> {
    let names = || schema.fields().iter().map(|field| field.name().as_str());
    if names().any(|name| name == column) {
        return None;
    }
    let key = if matches!(place, OutputPlace::Key(_)) { "key" } else { "types" };
    let help = did_you_mean(column, names()).unwrap_or_else(|| format!("there are {}", names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")));
    Some(OutputProblem { place, message: format!("`{key}` names the column `{column}`, which the SELECT does not give"), help })
}

fn target_type(field: &Field, declared: Option<&str>) -> Result<DataType, OutputProblem> {
    let name = field.name();
    if let Some(declared) = declared {
        let refuse = |message: String, help: &str| OutputProblem { place: OutputPlace::Type(name.clone()), message, help: help.to_owned() };
        let declared = DeclaredType::parse(declared)
            .map_err(|error| refuse(format!("type of column `{name}`: {error}"), "write a type such as `bigint`, `decimal(18,2)`, `text`, `timestamp`"))?;
        if !can_cast_types(field.data_type(), declared.data_type()) {
            return Err(refuse(
                format!("column `{name}` is {} and cannot become {}", type_name(field.data_type()), declared.as_str()),
                "convert it in the SQL, or take the entry out of `types`",
            ));
        }
        return Ok(declared.data_type().clone());
    }
    let refuse = |message: String, help: &str| OutputProblem { place: OutputPlace::Column(name.clone()), message, help: help.to_owned() };
    let plain = plain(field.data_type());
    if plain == DataType::Null {
        return Err(refuse(format!("column `{name}` is NULL and nothing else, so it has no type"), "write CAST(NULL AS …)"));
    }
    if DeclaredType::name_of(&plain).is_none() {
        let message = format!("column `{name}` is {}, which tables do not hold", type_name(&plain));
        return Err(refuse(message, "cast it to a type that tables hold; for the length of time between two timestamps take date_part('epoch', …)"));
    }
    Ok(plain)
}

/// The language's name of a type, else Arrow's.
pub(crate) fn type_name(data_type: &DataType) -> String {
    DeclaredType::name_of(data_type).unwrap_or_else(|| data_type.to_string())
}

/// The type that sinks take for one that DataFusion computes with.
pub(crate) fn plain(data_type: &DataType) -> DataType {
    let item = |field: &Field| Arc::new(Field::new("item", plain(field.data_type()), true));
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Dictionary(_, value) => plain(value),
        DataType::RunEndEncoded(_, values) => plain(values.data_type()),
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => DataType::Decimal128(*precision, *scale),
        DataType::Decimal256(precision, scale) => DataType::Decimal128((*precision).min(38), *scale),
        DataType::Float16 => DataType::Float32,
        DataType::Date64 => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.as_ref().map(|_| "UTC".into())),
        DataType::List(field) | DataType::LargeList(field) | DataType::ListView(field) | DataType::LargeListView(field) | DataType::FixedSizeList(field, _) => {
            DataType::List(item(field))
        }
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|field| Field::new(field.name(), plain(field.data_type()), true)).collect::<Fields>()),
        other => other.clone(),
    }
}

fn conversion(from: &DataType, to: &DataType) -> Conversion {
    let is_decimal = |data_type: &DataType| matches!(data_type, DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..));
    let is_whole = |data_type: &DataType| data_type.is_integer() || is_decimal(data_type);
    if from == to {
        return Conversion::None;
    }
    let both_whole = is_whole(from) && is_whole(to);
    let float_and_integer = from.is_floating() && to.is_integer() || from.is_integer() && to.is_floating();
    let both_time = from.is_temporal() && to.is_temporal();
    if both_whole || float_and_integer || both_time { Conversion::Exact } else { Conversion::Cast }
}

/// `None` when some value does not fit.
fn convert(array: &ArrayRef, target: &DataType, conversion: Conversion) -> Option<ArrayRef> {
    let converted = match conversion {
        Conversion::None => Arc::clone(array),
        Conversion::Cast => cast_with_options(array, target, &STRICT).ok()?,
        Conversion::Exact => {
            let converted = cast_with_options(array, target, &STRICT).ok()?;
            let back = cast_with_options(&converted, array.data_type(), &STRICT).ok()?;
            let same = not_distinct(array, &back).ok()?;
            (same.true_count() == array.len()).then_some(converted)?
        }
    };
    // Arrow multiplies decimals without looking at the precision of the result.
    if let DataType::Decimal128(precision, _) = target {
        converted.as_primitive::<Decimal128Type>().validate_decimal_precision(*precision).ok()?;
    }
    Some(converted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{Decimal128Array, Float64Array, Int64Array, StringArray, StringViewArray, TimestampNanosecondArray};
    use expect_test::{Expect, expect};

    fn check(columns: Vec<(&str, ArrayRef)>, types: &[(&str, &str)], expected: Expect) {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let types = types.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let result = match Output::of_table("SQL of `silver.t`", &batch.schema(), &types, &[]) {
            Ok(output) => output.cast(&batch),
            Err(problems) => Err(problems.into_iter().next().unwrap().into_error("SQL of `silver.t`")),
        };
        expected.assert_eq(&match result {
            Ok(batch) => {
                let types: Vec<String> = batch.schema().fields().iter().map(|field| format!("{} {}", field.name(), type_name(field.data_type()))).collect();
                format!("{}\n{}", types.join(", "), datafusion::arrow::util::pretty::pretty_format_batches(&[batch]).unwrap())
            }
            Err(error) => format!("{:?}: {error}\nhelp: {}", error.kind(), error.help().unwrap_or("-")),
        });
    }

    fn strings(values: &[&str]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    #[test]
    fn columns_come_out_in_plain_types() {
        let view: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a"), None]));
        let nanos: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![1_000_000, 2_000]).with_timezone("+02:00"));
        check(
            vec![("text", view), ("at", nanos)],
            &[],
            expect![[r#"
            text text, at timestamptz
            +------+-----------------------------+
            | text | at                          |
            +------+-----------------------------+
            | a    | 1970-01-01T00:00:00.001Z    |
            |      | 1970-01-01T00:00:00.000002Z |
            +------+-----------------------------+"#]],
        );
    }

    #[test]
    fn a_nanosecond_is_not_cut_off() {
        check(
            vec![("at", Arc::new(TimestampNanosecondArray::from(vec![1_001])))],
            &[],
            expect![[r#"
            BadData: SQL of `silver.t`: column `at` holds a value that does not fit timestamp
            help: it is exact to the nanosecond: write CAST(… AS TIMESTAMP(6)) to cut it off, or declare `timestamp(9)` in `types`"#]],
        );
    }

    #[test]
    fn declared_types_are_strict() {
        check(
            vec![("n", strings(&["1", "-7"]))],
            &[("n", "smallint")],
            expect![[r#"
            n smallint
            +----+
            | n  |
            +----+
            | 1  |
            | -7 |
            +----+"#]],
        );
        check(
            vec![("n", strings(&["1", "secret"]))],
            &[("n", "smallint")],
            expect![[r#"
            BadData: SQL of `silver.t`: column `n` holds a value that does not fit smallint
            help: round or cast it in the SQL, or declare a wider type in `types`"#]],
        );
        check(
            vec![("n", Arc::new(Int64Array::from(vec![70_000])))],
            &[("n", "smallint")],
            expect![[r#"
            BadData: SQL of `silver.t`: column `n` holds a value that does not fit smallint
            help: round or cast it in the SQL, or declare a wider type in `types`"#]],
        );
        check(
            vec![("n", Arc::new(Float64Array::from(vec![1.5])))],
            &[("n", "bigint")],
            expect![[r#"
            BadData: SQL of `silver.t`: column `n` holds a value that does not fit bigint
            help: round or cast it in the SQL, or declare a wider type in `types`"#]],
        );
        check(
            vec![("n", Arc::new(Float64Array::from(vec![1.005, 2.0])))],
            &[("n", "decimal(10,2)")],
            expect![[r#"
            n decimal(10,2)
            +------+
            | n    |
            +------+
            | 1.00 |
            | 2.00 |
            +------+"#]],
        );
        check(
            vec![("n", Arc::new(Decimal128Array::from(vec![1_005]).with_precision_and_scale(10, 3).unwrap()))],
            &[("n", "decimal(10,2)")],
            expect![[r#"
            BadData: SQL of `silver.t`: column `n` holds a value that does not fit decimal(10,2)
            help: round or cast it in the SQL, or declare a wider type in `types`"#]],
        );
        check(
            vec![("n", Arc::new(Decimal128Array::from(vec![1_050]).with_precision_and_scale(10, 3).unwrap()))],
            &[("n", "decimal(10,2)")],
            expect![[r#"
            n decimal(10,2)
            +------+
            | n    |
            +------+
            | 1.05 |
            +------+"#]],
        );
        check(
            vec![("n", strings(&["1"]))],
            &[("n", "numeric")],
            expect![[r#"
                BadConfiguration: SQL of `silver.t`: type of column `n`: `numeric` is not a type
                help: write a type such as `bigint`, `decimal(18,2)`, `text`, `timestamp`"#]],
        );
        check(
            vec![("price", strings(&["1"]))],
            &[("prize", "int")],
            expect![[r#"
            BadConfiguration: SQL of `silver.t`: `types` names the column `prize`, which the SELECT does not give
            help: did you mean `price`?"#]],
        );
    }

    #[test]
    fn names_differ_also_in_lower_case() {
        check(
            vec![("a", strings(&["1"])), ("A", strings(&["1"]))],
            &[],
            expect![[r#"
            BadConfiguration: SQL of `silver.t`: two output columns are named `a` and `A`
            help: give each its own name with AS; many readers do not tell capitals apart"#]],
        );
        check(
            vec![("a", strings(&["1"])), ("a", strings(&["1"]))],
            &[],
            expect![[r#"
            BadConfiguration: SQL of `silver.t`: two output columns are named `a`
            help: give each its own name with AS; many readers do not tell capitals apart"#]],
        );
    }

    #[test]
    fn a_decimal_beyond_its_precision_is_an_error() {
        check(
            vec![("n", Arc::new(Decimal128Array::from(vec![100_000]).with_data_type(DataType::Decimal128(5, 2))))],
            &[],
            expect![[r#"
            BadData: SQL of `silver.t`: column `n` holds a value that does not fit decimal(5,2)
            help: round or cast it in the SQL, or declare a wider type in `types`"#]],
        );
    }
}
