//! `artifact` and `gc`: content in versions, from put to rm.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{Home, log_all};

/// A home with a folder `data` of three files.
fn home() -> Home {
    let home = Home::with_workspace();
    fs::create_dir_all(home.path("data/sub")).expect("creates");
    fs::write(home.path("data/a.txt"), "one").expect("writes");
    fs::write(home.path("data/b.bin"), vec![7; 100_000]).expect("writes");
    fs::write(home.path("data/sub/c.txt"), "three").expect("writes");
    home
}

/// The only pack of the workspace.
fn pack(home: &Home) -> PathBuf {
    let mut packs = Vec::new();
    for directory in fs::read_dir(home.workspace_path().join("packs")).expect("lists") {
        packs.extend(
            fs::read_dir(directory.expect("reads").path()).expect("lists").map(|pack| pack.expect("reads").path()),
        );
    }
    assert_eq!(packs.len(), 1);
    packs.remove(0)
}

fn names(json: &Value) -> Vec<String> {
    let name = |one: &Value| format!("{}/{}:{}", one["project"], one["name"], one["version"]).replace('"', "");
    json.as_array().expect("an array").iter().map(name).collect()
}

#[test]
fn what_is_put_comes_out_and_is_named_by_number_and_alias() {
    let home = home();
    assert_eq!(
        home.ok(["artifact", "put", "data", "data", "--type", "dataset", "--alias", "best"]),
        "default/data:v0\n"
    );
    let again = home.json(["artifact", "put", "data", "data", "--type", "dataset"]);
    assert_eq!((&again["version"], &again["new"], &again["new_bytes"]), (&json!("v0"), &json!(false), &json!(0)));
    fs::write(home.path("data/a.txt"), "another").expect("writes");
    let put = home.json(["artifact", "put", "data", "data", "--meta", "acc=0.5", "--meta", "note=good"]);
    assert_eq!(put["metadata"], json!({"acc": 0.5, "note": "good"}));
    assert_eq!((&put["name"], &put["project"], &put["version"]), (&json!("data"), &json!("default"), &json!("v1")));
    assert_eq!((&put["files"], &put["size"], &put["new"]), (&json!(3), &json!(100_012), &json!(true)));

    assert_eq!(home.ok(["artifact", "get", "data:best"]), "data\n");
    assert_eq!(fs::read(home.path("data/a.txt")).expect("reads"), b"one");
    let got = home.json(["artifact", "get", "default/data", "-o", "out", "--path", "sub"]);
    assert_eq!((&got["version"], &got["files"], &got["written"]), (&json!("v1"), &json!(1), &json!(5)));
    assert!(home.path("out/sub/c.txt").exists() && !home.path("out/a.txt").exists());
    assert_eq!(home.json(["artifact", "get", "data", "-o", "out", "--path", "sub"])["written"], 0);
    let left: Vec<_> = fs::read_dir(home.path("out")).expect("lists").collect();
    assert_eq!(left.len(), 1, "nothing but what was asked for: {left:?}");

    assert_eq!(names(&home.json(["artifact", "ls"])), ["default/data:v0", "default/data:v1"]);
    let files = home.json(["artifact", "ls", "data", "--files"]);
    assert_eq!(
        files[2],
        json!({
            "path": "sub/c.txt", "kind": "file", "size": 5, "executable": false, "target": null, "uri": null, "digest": null
        })
    );
    assert_eq!(
        home.json(["artifact", "verify", "data:v0"]),
        json!({
            "name": "data", "project": "default", "version": "v0", "ok": true, "files": 3, "size": 100_008, "hurt": []
        })
    );
    let diff = home.json(["artifact", "diff", "data:v0", "data:v1"]);
    assert_eq!(diff["changed"], json!([{"path": "a.txt", "kind": "file", "old_size": 3, "new_size": 7}]));
    assert_eq!((&diff["added"], &diff["removed"], &diff["unchanged"]), (&json!([]), &json!([]), &json!(2)));
    assert_eq!(
        home.ok(["artifact", "diff", "data:v0", "data:v1"]),
        "~  a.txt  3 B -> 7 B\n0 added, 0 removed, 1 changed, 2 alike\n"
    );
}

#[test]
fn put_makes_the_workspace_and_other_verbs_do_not() {
    let home = Home::new();
    fs::write(home.path("x"), "x").expect("writes");
    home.fails(3, ["artifact", "ls"]);
    let outcome = home.run(["artifact", "put", "p/x", "x"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, "p/x:v0\n"), "{outcome:?}");
    assert!(outcome.stderr.contains("created workspace"), "{outcome:?}");
}

