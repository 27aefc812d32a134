//! Real servers at both ends: the binary copies between PostgreSQL, MariaDB and a lake, and the servers' own clients say what arrived.
//!
//! Read next: `copies.rs`, `increments.rs`, `late_commits.rs`, `interruptions.rs`, `guards.rs`.

mod copies;
mod guards;
mod increments;
mod interruptions;
mod late_commits;
mod stand;

pub(super) use stand::{Pair, Servers, Stand, System};
