//! Nothing is destroyed: a source that was emptied, shrunk or made anew ends with exit 5 and the choices.

use super::{Pair, Stand, System};

const PAIRS: [Pair; 4] = [
    Pair(System::PostgreSql, Some(System::PostgreSql)),
    Pair(System::MariaDb, Some(System::MariaDb)),
    Pair(System::PostgreSql, Some(System::MariaDb)),
    Pair(System::MariaDb, Some(System::PostgreSql)),
];

/// Does something to the source; the next run must refuse, name the table, and leave the target as it is.
fn refused(cdc: &str, load: &str, test: &str, harm: impl Fn(&Stand)) {
    for pair in PAIRS {
        let Some(stand) = Stand::new(pair, cdc, load, test) else { return };
        stand.insert(1..=1_000);
        stand.run();
        let before = stand.target_rows();

        harm(&stand);
        stand.karat(["run"]).run().expect(5).says(&["bronze.orders", "--full-refresh"]);

        assert!(stand.target_rows() == before, "{pair:?}: the target was changed");
    }
}

#[test]
fn an_emptied_source_does_not_empty_the_target() {
    for pair in PAIRS {
        let Some(stand) = Stand::new(pair, "{ strategy: full }", "{ mode: replace }", "databases::an_emptied_source_does_not_empty_the_target") else { return };
        stand.insert(1..=1_000);
        stand.run();
        stand.source.database().execute("DELETE FROM orders;");

        stand.karat(["run"]).run().expect(5).says(&["bronze.orders"]);

        assert_eq!(stand.target_rows().len(), 1_000, "{pair:?}");
    }
}

#[test]
fn a_shrunk_source_does_not_shrink_the_target() {
    for pair in PAIRS {
        let Some(stand) = Stand::new(pair, "{ strategy: full }", "{ mode: replace }", "databases::a_shrunk_source_does_not_shrink_the_target") else { return };
        stand.insert(1..=1_000);
        stand.run();
        stand.source.database().execute("DELETE FROM orders WHERE id > 400;");

        stand.karat(["run"]).run().expect(5).says(&["bronze.orders"]);

        assert_eq!(stand.target_rows().len(), 1_000, "{pair:?}");
        stand.insert(401..=800);
        stand.run();
        stand.expect_equal(&format!("{pair:?}: a source that shrank a little"));
    }
}

#[test]
fn a_source_that_was_made_anew_is_not_read_from_the_old_position() {
    refused("{ strategy: id, cursor: id }", "{ mode: append }", "databases::a_source_that_was_made_anew_is_not_read_from_the_old_position", |stand| {
        stand.source.database().execute(&format!("DROP TABLE orders; {}", stand.pair.0.orders()));
        stand.insert(1..=1_200);
    });
}

#[test]
fn a_source_that_is_gone_is_an_error_that_names_it() {
    for pair in PAIRS {
        let Some(stand) = Stand::new(pair, "{ strategy: id, cursor: id }", "{ mode: append }", "databases::a_source_that_is_gone_is_an_error_that_names_it") else { return };
        stand.insert(1..=10);
        stand.run();
        stand.source.database().execute("ALTER TABLE orders RENAME TO order_s;");

        let outcome = stand.karat(["run"]).run();

        assert!(outcome.code.is_some_and(|code| code == 1 || code == 3), "{pair:?}: {outcome:?}");
        outcome.says(&["orders", "order_s"]);
        assert_eq!(stand.target_rows().len(), 10, "{pair:?}");
    }
}

#[test]
fn a_target_that_holds_foreign_rows_is_not_written() {
    for pair in PAIRS {
        let Some(stand) = Stand::new(pair, "{ strategy: id, cursor: id }", "{ mode: append }", "databases::a_target_that_holds_foreign_rows_is_not_written") else { return };
        stand.insert(1..=10);
        stand.make_foreign_target();
        let before = stand.target_rows();

        stand.karat(["run"]).run().expect(5).says(&["bronze.orders"]);

        assert_eq!(stand.target_rows(), before, "{pair:?}");
        assert_eq!(before.len(), 1);
    }
}

#[test]
fn a_target_that_was_removed_is_not_silently_loaded_again() {
    for pair in PAIRS {
        let Some(stand) = Stand::new(pair, "{ strategy: id, cursor: id }", "{ mode: append }", "databases::a_target_that_was_removed_is_not_silently_loaded_again") else { return };
        stand.insert(1..=10);
        stand.run();
        stand.drop_target();

        stand.karat(["run"]).run().expect(5).says(&["bronze.orders", "--full-refresh"]);
        stand.karat(["run", "--full-refresh"]).run().expect(0);

        stand.expect_equal(&format!("{pair:?}, after a full refresh"));
    }
}
