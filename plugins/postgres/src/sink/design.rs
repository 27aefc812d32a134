//! Which column of the target takes which column of a load, and what must change there first.

use super::form::{Form, Intake, column_type, intake};
use super::relation::{TableColumn, Trouble, columns};
use crate::client::Session;
use crate::schema::{TypeFacts, native};
use crate::spelling::{literal, quote};
use arrow::datatypes::{DataType, Field, TimeUnit};
use karat_plugin_api::{ConnectorError, DeclaredType, ErrorKind, LoadRequest};

/// The name under which this plugin's own types are known.
const SYSTEM: &str = "postgres";

/// One column of a load in its target.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub(crate) name: String,
    /// The type that the target's column has, or will have after `change`.
    pub(crate) declared: String,
    pub(crate) intake: Intake,
    pub(crate) change: Option<Change>,
    pub(crate) nullable: bool,
}

/// What is done to the target before rows are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// The column is new.
    Add,
    /// Its type holds more.
    Widen,
    /// NULL may occur.
    DropNotNull,
}

impl Placed {
    /// The binary form that is sent; columns that are cast are sent as text.
    pub(crate) fn form(&self) -> Form {
        match &self.intake {
            Intake::Direct(form) | Intake::Cast(form) => form.clone(),
        }
    }

    /// The type of the column that rows are staged in.
    pub(crate) fn staged(&self) -> &str {
        match self.intake {
            Intake::Direct(_) => &self.declared,
            Intake::Cast(Form::List(..)) => "text[]",
            Intake::Cast(_) => "text",
        }
    }

    /// The target's value of the staged row `s`.
    pub(crate) fn expression(&self) -> String {
        match self.intake {
            Intake::Direct(_) => format!("s.{}", quote(&self.name)),
            Intake::Cast(_) => format!("CAST(s.{} AS {})", quote(&self.name), self.cast_type()),
        }
    }

    /// The type that a text is cast to. Strings of bits are not cast to their length, which would cut them in silence; the column then refuses them.
    pub(crate) fn cast_type(&self) -> &str {
        let declared = type_of(&self.declared);
        let is_array = declared.ends_with("[]");
        match declared {
            bits if bits.starts_with("bit varying") && !is_array => "pg_catalog.varbit",
            bits if bits.starts_with("bit(") && !is_array => "pg_catalog.\"bit\"",
            declared => declared,
        }
    }

    /// The statement that changes the target, if one does.
    pub(crate) fn alteration(&self, table: &str) -> Option<String> {
        let column = quote(&self.name);
        Some(match self.change? {
            Change::Add => format!("ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {column} {}", self.declared),
            Change::Widen => format!("ALTER TABLE {table} ALTER COLUMN {column} TYPE {}", self.declared),
            Change::DropNotNull => format!("ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL"),
        })
    }
}

/// The type without its collation.
fn type_of(declared: &str) -> &str {
    declared.split_once(" COLLATE ").map_or(declared, |(type_name, _)| type_name)
}

/// What a table that is filled now holds already.
pub(crate) struct Existing<'a> {
    pub(crate) columns: &'a [TableColumn],
    /// Karat made or adopted it, so that it may follow its source.
    pub(crate) is_ours: bool,
    /// For messages.
    pub(crate) described: &'a str,
    /// Columns that must stay NOT NULL.
    pub(crate) key: Vec<String>,
}

/// The columns of a table that is made for a load. A column of the table whose place it takes keeps its type where that holds the values, unless
/// the source names the type itself.
pub(crate) async fn for_new_table(session: &mut Session, request: &LoadRequest, old: &[TableColumn]) -> Result<Vec<Placed>, Trouble> {
    let natives = known_natives(session, request).await?;
    let mut choices: Vec<Vec<String>> = Vec::new();
    for (field, native) in request.schema.fields().iter().zip(&natives) {
        let kept = old.iter().find(|column| column.name == *field.name() && holds(column, field, None)).map(|column| column.declared.clone());
        let general = column_type(field.data_type());
        let list: Vec<String> = [native.clone(), kept.filter(|_| native.is_none()), general].into_iter().flatten().collect();
        if list.is_empty() {
            return Err(unsupported(field).into());
        }
        choices.push(list);
    }
    let mut picks = vec![0; choices.len()];
    loop {
        let wanted: Vec<(&str, &str)> =
            request.schema.fields().iter().zip(&choices).zip(&picks).map(|((field, choices), pick)| (field.name().as_str(), choices[*pick].as_str())).collect();
        let probed = probe(session, &wanted).await?;
        let mut placed = Vec::new();
        let mut is_done = true;
        for (at, (field, column)) in request.schema.fields().iter().zip(&probed).enumerate() {
            match intake(&column.facts, field.data_type()) {
                Some(intake) => {
                    placed.push(Placed { name: field.name().clone(), declared: choices[at][picks[at]].clone(), intake, change: None, nullable: field.is_nullable() });
                }
                // The source's type is not the one the values are read in: the general one holds them.
                None if picks[at] + 1 < choices[at].len() => {
                    picks[at] += 1;
                    is_done = false;
                }
                None => return Err(unsupported(field).into()),
            }
        }
        if is_done {
            return Ok(placed);
        }
    }
}

