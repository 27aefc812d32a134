//! Data-quality checks.

use super::{Count, Duration, Percent};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::borrow::Cow;

/// One check of a table (`checks[]`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Check {
    /// No value of these columns is NULL.
    NotNull {
        /// The columns.
        columns: Vec<String>,
        /// A name for reports.
        name: Option<String>,
        /// Only rows for which this SQL expression is true are checked.
        r#where: Option<String>,
        /// What happens to bad rows; default `fail`.
        on_fail: Option<OnFail>,
        /// How many bad rows are tolerated: a number or a percentage.
        max_failed: Option<MaxFailed>,
    },
    /// No two rows share the values of these columns.
    Unique {
        /// The columns.
        columns: Vec<String>,
        /// A name for reports.
        name: Option<String>,
        /// Only rows for which this SQL expression is true are checked.
        r#where: Option<String>,
        /// What happens to bad rows; default `fail`.
        on_fail: Option<OnFail>,
        /// How many bad rows are tolerated: a number or a percentage.
        max_failed: Option<MaxFailed>,
    },
    /// Every value of the column is one of these; NULL is bad.
    AcceptedValues {
        /// The column.
        column: String,
        /// The values.
        values: Vec<serde_json::Value>,
        /// A name for reports.
        name: Option<String>,
        /// Only rows for which this SQL expression is true are checked.
        r#where: Option<String>,
        /// What happens to bad rows; default `fail`.
        on_fail: Option<OnFail>,
        /// How many bad rows are tolerated: a number or a percentage.
        max_failed: Option<MaxFailed>,
    },
    /// The SQL expression is true for every good row; NULL is bad.
    Expression {
        /// The expression.
        sql: String,
        /// A name for reports.
        name: Option<String>,
        /// Only rows for which this SQL expression is true are checked.
        r#where: Option<String>,
        /// What happens to bad rows; default `fail`.
        on_fail: Option<OnFail>,
        /// How many bad rows are tolerated: a number or a percentage.
        max_failed: Option<MaxFailed>,
    },
    /// The number of rows lies between these.
    RowCount {
        /// At least this many.
        min: Option<Count>,
        /// At most this many.
        max: Option<Count>,
        /// A name for reports.
        name: Option<String>,
        /// Only rows for which this SQL expression is true are counted.
        r#where: Option<String>,
        /// What happens; default `fail`.
        on_fail: Option<OnFail>,
        /// Not used by this check.
        max_failed: Option<MaxFailed>,
    },
    /// The newest value of the column is not older than this.
    Freshness {
        /// A timestamp column.
        column: String,
        /// How old the newest value may be.
        max_age: Duration,
        /// A name for reports.
        name: Option<String>,
        /// Only rows for which this SQL expression is true are checked.
        r#where: Option<String>,
        /// What happens; default `fail`.
        on_fail: Option<OnFail>,
        /// Not used by this check.
        max_failed: Option<MaxFailed>,
    },
    /// Every combination of values exists in another table; NULLs are not checked.
    Relationship {
        /// The columns here.
        columns: Vec<String>,
        /// The other table, by full name.
        to: String,
        /// The columns there.
        to_columns: Vec<String>,
        /// A name for reports.
        name: Option<String>,
        /// Only rows for which this SQL expression is true are checked.
        r#where: Option<String>,
        /// What happens to bad rows; default `fail`.
        on_fail: Option<OnFail>,
        /// How many bad rows are tolerated: a number or a percentage.
        max_failed: Option<MaxFailed>,
    },
    /// Count and sums of these columns equal those of another table.
    ReconcilesWith {
        /// The other table, by full name.
        table: String,
        /// The summed columns.
        columns: Vec<String>,
        /// A name for reports.
        name: Option<String>,
        /// Only rows for which this SQL expression is true are compared.
        r#where: Option<String>,
        /// What happens; default `fail`.
        on_fail: Option<OnFail>,
        /// Not used by this check.
        max_failed: Option<MaxFailed>,
    },
}

