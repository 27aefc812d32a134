//! The content of `schemas/`.

use karat_exec::RunReport;
use karat_spec::Catalog;
use serde_json::Value;

/// All schemas and plugin manifests: path below `schemas/`, and text.
pub(crate) fn schemas(catalog: &Catalog) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = karat_spec::schema_documents(catalog).into_iter().map(|document| (document.file_name.to_owned(), text(&document.schema))).collect();
    files.push(("diagnostic.schema.json".into(), text(&karat_diagnostics::render::json_schema())));
    files.push(("lock.schema.json".into(), text(&karat_spec::lock_schema())));
    files.push(("lock-report.schema.json".into(), text(&crate::lock_report::json_schema())));
    files.push(("plan.schema.json".into(), text(&karat_plan::json_schema())));
    files.push(("report.schema.json".into(), text(&schemars::schema_for!(RunReport).to_value())));
    for manifest in catalog.plugins.values() {
        let value = serde_json::to_value(manifest).unwrap_or_default();
        files.push((format!("plugins/{}.json", manifest.name), text(&value)));
    }
    files.sort();
    files
}

fn text(value: &Value) -> String {
    format!("{value:#}\n")
}
