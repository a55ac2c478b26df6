//! Help, version and mistakes on the command line.

use crate::support::Home;

#[test]
fn without_a_verb_help_is_shown_and_the_code_is_2() {
    let home = Home::new();
    let outcome = home.run::<&str>([]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (2, ""));
    assert!(outcome.stderr.contains("Usage: runcellar"), "{outcome:?}");
}

#[test]
fn every_verb_explains_itself_with_an_example() {
    let home = Home::new();
    let help = home.ok(["--help"]);
    assert!(help.starts_with("Encrypted, local-first records"), "{help}");
    let verbs = [
        "init",
        "ls",
        "show",
        "diff",
        "checkout-code",
        "plot",
        "export",
        "import",
        "artifact",
        "tag",
        "note",
        "rm",
        "restore",
        "check",
        "repair",
        "backup",
        "restore-from",
        "merge",
        "remote",
        "sync",
        "verify",
        "evict",
        "fetch",
        "ledger",
        "key",
        "config",
        "doctor",
        "du",
        "gc",
        "completions",
        "man",
    ];
    for verb in verbs {
        assert!(help.contains(&format!("\n  {verb} ")), "{verb} is listed");
        let help = home.ok([verb, "--help"]);
        assert!(help.contains("Examples:\n  runcellar "), "{verb}: {help}");
        for global in ["--workspace", "--key-file", "--json"] {
            assert!(help.contains(global), "{verb}: {global}");
        }
    }
    let page = include_str!("../../docs/CLI.md");
    for verb in verbs {
        assert!(
            page.contains(&format!("### {verb} "))
                || page.contains(&format!("### {verb}\n"))
                || page.contains(&format!(" / {verb} ")),
            "docs/CLI.md: {verb}"
        );
    }
    assert_eq!(home.ok(["--version"]), format!("runcellar {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn mistakes_are_one_line_and_a_hint() {
    let home = Home::new();
    let lines = home.fails(2, ["lss"]);
    assert_eq!(lines[0], "runcellar: unrecognized subcommand 'lss'");
    assert!(lines.iter().any(|line| line.contains("'ls'")), "{lines:?}");
    assert_eq!(home.fails(2, ["ls", "--frob"])[0], "runcellar: unexpected argument '--frob' found");
    assert_eq!(
        home.fails(2, ["ls", "--limit", "many"])[0],
        "runcellar: invalid value 'many' for '--limit <N>': invalid digit found in string"
    );
}
