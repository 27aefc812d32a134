//! What a plan needs from outside: sources, targets, state.

use crate::connections::ProjectConnections;
use crate::error::CliError;
use crate::state_place;
use karat_exec::Connections;
use karat_graph::{CheckedGraph, TableIndex};
use karat_plan::{Schemas, Targets};
use karat_plugin_api::{ConnectorError, StreamId, TargetObject, TargetState};
use karat_spec::ProjectSpec;
use karat_spec::model::TableName;
use karat_state::StateSnapshot;
use std::collections::BTreeSet;

/// What sources, targets and state say.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) schemas: Schemas,
    pub(crate) targets: Targets,
    pub(crate) state: StateSnapshot,
    /// What could not be asked.
    pub(crate) failed: Vec<(TableName, ConnectorError)>,
}

/// Asks sources and state; reads no rows and writes nothing.
pub(crate) async fn ask(checked: &CheckedGraph, tables: &BTreeSet<TableIndex>, connections: &ProjectConnections) -> Result<Seen, CliError> {
    let names: Vec<TableName> = tables.iter().map(|table| checked.graph().name(*table).clone()).collect();
    let (schemas, failed) = karat_exec::discover(checked.spec(), &names, connections).await;
    Ok(Seen { schemas, failed, state: snapshot(checked.spec()).await?, targets: Targets::new() })
}

/// Asks the targets which columns they have.
pub(crate) async fn ask_targets(spec: &ProjectSpec, seen: &mut Seen, tables: impl Iterator<Item = &TableName>, connections: &ProjectConnections) {
    for name in tables {
        match target(spec, name, connections).await {
            Ok(Some(TargetState::Absent)) => {
                seen.targets.insert(name.clone(), None);
            }
            Ok(Some(TargetState::Present { schema, .. })) => {
                seen.targets.insert(name.clone(), Some(schema));
            }
            Ok(None) => {}
            Err(error) => seen.failed.push((name.clone(), error)),
        }
    }
}

async fn target(spec: &ProjectSpec, name: &TableName, connections: &ProjectConnections) -> Result<Option<TargetState>, ConnectorError> {
    let Some(home) = connections.home(name) else { return Ok(None) };
    let Some(pipeline) = spec.pipelines.get(home.pipeline) else { return Ok(None) };
    let sink = connections.sink(home.pipeline, &home.connection)?;
    let target = home.table.map_or_else(|| sink.default_target(name), |table| TargetObject { table });
    sink.target_state(&StreamId::new(&pipeline.name, &name.to_string()), &target).await.map(Some)
}

/// What state remembers; an empty snapshot where there is no state yet.
pub(crate) async fn snapshot(spec: &ProjectSpec) -> Result<StateSnapshot, CliError> {
    match state_place::open_existing(spec).await? {
        Some(store) => Ok(store.snapshot().await?),
        None => Ok(StateSnapshot { is_new: true, ..StateSnapshot::default() }),
    }
}
