//! How data files are encoded: Parquet that every reader of the last years understands.

use arrow::datatypes::{DataType, Schema};
use karat_plugin_api::{ConnectorError, ErrorKind};
use karat_spec::model::Compression;
use parquet::arrow::ArrowWriter;
use parquet::basic::{self, Encoding};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use xxhash_rust::xxh3::Xxh3;

/// Rows of a row group: enough to compress well, few enough to skip precisely.
const ROW_GROUP_ROWS: usize = 131_072;
/// A row group of very wide rows closes earlier.
const ROW_GROUP_BYTES: usize = 64 << 20;
/// A dictionary that outgrows this does not pay: the column falls back to plain values.
const DICTIONARY_BYTES: usize = 256 << 10;

/// The Parquet settings of one table.
pub(crate) fn properties(schema: &Schema, compression: Compression) -> Result<WriterProperties, ConnectorError> {
    let mut builder = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(format!("karat {}", env!("CARGO_PKG_VERSION")))
        .set_compression(codec(compression)?)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_dictionary_page_size_limit(DICTIONARY_BYTES);
    for field in schema.fields() {
        // One part: a dot in the name is no path.
        let path = ColumnPath::new(vec![field.name().clone()]);
        builder = builder.set_column_dictionary_enabled(path.clone(), matches!(field.data_type(), DataType::Utf8));
        match field.data_type() {
            // Parquet leaves NaN out of minimum and maximum, and readers then skip rows that they must not (datafusion#15812).
            DataType::Float32 | DataType::Float64 => builder = builder.set_column_statistics_enabled(path, EnabledStatistics::None),
            data_type if packs_deltas(data_type) => builder = builder.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED),
            _ => {}
        }
    }
    Ok(builder.build())
}

/// Types that Parquet stores as 32- or 64-bit integers. Numbers that grow or lie near each other shrink to their differences, at a third of the time
/// that a dictionary takes (docs/benchmarks). Text keeps its dictionary.
fn packs_deltas(data_type: &DataType) -> bool {
    data_type.is_integer() || matches!(data_type, DataType::Date32 | DataType::Timestamp(..) | DataType::Time32(_) | DataType::Time64(_) | DataType::Decimal128(..=18, _))
}

fn codec(compression: Compression) -> Result<basic::Compression, ConnectorError> {
    Ok(match compression {
        Compression::Zstd(level) => {
            let level = basic::ZstdLevel::try_new(i32::from(level))
                .map_err(|error| ConnectorError::new(ErrorKind::BadConfiguration, format!("`zstd({level})` is not a level of Zstandard")).with_source(error))?;
            basic::Compression::ZSTD(level)
        }
        Compression::Snappy => basic::Compression::SNAPPY,
        Compression::Lz4 => basic::Compression::LZ4_RAW,
        Compression::Gzip => basic::Compression::GZIP(basic::GzipLevel::default()),
        Compression::None => basic::Compression::UNCOMPRESSED,
    })
}

/// A new file that hashes what is written to it.
pub(crate) struct HashedFile {
    file: BufWriter<File>,
    hash: Xxh3,
    size: u64,
}

impl HashedFile {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        Ok(Self { file: BufWriter::with_capacity(1 << 18, file), hash: Xxh3::new(), size: 0 })
    }

    /// Makes the content durable; returns its size and its XXH3-128.
    pub(crate) fn finish(&mut self) -> io::Result<(u64, String)> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        Ok((self.size, format!("{:032x}", self.hash.digest128())))
    }
}

impl Write for HashedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// What Parquet encodes into.
pub(crate) type Encoder = ArrowWriter<HashedFile>;

/// The kind of a failed encoding: mostly the disk's fault, and then the disk's own words count.
pub(crate) fn encode_error(path: &Path, error: parquet::errors::ParquetError) -> ConnectorError {
    let kind = match &error {
        parquet::errors::ParquetError::External(cause) => cause.downcast_ref::<io::Error>().map_or(ErrorKind::BadData, ErrorKind::of_io),
        _ => ErrorKind::BadData,
    };
    ConnectorError::new(kind, format!("cannot write `{}`", path.display())).with_source(error)
}
