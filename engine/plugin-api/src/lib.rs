//! The contracts of sources and sinks.
