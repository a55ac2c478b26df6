//! A key in the keychain of the operating system, with a real Secret Service: GNOME Keyring on a bus of its own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use crate::support::{Home, Outcome, not_tested, outcome};

/// A login session: a message bus, and a keyring that was unlocked as logging in does.
struct Login {
    bus: Child,
    keyring: Child,
    address: String,
}

impl Login {
    /// Returns none where the programs are missing.
    fn new(home: &Home) -> Option<Login> {
        let run = home.path("run");
        std::fs::create_dir(&run).expect("makes a directory");
        let start = |command: &mut Command| {
            home.isolate(command);
            command.env("XDG_RUNTIME_DIR", &run).stderr(Stdio::null());
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()
        };
        let mut bus = start(Command::new("dbus-daemon").args(["--session", "--nofork", "--print-address"]))?;
        let mut address = String::new();
        BufReader::new(bus.stdout.as_mut().expect("piped")).read_line(&mut address).expect("an address");
        let address = address.trim().to_owned();
        let mut keyring = Command::new("gnome-keyring-daemon");
        keyring.args(["--unlock", "--foreground", "--components=secrets"]).env("DBUS_SESSION_BUS_ADDRESS", &address);
        let mut keyring = match start(&mut keyring) {
            Some(keyring) => keyring,
            None => {
                bus.kill().and_then(|()| bus.wait()).expect("ends");
                return None;
            }
        };
        keyring.stdin.take().expect("piped").write_all(b"login password").expect("takes it");
        // What it prints tells that it is there.
        BufReader::new(keyring.stdout.as_mut().expect("piped")).read_line(&mut String::new()).expect("a line");
        Some(Login { bus, keyring, address })
    }

    fn run(&self, home: &Home, args: &[&str]) -> Outcome {
        outcome(home.command(args).env("DBUS_SESSION_BUS_ADDRESS", &self.address))
    }

    #[track_caller]
    fn ok(&self, home: &Home, args: &[&str]) -> String {
        let outcome = self.run(home, args);
        assert_eq!(outcome.code, 0, "{outcome:?}");
        outcome.stdout
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        for child in [&mut self.keyring, &mut self.bus] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn a_key_in_the_keychain_opens_without_a_key_file_for_whoever_is_logged_in() {
    let home = Home::with_workspace();
    let Some(login) = Login::new(&home) else {
        return not_tested("the keychain: dbus-daemon or gnome-keyring-daemon is missing");
    };
    let added = login.ok(&home, &["key", "add", "keychain", "--name", "login", "--json"]);
    let added: serde_json::Value = serde_json::from_str(&added).expect("JSON");
    assert_eq!((&added["kind"], &added["opens_without_key_file"]), (&"keychain".into(), &true.into()));
    let key_file = home.key_file();
    let moved = home.lose_key_file();
    login.ok(&home, &["ls"]);
    login.ok(&home, &["key", "rotate"]);
    login.ok(&home, &["ls"]);
    // Whoever is not logged in has no keychain.
    let out = home.without_terminal(["ls"]);
    assert_eq!(out.code, 4, "{out:?}");
    assert!(out.last_line().starts_with("runcellar: keychain: "), "{out:?}");

    std::fs::rename(moved, key_file).expect("renames");
    let id = added["id"].as_str().expect("an id");
    login.ok(&home, &["key", "rm", id, "--yes"]);
    home.lose_key_file();
    let removed = login.run(&home, &["ls"]);
    assert_eq!(removed.code, 4, "{removed:?}");
}
