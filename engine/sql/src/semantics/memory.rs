//! Memory: what does not fit is spilled, or refused with the limit's name.

use super::{MIB, engine, rows, show};
use datafusion::arrow::array::RecordBatch;
use expect_test::expect;
use karat_plugin_api::ErrorKind;

#[tokio::test]
async fn a_big_sort_and_a_big_aggregation_spill_below_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path(), 64 * MIB);
    // 2,000,000 rows of about 60 bytes, all different.
    let series = "SELECT value AS n, concat('a rather long text that differs in its number ', CAST(value AS VARCHAR)) AS word FROM generate_series(1, 2000000)";
    let sort = format!("SELECT n, word FROM ({series}) ORDER BY word DESC, n");
    let sorted = rows(&engine, &sort, &[]).await.unwrap();
    assert_eq!(sorted.iter().map(RecordBatch::num_rows).sum::<usize>(), 2_000_000);
    drop(sorted);

    let group = format!("SELECT count(*) AS groups, sum(n) AS total, max(length(word)) AS longest FROM (SELECT word, sum(n) AS n FROM ({series}) GROUP BY word)");
    expect![[r#"
        +---------+---------------+---------+
        | groups  | total         | longest |
        +---------+---------------+---------+
        | 2000000 | 2000001000000 | 53      |
        +---------+---------------+---------+"#]]
    .assert_eq(&show(rows(&engine, &group, &[]).await));
}

/// A million rows of a hundred bytes on each side: more than the limit.
const BIG_JOIN: &str = "SELECT count(*) AS n FROM (SELECT value AS v, repeat('y', 100) AS pad FROM generate_series(1, 1000000)) a
    JOIN (SELECT value AS v, repeat('x', 100) AS pad FROM generate_series(1, 1000000)) b ON a.v = b.v AND a.pad > b.pad";

#[tokio::test]
async fn a_join_that_does_not_fit_is_sorted_instead() {
    let folder = tempfile::tempdir().unwrap();
    expect![[r#"
        +---------+
        | n       |
        +---------+
        | 1000000 |
        +---------+"#]]
    .assert_eq(&show(rows(&engine(folder.path(), 48 * MIB), BIG_JOIN, &[]).await));
}

#[tokio::test]
async fn out_of_memory_names_the_table_and_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    // `NOT IN` needs a hash table, whatever the limit.
    let sql = "SELECT count(*) AS n FROM generate_series(1, 1000000) a WHERE a.value NOT IN (SELECT CASE WHEN value > 0 THEN value * 2 END FROM generate_series(1, 10))";
    let error = rows(&engine(folder.path(), 2 * MIB), sql, &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    expect![[r#"
        SQL of `gold.t` needs more memory than the limit of 2MiB
        help: raise `--memory-limit`, or join and group fewer rows at once: the smaller side of a join and the rows of a window must fit"#]]
    .assert_eq(&format!("{error}\nhelp: {}", error.help().unwrap()));
    expect![[r#"
        +--------+
        | n      |
        +--------+
        | 999990 |
        +--------+"#]]
    .assert_eq(&show(rows(&engine(folder.path(), 256 * MIB), sql, &[]).await));
}

#[tokio::test]
async fn temporary_files_are_gone_when_the_engine_is() {
    let folder = tempfile::tempdir().unwrap();
    drop(engine(folder.path(), 64 * MIB));
    assert_eq!(std::fs::read_dir(folder.path().join("spill")).unwrap().count(), 0);
}
