//! What is known of a git work tree: its commit and remote, read from files, and what only `git` itself can tell.

mod head;
mod process;
mod remote;

pub(crate) use head::{GitHead, git_head};
pub(super) use head::{head_and_dirt, only_git_knows_head};
pub(super) use process::{GitProcess, Silence};
pub(super) use remote::remote_of;

use std::path::{Path, PathBuf};

/// The longest file of git's that is read, in bytes.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// Returns the work tree at or above `directory`: the directory that holds `.git`.
pub(super) fn work_tree(directory: &Path) -> Option<&Path> {
    directory.ancestors().find(|above| above.join(".git").exists())
}

/// A work tree's `.git` is a directory, or a file that names one (worktrees, submodules).
fn git_directory(work_tree: &Path) -> Option<PathBuf> {
    let dot_git = work_tree.join(".git");
    if dot_git.is_dir() {
        return Some(dot_git);
    }
    let text = read(&dot_git)?;
    Some(work_tree.join(text.strip_prefix("gitdir:")?.trim()))
}

/// Returns where the worktrees of one repository keep what they share.
fn common_directory(git: &Path) -> PathBuf {
    read(&git.join("commondir")).map_or_else(|| git.to_owned(), |common| git.join(common.trim()))
}

/// Reads a regular file; anything else could make its reader wait.
fn read(path: &Path) -> Option<String> {
    use std::io::Read as _;
    if !std::fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    String::from_utf8(bytes).ok()
}
