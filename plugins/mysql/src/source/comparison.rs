//! Comparisons of tuples, in the form that the servers' optimisers read from an index.
//!
//! `(a, b) > (1, 2)` is read by neither server from an index on `(a, b)`, and `a > 1 OR (a = 1 AND b > 2)` by one of them only as a union. A leading
//! `a >= 1` gives both a range to start from.

use crate::wire::Parameter;

/// Which rows, relative to a tuple.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Those after it.
    After,
    /// Those before it, and itself.
    UpTo,
}

/// A condition with its values.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Condition {
    pub(crate) sql: String,
    pub(crate) parameters: Vec<Parameter>,
}

impl Condition {
    /// A condition without values.
    pub(crate) fn plain(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), parameters: Vec::new() }
    }

    /// `column >= value`.
    pub(crate) fn from(column: &str, value: Parameter) -> Self {
        Self { sql: format!("{column} >= ?"), parameters: vec![value] }
    }

    /// Both conditions.
    #[must_use]
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.sql = format!("{} AND {}", self.sql, other.sql);
        self.parameters.extend(other.parameters);
        self
    }

    /// Rows on one side of a tuple; there are as many columns as values, and at least one.
    pub(crate) fn tuple(columns: &[&str], values: &[Parameter], side: Side) -> Self {
        let (range, strict, last) = match side {
            Side::After => (">=", ">", ">"),
            Side::UpTo => ("<=", "<", "<="),
        };
        let mut sql = String::new();
        let mut parameters = Vec::new();
        if let ([first, _, ..], Some(value)) = (columns, values.first()) {
            sql = format!("{first} {range} ? AND ");
            parameters.push(value.clone());
        }
        let count = columns.len().min(values.len());
        for (at, (column, value)) in columns.iter().zip(values).enumerate() {
            parameters.push(value.clone());
            if at + 1 == count {
                sql.push_str(&format!("{column} {last} ?"));
            } else {
                sql.push_str(&format!("({column} {strict} ? OR ({column} = ? AND "));
                parameters.push(value.clone());
            }
        }
        sql.push_str(&"))".repeat(count.saturating_sub(1)));
        Self { sql, parameters }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tuple_begins_with_a_range_of_its_first_column() {
        let values: Vec<Parameter> = (1..=3).map(Parameter::Int).collect();
        let condition = Condition::tuple(&["a", "b", "c"], &values, Side::After);
        assert_eq!(condition.sql, "a >= ? AND (a > ? OR (a = ? AND (b > ? OR (b = ? AND c > ?))))");
        assert_eq!(condition.parameters, [1, 1, 1, 2, 2, 3].map(Parameter::Int));
        assert_eq!(Condition::tuple(&["a", "b"], &values[..2], Side::UpTo).sql, "a <= ? AND (a < ? OR (a = ? AND b <= ?))");
        assert_eq!(Condition::tuple(&["a"], &values[..1], Side::After).sql, "a > ?");
    }
}
