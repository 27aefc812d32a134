//! `avg` of decimals that fails instead of wrapping around.
//!
//! DataFusion 53 adds decimals modulo 2^128 before it divides, and multiplies the total by 10000 first, so that averages fail that would fit.
//! Here the total is checked, and divided before it is scaled; the result is cut, not rounded, as DataFusion does it.

use crate::checked_sum::{DistinctTotal, Total};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, UInt64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::functions_aggregate::average::Avg;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature};
use std::any::Any;
use std::mem::size_of;
use std::sync::Arc;

/// Replaces DataFusion's `avg` in `state`.
pub(crate) fn register(state: &mut SessionState) {
    // Registering over an existing name returns the old one; it cannot fail for a function that the session holds itself.
    if let Err(error) = state.register_udaf(Arc::new(AggregateUDF::new_from_impl(CheckedAverage { inner: Avg::new() }))) {
        tracing::error!(%error, "the checked `avg` could not be registered");
    }
}

/// `avg` with DataFusion's own types; everything that is no decimal is left to DataFusion.
#[derive(Debug, PartialEq, Eq, Hash)]
struct CheckedAverage {
    inner: Avg,
}

impl AggregateUDFImpl for CheckedAverage {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let Some(average) = Average::of(&args) else { return self.inner.accumulator(args) };
        Ok(if args.is_distinct {
            let different = DistinctTotal::new(average.total.clone());
            Box::new(DistinctAverage { average, different })
        } else {
            Box::new(PlainAverage { average, sum: 0, count: 0 })
        })
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if Average::of(&args).is_some() { self.accumulator(args) } else { self.inner.create_sliding_accumulator(args) }
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        match args.input_fields[0].data_type() {
            DataType::Decimal128(_, scale) if !args.is_distinct => Ok(vec![
                Field::new(format_state_name(args.name, "count"), DataType::UInt64, true).into(),
                Field::new(format_state_name(args.name, "sum"), DataType::Decimal128(38, *scale), true).into(),
            ]),
            _ => self.inner.state_fields(args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        match Average::of(&args) {
            Some(average) => Ok(Box::new(GroupAverages { average, sums: Vec::new(), counts: Vec::new() })),
            None => self.inner.create_groups_accumulator(args),
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

/// How a total becomes an average.
#[derive(Debug, Clone)]
struct Average {
    total: Total,
    /// What the result's scale has more than the values'.
    factor: i128,
}

impl Average {
    fn of(args: &AccumulatorArgs<'_>) -> Option<Self> {
        let (DataType::Decimal128(_, scale), DataType::Decimal128(_, result_scale)) = (args.expr_fields.first()?.data_type(), args.return_type()) else { return None };
        let digits = u32::try_from(i16::from(*result_scale) - i16::from(*scale)).ok()?;
        let total = Total { result: args.return_type().clone(), state: DataType::Decimal128(38, *scale), name: args.name.to_owned() };
        Some(Self { total, factor: 10_i128.checked_pow(digits)? })
    }

    fn mean(&self, sum: i128, count: u64) -> Result<Option<i128>> {
        let count = i128::from(count);
        if count == 0 {
            return Ok(None);
        }
        let scaled = (sum / count).checked_mul(self.factor).and_then(|whole| whole.checked_add(sum % count * self.factor / count));
        scaled.map_or_else(|| self.total.overflow(), |mean| Ok(Some(mean)))
    }

    fn result_scalar(&self, sum: i128, count: u64) -> Result<ScalarValue> {
        self.total.result_scalar(self.mean(sum, count)?)
    }
}

/// One average, also over a sliding window.
#[derive(Debug)]
struct PlainAverage {
    average: Average,
    sum: i128,
    count: u64,
}

impl Accumulator for PlainAverage {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Self { average, sum, count } = self;
        average.total.each_value(&values[0], |_, value| {
            *sum = average.total.add(*sum, value)?;
            *count += 1;
            Ok(())
        })
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Self { average, sum, count } = self;
        *count += states[0].as_primitive::<UInt64Type>().iter().flatten().sum::<u64>();
        average.total.each_value(&states[1], |_, value| {
            *sum = average.total.add(*sum, value)?;
            Ok(())
        })
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Self { average, sum, count } = self;
        average.total.each_value(&values[0], |_, value| {
            *sum = average.total.add(*sum, -value)?;
            *count -= 1;
            Ok(())
        })
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let sum = self.average.total.state_array([(self.count > 0).then_some(self.sum)]);
        Ok(vec![ScalarValue::from(self.count), ScalarValue::try_from_array(&sum, 0)?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.average.result_scalar(self.sum, self.count)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.average.total.name.capacity()
    }
}

/// The average of different values, also over a sliding window.
#[derive(Debug)]
struct DistinctAverage {
    average: Average,
    different: DistinctTotal,
}

impl Accumulator for DistinctAverage {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.different.update_batch(values)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.different.merge_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.different.retract_batch(values)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.different.state()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let (sum, count) = self.different.sum_and_count()?;
        self.average.result_scalar(sum, count)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.different.size()
    }
}

/// The averages of many groups.
#[derive(Debug)]
struct GroupAverages {
    average: Average,
    sums: Vec<i128>,
    counts: Vec<u64>,
}

impl GroupsAccumulator for GroupAverages {
    fn update_batch(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, group_count: usize) -> Result<()> {
        self.sums.resize(group_count, 0);
        self.counts.resize(group_count, 0);
        let Self { average, sums, counts } = self;
        average.total.each_value(&values[0], |at, value| {
            if filter.is_none_or(|filter| filter.is_valid(at) && filter.value(at)) {
                let group = groups[at];
                sums[group] = average.total.add(sums[group], value)?;
                counts[group] += 1;
            }
            Ok(())
        })
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], _: Option<&BooleanArray>, group_count: usize) -> Result<()> {
        self.sums.resize(group_count, 0);
        self.counts.resize(group_count, 0);
        let Self { average, sums, counts } = self;
        for (at, count) in states[0].as_primitive::<UInt64Type>().iter().enumerate() {
            counts[groups[at]] += count.unwrap_or_default();
        }
        average.total.each_value(&states[1], |at, value| {
            sums[groups[at]] = average.total.add(sums[groups[at]], value)?;
            Ok(())
        })
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let sums = emit_to.take_needed(&mut self.sums);
        let counts = emit_to.take_needed(&mut self.counts);
        let means: Vec<Option<i128>> = sums.into_iter().zip(counts).map(|(sum, count)| self.average.mean(sum, count)).collect::<Result<_>>()?;
        self.average.total.result_array(means)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let sums = emit_to.take_needed(&mut self.sums);
        let counts = emit_to.take_needed(&mut self.counts);
        let known = sums.into_iter().zip(&counts).map(|(sum, count)| (*count > 0).then_some(sum));
        let sums = self.average.total.state_array(known);
        Ok(vec![Arc::new(UInt64Array::from(counts)), sums])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut sums = vec![None; values[0].len()];
        self.average.total.each_value(&values[0], |at, value| {
            sums[at] = filter.is_none_or(|filter| filter.is_valid(at) && filter.value(at)).then_some(value);
            Ok(())
        })?;
        let counts = sums.iter().map(|sum| u64::from(sum.is_some())).collect::<UInt64Array>();
        Ok(vec![Arc::new(counts), self.average.total.state_array(sums)])
    }

    fn supports_convert_to_state(&self) -> bool {
        true
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<i128>() + self.counts.capacity() * size_of::<u64>()
    }
}
