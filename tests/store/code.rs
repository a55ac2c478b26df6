//! The code that is kept with a run: only when asked for, without its secrets, and what comes out again.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::Command;

use runcellar::query::CodePair;
use runcellar::{CheckOptions, CodeFolder, ErrorKind, Resume, RunInfo, SaveCode, Workspace};

use crate::source::{Repository, hostile, names_in};
use crate::support::{Place, is_network, not_tested};

/// A made-up token of the form that GitHub gives out.
const TOKEN: &str = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";

fn paths(workspace: &Workspace, run: &RunInfo) -> Vec<String> {
    let code = workspace.code(run).expect("listed");
    code.into_iter().map(|entry| String::from_utf8(entry.path).expect("UTF-8")).collect()
}

fn text(workspace: &Workspace, run: &RunInfo, path: &str) -> String {
    String::from_utf8(workspace.code_file(run, path.as_bytes()).expect("read")).expect("UTF-8")
}

fn record(workspace: &Workspace, repository: &Repository, id: &str, save: SaveCode) -> RunInfo {
    let run = workspace.run("p").id(id).resume(Resume::Allow).directory(repository.path("."));
    let run = run.program(repository.path("train.py").display().to_string()).save_code(save).start().expect("starts");
    run.finish().expect("finishes");
    workspace.find_run(id).expect("listed")
}

#[test]
fn code_is_kept_only_if_it_is_asked_for() {
    let (place, repository) = (Place::new(), Repository::new());
    let workspace = place.open();
    repository.write("train.py", "print(2)\n");
    let run = record(&workspace, &repository, "none", SaveCode::Nothing);
    assert!(workspace.code(&run).expect("listed").is_empty());
    let error = workspace.checkout_code(&run, &repository.path("../out"), false).expect_err("there is none");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(!repository.path("../out").exists());
}

#[test]
fn a_diff_brings_the_tree_back_to_what_it_was() {
    let (place, repository) = (Place::new(), Repository::new());
    let workspace = place.open();
    repository.write("train.py", "print(2)\n");
    repository.write("new.py", "staged = True\n");
    repository.git(&["add", "new.py"]);
    repository.write("deep/loose.py", "untracked = True\n");
    repository.write("data.bin", b"\0\x01");
    repository.git(&["add", "data.bin"]);
    fs::remove_file(repository.path("deep/model.py")).expect("removes");

    let run = record(&workspace, &repository, "diff", SaveCode::Diff);
    assert_eq!(paths(&workspace, &run), ["diff.patch"]);
    let clone = repository.path("../clone");
    repository.git(&["clone", "--quiet", ".", clone.to_str().expect("UTF-8")]);
    workspace.checkout_code(&run, &repository.path("../out"), false).expect("written");
    let apply =
        Command::new("git").arg("-C").arg(&clone).arg("apply").arg(repository.path("../out/diff.patch")).status();
    assert!(apply.expect("git is there").success());
    assert_eq!(fs::read(clone.join("train.py")).expect("reads"), b"print(2)\n");
    assert_eq!(fs::read(clone.join("new.py")).expect("reads"), b"staged = True\n");
    assert!(!clone.join("deep/model.py").exists() && !clone.join("data.bin").exists());

    let run = record(&workspace, &repository, "untracked", SaveCode::Untracked);
    assert_eq!(paths(&workspace, &run), ["diff.patch", "untracked/deep/loose.py"]);
    let run = record(&workspace, &repository, "main", SaveCode::Main);
    assert_eq!(paths(&workspace, &run), ["diff.patch", "main/train.py"]);
    assert_eq!(text(&workspace, &run, "main/train.py"), "print(2)\n");
    // A later session has no difference: that of the earlier one is not its.
    repository.git(&["reset", "--quiet", "--hard"]);
    let run = record(&workspace, &repository, "main", SaveCode::Diff);
    assert_eq!(text(&workspace, &run, "diff.patch"), "");
    let report = workspace.check(CheckOptions { read_data: true }).expect("checks");
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}

#[test]
fn nothing_that_a_repository_names_is_run_for_a_diff() {
    let (place, (repository, ran)) = (Place::new(), hostile());
    let workspace = place.open();
    let run = record(&workspace, &repository, "x", SaveCode::Untracked);
    let patch = text(&workspace, &run, "diff.patch");
    for name in ["train.py", "notes.txt", "data.bin"] {
        assert!(patch.contains(&format!("+++ b/{name}")), "{patch}");
    }
    assert_eq!(names_in(&ran), Vec::<String>::new());
}

