//! Where the code of a run comes from: commit, remote, whether the tree is changed, packages. Of real repositories, some
//! of them hostile.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use runcellar::{Resume, Source};

use crate::support::{Place, not_tested};

/// A git repository in a temporary directory, with a commit.
pub(crate) struct Repository {
    top: PathBuf,
    _owned: tempfile::TempDir,
}

impl Repository {
    pub(crate) fn new() -> Repository {
        let owned = tempfile::tempdir().expect("a temporary directory");
        let top = owned.path().join("tree");
        fs::create_dir(&top).expect("creates");
        let repository = Repository { top, _owned: owned };
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository.write("train.py", "print(1)\n");
        repository.write("deep/model.py", "layers = 3\n");
        repository.commit("first");
        repository
    }

    /// Makes one whose refs only git can read; none where git does not know that form.
    pub(crate) fn with_reftable() -> Option<Repository> {
        let repository = Repository::new();
        let init = ["init", "--quiet", "--initial-branch=main", "--ref-format=reftable"];
        fs::remove_dir_all(repository.path(".git")).expect("removes");
        let mut command = Command::new("git");
        if !command.arg("-C").arg(&repository.top).args(init).output().expect("runs").status.success() {
            return None;
        }
        repository.commit("first");
        Some(repository)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.top.join(name)
    }

    /// Runs git as a user does, without the settings of the one who tests.
    pub(crate) fn git(&self, words: &[&str]) -> String {
        git_in(&self.top, words)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("inside")).expect("creates");
        fs::write(path, text).expect("writes");
    }

    pub(crate) fn commit(&self, message: &str) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", message]);
    }

    /// Records a run that is started here, and reads where its code comes from.
    fn source(&self, place: &Place) -> Source {
        source_of(place, &self.top)
    }
}

fn git_in(directory: &Path, words: &[&str]) -> String {
    let mut command = Command::new("git");
    command.arg("-C").arg(directory).args(["-c", "protocol.file.allow=always"]).args(words);
    for (name, value) in [
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_SYSTEM", "/dev/null"),
        ("GIT_AUTHOR_NAME", "A"),
        ("GIT_AUTHOR_EMAIL", "a@example.org"),
        ("GIT_COMMITTER_NAME", "A"),
        ("GIT_COMMITTER_EMAIL", "a@example.org"),
    ] {
        command.env(name, value);
    }
    let output = command.output().expect("git is there");
    assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
}

fn source_of(place: &Place, directory: &Path) -> Source {
    let workspace = place.open();
    let run = workspace.run("p").directory(directory).source(true).start().expect("starts");
    run.finish().expect("finishes");
    workspace.source(&workspace.find_run(run.id()).expect("listed")).expect("read")
}

#[test]
fn commit_branch_and_remote_are_recorded_and_credentials_are_not() {
    let (place, repository) = (Place::new(), Repository::new());
    repository.git(&["remote", "add", "origin", "https://user:hunter2@example.org/team/code.git?token=abc"]);
    let source = repository.source(&place);
    let expected = Source {
        commit: repository.git(&["rev-parse", "HEAD"]),
        branch: "main".into(),
        remote: "https://example.org/team/code.git".into(),
        dirty: Some(false),
        packages: Vec::new(),
    };
    assert_eq!(source, expected);

    // A work tree of the same repository has a head of its own, and shares the remote.
    repository.git(&["worktree", "add", "--quiet", "-b", "side", "../side"]);
    let side = source_of(&place, &repository.path("../side"));
    assert_eq!(side, Source { branch: "side".into(), ..expected });
}

#[test]
fn a_tree_is_dirty_if_a_tracked_file_differs_from_the_commit() {
    let (place, repository) = (Place::new(), Repository::new());
    let dirty = || source_of(&place, &repository.path("deep")).dirty;
    assert_eq!(dirty(), Some(false));
    repository.write("untracked.py", "x");
    assert_eq!(dirty(), Some(false), "what git does not know is no change");
    repository.write("train.py", "print(2)\n");
    assert_eq!(dirty(), Some(true), "changed");
    repository.git(&["add", "train.py"]);
    assert_eq!(dirty(), Some(true), "staged");
    repository.write("train.py", "print(1)\n");
    assert_eq!(dirty(), Some(true), "staged, and changed back");
    repository.git(&["reset", "--quiet", "--hard"]);
    assert_eq!(dirty(), Some(false));
    fs::remove_file(repository.path("deep/model.py")).expect("removes");
    assert_eq!(dirty(), Some(true), "removed");
    repository.git(&["reset", "--quiet", "--hard"]);
    // As if it had been copied: the same text at another time.
    let file = fs::File::options().write(true).open(repository.path("train.py")).expect("opens");
    file.set_modified(std::time::UNIX_EPOCH).expect("sets");
    assert_eq!(dirty(), Some(false));
    for number in 0..3000 {
        repository.write(&format!("many/file_with_a_long_name_{number}"), "1");
    }
    repository.git(&["add", "."]);
    assert_eq!(dirty(), Some(true), "more than is read of git's answer");
}

