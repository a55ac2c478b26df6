//! The code that is kept with a run: shown, compared, and written into a directory.

use runcellar::{CodeFolder, SaveCode};

use crate::support::Home;

fn with_code() -> Home {
    let home = Home::with_workspace();
    let workspace = home.workspace();
    std::fs::create_dir(home.path("src")).expect("creates");
    for (id, text) in [("run1", "a = 1\nb = 2\n"), ("run2", "a = 1\nb = 3\n\x1b[31m\n")] {
        std::fs::write(home.path("src/train.py"), text).expect("writes");
        let run = workspace.run("p").id(id).name(format!("of-{id}")).save_code(SaveCode::Path(home.path("src")));
        run.start().expect("starts").finish().expect("finishes");
    }
    home
}

#[test]
fn show_says_what_is_kept_and_checkout_writes_it() {
    let home = with_code();
    let expected = serde_json::json!([{"path": "source/train.py", "bytes": 12}]);
    assert_eq!(home.json(["show", "run1"])["code"], expected);
    let page = home.ok(["show", "run1"]);
    assert!(page.contains("code      1 file, 12 B  runcellar checkout-code writes them\n"), "{page}");
    let written = home.json(["checkout-code", "run1", "out"]);
    let expected = serde_json::json!({"directory": "out", "files": ["source/train.py"], "bytes": 12, "commands": []});
    assert_eq!(written, expected);
    assert_eq!(std::fs::read(home.path("out/source/train.py")).expect("reads"), b"a = 1\nb = 2\n");

    let lines = home.fails(1, ["checkout-code", "run2", "out"]);
    assert!(lines[0].contains("out/source/train.py: is there already"), "{lines:?}");
    assert_eq!(home.ok(["checkout-code", "run2", "out", "--force"]), "1 file in out\n");
    assert!(std::fs::read(home.path("out/source/train.py")).expect("reads").starts_with(b"a = 1\nb = 3\n"));
}

#[test]
fn a_run_without_code_says_so() {
    let home = Home::with_workspace();
    let run = home.workspace().run("p").id("bare").start().expect("starts");
    let folder = CodeFolder { root: home.path("none"), ..CodeFolder::default() };
    assert!(run.log_code(&folder).is_err());
    run.finish().expect("finishes");
    let lines = home.fails(3, ["checkout-code", "bare", "out"]);
    assert_eq!(lines[0], "runcellar: run bare: no code is kept with it");
    assert!(!home.path("out").exists());
}

#[test]
fn diff_shows_what_differs_in_the_code() {
    let home = with_code();
    let json = home.json(["diff", "run1", "run2"]);
    assert_eq!((&json["code"][0]["path"], &json["code"][0]["change"]), (&"source/train.py".into(), &"changed".into()));
    let diff = json["code"][0]["diff"].as_str().expect("a text");
    assert!(diff.starts_with("--- a/source/train.py\n+++ b/source/train.py\n"), "{diff}");
    assert!(diff.contains("\n-b = 2\n+b = 3\n"), "{diff}");
    let page = home.ok(["diff", "run1", "run2"]);
    assert!(page.contains("\nchanged source/train.py\n") && page.contains("\n-b = 2\n+b = 3\n"), "{page}");
    assert!(!page.contains('\x1b'), "nothing in it drives a terminal");
}
