//! The source in memory keeps the contract of windows that it helps to test.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use arrow::array::{Date32Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use karat_plugin_api::{CursorValue, SourceObject};
use karat_testkit::conformance::windows::WindowsUnderTest;
use karat_testkit::{MemorySource, Skip};
use std::sync::Arc;

/// Days since 1970-01-01 of the rows: three months of it, and one in the future.
const DAYS: [i32; 9] = [3, 0, 40, 41, 31, 58, 60, 61, 1_000];

fn rows() -> RecordBatch {
    let schema = Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("day", DataType::Date32, false)]);
    let ids = Int64Array::from_iter_values(0..DAYS.len() as i64);
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(ids), Arc::new(Date32Array::from(DAYS.to_vec()))]).unwrap()
}

fn under_test() -> Result<WindowsUnderTest, Skip> {
    let rows = rows();
    let source = MemorySource::new(rows.schema(), "memory").with_clock(CursorValue::Date(70));
    source.insert(&rows);
    Ok(WindowsUnderTest { folder: None, source: Arc::new(source), object: SourceObject::Table("t".into()), column: "day".into(), rows: DAYS.len() as u64, future_rows: 1 })
}

mod seeking {
    karat_testkit::windows_conformance!(super::under_test());
}

mod walking {
    fn under_test() -> Result<super::WindowsUnderTest, super::Skip> {
        let source = super::MemorySource::new(super::rows().schema(), "memory").with_clock(super::CursorValue::Date(70)).with_empty_windows();
        source.insert(&super::rows());
        Ok(super::WindowsUnderTest { source: std::sync::Arc::new(source), ..super::under_test()? })
    }
    karat_testkit::windows_conformance!(under_test());
}
