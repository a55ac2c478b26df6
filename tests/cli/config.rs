//! `config`: settings of the workspace.

use crate::support::Home;

#[test]
fn settings_are_listed_read_changed_and_brought_back() {
    let home = Home::with_workspace();
    let listed = home.json(["config"]);
    let names: Vec<&str> = listed.as_array().expect("an array").iter().filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(
        names,
        [
            "code.save",
            "console",
            "system",
            "source",
            "redact",
            "secrets.allow",
            "retention.days",
            "retention.code.days",
            "retention.media.days",
            "quota.bytes",
            "project.default",
            "sync.limit",
            "sync.grace",
            "sync.content",
            "local_only"
        ]
    );
    assert_eq!(listed, home.json(["config", "ls"]));
    assert_eq!(home.ok(["config", "get", "project.default"]), "default\n");
    assert_eq!(home.ok(["config", "set", "project.default", "vision"]), "project.default = vision\n");
    assert_eq!(
        home.json(["config", "get", "project.default"]),
        serde_json::json!({"name": "project.default", "value": "vision"})
    );
    assert_eq!(
        home.json(["config", "set", "retention.days", "90"]),
        serde_json::json!({"name": "retention.days", "value": 90})
    );
    assert_eq!(home.json(["config", "set", "console", "off"])["value"], false);
    assert_eq!(home.ok(["config", "unset", "project.default"]), "project.default = default\n");
    assert!(home.ok(["config"]).lines().any(|line| line.starts_with("retention.days ") && line.contains(" 90")));
}

#[test]
fn projects_have_quotas_of_their_own() {
    let home = Home::with_workspace();
    assert_eq!(home.ok(["config", "set", "quota.bytes:vision", "50GB"]), "quota.bytes:vision = 50000000000\n");
    let listed = home.json(["config"]);
    let names: Vec<&str> = listed.as_array().expect("an array").iter().filter_map(|one| one["name"].as_str()).collect();
    let at = names.iter().position(|name| *name == "quota.bytes").expect("is listed");
    assert_eq!(names.get(at + 1), Some(&"quota.bytes:vision"));
    assert_eq!(home.ok(["config", "get", "quota.bytes:vision"]), "50000000000\n");
    home.ok(["config", "unset", "quota.bytes:vision"]);
    assert!(!home.ok(["config"]).contains("quota.bytes:vision"));
    let lines = home.fails(2, ["config", "set", "console:vision", "off"]);
    assert_eq!(lines, ["runcellar: setting console: holds for all projects, and cannot be set for one"]);
    let lines = home.fails(2, ["config", "set", "quota.bytes", "much"]);
    assert_eq!(lines, ["runcellar: quota.bytes: expected a size, such as 50GB or 1.5 TiB, found \"much\""]);
}

#[test]
fn unknown_settings_and_values_are_refused() {
    let home = Home::with_workspace();
    let lines = home.fails(2, ["config", "get", "colour"]);
    assert!(lines[0].starts_with("runcellar: no setting \"colour\"; there are code.save, console, "), "{lines:?}");
    let lines = home.fails(2, ["config", "set", "code.save", "all"]);
    assert_eq!(lines, ["runcellar: code.save: expected one of none, diff, untracked, main, found \"all\""]);
    home.fails(2, ["config", "set", "retention.days", "-1"]);
    assert_eq!(home.ok(["config", "get", "code.save"]), "none\n");
}
