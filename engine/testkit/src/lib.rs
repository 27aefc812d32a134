//! What tests of engines and plugins need: a source and a sink in memory that keep every promise of the contracts, scripted faults around any
//! source and sink, and a clock that moves only when told.
//!
//! Must not know any external system. Nothing here sleeps. Read next: `memory_sink.rs`, `faults.rs`.

pub mod conformance;
mod faults;
mod faulty_sink;
mod faulty_source;
mod manual_clock;
mod memory_sink;
mod memory_source;
mod row_text;

pub use faults::{Fault, FaultPoint, Faults};
pub use faulty_sink::FaultySink;
pub use faulty_source::FaultySource;
pub use manual_clock::ManualClock;
pub use memory_sink::{MemorySink, MemoryTable};
pub use memory_source::MemorySource;
pub use row_text::{row_texts, sorted_row_texts};
