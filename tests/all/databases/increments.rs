//! What is new is read, what changed is replaced, and a run with nothing to do does nothing.

use super::{Pair, Stand, System};

const BOTH: [System; 2] = [System::PostgreSql, System::MariaDb];

/// Each source, to a database of the other kind and to the lake.
fn pairs() -> impl Iterator<Item = Pair> {
    BOTH.into_iter().flat_map(|source| [Some(System::PostgreSql), Some(System::MariaDb), None].map(move |target| Pair(source, target)))
}

fn new_rows_are_appended(cdc: &str, test: &str) {
    for pair in pairs() {
        let Some(stand) = Stand::new(pair, cdc, "{ mode: append }", test) else { return };
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

fn changed_rows_are_replaced(cdc: &str, test: &str) {
    for pair in pairs() {
        let Some(stand) = Stand::new(pair, cdc, "{ mode: upsert }", test) else { return };
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

#[test]
fn id_appends_what_is_above_the_watermark() {
    new_rows_are_appended("{ strategy: id, cursor: id }", "databases::id_appends_what_is_above_the_watermark");
}

#[test]
fn timestamp_appends_what_is_new() {
    new_rows_are_appended("{ strategy: timestamp, cursor: updated_at }", "databases::timestamp_appends_what_is_new");
}

#[test]
fn hybrid_appends_what_is_new() {
    new_rows_are_appended("{ strategy: hybrid, cursor: updated_at }", "databases::hybrid_appends_what_is_new");
}

#[test]
fn timestamp_replaces_what_changed() {
    changed_rows_are_replaced("{ strategy: timestamp, cursor: updated_at }", "databases::timestamp_replaces_what_changed");
}

#[test]
fn hybrid_replaces_what_changed() {
    changed_rows_are_replaced("{ strategy: hybrid, cursor: updated_at }", "databases::hybrid_replaces_what_changed");
}

/// A transaction that commits after the read with a smaller id: what a strict watermark loses.
#[test]
fn a_row_that_is_committed_late_with_a_smaller_id_is_delivered_once() {
    for (cdc, load) in
        [("{ strategy: id, cursor: id }", "append"), ("{ strategy: hybrid, cursor: updated_at }", "upsert"), ("{ strategy: timestamp, cursor: updated_at }", "append")]
    {
        for system in BOTH {
            let pair = Pair(system, Some(system));
            let test = "databases::a_row_that_is_committed_late_with_a_smaller_id_is_delivered_once";
            let Some(stand) = Stand::new(pair, cdc, &format!("{{ mode: {load} }}"), test) else { return };
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
