//! What a purge is asked to erase.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// What is to be erased, as users name it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// A run, by id, name, or project and name.
    Run(String),
    /// A project with all its runs and artifacts.
    Project(String),
    /// An artifact with all its versions, or one of them: `[project/]name[:vN|:alias]`.
    Artifact(String),
    /// What a run has of one class, by the run's name: the rest of it stays.
    Class(RunClass, String),
    /// Runs that ended, and versions that were made, longer ago than so many days.
    Older(u32),
    /// Runs that used a version, versions that these made, and so on; the version itself stays.
    From(String),
}

/// A class of what a run has that can be erased alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunClass {
    /// Its code.
    Code,
    /// Its media.
    Media,
}

impl RunClass {
    /// Returns its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RunClass::Code => "code",
            RunClass::Media => "media",
        }
    }
}

/// The most days that `older:` takes.
const DAYS_MAX: u32 = 36_500;

impl FromStr for Target {
    type Err = Error;

    fn from_str(text: &str) -> Result<Target> {
        let needs = |what: &str| Error::invalid(format!("{text}: expected {what}"));
        let named = |rest: &str, what: &str| if rest.is_empty() { Err(needs(what)) } else { Ok(rest.to_owned()) };
        let Some((kind, rest)) = text.split_once(':') else {
            return Ok(Target::Run(named(text, "a run")?));
        };
        Ok(match kind {
            "project" => Target::Project(named(rest, "project:NAME")?),
            "artifact" => Target::Artifact(named(rest, "artifact:[PROJECT/]NAME[:vN]")?),
            "class" => match rest.split_once('@') {
                Some(("code", run)) => Target::Class(RunClass::Code, named(run, "class:code@RUN")?),
                Some(("media", run)) => Target::Class(RunClass::Media, named(run, "class:media@RUN")?),
                Some(("metrics", _)) => return Err(Error::invalid(format!("{text}: metrics are the run: name it"))),
                _ => return Err(needs("class:code@RUN or class:media@RUN")),
            },
            "older" => match rest.strip_suffix('d').and_then(|days| days.parse().ok()) {
                Some(days) if (1..=DAYS_MAX).contains(&days) => Target::Older(days),
                _ => return Err(needs("older:90d, with 1 to 36500 days")),
            },
            "from" => match rest.strip_prefix("artifact:") {
                Some(version) => Target::From(named(version, "from:artifact:[PROJECT/]NAME:vN")?),
                None => return Err(needs("from:artifact:[PROJECT/]NAME:vN")),
            },
            // Names of runs may hold colons.
            _ => Target::Run(text.to_owned()),
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Run(run) => f.write_str(run),
            Target::Project(project) => write!(f, "project:{project}"),
            Target::Artifact(name) => write!(f, "artifact:{name}"),
            Target::Class(class, run) => write!(f, "class:{}@{run}", class.as_str()),
            Target::Older(days) => write!(f, "older:{days}d"),
            Target::From(version) => write!(f, "from:artifact:{version}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_read_as_they_are_written_and_others_are_refused() {
        for text in [
            "brave-otter-12",
            "vision/brave-otter-12",
            "lr:0.1",
            "project:vision",
            "artifact:vision/faces:v3",
            "artifact:faces",
            "class:media@brave-otter-12",
            "class:code@a@b",
            "older:90d",
            "from:artifact:vision/faces:v3",
        ] {
            assert_eq!(text.parse::<Target>().expect(text).to_string(), text);
        }
        let refused = [
            ("", ": expected a run"),
            ("project:", "project:: expected project:NAME"),
            ("class:metrics@x", "class:metrics@x: metrics are the run: name it"),
            ("class:media", "class:media: expected class:code@RUN or class:media@RUN"),
            ("older:90", "older:90: expected older:90d, with 1 to 36500 days"),
            ("older:0d", "older:0d: expected older:90d, with 1 to 36500 days"),
            ("from:faces:v3", "from:faces:v3: expected from:artifact:[PROJECT/]NAME:vN"),
        ];
        for (text, why) in refused {
            assert_eq!(text.parse::<Target>().expect_err(text).to_string(), why);
        }
    }
}
