//! `check`: says what is whole and what is not.

use crate::support::{Home, log_all};

fn with_run() -> Home {
    let home = Home::with_workspace();
    let workspace = home.workspace();
    let run = workspace.run("p").id("run1").start().expect("starts");
    let wild: Vec<f64> = (0..20_000).map(|step| f64::from(step * 7_919 % 10_007).sin()).collect();
    log_all(&run, "loss", &wild);
    run.finish().expect("finishes");
    home
}

#[test]
fn a_whole_workspace_is_ok() {
    let home = with_run();
    let text = home.ok(["check", "--json"]);
    assert!(text.starts_with(r#"{"ok":true,"checked":{"runs":1,"blocks":"#), "{text}");
    assert!(text.ends_with("\"problems\":[]}\n"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let members: Vec<&String> = json["checked"].as_object().expect("an object").keys().collect();
    assert_eq!(members, ["blocks", "bytes", "chunks", "journals", "runs"]);
    assert!(home.ok(["check", "--read-data"]).starts_with("ok  1 run, "));
}

#[test]
fn every_flipped_byte_is_found_or_harmless_and_never_a_crash() {
    // Aim: whatever byte of the database is changed, the answer is 0 (free space of a page) or 5, and every 5 has
    // a problem or a message. Method: one flip at a time, at places spread over the file.
    let home = with_run();
    let path = home.workspace_path().join("cellar.db");
    let whole = std::fs::read(&path).expect("reads");
    let mut found = 0;
    for place in (0..24).map(|part| part * whole.len() / 24 + 41) {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x10;
        std::fs::write(&path, bytes).expect("writes");
        let outcome = home.run(["check", "--read-data", "--json"]);
        assert!([0, 5].contains(&outcome.code), "byte {place}: {outcome:?}");
        if outcome.code == 5 {
            found += 1;
            assert!(outcome.stderr.starts_with("runcellar: "), "byte {place}: {outcome:?}");
            let json: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("JSON");
            assert_eq!(json["ok"], false);
            let problem = &json["problems"][0];
            let members: Vec<&String> = problem.as_object().expect("an object").keys().collect();
            let promised =
                ["artifact", "file", "kind", "message", "metric", "path", "repairable", "run", "severity", "steps"];
            assert_eq!(members, promised);
            assert_eq!(problem["severity"], "error");
        }
    }
    assert!(found >= 12, "most of the file is data: {found} of 24");
}

#[test]
fn a_damaged_block_names_the_run_and_the_rest_stays_readable() {
    let home = with_run();
    let other = home.workspace().run("p").id("run2").start().expect("starts");
    log_all(&other, "loss", &[1.0]);
    other.finish().expect("finishes");
    drop(other);
    let path = home.workspace_path().join("cellar.db");
    let whole = std::fs::read(&path).expect("reads");
    // Where run1's blocks lie is not said in the file; bytes all over it are tried until one is in a block.
    let hit = (1..100).map(|part| part * whole.len() / 100).find(|place| {
        let mut bytes = whole.clone();
        bytes[*place] ^= 1;
        std::fs::write(&path, bytes).expect("writes");
        let outcome = home.run(["check", "--read-data", "--json"]);
        outcome.code == 5 && outcome.stdout.contains("\"run\":\"run1\"")
    });
    assert!(hit.is_some(), "no block of run1 was hit");
    let outcome = home.run(["check", "--read-data"]);
    assert!(outcome.stdout.contains("error  damaged") && outcome.stdout.contains("run1"), "{outcome:?}");
    assert!(outcome.stdout.lines().last().is_some_and(|line| line.starts_with("damaged  2 runs, ")), "{outcome:?}");
    assert_eq!(outcome.stderr, "runcellar: the workspace is damaged in one place\n");
    assert!(home.ok(["export", "run2"]).contains("run2,p,loss,0,"));
    assert_eq!(home.run(["export", "run1"]).code, 5);
}
