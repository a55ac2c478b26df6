//! What only shows on a terminal: prompts without echo, colour, the recovery code, reminders.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::support::{BINARY, Home, log_all, not_tested};

struct Terminal<'a> {
    home: &'a Home,
    env: Vec<(&'a str, &'a str)>,
    columns: u16,
}

#[derive(Debug)]
struct Session {
    code: i64,
    transcript: String,
    echo: bool,
}

impl<'a> Terminal<'a> {
    fn of(home: &'a Home) -> Terminal<'a> {
        Terminal { home, env: vec![("TERM", "xterm-256color")], columns: 80 }
    }

    /// Runs the binary on a terminal; of each step the first text is waited for and the second typed.
    fn run(&self, args: &[&str], steps: &[(&str, &str)]) -> Session {
        let mut env = serde_json::json!({
            "HOME": self.home.text(""), "RUNCELLAR_DIR": self.home.text("w"), "LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin",
        });
        for (name, value) in &self.env {
            env[*name] = (*value).into();
        }
        let argv: Vec<&str> = [&[BINARY], args].concat();
        let spec = serde_json::json!({
            "argv": argv, "env": env, "cwd": self.home.text(""), "columns": self.columns, "steps": steps,
        });
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/cli/type_into.py");
        let mut python = Command::new("python3")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is needed to test what only shows on a terminal");
        let mut stdin = python.stdin.take().expect("piped");
        stdin.write_all(spec.to_string().as_bytes()).expect("writes");
        drop(stdin);
        let output = python.wait_with_output().expect("ends");
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("an answer");
        assert_eq!(answer["left"], 0, "not every prompt came: {answer}");
        Session {
            code: answer["code"].as_i64().expect("a number"),
            transcript: answer["transcript"].as_str().expect("text").replace("\r\n", "\n"),
            echo: answer["echo"].as_bool().expect("a truth value"),
        }
    }
}

#[test]
fn a_passphrase_is_added_by_typing_it_twice_and_opens_by_typing_it_once() {
    let home = Home::with_workspace();
    let terminal = Terminal::of(&home);
    let typed = [("new passphrase: ", "open sesame\n"), ("the same passphrase: ", "open sesame\n")];
    let added = terminal.run(&["key", "add", "passphrase", "--name", "cave"], &typed);
    assert_eq!(added.code, 0, "{added:?}");
    assert!(added.transcript.contains("passphrase  cave") && !added.transcript.contains("sesame"), "{added:?}");
    home.lose_key_file();
    let opened = terminal.run(&["ls", "--json"], &[("passphrase: ", "open sesame\n")]);
    assert_eq!((opened.code, opened.echo), (0, true), "{opened:?}");
    assert!(opened.transcript.starts_with("passphrase: ") && opened.transcript.ends_with("[]\n"), "{opened:?}");
    assert_eq!(opened.transcript.matches("passphrase: ").count(), 1, "it asks once");
    let wrong = terminal.run(&["ls"], &[("passphrase: ", "open barley\n")]);
    assert_eq!((wrong.code, wrong.transcript.lines().last()), (4, Some("runcellar: wrong passphrase")), "{wrong:?}");
}

#[test]
fn a_capsule_asks_twice_for_its_passphrase_and_once_to_open_and_does_no_work_without_bounds() {
    let home = Home::with_workspace();
    let run = home.workspace().run("digits").id("the-run").start().expect("starts");
    log_all(&run, "loss", &[1.0]);
    run.finish().expect("finishes");
    let terminal = Terminal::of(&home);
    let typed = [("new passphrase: ", "open sesame\n"), ("the same passphrase: ", "open sesame\n")];
    let made = terminal.run(&["export", "--format", "capsule", "-o", "one.capsule"], &typed);
    assert_eq!((made.code, made.echo), (0, true), "{made:?}");
    assert!(!made.transcript.contains("sesame"), "{made:?}");
    let wrong = terminal.run(&["import", "one.capsule"], &[("passphrase: ", "open barley\n")]);
    assert_eq!((wrong.code, wrong.transcript.lines().last()), (4, Some("runcellar: wrong passphrase")), "{wrong:?}");
    let opened = terminal.run(&["import", "one.capsule"], &[("passphrase: ", "open sesame\n")]);
    assert_eq!(opened.code, 0, "{opened:?}");
    assert!(opened.transcript.contains("run the-run in digits, 1 point: there already"), "{opened:?}");
    let (salt, text) = ("A".repeat(22), "A".repeat(43));
    let greedy = format!("age-encryption.org/v1\n-> scrypt {salt} 30\n{text}\n--- {text}\n{text}");
    std::fs::write(home.path("greedy.capsule"), greedy).expect("writes");
    let refused = terminal.run(&["import", "greedy.capsule"], &[("passphrase: ", "x\n")]);
    assert_eq!(refused.code, 5, "{refused:?}");
    assert!(refused.transcript.contains("asks for 2^30 of scrypt's work"), "{refused:?}");
}

#[test]
fn two_different_passphrases_add_nothing() {
    let home = Home::with_workspace();
    let terminal = Terminal::of(&home);
    let typed = [("new passphrase: ", "one\n"), ("the same passphrase: ", "two\n")];
    let refused = terminal.run(&["key", "add", "passphrase"], &typed);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.transcript.ends_with("runcellar: the two passphrases differ\n"), "{refused:?}");
    let empty = terminal.run(&["key", "add", "passphrase"], &[("new passphrase: ", "\n")]);
    assert_eq!(empty.code, 2, "{empty:?}");
    assert_eq!(home.json(["key", "ls"]).as_array().map(Vec::len), Some(1));
}

