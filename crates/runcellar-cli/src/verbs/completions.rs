//! `completions`: prints what a shell needs to complete the command line.

use clap_complete::env::Shells;

use crate::complete;
use crate::failure::Failure;
use crate::output;

/// Print a script by which a shell completes verbs, options, files and runs
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Runs are those of the workspace that the command finds by itself. Names that a shell would take for more than a word \
are offered by id.

Examples:
  runcellar completions bash > ~/.local/share/bash-completion/completions/runcellar
  runcellar completions zsh > ~/.zfunc/_runcellar
  runcellar completions fish > ~/.config/fish/completions/runcellar.fish
  runcellar completions powershell >> $PROFILE")]
pub(crate) struct Args {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: clap_complete::Shell,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let name = args.shell.to_string();
    let Some(shell) = Shells::builtins().completer(&name).map(script) else {
        return Err(Failure::usage(format!("{name}: no completions for this shell")));
    };
    output::print(&String::from_utf8_lossy(&shell?))
}

fn script(shell: &dyn clap_complete::env::EnvCompleter) -> Result<Vec<u8>, Failure> {
    let (name, mut script) = (env!("CARGO_BIN_NAME"), Vec::new());
    shell.write_registration(complete::VARIABLE, name, name, name, &mut script)?;
    Ok(script)
}