/// The columns of a table that stays.
pub(crate) async fn for_existing(session: &mut Session, request: &LoadRequest, existing: &Existing<'_>) -> Result<Vec<Placed>, Trouble> {
    let described = existing.described;
    if let Some(missing) =
        existing.columns.iter().find(|column| column.not_null && !column.fills_itself && !column.is_generated && request.schema.field_with_name(&column.name).is_err())
    {
        return Err(ConnectorError::new(ErrorKind::SchemaMismatch, format!("{described} wants a value in column `{}`, which is not loaded", missing.name))
            .with_help(format!("load the column, or let it be empty: `ALTER TABLE … ALTER COLUMN {} DROP NOT NULL`", quote(&missing.name)))
            .into());
    }
    let natives = declared_natives(request);
    let mut placed: Vec<Option<Placed>> = Vec::new();
    let mut open: Vec<(usize, String)> = Vec::new();
    for (at, field) in request.schema.fields().iter().enumerate() {
        let found = existing.columns.iter().find(|column| column.name == *field.name());
        if let Some(column) = found.filter(|column| column.is_generated) {
            return Err(ConnectorError::new(ErrorKind::SchemaMismatch, format!("column `{}` of {described} is computed by the server", column.name))
                .with_help("leave it out of the load with `exclude`")
                .into());
        }
        let native = natives[at].as_deref();
        let may_grow = existing.is_ours && found.is_some_and(|column| matches!(column.facts.oid, VARCHAR | CHAR) && native.is_some_and(|native| native != column.declared));
        match found {
            Some(column) if holds(column, field, native) => {
                let opens = existing.is_ours && column.not_null && field.is_nullable() && !existing.key.contains(&column.name);
                let intake = intake(&column.facts, field.data_type()).ok_or_else(|| unsupported(field))?;
                let change = opens.then_some(Change::DropNotNull);
                placed.push(Some(Placed { name: column.name.clone(), declared: column.declared.clone(), intake, change, nullable: field.is_nullable() }));
                if may_grow {
                    open.push((at, native.unwrap_or_default().to_owned()));
                }
            }
            _ => {
                placed.push(None);
                let general = column_type(field.data_type()).ok_or_else(|| unsupported(field))?;
                open.push((at, native.map_or(general, str::to_owned)));
            }
        }
    }
    if !open.is_empty() {
        settle(session, request, existing, &mut placed, open).await?;
    }
    placed.into_iter().map(|placed| placed.ok_or_else(|| ConnectorError::new(ErrorKind::Bug, "a column of a load found no place").into())).collect()
}

const VARCHAR: u32 = 1043;
const CHAR: u32 = 1042;
const TEXT: u32 = 25;

/// Finds places for columns that are new or whose type is too small.
async fn settle(session: &mut Session, request: &LoadRequest, existing: &Existing<'_>, placed: &mut [Option<Placed>], open: Vec<(usize, String)>) -> Result<(), Trouble> {
    let known = known_natives(session, request).await?;
    let fields = request.schema.fields();
    let mut wanted = Vec::new();
    for (at, declared) in open {
        // A type that this database does not have is replaced by the general one.
        let declared = if known[at].is_some() { declared } else { column_type(fields[at].data_type()).ok_or_else(|| unsupported(&fields[at]))? };
        wanted.push((at, declared));
    }
    let named: Vec<(&str, &str)> = wanted.iter().map(|(at, declared)| (fields[*at].name().as_str(), declared.as_str())).collect();
    let probed = probe(session, &named).await?;
    for ((at, declared), new) in wanted.iter().zip(probed) {
        let field = &fields[*at];
        let old = existing.columns.iter().find(|column| column.name == *field.name());
        let taken = intake(&new.facts, field.data_type());
        let change = match old {
            None => Some(Change::Add),
            Some(old) if existing.is_ours && widens(&old.facts, &new.facts) => Some(Change::Widen),
            Some(_) => None,
        };
        match (taken, change) {
            (Some(intake), Some(change)) => {
                placed[*at] = Some(Placed { name: field.name().clone(), declared: declared.clone(), intake, change: Some(change), nullable: true });
            }
            _ if placed[*at].is_some() => {}
            (None, _) => return Err(unsupported(field).into()),
            (Some(_), None) => return Err(mismatch(field, old, existing.described).into()),
        }
    }
    Ok(())
}

