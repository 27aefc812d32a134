//! Small projects for tests, without YAML.

use indexmap::IndexMap;
use karat_diagnostics::{SourceFile, SourceMap, Span};
use karat_spec::model::{BronzeTable, Layer, PipelineSpec, SqlTable, TableDefinition, TableName};
use karat_spec::{Piece, ProjectSpec, SpanIndex, SqlText, TableSpec};

/// A project and its text.
pub(crate) struct Fixture {
    pub(crate) spec: ProjectSpec,
    pub(crate) sources: SourceMap,
}

impl Fixture {
    /// Tables as `(full name, SQL, depends_on)`; the text is one line per name, SQL line and `depends_on` entry.
    pub(crate) fn new(tables: &[(&str, &str, &[&str])]) -> Self {
        let mut text = String::new();
        let mut places = Vec::new();
        for (name, sql, depends_on) in tables {
            let mut put = |line: &str| {
                let start = text.len();
                text.push_str(line);
                text.push('\n');
                start..start + line.len()
            };
            places.push((put(name), put(sql), depends_on.iter().map(|name| put(name)).collect::<Vec<_>>()));
        }
        let mut sources = SourceMap::default();
        let file = sources.add(SourceFile::new("market.yaml", text));
        let span = |range: &std::ops::Range<usize>| Span::new(file, range.start, range.end);
        let specs = tables.iter().zip(&places).map(|((name, sql, depends_on), (name_at, sql_at, depends_at))| {
            let name = TableName::parse(name).expect("a full name");
            let depends_on: Vec<String> = depends_on.iter().map(|name| (*name).to_owned()).collect();
            let mut spans = SpanIndex::new(span(name_at));
            for (index, at) in depends_at.iter().enumerate() {
                spans.insert(format!("/depends_on/{index}"), None, span(at));
            }
            let tags = (name.name() == "bars").then(|| vec!["slow".to_owned()]);
            let definition = match name.layer() {
                Layer::Bronze => TableDefinition::Bronze(Box::new(BronzeTable { depends_on: Some(depends_on), tags, ..Default::default() })),
                _ => TableDefinition::Sql(Box::new(SqlTable { depends_on: Some(depends_on), tags, ..Default::default() })),
            };
            let sql = (!sql.is_empty()).then(|| SqlText::new(*sql, vec![Piece { rendered: 0..sql.len(), source: span(sql_at), inserted: false }], span(sql_at)));
            TableSpec { name, pipeline: 0, name_span: span(name_at), spans, definition, sql, full_sql: None, check_sql: IndexMap::new(), unresolved: false, incomplete: false }
        });
        let pipeline = PipelineSpec {
            name: "market".to_owned(),
            file,
            description: None,
            owner: None,
            tags: vec!["fast".to_owned()],
            schedule: None,
            connections: IndexMap::new(),
            spans: SpanIndex::new(Span::start_of(file)),
        };
        let spec = ProjectSpec { tables: specs.collect(), pipelines: vec![pipeline], ..Default::default() };
        Self { spec, sources }
    }
}
