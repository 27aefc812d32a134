//! What a read of real files delivers, seen from outside.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use arrow::array::{ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType, UInt64Type};
use futures::StreamExt;
use karat_files::Files;
use karat_plugin_api::{
    ColumnChoice, ConnectContext, ConnectorError, DeclaredType, ErrorKind, ExtraColumns, FileIdentity, Plugin, Position, ReadRequest, ReadStrategy, Source, SourceBatch,
    SourceObject,
};
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

struct Fixture {
    folder: TempDir,
    source: Arc<dyn Source>,
}

fn open_source(folder: &TempDir, settings: &Value) -> Result<Arc<dyn Source>, ConnectorError> {
    let context = ConnectContext { root: folder.path().to_owned(), scratch: folder.path().join("scratch") };
    Files.open_source(settings.as_object().unwrap(), &context)
}

fn fixture(mut settings: Value) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("in")).unwrap();
    settings["path"] = json!("in");
    let source = open_source(&folder, &settings).unwrap();
    Fixture { folder, source }
}

fn csv() -> Fixture {
    fixture(json!({"format": "csv", "csv": {"null_values": ["", "NA"]}}))
}

#[derive(Debug)]
struct Outcome {
    batches: Vec<RecordBatch>,
    positions: Vec<Option<Position>>,
    position: Position,
}

impl Outcome {
    fn integers(&self, column: &str) -> Vec<i64> {
        self.column(column).as_primitive::<Int64Type>().values().to_vec()
    }

    fn texts(&self, column: &str) -> Vec<Option<String>> {
        self.column(column).as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
    }

    fn column(&self, column: &str) -> ArrayRef {
        let columns: Vec<_> = self.batches.iter().map(|batch| batch.column_by_name(column).unwrap().as_ref()).collect();
        arrow::compute::concat(&columns).unwrap()
    }

    fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    fn files(&self) -> Vec<FileIdentity> {
        let Position::Files { files } = &self.position else { panic!("a ledger") };
        files.clone()
    }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn request(pattern: &str, types: &[(&str, &str)], strategy: ReadStrategy) -> ReadRequest {
    let column = |(name, text): &(&str, &str)| ColumnChoice { name: (*name).to_owned(), data_type: DeclaredType::parse(text).unwrap().data_type().clone(), nullable: true };
    ReadRequest {
        object: SourceObject::Files(pattern.into()),
        columns: types.iter().map(column).collect(),
        extra_columns: ExtraColumns::Refuse,
        strategy,
        batch_rows: 1000,
        batch_bytes: 32 << 20,
        parallel: 1,
    }
}

impl Fixture {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("in").join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn parquet(&self, name: &str, columns: Vec<(&str, ArrayRef)>) {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut writer = ArrowWriter::try_new(std::fs::File::create(self.path(name)).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }

    fn read(&self, request: ReadRequest) -> Result<Outcome, ConnectorError> {
        run(async {
            let read = self.source.read(request).await?;
            let schema = read.schema();
            let mut stream = read.into_stream();
            let mut outcome = Outcome { batches: Vec::new(), positions: Vec::new(), position: Position::Start };
            let mut ended = None;
            while let Some(item) = stream.next().await {
                match item? {
                    SourceBatch::Rows { batch, position } => {
                        assert_eq!(batch.schema(), schema);
                        assert!(batch.num_rows() > 0);
                        outcome.batches.push(batch);
                        outcome.positions.push(position);
                    }
                    SourceBatch::WindowEnd { .. } => panic!("no windows were asked for"),
                    SourceBatch::End { rows, position, .. } => {
                        ended = Some(rows);
                        outcome.position = position;
                    }
                }
            }
            assert_eq!(ended, Some(outcome.rows() as u64));
            Ok(outcome)
        })
    }

    fn full(&self, pattern: &str, types: &[(&str, &str)]) -> Result<Outcome, ConnectorError> {
        self.read(request(pattern, types, ReadStrategy::Full))
    }

