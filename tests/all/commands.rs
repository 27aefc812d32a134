//! Every command: what it prints, where, and how it exits.

use crate::karat::{Karat, repository};
use crate::market::TABLES;
use crate::project::Project;
use std::path::Path;
use std::process::Command;

const SHOP: &str = "version: 1
name: shop
tags: [sales]
connections:
  shop: { type: sqlite, path: shop.db }
bronze:
  orders:
    from: { connection: shop, table: orders }
    key: [id]
    cdc: { strategy: hybrid, cursor: updated_at }
silver:
  orders:
    sql: |
      SELECT id, amount
      FROM bronze.orders
    key: [id]
gold:
  totals:
    sql: SELECT count(*) AS orders, sum(amount) AS amount FROM silver.orders
";

fn shop() -> Project {
    let project = Project::of(SHOP);
    project.database(
        "shop.db",
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, amount DECIMAL(12,2), updated_at TIMESTAMP NOT NULL);
         INSERT INTO orders VALUES (1, 1.25, '2024-01-01 00:00:00'), (2, 2.50, '2024-01-02 00:00:00');",
    );
    project
}

#[test]
fn help_and_version_are_data_and_exit_with_0() {
    let project = Project::empty();

    let help = project.karat(["--help"]).run().expect(0);
    for command in ["init", "lint", "explain", "plan", "run", "status", "graph", "query", "state", "schema"] {
        assert!(help.stdout.lines().any(|line| line.trim_start().starts_with(command)), "no `{command}` in\n{}", help.stdout);
        project.karat([command, "--help"]).run().expect(0);
    }
    assert!(project.karat(["--version"]).run().expect(0).stdout.starts_with("karat "));
}

#[test]
fn a_wrong_command_line_exits_with_2() {
    let project = shop();

    for wrong in [&["frobnicate"][..], &["run", "--no-such-option"], &["lint", "--format", "yaml"], &["explain"], &["run", "no/such/path"]] {
        let outcome = project.karat(wrong.iter().copied()).run().expect(2);
        assert!(outcome.stdout.is_empty(), "{wrong:?} printed data: {}", outcome.stdout);
        assert!(!outcome.stderr.is_empty(), "{wrong:?} said nothing");
    }
}

#[test]
fn a_selector_that_matches_nothing_exits_with_2_and_suggests() {
    let project = shop();

    for command in ["lint", "plan", "run", "graph", "status"] {
        project.karat([command, "--select", "silver.order"]).run().expect(2).says(&["silver.order", "silver.orders"]);
    }
}

#[test]
fn init_writes_a_project_that_lints_and_runs() {
    let project = Project::empty();

    project.karat(["init", "fresh"]).run().expect(0);

    let fresh = project.path().join("fresh");
    assert!(fresh.join("karat.yaml").exists());
    let lint = Karat::within(&fresh).args(["lint", "--deny", "warnings"]).run().expect(0);
    assert!(lint.stdout.is_empty(), "{}", lint.stdout);
    Karat::within(&fresh).args(["plan", "--offline"]).run().expect(0);
    Karat::within(&fresh).args(["run"]).run().expect(0);
    Karat::within(&fresh).args(["init"]).run().expect(2).says(&["karat.yaml"]);
}

#[test]
fn lint_of_the_reference_pipelines_is_silent() {
    let outcome = Karat::within(&repository()).args(["lint", "pipelines"]).run().expect(0);

    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", ""));
}

#[test]
fn lint_needs_no_network_no_environment_and_no_home() {
    let project = shop();
    project.write("pipeline.yaml", SHOP.replace("{ type: sqlite, path: shop.db }", "{ type: postgres, url: \"${SHOP_URL}\" }"));
    let lonely = Karat::within(project.path()).args(["lint", "--format", "json"]).env("HOME", "/nonexistent");
    let cut_off = Command::new("unshare").args(["--net", "true"]).status().is_ok_and(|status| status.success());
    let lonely = if cut_off { lonely.through(&["unshare", "--net"]) } else { lonely };

    let outcome = lonely.run();

    // PostgreSQL is part of the language and not of this build, which is the only thing to say.
    let report = outcome.json();
    let findings = report["findings"].as_array().expect("findings are a list");
    assert!(findings.iter().all(|finding| finding["code"].as_str().is_some_and(|code| code.starts_with('P')) || finding["severity"] == "note"), "{report:#}");
    assert!(!project.path().join(".karat").exists(), "lint wrote something");
}

