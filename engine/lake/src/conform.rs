//! Bringing rows into the columns of a table: same names, same order, same types, without losing a bit.

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::compute::{CastOptions, cast_with_options, kernels::cmp::not_distinct};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use karat_plugin_api::{ConnectorError, DeclaredType, ErrorKind};
use std::sync::Arc;

/// The columns of a table after rows of `incoming` were added to it: the table's own, in wider types where rows need them, then those that are new.
pub(crate) fn evolve(table: &Schema, incoming: &Schema, described: &str) -> Result<SchemaRef, ConnectorError> {
    let mut fields: Vec<Arc<Field>> = table.fields().iter().cloned().collect();
    for field in incoming.fields() {
        match fields.iter_mut().find(|present| present.name() == field.name()) {
            Some(present) if widens_to(field.data_type(), present.data_type()) => {}
            Some(present) if grows_to(present.data_type(), field.data_type()) => *present = Arc::new(present.as_ref().clone().with_data_type(field.data_type().clone())),
            Some(present) => return Err(type_changed(field, present, described)),
            None => fields.push(Arc::new(field.as_ref().clone().with_nullable(true))),
        }
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// True when a column may become `to` while rows are there: a wider type of the same kind.
fn grows_to(from: &DataType, to: &DataType) -> bool {
    let is_same_kind =
        from.is_integer() == to.is_integer() && from.is_floating() == to.is_floating() && matches!(from, DataType::Decimal128(..)) == matches!(to, DataType::Decimal128(..));
    is_same_kind && from.is_numeric() && widens_to(from, to)
}

/// True when every value of `from` is a value of `to`.
pub(crate) fn widens_to(from: &DataType, to: &DataType) -> bool {
    use DataType as T;
    if from == to {
        return true;
    }
    match (from, to) {
        (T::Int8, T::Int16 | T::Int32 | T::Int64) | (T::Int16, T::Int32 | T::Int64) | (T::Int32, T::Int64) => true,
        (T::UInt8, T::Int16 | T::Int32 | T::Int64 | T::UInt16 | T::UInt32 | T::UInt64) => true,
        (T::UInt16, T::Int32 | T::Int64 | T::UInt32 | T::UInt64) | (T::UInt32, T::Int64 | T::UInt64) => true,
        (T::Float32, T::Float64) | (T::Int8 | T::Int16, T::Float32) | (T::Int8 | T::Int16 | T::Int32, T::Float64) => true,
        (T::Decimal128(p1, s1), T::Decimal128(p2, s2)) => s2 >= s1 && i16::from(*p2) - i16::from(*s2) >= i16::from(*p1) - i16::from(*s1),
        (T::UInt64, T::Decimal128(p, s)) => i16::from(*p) - i16::from(*s) >= 20,
        (T::Utf8View | T::LargeUtf8, T::Utf8) | (T::BinaryView | T::LargeBinary, T::Binary) => true,
        (T::Dictionary(_, value), _) => widens_to(value, to),
        (T::Timestamp(a, x), T::Timestamp(b, y)) => x.is_some() == y.is_some() && (finer_or_equal(*b, *a) || is_checked(*a, *b)),
        _ => false,
    }
}

fn finer_or_equal(fine: TimeUnit, coarse: TimeUnit) -> bool {
    rank(fine) >= rank(coarse)
}

/// Nanoseconds become microseconds when every value is whole: checked value by value.
fn is_checked(from: TimeUnit, to: TimeUnit) -> bool {
    from == TimeUnit::Nanosecond && to == TimeUnit::Microsecond
}

fn rank(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 1,
        TimeUnit::Microsecond => 2,
        TimeUnit::Nanosecond => 3,
    }
}

fn type_changed(field: &Field, present: &Field, described: &str) -> ConnectorError {
    let name = |data_type: &DataType| DeclaredType::name_of(data_type).unwrap_or_else(|| data_type.to_string());
    let (new, old) = (name(field.data_type()), name(present.data_type()));
    ConnectorError::new(ErrorKind::SchemaMismatch, format!("column `{}` is `{new}`, but {described} holds `{old}`", field.name()))
        .with_help(format!("set `types: {{{}: \"{old}\"}}`, or load the table anew with `--full-refresh`", field.name()))
}

/// The batch with exactly the columns of `target`; missing ones are NULL.
pub(crate) fn conform(batch: &RecordBatch, target: &SchemaRef) -> Result<RecordBatch, ConnectorError> {
    let mut columns = Vec::with_capacity(target.fields().len());
    for field in target.fields() {
        columns.push(match batch.column_by_name(field.name()) {
            Some(column) if column.data_type() == field.data_type() => Arc::clone(column),
            Some(column) => exact_cast(column, field)?,
            None => new_null_array(field.data_type(), batch.num_rows()),
        });
    }
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(target), columns, &options)
        .map_err(|error| ConnectorError::new(ErrorKind::SchemaMismatch, "rows do not have the columns of the table").with_source(error))
}

