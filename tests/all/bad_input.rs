//! What goes wrong outside: a clear error that names the object, an honest exit code, and nothing lost.

use crate::karat::{Karat, Outcome};
use crate::market::{TABLES, rows};
use crate::project::Project;
use crate::reader::Reader;
use karat_testkit::skipped;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

const LANDING: &str = "version: 1
name: landing
connections:
  landing: { type: files, path: landing, format: csv }
bronze:
  events:
    from: { connection: landing, path: \"*.csv*\" }
    types: { id: bigint, amount: \"decimal(10,2)\", note: text }
    load: { mode: append }
";

const SHOP: &str = "version: 1
name: shop
connections:
  shop: { type: sqlite, path: shop.db }
bronze:
  orders:
    from: { connection: shop, table: orders }
    key: [id]
    cdc: { strategy: id, cursor: id }
";

const ORDERS: &str = "CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT); INSERT INTO orders VALUES (1, 'one'), (2, 'two');";

fn shop() -> Project {
    let project = Project::of(SHOP);
    project.database("shop.db", ORDERS);
    project
}

/// Nothing of a table is visible: no commit in its log.
#[track_caller]
fn expect_nothing_committed(project: &Project, table: &str) {
    let commits = project.files(&format!(".karat/warehouse/{table}/_delta_log"));
    assert!(commits.is_empty(), "something was committed: {:?}", commits.iter().map(|(path, _)| path).collect::<Vec<_>>());
}

#[test]
fn a_csv_row_with_too_few_fields_names_file_and_line() {
    let project = Project::of(LANDING);
    project.write("landing/a.csv", "id,amount,note\n1,1.50,fine\n2,2.50\n3,3.50,fine\n");

    project.karat(["run"]).run().expect(3).says(&["a.csv", "line 3"]);

    expect_nothing_committed(&project, "bronze/events");
}

#[test]
fn a_csv_value_of_another_type_names_file_line_and_column() {
    let project = Project::of(LANDING);
    project.write("landing/a.csv", "id,amount,note\n1,1.50,fine\n2,much,fine\n");

    let outcome = project.karat(["run"]).run().expect(3).says(&["a.csv", "line 3", "amount"]);

    assert!(!outcome.said().contains("much"), "a row's value was shown: {}", outcome.said());
    expect_nothing_committed(&project, "bronze/events");
}

#[test]
fn text_that_is_not_utf8_names_file_and_line() {
    let project = Project::of(LANDING);
    project.write("landing/a.csv", b"id,amount,note\n1,1.50,caf\xc3\xa9\n2,2.50,caf\xe9\n");

    project.karat(["run"]).run().expect(3).says(&["a.csv", "UTF-8"]);

    expect_nothing_committed(&project, "bronze/events");
}

#[test]
fn a_truncated_gzip_file_is_an_error_and_not_a_short_table() {
    let Some(reader) = Reader::find("a_truncated_gzip_file_is_an_error_and_not_a_short_table") else { return };
    let project = Project::of(LANDING);
    let path = project.path().join("landing/a.csv.gz");
    std::fs::create_dir_all(project.path().join("landing")).expect("folders can be made");
    reader.script("make_files.py", &["truncated-gzip".as_ref(), path.as_ref()]);

    project.karat(["run"]).run().expect(3).says(&["a.csv.gz"]);

    expect_nothing_committed(&project, "bronze/events");
}

#[test]
fn a_parquet_file_with_another_schema_is_named_and_not_read() {
    let Some(reader) = Reader::find("a_parquet_file_with_another_schema_is_named_and_not_read") else { return };
    let project = Project::of(
        "version: 1
name: landing
connections:
  landing: { type: files, path: landing, format: parquet }
bronze:
  events:
    from: { connection: landing, path: \"*.parquet\" }
    load: { mode: append }
",
    );
    std::fs::create_dir_all(project.path().join("landing")).expect("folders can be made");
    reader.script("make_files.py", &["parquet".as_ref(), project.path().join("landing/a.parquet").as_ref()]);
    project.karat(["run"]).run().expect(0);
    reader.script("make_files.py", &["other-parquet".as_ref(), project.path().join("landing/b.parquet").as_ref()]);

    project.karat(["run"]).run().expect(3).says(&["b.parquet", "amount"]);

    assert_eq!(reader.query(&project.warehouse(), "SELECT count(*) FROM bronze.events"), [[serde_json::json!(3)]]);
}

#[test]
fn a_missing_database_is_an_error_and_is_not_created() {
    let project = Project::of(SHOP);

    project.karat(["run"]).run().expect(3).says(&["shop.db"]);

    assert!(!project.path().join("shop.db").exists(), "an empty database was created");
}

#[test]
fn a_missing_table_is_named_with_the_nearest_one() {
    let project = Project::of(&SHOP.replace("table: orders", "table: order"));
    project.database("shop.db", ORDERS);

    project.karat(["run"]).run().expect(3).says(&["`order`", "`orders`"]);
}

#[test]
fn a_locked_database_is_waited_for_and_then_named() {
    let project = shop();
    let holder = rusqlite::Connection::open(project.path().join("shop.db")).expect("the database opens");
    holder.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; INSERT INTO orders VALUES (3, 'three');").expect("nobody else has it");

    project.karat(["run"]).run().expect(3).says(&["shop.db", "lock"]);

    expect_nothing_committed(&project, "bronze/orders");
    holder.execute_batch("COMMIT").expect("the lock is ours");
    drop(holder);
    let report = project.karat(["run", "--format", "json"]).run().expect(0).json();
    assert_eq!(rows(&report, "bronze.orders", "rows_written"), 3);
}

#[test]
fn a_deleted_warehouse_is_refused_because_state_knows_more() {
    let project = shop();
    project.karat(["run"]).run().expect(0);
    std::fs::remove_dir_all(project.warehouse()).expect("folders can be removed");

    project.karat(["run"]).run().expect(5).says(&["bronze.orders"]);

    expect_nothing_committed(&project, "bronze/orders");
    project.karat(["run", "--full-refresh"]).run().expect(0);
    assert!(project.warehouse().join("bronze/orders/_delta_log").exists());
}

#[test]
fn a_corrupted_state_file_is_noticed_and_can_be_rebuilt() {
    let project = shop();
    project.karat(["run"]).run().expect(0);
    let state = project.path().join(".karat/state.db");
    let mut damaged = 0;
    for content in [b"".to_vec(), vec![0; 8192], b"this is no database at all, but it is long enough to look like one".to_vec(), torn(&state)] {
        std::fs::write(&state, &content).expect("files can be written");
        for leftover in ["state.db-wal", "state.db-shm"] {
            let _ = std::fs::remove_file(project.path().join(".karat").join(leftover));
        }

        let outcome = project.karat(["run"]).run();

        // An empty file is a new state; that the warehouse knows more is then found and adopted, or refused. Anything else is damage.
        if !content.is_empty() {
            assert!(matches!(outcome.code, Some(3 | 5)), "exit code {:?}\n{}", outcome.code, outcome.said());
            assert!(outcome.said().contains("state.db"), "{}", outcome.said());
            assert!(outcome.said().contains("state rebuild"), "no word on how to go on:\n{}", outcome.said());
        }
        project.karat(["state", "rebuild"]).run().expect(0);
        let report = project.karat(["run", "--format", "json"]).run().expect(0).json();
        assert_eq!(rows(&report, "bronze.orders", "rows_written"), 0, "rows were written twice");
        if !content.is_empty() {
            damaged += 1;
            let aside = project.path().join(format!(".karat/state.db.damaged-{damaged}"));
            assert_eq!(std::fs::read(&aside).expect("the damaged file is kept").len(), content.len());
        }
    }
}

/// The file with a page in its middle overwritten.
fn torn(path: &Path) -> Vec<u8> {
    let mut bytes = std::fs::read(path).expect("the state can be read");
    let middle = bytes.len() / 2;
    let end = (middle + 4096).min(bytes.len());
    bytes[100..160].fill(0xA5);
    bytes[middle..end].fill(0xA5);
    bytes
}

#[test]
fn an_unreadable_file_is_named() {
    let project = Project::of(LANDING);
    let path = project.write("landing/a.csv", "id,amount,note\n1,1.50,fine\n");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o000)).expect("modes can be changed");
    let Some(outcome) = run_unprivileged("an_unreadable_file_is_named", &project) else { return };

    outcome.expect(3).says(&["a.csv", "ermission"]);

    expect_nothing_committed(&project, "bronze/events");
}

#[test]
fn a_warehouse_that_may_not_be_written_is_named() {
    let project = shop();
    project.write(".karat/warehouse/keep", "");
    std::fs::set_permissions(project.warehouse(), PermissionsExt::from_mode(0o555)).expect("modes can be changed");
    let Some(outcome) = run_unprivileged("a_warehouse_that_may_not_be_written_is_named", &project) else { return };

    outcome.expect(3).says(&["warehouse", "ermission"]);
}

/// `karat run` as somebody who is not root, because root may read and write everything.
fn run_unprivileged(test: &str, project: &Project) -> Option<Outcome> {
    if !rustix::process::geteuid().is_root() {
        return Some(project.karat(["run"]).run());
    }
    // The target folder may lie where nobody else may look.
    let binary = project.path().join("karat");
    std::fs::copy(crate::karat::binary(), &binary).expect("the binary can be copied");
    let opened = Command::new("chmod").args(["-R", "a+rwX"]).arg(project.path()).status();
    assert!(opened.is_ok_and(|status| status.success()), "the project can be opened for everybody");
    for closed in ["landing/a.csv", ".karat/warehouse"] {
        let path = project.path().join(closed);
        if path.exists() {
            let mode = if path.is_dir() { 0o555 } else { 0o000 };
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("modes can be changed");
        }
    }
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    if !Command::new(nobody[0]).args(&nobody[1..]).arg("true").status().is_ok_and(|status| status.success()) {
        skipped(test, "this is root, and setpriv cannot become somebody else");
        return None;
    }
    let karat = Karat::within(project.path()).args(["run"]).through(&nobody);
    Some(karat.run_as(&binary))
}

#[test]
fn a_full_disk_is_an_error_and_the_next_run_makes_it_whole() {
    let test = "a_full_disk_is_an_error_and_the_next_run_makes_it_whole";
    let Some(reader) = Reader::find(test) else { return };
    let private = Command::new("unshare").args(["--mount", "sh", "-c", "mount -t tmpfs -o size=1m tmpfs /mnt"]).status();
    if !private.is_ok_and(|status| status.success()) {
        skipped(test, "no private mount namespace: neither root nor allowed to make one");
        return;
    }
    let whole = Project::market(60_000);
    let project = whole.copy();
    whole.karat(["run", "--quiet"]).run().expect(0);
    std::fs::create_dir_all(project.path().join(".karat")).expect("folders can be made");
    let script = "mount -t tmpfs -o size=$1 tmpfs .karat || exit 90
        \"$0\" run; first=$?
        mount -o remount,size=500m .karat || exit 91
        \"$0\" run --quiet || exit 92
        mkdir kept && cp -r .karat/warehouse kept/ || exit 93
        exit $first";
    for size in ["400k", "700k", "1100k"] {
        let _ = std::fs::remove_dir_all(project.path().join("kept"));
        let outcome = Karat::within(project.path()).through(&["unshare", "--mount", "sh", "-c", script]).args([size]).run();

        assert!(matches!(outcome.code, Some(3 | 4)), "with {size}: exit code {:?}\n{}", outcome.code, outcome.said());
        assert!(outcome.said().to_lowercase().contains("no space"), "with {size}: {}", outcome.said());
        assert_eq!(reader.differences(&whole.warehouse(), &project.path().join("kept/warehouse")), Vec::<String>::new(), "with {size}");
    }
}

#[test]
fn names_from_a_hostile_database_are_only_names() {
    let Some(reader) = Reader::find("names_from_a_hostile_database_are_only_names") else { return };
    let project = Project::of(&SHOP.replace("table: orders", "table: 'or\"ders; DROP TABLE x --'"));
    project.database(
        "shop.db",
        "CREATE TABLE \"or\"\"ders; DROP TABLE x --\" (id INTEGER PRIMARY KEY, \"a\"\"b'; --\" TEXT, \"select\" INTEGER, \"ünïcode 🛒\" TEXT);
         CREATE TABLE x (y);
         INSERT INTO \"or\"\"ders; DROP TABLE x --\" VALUES (1, 'v', 2, 'w');",
    );

    project.karat(["run"]).run().expect(0);

    let columns = reader.query(&project.warehouse(), "SELECT column_name FROM (DESCRIBE bronze.orders)");
    assert_eq!(serde_json::to_value(columns).expect("rows are JSON"), serde_json::json!([["id"], ["a\"b'; --"], ["select"], ["ünïcode 🛒"]]));
    project.database("shop.db", "INSERT INTO x VALUES (1)");
}

#[test]
fn a_value_that_does_not_fit_its_declared_type_stops_the_table() {
    let project = Project::of(SHOP);
    project.database("shop.db", "CREATE TABLE orders (id INTEGER PRIMARY KEY, amount INTEGER); INSERT INTO orders VALUES (1, 10), (2, 'ten');");

    let outcome = project.karat(["run"]).run().expect(3).says(&["amount"]);

    assert!(!outcome.said().contains("'ten'"), "a row's value was shown: {}", outcome.said());
    expect_nothing_committed(&project, "bronze/orders");
}

#[test]
fn one_broken_table_does_not_stop_the_others() {
    let project = Project::market(1_000);
    project.database("data/market.db", "UPDATE trades_kraken SET price = 'broken' WHERE message_id = 7;");

    let report = project.karat(["run", "--format", "json"]).run().expect(4).json();

    assert_eq!(report["tables"].as_object().map(serde_json::Map::len), Some(TABLES.len()));
    assert_eq!(rows(&report, "bronze.trades_binance", "rows_written"), 500);
    assert_eq!(report["tables"]["gold.bars_1d"]["status"], "skipped");
}
