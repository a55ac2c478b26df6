//! `ledger`: a table, JSON and CSV of what was sent; damage is exit 5.

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
    assert!(csv.starts_with("remote,time,object,bytes,hash,class,runs,consent,stored,deleted\norigin,20"), "{csv}");
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
