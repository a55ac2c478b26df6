//! Folders of code: what of a folder is code, and what `.gitignore` and its like hold back.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::{FILES_MAX, Gathered, below, file};
use crate::secrets::Scanner;
use crate::{Error, ErrorKind, Result};

/// What is code, by the ending of the name: sources, notebooks, scripts, and files that configure and build.
const EXTENSIONS: &[&str] = &[
    "asm", "bash", "bat", "bzl", "c", "cc", "cfg", "cjs", "cl", "cmake", "cpp", "cs", "cu", "cuh", "cxx", "dart",
    "def", "f", "f90", "fish", "glsl", "go", "gradle", "graphql", "h", "hh", "hip", "hpp", "hs", "hxx", "ini", "ipynb",
    "java", "jl", "js", "json", "jsonc", "jsonnet", "jsx", "kt", "kts", "lua", "m", "metal", "mjs", "ml", "mm", "nix",
    "pbtxt", "php", "pl", "proto", "ps1", "pxd", "py", "pyi", "pyx", "r", "rb", "rs", "s", "scala", "scss", "sh",
    "slurm", "sql", "svelte", "swift", "tf", "toml", "ts", "tsx", "vue", "wgsl", "yaml", "yml", "zig", "zsh",
];
/// What is code by its whole name.
const NAMES: &[&str] = &[
    "BUILD",
    "CMakeLists.txt",
    "Containerfile",
    "Dockerfile",
    "Gemfile",
    "Justfile",
    "Makefile",
    "Pipfile",
    "Rakefile",
    "Snakefile",
    "WORKSPACE",
    "justfile",
    "makefile",
    "requirements.txt",
];
/// Directories that hold no code of the user's, though no ignore file may say so.
const PASSED_OVER: &[&str] = &["__pycache__", "node_modules", "site-packages", "wandb"];

/// A folder of code, and what of it is kept.
///
/// Files that `.gitignore`, `.ignore` or git's exclude files name, and those whose names begin with a dot, are never
/// kept, whatever is included. Symbolic links are not followed.
#[derive(Debug, Clone, Default)]
pub struct CodeFolder {
    /// The folder.
    pub root: PathBuf,
    /// What it is called among the code of the run; `source` if empty.
    pub name: String,
    /// Patterns, as `.gitignore` has them, of the files that are kept. Empty: what looks like code by its name.
    pub include: Vec<String>,
    /// Patterns of files that are not.
    pub exclude: Vec<String>,
}

impl CodeFolder {
    /// Lists the files that would be kept: paths below the folder, in order.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the folder is not there, [`ErrorKind::InvalidArgument`] for a pattern that is none, or
    /// more files than are kept of a run.
    pub fn files(&self) -> Result<Vec<PathBuf>> {
        self.walk(|path| self.include.is_empty() && is_code(path))
    }

    /// Lists the files among which a caller may choose: all that nothing holds back.
    ///
    /// # Errors
    /// As [`CodeFolder::files`].
    pub fn candidates(&self) -> Result<Vec<PathBuf>> {
        self.walk(|_| true)
    }

    fn walk(&self, is_kept: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
        let shown = self.root.display();
        if !self.root.is_dir() {
            return Err(Error::new(ErrorKind::NotFound, format!("code folder {shown}: no such directory")));
        }
        let (include, exclude) = (self.patterns(&self.include)?, self.patterns(&self.exclude)?);
        let mut walk = WalkBuilder::new(&self.root);
        // An ignore file holds outside of a work tree, too: what it names was not meant to leave.
        walk.require_git(false).follow_links(false).sort_by_file_name(OsStr::cmp);
        walk.filter_entry(|entry| {
            let is_directory = entry.file_type().is_some_and(|kind| kind.is_dir());
            !(is_directory && PASSED_OVER.iter().any(|name| entry.file_name() == *name))
        });
        let mut files = Vec::new();
        // What cannot be read is not kept, and an ignore file with a line that is none holds with the others.
        for entry in walk.build().flatten().filter(|entry| entry.file_type().is_some_and(|kind| kind.is_file())) {
            let Ok(path) = entry.path().strip_prefix(&self.root) else { continue };
            let is_included = is_kept(path) || include.matched_path_or_any_parents(path, false).is_ignore();
            if !is_included || exclude.matched_path_or_any_parents(path, false).is_ignore() {
                continue;
            }
            if files.len() >= FILES_MAX {
                let message = format!("code folder {shown}: over {FILES_MAX} files; say which of them are code");
                return Err(Error::invalid(message));
            }
            files.push(path.to_owned());
        }
        Ok(files)
    }

