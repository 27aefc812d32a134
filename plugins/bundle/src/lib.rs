//! The list of all plugins.
