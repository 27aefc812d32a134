//! Columns that changed since the target was made: what a policy lets pass, and how batches are brought into the target's order.

use arrow::array::{RecordBatch, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use karat_plan::{Change, ChangeKind};
use karat_plugin_api::{ConnectorError, DELETED_AT, DeclaredType, ErrorKind};
use karat_spec::model::SchemaChanges;
use std::sync::Arc;

/// How far a load may change the target's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Rows join rows that are there: columns can be added or widened.
    Extend,
    /// The rows come from SQL and become the whole table, so that columns can also go or change their type.
    Rewrite,
    /// The user asked for a fresh start: any change passes, whatever the policy.
    Restart,
}

/// The columns a load will have, and where in the source's batches they are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Columns {
    /// The load's schema: the target's columns in their order, then new ones.
    pub(crate) schema: SchemaRef,
    /// One line per change, for the report.
    pub(crate) changes: Vec<String>,
    picks: Option<Vec<usize>>,
    /// What is read, with the column of soft deletes, which no source delivers.
    marked: Option<SchemaRef>,
}

impl Columns {
    /// The batch in the load's columns.
    pub(crate) fn arrange(&self, batch: RecordBatch) -> Result<RecordBatch, ConnectorError> {
        let bug = |error| ConnectorError::new(ErrorKind::Bug, "a batch does not have the columns its read promised").with_source(error);
        let batch = match &self.marked {
            Some(schema) => {
                let mut columns = batch.columns().to_vec();
                columns.push(new_null_array(&mark_type(), batch.num_rows()));
                RecordBatch::try_new(Arc::clone(schema), columns).map_err(bug)?
            }
            None => batch,
        };
        let Some(picks) = &self.picks else { return Ok(batch) };
        batch.project(picks).map_err(bug)
    }
}

/// Whether rows stay that vanished at the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marks {
    /// No, or nobody sees that they did.
    Never,
    /// They once did: the column stays as long as the target has it.
    Before,
    /// They do, and [`DELETED_AT`] says since when.
    Now,
}

/// [`compare`], with the column of soft deletes beside those that are read.
///
/// # Errors
/// As [`compare`]; [`ErrorKind::SchemaMismatch`] when the source has a column of that name.
pub(crate) fn compare_marked(read: &SchemaRef, target: Option<&SchemaRef>, marks: Marks, policy: &Policy<'_>) -> Result<Columns, ConnectorError> {
    let is_there = target.filter(|_| policy.reach != Reach::Restart).is_some_and(|target| target.fields().find(DELETED_AT).is_some());
    let is_read = read.fields().find(DELETED_AT).is_some();
    if marks == Marks::Now && is_read {
        return Err(ConnectorError::new(
            ErrorKind::SchemaMismatch,
            format!("the source of `{}` has a column `{DELETED_AT}`, which `deletes: soft` needs for itself", policy.table),
        )
        .with_help(format!("leave it out with `exclude: [{DELETED_AT}]`, or rename it in a query")));
    }
    if marks == Marks::Never || is_read || (marks == Marks::Before && !is_there) {
        return compare(policy.table, read, target, policy.changes, policy.reach);
    }
    let marked = with_mark(read);
    // The column was asked for, it is none of the source's new ones.
    let target = target.map(|target| if is_there || policy.changes != SchemaChanges::IgnoreNewColumns { Arc::clone(target) } else { with_mark(target) });
    let columns = compare(policy.table, &marked, target.as_ref(), policy.changes, policy.reach)?;
    Ok(Columns { marked: Some(marked), ..columns })
}

/// Which changes of columns a table may see.
pub(crate) struct Policy<'a> {
    /// For messages.
    pub(crate) table: &'a str,
    /// What the user chose.
    pub(crate) changes: SchemaChanges,
    /// What the load can do.
    pub(crate) reach: Reach,
}

fn mark_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn with_mark(schema: &SchemaRef) -> SchemaRef {
    let mark = Arc::new(Field::new(DELETED_AT, mark_type(), true));
    Arc::new(Schema::new(schema.fields().iter().cloned().chain([mark]).collect::<Vec<_>>()))
}

