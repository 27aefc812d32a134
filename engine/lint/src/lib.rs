//! Every judgement that needs neither I/O nor SQL analysis.
//!
//! Knows the model, the graph and what plugins can do as data; must not know columns' real types, databases or files.
//! Each rule is one file below `rules/`. Read next: [`run`], then `rule.rs`, `view.rs` and any rule.

mod catalogue;
mod levels;
mod rule;
mod rules;
mod run;
mod support;
mod type_name;
mod view;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

pub use catalogue::{explain, explanations, registry};
pub use rule::{Group, Rule};
pub use run::run;
