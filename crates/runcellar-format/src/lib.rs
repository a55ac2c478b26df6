//! The bytes of a runcellar workspace.
//!
//! Everything that stands on a disk or a remote is made and read here: sealed objects ([`seal`]), the ways to unlock
//! a workspace ([`keyslots`]), journals ([`journal`]), row groups ([`block`]), packs of chunks ([`blob`]), record bodies ([`record`]) and what remotes
//! hold ([`object`]).
//! docs/FORMAT.md is the normative description; each module names its section.
//!
//! What must never be in this crate: files, clocks, randomness, SQL, threads. Every byte sequence given to a decoder
//! ends in a value or a [`FormatError`], never in a panic, and no length is trusted before its limit is checked.

mod aead;
pub mod backup;
pub mod blob;
pub mod block;
pub mod catalogue;
pub mod codec;
mod error;
#[doc(hidden)]
pub mod fuzz;
pub mod histogram;
mod id;
pub mod ingester;
pub mod journal;
pub mod keyslots;
pub mod ledger;
pub mod mirror;
pub mod object;
pub mod overview;
pub mod pair;
pub mod record;
pub mod seal;
mod secret;
pub mod sign;
pub mod sum;
pub mod sync;
pub mod tar;
pub mod value;
mod zframe;

pub use error::{FormatError, Result};
pub use id::{
    ChunkId, DeviceId, EpochId, JournalId, KeyId, LineageId, MediaId, ObjectId, SlotId, WorkspaceId, WriterId,
};
pub use secret::Secret;
