//! The `keyslots` file, and how it stands to the root row.
//!
//! A rewrite of `keyslots` happens inside one write transaction, and the file is renamed into place before the
//! transaction commits, one version ahead of the root row. A crash in between leaves a file that is one version ahead,
//! authentic under the epoch key: whoever opens the workspace next takes it over. A file that is behind the root row is
//! an older one put back.

use std::path::Path;

use runcellar_format::keyslots::{FILE_BYTES_MAX, Keyslots};
use runcellar_format::record::RootRow;
use runcellar_format::seal::checksum;

use super::{Inner, KEYSLOTS, TMP};
use crate::db::{Db, EpochRow, WriteTx};
use crate::io::{self, Io};
use crate::keys::Keyring;
use crate::{Error, ErrorKind, Result};

/// How often an opener reads `keyslots` again because another process was rewriting it.
pub(super) const ATTEMPTS: usize = 5;

/// The `keyslots` file of a workspace and its bytes.
pub(super) struct KeyslotsFile {
    pub(super) keyslots: Keyslots,
    bytes: Vec<u8>,
}

impl KeyslotsFile {
    /// Reads the file. Its MACs are checked once a key is known.
    pub(super) fn read(io: &dyn Io, workspace: &Path) -> Result<Self> {
        let path = workspace.join(KEYSLOTS);
        let bytes = io.read(&path, FILE_BYTES_MAX as u64).map_err(|cause| Error::io("read", &path, cause))?;
        let named = |cause| Error::unreadable(format_args!("workspace {}", workspace.display()), cause);
        Ok(KeyslotsFile { keyslots: Keyslots::decode(&bytes).map_err(named)?, bytes })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads the file and checks its MACs.
    pub(super) fn read_verified(io: &dyn Io, workspace: &Path, keyring: &Keyring) -> Result<Self> {
        let file = Self::read(io, workspace)?;
        keyring.verify_keyslots(&file.keyslots, &file.bytes)?;
        Ok(file)
    }

    /// Returns true if the root key is being replaced: the file has the old epoch and the new one.
    pub(super) fn is_replacing(&self) -> bool {
        self.keyslots.epochs.len() > 1
    }

    /// Compares the file with the root row of the database that it belongs to.
    fn standing(&self, root: &RootRow) -> Standing {
        match self.keyslots.version.checked_sub(root.keyslots_version) {
            Some(0) if root.keyslots_hash == checksum(&self.bytes) => Standing::Same,
            Some(1) => Standing::Ahead,
            Some(0) | None => Standing::Replaced,
            Some(_) => Standing::DatabaseBehind,
        }
    }

    /// Returns whether the file and the database belong together.
    pub(super) fn fits(&self, epoch: EpochRow, root: impl FnOnce() -> Result<RootRow>) -> Result<bool> {
        Ok(self.mismatch(epoch, root)?.is_none())
    }

    /// Says how the file and the database do not belong together, if so.
    fn mismatch(&self, epoch: EpochRow, root: impl FnOnce() -> Result<RootRow>) -> Result<Option<&'static str>> {
        const OLDER: &str = "keyslots was replaced by an older or foreign file";
        const BEHIND: &str = "cellar.db is older than keyslots";
        let newest = self.keyslots.epochs.last().map_or(0, |epoch| epoch.number);
        if self.keyslots.epochs.iter().all(|known| known.id != epoch.id) {
            return Ok(Some(if newest > epoch.number { BEHIND } else { OLDER }));
        }
        Ok(match self.standing(&root()?) {
            Standing::Same | Standing::Ahead => None,
            Standing::Replaced => Some(OLDER),
            Standing::DatabaseBehind => Some(BEHIND),
        })
    }
}

/// How the `keyslots` file stands to the root row.
enum Standing {
    Same,
    /// A rewrite that did not reach its commit.
    Ahead,
    Replaced,
    DatabaseBehind,
}

fn do_not_belong_together(workspace: &Path, what: &str) -> Error {
    Error::damaged(format!("workspace {}: {what}", workspace.display()))
}

/// Returns the file and the root row that belong together, and whether a rewrite is still to be brought to its end.
///
/// The file is read before the database, so another process that rewrites it in between makes it look old: it is read
/// again before anything is called damage.
pub(super) fn settle_file(
    io: &dyn Io,
    workspace: &Path,
    keyring: &Keyring,
    db: &Db,
    mut file: KeyslotsFile,
) -> Result<(KeyslotsFile, RootRow, bool)> {
    let mut attempt = 0;
    loop {
        let (what, root) = db.read(|tx| {
            let mut found = None;
            let what = file.mismatch(tx.epoch(), || Ok(found.insert(tx.root(keyring)?).clone()))?;
            Ok((what, found))
        })?;
        let what = match (what, root) {
            (None, Some(root)) => {
                let unfinished = file.is_replacing() || !matches!(file.standing(&root), Standing::Same);
                return Ok((file, root, unfinished));
            }
            (what, _) => what.unwrap_or_default(),
        };
        attempt += 1;
        if attempt == ATTEMPTS {
            return Err(do_not_belong_together(workspace, what));
        }
        file = KeyslotsFile::read_verified(io, workspace, keyring)?;
    }
}

/// Reads `keyslots` inside a write transaction, to rewrite it.
pub(super) fn read_to_change(inner: &Inner, tx: &WriteTx<'_>) -> Result<KeyslotsFile> {
    let file = KeyslotsFile::read_verified(tx.io, &inner.path, tx.keyring)?;
    match file.mismatch(tx.epoch(), || Ok(tx.root().clone()))? {
        None => Ok(file),
        Some(what) => Err(do_not_belong_together(&inner.path, what)),
    }
}

/// As [`read_to_change`], for a change that goes from one epoch to itself.
pub(super) fn read_settled(inner: &Inner, tx: &WriteTx<'_>) -> Result<KeyslotsFile> {
    let file = read_to_change(inner, tx)?;
    match file.is_replacing() {
        false => Ok(file),
        true => Err(Error::new(ErrorKind::Busy, "keyslots: the keys are being replaced")),
    }
}

/// Puts `keyslots` into place, and the root row in step. To be called last before the commit, so that a failure leaves
/// the file alone.
pub(super) fn rewrite(inner: &Inner, tx: &mut WriteTx<'_>, keyslots: &mut Keyslots) -> Result<()> {
    // One ahead of the root row, whatever a crash left: two ahead would be taken for a database put back.
    keyslots.version = tx.root().keyslots_version + 1;
    let bytes = tx.keyring.encode_keyslots(keyslots)?;
    let root = tx.root_mut();
    (root.keyslots_version, root.keyslots_hash) = (keyslots.version, checksum(&bytes));
    let temporary = inner.path.join(TMP).join(format!("{}.{KEYSLOTS}", runcellar_format::KeyId(io::random(tx.io)?)));
    let path = inner.path.join(KEYSLOTS);
    io::replace(tx.io, &path, &temporary, &bytes).map_err(|cause| Error::io("write", &path, cause))
}

/// Brings the root row up to a `keyslots` file whose rewrite was cut off before its commit.
pub(super) fn take_over(inner: &Inner) -> Result<()> {
    inner.write(None, |tx| {
        // Inside the write lock: whoever was rewriting has committed by now, or is gone.
        let file = read_to_change(inner, tx)?;
        if matches!(file.standing(tx.root()), Standing::Ahead) {
            let root = tx.root_mut();
            (root.keyslots_version, root.keyslots_hash) = (file.keyslots.version, checksum(&file.bytes));
        }
        Ok(())
    })
}
