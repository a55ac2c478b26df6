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
    home.fails(2, ["key", "add", "keychain"]);
    home.fails(2, ["key"]);
}
