//! Where a project keeps its state, and how it is opened.

use crate::context::Context;
use crate::error::CliError;
use karat_spec::ProjectSpec;
use karat_spec::model::StateSettings;
use karat_state::{StateError, StateStore};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Where state is when `karat.yaml` says nothing.
const DEFAULT_PATH: &str = ".karat/state.db";

/// Opens the state, or makes it.
pub(crate) async fn open(spec: &ProjectSpec) -> Result<StateStore, CliError> {
    Ok(match &spec.state {
        StateSettings::Sqlite { path } => StateStore::open(&file(spec, path.as_deref())).await?,
        StateSettings::Postgres { url } => StateStore::open_postgres(url, &spec.name).await?,
    })
}

/// Opens the state if there is one.
pub(crate) async fn open_existing(spec: &ProjectSpec) -> Result<Option<StateStore>, CliError> {
    Ok(match &spec.state {
        StateSettings::Sqlite { path } => StateStore::open_existing(&file(spec, path.as_deref())).await?,
        StateSettings::Postgres { url } => StateStore::open_existing_postgres(url, &spec.name).await?,
    })
}

/// Opens the state. A damaged file is moved aside, never deleted: its history may still be of use to somebody.
pub(crate) async fn open_or_replace(spec: &ProjectSpec, context: &Context) -> Result<StateStore, CliError> {
    let StateSettings::Sqlite { path } = &spec.state else { return open(spec).await };
    let path = file(spec, path.as_deref());
    match StateStore::open(&path).await {
        Err(StateError::Corrupt { reason, .. }) => {
            let aside = move_aside(&path)?;
            context.printer.say(&format!("the state file is damaged ({reason}); it was moved to `{}`", aside.display()));
            Ok(StateStore::open(&path).await?)
        }
        opened => Ok(opened?),
    }
}

fn file(spec: &ProjectSpec, path: Option<&str>) -> PathBuf {
    spec.root.join(path.unwrap_or(DEFAULT_PATH))
}

/// Renames the file and its journals, which belong to it as long as they are beside it.
fn move_aside(path: &Path) -> Result<PathBuf, CliError> {
    let aside = (1_u32..).map(|number| beside(path, &format!(".damaged-{number}"))).find(|aside| !aside.exists()).unwrap_or_else(|| beside(path, ".damaged"));
    std::fs::rename(path, &aside).map_err(|error| CliError::io("move aside", path, &error))?;
    for journal in ["-wal", "-shm"] {
        let from = beside(path, journal);
        match std::fs::rename(&from, beside(&aside, journal)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(CliError::io("move aside", &from, &error)),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(aside)
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
