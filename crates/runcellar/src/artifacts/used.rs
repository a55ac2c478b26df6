//! Which runs made and used which versions.

use runcellar_format::ObjectId;

use super::ArtifactVersion;
use super::records;
use crate::{Error, ErrorKind, Result, RunInfo, Workspace};

/// The versions that a run made and used, by project, name and number.
#[derive(Debug, Clone, Default)]
pub struct RunArtifacts {
    /// Versions that it put, also those whose content was there already.
    pub made: Vec<ArtifactVersion>,
    /// Versions that it used.
    pub used: Vec<ArtifactVersion>,
}

/// The runs that a version came from and went into.
#[derive(Debug, Clone, Default)]
pub struct VersionRuns {
    /// Runs that put its content, the first one first.
    pub made: Vec<RunInfo>,
    /// Runs that used it, the first one first.
    pub used: Vec<RunInfo>,
}

impl Workspace {
    /// Records that a run uses a version; of a link, the version that it links to. Once is enough.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the version was removed; if the workspace cannot be written.
    pub fn use_version(&self, version: &ArtifactVersion, run: &RunInfo) -> Result<()> {
        if version.used_by.iter().any(|(user, _)| *user == run.object.to_string()) {
            return Ok(());
        }
        self.inner.write(None, |tx| {
            let mut stored = records::find_version(tx, tx.keyring, version.object)?.ok_or_else(|| version.is_gone())?;
            if stored.record.used_by.iter().any(|(user, _)| ObjectId(*user) == run.object) {
                return Ok(());
            }
            stored.record.used_by.push((run.object.0, tx.io.wall_us()));
            records::store_version(tx, &stored).map(drop)
        })
    }

    /// Returns the versions that a run made and used.
    ///
    /// # Errors
    /// If the workspace cannot be read.
    pub fn artifacts_of_run(&self, run: &RunInfo) -> Result<RunArtifacts> {
        let run = run.object.to_string();
        let all = self.artifacts(None)?;
        // Links would name the same content twice.
        let versions = all.into_iter().filter(|version| version.links_to.is_none());
        let mut found = RunArtifacts::default();
        for version in versions {
            if version.makers().any(|maker| *maker == run) {
                found.made.push(version.clone());
            }
            if version.used_by.iter().any(|(user, _)| *user == run) {
                found.used.push(version);
            }
        }
        Ok(found)
    }

    /// Returns the runs that made and used a version, but for those that are gone.
    ///
    /// # Errors
    /// If the workspace cannot be read.
    pub fn runs_of_version(&self, version: &ArtifactVersion) -> Result<VersionRuns> {
        let mut runs = VersionRuns::default();
        for maker in version.makers() {
            runs.made.extend(self.run_of_object(maker)?);
        }
        for (user, _) in &version.used_by {
            runs.used.extend(self.run_of_object(user)?);
        }
        Ok(runs)
    }
}

impl ArtifactVersion {
    /// Returns the runs that put this content, the first one first.
    pub(super) fn makers(&self) -> impl Iterator<Item = &String> {
        self.made_by.iter().chain(&self.made_again_by)
    }

    /// The error of a version that was removed since it was looked up.
    pub(super) fn is_gone(&self) -> Error {
        Error::new(ErrorKind::NotFound, format!("no version {}", self.full_name()))
    }
}
