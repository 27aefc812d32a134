//! A table version for DataFusion: exact counts, files skipped by partition and statistics, everything else by DataFusion's own Parquet scan.

use crate::file_column::{FileColumn, partition_value};
use crate::{DataFile, TableSnapshot};
use arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ColumnStatistics, DataFusionError, Result as DfResult, ScalarValue, Statistics, ToDFSchema};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningStatistics};
use datafusion::physical_plan::ExecutionPlan;
use karat_plugin_api::{ConnectorError, ErrorKind, Staged};
use object_store::ObjectMeta;
use std::any::Any;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

/// The files of one version as a table.
#[derive(Debug)]
pub(crate) struct SnapshotProvider {
    schema: SchemaRef,
    /// Columns that the files hold, then those that the log holds.
    scan_schema: TableSchema,
    /// Place of each table column in `scan_schema`.
    scan_index: Vec<usize>,
    files: Vec<ScanFile>,
}

#[derive(Debug)]
struct ScanFile {
    file: PartitionedFile,
    rows: u64,
    /// Statistics by table column.
    columns: Vec<FileColumn>,
}

impl SnapshotProvider {
    /// The table at a version.
    pub(crate) fn of_snapshot(folder: &Path, snapshot: &TableSnapshot) -> Result<Self, ConnectorError> {
        let mut provider = Self::empty(Arc::clone(&snapshot.schema), &snapshot.partition_columns)?;
        for file in &snapshot.files {
            provider.add(&folder.join(&file.path), file)?;
        }
        Ok(provider)
    }

    /// Files that no version has yet.
    pub(crate) fn of_staged(schema: SchemaRef, staged: &Staged) -> Result<Self, ConnectorError> {
        let partition_columns: Vec<String> = staged.files.first().map(|file| file.partition_values.iter().map(|(name, _)| name.clone()).collect()).unwrap_or_default();
        let mut provider = Self::empty(schema, &partition_columns)?;
        for staged in &staged.files {
            let file = DataFile {
                path: String::new(),
                size: staged.size,
                rows: staged.rows,
                xxh3: None,
                modified_ms: 0,
                partition_values: staged.partition_values.iter().cloned().collect(),
                stats: std::collections::BTreeMap::new(),
            };
            provider.add(&staged.path, &file)?;
        }
        Ok(provider)
    }

    fn empty(schema: SchemaRef, partition_columns: &[String]) -> Result<Self, ConnectorError> {
        let (mut in_files, mut in_log): (Vec<FieldRef>, Vec<FieldRef>) = (Vec::new(), Vec::new());
        for field in schema.fields() {
            if partition_columns.contains(field.name()) { in_log.push(Arc::clone(field)) } else { in_files.push(Arc::clone(field)) }
        }
        let scan_schema = TableSchema::new(Arc::new(Schema::new(in_files)), in_log);
        let scan_index = schema
            .fields()
            .iter()
            .map(|field| scan_schema.table_schema().index_of(field.name()))
            .collect::<Result<Vec<usize>, _>>()
            .map_err(|error| ConnectorError::new(ErrorKind::Bug, "a column was lost").with_source(error))?;
        Ok(Self { schema, scan_schema, scan_index, files: Vec::new() })
    }

