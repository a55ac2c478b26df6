//! `ledger` and `verify`: what was sent, and whether it is still there; damage is exit 5.

use serde_json::json;

use crate::remote::{enable, home};

#[test]
fn what_was_sent_is_listed_and_an_altered_ledger_is_told() {
    let home = home();
    assert_eq!(home.ok(["ledger"]), "nothing was sent\n");
    assert_eq!(home.run(["ledger", "origin"]).code, 3);
    home.ok(["remote", "add", "origin", "shared"]);
    enable(&home);
    home.ok(["sync"]);
    let sent = home.json(["ledger", "origin"]);
    let sent = sent.as_array().expect("an array");
    assert_eq!(sent.len(), 3, "welcome, segment, head: {sent:?}");
    let segment = sent.iter().find(|object| object["class"] == json!("metrics")).expect("a segment");
    assert_eq!((&segment["runs"], &segment["deleted"]), (&json!(["a-run"]), &json!(null)));
    assert!(segment["stored"].is_string() && segment["hash"].as_str().is_some_and(|hash| hash.len() == 64));
    let csv = home.ok(["ledger", "--csv"]);
    assert!(
        csv.starts_with("remote,time,object,bytes,hash,class,runs,consent,stored,deleted,terms\norigin,20"),
        "{csv}"
    );
    assert_eq!(csv.lines().count(), 4);
    assert_eq!(home.json(["ledger", "--since", "2999-01-01"]), json!([]));
    assert_eq!(home.run(["ledger", "--since", "yesterday"]).code, 2);
    assert!(home.ok(["ledger"]).contains("a-run"));
    home.ok(["remote", "rm", "origin", "--yes"]);
    assert_eq!(home.json(["ledger"]).as_array().map(Vec::len), Some(3), "it stays");
    let folder = std::fs::read_dir(home.workspace_path().join("remotes")).expect("lists").next().expect("one");
    let file = folder.expect("reads").path().join("ledger");
    let mut bytes = std::fs::read(&file).expect("reads");
    bytes[100] ^= 1;
    std::fs::write(&file, bytes).expect("writes");
    let told = home.run(["ledger"]);
    assert_eq!(told.code, 5, "{told:?}");
    assert!(told.stderr.contains("ledger of "), "{told:?}");
}

#[test]
fn what_is_missing_on_a_remote_is_named() {
    let home = home();
    assert_eq!(home.run(["verify", "origin"]).code, 3);
    home.ok(["remote", "add", "origin", "shared"]);
    assert_eq!(home.run(["verify", "origin"]).code, 6);
    enable(&home);
    home.ok(["sync"]);
    let found = home.json(["verify", "origin"]);
    assert_eq!((&found["ok"], &found["objects"], &found["unsent"]), (&json!(true), &json!(3), &json!(0)));
    let sent = home.json(["ledger"]);
    let head = sent[2]["object"].as_str().expect("a name");
    std::fs::remove_file(home.path("shared").join(head)).expect("removes");
    let missing = home.run(["verify", "origin"]);
    assert_eq!(missing.code, 5, "{missing:?}");
    assert!(
        missing.stdout.contains(&format!("{head}: ")) && missing.stderr.contains("1 object missing"),
        "{missing:?}"
    );
    let mut offline = home.command(["verify", "origin"]);
    assert_eq!(offline.env("RUNCELLAR_OFFLINE", "1").output().expect("runs").status.code(), Some(1));
}
