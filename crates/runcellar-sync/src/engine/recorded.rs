//! A remote of which the ledger knows: each object is written down before it is sent or deleted.

use std::ops::{ControlFlow, Range};

use runcellar::remotes::{Exchange, LedgerWriter};
use runcellar_format::object::SealedObject;

use super::names::{pack_named, subject_of};
use super::{Failure, Outcome};
use crate::remote::{Entry, ObjectName, Remote};
use crate::{Error, ErrorKind, Result};

/// Writes down what goes to a remote.
///
/// Who stores or deletes goes through this, so nothing is sent without a line. A process that dies between the line and the
/// answer leaves one that says that it may have been sent.
pub(super) struct Recorded<'a> {
    remote: &'a dyn Remote,
    prefix: String,
    ledger: LedgerWriter<'a>,
}

impl<'a> Recorded<'a> {
    pub(super) fn new(exchange: &'a Exchange, remote: &'a dyn Remote) -> Outcome<Recorded<'a>> {
        Ok(Recorded { remote, prefix: exchange.prefix(), ledger: exchange.ledger()? })
    }

    /// Does the work, and has it remembered how far the ledger goes, however it ends.
    pub(super) fn during<T>(&self, work: impl FnOnce(&dyn Remote) -> Outcome<T>) -> Outcome<T> {
        let outcome = work(self);
        let settled = self.ledger.settle().map_err(Failure::from);
        outcome.and_then(|value| settled.map(|()| value))
    }

    fn put_recorded<T>(
        &self,
        name: &ObjectName,
        object: &SealedObject,
        put: impl FnOnce() -> Result<T>,
        is_stored: impl FnOnce(&T) -> bool,
    ) -> Result<T> {
        let pack = pack_named(name);
        let subject = subject_of(&self.prefix, name, pack.as_ref());
        self.ledger.sending(name.as_str(), subject, object).map_err(|error| local(name, &error))?;
        let answer = put()?;
        if is_stored(&answer) {
            self.ledger.sent(name.as_str()).map_err(|error| local(name, &error))?;
        }
        Ok(answer)
    }
}

fn local(name: &ObjectName, error: &runcellar::Error) -> Error {
    Error::new(ErrorKind::Local, format!("the ledger cannot be written: {error}")).of(name)
}

impl Remote for Recorded<'_> {
    fn put_new(&self, name: &ObjectName, object: &SealedObject) -> Result<bool> {
        self.put_recorded(name, object, || self.remote.put_new(name, object), |stored| *stored)
    }

    fn put(&self, name: &ObjectName, object: &SealedObject) -> Result<()> {
        self.put_recorded(name, object, || self.remote.put(name, object), |()| true)
    }

    fn get(&self, name: &ObjectName, range: Option<Range<u64>>) -> Result<Option<Vec<u8>>> {
        self.remote.get(name, range)
    }

    fn list(&self, below: Option<&ObjectName>, each: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> Result<()> {
        self.remote.list(below, each)
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        self.ledger.deleting(name.as_str()).map_err(|error| local(name, &error))?;
        self.remote.delete(name)?;
        self.ledger.deleted(name.as_str()).map_err(|error| local(name, &error))
    }

    fn delete_older(&self, name: &ObjectName) -> Result<()> {
        self.ledger.deleting(name.as_str()).map_err(|error| local(name, &error))?;
        self.remote.delete_older(name)?;
        self.ledger.deleted_older(name.as_str()).map_err(|error| local(name, &error))
    }

    fn head(&self, name: &ObjectName) -> Result<Option<u64>> {
        self.remote.head(name)
    }
}
