//! What the documentation shows works: YAML is linted, commands are run.

use crate::karat::{Karat, repository};
use crate::project::Project;
use std::path::{Path, PathBuf};

/// One fenced block of a Markdown file.
struct Block {
    file: PathBuf,
    line: usize,
    language: String,
    text: String,
}

#[test]
fn every_pipeline_in_the_documentation_is_sound() {
    let mut wrong = Vec::new();
    let mut linted = 0;
    for block in blocks() {
        // A block that is no whole file, such as one key, says so: ```yaml part.
        if block.language != "yaml" {
            continue;
        }
        linted += 1;
        let project = Project::empty();
        let name = if ["bronze:", "silver:", "gold:"].iter().any(|layer| block.text.contains(layer)) { "pipeline.yaml" } else { "karat.yaml" };
        project.write(name, &block.text);
        let outcome = project.karat(["lint"]).run();
        if outcome.code != Some(0) {
            wrong.push(format!("{}:{}\n{}", block.file.display(), block.line, outcome.said()));
        }
    }
    assert!(linted >= 3, "only {linted} YAML blocks in the documentation");
    assert!(wrong.is_empty(), "YAML in the documentation does not lint:\n{}", wrong.join("\n"));
}

#[test]
fn every_command_in_the_guides_works() {
    let mut wrong = Vec::new();
    let mut ran = 0;
    for guide in markdown_files(&repository().join("docs/guides")) {
        let project = Project::empty();
        for block in blocks_of(&guide) {
            if let Some(path) = block.language.strip_prefix("yaml ") {
                project.write(path, &block.text);
            } else if let Some(path) = block.language.strip_prefix("csv ") {
                project.write(path, &block.text);
            } else if let Some(path) = block.language.strip_prefix("sql ") {
                project.database(path, &block.text);
            } else if block.language.starts_with("sh") {
                let expected = block.language.strip_prefix("sh exit=").map_or(0, |code| code.parse().expect("an exit code"));
                for line in block.text.lines().filter_map(|line| line.strip_prefix("karat ")) {
                    ran += 1;
                    let outcome = Karat::within(project.path()).args(words(line)).run();
                    if outcome.code != Some(expected) {
                        wrong.push(format!("{}:{}: `karat {line}` ended with {:?}\n{}", guide.display(), block.line, outcome.code, outcome.said()));
                    }
                }
            }
        }
    }
    assert!(ran >= 15, "only {ran} commands in the guides");
    assert!(wrong.is_empty(), "commands in the guides do not work:\n{}", wrong.join("\n"));
}

#[test]
fn every_link_in_the_documentation_leads_somewhere() {
    let mut broken = Vec::new();
    for file in all_markdown() {
        let text = std::fs::read_to_string(&file).expect("Markdown can be read");
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") {
                continue;
            }
            if !file.parent().expect("files lie in folders").join(path).exists() {
                broken.push(format!("{}: {target}", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

fn all_markdown() -> Vec<PathBuf> {
    let root = repository();
    let mut files = markdown_files(&root.join("docs"));
    files.extend(markdown_files(&root.join("plugins")));
    files.extend(markdown_files(&root.join("pipelines")));
    files.push(root.join("README.md"));
    files
}

fn blocks() -> Vec<Block> {
    // Rule pages show faults on purpose; the rules' own tests run them.
    let files = all_markdown().into_iter().filter(|file| !file.components().any(|part| part.as_os_str() == "reference"));
    files.flat_map(|file| blocks_of(&file)).collect()
}

fn markdown_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != ".karat" && name != "target") {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn blocks_of(file: &Path) -> Vec<Block> {
    let text = std::fs::read_to_string(file).expect("Markdown can be read");
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (line, content) in (1..).zip(text.lines()) {
        match (content.trim_start().strip_prefix("```"), &mut open) {
            (Some(language), None) => open = Some(Block { file: file.to_owned(), line, language: language.trim().to_owned(), text: String::new() }),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => {
                block.text.push_str(content);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

/// Words of a command line; quotes keep spaces together.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    for letter in line.chars() {
        match quote {
            Some(open) if letter == open => quote = None,
            Some(_) => word.push(letter),
            None if letter == '"' || letter == '\'' => quote = Some(letter),
            None if letter == ' ' => words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty())),
            None => word.push(letter),
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}
