//! `remote`, `sync` and `clone`: nothing leaves before it is agreed to, and what was published comes back elsewhere.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::{BINARY, Home, outcome};

/// A home with a workspace, a run, and a folder that may become a remote.
pub(crate) fn home() -> Home {
    let home = Home::with_workspace();
    let run = home.workspace().run("p").id("a-run").start().expect("starts");
    (0..50_i64).for_each(|n| run.log([("n", n)]).expect("logs"));
    run.finish().expect("finishes");
    std::fs::create_dir(home.path("shared")).expect("makes");
    home
}

pub(crate) fn is_empty(home: &Home) -> bool {
    std::fs::read_dir(home.path("shared")).expect("lists").next().is_none()
}

/// Agrees to what the remote is.
pub(crate) fn enable(home: &Home) {
    let outcome = home.without_terminal(["remote", "enable", "origin", "--json"]);
    let hash = serde_json::from_str::<Value>(&outcome.stdout).expect("JSON")["consent_hash"].clone();
    home.ok(["remote", "enable", "origin", "--consent", hash.as_str().expect("a text")]);
}

#[test]
fn adding_a_remote_says_what_it_would_mean_and_sends_nothing() {
    let home = home();
    let added = home.json(["remote", "add", "origin", "shared", "--projects", "p,q"]);
    let facts = |name: &str| added[name].clone();
    assert_eq!((facts("name"), facts("url")), (json!("origin"), json!(home.text("shared"))));
    assert_eq!((facts("classes"), facts("projects")), (json!(["metrics"]), json!(["p", "q"])));
    assert!(added["visible"].as_array().is_some_and(|lines| lines.len() >= 3), "{added}");
    let text = added["consent_text"].as_str().expect("a text");
    assert!(text.contains(&home.text("shared")) && text.contains("p, q"), "{text}");
    assert_eq!(added["consent_hash"].as_str().map(str::len), Some(64));
    assert!(added["estimate"]["bytes"].as_u64().is_some_and(|bytes| bytes > 500), "{added}");
    let run = home.workspace().run("p").start().expect("starts");
    (0..5_000_i64).for_each(|n| run.log([("n", n)]).expect("logs"));
    run.finish().expect("finishes");
    assert!(is_empty(&home));
    let listed = home.json(["remote", "ls"]);
    assert_eq!((&listed[0]["state"], &listed[0]["consented"]), (&json!("added"), &Value::Null));
    // The text, and with it the hash, does not depend on what there is to send.
    let outcome = home.without_terminal(["remote", "enable", "origin", "--json"]);
    let again: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(again["consent_hash"], added["consent_hash"]);
    assert_ne!(again["estimate"]["bytes"], added["estimate"]["bytes"]);
    assert_eq!(home.fails(1, ["remote", "add", "origin", "shared"]), ["runcellar: remote origin: it is there already"]);
}

#[test]
fn nothing_is_sent_before_somebody_agreed_to_just_this() {
    let home = home();
    assert_eq!(home.fails(3, ["sync"])[0], "runcellar: no remote is known");
    home.ok(["remote", "add", "origin", "shared"]);
    assert_eq!(home.fails(6, ["sync"])[0], "runcellar: no remote is enabled: nothing is sent or fetched");
    assert_eq!(
        home.fails(6, ["sync", "origin"])[0],
        "runcellar: remote origin: it is not enabled, and nothing is sent"
    );
    let asked = home.without_terminal(["remote", "enable", "origin"]);
    assert_eq!(asked.code, 6, "{asked:?}");
    let line =
        asked.stderr_lines().into_iter().find(|line| line.starts_with("runcellar remote enable origin --consent "));
    let hash = line.expect("says how").rsplit(' ').next().expect("a word").to_owned();
    let wrong = home.fails(6, ["remote", "enable", "origin", "--consent", &"0".repeat(64)]);
    assert!(wrong[0].ends_with("is not the hash of what is to be agreed to"), "{wrong:?}");
    assert!(home.run(["sync"]).code == 6 && is_empty(&home));
    home.ok(["remote", "enable", "origin", "--consent", &hash]);
    home.ok(["remote", "pause", "origin"]);
    assert_eq!(home.fails(6, ["sync"])[0], "runcellar: no remote is enabled: nothing is sent or fetched");
    assert!(home.fails(1, ["sync", "origin"])[0].contains("it is paused") && is_empty(&home));
    // The hash of another remote is none of this one.
    std::fs::create_dir(home.path("elsewhere")).expect("makes");
    home.ok(["remote", "add", "other", "elsewhere"]);
    assert_eq!(home.run(["remote", "enable", "other", "--consent", &hash]).code, 6);
}