#[test]
fn an_interrupt_at_the_prompt_gives_the_echo_back() {
    let home = Home::with_workspace();
    home.workspace().add_passphrase(&"x".to_owned().into(), "x").expect("adds");
    home.lose_key_file();
    let interrupted = Terminal::of(&home).run(&["ls"], &[("passphrase: ", "\u{3}")]);
    assert_eq!((interrupted.code, interrupted.echo), (130, true), "{interrupted:?}");
}

#[test]
fn a_recovery_code_is_shown_on_a_terminal_and_opens() {
    let home = Home::new();
    let terminal = Terminal::of(&home);
    let made = terminal.run(&["init"], &[("type it back: ", "\n")]);
    assert_eq!(made.code, 0, "{made:?}");
    assert!(made.transcript.contains("was not typed back"), "{made:?}");
    let is_code = |word: &str| word.split('-').count() == 7 && word.len() == 41;
    let plain = made.transcript.replace("\u{1b}[1m", "").replace("\u{1b}[0m", "");
    let code = plain.split_whitespace().find(|word| is_code(word)).expect("a code").to_owned();
    home.lose_key_file();
    let opened = terminal.run(&["ls", "--json"], &[("passphrase: ", &format!("{}\n", code.to_lowercase()))]);
    assert_eq!(opened.code, 0, "{opened:?}");
}

#[test]
fn a_recovery_code_that_is_not_typed_back_is_no_key() {
    let home = Home::with_workspace();
    let typed = [("type it back: ", "wrong\n"), ("type it back: ", "wrong\n"), ("type it back: ", "wrong\n")];
    let refused = Terminal::of(&home).run(&["key", "add", "recovery"], &typed);
    assert_eq!(refused.code, 6, "{refused:?}");
    assert!(refused.transcript.contains("no key was added"), "{refused:?}");
    assert_eq!(home.json(["key", "ls"]).as_array().map(Vec::len), Some(1));
}

#[test]
fn two_factors_open_together_and_say_which_is_missing() {
    let home = Home::with_workspace();
    let terminal = Terminal::of(&home);
    let typed = [("new passphrase: ", "open sesame\n"), ("the same passphrase: ", "open sesame\n")];
    let added = terminal.run(&["key", "add", "two-factor", "-o", "two.key", "--name", "both"], &typed);
    assert_eq!(added.code, 0, "{added:?}");
    let moved = home.lose_key_file();
    let args = ["ls", "--json", "--key-file", "two.key"];
    let opened = terminal.run(&args, &[("passphrase: ", "open sesame\n")]);
    assert_eq!(opened.code, 0, "{opened:?}");
    let wrong = terminal.run(&args, &[("passphrase: ", "open barley\n")]);
    assert_eq!((wrong.code, wrong.transcript.lines().last()), (4, Some("runcellar: wrong passphrase")), "{wrong:?}");
    assert_eq!(
        home.without_terminal(["ls", "--key-file", "two.key"]).last_line(),
        "runcellar: passphrase needed (no terminal)"
    );
    // Rotated by one key, the other's file gets a new secret only where it is at hand.
    let own = moved.to_str().expect("UTF-8");
    home.ok(["key", "rotate", "--key-file", own]);
    let opened = terminal.run(&args, &[("passphrase: ", "open sesame\n")]);
    assert_eq!(opened.code, 0, "{opened:?}");
    let rotated = terminal.run(&["key", "rotate", "--key-file", "two.key"], &[("passphrase: ", "open sesame\n")]);
    assert_eq!(rotated.code, 0, "{rotated:?}");
    assert_eq!(terminal.run(&args, &[("passphrase: ", "open sesame\n")]).code, 0);
}