#[test]
fn secrets_are_redacted_before_they_are_kept() {
    let (place, repository) = (Place::new(), Repository::new());
    let workspace = place.open();
    let line = format!("token = \"{TOKEN}\"\n");
    repository.write("train.py", &line);
    repository.write("loose.py", format!("latin = '\u{e9}'\n{line}").replace('\u{e9}', "\u{fffd}"));
    let mut latin = b"name = '\xe9'\n".to_vec();
    latin.extend_from_slice(line.as_bytes());
    repository.write("latin.py", &latin);
    let run = record(&workspace, &repository, "x", SaveCode::Untracked);
    let all = paths(&workspace, &run);
    assert_eq!(all, ["diff.patch", "untracked/latin.py", "untracked/loose.py"]);
    for path in all {
        let kept = workspace.code_file(&run, path.as_bytes()).expect("read");
        let kept = String::from_utf8_lossy(&kept);
        assert!(kept.contains("[redacted ") && !kept.contains(TOKEN), "{path}: {kept}");
    }
    let latin = workspace.code_file(&run, b"untracked/latin.py").expect("read");
    assert!(latin.starts_with(b"name = '\xe9'\n"), "what is no secret stays as it is");
    // Left as it is if the workspace is set so.
    workspace.set_setting("redact", Some("off")).expect("set");
    let run = record(&workspace, &repository, "y", SaveCode::Main);
    assert_eq!(text(&workspace, &run, "main/train.py"), line);
}

#[test]
fn a_folder_is_logged_without_what_is_ignored_and_the_last_of_a_path_stands() {
    let (place, repository) = (Place::new(), Repository::new());
    let workspace = place.open();
    repository.write(".gitignore", "keys.yaml\n");
    repository.write("keys.yaml", "a: 1\n");
    repository.write("big.json", vec![b' '; 3 << 20]);
    repository.write("binary.py", b"\0");
    let run = workspace.run("p").id("x").start().expect("starts");
    let folder = CodeFolder { root: repository.path("."), ..CodeFolder::default() };
    let saved = run.log_code(&folder).expect("kept");
    assert_eq!((saved.files, saved.redacted, saved.notes.len()), (2, 0, 2), "{saved:?}");
    assert!(saved.notes[0].contains("big.json") && saved.notes[1].contains("binary.py"), "{saved:?}");
    let info = workspace.find_run("x").expect("listed");
    // On a network file system a run that is being recorded has no record that code could belong to: it shows at its end.
    let shows_at_once = !is_network();
    if shows_at_once {
        assert_eq!(paths(&workspace, &info), ["source/deep/model.py", "source/train.py"]);
    }

    repository.write("train.py", "print('later')\n");
    run.log_code(&CodeFolder { include: vec!["train.py".into()], ..folder.clone() }).expect("kept");
    run.log_code(&CodeFolder { name: "again".into(), ..folder.clone() }).expect("kept");
    run.log_cells(&["x = 1".into(), "x".into()]).expect("kept");
    let expected =
        ["again/deep/model.py", "again/train.py", "main/notebook.py", "source/deep/model.py", "source/train.py"];
    let all_are_there = |workspace: &Workspace| {
        assert_eq!(paths(workspace, &info), expected);
        assert_eq!(text(workspace, &info, "source/train.py"), "print('later')\n");
        assert_eq!(text(workspace, &info, "main/notebook.py"), "# %%\nx = 1\n\n# %%\nx\n");
    };
    if shows_at_once {
        all_are_there(&workspace);
    }
    for name in ["..", "a/b", "\0"] {
        let error = run.log_code(&CodeFolder { name: name.into(), ..folder.clone() }).expect_err("no name");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{name}");
    }
    run.finish().expect("finishes");
    assert_eq!(run.log_code(&folder).expect_err("it has ended").kind(), ErrorKind::State);
    all_are_there(&place.open_silently());
}

#[test]
fn a_checkout_overwrites_nothing_and_leaves_its_directory_by_no_link() {
    let (place, repository) = (Place::new(), Repository::new());
    let workspace = place.open();
    let run = record(&workspace, &repository, "x", SaveCode::Main);
    let out = repository.path("../out");
    fs::create_dir_all(out.join("main")).expect("creates");
    fs::write(out.join("main/train.py"), "mine\n").expect("writes");
    let error = workspace.checkout_code(&run, &out, false).expect_err("it is there");
    assert_eq!(error.kind(), ErrorKind::Exists);
    assert_eq!(fs::read(out.join("main/train.py")).expect("reads"), b"mine\n");
    assert!(!out.join("diff.patch").exists(), "nothing is written");
    let done = workspace.checkout_code(&run, &out, true).expect("written");
    assert_eq!((done.files, done.hurt.len()), (2, 0));
    assert_eq!(fs::read(out.join("main/train.py")).expect("reads"), b"print(1)\n");

    let (linked, victim) = (repository.path("../linked"), repository.path("../victim"));
    fs::create_dir_all(&linked).expect("creates");
    fs::create_dir_all(&victim).expect("creates");
    std::os::unix::fs::symlink(&victim, linked.join("main")).expect("links");
    let done = workspace.checkout_code(&run, &linked, true).expect("the rest is written");
    assert_eq!(done.hurt.len(), 1, "{done:?}");
    assert!(names_in(&victim).is_empty());
}

