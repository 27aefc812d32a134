//! Runs as seen from outside: memory sources and sinks, a real state file, real SQL.

mod cancellation;
mod copies;
mod faults;
mod refusals;
mod scheduling;
mod transforms;
mod world;
