//! Which projects the given paths belong to, and which files those hold.

use crate::error::CliError;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs::Metadata;
use std::path::{Component, Path, PathBuf};

/// Name of the file that makes a folder a project.
const PROJECT_FILE: &str = "karat.yaml";

/// One project, with absolute paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Project {
    /// The folder that relative paths in YAML start from.
    pub(crate) root: PathBuf,
    /// `karat.yaml`, if there is one.
    pub(crate) project_file: Option<PathBuf>,
    /// All pipeline files.
    pub(crate) files: BTreeSet<PathBuf>,
    /// The pipeline files that the user named, or that lie below a named folder.
    pub(crate) chosen: BTreeSet<PathBuf>,
}

/// The projects that `paths` belong to, by root.
pub(crate) fn discover(paths: &[PathBuf], folder: &Path) -> Result<Vec<Project>, CliError> {
    let mut roots = Roots::default();
    let mut chosen: BTreeMap<PathBuf, BTreeSet<PathBuf>> = BTreeMap::new();
    for path in paths {
        let absolute = normal(&folder.join(path));
        let metadata = std::fs::metadata(&absolute).map_err(|error| unusable(path, &absolute, &error))?;
        for file in named_files(path, &absolute, &metadata)? {
            chosen.entry(roots.of(&file)).or_default().insert(file);
        }
    }
    chosen.into_iter().map(|(root, chosen)| whole(root, chosen, &mut roots)).collect()
}

/// The pipeline files that one path stands for.
fn named_files(path: &Path, absolute: &Path, metadata: &Metadata) -> Result<Vec<PathBuf>, CliError> {
    let shown = path.display();
    let search = if metadata.is_dir() {
        absolute
    } else if !metadata.is_file() {
        return Err(CliError::usage(format!("`{shown}` is neither a file nor a folder")));
    } else if absolute.file_name() == Some(OsStr::new(PROJECT_FILE)) {
        absolute.parent().unwrap_or(absolute)
    } else if is_yaml(absolute) {
        return Ok(vec![absolute.to_owned()]);
    } else {
        return Err(CliError::usage(format!("`{shown}` is no pipeline: its name does not end in `.yaml` or `.yml`")));
    };
    let files = below(search)?;
    if files.is_empty() {
        let help = "`karat init` writes a project to start from";
        return Err(CliError::usage(format!("there is no pipeline below `{shown}`: no `*.yaml` or `*.yml` but {PROJECT_FILE}")).with_help(help));
    }
    Ok(files)
}

fn unusable(path: &Path, absolute: &Path, error: &std::io::Error) -> CliError {
    if error.kind() != std::io::ErrorKind::NotFound {
        return CliError::usage(format!("`{}` cannot be read: {error}", path.display()));
    }
    let siblings: Vec<String> = absolute
        .parent()
        .and_then(|parent| std::fs::read_dir(parent).ok())
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect();
    let name = absolute.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let near = karat_diagnostics::nearest(&name, siblings.iter().map(String::as_str)).map(|near| format!("did you mean `{}`?", path.with_file_name(near).display()));
    CliError::usage(format!("`{}` does not exist", path.display())).with_help_opt(near)
}

fn whole(root: PathBuf, chosen: BTreeSet<PathBuf>, roots: &mut Roots) -> Result<Project, CliError> {
    let project_file = Some(root.join(PROJECT_FILE)).filter(|path| path.is_file());
    let candidates = if project_file.is_some() { below(&root)? } else { directly_in(&root)? };
    let mut files: BTreeSet<PathBuf> = candidates.into_iter().filter(|file| roots.of(file) == root).collect();
    files.extend(chosen.iter().cloned());
    Ok(Project { root, project_file, files, chosen })
}

/// Remembers which folder belongs to which project.
#[derive(Default)]
struct Roots {
    known: HashMap<PathBuf, Option<PathBuf>>,
}

impl Roots {
    /// The nearest folder above `file` that holds `karat.yaml`, else the file's own folder.
    fn of(&mut self, file: &Path) -> PathBuf {
        let folder = file.parent().unwrap_or(file);
        self.above(folder).unwrap_or_else(|| folder.to_owned())
    }