/// Compares what is read with what the target has.
///
/// Only names and families of types are judged here; whether a target can hold a value of the same family (an unsigned number, another precision)
/// is for the sink to say when the load begins.
///
/// # Errors
/// [`ErrorKind::SchemaMismatch`] lists every change that the policy does not let pass.
pub(crate) fn compare(table: &str, read: &SchemaRef, target: Option<&SchemaRef>, policy: SchemaChanges, reach: Reach) -> Result<Columns, ConnectorError> {
    let as_read = || Columns { schema: Arc::clone(read), changes: Vec::new(), picks: None, marked: None };
    let Some(target) = target.filter(|_| reach != Reach::Restart) else { return Ok(as_read()) };
    let mut fields: Vec<Field> = Vec::new();
    let mut picks = Vec::new();
    let mut changes = Vec::new();
    let mut refused = Vec::new();
    for column in target.fields() {
        let Some((at, new)) = read.fields().find(column.name()) else {
            let heir = read.fields().iter().find(|new| target.fields().find(new.name()).is_none() && new.data_type() == column.data_type());
            let guess = heir.map(|heir| format!(" (`{}` of the same type is new: was it renamed?)", heir.name())).unwrap_or_default();
            let line = format!("column `{}` is gone{guess}", column.name());
            if reach == Reach::Rewrite && policy == SchemaChanges::Evolve { &mut changes } else { &mut refused }.push(line);
            continue;
        };
        if !is_same_family(column.data_type(), new.data_type()) {
            let line = format!("column `{}` was {}, now it is {}", column.name(), type_name(column.data_type()), type_name(new.data_type()));
            if reach == Reach::Rewrite && policy == SchemaChanges::Evolve { &mut changes } else { &mut refused }.push(line);
        }
        if is_wider(new.data_type(), column.data_type()) {
            let (old, new) = (type_name(column.data_type()), type_name(new.data_type()));
            if policy == SchemaChanges::Freeze {
                refused.push(format!("column `{}` was {old}, now it is {new}", column.name()));
            } else {
                changes.push(format!("column `{}` is widened from {old} to {new}", column.name()));
            }
        }
        fields.push(new.as_ref().clone());
        picks.push(at);
    }
    for (at, new) in read.fields().iter().enumerate().filter(|(_, new)| target.fields().find(new.name()).is_none()) {
        let line = format!("column `{}` {} is new", new.name(), type_name(new.data_type()));
        match policy {
            SchemaChanges::Evolve => {
                // Rows that are there already have no value for it.
                fields.push(if reach == Reach::Extend { new.as_ref().clone().with_nullable(true) } else { new.as_ref().clone() });
                picks.push(at);
                changes.push(line);
            }
            SchemaChanges::IgnoreNewColumns => changes.push(format!("{line} and is not taken")),
            SchemaChanges::Freeze => refused.push(line),
        }
    }
    if !refused.is_empty() {
        return Err(refusal(table, &refused, policy));
    }
    if picks.iter().copied().eq(0..read.fields().len()) && fields.iter().zip(read.fields()).all(|(field, read)| field == read.as_ref()) {
        return Ok(Columns { changes, ..as_read() });
    }
    Ok(Columns { schema: Arc::new(Schema::new(fields)), changes, picks: Some(picks), marked: None })
}

/// What a run says of changes at the source that [`compare`] cannot see, because targets keep types in their own way: other types of one family,
/// nullability, order.
///
/// # Errors
/// [`ErrorKind::SchemaMismatch`] under `freeze`, for changes that let other values in or take some out.
pub(crate) fn seen(table: &str, changes: &[&Change], policy: SchemaChanges) -> Result<Vec<String>, ConnectorError> {
    let mut lines = Vec::new();
    let mut refused = Vec::new();
    for change in changes {
        match change.kind {
            ChangeKind::Type | ChangeKind::Nullable if policy == SchemaChanges::Freeze => refused.push(change.text.clone()),
            ChangeKind::Type | ChangeKind::Nullable | ChangeKind::Declared => lines.push(format!("{} at the source", change.text)),
            ChangeKind::Order => lines.push(format!("{} at the source, and in the one of before here", change.text)),
            // Seen in the target as well, or of no matter to rows.
            ChangeKind::Added | ChangeKind::Gone | ChangeKind::Key | ChangeKind::Indexes | ChangeKind::Source => {}
        }
    }
    if refused.is_empty() { Ok(lines) } else { Err(refusal(table, &refused, policy)) }
}

