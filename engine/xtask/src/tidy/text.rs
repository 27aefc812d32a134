//! What stands in files: length, ignored tests, open ends, printing.

use super::{Finding, TreeFile};

/// A Rust file above this fails.
const TOO_LONG: usize = 1000;

/// A Rust file above this is listed.
const LONG: usize = 500;

pub(super) fn check(files: &[TreeFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, text) in files.iter().filter_map(|file| Some((file, file.text.as_deref()?))) {
        let place = file.path.display().to_string();
        if is_rust(file) && product_lines(file, text) > TOO_LONG {
            findings.push(Finding::new(&place, format!("more than {TOO_LONG} lines"), "split it by what its parts know; one concept per file"));
        }
        for (number, line) in (1..).zip(text.lines()) {
            let at = || format!("{place}:{number}");
            if is_rust(file) {
                findings.extend(check_rust_line(file, line).map(|(message, cure)| Finding::new(at(), message, cure)));
            }
            if let Some(word) = open_end(file, line) {
                findings.push(Finding::new(at(), format!("`{word}` without an issue"), format!("write `{word}(#123)` with the issue's number, or do it now")));
            }
        }
    }
    findings
}

/// Files that are worth splitting, longest first.
pub(super) fn long_files(files: &[TreeFile]) -> Vec<String> {
    let mut long: Vec<(usize, String)> = files
        .iter()
        .filter(|file| is_rust(file))
        .filter_map(|file| Some((product_lines(file, file.text.as_deref()?), file.path.display().to_string())))
        .filter(|(lines, _)| *lines > LONG)
        .collect();
    long.sort_by(|one, two| two.cmp(one));
    long.into_iter().map(|(lines, path)| format!("{path} has {lines} lines: explain it in review, or split it")).collect()
}

fn is_rust(file: &TreeFile) -> bool {
    file.path.extension().is_some_and(|extension| extension == "rs")
}

fn is_test_file(file: &TreeFile) -> bool {
    file.path.iter().any(|part| part == "tests" || part == "tests.rs")
}

/// Lines up to the first test module; test files have none.
fn product_lines(file: &TreeFile, text: &str) -> usize {
    if is_test_file(file) {
        return 0;
    }
    text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count()
}

fn check_rust_line(file: &TreeFile, line: &str) -> Option<(String, &'static str)> {
    let code = line.trim_start();
    if code.starts_with("//") {
        return None;
    }
    if code.starts_with(concat!("#[", "ignore]")) {
        return Some(("an ignored test without a reason".to_owned(), "say after `ignore =` why, and when it runs, or delete the test"));
    }
    let prints = [concat!("print", "ln!("), concat!("print", "!("), concat!("dbg", "!(")];
    if let Some(print) = prints.into_iter().find(|print| calls(code, print))
        && !(file.path.starts_with("engine/cli") || is_test_file(file) || file.path.ends_with("build.rs"))
    {
        let message = format!("`{}` outside `cli`", print.trim_end_matches('('));
        return Some((message, "return a value and let `cli` print it, or emit a tracing event"));
    }
    None
}

/// True when the macro is called, not when a longer name ends in it or a text quotes it.
fn calls(code: &str, name: &str) -> bool {
    let bare = code.find(name).or_else(|| code.find(&format!("e{name}")));
    bare.is_some_and(|at| !code[..at].contains('"') && !code[..at].ends_with(|letter: char| letter.is_alphanumeric() || letter == '_' || letter == '`'))
}

fn open_end(file: &TreeFile, line: &str) -> Option<&'static str> {
    // Prose may speak about the rule itself.
    if file.path.extension().is_some_and(|extension| extension == "md") {
        return None;
    }
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")].into_iter().find(|word| {
        line.match_indices(word).any(|(at, _)| {
            let (before, after) = (&line[..at], &line[at + word.len()..]);
            let whole = !before.ends_with(|letter: char| letter.is_alphanumeric() || letter == '_') && !after.starts_with(|letter: char| letter.is_alphanumeric() || letter == '_');
            whole && !after.starts_with("(#")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> Vec<TreeFile> {
        vec![TreeFile { path: path.into(), text: Some(text.to_owned()) }]
    }

    fn messages(path: &str, text: &str) -> Vec<String> {
        check(&file(path, text)).into_iter().map(|finding| format!("{} {}", finding.place, finding.message)).collect()
    }

    #[test]
    fn a_file_above_a_thousand_lines_is_found() {
        assert_eq!(messages("engine/exec/src/run.rs", &"let x = 1;\n".repeat(1001)), ["engine/exec/src/run.rs more than 1000 lines"]);
    }

    #[test]
    fn tests_do_not_count_as_lines() {
        let text = format!("fn run() {{}}\n#[cfg(test)]\nmod tests {{\n{}}}\n", "x();\n".repeat(1001));

        assert!(messages("engine/exec/src/run.rs", &text).is_empty());
        assert!(messages("tests/all/run.rs", &"x();\n".repeat(1001)).is_empty());
    }

    #[test]
    fn a_file_above_five_hundred_lines_is_listed() {
        let files = file("engine/exec/src/run.rs", &"x();\n".repeat(501));

        assert!(check(&files).is_empty());
        assert_eq!(long_files(&files), ["engine/exec/src/run.rs has 501 lines: explain it in review, or split it"]);
    }

    #[test]
    fn an_ignored_test_needs_a_reason() {
        assert_eq!(messages("tests/all/a.rs", concat!("#[", "ignore]\n")).len(), 1);
        assert!(messages("tests/all/a.rs", concat!("#[", "ignore = \"needs a server\"]\n")).is_empty());
    }

    #[test]
    fn an_open_end_needs_an_issue() {
        assert_eq!(messages("engine/exec/src/run.rs", concat!("// TO", "DO: later\n")), [concat!("engine/exec/src/run.rs:1 `TO", "DO` without an issue")]);
        assert!(messages("engine/exec/src/run.rs", concat!("// TO", "DO(#12): later\n")).is_empty());
    }

    #[test]
    fn printing_is_for_the_command_line_only() {
        let line = concat!("    print", "ln!(\"{x}\");\n");

        assert_eq!(messages("engine/exec/src/run.rs", line).len(), 1);
        assert!(messages("engine/cli/src/printer.rs", line).is_empty());
        assert!(messages("engine/exec/src/run.rs", concat!("    my_print", "ln!(\"{x}\");\n")).is_empty());
    }
}