    fn add(&mut self, path: &Path, file: &DataFile) -> Result<(), ConnectorError> {
        let mut partition_values = Vec::new();
        for field in self.scan_schema.table_partition_cols() {
            partition_values.push(partition_value(file, field).ok_or_else(|| {
                ConnectorError::new(ErrorKind::Corrupt, format!("the partition value of column `{}` of file `{}` is not a `{}`", field.name(), path.display(), field.data_type()))
            })?);
        }
        let columns: Vec<FileColumn> = self.schema.fields().iter().map(|field| FileColumn::of(file, field)).collect();
        let location = object_store::path::Path::from_absolute_path(path)
            .map_err(|error| ConnectorError::new(ErrorKind::BadConfiguration, format!("`{}` is not a path that files can be read from", path.display())).with_source(error))?;
        let meta =
            ObjectMeta { location, last_modified: chrono::DateTime::from_timestamp_millis(file.modified_ms).unwrap_or_default(), size: file.size, e_tag: None, version: None };
        let mut scanned = PartitionedFile::new_from_meta(meta).with_partition_values(partition_values);
        // Set directly: `with_statistics` would claim that partition values are never NULL.
        scanned.statistics = Some(Arc::new(self.scan_statistics(file.rows, &columns)));
        self.files.push(ScanFile { file: scanned, rows: file.rows, columns });
        Ok(())
    }

    /// Statistics in the order of `scan_schema`.
    fn scan_statistics(&self, rows: u64, columns: &[FileColumn]) -> Statistics {
        let mut ordered = vec![ColumnStatistics::new_unknown(); columns.len()];
        for (column, at) in columns.iter().zip(&self.scan_index) {
            ordered[*at] = column_statistics(column);
        }
        Statistics { num_rows: Precision::Exact(usize::try_from(rows).unwrap_or(usize::MAX)), total_byte_size: Precision::Absent, column_statistics: ordered }
    }

    fn table_statistics(&self, files: &[&ScanFile]) -> Statistics {
        let columns: Vec<FileColumn> = (0..self.schema.fields().len()).map(|at| total(files, at)).collect();
        self.scan_statistics(files.iter().map(|file| file.rows).sum(), &columns)
    }

    fn predicate(&self, state: &dyn Session, filters: &[Expr]) -> DfResult<Option<Arc<dyn PhysicalExpr>>> {
        let Some(filter) = conjunction(filters.to_vec()) else { return Ok(None) };
        let schema = Arc::clone(self.scan_schema.table_schema()).to_dfschema()?;
        state.create_physical_expr(filter, &schema).map(Some)
    }

    /// Files that may hold a row that passes.
    fn surviving(&self, predicate: Option<&Arc<dyn PhysicalExpr>>) -> DfResult<Vec<&ScanFile>> {
        let all: Vec<&ScanFile> = self.files.iter().filter(|file| file.rows > 0).collect();
        let Some(predicate) = predicate else { return Ok(all) };
        let pruning = PruningPredicate::try_new(Arc::clone(predicate), Arc::clone(self.scan_schema.table_schema()))?;
        let keep = pruning.prune(&FileStatistics { provider: self, files: &all })?;
        Ok(all.into_iter().zip(keep).filter_map(|(file, keep)| keep.then_some(file)).collect())
    }
}

