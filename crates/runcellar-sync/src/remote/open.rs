//! From a URL to a remote.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::s3::S3;
use super::webdav::WebDav;
use super::{Clock, Folder, Location, Pace, Remote, Retries, Retry, SystemClock};
use crate::Result;

/// Reads an environment variable.
type Variables = dyn Fn(&str) -> Option<String> + Send + Sync;

/// How a remote is used.
#[derive(Clone)]
pub struct Options {
    /// The most bytes per second, both ways together; none for as fast as it goes.
    pub bytes_per_second: Option<u64>,
    /// How long a server, a name, a connection may take to answer, and a transfer stand still.
    pub timeout: Duration,
    /// What is done again.
    pub retries: Retries,
    /// The time by which is waited.
    pub clock: Arc<dyn Clock>,
    /// Where credentials, proxy and certificates are told: the environment of the process by default.
    pub variables: Arc<Variables>,
}

impl Options {
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        (self.variables)(name)
    }
}

impl Default for Options {
    fn default() -> Self {
        Options {
            bytes_per_second: None,
            timeout: Duration::from_secs(60),
            retries: Retries::default(),
            clock: Arc::new(SystemClock::default()),
            variables: Arc::new(|name| std::env::var(name).ok()),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { bytes_per_second, timeout, retries, .. } = self;
        let mut debug = f.debug_struct("Options");
        debug.field("bytes_per_second", bytes_per_second).field("timeout", timeout).field("retries", retries);
        debug.finish_non_exhaustive()
    }
}

/// Makes a remote of the place that a URL names. Nothing is sent: that begins with the first call.
///
/// # Errors
/// [`crate::ErrorKind::InvalidArgument`] if something is missing or cannot be used, [`crate::ErrorKind::Refused`] if there is no
/// password for the user that the URL names.
pub fn open(location: &Location, options: &Options) -> Result<Box<dyn Remote>> {
    let label = location.to_string();
    let pace = Arc::new(Pace::new(options.bytes_per_second));
    let inner: Box<dyn Remote> = match location {
        Location::Folder(path) => Box::new(Folder::paced(path, pace, options.clock.clone())),
        Location::S3(bucket) => {
            Box::new(S3::new(bucket, label.clone(), options, pace).map_err(|error| error.at(&label))?)
        }
        Location::WebDav(collection) => {
            Box::new(WebDav::new(collection, label.clone(), options, pace).map_err(|error| error.at(&label))?)
        }
    };
    Ok(Box::new(Retry::new(inner, options.retries.clone(), options.clock.clone())))
}
