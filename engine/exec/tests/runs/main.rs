//! Runs as seen from outside: memory sources and sinks, a real state file, real SQL.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

mod cancellation;
mod copies;
mod diffs;
mod faults;
mod refusals;
mod scheduling;
mod transforms;
mod windows;
mod world;
