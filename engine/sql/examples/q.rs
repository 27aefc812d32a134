#![allow(missing_docs, clippy::all)]
use karat_spec::{Capabilities, Catalog, Environment, PluginManifest, SourceSet};
fn catalog() -> Catalog {
    let plugin = |name: &str, available: bool, strategies: &[&str], objects: &[&str], modes: &[&str], layout: bool| {
        let owned = |list: &[&str]| list.iter().map(|t| (*t).to_owned()).collect();
        let props = match name { "files" => serde_json::json!({"path":{"type":"string"},"format":{"type":"string","enum":["parquet","csv","ndjson"]},"compression":{"type":"string"},"csv":{"type":"object","properties":{"null_values":{"type":"array","items":{"type":"string"}}}}}), "delta"|"sqlite" => serde_json::json!({"path":{"type":"string"}}), _=>serde_json::json!({"url":{"type":"string"},"host":{"type":"string"},"port":{"type":"integer","minimum":1,"maximum":65535},"database":{"type":"string"},"user":{"type":"string"},"password":{"type":"string"}})};
        let req = if matches!(name,"files"|"delta"|"sqlite") {serde_json::json!(["path"])} else {serde_json::json!([])};
        let capabilities = Capabilities { source_strategies: owned(strategies), source_objects: owned(objects), load_modes: owned(modes), layout, atomic_position: !modes.is_empty(), declared_types_only: false, serial_commits: false };
        (name.to_owned(), PluginManifest { name: name.to_owned(), description: String::new(), available, capabilities, config: serde_json::json!({"type":"object","properties":props,"required":req,"additionalProperties":false}) })
    };
    let all = ["full", "id", "timestamp", "hybrid", "window", "diff", "log"];
    Catalog { plugins: [
        plugin("delta", true, &[], &[], &["append", "upsert", "replace"], true),
        plugin("files", true, &["full"], &["path"], &["append", "replace"], true),
        plugin("mysql", false, &all, &["table", "query"], &["append", "upsert", "replace"], false),
        plugin("postgres", false, &all, &["table", "query"], &["append", "upsert", "replace"], false),
        plugin("sqlite", true, &["full", "id", "timestamp", "hybrid"], &["table", "query"], &[], false),
    ].into_iter().collect() }
}
fn main() {
    for folder in std::env::args().skip(1) {
        let mut texts = vec![];
        for e in walk(&folder) {
            let p = e.as_path(); let n = p.strip_prefix(&folder).unwrap().to_string_lossy().into_owned();
            if p.is_file() && (n.ends_with(".yaml")||n.ends_with(".sql")) { if let Ok(t) = std::fs::read_to_string(p) { texts.push((n, t)); } else { println!("{folder}: not utf8"); } }
        }
        let refs: Vec<(&str,&str)> = texts.iter().map(|(a,b)|(a.as_str(),b.as_str())).collect();
        let sources = SourceSet::from_texts(&folder, &refs); let catalog = catalog();
        let (spec, mut f) = karat_spec::parse(&sources, &Environment::Unresolved, &catalog);
        let (graph, more) = karat_graph::build(&spec); f.extend(more); f.extend(karat_sql::check_project(&spec, &graph, &std::collections::BTreeMap::new()));
        println!("{}", serde_json::json!({"folder":folder,"report":serde_json::from_str::<serde_json::Value>(&karat_diagnostics::render::json(&f,&sources.map,&[])).unwrap()}));
    }
}
fn walk(f: &str) -> Vec<std::path::PathBuf> { let mut v=vec![]; let mut o=vec![std::path::PathBuf::from(f)]; while let Some(n)=o.pop(){ for e in std::fs::read_dir(n).unwrap(){ let p=e.unwrap().path(); if p.is_dir(){o.push(p)} else {v.push(p)} } } v.sort(); v }
