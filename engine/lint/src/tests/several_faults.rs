//! Many faults in one file, all told at once.

use super::check;
use expect_test::expect;

#[test]
fn several_faults_are_found_at_once() {
    let yaml = r#"version: 1
vars: { unused: 1 }
connections:
  shop: { type: sqlite, path: shop.db }
  old: { type: postgres, url: "postgres://me:hunter2@db/x", password: hunter3 }
bronze:
  orders:
    from: { connection: shpo, table: orders }
    cdc: { strategy: timestamp, lookback: 0s, deletes: hard, slot: a }
    load: { mode: append }
    layout: { min_file_rows: 10, partition_by: [b], compression: zstd(22) }
    guard: { max_delete: 5% }
    types: { a: txt, b: timestamp }
    chunk: { rows: 1, parallel: 0 }
silver:
  silver_orders:
    sql: |
      SELECT *, now()
      FROM bronze.orders
    to: { table: ../x }
    checks:
      - { type: row_count, max_failed: 1 }
      - { type: relationship, columns: [a, a], to: bronze.orders, to_columns: [b], on_fail: drop }
"#;
    check(
        &[("pipelines/shop.yaml", yaml)],
        expect![[r#"
            warning[C006]: var `unused` is not used
             --> pipelines/shop.yaml:2:9
              |
            2 | vars: { unused: 1 }
              |         ^^^^^^ no template reads it
              |
            help: take it out, or use it as `{{ vars.unused }}`

            warning[C005]: connection `old` is not used
             --> pipelines/shop.yaml:5:3
              |
            5 |   old: { type: postgres, url: "postgres://me:***@db/x", password: *** }
              |   ^^^ no table reads from it or writes to it
              |
            help: take it out, or use it

            error[P001]: plugin `postgres` of connection `old` is not part of this build
             --> pipelines/shop.yaml:5:16
              |
            5 |   old: { type: postgres, url: "postgres://me:***@db/x", password: *** }
              |                ^^^^^^^^ not part of this build
              |
              = note: this build carries `delta`, `files`, `sqlite`
            help: use a connection of another type

            error[D008]: connection `old` holds a password in plain text
             --> pipelines/shop.yaml:5:31
              |
            5 |   old: { type: postgres, url: "postgres://me:***@db/x", password: *** }
              |                               ^^^^^^^^^^^^^^^^^^^^^^^^ readable by everybody who can read this file
              |
              = note: what was committed once stays in the history: change the secret as well
            help: take it from the environment, such as `${OLD_URL}`

            error[D008]: connection `old` holds a secret in plain text
             --> pipelines/shop.yaml:5:67
              |
            5 |   old: { type: postgres, url: "postgres://me:***@db/x", password: *** }
              |                                                                   ^^^ readable by everybody who can read this file
              |
              = note: what was committed once stays in the history: change the secret as well
            help: take it from the environment, such as `${OLD_PASSWORD}`

            error[G020]: `bronze.orders` is copied from connection `shpo`, which is not defined
             --> pipelines/shop.yaml:8:25
              |
            8 |     from: { connection: shpo, table: orders }
              |                         ^^^^ not defined
              |
              = note: defined are `old`, `shop`, `warehouse`
            help: did you mean `shop`?

            error[D002]: strategy `timestamp` of `bronze.orders` has no `cursor`
             --> pipelines/shop.yaml:9:22
              |
            9 |     cdc: { strategy: timestamp, lookback: 0s, deletes: hard, slot: a }
              |                      ^^^^^^^^^ needs a cursor
              |
              = note: the cursor is the column whose order tells new rows from old ones
            help: add `cursor: updated_at`, or an expression as `cursor_sql`

            error[D003]: `bronze.orders` reads rows again and appends them, but has no `key`
              --> pipelines/shop.yaml:9:22
               |
             9 |     cdc: { strategy: timestamp, lookback: 0s, deletes: hard, slot: a }
               |                      ^^^^^^^^^ reads rows again
            10 |     load: { mode: append }
               |                   ------ appends them
               |
               = note: the rows at the watermark are read again in every run; without a key nobody can tell which of them are there already
            help: write the columns that identify a row as `key`

            warning[I004]: `lookback` of `bronze.orders` is zero
             --> pipelines/shop.yaml:9:43
              |
            9 |     cdc: { strategy: timestamp, lookback: 0s, deletes: hard, slot: a }
              |                                           ^^ reads nothing again
              |
            help: choose the time by which writers may be late, such as `5m`

            error[D005]: strategy `timestamp` of `bronze.orders` cannot see deletes
             --> pipelines/shop.yaml:9:56
              |
            9 |     cdc: { strategy: timestamp, lookback: 0s, deletes: hard, slot: a }
              |                                                        ^^^^ would have no effect
              |
              = note: deletes are seen by `full`, `window`, `diff` and `log`
            help: set `deletes: ignore`, or `strategy: diff` to see deletes

            warning[I001]: strategy `timestamp` of `bronze.orders` does not use `slot`
             --> pipelines/shop.yaml:9:62
              |
            9 |     cdc: { strategy: timestamp, lookback: 0s, deletes: hard, slot: a }
              |                                                              ^^^^ has no effect
              |
              = note: `slot` is used by `log`
            help: take `slot` out, or choose a strategy that uses it

            warning[L002]: files of `bronze.orders` close after 10 rows
              --> pipelines/shop.yaml:11:30
               |
            11 |     layout: { min_file_rows: 10, partition_by: [b], compression: zstd(22) }
               |                              ^^ tiny files
               |
            help: take `min_file_rows` out: the default is 50 000

            warning[L004]: `bronze.orders` makes a partition for almost every value of `b`
              --> pipelines/shop.yaml:11:49
               |
            11 |     layout: { min_file_rows: 10, partition_by: [b], compression: zstd(22) }
               |                                                 ^ a type of many values
               |
            help: partition by `month(b)` if it is a time, or by a column with few values

            warning[L008]: files of `bronze.orders` are compressed with zstd level 22
              --> pipelines/shop.yaml:11:66
               |
            11 |     layout: { min_file_rows: 10, partition_by: [b], compression: zstd(22) }
               |                                                                  ^^^^^^^^ very slow to write
               |
            help: choose a level up to 15; the default is `zstd(3)`

            warning[D009]: `guard.max_delete` of `bronze.orders` never refuses anything
              --> pipelines/shop.yaml:12:14
               |
            12 |     guard: { max_delete: 5% }
               |              ^^^^^^^^^^ no rows are deleted one by one here
               |
            help: take `max_delete` out

            error[S101]: the type of column `a` of `bronze.orders` cannot be read: `txt` is no type
              --> pipelines/shop.yaml:13:17
               |
            13 |     types: { a: txt, b: timestamp }
               |                 ^^^ no type
               |
            help: did you mean `text`?

            warning[L005]: `bronze.orders` is read in chunks of 1 row
              --> pipelines/shop.yaml:14:20
               |
            14 |     chunk: { rows: 1, parallel: 0 }
               |                    ^ a query at the source for each
               |
            help: take `rows` out: the default suits most tables

            warning[L005]: `bronze.orders` is read by no reader
              --> pipelines/shop.yaml:14:33
               |
            14 |     chunk: { rows: 1, parallel: 0 }
               |                                 ^ at least 1
               |
            help: take `parallel` out: the default suits most tables

            warning[C004]: the name of `silver.silver_orders` says its layer twice
              --> pipelines/shop.yaml:16:3
               |
            16 |   silver_orders:
               |   ^^^^^^^^^^^^^ says `silver` again
               |
            help: name it `orders`

            warning[C001]: `silver.silver_orders` takes whatever columns its inputs have
              --> pipelines/shop.yaml:18:14
               |
            18 |       SELECT *, now()
               |              ^ which columns?
               |
            help: name the columns

            warning[I005]: `silver.silver_orders` calls `now`, which differs from run to run
              --> pipelines/shop.yaml:18:17
               |
            18 |       SELECT *, now()
               |                 ^^^ another value in every run
               |
               = note: the table is recomputed in every run: the same inputs would give another result
            help: take the value from the data

            error[D007]: `silver.silver_orders` would be written outside of connection `warehouse`
              --> pipelines/shop.yaml:20:18
               |
            20 |     to: { table: ../x }
               |                  ^^^^ leads out of the connection's folder
               |
               = note: outputs may not leave the project or the declared warehouse
            help: write a path below the connection's folder, such as `silver/prices`

            error[S106]: check `row_count` of `silver.silver_orders` has neither `min` nor `max`
              --> pipelines/shop.yaml:22:9
               |
            22 |       - { type: row_count, max_failed: 1 }
               |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ can never do its work
               |
            help: add `min` or `max`

            warning[C009]: check `row_count` of `silver.silver_orders` does not use `max_failed`
              --> pipelines/shop.yaml:22:28
               |
            22 |       - { type: row_count, max_failed: 1 }
               |                            ^^^^^^^^^^ has no effect
               |
            help: take `max_failed` out

            error[P015]: this build does not make check `relationship` of `silver.silver_orders`
              --> pipelines/shop.yaml:23:17
               |
            23 |       - { type: relationship, columns: [a, a], to: bronze.orders, to_columns: [b], on_fail: drop }
               |                 ^^^^^^^^^^^^ not part of this build
               |
            help: choose one of `not_null`, `unique`, `accepted_values`, `expression`, `row_count`, `freshness`

            error[S103]: `checks[1].columns` of `silver.silver_orders` names column `a` twice
              --> pipelines/shop.yaml:23:44
               |
            23 |       - { type: relationship, columns: [a, a], to: bronze.orders, to_columns: [b], on_fail: drop }
               |                                         -  ^ named again
               |                                         |
               |                                         named first
               |
            help: take one of them out

            error[S106]: check `relationship` of `silver.silver_orders` compares 2 columns with 1
              --> pipelines/shop.yaml:23:79
               |
            23 |       - { type: relationship, columns: [a, a], to: bronze.orders, to_columns: [b], on_fail: drop }
               |                                                                               ^^^ can never do its work
               |
            help: name as many columns there as here

            error[P014]: this build does not run `on_fail: drop` of `silver.silver_orders`
              --> pipelines/shop.yaml:23:93
               |
            23 |       - { type: relationship, columns: [a, a], to: bronze.orders, to_columns: [b], on_fail: drop }
               |                                                                                             ^^^^ not part of this build
               |
            help: choose `fail` or `warn`; SQL can keep bad rows out with WHERE

            14 errors, 14 warnings
        "#]],
    );
}
