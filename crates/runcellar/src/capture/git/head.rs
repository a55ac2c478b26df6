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

fn head_of(git: &Path) -> Option<GitHead> {
    let head = read(&git.join("HEAD"))?;
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
    }
}