#[async_trait]
impl TableProvider for SnapshotProvider {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn statistics(&self) -> Option<Statistics> {
        let all: Vec<&ScanFile> = self.files.iter().collect();
        let columns: Vec<ColumnStatistics> = (0..self.schema.fields().len()).map(|at| column_statistics(&total(&all, at))).collect();
        let rows: u64 = self.files.iter().map(|file| file.rows).sum();
        Some(Statistics { num_rows: Precision::Exact(usize::try_from(rows).unwrap_or(usize::MAX)), total_byte_size: Precision::Absent, column_statistics: columns })
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DfResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(&self, state: &dyn Session, projection: Option<&Vec<usize>>, filters: &[Expr], limit: Option<usize>) -> DfResult<Arc<dyn ExecutionPlan>> {
        let predicate = self.predicate(state, filters)?;
        let files = self.surviving(predicate.as_ref())?;
        let mut source = ParquetSource::new(self.scan_schema.clone()).with_table_parquet_options(state.table_options().parquet.clone());
        if let Some(predicate) = predicate {
            source = source.with_predicate(predicate);
        }
        let statistics = self.table_statistics(&files);
        let partitions = state.config().target_partitions().max(1);
        let groups = FileGroup::new(files.iter().map(|file| file.file.clone()).collect()).split_files(partitions);
        let projection: Vec<usize> = match projection {
            Some(columns) => {
                columns.iter().map(|at| self.scan_index.get(*at).copied().ok_or_else(|| DataFusionError::Internal("no such column".into()))).collect::<DfResult<_>>()?
            }
            None => self.scan_index.clone(),
        };
        // A filter that is only a hint may drop rows later: DataFusion then passes no limit.
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(Some(projection))?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

/// What DataFusion may know of one column of some files.
fn column_statistics(column: &FileColumn) -> ColumnStatistics {
    // Whole numbers and dates are exact in every log; text may be cut, timestamps may be rounded by other writers.
    let precise = |value: &Option<ScalarValue>| match value {
        Some(value) if value.data_type().is_integer() || value.data_type() == DataType::Date32 => Precision::Exact(value.clone()),
        Some(value) => Precision::Inexact(value.clone()),
        None => Precision::Absent,
    };
    ColumnStatistics {
        null_count: column.null_count.map_or(Precision::Absent, |count| Precision::Exact(usize::try_from(count).unwrap_or(usize::MAX))),
        min_value: precise(&column.min),
        max_value: precise(&column.max),
        ..ColumnStatistics::new_unknown()
    }
}

/// One column over several files; a bound is known only if it is known of every file that has a value.
fn total(files: &[&ScanFile], at: usize) -> FileColumn {
    let mut sum = FileColumn { min: None, max: None, null_count: Some(0) };
    let (mut bounded, mut any) = (true, false);
    for file in files {
        let column = &file.columns[at];
        sum.null_count = sum.null_count.zip(column.null_count).map(|(a, b)| a + b);
        if column.null_count == Some(file.rows) {
            continue;
        }
        match (&column.min, &column.max) {
            (Some(min), Some(max)) if bounded => {
                sum.min = if any { sum.min.filter(|seen| seen.partial_cmp(min).is_some_and(|order| order.is_lt())).or_else(|| Some(min.clone())) } else { Some(min.clone()) };
                sum.max = if any { sum.max.filter(|seen| seen.partial_cmp(max).is_some_and(|order| order.is_gt())).or_else(|| Some(max.clone())) } else { Some(max.clone()) };
                any = true;
            }
            _ => bounded = false,
        }
    }
    if !bounded {
        sum.min = None;
        sum.max = None;
    }
    sum
}

struct FileStatistics<'a> {
    provider: &'a SnapshotProvider,
    files: &'a [&'a ScanFile],
}

impl FileStatistics<'_> {
    fn values(&self, column: &Column, pick: impl Fn(&FileColumn) -> Option<ScalarValue>) -> Option<ArrayRef> {
        let at = self.provider.schema.index_of(&column.name).ok()?;
        let null = ScalarValue::try_from(self.provider.schema.field(at).data_type()).ok()?;
        ScalarValue::iter_to_array(self.files.iter().map(|file| pick(&file.columns[at]).unwrap_or_else(|| null.clone()))).ok()
    }
}

