//! What of the language this build runs. All of it parses; what is not here is found, so that nothing is silently ignored.
//! Whoever builds a missing part deletes or adds its line here.

use karat_spec::model::{CheckKind, LoadMode, OnFail, Strategy};

/// Strategies that this build reads with.
pub(crate) const STRATEGIES: [Strategy; 6] = [Strategy::Full, Strategy::Id, Strategy::Timestamp, Strategy::Hybrid, Strategy::Window, Strategy::Diff];

/// Load modes that this build writes Bronze with.
pub(crate) const BRONZE_LOAD_MODES: [LoadMode; 4] = [LoadMode::Append, LoadMode::Upsert, LoadMode::Replace, LoadMode::Window];

/// Load modes that this build writes Silver and Gold with: they are recomputed.
pub(crate) const TRANSFORM_LOAD_MODES: [LoadMode; 1] = [LoadMode::Replace];

/// Checks that this build makes.
pub(crate) const CHECKS: [CheckKind; 6] = [CheckKind::NotNull, CheckKind::Unique, CheckKind::AcceptedValues, CheckKind::Expression, CheckKind::RowCount, CheckKind::Freshness];

/// What this build can do with rows that fail a check.
pub(crate) const ON_FAIL: [OnFail; 2] = [OnFail::Fail, OnFail::Warn];

/// Keys of a table that this build does not run, by JSON pointer, with what would happen instead.
pub(crate) const TABLE_KEYS: [(&str, &str); 2] =
    [("/tests", "`karat test` is not part of this build, so nobody would see a failing test"), ("/layout/bucket_by", "files would be laid out without buckets")];

/// The same, of Bronze tables alone.
pub(crate) const BRONZE_KEYS: [(&str, &str); 1] = [("/dedup", "rows would be kept as they come; `dedup` of a Silver table keeps one row per key")];
