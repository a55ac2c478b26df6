//! Giving back the room of content that a remote has, once it was read back from there; and fetching it when it is read.

use std::collections::HashMap;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use runcellar::Workspace;
use runcellar::remotes::{
    ContentSource, EvictionPlan, Exchange, FetchError, PackName, RemoteInfo, Repair, SegmentName,
};

use super::names::{pack_of, segment_of};
use super::pull::settled;
use super::{Failure, Outcome, Wrong};
use crate::remote::{Location, Options, Remote, open};
use crate::{Error, ErrorKind};

/// Packs that are read back at once: each takes its length twice in memory.
const TRANSFERS: usize = 2;

/// What [`evict`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evicted {
    /// Packs whose files went from here.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packs that stay, as the remote does not have them as they are here.
    pub wrong: Vec<Wrong>,
}

/// Takes the packs of a plan off this disk, each after the remote gave it back whole and as it is here.
///
/// # Errors
/// As [`super::sync`]; what the remote lacks or has altered is no error. What was evicted before an error stays so.
pub fn evict(workspace: &Workspace, name: &str, remote: &dyn Remote, plan: &EvictionPlan) -> Outcome<Evicted> {
    workspace.may_send(name)?;
    let exchange = workspace.exchange(name)?;
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Evicted::default()));
    let work = || -> Outcome<()> {
        while let Some(pack) = plan.packs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = one(&exchange, remote, pack);
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            match outcome {
                Ok(Some(bytes)) => (done.packs, done.bytes) = (done.packs + 1, done.bytes + bytes),
                Ok(None) => {}
                Err(failure) if failure.is_damage() => {
                    // Its own device sends it again.
                    if exchange.pack_folder()? == pack.device {
                        exchange.mark(Repair::Pack(pack))?;
                    }
                    done.wrong.push(Wrong { object: pack_of(pack)?.to_string(), what: failure.to_string() });
                }
                Err(failure) => {
                    next.store(plan.packs.len(), Ordering::Relaxed);
                    return Err(failure);
                }
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..plan.packs.len().min(TRANSFERS)).map(|_| scope.spawn(work)).collect();
        let joined = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        joined.collect::<Vec<_>>().into_iter().collect::<Outcome<()>>()
    })?;
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.wrong.sort_by(|left, right| left.object.cmp(&right.object));
    Ok(done)
}

fn one(exchange: &Exchange, remote: &dyn Remote, pack: &PackName) -> Outcome<Option<u64>> {
    let name = pack_of(pack)?;
    settled(|| {
        let missing = || Error::new(ErrorKind::Damaged, "it is missing");
        let bytes = remote.get(&name, None)?.ok_or_else(missing)?;
        Ok(exchange.evict(pack, &bytes)?)
    })
}

impl Failure {
    fn is_damage(&self) -> bool {
        match self {
            Failure::Remote(error) => error.kind() == ErrorKind::Damaged,
            Failure::Store(error) => error.kind() == runcellar::ErrorKind::Damaged,
        }
    }
}

/// Fetches what was evicted from the remotes of a workspace, as it is read: [`Workspace::set_content_source`].
#[derive(Default)]
pub struct RemoteContent {
    options: Options,
    open: Mutex<HashMap<String, Arc<dyn Remote>>>,
}

impl RemoteContent {
    /// Uses remotes in this way. None is opened before something is read.
    #[must_use]
    pub fn new(options: Options) -> RemoteContent {
        RemoteContent { options, open: Mutex::default() }
    }

    fn remote(&self, url: &str) -> crate::Result<Arc<dyn Remote>> {
        let mut opened = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(remote) = opened.get(url) {
            return Ok(remote.clone());
        }
        let remote: Arc<dyn Remote> = open(&url.parse::<Location>()?, &self.options)?.into();
        opened.insert(url.to_owned(), remote.clone());
        Ok(remote)
    }
}

impl ContentSource for RemoteContent {
    fn fetch(&self, remote: &RemoteInfo, pack: &PackName) -> Result<Option<Vec<u8>>, FetchError> {
        Ok(self.remote(&remote.url)?.get(&pack_of(pack)?, None)?)
    }

    fn segment(&self, remote: &RemoteInfo, segment: &SegmentName) -> Result<Option<Vec<u8>>, FetchError> {
        Ok(self.remote(&remote.url)?.get(&segment_of(&segment.prefix, segment.number)?, None)?)
    }
}
