//! The suites that every plugin runs: each sentence of a contract is a case.
//!
//! A case panics where a promise is broken, as a test does. Read next: `lake.rs` and `database_sink.rs` for sinks, `source.rs` and `windows.rs` for sources.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a case ends where a promise is broken")]

pub mod database_diffs;
pub mod database_reader;
pub mod database_sink;
pub mod database_values;
mod database_watch;
pub mod database_windows;
pub mod lake;
pub mod lake_diffs;
pub mod lake_windows;
pub mod source;
pub mod windows;

/// Expands to one `#[tokio::test]` per case of [`lake`], [`lake_windows`] and [`lake_diffs`]; takes a [`lake::LakeUnderTest`].
#[macro_export]
macro_rules! lake_conformance {
    ($under_test:expr) => {
        $crate::lake_conformance!(@cases $under_test; lake; appended_rows_are_read_back_with_their_position, a_replacement_swaps_all_rows_and_old_versions_stay_readable, what_was_staged_but_not_committed_is_invisible_and_cleaned_up, of_two_committers_of_one_batch_exactly_one_wins, committing_the_same_attempt_again_changes_nothing, partitions_keep_null_and_special_characters, a_lost_or_damaged_log_is_noticed, a_table_never_lies_outside_the_connection, an_upsert_replaces_rows_of_earlier_commits_and_the_greater_value_wins_inside_a_batch, an_idle_upsert_writes_nothing_but_the_position, a_row_that_moves_to_another_partition_leaves_the_old_one, rows_that_were_delivered_before_are_appended_once, without_a_key_equal_rows_are_counted);
        $crate::lake_conformance!(@cases $under_test; lake_windows; a_window_takes_the_place_of_the_rows_inside_its_bounds, a_row_that_moves_to_another_window_is_there_once, a_window_clears_the_table_as_it_is_when_it_is_committed, a_window_never_takes_a_column_away_that_another_load_added_meanwhile);
        $crate::lake_conformance!(@cases $under_test; lake_diffs; a_diff_writes_only_what_differs, a_table_that_changes_row_by_row_does_not_crumble_into_small_files, a_diff_refuses_a_key_that_comes_twice, a_diff_that_would_delete_too_much_is_refused_and_changes_nothing, a_row_that_vanishes_is_marked_once_and_comes_back_unmarked);
    };
    (@cases $under_test:expr; $module:ident; $($case:ident),+) => {
        $(
            #[tokio::test]
            async fn $case() {
                $crate::conformance::$module::$case($under_test).await;
            }
        )+
    };
}

/// Expands to one `#[tokio::test]` per case of [`source`]; takes an expression that makes a [`source::SourceUnderTest`].
#[macro_export]
macro_rules! source_conformance {
    ($under_test:expr) => {
        $crate::source_conformance!(@cases $under_test; every_row_is_delivered_once_and_counted, no_batch_crosses_a_multiple_of_the_asked_row_count, two_reads_of_the_same_data_are_equal, a_read_that_goes_on_where_the_last_one_ended_delivers_nothing, an_object_that_does_not_exist_is_not_found_by_name, a_dropped_read_leaves_the_source_usable);
    };
    (@cases $under_test:expr; $($case:ident),+) => {
        $(
            #[tokio::test]
            async fn $case() {
                $crate::conformance::source::$case($under_test).await;
            }
        )+
    };
}

/// Expands to one `#[tokio::test]` per case of [`windows`]; takes an expression that makes a `Result` of a [`windows::WindowsUnderTest`],
/// or the [`Skip`](crate::Skip) that says why there is none.
#[macro_export]
macro_rules! windows_conformance {
    ($under_test:expr) => {
        $crate::windows_conformance!(@cases $under_test; a_first_read_delivers_every_row_between_bounds_that_leave_nothing_out, the_position_grows_and_stays_out_of_the_future, a_later_read_begins_with_the_windows_that_are_read_again);
    };
    (@cases $under_test:expr; $($case:ident),+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                match $under_test {
                    Ok(under_test) => $crate::conformance::windows::$case(under_test).await,
                    Err(skip) => $crate::Skip::report(&skip, concat!(module_path!(), "::", stringify!($case))),
                }
            }
        )+
    };
}

/// Expands to one `#[tokio::test]` per case of [`database_sink`], [`database_windows`], [`database_diffs`] and [`database_values`]; takes an expression that makes a
/// `Result` of a [`database_sink::DatabaseSinkUnderTest`] over an empty database, or the [`Skip`](crate::Skip) that says why there is none:
///
/// ```ignore
/// fn under_test() -> Result<DatabaseSinkUnderTest, Skip> {
///     let database = PostgresServer::shared()?.database();
///     let sink = open_sink(&database.url());
///     Ok(DatabaseSinkUnderTest { sink, reader: Box::new(PostgresReader(database)) })
/// }
///
/// karat_testkit::database_sink_conformance!(under_test());
/// ```
#[macro_export]
macro_rules! database_sink_conformance {
    ($under_test:expr) => {
        $crate::database_sink_conformance!(@cases $under_test; database_sink; appended_rows_are_read_back_with_their_position, a_position_without_rows_is_committed, a_replacement_swaps_all_rows, a_reader_sees_only_whole_generations, what_was_staged_but_not_committed_is_invisible_and_cleaned_up, of_two_committers_of_one_batch_exactly_one_wins, a_commit_that_does_not_follow_the_newest_record_is_a_conflict, committing_the_same_attempt_again_changes_nothing, an_upsert_replaces_rows_of_earlier_commits_and_the_greater_value_wins_inside_a_batch, an_idle_upsert_writes_nothing_but_the_position, rows_that_were_delivered_before_are_appended_once, without_a_key_equal_rows_are_counted, a_table_that_this_pipeline_did_not_write_is_seen_as_such, a_target_that_is_gone_or_was_made_anew_is_noticed, loads_of_different_tables_go_on_beside_each_other);
        $crate::database_sink_conformance!(@cases $under_test; database_windows; a_window_replaces_what_lies_in_its_bounds_and_nothing_else, a_row_that_moved_from_another_window_is_there_once, an_empty_window_removes_what_it_covers, rows_without_a_value_belong_to_the_window_that_says_so, one_load_commits_window_after_window, without_a_key_only_the_window_counts, a_reader_sees_only_whole_windows, a_window_extends_exactly_the_newest_record);
        $crate::database_sink_conformance!(@cases $under_test; database_diffs; a_diff_adds_replaces_and_removes_what_differs, a_diff_without_a_difference_writes_nothing_but_the_position, values_that_only_seem_equal_are_told_apart, vanished_rows_stay_where_deletes_are_ignored, a_vanished_row_is_marked_once_and_no_longer_when_it_returns, a_diff_that_would_remove_too_much_is_refused_before_anything_changes, a_key_that_comes_twice_is_refused, a_reader_sees_a_diff_as_a_whole);
        $crate::database_sink_conformance!(@cases $under_test; database_values; extremes_of_every_type_arrive_or_are_refused, a_zero_byte_in_a_text_arrives_or_is_refused, a_wide_table_arrives_in_every_mode, columns_may_be_called_anything);
    };
    (@cases $under_test:expr; $module:ident; $($case:ident),+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                match $under_test {
                    Ok(under_test) => $crate::conformance::$module::$case(under_test).await,
                    Err(skip) => $crate::Skip::report(&skip, concat!(module_path!(), "::", stringify!($case))),
                }
            }
        )+
    };
}
