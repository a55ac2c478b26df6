//! How the next state of a copy takes the place of the one that is there.
//!
//! Everything lies in `tmp/`, whole and synced, under names that begin with a token drawn for this time: the database,
//! journals, and last `keyslots`, of which the name decides. Once `<token>.keyslots` is there, the rest is a few renames
//! that whoever comes next can do as well; before that, nothing has happened, and what lies there is swept away.

use std::path::{Path, PathBuf};

use runcellar_format::JournalId;

use crate::db::FILE_NAME;
use crate::io::{self, Io};
use crate::workspace::{JOURNALS, KEYSLOTS, TMP};
use crate::{Error, Result};

/// Names of files on their way to their place.
pub(super) struct Stage<'a> {
    io: &'a dyn Io,
    folder: &'a Path,
    token: String,
}

impl<'a> Stage<'a> {
    /// Sweeps away what was left, and begins.
    pub(super) fn begin(io: &'a dyn Io, folder: &'a Path) -> Result<Stage<'a>> {
        finish(io, folder)?;
        let directory = folder.join(TMP);
        for name in io.list(&directory).map_err(|cause| Error::io("list", &directory, cause))? {
            remove(io, &directory.join(name))?;
        }
        let token: [u8; 8] = io::random(io)?;
        Ok(Stage { io, folder, token: token.iter().map(|byte| format!("{byte:02x}")).collect() })
    }

    fn named(&self, ending: &str) -> PathBuf {
        self.folder.join(TMP).join(format!("{}.{ending}", self.token))
    }

    pub(super) fn database(&self) -> PathBuf {
        self.named("db")
    }

    pub(super) fn journal(&self, id: JournalId) -> PathBuf {
        self.named(&format!("{id}.jnl"))
    }

    /// A name for a file that takes its place as soon as it is whole, as nothing refers to it until all is.
    pub(super) fn part(&self, number: usize) -> PathBuf {
        self.named(&format!("{number}.part"))
    }

    /// Has all that was staged take its place.
    pub(super) fn commit(self, keyslots: &[u8]) -> Result<()> {
        let (part, decides) = (self.named("part"), self.named(KEYSLOTS));
        let tmp = self.folder.join(TMP);
        io::write_new(self.io, &part, keyslots)
            // The names of the others first.
            .and_then(|()| self.io.sync_dir(&tmp))
            .and_then(|()| self.io.rename(&part, &decides))
            .and_then(|()| self.io.sync_dir(&tmp))
            .map_err(|cause| Error::io("write", &decides, cause))?;
        finish(self.io, self.folder)
    }
}

/// Puts in place what was staged whole. Several may be at it at once: what one has renamed is not there for the others.
pub(super) fn finish(io: &dyn Io, folder: &Path) -> Result<()> {
    let tmp = folder.join(TMP);
    let names = match io.list(&tmp) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        names => names.map_err(|cause| Error::io("list", &tmp, cause))?,
    };
    let names: Vec<&str> = names.iter().filter_map(|name| name.to_str()).collect();
    let ending = format!(".{KEYSLOTS}");
    let Some(token) = names.iter().find_map(|name| name.strip_suffix(&ending)) else { return Ok(()) };
    let place = |from: &str, to: &Path| match io.rename(&tmp.join(from), to) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => Err(Error::io("write", to, cause)),
        _ => Ok(()),
    };
    let database = format!("{token}.db");
    if names.contains(&database.as_str()) {
        // A log of SQLite's would be taken for one of the new file's. We make none here; another program may have.
        for companion in ["-wal", "-shm", "-journal"] {
            remove(io, &folder.join(format!("{FILE_NAME}{companion}")))?;
        }
        place(&database, &folder.join(FILE_NAME))?;
    }
    let journals = folder.join(JOURNALS);
    for name in names.iter().filter(|name| name.ends_with(".jnl")) {
        if let Some(journal) = name.strip_prefix(token).and_then(|rest| rest.strip_prefix('.')) {
            place(name, &journals.join(journal))?;
        }
    }
    let synced = |directory: &Path| io.sync_dir(directory).map_err(|cause| Error::io("sync", directory, cause));
    synced(&journals)?;
    synced(folder)?;
    place(&format!("{token}{ending}"), &folder.join(KEYSLOTS))?;
    synced(folder)
}

/// Removes a file, if it is there.
pub(super) fn remove(io: &dyn Io, path: &Path) -> Result<()> {
    match io.remove(path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path, cause)),
        _ => Ok(()),
    }
}
