//! `sum` that fails instead of wrapping around.
//!
//! DataFusion 53 adds integers and decimals modulo 2^64 and 2^128. Here integers and decimals are added in 128 bits, and a total that does
//! not fit the result's type is an error that names the expression. So the outcome does not depend on the order of the rows either.

use crate::output::type_name;
use crate::statement::shorten;
use datafusion::arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Decimal128Array, Decimal128Builder, Int64Array, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Int64Type, UInt64Type};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::functions_aggregate::sum::Sum;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature};
use std::any::Any;
use std::collections::HashMap;
use std::mem::size_of;
use std::sync::Arc;

/// Replaces DataFusion's `sum` in `state`.
pub(crate) fn register(state: &mut SessionState) {
    // Registering over an existing name returns the old one; it cannot fail for a function that the session holds itself.
    if let Err(error) = state.register_udaf(Arc::new(AggregateUDF::new_from_impl(CheckedSum { inner: Sum::new() }))) {
        tracing::error!(%error, "the checked `sum` could not be registered");
    }
}

/// `sum` with DataFusion's own types; everything that is neither integer nor decimal is left to DataFusion.
#[derive(Debug, PartialEq, Eq, Hash)]
struct CheckedSum {
    inner: Sum,
}

impl AggregateUDFImpl for CheckedSum {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let Some(total) = Total::of(&args) else { return self.inner.accumulator(args) };
        Ok(if args.is_distinct { Box::new(DistinctTotal::new(total)) } else { Box::new(PlainTotal { total, sum: 0, rows: 0 }) })
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if Total::of(&args).is_some() { self.accumulator(args) } else { self.inner.create_sliding_accumulator(args) }
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let Some(state) = state_type(args.return_field.data_type()) else { return self.inner.state_fields(args) };
        Ok(vec![if args.is_distinct {
            Field::new_list(format_state_name(args.name, "sum distinct"), Field::new_list_field(state, true), false).into()
        } else {
            Field::new(format_state_name(args.name, "sum"), state, true).into()
        }])
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        match Total::of(&args) {
            Some(total) => Ok(Box::new(GroupTotals { total, sums: Vec::new(), seen: Vec::new() })),
            None => self.inner.create_groups_accumulator(args),
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> datafusion::logical_expr::utils::AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn set_monotonicity(&self, data_type: &DataType) -> datafusion::logical_expr::SetMonotonicity {
        self.inner.set_monotonicity(data_type)
    }
}

/// The type in which totals are kept: 128 bits whatever the result.
fn state_type(result: &DataType) -> Option<DataType> {
    match result {
        DataType::Int64 | DataType::UInt64 => Some(DataType::Decimal128(38, 0)),
        DataType::Decimal128(_, scale) => Some(DataType::Decimal128(38, *scale)),
        _ => None,
    }
}

/// What all accumulators share: the result's type and the name for messages.
#[derive(Debug, Clone)]
pub(crate) struct Total {
    pub(crate) result: DataType,
    pub(crate) state: DataType,
    pub(crate) name: String,
}

impl Total {
    fn of(args: &AccumulatorArgs<'_>) -> Option<Self> {
        let result = args.return_type().clone();
        state_type(&result).map(|state| Self { result, state, name: args.name.to_owned() })
    }

    pub(crate) fn overflow<T>(&self) -> Result<T> {
        exec_err!("the total of `{}` does not fit {}", shorten(&self.name), type_name(&self.result))
    }

    pub(crate) fn add(&self, sum: i128, value: i128) -> Result<i128> {
        sum.checked_add(value).map_or_else(|| self.overflow(), Ok)
    }

    /// Calls `each` with the position and the value of every row that is not NULL.
    pub(crate) fn each_value(&self, values: &ArrayRef, mut each: impl FnMut(usize, i128) -> Result<()>) -> Result<()> {
        match values.data_type() {
            DataType::Int64 => visit::<Int64Type>(values, |at, value| each(at, i128::from(value))),
            DataType::UInt64 => visit::<UInt64Type>(values, |at, value| each(at, i128::from(value))),
            DataType::Decimal128(..) => visit::<Decimal128Type>(values, each),
            other => exec_err!("`{}` cannot add {other}", self.name),
        }
    }

    pub(crate) fn state_array(&self, sums: impl IntoIterator<Item = Option<i128>>) -> ArrayRef {
        Arc::new(sums.into_iter().collect::<Decimal128Array>().with_data_type(self.state.clone()))
    }

    pub(crate) fn result_array(&self, sums: impl IntoIterator<Item = Option<i128>>) -> Result<ArrayRef> {
        let sums = sums.into_iter();
        Ok(match &self.result {
            DataType::Int64 => {
                let narrow = sums.map(|sum| sum.map(|sum| i64::try_from(sum).or_else(|_| self.overflow())).transpose());
                Arc::new(narrow.collect::<Result<Int64Array>>()?)
            }
            DataType::UInt64 => {
                let narrow = sums.map(|sum| sum.map(|sum| u64::try_from(sum).or_else(|_| self.overflow())).transpose());
                Arc::new(narrow.collect::<Result<UInt64Array>>()?)
            }
            DataType::Decimal128(precision, scale) => {
                let limit = 10_i128.pow(u32::from(*precision).min(38));
                let mut builder = Decimal128Builder::new();
                for sum in sums {
                    if sum.is_some_and(|sum| sum >= limit || sum <= -limit) {
                        return self.overflow();
                    }
                    builder.append_option(sum);
                }
                Arc::new(builder.finish().with_data_type(DataType::Decimal128(*precision, *scale)))
            }
            other => return exec_err!("`{}` cannot be {other}", self.name),
        })
    }

