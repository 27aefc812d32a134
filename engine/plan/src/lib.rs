//! Graph, schemas and state to an explicit plan.
