//! Runs whose rows are not here: what is said of them came in, and their rows stay where a device published them, until
//! somebody reads them.
//!
//! The row that says so goes once all of a run's rows are here. docs/ARCHITECTURE.md, "What stays on the remote".

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use runcellar_format::record::{Body as _, RowsAway, RowsPlace};
use runcellar_format::seal::Kind;
use runcellar_format::{ObjectId, WriterId};

use super::data::RunData;
use crate::db::{Cover, ObjectKey, ReadTx, WriteTx};
use crate::keys::{Keyring, Purpose};
use crate::workspace::Inner;
use crate::{Error, ErrorKind, Result, Workspace};

/// Brings the rows of a run here.
pub(crate) type BringRows = dyn Fn(&Workspace, ObjectId) -> Result<()> + Send + Sync;

/// Where rows are that a handle lacks.
#[derive(Default)]
pub(crate) struct RowsSource {
    bring: Mutex<Option<Arc<BringRows>>>,
    there: Mutex<Option<Arc<RowsThere>>>,
}

/// What one device published, and was not fetched.
#[derive(Debug, Clone)]
pub(crate) struct RowsThere {
    pub(crate) place: RowsPlace,
    /// The runs of which something lies there.
    pub(crate) runs: HashSet<ObjectId>,
}

impl Inner {
    /// Has rows brought where they are read, or not any longer.
    pub(crate) fn set_bring_rows(&self, bring: Option<Arc<BringRows>>) {
        *self.rows_source.bring.lock().unwrap_or_else(PoisonError::into_inner) = bring;
    }

    /// Says, of a replica, what of its rows was left where its device published them.
    pub(crate) fn set_rows_there(&self, there: RowsThere) {
        *self.rows_source.there.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(there));
    }

    /// Returns what of a replica's rows was left where its device published them; none if this is no replica.
    pub(crate) fn rows_there(&self) -> Option<Arc<RowsThere>> {
        self.rows_source.there.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Workspace {
    /// Brings the rows of a run here, if they are not.
    ///
    /// # Errors
    /// [`ErrorKind::Evicted`] if nobody fetches them, or they cannot be fetched; [`ErrorKind::State`] if no device publishes them now.
    pub(crate) fn bring_rows(&self, run: ObjectId) -> Result<()> {
        match self.inner.read(|tx, keyring| refuse(tx, keyring, run)) {
            Err(error) if error.kind() == ErrorKind::Evicted => {
                let bring = self.inner.rows_source.bring.lock().unwrap_or_else(PoisonError::into_inner).clone();
                bring.ok_or(error)?(self, run)
            }
            here => here,
        }
    }

    /// Brings the rows of all wanted runs here that are not; nothing can be done about those that no device publishes now.
    ///
    /// # Errors
    /// As [`Workspace::bring_rows`].
    pub(crate) fn bring_all_rows(&self, is_wanted: impl Fn(ObjectId) -> bool) -> Result<()> {
        let away = self.inner.read(|tx, _| tx.object_ids(Kind::RowsAway))?;
        for run in away.into_iter().filter(|run| is_wanted(*run)) {
            match self.bring_rows(run) {
                Err(error) if error.kind() == ErrorKind::State => {}
                brought => brought?,
            }
        }
        Ok(())
    }
}

fn key_of(run: ObjectId) -> ObjectKey {
    ObjectKey::new(Kind::RowsAway, run, 0)
}

/// Returns where rows of a run lie that are not here; none if all are.
pub(crate) fn of(tx: &ReadTx<'_>, keyring: &Keyring, run: ObjectId) -> Result<Option<RowsAway>> {
    let Some(row) = tx.object(key_of(run))? else { return Ok(None) };
    let body = tx.open_object(keyring, &row)?;
    let away = RowsAway::from_body(&body);
    away.map(Some).map_err(|cause| Error::format(format_args!("where the rows of run {run} lie"), cause))
}

/// Returns the id by which the user knows a run.
pub(crate) fn id_of(tx: &ReadTx<'_>, keyring: &Keyring, run: ObjectId) -> Result<String> {
    Ok(super::store::load(tx, keyring, run)?.record.id)
}

/// Returns whether rows of a run are not here.
pub(crate) fn are(tx: &ReadTx<'_>, run: ObjectId) -> Result<bool> {
    Ok(tx.object(key_of(run))?.is_some())
}

/// Says where rows of a run lie that are not here.
pub(crate) fn put(tx: &mut WriteTx<'_>, run: ObjectId, away: &RowsAway) -> Result<()> {
    let body = away.to_body();
    let body = body.map_err(|cause| Error::format(format_args!("where the rows of run {run} lie"), cause))?;
    let control = tx.workspace_key(tx.keyring, Purpose::Control)?;
    tx.put(key_of(run), None, &control, &body, Cover::Root)?;
    Ok(())
}

/// Says that all rows of a run are here, or gone for good.
pub(crate) fn remove(tx: &mut WriteTx<'_>, run: ObjectId) -> Result<()> {
    tx.remove_object(key_of(run)).map(drop)
}

/// Returns the parts of a run's row groups that a replica lacks.
pub(crate) fn lacking(tx: &ReadTx<'_>, keyring: &Keyring, data: &RunData) -> Result<HashSet<(WriterId, u32, u32)>> {
    let here = tx.block_places(data.object)?;
    let groups = data.all_groups(tx, keyring)?;
    let parts =
        groups.iter().flat_map(|entry| (0..entry.parts).map(|part| (WriterId(entry.writer), entry.number, part)));
    Ok(parts.filter(|part| !here.contains(part)).collect())
}

/// Refuses to read the rows of a run that are not here.
///
/// # Errors
/// [`ErrorKind::Evicted`] if they are not.
pub(crate) fn refuse(tx: &ReadTx<'_>, keyring: &Keyring, run: ObjectId) -> Result<()> {
    if !are(tx, run)? {
        return Ok(());
    }
    let id = id_of(tx, keyring, run)?;
    let message = format!("run {id}: its rows lie on a remote alone; `runcellar fetch {id}` brings them here");
    Err(Error::new(ErrorKind::Evicted, message))
}
