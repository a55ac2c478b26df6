//! The command `runcellar`: a thin skin over the store.
//!
//! `cli` says which verbs there are, each file of `verbs` is one of them: it opens the workspace through `session`,
//! calls the store, and hands a table or a shape of `shapes` to `output`. `render` draws. Data goes to stdout,
//! everything else to stderr; `failure` holds the exit codes. What must never be here: SQL, keys, bytes of files.

mod capsule;
mod cli;
mod complete;
mod failure;
mod fetching;
mod files;
mod interrupt;
mod keychain;
mod output;
mod progress;
mod prompt;
mod render;
mod session;
mod shapes;
mod verbs;

use std::process::ExitCode;

use clap::Parser as _;

use crate::failure::Failure;

fn main() -> ExitCode {
    // Before anything else has a thread: the question lies in a variable, which is then taken away.
    match complete::answer() {
        Ok(false) => {}
        Ok(true) => return ExitCode::SUCCESS,
        Err(error) => return Failure::from(error).report(),
    }
    // Where the system does not take it, nothing else can be done; docs/PRIVACY.md says what a dump holds.
    runcellar::forbid_core_dumps();
    interrupt::install();
    let outcome = cli::Cli::try_parse().map_err(Failure::from).and_then(|cli| cli.run());
    interrupt::wait_if_told();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
