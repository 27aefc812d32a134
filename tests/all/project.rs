//! Throw-away projects: a folder, some YAML, a database.

use crate::karat::{Karat, repository};
use rusqlite::Connection;
use std::path::{Path, PathBuf};

/// A project in a folder that vanishes with it.
pub(crate) struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    pub(crate) fn empty() -> Self {
        Self { folder: tempfile::Builder::new().prefix("karat-test-").tempdir().expect("a temporary folder can be made") }
    }

    /// A project of one pipeline file.
    pub(crate) fn of(pipeline: &str) -> Self {
        let project = Self::empty();
        project.write("pipeline.yaml", pipeline);
        project
    }

    /// A project of one Bronze table with the key `id`, copied from `shop.db`, which `statements` make. `more` is the rest of the file.
    pub(crate) fn shop(table: &str, statements: &str, more: &str) -> Self {
        let project = Self::of(&format!(
            "version: 1\nname: shop\nconnections:\n  shop: {{ type: sqlite, path: shop.db }}\nbronze:\n  {table}:\n    from: {{ connection: shop, table: {table} }}\n    key: [id]\n{more}"
        ));
        project.database("shop.db", statements);
        project
    }

    /// A copy of `pipelines/<name>`, without what earlier runs left there.
    pub(crate) fn copy_of(name: &str) -> Self {
        let project = Self::empty();
        copy_folder(&repository().join("pipelines").join(name), project.path());
        project
    }

    /// `pipelines/market` with a database of `rows` trades.
    pub(crate) fn market(rows: u32) -> Self {
        let project = Self::copy_of("market");
        xtask::market::write_database(&project.path().join("data/market.db"), rows).expect("the market database can be written");
        project
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The warehouse that is there when nobody names one.
    pub(crate) fn warehouse(&self) -> PathBuf {
        self.path().join(".karat/warehouse")
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().expect("files lie in folders")).expect("folders can be made");
        std::fs::write(&path, content).expect("files can be written");
        path
    }

    /// Runs statements on an SQLite file of the project.
    pub(crate) fn database(&self, name: &str, statements: &str) {
        let connection = Connection::open(self.path().join(name)).expect("the database opens");
        connection.execute_batch(statements).expect("the statements are sound");
    }

    pub(crate) fn karat<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Karat {
        Karat::within(self.path()).args(arguments)
    }

    /// A first copy of everything in it, in a folder of its own.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::empty();
        copy_folder(self.path(), copy.path());
        copy
    }

    /// Every file below `folder` with its bytes, to see whether anything was written.
    pub(crate) fn files(&self, folder: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        let mut open = vec![self.path().join(folder)];
        while let Some(next) = open.pop() {
            for entry in std::fs::read_dir(&next).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    open.push(entry.path());
                } else {
                    let bytes = std::fs::read(entry.path()).expect("files of the project can be read");
                    found.push((entry.path(), bytes));
                }
            }
        }
        found.sort();
        found
    }
}

pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("folders can be made");
    for entry in std::fs::read_dir(from).expect("the folder can be read") {
        let path = entry.expect("the folder can be read").path();
        let name = path.file_name().expect("entries have names").to_owned();
        if name == ".karat" {
            continue;
        }
        if path.is_dir() {
            copy_folder(&path, &to.join(name));
        } else {
            std::fs::copy(&path, to.join(name)).expect("files can be copied");
        }
    }
}
