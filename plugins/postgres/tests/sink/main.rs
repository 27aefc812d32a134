//! PostgreSQL as a target, on private servers, seen by `psql`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it fails")]

mod conformance;
mod diffs;
mod faults;
mod tables;
mod together;
mod values;
mod windows;
mod world;
