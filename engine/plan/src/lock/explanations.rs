//! The pages of what is said of `karat.lock`.

use karat_diagnostics::Explanation;

const SINCE: &str = "0.1.0";

pub(crate) static PAGES: [Explanation; 4] = [
    Explanation {
        code: "C101",
        title: "`karat.lock` has an entry of no table",
        since: SINCE,
        what: "`karat.lock` describes the source of a Bronze table that the project does not have.",
        why: "The entry is of no use, and a reviewer takes it for something that is read.",
        fails: "# karat.lock\nversion: 1\ntables:\n  bronze.gone: { from: { connection: shop, table: gone }, identity: a1, columns: [] }\n",
        passes: "# karat.lock\nversion: 1\ntables:\n  bronze.orders: { from: { connection: shop, table: orders }, identity: a1, columns: [] }\n",
        fix: "Run `karat lock`, which takes it out, or correct the table's name.",
    },
    Explanation {
        code: "C102",
        title: "table is not locked",
        since: SINCE,
        what: "The columns of a Bronze table are neither declared by `types` nor known from `karat.lock`.",
        why: "Without them lint cannot check the SQL that reads the table, nor its cursor, key and columns. They are checked when the source is asked: by `karat plan` and `karat run`.",
        fails: "# karat.lock\nversion: 1\ntables: {}\n",
        passes: "# karat.lock\nversion: 1\ntables:\n  bronze.orders: { from: { connection: shop, table: orders }, identity: a1, columns: [] }\n",
        fix: "Run `karat lock` where the source can be reached, and commit `karat.lock`.",
    },
    Explanation {
        code: "C103",
        title: "`karat.lock` describes another object",
        since: SINCE,
        what: "`from` of a Bronze table was changed since `karat lock` asked its source.",
        why: "The entry is about something else and is not used, so the table's columns are not known.",
        fails: "# karat.lock\nversion: 1\ntables:\n  bronze.orders: { from: { connection: shop, table: old_orders }, identity: a1, columns: [] }\n",
        passes: "# karat.lock\nversion: 1\ntables:\n  bronze.orders: { from: { connection: shop, table: orders }, identity: a1, columns: [] }\n",
        fix: "Run `karat lock` again.",
    },
    Explanation {
        code: "S110",
        title: "entry of `karat.lock` contradicts itself",
        since: SINCE,
        what: "An entry of `karat.lock` names a type that is none, or a column in its keys that is not among its columns.",
        why: "It was edited by hand or merged badly, and is not used.",
        fails: "# karat.lock\nversion: 1\ntables:\n  bronze.orders: { from: { connection: shop, table: orders }, identity: a1, columns: [{ name: id, type: number, declared: number, nullable: false }] }\n",
        passes: "# karat.lock\nversion: 1\ntables:\n  bronze.orders: { from: { connection: shop, table: orders }, identity: a1, columns: [{ name: id, type: bigint, declared: number, nullable: false }] }\n",
        fix: "Write the entry anew: `karat lock --select bronze.orders`.",
    },
];