#[test]
fn no_repository_and_one_without_a_commit_say_what_there_is() {
    let (place, directory) = (Place::new(), tempfile::tempdir().expect("a temporary directory"));
    assert_eq!(source_of(&place, directory.path()), Source::default());
    git_in(directory.path(), &["init", "--quiet", "--initial-branch=new"]);
    let unborn = Source { branch: "new".into(), dirty: Some(false), ..Source::default() };
    assert_eq!(source_of(&place, directory.path()), unborn);
    fs::write(directory.path().join("a"), "1").expect("writes");
    git_in(directory.path(), &["add", "a"]);
    assert_eq!(source_of(&place, directory.path()).dirty, Some(true));
    // Not a repository, but for a name.
    fs::remove_dir_all(directory.path().join(".git")).expect("removes");
    fs::write(directory.path().join(".git"), "gitdir: nowhere\n").expect("writes");
    assert_eq!(source_of(&place, directory.path()), Source::default());
}

#[test]
fn a_file_of_git_that_makes_readers_wait_holds_nothing_up() {
    let (place, directory) = (Place::new(), tempfile::tempdir().expect("a temporary directory"));
    let git = directory.path().join(".git");
    fs::create_dir(&git).expect("creates");
    for name in ["HEAD", "config"] {
        assert!(Command::new("mkfifo").arg(git.join(name)).status().expect("mkfifo is there").success());
    }
    assert_eq!(source_of(&place, directory.path()).commit, "");
}

#[test]
fn a_submodule_counts_by_its_commit() {
    let (place, outer, inner) = (Place::new(), Repository::new(), Repository::new());
    let from = inner.top.to_str().expect("UTF-8");
    outer.git(&["submodule", "--quiet", "add", from, "sub"]);
    outer.commit("with a submodule");
    assert_eq!(outer.source(&place).dirty, Some(false));
    outer.write("sub/train.py", "changed");
    assert_eq!(outer.source(&place).dirty, Some(false), "nothing is run in it");
    git_in(&outer.path("sub"), &["commit", "--quiet", "--all", "--message", "second"]);
    assert_eq!(outer.source(&place).dirty, Some(true));
    // Started in the submodule, the run is its.
    let source = source_of(&place, &outer.path("sub"));
    assert_eq!((source.remote.as_str(), source.dirty), (from, Some(false)));
    assert_eq!(source.commit, git_in(&outer.path("sub"), &["rev-parse", "HEAD"]));
}

/// Makes a repository whose configuration and attributes name programs wherever git would run one for `status` or
/// `diff`. Each writes its name into the directory that is returned.
pub(crate) fn hostile() -> (Repository, PathBuf) {
    let repository = Repository::new();
    let ran = repository.path("../ran");
    fs::create_dir(&ran).expect("creates");
    let program = |name: &str| {
        let path = repository.path(&format!("../{name}"));
        fs::write(&path, format!("#!/bin/sh\ntouch '{}/{name}'\ncat\n", ran.display())).expect("writes");
        assert!(Command::new("chmod").arg("+x").arg(&path).status().expect("chmod is there").success());
        path.display().to_string()
    };
    repository.write(".gitattributes", "*.py filter=evil diff=evil\n*.txt diff=texts\n*.bin filter=served\n");
    repository.write("notes.txt", "one\n");
    repository.write("data.bin", "one\n");
    repository.commit("all kinds");
    for (key, value) in [
        ("core.fsmonitor", program("fsmonitor")),
        ("core.pager", program("pager")),
        ("core.hooksPath", repository.path("../hooks").display().to_string()),
        ("diff.external", program("external")),
        ("diff.evil.command", program("driver")),
        ("diff.texts.textconv", program("textconv")),
        ("filter.evil.clean", program("clean")),
        ("filter.evil.smudge", program("smudge")),
        ("filter.evil.required", "true".to_owned()),
        ("filter.served.process", program("process")),
        ("core.sshCommand", program("ssh")),
        ("remote.origin.url", format!("ext::{}", program("transport"))),
        ("protocol.ext.allow", "always".to_owned()),
        ("credential.helper", program("credential")),
    ] {
        repository.git(&["config", key, &value]);
    }
    fs::create_dir(repository.path("../hooks")).expect("creates");
    fs::copy(program("hook"), repository.path("../hooks/post-index-change")).expect("copies");
    for name in ["train.py", "notes.txt", "data.bin"] {
        repository.write(name, "two\n");
    }
    (repository, ran)
}

