//! `evict` and `fetch`: content goes where a remote has it, and comes back where it is read.

use serde_json::{Value, json};

use crate::remote::enable;
use crate::support::{Home, log_all};

/// Rows of a run: so many that they stand apart from what is said of it.
const ROWS: u32 = 5_000;

/// A home that has published an artifact and a run; what is agreed to are metrics and artifacts.
fn published() -> Home {
    let home = Home::with_workspace();
    std::fs::create_dir(home.path("shared")).expect("makes");
    std::fs::write(home.path("weights.bin"), vec![7; 100_000]).expect("writes");
    home.ok(["artifact", "put", "model", "weights.bin", "--project", "p"]);
    let run = home.workspace().run("p").id("long").start().expect("starts");
    let values: Vec<f64> = (0..ROWS).map(|step| (step as f64 * 0.7).sin()).collect();
    log_all(&run, "loss", &values);
    run.finish().expect("finishes");
    home.ok(["remote", "add", "origin", "shared", "--classes", "metrics,artifacts"]);
    enable(&home);
    home
}

fn got(home: &Home, to: &str) -> bool {
    home.ok(["artifact", "get", "model", "-o", to]);
    std::fs::read(home.path(to).join("weights.bin")).expect("reads") == vec![7; 100_000]
}

#[test]
fn content_goes_once_the_remote_has_proven_to_have_it_and_is_fetched_where_it_is_read() {
    let home = published();
    let refused = home.fails(1, ["evict", "artifact:model", "--yes"]);
    assert_eq!(
        refused.last().expect("says why"),
        "runcellar: artifacts of p: nothing was sent to origin from here yet"
    );
    home.ok(["sync"]);
    let dry = home.json(["evict", "artifact:model", "--dry-run"]);
    let bytes = dry["plan"]["bytes"].as_u64().expect("a number");
    assert!(bytes >= 4096 && dry["evicted"] == Value::Null, "{dry}");
    let asked = home.without_terminal(["evict", "artifact:model"]);
    assert_eq!((asked.code, asked.last_line()), (6, "runcellar: nothing was evicted: --yes confirms it"));
    assert_eq!(home.json(["du"])["evicted"], json!(0));
    let done = home.json(["evict", "artifact:model", "--yes"]);
    assert_eq!((&done["evicted"], &done["wrong"]), (&json!({"packs": 1, "bytes": bytes}), &json!([])));
    let used = home.json(["du"]);
    assert_eq!(used["evicted"], json!(bytes));
    let checked = home.json(["check", "--read-data"]);
    assert_eq!((&checked["ok"], &checked["problems"][0]["kind"]), (&json!(true), &json!("evicted")));
    let backup = home.json(["backup", "backup"]);
    assert_eq!((&backup["missing"], &backup["evicted"]), (&json!([]), &json!({"files": 1, "bytes": bytes})));
    assert_eq!(home.json(["fetch", "--dry-run"]), json!({"packs": 1, "bytes": bytes, "runs": 0}));
    let removal = home.without_terminal(["remote", "rm", "origin"]);
    assert!(removal.code == 6 && removal.stderr.contains("of content lie there alone"), "{removal:?}");
    // What is verified is what is here; nothing is fetched where the user said so.
    let verified = home.fails(1, ["artifact", "verify", "model"]);
    assert!(verified[0].contains("artifact p/model:v0: its content lies on origin alone"), "{verified:?}");
    let offline = home.command(["artifact", "get", "model", "-o", "no"]).env("RUNCELLAR_OFFLINE", "1").output();
    assert_eq!(offline.expect("runs").status.code(), Some(1));
    home.ok(["remote", "pause", "origin"]);
    assert!(home.fails(1, ["artifact", "get", "model", "-o", "no"])[0].contains("it is paused"));
    enable(&home);
    std::fs::rename(home.path("shared"), home.path("away")).expect("renames");
    let unplugged = home.run(["artifact", "get", "model", "-o", "no"]);
    assert_eq!(unplugged.code, 3, "{unplugged:?}");
    std::fs::rename(home.path("away"), home.path("shared")).expect("renames");
    let told = home.run(["artifact", "get", "model", "-o", "to"]);
    assert!(told.code == 0 && told.stderr.contains("fetching content from origin"), "{told:?}");
    assert!(got(&home, "again"));
    assert_eq!(home.json(["fetch"]), json!({"packs": 0, "bytes": 0, "runs": 0}), "it stayed here");
    home.ok(["artifact", "verify", "model"]);
    // Another way round.
    home.ok(["evict", "project:p", "--remote", "origin", "--yes"]);
    assert_eq!(home.json(["fetch", "artifact:p/model:v0"]), json!({"packs": 1, "bytes": bytes, "runs": 0}));
    assert_eq!(home.json(["check", "--read-data"])["problems"], json!([]));
}

