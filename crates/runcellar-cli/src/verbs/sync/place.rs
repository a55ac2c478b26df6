//! URLs of remotes.

use runcellar::{Json, Workspace};
use runcellar_sync::remote::{self, Location, Options, Remote};

use crate::failure::Failure;
use crate::session::Session;

/// Returns a URL as it is remembered: the path of a folder becomes absolute, so that it means the same from anywhere.
pub(crate) fn checked(url: &str) -> Result<String, Failure> {
    match url.parse::<Location>()? {
        Location::Folder(path) => {
            let absolute = std::path::absolute(&path).map_err(|cause| Failure::file("find", &path, &cause))?;
            match absolute.to_str() {
                Some(path) => Ok(path.to_owned()),
                None => Err(Failure::usage(format!("{}: its path is not UTF-8", absolute.display()))),
            }
        }
        other => Ok(other.to_string()),
    }
}

/// Opens the remote that a URL names. Nothing is asked of it yet.
pub(crate) fn open(session: &Session, options: &Options, url: &str) -> Result<Box<dyn Remote>, Failure> {
    Ok(opened(session, options, url)?)
}

pub(super) fn opened(session: &Session, options: &Options, url: &str) -> runcellar_sync::Result<Box<dyn Remote>> {
    let location: Location = url.parse()?;
    if location.is_exposed() {
        session.warn(&format!("{location}: without TLS, names and sizes of objects and the password show on the way"));
    }
    remote::open(&location, options)
}

/// Returns how a workspace is set to use remotes.
pub(crate) fn options_of(workspace: &Workspace) -> runcellar::Result<Options> {
    let bytes_per_second = match workspace.setting("sync.limit")? {
        Json::Int(limit) => u64::try_from(limit).ok().filter(|limit| *limit > 0),
        _ => None,
    };
    Ok(Options { bytes_per_second, ..Options::default() })
}