    fn patterns(&self, globs: &[String]) -> Result<Gitignore> {
        let refused = |error: ignore::Error| Error::invalid(format!("code folder {}: {error}", self.root.display()));
        let mut builder = GitignoreBuilder::new("");
        for glob in globs {
            builder.add_line(None, glob).map_err(refused)?;
        }
        builder.build().map_err(refused)
    }
}

impl Gathered {
    /// Adds files of a folder, given by their paths below it.
    pub(in crate::capture) fn add_folder(&mut self, scanner: &Scanner, folder: &CodeFolder, files: &[PathBuf]) {
        let name = if folder.name.is_empty() { "source" } else { &folder.name };
        for path in files {
            match file::read(&folder.root.join(path)) {
                Ok(bytes) => self.add(scanner, below(name, path.as_os_str().as_bytes()), bytes),
                Err(why) => self.leave_out(&path.to_string_lossy(), &why),
            }
        }
    }
}

fn is_code(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    let extension = path.extension().map(OsStr::to_ascii_lowercase);
    NAMES.iter().any(|known| name == *known)
        || extension.is_some_and(|extension| EXTENSIONS.iter().any(|known| extension == *known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let top = tempfile::tempdir().expect("temporary directory");
        for (name, text) in files {
            let path = top.path().join(name);
            std::fs::create_dir_all(path.parent().expect("inside")).expect("creates");
            std::fs::write(path, text).expect("writes");
        }
        top
    }

    fn names(files: Result<Vec<PathBuf>>) -> Vec<String> {
        files.expect("walks").iter().map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn code_is_told_by_name_and_ignore_files_hold_back() {
        let top = tree(&[
            (".gitignore", "/secret.py\n*.key.json\nbuild/\n"),
            ("sub/.ignore", "private.yaml\n"),
            ("train.py", ""),
            ("secret.py", ""),
            ("a.key.json", ""),
            ("build/made.py", ""),
            ("sub/model.RS", ""),
            ("sub/private.yaml", ""),
            ("sub/notes.txt", ""),
            ("Makefile", ""),
            (".env", ""),
            (".hidden/x.py", ""),
            ("node_modules/x.js", ""),
        ]);
        std::os::unix::fs::symlink("..", top.path().join("sub/loop")).expect("links");
        std::os::unix::fs::symlink("../secret.py", top.path().join("sub/alias.py")).expect("links");
        let folder = CodeFolder { root: top.path().to_owned(), ..CodeFolder::default() };
        assert_eq!(names(folder.files()), ["Makefile", "sub/model.RS", "train.py"]);
        assert_eq!(names(folder.candidates()), ["Makefile", "sub/model.RS", "sub/notes.txt", "train.py"]);

        let include = vec!["*.txt".into(), "secret.py".into(), ".env".into(), "/train.py".into()];
        let chosen = CodeFolder { include, ..folder.clone() };
        assert_eq!(names(chosen.files()), ["sub/notes.txt", "train.py"]);
        let fewer = CodeFolder { exclude: vec!["sub/".into(), "sub/**".into()], ..folder.clone() };
        assert_eq!(names(fewer.files()), ["Makefile", "train.py"]);
        let wrong = CodeFolder { include: vec!["[z-a]".into()], ..folder.clone() };
        assert_eq!(wrong.files().expect_err("no pattern").kind(), ErrorKind::InvalidArgument);
        let missing = CodeFolder { root: top.path().join("none"), ..CodeFolder::default() };
        assert_eq!(missing.files().expect_err("not there").kind(), ErrorKind::NotFound);
    }
}
