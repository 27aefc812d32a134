//! From counted rows to a sentence.

use super::Found;
use chrono::{DateTime, Utc};
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use karat_plugin_api::{ConnectorError, ErrorKind};
use karat_spec::model::{Check, Duration};

pub(super) struct Verdict {
    /// True when nothing at all is wrong.
    pub(super) good: bool,
    pub(super) message: String,
}

pub(super) fn of(check: &Check, found: &Found, now: DateTime<Utc>) -> Result<Verdict, ConnectorError> {
    let Found { checked, failed, groups, .. } = *found;
    let rows = |bad: String, good: String| Verdict { good: failed == 0, message: if failed == 0 { good } else { bad } };
    Ok(match check {
        Check::NotNull { columns, .. } => rows(format!("{failed} of {checked} rows have NULL in {}", list(columns)), format!("no NULL in {}", list(columns))),
        Check::Unique { columns, .. } => {
            rows(format!("{failed} of {checked} rows repeat {} ({groups} combinations occur more than once)", list(columns)), format!("{} is unique", list(columns)))
        }
        Check::AcceptedValues { column, .. } => {
            rows(format!("{failed} of {checked} rows have a value in `{column}` that is not accepted"), format!("all values of `{column}` are accepted"))
        }
        Check::Expression { sql, .. } => {
            let sql = crate::statement::shorten(sql);
            rows(format!("`{sql}` is not true for {failed} of {checked} rows"), format!("`{sql}` is true for all rows"))
        }
        Check::RowCount { min, max, .. } => {
            let bad = match (min, max) {
                (Some(min), _) if checked < min.0 => Some(format!("at least {min}")),
                (_, Some(max)) if checked > max.0 => Some(format!("at most {max}")),
                _ => None,
            };
            Verdict { good: bad.is_none(), message: bad.map_or_else(|| format!("{checked} rows"), |wanted| format!("{checked} rows; there must be {wanted}")) }
        }
        Check::Freshness { column, max_age, .. } => freshness(column, *max_age, found, now)?,
        Check::Relationship { .. } | Check::ReconcilesWith { .. } => return Err(super::plan::not_run_here(check)),
    })
}

fn freshness(column: &str, max_age: Duration, found: &Found, now: DateTime<Utc>) -> Result<Verdict, ConnectorError> {
    let Some(newest) = &found.newest else {
        return Ok(Verdict { good: false, message: format!("`{column}` has no value, so its age is not known") });
    };
    let newest = newest.cast_to(&DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())));
    let Ok(ScalarValue::TimestampMicrosecond(Some(newest), _)) = newest else {
        return Err(ConnectorError::new(ErrorKind::BadConfiguration, format!("`freshness` of `{column}`: its newest value is no point in time")));
    };
    let age = Duration(std::time::Duration::from_micros(u64::try_from(now.timestamp_micros().saturating_sub(newest)).unwrap_or(0)));
    let good = age <= max_age;
    let whole_seconds = Duration(std::time::Duration::from_secs(age.0.as_secs()));
    Ok(Verdict { good, message: format!("the newest `{column}` is {whole_seconds} old; {} {max_age} is allowed", if good { "up to" } else { "at most" }) })
}

fn list(columns: &[String]) -> String {
    let quoted: Vec<String> = columns.iter().map(|column| format!("`{column}`")).collect();
    quoted.join(", ")
}