#[test]
fn a_finding_shows_what_where_why_and_how_to_fix() {
    let project = Project::of(&SHOP.replace("FROM bronze.orders", "FROM bronze.ordrs"));

    let outcome = project.karat(["lint"]).run().expect(1);

    for part in ["error[G002]", "`bronze.ordrs`", "--> pipeline.yaml:15:12", "FROM bronze.ordrs", "^^^^^^^^^^^^", "help", "`bronze.orders`"] {
        assert!(outcome.stdout.contains(part), "no `{part}` in\n{}", outcome.stdout);
    }
}

#[test]
fn warnings_are_errors_when_they_are_denied() {
    let project = Project::of(
        &SHOP.replace("gold:", "  unused_connection_below: { sql: SELECT 1 AS n }\ngold:").replace("connections:\n", "connections:\n  spare: { type: sqlite, path: spare.db }\n"),
    );

    let relaxed = project.karat(["lint", "--format", "json"]).run().expect(0).json();
    assert!(relaxed["findings"].as_array().is_some_and(|findings| findings.iter().any(|finding| finding["severity"] == "warning")), "{relaxed:#}");

    project.karat(["lint", "--deny", "warnings"]).run().expect(1);
}

#[test]
fn explain_prints_the_page_of_a_code() {
    let project = Project::empty();

    let page = project.karat(["explain", "G002"]).run().expect(0);
    assert!(page.stdout.contains("G002") && page.stdout.contains("bronze."), "{}", page.stdout);
    project.karat(["explain", "g002"]).run().expect(0);

    project.karat(["explain", "G999"]).run().expect(2).says(&["G999"]);
}

#[test]
fn plan_shows_order_strategy_predicate_load_mode_and_guarantee() {
    let project = Project::market(100);

    let text = project.karat(["plan", "--offline"]).run().expect(0).stdout;

    for word in TABLES.into_iter().chain(["hybrid", "append", "replace", "exchange_timestamp", "G2"]) {
        assert!(text.contains(word), "no `{word}` in\n{text}");
    }
    let waves: Vec<usize> = ["bronze.trades_binance", "silver.trades", "gold.bars_1m"].iter().map(|name| text.find(name).expect("the table is in the plan")).collect();
    assert!(waves.is_sorted(), "the plan is not in order:\n{text}");
    assert!(!project.path().join(".karat").exists(), "an offline plan wrote something");
}

#[test]
fn plan_speaks_json_markdown_mermaid_and_dot() {
    let project = Project::market(100);

    let plan = project.karat(["plan", "--offline", "--format", "json"]).run().expect(0).json();
    let waves: Vec<Vec<&str>> = plan["waves"]
        .as_array()
        .expect("waves are lists")
        .iter()
        .map(|wave| wave.as_array().expect("a wave is a list").iter().filter_map(|name| name.as_str()).collect())
        .collect();
    assert_eq!(waves.len(), 3);
    assert_eq!(waves[0], ["bronze.trades_binance", "bronze.trades_kraken"]);
    assert_eq!(waves[1], ["silver.trades"]);
    assert_eq!(plan["tables"]["bronze.trades_binance"]["strategy"], "hybrid");
    assert_eq!(plan["tables"]["bronze.trades_binance"]["load_mode"], "append");
    assert_eq!(plan["tables"]["gold.bars_1d"]["depends_on"], serde_json::json!(["silver.trades"]));
    for (format, mark) in [("markdown", "| "), ("mermaid", "-->"), ("dot", "digraph")] {
        let shown = project.karat(["plan", "--offline", "--format", format]).run().expect(0).stdout;
        assert!(shown.contains(mark) && TABLES.iter().all(|name| shown.contains(name)), "{format}:\n{shown}");
    }
}

