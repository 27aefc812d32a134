//! Times: `now()` is the time of the run.

use super::check;
use expect_test::expect;

#[tokio::test]
async fn now_is_the_time_of_the_run() {
    check(
        "SELECT now() AS now, current_date AS today, arrow_typeof(now()) AS kind",
        expect![[r#"
        +----------------------+------------+----------------------+
        | now                  | today      | kind                 |
        +----------------------+------------+----------------------+
        | 2024-05-06T07:08:09Z | 2024-05-06 | Timestamp(ns, "UTC") |
        +----------------------+------------+----------------------+"#]],
    )
    .await;
    check(
        "SELECT to_timestamp('2024-01-02T03:04:05.123456789') AS at",
        expect![[r#"
        BadData: SQL of `gold.t`: column `at` holds a value that does not fit timestamptz
        help: it is exact to the nanosecond: write CAST(… AS TIMESTAMP(6)) to cut it off, or declare `timestamp(9)` in `types`"#]],
    )
    .await;
    check(
        "SELECT CAST(to_timestamp('2024-01-02T03:04:05.123456789') AS TIMESTAMP(6)) AS at",
        expect![[r#"
        +----------------------------+
        | at                         |
        +----------------------------+
        | 2024-01-02T03:04:05.123456 |
        +----------------------------+"#]],
    )
    .await;
    check(
        "SELECT date_trunc('day', at) AS day, date_bin(INTERVAL '1 hour', at) AS hour FROM silver.trades WHERE id = 1",
        expect![[r#"
        +---------------------+---------------------+
        | day                 | hour                |
        +---------------------+---------------------+
        | 2024-05-06T00:00:00 | 2024-05-06T07:00:00 |
        +---------------------+---------------------+"#]],
    )
    .await;
}