fn refusal(table: &str, changes: &[String], policy: SchemaChanges) -> ConnectorError {
    let policy = match policy {
        SchemaChanges::Evolve => "evolve",
        SchemaChanges::Freeze => "freeze",
        SchemaChanges::IgnoreNewColumns => "ignore_new_columns",
    };
    ConnectorError::new(ErrorKind::SchemaMismatch, format!("`{table}` cannot take the columns as they are now, with `schema_changes: {policy}`: {}", changes.join("; ")))
        .with_help(format!("undo the change, choose the old columns with `select` and `types`, or load the table anew: `karat run --select {table} --full-refresh`"))
}

fn type_name(data_type: &DataType) -> String {
    DeclaredType::name_of(data_type).unwrap_or_else(|| data_type.to_string())
}

/// True when the target cannot hold all values as it is: targets keep a number as it is or wider, so what is narrower there was narrower before.
fn is_wider(new: &DataType, old: &DataType) -> bool {
    match (new, old) {
        (new, old) if new.is_signed_integer() && old.is_signed_integer() => new.primitive_width() > old.primitive_width(),
        (DataType::Float64, DataType::Float32) => true,
        (DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2)) => s1 > s2 || i16::from(*p1) - i16::from(*s1) > i16::from(*p2) - i16::from(*s2),
        _ => false,
    }
}

/// What kind of values a type holds; targets differ in how they spell it.
#[derive(PartialEq, Eq)]
enum Family {
    Boolean,
    Exact,
    Float,
    Text,
    Binary,
    Date,
    Moment,
    LocalTime,
    List,
    Struct,
    /// Targets store these in ways of their own; the sink decides.
    Open,
}

fn is_same_family(old: &DataType, new: &DataType) -> bool {
    let (old, new) = (family(old), family(new));
    old == new || old == Family::Open || new == Family::Open
}

