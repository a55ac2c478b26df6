//! Erasing: runs, classes of runs, versions, artifacts and projects leave the workspace for good.
//!
//! ```text
//! target -> resolve -> Scope -> plan                        what would go, and what would stay
//!                        |
//!                        +---> erase(tx, scope)             rows and keys go, tombstones come
//!                                ^         ^
//!                        purge --+         +-- expire       a new root key and a receipt; runs that `rm` hid long ago
//! ```
//!
//! Dropping a key makes what it sealed unreadable for everybody who goes by the key table of today. Whoever kept an older
//! copy of it has the wrap as well, under a key that hangs from the root key; so [`purge`] replaces that one, too.
//! docs/FORMAT.md, "Tombstones" and "Receipts".

mod buried;
mod conclude;
mod expire;
mod openers;
mod plan;
mod purge;
mod receipt;
mod resolve;
mod rows;
mod scan;
mod scope;
mod target;

pub(crate) use conclude::conclude_pending;
pub use expire::Expiring;
pub use openers::Opener;
pub use plan::{ItemKind, PlannedItem, PurgePlan, Share};
pub use purge::{PurgeOptions, Purged};
pub use receipt::Receipt;
pub(crate) use resolve::chosen;
pub(crate) use rows::pools_in_scope;
pub(crate) use scope::Scope;
pub use target::{RunClass, Target};

#[cfg(test)]
mod tests;
