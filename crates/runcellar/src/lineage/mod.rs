//! Where runs come from and how they go on: the ranks of one run, forks, rewinds, and the past.
//!
//! Everything here works on what the database has, in one transaction, and destroys nothing. docs/FORMAT.md, "Lineage".

pub(crate) mod ranks;
