//! Completion of the command line: the shell asks this command, which knows its verbs and the runs there are.

use std::ffi::OsStr;

use clap::CommandFactory as _;
use clap::builder::StyledStr;
use clap_complete::CompleteEnv;
use clap_complete::engine::CompletionCandidate;
use runcellar::{ArtifactVersion, Environment, OpenOptions, RunInfo, Selection};

use crate::cli::Cli;
use crate::render::time;
use crate::session::now_us;

/// Variable by which the script that `completions` prints asks; its value names the shell.
pub(crate) const VARIABLE: &str = "RUNCELLAR_COMPLETE";
/// Runs that are offered, the latest: more are no help to anybody.
const RUNS_MAX: usize = 200;
/// Artifacts, or versions of one, that are offered.
const ARTIFACTS_MAX: usize = 200;
/// The alias of the newest version.
const LATEST: &str = "latest";

/// Answers if a shell asks, and returns whether one did.
pub(crate) fn answer() -> Result<bool, clap::Error> {
    let current = std::env::current_dir().ok();
    CompleteEnv::with_factory(Cli::command).var(VARIABLE).try_complete(std::env::args_os(), current.as_deref())
}

/// Offers the runs that show.
pub(crate) fn runs(typed: &OsStr) -> Vec<CompletionCandidate> {
    offer(typed, false)
}

/// Offers the runs that `rm` hid.
pub(crate) fn removed_runs(typed: &OsStr) -> Vec<CompletionCandidate> {
    offer(typed, true)
}

/// Offers names and ids that begin as typed. Whatever keeps them from being read, the shell is told nothing.
fn offer(typed: &OsStr, removed: bool) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str() else { return Vec::new() };
    let selection = Selection { removed, ..Selection::default() };
    let runs = workspace().and_then(|workspace| workspace.runs(&selection).ok()).unwrap_or_default();
    let now = now_us();
    let offered = |run: &RunInfo| {
        let about = format!("{} {}, {}", run.project, run.state.as_str(), time::ago(now, run.created));
        let fits = |name: &&String| name.starts_with(typed) && is_plain(name);
        // Ids are what is left where names are not plain, and what is wanted where one is begun.
        let named = Some(&run.name).filter(fits);
        let name =
            named.or_else(|| Some(&run.id).filter(fits).filter(|_| !typed.is_empty() || !is_plain(&run.name)))?;
        let about = StyledStr::from(crate::render::visible(&about));
        Some(CompletionCandidate::new(name).help(Some(about)))
    };
    runs.iter().filter_map(offered).take(RUNS_MAX).collect()
}

/// Offers names of artifacts, and after a colon the aliases and versions of the one that is named.
pub(crate) fn artifacts(typed: &OsStr) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str() else { return Vec::new() };
    let versions = workspace().and_then(|workspace| workspace.artifacts(None).ok()).unwrap_or_default();
    match typed.split_once(':') {
        None => names(typed, &versions),
        Some((name, begun)) => labels(name, begun, &versions),
    }
}

/// Offers each artifact once: by its name, or with its project where that is begun or several have the name.
fn names(typed: &str, versions: &[ArtifactVersion]) -> Vec<CompletionCandidate> {
    let now = now_us();
    let is_latest = |version: &&ArtifactVersion| version.aliases.iter().any(|alias| alias == LATEST);
    let latest: Vec<&ArtifactVersion> = versions.iter().filter(is_latest).collect();
    let offered = |version: &&ArtifactVersion| {
        let is_shared = latest.iter().filter(|other| other.name == version.name).count() > 1;
        let full = format!("{}/{}", version.project, version.name);
        let fits = |name: &String| name.starts_with(typed) && is_plain(name);
        let short = Some(version.name.clone()).filter(|_| !is_shared);
        let name = short.filter(fits).or_else(|| Some(full).filter(|full| fits(full)))?;
        let kind = if version.kind.is_empty() { "artifact" } else { &version.kind };
        let about = format!("{kind} of {}, v{} {}", version.project, version.number, time::ago(now, version.created));
        Some(CompletionCandidate::new(name).help(Some(StyledStr::from(crate::render::visible(&about)))))
    };
    latest.iter().filter_map(offered).take(ARTIFACTS_MAX).collect()
}

/// Offers what may follow the colon: aliases first, then versions from the newest.
fn labels(name: &str, begun: &str, versions: &[ArtifactVersion]) -> Vec<CompletionCandidate> {
    let now = now_us();
    let is_named =
        |version: &&ArtifactVersion| version.name == name || format!("{}/{}", version.project, version.name) == name;
    let named: Vec<&ArtifactVersion> = versions.iter().rev().filter(is_named).collect();
    let offered = |label: &str, version: &ArtifactVersion| {
        let fits = label.starts_with(begun) && is_plain(label);
        let about = format!("v{} {}", version.number, time::ago(now, version.created));
        fits.then(|| CompletionCandidate::new(format!("{name}:{label}")).help(Some(StyledStr::from(about))))
    };
    let aliases = named.iter().flat_map(|version| version.aliases.iter().map(move |alias| (alias.clone(), *version)));
    let numbers = named.iter().map(|version| (format!("v{}", version.number), *version));
    aliases.chain(numbers).filter_map(|(label, version)| offered(&label, version)).take(ARTIFACTS_MAX).collect()
}

/// True for what a shell takes as it is: a name could hold anything, and the line is run as it is completed.
fn is_plain(name: &str) -> bool {
    !name.starts_with('-')
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '+' | '@'))
}

/// Opens the workspace that the command would find, without a word and without a question.
fn workspace() -> Option<runcellar::Workspace> {
    let current = std::env::current_dir().ok()?;
    let environment = Environment::from_vars(|name| std::env::var_os(name), current).ok()?;
    let path = environment.find(None).ok()?;
    let mut keys = environment.keys;
    keys.passphrase = None;
    OpenOptions { keys, recover: false, ..OpenOptions::default() }.open(&path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_shell_takes_as_it_is_is_offered() {
        for plain in ["brave-otter-12", "a/b", "v1.2_x", "\u{5b66}\u{7fd2}"] {
            assert!(is_plain(plain), "{plain}");
        }
        for other in ["-rf", "a b", "a;reboot", "$(reboot)", "`x`", "*", "~", "a\u{b}b", "a'b", "\"", "!!", "a&b", "#"]
        {
            assert!(!is_plain(other), "{other}");
        }
    }
}
