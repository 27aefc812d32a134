//! The plugin keeps the contracts.

use karat_testkit::conformance::lake::LakeUnderTest;

karat_testkit::lake_conformance!(LakeUnderTest {
    plugin: &karat_files::FILES,
    log: "_karat/g=1",
    first_version: "00000000000000000001.json",
    second_version: "00000000000000000002.json"
});

mod source {
    use karat_plugin_api::{ColumnChoice, ConnectContext, DeclaredType, Plugin, Position, ReadStrategy, SourceObject};
    use karat_testkit::conformance::source::SourceUnderTest;

    fn numbered_lines() -> SourceUnderTest {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let lines: String = (1..=40).map(|number| format!("{number},name {number}\n")).collect();
        std::fs::write(folder.path().join("t.csv"), format!("id,name\n{lines}")).expect("a file");
        let context = ConnectContext { root: folder.path().to_owned(), scratch: folder.path().to_owned() };
        let settings = serde_json::json!({"path": ".", "format": "csv"});
        let source = karat_files::FILES.open_source(settings.as_object().expect("a map"), &context).expect("a source");
        let column = |name: &str, kind: &str| ColumnChoice { name: name.to_owned(), data_type: DeclaredType::parse(kind).expect("a type").data_type().clone(), nullable: true };
        let onward = |position: Position| ReadStrategy::NewFiles { known: if let Position::Files { files } = position { files } else { Vec::new() } };
        SourceUnderTest {
            folder,
            source,
            object: SourceObject::Files("t.csv".into()),
            columns: vec![column("id", "bigint"), column("name", "text")],
            rows: 40,
            missing: SourceObject::Files("u.csv".into()),
            onward: Some(onward),
        }
    }

    karat_testkit::source_conformance!(numbered_lines());
}
