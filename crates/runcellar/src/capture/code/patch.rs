//! The diff of a work tree against its commit, staged and not, and the files that git does not know.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::{Gathered, below, file};
use crate::capture::git::{GitProcess, Silence};
use crate::secrets::Scanner;

/// The longest diff that is kept, in bytes.
const DIFF_BYTES_MAX: usize = 16 << 20;
/// The longest list of untracked files, in bytes.
const LIST_BYTES_MAX: usize = 4 << 20;
/// How git writes a diff, whatever is configured; nothing of the repository's is run, see [`GitProcess`].
const DIFF: &[&str] = &[
    "diff",
    "--no-ext-diff",
    "--no-textconv",
    "--no-color",
    "--no-renames",
    "--full-index",
    "--src-prefix=a/",
    "--dst-prefix=b/",
    "--unified=3",
    "--inter-hunk-context=0",
    "--submodule=short",
    "--ignore-submodules=dirty",
];

/// A diff that git is making.
pub(super) struct DiffProcess(GitProcess);

impl DiffProcess {
    /// Asks git for the diff of a work tree against its commit, or, where there is none yet, of what is staged.
    pub(super) fn start(work_tree: &Path, has_commit: bool) -> Option<DiffProcess> {
        let against = if has_commit { "HEAD" } else { "--cached" };
        GitProcess::start(work_tree, &[DIFF, &[against, "--"]].concat()).map(DiffProcess)
    }

    /// Adds it as `diff.patch`, without files that are not text. An empty one says that there is no difference:
    /// an earlier session of the run may have had one.
    pub(super) fn add(self, scanner: &Scanner, deadline: Instant, to: &mut Gathered) {
        match self.0.answer(deadline, DIFF_BYTES_MAX) {
            Ok(answer) if answer.code == 0 => {
                let patch = of_text(&answer.output, to);
                to.add(scanner, b"diff.patch".to_vec(), patch);
            }
            Ok(answer) => to.leave_out("the diff", &format!("git diff ended with code {}", answer.code)),
            Err(Silence::TooLong) => to.leave_out("the diff", &format!("over {} MiB", DIFF_BYTES_MAX >> 20)),
            Err(Silence::Late) => to.leave_out("the diff", "git was not done in time"),
            Err(Silence::Broken) => to.leave_out("the diff", "git was killed"),
        }
    }
}

/// Returns the parts of a patch that can be applied: those of text.
fn of_text(patch: &[u8], notes: &mut Gathered) -> Vec<u8> {
    let mut out = Vec::with_capacity(patch.len());
    let mut part: Vec<&[u8]> = Vec::new();
    let mut is_binary = false;
    let mut end = |part: &mut Vec<&[u8]>, is_binary: bool| {
        match (is_binary, part.first()) {
            (true, Some(header)) => {
                let header = String::from_utf8_lossy(header);
                let names = header.trim_end().strip_prefix("diff --git ").unwrap_or_default();
                notes.leave_out(names.split_once(" b/").map_or(names, |(_, name)| name), "not a text, changed");
            }
            _ => out.extend(part.iter().copied().flatten()),
        }
        part.clear();
    };
    for line in patch.split_inclusive(|byte| *byte == b'\n') {
        // Lines of a file begin with a blank, a sign or a backslash, so this is git's own.
        if line.starts_with(b"diff --git ") {
            end(&mut part, is_binary);
            is_binary = false;
        }
        is_binary |= line.starts_with(b"Binary files ");
        part.push(line);
    }
    end(&mut part, is_binary);
    out
}

/// A list of untracked files that git is making.
pub(super) struct UntrackedProcess {
    list: GitProcess,
    work_tree: PathBuf,
}

impl UntrackedProcess {
    /// Asks git which files of a work tree it neither knows nor ignores.
    pub(super) fn start(work_tree: PathBuf) -> Option<UntrackedProcess> {
        let list = GitProcess::start(&work_tree, &["ls-files", "--others", "--exclude-standard", "-z"])?;
        Some(UntrackedProcess { list, work_tree })
    }

    /// Adds these files, below `untracked/`.
    pub(super) fn add(self, scanner: &Scanner, deadline: Instant, to: &mut Gathered) {
        let names = match self.list.answer(deadline, LIST_BYTES_MAX) {
            Ok(answer) if answer.code == 0 => answer.output,
            _ => return to.leave_out("untracked files", "git did not list them in time, or too many"),
        };
        for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            let shown = String::from_utf8_lossy(name);
            let place = self.work_tree.join(OsStr::from_bytes(name));
            // A repository inside this one stands there as a directory.
            match std::fs::symlink_metadata(&place) {
                Ok(facts) if facts.is_symlink() => to.leave_out(&shown, "a symbolic link"),
                _ => match file::read(&place) {
                    Ok(bytes) => to.add(scanner, below("untracked", name), bytes),
                    Err(why) => to.leave_out(&shown, &why),
                },
            }
        }
    }
}
