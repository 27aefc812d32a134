//! One table naming another.

use crate::TableIndex;
use karat_diagnostics::Span;

/// Where a table is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReferenceKind {
    /// Read by the SQL.
    Sql,
    /// In SQL that does not parse, found by its name alone.
    BrokenSql,
    /// In `depends_on`.
    DependsOn,
    /// In a check (`relationship.to`, `reconciles_with.table`).
    Check,
    /// In `incremental.inputs` or `incremental.input`.
    Incremental,
    /// In `tests[].given`.
    Test,
}

impl ReferenceKind {
    /// True when the table that names the other must run after it.
    #[must_use]
    pub fn orders(self) -> bool {
        match self {
            Self::Sql | Self::BrokenSql | Self::DependsOn | Self::Check => true,
            Self::Incremental | Self::Test => false,
        }
    }

    /// What the naming table does with the other, as in "`silver.a` reads `bronze.b`".
    #[must_use]
    pub fn verb(self) -> &'static str {
        match self {
            Self::Sql | Self::BrokenSql => "reads",
            Self::DependsOn => "depends on",
            Self::Check => "is checked against",
            Self::Incremental => "reads new rows of",
            Self::Test => "is tested with",
        }
    }
}

/// One place where a table names another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The name as the engine reads it: unquoted SQL names in lower case.
    pub name: String,
    /// The named table, if it is defined.
    pub target: Option<TableIndex>,
    /// Where the name stands in the YAML or SQL file.
    pub span: Span,
    /// What kind of place that is.
    pub kind: ReferenceKind,
}