impl PruningStatistics for FileStatistics<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |column| column.min.clone())
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |column| column.max.clone())
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let at = self.provider.schema.index_of(&column.name).ok()?;
        Some(Arc::new(UInt64Array::from_iter(self.files.iter().map(|file| file.columns[at].null_count))))
    }

    fn row_counts(&self, _column: &Column) -> Option<ArrayRef> {
        Some(Arc::new(UInt64Array::from_iter_values(self.files.iter().map(|file| file.rows))))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::writer::{FileSetWriter, WriterGauge, WriterOptions};
    use arrow::array::{Float64Array, Int64Array, RecordBatch, StringArray};
    use arrow::datatypes::Field;
    use datafusion::physical_plan::displayable;
    use datafusion::prelude::SessionContext;
    use karat_plugin_api::FileLayout;
    use karat_spec::model::PartitionTransform;
    use std::collections::BTreeMap;

    /// Three files of four rows, by id; the second holds NaN, and a column that came later is in none of them.
    fn context(folder: &Path, partition_by: Vec<PartitionTransform>) -> SessionContext {
        let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true), Field::new("who", DataType::Utf8, true), Field::new("x", DataType::Float64, true)]));
        let ids = Int64Array::from_iter_values(0..12);
        let who = StringArray::from_iter((0..12).map(|id| if id < 4 { None } else { Some(if id < 8 { "a" } else { "b" }) }));
        let x = Float64Array::from_iter_values((0..12).map(|id| if id == 5 { f64::NAN } else { f64::from(id) }));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(ids), Arc::new(who), Arc::new(x)]).unwrap();
        let partition_columns = crate::partition::declared_columns(&partition_by);
        let options = WriterOptions {
            folder: folder.to_path_buf(),
            data_prefix: String::new(),
            attempt: "a".into(),
            schema: Arc::clone(&schema),
            layout: FileLayout { min_file_rows: 4, partition_by, ..FileLayout::default() },
            declares_partitions: true,
            memory_bytes: 1 << 20,
        };
        let mut writer = FileSetWriter::new(options, Arc::new(WriterGauge::default())).unwrap();
        writer.write(&batch).unwrap();
        let files = writer.finish().unwrap().into_iter().map(Arc::new).collect();
        let mut fields: Vec<FieldRef> = schema.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new("later", DataType::Int64, true)));
        let snapshot = TableSnapshot { version: "0".into(), schema: Arc::new(Schema::new(fields)), partition_columns, files, records: BTreeMap::new() };
        let context = SessionContext::new();
        context.register_table("t", Arc::new(SnapshotProvider::of_snapshot(folder, &snapshot).unwrap())).unwrap();
        context
    }

    async fn ask(context: &SessionContext, sql: &str) -> (String, usize) {
        let frame = context.sql(sql).await.unwrap();
        let plan = displayable(frame.clone().create_physical_plan().await.unwrap().as_ref()).indent(true).to_string();
        let batches = frame.collect().await.unwrap();
        (
            arrow::util::pretty::pretty_format_batches(&batches)
                .unwrap()
                .to_string()
                .lines()
                .skip(3)
                .map(|line| line.trim_matches(['|', ' ']).to_owned())
                .next()
                .unwrap_or_default(),
            plan.matches(".parquet").count(),
        )
    }

    #[tokio::test]
    async fn files_that_cannot_hold_a_row_are_not_read_and_nan_is_never_lost() {
        let folder = tempfile::tempdir().unwrap();
        let context = context(folder.path(), Vec::new());

        assert_eq!(ask(&context, "SELECT sum(id) FROM t WHERE id >= 9").await, ("30".into(), 1));
        assert_eq!(ask(&context, "SELECT count(*) FROM t WHERE x > 100").await.0, "1");
        assert_eq!(ask(&context, "SELECT count(*) FROM t").await, ("12".into(), 0));
        assert_eq!(ask(&context, "SELECT max(id) FROM t WHERE later IS NULL").await.0, "11");
        assert_eq!(ask(&context, "SELECT count(who) FROM t").await.0, "8");
    }

    #[tokio::test]
    async fn partitions_are_skipped_and_null_is_a_partition() {
        let folder = tempfile::tempdir().unwrap();
        let context = context(folder.path(), vec![PartitionTransform::Identity("who".into())]);

        assert_eq!(ask(&context, "SELECT sum(id) FROM t WHERE who = 'b'").await, ("38".into(), 1));
        assert_eq!(ask(&context, "SELECT sum(id) FROM t WHERE who IS NULL").await, ("6".into(), 1));
        assert_eq!(ask(&context, "SELECT count(who) FROM t").await.0, "8");
        assert_eq!(ask(&context, "SELECT max(who) FROM t").await.0, "b");
    }
}