#[test]
fn names_that_are_none_or_several_are_refused() {
    let home = home();
    for (code, arguments) in [
        (2, vec!["artifact", "put", "a/b/c", "data"]),
        (2, vec!["artifact", "put", "..", "data"]),
        (2, vec!["artifact", "put", "a:v1", "data"]),
        (2, vec!["artifact", "put", &"x".repeat(300), "data"]),
        (2, vec!["artifact", "put", "a", "data", "--alias", "v3"]),
        (2, vec!["artifact", "put", "a", "data", "--alias", "latest"]),
        (2, vec!["artifact", "put", "a", "data", "--meta", "nothing"]),
        (2, vec!["artifact", "put", "p/a", "data", "--project", "q"]),
        (3, vec!["artifact", "put", "a", "absent"]),
        (3, vec!["artifact", "put", "a", "data", "--run", "absent"]),
        (3, vec!["artifact", "get", "a"]),
        (2, vec!["artifact", "get", "a:"]),
        (2, vec!["artifact", "rm", "a"]),
    ] {
        home.fails(code, &arguments);
    }
    assert_eq!(home.json(["artifact", "ls"]), json!([]), "nothing was put");
    home.ok(["artifact", "put", "one/data", "data"]);
    home.ok(["artifact", "put", "two/data", "data"]);
    let lines = home.fails(2, ["artifact", "get", "data"]);
    assert!(lines[0].contains("one/data or two/data"), "{lines:?}");
    home.fails(3, ["artifact", "get", "one/data:v9"]);
    home.fails(3, ["artifact", "get", "one/data", "--path", "absent*"]);
    assert!(!home.path("data/absent").exists());
}

#[test]
fn a_damaged_pack_hurts_what_lies_there_and_nothing_else() {
    let home = Home::with_workspace();
    fs::create_dir(home.path("data")).expect("creates");
    // Each longer than the longest chunk, and none like another: the pack begins with chunks of the first file.
    for (seed, name) in (1..).zip(["a", "b", "c"]) {
        fs::write(home.path("data").join(name), noise(seed, 700_000)).expect("writes");
    }
    home.ok(["artifact", "put", "data", "data"]);
    let pack = pack(&home);
    let mut bytes = fs::read(&pack).expect("reads");
    bytes[5_000] ^= 1;
    fs::write(&pack, bytes).expect("writes");
    let outcome = home.run(["artifact", "verify", "data", "--json"]);
    assert_eq!(outcome.code, 5, "{outcome:?}");
    let report: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(
        (&report["ok"], &report["hurt"][0]["path"], &report["hurt"][1]),
        (&json!(false), &json!("a"), &Value::Null)
    );
    let outcome = home.run(["artifact", "get", "data", "-o", "out"]);
    assert_eq!(outcome.code, 5, "{outcome:?}");
    assert!(outcome.stderr.contains("warning: a: chunk"), "{outcome:?}");
    let there: Vec<bool> = ["a", "b", "c"].iter().map(|name| home.path("out").join(name).exists()).collect();
    assert_eq!(there, [false, true, true]);
    assert_eq!(fs::read(home.path("out/c")).expect("reads"), fs::read(home.path("data/c")).expect("reads"));
}

