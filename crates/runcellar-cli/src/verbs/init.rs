//! `init`: makes a workspace and its key file.

use std::path::PathBuf;

use runcellar::{OpenOptions, RecoveryCode};

use crate::failure::{Code, Failure};
use crate::files::SecretFile;
use crate::output;
use crate::render::{Style, visible, wrapped};
use crate::session::Session;
use crate::verbs::key::recovery;

/// What to do with a recovery code that was just shown.
pub(crate) const RECOVERY_ADVICE: &str = "Write the recovery code down and keep it away from this machine. It opens the \
                                          workspace when the key file is lost, and is not shown again.";

/// Make a workspace and its key file
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Everything recorded into the workspace is encrypted under the key file, which lies outside it: in \
~/.config/runcellar/keys, or where --key-file or RUNCELLAR_KEY_FILE says. On a terminal, or with --recovery-out, a \
recovery code is made too: it opens the workspace when the key file is lost, and is shown only once.

Examples:
  runcellar init                                  make ./.runcellar
  runcellar init ~/runs --recovery-out code.txt   make ~/runs, and keep the recovery code in a file")]
pub(crate) struct Args {
    /// The directory to make a workspace [default: RUNCELLAR_DIR, else ./.runcellar]
    dir: Option<PathBuf>,
    /// Write a recovery code into this new file
    #[arg(long, value_name = "FILE")]
    recovery_out: Option<PathBuf>,
}

#[derive(serde::Serialize)]
struct Shape<'a> {
    workspace: &'a str,
    id: &'a str,
    key_file: &'a str,
    recovery_code: Option<&'a str>,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let path = session.place_for_init(args.dir.clone());
    let out = args.recovery_out.as_deref().map(SecretFile::create).transpose()?;
    let recovery_code = out.is_some() || output::is_interactive();
    let options = OpenOptions { create: true, recovery_code, recover: false, ..session.options() };
    let workspace = options.open(&path).map_err(Failure::opening)?;
    let id = workspace.id();
    let Some(creation) = workspace.creation() else {
        let message = format!("workspace {} is there already (id {id})", path.display());
        return Err(Failure::new(Code::Other, message));
    };
    let code = creation.recovery_code.as_deref();
    let code_file = match (out, code) {
        (Some(file), Some(code)) => {
            file.finish(code)?;
            args.recovery_out.as_deref()
        }
        _ => None,
    };
    if let Some(warning) = &creation.warning {
        session.warn(warning);
    }
    let (workspace, key_file) = (path.display().to_string(), creation.key_file.display().to_string());
    let shape = Shape { workspace: &workspace, id: &id, key_file: &key_file, recovery_code: code };
    let typed_back = code.filter(|_| code_file.is_none() && !session.json);
    session.answer(&shape, || {
        let dim = |text: &str| Style::Dim.paint(text, session.display.color);
        let mut text = format!(
            "{}  {}\n{}         {id}\n{}   {}\n",
            dim("workspace"),
            visible(&workspace),
            dim("id"),
            dim("key file"),
            visible(&key_file)
        );
        match (code, code_file) {
            (_, Some(file)) => {
                text.push_str(&format!("{}   {}\n", dim("recovery"), visible(&file.display().to_string())))
            }
            (Some(code), None) => {
                let code = Style::Bold.paint(code, session.display.color);
                let advice = wrapped(RECOVERY_ADVICE, session.display.width).join("\n");
                text.push_str(&format!("{}   {code}\n\n{advice}\n", dim("recovery")));
            }
            _ => {}
        }
        text
    })?;
    if let Some(code) = typed_back.and_then(RecoveryCode::parse)
        && recovery::confirm(&code).is_err()
    {
        session.warn(
            "the recovery code was not typed back; if it is not written down, make another: runcellar key recovery",
        );
    }
    Ok(())
}
