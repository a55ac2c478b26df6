//! `doctor`: what is said of the workspace and its surroundings.

use std::process::{Command, Stdio};

use crate::support::{Home, log_all, not_tested, outcome};

fn status<'a>(json: &'a serde_json::Value, name: &str) -> (&'a str, &'a str) {
    let checks = json["checks"].as_array().expect("an array");
    let one = checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}: {json}"));
    (one["status"].as_str().expect("text"), one["message"].as_str().expect("text"))
}

#[test]
fn a_healthy_workspace_is_told_of() {
    let home = Home::with_workspace();
    let json = home.json(["doctor"]);
    assert_eq!((&json["ok"], &json["workspace"], &json["format"]), (&true.into(), &home.text("w").into(), &3.into()));
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
fn how_the_file_system_is_used_is_told_with_the_reason() {
    let home = Home::with_workspace();
    let json = home.json(["doctor"]);
    let used = &json["file_system"];
    assert_eq!((&used["mode"], &used["forced"], &used["locks"]), (&"wal".into(), &false.into(), &true.into()));
    let (status_word, message) = status(&json, "file system");
    let mount = used["mount"].as_str().expect("text");
    assert_eq!(
        (status_word, message),
        ("ok", &*format!("{mount}: taken for a local disk; the database is in WAL mode"))
    );
    let mut forced = home.command(["doctor", "--json"]);
    let forced = outcome(forced.env("RUNCELLAR_FILE_SYSTEM", "network"));
    let json: serde_json::Value = serde_json::from_str(&forced.stdout).expect("JSON");
    let used = &json["file_system"];
    assert_eq!((&used["mode"], &used["forced"], &used["locks"]), (&"snapshot".into(), &true.into(), &true.into()));
    assert!(status(&json, "file system").1.starts_with("as RUNCELLAR_FILE_SYSTEM says ("), "{json}");
    let wrong = outcome(home.command(["ls"]).env("RUNCELLAR_FILE_SYSTEM", "nfs"));
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert_eq!(wrong.last_line(), "runcellar: RUNCELLAR_FILE_SYSTEM: expected auto, local or network, found \"nfs\"");
}

/// Another host has the turn to write, as its file says that is not old: what writes waits, and then says so.
#[test]
fn a_database_that_others_write_is_exit_code_7_for_what_writes_and_nothing_for_what_reads() {
    let home = Home::with_workspace();
    let run = home.workspace().run("p").id("busy-run").start().expect("starts");
    run.finish().expect("finishes");
    drop(run);
    let network = |args: &[&str]| outcome(home.command(args).env("RUNCELLAR_FILE_SYSTEM", "network"));
    // A database that was last used on a disk takes a turn to be made fit.
    assert_eq!(network(&["tag", "busy-run", "before"]).code, 0);
    std::fs::write(home.workspace_path().join("ingester"), "of a later version").expect("writes");
    assert_eq!(network(&["ls"]).code, 0);
    let busy = network(&["tag", "busy-run", "x"]);
    assert_eq!(busy.code, 7, "{busy:?}");
    assert!(busy.stderr.contains(": another process is writing the database\n"), "{busy:?}");
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

/// Everything that a user can name is called by a marker, and the report is searched for it in each form that texts take.
#[test]
fn a_report_has_nothing_of_what_is_kept_and_no_names_paths_or_ids() {
    let home = Home::new();
    let made = home.json(["init"]);
    let workspace = home.workspace();
    let run = workspace
        .run("marker-project")
        .id("marker-id")
        .name("marker-name")
        .config(runcellar::json!({"marker-key": "marker-value"}))
        .tags(["marker-tag"])
        .notes("marker-notes")
        .group("marker-group")
        .job_type("marker-job")
        .program("/marker/program.py")
        .arguments(["--marker"])
        .start()
        .expect("starts");
    run.log([("marker-metric", "marker-text")]).expect("logs");
    run.console(runcellar::Stream::Out, b"marker-console\n");
    let mut draft = runcellar::ArtifactDraft::new("marker-artifact", "marker-type").expect("a name");
    draft.add_bytes("marker-path", b"marker-content".to_vec()).expect("adds");
    draft.alias("marker-alias").expect("an alias");
    let settings = runcellar::artifacts::PutSettings { project: "marker-project".into(), ..Default::default() };
    workspace.put_artifact(&draft, &settings).expect("puts");
    run.finish().expect("finishes");
    workspace.add_passphrase(&"marker-passphrase".to_owned().into(), "marker-slot").expect("adds");
    let device = home.json(["doctor"])["device"].as_str().expect("text").to_owned();
    let object = workspace.artifact("marker-artifact").expect("there");
    drop((run, workspace));
    let report = home.ok(["doctor", "--report"]);
    let user = std::env::var("USER").unwrap_or_default();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let temporary = home.text("");
    let secret = [made["id"].as_str().expect("text"), &device, &object.digest, &temporary, "/tmp", host.trim(), &user];
    let lower = report.to_lowercase();
    for word in secret.into_iter().chain(["marker", "6d61726b6572", "bWFya2Vy"]).filter(|word| word.len() > 3) {
        assert!(!lower.contains(&word.to_lowercase()), "{word}: {report}");
    }
    let read: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!((&read["counts"]["runs"], &read["counts"]["artifact_versions"]), (&1.into(), &1.into()));
    assert_eq!((&read["slots"]["passphrase"], &read["slots"]["key-file"]), (&1.into(), &1.into()));
    assert_eq!(read["check"]["runs"], 1);
    assert_eq!(read["counts"]["states"], serde_json::json!({"finished": 1}));
    assert!(read["bytes"]["records"].as_u64() > Some(0), "{report}");
    // Every text is a word of ours, so what is planted elsewhere cannot come through either.
    let mut texts = Vec::new();
    collect(&read, &mut texts);
    assert!(texts.iter().all(|text| text.len() <= 16 && !text.contains('/')), "{texts:?}");
}

fn collect(value: &serde_json::Value, texts: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) => texts.push(text.clone()),
        serde_json::Value::Array(all) => all.iter().for_each(|one| collect(one, texts)),
        serde_json::Value::Object(all) => all.values().for_each(|one| collect(one, texts)),
        _ => {}
    }
}