#[test]
fn rm_says_what_goes_and_asks_first() {
    let home = home();
    home.ok(["artifact", "put", "data", "data", "--alias", "best"]);
    fs::write(home.path("data/b.bin"), vec![9; 300_000]).expect("writes");
    home.ok(["artifact", "put", "data", "data"]);
    let outcome = home.without_terminal(["artifact", "rm", "data:v1"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (6, ""), "{outcome:?}");
    assert!(outcome.stderr.contains("to remove: default/data:v1  293 KiB, 3 files"), "{outcome:?}");
    assert_eq!(home.json(["artifact", "rm", "data:v1", "--yes"])["removed"][0]["version"], "v1");
    let outcome = home.run(["artifact", "rm", "data:best", "--yes"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""), "{outcome:?}");
    assert!(outcome.stderr.contains("is kept by alias best"), "{outcome:?}");
    home.ok(["artifact", "rm", "data", "--all", "--aliases", "--yes"]);
    assert_eq!(home.json(["artifact", "ls"]), json!([]));
    let freed = home.json(["gc", "--now"]);
    assert_eq!((&freed["bytes"], &freed["packs"]), (&json!(0), &json!(0)), "packs go with their last chunk: {freed}");
    assert_eq!(home.json(["gc", "--now"])["bytes"], 0);
    assert_eq!(home.json(["check", "--read-data"])["ok"], true);
    assert_eq!(home.ok(["artifact", "put", "data", "data"]), "default/data:v2\n", "numbers go on");
}

#[test]
fn links_and_aliases_come_after_the_put() {
    let home = home();
    home.ok(["artifact", "put", "data", "data"]);
    assert_eq!(home.ok(["artifact", "tag", "data", "good", "best"]), "default/data:v0  latest, best, good\n");
    assert_eq!(home.json(["artifact", "tag", "data", "--remove", "good"])["aliases"], json!(["latest", "best"]));
    home.fails(3, ["artifact", "tag", "data", "--remove", "good"]);
    let link = home.ok(["artifact", "link", "data:best", "registry/chosen", "--alias", "production"]);
    assert_eq!(link, "registry/chosen:v0  latest, production  -> default/data:v0\n");
    home.ok(["artifact", "get", "chosen:production", "-o", "out"]);
    assert_eq!(fs::read(home.path("out/a.txt")).expect("reads"), b"one");
    let history = home.json(["artifact", "show", "data"])["alias_history"].clone();
    let told: Vec<_> =
        history.as_array().expect("an array").iter().map(|one| (&one["alias"], &one["version"])).collect();
    assert_eq!(told, [(&json!("good"), &json!("v0")), (&json!("best"), &json!("v0")), (&json!("good"), &Value::Null)]);
}

#[test]
fn runs_and_what_they_made_and_used_show_each_other() {
    let home = home();
    let workspace = home.workspace();
    let run = workspace.run("default").id("train1").name("trains").start().expect("starts");
    log_all(&run, "loss", &[1.0]);
    run.finish().expect("finishes");
    home.ok(["artifact", "put", "data", "data"]);
    let (run, data) = (workspace.find_run("train1").expect("finds"), workspace.artifact("data").expect("finds"));
    workspace.use_version(&data, &run).expect("uses");
    home.ok(["artifact", "put", "model", "data/b.bin", "--run", "trains"]);
    let shown = home.json(["show", "train1"])["artifacts"].clone();
    let expected = json!({
        "made": [{"name": "model", "project": "default", "version": "v0"}],
        "used": [{"name": "data", "project": "default", "version": "v0"}]
    });
    assert_eq!(shown, expected);
    let page = home.ok(["show", "train1"]);
    assert!(page.contains("made      default/model:v0\nused      default/data:v0\n"), "{page}");
    let model = home.json(["artifact", "show", "model"]);
    assert_eq!(model["made_by"], json!([{"id": "train1", "name": "trains", "project": "default"}]));
    let lineage = &model["lineage"];
    assert_eq!(lineage["nodes"].as_array().map(Vec::len), Some(3));
    let kinds: Vec<_> = lineage["edges"].as_array().expect("an array").iter().map(|edge| &edge["kind"]).collect();
    assert_eq!(kinds.len(), 2);
    let dot = home.ok(["artifact", "show", "model", "--dot"]);
    assert!(
        dot.starts_with("digraph lineage {\n") && dot.contains("[label=used]") && dot.contains("[label=made]"),
        "{dot}"
    );
}

#[test]
fn links_are_kept_or_followed_and_what_is_no_file_is_left_out() {
    let home = home();
    symlink("a.txt", home.path("data/link")).expect("links");
    symlink("nowhere", home.path("data/dangling")).expect("links");
    let _socket = std::os::unix::net::UnixListener::bind(home.path("data/socket")).expect("binds");
    let outcome = home.run(["artifact", "put", "kept", "data"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, "default/kept:v0\n"));
    assert!(outcome.stderr.contains("data/socket: a socket, FIFO or device, and left out"), "{outcome:?}");
    let lines = home.fails(2, ["artifact", "put", "null", "/dev/null"]);
    assert_eq!(lines, ["runcellar: /dev/null: a socket, FIFO or device, where a file is expected"]);
    home.ok(["artifact", "get", "kept", "-o", "out"]);
    assert_eq!(fs::read_link(home.path("out/dangling")).expect("reads"), PathBuf::from("nowhere"));
    let lines = home.fails(3, ["artifact", "put", "followed", "data", "--follow-links"]);
    assert!(lines[0].contains("dangling"), "{lines:?}");
    fs::remove_file(home.path("data/dangling")).expect("removes");
    home.ok(["artifact", "put", "followed", "data", "--follow-links"]);
    let files = home.json(["artifact", "ls", "followed", "--files", "--path", "link"]);
    assert_eq!((&files[0]["kind"], &files[0]["size"]), (&json!("file"), &json!(3)));
}

/// Bytes that nothing makes smaller, and no two alike.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// A folder with a small file and a large one, which takes a while to come out.
fn large() -> Home {
    let home = Home::with_workspace();
    fs::create_dir(home.path("data")).expect("creates");
    fs::write(home.path("data/a"), noise(1, 100_000)).expect("writes");
    fs::write(home.path("data/b"), vec![7; LARGE_BYTES]).expect("writes");
    home.ok(["artifact", "put", "data", "data"]);
    home
}

const LARGE_BYTES: usize = 64 << 20;

fn signal(name: &str, process: u32) {
    let sent = Command::new("kill").args([name, &process.to_string()]).status().expect("kill runs");
    assert!(sent.success());
}

/// Stops a call in the middle, as `is_in_the_middle` sees it, interrupts it there, and returns the exit code. A call that was
/// too fast is made again after `undo`.
fn interrupted(home: &Home, args: &[&str], is_in_the_middle: impl Fn(u32) -> bool, undo: impl Fn()) -> i32 {
    let is_stopped = |process: u32| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("not waited for");
        // `t` where a tracer is told of the stop.
        stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with(['T', 't', 'Z']))
    };
    loop {
        let mut child = home.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
        let process = child.id();
        let ended = loop {
            if let Some(status) = child.try_wait().expect("waits") {
                break status;
            }
            if !is_in_the_middle(process) {
                std::thread::yield_now();
                continue;
            }
            signal("-STOP", process);
            while !is_stopped(process) {
                std::thread::yield_now();
            }
            if is_in_the_middle(process) {
                signal("-INT", process);
            }
            signal("-CONT", process);
        };
        match ended.code() {
            Some(0) => undo(),
            code => return code.expect("ended by itself"),
        }
    }
}