#[test]
fn a_plan_with_the_database_at_hand_estimates_rows_and_knows_the_watermark() {
    let project = Project::market(1_000);
    let before = project.karat(["plan", "--format", "json"]).run().expect(0).json();
    assert_eq!(before["tables"]["bronze.trades_binance"]["watermark"], serde_json::Value::Null);
    project.karat(["run"]).run().expect(0);

    let after = project.karat(["plan", "--format", "json"]).run().expect(0).json();

    assert!(!after["tables"]["bronze.trades_binance"]["watermark"].is_null(), "{after:#}");
    assert!(after["tables"]["bronze.trades_binance"]["predicate"].as_str().is_some_and(|predicate| predicate.contains("exchange_timestamp")), "{after:#}");
}

#[test]
fn graph_speaks_text_mermaid_and_dot() {
    let project = Project::market(10);

    for (format, mark) in [("text", "silver.trades"), ("mermaid", "-->"), ("dot", "digraph")] {
        let shown = project.karat(["graph", "--format", format]).run().expect(0).stdout;
        let bare = TABLES.iter().filter_map(|name| name.split('.').next_back());
        assert!(shown.contains(mark) && bare.into_iter().all(|name| shown.contains(name)), "{format}:\n{shown}");
    }
    let part = project.karat(["graph", "--format", "dot", "--select", "+silver.trades"]).run().expect(0).stdout;
    assert!(part.contains("silver.trades") && !part.contains("gold."), "{part}");
}

#[test]
fn run_status_query_and_state_tell_the_same_story() {
    let project = shop();
    let never = project.karat(["status", "--format", "json"]).run().expect(0).json();
    assert_eq!(never["tables"]["bronze.orders"]["last_run"], serde_json::Value::Null);

    project.karat(["run"]).run().expect(0);

    let status = project.karat(["status"]).run().expect(0).stdout;
    assert!(status.contains("bronze.orders") && status.contains("2024-01-02 00:00:00"), "{status}");
    let shown = project.karat(["query", "SELECT orders, amount FROM gold.totals"]).run().expect(0).stdout;
    assert!(shown.contains('2') && shown.contains("3.75"), "{shown}");
    let rows = project.karat(["query", "--format", "json", "SELECT orders, amount FROM gold.totals"]).run().expect(0);
    assert!(rows.stdout.contains("3.75"), "{}", rows.stdout);
    let state = project.karat(["state", "show"]).run().expect(0).stdout;
    assert!(state.contains("bronze.orders"), "{state}");
}

#[test]
fn a_query_with_a_fault_points_at_it() {
    let project = shop();
    project.karat(["run"]).run().expect(0);

    let outcome = project.karat(["query", "SELECT amuont FROM silver.orders"]).run();

    assert!(matches!(outcome.code, Some(1 | 2)), "exit code {:?}", outcome.code);
    outcome.says(&["amuont", "amount"]);
    let writing = project.karat(["query", "DROP TABLE silver.orders"]).run();
    assert!(matches!(writing.code, Some(1 | 2)), "exit code {:?}", writing.code);
}

#[test]
fn findings_stop_a_run_before_it_starts() {
    let project = Project::of(&SHOP.replace("FROM bronze.orders", "FROM bronze.ordrs"));

    project.karat(["run"]).run().expect(1).says(&["G002"]);

    assert!(!project.path().join(".karat").exists(), "a refused run wrote something");
}

#[test]
fn an_unset_variable_stops_a_run_and_not_lint() {
    let project = Project::of(&SHOP.replace("path: shop.db", "path: \"${SHOP_DB}\""));

    project.karat(["lint"]).run().expect(0);
    project.karat(["plan", "--offline"]).run().expect(0);
    project.karat(["run"]).run().expect(1).says(&["SHOP_DB"]);
}

#[test]
fn a_value_from_the_environment_is_never_shown() {
    let project = Project::of(&SHOP.replace("path: shop.db", "path: \"${SHOP_DB}\""));
    let secret = "s3cr3t-place";

    for arguments in [&["run"][..], &["run", "--format", "json"], &["plan"], &["plan", "--format", "json"], &["status"]] {
        let said = project.karat(arguments.iter().copied()).env("SHOP_DB", format!("{secret}/shop.db")).run().said();
        assert!(!said.contains(secret), "{arguments:?} shows it:\n{said}");
    }
}

