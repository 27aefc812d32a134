//! The only engine crate that knows DataFusion's SQL.
