//! Ordinary indexes that are not there while rows arrive, and always come back.

use crate::client::quote;
use crate::sink::define::{Wanted, secondary_indexes, unique_indexes};
use crate::sink::ledger::Ledger;
use crate::sink::live::{LiveTable, TableName};
use crate::sink::session::Session;
use karat_plugin_api::ConnectorError;

/// The ordinary indexes of a table: name, and clause that makes it.
async fn of(session: &mut Session, table: &TableName) -> Result<Vec<(String, String)>, ConnectorError> {
    let text = definition(session, table).await?;
    // A column that counts must stay the first of an index.
    let counting: Vec<String> = text.lines().map(str::trim).filter(|line| line.contains(" AUTO_INCREMENT")).filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    let is_needed = |clause: &str| counting.iter().any(|column| clause.contains(&format!("({column}")));
    Ok(secondary_indexes(&text).into_iter().filter(|(_, clause)| !is_needed(clause)).collect())
}

async fn definition(session: &mut Session, table: &TableName) -> Result<String, ConnectorError> {
    let shown = session.row::<(String, String)>(&format!("describe table `{table}`"), &format!("SHOW CREATE TABLE {}", table.sql())).await?;
    Ok(shown.map(|(_, text)| text).unwrap_or_default())
}

/// Drops the ordinary indexes of a table that no reader sees; returns the clauses that make them.
pub(crate) async fn take_off(session: &mut Session, table: &TableName) -> Result<Vec<String>, ConnectorError> {
    let found = of(session, table).await?;
    drop_all(session, table, &found).await?;
    Ok(found.into_iter().map(|(_, clause)| clause).collect())
}

async fn drop_all(session: &mut Session, table: &TableName, found: &[(String, String)]) -> Result<(), ConnectorError> {
    if found.is_empty() {
        return Ok(());
    }
    let drops: Vec<String> = found.iter().map(|(name, _)| format!("DROP INDEX {}", quote(name))).collect();
    session.define(&format!("drop indexes of `{table}`"), &format!("ALTER TABLE {} {}", table.sql(), drops.join(", "))).await
}

/// The clauses of the live table's indexes, besides the primary key, whose columns the new table has in the same types.
pub(crate) async fn that_fit(session: &mut Session, live: &LiveTable, columns: &[Wanted]) -> Result<Vec<String>, ConnectorError> {
    let has = |index: &str| {
        let of_index = live.indexes.iter().find(|there| there.name == index).map(|there| &there.columns);
        let same = |name: &String| {
            let there = live.column(name).and_then(|column| column.kind.as_ref());
            columns.iter().any(|column| column.name == *name && there == Some(&column.kind))
        };
        of_index.is_some_and(|names| !names.is_empty() && names.iter().all(same))
    };
    let mut kept = Vec::new();
    let text = definition(session, &live.name).await?;
    for (name, clause) in secondary_indexes(&text).into_iter().chain(unique_indexes(&text)) {
        if has(&name) {
            kept.push(clause);
        } else {
            tracing::warn!(table = %live.name, index = %name, "the new table does not get this index: its columns changed");
        }
    }
    Ok(kept)
}

/// Notes the ordinary indexes of a live table, durably, and then drops them; true when there were any.
pub(crate) async fn put_away(session: &mut Session, ledger: &Ledger, table: &TableName) -> Result<bool, ConnectorError> {
    let found = of(session, table).await?;
    if found.is_empty() {
        return Ok(!ledger.read(session).await?.dropped_indexes.is_empty());
    }
    let mut clauses = ledger.read(session).await?.dropped_indexes;
    clauses.extend(found.iter().map(|(_, clause)| clause.clone()));
    clauses.dedup();
    ledger.write_dropped(session, &clauses).await?;
    drop_all(session, table, &found).await?;
    Ok(true)
}

/// Builds the noted indexes that are not there, and forgets them.
pub(crate) async fn build(session: &mut Session, ledger: &Ledger, table: &TableName, clauses: &[String]) -> Result<(), ConnectorError> {
    let there = of(session, table).await?;
    let adds: Vec<String> = clauses.iter().filter(|clause| !there.iter().any(|(_, known)| known == *clause)).map(|clause| format!("ADD {clause}")).collect();
    if !adds.is_empty() {
        session.define(&format!("build the indexes of `{table}`"), &format!("ALTER TABLE {} {}", table.sql(), adds.join(", "))).await?;
    }
    ledger.write_dropped(session, &[]).await
}
