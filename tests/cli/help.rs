//! Help, version and mistakes on the command line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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

/// Verbs that a help page lists.
fn verbs_of(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // What goes on over the line is set further in.
    let verbs = lines.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    verbs.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("lists").map(|entry| entry.expect("reads").path()) {
        match entry.extension().and_then(|extension| extension.to_str()) {
            None if entry.is_dir() => sources(&entry, found),
            Some("rs" | "py" | "md") => found.push(entry),
            _ => {}
        }
    }
}

/// Messages and pages name commands to type: those with verbs below them name one that there is.
#[test]
fn every_command_that_a_message_or_a_page_names_is_there() {
    let home = Home::new();
    let below: BTreeMap<String, Vec<String>> = ["artifact", "key", "receipt", "remote", "terms"]
        .map(|verb| (verb.to_owned(), verbs_of(&home.ok([verb, "--help"]))))
        .into();
    let verbs = verbs_of(&home.ok(["--help"]));
    assert!(verbs.len() > 30 && below.values().all(|below| below.len() > 2), "{verbs:?} {below:?}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = vec![root.join("README.md")];
    ["crates", "docs"].into_iter().for_each(|folder| sources(&root.join(folder), &mut files));
    let (mut looked_at, mut wrong) = (0, Vec::new());
    for file in files {
        let text = std::fs::read_to_string(&file).expect("reads");
        for (_, after) in text.match_indices("runcellar ").map(|(at, name)| text.split_at(at + name.len())) {
            let mut words = after.split([' ', '\n', '"', '`', '\'', ',', ';', ':', ')', '(', '\\']);
            let (verb, next) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let Some(below) = below.get(verb) else { continue };
            looked_at += 1;
            // A group of verbs as a whole, and the text that a key file begins with.
            let is_other = next.is_empty() || !next.starts_with(|letter: char| letter.is_ascii_lowercase());
            let is_there = next.split(['|', '/']).all(|next| below.iter().any(|verb| verb == next));
            if !is_other && !is_there && (verb, next) != ("key", "file") {
                wrong.push(format!("{}: runcellar {verb} {next}", file.display()));
            }
        }
    }
    assert!(looked_at > 50, "{looked_at}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
