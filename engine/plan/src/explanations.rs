//! The pages of this crate's codes.

use crate::lock;
use karat_diagnostics::Explanation;

/// The pages of all codes that need the source's schema or `karat.lock`, in no particular order.
pub fn explanations() -> impl Iterator<Item = &'static Explanation> {
    PAGES.iter().chain(&lock::PAGES)
}

const SINCE: &str = "0.1.0";

/// The examples read table `orders (id integer primary key, code text, updated_at text, amount double, flag boolean)` with no index, and
/// `lines (order_id integer, line integer, primary key (order_id, line))`, `keyless (code text)`, and `marked (id integer primary key, _deleted_at timestamptz)`.
static PAGES: [Explanation; 11] = [
    Explanation {
        code: "D101",
        title: "cursor is no column of the source",
        since: SINCE,
        what: "`cdc.cursor` names a column that the source table does not have.",
        why: "Nothing could tell new rows from old ones. Seen by `karat plan` and `karat run`, once the source has been asked.",
        fails: example!("orders", "cdc: { strategy: timestamp, cursor: update_at, null_cursor: error }"),
        passes: example!("orders", "cdc: { strategy: hybrid, cursor: id }"),
        fix: "Write the column as the source spells it; capitals count.",
    },
    Explanation {
        code: "D102",
        title: "key is no column of the source",
        since: SINCE,
        what: "`key` names a column that the source table does not have.",
        why: "Rows could not be told apart, so updates would be added beside the rows they replace.",
        fails: example!("orders", "key: [idd]"),
        passes: example!("orders", "key: [id]"),
        fix: "Write the column as the source spells it, or leave `key` out where the source has a primary key.",
    },
    Explanation {
        code: "D103",
        title: "unknown column of the source",
        since: SINCE,
        what: "`select`, `exclude`, `types`, `layout` or a check names a column that the source table does not have.",
        why: "A column that was to be left out would be copied, or a check would check nothing.",
        fails: example!("orders", "exclude: [cod]"),
        passes: example!("orders", "exclude: [code]"),
        fix: "Write the column as the source spells it, or take the entry out.",
    },
    Explanation {
        code: "D104",
        title: "cursor of `id` is not unique",
        since: SINCE,
        what: "Strategy `id` reads rows above the watermark of a column that nothing at the source keeps unique.",
        why: "A row that appears later with the watermark's own value is never above it and is lost.",
        fails: example!("orders", "cdc: { strategy: id, cursor: code, null_cursor: error }"),
        passes: example!("orders", "cdc: { strategy: id, cursor: id }"),
        fix: "Use `strategy: hybrid`, which resumes inside a group of equal values, or a unique cursor.",
    },
    Explanation {
        code: "D105",
        title: "type override loses something",
        since: SINCE,
        what: "`types` overrides a column with a type that cannot hold all its values exactly, and a value that does not fit would not stop the run.",
        why: "Bronze is the exact copy that everything else can be recomputed from; what is lost here is lost.",
        fails: example!("orders", "types: { amount: \"decimal(18,2)\" }"),
        passes: example!("orders", "types: { amount: double }"),
        fix: "Take the override out, and convert in Silver where the loss is meant.",
    },
    Explanation {
        code: "D106",
        title: "cursor does not order rows",
        since: SINCE,
        what: "The cursor's type has no order that tells new rows from old ones: a boolean, bytes, a list. Windows need a date or a timestamp.",
        why: "A watermark of such a type says nothing about what is still to come, and a day of such a column is not known.",
        fails: example!("orders", "cdc: { strategy: hybrid, cursor: flag, null_cursor: error }"),
        passes: example!("orders", "cdc: { strategy: hybrid, cursor: updated_at, null_cursor: error }"),
        fix: "Choose a number, date, timestamp or text that grows.",
    },
    Explanation {
        code: "D107",
        title: "no key anywhere",
        since: SINCE,
        what: "`upsert`, `hybrid` or `diff` needs a key; none is written, and the source table has no primary key.",
        why: "Rows could not be told apart: rows read again would be delivered twice, or the wrong ones replaced.",
        fails: example!("keyless", "cdc: { strategy: hybrid, cursor: code, null_cursor: error }"),
        passes: example!("keyless", "key: [code], cdc: { strategy: hybrid, cursor: code, null_cursor: error }"),
        fix: "Write `key:` with the columns that identify a row.",
    },
    Explanation {
        code: "D108",
        title: "the column of soft deletes is taken",
        since: SINCE,
        what: "`cdc.deletes: soft` marks rows in a column `_deleted_at`, and the source has a column of that name.",
        why: "Two columns cannot have one name, and a mark of ours would be taken for a value of the source.",
        fails: example!("marked", "cdc: { strategy: diff, deletes: soft }"),
        passes: example!("marked", "exclude: [_deleted_at], cdc: { strategy: diff, deletes: soft }"),
        fix: "Leave the source's column out with `exclude`, or rename it in a query.",
    },
    Explanation {
        code: "I101",
        title: "cursor may be NULL",
        since: SINCE,
        what: "The source allows NULL in the cursor, and `cdc.null_cursor` does not say what is to happen then.",
        why: "A row without a cursor value is never above a watermark. By default the run stops when there is one.",
        fails: example!("orders", "cdc: { strategy: hybrid, cursor: updated_at }"),
        passes: example!("orders", "cdc: { strategy: hybrid, cursor: updated_at, null_cursor: always_reread }"),
        fix: "Write `null_cursor: error` if there are none, or `null_cursor: always_reread` to read such rows in every run.",
    },
    Explanation {
        code: "I102",
        title: "nothing keeps the key unique",
        since: SINCE,
        what: "Rows are replaced by a key that neither the primary key nor an index of the source keeps unique.",
        why: "If two rows share a key, one of them replaces the other. Nothing is wrong as long as that cannot happen.",
        fails: example!("lines", "key: [line], load: { mode: upsert }, cdc: { strategy: hybrid, cursor: order_id }"),
        passes: example!("lines", "key: [order_id, line], load: { mode: upsert }, cdc: { strategy: hybrid, cursor: order_id }"),
        fix: "Use the primary key, make the key unique at the source, or set the rule to `note` in `lint.levels` where the key is known to be unique.",
    },
    Explanation {
        code: "L101",
        title: "cursor has no index",
        since: SINCE,
        what: "No index of the source table starts with the cursor. Small tables are not reported.",
        why: "Every run scans the whole table at the source, however little is new.",
        fails: example!("orders", "cdc: { strategy: hybrid, cursor: updated_at, null_cursor: error }"),
        passes: example!("orders", "cdc: { strategy: hybrid, cursor: id }"),
        fix: "Create an index at the source that starts with the cursor.",
    },
];

macro_rules! example {
    // Expands to the YAML of a pipeline with one Bronze table over a SQLite table, with these keys.
    ($table:literal, $keys:literal) => {
        concat!("version: 1\nconnections:\n  shop: { type: sqlite, path: shop.db }\nbronze:\n  ", $table, ": { from: { connection: shop, table: ", $table, " }, ", $keys, " }\n")
    };
}
use example;