/// True when every value of a column of the type `old` is one of the type `new`, and `new` is larger.
fn widens(old: &TypeFacts, new: &TypeFacts) -> bool {
    if matches!(old.oid, VARCHAR | CHAR) {
        return new.oid == TEXT || (new.oid == old.oid && (new.modifier == -1 || (old.modifier != -1 && new.modifier > old.modifier)));
    }
    let held = native(old);
    held.cast.is_none() && held.data_type != DataType::Null && matches!(intake(new, &held.data_type), Some(Intake::Direct(_)))
}

/// True when the column takes all values of the field exactly as it is.
fn holds(column: &TableColumn, field: &Field, native: Option<&str>) -> bool {
    !column.is_generated && intake(&column.facts, field.data_type()).is_some() && (native == Some(column.declared.as_str()) || !rounds(&column.facts, field.data_type()))
}

/// True when the server would round values to fewer digits of a second, in silence.
fn rounds(facts: &TypeFacts, from: &DataType) -> bool {
    let unit = match from {
        DataType::Timestamp(unit, _) | DataType::Time32(unit) | DataType::Time64(unit) => unit,
        _ => return false,
    };
    let needed = match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond | TimeUnit::Nanosecond => 6,
    };
    (0..needed).contains(&facts.modifier)
}

fn declared_natives(request: &LoadRequest) -> Vec<Option<String>> {
    let native = request.table.native.as_ref().filter(|native| native.system == SYSTEM);
    let of = |field: &Field| native?.columns.iter().find(|(name, _)| name == field.name()).map(|(_, declared)| declared.clone());
    request.schema.fields().iter().map(|field| of(field)).collect()
}

/// The source's own types that this database has, too: another may lack an enumeration, a domain, an extension or a collation.
async fn known_natives(session: &mut Session, request: &LoadRequest) -> Result<Vec<Option<String>>, Trouble> {
    let natives = declared_natives(request);
    let mut asked = Vec::new();
    for declared in natives.iter().flatten() {
        let collation = declared.split_once(" COLLATE ").map(|(_, collation)| collation);
        let collation = collation.map_or_else(|| Ok("NULL".to_owned()), |name| literal(name).map(|name| format!("pg_catalog.to_regcollation({name}) IS NOT NULL")))?;
        asked.push(format!("(pg_catalog.to_regtype({}) IS NOT NULL, {collation})", literal(type_of(declared))?));
    }
    if asked.is_empty() {
        return Ok(natives);
    }
    let answers = session.rows(&format!("SELECT t, c FROM (VALUES {}) v (t, c)", asked.join(", "))).await?;
    let mut answers = answers.iter();
    let keep = |declared: Option<String>| {
        let declared = declared?;
        let answer = answers.next()?;
        match (answer.is_true(0), answer.text(1)) {
            (false, _) => None,
            (true, Some("f")) => Some(type_of(&declared).to_owned()),
            (true, _) => Some(declared),
        }
    };
    Ok(natives.into_iter().map(keep).collect())
}

/// What the server makes of column types, without leaving a trace.
async fn probe(session: &mut Session, wanted: &[(&str, &str)]) -> Result<Vec<TableColumn>, Trouble> {
    let list: Vec<String> = wanted.iter().map(|(name, declared)| format!("{} {declared}", quote(name))).collect();
    session.execute(&format!("BEGIN; CREATE TEMPORARY TABLE karat_probe ({}) ON COMMIT DROP", list.join(", "))).await?;
    let oid = session.rows("SELECT 'pg_temp.karat_probe'::pg_catalog.regclass::pg_catalog.oid").await?;
    let oid = oid.first().and_then(|row| row.text(0)).and_then(|text| text.parse().ok()).unwrap_or(0);
    let found = columns(session, oid).await?;
    session.execute("ROLLBACK").await?;
    if found.len() == wanted.len() { Ok(found) } else { Err(ConnectorError::new(ErrorKind::Bug, "the catalogue lost columns of a table that was made to look at them").into()) }
}

fn type_name(data_type: &DataType) -> String {
    DeclaredType::name_of(data_type).unwrap_or_else(|| data_type.to_string())
}

fn unsupported(field: &Field) -> ConnectorError {
    ConnectorError::new(ErrorKind::SchemaMismatch, format!("column `{}` is `{}`, which no type of PostgreSQL holds", field.name(), type_name(field.data_type())))
        .with_help(format!("read it as something else: `types: {{{}: text}}`", field.name()))
}

fn mismatch(field: &Field, old: Option<&TableColumn>, described: &str) -> ConnectorError {
    let held = old.map_or_else(String::new, |column| column.declared.clone());
    ConnectorError::new(
        ErrorKind::SchemaMismatch,
        format!("column `{}` is `{}`, but {described} has `{held}`, which does not hold all of its values", field.name(), type_name(field.data_type())),
    )
    .with_help(format!("widen the target's column, read it as another type with `types: {{{}: …}}`, or load the table anew with `--full-refresh`", field.name()))
}
