//! Numbers: exact, or an error.

use super::check;
use expect_test::expect;

#[tokio::test]
async fn integer_overflow_is_an_error_that_names_the_expression() {
    check(
        "SELECT 10000000000 * 10000000000 AS n",
        expect![[r#"
        BadData: SQL of `gold.t`: integer overflow in `10000000000 * 10000000000`
        help: compute in a wider type: CAST(… AS DECIMAL(38, 0))"#]],
    )
    .await;
    check(
        "SELECT big + id AS n FROM bronze.extremes CROSS JOIN silver.trades",
        expect![[r#"
        BadData: SQL of `gold.t`: integer overflow in `bronze.extremes.big + silver.trades.id`
        help: compute in a wider type: CAST(… AS DECIMAL(38, 0))"#]],
    )
    .await;
    check(
        "SELECT low - 1 AS n FROM bronze.extremes",
        expect![[r#"
        BadData: SQL of `gold.t`: integer overflow in `bronze.extremes.low - 1`
        help: compute in a wider type: CAST(… AS DECIMAL(38, 0))"#]],
    )
    .await;
    check(
        "SELECT -low AS n FROM bronze.extremes",
        expect![[r#"
        BadData: SQL of `gold.t`: integer overflow in `(- bronze.extremes.low)`
        help: compute in a wider type: CAST(… AS DECIMAL(38, 0))"#]],
    )
    .await;
    check(
        "SELECT id FROM silver.trades WHERE id IN (SELECT big * 2 FROM bronze.extremes)",
        expect![[r#"
        BadData: SQL of `gold.t`: integer overflow in `bronze.extremes.big * 2`
        help: compute in a wider type: CAST(… AS DECIMAL(38, 0))"#]],
    )
    .await;
    check(
        "SELECT id + 1 AS n, count(*) AS rows FROM silver.trades GROUP BY id + 1 ORDER BY id + 1",
        expect![[r#"
        +---+------+
        | n | rows |
        +---+------+
        | 2 | 1    |
        | 3 | 1    |
        | 4 | 1    |
        |   | 1    |
        +---+------+"#]],
    )
    .await;
    check(
        "SELECT at + INTERVAL '1 day' AS next, \"Price\" * 2 AS twice, amount * 2 AS more FROM silver.trades WHERE id = 1",
        expect![[r#"
        +---------------------+-------+------+
        | next                | twice | more |
        +---------------------+-------+------+
        | 2024-05-07T07:08:09 | 3.0   | 0.20 |
        +---------------------+-------+------+"#]],
    )
    .await;
}

#[tokio::test]
async fn a_total_that_does_not_fit_is_an_error() {
    check(
        "SELECT sum(big) AS total FROM bronze.extremes",
        expect![[r#"
            BadData: SQL of `gold.t`: the total of `sum(bronze.extremes.big)` does not fit bigint
            help: compute in a wider type: CAST(… AS DECIMAL(38, 0))"#]],
    )
    .await;
    check(
        "SELECT word, sum(big) OVER (ORDER BY word) AS total FROM bronze.extremes",
        expect![[r#"
        BadData: SQL of `gold.t`: the total of `sum(bronze.extremes.big) ORDER BY [bronze.extremes.word ASC…` does not fit bigint
        help: compute in a wider type: CAST(… AS DECIMAL(38, 0))"#]],
    )
    .await;
    check(
        "SELECT sum(big) AS a, sum(DISTINCT low) AS b FROM bronze.extremes",
        expect![[r#"
            BadData: SQL of `gold.t`: the total of `sum(alias2)` does not fit bigint
            help: compute in a wider type: CAST(… AS DECIMAL(38, 0))"#]],
    )
    .await;
    check(
        "SELECT sum(money) AS total FROM bronze.extremes",
        expect![[r#"
            BadData: SQL of `gold.t`: the total of `sum(bronze.extremes.money)` does not fit decimal(38,0)
            help: compute in a wider type: CAST(… AS DECIMAL(38, 0))"#]],
    )
    .await;
    check(
        "SELECT sum(x) AS total FROM (SELECT big AS x FROM bronze.extremes UNION ALL SELECT low FROM bronze.extremes)",
        expect![[r#"
        +-------+
        | total |
        +-------+
        | -1    |
        +-------+"#]],
    )
    .await;
    check(
        "SELECT symbol, sum(id) AS n, sum(DISTINCT \"od\"\"d\") AS d FROM silver.trades GROUP BY symbol ORDER BY symbol",
        expect![[r#"
        +--------+---+---+
        | symbol | n | d |
        +--------+---+---+
        | BTC    | 4 | 3 |
        | ETH    | 2 | 1 |
        |        |   | 2 |
        +--------+---+---+"#]],
    )
    .await;
    check(
        "SELECT id, sum(id) OVER (ORDER BY id ROWS 1 PRECEDING) AS n FROM silver.trades WHERE id > 0",
        expect![[r#"
        +----+---+
        | id | n |
        +----+---+
        | 1  | 1 |
        | 2  | 3 |
        | 3  | 5 |
        +----+---+"#]],
    )
    .await;
}

#[tokio::test]
async fn decimals_are_added_exactly() {
    check(
        "SELECT sum(amount) AS total FROM silver.trades",
        expect![[r#"
        +-------+
        | total |
        +-------+
        | 0.31  |
        +-------+"#]],
    )
    .await;
    check(
        "SELECT sum(CAST('0.1' AS DECIMAL(10,1))) AS total FROM generate_series(1, 1000)",
        expect![[r#"
        +-------+
        | total |
        +-------+
        | 100.0 |
        +-------+"#]],
    )
    .await;
}

#[tokio::test]
async fn division_by_zero_is_an_error_for_integers_and_infinite_for_floats() {
    check(
        "SELECT id / (id - id) AS n FROM silver.trades",
        expect![[r#"
        BadData: SQL of `gold.t`: division by zero
        help: divide by NULLIF(…, 0) to get NULL"#]],
    )
    .await;
    check(
        "SELECT 1 / \"Price\" AS n FROM silver.trades WHERE id = 2",
        expect![[r#"
        +-----+
        | n   |
        +-----+
        | inf |
        +-----+"#]],
    )
    .await;
}
