//! What this device published, beside what was read back of it.

use std::collections::HashSet;

use runcellar_format::record::{DeviceHead, Segment};
use runcellar_format::seal::checksum;
use runcellar_format::sync::segment_hash;

use super::exchange::Exchange;
use super::packs::PackName;
use crate::blob::{away_of, has_file};
use crate::keys::Purpose;
use crate::{Error, ErrorKind, Result};

/// What is to be found on a remote of this device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The first segment.
    pub from: u64,
    /// The last; below `from` if nothing was published.
    pub to: u64,
    /// Packs, in order of their names.
    pub packs: Vec<PackName>,
}

impl Exchange {
    /// Returns what this device has published.
    ///
    /// # Errors
    /// If the own replica cannot be read.
    pub fn published(&self) -> Result<Published> {
        let at = self.own.cursor()?;
        let waiting: HashSet<PackName> = self.packs()?.into_iter().collect();
        let mut packs: Vec<PackName> = self.told()?.into_iter().filter(|pack| !waiting.contains(pack)).collect();
        packs.sort_unstable();
        Ok(Published { from: at.first(), to: at.headed, packs })
    }

    /// Compares a segment that was read back with the hash of the one before, if that was whole; returns its own.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] if it is not what this device published there.
    pub fn verify_segment(&self, number: u64, previous: Option<[u8; 32]>, sealed: &[u8]) -> Result<[u8; 32]> {
        let key = self.own.inner().read(|tx, keyring| tx.workspace_key(keyring, Purpose::Control))?;
        let segment = Segment::open(&key, self.workspace_id(), self.own.prefix, number, sealed)
            .map_err(|cause| Error::damaged(cause.to_string()).with_cause(cause))?;
        match previous.is_none_or(|previous| segment.previous == previous) {
            true => Ok(segment_hash(sealed)),
            false => Err(Error::damaged("it does not follow the segment before it")),
        }
    }

    /// Compares the head that was read back, and the hash of the last segment if that was whole, with what this device
    /// published: so all segments before are the ones that it published, as each has the hash of the one before.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] if it is something else.
    pub fn verify_head(&self, sealed: &[u8], last: Option<[u8; 32]>) -> Result<()> {
        let at = self.own.cursor()?;
        let (key, sum) = self
            .own
            .inner()
            .read(|tx, keyring| Ok((tx.workspace_key(keyring, Purpose::Control)?, tx.root(keyring)?.sum)))?;
        let head = DeviceHead::open(&key, self.workspace_id(), self.own.prefix, sealed)
            .map_err(|cause| Error::damaged(cause.to_string()).with_cause(cause))?;
        if head.number != at.headed {
            let message = format!("it speaks of segment {}, and {} was published", head.number, at.headed);
            return Err(Error::damaged(message));
        }
        // What waits to be sent is in the replica already.
        let is_all = at.number == at.headed;
        if is_all && (head.segment != at.segment || head.sum != sum) {
            return Err(Error::damaged("it speaks of other rows than were published"));
        }
        match last.is_none_or(|last| last == head.segment) {
            true => Ok(()),
            false => Err(Error::damaged("the last segment is not the one of which it speaks")),
        }
    }

    /// Compares the welcome that was read back with the one that was stored last.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] if it is another.
    pub fn verify_welcome(&self, welcome: &[u8]) -> Result<()> {
        match self.own.cursor()?.welcome().is_none_or(|known| known == checksum(welcome)) {
            true => Ok(()),
            false => Err(Error::damaged("it is not the one that was stored last")),
        }
    }

    /// Compares a pack that was read back with the one that is here, byte by byte; with the hash of one that was evicted.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] if it is something else; [`ErrorKind::NotFound`] if it is not here any more.
    pub fn verify_pack(&self, pack: &PackName, bytes: &[u8]) -> Result<()> {
        let (inner, id) = (&self.workspace.inner, pack.id()?);
        let away = inner.read(|tx, keyring| away_of(tx, keyring, id))?.filter(|_| !has_file(inner, id));
        if let Some(away) = away {
            return match checksum(bytes) == away.hash {
                true => Ok(()),
                false => Err(Error::damaged("it is not the pack that was evicted")),
            };
        }
        let gone = || Error::new(ErrorKind::NotFound, format!("pack {}: it is not here any more", pack.pack));
        let here = self.pack(pack)?.ok_or_else(gone)?;
        let here = here.read().map_err(|cause| Error::new(ErrorKind::Io, format!("pack {}: {cause}", pack.pack)))?;
        match here.as_ref() as &[u8] == bytes {
            true => Ok(()),
            false => Err(Error::damaged("it is not the pack that is here")),
        }
    }
}
