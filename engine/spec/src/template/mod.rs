//! `${NAME}` and minijinja in values: rendering, and where each rendered byte came from.

mod environment;
mod failure;
mod render;
mod sandbox;
mod scan;

pub(crate) use failure::Problem;
pub(crate) use render::{LostVars, Rendered, Renderer, Scope, template_value};
