//! What is recorded of a run's surroundings: for now the git commit, by reading `.git` alone.

mod git;

pub(crate) use git::git_head;
