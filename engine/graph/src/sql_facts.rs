//! What the graph and the lint rules want to know of one SELECT, from one parse.
//!
//! The dialect is the generic one, as in DataFusion. No types, no columns.

use crate::{layer_names, select_shape};
use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArgumentClause, FunctionArgumentList, FunctionArguments, Ident, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, Query,
    Select, Spanned, Statement, TableFactor, Value, ValueWithSpan, Visit, Visitor, WindowType,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Location, Span as SqlSpan};
use std::ops::ControlFlow;

/// Bytes of the SQL text.
pub type SqlPlace = std::ops::Range<usize>;

/// What one SELECT says without looking at columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SqlFacts {
    /// False when the text is no SQL: then only `tables` is filled, with what looks like `layer.table`.
    pub parses: bool,
    /// Tables in FROM and JOIN, in source order, without CTEs and table functions.
    pub tables: Vec<TableUse>,
    /// Each `*` and `t.*` of the outermost SELECT.
    pub wildcards: Vec<SqlPlace>,
    /// Calls whose result differs from run to run, by lower-case name.
    pub volatile_calls: Vec<(String, SqlPlace)>,
    /// Joins without any condition, by the joined table.
    pub unconditional_joins: Vec<SqlPlace>,
    /// Comparisons with a literal NULL, which are never true.
    pub null_comparisons: Vec<SqlPlace>,
    /// Calls and a LIMIT that pick a row without saying in which order, with what they are called.
    pub unordered_picks: Vec<(String, SqlPlace)>,
    /// True when the SELECT passes columns of one table on, at most renamed: no expression, filter, join or grouping.
    pub only_renames: bool,
}

/// One table in FROM or JOIN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableUse {
    /// The parts of the name; unquoted ones in lower case.
    pub parts: Vec<String>,
    /// Where the name stands.
    pub place: SqlPlace,
}

impl TableUse {
    /// The name with dots.
    #[must_use]
    pub fn name(&self) -> String {
        self.parts.join(".")
    }
}

const VOLATILE: [&str; 10] = ["now", "current_timestamp", "current_date", "current_time", "localtimestamp", "localtime", "today", "random", "uuid", "gen_random_uuid"];

/// Window functions whose result depends on the order of rows.
const ORDERED_WINDOWS: [&str; 7] = ["row_number", "first_value", "last_value", "nth_value", "lag", "lead", "ntile"];

/// Aggregates whose result depends on the order of rows.
const ORDERED_AGGREGATES: [&str; 3] = ["first_value", "last_value", "nth_value"];

impl SqlFacts {
    /// Reads `sql`. Total: text that does not parse is scanned for names that start with a layer.
    #[must_use]
    pub fn read(sql: &str) -> Self {
        let lines = Lines::new(sql);
        let dialect = GenericDialect {};
        let Ok(statements) = Parser::new(&dialect).try_with_sql(sql).and_then(|mut parser| parser.parse_statements()) else {
            return Self { tables: layer_names::scan(sql, &lines), ..Self::default() };
        };
        let mut reader = Reader { lines: &lines, facts: Self { parses: true, ..Self::default() }, scopes: Vec::new() };
        for statement in &statements {
            let ControlFlow::Continue(()) = statement.visit(&mut reader);
        }
        let mut facts = reader.facts;
        if let [Statement::Query(query)] = statements.as_slice() {
            facts.wildcards = select_shape::wildcards(&query.body).into_iter().map(|span| lines.place(span)).collect();
            facts.only_renames = query.with.is_none() && query.limit_clause.is_none() && select_shape::only_renames(&query.body);
            if let (Some(limit), None) = (&query.limit_clause, &query.order_by) {
                facts.unordered_picks.push(("limit".to_owned(), lines.place(limit.span())));
            }
        }
        facts
    }
}

