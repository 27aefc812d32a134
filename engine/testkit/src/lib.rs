//! Memory sources and sinks, faults, conformance suites.
