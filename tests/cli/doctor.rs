//! `doctor`: what is said of the workspace and its surroundings.

use std::process::{Command, Stdio};

use crate::support::{Home, log_all, not_tested};

fn status<'a>(json: &'a serde_json::Value, name: &str) -> (&'a str, &'a str) {
    let checks = json["checks"].as_array().expect("an array");
    let one = checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}: {json}"));
    (one["status"].as_str().expect("text"), one["message"].as_str().expect("text"))
}

#[test]
fn a_healthy_workspace_is_told_of() {
    let home = Home::with_workspace();
    let json = home.json(["doctor"]);
    assert_eq!((&json["ok"], &json["workspace"], &json["format"]), (&true.into(), &home.text("w").into(), &2.into()));
    assert_eq!(json["key_file"], home.key_file().display().to_string());
    assert_eq!((&json["slots"], &json["read_only"]), (&1.into(), &false.into()));
    assert_eq!(json["opened_by"]["kind"], "key-file");
    assert!(json["sqlite"].as_str().is_some_and(|version| version.starts_with("3.")));
    assert!(json["bytes"]["free"].as_u64() > Some(0) && json["bytes"]["database"].as_u64() > Some(0));
    let (slots, hint) = status(&json, "slots");
    assert_eq!(slots, "warning", "one way in is one too few");
    assert!(hint.contains("runcellar key add recovery"));
    assert_eq!(status(&json, "key file").0, "ok");
    let text = home.ok(["doctor"]);
    assert!(text.contains("ok       version ") && text.contains("warning  slots "), "{text}");
}

#[test]
fn writers_at_work_and_dead_ones_are_counted() {
    let home = Home::with_workspace();
    let workspace = home.workspace();
    let run = workspace.run("p").start().expect("starts");
    log_all(&run, "loss", &[1.0]);
    let json = home.json(["doctor"]);
    assert_eq!(json["journals"], serde_json::json!({"live": 1, "left": 0}));
    run.finish().expect("finishes");
    // A journal without a writer stays as it is until another verb takes it in.
    let journal = home.workspace_path().join("journals/00000000000000000000000000000000.jnl");
    std::fs::write(&journal, "").expect("writes");
    let json = home.json(["doctor"]);
    assert_eq!(json["journals"], serde_json::json!({"live": 0, "left": 1}));
    assert_eq!(status(&json, "journals").0, "note");
    assert!(journal.exists(), "doctor changes nothing");
    home.ok(["ls"]);
    assert!(!journal.exists());
}

#[test]
fn a_workspace_in_memory_is_warned_about() {
    let memory = std::path::Path::new("/dev/shm");
    let on_tmpfs = Command::new("stat").args(["-f", "-c", "%T", "/dev/shm"]).stderr(Stdio::null()).output();
    if on_tmpfs.is_ok_and(|output| output.stdout.starts_with(b"tmpfs")) {
        let home = Home::new();
        let place = tempfile::tempdir_in(memory).expect("temporary directory");
        let path = place.path().join("w").display().to_string();
        let made = home.run(["init", &path]);
        assert!(made.stderr.contains("on another file system than the workspace"), "{made:?}");
        let json = home.json(["doctor", "--workspace", &path]);
        assert_eq!(status(&json, "place"), ("warning", "the workspace lies in memory (tmpfs) and goes with a reboot"));
    } else {
        not_tested("/dev/shm is no tmpfs here");
    }
}
