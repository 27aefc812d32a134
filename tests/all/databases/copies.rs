//! Whole tables, from each system to each.

use super::{Pair, Stand};

/// A full copy holds the rows of the source, and is replaced by the next.
fn full_copies_hold_the_rows_of_the_source(pair: Pair, test: &str) {
    let Some(stand) = Stand::new(pair, "{ strategy: full }", "{ mode: replace }", test) else { return };
    stand.insert(1..=5_000);

    assert_eq!(stand.run(), (5_000, 5_000));
    stand.expect_equal("after the first run");

    stand.source.database().execute("DELETE FROM orders WHERE id % 10 = 0; UPDATE orders SET customer = 'changed', amount = amount + 1 WHERE id % 10 = 1;");
    stand.insert(6_000..=6_100);
    stand.run();
    stand.expect_equal("after rows were changed, removed and added");
}

/// An empty table is copied as an empty table.
fn an_empty_table_is_copied_as_an_empty_table(pair: Pair, test: &str) {
    let Some(stand) = Stand::new(pair, "{ strategy: id, cursor: id }", "{ mode: append }", test) else { return };

    stand.run();
    stand.expect_equal("with nothing in it");
    stand.insert(1..=10);
    stand.run();
    stand.expect_equal("with the first rows");
}

/// Ids full of holes: reads page by rows, so a gap costs nothing and ends nothing.
fn ids_full_of_holes_are_read_to_the_end(pair: Pair, test: &str) {
    let Some(stand) = Stand::new(pair, "{ strategy: id, cursor: id }\n    chunk: { rows: 100 }", "{ mode: append }", test) else { return };
    stand.insert((0..1_000).map(|number| number * number * 70 + 1));
    stand.insert([71_714_083, 9_000_000_000_000_000_000]);

    let started = std::time::Instant::now();
    assert_eq!(stand.run(), (1_002, 1_002));

    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    stand.expect_equal("with holes");
}

macro_rules! pairs {
    ($($name:ident: $source:ident to $target:expr;)+) => {
        $(
            mod $name {
                use super::super::{Pair, System};

                const PAIR: Pair = Pair(System::$source, $target);

                #[test]
                fn full_copies_hold_the_rows_of_the_source() {
                    super::full_copies_hold_the_rows_of_the_source(PAIR, concat!(module_path!(), "::full_copies_hold_the_rows_of_the_source"));
                }

                #[test]
                fn an_empty_table_is_copied_as_an_empty_table() {
                    super::an_empty_table_is_copied_as_an_empty_table(PAIR, concat!(module_path!(), "::an_empty_table_is_copied_as_an_empty_table"));
                }

                #[test]
                fn ids_full_of_holes_are_read_to_the_end() {
                    super::ids_full_of_holes_are_read_to_the_end(PAIR, concat!(module_path!(), "::ids_full_of_holes_are_read_to_the_end"));
                }
            }
        )+
    };
}

pairs! {
    postgres_to_delta: PostgreSql to None;
    mysql_to_delta: MySql to None;
    postgres_to_postgres: PostgreSql to Some(System::PostgreSql);
    mysql_to_mysql: MySql to Some(System::MySql);
    postgres_to_mysql: PostgreSql to Some(System::MySql);
    mysql_to_postgres: MySql to Some(System::PostgreSql);
}
