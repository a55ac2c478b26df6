//! `repair`: what it did, what it left, and how it says so.

use std::process::Command;

use crate::support::{Home, outcome};

/// Makes a file look as if it was last written some time ago.
fn age(path: &std::path::Path, ago: &str) {
    assert!(Command::new("touch").arg("-d").arg(ago).arg(path).status().expect("touch runs").success());
}

#[test]
fn there_is_nothing_to_do_in_a_workspace_that_is_whole() {
    let home = Home::with_workspace();
    assert_eq!(home.ok(["repair"]), "nothing was left to do\n");
    assert_eq!(home.ok(["repair", "--json"]), "{\"done\":[],\"left\":[]}\n");
    assert_eq!(home.ok(["repair", "--claim"]), "nothing was left to do\n");
}

#[test]
fn temporary_files_go_when_nobody_is_at_them() {
    let home = Home::with_workspace();
    let (old, new) = (home.path("w/tmp/old.copy"), home.path("w/tmp/young.copy"));
    std::fs::write(&old, "x").expect("writes");
    std::fs::write(&new, "x").expect("writes");
    age(&old, "-11 minutes");
    let report = home.json(["repair"]);
    assert_eq!(report["done"][0]["action"], "removed");
    assert_eq!(report["done"][0]["file"], "tmp/old.copy");
    assert_eq!(report["left"][0]["reason"], "recent");
    assert!(!old.exists() && new.exists());
    let text = home.ok(["repair"]);
    assert_eq!(text, "left       tmp/young.copy: it was written to within ten minutes\nnothing was left to do\n");
}

/// A journal that is written by this process is at work for the command, also if it is named.
#[test]
fn a_writer_at_work_is_left_and_a_journal_that_is_not_there_is_not_found() {
    let home = Home::with_workspace();
    let workspace = home.workspace();
    let run = workspace.run("p").id("live-run").start().expect("starts");
    run.log([("n", 1_i64)]).expect("logs");
    let report = home.json(["repair", "--claim"]);
    assert_eq!(report["left"][0]["reason"], "at_work");
    let journals = std::fs::read_dir(home.path("w/journals")).expect("lists");
    let name = journals.map(|entry| entry.expect("reads").file_name()).next().expect("a journal");
    let name = name.into_string().expect("ASCII");
    let refused = home.run(["repair", "--claim", &name]);
    assert_eq!(refused.code, 7, "{refused:?}");
    assert!(refused.last_line().ends_with("its writer is at work on this host"), "{refused:?}");
    run.finish().expect("finishes");
    let missing = home.fails(3, ["repair", "--claim", "0f6c2a61b7d94e3f8d21c05b9a7e4413"]);
    assert_eq!(missing, ["runcellar: journal 0f6c2a61b7d94e3f8d21c05b9a7e4413: there is none"]);
    assert_eq!(home.run(["repair", "--claim", "nonsense"]).code, 2);
    assert!(outcome(&mut home.command(["show", "live-run"])).stdout.contains("finished"));
}
