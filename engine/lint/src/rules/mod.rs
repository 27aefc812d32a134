//! All rules: one file each. To add one, add its file and two sorted lines here.

use crate::Rule;

mod build_check;
mod build_incremental;
mod build_key;
mod build_load_mode;
mod build_on_fail;
mod build_policy;
mod build_strategy;
mod chunk_size;
mod column_not_taken;
mod database_load_keys;
mod dedup_without_key;
mod deletes_unseen;
mod deletes_without_effect;
mod diff_without_key;
mod full_append;
mod full_read_with_cursor;
mod full_upsert;
mod impossible_check;
mod keyless_reread;
mod layer_in_name;
mod layout_without_files;
mod lookback_size;
mod missing_cursor;
mod no_description;
mod no_owner;
mod no_sink;
mod no_source;
mod null_comparison;
mod only_renames;
mod output_format;
mod parallel_without_effect;
mod partition_per_row;
mod path_escape;
mod plain_secret;
mod repeated_check;
mod repeated_column;
mod replace_by_changes;
mod resource_limits;
mod schedule_without_timezone;
mod select_and_exclude;
mod select_star;
mod shared_state_without_name;
mod shared_target;
mod sink_load_mode;
mod slow_compression;
mod small_file_bytes;
mod source_object;
mod source_strategy;
mod strategy_mode;
mod tiny_files;
mod toothless_guard;
mod transform_load_mode;
mod type_beyond_target;
mod type_names;
mod unavailable_plugin;
mod unconditional_join;
mod undeclared_types;
mod unknown_connection;
mod unknown_rule;
mod unordered_cursor;
mod unordered_pick;
mod unread_table;
mod unused_cdc_key;
mod unused_connection;
mod unused_tolerance;
mod unused_var;
mod upsert_of_new_rows;
mod upsert_without_key;
mod volatile_sql;

/// All rules, sorted by code.
pub(crate) static RULES: [&Rule; 69] = [
    &select_star::RULE,
    &no_description::RULE,
    &no_owner::RULE,
    &layer_in_name::RULE,
    &unused_connection::RULE,
    &unused_var::RULE,
    &schedule_without_timezone::RULE,
    &only_renames::RULE,
    &unused_tolerance::RULE,
    &repeated_check::RULE,
    &upsert_without_key::RULE,
    &missing_cursor::RULE,
    &keyless_reread::RULE,
    &full_append::RULE,
    &deletes_unseen::RULE,
    &shared_target::RULE,
    &path_escape::RULE,
    &plain_secret::RULE,
    &toothless_guard::RULE,
    &type_beyond_target::RULE,
    &replace_by_changes::RULE,
    &dedup_without_key::RULE,
    &strategy_mode::RULE,
    &diff_without_key::RULE,
    &unknown_connection::RULE,
    &unused_cdc_key::RULE,
    &upsert_of_new_rows::RULE,
    &deletes_without_effect::RULE,
    &lookback_size::RULE,
    &volatile_sql::RULE,
    &parallel_without_effect::RULE,
    &unordered_cursor::RULE,
    &full_upsert::RULE,
    &null_comparison::RULE,
    &unordered_pick::RULE,
    &full_read_with_cursor::RULE,
    &tiny_files::RULE,
    &small_file_bytes::RULE,
    &partition_per_row::RULE,
    &chunk_size::RULE,
    &unconditional_join::RULE,
    &unread_table::RULE,
    &slow_compression::RULE,
    &resource_limits::RULE,
    &unavailable_plugin::RULE,
    &no_sink::RULE,
    &no_source::RULE,
    &sink_load_mode::RULE,
    &source_strategy::RULE,
    &source_object::RULE,
    &build_strategy::RULE,
    &build_load_mode::RULE,
    &transform_load_mode::RULE,
    &layout_without_files::RULE,
    &database_load_keys::RULE,
    &undeclared_types::RULE,
    &build_key::RULE,
    &build_on_fail::RULE,
    &build_check::RULE,
    &build_incremental::RULE,
    &build_policy::RULE,
    &output_format::RULE,
    &shared_state_without_name::RULE,
    &type_names::RULE,
    &repeated_column::RULE,
    &unknown_rule::RULE,
    &select_and_exclude::RULE,
    &impossible_check::RULE,
    &column_not_taken::RULE,
];