/// Returns the names of the programs that ran.
pub(crate) fn names_in(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).expect("lists").map(|entry| entry.expect("reads").file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

#[test]
fn nothing_that_a_repository_names_is_run() {
    let (place, (repository, ran)) = (Place::new(), hostile());
    assert_eq!(repository.source(&place).dirty, Some(true));
    assert_eq!(names_in(&ran), Vec::<String>::new());
    // Git itself does run them: the test can fail.
    // (Whether a status needs the filter depends on how long ago the index was written.)
    for arguments in [&["status", "--porcelain"][..], &["add", "train.py"]] {
        let status = Command::new("git").arg("-C").arg(&repository.top).args(arguments).output();
        assert!(status.is_ok());
    }
    assert!(names_in(&ran).contains(&"fsmonitor".to_owned()) && names_in(&ran).contains(&"clean".to_owned()));
}

#[test]
fn a_filter_whose_name_cannot_be_switched_off_leaves_it_unknown() {
    let (place, repository) = (Place::new(), Repository::new());
    repository.git(&["config", "filter.a=b.clean", "touch /nowhere"]);
    assert_eq!(repository.source(&place).dirty, None);
}

#[test]
fn what_a_partial_clone_lacks_is_not_fetched() {
    let (place, origin) = (Place::new(), Repository::new());
    origin.git(&["config", "uploadpack.allowFilter", "true"]);
    let url = format!("file://{}", origin.top.display());
    origin.git(&["clone", "--quiet", "--filter=blob:none", &url, "../partial"]);
    let partial = origin.path("../partial");
    // The content of the changed file stands in no object here; whether it differs needs none.
    git_in(&partial, &["update-index", "--force-remove", "train.py"]);
    let before = git_in(&partial, &["count-objects", "-v"]);
    assert_eq!(source_of(&place, &partial).dirty, Some(true));
    assert_eq!(git_in(&partial, &["count-objects", "-v"]), before);
}

#[test]
fn a_work_tree_that_lies_elsewhere_by_configuration_is_not_looked_at() {
    let (place, repository) = (Place::new(), Repository::new());
    fs::create_dir(repository.path("../elsewhere")).expect("creates");
    let elsewhere = repository.path("../elsewhere").display().to_string();
    repository.git(&["config", "core.worktree", &elsewhere]);
    assert_eq!(repository.source(&place).dirty, Some(false), "the tree around .git is what the commit says");
}

#[test]
fn packages_are_those_given_and_those_installed_and_the_last_session_counts() {
    let (place, repository) = (Place::new(), Repository::new());
    let site = repository.path("../site");
    fs::create_dir_all(site.join("Numpy-2.1.0.dist-info")).expect("creates");
    let workspace = place.open();
    let packages = vec![("burn".to_owned(), "0.20.0".to_owned())];
    let start = |resume| {
        let run = workspace.run("p").id("x").resume(resume).source(true).directory(repository.path("."));
        run.packages(packages.clone()).package_paths([site.clone()]).start().expect("starts")
    };
    start(Resume::Never).finish().expect("finishes");
    let read = || workspace.source(&workspace.find_run("x").expect("listed")).expect("read");
    let pair = |name: &str, version: &str| (name.to_owned(), version.to_owned());
    let first = read();
    assert_eq!(first.packages, [pair("burn", "0.20.0"), pair("numpy", "2.1.0")]);

    fs::create_dir_all(site.join("torch-2.9.0.dist-info")).expect("creates");
    repository.write("train.py", "print(2)\n");
    repository.commit("second");
    let run = start(Resume::Must);
    run.finish().expect("finishes");
    let second = read();
    assert_ne!(second.commit, first.commit);
    assert_eq!(second.packages.len(), 3);
    // What the store records of itself is in no view of metrics.
    let info = workspace.find_run("x").expect("listed");
    assert!(workspace.metrics(&info).expect("read").is_empty() && info.summary.is_empty());
    // Without being asked for, nothing but the commit is recorded.
    let run = workspace.run("p").id("y").directory(repository.path(".")).start().expect("starts");
    run.finish().expect("finishes");
    let plain = workspace.source(&workspace.find_run("y").expect("listed")).expect("read");
    assert_eq!(plain, Source { commit: second.commit, branch: "main".into(), ..Source::default() });
}

#[test]
fn a_repository_with_reftables_is_asked_by_git() {
    let Some(repository) = Repository::with_reftable() else { return not_tested("reftables: this git knows none") };
    let place = Place::new();
    repository.git(&["remote", "add", "origin", "https://user:secret@example.org/a/b.git"]);
    let found = repository.source(&place);
    assert_eq!(found.commit, repository.git(&["rev-parse", "HEAD"]).trim());
    assert_eq!((found.branch.as_str(), found.dirty), ("main", Some(false)));
    assert_eq!(found.remote, "https://example.org/a/b.git");
    repository.write("train.py", "print(2)\n");
    repository.git(&["checkout", "--quiet", "--detach"]);
    let found = repository.source(&place);
    assert_eq!((found.branch.as_str(), found.dirty), ("", Some(true)));
    assert!(!found.commit.is_empty());
}
