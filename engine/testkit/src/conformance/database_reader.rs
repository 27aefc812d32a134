//! Reading a database as its own client does: what a sink under test wrote is never judged by the sink.

use crate::servers::Database;

/// What kind of value a column holds, so that its text is the same on every database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `1` or `0`.
    Boolean,
    /// A whole or decimal number, without needless zeros.
    Number,
    /// A binary floating-point number, as Rust writes it.
    Float,
    /// One of single precision, which a database may show as the double that it exactly is.
    Single,
    /// UTF-8, hexadecimal.
    Text,
    /// Bytes, hexadecimal.
    Bytes,
    /// `2024-02-29`.
    Date,
    /// `23:59:59.999999`.
    Time,
    /// `2024-02-29 23:59:59.999999`.
    Timestamp,
    /// As [`Form::Timestamp`], in UTC.
    TimestampUtc,
}

/// Stands between a floating-point number as a database wrote it, and what that leaves out.
const REST: char = '|';

impl Form {
    /// The same text for the same value, however a database writes it.
    #[must_use]
    pub fn canonical(self, text: &str) -> String {
        match self {
            Self::Boolean => if ["1", "t", "true"].contains(&text) { "1" } else { "0" }.to_owned(),
            Self::Number if text.contains('.') => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
            Self::Float => match text.split_once(REST) {
                // Minus zero would not survive a sum.
                None => text.parse::<f64>(),
                Some((most, rest)) => most.parse::<f64>().and_then(|most| Ok(most + rest.parse::<f64>()?)),
            }
            .map_or_else(|_| text.to_owned(), |value| value.to_string()),
            Self::Single => text.parse::<f32>().map_or_else(|_| text.to_owned(), |value| value.to_string()),
            Self::Number | Self::Text | Self::Bytes | Self::Date | Self::Time | Self::Timestamp | Self::TimestampUtc => text.to_owned(),
        }
    }
}

/// A database as its own client sees it.
pub trait DatabaseReader: Send + Sync {
    /// The database.
    fn database(&self) -> &Database;

    /// An identifier, quoted.
    fn quoted(&self, name: &str) -> String;

    /// SQL for the text of a column, which is not NULL.
    fn expression(&self, column: &str, form: Form) -> String;

    /// A query for the names of all tables that users made.
    fn tables_query(&self) -> String;

    /// A query whose answer differs once any row of the table was written again, even with the values that it had; `None` where nothing tells.
    fn writes_query(&self, table: &str) -> Option<String>;

    /// Whether a floating-point column can hold what is no number, and zero with a sign.
    fn has_nan(&self) -> bool;

    /// A target in SQL: the parts of its name, quoted.
    fn table(&self, target: &str) -> String {
        target.split('.').map(|part| self.quoted(part)).collect::<Vec<_>>().join(".")
    }

    /// All rows of a target in these columns, sorted; `None` is NULL.
    ///
    /// # Panics
    /// When the query fails.
    fn rows(&self, target: &str, columns: &[(&str, Form)]) -> Vec<Vec<Option<String>>> {
        let one = |(name, form): &(&str, Form)| {
            let column = self.quoted(name);
            format!("CASE WHEN {column} IS NULL THEN 'NULL' ELSE concat('=', {}) END", self.expression(&column, *form))
        };
        let columns_sql: Vec<String> = columns.iter().map(one).collect();
        let answer = self.database().query(&format!("SELECT {} FROM {}", columns_sql.join(", "), self.table(target)));
        let value = |(text, (_, form)): (&str, &(&str, Form))| text.strip_prefix('=').map(|text| form.canonical(text));
        let mut rows: Vec<Vec<Option<String>>> = answer.lines().map(|line| line.split('\t').zip(columns).map(value).collect()).collect();
        rows.sort();
        rows
    }
}

/// [`DatabaseReader`] of a PostgreSQL.
pub struct PostgresReader(pub Database);

/// [`DatabaseReader`] of a MariaDB.
pub struct MysqlReader(pub Database);

impl DatabaseReader for PostgresReader {
    fn database(&self) -> &Database {
        &self.0
    }

    fn quoted(&self, name: &str) -> String {
        format!("\"{}\"", name.replace('"', "\"\""))
    }

    fn expression(&self, column: &str, form: Form) -> String {
        match form {
            Form::Boolean | Form::Number | Form::Float | Form::Single => column.to_owned(),
            Form::Text => format!("encode(convert_to({column}, 'UTF8'), 'hex')"),
            Form::Bytes => format!("encode({column}, 'hex')"),
            Form::Date => format!("to_char({column}, 'YYYY-MM-DD')"),
            Form::Time => format!("to_char({column}, 'HH24:MI:SS.US')"),
            Form::Timestamp => format!("to_char({column}, 'YYYY-MM-DD HH24:MI:SS.US')"),
            Form::TimestampUtc => format!("to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"),
        }
    }

    fn tables_query(&self) -> String {
        "SELECT concat(table_schema, '.', table_name) FROM information_schema.tables WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1".into()
    }

    fn writes_query(&self, table: &str) -> Option<String> {
        Some(format!("SELECT ctid, xmin FROM {table} ORDER BY ctid"))
    }

    fn has_nan(&self) -> bool {
        true
    }
}

impl DatabaseReader for MysqlReader {
    fn database(&self) -> &Database {
        &self.0
    }

    fn quoted(&self, name: &str) -> String {
        format!("`{}`", name.replace('`', "``"))
    }

    fn expression(&self, column: &str, form: Form) -> String {
        match form {
            Form::Boolean | Form::Number => column.to_owned(),
            // A `float` as text has six digits.
            Form::Single => format!("CAST({column} AS double)"),
            // A text has no room for all digits before a long exponent.
            Form::Float => {
                let most = format!("CONCAT(IF({column} < 0, '-', ''), ABS({column}))");
                format!("CONCAT({most}, '{REST}', {column} - CAST({most} AS double))")
            }
            Form::Text => format!("lower(hex(convert({column} USING utf8mb4)))"),
            Form::Bytes => format!("lower(hex({column}))"),
            Form::Date => format!("date_format({column}, '%Y-%m-%d')"),
            Form::Time => format!("time_format({column}, '%H:%i:%s.%f')"),
            Form::Timestamp | Form::TimestampUtc => format!("date_format({column}, '%Y-%m-%d %H:%i:%s.%f')"),
        }
    }

    fn tables_query(&self) -> String {
        "SELECT concat(table_schema, '.', table_name) FROM information_schema.tables WHERE table_schema = database() ORDER BY 1".into()
    }

    fn writes_query(&self, _: &str) -> Option<String> {
        None
    }

    fn has_nan(&self) -> bool {
        false
    }
}