#[test]
fn nothing_in_the_surroundings_enables_anything_and_each_of_these_keeps_all_at_home() {
    let home = home();
    home.ok(["remote", "add", "origin", "shared"]);
    for name in ["RUNCELLAR_SYNC", "RUNCELLAR_REMOTE", "RUNCELLAR_CONSENT", "RUNCELLAR_ONLINE", "RUNCELLAR_ENABLE"] {
        let output = home.command(["sync"]).env(name, "1").output().expect("runs");
        assert_eq!(output.status.code(), Some(6), "{name}");
    }
    enable(&home);
    let output = home.command(["sync"]).env("RUNCELLAR_OFFLINE", "1").output().expect("runs");
    assert_eq!(output.status.code(), Some(1));
    std::fs::write(home.workspace_path().join("OFFLINE"), "").expect("writes");
    assert!(home.fails(1, ["sync"])[0].contains("the file OFFLINE"));
    std::fs::remove_file(home.workspace_path().join("OFFLINE")).expect("removes");
    home.ok(["config", "set", "local_only", "true"]);
    assert!(home.fails(1, ["sync"])[0].contains("local_only is set"));
    assert!(home.fails(1, ["remote", "enable", "origin", "--consent", "x"])[0].contains("local_only is set"));
    assert!(is_empty(&home));
    home.ok(["config", "set", "local_only", "false"]);
    home.ok(["sync"]);
    assert!(!is_empty(&home));
}

#[test]
fn what_one_home_publishes_another_clones_and_adds_to() {
    let home = home();
    home.ok(["remote", "add", "origin", "shared"]);
    enable(&home);
    let done = home.json(["sync"]);
    assert_eq!((&done[0]["remote"], &done[0]["runs"]["sent"]), (&json!("origin"), &json!(1)));
    assert_eq!(done[0]["devices"], json!(1));
    // The key file is brought along by hand; the workspace is made of what lies in the folder.
    let other = Home::new();
    let key = home.key_file().display().to_string();
    let cloned = other.json(["clone", &home.text("shared"), "w", "--key-file", &key]);
    assert_eq!((&cloned["runs"], &cloned["remote"]), (&json!(1), &json!("origin")));
    let key = ["--key-file", &key];
    // Which must be named, or put to where it says.
    let again = other.without_terminal(["clone", &home.text("shared"), "again", key[0], key[1]]);
    let place = again.stderr.lines().find_map(|line| line.split_once("or copy it to ")).expect("says where").1;
    std::fs::create_dir_all(std::path::Path::new(place).parent().expect("a folder")).expect("is made");
    std::fs::copy(key[1], place).expect("is copied");
    let listed = other.json(["ls", "--workspace", "again"]);
    assert_eq!(listed[0]["id"], json!("a-run"));
    std::fs::remove_file(place).expect("is removed");
    let shown = |home: &Home, more: &[&str]| {
        let mut show = vec!["export", "a-run"];
        show.extend(more);
        home.ok(show)
    };
    assert_eq!(shown(&home, &[]), shown(&other, &key));
    assert_eq!(other.run(["sync", key[0], key[1]]).code, 6, "a clone enables nothing");
    let asked = other.without_terminal(["remote", "enable", "origin", "--json", key[0], key[1]]);
    let hash = serde_json::from_str::<Value>(&asked.stdout).expect("JSON")["consent_hash"].clone();
    other.ok(["remote", "enable", "origin", "--consent", hash.as_str().expect("a text"), key[0], key[1]]);
    other.ok(["tag", "a-run", "seen", key[0], key[1]]);
    other.ok(["sync", key[0], key[1]]);
    let done = home.json(["sync", "origin"]);
    assert_eq!((&done[0]["runs"]["updated"], &done[0]["devices"]), (&json!(1), &json!(2)));
    assert_eq!(home.json(["show", "a-run"])["tags"], json!(["seen"]));
    for (home, more) in [(&home, &[][..]), (&other, &key[..])] {
        let mut check = vec!["check", "--read-data"];
        check.extend(more);
        home.ok(check);
    }
    // A key that can be read only once is enough.
    let third = Home::new();
    let script =
        format!("exec 3< '{}' && exec '{BINARY}' clone '{}' w", home.key_file().display(), home.text("shared"));
    let mut by_descriptor = Command::new("sh");
    by_descriptor.args(["-c", &script]);
    third.isolate(&mut by_descriptor);
    let outcome = outcome(by_descriptor.env("RUNCELLAR_KEY_FD", "3"));
    assert_eq!(outcome.code, 0, "{outcome:?}");
    // A clone into what is there, of what is not there, and without a key.
    let taken = other.fails(1, ["clone", &home.text("shared"), "w"]);
    assert!(taken[0].contains("something is there already"), "{taken:?}");
    std::fs::create_dir(other.path("nothing")).expect("makes");
    assert_eq!(other.run(["clone", "nothing", "new"]).code, 3);
    let locked = Home::new().without_terminal(["clone", &home.text("shared"), "w"]);
    assert_eq!(locked.code, 4, "{locked:?}");
}