#[test]
fn code_of_two_runs_is_compared_by_file() {
    let (place, repository) = (Place::new(), Repository::new());
    let workspace = place.open();
    let folder = SaveCode::Path(repository.path("."));
    let left = record(&workspace, &repository, "left", folder.clone());
    repository.write("train.py", "print(2)\n");
    repository.write("other.py", "");
    let right = record(&workspace, &repository, "right", folder);
    let pairs = workspace.code_diff(&left, &right).expect("read");
    let names: Vec<_> = pairs.iter().map(|pair| String::from_utf8_lossy(&pair.path).into_owned()).collect();
    assert_eq!(names, ["diff.patch", "source/other.py", "source/train.py"]);
    let train = CodePair {
        path: b"source/train.py".to_vec(),
        left: Some(b"print(1)\n".to_vec()),
        right: Some(b"print(2)\n".to_vec()),
    };
    assert_eq!(pairs[2], train);
    assert_eq!((&pairs[1].left, pairs[1].right.as_deref()), (&None, Some(&b""[..])));
    assert_eq!(workspace.code_diff(&left, &left).expect("read"), []);
}

#[test]
fn a_diff_that_is_too_long_is_left_out_whole_with_a_note() {
    use crate::support::Heard;
    let (place, repository) = (Place::new(), Repository::new());
    let heard = std::sync::Arc::new(Heard::default());
    let workspace = place.open_with(std::sync::Arc::new(runcellar::io::SystemIo), heard.clone()).expect("opens");
    let long: String = (0..200_000).map(|number| format!("{number:0>99}\n")).collect();
    repository.write("train.py", long);
    let run = record(&workspace, &repository, "x", SaveCode::Main);
    assert_eq!(paths(&workspace, &run), Vec::<String>::new());
    let notes = heard.all().join("\n");
    assert!(notes.contains("the diff: ") && notes.contains("train.py: over 2 MiB"), "{notes}");
}

#[test]
fn the_diff_of_a_repository_with_reftables_is_that_against_its_commit() {
    let Some(repository) = Repository::with_reftable() else { return not_tested("reftables: this git knows none") };
    let place = Place::new();
    let workspace = place.open();
    repository.write("train.py", "print(2)\n");
    let run = record(&workspace, &repository, "diff", SaveCode::Diff);
    let patch = text(&workspace, &run, "diff.patch");
    assert!(patch.ends_with("-print(1)\n+print(2)\n"), "{patch}");
}

#[test]
fn names_that_are_not_utf8_come_back_byte_for_byte() {
    let (place, repository) = (Place::new(), Repository::new());
    let workspace = place.open();
    let name = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
    let put = |bytes: &[u8], text: &str| fs::write(repository.path(".").join(name(bytes)), text).expect("writes");
    put(b"old \xe9\t.py", "x = 1\n");
    repository.commit("second");
    put(b"old \xe9\t.py", "x = 2\n");
    put(b"staged\xff.py", "s = 1\n");
    repository.git(&["add", "--all"]);
    put(b"staged\xff.py", "s = 2\n");
    put(b"loose\xfe\n.py", "l = 1\n");
    let run = record(&workspace, &repository, "untracked", SaveCode::Untracked);
    let clone = repository.path("../clone");
    repository.git(&["clone", "--quiet", ".", clone.to_str().expect("UTF-8")]);
    let out = repository.path("../out");
    let checkout = workspace.checkout_code(&run, &out, false).expect("written");
    assert!(checkout.hurt.is_empty(), "{checkout:?}");
    let patch = out.join("diff.patch");
    let applied = Command::new("git").arg("-C").arg(&clone).arg("apply").arg(&patch).output().expect("runs");
    assert!(applied.status.success(), "{applied:?}");
    let read = |directory: &Path, bytes: &[u8]| fs::read_to_string(directory.join(name(bytes))).expect("is there");
    assert_eq!(read(&clone, b"old \xe9\t.py"), "x = 2\n");
    assert_eq!(read(&clone, b"staged\xff.py"), "s = 2\n");
    assert_eq!(read(&out.join("untracked"), b"loose\xfe\n.py"), "l = 1\n");

    let run = workspace.run("p").id("folder").start().expect("starts");
    let folder = CodeFolder { root: repository.path("."), name: "src".into(), ..CodeFolder::default() };
    assert_eq!(run.log_code(&folder).expect("is kept").notes, [""; 0]);
    run.finish().expect("finishes");
    let out = repository.path("../folder");
    workspace.checkout_code(&workspace.find_run("folder").expect("listed"), &out, false).expect("written");
    for (bytes, content) in
        [(&b"old \xe9\t.py"[..], "x = 2\n"), (b"staged\xff.py", "s = 2\n"), (b"loose\xfe\n.py", "l = 1\n")]
    {
        assert_eq!(read(&out.join("src"), bytes), content);
    }
}
