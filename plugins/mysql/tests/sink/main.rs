//! Writing to a MariaDB: what every database sink promises, and what only this one can get wrong. The database's own client judges.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says where")]

mod conformance;
mod diffs;
mod faults;
mod storms;
mod swaps;
mod tables;
mod windows;
mod world;
