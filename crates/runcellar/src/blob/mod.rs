//! Blobs: the content of files, cut into chunks, each stored once, sealed, in packs.
//!
//! A **pool** is what one project and class share: how content is cut and named, the packs, and the index of them. Chunks
//! never cross pools, so that the purge of one class or project drags no other along.
//!
//! ```text
//! source -> cut -> [id, known? seal]* -> pack file -> fsync -> rename      put/
//!                                                       |
//!                                     rows of packs and manifest in one transaction
//! manifest -> chunks -> pack files -> [open, compare id]* -> file          get/
//! ```
//!
//! Bytes before names before pointers: a crash leaves nothing but bytes that nobody refers to, and [`gc`] removes them.
//! docs/FORMAT.md, "Packs" and "Manifests".

mod adopt;
mod apart;
mod away;
mod gc;
mod get;
mod hold;
mod index;
mod live;
mod manifest;
mod of_run;
mod pack;
mod pool;
mod put;
mod share;
mod source;
mod stored;
mod suspects;

/// Field of a change that adds packs: their ids, one after the other.
const PACKS_FIELD: u16 = 1;
/// Field of such a change: packs whose keys were dropped, which were removed or took the place of others.
const PACKS_CHANGED_FIELD: u16 = 3;

pub(crate) use adopt::{Told, moved};
pub(crate) use apart::{at_home, mixed, set_apart};
pub(crate) use away::{all_away, away_of, has_file, is_away, not_away, put_away};
pub use gc::{CollectOptions, Collected};
pub(crate) use gc::{drop_chunks, keep_only, remove_files, remove_rows};
pub use get::Hurt;
pub(crate) use get::{Got, PackReader, Placed, check_path, get, open_content};
pub(crate) use hold::{is_hold, is_put_under_way};
pub(crate) use live::owners_in;
pub(crate) use manifest::{ManifestReader, ReadEntry, path_order, put_manifest, remove_manifest};
pub(crate) use of_run::{
    add_manifest, add_to_pool, add_to_run, files_of_run, key_of, pool_of_run, pool_of_run_like, read_file,
};
pub(crate) use pack::{PackData, load_bucket, open_directory, pack_path, told_by_file};
pub(crate) use pool::{Class, Pool, project_epoch_key};
pub(crate) use put::{Entered, Put, PutOptions, Source, Stream, What, put};
pub(crate) use share::{Holdings, chunks_of};
pub(crate) use source::{Fetch, PackSource};
pub(crate) use stored::StoredFile;
pub(crate) use suspects::{Damaged, give_up, suspect, suspects, trust};

use manifest::ManifestWriter;
