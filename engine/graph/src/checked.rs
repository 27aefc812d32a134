//! A graph that may be planned.

use crate::TableGraph;
use karat_diagnostics::{Diagnostic, Summary};
use karat_spec::ProjectSpec;

/// A model and its graph without any error-level finding. Only this can be planned and run.
#[derive(Debug, Clone)]
pub struct CheckedGraph {
    spec: ProjectSpec,
    graph: TableGraph,
}

/// Why there is no [`CheckedGraph`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{errors} findings at error level are left")]
pub struct ErrorsLeft {
    /// How many.
    pub errors: usize,
}

impl CheckedGraph {
    /// The model and its graph, if no finding is an error.
    ///
    /// # Errors
    /// [`ErrorsLeft`] when one is.
    pub fn try_from_parts(spec: ProjectSpec, graph: TableGraph, findings: &[Diagnostic]) -> Result<Self, ErrorsLeft> {
        match Summary::of(findings).errors {
            0 => Ok(Self { spec, graph }),
            errors => Err(ErrorsLeft { errors }),
        }
    }

    /// The model.
    #[must_use]
    pub fn spec(&self) -> &ProjectSpec {
        &self.spec
    }

    /// The graph.
    #[must_use]
    pub fn graph(&self) -> &TableGraph {
        &self.graph
    }
}
