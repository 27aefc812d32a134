//! The outermost SELECT, looked at from outside.

use sqlparser::ast::{Expr, GroupByExpr, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableFactor};
use sqlparser::tokenizer::Span;

/// Calls `see` for every SELECT of a set operation; a loop, because chains of UNION are deep on the left.
pub(crate) fn selects<'a>(body: &'a SetExpr, see: &mut impl FnMut(&'a Select)) {
    let mut pending = vec![body];
    while let Some(body) = pending.pop() {
        match body {
            SetExpr::Select(select) => see(select),
            SetExpr::SetOperation { left, right, .. } => pending.extend([&**right, &**left]),
            _ => {}
        }
    }
}

/// Each `*` and `t.*` of the outermost SELECT that takes columns of a table.
pub(crate) fn wildcards(body: &SetExpr) -> Vec<Span> {
    let mut found = Vec::new();
    selects(body, &mut |select| {
        // `SELECT *` from the query's own CTE or subquery names its columns there.
        let reads_tables = select.from.iter().flat_map(|from| std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation)));
        let is_open = reads_tables.clone().any(|relation| matches!(relation, TableFactor::Table { name, args: None, .. } if name.0.len() > 1));
        for item in &select.projection {
            match item {
                SelectItem::Wildcard(options) if is_open => found.push(options.wildcard_token.0.span),
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(_), options) if is_open => found.push(options.wildcard_token.0.span),
                _ => {}
            }
        }
    });
    found
}

/// True when the SELECT passes columns of one table on, at most renamed.
pub(crate) fn only_renames(body: &SetExpr) -> bool {
    let SetExpr::Select(select) = body else { return false };
    let [from] = select.from.as_slice() else { return false };
    let is_column = |expr: &Expr| matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
    let is_plain = select.projection.iter().all(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => is_column(expr),
        SelectItem::QualifiedWildcard(..) | SelectItem::Wildcard(_) => true,
    });
    let is_grouped = !matches!(&select.group_by, GroupByExpr::Expressions(expressions, _) if expressions.is_empty());
    let is_one_table = from.joins.is_empty() && matches!(from.relation, TableFactor::Table { args: None, .. });
    is_plain && is_one_table && !is_grouped && select.distinct.is_none() && select.selection.is_none() && select.having.is_none() && select.qualify.is_none()
}
