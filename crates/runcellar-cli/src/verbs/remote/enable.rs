//! `remote enable`: the user's consent, typed.

use runcellar::remotes::ConsentRequest;

use super::{RemoteShape, RequestShape, request};
use crate::failure::{Code, Failure};
use crate::output;
use crate::prompt;
use crate::session::Session;

/// Agree to what a remote is, and have it used from now on
#[derive(Debug, clap::Args)]
#[command(after_help = "\
On a terminal the text is shown, and the name of the remote is to be typed. Off one, the hash that goes with the text is given by \
--consent; without it the text is shown, and the exit code is 6.

Examples:
  runcellar remote enable origin
  runcellar remote enable origin --consent 3f2a...")]
pub(super) struct Args {
    /// The remote
    name: String,
    /// The hash of the text that was read and agreed to
    #[arg(long, value_name = "HASH")]
    consent: Option<String>,
}

pub(super) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let workspace = session.open()?;
    let (remote, request) = request(&workspace, &args.name)?;
    let hash = match &args.consent {
        Some(hash) => hash.clone(),
        None if output::is_interactive() => {
            output::to_stderr(&shown(&args.name, &request));
            let typed = prompt::visible_line(&format!("Type {} to enable: ", args.name));
            if typed.is_none_or(|typed| typed.trim() != args.name) {
                return Err(Failure::new(Code::Consent, "nothing was enabled: the name was not typed"));
            }
            request.hash.clone()
        }
        None => {
            session.answer(&RequestShape::of(&remote, &request), || {
                format!("{}hash: {}\n", shown(&args.name, &request), request.hash)
            })?;
            output::to_stderr(&format!("runcellar remote enable {} --consent {}\n", args.name, request.hash));
            return Err(Failure::new(Code::Consent, "nothing was enabled: --consent HASH agrees to the text above"));
        }
    };
    let enabled = workspace.enable_remote(&args.name, &hash)?;
    session.answer(&RemoteShape::of(&enabled), || {
        format!("{} is enabled; runcellar sync {0} sends what is new\n", args.name)
    })
}

/// Returns the text that is agreed to, and what is another in it than before.
fn shown(name: &str, request: &ConsentRequest) -> String {
    let mut text = format!("{}\n", request.text);
    if request.terms.is_some() {
        text.push_str(&format!("To read these terms: runcellar terms show {name}\n\n"));
    }
    if let Some(changes) = &request.changes {
        text.push_str(&format!("What is another since it was agreed to:\n{changes}\n"));
    }
    text
}
