//! The typed model to a graph of tables.
