//! Black-box tests of the release binary: what a user sees, and what survives what happens to it.
//!
//! Knows commands, exit codes, files and what an independent reader finds in them; must not call the engine's own code.
//! Read next: `karat.rs` (running the binary), `project.rs` (throw-away projects), `reader.rs` (the independent reader), `databases/stand.rs` (real servers).

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

mod bad_input;
mod broken;
mod commands;
mod comparisons;
mod crash;
mod databases;
mod docs;
mod flights;
mod generated;
mod incremental;
mod karat;
mod lock;
mod market;
mod project;
mod reader;
mod schemas;
mod shared_state;
mod windows;