fn exact_cast(column: &ArrayRef, field: &Field) -> Result<ArrayRef, ConnectorError> {
    let failed = |error| ConnectorError::new(ErrorKind::BadData, format!("column `{}` holds a value that `{}` cannot", field.name(), field.data_type())).with_source(error);
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let cast = cast_with_options(column, field.data_type(), &options).map_err(failed)?;
    if matches!(column.data_type(), DataType::Timestamp(TimeUnit::Nanosecond, _)) && !matches!(field.data_type(), DataType::Timestamp(TimeUnit::Nanosecond, _)) {
        let back = cast_with_options(&cast, column.data_type(), &options).map_err(failed)?;
        let same = not_distinct(column, &back).map_err(failed)?;
        if same.false_count() > 0 {
            return Err(ConnectorError::new(ErrorKind::BadData, format!("column `{}` holds nanoseconds, which the table cannot keep", field.name()))
                .with_help(format!("cast it in the query, or set `types: {{{}: timestamp}}`", field.name())));
        }
    }
    Ok(cast)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, Int32Array, Int64Array, TimestampNanosecondArray};

    fn schema(fields: &[(&str, DataType)]) -> SchemaRef {
        Arc::new(Schema::new(fields.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect::<Vec<_>>()))
    }

    #[test]
    fn rows_get_the_columns_of_the_table_by_name() {
        let batch = RecordBatch::try_new(schema(&[("b", DataType::Int32)]), vec![Arc::new(Int32Array::from(vec![7]))]).unwrap();

        let conformed = conform(&batch, &schema(&[("a", DataType::Utf8), ("b", DataType::Int64)])).unwrap();

        assert!(conformed.column(0).is_null(0));
        assert_eq!(conformed.column(1).as_ref(), &Int64Array::from(vec![7]) as &dyn Array);
    }

    #[test]
    fn nanoseconds_are_kept_or_refused_never_cut() {
        let target = schema(&[("at", DataType::Timestamp(TimeUnit::Microsecond, None))]);
        let batch = |value| {
            RecordBatch::try_new(schema(&[("at", DataType::Timestamp(TimeUnit::Nanosecond, None))]), vec![Arc::new(TimestampNanosecondArray::from(vec![value])) as ArrayRef])
                .unwrap()
        };

        assert!(conform(&batch(5_000), &target).is_ok());
        assert_eq!(conform(&batch(5_001), &target).unwrap_err().kind(), ErrorKind::BadData);
    }

    #[test]
    fn a_column_becomes_wider_when_rows_need_it() {
        let table = schema(&[("a", DataType::Decimal128(10, 2)), ("b", DataType::Int32), ("c", DataType::Float32)]);
        let wide = schema(&[("a", DataType::Decimal128(18, 4)), ("b", DataType::Int64), ("c", DataType::Float64)]);

        assert_eq!(evolve(&table, &wide, "`t`").unwrap(), wide);
        assert_eq!(evolve(&wide, &table, "`t`").unwrap(), wide);
        for other in [DataType::Decimal128(10, 4), DataType::Float64, DataType::Int64] {
            assert!(evolve(&table, &schema(&[("a", other.clone())]), "`t`").is_err(), "{other}");
        }
    }

    #[test]
    fn columns_are_added_and_narrow_values_taken_but_types_never_change() {
        let table = schema(&[("id", DataType::Int64)]);

        let grown = evolve(&table, &schema(&[("id", DataType::Int32), ("new", DataType::Utf8)]), "`t`").unwrap();
        let changed = evolve(&table, &schema(&[("id", DataType::Utf8)]), "`t`").unwrap_err();

        assert_eq!(grown, schema(&[("id", DataType::Int64), ("new", DataType::Utf8)]));
        assert_eq!(changed.kind(), ErrorKind::SchemaMismatch);
    }
}
