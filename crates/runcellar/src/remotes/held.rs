//! Runs in which secrets were found: they are held back, whole, until that is resolved.
//!
//! What was searched of a run stands in the own replica beside the rows that were published, so that each content is searched
//! once. A run of which something was not searched yet is not published either: [`Exchange::search_all`] comes first.

use std::collections::HashSet;

use runcellar_format::ObjectId;
use runcellar_format::record::{Body as _, Searched};
use runcellar_format::seal::{Kind, checksum};

use super::content::classes_of;
use super::exchange::Exchange;
use super::outgoing::Look;
use super::record::{find, load};
use super::search;
use crate::blob::Class;
use crate::db::{Cover, ObjectKey, ReadTx, WriteTx};
use crate::ingest::data::RunData;
use crate::keys::{Keyring, Purpose};
use crate::secrets::{Finding, Scanner, allowed_by};
use crate::workspace::settings::{self, LOCAL_ONLY};
use crate::{Error, Result, RunInfo, Workspace};

/// Runs that are searched before what was found is kept.
const BATCH: usize = 256;
/// Places that are named of what holds a run.
const PLACES: usize = 3;

/// A run that is held back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldRun {
    /// The id.
    pub id: String,
    /// The name.
    pub name: String,
    /// The project's name.
    pub project: String,
    /// What was found, and is not allowed.
    pub findings: Vec<Finding>,
    /// True if an earlier state of it was published by this device: that cannot be unsent.
    pub is_published: bool,
}

impl HeldRun {
    /// Returns what holds it, and how to go on; no secret.
    #[must_use]
    pub fn why(&self) -> String {
        let places: Vec<&str> = self.findings.iter().take(PLACES).map(|finding| finding.place.as_str()).collect();
        let (places, id) = (places.join(", "), &self.id);
        let more = if self.findings.len() > PLACES { ", and more" } else { "" };
        let what = if self.findings.len() == 1 { "a secret" } else { "secrets" };
        let before =
            if self.is_published { "; what was sent of it before stays there until purge takes it back" } else { "" };
        format!("held back: {what} in it ({places}{more}); runcellar secrets {id} says what to do{before}")
    }
}

/// How a run stands that is to be published.
pub(super) enum Cleared {
    /// Something of it was not searched yet.
    Unsearched,
    /// Secrets were found.
    Held(Vec<Finding>),
    Yes,
}

impl Look<'_, '_> {
    /// Returns whether a run was searched, and may leave.
    pub(super) fn is_cleared(&self, out: &ReadTx<'_>, run: ObjectId, allowed: &HashSet<String>) -> Result<Cleared> {
        let Some(searched) = searched(out, self.keyring, run)? else { return Ok(Cleared::Unsearched) };
        let mark = mark(self.tx, run, &self.exchange.searched_classes())?;
        if searched.rules != search::RULES || searched.mark != mark {
            return Ok(Cleared::Unsearched);
        }
        let findings = search::open_findings(&searched, allowed);
        Ok(if findings.is_empty() { Cleared::Yes } else { Cleared::Held(findings) })
    }

    /// Returns the runs that may be new for the remote, and were not searched since they changed.
    fn unsearched(&self, out: &ReadTx<'_>) -> Result<Vec<ObjectId>> {
        let projects = crate::artifacts::project_names(self.tx, self.keyring)?;
        let (allowed, mut all) = (HashSet::new(), Vec::new());
        for run in self.tx.object_ids(Kind::Run)? {
            let is_new = self.is_changed(out, run)? || !self.files_of(out, run)?.is_empty();
            if !is_new || !matches!(self.is_cleared(out, run, &allowed)?, Cleared::Unsearched) {
                continue;
            }
            let Some(row) = self.tx.object(ObjectKey::new(Kind::Run, run, 0))? else { continue };
            let record = RunData::without_series(self.tx, self.keyring, &row)?.record;
            let project = projects.get(&ObjectId(record.project)).map(String::as_str).unwrap_or_default();
            if self.is_wanted(project) && record.tags.iter().all(|tag| tag.name != LOCAL_ONLY) {
                all.push(run);
            }
        }
        Ok(all)
    }

    /// Returns the findings that are no secrets.
    pub(super) fn allowed(&self) -> Result<HashSet<String>> {
        allowed_by(&settings::load(self.tx, self.keyring)?)
    }
}

impl Exchange {
    fn searched_classes(&self) -> Vec<Class> {
        classes_of(&self.remote).filter(|class| *class != Class::Artifacts).collect()
    }

    /// Searches all runs for secrets that may be new for the remote, as far as they were not yet.
    pub(super) fn search_all(&self) -> Result<()> {
        // No other devices' replicas: what they have is searched once here, too, which costs less than to compare it twice.
        let unsearched = self.workspace.inner.read(|tx, keyring| {
            let look = Look::of(self, (tx, keyring), &[])?;
            self.own.inner().read(|out, _| look.unsearched(out))
        })?;
        self.search(&unsearched)
    }

