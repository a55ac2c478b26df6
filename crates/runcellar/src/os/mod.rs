//! What the standard library does not offer: record locks, fork notice, file-system kind. The only `unsafe` of the
//! store lives here.
#![allow(unsafe_code)]

mod fork;
mod host;
mod lock;

pub(crate) use fork::{ForkHooks, Forkable, around_fork};
pub(crate) use host::{
    FileSystem, boot_id, can_write, clock_ticks_per_second, current_uid, disk_space, file_system, free_bytes,
    home_of_user, host_name, page_bytes, parent_process,
};
pub(crate) use lock::{lock_wait, try_lock};