/// Byte offsets of line starts, to turn the parser's lines and columns into bytes.
pub(crate) struct Lines<'a> {
    sql: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(sql: &'a str) -> Self {
        let breaks = sql.match_indices('\n').map(|(at, _)| at + 1);
        Self { sql, starts: std::iter::once(0).chain(breaks).collect() }
    }

    pub(crate) fn offset(&self, location: Location) -> usize {
        let line = usize::try_from(location.line.saturating_sub(1)).unwrap_or(usize::MAX);
        let Some(start) = self.starts.get(line) else { return self.sql.len() };
        let skip = usize::try_from(location.column.saturating_sub(1)).unwrap_or(usize::MAX);
        self.sql[*start..].char_indices().nth(skip).map_or(self.sql.len(), |(at, _)| start + at)
    }

    fn place(&self, span: SqlSpan) -> SqlPlace {
        let start = self.offset(span.start);
        start..self.offset(span.end).max(start)
    }
}

/// The CTEs of one query. `visible` counts those that the text being visited can name.
struct Scope {
    ctes: Vec<(String, *const Query)>,
    visible: usize,
    is_recursive: bool,
}

struct Reader<'a> {
    lines: &'a Lines<'a>,
    facts: SqlFacts,
    scopes: Vec<Scope>,
}

impl Reader<'_> {
    /// Sets how many CTEs of the enclosing query are visible while, or after, one of its CTEs is visited.
    fn mark_cte(&mut self, query: &Query, is_done: bool) {
        let Some(scope) = self.scopes.last_mut() else { return };
        if let Some(index) = scope.ctes.iter().position(|(_, cte)| std::ptr::eq(*cte, query)) {
            scope.visible = index + usize::from(is_done || scope.is_recursive);
        }
    }

    fn is_cte(&self, name: &str) -> bool {
        self.scopes.iter().any(|scope| scope.ctes[..scope.visible].iter().any(|(cte, _)| cte == name))
    }

    fn table(&mut self, name: &ObjectName) {
        let Some(parts) = name.0.iter().map(|part| part.as_ident().map(folded)).collect::<Option<Vec<_>>>() else { return };
        if let [single] = parts.as_slice()
            && self.is_cte(single)
        {
            return;
        }
        self.facts.tables.push(TableUse { parts, place: self.lines.place(name.span()) });
    }

    fn select(&mut self, select: &Select) {
        // `FROM a, b` is a cross join too, but with its condition usually in WHERE.
        if select.selection.is_none() {
            for table in select.from.iter().skip(1) {
                self.unconditional(&table.relation);
            }
        }
        for join in select.from.iter().flat_map(|from| &from.joins) {
            let is_bare = match &join.join_operator {
                JoinOperator::CrossJoin(_) => select.selection.is_none(),
                JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => matches!(constraint, JoinConstraint::None) && select.selection.is_none(),
                _ => false,
            };
            if is_bare {
                self.unconditional(&join.relation);
            }
        }
    }

    fn call(&mut self, function: &Function) {
        let [ObjectNamePart::Identifier(ident)] = function.name.0.as_slice() else { return };
        let name = folded(ident);
        let place = || self.lines.place(ident.span);
        if VOLATILE.contains(&name.as_str()) {
            self.facts.volatile_calls.push((name, place()));
        } else if is_unordered(&name, function) {
            self.facts.unordered_picks.push((name, place()));
        }
    }

    /// A subquery may be one row, and a function is no table: only a plain table is reported.
    fn unconditional(&mut self, relation: &TableFactor) {
        if let TableFactor::Table { name, args: None, .. } = relation {
            self.facts.unconditional_joins.push(self.lines.place(name.span()));
        }
    }
}

