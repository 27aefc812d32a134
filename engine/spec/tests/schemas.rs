//! The published schemas accept the examples, and refuse what an editor should mark.

mod catalog;

use catalog::catalog;
use karat_spec::schema_documents;
use serde_json::Value;

fn errors(file_name: &str, yaml: &str) -> Vec<String> {
    let schema = schema_documents(&catalog()).into_iter().find(|document| document.file_name == file_name).expect("a known schema").schema;
    let value: Value = serde_yaml::from_str(yaml).expect("YAML");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    validator.iter_errors(&value).map(|error| format!("{} {error}", error.instance_path())).collect()
}

#[test]
fn both_drafts_accept_the_examples() {
    for file_name in ["pipeline.schema.json", "pipeline.2020-12.schema.json"] {
        assert_eq!(errors(file_name, include_str!("data/market.yaml")), Vec::<String>::new(), "{file_name}");
        let full = include_str!("data/full.yaml").replace("      <<: *chunk\n", "");
        assert_eq!(errors(file_name, &full), Vec::<String>::new(), "{file_name}");
    }
}

#[test]
fn nothing_is_required_that_a_default_can_supply() {
    for (file_name, yaml) in [
        ("pipeline.schema.json", "version: 1\nbronze: { t: { dedup: { keep: last }, from: {} } }\nsilver: { s: {} }\ngold:\n"),
        ("project.schema.json", "version: 1\ndefaults: { silver: { incremental: { inputs: [bronze.t] } } }\n"),
    ] {
        assert_eq!(errors(file_name, yaml), Vec::<String>::new(), "{yaml}");
    }
}

#[test]
fn an_editor_marks_the_one_wrong_key() {
    for (yaml, place) in [
        ("bronze: {}", ""),
        ("version: 1\nbronze: { t: { frm: {} } }", "/bronze/t"),
        ("version: 1\nconnections: { c: { type: sqlite, pth: x } }", "/connections/c"),
        ("version: 1\nconnections: { c: { type: postgres, port: x } }", "/connections/c/port"),
        ("version: 1\nbronze: { t: { checks: [{ type: unique, colums: [a] }] } }", "/bronze/t/checks/0"),
        ("version: 1\nbronze: { t: { cdc: { lookback: 5 } } }", "/bronze/t/cdc/lookback"),
    ] {
        for file_name in ["pipeline.schema.json", "pipeline.2020-12.schema.json"] {
            let found = errors(file_name, yaml);
            assert!(!found.is_empty() && found.iter().all(|error| error.starts_with(&format!("{place} "))), "{file_name} {yaml}: {found:?}");
        }
    }
}
