//! `tag` and `note`: changes from outside a run.

use crate::support::Home;

#[test]
fn tags_and_notes_are_changed_from_outside() {
    let home = Home::with_workspace();
    home.workspace().run("p").id("run1").tags(["old"]).start().expect("starts").finish().expect("finishes");
    assert_eq!(home.ok(["tag", "run1", "best", "two words"]), "run1  old, best, two words\n");
    let tagged = home.json(["tag", "run1", "--remove", "old", "best"]);
    assert_eq!(tagged, serde_json::json!({"id": "run1", "tags": ["best", "two words"]}));
    assert_eq!(home.json(["ls", "--where", "'best' in tags"])[0]["id"], "run1");
    assert_eq!(home.ok(["note", "run1", "diverged\nlate"]), "run1  diverged\u{21b5}late\n");
    assert_eq!(home.json(["show", "run1"])["notes"], "diverged\nlate");
    assert_eq!(home.json(["note", "run1", "-1"])["notes"], "-1");
    assert_eq!(home.json(["note", "run1", ""]), serde_json::json!({"id": "run1", "notes": null}));
    home.fails(2, ["tag", "run1"]);
    assert_eq!(home.fails(2, ["tag", "run1", ""]), ["runcellar: tag \"\": 1 to 128 bytes are expected"]);
    home.fails(2, ["tag", "run1", "two\nlines"]);
    home.fails(3, ["tag", "absent", "x"]);
    home.fails(3, ["note", "absent", "x"]);
}