    fn new_files(&self, pattern: &str, types: &[(&str, &str)], known: &[FileIdentity]) -> Result<Outcome, ConnectorError> {
        self.read(request(pattern, types, ReadStrategy::NewFiles { known: known.to_vec() }))
    }

    fn probe(&self, request: &ReadRequest, committed: &Position) -> Position {
        run(self.source.probe(request, committed)).unwrap().unwrap()
    }

    /// The error of reading one CSV file of an integer `a` and a text `b`, as one text.
    fn fault(&self, content: impl AsRef<[u8]>) -> (ErrorKind, String) {
        self.write("f.csv", content);
        let error = self.full("f.csv", &[("a", "bigint"), ("b", "text")]).unwrap_err();
        (error.kind(), format!("{} / {}", error.chain(), error.help().unwrap_or("NO HELP")))
    }
}

fn some(texts: &[&str]) -> Vec<Option<String>> {
    texts.iter().map(|text| Some((*text).to_owned())).collect()
}

#[test]
fn csv_is_read_by_name_with_declared_types() {
    let fixture = csv();
    fixture.write("a.csv", "\u{feff}at,id,price,name,day,flag,big,note\r\n2013-01-01T10:00:00Z,1,NA,\"Ann, \"\"A\"\"\",2013-01-01,TRUE,18446744073709551615,\"NA\"\r\n,2,1.50,\"two\nlines\",NA,0,0,\"\"\r\n");
    let types =
        [("id", "bigint"), ("at", "timestamptz"), ("price", "decimal(10,2)"), ("name", "text"), ("day", "date"), ("flag", "boolean"), ("big", "bigint unsigned"), ("note", "text")];
    let read = fixture.full("a.csv", &types).unwrap();
    assert_eq!(read.integers("id"), [1, 2]);
    assert_eq!(read.column("at").as_primitive::<TimestampMicrosecondType>().iter().collect::<Vec<_>>(), [Some(1_357_034_400_000_000), None]);
    assert_eq!(read.column("price").as_primitive::<Decimal128Type>().iter().collect::<Vec<_>>(), [None, Some(150)]);
    assert_eq!(read.texts("name"), some(&["Ann, \"A\"", "two\nlines"]));
    assert_eq!(read.column("day").as_primitive::<Date32Type>().iter().collect::<Vec<_>>(), [Some(15_706), None]);
    assert_eq!(read.column("flag").as_boolean().iter().collect::<Vec<_>>(), [Some(true), Some(false)]);
    assert_eq!(read.column("big").as_primitive::<UInt64Type>().values()[..], [u64::MAX, 0]);
    assert_eq!(read.texts("note"), some(&["NA", ""]), "what is quoted is never NULL");
}

#[test]
fn csv_faults_name_file_line_and_cure_but_no_value() {
    let fixture = csv();
    for (content, kind, expected) in [
        (&b"a,b\n1,x\n2\n"[..], ErrorKind::BadData, "file `f.csv`, line 3: the record has 1 field instead of 2"),
        (b"a,b\n1,x,y\n", ErrorKind::BadData, "file `f.csv`, line 2: the record has 3 fields instead of 2"),
        (b"a,b\n\"1\n\",x\nsecret,y\n", ErrorKind::BadData, "line 2"),
        (b"a,b\n1,x\nsecret,y\n", ErrorKind::BadData, "column `a` of file `f.csv` cannot be read as `bigint` in line 3"),
        (b"a,b\n1,\xff\n", ErrorKind::BadData, "column `b` of file `f.csv` cannot be read as `text` in line 2: the text is not UTF-8"),
        (b"a,b\n1,\"x\n", ErrorKind::BadData, "line 2: a quote is opened and never closed"),
        (b"a,b\n1,\"x\"y\n", ErrorKind::BadData, "line 2: text follows a closing quote"),
        (b"", ErrorKind::BadData, "file `f.csv` is empty"),
        (b"\xff\xfea\0", ErrorKind::BadData, "file `f.csv` is UTF-16"),
        (b"a\n1\n", ErrorKind::SchemaMismatch, "the header of file `f.csv` lacks `b`"),
        (b"a,c\n1,2\n", ErrorKind::SchemaMismatch, "lacks `b` that `types` declares; it has `c` instead"),
        (b"a,b,c\n1,2,3\n", ErrorKind::SchemaMismatch, "file `f.csv` has `c` that `types` does not declare"),
        (b"a,b,a\n1,2,3\n", ErrorKind::SchemaMismatch, "names column `a` twice"),
        (b"a,b\n\"\",x\n", ErrorKind::BadData, "the value is empty"),
    ] {
        let (found, text) = fixture.fault(content);
        assert_eq!(found, kind, "{text}");
        assert!(text.contains(expected) && !text.contains("NO HELP") && !text.contains("secret"), "{text}\nshould say {expected}");
    }
}

#[test]
fn columns_may_be_left_out_when_the_user_selects() {
    let fixture = csv();
    fixture.write("a.csv", "x,a,y\n1,2,3\n");
    let mut request = request("a.csv", &[("a", "bigint")], ReadStrategy::Full);
    request.extra_columns = ExtraColumns::Ignore;
    assert_eq!(fixture.read(request).unwrap().integers("a"), [2]);
}

#[test]
fn csv_without_header_and_with_other_marks_is_read_in_order() {
    let fixture = fixture(json!({"format": "csv", "csv": {"delimiter": ";", "quote": "'", "header": false, "null_values": ["\\N"]}}));
    fixture.write("a.csv", "1;'a;b'\n2;\\N\n\n3;\n");
    let read = fixture.full("a.csv", &[("a", "bigint"), ("b", "text")]).unwrap();
    assert_eq!(read.integers("a"), [1, 2, 3]);
    assert_eq!(read.texts("b"), [Some("a;b".into()), None, Some(String::new())]);
}

#[test]
fn compressed_files_are_read_by_their_ending_and_refused_when_cut_off() {
    let fixture = csv();
    let text = format!("a,b\n{}", (0..5000).map(|i| format!("{i},text {i}\n")).collect::<String>());
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(text.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::encode_all(text.as_bytes(), 3).unwrap();
    let types = [("a", "bigint"), ("b", "text")];
    for (name, bytes) in [("a.csv.gz", &gzip), ("b.csv.zst", &zstd)] {
        fixture.write(name, bytes);
        assert_eq!(fixture.full(name, &types).unwrap().integers("a"), (0..5000).collect::<Vec<_>>());
        fixture.write(name, &bytes[..bytes.len() / 2]);
        let error = fixture.full(name, &types).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadData, "{}", error.chain());
        fixture.write(name, "a,b\n1,2\n");
        assert_eq!(fixture.full(name, &types).unwrap_err().kind(), ErrorKind::BadData);
    }
    fixture.write("two.csv.gz", [gzip.clone(), gzip].concat());
    assert_eq!(fixture.full("two.csv.gz", &[("a", "text"), ("b", "text")]).unwrap().rows(), 10_001, "several members are one text");
}

#[test]
fn ndjson_is_read_with_every_digit() {
    let fixture = fixture(json!({"format": "ndjson"}));
    fixture.write(
        "a.ndjson",
        "{\"id\": 9223372036854775807, \"price\": 12345678901234567890.12, \"t\": \"x\\u00e9\", \"j\": {\"k\": [1]}}\n\n{\"t\": null, \"id\": 2.0, \"d\": 0.1}\r\n",
    );
    let types = [("id", "bigint"), ("price", "decimal(38,2)"), ("t", "text"), ("j", "json"), ("d", "double")];
    let read = fixture.full("*.ndjson", &types).unwrap();
    assert_eq!(read.integers("id"), [i64::MAX, 2]);
    assert_eq!(read.column("price").as_primitive::<Decimal128Type>().iter().collect::<Vec<_>>(), [Some(1_234_567_890_123_456_789_012), None]);
    assert_eq!(read.texts("t"), [Some("xé".into()), None]);
    assert_eq!(read.texts("j"), [Some("{\"k\": [1]}".into()), None]);
    assert_eq!(read.column("d").as_primitive::<Float64Type>().value(1), 0.1);

    for (line, expected) in [
        ("{\"id\": 1, \"x\": 2}", "line 2: key `x` is not declared"),
        ("{\"id\": 1, \"id\": 2}", "key `id` stands there twice"),
        ("{\"id\": secret}", "line 2: byte 8 should be a value"),
        ("{\"id\": \"secret\"}", "column `id` of file `b.ndjson` cannot be read as `bigint` in line 2"),
        ("{\"id\": 1.5}", "cannot be read as `bigint` in line 2"),
        ("{\"id\": [1]}", "the value is an object or a list"),
    ] {
        fixture.write("b.ndjson", format!("{{\"id\": 1}}\n{line}\n"));
        let error = fixture.full("b.ndjson", &types).unwrap_err();
        assert!(error.chain().contains(expected) && !error.chain().contains("secret") && error.help().is_some(), "{}", error.chain());
    }
    fixture.write("b.ndjson", b"{\"id\": 1}\n{\"t\": \"\xff\"}\n");
    assert!(fixture.full("b.ndjson", &types).unwrap_err().chain().contains("line 2: byte 8 of the line is not UTF-8"));
}

#[test]
fn parquet_is_described_from_its_footer_and_widened_without_loss() {
    let fixture = fixture(json!({}));
    fixture.parquet("a.parquet", vec![("id", Arc::new(Int32Array::from(vec![1, 2]))), ("name", Arc::new(StringArray::from(vec![Some("x"), None])))]);
    fixture.parquet("b.parquet", vec![("name", Arc::new(StringArray::from(vec!["y"]))), ("id", Arc::new(Int64Array::from(vec![5_000_000_000])))]);
    let schema = run(fixture.source.describe(&SourceObject::Files("*.parquet".into()))).unwrap();
    assert_eq!(schema.columns.iter().map(|column| column.data_type.clone()).collect::<Vec<_>>(), [DataType::Int32, DataType::Utf8]);
    assert_eq!(schema.estimated_rows, Some(3));

    let read = fixture.full("*.parquet", &[("id", "bigint"), ("name", "text")]).unwrap();
    assert_eq!(read.integers("id"), [1, 2, 5_000_000_000]);
    assert_eq!(read.texts("name"), [Some("x".into()), None, Some("y".into())]);

    let error = fixture.full("*.parquet", &[("id", "int"), ("name", "text")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SchemaMismatch);
    assert!(error.chain().contains("file `b.parquet` has column `id` as `bigint` instead of `int`"), "{}", error.chain());

    fixture.parquet("c.parquet", vec![("id", Arc::new(Int32Array::from(vec![3])))]);
    assert!(fixture.full("*.parquet", &[("id", "bigint"), ("name", "text")]).unwrap_err().chain().contains("file `c.parquet` has no column `name`"));
    assert!(fixture.full("[ab].parquet", &[("id", "bigint")]).unwrap_err().chain().contains("has column `name`, which the table does not have"));

    fixture.write("d.parquet", "PAR1 and nothing more");
    assert_eq!(fixture.full("d.parquet", &[("id", "bigint")]).unwrap_err().kind(), ErrorKind::BadData);
}

#[test]
fn damaged_parquet_is_an_error_wherever_the_damage_is() {
    let fixture = fixture(json!({}));
    let texts: Vec<String> = (0..500).map(|i| format!("text number {i}")).collect();
    fixture.parquet("a.parquet", vec![("id", Arc::new(Int64Array::from_iter_values(0..500))), ("t", Arc::new(StringArray::from(texts)))]);
    let good = std::fs::read(fixture.path("a.parquet")).unwrap();
    let types = [("id", "bigint"), ("t", "text")];
    let expected = fixture.full("a.parquet", &types).unwrap();
    let mut state = 7_usize;
    for _ in 0..300 {
        let mut bytes = good.clone();
        for _ in 0..3 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            bytes[(state >> 20) % good.len()] = (state >> 50) as u8;
        }
        if state.is_multiple_of(5) {
            bytes.truncate((state >> 10) % good.len());
        }
        fixture.write("b.parquet", &bytes);
        // Flipped values cannot be told from written ones; but never fewer rows than the footer says, and never a panic of the caller.
        if let Ok(read) = fixture.full("b.parquet", &types) {
            assert_eq!(read.rows(), expected.rows());
        }
    }
}

#[test]
fn batches_never_cross_a_multiple_of_their_size_in_any_format() {
    let parquet = fixture(json!({}));
    let text = csv();
    for (at, rows) in [7, 25, 3, 11].into_iter().enumerate() {
        parquet.parquet(&format!("{at}.parquet"), vec![("a", Arc::new(Int64Array::from_iter_values(0..rows)))]);
        text.write(&format!("{at}.csv"), format!("a\n{}", (0..rows).map(|a| format!("{a}\n")).collect::<String>()));
    }
    for (fixture, pattern) in [(&parquet, "*.parquet"), (&text, "*.csv")] {
        let mut request = request(pattern, &[("a", "bigint")], ReadStrategy::Full);
        request.batch_rows = 10;
        let read = fixture.read(request).unwrap();
        let mut total = 0;
        for batch in &read.batches {
            assert!(total / 10 == (total + batch.num_rows() - 1) / 10, "a batch crosses");
            total += batch.num_rows();
        }
        assert_eq!(total, 46);
    }
}

#[test]
fn files_are_read_once_whatever_their_time_says() {
    let fixture = csv();
    let types = [("a", "bigint")];
    fixture.write("2013/b.csv", "a\n2\n");
    fixture.write("2013/a.csv", "a\n1\n");
    fixture.write("2013/.hidden.csv", "a\n99\n");
    fixture.write("_temporary/c.csv", "a\n99\n");
    let first = fixture.new_files("**/*.csv", &types, &[]).unwrap();
    assert_eq!(first.integers("a"), [1, 2]);
    assert_eq!(first.files().iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["2013/a.csv", "2013/b.csv"]);

    let idle = fixture.new_files("**/*.csv", &types, &first.files()).unwrap();
    assert_eq!((idle.rows(), &idle.position), (0, &first.position));

    let touched = std::fs::File::options().write(true).open(fixture.path("2013/a.csv")).unwrap();
    touched.set_modified(SystemTime::now() + Duration::from_secs(60)).unwrap();
    let idle = fixture.new_files("**/*.csv", &types, &first.files()).unwrap();
    assert_eq!((idle.rows(), &idle.position), (0, &first.position));

    fixture.write("2014/a.csv", "a\n3\n");
    std::fs::remove_file(fixture.path("2013/b.csv")).unwrap();
    let second = fixture.new_files("**/*.csv", &types, &first.files()).unwrap();
    assert_eq!(second.integers("a"), [3]);
    assert_eq!(second.files().len(), 3, "a file that is gone stays known");

    fixture.write("2014/a.csv", "a\n3\n4\n");
    let error = fixture.new_files("**/*.csv", &types, &second.files()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.chain().contains("`2014/a.csv` changed after it was read"));
}

#[test]
fn a_long_backlog_can_be_resumed_between_files() {
    let fixture = csv();
    for file in 0..6 {
        fixture.write(&format!("{file}.csv"), format!("a\n{}", (0..8).map(|row| format!("{}\n", file * 8 + row)).collect::<String>()));
    }
    let whole = |known: Vec<FileIdentity>| {
        let mut request = request("*.csv", &[("a", "bigint")], ReadStrategy::NewFiles { known });
        request.batch_rows = 10;
        fixture.read(request).unwrap()
    };
    let first = whole(Vec::new());
    let mut delivered = 0;
    for (batch, position) in first.batches.iter().zip(&first.positions) {
        delivered += batch.num_rows() as i64;
        let Some(Position::Files { files }) = position else { continue };
        let rest = if delivered == 48 { Vec::new() } else { whole(files.clone()).integers("a") };
        assert_eq!(rest, (delivered..48).collect::<Vec<_>>());
    }
    assert!(first.positions.iter().flatten().count() >= 3);
}

#[test]
fn a_probe_says_where_a_full_read_would_end() {
    let fixture = csv();
    fixture.write("a.csv", "a\n1\n");
    let request = request("*.csv", &[("a", "bigint")], ReadStrategy::Full);
    let read = fixture.read(request.clone()).unwrap();
    assert_eq!(fixture.probe(&request, &Position::Start), read.position);
    assert_eq!(fixture.probe(&request, &read.position), read.position);

    std::fs::File::options().write(true).open(fixture.path("a.csv")).unwrap().set_modified(SystemTime::now() + Duration::from_secs(60)).unwrap();
    assert_eq!(fixture.probe(&request, &read.position), read.position, "a new time alone is nothing new");
    fixture.write("b.csv", "a\n1\n");
    assert_ne!(fixture.probe(&request, &read.position), read.position);
}

#[test]
fn globs_that_name_nothing_or_leave_the_folder_are_errors() {
    let fixture = csv();
    let kind = |pattern: &str| fixture.full(pattern, &[("a", "bigint")]).unwrap_err().kind();
    assert_eq!(kind("*.csv"), ErrorKind::NotFound);
    assert_eq!(kind("../*.csv"), ErrorKind::BadConfiguration);
    assert_eq!(kind("/etc/*"), ErrorKind::BadConfiguration);
    assert_eq!(kind("a[.csv"), ErrorKind::BadConfiguration);
    let folder = tempfile::tempdir().unwrap();
    let source = open_source(&folder, &json!({"path": "nowhere", "format": "csv"})).unwrap();
    assert_eq!(run(source.describe(&SourceObject::Files("*".into()))).unwrap_err().kind(), ErrorKind::NotFound);
    for settings in [
        json!({"path": "s3://bucket/x"}),
        json!({"path": "x", "csv": {"delimiter": "ab"}}),
        json!({"path": "x", "format": "csv", "csv": {"delimiter": ""}}),
        json!({"path": "x", "compression": "gzip"}),
    ] {
        assert!(open_source(&folder, &settings).is_err(), "{settings}");
    }
}

#[cfg(unix)]
#[test]
fn links_to_folders_cannot_make_a_walk_endless() {
    let fixture = csv();
    fixture.write("a.csv", "a\n1\n");
    std::os::unix::fs::symlink(fixture.path(""), fixture.path("again")).unwrap();
    std::os::unix::fs::symlink(fixture.path("a.csv"), fixture.path("b.csv")).unwrap();
    assert_eq!(fixture.full("**/*.csv", &[("a", "bigint")]).unwrap().files().iter().map(|file| file.path.clone()).collect::<Vec<_>>(), ["a.csv", "b.csv"]);
}

#[test]
fn text_files_are_described_by_their_names_only() {
    let fixture = csv();
    fixture.write("a.csv", "id,name\n1,x\n");
    let schema = run(fixture.source.describe(&SourceObject::Files("*.csv".into()))).unwrap();
    assert!(schema.columns.iter().all(|column| column.declared == "untyped" && column.data_type == DataType::Utf8));
    assert_eq!(schema.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["id", "name"]);
}

#[test]
fn a_file_that_grows_while_it_is_read_is_an_error() {
    let fixture = csv();
    fixture.write("a.csv", format!("a\n{}", "1\n".repeat(500_000)));
    let mut request = request("a.csv", &[("a", "bigint")], ReadStrategy::Full);
    request.batch_rows = 100;
    let error = run(async {
        let mut stream = fixture.source.read(request).await.unwrap().into_stream();
        stream.next().await.unwrap().unwrap();
        std::fs::File::options().append(true).open(fixture.path("a.csv")).unwrap().write_all(b"2\n").unwrap();
        loop {
            match stream.next().await.unwrap() {
                Ok(SourceBatch::WindowEnd { .. } | SourceBatch::End { .. }) => panic!("the end of a file that changed"),
                Ok(SourceBatch::Rows { .. }) => {}
                Err(error) => break error,
            }
        }
    });
    assert_eq!(error.kind(), ErrorKind::Busy);
}
