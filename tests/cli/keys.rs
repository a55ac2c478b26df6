//! Keys: listing and adding them, and every way of not having the right one.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::support::{BINARY, Home, Outcome, outcome};

/// Runs with a passphrase in the environment and without a terminal to ask on.
fn with_passphrase(home: &Home, passphrase: &str) -> Outcome {
    let mut command = Command::new("setsid");
    command.args(["--wait", BINARY, "ls", "--json"]);
    home.isolate(&mut command);
    outcome(command.env("RUNCELLAR_PASSPHRASE", passphrase))
}

fn with_passphrase_slot() -> Home {
    let home = Home::with_workspace();
    home.workspace().add_passphrase(&"open sesame".to_owned().into(), "cave").expect("adds");
    home
}

#[test]
fn slots_are_listed_with_what_opens_without_the_key_file() {
    let home = with_passphrase_slot();
    let text = home.ok(["key", "ls", "--json"]);
    assert!(text.starts_with("[{\"id\":\"") && text.contains("\",\"kind\":\"key-file\",\"name\":\""), "{text}");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let slots = json.as_array().expect("an array");
    assert_eq!(slots.len(), 2);
    for slot in slots {
        let members: Vec<&String> = slot.as_object().expect("an object").keys().collect();
        assert_eq!(members, ["created", "id", "kind", "name", "opens_without_key_file"]);
        assert_eq!(slot["created"].as_str().map(str::len), Some(27));
    }
    assert_eq!((&slots[0]["kind"], &slots[0]["opens_without_key_file"]), (&"key-file".into(), &false.into()));
    assert_eq!((&slots[1]["kind"], &slots[1]["opens_without_key_file"]), (&"passphrase".into(), &true.into()));
    assert_eq!(slots[1]["name"], "cave");
    assert!(home.ok(["key", "ls"]).contains("passphrase"));
}

#[test]
fn an_added_recovery_code_opens() {
    let home = Home::with_workspace();
    let added = home.json(["key", "add", "recovery", "--name", "safe", "--recovery-out", "code.txt"]);
    assert_eq!((&added["kind"], &added["name"]), (&"recovery".into(), &"safe".into()));
    let code = added["recovery_code"].as_str().expect("text");
    let path = home.path("code.txt");
    assert_eq!(std::fs::read_to_string(&path).expect("reads"), format!("{code}\n"));
    assert_eq!(std::fs::metadata(&path).expect("is there").permissions().mode() & 0o777, 0o600);
    home.fails(1, ["key", "add", "recovery", "--recovery-out", "code.txt"]);
    assert_eq!(home.json(["key", "ls"]).as_array().map(Vec::len), Some(2), "a refused file adds no slot");
    let lines = home.fails(2, ["key", "add", "recovery"]);
    assert_eq!(lines, ["runcellar: no terminal to show a recovery code on: name a new file by --recovery-out FILE"]);
    home.lose_key_file();
    assert_eq!(with_passphrase(&home, code).code, 0);
}

#[test]
fn a_passphrase_in_the_environment_opens_and_warns() {
    let home = with_passphrase_slot();
    // With the key file at hand it is not needed, and nothing is said.
    let unneeded = with_passphrase(&home, "open sesame");
    assert_eq!((unneeded.code, unneeded.stderr.as_str()), (0, ""));
    home.lose_key_file();
    let outcome = with_passphrase(&home, "open sesame");
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, "[]\n"), "{outcome:?}");
    assert_eq!(
        outcome.stderr,
        "runcellar: warning: passphrase taken from RUNCELLAR_PASSPHRASE, which other programs of this user can read\n"
    );
}

#[test]
fn the_last_line_says_what_is_wrong_with_the_key() {
    let home = with_passphrase_slot();
    let moved = home.lose_key_file();
    let wrong = with_passphrase(&home, "open barley");
    assert_eq!((wrong.code, wrong.last_line()), (4, "runcellar: wrong passphrase"), "{wrong:?}");
    let needed = home.without_terminal(["ls"]);
    assert_eq!((needed.code, needed.last_line()), (4, "runcellar: passphrase needed (no terminal)"), "{needed:?}");
    home.ok(["ls", "--key-file", moved.to_str().expect("UTF-8")]);

    let plain = Home::with_workspace();
    let absent = plain.without_terminal(["ls", "--key-file", "absent.key"]);
    let expected = format!("runcellar: key file not found: {}", plain.text("absent.key"));
    assert_eq!((absent.code, absent.last_line()), (4, expected.as_str()), "{absent:?}");
    let key_file = plain.key_file();
    plain.lose_key_file();
    let lost = plain.without_terminal(["ls", "--json"]);
    let expected = format!("runcellar: key file not found: {}", key_file.display());
    assert_eq!((lost.code, lost.last_line(), lost.stdout.as_str()), (4, expected.as_str(), ""));
}

