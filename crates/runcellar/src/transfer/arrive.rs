//! Taking pieces in: what is common to looking at them and to storing them.

use std::collections::HashSet;

use runcellar_format::record::{CarriedRun, CarriedVersion};

use super::examine::Examiner;
use super::pieces::{FilesIn, Pieces, Queue, opened, refused};
use super::run::Storer;
use super::{Arriving, FileClass};
use crate::artifacts::checked_artifact;
use crate::run::checked_name;
use crate::{Result, Workspace};

/// What no id of a run and no name of a project holds.
const FORBIDDEN: [char; 4] = ['/', ':', '#', '?'];

/// How to take something in.
#[derive(Debug, Clone, Default)]
pub struct CarryOptions {
    /// The project that all of it goes into; none: those that it came from, by name.
    pub project: Option<String>,
}

/// What became of something that came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is new here.
    New,
    /// It was here already, and nothing was changed.
    Here,
    /// It was here already with another number of points, and nothing was changed.
    Differs,
    /// It was erased here for good, and stays away.
    Erased,
}

/// A run or version that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The run's id, or `name:v3` of the version.
    pub name: String,
    /// The project that it is in.
    pub project: String,
    /// True for a run.
    pub is_run: bool,
    /// Points of a run, bytes of a version.
    pub amount: u64,
    /// What became of it.
    pub outcome: Outcome,
}

/// What is done with pieces.
pub(super) trait Worker {
    fn version(&mut self, carried: &CarriedVersion, files: &mut FilesIn<'_, '_>) -> Result<Taken>;

    fn run(&mut self, carried: &CarriedRun, queue: &mut Queue<'_>) -> Result<Taken>;
}

impl Workspace {
    /// Looks at everything that comes in, and tells what would become of it. Nothing is written.
    ///
    /// # Errors
    /// As [`Workspace::carry_in`].
    pub fn examine(&self, pieces: &mut dyn Pieces, options: &CarryOptions) -> Result<Vec<Taken>> {
        walk(pieces, options, &mut Examiner { inner: &self.inner, ids: HashSet::new() })
    }

    /// Takes in runs and artifact versions. What is here already stays as it is, so that the same may come in again; what was
    /// erased here for good stays away.
    ///
    /// Each run and each version becomes visible as a whole. A run of which a writer was at work has crashed here. Versions keep their
    /// numbers where these are free; so do aliases.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Damaged`] for pieces that no workspace gives; [`crate::ErrorKind::Exists`] for a run whose id another
    /// run has here; [`crate::ErrorKind::Busy`] if content that it relies on was removed meanwhile. What was taken in before
    /// stays.
    pub fn carry_in(&self, pieces: &mut dyn Pieces, options: &CarryOptions) -> Result<Vec<Taken>> {
        walk(pieces, options, &mut Storer { inner: &self.inner })
    }
}

fn walk(pieces: &mut dyn Pieces, options: &CarryOptions, worker: &mut dyn Worker) -> Result<Vec<Taken>> {
    let chosen = options.project.clone().map(|name| checked_name("project", name, &FORBIDDEN)).transpose()?;
    let project = |named: &str| match &chosen {
        Some(chosen) => Ok(chosen.clone()),
        None => checked_name("project", named.to_owned(), &FORBIDDEN).map_err(refused),
    };
    let mut queue = Queue::new(pieces);
    let mut all = Vec::new();
    while !queue.is_at_end()? {
        let version = queue.take(|piece| match piece {
            Arriving::Version(body) => Ok(body),
            other => Err(other),
        })?;
        if let Some(body) = version {
            let mut carried = opened::<CarriedVersion>(&body)?;
            carried.project = project(&carried.project)?;
            checked_artifact(&carried.name).map_err(refused)?;
            all.push(worker.version(&carried, &mut queue.files(FileClass::Artifact))?);
            continue;
        }
        let run = queue.take(|piece| match piece {
            Arriving::Run(body) => Ok(body),
            other => Err(other),
        })?;
        let mut carried = opened::<CarriedRun>(&run.ok_or_else(|| refused("a piece that nothing announced"))?)?;
        carried.project = project(&carried.project)?;
        checked_name("run id", carried.id.clone(), &FORBIDDEN).map_err(refused)?;
        all.push(worker.run(&carried, &mut queue)?);
    }
    Ok(all)
}