#[test]
fn files_and_artifacts_that_one_home_publishes_another_reads() {
    let home = Home::with_workspace();
    let run = home.workspace().run("p").id("a-run").start().expect("starts");
    run.log([("n", 1_i64)]).expect("logs");
    let picture = runcellar::NewMedia {
        kind: "image".into(),
        format: "png".into(),
        metadata: runcellar::json!({}),
        content: std::sync::Arc::new(b"a picture".to_vec()),
        companions: Vec::new(),
        parts: Vec::new(),
    };
    run.log_media(None, None, vec![("sample".into(), picture)], |_| {}).expect("logs");
    std::fs::create_dir(home.path("source")).expect("makes");
    std::fs::write(home.path("source/train.py"), "print()\n").expect("writes");
    let folder = runcellar::CodeFolder { root: home.path("source"), ..runcellar::CodeFolder::default() };
    run.log_code(&folder).expect("is kept");
    run.finish().expect("finishes");
    std::fs::create_dir(home.path("shared")).expect("makes");
    std::fs::write(home.path("weights.bin"), "weights of a model").expect("writes");
    let weights = home.text("weights.bin");
    home.ok(["artifact", "put", "p/model", &weights, "--type", "model", "--alias", "best", "--run", "a-run"]);
    home.ok(["artifact", "link", "p/model:v0", "registry/approved"]);
    let added = home.json(["remote", "add", "origin", "shared", "--classes", "metrics,code,media,artifacts"]);
    assert_eq!(added["classes"], json!(["metrics", "code", "media", "artifacts"]));
    assert_eq!(added["estimate"]["objects"], json!(6), "three packs, a segment, the head, the welcome: {added}");
    assert!(is_empty(&home));
    enable(&home);
    let done = home.json(["sync"]);
    assert_eq!((&done[0]["versions"]["sent"], &done[0]["sent"]["objects"]), (&json!(1), &json!(4)), "{done}");

    let other = Home::new();
    let key = home.key_file().display().to_string();
    let cloned = other.json(["clone", &home.text("shared"), "w", "--key-file", &key]);
    // The link counts as a version of the collection.
    assert_eq!((&cloned["runs"], &cloned["versions"], &cloned["files"]), (&json!(1), &json!(2), &json!(2)), "{cloned}");
    let key = ["--key-file", key.as_str()];
    other.ok(["artifact", "get", "p/model:best", "-o", &other.text("got"), key[0], key[1]]);
    assert_eq!(std::fs::read_to_string(other.path("got/weights.bin")).expect("reads"), "weights of a model");
    other.ok(["artifact", "get", "registry/approved", "-o", &other.text("linked"), key[0], key[1]]);
    other.ok(["checkout-code", "a-run", &other.text("code"), key[0], key[1]]);
    assert_eq!(std::fs::read_to_string(other.path("code/source/train.py")).expect("reads"), "print()\n");
    other.ok(["check", "--read-data", key[0], key[1]]);
    assert_eq!(other.json(["remote", "ls", key[0], key[1]])[0]["classes"], json!(["metrics"]));
    // A pack that is gone from the remote: what lies in it is named, and the rest is there.
    let packs = list(&list(&home.path("shared/packs"))[0]);
    packs.iter().for_each(|pack| std::fs::remove_file(pack).expect("removes"));
    let third = Home::new();
    let shared = home.text("shared");
    assert_eq!(third.run(["clone", &shared, "w", "--classes", "code", key[0], key[1]]).code, 2, "metrics go with all");
    assert!(!third.path("w").exists());
    let outcome = third.run(["clone", &shared, "w", "--classes", "metrics,media", key[0], key[1]]);
    assert_eq!(third.json(["remote", "ls", key[0], key[1]])[0]["classes"], json!(["metrics", "media"]));
    assert_eq!(outcome.code, 5, "{outcome:?}");
    assert!(outcome.stderr.contains("artifact p/model:v0: left out: packs/"), "{outcome:?}");
    assert!(third.ok(["ls", key[0], key[1]]).contains("a-run"));
}