#[test]
fn the_key_of_another_workspace_is_told_from_damage() {
    let home = Home::with_workspace();
    let other = Home::with_workspace();
    let key_file = other.key_file();
    let lines = home.fails(4, ["ls", "--key-file", key_file.to_str().expect("UTF-8")]);
    assert!(lines[0].contains("wrong key file: it has no key for workspace "), "{lines:?}");
    // A key file that others can read is as good as public.
    std::fs::set_permissions(home.key_file(), std::fs::Permissions::from_mode(0o644)).expect("chmod");
    let lines = home.fails(4, ["ls"]);
    assert!(lines[0].contains("others can read it (mode 644): chmod 600 "), "{lines:?}");
}

#[test]
fn a_damaged_slot_or_key_file_is_damage_and_no_wrong_key() {
    let home = with_passphrase_slot();
    let path = home.workspace_path().join("keyslots");
    let whole = std::fs::read(&path).expect("reads");
    for place in [whole.len() / 3, whole.len() / 2, whole.len() - 70, whole.len() - 1] {
        home.edit("keyslots", |bytes| bytes[place] ^= 1);
        let outcome = home.without_terminal(["ls"]);
        assert_eq!(outcome.code, 5, "byte {place}: {outcome:?}");
        assert!(outcome.stderr.contains("keyslots") || outcome.stderr.contains("slot"), "byte {place}: {outcome:?}");
        std::fs::write(&path, &whole).expect("writes");
    }
    let key_file = home.key_file();
    let mut bytes = std::fs::read(&key_file).expect("reads");
    bytes[70] ^= 1;
    std::fs::write(&key_file, bytes).expect("writes");
    let outcome = home.without_terminal(["ls"]);
    assert_eq!(outcome.code, 5, "{outcome:?}");
    assert!(outcome.stderr.contains("key file"), "{outcome:?}");
}

#[test]
fn a_new_passphrase_needs_a_terminal() {
    let home = Home::with_workspace();
    let mut command = Command::new("setsid");
    command.args(["--wait", BINARY, "key", "add", "passphrase"]);
    home.isolate(&mut command);
    // The variable opens a workspace; it never sets a passphrase.
    let refused = outcome(command.env("RUNCELLAR_PASSPHRASE", "silent"));
    assert_eq!((refused.code, refused.last_line()), (4, "runcellar: passphrase needed (no terminal)"), "{refused:?}");
    assert_eq!(home.json(["key", "ls"]).as_array().map(Vec::len), Some(1));
    home.fails(2, ["key", "add", "passphrase", "--recovery-out", "code.txt"]);
    home.fails(2, ["key", "add", "key-file", "--recovery-out", "code.txt"]);
    home.fails(2, ["key", "add", "recovery", "-o", "a.key"]);
    home.fails(2, ["key", "add", "device"]);
    // Without the feature it says so; with it, nobody is logged in here.
    let lines = home.fails(if cfg!(feature = "keychain") { 4 } else { 2 }, ["key", "add", "keychain"]);
    assert!(lines[0].contains("keychain: "), "{lines:?}");
    home.fails(2, ["key"]);
}

#[test]
fn removing_a_key_shows_its_plan_and_needs_a_yes_off_a_terminal() {
    let home = with_passphrase_slot();
    let lines = home.fails(6, ["key", "rm", "cave"]);
    assert!(
        lines[0].starts_with("runcellar: note: to remove: ") && lines[0].ends_with("cave (passphrase)"),
        "{lines:?}"
    );
    assert_eq!(lines.last().map(String::as_str), Some("runcellar: no key was removed: --yes confirms it"));
    let slots = home.json(["key", "ls"]);
    let id = slots[1]["id"].as_str().expect("text").to_owned();
    let removed = home.json(["key", "rm", &id[..6], "--yes"]);
    assert_eq!((&removed["removed"][0], &removed["epoch"]), (&id.as_str().into(), &2.into()));
    assert_eq!(removed["slots"].as_array().map(Vec::len), Some(1));
    home.fails(3, ["key", "rm", "cave", "--yes"]);
    let own = slots[0]["id"].as_str().expect("text");
    let lines = home.fails(1, ["key", "rm", own, "--yes"]);
    assert!(lines.iter().any(|line| line.contains("this is the last key")), "{lines:?}");
    home.lose_key_file();
    assert_eq!(with_passphrase(&home, "open sesame").code, 4);
}

