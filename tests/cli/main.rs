//! The command `runcellar` as users and scripts meet it: the real binary, in a home of its own.
//!
//! One file a topic. Exit codes, JSON and what lands on which stream are exact; see docs/CLI.md.

mod agent;
mod artifact;
mod backup;
mod bad_input;
mod capsule;
mod check;
mod code;
mod config;
mod diff;
mod doctor;
mod du;
mod evict;
mod export;
mod golden;
mod help;
mod init;
#[cfg(feature = "keychain")]
mod keychain;
mod keys;
mod ledger;
mod ls;
mod pipes;
mod plot;
mod purge;
mod remote;
mod repair;
mod rm;
mod secrets;
mod shell;
mod show;
mod support;
mod sync;
mod tag_and_note;
mod terminal;
mod terms;
mod watch;

#[test]
fn every_file_here_is_part_of_this_binary() {
    let main = include_str!("main.rs");
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/cli");
    for entry in std::fs::read_dir(directory).expect("the directory of this file") {
        let name = entry.expect("an entry").file_name().into_string().expect("ASCII");
        if let Some(module) = name.strip_suffix(".rs").filter(|module| *module != "main") {
            assert!(main.contains(&format!("mod {module};")), "{name} is not declared in main.rs");
        }
    }
}