#[test]
fn lint_shows_notes_also_where_there_is_nothing_graver() {
    let project = shop();
    project.write("karat.yaml", "version: 1\nlint: { levels: { C003: note } }\n");

    let outcome = project.karat(["lint"]).run().expect(0);

    assert!(outcome.stdout.contains("note[C003]"), "{}", outcome.stdout);
}

#[test]
fn a_report_as_json_is_about_one_project() {
    let folder = Project::empty();
    for name in ["one", "two"] {
        folder.write(&format!("{name}/pipeline.yaml"), SHOP);
    }

    let outcome = folder.karat(["run", "--format", "json"]).run().expect(2);

    assert_eq!(outcome.stdout, "");
    outcome.says(&["a report as JSON is about one project, and these paths belong to 2 projects", "name one of them"]);
}

#[test]
fn a_level_can_be_set_for_what_only_the_plan_finds() {
    let project = shop();
    project.write("karat.yaml", "version: 1\nlint: { levels: { D101: warn, L101: note, D110: warn } }\n");

    let outcome = project.karat(["lint"]).run().expect(1);

    assert!(outcome.stdout.contains("`D110` is no lint rule") && outcome.stdout.contains("did you mean `D"), "{}", outcome.stdout);
    assert!(!outcome.stdout.contains("D101` is no") && !outcome.stdout.contains("L101` is no"), "{}", outcome.stdout);
}

#[test]
fn quiet_commands_say_nothing_when_all_is_well() {
    let project = shop();

    for arguments in [&["lint", "--quiet"][..], &["run", "--quiet"]] {
        let outcome = project.karat(arguments.iter().copied()).run().expect(0);
        assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", ""), "{arguments:?}");
    }
}

#[test]
fn output_without_a_terminal_has_no_colour_and_no_progress_bars() {
    let project = shop();

    let outcome = project.karat(["run"]).run().expect(0);

    assert!(!outcome.said().contains('\x1b') && !outcome.said().contains('\r'), "{:?}", outcome.said());
}

#[test]
fn the_stable_parts_of_every_output_are_the_same_twice() {
    let project = Project::market(50);

    for arguments in [&["plan", "--offline", "--format", "json"][..], &["plan", "--offline"], &["graph"], &["schema", "pipeline"], &["lint", "--format", "json"]] {
        let (one, two) = (project.karat(arguments.iter().copied()).run(), project.karat(arguments.iter().copied()).run());
        assert_eq!(one.stdout, two.stdout, "{arguments:?}");
    }
}

#[test]
fn schema_prints_a_json_schema() {
    let project = Project::empty();

    for kind in ["pipeline", "project", "plan", "report"] {
        let schema = project.karat(["schema", kind]).run().expect(0).json();
        assert!(schema["$schema"].is_string() && schema["properties"].is_object(), "{kind}: {schema:#}");
    }
    project.karat(["schema", "pipelin"]).run().expect(2).says(&["pipeline"]);
}

#[test]
fn a_run_from_any_folder_uses_the_project_of_its_path() {
    let project = Project::market(100);
    let elsewhere = Project::empty();

    elsewhere.karat(["run", &project.path().display().to_string()]).run().expect(0);

    assert!(project.path().join(".karat/warehouse/silver/trades").exists());
    assert!(!elsewhere.path().join(".karat").exists());
}

#[test]
fn two_projects_lint_in_one_command() {
    let folder = Project::empty();
    for name in ["one", "two"] {
        folder.write(&format!("{name}/karat.yaml"), "version: 1\nconnections:\n  shop: { type: sqlite, path: shop.db }\n");
        let pipeline = SHOP.replace("connections:\n  shop: { type: sqlite, path: shop.db }\n", "");
        folder.write(&format!("{name}/pipeline.yaml"), if name == "two" { pipeline.replace("FROM bronze.orders", "FROM bronze.nothing") } else { pipeline });
    }

    let report = folder.karat(["lint", "--format", "json", "."]).run().expect(1).json();

    let files: Vec<&str> = report["findings"]
        .as_array()
        .expect("findings are a list")
        .iter()
        .filter(|finding| finding["severity"] == "error")
        .filter_map(|finding| finding["file"].as_str())
        .collect();
    assert!(files.iter().all(|file| Path::new(file).ends_with("two/pipeline.yaml")) && !files.is_empty(), "{files:?}");
}
