//! What every command is given.

use crate::arguments::GlobalArguments;
use crate::error::CliError;
use crate::printer::Printer;
use karat_plugin_api::ErrorKind;
use karat_spec::{Catalog, Environment};
use std::path::PathBuf;
use tokio::runtime::Runtime;

/// Deep SQL is planned by recursion.
const THREAD_STACK_BYTES: usize = 8 << 20;

/// What every command is given.
pub(crate) struct Context {
    pub(crate) printer: Printer,
    /// The folder the command was started in.
    pub(crate) folder: PathBuf,
    /// What plugins can do.
    pub(crate) catalog: Catalog,
    /// `--memory-limit`, in bytes.
    pub(crate) memory_limit: Option<u64>,
}

impl Context {
    pub(crate) fn new(global: &GlobalArguments) -> Result<Self, (Printer, CliError)> {
        let printer = Printer::new(global.color, global.quiet);
        let folder = match std::env::current_dir() {
            Ok(folder) => folder,
            Err(error) => return Err((printer, CliError::usage(format!("the current folder cannot be read: {error}")))),
        };
        Ok(Self { printer, folder, catalog: karat_bundle::catalog(), memory_limit: global.memory_limit.map(|size| size.0) })
    }

    /// Threads, for commands that ask databases or read tables; everything else starts in milliseconds.
    pub(crate) fn runtime(&self) -> Result<Runtime, CliError> {
        let built = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(THREAD_STACK_BYTES).build();
        built.map_err(|error| CliError::failed(ErrorKind::of_io(&error), format!("cannot start threads: {error}")))
    }

    /// The variables of this process, for commands that open connections.
    pub(crate) fn environment() -> Environment {
        Environment::Variables(std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect())
    }
}