#[test]
fn an_interrupted_get_leaves_whole_files_alone_and_goes_on_from_there() {
    let home = large();
    let out = home.path("out");
    // A file on its way that has content, and no more than half of it, while the one before it is whole.
    let is_in_the_middle = |_| {
        let folders = fs::read_dir(&out).into_iter().flatten().flatten();
        let files = folders.flat_map(|folder| fs::read_dir(folder.path()).into_iter().flatten().flatten());
        let bytes = files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).max().unwrap_or(0);
        out.join("a").exists() && (1..LARGE_BYTES as u64 / 2).contains(&bytes)
    };
    let undo = || fs::remove_dir_all(&out).expect("removes");
    assert_eq!(interrupted(&home, &["artifact", "get", "data", "-o", "out"], is_in_the_middle, undo), 130);
    let left: Vec<_> = fs::read_dir(&out).expect("lists").map(|one| one.expect("reads").file_name()).collect();
    assert_eq!(left, ["a"], "nothing that is not whole");
    let got = home.json(["artifact", "get", "data", "-o", "out"]);
    assert_eq!((&got["files"], &got["written"]), (&json!(2), &json!(LARGE_BYTES)));
    for name in ["a", "b"] {
        assert!(fs::read(out.join(name)).expect("reads") == fs::read(home.path("data").join(name)).expect("reads"));
    }
}

#[test]
fn an_interrupted_verify_says_so_and_changes_nothing() {
    let home = large();
    let is_at_work = |process: u32| {
        let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
        let mut names = threads.map(|thread| fs::read_to_string(thread.path().join("comm")).unwrap_or_default());
        names.any(|name| name.trim_end() == "runcellar-get")
    };
    assert_eq!(interrupted(&home, &["artifact", "verify", "data"], is_at_work, || {}), 130);
    assert!(home.ok(["artifact", "verify", "data"]).contains("whole: 2 files"));
    assert!(!home.workspace_path().join("suspects").exists());
}

#[test]
fn a_workspace_that_stands_among_the_files_is_left_out() {
    let home = home();
    let outcome = home.run(["artifact", "put", "all", "."]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(outcome.stderr.contains("./w: a workspace, and left out"), "{outcome:?}");
    let files = home.json(["artifact", "ls", "all", "--files"]);
    let paths: Vec<&str> = files.as_array().expect("a list").iter().filter_map(|one| one["path"].as_str()).collect();
    assert!(paths.contains(&"data/a.txt") && !paths.iter().any(|path| path.starts_with("w/")), "{paths:?}");
}
