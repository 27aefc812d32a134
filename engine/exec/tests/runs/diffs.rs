//! Tables that are compared by key: what is written, what becomes of rows that vanish, and when a person is asked.

use super::world::{World, copy_of, copy_work, numbered, rows};
use arrow::array::Array;
use karat_exec::{RunReport, TableStatus};
use karat_plan::{CopyWork, TablePlan};
use karat_plugin_api::DELETED_AT;
use karat_spec::model::{Deletes, LoadMode, SchemaChanges, Strategy};

fn work(deletes: Deletes) -> CopyWork {
    CopyWork { deletes, ..copy_work("bronze.t", Strategy::Diff, LoadMode::Upsert) }
}

fn compared(deletes: Deletes) -> [TablePlan; 1] {
    [copy_of(work(deletes))]
}

async fn loaded(deletes: Deletes) -> World {
    let world = World::new();
    world.source.insert(&numbered(0..10));
    assert_eq!(world.run(&compared(deletes)).await.exit_code, 0);
    world
}

fn counts(report: &RunReport) -> (u64, u64, u64) {
    assert_eq!(report.exit_code, 0, "{report:#?}");
    let table = &report.tables["bronze.t"];
    (table.rows_read, table.rows_written, table.rows_removed)
}

/// Ids of the rows that say they are gone, with the time they say.
fn marked(world: &World) -> Vec<(i64, i64)> {
    use arrow::array::AsArray;
    use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
    let table = world.sink.table("bronze/t", None).unwrap().rows;
    let ids = table.column_by_name("id").unwrap().as_primitive::<Int64Type>();
    let marks = table.column_by_name(DELETED_AT).unwrap().as_primitive::<TimestampMicrosecondType>();
    let mut found: Vec<(i64, i64)> = (0..table.num_rows()).filter(|row| marks.is_valid(*row)).map(|row| (ids.value(row), marks.value(row))).collect();
    found.sort_unstable();
    found
}

/// One row changed, one is new, one is gone.
fn changed() -> arrow::array::RecordBatch {
    rows(&[(0, 0), (1, 100), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6), (7, 7), (8, 8), (10, 10)])
}

#[tokio::test]
async fn only_what_differs_is_written_and_what_vanished_stays_by_default() {
    let world = loaded(Deletes::Ignore).await;
    world.source.replace(changed());

    let report = world.run(&compared(Deletes::Ignore)).await;
    let idle = world.run(&compared(Deletes::Ignore)).await;

    assert_eq!(counts(&report), (10, 2, 1));
    assert_eq!(world.rows("bronze/t").len(), 11);
    assert_eq!(idle.tables["bronze.t"].status, TableStatus::Unchanged);
}

#[tokio::test]
async fn hard_deletes_make_the_table_equal_to_its_source() {
    let world = loaded(Deletes::Hard).await;
    world.source.replace(changed());

    let report = world.run(&compared(Deletes::Hard)).await;

    assert_eq!(counts(&report), (10, 2, 2));
    assert_eq!(world.rows("bronze/t"), world.source_rows());
}

#[tokio::test]
async fn soft_deletes_mark_a_row_once_until_it_returns() {
    let world = loaded(Deletes::Soft).await;
    assert_eq!(marked(&world), []);

    world.source.replace(changed());
    world.run(&compared(Deletes::Soft)).await;
    let gone = marked(&world);
    world.source.insert(&numbered(20..21));
    world.run(&compared(Deletes::Soft)).await;
    let later = marked(&world);
    world.source.insert(&numbered(9..10));
    world.run(&compared(Deletes::Soft)).await;

    assert_eq!((gone.len(), gone[0].0), (1, 9));
    assert_eq!(later, gone, "a row that stays away keeps its time");
    assert_eq!((marked(&world), world.rows("bronze/t").len()), (Vec::new(), 12));
}

#[tokio::test]
async fn the_column_of_soft_deletes_survives_other_choices() {
    let world = loaded(Deletes::Soft).await;
    world.source.replace(changed());
    world.run(&compared(Deletes::Soft)).await;

    let ignoring = world.run(&compared(Deletes::Ignore)).await;
    assert_eq!((ignoring.exit_code, marked(&world).len()), (0, 1), "{ignoring:#?}");
    world.source.insert(&numbered(30..31));
    let hard = world.run(&compared(Deletes::Hard)).await;
    assert_eq!((hard.exit_code, marked(&world).len()), (0, 0), "{hard:#?}");
    let refreshed = world.refresh(&compared(Deletes::Hard)).await;

    assert_eq!((refreshed.exit_code, world.rows("bronze/t")), (0, world.source_rows()));
}

#[tokio::test]
async fn soft_deletes_of_a_table_that_had_none_add_their_column_whatever_new_columns_the_source_gets() {
    let world = loaded(Deletes::Ignore).await;
    world.source.replace(changed());

    let report = world.run(&[copy_of(CopyWork { schema_changes: SchemaChanges::IgnoreNewColumns, ..work(Deletes::Soft) })]).await;

    assert_eq!((report.exit_code, marked(&world).len()), (0, 1), "{report:#?}");
}

#[tokio::test]
async fn too_many_vanished_rows_and_an_emptied_source_are_refused() {
    for deletes in [Deletes::Soft, Deletes::Hard] {
        let world = loaded(deletes).await;
        let before = world.rows("bronze/t");
        for left in [numbered(0..7), numbered(0..0)] {
            world.source.replace(left);

            let report = world.run(&compared(deletes)).await;

            assert_eq!((report.exit_code, report.tables["bronze.t"].error.as_ref().unwrap().kind.as_str()), (5, "refused"), "{deletes:?}");
            assert_eq!(world.rows("bronze/t"), before);
        }
        let mut work = work(deletes);
        work.guard.max_delete = 1.0;
        work.guard.allow_empty = true;
        assert_eq!(world.run(&[copy_of(work)]).await.exit_code, 0);
    }
}

#[tokio::test]
async fn an_emptied_source_takes_nothing_away_where_deletes_are_ignored() {
    let world = loaded(Deletes::Ignore).await;
    world.source.replace(numbered(0..0));

    assert_eq!(world.run(&compared(Deletes::Ignore)).await.exit_code, 0);
    assert_eq!(world.rows("bronze/t").len(), 10);
}

#[tokio::test]
async fn two_rows_with_one_key_end_in_an_error_that_names_it() {
    let twice = rows(&[(1, 1), (1, 2)]);
    let first = World::new();
    first.source.insert(&twice);
    let later = loaded(Deletes::Hard).await;
    later.source.insert(&twice);

    for report in [first.run(&compared(Deletes::Hard)).await, first.refresh(&compared(Deletes::Hard)).await, later.run(&compared(Deletes::Hard)).await] {
        let error = report.tables["bronze.t"].error.as_ref().unwrap();
        assert!(error.message.contains("id"), "{error:?}");
        assert_eq!(report.exit_code, 3, "{error:?}");
    }
    assert_eq!((first.rows("bronze/t").len(), later.rows("bronze/t").len()), (0, 10));
}
