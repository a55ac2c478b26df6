//! The commit of a git work tree, read from its files: no process is started, and nothing else of the tree is read.

use std::path::Path;

use super::{common_directory, git_directory, read, work_tree};

/// Commit and branch of a work tree; empty where there is none.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct GitHead {
    pub(crate) commit: String,
    pub(crate) branch: String,
}

/// Reads the head of the work tree at or above `directory`.
pub(crate) fn git_head(directory: &Path) -> GitHead {
    work_tree(directory).and_then(|top| head_of(&git_directory(top)?)).unwrap_or_default()
}

/// What HEAD says where refs are kept in reftables, so that tools which read files do not take the repository for theirs.
const REFTABLE_HEAD: &str = "ref: refs/heads/.invalid";

/// Returns true if only git can tell the commit of a work tree: its refs are kept in reftables.
pub(in crate::capture) fn only_git_knows_head(work_tree: &Path) -> bool {
    let head = git_directory(work_tree).and_then(|git| read(&git.join("HEAD")));
    head.is_some_and(|head| head.trim() == REFTABLE_HEAD)
}

/// Reads the head out of what `git status --porcelain=v2 --branch` answers, and whether there is more in it: a change.
pub(in crate::capture) fn head_and_dirt(status: &[u8]) -> (GitHead, bool) {
    let (mut head, mut dirty) = (GitHead::default(), false);
    for line in String::from_utf8_lossy(status).lines() {
        if let Some(id) = line.strip_prefix("# branch.oid ") {
            head.commit = object_id(id).unwrap_or_default();
        } else if let Some(branch) = line.strip_prefix("# branch.head ") {
            head.branch = if branch == "(detached)" { String::new() } else { branch.to_owned() };
        } else {
            dirty |= !line.starts_with("# ");
        }
    }
    (head, dirty)
}

fn head_of(git: &Path) -> Option<GitHead> {
    let head = read(&git.join("HEAD")).filter(|head| head.trim() != REFTABLE_HEAD)?;
    let Some(reference) = head.trim().strip_prefix("ref:").map(str::trim) else {
        return Some(GitHead { commit: object_id(&head)?, branch: String::new() });
    };
    let common = common_directory(git);
    let loose = [git, &common].into_iter().find_map(|place| object_id(&read(&place.join(reference))?));
    let commit = loose.or_else(|| packed(&common, reference)).unwrap_or_default();
    let branch = reference.strip_prefix("refs/heads/").unwrap_or(reference).to_owned();
    Some(GitHead { commit, branch })
}

fn packed(git: &Path, reference: &str) -> Option<String> {
    let packed = read(&git.join("packed-refs"))?;
    packed.lines().find_map(|line| {
        let (id, name) = line.split_once(' ')?;
        if name == reference { object_id(id) } else { None }
    })
}

fn object_id(text: &str) -> Option<String> {
    let id = text.trim();
    let whole = matches!(id.len(), 40 | 64) && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    whole.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn loose_packed_and_detached_heads_are_read_from_below() {
        let top = tempfile::tempdir().expect("temporary directory");
        let (git, deep) = (top.path().join(".git"), top.path().join("src/deep"));
        std::fs::create_dir_all(git.join("refs/heads")).expect("creates");
        std::fs::create_dir_all(&deep).expect("creates");
        let write = |name: &str, text: &str| std::fs::write(git.join(name), text).expect("writes");
        write("HEAD", "ref: refs/heads/main\n");
        assert_eq!(git_head(&deep), GitHead { commit: String::new(), branch: "main".into() });
        write("packed-refs", &format!("# pack-refs\n{COMMIT} refs/heads/main\n"));
        assert_eq!(git_head(&deep), GitHead { commit: COMMIT.into(), branch: "main".into() });
        let newer = COMMIT.replace('0', "f");
        write("refs/heads/main", &newer);
        assert_eq!(git_head(&deep).commit, newer);
        write("HEAD", COMMIT);
        assert_eq!(git_head(&deep), GitHead { commit: COMMIT.into(), branch: String::new() });
        write("HEAD", "not a head");
        assert_eq!(git_head(&deep), GitHead::default());
        assert!(!only_git_knows_head(top.path()));
        write("HEAD", "ref: refs/heads/.invalid\n");
        assert_eq!(git_head(&deep), GitHead::default(), "a stand-in is no branch");
        assert!(only_git_knows_head(top.path()));
    }

    #[test]
    fn a_status_with_its_head_is_taken_apart() {
        let status = |text: &str| head_and_dirt(text.as_bytes());
        let head = |commit: &str, branch: &str| GitHead { commit: commit.into(), branch: branch.into() };
        let on_main = format!("# branch.oid {COMMIT}\n# branch.head main\n# branch.upstream origin/main\n");
        assert_eq!(status(&on_main), (head(COMMIT, "main"), false));
        assert_eq!(status(&format!("{on_main}1 .M N... 100644 a.py\n")), (head(COMMIT, "main"), true));
        assert_eq!(status("# branch.oid (initial)\n# branch.head main\n"), (head("", "main"), false));
        assert_eq!(status(&format!("# branch.oid {COMMIT}\n# branch.head (detached)\n")), (head(COMMIT, ""), false));
        assert_eq!(status(""), (GitHead::default(), false));
    }
}
