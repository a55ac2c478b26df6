//! `purge`, `receipt` and what `gc` erases.

use serde_json::Value;

use crate::support::{Home, log_all};

fn with_runs(ids: &[&str]) -> Home {
    let home = Home::with_workspace();
    let workspace = home.workspace();
    for id in ids {
        let run = workspace.run("p").id(*id).start().expect("starts");
        log_all(&run, "loss", &[1.0, 0.5]);
        run.finish().expect("finishes");
    }
    home
}

fn ids(home: &Home) -> Vec<String> {
    let runs = home.json(["ls", "--sort", "id"]);
    runs.as_array().expect("an array").iter().map(|run| run["id"].as_str().expect("text").to_owned()).collect()
}

#[test]
fn a_purge_says_what_goes_and_waits_for_a_yes() {
    let home = with_runs(&["alpha", "beta"]);
    let plan = home.json(["purge", "alpha", "--dry-run"]);
    assert_eq!(plan["plan"][0]["id"], "alpha");
    assert!(plan["bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{plan}");
    let kinds: Vec<&Value> =
        plan["residual_openers"].as_array().expect("a list").iter().map(|opener| &opener["kind"]).collect();
    assert_eq!(kinds, ["key_file", "host_backup"]);
    let refused = home.run(["purge", "alpha"]);
    assert_eq!(refused.code, 6);
    assert!(refused.stderr.starts_with("to erase: run p/"), "{refused:?}");
    assert!(refused.stderr.ends_with("runcellar: nothing was erased: --yes confirms it\n"), "{refused:?}");
    assert_eq!(ids(&home), ["alpha", "beta"]);
    home.fails(3, ["purge", "gamma", "--yes"]);
    home.fails(2, ["purge", "older:90", "--yes"]);
    home.fails(3, ["purge", "older:90d", "--yes"]);
    let receipt = home.json(["purge", "alpha", "--yes"]);
    assert_eq!((&receipt["receipt"], &receipt["complete"]), (&Value::from(1), &Value::from(true)), "{receipt:#}");
    assert_eq!(receipt["targets"][0]["kind"], "run");
    assert_eq!(receipt["epoch"], serde_json::json!({"before": 1, "after": 2}));
    assert_eq!(ids(&home), ["beta"]);
    home.fails(3, ["show", "alpha"]);
    home.ok(["check", "--read-data"]);
}

#[test]
fn receipts_are_kept_shown_and_verified() {
    let home = with_runs(&["alpha", "beta"]);
    let file = home.path("receipt.json");
    let printed = home.json(["purge", "alpha", "--yes", "--receipt", file.to_str().expect("UTF-8")]);
    let id = printed["id"].as_str().expect("text").to_owned();
    assert_eq!(home.json(["receipt", "show"]), serde_json::json!([printed]));
    assert_eq!(home.json(["receipt", "show", &id[..6]]), printed);
    home.fails(3, ["receipt", "show", "zz"]);
    let verified = home.json(["receipt", "verify", file.to_str().expect("UTF-8")]);
    assert_eq!((&verified["ok"], &verified["id"]), (&Value::from(true), &Value::from(id)));
    let text = std::fs::read_to_string(&file).expect("reads");
    assert!(!text.contains("alpha") && !text.contains("beta"), "{text}");
    std::fs::write(&file, text.replace("\"complete\": true", "\"complete\": false")).expect("writes");
    home.fails(5, ["receipt", "verify", file.to_str().expect("UTF-8")]);
    std::fs::write(&file, "{}").expect("writes");
    home.fails(5, ["receipt", "verify", file.to_str().expect("UTF-8")]);
    home.fails(3, ["receipt", "verify", "nowhere.json"]);
}

#[test]
fn a_recovery_code_goes_with_a_purge_and_a_new_one_comes_if_there_is_a_place_for_it() {
    let home = with_runs(&["alpha", "beta", "gamma"]);
    let code = |name: &str| home.path(name).to_str().expect("UTF-8").to_owned();
    home.ok(["key", "add", "recovery", "--recovery-out", &code("first")]);
    home.ok(["purge", "alpha", "--yes", "--recovery-out", &code("second")]);
    let codes = ["first", "second"].map(|name| std::fs::read_to_string(code(name)).expect("reads"));
    assert!(codes[0] != codes[1] && codes[1].len() > 30, "{codes:?}");
    let kinds = |home: &Home| -> Vec<String> {
        let slots = home.json(["key", "ls"]);
        slots.as_array().expect("a list").iter().map(|slot| slot["kind"].as_str().expect("text").into()).collect()
    };
    assert_eq!(kinds(&home), ["key-file", "recovery"]);
    let outcome = home.run(["purge", "beta", "--yes"]);
    assert!(
        outcome.stderr.contains("no recovery code will be left: --recovery-out FILE makes a new one"),
        "{outcome:?}"
    );
    assert_eq!(kinds(&home), ["key-file"]);
}

#[test]
fn gc_shows_first_what_retention_sets_an_end_to() {
    let home = with_runs(&["alpha", "beta"]);
    assert_eq!(home.ok(["gc", "--dry-run"]), "no run has expired\n");
    home.ok(["config", "set", "retention.days:p", "1"]);
    let none = home.json(["gc", "--dry-run"]);
    assert_eq!(none, serde_json::json!({"erase": [], "hide": [], "erase_code": [], "erase_media": []}));
    home.fails(2, ["config", "set", "retention.media.days", "soon"]);
    assert_eq!(home.json(["gc"])["hidden"], 0);
    assert_eq!(ids(&home), ["alpha", "beta"]);
}
