//! Nothing is destroyed: a source that was emptied, shrunk or made anew ends with exit 5 and the choices.

use super::{Pair, Stand, System};

/// To a server of each kind.
fn pairs(source: System) -> [Pair; 2] {
    [Pair(source, Some(System::PostgreSql)), Pair(source, Some(System::MySql))]
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

/// MariaDB gives a table no identity that outlives every ALTER TABLE; what tells there is its counter, so this one has fewer rows.
fn a_source_that_was_made_anew_is_not_read_from_the_old_position(source: System, test: &str) {
    refused(source, "{ strategy: id, cursor: id }", "{ mode: append }", test, |stand| {
        stand.source.database().execute(&format!("DROP TABLE orders; {}", stand.pair.0.orders()));
        stand.insert(1..=900);
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

fn state_that_was_lost_is_found_again_in_the_target(source: System, test: &str) {
    for pair in pairs(source) {
        let Some(stand) = Stand::new(pair, "{ strategy: id, cursor: id }", "{ mode: append }", test) else { return };
        stand.insert(1..=100);
        stand.run();
        std::fs::remove_dir_all(stand.project.path().join(".karat")).expect("folders can be removed");
        stand.insert(101..=110);

        assert_eq!(stand.run().1, 10, "{pair:?}");

        stand.expect_equal(&format!("{pair:?}"));
    }
}

/// Two machines with a project and a state each, and one target: the target decides who goes on.
fn two_machines_without_shared_state_never_write_a_row_twice(source: System, test: &str) {
    for pair in pairs(source) {
        let Some(stand) = Stand::new(pair, "{ strategy: id, cursor: id }\n    chunk: { rows: 500 }", "{ mode: append, transaction_rows: 500 }", test) else { return };
        let other = stand.project.copy();
        for round in 0..4 {
            stand.insert(round * 5_000 + 1..=(round + 1) * 5_000);
            let here = stand.karat(["run", "--quiet"]).start();
            let there = stand.karat_in(&other, ["run", "--quiet"]).start();
            for outcome in [here.outcome(), there.outcome()] {
                assert!(matches!(outcome.code, Some(0 | 3 | 4 | 6)), "{pair:?}: {outcome:?}");
            }
        }

        stand.karat(["run", "--quiet"]).run().expect(0);
        stand.expect_equal(&format!("{pair:?}"));
    }
}

/// A source that was restored from a backup draws ids again that were delivered before: the new rows would never be read.
fn a_source_that_went_backwards_is_not_read_on(source: System, test: &str) {
    refused(source, "{ strategy: id, cursor: id }", "{ mode: append }", test, |stand| {
        let database = stand.source.database();
        database.execute("DELETE FROM orders WHERE id > 500;");
        database.execute(match source {
            System::PostgreSql => "SELECT setval('orders_id_seq', 500);",
            System::MySql => "ALTER TABLE orders AUTO_INCREMENT = 501;",
        });
        database.execute("INSERT INTO orders (customer) VALUES ('another 501'), ('another 502');");
    });
}

/// A backup of the target is older than state: the rows in between would be missing for ever.
#[test]
fn a_restored_target_is_not_written_from_the_newer_position() {
    let pair = Pair(System::MySql, Some(System::PostgreSql));
    let test = "databases::guards::a_restored_target_is_not_written_from_the_newer_position";
    let Some(stand) = Stand::new(pair, "{ strategy: id, cursor: id }", "{ mode: append }", test) else { return };
    let server = karat_testkit::servers::PostgresServer::shared().expect("the stand has one");
    stand.insert(1..=10);
    stand.run();
    let target = stand.target_name();
    server.execute(&format!("CREATE DATABASE {target}_backup TEMPLATE {target};"));
    stand.insert(11..=20);
    stand.run();
    server.execute(&format!("DROP DATABASE {target} WITH (FORCE); ALTER DATABASE {target}_backup RENAME TO {target};"));

    stand.insert(21..=30);
    stand.karat(["run"]).run().expect(5).says(&["bronze.orders", "karat state rebuild"]);

    assert_eq!(stand.target_rows().len(), 10);
    stand.karat(["state", "rebuild"]).run().expect(0);
    stand.run();
    stand.expect_equal("after state was rebuilt from the restored target");
}

macro_rules! guards {
    ($($name:ident)+) => {
        mod postgres {
            $(#[test] fn $name() { super::$name(super::System::PostgreSql, concat!(module_path!(), "::", stringify!($name))); })+
        }

        mod mysql {
            $(#[test] fn $name() { super::$name(super::System::MySql, concat!(module_path!(), "::", stringify!($name))); })+
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
    state_that_was_lost_is_found_again_in_the_target
    two_machines_without_shared_state_never_write_a_row_twice
    a_source_that_went_backwards_is_not_read_on
}
