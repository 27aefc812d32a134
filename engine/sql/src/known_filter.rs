//! Aggregates whose `FILTER` lets only rows through for which the condition is true.
//!
//! DataFusion 53 reads the condition's value without asking whether it is known: in a grouped `count(*) FILTER (WHERE delay < 15)` a row
//! without a delay is counted when the bytes behind its NULL happen to be less than 15. `IS TRUE` is never NULL, so there is nothing to misread.

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

/// The rule that runs after type coercion.
#[derive(Debug)]
pub(crate) struct KnownFilters;

impl AnalyzerRule for KnownFilters {
    fn name(&self) -> &str {
        "known_filters"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(know_filters).map(|plan| plan.data)
    }
}

fn know_filters(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        Ok(expr.transform_up(|expr| Ok(know_filter(expr)))?.update_data(|expr| name.restore(expr)))
    })
}

fn know_filter(expr: Expr) -> Transformed<Expr> {
    match expr {
        Expr::AggregateFunction(mut aggregate) if aggregate.params.filter.as_ref().is_some_and(|filter| !matches!(**filter, Expr::IsTrue(_))) => {
            aggregate.params.filter = aggregate.params.filter.map(|filter| Box::new(Expr::IsTrue(filter)));
            Transformed::yes(Expr::AggregateFunction(aggregate))
        }
        other => Transformed::no(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{Int64Array, RecordBatch, StringArray};
    use datafusion::arrow::buffer::NullBuffer;
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use datafusion::prelude::{SessionConfig, SessionContext};
    use std::sync::Arc;

    /// Rows whose `delay` is NULL, with a 1 in the bytes behind it.
    fn delays() -> RecordBatch {
        let known: Vec<bool> = (0..100).map(|row| row % 2 == 0).collect();
        let delay = Int64Array::new(vec![1; 100].into(), Some(NullBuffer::from(known)));
        let carrier: StringArray = (0..100).map(|_| Some("AA")).collect();
        RecordBatch::try_from_iter([("carrier", Arc::new(carrier) as _), ("delay", Arc::new(delay) as _)]).unwrap()
    }

    #[tokio::test]
    async fn a_row_for_which_the_condition_is_unknown_is_not_counted() {
        let mut config = SessionConfig::new();
        config.options_mut().execution.skip_physical_aggregate_schema_check = true;
        let context = SessionContext::new_with_config(config);
        context.add_analyzer_rule(Arc::new(KnownFilters));
        context.register_batch("flights", delays()).unwrap();

        let counted = context
            .sql("SELECT carrier, count(*) FILTER (WHERE delay < 15) AS on_time, count(carrier) FILTER (WHERE delay < 15) AS named FROM flights GROUP BY carrier HAVING count(*) FILTER (WHERE delay < 15) < 60")
            .await
            .unwrap()
            .collect()
            .await
            .unwrap();

        let shown = pretty_format_batches(&counted).unwrap().to_string();
        assert!(shown.contains("| AA      | 50      | 50    |"), "{shown}");
    }
}
