//! What is new is read, what changed is replaced, and a run with nothing to do does nothing.

use super::{Pair, Servers, Stand, System};

const TARGETS: [Option<System>; 3] = [Some(System::PostgreSql), Some(System::MySql), None];

fn new_rows_are_appended(source: System, cdc: &str, test: &str) {
    let Some(servers) = Servers::start(test) else { return };
    for pair in TARGETS.map(|target| Pair(source, target)) {
        let Some(stand) = Stand::on(&servers, pair, (cdc, "{ mode: append }"), test) else { return };
        stand.insert(1..=2_000);
        assert_eq!(stand.run(), (2_000, 2_000), "{pair:?}");
        stand.run_until_idle();
        stand.insert(2_001..=2_050);

        let (read, written) = stand.run();

        assert!((50..200).contains(&read) && written == 50, "{pair:?}: read {read}, wrote {written}");
        stand.expect_equal(&format!("{pair:?}"));
        stand.run_until_idle();
        stand.expect_equal(&format!("{pair:?}, after idle runs"));
    }
}

fn changed_rows_are_replaced(source: System, cdc: &str, test: &str) {
    let Some(servers) = Servers::start(test) else { return };
    for pair in TARGETS.map(|target| Pair(source, target)) {
        let Some(stand) = Stand::on(&servers, pair, (cdc, "{ mode: upsert }"), test) else { return };
        stand.insert(1..=2_000);
        stand.run();
        stand.run_until_idle();
        stand.source.database().execute("UPDATE orders SET amount = amount + 0.01, updated_at = '2025-01-01 00:00:00.000001' WHERE id % 100 = 0;");
        stand.insert(3_000..=3_010);
        stand.source.database().execute("UPDATE orders SET updated_at = '2025-01-01 00:00:00.000001' WHERE id >= 3000;");

        let (read, _) = stand.run();

        assert!((31..200).contains(&read), "{pair:?}: read {read}");
        stand.expect_equal(&format!("{pair:?}"));
        // The same moment as the newest row, and a smaller key: a strict `>` would never see it.
        stand.source.database().execute("UPDATE orders SET amount = 7, updated_at = '2025-01-01 00:00:00.000001' WHERE id = 1;");
        stand.run();
        stand.expect_equal(&format!("{pair:?}, after a tie with the watermark"));
        stand.run_until_idle();
    }
}

/// A transaction that commits after the read with a smaller id: what a strict watermark loses.
fn a_row_that_is_committed_late_is_delivered_once(system: System, test: &str) {
    let Some(servers) = Servers::start(test) else { return };
    for (cdc, load) in
        [("{ strategy: id, cursor: id }", "append"), ("{ strategy: hybrid, cursor: updated_at }", "upsert"), ("{ strategy: timestamp, cursor: updated_at }", "append")]
    {
        for target in [Some(system), None] {
            let pair = Pair(system, target);
            let Some(stand) = Stand::on(&servers, pair, (cdc, &format!("{{ mode: {load} }}")), test) else { return };
            let database = stand.source.database();
            database.execute("INSERT INTO orders (customer) VALUES ('first');");
            stand.run();
            let mut late = database.session();
            late.execute("BEGIN; INSERT INTO orders (customer) VALUES ('late');");
            database.execute("INSERT INTO orders (customer) VALUES ('early');");
            stand.run();
            stand.run();
            assert_eq!(stand.target_rows().len(), 2, "{pair:?} {cdc}: {:?}", stand.target_rows());
            late.execute("COMMIT;");

            stand.run();
            stand.expect_equal(&format!("{pair:?} {cdc}, after the late commit"));
            stand.run_until_idle();
            stand.expect_equal(&format!("{pair:?} {cdc}, after idle runs"));
        }
    }
}

/// A transaction that stays open, as on every busy server, costs a look at the newest rows and never at the whole table.
fn a_busy_server_does_not_make_every_run_read_everything(system: System, test: &str) {
    let Some(servers) = Servers::start(test) else { return };
    for cdc in ["{ strategy: id, cursor: id }", "{ strategy: hybrid, cursor: updated_at }"] {
        let Some(stand) = Stand::on(&servers, Pair(system, Some(system)), (cdc, "{ mode: append }"), test) else { return };
        let database = stand.source.database();
        database.execute("CREATE TABLE elsewhere (id int PRIMARY KEY);");
        stand.insert(1..=2_000);
        let mut open = database.session();
        open.execute("BEGIN; INSERT INTO elsewhere VALUES (1);");
        assert_eq!(stand.run(), (2_000, 2_000));
        let mut last = database.session();
        last.execute("BEGIN; INSERT INTO elsewhere VALUES (2);");
        open.execute("COMMIT;");
        let mut reads = Vec::new();
        for id in 2_001..2_006 {
            stand.insert([id]);
            reads.push(stand.run().0);
            let mut next = database.session();
            next.execute(&format!("BEGIN; INSERT INTO elsewhere VALUES ({id});"));
            last.execute("COMMIT;");
            last = next;
        }

        stand.expect_equal(cdc);
        assert!(reads.iter().skip(2).all(|read| *read < 200), "{cdc}: with one transaction or another always open, the runs after the first read {reads:?} rows");
    }
}

macro_rules! sources {
    ($($name:ident: $source:ident;)+) => {
        $(
            mod $name {
                use super::System;

                const SOURCE: System = System::$source;

                #[test]
                fn id_appends_what_is_above_the_watermark() {
                    super::new_rows_are_appended(SOURCE, "{ strategy: id, cursor: id }", concat!(module_path!(), "::id_appends_what_is_above_the_watermark"));
                }

                #[test]
                fn timestamp_appends_what_is_new() {
                    super::new_rows_are_appended(SOURCE, "{ strategy: timestamp, cursor: updated_at }", concat!(module_path!(), "::timestamp_appends_what_is_new"));
                }

                #[test]
                fn hybrid_appends_what_is_new() {
                    super::new_rows_are_appended(SOURCE, "{ strategy: hybrid, cursor: updated_at }", concat!(module_path!(), "::hybrid_appends_what_is_new"));
                }

                #[test]
                fn timestamp_replaces_what_changed() {
                    super::changed_rows_are_replaced(SOURCE, "{ strategy: timestamp, cursor: updated_at }", concat!(module_path!(), "::timestamp_replaces_what_changed"));
                }

                #[test]
                fn hybrid_replaces_what_changed() {
                    super::changed_rows_are_replaced(SOURCE, "{ strategy: hybrid, cursor: updated_at }", concat!(module_path!(), "::hybrid_replaces_what_changed"));
                }

                #[test]
                fn a_busy_server_does_not_make_every_run_read_everything() {
                    super::a_busy_server_does_not_make_every_run_read_everything(SOURCE, concat!(module_path!(), "::a_busy_server_does_not_make_every_run_read_everything"));
                }

                #[test]
                fn a_row_that_is_committed_late_is_delivered_once() {
                    super::a_row_that_is_committed_late_is_delivered_once(SOURCE, concat!(module_path!(), "::a_row_that_is_committed_late_is_delivered_once"));
                }
            }
        )+
    };
}

sources! {
    postgres: PostgreSql;
    mysql: MySql;
}
