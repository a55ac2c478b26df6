//! `sync status` and `sync --dry-run`: what they say is so, and they send nothing.

use serde_json::{Value, json};

use crate::remote::{enable, home, is_empty};

#[test]
fn status_tells_what_a_remote_lacks_and_how_the_last_sync_ended() {
    let home = home();
    assert_eq!(home.json(["sync", "status"])["remotes"], json!([]));
    home.ok(["remote", "add", "origin", "shared"]);
    let of_origin = || home.json(["sync", "status"])["remotes"][0].clone();
    let added = of_origin();
    assert_eq!(
        (&added["state"], &added["unsent"], &added["last_success"]),
        (&json!("added"), &Value::Null, &Value::Null)
    );
    assert!(added["blocked"].as_str().is_some_and(|why| why.contains("not enabled")), "{added}");
    enable(&home);
    let enabled = of_origin();
    assert_eq!((&enabled["blocked"], &enabled["unsent"]["runs"]), (&Value::Null, &json!(1)));
    assert!(is_empty(&home), "looking sends nothing");
    home.ok(["sync"]);
    let synced = of_origin();
    assert_eq!(synced["unsent"], json!({"runs": 0, "objects": 0, "bytes": 0}));
    assert!(synced["last_success"].is_string() && synced["last_error"].is_null(), "{synced}");
    std::fs::rename(home.path("shared"), home.path("away")).expect("renames");
    home.ok(["tag", "a-run", "good"]);
    assert_eq!(home.run(["sync"]).code, 3);
    let failed = of_origin();
    assert!(failed["last_error"]["message"].as_str().is_some_and(|why| why.contains("shared")), "{failed}");
    assert_eq!(failed["unsent"]["runs"], json!(1));
    assert!(home.ok(["sync", "status"]).contains("failed"));
    std::fs::rename(home.path("away"), home.path("shared")).expect("renames");
    home.ok(["sync"]);
    let mended = of_origin();
    assert_eq!(mended["unsent"]["objects"], json!(0));
    assert!(mended["last_success"].as_str() > mended["last_error"]["time"].as_str(), "{mended}");
    assert!(!home.ok(["sync", "status"]).contains("failed"), "what was made good is not told any more");
    home.ok(["remote", "pause", "origin"]);
    assert!(of_origin()["blocked"].as_str().is_some_and(|why| why.contains("paused")));
    assert_eq!(home.json(["sync", "status"])["agent"], json!({"running": false, "pid": null}));
}

#[test]
fn a_dry_run_names_what_would_be_sent_and_makes_no_request() {
    let home = home();
    home.ok(["remote", "add", "origin", "shared"]);
    // Also before anything was agreed to, and where nothing could be asked.
    std::fs::remove_dir(home.path("shared")).expect("removes");
    let before = &home.json(["sync", "origin", "--dry-run"])[0];
    assert_eq!(before["runs"][0]["id"], json!("a-run"));
    assert!(before["blocked"].as_str().is_some_and(|why| why.contains("not enabled")), "{before}");
    std::fs::create_dir(home.path("shared")).expect("makes");
    enable(&home);
    let output = home.command(["sync", "--dry-run", "--json"]).env("RUNCELLAR_OFFLINE", "1").output().expect("runs");
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(told[0]["blocked"].as_str().is_some_and(|why| why.contains("RUNCELLAR_OFFLINE")), "{told}");
    assert_eq!(told[0]["runs"], before["runs"]);
    std::fs::write(home.workspace_path().join("OFFLINE"), "").expect("writes");
    assert!(home.json(["sync", "--dry-run"])[0]["blocked"].as_str().is_some_and(|why| why.contains("OFFLINE")));
    std::fs::remove_file(home.workspace_path().join("OFFLINE")).expect("removes");
    assert!(home.ok(["sync", "--dry-run"]).contains("origin: 1 run would be sent") && is_empty(&home));
    home.ok(["sync"]);
    assert_eq!(home.ok(["sync", "--dry-run"]), "origin: all there is was sent\n");
    assert_eq!(home.run(["sync", "nobody", "--dry-run"]).code, 3);
    assert_eq!(home.run(["sync", "status", "--dry-run"]).code, 2);
}

