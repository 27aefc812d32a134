//! From text to one statement that may run, and from there to a logical plan.

use datafusion::common::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SQLOptions;
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::ast::{Expr, ExprWithAlias, Query, Select, SelectItem, SetExpr, Spanned, Statement as SqlStatement};
use datafusion::sql::sqlparser::tokenizer::{Location, Span as SqlSpan};
use karat_plugin_api::{ConnectorError, ErrorKind};

/// What a text may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Allowed {
    /// One SELECT, whose output columns all have names.
    Select,
    /// One statement that changes nothing: SELECT, SHOW, DESCRIBE, EXPLAIN.
    ReadOnly,
}

/// What is wrong with a text before its columns are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) kind: ProblemKind,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    /// Where, in lines and columns of the text; `None` for the whole of it.
    pub(crate) place: Option<SqlSpan>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProblemKind {
    Syntax,
    NotOneSelect,
    UnnamedColumn,
}

impl Problem {
    fn new(kind: ProblemKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), help: None, place: None }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    fn at(mut self, place: SqlSpan) -> Self {
        self.place = (place.start.line > 0).then_some(place);
        self
    }

    pub(crate) fn into_error(self, subject: &str) -> ConnectorError {
        let place = self.place.map(|place| format!(" (line {}, column {})", place.start.line, place.start.column)).unwrap_or_default();
        let error = ConnectorError::new(ErrorKind::BadConfiguration, format!("{subject}: {}{place}", self.message));
        match self.help {
            Some(help) => error.with_help(help),
            None => error,
        }
    }
}

/// What `SHOW TABLES` means: the tables of the project, not those that describe the catalogue.
const SHOW_TABLES: &str = "SELECT concat(table_schema, '.', table_name) AS \"table\" FROM information_schema.tables
    WHERE table_schema <> 'information_schema' ORDER BY array_position(['bronze', 'silver', 'gold'], table_schema), 1";

/// Reads one statement.
pub(crate) fn parse(sql: &str, allowed: Allowed) -> Result<Statement, Problem> {
    let mut statements = DFParser::parse_sql(sql).map_err(syntax)?;
    let Some(statement) = statements.pop_front() else {
        return Err(Problem::new(ProblemKind::NotOneSelect, "the SQL is empty").help("write one SELECT"));
    };
    if let Some(second) = statements.front() {
        let problem =
            Problem::new(ProblemKind::NotOneSelect, "there is more than one statement").help("keep one SELECT; put the others into tables of their own, or into a WITH clause");
        return Err(match second {
            Statement::Statement(second) => problem.at(second.span()),
            Statement::CreateExternalTable(_) | Statement::CopyTo(_) | Statement::Explain(_) | Statement::Reset(_) => problem,
        });
    }
    let harmless = match &statement {
        Statement::Statement(plain) => match plain.as_ref() {
            SqlStatement::Query(query) => return select(query, allowed).map(|()| statement),
            SqlStatement::ShowTables { .. } if allowed == Allowed::ReadOnly && sql.trim_end_matches([';', ' ', '\n']).split_whitespace().count() == 2 => {
                return parse(SHOW_TABLES, allowed);
            }
            SqlStatement::ShowTables { .. }
            | SqlStatement::ShowColumns { .. }
            | SqlStatement::ShowFunctions { .. }
            | SqlStatement::ShowVariable { .. }
            | SqlStatement::ExplainTable { .. } => true,
            _ => false,
        },
        Statement::Explain(_) => true,
        Statement::CreateExternalTable(_) | Statement::CopyTo(_) | Statement::Reset(_) => false,
    };
    if harmless && allowed == Allowed::ReadOnly {
        return Ok(statement);
    }
    let word = sql.split_whitespace().find(|word| !word.starts_with("--")).unwrap_or_default().to_uppercase();
    let found = if word.chars().all(|c| c.is_ascii_alphabetic()) && !word.is_empty() { format!("{word} is not a SELECT") } else { "this is not a SELECT".to_owned() };
    Err(Problem::new(ProblemKind::NotOneSelect, found).help(match allowed {
        Allowed::Select => "write one SELECT (it may start with WITH); Karat creates and fills the table",
        Allowed::ReadOnly => "write SELECT, SHOW, DESCRIBE or EXPLAIN: nothing else may run here",
    }))
}

