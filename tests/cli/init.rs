//! `init`: what it makes, where, and what it refuses.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::support::{Home, outcome};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("it is there").permissions().mode() & 0o7777
}

#[test]
fn the_answer_names_workspace_id_and_key_file_and_nothing_else() {
    let home = Home::new();
    let text = home.ok(["init", "--json"]);
    let keys: Vec<&str> = text.split('"').skip(1).step_by(4).collect();
    assert_eq!(keys[..3], ["workspace", "id", "key_file"], "{text}");
    assert!(text.ends_with(",\"recovery_code\":null}\n"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(json["workspace"], home.text("w"));
    let id = json["id"].as_str().expect("text");
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    let key_file = Path::new(json["key_file"].as_str().expect("text"));
    assert_eq!(key_file, home.key_file());
    assert_eq!(mode(key_file), 0o600);
    assert_eq!(mode(key_file.parent().expect("a directory")), 0o700);
    assert_eq!(mode(&home.workspace_path()), 0o700);
    assert_eq!(home.json(["ls"]), serde_json::json!([]));
}

#[test]
fn the_directory_is_the_argument_then_the_option_then_the_variable_then_here() {
    let home = Home::new();
    let made = |args: &[&str], variable: bool| {
        let mut command = home.command(args);
        if !variable {
            command.env_remove("RUNCELLAR_DIR");
        }
        let outcome = outcome(command.arg("--json"));
        assert_eq!(outcome.code, 0, "{outcome:?}");
        let json: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("JSON");
        json["workspace"].as_str().expect("text").to_owned()
    };
    assert_eq!(made(&["init", "a", "--workspace", "b"], true), home.text("a"));
    assert_eq!(made(&["init", "--workspace", "b"], true), home.text("b"));
    assert_eq!(made(&["--workspace", "c", "init"], true), home.text("c"));
    assert_eq!(made(&["init"], true), home.text("w"));
    assert_eq!(made(&["init"], false), home.text(".runcellar"));
}

#[test]
fn a_second_init_says_that_the_workspace_is_there() {
    let home = Home::new();
    let id = home.json(["init"])["id"].as_str().expect("text").to_owned();
    let lines = home.fails(1, ["init"]);
    assert_eq!(lines, [format!("runcellar: workspace {} is there already (id {id})", home.text("w"))]);
}

#[test]
fn the_recovery_code_goes_into_a_new_file_that_only_the_user_can_read() {
    let home = Home::new();
    let json = home.json(["init", "--recovery-out", "code.txt"]);
    let code = json["recovery_code"].as_str().expect("text").to_owned();
    assert_eq!(std::fs::read_to_string(home.path("code.txt")).expect("reads"), format!("{code}\n"));
    assert_eq!(mode(&home.path("code.txt")), 0o600);
    let groups: Vec<&str> = code.split('-').collect();
    assert!(groups.len() == 7 && groups.iter().all(|group| group.len() == 5), "{code}");
    // The code opens the workspace without the key file, however it is typed.
    home.lose_key_file();
    let mut command = home.command(["ls", "--json"]);
    let outcome = outcome(command.env("RUNCELLAR_PASSPHRASE", code.to_lowercase().replace('-', " ")));
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, "[]\n"), "{outcome:?}");
    assert!(outcome.stderr.contains("warning: passphrase taken from RUNCELLAR_PASSPHRASE"), "{outcome:?}");
}

#[test]
fn a_recovery_file_that_is_there_is_never_written_over() {
    let home = Home::new();
    std::fs::write(home.path("code.txt"), "precious").expect("writes");
    let lines = home.fails(1, ["init", "--recovery-out", "code.txt"]);
    assert_eq!(lines, ["runcellar: code.txt is there already, and is not written over"]);
    assert_eq!(std::fs::read_to_string(home.path("code.txt")).expect("reads"), "precious");
    assert!(!home.workspace_path().exists(), "nothing was made");
    // A failed init leaves no empty file that looks like a code.
    home.ok(["init"]);
    home.fails(1, ["init", "--recovery-out", "other.txt"]);
    assert!(!home.path("other.txt").exists());
}

#[test]
fn a_named_key_file_is_made_where_it_is_named() {
    let home = Home::new();
    let json = home.json(["init", "--key-file", "my.key"]);
    assert_eq!(json["key_file"], home.text("my.key"));
    assert_eq!(mode(&home.path("my.key")), 0o600);
    home.ok(["ls", "--key-file", "my.key"]);
    home.ok(["--key-file", "my.key", "ls"]);
    assert_eq!(home.without_terminal(["ls"]).code, 4);
    let mut command = home.command(["init", "other"]);
    let outcome = outcome(command.env("RUNCELLAR_KEY_FILE", "my.key"));
    assert_eq!(outcome.code, 0, "a second workspace in one file: {outcome:?}");
    home.ok(["ls", "--key-file", "my.key", "--workspace", "other"]);
    home.ok(["ls", "--key-file", "my.key"]);
}

#[test]
fn a_home_that_will_vanish_is_warned_about() {
    let home = Home::new();
    let mut command = home.command(["init"]);
    command.env_remove("HOME").env("RUNCELLAR_CONFIG_DIR", home.path("config"));
    let outcome = outcome(&mut command);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(outcome.stderr.starts_with("runcellar: warning: HOME is not set: if that home goes"), "{outcome:?}");
    assert!(outcome.stderr.contains("runcellar key add recovery --recovery-out FILE"), "{outcome:?}");
}

#[test]
fn the_nearest_workspace_above_is_found() {
    let home = Home::new();
    let mut command = home.command(["init"]);
    assert_eq!(outcome(command.env_remove("RUNCELLAR_DIR")).code, 0);
    std::fs::create_dir_all(home.path("deep/deeper")).expect("creates");
    let mut command = home.command(["doctor", "--json"]);
    let outcome = outcome(command.env_remove("RUNCELLAR_DIR").current_dir(home.path("deep/deeper")));
    let json: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(json["workspace"], home.text(".runcellar"));
}
