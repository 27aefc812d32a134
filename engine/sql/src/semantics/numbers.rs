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

#[tokio::test]
async fn averages_of_decimals_are_exact_or_an_error() {
    // The average does not fit with four more digits; then the total does not fit 128 bits.
    check(
        "SELECT avg(money) AS mean FROM bronze.extremes",
        expect![[r#"
        BadData: SQL of `gold.t`: the total of `avg(bronze.extremes.money)` does not fit decimal(38,4)
        help: compute in a wider type: CAST(… AS DECIMAL(38, 0))"#]],
    )
    .await;
    let most = "SELECT CAST('170141183460469231731687303715884105' AS DECIMAL(38, 0)) AS money FROM generate_series(1, 3000)";
    check(
        &format!("SELECT avg(money) AS mean FROM ({most})"),
        expect![[r#"
        BadData: SQL of `gold.t`: the total of `avg(money)` does not fit decimal(38,4)
        help: compute in a wider type: CAST(… AS DECIMAL(38, 0))"#]],
    )
    .await;
    check(
        &format!("SELECT g, avg(money) AS mean FROM (SELECT money, 1 AS g FROM ({most})) GROUP BY g"),
        expect![[r#"
        BadData: SQL of `gold.t`: the total of `avg(money)` does not fit decimal(38,4)
        help: compute in a wider type: CAST(… AS DECIMAL(38, 0))"#]],
    )
    .await;
    // Total and average fit, the scaled total does not.
    let large = "SELECT CAST('3000000000000000000000000000000000' AS DECIMAL(38, 0)) AS money FROM generate_series(1, 9000)";
    check(
        &format!("SELECT avg(money) AS mean, mean(money) AS also FROM ({large})"),
        expect![[r#"
        +-----------------------------------------+-----------------------------------------+
        | mean                                    | also                                    |
        +-----------------------------------------+-----------------------------------------+
        | 3000000000000000000000000000000000.0000 | 3000000000000000000000000000000000.0000 |
        +-----------------------------------------+-----------------------------------------+"#]],
    )
    .await;
    check(
        "SELECT symbol, avg(amount) AS mean, avg(DISTINCT amount) AS different, avg(amount) FILTER (WHERE amount > 0.01) AS some FROM silver.trades GROUP BY symbol ORDER BY symbol",
        expect![[r#"
            +--------+----------+-----------+----------+
            | symbol | mean     | different | some     |
            +--------+----------+-----------+----------+
            | BTC    | 0.055000 | 0.055000  | 0.100000 |
            | ETH    | 0.200000 | 0.200000  | 0.200000 |
            |        |          |           |          |
            +--------+----------+-----------+----------+"#]],
    )
    .await;
    check(
        "SELECT avg(amount) AS mean, avg(DISTINCT amount) AS different, avg(-amount) AS below, avg(id) AS float FROM silver.trades",
        expect![[r#"
        +----------+-----------+-----------+-------+
        | mean     | different | below     | float |
        +----------+-----------+-----------+-------+
        | 0.103333 | 0.103333  | -0.103333 | 2.0   |
        +----------+-----------+-----------+-------+"#]],
    )
    .await;
    check(
        "SELECT id, avg(amount) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS sliding FROM silver.trades ORDER BY id",
        expect![[r#"
        +----+----------+
        | id | sliding  |
        +----+----------+
        | 1  | 0.100000 |
        | 2  | 0.150000 |
        | 3  | 0.105000 |
        |    | 0.010000 |
        +----+----------+"#]],
    )
    .await;
    check(
        "SELECT avg(amount) AS mean FROM silver.trades WHERE amount IS NULL",
        expect![[r#"
        +------+
        | mean |
        +------+
        |      |
        +------+"#]],
    )
    .await;
    check("SELECT count(*) AS groups, sum(mean) AS total FROM (SELECT g, avg(CAST(g AS DECIMAL(10, 2))) AS mean FROM (SELECT value % 5000 AS g FROM generate_series(1, 100000)) GROUP BY g)", expect![[r#"
        +--------+-----------------+
        | groups | total           |
        +--------+-----------------+
        | 5000   | 12497500.000000 |
        +--------+-----------------+"#]]).await;
}

#[tokio::test]
async fn the_absolute_value_of_the_smallest_integer_is_an_error() {
    check(
        "SELECT abs(low) AS n FROM bronze.extremes",
        expect![[r#"
        BadData: SQL of `gold.t`: integer overflow in `abs(bronze.extremes.low)`
        help: compute in a wider type: CAST(… AS DECIMAL(38, 0))"#]],
    )
    .await;
    check(
        "SELECT abs(CAST(-9223372036854775807 AS BIGINT)) AS n, abs(-9223372036854775807 - 1) AS m",
        expect![[r#"
            BadData: SQL of `gold.t`: integer overflow in `abs(-9223372036854775807 - 1)`
            help: compute in a wider type: CAST(… AS DECIMAL(38, 0))"#]],
    )
    .await;
    check(
        "SELECT abs(low + 1) AS n FROM bronze.extremes",
        expect![[r#"
        +---------------------+
        | n                   |
        +---------------------+
        | 9223372036854775807 |
        | 0                   |
        +---------------------+"#]],
    )
    .await;
}