/// Plans the statement; nothing that changes tables, files or settings gets through, however it is nested.
pub(crate) async fn plan(state: &SessionState, statement: Statement) -> Result<LogicalPlan, DataFusionError> {
    let plan = state.statement_to_plan(statement).await?;
    SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false).verify_plan(&plan)?;
    Ok(plan)
}

/// Reads one expression, such as a check's.
pub(crate) fn parse_expression(sql: &str) -> Result<ExprWithAlias, Problem> {
    DFParser::parse_sql_into_expr(sql).map_err(syntax)
}

fn syntax(error: DataFusionError) -> Problem {
    let text = error.strip_backtrace();
    let text = ["SQL error: ", "ParserError(\"", "TokenizerError(\""].iter().fold(text.as_str(), |text, noise| text.strip_prefix(noise).unwrap_or(text));
    let text = text.trim_end_matches("\")").replace("\\\"", "\"");
    let (message, place) = split_place(&text);
    let message = message.strip_prefix("Expected: ").map_or_else(
        || lower_first(message),
        |rest| match rest.split_once(", found: ") {
            Some((expected, found)) => format!("syntax error: expected {expected}, found {}", if found == "EOF" { "the end of the SQL".to_owned() } else { format!("`{found}`") }),
            None => format!("syntax error: expected {rest}"),
        },
    );
    let message = if message.starts_with("syntax error") { message } else { format!("syntax error: {message}") };
    let problem = Problem::new(ProblemKind::Syntax, message);
    match place {
        Some(place) => problem.at(SqlSpan::new(place, place)),
        None => problem,
    }
}

/// Takes `at Line: 3, Column: 7` off the end of a message of the parser.
fn split_place(text: &str) -> (&str, Option<Location>) {
    let Some((message, place)) = text.rsplit_once(" at Line: ") else { return (text, None) };
    let numbers = place.split_once(", Column: ").and_then(|(line, column)| {
        let digits = column.bytes().take_while(u8::is_ascii_digit).count();
        Some((line.parse().ok()?, column[..digits].parse().ok()?))
    });
    (message, numbers.map(|(line, column)| Location::new(line, column)))
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

fn select(query: &Query, allowed: Allowed) -> Result<(), Problem> {
    if let Some(lock) = query.locks.first() {
        return Err(Problem::new(ProblemKind::NotOneSelect, format!("{lock} has no meaning here")).help("take it out: inputs are read at a fixed version"));
    }
    body(&query.body, allowed)
}

fn body(set: &SetExpr, allowed: Allowed) -> Result<(), Problem> {
    match set {
        SetExpr::Select(select) => one_select(select, allowed),
        SetExpr::Query(query) => self::select(query, allowed),
        // The names come from the first part; the other parts may leave them out.
        SetExpr::SetOperation { left, right, .. } => body(left, allowed).and_then(|()| body(right, Allowed::ReadOnly)),
        SetExpr::Values(_) if allowed == Allowed::Select => {
            Err(Problem::new(ProblemKind::UnnamedColumn, "the columns of VALUES have no names").help("write SELECT … FROM (VALUES …) AS t (name, …)"))
        }
        SetExpr::Values(_) | SetExpr::Table(_) => Ok(()),
        SetExpr::Insert(statement) | SetExpr::Update(statement) | SetExpr::Delete(statement) | SetExpr::Merge(statement) => {
            Err(Problem::new(ProblemKind::NotOneSelect, "a SELECT cannot change a table").at(statement.span()).help("keep the SELECT only"))
        }
    }
}

fn one_select(select: &Select, allowed: Allowed) -> Result<(), Problem> {
    if let Some(into) = &select.into {
        return Err(Problem::new(ProblemKind::NotOneSelect, "SELECT INTO creates a table").at(into.name.span()).help("take INTO out; Karat creates and fills the table"));
    }
    if allowed == Allowed::ReadOnly {
        return Ok(());
    }
    for item in &select.projection {
        if let SelectItem::UnnamedExpr(expr) = item
            && !names_itself(expr)
        {
            let problem = Problem::new(ProblemKind::UnnamedColumn, format!("the output column `{}` has no name", shorten(&expr.to_string()))).at(expr.span());
            return Err(problem.help("add AS and a name: downstream tables read the column by it"));
        }
    }
    Ok(())
}

fn names_itself(expr: &Expr) -> bool {
    match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => true,
        Expr::Nested(inner) => names_itself(inner),
        _ => false,
    }
}

