//! Delta Lake tables on a local disk.