/// The kind of a check, without its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckKind {
    /// [`Check::NotNull`]
    NotNull,
    /// [`Check::Unique`]
    Unique,
    /// [`Check::AcceptedValues`]
    AcceptedValues,
    /// [`Check::Expression`]
    Expression,
    /// [`Check::RowCount`]
    RowCount,
    /// [`Check::Freshness`]
    Freshness,
    /// [`Check::Relationship`]
    Relationship,
    /// [`Check::ReconcilesWith`]
    ReconcilesWith,
}

/// What happens to rows that fail a check.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFail {
    /// Nothing of the batch becomes visible.
    #[default]
    Fail,
    /// The report says so.
    Warn,
    /// The rows go to `<table>__quarantine`, the rest is loaded.
    Quarantine,
    /// The rows are left out.
    Drop,
}

/// How many bad rows are tolerated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MaxFailed {
    /// This many rows.
    Rows(Count),
    /// This share of the checked rows.
    Share(Percent),
}

macro_rules! every_check {
    // Expands to a match over all variants that binds one shared field.
    ($check:expr, $field:ident) => {
        match $check {
            Check::NotNull { $field, .. }
            | Check::Unique { $field, .. }
            | Check::AcceptedValues { $field, .. }
            | Check::Expression { $field, .. }
            | Check::RowCount { $field, .. }
            | Check::Freshness { $field, .. }
            | Check::Relationship { $field, .. }
            | Check::ReconcilesWith { $field, .. } => $field,
        }
    };
}

impl Check {
    /// The kind.
    #[must_use]
    pub fn kind(&self) -> CheckKind {
        match self {
            Self::NotNull { .. } => CheckKind::NotNull,
            Self::Unique { .. } => CheckKind::Unique,
            Self::AcceptedValues { .. } => CheckKind::AcceptedValues,
            Self::Expression { .. } => CheckKind::Expression,
            Self::RowCount { .. } => CheckKind::RowCount,
            Self::Freshness { .. } => CheckKind::Freshness,
            Self::Relationship { .. } => CheckKind::Relationship,
            Self::ReconcilesWith { .. } => CheckKind::ReconcilesWith,
        }
    }

    /// What happens to bad rows.
    #[must_use]
    pub fn on_fail(&self) -> OnFail {
        every_check!(self, on_fail).unwrap_or_default()
    }

    /// The name for reports, if one was given.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        every_check!(self, name).as_deref()
    }

    /// The filter, if one was given.
    #[must_use]
    pub fn filter(&self) -> Option<&str> {
        every_check!(self, r#where).as_deref()
    }

    /// How many bad rows are tolerated; none by default.
    #[must_use]
    pub fn max_failed(&self) -> MaxFailed {
        every_check!(self, max_failed).unwrap_or(MaxFailed::Rows(Count(0)))
    }
}

impl CheckKind {
    /// The name as written in YAML.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotNull => "not_null",
            Self::Unique => "unique",
            Self::AcceptedValues => "accepted_values",
            Self::Expression => "expression",
            Self::RowCount => "row_count",
            Self::Freshness => "freshness",
            Self::Relationship => "relationship",
            Self::ReconcilesWith => "reconciles_with",
        }
    }
}

impl Serialize for MaxFailed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Rows(count) => count.serialize(serializer),
            Self::Share(percent) => percent.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for MaxFailed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let rows = value.as_u64().map(|rows| Self::Rows(Count(rows)));
        let share = || value.as_str().and_then(Percent::parse).map(Self::Share);
        rows.or_else(share).ok_or_else(|| D::Error::custom("expected a number of rows or a percentage"))
    }
}

impl JsonSchema for MaxFailed {
    fn schema_name() -> Cow<'static, str> {
        "MaxFailed".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["integer", "string"], "minimum": 0, "pattern": "^([0-9]+(_[0-9]+)*|[0-9]+(\\.[0-9]+)?%)$", "examples": [10, "0.1%"], "x-scalar": "max_failed", "title": "a number of rows or a percentage"})
    }
}