/// At most 60 characters, for messages.
pub(crate) fn shorten(text: &str) -> String {
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if flat.chars().count() <= 60 { flat } else { flat.chars().take(59).chain(std::iter::once('…')).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(sql: &str, allowed: Allowed, expected: Expect) {
        let found = match parse(sql, allowed) {
            Ok(statement) => format!("ok: {statement}"),
            Err(problem) => {
                let error = problem.clone().into_error("SQL of `silver.t`");
                format!("{:?}: {error}\nhelp: {}", problem.kind, error.help().unwrap_or("-"))
            }
        };
        expected.assert_eq(&found);
    }

    #[test]
    fn only_one_select_is_a_transform() {
        use Allowed::Select;
        check("SELECT a, t.b, (c), d + 1 AS e FROM silver.t;", Select, expect!["ok: SELECT a, t.b, (c), d + 1 AS e FROM silver.t"]);
        check("WITH x AS (SELECT count(*) FROM silver.t) SELECT * FROM x", Select, expect!["ok: WITH x AS (SELECT count(*) FROM silver.t) SELECT * FROM x"]);
        check(
            "",
            Select,
            expect![[r#"
            NotOneSelect: SQL of `silver.t`: the SQL is empty
            help: write one SELECT"#]],
        );
        check(
            "-- nothing",
            Select,
            expect![[r#"
            NotOneSelect: SQL of `silver.t`: the SQL is empty
            help: write one SELECT"#]],
        );
        check(
            "SELECT 1 AS a;\nDROP TABLE x",
            Select,
            expect![[r#"
            NotOneSelect: SQL of `silver.t`: there is more than one statement
            help: keep one SELECT; put the others into tables of their own, or into a WITH clause"#]],
        );
        check(
            "DROP TABLE silver.t",
            Select,
            expect![[r#"
            NotOneSelect: SQL of `silver.t`: DROP is not a SELECT
            help: write one SELECT (it may start with WITH); Karat creates and fills the table"#]],
        );
        check(
            "COPY silver.t TO '/tmp/x'",
            Select,
            expect![[r#"
            NotOneSelect: SQL of `silver.t`: COPY is not a SELECT
            help: write one SELECT (it may start with WITH); Karat creates and fills the table"#]],
        );
        check(
            "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
            Select,
            expect![[r#"
            NotOneSelect: SQL of `silver.t`: CREATE is not a SELECT
            help: write one SELECT (it may start with WITH); Karat creates and fills the table"#]],
        );
        check(
            "SET datafusion.execution.batch_size = 1",
            Select,
            expect![[r#"
            NotOneSelect: SQL of `silver.t`: SET is not a SELECT
            help: write one SELECT (it may start with WITH); Karat creates and fills the table"#]],
        );
        check(
            "INSERT INTO silver.t SELECT 1",
            Select,
            expect![[r#"
            NotOneSelect: SQL of `silver.t`: INSERT is not a SELECT
            help: write one SELECT (it may start with WITH); Karat creates and fills the table"#]],
        );
        check(
            "SELECT a INTO b FROM silver.t",
            Select,
            expect![[r#"
            NotOneSelect: SQL of `silver.t`: SELECT INTO creates a table (line 1, column 15)
            help: take INTO out; Karat creates and fills the table"#]],
        );
        check(
            "SELECT a FROM silver.t FOR UPDATE",
            Select,
            expect![[r#"
            NotOneSelect: SQL of `silver.t`: FOR UPDATE has no meaning here
            help: take it out: inputs are read at a fixed version"#]],
        );
        check(
            "EXPLAIN SELECT 1",
            Select,
            expect![[r#"
            NotOneSelect: SQL of `silver.t`: EXPLAIN is not a SELECT
            help: write one SELECT (it may start with WITH); Karat creates and fills the table"#]],
        );
    }

    #[test]
    fn syntax_errors_have_a_place() {
        use Allowed::Select;
        check(
            "SELECT a FROM\n  silver.t WHERE",
            Select,
            expect![[r#"
            Syntax: SQL of `silver.t`: syntax error: expected an expression, found the end of the SQL
            help: -"#]],
        );
        check(
            "SELEC a",
            Select,
            expect![[r#"
            Syntax: SQL of `silver.t`: syntax error: expected an SQL statement, found `SELEC` (line 1, column 1)
            help: -"#]],
        );
        check(
            "SELECT 'abc",
            Select,
            expect![[r#"
            Syntax: SQL of `silver.t`: syntax error: unterminated string literal (line 1, column 8)
            help: -"#]],
        );
        check(
            "SELECT a FROM silver.t GROUP a",
            Select,
            expect![[r#"
            Syntax: SQL of `silver.t`: syntax error: expected end of statement, found `GROUP` (line 1, column 24)
            help: -"#]],
        );
        check(
            "SELECT (1 AS b",
            Select,
            expect![[r#"
            Syntax: SQL of `silver.t`: syntax error: expected ), found `AS` (line 1, column 11)
            help: -"#]],
        );
    }

    #[test]
    fn output_columns_need_names() {
        use Allowed::Select;
        check(
            "SELECT a,\n  count(*) FROM silver.t",
            Select,
            expect![[r#"
            UnnamedColumn: SQL of `silver.t`: the output column `count(*)` has no name (line 2, column 3)
            help: add AS and a name: downstream tables read the column by it"#]],
        );
        check("SELECT a AS b FROM silver.t UNION ALL SELECT 1", Select, expect!["ok: SELECT a AS b FROM silver.t UNION ALL SELECT 1"]);
        check(
            "VALUES (1)",
            Select,
            expect![[r#"
            UnnamedColumn: SQL of `silver.t`: the columns of VALUES have no names
            help: write SELECT … FROM (VALUES …) AS t (name, …)"#]],
        );
    }

    #[test]
    fn a_query_reads_only() {
        use Allowed::ReadOnly;
        check("SELECT count(*) FROM silver.t", ReadOnly, expect!["ok: SELECT count(*) FROM silver.t"]);
        check(
            "SHOW TABLES",
            ReadOnly,
            expect![[
                r#"ok: SELECT concat(table_schema, '.', table_name) AS "table" FROM information_schema.tables WHERE table_schema <> 'information_schema' ORDER BY array_position(['bronze', 'silver', 'gold'], table_schema), 1"#
            ]],
        );
        check("DESCRIBE silver.t", ReadOnly, expect!["ok: DESCRIBE silver.t"]);
        check("EXPLAIN SELECT 1", ReadOnly, expect!["ok: EXPLAIN SELECT 1"]);
        check(
            "RESET datafusion.execution.batch_size",
            ReadOnly,
            expect![[r#"
            NotOneSelect: SQL of `silver.t`: RESET is not a SELECT
            help: write SELECT, SHOW, DESCRIBE or EXPLAIN: nothing else may run here"#]],
        );
        check(
            "DELETE FROM silver.t",
            ReadOnly,
            expect![[r#"
            NotOneSelect: SQL of `silver.t`: DELETE is not a SELECT
            help: write SELECT, SHOW, DESCRIBE or EXPLAIN: nothing else may run here"#]],
        );
    }
}