impl Visitor for Reader<'_> {
    type Break = std::convert::Infallible;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        self.mark_cte(query, false);
        let (ctes, is_recursive) = match &query.with {
            Some(with) => (with.cte_tables.iter().map(|cte| (folded(&cte.alias.name), &raw const *cte.query)).collect(), with.recursive),
            None => (Vec::new(), false),
        };
        self.scopes.push(Scope { ctes, visible: 0, is_recursive });
        select_shape::selects(&query.body, &mut |select| self.select(select));
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        self.scopes.pop();
        self.mark_cte(query, true);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Self::Break> {
        if let TableFactor::Table { name, args: None, .. } = factor {
            self.table(name);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Self::Break> {
        match expr {
            Expr::Function(function) => self.call(function),
            Expr::BinaryOp { left, op: BinaryOperator::Eq | BinaryOperator::NotEq, right } if is_null(left) || is_null(right) => {
                self.facts.null_comparisons.push(self.lines.place(expr.span()));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn is_null(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(ValueWithSpan { value: Value::Null, .. }))
}

/// True for a window without an order, and for an aggregate without one.
fn is_unordered(name: &str, function: &Function) -> bool {
    match &function.over {
        Some(WindowType::WindowSpec(window)) => ORDERED_WINDOWS.contains(&name) && window.window_name.is_none() && window.order_by.is_empty(),
        Some(WindowType::NamedWindow(_)) => false,
        None => {
            let has_order = |list: &FunctionArgumentList| list.clauses.iter().any(|clause| matches!(clause, FunctionArgumentClause::OrderBy(_)));
            ORDERED_AGGREGATES.contains(&name) && function.within_group.is_empty() && matches!(&function.args, FunctionArguments::List(list) if !has_order(list))
        }
    }
}

/// As DataFusion compares names: unquoted ones in lower case.
fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(sql: &str, expected: Expect) {
        let facts = SqlFacts::read(sql);
        let tables: Vec<String> = facts.tables.iter().map(|table| format!("{}={}", table.name(), &sql[table.place.clone()])).collect();
        expected.assert_eq(&tables.join(" "));
    }

    #[test]
    fn tables_of_joins_subqueries_and_set_operations_are_read() {
        check("SELECT * FROM bronze.a AS x JOIN silver.b USING (id), bronze.c", expect!["bronze.a=bronze.a silver.b=silver.b bronze.c=bronze.c"]);
        check(
            "SELECT (SELECT max(v) FROM gold.m) FROM (SELECT 1 FROM silver.s) q WHERE EXISTS (SELECT 1 FROM silver.e) AND x IN (SELECT y FROM silver.i)",
            expect!["gold.m=gold.m silver.s=silver.s silver.e=silver.e silver.i=silver.i"],
        );
        check("SELECT 1 FROM a.x UNION ALL (SELECT 2 FROM a.y EXCEPT SELECT 3 FROM a.z)", expect!["a.x=a.x a.y=a.y a.z=a.z"]);
    }

    #[test]
    fn ctes_are_no_tables() {
        check("WITH a AS (SELECT 1 FROM bronze.a), b AS (SELECT * FROM a) SELECT * FROM b JOIN A ON true", expect!["bronze.a=bronze.a"]);
    }

    #[test]
    fn a_cte_is_visible_only_after_its_definition() {
        check("WITH a AS (SELECT * FROM b), b AS (SELECT * FROM b) SELECT * FROM b", expect!["b=b b=b"]);
        check("WITH RECURSIVE r AS (SELECT 1 UNION ALL SELECT * FROM r) SELECT * FROM r", expect![[""]]);
        check("SELECT * FROM (WITH i AS (SELECT 1 FROM silver.i) SELECT * FROM i) q JOIN i ON true", expect!["silver.i=silver.i i=i"]);
        check("WITH i AS (SELECT 1) SELECT * FROM (WITH j AS (SELECT * FROM i) SELECT * FROM j, i) q", expect![[""]]);
    }

    #[test]
    fn a_cte_named_like_a_table_does_not_hide_the_table() {
        check("WITH trades AS (SELECT * FROM bronze.trades) SELECT * FROM trades JOIN silver.trades ON true", expect!["bronze.trades=bronze.trades silver.trades=silver.trades"]);
    }

    #[test]
    fn quoted_names_keep_their_case_and_functions_are_no_tables() {
        check(
            r#"SELECT * FROM "silver"."Trades", Silver.Orders, generate_series(1, 3) g, unnest([1]) u, "silver.x", a.b.c"#,
            expect![[r#"silver.Trades="silver"."Trades" silver.orders=Silver.Orders silver.x="silver.x" a.b.c=a.b.c"#]],
        );
    }

    #[test]
    fn places_count_characters_not_bytes() {
        check("SELECT 'é値😀' ,\n\t'é' FROM silver.größe", expect!["silver.größe=silver.größe"]);
    }

    #[test]
    fn broken_sql_is_scanned_for_names() {
        check("SELEC x FROM bronze.a WHERE 'bronze.no' = \"silver\".\"B\" JOIN x.y 'unclosed gold.z", expect![[r#"bronze.a=bronze.a silver.B="silver"."B""#]]);
        check("", expect![[""]]);
    }

    #[test]
    fn long_chains_and_deep_nesting_are_no_trouble() {
        let union = vec!["SELECT 1 FROM silver.a"; 3000].join(" UNION ALL ");
        assert_eq!(SqlFacts::read(&union).tables.len(), 3000);
        assert!(!SqlFacts::read(&format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000))).parses);
    }

    #[test]
    fn facts_for_the_rules_are_collected() {
        let facts = SqlFacts::read("SELECT *, now(), a.* FROM silver.a AS a CROSS JOIN silver.b WHERE x = random()");
        expect![[r#"[7..8, 19..20] [("now", 10..13), ("random", 70..76)] [] false"#]]
            .assert_eq(&format!("{:?} {:?} {:?} {}", facts.wildcards, facts.volatile_calls, facts.unconditional_joins, facts.only_renames));
        let facts = SqlFacts::read("SELECT a.*, current_date FROM silver.a, silver.b JOIN gold.c ON true CROSS JOIN gold.d CROSS JOIN (SELECT 1) q");
        expect![[r#"[9..10] [("current_date", 12..24)] [40..48, 80..86] false"#]]
            .assert_eq(&format!("{:?} {:?} {:?} {}", facts.wildcards, facts.volatile_calls, facts.unconditional_joins, facts.only_renames));
        let facts =
            SqlFacts::read("SELECT row_number() OVER (PARTITION BY a), first_value(b), last_value(c ORDER BY d), lag(e) OVER w FROM silver.a WHERE f = NULL AND g IS NULL LIMIT 3");
        expect![[r#"[("row_number", 7..17), ("first_value", 43..54), ("limit", 148..149)] [119..127]"#]]
            .assert_eq(&format!("{:?} {:?}", facts.unordered_picks, facts.null_comparisons));
        assert!(SqlFacts::read("SELECT a, b AS c FROM bronze.x").only_renames);
        assert!(!SqlFacts::read("SELECT a, b + 1 AS c FROM bronze.x").only_renames);
        assert!(SqlFacts::read("WITH q AS (SELECT a FROM bronze.x) SELECT * FROM q").wildcards.is_empty());
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_every_place_lies_in_the_text(sql in "(SELECT |FROM |JOIN |WITH |[a-c]|\\.|,|\\(|\\)|\"|'|é|\\*|bronze|silver\\.x| AS | ON |UNION |now\\(\\)|--|/\\*|\n|\r|\t| ){0,25}") {
            let facts = SqlFacts::read(&sql);
            let places = facts.tables.iter().map(|table| &table.place).chain(&facts.wildcards).chain(&facts.unconditional_joins).chain(facts.volatile_calls.iter().map(|(_, place)| place));
            for place in places {
                proptest::prop_assert!(sql.get(place.clone()).is_some(), "{place:?}");
            }
        }
    }
}
