//! `rm` and `restore`: hidden is not lost.

use crate::support::{Home, log_all};

fn ids(json: &serde_json::Value) -> Vec<&str> {
    json.as_array().expect("an array").iter().map(|run| run["id"].as_str().expect("text")).collect()
}

#[test]
fn removed_runs_are_hidden_and_come_back_whole() {
    let home = Home::with_workspace();
    let workspace = home.workspace();
    for (id, name) in [("alpha-one", "first"), ("alpha-two", "second"), ("gamma", "third")] {
        let run = workspace.run("p").id(id).name(name).start().expect("starts");
        log_all(&run, "loss", &[1.0, 0.5]);
        run.finish().expect("finishes");
    }
    let before = home.ok(["export", "second"]);
    let outcome = home.run(["rm", "alpha-two", "third", "gamma"]);
    assert_eq!(outcome.stdout, "removed alpha-two  p/second\nremoved gamma  p/third\n");
    assert_eq!(outcome.stderr, "runcellar: note: nothing is lost: runcellar restore alpha-two brings it back\n");
    assert_eq!(ids(&home.json(["ls"])), ["alpha-one"]);
    assert_eq!(ids(&home.json(["ls", "--removed", "--sort", "id"])), ["alpha-two", "gamma"]);
    assert!(!home.ok(["export"]).contains("alpha-two"));
    home.fails(3, ["show", "second"]);
    assert_eq!(home.json(["show", "alpha-two"])["name"], "second", "by its whole id it still shows");
    // A removed run is found by prefix, name and id.
    let restored = home.json(["restore", "alpha", "p/third"]);
    assert_eq!(
        restored,
        serde_json::json!([
            {"id": "alpha-two", "name": "second", "project": "p"},
            {"id": "gamma", "name": "third", "project": "p"},
        ])
    );
    assert_eq!(home.ok(["export", "second"]), before);
    assert_eq!(ids(&home.json(["ls", "--removed"])), Vec::<&str>::new());
}

#[test]
fn one_unknown_run_keeps_all_of_them() {
    let home = Home::with_workspace();
    home.workspace().run("p").id("run1").start().expect("starts").finish().expect("finishes");
    let lines = home.fails(3, ["rm", "run1", "absent"]);
    assert_eq!(lines[0], format!("runcellar: no run absent in {}", home.text("w")));
    assert_eq!(ids(&home.json(["ls"])), ["run1"]);
    let lines = home.fails(3, ["restore", "absent"]);
    assert_eq!(lines[0], format!("runcellar: no removed run absent in {}", home.text("w")));
    home.fails(2, ["rm"]);
}

#[test]
fn doing_it_again_says_so_and_changes_nothing() {
    let home = Home::with_workspace();
    home.workspace().run("p").id("run1").start().expect("starts").finish().expect("finishes");
    assert_eq!(home.run(["restore", "run1"]).stderr, "runcellar: note: run run1 is not removed\n");
    home.ok(["rm", "run1"]);
    let again = home.run(["rm", "run1"]);
    assert_eq!((again.code, again.stdout.as_str()), (0, ""));
    assert_eq!(again.stderr, "runcellar: note: run run1 is removed already\n");
}