#[test]
fn what_the_remote_lost_or_altered_stays_and_is_named() {
    let home = published();
    assert_eq!(home.fails(2, ["evict", "older:soon"]).len(), 3);
    assert_eq!(home.fails(3, ["evict", "nothing"]).len(), 2);
    home.ok(["sync"]);
    let folder = home.path("shared/packs");
    let below =
        |path: &std::path::Path| std::fs::read_dir(path).expect("lists").next().expect("one").expect("reads").path();
    let pack = below(&below(&folder));
    let mut bytes = std::fs::read(&pack).expect("reads");
    bytes[100] ^= 1;
    std::fs::write(&pack, &bytes).expect("writes");
    let outcome = home.run(["evict", "artifact:model", "--yes"]);
    assert_eq!((outcome.code, outcome.last_line()), (5, "runcellar: origin: 1 pack missing or altered"));
    assert!(outcome.stderr.contains("it is not the pack that is here: it stays here"), "{outcome:?}");
    assert!(got(&home, "to"));
}

#[test]
fn a_clone_without_content_lists_all_and_fetches_what_is_read() {
    let home = published();
    home.ok(["sync"]);
    let other = Home::new();
    let key = home.key_file().display().to_string();
    let with_key =
        |args: &[&str]| [args, &["--key-file", &key]].concat().iter().map(ToString::to_string).collect::<Vec<_>>();
    let cloned = other.json(with_key(&["clone", &home.text("shared"), "w", "--metadata-only"]));
    assert_eq!(cloned["versions"], json!(1));
    assert_eq!(std::fs::read_dir(other.path("w/packs")).expect("lists").count(), 0);
    assert_eq!(other.json(with_key(&["artifact", "ls", "model"]))[0]["name"], json!("model"));
    let rows = vec!["export", "long", "--format", "csv", "-o", "-"];
    assert_eq!(other.json(with_key(&["fetch", "--dry-run"]))["runs"], json!(1));
    let shown = other.json(with_key(&["show", "long"]));
    assert_eq!(shown["metrics"][0]["points"], json!(ROWS), "{shown}");
    // Who said that content stays there until it is read agreed to read it, and to nothing else.
    std::fs::write(other.path("w/OFFLINE"), "").expect("writes");
    for refused in [&["artifact", "get", "model", "-o", "to"][..], &rows] {
        let refused = other.run(with_key(refused));
        assert!(refused.code == 1 && refused.last_line().contains("OFFLINE"), "{refused:?}");
    }
    std::fs::remove_file(other.path("w/OFFLINE")).expect("removes");
    other.fails(6, with_key(&["sync"]));
    other.ok(with_key(&["artifact", "get", "model", "-o", "to"]));
    assert!(std::fs::read(other.path("to/weights.bin")).expect("reads") == vec![7; 100_000]);
    let removal = other.without_terminal(with_key(&["remote", "rm", "origin"]));
    assert!(removal.code == 6 && removal.stderr.contains("the rows of 1 run lie there alone"), "{removal:?}");
    assert_eq!(other.ok(with_key(&rows)), home.ok(&rows));
    assert_eq!(other.json(with_key(&["fetch"]))["runs"], json!(0));
    assert_eq!(other.json(with_key(&["check", "--read-data"]))["ok"], json!(true));
    // It is at another place now: nobody agreed to read from there.
    let moved = Home::new();
    moved.ok(with_key(&["clone", &home.text("shared"), "w", "--metadata-only"]));
    moved.ok(with_key(&["remote", "set", "origin", "--url", &home.text("elsewhere")]));
    let refused = moved.run(with_key(&rows));
    assert!(refused.code == 1 && refused.last_line().contains("it is not enabled"), "{refused:?}");
}