#[test]
fn runs_and_projects_that_are_kept_at_home_are_never_sent() {
    let home = home();
    let workspace = home.workspace();
    workspace.run("p").id("private").tags(["local_only"]).start().expect("starts").finish().expect("finishes");
    workspace.run("secret").id("other").start().expect("starts").finish().expect("finishes");
    std::fs::write(home.path("weights"), "weights of the secret project").expect("writes");
    home.ok(["artifact", "put", "model", "weights", "--project", "secret"]);
    home.ok(["config", "set", "local_only:secret", "true"]);
    home.ok(["remote", "add", "origin", "shared", "--classes", "metrics,artifacts", "--projects", "p,secret"]);
    enable(&home);
    let would = home.json(["sync", "--dry-run"]);
    assert_eq!(would[0]["runs"].as_array().map(Vec::len), Some(1), "{would}");
    home.ok(["sync"]);
    assert_eq!(home.json(["sync", "status"])["remotes"][0]["unsent"]["runs"], json!(0));
    assert!(!home.path("shared").join("packs").exists(), "content of the project stays, too");
    let sent = |home: &crate::support::Home| -> Vec<String> {
        let other = crate::support::Home::new();
        let key = home.key_file().display().to_string();
        other.ok(["clone", &home.text("shared"), "w", "--key-file", &key]);
        let runs = other.json(["ls", "--key-file", &key]);
        let mut ids: Vec<String> = runs
            .as_array()
            .expect("an array")
            .iter()
            .map(|run| run["id"].as_str().expect("a text").to_owned())
            .collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(sent(&home), ["a-run"]);
    // Whoever takes the mark away has them sent.
    home.ok(["tag", "private", "--remove", "local_only"]);
    home.ok(["config", "set", "local_only:secret", "false"]);
    home.ok(["sync"]);
    assert_eq!(sent(&home), ["a-run", "other", "private"]);
    assert!(home.path("shared").join("packs").exists());
}

#[test]
fn a_limit_of_bandwidth_is_set_for_the_workspace_and_loses_nothing() {
    let home = home();
    for wrong in [["config", "set", "sync.limit", "fast"], ["config", "set", "sync.limit:p", "1MB"]] {
        assert_eq!(home.run(wrong).code, 2, "{wrong:?}");
    }
    home.ok(["config", "set", "sync.limit", "64KiB"]);
    home.ok(["remote", "add", "origin", "shared"]);
    enable(&home);
    home.ok(["sync"]);
    assert_eq!(home.json(["verify", "origin"])["ok"], json!(true));
}

#[test]
fn what_was_set_on_two_devices_at_once_is_shown_until_it_is_set_again() {
    let home = home();
    home.ok(["remote", "add", "origin", "shared"]);
    enable(&home);
    home.ok(["sync"]);
    let other = crate::support::Home::new();
    let keys = other.path(".config/runcellar/keys");
    std::fs::create_dir_all(&keys).expect("makes");
    std::fs::copy(home.key_file(), keys.join(home.key_file().file_name().expect("a name"))).expect("copies");
    other.ok(["clone", &home.text("shared")]);
    enable(&other);
    assert_eq!(home.json(["show", "a-run"])["conflicts"], json!([]));
    home.ok(["note", "a-run", "of the first"]);
    home.ok(["sync"]);
    other.ok(["note", "a-run", "of the other"]);
    other.ok(["sync"]);
    let shown = other.json(["show", "a-run"]);
    assert_eq!(shown["notes"], json!("of the other"));
    let lost = &shown["conflicts"][0];
    assert_eq!((&lost["field"], &lost["value"]), (&json!("notes"), &json!("of the first")));
    assert!(lost["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{lost}");
    let page = other.ok(["show", "a-run"]);
    assert!(page.contains("notes = of the first") && page.contains("what was set later stands"), "{page}");
    other.ok(["note", "a-run", "of both"]);
    assert_eq!(other.json(["show", "a-run"])["conflicts"], json!([]));
}
