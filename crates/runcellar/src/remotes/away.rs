//! A device that was away for long, or that found something wrong: it looks whether all is there that it believes to be, before
//! it publishes what rests on it. Storage has rules of its own: what is old is collected, what a program synced is removed.

use std::collections::BTreeSet;

use runcellar_format::ObjectId;

use super::exchange::Exchange;
use super::packs::PackName;
use super::replica::{cursor, put_cursor};
use super::status::last_of;
use crate::merge::{LeftOut, is_theirs};
use crate::{Error, Result};

/// After so long without a sync that came to its end a device looks after what it published, microseconds: the shortest time after which storage is commonly told
/// to collect what is old is some weeks, and a look costs a request for each 1,000 objects.
const AWAY_US: i64 = 7 * 24 * 3600 * 1_000_000;

/// What stands for [`Repair::All`] among ids of packs, and for [`Repair::Welcome`].
const ALL: [u8; 16] = [0; 16];
const WELCOME: [u8; 16] = [0xff; 16];

/// What a device believes to be on a remote.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Believed {
    /// Its segments, with their bytes if they are known.
    pub segments: Vec<(u64, Option<u64>)>,
    /// Its packs, with their bytes if they are here.
    pub packs: Vec<(PackName, Option<u64>)>,
    /// Segments, or the welcome, were found altered: everything is to be published anew.
    pub is_altered: bool,
    /// Packs that were found altered.
    pub altered: BTreeSet<PackName>,
    /// Packs that are not whole here, and could not be sent again.
    pub hurt: Vec<LeftOut>,
}

/// What of it is to be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair<'a> {
    /// Everything that is published, as a new generation: the bytes of segments are kept nowhere else.
    All,
    /// The welcome.
    Welcome,
    /// This pack.
    Pack(&'a PackName),
}

impl Exchange {
    /// Returns what is to be looked after: this device was away for long by its clock, the clock went back, or something was found
    /// wrong. None if it was here lately, or published nothing yet.
    ///
    /// # Errors
    /// If the workspace cannot be read.
    pub fn to_look_after(&self) -> Result<Option<Believed>> {
        let at = self.own.cursor()?;
        let (found, now) = (at.altered(), self.workspace.inner.io.wall_us());
        let was_here = last_of(&at.extra)?.succeeded.is_none_or(|then| (now - AWAY_US..=now).contains(&then));
        if at.headed < at.first() || (was_here && found.is_empty()) {
            return Ok(None);
        }
        let (published, sent) = (self.published()?, self.sent_bytes()?);
        let mut believed = Believed::default();
        for number in published.from..=published.to {
            let name = format!("{}/{number:010}", self.prefix());
            believed.segments.push((number, sent.get(&name).copied()));
        }
        for pack in published.packs {
            if let Some(bytes) = self.evicted(&pack)? {
                let (what, why) =
                    (format!("pack {}", pack.pack), "it was evicted, and the remote has lost it".to_owned());
                believed.hurt.push(LeftOut { what, why, damaged: true });
                believed.packs.push((pack, Some(bytes)));
                continue;
            }
            match self.pack(&pack) {
                Ok(object) => believed.packs.push((pack, object.map(|object| object.len()))),
                Err(error) if is_theirs(&error) => {
                    let (what, why) = (format!("pack {}", pack.pack), error.to_string());
                    believed.hurt.push(LeftOut { what, why, damaged: true });
                    believed.packs.push((pack, None));
                }
                Err(error) => return Err(error),
            }
        }
        for id in found {
            match id {
                ALL => believed.is_altered = true,
                // It is looked at in any case.
                WELCOME => {}
                id => drop(believed.altered.insert(PackName::new(at.device, ObjectId(id)))),
            }
        }
        Ok(Some(believed))
    }

    /// Has the next sync send again what was found altered or missing.
    ///
    /// # Errors
    /// If the own replica cannot be written.
    pub fn mark(&self, repair: Repair<'_>) -> Result<()> {
        let id = match repair {
            Repair::All => ALL,
            Repair::Welcome => WELCOME,
            Repair::Pack(pack) => {
                let id = ObjectId::from_hex(&pack.pack);
                id.ok_or_else(|| Error::invalid(format!("{}: no pack", pack.pack)))?.0
            }
        };
        self.own.inner().write(None, |tx| {
            let mut at = cursor(tx, tx.keyring, self.own.prefix)?;
            let mut all = at.altered();
            if !all.contains(&id) {
                all.push(id);
            }
            at.set_altered(&all);
            put_cursor(tx, self.own.prefix, &at)
        })
    }

    /// Says that all is there, or was sent again.
    ///
    /// # Errors
    /// If the own replica cannot be written.
    pub fn looked_after(&self) -> Result<()> {
        if self.own.cursor()?.altered().is_empty() {
            return Ok(());
        }
        self.own.inner().write(None, |tx| {
            let mut at = cursor(tx, tx.keyring, self.own.prefix)?;
            at.set_altered(&[]);
            put_cursor(tx, self.own.prefix, &at)
        })
    }

    /// Has the welcome stored again.
    ///
    /// # Errors
    /// If the own replica cannot be written.
    pub fn forget_welcome(&self) -> Result<()> {
        self.own.inner().write(None, |tx| {
            let mut at = cursor(tx, tx.keyring, self.own.prefix)?;
            at.forget_welcome();
            put_cursor(tx, self.own.prefix, &at)
        })
    }
}
