//! Content that was evicted is fetched where a verb reads it.

use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use runcellar::remotes::{ContentSource, FetchError, PackName, RemoteInfo, SegmentName};
use runcellar::{Monitor as _, Workspace};
use runcellar_sync::engine::RemoteContent;

use crate::failure::{Code, Failure};
use crate::progress::Talker;
use crate::render::visible;
use crate::verbs::sync::{OFFLINE, code_of as code_of_remote, is_offline, place};

/// Fetches from remotes, and says so.
struct Fetching {
    content: RemoteContent,
    talker: Arc<Talker>,
    is_told: AtomicBool,
}

impl Fetching {
    /// Says what happens, once.
    fn begin(&self, remote: &RemoteInfo) -> Result<(), FetchError> {
        if is_offline() {
            return Err(OFFLINE.into());
        }
        if !self.is_told.swap(true, Ordering::Relaxed) {
            self.talker.note(&format!("fetching content from {}", visible(&remote.name)));
        }
        Ok(())
    }
}

impl ContentSource for Fetching {
    fn fetch(&self, remote: &RemoteInfo, pack: &PackName) -> Result<Option<Vec<u8>>, FetchError> {
        self.begin(remote)?;
        self.content.fetch(remote, pack)
    }

    fn segment(&self, remote: &RemoteInfo, segment: &SegmentName) -> Result<Option<Vec<u8>>, FetchError> {
        self.begin(remote)?;
        self.content.segment(remote, segment)
    }
}

/// Has what was evicted from a workspace fetched when it is read.
pub(crate) fn when_read(workspace: &Workspace, talker: &Arc<Talker>) -> Result<(), Failure> {
    if workspace.remotes()?.is_empty() {
        return Ok(());
    }
    let content = RemoteContent::new(place::options_of(workspace)?);
    let source = Fetching { content, talker: talker.clone(), is_told: AtomicBool::new(false) };
    workspace.set_content_source(Some(Arc::new(source)));
    Ok(())
}

/// Returns the exit code for content that could not be fetched.
pub(crate) fn code_of(error: &runcellar::Error) -> Code {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<runcellar_sync::Error>() {
            return code_of_remote(error);
        }
        cause = error.source();
    }
    Code::Other
}
