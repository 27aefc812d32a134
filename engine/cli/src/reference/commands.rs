//! The page of all commands, from the same definition that reads the command line.

use super::cell;
use clap::{Arg, Command};
use std::fmt::Write;

pub(super) fn page(command: &Command) -> String {
    let mut text = "# Commands\n\nstdout is data, stderr is conversation.\nExit codes are on [a page of their own](exit-codes.md).\n".to_owned();
    for member in command.get_subcommands().filter(|member| !member.is_hide_set() && member.get_name() != "help") {
        section(&mut text, member, &format!("karat {}", member.get_name()));
    }
    let _ = writeln!(text, "\n## Options of every command");
    table(&mut text, command.get_arguments().filter(|argument| argument.is_global_set()));
    text
}

fn section(text: &mut String, command: &Command, name: &str) {
    let about = command.get_long_about().or_else(|| command.get_about()).map(ToString::to_string).unwrap_or_default();
    let _ = writeln!(text, "\n## `{name}`\n\n{}", about.trim());
    table(text, command.get_arguments().filter(|argument| !argument.is_global_set()));
    for member in command.get_subcommands().filter(|member| !member.is_hide_set() && member.get_name() != "help") {
        section(text, member, &format!("{name} {}", member.get_name()));
    }
}

fn table<'a>(text: &mut String, arguments: impl Iterator<Item = &'a Arg>) {
    let shown: Vec<&Arg> = arguments.filter(|argument| !argument.is_hide_set() && !matches!(argument.get_id().as_str(), "help" | "version")).collect();
    if !shown.is_empty() {
        let _ = writeln!(text, "\n| argument | default | meaning |\n|---|---|---|");
    }
    for argument in shown {
        let _ = writeln!(text, "| {} | {} | {} |", spelling(argument), default(argument), cell(&meaning(argument)));
    }
}

fn spelling(argument: &Arg) -> String {
    let value = argument.get_value_names().and_then(|names| names.first()).map_or_else(|| argument.get_id().as_str().to_uppercase(), ToString::to_string);
    let takes_value = argument.get_action().takes_values();
    match (argument.get_long(), argument.get_short()) {
        (Some(long), short) => {
            let short = short.map(|short| format!("`-{short}`, ")).unwrap_or_default();
            if takes_value { format!("{short}`--{long} {value}`") } else { format!("{short}`--{long}`") }
        }
        (None, Some(short)) => format!("`-{short}`"),
        (None, None) => format!("`{value}`"),
    }
}

fn default(argument: &Arg) -> String {
    let values: Vec<String> = argument.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy())).collect();
    if values.is_empty() || !argument.get_action().takes_values() { "–".to_owned() } else { values.join(", ") }
}

fn meaning(argument: &Arg) -> String {
    let help = argument.get_long_help().or_else(|| argument.get_help()).map(ToString::to_string).unwrap_or_default();
    let choices: Vec<String> = argument.get_possible_values().iter().filter(|value| !value.is_hide_set()).map(|value| format!("`{}`", value.get_name())).collect();
    if choices.is_empty() || !argument.get_action().takes_values() { help } else { format!("{}: {}", help.trim_end_matches('.'), choices.join(", ")) }
}
