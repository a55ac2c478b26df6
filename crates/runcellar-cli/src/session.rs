//! What every verb begins with: surroundings, workspace, and how to answer.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use runcellar::{Environment, OpenOptions, Passphrase, Workspace};
use serde::Serialize;

use crate::cli::Globals;
use crate::failure::Failure;
use crate::fetching;
use crate::keychain;
use crate::output::{self, Display};
use crate::progress::{Talker, Work};
use crate::prompt;

/// At which time the workspace is looked at.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct AsOf {
    /// Show everything as it was at this time (UTC), such as 2026-11-01T12:00 [default: now]
    #[arg(long, value_name = "DATE")]
    as_of: Option<String>,
}

impl AsOf {
    /// Returns true if a time was given.
    pub(crate) fn is_given(&self) -> bool {
        self.as_of.is_some()
    }
}

/// One call of the command.
pub(crate) struct Session {
    /// Answer in JSON.
    pub(crate) json: bool,
    /// What stdout can show.
    pub(crate) display: Display,
    workspace: Option<PathBuf>,
    environment: Environment,
    talker: Arc<Talker>,
}

impl Session {
    /// Reads the surroundings.
    pub(crate) fn new(globals: Globals) -> Result<Session, Failure> {
        // A directory that was removed under us has no path; whatever needs one then says so.
        let current = std::env::current_dir().unwrap_or_default();
        let mut environment = Environment::from_vars(|name| std::env::var_os(name), current)?;
        let key_file = globals.key_file.or(environment.keys.file);
        environment.keys.file = key_file.map(|file| environment.current.join(file));
        environment.keys.keychain = keychain::of_system();
        let talker = Talker::new();
        // A variable that holds a passphrase is warned about where it is used, so it takes the prompt's place.
        let (given, quiet) = (environment.keys.passphrase.take(), talker.clone());
        environment.keys.prompt = Some(Arc::new(move || {
            quiet.quiet();
            given.clone().map_or_else(prompt::to_open, from_variable)
        }));
        Ok(Session {
            json: globals.json,
            display: Display::detect(),
            workspace: globals.workspace,
            environment,
            talker,
        })
    }

    /// Opens the workspace. Journals that dead writers left are read into it first.
    pub(crate) fn open(&self) -> Result<Workspace, Failure> {
        self.open_with(true)
    }

    /// Opens the workspace as it is, or as it was at the time that `as_of` says; returns that time, too, or now.
    pub(crate) fn open_as_of(&self, as_of: &AsOf) -> Result<(Workspace, i64), Failure> {
        match &as_of.as_of {
            None => Ok((self.open()?, now_us())),
            Some(text) => {
                let time = runcellar::query::parse_time(text).map_err(|error| Failure::usage(error.to_string()))?;
                Ok((self.open()?.as_of(time)?, time))
            }
        }
    }

    /// Returns where the workspace is.
    pub(crate) fn find(&self) -> Result<PathBuf, Failure> {
        Ok(self.environment.find(self.workspace.as_deref())?)
    }

    /// Opens the workspace; without `recover` nothing that writers left is touched.
    pub(crate) fn open_with(&self, recover: bool) -> Result<Workspace, Failure> {
        let path = self.find()?;
        let _work = self.work("opening the workspace");
        let workspace = OpenOptions { recover, ..self.options() }.open(&path).map_err(Failure::opening)?;
        fetching::when_read(&workspace, &self.talker)?;
        Ok(workspace)
    }

    /// Returns how a workspace is opened here.
    pub(crate) fn options(&self) -> OpenOptions {
        OpenOptions { monitor: self.talker.clone(), ..self.environment.options() }
    }

    /// Returns where `init` makes a workspace.
    pub(crate) fn place_for_init(&self, named: Option<PathBuf>) -> PathBuf {
        self.environment.place_for_init(named.or_else(|| self.workspace.clone()).as_deref())
    }

    /// Says that something begins that may take a while.
    pub(crate) fn work(&self, what: &str) -> Work<'_> {
        self.talker.work(what)
    }

    /// Says something that is not data.
    pub(crate) fn note(&self, text: &str) {
        runcellar::Monitor::note(&*self.talker, text);
    }

    /// Says something that is not data and not good.
    pub(crate) fn warn(&self, text: &str) {
        runcellar::Monitor::warn(&*self.talker, text);
    }

    /// Answers with a JSON document if that was asked for, else with the text.
    pub(crate) fn answer<T: Serialize>(&self, shape: &T, text: impl FnOnce() -> String) -> Result<(), Failure> {
        if self.json { output::print_json(shape, self.display) } else { output::print(&text()) }
    }

    /// Reminds a person that one key is all there is.
    pub(crate) fn remind_of_one_slot(&self, workspace: &Workspace) {
        if output::stderr_is_terminal() && workspace.slots().is_ok_and(|slots| slots.len() < 2) {
            self.note("only one key opens this workspace: runcellar key add recovery");
        }
    }
}

fn from_variable(passphrase: Passphrase) -> Option<Passphrase> {
    output::say("warning: passphrase taken from RUNCELLAR_PASSPHRASE, which other programs of this user can read");
    Some(passphrase)
}

/// Returns now, microseconds UTC since 1970.
pub(crate) fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