fn list(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(folder).expect("lists").map(|entry| entry.expect("reads").path()).collect()
}

#[test]
fn a_remote_that_was_emptied_or_is_gone_is_an_error_and_nothing_is_lost() {
    let home = home();
    home.ok(["remote", "add", "origin", "shared"]);
    enable(&home);
    home.ok(["sync"]);
    std::fs::remove_dir_all(home.path("shared")).expect("removes");
    assert_eq!(home.run(["sync"]).code, 3);
    std::fs::create_dir(home.path("shared")).expect("makes");
    let emptied = home.fails(5, ["sync"]);
    assert!(emptied[0].contains("is not there"), "{emptied:?}");
    assert!(emptied[1].contains("runcellar verify REMOTE"), "{emptied:?}");
    assert_eq!(home.run(["verify", "origin"]).code, 5);
    assert!(home.ok(["ls"]).contains("a-run"));
    // As the message says: removed and added again, it is filled anew.
    assert_eq!(home.without_terminal(["remote", "rm", "origin"]).code, 6);
    home.ok(["remote", "rm", "origin", "--yes"]);
    home.ok(["remote", "add", "origin", "shared"]);
    enable(&home);
    assert_eq!(home.json(["sync"])[0]["runs"]["sent"], json!(1));
}

#[test]
fn what_is_purged_goes_from_the_remote_and_other_homes_and_the_receipt_tells_who_has_not() {
    let home = home();
    let run = home.workspace().run("p").id("b-run").start().expect("starts");
    run.log([("n", 1_i64)]).expect("logs");
    run.finish().expect("finishes");
    home.ok(["remote", "add", "origin", "shared"]);
    enable(&home);
    home.ok(["sync"]);
    let other = Home::new();
    std::fs::copy(home.key_file(), other.path("key")).expect("copies");
    let key = ["--key-file", &other.text("key")];
    other.ok(["clone", &home.text("shared"), "w", key[0], key[1]]);
    let asked = other.without_terminal(["remote", "enable", "origin", "--json", key[0], key[1]]);
    let hash = serde_json::from_str::<Value>(&asked.stdout).expect("JSON")["consent_hash"].clone();
    other.ok(["remote", "enable", "origin", "--consent", hash.as_str().expect("a text"), key[0], key[1]]);
    other.ok(["sync", key[0], key[1]]);
    let purged = home.run(["purge", "a-run", "--yes"]);
    assert_eq!(purged.code, 0, "{purged:?}");
    assert!(purged.stderr.contains("remote origin: 1 object deleted that nothing needs any more"), "{purged:?}");
    assert!(purged.stderr.contains("other devices erase it at their next sync"), "{purged:?}");
    let slots = home.json(["key", "ls"]);
    assert_eq!(slots[1]["kind"], "device", "{slots}");
    let receipt = |home: &Home, more: &[&str]| {
        let mut show = vec!["receipt", "show"];
        show.extend(more);
        home.json(show)[0].clone()
    };
    let shown = receipt(&home, &[]);
    assert_eq!(shown["complete"], false);
    let openers = shown["residual_openers"].as_array().expect("a list");
    assert!(openers.iter().any(|opener| opener["kind"] == "device" && opener["id"] == slots[1]["id"]), "{shown}");
    assert!(openers.iter().all(|opener| opener["kind"] != "remote_version"), "{shown}");
    other.ok(["sync", key[0], key[1]]);
    assert_eq!(other.run(["show", "a-run", key[0], key[1]]).code, 3);
    other.ok(["show", "b-run", key[0], key[1]]);
    assert_eq!(receipt(&other, &key)["targets"], shown["targets"]);
    home.ok(["sync"]);
    let shown = receipt(&home, &[]);
    assert_eq!(shown["complete"], true, "{shown}");
    assert_eq!((home.json(["ls"]).as_array().map(Vec::len), home.run(["show", "a-run"]).code), (Some(1), 3));
    // Whose key is removed hears nothing any more.
    home.ok(["key", "rm", slots[1]["id"].as_str().expect("a text"), "--yes"]);
    let refused = other.run(["sync", key[0], key[1]]);
    assert_eq!(refused.code, 4, "{refused:?}");
    assert!(refused.stderr.contains("its key was removed there"), "{refused:?}");
    other.ok(["show", "b-run", key[0], key[1]]);
    // Without the remote everything is done but there.
    std::fs::rename(home.path("shared"), home.path("away")).expect("renames");
    let refused = home.run(["key", "rotate"]);
    assert!(refused.code == 3 && refused.stderr.contains("--offline goes on without it"), "{refused:?}");
    home.ok(["key", "rotate", "--offline"]);
    std::fs::rename(home.path("away"), home.path("shared")).expect("renames");
    assert_eq!(home.json(["sync"])[0]["deleted"], json!(1));
}

