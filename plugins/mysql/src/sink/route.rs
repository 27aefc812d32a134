//! Where the rows of a load go: into a table on the side that takes the live one's place, or through a temporary table into the live one.

use crate::sink::bulk::Destination;
use crate::sink::define::{self, Fit, ORDINAL, Staging, Wanted};
use crate::sink::indexes;
use crate::sink::ledger::{Entry, Ledger};
use crate::sink::live::{self, LiveTable, TableName};
use crate::sink::merge::{Merge, Rule};
use crate::sink::session::{Session, code_of};
use crate::sink::swap::Spares;
use crate::sink::window;
use karat_plugin_api::{ConnectorError, ErrorKind, LoadRequest, WriteMode};
use std::sync::Arc;

/// Where rows go.
pub(super) enum Route {
    /// Into a table beside the live one, which takes its place.
    Beside(Box<Beside>),
    /// Through a temporary table into the live one.
    Join(Box<Join>),
    /// Into the table that this load has put in place.
    Placed,
}

/// A table that is filled beside the live one.
pub(super) struct Beside {
    pub(super) shadow: TableName,
    /// The table that it replaces.
    live: Option<LiveTable>,
    /// What a person wrote about the table.
    pub(super) remark: String,
    /// Rows of one key are sorted out before they get there.
    merge: Option<Merge>,
    destination: Option<Arc<Destination>>,
    /// Indexes that are built when the rows are there, as clauses.
    indexes: Vec<String>,
    pub(super) is_made: bool,
}

/// The live table that rows join.
pub(super) struct Join {
    pub(super) live: LiveTable,
    pub(super) marker: String,
    pub(super) merge: Merge,
    changes: Vec<String>,
    is_stage_made: bool,
    pub(super) indexes_are_off: bool,
}

/// Decides how rows reach the table, and refuses what must not be written to.
pub(super) async fn route(session: &mut Session, ledger: &Ledger, request: &LoadRequest, live: Option<LiveTable>, newest: Option<&Entry>) -> Result<Route, ConnectorError> {
    let is_new_generation = request.mode == WriteMode::Replace || newest.is_some_and(|newest| newest.record.generation < request.generation);
    if let Some(live) = &live {
        live.expect_transactional()?;
    }
    let foreign = match (&live, newest) {
        (Some(live), None) => match live.marker() {
            Some(marker) => ledger.foreign(session, marker).await?,
            None => None,
        },
        _ => None,
    };
    match live {
        Some(live) if !is_new_generation => {
            if newest.is_none() && foreign.is_none() && !live.is_empty(session).await? {
                return Err(ConnectorError::new(ErrorKind::Refused, format!("table `{}` holds rows that this pipeline did not write", live.name))
                    .with_help("name another target in `to.table`, or replace the table with `--full-refresh`"));
            }
            let (marker, is_ours) = match live.marker() {
                Some(marker) => (marker.to_owned(), true),
                None => (live::marker(request.generation.0, &request.attempt), false),
            };
            Ok(Route::Join(Box::new(Join::new(session, request, live, marker, !is_ours)?)))
        }
        live => {
            if let (Some(live), Some(foreign)) = (&live, &foreign) {
                return Err(ConnectorError::new(ErrorKind::Refused, format!("table `{}` was written by `{}`", live.name, foreign.record.stream))
                    .with_help("name another target in `to.table`, or remove the foreign table"));
            }
            if let Some(live) = &live {
                expect_free_standing(session, live).await?;
            }
            let spares = Spares::new(&TableName::parse(&request.target)?, request.stream.as_str());
            let shadow = spares.shadow(request.epoch, &request.attempt);
            let remark = live.as_ref().map(|live| live.remark().to_owned()).unwrap_or_default();
            let mut beside = Beside { shadow, live, remark, merge: None, destination: None, indexes: Vec::new(), is_made: false };
            if let WriteMode::Upsert { key, unique_in_read: false, order_by } = &request.mode {
                let rule = Rule::Replace { key: key.clone(), winner: Some(order_by.clone()) };
                beside.merge = Some(Merge { stage: stage_of(&beside.shadow), columns: define::wanted(request, session.dialect)?, rule });
            }
            // What could not be written is said before anything is read.
            define::wanted(request, session.dialect)?;
            Ok(Route::Beside(Box::new(beside)))
        }
    }
}

