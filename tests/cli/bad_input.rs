//! Workspaces that are not there, not ours, not yet or no longer readable: each a clear error with its own code.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{BINARY, Home, Outcome, not_tested, outcome};

#[test]
fn no_workspace_is_not_found_and_says_how_to_make_one() {
    let home = Home::new();
    for verb in [&["ls"][..], &["show", "x"], &["export"], &["check"], &["doctor"], &["key", "ls"], &["config"]] {
        let lines = home.fails(3, verb);
        assert_eq!(lines[0], format!("runcellar: no workspace at {}", home.text("w")), "{verb:?}");
        assert!(lines[1].contains("runcellar init"), "{verb:?}");
    }
    assert!(!home.workspace_path().exists(), "looking makes nothing");
    assert!(!home.path(".config").exists());
}

#[test]
fn a_file_in_the_workspaces_place_is_left_alone() {
    let home = Home::new();
    std::fs::write(home.workspace_path(), "thesis").expect("writes");
    for verb in ["ls", "init"] {
        let lines = home.fails(1, [verb]);
        assert_eq!(lines, [format!("runcellar: {}: a file is in the workspace's place", home.text("w"))], "{verb}");
    }
    assert_eq!(std::fs::read_to_string(home.workspace_path()).expect("reads"), "thesis");
}

#[test]
fn a_newer_format_asks_for_an_upgrade() {
    let home = Home::with_workspace();
    // Bytes 60 to 63 of a SQLite file are the application's own version number.
    home.edit("cellar.db", |bytes| bytes[63] = 4);
    let lines = home.fails(1, ["ls"]);
    assert!(lines[0].starts_with("runcellar: cellar.db: format 4 is newer than this build reads"), "{lines:?}");
    let home = Home::with_workspace();
    // After eight bytes of magic stands the version of keyslots.
    home.edit("keyslots", |bytes| bytes[8] = 3);
    let lines = home.fails(1, ["ls"]);
    assert!(lines[0].contains("version 3"), "{lines:?}");
    assert_eq!(lines[1], "  a later version of runcellar wrote it: upgrade this one");
}

#[test]
fn a_missing_database_is_damage_and_never_a_fresh_start() {
    let home = Home::with_workspace();
    std::fs::remove_file(home.workspace_path().join("cellar.db")).expect("removes");
    for verb in ["ls", "init"] {
        let lines = home.fails(5, [verb]);
        assert!(lines[0].contains("cellar.db is missing"), "{verb}: {lines:?}");
    }
    let checked = home.run(["check"]);
    assert!(checked.code == 5 && checked.stdout.contains("cellar.db is missing"), "{checked:?}");
    let home = Home::with_workspace();
    std::fs::remove_file(home.workspace_path().join("keyslots")).expect("removes");
    let lines = home.fails(5, ["init"]);
    assert!(lines[0].contains("keyslots is missing"), "{lines:?}");
}

/// Returns true if this test can act as another user; says loudly if it cannot.
fn can_be_another_user() -> bool {
    let root = std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    if !root {
        not_tested("acting as another user needs root");
    }
    root
}

/// Nobody, on every Linux.
const OTHER: u32 = 65_534;

/// A home that belongs to another user, with a copy of the binary that this user may run.
struct OtherHome {
    home: Home,
    binary: PathBuf,
}

impl OtherHome {
    fn new() -> OtherHome {
        let home = Home::new();
        let binary = home.path("runcellar");
        std::fs::copy(BINARY, &binary).expect("copies");
        chown(home.path(""), Some(OTHER), Some(OTHER)).expect("chown");
        OtherHome { home, binary }
    }

    fn run(&self, args: &[&str]) -> Outcome {
        let mut command = Command::new(&self.binary);
        command.args(args);
        self.home.isolate(&mut command);
        outcome(command.uid(OTHER).gid(OTHER))
    }
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("chmod");
}

#[test]
fn a_workspace_of_somebody_else_is_refused() {
    if !can_be_another_user() {
        return;
    }
    let home = Home::new();
    let made = outcome(home.command(["init"]).env_remove("RUNCELLAR_DIR"));
    assert_eq!(made.code, 0, "{made:?}");
    chown(home.path(".runcellar"), Some(OTHER), Some(OTHER)).expect("chown");
    std::fs::create_dir(home.path("deep")).expect("creates");
    let refused = outcome(home.command(["ls"]).env_remove("RUNCELLAR_DIR").current_dir(home.path("deep")));
    let expected = format!(
        "runcellar: workspace {} belongs to another user (uid {OTHER}); name your own by --workspace or RUNCELLAR_DIR",
        home.text(".runcellar")
    );
    assert_eq!((refused.code, refused.last_line()), (4, expected.as_str()), "{refused:?}");
    assert_eq!(home.run(["ls", "--workspace", ".runcellar"]).code, 4, "also when it is named");
    assert_eq!(home.run(["init", ".runcellar"]).code, 4);
}

#[test]
fn a_read_only_workspace_is_read_and_not_written() {
    if !can_be_another_user() {
        return;
    }
    let other = OtherHome::new();
    assert_eq!(other.run(&["init"]).code, 0);
    let run = other.run(&["config", "set", "project.default", "p"]);
    assert_eq!(run.code, 0, "{run:?}");
    let workspace = other.home.workspace_path();
    for name in ["cellar.db", "keyslots"] {
        chmod(&workspace.join(name), 0o400);
    }
    chmod(&workspace.join("journals"), 0o500);
    chmod(&workspace.join("tmp"), 0o500);
    chmod(&workspace, 0o500);
    let listed = other.run(&["ls", "--json"]);
    assert_eq!((listed.code, listed.stdout.as_str()), (0, "[]\n"), "{listed:?}");
    assert_eq!(other.run(&["config", "get", "project.default"]).stdout, "p\n");
    assert_eq!(other.run(&["doctor"]).code, 0);
    let refused = other.run(&["config", "set", "project.default", "q"]);
    assert_eq!(refused.code, 8, "{refused:?}");
    assert_eq!(other.run(&["key", "add", "recovery", "--recovery-out", "code.txt"]).code, 8);
    assert!(!other.home.path("code.txt").exists());
    chmod(&workspace, 0o700);
}

#[test]
fn a_directory_that_cannot_be_written_takes_no_workspace() {
    if !can_be_another_user() {
        return;
    }
    let other = OtherHome::new();
    let closed = other.home.path("closed");
    std::fs::create_dir(&closed).expect("creates");
    let refused = other.run(&["init", "closed/w"]);
    assert_eq!(refused.code, 8, "{refused:?}");
    assert!(refused.stderr.contains("closed/w"), "{refused:?}");
    let out = other.run(&["init", "--recovery-out", "closed/code.txt"]);
    assert_eq!(out.code, 8, "{out:?}");
    assert!(!other.home.workspace_path().exists());
    // A home that cannot be written: the key file has no place, so nothing is made.
    chmod(&other.home.path(""), 0o555);
    let homeless = other.run(&["init"]);
    assert_eq!(homeless.code, 8, "{homeless:?}");
    chmod(&other.home.path(""), 0o755);
}
