//! Finding runs by id, prefix or name.

use std::borrow::Cow;

use runcellar_format::seal::Kind;

use super::filter::{Field, Scalar};
use super::look::{At, Look, look};
use super::runs::{RunInfo, info_of};
use crate::ingest::store;
use crate::{Error, ErrorKind, Result, Workspace};

/// The least length of an id's prefix that finds a run.
const PREFIX_MIN: usize = 4;
/// Choices that an ambiguous name is answered with.
const CHOICES_MAX: usize = 5;

/// What a run is called.
struct Names<'a> {
    at: At,
    id: Cow<'a, str>,
    name: Cow<'a, str>,
    project: Cow<'a, str>,
    removed: bool,
}

impl Workspace {
    /// Finds a run by id, by a unique prefix of at least four characters of it, by a unique name, or as
    /// `project/name`. Runs that `rm` hid are found by their whole id only.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::Ambiguous`] with the choices.
    pub fn find_run(&self, wanted: &str) -> Result<RunInfo> {
        match self.find_by_id(wanted)? {
            Some(run) => Ok(run),
            None => self.find_runs(&[wanted], false)?.pop().ok_or_else(|| self.not_found(wanted, false)),
        }
    }

    /// Finds several runs at the cost of one, each as [`Workspace::find_run`] does; `removed` looks among the runs that
    /// `rm` hid instead, and there finds one that shows by its whole id only.
    ///
    /// # Errors
    /// As [`Workspace::find_run`], for the first that is not found.
    pub fn find_runs(&self, wanted: &[impl AsRef<str>], removed: bool) -> Result<Vec<RunInfo>> {
        look(&self.inner, |look| {
            let names = names(look)?;
            let found = wanted.iter().map(|wanted| self.find(&names, wanted.as_ref(), removed));
            look.infos(&found.collect::<Result<Vec<_>>>()?).collect()
        })
    }

    /// Finds the run of an id by its lookup tag; a run that only a journal knows has none yet.
    fn find_by_id(&self, id: &str) -> Result<Option<RunInfo>> {
        let row = self.inner.read(|tx, keyring| {
            let tag = store::tag_of(tx, keyring, Kind::Run, id)?;
            tx.object_by_tag(Kind::Run, &tag)
        })?;
        let Some(row) = row else { return Ok(None) };
        match info_of(&self.inner, row.key.id) {
            // It was found by a tag that a damaged row may bear.
            Ok(run) if run.id == id => Ok(Some(run)),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn find(&self, runs: &[Names<'_>], wanted: &str, removed: bool) -> Result<At> {
        if let Some(run) = runs.iter().find(|run| run.id == wanted) {
            return Ok(run.at);
        }
        let eligible = || runs.iter().filter(|run| run.removed == removed);
        let tests: [&dyn Fn(&&Names<'_>) -> bool; 3] = [
            &|run| run.name == wanted,
            &|run| wanted.strip_prefix(&*run.project).and_then(|rest| rest.strip_prefix('/')) == Some(&*run.name),
            &|run| wanted.len() >= PREFIX_MIN && run.id.starts_with(wanted),
        ];
        for test in tests {
            let mut found = eligible().filter(test);
            match (found.next(), found.next()) {
                (Some(run), None) => return Ok(run.at),
                (Some(_), Some(_)) => {
                    let mut all: Vec<&Names<'_>> = eligible().filter(test).collect();
                    all.sort_by(|left, right| left.id.cmp(&right.id));
                    let choices: Vec<String> = all
                        .iter()
                        .take(CHOICES_MAX)
                        .map(|run| format!("{} ({}/{})", run.id, run.project, run.name))
                        .collect();
                    let message = format!("run {wanted}: it can be {}", choices.join(" or "));
                    return Err(Error::new(ErrorKind::Ambiguous, message));
                }
                _ => {}
            }
        }
        Err(self.not_found(wanted, removed))
    }

    fn not_found(&self, wanted: &str, removed: bool) -> Error {
        let what = if removed { "removed run" } else { "run" };
        Error::new(ErrorKind::NotFound, format!("no {what} {wanted} in {}", self.path().display()))
    }
}

fn names<'f>(look: &'f Look<'f>) -> Result<Vec<Names<'f>>> {
    const FIELDS: &[Field] = &[Field::Id, Field::Name, Field::Project];
    let fields = look.fields(FIELDS)?;
    let removed = look.removed()?;
    let text = |at, field| match fields.get(at, field) {
        Some(Scalar::Text(text)) => text,
        _ => Cow::Borrowed(""),
    };
    let names = |at| Names { at, id: text(at, 0), name: text(at, 1), project: text(at, 2), removed: removed.is(at) };
    Ok(look.all().map(names).collect())
}
