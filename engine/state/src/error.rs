//! What can go wrong with the state file.

use crate::Owner;
use std::path::PathBuf;
use thiserror::Error;

/// An error of the state store. Each names the file.
#[derive(Debug, Error)]
pub enum StateError {
    /// Another run holds the lease.
    #[error("run {} holds the lease since {} (process {} on {})", .owner.run_id, .owner.since.format("%Y-%m-%d %H:%M:%S UTC"), .owner.pid, .owner.host)]
    Held {
        /// Who.
        owner: Box<Owner>,
    },
    /// Another run took the lease away from this one.
    #[error("the lease of epoch {epoch} was taken over: nothing more is written")]
    Fenced {
        /// The epoch this run had.
        epoch: u64,
    },
    /// The file is no state file, or its content contradicts itself.
    #[error("state file `{}` is damaged: {reason}", .path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// A newer Karat wrote it.
    #[error("state file `{}` has format {found}, this build knows up to {known}", .path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest known one.
        known: i64,
    },
    /// It lies on a file system whose locks cannot be trusted.
    #[error("state file `{}` lies on a network file system, whose locks cannot be trusted", .path.display())]
    NetworkFileSystem {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {action} `{}`", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// SQLite refused.
    #[error("cannot {action} in state file `{}`", .path.display())]
    Database {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: sqlx::Error,
    },
}

impl StateError {
    /// How to mend it, imperative.
    #[must_use]
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::Held { .. } => Some("wait for that run to end, or stop it"),
            Self::Fenced { .. } => Some("let the other run finish, then run again"),
            Self::Corrupt { .. } => Some("move the file away and run `karat state rebuild`: positions are read back from the targets"),
            Self::NewerFormat { .. } => Some("use the newer build, or move the file away and run `karat state rebuild`"),
            Self::NetworkFileSystem { .. } => Some("set `state.path` in karat.yaml to a file on a local disk"),
            Self::Io { .. } | Self::Database { .. } => None,
        }
    }
}
