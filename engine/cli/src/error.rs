//! What stops a command: what failed, why, how to mend it, and the exit code that says so.

use crate::exit::Exit;
use karat_graph::select::SelectError;
use karat_plugin_api::{ConnectorError, ErrorKind};
use karat_state::StateError;

/// What stops a command.
#[derive(Debug)]
pub(crate) struct CliError {
    pub(crate) exit: Exit,
    pub(crate) kind: Option<&'static str>,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

impl CliError {
    /// A command line that cannot be followed.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, kind: None, message: message.into(), help: None }
    }

    /// Something outside that did not work.
    pub(crate) fn failed(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { exit: exit_of(kind), kind: Some(kind.as_str()), message: message.into(), help: None }
    }

    /// A failed file operation.
    pub(crate) fn io(action: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::failed(ErrorKind::of_io(error), format!("cannot {action} `{}`: {error}", path.display()))
    }

    /// Something this build does not have.
    pub(crate) fn absent(what: &str) -> Self {
        Self::usage(format!("{what} is not part of this build yet")).with_help("`karat --help` lists what is")
    }

    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn with_help_opt(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }
}

/// What a run that ends with such an error exits with.
fn exit_of(kind: ErrorKind) -> Exit {
    match kind {
        ErrorKind::Refused | ErrorKind::Corrupt => Exit::Refused,
        ErrorKind::Conflict => Exit::Held,
        ErrorKind::Cancelled => Exit::Interrupted,
        ErrorKind::Unreachable
        | ErrorKind::Busy
        | ErrorKind::NotFound
        | ErrorKind::PermissionDenied
        | ErrorKind::SchemaMismatch
        | ErrorKind::BadData
        | ErrorKind::NoSpace
        | ErrorKind::OutOfMemory
        | ErrorKind::BadConfiguration
        | ErrorKind::Unsupported
        | ErrorKind::CheckFailed
        | ErrorKind::UnknownOutcome
        | ErrorKind::Bug => Exit::Failed,
    }
}

impl From<ConnectorError> for CliError {
    fn from(error: ConnectorError) -> Self {
        Self::failed(error.kind(), error.chain()).with_help_opt(error.help().map(str::to_owned))
    }
}

impl From<StateError> for CliError {
    fn from(error: StateError) -> Self {
        let kind = match &error {
            StateError::Held { .. } | StateError::Fenced { .. } => ErrorKind::Conflict,
            StateError::Corrupt { .. } => ErrorKind::Corrupt,
            StateError::NewerFormat { .. } => ErrorKind::Refused,
            StateError::NetworkFileSystem { .. } | StateError::BadAddress { .. } => ErrorKind::BadConfiguration,
            StateError::Io { source, .. } => ErrorKind::of_io(source),
            StateError::Database { .. } => ErrorKind::Unreachable,
        };
        let help = error.help().map(str::to_owned);
        let mut message = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(next) = cause {
            message.push_str(": ");
            message.push_str(&next.to_string());
            cause = next.source();
        }
        Self::failed(kind, message).with_help_opt(help)
    }
}

impl From<SelectError> for CliError {
    fn from(error: SelectError) -> Self {
        Self::usage(error.to_string()).with_help(error.help())
    }
}
