//! `backup` and `restore-from`: what they say, and with which exit code.

use crate::support::Home;

fn home() -> Home {
    let home = Home::with_workspace();
    let run = home.workspace().run("p").id("a-run").start().expect("starts");
    run.log([("n", 1_i64)]).expect("logs");
    run.finish().expect("finishes");
    home
}

#[test]
fn a_backup_says_what_it_copied_and_that_the_key_is_not_in_it() {
    let home = home();
    let outcome = home.run(["backup", "copy", "--verify"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(outcome.stdout.contains("backup     copy\n") && outcome.stdout.contains("verified   ok\n"), "{outcome:?}");
    assert!(outcome.stderr.contains("note: the key file is not in the backup"), "{outcome:?}");
    assert!(outcome.stderr.contains("on the same disk as the workspace"), "{outcome:?}");
    let again = home.json(["backup", "copy"]);
    assert_eq!((&again["copied"]["files"], &again["copied"]["bytes"]), (&0.into(), &0.into()));
    assert!(again["verified"].is_null() && again["key_file"].as_str().is_some_and(|file| file.ends_with(".key")));
    // It is looked at like a workspace, and only read.
    assert!(home.ok(["ls", "--workspace", "copy"]).contains("a-run"));
    assert!(home.ok(["check", "--read-data", "--workspace", "copy"]).starts_with("ok"));
    let refused = home.fails(8, ["note", "a-run", "text", "--workspace", "copy"]);
    let why = "it is a backup, which is only read; restore-from makes a workspace of it";
    assert_eq!(refused, [format!("runcellar: {}: {why}", home.text("copy"))]);
}

#[test]
fn what_is_no_backup_is_refused_by_both() {
    let home = home();
    std::fs::create_dir(home.path("full")).expect("makes");
    std::fs::write(home.path("full/file"), "x").expect("writes");
    let refused = home.fails(1, ["backup", "full"]);
    assert_eq!(refused, ["runcellar: full: the folder is not empty, and no backup of this workspace"]);
    assert_eq!(home.fails(1, ["backup", "w"]), ["runcellar: w: a workspace is there"]);
    assert_eq!(home.fails(3, ["restore-from", "full", "new"]), ["runcellar: no backup at full"]);
    home.ok(["backup", "copy"]);
    let occupied = home.fails(1, ["restore-from", "copy", "full"]);
    let why = "the folder is not empty, and no backup of this workspace";
    assert_eq!(occupied, [format!("runcellar: {}: {why}", home.text("full"))]);
    assert_eq!(
        home.fails(1, ["restore-from", "copy"]),
        [format!("runcellar: {}: a workspace is there", home.text("w"))]
    );
    assert_eq!(home.run(["backup"]).code, 2);
}

#[test]
fn a_backup_inside_the_workspace_is_warned_of() {
    let home = home();
    let outcome = home.run(["backup", "w/copy"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(outcome.stderr.contains("warning: backup w/copy: it lies inside the workspace, and goes with it"));
}

#[test]
fn a_restored_workspace_has_what_the_backup_has_and_damage_is_exit_5() {
    let home = home();
    home.ok(["backup", "copy"]);
    let restored = home.json(["restore-from", "copy", "new"]);
    assert_eq!((&restored["ok"], &restored["workspace"]), (&true.into(), &home.text("new").into()));
    assert_eq!(home.json(["ls", "--workspace", "new"]), home.json(["ls"]));

    std::fs::write(home.path("file"), vec![7; 300_000]).expect("writes");
    home.ok(["artifact", "put", "data", "file", "--project", "p"]);
    home.ok(["backup", "copy"]);
    let packs = std::fs::read_dir(home.path("copy/packs")).expect("lists").next().expect("a folder").expect("reads");
    let pack = std::fs::read_dir(packs.path()).expect("lists").next().expect("a pack").expect("reads").path();
    let mut bytes = std::fs::read(&pack).expect("reads");
    bytes[1000] ^= 1;
    std::fs::write(&pack, bytes).expect("writes");
    let outcome = home.run(["restore-from", "copy", "hurt"]);
    assert_eq!(outcome.code, 5, "{outcome:?}");
    assert!(outcome.stderr.contains("warning: ") && outcome.stdout.contains("damaged"), "{outcome:?}");
    assert!(home.ok(["ls", "--workspace", "hurt"]).contains("a-run"), "what is whole is there");
    assert_eq!(home.run(["backup", "copy", "--verify"]).code, 5, "nor is damage in the backup passed over");
}

#[test]
fn another_workspace_comes_in_once_and_damage_in_it_is_exit_5() {
    let (home, other) = (home(), home());
    let workspace = other.workspace();
    let run = workspace.run("q").id("other-run").start().expect("starts");
    run.log([("n", 2_i64)]).expect("logs");
    run.finish().expect("finishes");
    std::fs::write(other.path("file"), vec![7; 300_000]).expect("writes");
    other.ok(["artifact", "put", "data", "file", "--project", "q"]);
    let keys = std::fs::read_dir(other.path(".config/runcellar/keys")).expect("lists");
    let key =
        keys.map(|entry| entry.expect("reads").path()).find(|path| path.extension().is_some_and(|end| end == "key"));
    let (from, key) = (other.text("w"), key.expect("a key file").display().to_string());
    assert_eq!(home.run(["merge", &from]).code, 4, "its key is not at hand");
    let merge = |more: &[&str]| home.run([&["merge", &from, "--other-key-file", &key], more].concat());
    let looked = merge(&["--dry-run"]);
    assert!(looked.stdout.starts_with("nothing was changed") && looked.stdout.contains("2 new"), "{looked:?}");
    let outcome = merge(&[]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(outcome.stdout, "runs       2 new, 0 updated, 0 unchanged\nartifacts  1 new versions and links\n");
    // Both homes have a run of that id.
    assert!(outcome.stderr.contains("note: run a-run: that id is taken here; it came in as a-run."), "{outcome:?}");
    assert!(home.ok(["ls"]).contains("other-run"));
    assert_eq!(merge(&[]).stdout, "runs       0 new, 0 updated, 2 unchanged\nartifacts  0 new versions and links\n");
    assert_eq!(home.run(["merge", "w"]).code, 2, "itself");
    assert_eq!(merge(&["--project", "nothing"]).code, 3);

    let packs = std::fs::read_dir(other.path("w/packs")).expect("lists").next().expect("a folder").expect("reads");
    let pack = std::fs::read_dir(packs.path()).expect("lists").next().expect("a pack").expect("reads").path();
    std::fs::remove_file(pack).expect("removes");
    let fresh = Home::with_workspace();
    let hurt = fresh.run(["merge", &from, "--other-key-file", &key]);
    assert_eq!(hurt.code, 5, "{hurt:?}");
    assert!(hurt.stderr.contains("warning: artifact q/data:v0: left out"), "{hurt:?}");
    assert!(fresh.ok(["ls"]).contains("other-run"), "the rest came in");
}