    fn above(&mut self, folder: &Path) -> Option<PathBuf> {
        if let Some(known) = self.known.get(folder) {
            return known.clone();
        }
        let found = if folder.join(PROJECT_FILE).is_file() { Some(folder.to_owned()) } else { folder.parent().and_then(|parent| self.above(parent)) };
        self.known.insert(folder.to_owned(), found.clone());
        found
    }
}

/// Pipeline files below a folder: no `karat.yaml`, nothing hidden, no folders named `tests`.
fn below(folder: &Path) -> Result<Vec<PathBuf>, CliError> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        // A folder that is reached twice through links is read once.
        if !seen.insert(next.canonicalize().unwrap_or_else(|_| next.clone())) {
            continue;
        }
        for path in entries(&next)? {
            if path.is_dir() {
                if path.file_name() != Some(OsStr::new("tests")) {
                    open.push(path);
                }
            } else if is_yaml(&path) && path.file_name() != Some(OsStr::new(PROJECT_FILE)) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn directly_in(folder: &Path) -> Result<Vec<PathBuf>, CliError> {
    Ok(entries(folder)?.into_iter().filter(|path| is_yaml(path) && !path.is_dir() && path.file_name() != Some(OsStr::new(PROJECT_FILE))).collect())
}

/// What lies in a folder and is not hidden.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, CliError> {
    let read = |error: std::io::Error| CliError::usage(format!("folder `{}` cannot be read: {error}", folder.display()));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let entry = entry.map_err(read)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

/// Without `.` and `..`, and without asking the disk: links stay as they were written.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => out.push(component),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            std::fs::write(path, "version: 1\n").expect("a file");
        }
        folder
    }

    fn shown(folder: &Path, paths: &[&str]) -> Vec<String> {
        let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
        let name = |path: &PathBuf| path.strip_prefix(folder).expect("inside").display().to_string();
        match discover(&paths, folder) {
            Ok(projects) => projects
                .iter()
                .map(|project| format!("{} [{}] of {}", name(&project.root), project.chosen.iter().map(name).collect::<Vec<_>>().join(" "), project.files.len()))
                .collect(),
            Err(error) => vec![format!("{}; {}", error.message, error.help.unwrap_or_default())],
        }
    }

    #[test]
    fn every_file_belongs_to_the_nearest_project() {
        let folder = tree(&[
            "all/one/karat.yaml",
            "all/one/a.yaml",
            "all/one/deep/b.yml",
            "all/two/karat.yaml",
            "all/two/c.yaml",
            "all/two/.hidden/d.yaml",
            "all/two/tests/e.yaml",
            "loose/f.yaml",
            "loose/g.yaml",
        ]);

        assert_eq!(shown(folder.path(), &["all"]), ["all/one [all/one/a.yaml all/one/deep/b.yml] of 2", "all/two [all/two/c.yaml] of 1"]);
        assert_eq!(shown(folder.path(), &["all/one/deep"]), ["all/one [all/one/deep/b.yml] of 2"]);
        assert_eq!(shown(folder.path(), &["./loose/../loose/f.yaml"]), ["loose [loose/f.yaml] of 2"]);
        assert_eq!(shown(folder.path(), &["all/two/tests/e.yaml"]), ["all/two [all/two/tests/e.yaml] of 2"]);
        assert_eq!(shown(folder.path(), &["all/one/karat.yaml"]), ["all/one [all/one/a.yaml all/one/deep/b.yml] of 2"]);
    }

    #[test]
    fn paths_that_lead_nowhere_say_so() {
        let folder = tree(&["pipelines/a.yaml", "empty/readme.md"]);

        assert_eq!(shown(folder.path(), &["pipeline"]), ["`pipeline` does not exist; did you mean `pipelines`?"]);
        assert!(shown(folder.path(), &["empty"])[0].starts_with("there is no pipeline below `empty`"));
        assert!(shown(folder.path(), &["empty/readme.md"])[0].starts_with("`empty/readme.md` is no pipeline"));
        assert!(shown(folder.path(), &["/dev/null"])[0].starts_with("`/dev/null` is neither a file nor a folder"));
    }

    #[test]
    fn links_in_a_circle_end() {
        let folder = tree(&["a/x.yaml"]);
        std::os::unix::fs::symlink(folder.path().join("a"), folder.path().join("a/loop")).expect("a link");

        assert_eq!(shown(folder.path(), &["a"]), ["a [a/x.yaml] of 1"]);
    }
}
