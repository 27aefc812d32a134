//! Rows as texts, to compare them as multisets.

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// One text per row, values of `columns` (all when empty) in order, NULL apart from the text `NULL`.
///
/// # Panics
/// When a column is not there, or its type has no text form.
#[must_use]
pub fn row_texts(batch: &RecordBatch, columns: &[String]) -> Vec<String> {
    let options = FormatOptions::default().with_null("\u{0}");
    let schema = batch.schema();
    let chosen: Vec<usize> = match columns {
        [] => (0..batch.num_columns()).collect(),
        names => names.iter().map(|name| schema.index_of(name).unwrap_or_else(|_| panic!("no column `{name}`"))).collect(),
    };
    let formatters: Vec<ArrayFormatter<'_>> =
        chosen.iter().map(|column| ArrayFormatter::try_new(batch.column(*column), &options).unwrap_or_else(|error| panic!("column {column} has no text form: {error}"))).collect();
    let row = |at: usize| formatters.iter().map(|formatter| formatter.value(at).to_string()).collect::<Vec<_>>().join("|");
    (0..batch.num_rows()).map(row).collect()
}

/// The texts of all rows, sorted: equal exactly when the rows are, whatever their order.
///
/// # Panics
/// As [`row_texts`].
#[must_use]
pub fn sorted_row_texts(batches: &[RecordBatch]) -> Vec<String> {
    let mut texts: Vec<String> = batches.iter().flat_map(|batch| row_texts(batch, &[])).collect();
    texts.sort();
    texts
}