#[test]
fn urls_and_names_that_are_none_are_refused() {
    let home = home();
    for url in ["ftp://host/path", "sftp://host/path", "https://host/path"] {
        assert_eq!(home.run(["remote", "add", "origin", url]).code, 2, "{url}");
    }
    for name in ["", "a/b", "-x", "..", "a b"] {
        assert_eq!(home.run(["remote", "add", "--", name, "shared"]).code, 2, "{name}");
    }
    assert_eq!(home.run(["remote", "add", "origin", "shared", "--classes", "everything"]).code, 2);
    assert_eq!(home.run(["remote", "add", "origin", "shared", "--classes", "artifacts"]).code, 2);
    for verb in ["enable", "pause", "rm"] {
        assert_eq!(home.run(["remote", verb, "nobody"]).code, 3, "{verb}");
    }
    assert_eq!(home.run(["sync", "nobody"]).code, 3);
}

#[test]
fn a_clone_that_a_recovery_code_opens_gets_a_key_file_of_its_own() {
    let home = home();
    home.ok(["key", "recovery", "--recovery-out", "code"]);
    home.ok(["remote", "add", "origin", "shared"]);
    enable(&home);
    home.ok(["sync"]);
    let code = std::fs::read_to_string(home.path("code")).expect("reads");
    let other = Home::new();
    let cloned =
        other.command(["clone", &home.text("shared"), "--json"]).env("RUNCELLAR_PASSPHRASE", code.trim()).output();
    let cloned: Value = serde_json::from_slice(&cloned.expect("runs").stdout).expect("JSON");
    assert_eq!(cloned["key_file"], json!(other.key_file().display().to_string()));
    let kinds = |home: &Home| {
        let keys = home.json(["key", "ls"]);
        keys.as_array().expect("an array").iter().map(|key| key["kind"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&other), [json!("key-file"), json!("recovery"), json!("key-file")]);
    // The code is of no use any more once the lost device is shut out.
    enable(&other);
    other.ok(["sync"]);
    let lost = other.json(["key", "ls"])[0]["id"].as_str().expect("a text").to_owned();
    other.ok(["key", "rm", &lost, "--yes"]);
    assert_eq!(other.json(["ls"])[0]["id"], json!("a-run"));
}
