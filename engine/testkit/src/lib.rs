//! What tests of engines and plugins need: a source and a sink in memory that keep every promise of the contracts, scripted faults around any
//! source and sink, a clock that moves only when told, and private database servers.
//!
//! Must not know any plugin. Only what waits for a server's process sleeps. Read next: `memory_sink.rs`, `faults.rs`, `servers/mod.rs`.

pub mod conformance;
mod dated;
mod faults;
mod faulty_sink;
mod faulty_source;
mod manual_clock;
mod memory_sink;
mod memory_source;
mod memory_windows;
mod row_text;
pub mod servers;
mod skip;

pub use faults::{Fault, FaultPoint, Faults};
pub use faulty_sink::FaultySink;
pub use faulty_source::FaultySource;
pub use manual_clock::ManualClock;
pub use memory_sink::{MemorySink, MemoryTable};
pub use memory_source::MemorySource;
pub use row_text::{row_texts, sorted_row_texts};
pub use skip::{Skip, skipped};
