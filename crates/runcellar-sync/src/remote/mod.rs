//! Remotes: places that hold sealed objects, behind one small blocking trait.
//!
//! A remote is trusted with nothing: it may be slow, full, forgetful, out of date or hostile. What it gives back is bytes of
//! a bounded length, and whoever asked finds out whether they are the right ones. Nothing above relies on listings, on
//! conditional writes, on clocks, or on hashes that a server computes.
//!
//! What must never be here: keys, plaintext, what an object means.

mod clock;
mod credentials;
pub mod fake;
mod folder;
mod http;
mod location;
mod name;
mod open;
mod pace;
mod retry;
mod s3;
mod webdav;
mod xml;

use std::ops::{ControlFlow, Range};

use runcellar_format::object::SealedObject;
pub use runcellar_format::object::{OBJECT_BYTES_MAX, ReadAt};

use crate::Result;

pub use clock::{Clock, SystemClock};
pub use folder::Folder;
pub use location::{Bucket, Collection, Location};
pub use name::{NAME_BYTES_MAX, NAME_SEGMENTS_MAX, ObjectName};
pub use open::{Options, open};
pub use pace::Pace;
pub use retry::{Retries, Retry};

/// A place that holds sealed objects.
///
/// All methods may be called from many threads at once. A failed call may have been carried out nevertheless: the answer can
/// be lost on its way. Doing it again is safe, for every one of them.
pub trait Remote: Send + Sync {
    /// Stores an object under a name that nothing has; false if something has it.
    ///
    /// Best effort: a remote without conditional writes may overwrite what another has stored at the same moment, and after a
    /// lost answer one's own object is found. So only equal bytes ever go under one name; after false the caller looks.
    ///
    /// # Errors
    /// Those of [`crate::ErrorKind`]; the object is then there as a whole or not at all.
    fn put_new(&self, name: &ObjectName, object: &SealedObject) -> Result<bool>;

    /// Stores an object, in the place of what has the name; a reader gets the whole old one or the whole new one.
    ///
    /// By WebDAV it may get none for a moment, and servers with a cache may show a mixture: who would draw conclusions from an
    /// object that is gone or broken asks again.
    ///
    /// # Errors
    /// Those of [`crate::ErrorKind`].
    fn put(&self, name: &ObjectName, object: &SealedObject) -> Result<()>;

    /// Returns an object or, of what it has, the bytes of a range; none if nothing has the name.
    ///
    /// A range that reaches beyond the end gives what is there. What is asked for is at most [`OBJECT_BYTES_MAX`]; an
    /// object that is longer was not made by [`Remote::put`].
    ///
    /// # Errors
    /// [`crate::ErrorKind::Damaged`] if an answer is shorter or longer than the remote said, or longer than any object.
    fn get(&self, name: &ObjectName, range: Option<Range<u64>>) -> Result<Option<Vec<u8>>>;

    /// Tells all objects below a folder, or all there are, in no order, until told to stop.
    ///
    /// A hint only: what was stored a moment ago may be missing, and what was deleted may be told. What is named as no object
    /// is passed over. Memory does not grow with what is listed.
    ///
    /// # Errors
    /// Those of [`crate::ErrorKind`].
    fn list(&self, below: Option<&ObjectName>, each: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> Result<()>;

    /// Deletes an object with all versions that the remote keeps of it; it is no error if nothing has the name.
    ///
    /// # Errors
    /// [`crate::ErrorKind::ObjectLocked`] if a version may not be deleted yet.
    fn delete(&self, name: &ObjectName) -> Result<()>;

    /// Deletes what an object was before it was replaced, where the remote keeps that; the object stays.
    ///
    /// # Errors
    /// [`crate::ErrorKind::ObjectLocked`] if a version may not be deleted yet.
    fn delete_older(&self, name: &ObjectName) -> Result<()>;

    /// Returns the length of an object; none if nothing has the name.
    ///
    /// # Errors
    /// Those of [`crate::ErrorKind`].
    fn head(&self, name: &ObjectName) -> Result<Option<u64>>;

    /// Makes the folder or collection that all objects are below, in one that is there; nothing where it is there, and
    /// where whoever runs the storage makes it, as a bucket.
    ///
    /// Nothing else makes it: a disk that is not mounted would be taken for an empty remote.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NoSuchPlace`] if what should be around it is not there, and others of [`crate::ErrorKind`].
    fn make_place(&self) -> Result<()> {
        Ok(())
    }
}

/// An object that a listing told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The object.
    pub name: ObjectName,
    /// Its length, as the remote says.
    pub bytes: u64,
}

impl<R: Remote + ?Sized> Remote for Box<R> {
    fn put_new(&self, name: &ObjectName, object: &SealedObject) -> Result<bool> {
        (**self).put_new(name, object)
    }

    fn put(&self, name: &ObjectName, object: &SealedObject) -> Result<()> {
        (**self).put(name, object)
    }

    fn get(&self, name: &ObjectName, range: Option<Range<u64>>) -> Result<Option<Vec<u8>>> {
        (**self).get(name, range)
    }

    fn list(&self, below: Option<&ObjectName>, each: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> Result<()> {
        (**self).list(below, each)
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        (**self).delete(name)
    }

    fn delete_older(&self, name: &ObjectName) -> Result<()> {
        (**self).delete_older(name)
    }

    fn head(&self, name: &ObjectName) -> Result<Option<u64>> {
        (**self).head(name)
    }

    fn make_place(&self) -> Result<()> {
        (**self).make_place()
    }
}
