//! Completions and manual pages.

use std::process::Command;

use crate::support::{BINARY, Home, not_tested, outcome};

fn with_runs() -> Home {
    let home = Home::with_workspace();
    let workspace = home.workspace();
    for (id, name) in
        [("run1", "brave-otter-12"), ("run2", "brave-heron-3"), ("run3", "$(touch owned) *"), ("run4", "x")]
    {
        workspace.run("birds").id(id).name(name).start().expect("starts").finish().expect("finishes");
    }
    workspace.remove_runs(&[workspace.find_run("run4").expect("finds")]).expect("removes");
    home
}

/// Asks as the script of bash does, for the last of `words`; returns what it is offered.
fn offered(home: &Home, words: &[&str]) -> Vec<String> {
    let mut command = home.command([&["--", "runcellar"], words].concat());
    command.env("RUNCELLAR_COMPLETE", "bash").env("_CLAP_IFS", "\n");
    command.env("_CLAP_COMPLETE_INDEX", words.len().to_string()).env("_CLAP_COMPLETE_COMP_TYPE", "9");
    let outcome = outcome(&mut command);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""), "{outcome:?}");
    outcome.stdout.lines().map(|line| line.trim_end().to_owned()).collect()
}

#[test]
fn verbs_options_and_runs_are_completed() {
    let home = with_runs();
    let verbs = offered(&home, &["pl"]);
    assert_eq!(verbs, ["plot"]);
    assert!(offered(&home, &["plot", "--sm"]).contains(&"--smooth".to_owned()));
    assert_eq!(offered(&home, &["show", "brave-"]), ["brave-heron-3", "brave-otter-12"]);
    assert_eq!(offered(&home, &["tag", "run1"]), ["run1"], "an id that is begun");
    let all = offered(&home, &["rm", ""]);
    let runs: Vec<&String> = all.iter().filter(|word| !word.starts_with('-')).collect();
    assert_eq!(runs, ["run3", "brave-heron-3", "brave-otter-12"], "what a shell would run is offered by id");
    let removed = offered(&home, &["restore", ""]);
    assert!(removed.contains(&"x".to_owned()) && !removed.contains(&"run3".to_owned()), "{removed:?}");
}

#[test]
fn artifacts_their_aliases_and_versions_are_completed() {
    let home = Home::with_workspace();
    std::fs::write(home.path("file"), "one").expect("writes");
    home.ok(["artifact", "put", "vision/weights", "file", "--alias", "best"]);
    home.ok(["artifact", "put", "speech/words", "file"]);
    home.ok(["artifact", "put", "vision/words", "file"]);
    std::fs::write(home.path("file"), "two").expect("writes");
    home.ok(["artifact", "put", "vision/weights", "file", "--alias", "a b"]);
    assert_eq!(offered(&home, &["artifact", "get", "we"]), ["weights"]);
    assert_eq!(offered(&home, &["artifact", "show", "sp"]), ["speech/words"], "of two of one name");
    assert_eq!(offered(&home, &["artifact", "verify", "vision/"]), ["vision/weights", "vision/words"]);
    assert_eq!(
        offered(&home, &["artifact", "tag", "weights:"]),
        ["latest", "best", "v1", "v0"].map(|x| format!("weights:{x}"))
    );
    assert_eq!(offered(&home, &["artifact", "rm", "vision/weights:v0", "weights:v"]), ["weights:v1", "weights:v0"]);
    assert_eq!(offered(&home, &["artifact", "diff", "weights:b"]), ["weights:best"]);
    assert_eq!(offered(&home, &["artifact", "get", "absent:"]), [""; 0]);
    // bash takes words apart at colons, and is offered what comes behind them.
    for (words, word, expected) in [
        ("artifact get weights : b", "b", "best"),
        ("artifact get weights :", "", "latest best v1 v0"),
        ("artifact diff weights : v0 vision/weights : l", "l", "latest"),
        ("artifact get wei", "wei", "weights"),
    ] {
        if let Some(found) = in_bash(&home, words, word) {
            assert_eq!(found, expected, "{words}");
        }
    }
}

/// Returns what the script of bash makes of the words of a line, the last of which is completed; none without a bash.
fn in_bash(home: &Home, words: &str, word: &str) -> Option<String> {
    std::fs::write(home.path("script"), home.ok(["completions", "bash"])).expect("writes");
    let directory = std::path::Path::new(BINARY).parent().expect("a directory");
    let mut bash = Command::new("bash");
    home.isolate(&mut bash);
    bash.env("PATH", format!("{}:/usr/bin:/bin", directory.display()));
    bash.args(["--norc", "-c"]).arg(format!(
        "source ./script; COMP_WORDS=(runcellar {words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMP_TYPE=9; \
         _runcellar runcellar '{word}' x; echo \"${{COMPREPLY[@]}}\"",
    ));
    match bash.output() {
        Ok(output) => Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        Err(_) => {
            not_tested("completion in bash: there is none");
            None
        }
    }
}

#[test]
fn without_a_workspace_or_key_nothing_is_asked_or_said() {
    let home = Home::new();
    assert_eq!(offered(&home, &["show", "br"]), [""; 0]);
    let home = with_runs();
    home.workspace().add_passphrase(&"open sesame".to_owned().into(), "cave").expect("adds");
    home.lose_key_file();
    assert_eq!(offered(&home, &["show", "br"]), [""; 0]);
}

#[test]
fn every_shell_has_a_script_that_asks_the_command() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = home.ok(["completions", shell]);
        assert!(script.contains("RUNCELLAR_COMPLETE") && script.contains("runcellar"), "{shell}: {script}");
    }
    home.fails(2, ["completions", "tcsh"]);
    home.fails(2, ["completions"]);
    if let Some(found) = in_bash(&home, "sho", "sho") {
        assert!(found.starts_with("show"), "{found}");
    }
}

#[test]
fn every_verb_has_a_manual_page() {
    let home = Home::new();
    let page = home.ok(["man"]);
    assert!(page.contains(".TH runcellar 1") && page.contains("runcellar\\-plot(1)"), "{page}");
    home.ok(["man", "share/man1"]);
    for name in ["runcellar.1", "runcellar-plot.1", "runcellar-key-add.1", "runcellar-du.1"] {
        let page = std::fs::read_to_string(home.path("share/man1").join(name)).expect(name);
        assert!(page.contains(".SH SYNOPSIS") && page.contains(".SH NAME"), "{name}: {page}");
    }
    let again = home.run(["man", "share/man1"]);
    assert!(again.code == 0 && again.stderr.contains(" pages into share/man1"), "{again:?}");
    std::fs::write(home.path("file"), "").expect("writes");
    assert!(home.fails(1, ["man", "file"])[0].starts_with("runcellar: make file: "));
}
