//! What the standard library does not offer: record locks, fork notice, large pages, memory for keys, process groups, process and mount
//! facts. The only `unsafe` of the store lives here.
#![allow(unsafe_code)]

mod fork;
mod host;
mod lock;
mod locked;
mod memory;
mod mount;
mod process;

pub(crate) use fork::{ForkHooks, Forkable, around_fork};
pub(crate) use host::{
    ProcessFacts, can_write, clock_ticks_per_second, current_uid, disk_space, free_bytes, home_of_user, host_name,
    page_bytes, parent_process, process_is_at_work,
};
pub(crate) use lock::{lock_holder, lock_wait, try_lock};
pub use locked::forbid_core_dumps;
pub(crate) use locked::guarded;
pub(crate) use memory::prefer_large_pages;
pub(crate) use mount::{FileSystem, Mount, locks_work, mount_of, read_past_cache};
pub(crate) use process::{kill_group, lead_a_group, processes_with, wait_until_readable};
