//! `terms`, `remote set` and what else makes a remote another one than was agreed to.

use std::process::Command;

use serde_json::{Value, json};

use crate::remote::{enable, home, is_empty};
use crate::support::Home;

const OLD: &str = "1. We keep your data.\n2. We look at nothing.\n";
const NEW: &str = "1. We keep your data.\n2. We look at everything.\n";

/// A home whose remote has terms; nothing is agreed to yet.
fn with_terms() -> Home {
    let home = home();
    std::fs::write(home.path("terms.txt"), OLD).expect("writes");
    std::fs::write(home.path("newer.txt"), NEW).expect("writes");
    home.json(["remote", "add", "origin", "shared", "--terms", "terms.txt", "--terms-date", "2026-01-31"]);
    home
}

fn hash_of(text: &[u8]) -> String {
    runcellar_format::seal::checksum(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn asked(home: &Home) -> Value {
    serde_json::from_str(&home.without_terminal(["remote", "enable", "origin", "--json"]).stdout).expect("JSON")
}

#[test]
fn a_consent_pins_the_terms_and_another_document_stops_what_is_sent_until_it_is_agreed_to() {
    let home = with_terms();
    let before = asked(&home);
    assert_eq!((&before["terms"], &before["changes"]), (&json!(hash_of(OLD.as_bytes())), &Value::Null));
    assert!(before["consent_text"].as_str().is_some_and(|text| text.contains(&hash_of(OLD.as_bytes()))), "{before}");
    let shown = home.run(["terms", "show", "origin"]);
    assert_eq!(shown.stdout, OLD);
    assert!(shown.stderr.contains("terms.txt, of 2026-01-31: "), "{shown:?}");
    enable(&home);
    home.ok(["sync"]);
    assert_eq!(home.json(["ledger"])[0]["terms"], json!(hash_of(OLD.as_bytes())));
    // The same bytes, of whatever name, are no change.
    std::fs::copy(home.path("terms.txt"), home.path("copy.txt")).expect("copies");
    assert!(home.ok(["terms", "update", "origin", "copy.txt"]).starts_with("unchanged: origin has these terms since "));
    home.ok(["sync"]);

    let updated = home.run(["terms", "update", "origin", "newer.txt"]);
    let diff = "--- a/terms.txt\n+++ b/newer.txt\n@@ -1,2 +1,2 @@\n 1. We keep your data.\n-2. We look at nothing.\n\
                +2. We look at everything.\n";
    assert_eq!(updated.stdout, diff);
    assert!(updated.stderr.contains("nothing is sent to origin before runcellar remote enable origin"), "{updated:?}");
    let held = home.run(["sync", "--json"]);
    assert_eq!(held.code, 6, "{held:?}");
    assert!(held.stderr.contains("it is not what was agreed to any more"), "{held:?}");
    let status = home.json(["sync", "status"]);
    assert!(status["remotes"][0]["blocked"].as_str().is_some_and(|why| why.contains("agreed to")), "{status}");
    // The hash of before agrees to nothing now; what is shown says what is another.
    let old_hash = before["consent_hash"].as_str().expect("a text");
    assert_eq!(home.run(["remote", "enable", "origin", "--consent", old_hash]).code, 6);
    let changes = asked(&home)["changes"].as_str().expect("a difference").to_owned();
    assert!(
        changes.contains(&format!(
            "-The terms of whoever runs it are the document with the BLAKE3 hash {}",
            hash_of(OLD.as_bytes())
        )),
        "{changes}"
    );
    assert!(changes.contains(&format!("hash {}", hash_of(NEW.as_bytes()))), "{changes}");
    enable(&home);
    home.ok(["tag", "a-run", "later"]);
    home.ok(["sync"]);
    // Both stay, and the ledger says under which each object went.
    let listed = home.json(["terms", "show"]);
    let states: Vec<_> = listed.as_array().expect("a list").iter().map(|one| (&one["name"], &one["present"])).collect();
    assert_eq!(states, [(&json!("terms.txt"), &json!(false)), (&json!("newer.txt"), &json!(true))]);
    let earlier = &hash_of(OLD.as_bytes())[..8];
    assert_eq!(home.ok(["terms", "show", "origin", "--hash", earlier]), OLD);
    let consents = home.json(["ledger", "--consents"]);
    assert_eq!(consents.as_array().map(Vec::len), Some(2), "{consents}");
    assert_eq!(consents[1]["terms"], json!(hash_of(NEW.as_bytes())));
    assert!(consents.as_array().expect("a list").iter().all(|one| one["holds"] == true), "{consents}");
    let ledger = home.json(["ledger"]);
    let last = ledger.as_array().expect("a list").last().expect("an object");
    assert_eq!((&last["terms"], &last["consent"]), (&consents[1]["terms"], &consents[1]["consent"]));
    home.ok(["check", "--read-data"]);
}

#[test]
fn terms_go_with_a_word_and_those_nobody_agreed_to_are_not_kept() {
    let home = with_terms();
    home.ok(["terms", "update", "origin", "newer.txt"]);
    assert_eq!(home.json(["terms", "show"]).as_array().map(Vec::len), Some(1), "nobody agreed to the first");
    enable(&home);
    let gone = home.run(["terms", "update", "origin", "--none"]);
    assert!(gone.stdout.contains("now:    none") && gone.stderr.contains("nothing is sent"), "{gone:?}");
    assert_eq!(home.run(["sync"]).code, 6);
    assert_eq!(home.run(["terms", "show", "origin"]).code, 3);
    // What was agreed to is as good as it was.
    let back = home.run(["terms", "update", "origin", "newer.txt"]);
    assert!(back.stderr.contains("origin is again what was agreed to"), "{back:?}");
    home.ok(["sync"]);
    // The document outlives the remote, and the keys.
    home.ok(["key", "rotate", "--offline"]);
    home.ok(["remote", "rm", "origin", "--yes"]);
    let kept = home.json(["terms", "show"]);
    assert_eq!((&kept[0]["remote"], &kept[0]["present"]), (&json!("origin"), &json!(false)));
    assert_eq!(home.ok(["terms", "show", "origin", "--hash", &hash_of(NEW.as_bytes())[..8]]), NEW);
    assert_eq!(home.json(["ledger", "origin", "--consents"])[0]["terms"], json!(hash_of(NEW.as_bytes())));
    assert_eq!(home.ok(["terms", "show"]).lines().count(), 2);
    home.ok(["check", "--read-data"]);
}

#[test]
fn a_document_of_any_kind_is_kept_byte_by_byte_and_what_is_none_is_refused() {
    let home = home();
    let binary: Vec<u8> = (0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(home.path("terms.pdf"), &binary).expect("writes");
    std::fs::write(home.path("other.pdf"), &binary[1..]).expect("writes");
    home.ok(["remote", "add", "origin", "shared", "--terms", "terms.pdf"]);
    home.ok(["terms", "show", "origin", "-o", &home.text("out.pdf")]);
    assert!(std::fs::read(home.path("out.pdf")).expect("reads") == binary);
    let changed = home.ok(["terms", "update", "origin", "other.pdf"]);
    let [before, now] = changed.lines().collect::<Vec<_>>()[..] else { panic!("{changed}") };
    assert!(before.contains(&hash_of(&binary)) && now.contains(&hash_of(&binary[1..])), "{changed}");
    assert!(before.starts_with("before: terms.pdf, ") && now.starts_with("now:    other.pdf, "), "{changed}");
    let removed = home.json(["terms", "update", "origin", "--none"]);
    assert_eq!((&removed["changed"], &removed["now"], &removed["diff"]), (&json!(true), &Value::Null, &Value::Null));
    assert!(home.ok(["terms", "update", "origin", "--none"]).starts_with("unchanged: origin has no terms"));

    std::fs::write(home.path("empty"), "").expect("writes");
    let huge = std::fs::File::create(home.path("huge")).expect("makes");
    huge.set_len(runcellar::remotes::TERMS_BYTES_MAX as u64 + 1).expect("grows");
    assert!(Command::new("mkfifo").arg(home.path("pipe")).status().expect("runs").success());
    let cases = [
        ("empty", 2, "the document is empty"),
        ("huge", 2, "the document has 8388609 bytes, and may have 8388608"),
        ("pipe", 2, "it is no file"),
        ("shared", 2, "it is no file"),
        ("missing", 3, "missing"),
    ];
    for (file, code, why) in cases {
        let refused = home.fails(code, ["terms", "update", "origin", file]);
        assert!(refused[0].contains(why), "{refused:?}");
        let refused = home.fails(code, ["remote", "add", "other", "shared", "--terms", file]);
        assert!(refused[0].contains(why), "{refused:?}");
    }
    assert_eq!(home.json(["remote", "ls"]).as_array().map(Vec::len), Some(1), "none was added without its terms");
    assert_eq!(home.run(["terms", "update", "nobody", "terms.pdf"]).code, 3);
    assert_eq!(home.run(["terms", "update", "origin"]).code, 2);
    assert_eq!(home.run(["terms", "update", "origin", "terms.pdf", "--none"]).code, 2);
    assert_eq!(home.run(["terms", "update", "origin", "terms.pdf", "--date", "soon"]).code, 2);
    assert_eq!(home.run(["terms", "show", "--hash", "00"]).code, 2);
    assert!(is_empty(&home));
}

#[test]
fn a_remote_that_is_changed_is_asked_about_again_and_what_was_sent_goes_on() {
    let home = home();
    home.ok(["remote", "add", "origin", "shared"]);
    enable(&home);
    home.ok(["sync"]);
    assert_eq!(home.run(["remote", "set", "origin"]).code, 2, "nothing is named");
    assert_eq!(home.run(["remote", "set", "origin", "--classes", "code"]).code, 2, "metrics go with all");
    assert_eq!(home.run(["remote", "set", "nobody", "--all-projects"]).code, 3);
    std::fs::rename(home.path("shared"), home.path("moved")).expect("moves");
    let cases: [(&[&str], &str); 3] = [
        (&["--classes", "metrics,media"], "+  classes: metrics, media"),
        (&["--projects", "p"], "+  projects: p"),
        (&["--url", "moved"], "moved"),
    ];
    for (change, shows) in cases {
        let mut set = vec!["remote", "set", "origin"];
        set.extend(change);
        let changed = home.ok(set);
        assert!(changed.contains(shows) && changed.contains("Nothing is sent before"), "{changed}");
        assert_eq!(home.run(["sync"]).code, if change[0] == "--url" { 6 } else { 3 }, "the folder is not there");
        assert!(asked(&home)["changes"].as_str().is_some_and(|text| text.contains(shows)), "{change:?}");
        enable(&home);
    }
    home.ok(["tag", "a-run", "later"]);
    assert_eq!(home.json(["sync"])[0]["runs"]["sent"], json!(1));
}
