//! Refuses a new generation that would destroy what the old one held.

use karat_plan::GuardWork;
use karat_plugin_api::{ConnectorError, ErrorKind};

/// Lets a replacement of `old` rows by `new` rows pass, or says why not. An unknown number of old rows is not guarded.
pub(crate) fn check(table: &str, guard: GuardWork, old: Option<u64>, new: u64) -> Result<(), ConnectorError> {
    if new == 0 {
        return check_empty(table, guard, old);
    }
    let Some(old) = old.filter(|old| *old > 0) else { return Ok(()) };
    #[expect(clippy::cast_precision_loss, reason = "a share of rows needs no more than 52 bits")]
    let shrink = 1.0 - new as f64 / old as f64;
    if shrink <= guard.max_shrink {
        return Ok(());
    }
    Err(ConnectorError::new(
        ErrorKind::Refused,
        format!("`{table}` would shrink from {old} rows to {new}, by {:.1}%; at most {:.1}% is allowed", shrink * 100.0, guard.max_shrink * 100.0),
    )
    .with_help("look at the source; if it is right, raise `guard.max_shrink`"))
}

/// Lets a read without a single row take rows away from a table of `old` rows, or says why not. An unknown number of old rows is not guarded.
pub(crate) fn check_empty(table: &str, guard: GuardWork, old: Option<u64>) -> Result<(), ConnectorError> {
    let Some(old) = old.filter(|old| *old > 0 && !guard.allow_empty) else { return Ok(()) };
    Err(ConnectorError::new(ErrorKind::Refused, format!("`{table}` would lose all of its {old} rows: the read was empty"))
        .with_help("look at the source; if it is right, set `guard: { allow_empty: true }`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: GuardWork = GuardWork { max_shrink: 0.5, max_delete: 0.2, allow_empty: false };

    #[test]
    fn a_first_load_and_growth_pass() {
        for (old, new) in [(None, 0), (Some(0), 0), (Some(10), 10), (Some(10), 1_000), (Some(10), 5)] {
            assert!(check("bronze.t", HALF, old, new).is_ok(), "{old:?} {new}");
        }
    }

    #[test]
    fn shrinking_too_much_and_emptiness_are_refused() {
        for (old, new) in [(10, 4), (10, 0), (1, 0)] {
            assert_eq!(check("bronze.t", HALF, Some(old), new).unwrap_err().kind(), ErrorKind::Refused, "{old} {new}");
        }
        assert!(check("bronze.t", GuardWork { allow_empty: true, ..HALF }, Some(10), 0).is_ok());
    }
}
