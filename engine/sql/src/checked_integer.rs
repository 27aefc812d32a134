//! Integer arithmetic that fails instead of wrapping around.
//!
//! DataFusion 53 computes `10000000000 * 10000000000` as 7766279631452241920 without a word. After types are known, every integer
//! `+`, `-`, `*`, negation and `abs` becomes a function that uses Arrow's checked kernels; so constant folding is checked as well.
//! Division and remainder are checked by DataFusion already; floats follow IEEE 754 (a division by zero gives infinity).

use crate::statement::shorten;
use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::compute::kernels::cmp::lt;
use datafusion::arrow::compute::kernels::numeric::{add, mul, neg, sub};
use datafusion::arrow::compute::kernels::zip::zip;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion::optimizer::AnalyzerRule;
use datafusion::physical_expr_common::datum::apply;
use std::any::Any;
use std::sync::Arc;

/// The rule that runs after type coercion.
#[derive(Debug)]
pub(crate) struct CheckIntegers;

impl AnalyzerRule for CheckIntegers {
    fn name(&self) -> &str {
        "check_integers"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(check_plan).map(|plan| plan.data)
    }
}

fn check_plan(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let mut schema = merge_schema(&plan.inputs());
    if let LogicalPlan::TableScan(scan) = &plan {
        schema.merge(&DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?);
    }
    let names = NamePreserver::new(&plan);
    let rewritten = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        // Downwards, so that a message shows what was written below, and not the functions that replace it.
        Ok(expr.transform_down(|expr| check_expr(expr, &schema))?.update_data(|expr| name.restore(expr)))
    })?;
    if rewritten.transformed { rewritten.map_data(LogicalPlan::recompute_schema) } else { Ok(rewritten) }
}

fn check_expr(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let operation = match &expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let operation = match op {
                Operator::Plus => Operation::Add,
                Operator::Minus => Operation::Subtract,
                Operator::Multiply => Operation::Multiply,
                _ => return Ok(Transformed::no(expr)),
            };
            // Both sides have one type after coercion; dates, timestamps, decimals and floats are not ours.
            if !left.get_type(schema)?.is_integer() || !right.get_type(schema)?.is_integer() {
                return Ok(Transformed::no(expr));
            }
            operation
        }
        Expr::Negative(inner) if inner.get_type(schema)?.is_signed_integer() => Operation::Negate,
        Expr::ScalarFunction(call) if is_absolute(call) && call.args[0].get_type(schema)?.is_signed_integer() => Operation::Absolute,
        _ => return Ok(Transformed::no(expr)),
    };
    let text = match &expr {
        // A function shows its arguments in their debug form.
        Expr::ScalarFunction(call) => format!("abs({})", call.args[0].human_display()),
        other => other.human_display().to_string(),
    };
    let text = shorten(&text);
    let args = match expr {
        Expr::BinaryExpr(BinaryExpr { left, right, .. }) => vec![*left, *right],
        Expr::Negative(inner) => vec![*inner],
        Expr::ScalarFunction(call) => call.args,
        other => return Ok(Transformed::no(other)),
    };
    let function = ScalarUDF::new_from_impl(CheckedInteger { operation, text, signature: Signature::any(args.len(), Volatility::Immutable) });
    Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(function), args))))
}

/// DataFusion's own `abs`, whose error shows the value and not the expression.
fn is_absolute(call: &ScalarFunction) -> bool {
    call.func.name() == "abs" && call.args.len() == 1
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Operation {
    Add,
    Subtract,
    Multiply,
    Negate,
    Absolute,
}

impl Operation {
    fn sign(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract | Self::Negate => "-",
            Self::Absolute => "abs",
            Self::Multiply => "*",
        }
    }
}

/// One checked operation; shown as the operator or function that it replaces.
#[derive(Debug, PartialEq, Eq, Hash)]
struct CheckedInteger {
    operation: Operation,
    /// The expression as written, for the message.
    text: String,
    signature: Signature,
}

impl CheckedInteger {
    fn infix(&self, args: &[String]) -> String {
        match args {
            [left, right] => format!("{left} {} {right}", self.operation.sign()),
            _ if self.operation == Operation::Absolute => format!("abs({})", args.join(", ")),
            _ => format!("(- {})", args.join(", ")),
        }
    }

    /// The operations on one operand.
    fn alone(&self, values: &ArrayRef) -> Result<ArrayRef> {
        if self.operation == Operation::Negate {
            return Ok(neg(values)?);
        }
        let zero = ScalarValue::new_zero(values.data_type())?.to_scalar()?;
        let is_negative = lt(values, &zero)?;
        Ok(zip(&is_negative, &neg(values)?, values)?)
    }
}

impl ScalarUDFImpl for CheckedInteger {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn name(&self) -> &str {
        match self.operation {
            Operation::Add => "checked_add",
            Operation::Subtract => "checked_subtract",
            Operation::Multiply => "checked_multiply",
            Operation::Negate => "checked_negate",
            Operation::Absolute => "checked_absolute",
        }
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        Ok(self.infix(&args.iter().map(ToString::to_string).collect::<Vec<_>>()))
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(self.infix(&args.iter().map(|arg| arg.schema_name().to_string()).collect::<Vec<_>>()))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [only] => Ok(only.clone()),
            [left, right] if left == right => Ok(left.clone()),
            other => plan_err!("integer arithmetic on {other:?}"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        // The kernel's own message would show the values of a row.
        let result = match (self.operation, args.args.as_slice()) {
            (Operation::Add, [left, right]) => apply(left, right, add),
            (Operation::Subtract, [left, right]) => apply(left, right, sub),
            (Operation::Multiply, [left, right]) => apply(left, right, mul),
            (Operation::Negate | Operation::Absolute, [ColumnarValue::Array(values)]) => self.alone(values).map(ColumnarValue::Array),
            (Operation::Negate | Operation::Absolute, [ColumnarValue::Scalar(value)]) => {
                self.alone(&value.to_array()?).and_then(|values| ScalarValue::try_from_array(&values, 0)).map(ColumnarValue::Scalar)
            }
            _ => return exec_err!("`{}` takes other arguments", self.text),
        };
        result.or_else(|_| exec_err!("integer overflow in `{}`", self.text))
    }
}
