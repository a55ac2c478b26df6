//! What started this process as one of several, as its environment says.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use runcellar::{Launch, Result};

/// How many runs this process started as one rank of a job: by job, rank and restart.
type Started = HashMap<(String, u32, u32), u32>;

fn started() -> MutexGuard<'static, Option<Started>> {
    static STARTED: Mutex<Option<Started>> = Mutex::new(None);
    STARTED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn key(launch: &Launch) -> (String, u32, u32) {
    (launch.job.clone(), launch.rank, launch.restart)
}

/// Returns the launch of the run that is started next.
pub(crate) fn of_next_run() -> Result<Option<Launch>> {
    let Some(launch) = Launch::from_vars(|name| std::env::var_os(name))? else { return Ok(None) };
    let ordinal = started().as_ref().and_then(|started| started.get(&key(&launch)).copied()).unwrap_or(0);
    Ok(Some(Launch { ordinal, ..launch }))
}

/// Counts a run that was started.
pub(crate) fn has_started(launch: &Launch) {
    *started().get_or_insert_default().entry(key(launch)).or_default() += 1;
}
