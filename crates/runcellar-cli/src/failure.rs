//! Errors as the shell sees them: one line on stderr, perhaps advice below it, and an exit code.

use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;

use runcellar::{Error, ErrorKind};

use crate::fetching;
use crate::output::{self, say};
use crate::render::visible;

/// The exit codes, as docs/CLI.md lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    /// None of the others.
    Other = 1,
    /// The command line or a query is not understood.
    Usage = 2,
    /// The workspace, run, metric or file is not there.
    NotFound = 3,
    /// No key or passphrase at hand opens the workspace.
    Locked = 4,
    /// Damage, or a verification that failed.
    Damage = 5,
    /// Nobody confirmed what destroys something.
    Consent = 6,
    /// Another process holds the database.
    Busy = 7,
    /// Nothing can be written, or the disk is full.
    ReadOnly = 8,
}

/// Why a verb ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something to report.
    Error {
        /// The exit code.
        code: Code,
        /// One line.
        message: String,
        /// Lines around the message that say what to do.
        advice: Advice,
    },
    /// The command line is not understood, or its help was asked for.
    Usage(clap::Error),
    /// Whoever read our output has had enough.
    BrokenPipe,
    /// Ctrl-C ended what goes on until then.
    Interrupted,
}

/// What to do about a failure.
#[derive(Debug, Default)]
pub(crate) enum Advice {
    /// Nothing to say.
    #[default]
    None,
    /// Lines below the message, indented as they are.
    Below(String),
    /// A line above the message, for messages that must stand last.
    Above(String),
}

impl Failure {
    /// Makes a failure without advice.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Failure {
        Failure::Error { code, message: message.into(), advice: Advice::None }
    }

    /// Makes a failure of the command line.
    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Code::Usage, message)
    }

    /// Makes the failure of an operation on a file.
    pub(crate) fn file(doing: &str, path: &Path, cause: &std::io::Error) -> Failure {
        Failure::new(io_code(cause), format!("{doing} {}: {cause}", path.display()))
    }

    /// Adds lines that say what to do.
    pub(crate) fn advise(self, text: impl Into<String>) -> Failure {
        match self {
            Failure::Error { code, message, .. } => {
                Failure::Error { code, message, advice: Advice::Below(text.into()) }
            }
            other => other,
        }
    }

    /// Makes the failure of opening a workspace: where that fails, `check` cannot help.
    pub(crate) fn opening(error: Error) -> Failure {
        let damaged = error.kind() == ErrorKind::Damaged;
        let failure = Failure::from(error);
        if damaged {
            failure.advise("  put the damaged file back from a backup, or open with another key")
        } else {
            failure
        }
    }

    /// Makes the failure of a filter or of sort keys that were typed as `text`, and shows where it stops being
    /// understood.
    pub(crate) fn query(error: Error, text: &str) -> Failure {
        let column = error.column();
        let failure = Failure::from(error);
        // The message has the column already; the picture is worth it only where it lines up.
        match column.filter(|_| !text.contains(['\n', '\r', '\t'])) {
            Some(column) => {
                let before: String = text.chars().take(column.saturating_sub(1)).collect();
                let blank = " ".repeat(unicode_width::UnicodeWidthStr::width(visible(&before).as_str()));
                failure.advise(format!("  {}\n  {blank}^", visible(text)))
            }
            None => failure,
        }
    }

    /// Writes the failure to stderr and returns the exit code.
    pub(crate) fn report(self) -> ExitCode {
        match self {
            Failure::BrokenPipe => ExitCode::SUCCESS,
            Failure::Interrupted => ExitCode::from(130),
            Failure::Usage(error) => report_usage(&error),
            Failure::Error { code, message, advice } => {
                if let Advice::Above(text) = &advice {
                    say(text);
                }
                say(&message);
                if let Advice::Below(text) = &advice {
                    output::to_stderr(&format!("{text}\n"));
                }
                ExitCode::from(code as u8)
            }
        }
    }
}

/// Shows clap's own text under our name; help and version go to stdout with code 0.
fn report_usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() || error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // A reader that hangs up on help is no failure.
        let _ = error.print();
    } else {
        let text = error.to_string().replacen("error: ", "runcellar: ", 1);
        // What was typed stands in it.
        let lines: Vec<String> = text.split('\n').map(visible).collect();
        output::to_stderr(&lines.join("\n"));
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Code::Other as u8))
}

fn io_code(cause: &std::io::Error) -> Code {
    use std::io::ErrorKind as Io;
    match cause.kind() {
        Io::NotFound => Code::NotFound,
        Io::PermissionDenied | Io::ReadOnlyFilesystem | Io::StorageFull | Io::QuotaExceeded => Code::ReadOnly,
        _ => Code::Other,
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match error.kind() {
            ErrorKind::InvalidArgument | ErrorKind::Query | ErrorKind::Ambiguous => Code::Usage,
            ErrorKind::NotFound => Code::NotFound,
            ErrorKind::Locked => Code::Locked,
            ErrorKind::Damaged => Code::Damage,
            ErrorKind::Busy => Code::Busy,
            ErrorKind::ReadOnly => Code::ReadOnly,
            ErrorKind::Consent => Code::Consent,
            ErrorKind::Evicted => fetching::code_of(&error),
            _ => Code::Other,
        };
        let message = error.to_string();
        let advice = match error.kind() {
            ErrorKind::NotFound if message.starts_with("no workspace") => {
                Advice::Below("  make one: runcellar init; or name one: --workspace DIR, RUNCELLAR_DIR".into())
            }
            ErrorKind::Locked if message.starts_with("key file not found") => Advice::Above(
                "no key here opens this workspace; name a key file: --key-file FILE, RUNCELLAR_KEY_FILE".into(),
            ),
            ErrorKind::NewerFormat => Advice::Below("  a later version of runcellar wrote it: upgrade this one".into()),
            ErrorKind::NotFound if message.starts_with("no run") => {
                Advice::Below("  runcellar ls lists the runs".into())
            }
            ErrorKind::NotFound if message.starts_with("no artifact") => {
                Advice::Below("  runcellar artifact ls lists the artifacts".into())
            }
            ErrorKind::NotFound if message.starts_with("no version ") => {
                let name = message.trim_start_matches("no version ").split(':').next().unwrap_or_default();
                Advice::Below(format!("  runcellar artifact ls {name} lists the versions"))
            }
            ErrorKind::State if message.contains(": is kept by ") => {
                Advice::Below("  --aliases removes it with them".into())
            }
            ErrorKind::NotFound if message.starts_with("no removed run") => {
                Advice::Below("  runcellar ls --removed lists the removed runs".into())
            }
            ErrorKind::Damaged => Advice::Below("  see what is hurt: runcellar check".into()),
            ErrorKind::Busy => Advice::Below("  try again; another process is writing".into()),
            _ => Advice::None,
        };
        Failure::Error { code, message, advice }
    }
}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Self {
        Failure::Usage(error)
    }
}

/// Writes to stdout fail so; files name themselves through [`Failure::file`].
impl From<std::io::Error> for Failure {
    fn from(cause: std::io::Error) -> Self {
        if cause.kind() == std::io::ErrorKind::BrokenPipe {
            return Failure::BrokenPipe;
        }
        Failure::new(io_code(&cause), format!("standard output: {cause}"))
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        match error.io_error_kind() {
            Some(kind) => std::io::Error::from(kind).into(),
            None => Failure::new(Code::Other, format!("JSON: {error}")),
        }
    }
}

/// Joins what people read with commas.
pub(crate) fn listed(items: impl IntoIterator<Item = impl Display>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}
