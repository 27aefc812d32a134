//! The plan of one Silver or Gold table.

use crate::ends::{self, Filled, Names};
use crate::input::PlanInput;
use crate::{Guarantee, StageKind, StageWork, TablePlan, TransformWork, check, ddl, guarantee};
use karat_diagnostics::Diagnostic;
use karat_graph::{ReferenceKind, TableIndex};
use karat_plugin_api::Position;
use karat_spec::SqlText;
use karat_spec::model::{SchemaChanges, SqlTable, TableName};
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap};

/// What the run does for the table at `index`.
pub(crate) fn plan(input: &PlanInput<'_>, index: TableIndex, sql: &SqlTable, names: Names, guarantees: &HashMap<TableIndex, Guarantee>) -> (TablePlan, Vec<Diagnostic>) {
    let (spec, graph) = (input.checked.spec(), input.checked.graph());
    let table = &spec.tables[index.position()];
    let read = graph.references(index).iter().filter(|reference| reference.kind == ReferenceKind::Sql).filter_map(|reference| reference.target);
    let inputs: BTreeSet<TableIndex> = read.collect();
    let mut filled = Filled::new();
    let input_names: Vec<TableName> = inputs.iter().map(|index| graph.name(*index).clone()).collect();
    let texts: Vec<String> = input_names.iter().map(ToString::to_string).collect();
    let work = work(input, table, sql, input_names, &mut filled);
    filled.insert("load.mode".into(), "replace".into());

    let levels = inputs.iter().zip(&texts).filter_map(|(index, name)| Some((name.as_str(), *guarantees.get(index)?)));
    let (level, reason) = guarantee::of_transform(levels);
    let can = ends::manifest(input, table.pipeline, &work.to_connection).map(|manifest| &manifest.capabilities);
    let plan = TablePlan {
        stage: StageKind::Transform,
        pipeline: ends::pipeline(spec, table),
        depends_on: names.depends_on,
        blocks: names.blocks,
        strategy: "recompute".into(),
        watermark: None,
        predicate: Some(predicate(input, &work, table)),
        key: work.key.clone(),
        load_mode: "replace".into(),
        target: ends::target(input, table, &work.to_connection),
        guarantee: level,
        guarantee_reason: reason,
        chunk: None,
        layout: ends::layout_plan(&work.layout, can),
        estimated_rows: None,
        estimated_bytes: None,
        estimated_files: None,
        // The columns come from the SELECT, which only the SQL engine can name: what is known here is whether the table exists.
        ddl: input.targets.get(&table.name).map(|target| ddl::changes(target.as_ref(), &[], work.schema_changes)).unwrap_or_default(),
        checks: check::lines(&work.checks),
        schedule: ends::schedule(spec, table),
        reads: texts,
        defaults: filled,
        warnings: Vec::new(),
        work: Some(StageWork::Transform(Box::new(work))),
    };
    (plan, Vec::new())
}

fn work(input: &PlanInput<'_>, table: &karat_spec::TableSpec, sql: &SqlTable, inputs: Vec<TableName>, filled: &mut Filled) -> TransformWork {
    let written = table.sql.clone().unwrap_or_else(|| SqlText::new("", Vec::new(), table.name_span));
    let key = sql.key.clone().unwrap_or_default();
    let to_connection = ends::target_connection(table, filled);
    let table_layout = ends::table_layout(table, &key, None);
    let mut work = TransformWork {
        table: table.name.clone(),
        pipeline: table.pipeline,
        sql: written,
        dedup: sql.dedup.clone(),
        inputs,
        types: sql.types.clone().unwrap_or_default(),
        key,
        to_table: sql.to.as_ref().and_then(|to| to.table.clone()),
        to_connection,
        layout: ends::layout(table),
        table_layout,
        schema_changes: sql.schema_changes.unwrap_or(SchemaChanges::Evolve),
        guard: ends::guard(table),
        checks: check::work(table),
        code: String::new(),
    };
    work.code = code(&work, &ends::target(input, table, &work.to_connection).table);
    work
}

fn predicate(input: &PlanInput<'_>, work: &TransformWork, table: &karat_spec::TableSpec) -> String {
    if work.inputs.is_empty() {
        return "nothing: the SELECT reads no table".into();
    }
    let names = work.inputs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match ends::stream(input, table).map(|state| &state.hi) {
        Some(Position::Inputs { code, .. }) if *code == work.code && !input.options.full_refresh => format!("all rows of {names}, if one of them changed"),
        Some(Position::Inputs { code, .. }) if *code != work.code => format!("all rows of {names}, because the code changed"),
        _ => format!("all rows of {names}"),
    }
}

/// SHA-256 over everything that determines the output besides the inputs; every part is told apart by its length.
fn code(work: &TransformWork, target: &str) -> String {
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    part("karat transform 1");
    part(work.sql.as_str());
    for (column, written) in &work.types {
        part(column);
        part(written);
    }
    part("key");
    work.key.iter().for_each(|column| part(column));
    part("dedup");
    part(&format!("{:?}", work.dedup));
    part("checks");
    for check in &work.checks {
        part(&check.name);
        part(&format!("{:?}", check.check));
        part(check.sql.as_ref().map_or("", SqlText::as_str));
    }
    part("layout");
    part(&format!("{:?}", work.layout));
    part("target");
    part(&work.to_connection);
    part(target);
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