#[test]
fn colour_is_for_terminals_that_want_it() {
    let home = Home::with_workspace();
    let run = home.workspace().run("p").name("quiet-otter").start().expect("starts");
    log_all(&run, "loss", &[1.0]);
    run.finish().expect("finishes");
    let mut terminal = Terminal::of(&home);
    let green = "\u{1b}[32mfinished\u{1b}[0m";
    assert!(terminal.run(&["ls"], &[]).transcript.contains(green));
    assert!(!home.ok(["ls"]).contains('\u{1b}'));
    for plain in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        terminal.env.push(plain);
        let listed = terminal.run(&["ls"], &[]);
        assert!(
            listed.transcript.contains("finished") && !listed.transcript.contains('\u{1b}'),
            "{plain:?}: {listed:?}"
        );
        terminal.env.pop();
    }
    let json = terminal.run(&["ls", "--json"], &[]).transcript;
    assert!(json.starts_with("[\n  {\n    \"id\": "), "indented for people: {json}");
}

#[test]
fn one_key_alone_is_reminded_of_on_a_terminal() {
    let home = Home::with_workspace();
    let terminal = Terminal::of(&home);
    let reminder = "runcellar: note: only one key opens this workspace: runcellar key add recovery\n";
    assert!(terminal.run(&["ls"], &[]).transcript.ends_with(reminder));
    assert!(terminal.run(&["doctor"], &[]).transcript.ends_with(reminder));
    home.ok(["key", "add", "recovery", "--recovery-out", "code.txt"]);
    assert!(!terminal.run(&["ls"], &[]).transcript.contains("only one key"));
}

#[test]
fn user_text_does_not_drive_the_terminal() {
    let home = Home::with_workspace();
    let evil = "x\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}";
    let run = home.workspace().run("p").id("run1").name(evil).notes(evil).start().expect("starts");
    run.log([(evil, 1.0)]).expect("logs");
    run.log([("text", evil)]).expect("logs");
    run.finish().expect("finishes");
    let mut terminal = Terminal::of(&home);
    terminal.env.push(("NO_COLOR", "1"));
    let verbs: [&[&str]; 8] = [
        &["ls"],
        &["ls", "--json"],
        &["show", "run1"],
        &["show", "run1", "--json"],
        &["plot", "run1"],
        &["export"],
        &["export", "--wide"],
        &["rm", evil],
    ];
    for verb in verbs {
        let session = terminal.run(verb, &[]);
        assert_eq!(session.code, 0, "{session:?}");
        let bad =
            session.transcript.chars().find(|letter| letter.is_control() && *letter != '\n' || *letter == '\u{202e}');
        assert_eq!(bad, None, "{verb:?}: {session:?}");
    }
    let missing = terminal.run(&["show", evil], &[]);
    assert!(missing.code == 3 && !missing.transcript.contains(['\u{1b}', '\u{7}', '\u{9b}']), "{missing:?}");
}

/// Writes a file of so many bytes of which no two chunks are alike.
fn write_noise(path: &std::path::Path, bytes: usize) {
    let mut state = 1_u64;
    let mut noise = Vec::with_capacity(bytes);
    while noise.len() < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        noise.extend_from_slice(&(state ^ (state >> 29)).to_le_bytes());
    }
    std::fs::write(path, noise).expect("writes");
}

#[test]
fn an_interrupted_put_leaves_a_clean_line_no_version_and_what_it_stored() {
    const BYTES: usize = 192 << 20;
    let home = Home::with_workspace();
    write_noise(&home.path("noise"), BYTES);
    // The bar says how much, how fast and how long; Ctrl-C is typed into the middle of it.
    let interrupted = Terminal::of(&home).run(&["artifact", "put", "noise", "noise"], &[("MiB/s", "\u{3}")]);
    if interrupted.code == 0 {
        return not_tested("an interrupted put: it was over before it was interrupted");
    }
    assert_eq!(interrupted.code, 130, "{interrupted:?}");
    let (_, last) = interrupted.transcript.rsplit_once('\r').expect("a bar");
    assert!(!last.contains("putting") && !last.contains("runcellar:"), "{last:?}");
    assert!(interrupted.transcript.contains("MiB of 192.00 MiB"), "{:?}", interrupted.transcript);
    home.fails(3, ["artifact", "show", "noise"]);
    let again = home.json(["artifact", "put", "noise", "noise"]);
    let new = again["new_bytes"].as_u64().expect("a number");
    assert!(new < BYTES as u64, "what was stored before is found: {again}");
    assert_eq!(home.json(["artifact", "verify", "noise"])["ok"], true);
    assert_eq!(home.json(["check"])["ok"], true);
}