    fn search(&self, runs: &[ObjectId]) -> Result<()> {
        let (inner, own, classes) = (&self.workspace.inner, self.own.inner(), self.searched_classes());
        for batch in runs.chunks(BATCH) {
            let mut done = Vec::new();
            for run in batch {
                // What changes meanwhile has another mark, and is searched again.
                let mark = inner.read(|tx, _| mark(tx, *run, &classes))?;
                let known = own.read(|out, keyring| searched(out, keyring, *run))?.unwrap_or_default();
                if let Some(searched) = search::search(inner, *run, &classes, known)? {
                    done.push((*run, Searched { mark, ..searched }));
                }
            }
            own.write(None, |out| done.iter().try_for_each(|(run, searched)| put(out, *run, searched)))?;
        }
        Ok(())
    }

    /// Returns what holds a run back; none if nothing does, or it was not searched yet.
    fn held(&self, run: &RunInfo) -> Result<Option<HeldRun>> {
        self.workspace.inner.read(|tx, keyring| {
            let look = Look::of(self, (tx, keyring), &[])?;
            let allowed = look.allowed()?;
            self.own.inner().read(|out, _| {
                let Cleared::Held(findings) = look.is_cleared(out, run.object, &allowed)? else { return Ok(None) };
                let is_published = out.object(ObjectKey::new(Kind::Run, run.object, 0))?.is_some();
                let (id, name, project) = (run.id.clone(), run.name.clone(), run.project.clone());
                Ok(Some(HeldRun { id, name, project, findings, is_published }))
            })
        })
    }
}

impl Workspace {
    /// Returns what holds a run back from a remote; none if nothing does, or nobody looked yet.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] if there is no such remote; if the workspace cannot be read.
    pub fn held_run(&self, name: &str, run: &RunInfo) -> Result<Option<HeldRun>> {
        let remotes = self.inner.read(load)?;
        let exchange = self.look_at(&remotes.all[find(&remotes, name)?])?;
        exchange.map_or(Ok(None), |exchange| exchange.held(run))
    }

    /// Looks for secrets in all that a run has: record, logged texts, code and media. What is allowed
    /// ([`Workspace::allow_findings`]) is left out.
    ///
    /// # Errors
    /// If the run cannot be read.
    pub fn search_run(&self, run: &RunInfo) -> Result<Vec<Finding>> {
        let allowed = self.inner.read(|tx, keyring| allowed_by(&settings::load(tx, keyring)?))?;
        let searched = search::search(&self.inner, run.object, &[Class::Code, Class::Media], Searched::default())?;
        Ok(searched.map_or_else(Vec::new, |searched| search::open_findings(&searched, &allowed)))
    }
}

impl Workspace {
    /// Takes the secrets that stand in a run out of its record and of what it logged; returns what it took out. What stands in
    /// code and media stays, and so does what is allowed.
    ///
    /// # Errors
    /// [`crate::ErrorKind::State`] while the run is being recorded; if the workspace cannot be written.
    pub fn redact_run(&self, run: &RunInfo) -> Result<Vec<Finding>> {
        let scanner = self.inner.read(|tx, keyring| {
            let allowed = allowed_by(&settings::load(tx, keyring)?)?;
            Ok(Scanner::new(tx.workspace_key(keyring, Purpose::Lookup)?.secret().duplicate(), allowed))
        })?;
        let found = crate::ingest::redact(&self.inner, run, &scanner)?;
        let mut seen = HashSet::new();
        Ok(found.into_iter().filter(|finding| seen.insert(finding.id.clone())).collect())
    }
}

/// Returns the hash of the versions of all that is searched of a run.
fn mark(tx: &ReadTx<'_>, run: ObjectId, classes: &[Class]) -> Result<[u8; 32]> {
    let mut all = Vec::new();
    for kind in [Kind::Run, Kind::Head] {
        let row = tx.object(ObjectKey::new(kind, run, 0))?;
        all.extend_from_slice(&row.map_or([0; 32], |row| checksum(&row.body)));
    }
    for class in classes {
        for (position, device, seq) in tx.versions_within(Kind::Manifest, run, class.positions())? {
            all.extend_from_slice(&position.to_le_bytes());
            all.extend_from_slice(&device.0);
            all.extend_from_slice(&seq.to_le_bytes());
        }
    }
    Ok(checksum(&all))
}

fn searched(out: &ReadTx<'_>, keyring: &Keyring, run: ObjectId) -> Result<Option<Searched>> {
    let Some(row) = out.object(ObjectKey::new(Kind::Searched, run, 0))? else { return Ok(None) };
    let body = out.open_object(keyring, &row)?;
    let named = |cause| Error::format(format_args!("what was searched of run {run}"), cause);
    Searched::from_body(&body).map(Some).map_err(named)
}

/// What a device published does not count this row.
fn put(out: &mut WriteTx<'_>, run: ObjectId, searched: &Searched) -> Result<()> {
    let key = out.workspace_key(out.keyring, Purpose::Integrity)?;
    let body = searched.to_body().map_err(|cause| Error::format("what was searched", cause))?;
    out.put(ObjectKey::new(Kind::Searched, run, 0), None, &key, &body, Cover::Head).map(drop)
}

/// Forgets what was searched of a run that is gone.
pub(super) fn forget(out: &mut WriteTx<'_>, run: ObjectId) -> Result<()> {
    out.take_object(ObjectKey::new(Kind::Searched, run, 0))
}