    pub(crate) fn result_scalar(&self, sum: Option<i128>) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.result_array([sum])?, 0)
    }
}

fn visit<T: ArrowPrimitiveType>(values: &ArrayRef, mut each: impl FnMut(usize, T::Native) -> Result<()>) -> Result<()> {
    let values = values.as_primitive::<T>();
    match values.nulls() {
        None => values.values().iter().enumerate().try_for_each(|(at, value)| each(at, *value)),
        Some(nulls) => nulls.valid_indices().try_for_each(|at| each(at, values.value(at))),
    }
}

/// One total, also over a sliding window.
#[derive(Debug)]
struct PlainTotal {
    total: Total,
    sum: i128,
    rows: u64,
}

impl Accumulator for PlainTotal {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Self { total, sum, rows } = self;
        total.each_value(&values[0], |_, value| {
            *sum = total.add(*sum, value)?;
            *rows += 1;
            Ok(())
        })
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Self { total, sum, rows } = self;
        total.each_value(&values[0], |_, value| {
            *sum = total.add(*sum, -value)?;
            *rows -= 1;
            Ok(())
        })
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::try_from_array(&self.total.state_array([(self.rows > 0).then_some(self.sum)]), 0)?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.total.result_scalar((self.rows > 0).then_some(self.sum))
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.total.name.capacity()
    }
}

/// The total of different values, also over a sliding window.
#[derive(Debug)]
pub(crate) struct DistinctTotal {
    total: Total,
    /// How often each value stands in the window.
    seen: HashMap<i128, u64>,
}

impl DistinctTotal {
    pub(crate) fn new(total: Total) -> Self {
        Self { total, seen: HashMap::new() }
    }

    /// The total of the different values, and how many there are.
    pub(crate) fn sum_and_count(&self) -> Result<(i128, u64)> {
        let sum = self.seen.keys().try_fold(0, |sum, value| self.total.add(sum, *value))?;
        Ok((sum, self.seen.len() as u64))
    }
}

impl Accumulator for DistinctTotal {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Self { total, seen } = self;
        total.each_value(&values[0], |_, value| {
            *seen.entry(value).or_default() += 1;
            Ok(())
        })
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for values in states[0].as_list::<i32>().iter().flatten() {
            self.update_batch(&[values])?;
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Self { total, seen } = self;
        total.each_value(&values[0], |_, value| {
            if let Some(count) = seen.get_mut(&value) {
                *count -= 1;
                if *count == 0 {
                    seen.remove(&value);
                }
            }
            Ok(())
        })
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = self.total.state_array(self.seen.keys().map(|value| Some(*value)));
        let values: Vec<ScalarValue> = (0..values.len()).map(|at| ScalarValue::try_from_array(&values, at)).collect::<Result<_>>()?;
        Ok(vec![ScalarValue::List(ScalarValue::new_list_nullable(&values, &self.total.state))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let (sum, count) = self.sum_and_count()?;
        self.total.result_scalar((count > 0).then_some(sum))
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.total.name.capacity() + self.seen.capacity() * size_of::<(i128, u64)>()
    }
}

/// The totals of many groups.
#[derive(Debug)]
struct GroupTotals {
    total: Total,
    sums: Vec<i128>,
    /// False for groups that hold NULLs only.
    seen: Vec<bool>,
}

impl GroupTotals {
    fn take(&mut self, emit_to: EmitTo) -> impl Iterator<Item = Option<i128>> + use<> {
        let sums = emit_to.take_needed(&mut self.sums);
        let seen = emit_to.take_needed(&mut self.seen);
        sums.into_iter().zip(seen).map(|(sum, seen)| seen.then_some(sum))
    }
}

impl GroupsAccumulator for GroupTotals {
    fn update_batch(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, group_count: usize) -> Result<()> {
        self.sums.resize(group_count, 0);
        self.seen.resize(group_count, false);
        let Self { total, sums, seen } = self;
        total.each_value(&values[0], |at, value| {
            if filter.is_none_or(|filter| filter.is_valid(at) && filter.value(at)) {
                let group = groups[at];
                sums[group] = total.add(sums[group], value)?;
                seen[group] = true;
            }
            Ok(())
        })
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, group_count: usize) -> Result<()> {
        self.update_batch(states, groups, filter, group_count)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let sums = self.take(emit_to);
        self.total.result_array(sums)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let sums = self.take(emit_to);
        Ok(vec![self.total.state_array(sums)])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut sums = vec![None; values[0].len()];
        self.total.each_value(&values[0], |at, value| {
            sums[at] = filter.is_none_or(|filter| filter.is_valid(at) && filter.value(at)).then_some(value);
            Ok(())
        })?;
        Ok(vec![self.total.state_array(sums)])
    }

    fn supports_convert_to_state(&self) -> bool {
        true
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<i128>() + self.seen.capacity()
    }
}
