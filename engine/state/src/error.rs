//! What can go wrong with state.

use crate::Owner;
use std::path::PathBuf;
use thiserror::Error;

/// An error of the state store. Each names the file or the database.
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
    /// It is no state, or its content contradicts itself.
    #[error("{place} is damaged: {reason}")]
    Corrupt {
        /// The file or database.
        place: String,
        /// What does not fit.
        reason: String,
    },
    /// A newer Karat wrote it.
    #[error("{place} has format {found}, this build knows up to {known}")]
    NewerFormat {
        /// The file or database.
        place: String,
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
    /// The address of a state database cannot be used.
    #[error("the state database's address cannot be used: {reason}")]
    BadAddress {
        /// Why not; never holds a secret.
        reason: String,
    },
    /// The database refused, or did not answer.
    #[error("cannot {action} in {place}")]
    Database {
        /// What was tried.
        action: &'static str,
        /// The file or database.
        place: String,
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
            Self::Corrupt { .. } => Some("run `karat state rebuild`: it moves a file that cannot be opened aside, and reads the positions back from the targets"),
            Self::NewerFormat { .. } => Some("use the newer build, or move it away and run `karat state rebuild`"),
            Self::BadAddress { .. } => Some("write `state: {type: postgres, url: \"postgres://user:password@host:5432/database\"}`, with the password from the environment"),
            Self::NetworkFileSystem { .. } => Some("set `state.path` in karat.yaml to a file on a local disk"),
            Self::Io { .. } | Self::Database { .. } => None,
        }
    }
}
