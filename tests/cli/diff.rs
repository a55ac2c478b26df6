//! `diff`: two runs side by side.

use runcellar::{Json, json};

use crate::support::{Home, log_all};

fn with_two_runs() -> Home {
    let home = Home::with_workspace();
    let workspace = home.workspace();
    let make = |id: &str, config: Json, losses: &[f64], packages: &[(&str, &str)]| {
        let packages = packages.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned()));
        let run = workspace.run("p").id(id).name(format!("name-of-{id}")).config(config);
        let run = run.program("train.py").source(true).packages(packages).start().expect("starts");
        log_all(&run, "loss", losses);
        run.finish().expect("finishes");
    };
    let left = json!({"lr": 0.1, "model": {"depth": 3, "name": "a"}, "old": true});
    let right = json!({"model": {"depth": 5, "name": "a"}, "lr": 0.1, "new": [1, 2]});
    make("run1", left, &[0.25], &[("numpy", "2.1"), ("torch", "2.8")]);
    make("run2", right, &[0.25, 0.125], &[("numpy", "2.1"), ("jax", "0.6")]);
    home
}

#[test]
fn what_differs_stands_side_by_side() {
    let home = with_two_runs();
    let json = home.json(["diff", "run1", "name-of-run2"]);
    let expected = serde_json::json!({
        "runs": [{"id": "run1", "name": "name-of-run1", "project": "p"}, {"id": "run2", "name": "name-of-run2", "project": "p"}],
        "source": [],
        "config": [
            {"name": "model.depth", "left": 3, "right": 5},
            {"name": "old", "left": true, "right": null},
            {"name": "new", "left": null, "right": [1, 2]},
        ],
        "summary": [{"name": "loss", "left": 0.25, "right": 0.125}],
        "packages": [
            {"name": "torch", "left": "2.8", "right": null},
            {"name": "jax", "left": null, "right": "0.6"},
        ],
        "code": [],
    });
    assert_eq!(json, expected);
    let page = home.ok(["diff", "run1", "run2"]);
    let expected = "               name-of-run1  name-of-run2
id             run1          run2

config
  model.depth  3             5
  old          true
  new                        [1, 2]

summary
  loss         0.25          0.125

packages
  torch        2.8
  jax                        0.6
";
    assert_eq!(page, expected);
}

#[test]
fn all_shows_what_is_alike_too() {
    let home = with_two_runs();
    let json = home.json(["diff", "run1", "run2", "--all"]);
    let names = |section: &str| -> Vec<String> {
        let all = json[section].as_array().expect("a list").iter();
        all.map(|pair| pair["name"].as_str().expect("a text").to_owned()).collect()
    };
    assert_eq!(names("config"), ["lr", "model.depth", "model.name", "old", "new"]);
    assert_eq!(names("packages"), ["numpy", "torch", "jax"]);
    assert!(names("source").contains(&"program".to_owned()));
}

#[test]
fn runs_without_differences_are_said_to_be_so() {
    let home = with_two_runs();
    let outcome = home.run(["diff", "run1", "run1"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, ""));
    assert!(outcome.last_line().contains("no differences"), "{outcome:?}");
    let lines = home.fails(3, ["diff", "run1", "run9"]);
    assert!(lines[0].contains("run9"), "{lines:?}");
}

#[test]
fn numbers_that_look_alike_are_shown_in_full() {
    let home = Home::with_workspace();
    let workspace = home.workspace();
    for (id, value) in [("run1", 0.1 + 0.2), ("run2", 0.3)] {
        let run = workspace.run("p").id(id).name(id).config(json!({"lr": value})).start().expect("starts");
        run.finish().expect("finishes");
    }
    let page = home.ok(["diff", "run1", "run2"]);
    assert!(page.contains("0.30000000000000004") && page.contains(" 0.3\n"), "{page}");
}