/// A rename would leave triggers with the old table, and foreign keys pointing at it.
async fn expect_free_standing(session: &mut Session, live: &LiveTable) -> Result<(), ConnectorError> {
    let name = &live.name;
    let table = crate::client::literal(&name.table);
    let schema = name.database.as_deref().map_or_else(|| "DATABASE()".to_owned(), crate::client::literal);
    let sql = format!(
        "SELECT (SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = {schema} AND EVENT_OBJECT_TABLE = {table}), \
         (SELECT COUNT(*) FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE (CONSTRAINT_SCHEMA = {schema} AND TABLE_NAME = {table}) \
         OR (UNIQUE_CONSTRAINT_SCHEMA = {schema} AND REFERENCED_TABLE_NAME = {table}))"
    );
    let (triggers, keys) = session.row::<(u64, u64)>(&format!("describe table `{name}`"), &sql).await?.unwrap_or_default();
    if triggers + keys == 0 {
        return Ok(());
    }
    let what = if triggers > 0 { "triggers" } else { "foreign keys" };
    Err(ConnectorError::new(ErrorKind::Refused, format!("table `{name}` has {what}, which would not follow when a new table takes its place"))
        .with_help(format!("drop the {what}, or load with `mode: upsert` or `append`")))
}

fn stage_of(beside: &TableName) -> TableName {
    beside.sibling("karat_stage")
}

impl Beside {
    pub(super) async fn destination(&mut self, session: &mut Session, request: &LoadRequest) -> Result<Arc<Destination>, ConnectorError> {
        if let Some(destination) = &self.destination {
            return Ok(Arc::clone(destination));
        }
        self.make(session, request).await?;
        let shadow = LiveTable::read(session, &self.shadow).await?;
        let shadow = shadow.ok_or_else(|| ConnectorError::new(ErrorKind::Conflict, format!("table `{}` was dropped while it was filled", self.shadow)))?;
        let columns = define::fit(request, &shadow, session.dialect)?.columns;
        let destination = match &mut self.merge {
            Some(merge) => {
                merge.columns = columns;
                session.define("make the staging table", &define::create_stage(&merge.stage, &merge.columns, Staging::Numbered, session.dialect)).await?;
                Destination { table: merge.stage.clone(), columns: define::written(&merge.columns), ordinal: Some(ORDINAL.to_owned()), is_private: true }
            }
            None => Destination { table: self.shadow.clone(), columns: define::written(&columns), ordinal: None, is_private: false },
        };
        let destination = Arc::new(destination);
        self.destination = Some(Arc::clone(&destination));
        Ok(destination)
    }

    /// Makes the table: like the live one where that fits the load, else as the load needs it. Ordinary indexes come when the rows are there.
    async fn make(&mut self, session: &mut Session, request: &LoadRequest) -> Result<(), ConnectorError> {
        if self.is_made {
            return Ok(());
        }
        let action = format!("make table `{}`", self.shadow);
        let key = define::primary_key(request);
        let like = self.live.as_ref().filter(|live| is_like(request, live, &key, session));
        // From here on the table may be there, whatever the answer is.
        self.is_made = true;
        match like {
            Some(live) => {
                session.define(&action, &format!("CREATE TABLE {} LIKE {}", self.shadow.sql(), live.name.sql())).await?;
                self.indexes = indexes::take_off(session, &self.shadow).await?;
            }
            None => {
                let columns = define::wanted(request, session.dialect)?;
                session.define(&action, &define::create(&self.shadow, &columns, &key, &self.remark, session.dialect)).await?;
                self.indexes = define::identity_index(request, &columns).into_iter().chain(define::window_index(request)).collect();
                if let Some(live) = &self.live {
                    let kept = indexes::that_fit(session, live, &columns).await?;
                    self.indexes.extend(kept);
                }
            }
        }
        Ok(())
    }

    /// Brings all staged rows into the table; returns how many there are.
    pub(super) async fn fill(&mut self, session: &mut Session, request: &LoadRequest, taken: u64) -> Result<u64, ConnectorError> {
        self.destination(session, request).await?;
        let mut rows = taken;
        if let Some(merge) = self.merge.as_ref().filter(|_| taken > 0) {
            rows -= merge.leave_out(session, None).await?;
            let plain = Merge { rule: Rule::Add, ..merge.clone() };
            let done = session.run(&format!("fill table `{}`", self.shadow), &plain.statement(&self.shadow, session.dialect)).await?;
            if done.affected != rows {
                return Err(ConnectorError::new(ErrorKind::Corrupt, format!("{rows} rows were staged for `{}`, but {} arrived", self.shadow, done.affected)));
            }
            merge.settle(session).await?;
        }
        let clauses: Vec<String> = std::mem::take(&mut self.indexes).into_iter().map(|clause| format!("ADD {clause}")).collect();
        if !clauses.is_empty() {
            session.define(&format!("build the indexes of `{}`", self.shadow), &format!("ALTER TABLE {} {}", self.shadow.sql(), clauses.join(", "))).await?;
        }
        Ok(rows)
    }
}

