//! Nothing is destroyed: a source that was emptied, shrunk or made anew ends with exit 5 and the choices.

use super::{Pair, Stand, System};

/// To a server of each kind.
fn pairs(source: System) -> [Pair; 2] {
    [Pair(source, Some(System::PostgreSql)), Pair(source, Some(System::MariaDb))]
}

/// Does something to the source; the next run must refuse, name the table, and leave the target as it is.
fn refused(source: System, cdc: &str, load: &str, test: &str, harm: impl Fn(&Stand)) {
    for pair in pairs(source) {
        let Some(stand) = Stand::new(pair, cdc, load, test) else { return };
        stand.insert(1..=1_000);
        stand.run();
        let before = stand.target_rows();

        harm(&stand);
        stand.karat(["run"]).run().expect(5).says(&["bronze.orders", "--full-refresh"]);

        assert!(stand.target_rows() == before, "{pair:?}: the target was changed");
    }
}

fn an_emptied_source_does_not_empty_the_target(source: System, test: &str) {
    for pair in pairs(source) {
        let Some(stand) = Stand::new(pair, "{ strategy: full }", "{ mode: replace }", test) else { return };
        stand.insert(1..=1_000);
        stand.run();
        stand.source.database().execute("DELETE FROM orders;");

        stand.karat(["run"]).run().expect(5).says(&["bronze.orders"]);

        assert_eq!(stand.target_rows().len(), 1_000, "{pair:?}");
    }
}

fn a_shrunk_source_does_not_shrink_the_target(source: System, test: &str) {
    for pair in pairs(source) {
        let Some(stand) = Stand::new(pair, "{ strategy: full }", "{ mode: replace }", test) else { return };
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

fn a_source_that_was_made_anew_is_not_read_from_the_old_position(source: System, test: &str) {
    refused(source, "{ strategy: id, cursor: id }", "{ mode: append }", test, |stand| {
        stand.source.database().execute(&format!("DROP TABLE orders; {}", stand.pair.0.orders()));
        stand.insert(1..=1_200);
    });
}

fn a_source_that_is_gone_is_an_error_that_names_it(source: System, test: &str) {
    for pair in pairs(source) {
        let Some(stand) = Stand::new(pair, "{ strategy: id, cursor: id }", "{ mode: append }", test) else { return };
        stand.insert(1..=10);
        stand.run();
        stand.source.database().execute("ALTER TABLE orders RENAME TO order_s;");

        let outcome = stand.karat(["run"]).run();

        assert!(outcome.code.is_some_and(|code| code == 1 || code == 3), "{pair:?}: {outcome:?}");
        outcome.says(&["orders", "order_s"]);
        assert_eq!(stand.target_rows().len(), 10, "{pair:?}");
    }
}

fn a_target_that_holds_foreign_rows_is_not_written(source: System, test: &str) {
    for pair in pairs(source) {
        let Some(stand) = Stand::new(pair, "{ strategy: id, cursor: id }", "{ mode: append }", test) else { return };
        stand.insert(1..=10);
        stand.make_foreign_target();
        let before = stand.target_rows();

        stand.karat(["run"]).run().expect(5).says(&["bronze.orders"]);

        assert_eq!(stand.target_rows(), before, "{pair:?}");
        assert_eq!(before.len(), 1);
    }
}

fn a_target_that_was_removed_is_not_silently_loaded_again(source: System, test: &str) {
    for pair in pairs(source) {
        let Some(stand) = Stand::new(pair, "{ strategy: id, cursor: id }", "{ mode: append }", test) else { return };
        stand.insert(1..=10);
        stand.run();
        stand.drop_target();

        stand.karat(["run"]).run().expect(5).says(&["bronze.orders", "--full-refresh"]);
        stand.karat(["run", "--full-refresh"]).run().expect(0);

        stand.expect_equal(&format!("{pair:?}, after a full refresh"));
    }
}

macro_rules! guards {
    ($($name:ident)+) => {
        mod postgres {
            $(#[test] fn $name() { super::$name(super::System::PostgreSql, concat!(module_path!(), "::", stringify!($name))); })+
        }

        mod mariadb {
            $(#[test] fn $name() { super::$name(super::System::MariaDb, concat!(module_path!(), "::", stringify!($name))); })+
        }
    };
}

guards! {
    an_emptied_source_does_not_empty_the_target
    a_shrunk_source_does_not_shrink_the_target
    a_source_that_was_made_anew_is_not_read_from_the_old_position
    a_source_that_is_gone_is_an_error_that_names_it
    a_target_that_holds_foreign_rows_is_not_written
    a_target_that_was_removed_is_not_silently_loaded_again
}