fn family(data_type: &DataType) -> Family {
    match data_type {
        DataType::Boolean => Family::Boolean,
        kind if kind.is_integer() => Family::Exact,
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => Family::Exact,
        kind if kind.is_floating() => Family::Float,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Family::Text,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => Family::Binary,
        DataType::Date32 | DataType::Date64 => Family::Date,
        DataType::Timestamp(_, Some(_)) => Family::Moment,
        DataType::Timestamp(_, None) => Family::LocalTime,
        DataType::List(_) | DataType::LargeList(_) => Family::List,
        DataType::Struct(_) => Family::Struct,
        _ => Family::Open,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
        Arc::new(Schema::new(columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), false)).collect::<Vec<_>>()))
    }

    fn outcome(old: &[(&str, DataType)], new: &[(&str, DataType)], policy: SchemaChanges, reach: Reach) -> String {
        match compare("bronze.t", &schema(new), Some(&schema(old)), policy, reach) {
            Ok(columns) => columns.schema.fields().iter().map(|field| field.name().as_str()).chain(columns.changes.iter().map(String::as_str)).collect::<Vec<_>>().join(", "),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_new_column_is_added_left_out_or_refused_by_policy() {
        let old = [("a", DataType::Int64)];
        let new = [("b", DataType::Utf8), ("a", DataType::Int64)];

        assert_eq!(outcome(&old, &new, SchemaChanges::Evolve, Reach::Extend), "a, b, column `b` text is new");
        assert_eq!(outcome(&old, &new, SchemaChanges::IgnoreNewColumns, Reach::Extend), "a, column `b` text is new and is not taken");
        assert!(outcome(&old, &new, SchemaChanges::Freeze, Reach::Extend).contains("column `b` text is new"));
    }

    #[test]
    fn a_column_that_is_gone_stops_a_copy_but_not_a_transform() {
        let old = [("a", DataType::Int64), ("b", DataType::Utf8)];
        let new = [("a", DataType::Int64)];

        assert!(outcome(&old, &new, SchemaChanges::Evolve, Reach::Extend).contains("column `b` is gone"));
        assert_eq!(outcome(&old, &new, SchemaChanges::Evolve, Reach::Rewrite), "a, column `b` is gone");
        assert_eq!(outcome(&old, &new, SchemaChanges::Freeze, Reach::Restart), "a");
    }

    #[test]
    fn a_wider_type_is_taken_over_or_refused_by_policy() {
        let old = [("a", DataType::Decimal128(10, 2)), ("b", DataType::Int32)];
        let new = [("a", DataType::Decimal128(18, 2)), ("b", DataType::Int64)];

        let taken = "a, b, column `a` is widened from decimal(10,2) to decimal(18,2), column `b` is widened from int to bigint";
        assert_eq!(outcome(&old, &new, SchemaChanges::Evolve, Reach::Extend), taken);
        assert_eq!(outcome(&old, &new, SchemaChanges::IgnoreNewColumns, Reach::Extend), taken);
        assert!(outcome(&old, &new, SchemaChanges::Freeze, Reach::Extend).contains("column `a` was decimal(10,2), now it is decimal(18,2)"));
        assert_eq!(outcome(&new, &old, SchemaChanges::Freeze, Reach::Extend), "a, b");
    }

    #[test]
    fn what_only_the_source_knows_is_told_or_refused_by_policy() {
        let change = |kind, text: &str| Change { kind, column: None, text: text.to_owned() };
        let changes = [change(ChangeKind::Nullable, "column `a` may be NULL now"), change(ChangeKind::Order, "the columns stand in another order"), change(ChangeKind::Added, "x")];
        let seen = |policy| super::seen("bronze.t", &changes.iter().collect::<Vec<_>>(), policy);

        let told = seen(SchemaChanges::Evolve).expect("nothing is refused");
        assert_eq!(told, ["column `a` may be NULL now at the source", "the columns stand in another order at the source, and in the one of before here"]);
        assert!(seen(SchemaChanges::Freeze).is_err_and(|error| error.to_string().contains("column `a` may be NULL now")));
    }

    #[test]
    fn another_spelling_of_a_type_is_no_change_but_another_family_is() {
        let old = [("a", DataType::Int64)];

        assert_eq!(outcome(&old, &[("a", DataType::UInt32)], SchemaChanges::Freeze, Reach::Extend), "a");
        assert!(outcome(&old, &[("a", DataType::Utf8)], SchemaChanges::Evolve, Reach::Extend).contains("column `a` was bigint, now it is text"));
    }

    #[test]
    fn the_column_of_soft_deletes_is_added_and_never_taken_for_one_that_vanished() {
        let read = schema(&[("a", DataType::Int64)]);
        let names = |target: Option<&SchemaRef>, marks, changes, reach| {
            let columns = compare_marked(&read, target, marks, &Policy { table: "bronze.t", changes, reach }).map_err(|error| error.to_string())?;
            let batch = RecordBatch::new_empty(Arc::clone(&read));
            assert_eq!(columns.arrange(batch).expect("the columns fit").schema().fields(), columns.schema.fields());
            Ok::<_, String>(columns.schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>().join(", "))
        };
        let (evolve, ignore) = (SchemaChanges::Evolve, SchemaChanges::IgnoreNewColumns);

        assert_eq!(names(None, Marks::Now, evolve, Reach::Extend).as_deref(), Ok("a, _deleted_at"));
        assert_eq!(names(Some(&with_mark(&read)), Marks::Now, SchemaChanges::Freeze, Reach::Extend).as_deref(), Ok("a, _deleted_at"));
        assert_eq!(names(Some(&with_mark(&read)), Marks::Before, evolve, Reach::Extend).as_deref(), Ok("a, _deleted_at"));
        assert_eq!(names(Some(&with_mark(&read)), Marks::Before, evolve, Reach::Restart).as_deref(), Ok("a"));
        assert_eq!(names(Some(&read), Marks::Now, ignore, Reach::Extend).as_deref(), Ok("a, _deleted_at"));
        assert_eq!(names(Some(&read), Marks::Before, evolve, Reach::Extend).as_deref(), Ok("a"));
        assert!(names(Some(&with_mark(&read)), Marks::Never, evolve, Reach::Extend).is_err_and(|error| error.contains("`_deleted_at` is gone")));
        assert!(names(Some(&read), Marks::Now, SchemaChanges::Freeze, Reach::Extend).is_err_and(|error| error.contains("`_deleted_at`")));
    }

    #[test]
    fn a_source_with_a_column_of_that_name_cannot_have_soft_deletes() {
        let read = schema(&[(DELETED_AT, DataType::Utf8)]);
        let policy = Policy { table: "bronze.t", changes: SchemaChanges::Evolve, reach: Reach::Extend };

        assert!(compare_marked(&read, None, Marks::Now, &policy).is_err_and(|error| error.to_string().contains("has a column `_deleted_at`")));
        assert!(compare_marked(&read, None, Marks::Never, &policy).is_ok());
    }
}