#[test]
fn replaced_keys_make_old_copies_of_the_key_file_useless() {
    let home = Home::with_workspace();
    home.ok(["key", "export", "copy.key"]);
    home.ok(["key", "export", "paper.txt", "--printable"]);
    for file in ["copy.key", "paper.txt"] {
        assert_eq!(std::fs::metadata(home.path(file)).expect("is there").permissions().mode() & 0o777, 0o600);
        home.ok(["ls", "--key-file", file]);
        home.fails(1, ["key", "export", file]);
    }
    let text = std::fs::read_to_string(home.path("paper.txt")).expect("text");
    assert!(text.starts_with("runcellar key file\n"), "{text}");
    let replaced = home.json(["key", "rotate"]);
    assert_eq!((&replaced["epoch"], &replaced["removed"]), (&2.into(), &serde_json::json!([])));
    assert!(home.ok(["key", "rotate"]).contains("replaced the root key (epoch 3); one key opens the workspace"));
    for file in ["copy.key", "paper.txt"] {
        let lines = home.fails(4, ["ls", "--key-file", file]);
        assert!(lines[0].contains("wrong key: it does not open slot "), "{lines:?}");
    }
    home.ok(["ls"]);
}

#[test]
fn further_key_files_open_and_recovery_codes_take_each_others_place() {
    let home = Home::with_workspace();
    let added = home.json(["key", "add", "key-file", "-o", "stick.key", "--name", "stick"]);
    assert_eq!((&added["kind"], &added["key_file"]), (&"key-file".into(), &"stick.key".into()));
    home.json(["key", "add", "device", "-o", "other.key"]);
    let first = home.json(["key", "recovery", "--recovery-out", "one.txt"]);
    let second = home.json(["key", "recovery", "--recovery-out", "two.txt"]);
    assert_eq!(second["removed"], serde_json::json!([first["id"]]));
    home.lose_key_file();
    for file in ["stick.key", "other.key"] {
        home.ok(["ls", "--key-file", file]);
    }
    assert_eq!(with_passphrase(&home, first["recovery_code"].as_str().expect("text")).code, 4);
    assert_eq!(with_passphrase(&home, second["recovery_code"].as_str().expect("text")).code, 0);
    // Lost for good, the key file is replaced by a new one in its place.
    let code = second["recovery_code"].as_str().expect("text");
    let mut command = home.command(["key", "add", "key-file"]);
    assert_eq!(outcome(command.env("RUNCELLAR_PASSPHRASE", code)).code, 0);
    home.ok(["ls"]);
}

#[test]
fn a_key_comes_through_a_descriptor_and_cannot_be_replaced_there() {
    let home = Home::with_workspace();
    let key_file = home.lose_key_file();
    let by_descriptor = |verb: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec {BINARY} {verb} 3<'{}'", key_file.display())]);
        home.isolate(&mut command);
        outcome(command.env("RUNCELLAR_KEY_FD", "3"))
    };
    let listed = by_descriptor("ls --json");
    assert_eq!((listed.code, listed.stdout.as_str()), (0, "[]\n"), "{listed:?}");
    let refused = by_descriptor("key rotate");
    assert!(refused.code == 1 && refused.stderr.contains("came through a descriptor"), "{refused:?}");
}

#[test]
fn a_key_file_in_a_bad_place_is_warned_about() {
    let home = Home::with_workspace();
    let key_file = home.lose_key_file();
    std::fs::create_dir_all(home.path("Dropbox")).expect("creates");
    for (place, expected) in [("Dropbox/run.key", "it lies in Dropbox"), ("w/run.key", "it lies inside the workspace")]
    {
        std::fs::copy(&key_file, home.path(place)).expect("copies");
        let outcome = home.without_terminal(["ls", "--key-file", place]);
        assert!(outcome.code == 0 && outcome.stderr.contains(expected), "{outcome:?}");
        let doctor = home.without_terminal(["doctor", "--key-file", place]);
        assert!(doctor.stdout.contains(expected), "{doctor:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_command_makes_no_core_dump() {
    use std::io::Read as _;
    let home = Home::with_workspace();
    let run = home.workspace().run("p").id("live").start().expect("starts");
    run.log([("x", 1.0)]).expect("logs");
    run.flush().expect("flushes");
    // A command that waits, so that it can be looked at.
    let mut command = home.command(["watch", "live"]);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().expect("starts");
    let mut first = [0; 1];
    child.stdout.as_mut().expect("piped").read_exact(&mut first).expect("it has begun");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).expect("reads");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("listed");
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    child.kill().expect("ends");
    child.wait().expect("ends");
}
