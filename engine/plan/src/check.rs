//! Checks as the executor makes them and as people read them.

use crate::CheckWork;
use karat_spec::TableSpec;
use karat_spec::model::{Check, OnFail};

/// The checks of a table.
pub(crate) fn work(table: &TableSpec) -> Vec<CheckWork> {
    let one = |(index, check): (usize, &Check)| CheckWork {
        name: check.name().map_or_else(|| title(check), str::to_owned),
        check: check.clone(),
        sql: table.check_sql.get(&format!("/checks/{index}/sql")).cloned(),
    };
    table.checks().into_iter().flatten().enumerate().map(one).collect()
}

/// The checks of a table, as `type(columns): on_fail`.
pub(crate) fn lines(work: &[CheckWork]) -> Vec<String> {
    work.iter().map(|check| format!("{}: {}", check.name, on_fail(check.check.on_fail()))).collect()
}

fn title(check: &Check) -> String {
    let kind = check.kind().as_str();
    let what = match check {
        Check::NotNull { columns, .. } | Check::Unique { columns, .. } => columns.join(", "),
        Check::AcceptedValues { column, values, .. } => format!("{column}, {} values", values.len()),
        Check::Expression { sql, .. } => sql.split_whitespace().collect::<Vec<_>>().join(" "),
        Check::RowCount { min, max, .. } => match (min, max) {
            (Some(min), Some(max)) => format!("{min} to {max}"),
            (Some(min), None) => format!("at least {min}"),
            (None, Some(max)) => format!("at most {max}"),
            (None, None) => String::new(),
        },
        Check::Freshness { column, max_age, .. } => format!("{column}, {max_age}"),
        Check::Relationship { columns, to, to_columns, .. } => format!("{} in {to}({})", columns.join(", "), to_columns.join(", ")),
        Check::ReconcilesWith { table, columns, .. } if columns.is_empty() => table.clone(),
        Check::ReconcilesWith { table, columns, .. } => format!("{table}: {}", columns.join(", ")),
    };
    format!("{kind}({what})")
}

fn on_fail(on_fail: OnFail) -> &'static str {
    match on_fail {
        OnFail::Fail => "fail",
        OnFail::Warn => "warn",
        OnFail::Quarantine => "quarantine",
        OnFail::Drop => "drop",
    }
}