/// True when a table like the live one takes the load as it is, and has the key that the load needs.
fn is_like(request: &LoadRequest, live: &LiveTable, key: &[String], session: &Session) -> bool {
    let has_only_those = live.columns.iter().all(|column| column.is_generated || column.is_row_number || request.schema.fields().find(&column.name).is_some());
    let nullable = |name: &str| live.column(name).is_some_and(|column| column.nullable);
    let keeps_nulls = request.schema.fields().iter().all(|field| key.contains(field.name()) || !field.is_nullable() || nullable(field.name()));
    let fits = define::fit(request, live, session.dialect).is_ok_and(|fit| fit.changes.is_empty());
    let primary: &[String] = live.indexes.iter().find(|index| index.name == "PRIMARY").map_or(&[], |index| &index.columns);
    has_only_those && keeps_nulls && fits && primary == key
}

/// Names of columns are the same in any case: these are the table's.
fn as_in_table(key: &[String], columns: &[Wanted]) -> Vec<String> {
    let named = |name: &String| columns.iter().find(|column| column.name.eq_ignore_ascii_case(name)).map_or_else(|| name.clone(), |column| column.name.clone());
    key.iter().map(named).collect()
}

impl Join {
    pub(super) fn new(session: &Session, request: &LoadRequest, live: LiveTable, marker: String, needs_marker: bool) -> Result<Self, ConnectorError> {
        let fit = define::fit(request, &live, session.dialect)?;
        if let WriteMode::Window { column, .. } = &request.mode {
            window::expect_column(column, &fit)?;
            window::warn_without_index(column, &live);
        }
        let Fit { columns, mut changes } = fit;
        if needs_marker {
            let remark = live.remark();
            let comment = if remark.is_empty() { marker.clone() } else { format!("{remark} {marker}") };
            changes.push(format!("COMMENT={}", crate::client::literal(&comment)));
        }
        let rule = match &request.mode {
            WriteMode::Append { once_by: None } | WriteMode::Replace => Rule::Add,
            WriteMode::Append { once_by: Some(identity) } if identity.len() >= request.schema.fields().len() => Rule::Copies,
            WriteMode::Append { once_by: Some(identity) } => Rule::Once(identity.clone()),
            WriteMode::Upsert { key, unique_in_read, order_by } => Rule::Replace { key: key.clone(), winner: (!unique_in_read).then(|| order_by.clone()) },
            WriteMode::Window { column, key } => Rule::Window { column: column.clone(), key: as_in_table(key, &columns) },
            WriteMode::Diff { key, deletes, max_delete } => Rule::Diff { key: as_in_table(key, &columns), deletes: *deletes, max_delete: *max_delete },
        };
        if let Some(key) = rule.compared_key() {
            define::expect_key_index(key, &live)?;
        }
        let merge = Merge { stage: stage_of(&live.name), columns, rule };
        Ok(Self { live, marker, merge, changes, is_stage_made: false, indexes_are_off: false })
    }

    pub(super) async fn destination(&mut self, session: &mut Session, request: &LoadRequest) -> Result<Arc<Destination>, ConnectorError> {
        if !self.is_stage_made {
            self.make_stage(session, request).await?;
            self.is_stage_made = true;
        }
        let ordinal = self.merge.rule.compared_key().is_none().then(|| ORDINAL.to_owned());
        Ok(Arc::new(Destination { table: self.merge.stage.clone(), columns: define::written(&self.merge.columns), ordinal, is_private: true }))
    }

    async fn make_stage(&self, session: &mut Session, request: &LoadRequest) -> Result<(), ConnectorError> {
        let action = "make the staging table";
        let create = |how, session: &Session| define::create_stage(&self.merge.stage, &self.merge.columns, how, session.dialect);
        let how = self.merge.rule.compared_key().map_or(Staging::Numbered, Staging::Keyed);
        // Whole windows are staged at once, however large they are, and so is what waits until indexes are built anew.
        if session.dialect.is_mariadb && !self.merge.rule.removes() && !request.table.disable_indexes {
            match session.define(action, &create(Staging::Few, session)).await {
                // Servers can be told to have one engine only.
                Err(error) if matches!(code_of(&error), Some(1286 | 1290)) => {}
                other => return other,
            }
        }
        session.define(action, &create(how, session)).await
    }

    /// Changes the table where the load needs that, and leaves out what it holds; returns how many rows the commit moves.
    pub(super) async fn prepare(&mut self, session: &mut Session, request: &LoadRequest, ledger: &Ledger, taken: u64) -> Result<u64, ConnectorError> {
        if !self.changes.is_empty() {
            let sql = format!("ALTER TABLE {} {}", self.live.name.sql(), self.changes.join(", "));
            session.define(&format!("change table `{}`", self.live.name), &sql).await?;
            self.changes.clear();
        }
        if self.merge.rule.removes() {
            // What is not staged goes, also when nothing is.
            self.destination(session, request).await?;
        }
        if taken == 0 {
            return Ok(0);
        }
        if request.table.disable_indexes && !self.indexes_are_off {
            self.indexes_are_off = indexes::put_away(session, ledger, &self.live.name).await?;
        }
        Ok(taken - self.merge.leave_out(session, Some(&self.live.name)).await?)
    }
}
