//! Errors of the world outside: a closed list of kinds, one of which decides what is retried.

use std::error::Error;
use std::fmt;

/// What went wrong, as far as a run must tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The system does not answer, or the connection broke; retried.
    Unreachable,
    /// The system is busy: a lock, a deadlock, a full queue; retried.
    Busy,
    /// The object does not exist.
    NotFound,
    /// The system refuses this user.
    PermissionDenied,
    /// What is there does not have the promised columns or types.
    SchemaMismatch,
    /// A value cannot be represented in the promised type.
    BadData,
    /// No room on a disk or in a quota.
    NoSpace,
    /// Memory limit reached.
    OutOfMemory,
    /// A setting cannot work.
    BadConfiguration,
    /// The plugin does not do this.
    Unsupported,
    /// Somebody else committed first, or holds the lease.
    Conflict,
    /// Going on would destroy or lose data; a person must decide.
    Refused,
    /// What is stored contradicts itself: checksums, holes, foreign files.
    Corrupt,
    /// A commit was sent and nobody knows whether it took effect.
    UnknownOutcome,
    /// Rows failed a check whose `on_fail` is `fail`: nothing of the batch became visible.
    CheckFailed,
    /// The run was told to stop.
    Cancelled,
    /// A mistake in this program.
    Bug,
}

impl ErrorKind {
    /// All kinds.
    pub const ALL: [Self; 17] = [
        Self::Unreachable,
        Self::Busy,
        Self::NotFound,
        Self::PermissionDenied,
        Self::SchemaMismatch,
        Self::BadData,
        Self::NoSpace,
        Self::OutOfMemory,
        Self::BadConfiguration,
        Self::Unsupported,
        Self::Conflict,
        Self::Refused,
        Self::Corrupt,
        Self::CheckFailed,
        Self::UnknownOutcome,
        Self::Cancelled,
        Self::Bug,
    ];

    /// True when the same request may succeed a moment later.
    #[must_use]
    pub fn is_transient(self) -> bool {
        match self {
            Self::Unreachable | Self::Busy => true,
            Self::NotFound
            | Self::PermissionDenied
            | Self::SchemaMismatch
            | Self::BadData
            | Self::NoSpace
            | Self::OutOfMemory
            | Self::BadConfiguration
            | Self::Unsupported
            | Self::Conflict
            | Self::Refused
            | Self::Corrupt
            | Self::UnknownOutcome
            | Self::CheckFailed
            | Self::Cancelled
            | Self::Bug => false,
        }
    }

    /// The name in reports; never reused for another meaning.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Busy => "busy",
            Self::NotFound => "not_found",
            Self::PermissionDenied => "permission_denied",
            Self::SchemaMismatch => "schema_mismatch",
            Self::BadData => "bad_data",
            Self::NoSpace => "no_space",
            Self::OutOfMemory => "out_of_memory",
            Self::BadConfiguration => "bad_configuration",
            Self::Unsupported => "unsupported",
            Self::Conflict => "conflict",
            Self::Refused => "refused",
            Self::Corrupt => "corrupt",
            Self::UnknownOutcome => "unknown_outcome",
            Self::CheckFailed => "check_failed",
            Self::Cancelled => "cancelled",
            Self::Bug => "bug",
        }
    }

    /// The kind of a failed file operation.
    #[must_use]
    pub fn of_io(error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory | std::io::ErrorKind::IsADirectory => Self::NotFound,
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => Self::PermissionDenied,
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded | std::io::ErrorKind::FileTooLarge => Self::NoSpace,
            std::io::ErrorKind::OutOfMemory => Self::OutOfMemory,
            std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof => Self::BadData,
            std::io::ErrorKind::ResourceBusy | std::io::ErrorKind::WouldBlock => Self::Busy,
            _ => Self::Unreachable,
        }
    }
}

/// An error of a source, a sink or the warehouse: what failed, on which object, why, and how to mend it.
#[derive(Debug)]
pub struct ConnectorError {
    kind: ErrorKind,
    message: String,
    help: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl ConnectorError {
    /// An error whose message names the object: "cannot open database `shop.db`".
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), help: None, source: None }
    }

    /// A failed file operation on `path`.
    #[must_use]
    pub fn io(action: &str, path: &std::path::Path, error: std::io::Error) -> Self {
        Self::new(ErrorKind::of_io(&error), format!("cannot {action} `{}`", path.display())).with_source(error)
    }

    /// Attaches the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Says how to mend it, imperative.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// How to mend it.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The message and its causes, joined by `: `.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.message.clone();
        let mut cause = self.source();
        while let Some(error) = cause {
            let part = error.to_string();
            if !text.ends_with(&part) {
                text.push_str(": ");
                text.push_str(&part);
            }
            cause = error.source();
        }
        text
    }
}

impl fmt::Display for ConnectorError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl Error for ConnectorError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
