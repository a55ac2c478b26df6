//! P9: the golden workspace of version 3, as the command reads it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{Home, outcome};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/workspaces/v3")
}

fn expected(name: &str) -> Value {
    serde_json::from_slice(&fs::read(golden().join(name)).expect("reads")).expect("JSON")
}

/// A home with a copy of it, and its key file beside.
fn home() -> Home {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    let (from, to) = (golden().join("workspace"), home.workspace_path());
    assert!(Command::new("cp").arg("-R").args([from, to]).status().expect("cp runs").success());
    fs::copy(golden().join("workspace.key"), home.path("key")).expect("copies");
    fs::set_permissions(home.path("key"), fs::Permissions::from_mode(0o600)).expect("our own");
    home
}

fn json(home: &Home, args: &[&str]) -> Value {
    let outcome = outcome(home.command(args).arg("--json").env("RUNCELLAR_KEY_FILE", home.path("key")));
    assert_eq!(outcome.code, 0, "{outcome:?}");
    serde_json::from_str(&outcome.stdout).expect("JSON")
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

#[test]
fn runs_artifacts_media_and_code_come_out() {
    let (home, files) = (home(), expected("files.json"));
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let runs = json(&home, &["ls"]);
    let found = sorted(runs.as_array().expect("a list").iter().map(|run| text(&run["id"])).collect());
    let is_shown = |(id, run): (&String, &Value)| run["removed"].is_null().then(|| id.clone());
    assert_eq!(
        found,
        sorted(expected("expected.json").as_object().expect("a map").iter().filter_map(is_shown).collect())
    );

    let versions = json(&home, &["artifact", "ls"]);
    let name = |one: &Value| format!("{}/{}:{}", text(&one["project"]), text(&one["name"]), text(&one["version"]));
    let found = sorted(versions.as_array().expect("a list").iter().map(name).collect());
    let wanted = files["artifacts"].as_object().expect("a map");
    assert_eq!(found, sorted(wanted.keys().cloned().collect()));
    for (version, wanted) in wanted {
        assert_eq!(json(&home, &["artifact", "verify", version])["ok"], true);
        let shown = json(&home, &["artifact", "show", version]);
        assert_eq!(shown["digest"], wanted["digest"]);
        assert_eq!(shown["entries"].as_array().map(Vec::len), wanted["entries"].as_object().map(serde_json::Map::len));
    }
    json(&home, &["artifact", "get", "digits/data:best", "-o", "out"]);
    let there = json(&home, &["artifact", "get", "digits/data:best", "-o", "out"]);
    assert_eq!(there["written"], 0);
    assert_eq!(fs::read_link(home.path("out/tree/link")).expect("a link"), Path::new("../elsewhere"));

    json(&home, &["checkout-code", "with-files", "code"]);
    assert_eq!(fs::read(home.path("code/source/train.py")).expect("reads"), b"print(1)\n");
    let receipts = json(&home, &["receipt", "show"]);
    assert_eq!(receipts[0]["id"], files["receipts"][0]["id"]);
    assert_eq!(json(&home, &["check", "--read-data"])["ok"], true);
}
