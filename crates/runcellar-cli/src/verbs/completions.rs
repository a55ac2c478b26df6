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
    let script = String::from_utf8_lossy(&shell?).into_owned();
    match args.shell {
        clap_complete::Shell::Bash => output::print(&with_colons(&script)),
        _ => output::print(&script),
    }
}

/// Joins what bash takes apart at colons (`model:best` are three words to it), and takes off what the line has already.
const COLONS: &str = r#"
_runcellar() {
    local all=("${COMP_WORDS[@]}") words=() last=-1 i
    [[ ${all[COMP_CWORD]} == : ]] || all[COMP_CWORD]=$2
    for ((i = 0; i <= COMP_CWORD; i++)); do
        if ((i > 1)) && [[ ${all[i]} == : || ${all[i - 1]} == : ]]; then
            words[last]+=${all[i]}
        else
            last=$((last + 1))
            words[last]=${all[i]}
        fi
    done
    local COMP_WORDS=("${words[@]}") COMP_CWORD=$last word=${words[last]}
    _clap_complete_runcellar "$1" "$word" "$3"
    if [[ $word == *:* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${word%:*}:"}")
    fi
}
"#;

fn with_colons(script: &str) -> String {
    let registered = "-F _clap_complete_runcellar";
    format!("{COLONS}{}", script.replace(registered, "-F _runcellar"))
}

fn script(shell: &dyn clap_complete::env::EnvCompleter) -> Result<Vec<u8>, Failure> {
    let (name, mut script) = (env!("CARGO_BIN_NAME"), Vec::new());
    shell.write_registration(complete::VARIABLE, name, name, name, &mut script)?;
    Ok(script)
}
