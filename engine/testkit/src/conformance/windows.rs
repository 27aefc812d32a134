//! What a source promises that reads whole windows: every row lies between the bounds of its window, and bounds leave nothing out.

use crate::dated;
use arrow::array::RecordBatch;
use futures::StreamExt;
use karat_plugin_api::{ColumnChoice, CursorValue, ExtraColumns, Position, ReadRequest, ReadStrategy, Source, SourceBatch, SourceObject, WindowBounds, windows_before};
use karat_spec::model::{NullCursor, Window};
use std::sync::Arc;

/// A connected source with one table of dates or timestamps, and what is known of that.
pub struct WindowsUnderTest {
    /// Kept as long as the case runs: the folder that holds the table, for sources that need one.
    pub folder: Option<tempfile::TempDir>,
    /// The source.
    pub source: Arc<dyn Source>,
    /// A table with rows in at least three months of the past, the newest not the only one, in one month of the future, and none without a value.
    pub object: SourceObject,
    /// Its date or timestamp column, never NULL.
    pub column: String,
    /// How many rows it holds.
    pub rows: u64,
    /// How many of them lie in the future.
    pub future_rows: u64,
}

struct Read {
    windows: Vec<(WindowBounds, Position, Vec<RecordBatch>)>,
    rows: u64,
    future_rows: u64,
    position: Position,
}

impl WindowsUnderTest {
    async fn read(&self, after: Position, refresh_last: u64, parallel: usize) -> Read {
        let described = self.source.describe(&self.object).await.unwrap();
        let columns = described.columns.iter().map(|column| ColumnChoice { name: column.name.clone(), data_type: column.data_type.clone(), nullable: column.nullable });
        let strategy = ReadStrategy::Windows { cursor: self.column.clone(), unit: Window::Month, after, refresh_last, null_cursor: NullCursor::Error };
        let request =
            ReadRequest { object: self.object.clone(), columns: columns.collect(), extra_columns: ExtraColumns::Refuse, strategy, batch_rows: 7, batch_bytes: 1 << 20, parallel };
        let mut stream = self.source.read(request).await.unwrap().into_stream();
        let (mut windows, mut batches) = (Vec::new(), Vec::new());
        while let Some(step) = stream.next().await {
            match step.unwrap() {
                SourceBatch::Rows { batch, position } => {
                    assert!((1..=7).contains(&batch.num_rows()), "a batch holds 1 to `batch_rows` rows");
                    assert_eq!(position, None, "a read resumes between windows only");
                    batches.push(batch);
                }
                SourceBatch::WindowEnd { bounds, position } => windows.push((bounds, position, std::mem::take(&mut batches))),
                SourceBatch::End { rows, position, future_rows, .. } => {
                    assert!(batches.is_empty(), "rows came behind the last window");
                    assert!(stream.next().await.is_none(), "nothing comes after the end");
                    return Read { windows, rows, future_rows, position };
                }
            }
        }
        panic!("the stream ended without a proven end");
    }

    /// The start of the newest window that a whole read delivers and that is not in the future.
    async fn newest(&self) -> (Read, CursorValue) {
        let whole = self.read(Position::Start, 1, 1).await;
        let Position::Windows { through } = whole.position.clone() else { panic!("a read of windows ends at {}", whole.position) };
        (whole, through)
    }
}

fn number(bound: Option<&CursorValue>) -> Option<i64> {
    bound.map(|bound| dated::number(bound).expect("bounds are dates or timestamps"))
}

/// A first read delivers every row once, between bounds that leave nothing out.
pub async fn a_first_read_delivers_every_row_between_bounds_that_leave_nothing_out(under_test: WindowsUnderTest) {
    for parallel in [1, 3] {
        let whole = under_test.read(Position::Start, 1, parallel).await;

        let (first, last) = (&whole.windows.first().unwrap().0, &whole.windows.last().unwrap().0);
        assert_eq!((&first.from, &last.until), (&None, &None));
        assert!(whole.windows.windows(2).all(|pair| pair[0].0.until == pair[1].0.from && pair[0].0.until.is_some()), "bounds follow each other");
        let mut delivered = 0;
        for (bounds, _, batches) in &whole.windows {
            for batch in batches {
                delivered += batch.num_rows() as u64;
                for cell in dated::cells(batch, &under_test.column).unwrap() {
                    let at = number(cell.as_ref());
                    assert!(number(bounds.from.as_ref()) <= at && (bounds.until.is_none() || at < number(bounds.until.as_ref())), "{at:?} in {bounds:?}");
                }
            }
        }
        assert_eq!((delivered, whole.rows, whole.future_rows), (under_test.rows, under_test.rows, under_test.future_rows));
    }
}

/// Rows of the future do not move the position, and it never goes back.
pub async fn the_position_grows_and_stays_out_of_the_future(under_test: WindowsUnderTest) {
    let (whole, through) = under_test.newest().await;

    let positions: Vec<Option<i64>> = whole
        .windows
        .iter()
        .map(|(_, position, _)| match position {
            Position::Windows { through } => number(Some(through)),
            _ => None,
        })
        .collect();
    assert!(positions.is_sorted(), "{positions:?}");
    assert_eq!(positions.last(), Some(&number(Some(&through))));
    let future = whole.windows.last().unwrap().0.from.clone();
    assert!(number(Some(&through)) < number(future.as_ref()), "{through} moved into the future");
}

/// A later read begins with as many windows as are to be read again, and ends at the same position.
pub async fn a_later_read_begins_with_the_windows_that_are_read_again(under_test: WindowsUnderTest) {
    let (whole, through) = under_test.newest().await;
    for again in [1, 2] {
        let from = windows_before(&through, Window::Month, again - 1).unwrap();
        let later = under_test.read(Position::Windows { through: through.clone() }, again, 1).await;

        let expected: u64 = whole
            .windows
            .iter()
            .flat_map(|(_, _, batches)| batches)
            .map(|batch| dated::cells(batch, &under_test.column).unwrap().iter().filter(|cell| number(cell.as_ref()) >= number(Some(&from))).count() as u64)
            .sum();
        assert_eq!((later.rows, &later.position), (expected, &whole.position));
        assert_eq!(later.windows[0].0.from, Some(from));
        assert!(later.rows < under_test.rows && later.rows > under_test.future_rows);
    }
}
