//! Values of `${NAME}`.

use super::failure::Problem;
use crate::{Environment, codes};
use std::ops::Range;

/// What one `${NAME}` or `${NAME:-default}` stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Variable<'a> {
    /// A value of the environment: a secret.
    Secret(&'a str),
    /// The default that stands in the file.
    Default,
    /// Not known now; the reference stays as it is.
    Unresolved,
}

/// Looks one variable up.
pub(super) fn look_up<'a>(environment: &'a Environment, name: &str, default: Option<&str>, range: &Range<usize>) -> Result<Variable<'a>, Problem> {
    let variables = match environment {
        Environment::Unresolved if default.is_some() => return Ok(Variable::Default),
        Environment::Unresolved => return Ok(Variable::Unresolved),
        Environment::Variables(variables) => variables,
    };
    match (variables.get(name), default) {
        (Some(value), _) if !value.is_empty() => Ok(Variable::Secret(value)),
        (_, Some(_)) => Ok(Variable::Default),
        (Some(_), None) => Err(Problem::new(codes::VARIABLE_UNSET, range, format!("the environment variable `{name}` is empty"))
            .with_help(format!("set it, or write `${{{name}:-}}` if an empty text is meant"))),
        (None, None) => Err(Problem::new(codes::VARIABLE_UNSET, range, format!("the environment variable `{name}` is not set"))
            .with_help(format!("set it, or give a default: `${{{name}:-default}}`"))),
    }
}
