//! YAML text to a typed model with byte-exact positions.
