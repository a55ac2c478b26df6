//! `du`: what takes how much of the disk.

use crate::support::{Home, log_all};

fn with_runs() -> Home {
    let home = Home::with_workspace();
    let workspace = home.workspace();
    for (project, id) in [("birds", "run1"), ("birds", "run2"), ("fish", "run3")] {
        let run = workspace.run(project).id(id).name(format!("of-{id}")).start().expect("starts");
        log_all(&run, "loss", &[0.5; 100]);
        run.finish().expect("finishes");
    }
    workspace.remove_runs(&[workspace.find_run("run2").expect("finds")]).expect("removes");
    home
}

fn bytes_below(path: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(path).expect("lists").map(|entry| entry.expect("entry"));
    let size = |entry: std::fs::DirEntry| match entry.metadata().expect("metadata") {
        metadata if metadata.is_dir() => bytes_below(&entry.path()),
        metadata => metadata.len(),
    };
    entries.map(size).sum()
}

#[test]
fn sizes_add_up_to_those_of_the_files() {
    let home = with_runs();
    let before = bytes_below(&home.workspace_path());
    let json = home.json(["du"]);
    assert_eq!(json["total"], before, "{json}");
    for list in ["projects", "runs", "kinds"] {
        let all = json[list].as_array().expect("a list");
        let sum: u64 = all.iter().map(|one| one["bytes"].as_u64().expect("a number")).sum();
        assert_eq!(sum, before, "{list}: {json}");
    }
    let of = |project: &str| json["projects"].as_array().expect("a list").iter().find(|one| one["project"] == project);
    assert_eq!(of("birds").expect("listed")["runs"], 2);
    let removed = json["runs"].as_array().expect("a list").iter().find(|one| one["id"] == "run2").expect("listed");
    assert_eq!((&removed["removed"], &removed["name"]), (&true.into(), &"of-run2".into()));
    // While somebody else has it open, the file that they share memory through is there, and counts.
    let open = home.workspace();
    open.find_run("run1").expect("finds");
    assert_eq!(home.json(["du"])["total"], bytes_below(&home.workspace_path()));
}

#[test]
fn artifacts_count_for_their_project() {
    let home = Home::with_workspace();
    std::fs::write(home.path("model"), vec![1; 10]).expect("writes");
    home.ok(["artifact", "put", "birds/model", "model"]);
    let json = home.json(["du"]);
    let of = |project: &str| json["projects"].as_array().expect("a list").iter().find(|one| one["project"] == project);
    let birds = of("birds").expect("listed");
    let packs = bytes_below(&home.workspace_path().join("packs"));
    assert_eq!((&birds["runs"], &birds["bytes"]), (&0.into(), &packs.into()), "{json}");
    let sum: u64 = json["projects"].as_array().expect("a list").iter().filter_map(|one| one["bytes"].as_u64()).sum();
    assert_eq!(json["total"], sum);
}

#[test]
fn there_is_a_table_by_project_run_and_kind() {
    let home = with_runs();
    let text = home.ok(["du"]);
    let rows: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(rows[0], "project");
    assert!(rows.contains(&"birds") && rows.contains(&"fish") && rows.contains(&"(workspace)"), "{text}");
    assert!(text.trim_end().ends_with(" in all"), "{text}");
    let text = home.ok(["du", "--by", "run"]);
    assert!(text.contains("of-run2 (removed)") && text.contains("metrics") && text.contains("records"), "{text}");
    let text = home.ok(["du", "--by", "kind"]);
    assert!(text.contains("structure") && text.contains("keys"), "{text}");
    let mut command = home.command(["du", "--by", "run"]);
    let narrow = crate::support::outcome(command.env("COLUMNS", "40")).stdout;
    assert!(narrow.lines().all(|line| line.chars().count() <= 40), "{narrow}");
    home.fails(2, ["du", "--by", "shape"]);
    home.fails(3, ["du", "--workspace", "absent"]);
}

#[test]
fn quotas_are_shown_and_what_is_beyond_them_is_said() {
    let home = with_runs();
    assert_eq!(home.json(["du"])["quotas"], serde_json::json!([]));
    home.ok(["config", "set", "quota.bytes", "1000"]);
    home.ok(["config", "set", "quota.bytes:birds", "1GiB"]);
    let json = home.json(["du"]);
    let quotas = json["quotas"].as_array().expect("a list");
    assert_eq!((&quotas[0]["project"], &quotas[0]["quota"]), (&serde_json::Value::Null, &1000.into()));
    assert_eq!(quotas[0]["used"], json["total"]);
    assert_eq!((&quotas[1]["project"], &quotas[1]["quota"]), (&"birds".into(), &(1_u64 << 30).into()));
    let outcome = crate::support::outcome(&mut home.command(["du"]));
    assert!(outcome.stdout.contains("1.0 GiB") && outcome.stdout.contains(" of 1000 B in all"), "{outcome:?}");
    assert!(
        outcome.stderr.contains("the workspace takes ") && outcome.stderr.contains("over its quota"),
        "{outcome:?}"
    );
    assert!(!outcome.stderr.contains("birds"), "{outcome:?}");
    let checks = home.json(["doctor"])["checks"].clone();
    let checks: Vec<_> = checks.as_array().expect("a list").iter().filter(|one| one["name"] == "quota").collect();
    assert_eq!(checks.iter().map(|one| &one["status"]).collect::<Vec<_>>(), ["warning", "ok"]);
}
