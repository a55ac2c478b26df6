//! The command line as a whole: global options and the list of verbs.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::failure::Failure;
use crate::session::Session;
use crate::verbs;

const ABOUT: &str = "Encrypted, local-first records of machine-learning runs";

const AFTER_HELP: &str = "\
Runs live in a workspace: one directory, everything in it encrypted under a key that lies outside. It is the one \
named by --workspace or RUNCELLAR_DIR, else the nearest .runcellar/ here or above, else ~/.local/share/runcellar.

Examples:
  runcellar init                                  make ./.runcellar a workspace
  runcellar ls --where 'config.lr > 0.01' --sort summary.loss
  runcellar show brave-otter-12
  runcellar plot brave-otter-12 train/loss val/loss
  runcellar export -o runs.csv

Exit codes: 0 ok, 1 other, 2 usage or query, 3 not found, 4 locked, 5 damage or failed verification, \
6 confirmation missing, 7 busy, 8 read-only or full, 130 interrupted.";

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "runcellar",
    version,
    about = ABOUT,
    after_help = AFTER_HELP,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    verb: Verb,
}

/// Options of every verb, before or after it.
#[derive(Debug, Args)]
pub(crate) struct Globals {
    /// The workspace's directory
    #[arg(long, global = true, value_name = "DIR", help_heading = "Global options")]
    pub(crate) workspace: Option<PathBuf>,
    /// The key file that opens the workspace, or that init makes
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub(crate) key_file: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Init(verbs::init::Args),
    Ls(verbs::ls::Args),
    Show(verbs::show::Args),
    Diff(verbs::diff::Args),
    CheckoutCode(verbs::checkout_code::Args),
    Plot(verbs::plot::Args),
    Watch(verbs::watch::Args),
    Export(verbs::export::Args),
    Import(verbs::import::Args),
    Artifact(verbs::artifact::Args),
    Tag(verbs::tag::Args),
    Note(verbs::note::Args),
    Rm(verbs::rm::Args),
    Restore(verbs::restore::Args),
    Purge(verbs::purge::Args),
    Receipt(verbs::receipt::Args),
    Check(verbs::check::Args),
    Repair(verbs::repair::Args),
    Backup(verbs::backup::Args),
    RestoreFrom(verbs::restore_from::Args),
    Merge(verbs::merge::Args),
    Remote(verbs::remote::Args),
    Sync(verbs::sync::Args),
    Terms(verbs::terms::Args),
    Verify(verbs::verify::Args),
    Evict(verbs::evict::Args),
    Fetch(verbs::fetch::Args),
    Ledger(verbs::ledger::Args),
    Clone(verbs::clone::Args),
    Key(verbs::key::Args),
    Config(verbs::config::Args),
    Secrets(verbs::secrets::Args),
    Doctor(verbs::doctor::Args),
    Du(verbs::du::Args),
    Gc(verbs::gc::Args),
    Completions(verbs::completions::Args),
    Man(verbs::man::Args),
}

impl Cli {
    /// Runs the verb.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let session = Session::new(self.globals)?;
        match self.verb {
            Verb::Init(args) => verbs::init::run(&session, &args),
            Verb::Ls(args) => verbs::ls::run(&session, &args),
            Verb::Show(args) => verbs::show::run(&session, &args),
            Verb::Diff(args) => verbs::diff::run(&session, &args),
            Verb::CheckoutCode(args) => verbs::checkout_code::run(&session, &args),
            Verb::Plot(args) => verbs::plot::run(&session, &args),
            Verb::Watch(args) => verbs::watch::run(&session, &args),
            Verb::Export(args) => verbs::export::run(&session, &args),
            Verb::Import(args) => verbs::import::run(&session, &args),
            Verb::Artifact(args) => verbs::artifact::run(&session, &args),
            Verb::Tag(args) => verbs::tag::run(&session, &args),
            Verb::Note(args) => verbs::note::run(&session, &args),
            Verb::Rm(args) => verbs::rm::run(&session, &args),
            Verb::Restore(args) => verbs::restore::run(&session, &args),
            Verb::Purge(args) => verbs::purge::run(&session, &args),
            Verb::Receipt(args) => verbs::receipt::run(&session, &args),
            Verb::Check(args) => verbs::check::run(&session, &args),
            Verb::Repair(args) => verbs::repair::run(&session, &args),
            Verb::Backup(args) => verbs::backup::run(&session, &args),
            Verb::Merge(args) => verbs::merge::run(&session, &args),
            Verb::RestoreFrom(args) => verbs::restore_from::run(&session, &args),
            Verb::Remote(args) => verbs::remote::run(&session, &args),
            Verb::Sync(args) => verbs::sync::run(&session, &args),
            Verb::Verify(args) => verbs::verify::run(&session, &args),
            Verb::Terms(args) => verbs::terms::run(&session, &args),
            Verb::Evict(args) => verbs::evict::run(&session, &args),
            Verb::Fetch(args) => verbs::fetch::run(&session, &args),
            Verb::Ledger(args) => verbs::ledger::run(&session, &args),
            Verb::Clone(args) => verbs::clone::run(&session, &args),
            Verb::Key(args) => verbs::key::run(&session, &args),
            Verb::Config(args) => verbs::config::run(&session, &args),
            Verb::Secrets(args) => verbs::secrets::run(&session, &args),
            Verb::Doctor(args) => verbs::doctor::run(&session, &args),
            Verb::Du(args) => verbs::du::run(&session, &args),
            Verb::Gc(args) => verbs::gc::run(&session, &args),
            Verb::Completions(args) => verbs::completions::run(&args),
            Verb::Man(args) => verbs::man::run(&session, &args),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }
}
