//! Asks sources what they hold.

use crate::Connections;
use futures::{StreamExt, stream};
use karat_plugin_api::{ConnectorError, Source, SourceObject, SourceSchema};
use karat_spec::ProjectSpec;
use karat_spec::model::TableName;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many catalogues are asked at once.
const QUESTIONS_AT_ONCE: usize = 8;

/// What the sources of the Bronze tables among `tables` say of their columns, and what could not be asked. Reads no rows.
///
/// Dropping the future cancels the questions.
pub async fn discover(spec: &ProjectSpec, tables: &[TableName], connections: &dyn Connections) -> (BTreeMap<TableName, SourceSchema>, Vec<(TableName, ConnectorError)>) {
    let mut schemas = BTreeMap::new();
    let mut failed = Vec::new();
    let mut questions = Vec::new();
    for table in spec.tables.iter().filter(|table| tables.contains(&table.name)) {
        let Some((connection, object)) = table.bronze().and_then(|bronze| bronze.from.as_ref()).and_then(object) else { continue };
        match connections.source(table.pipeline, &connection) {
            Ok(source) => questions.push(ask(table.name.clone(), source, object)),
            Err(error) => failed.push((table.name.clone(), error)),
        }
    }
    let mut answers = stream::iter(questions).buffered(QUESTIONS_AT_ONCE);
    while let Some((table, answer)) = answers.next().await {
        match answer {
            Ok(schema) => {
                schemas.insert(table, schema);
            }
            Err(error) => failed.push((table, error)),
        }
    }
    (schemas, failed)
}

async fn ask(table: TableName, source: Arc<dyn Source>, object: SourceObject) -> (TableName, Result<SourceSchema, ConnectorError>) {
    let answer = source.describe(&object).await;
    (table, answer)
}

fn object(from: &karat_spec::model::From) -> Option<(String, SourceObject)> {
    let table = from.table.clone().map(SourceObject::Table);
    let object = table.or_else(|| from.query.clone().map(SourceObject::Query)).or_else(|| from.path.clone().map(SourceObject::Files))?;
    Some((from.connection.clone()?, object))
}
