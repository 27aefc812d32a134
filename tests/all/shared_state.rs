//! State in PostgreSQL: what runners on several machines share, and what happens when the server or a row is gone.

use crate::project::Project;
use karat_testkit::servers::{Database, PostgresServer};
use serde_json::json;

const PIPELINE: &str = "version: 1
name: shop
connections:
  shop: { type: sqlite, path: shop.db }
bronze:
  orders:
    from: { connection: shop, table: orders }
    key: [id]
    cdc: { strategy: id, cursor: id }
silver:
  totals:
    sql: SELECT customer, sum(amount) AS amount FROM bronze.orders GROUP BY customer
";
const SHARED: &str = "version: 1\nname: corner_shop\nstate: { type: postgres, url: \"${STATE_URL}\" }\n";

fn project(state: &Database) -> (Project, String) {
    let project = Project::of(PIPELINE);
    project.write("karat.yaml", SHARED);
    project.database(
        "shop.db",
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT NOT NULL, amount DECIMAL(12,2) NOT NULL); INSERT INTO orders VALUES (1, 'ada', 10.50), (2, 'bob', 20.00);",
    );
    (project, state.url())
}

fn read_and_written(report: &serde_json::Value) -> [u64; 2] {
    ["rows_read", "rows_written"].map(|what| report["tables"]["bronze.orders"][what].as_u64().expect("a count"))
}

#[test]
fn positions_in_postgres_survive_and_local_files_hold_none() {
    let server = match PostgresServer::shared() {
        Ok(server) => server,
        Err(skip) => return skip.report("positions_in_postgres_survive_and_local_files_hold_none"),
    };
    let database = server.database();
    let (project, url) = project(&database);
    let run = || read_and_written(&project.karat(["run", "--format", "json"]).env("STATE_URL", &url).run().expect(0).json());

    assert_eq!(run(), [2, 2]);
    assert_eq!(run(), [0, 0]);
    project.database("shop.db", "INSERT INTO orders VALUES (3, 'eve', 1.25);");
    assert_eq!(run(), [1, 1]);

    assert!(!project.path().join(".karat/state.db").exists());
    let shown = project.karat(["state", "show", "--format", "json"]).env("STATE_URL", &url).run().expect(0).json();
    assert_eq!(shown["streams"][0]["stream"], "shop/bronze.orders");
    let status = project.karat(["status"]).env("STATE_URL", &url).run().expect(0);
    assert!(status.stdout.contains("bronze.orders"), "{}", status.stdout);
    let unset = project.karat(["status"]).run().expect(3);
    assert!(unset.stderr.contains("state.url"), "{}", unset.stderr);
}

#[test]
fn a_commit_that_shared_state_did_not_hear_of_is_adopted() {
    let server = match PostgresServer::shared() {
        Ok(server) => server,
        Err(skip) => return skip.report("a_commit_that_shared_state_did_not_hear_of_is_adopted"),
    };
    let database = server.database();
    let (project, url) = project(&database);
    project.karat(["run", "--quiet"]).env("STATE_URL", &url).env("KARAT_FAILPOINTS", "commit.after=kill").run();

    // The killed run's session ends with it, so nothing waits for its lease.
    let report = project.karat(["run", "--format", "json"]).env("STATE_URL", &url).run().expect(0).json();

    assert_eq!(report["tables"]["silver.totals"]["rows_written"], json!(2));
    let again = project.karat(["run", "--format", "json"]).env("STATE_URL", &url).run().expect(0).json();
    assert_eq!(read_and_written(&again), [0, 0]);
}

#[test]
fn a_machine_without_the_warehouse_is_refused_instead_of_starting_over() {
    let server = match PostgresServer::shared() {
        Ok(server) => server,
        Err(skip) => return skip.report("a_machine_without_the_warehouse_is_refused_instead_of_starting_over"),
    };
    let database = server.database();
    let (project, url) = project(&database);
    project.karat(["run", "--quiet"]).env("STATE_URL", &url).run().expect(0);
    // The copy has the same files, and no `.karat` folder.
    let other = project.copy();
    assert!(!other.path().join(".karat").exists());

    let refused = other.karat(["run"]).env("STATE_URL", &url).run().expect(5);

    assert!(refused.said().contains("--full-refresh"), "{}", refused.said());
}

#[test]
fn a_lease_that_another_machine_holds_ends_with_exit_6() {
    let server = match PostgresServer::shared() {
        Ok(server) => server,
        Err(skip) => return skip.report("a_lease_that_another_machine_holds_ends_with_exit_6"),
    };
    let database = server.database();
    let (project, url) = project(&database);
    project.karat(["run", "--quiet"]).env("STATE_URL", &url).run().expect(0);
    let mut other_machine = database.session();
    other_machine.execute("SELECT pg_advisory_lock(hashtextextended('karat state of corner_shop', 0))");
    project.database("shop.db", "INSERT INTO orders VALUES (4, 'kim', 2.00);");

    project.karat(["run"]).env("STATE_URL", &url).run().expect(6);

    drop(other_machine);
    let report = project.karat(["run", "--format", "json"]).env("STATE_URL", &url).run().expect(0).json();
    assert_eq!(read_and_written(&report), [1, 1]);
}

#[test]
fn a_row_of_shared_state_that_was_changed_by_hand_stops_the_run() {
    let server = match PostgresServer::shared() {
        Ok(server) => server,
        Err(skip) => return skip.report("a_row_of_shared_state_that_was_changed_by_hand_stops_the_run"),
    };
    let database = server.database();
    let (project, url) = project(&database);
    project.karat(["run", "--quiet"]).env("STATE_URL", &url).run().expect(0);
    let back = database.try_execute("UPDATE karat_state.streams SET seq = 0 WHERE stream = 'shop/bronze.orders'");
    assert!(back.is_err_and(|error| error.contains("go back")), "a position went back");
    database.execute("UPDATE karat_state.streams SET body = replace(body, '\"rows\":2', '\"rows\":3')");

    let damaged = project.karat(["run"]).env("STATE_URL", &url).run();

    assert_eq!(damaged.code, Some(5), "{}", damaged.said());
    assert!(damaged.said().contains("checksum") && damaged.said().contains("state rebuild"), "{}", damaged.said());
}

#[test]
fn a_state_server_that_is_away_stops_the_run_before_anything_is_read() {
    let server = match PostgresServer::start() {
        Ok(server) => server,
        Err(skip) => return skip.report("a_state_server_that_is_away_stops_the_run_before_anything_is_read"),
    };
    let database = server.database();
    let (project, url) = project(&database);
    server.kill();

    let away = project.karat(["run"]).env("STATE_URL", &url).run().expect(3);

    assert!(away.stderr.contains("state database"), "{}", away.stderr);
    assert!(!project.path().join(".karat/warehouse").exists());
    server.restart();
    project.karat(["run", "--quiet"]).env("STATE_URL", &url).run().expect(0);
}
