//! The reference of the command line, from clap's own knowledge of it.

use super::NOTICE;
use crate::arguments::Cli;
use clap::{Arg, Command, CommandFactory};
use std::fmt::Write;

/// All commands with their arguments.
pub(crate) fn markdown() -> String {
    let mut root = Cli::command();
    root.build();
    let mut out = format!("{NOTICE}# Command line\n\n{}\n", about(&root));
    let _infallible = writeln!(out, "\n## Options of every command\n\n{}", arguments(root.get_arguments().filter(|argument| argument.is_global_set())));
    for command in root.get_subcommands().filter(|command| !command.is_hide_set()) {
        write_command(&mut out, command, "karat", 2);
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

fn write_command(out: &mut String, command: &Command, parent: &str, depth: usize) {
    let name = format!("{parent} {}", command.get_name());
    let _infallible = writeln!(out, "{} `{name}`\n\n{}\n", "#".repeat(depth), about(command));
    let own = arguments(command.get_arguments().filter(|argument| !argument.is_global_set()));
    if !own.is_empty() {
        let _infallible = writeln!(out, "{own}");
    }
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        write_command(out, inner, &name, depth + 1);
    }
}

fn arguments<'a>(arguments: impl Iterator<Item = &'a Arg>) -> String {
    let shown: Vec<&Arg> = arguments.filter(|argument| !argument.is_hide_set() && !matches!(argument.get_id().as_str(), "help" | "version")).collect();
    if shown.is_empty() {
        return String::new();
    }
    let mut out = String::from("| argument | meaning |\n|---|---|\n");
    for argument in shown {
        let _infallible = writeln!(out, "| {} | {} |", spelling(argument), meaning(argument));
    }
    out
}

fn spelling(argument: &Arg) -> String {
    let takes_value = argument.get_action().takes_values();
    let value = argument.get_value_names().and_then(|names| names.first()).map_or_else(|| argument.get_id().as_str().to_uppercase(), ToString::to_string);
    match (argument.get_short(), argument.get_long()) {
        (short, Some(long)) => {
            let short = short.map(|short| format!("`-{short}`, ")).unwrap_or_default();
            if takes_value { format!("{short}`--{long} {value}`") } else { format!("{short}`--{long}`") }
        }
        (_, None) => format!("`{value}`"),
    }
}

fn meaning(argument: &Arg) -> String {
    let mut text = argument.get_help().map(ToString::to_string).unwrap_or_default().replace('|', "\\|").replace('\n', " ");
    let choices: Vec<String> = argument.get_possible_values().iter().filter(|value| !value.is_hide_set()).map(|value| format!("`{}`", value.get_name())).collect();
    if argument.get_action().takes_values() && !choices.is_empty() {
        let _infallible = write!(text, " One of {}.", choices.join(", "));
    }
    let defaults: Vec<String> = argument.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy())).collect();
    if argument.get_action().takes_values() && !defaults.is_empty() {
        let _infallible = write!(text, " Default {}.", defaults.join(", "));
    }
    text
}

fn about(command: &Command) -> String {
    let text = command.get_about().map(ToString::to_string).unwrap_or_default();
    if text.ends_with('.') { text } else { text + "." }
}
