//! Reading the media of a run.

use std::collections::HashMap;
use std::sync::Arc;

use runcellar_format::record::{Body as _, Content, MEDIA_FIELD, Media, ORIGIN_FIELD, Origin, extra_body};
use runcellar_format::{MediaId, ObjectId};

use super::store::{CONTENT, id_of};
use super::{MEDIA_BYTES_MAX, PANEL};
use crate::blob::{Class, Pool, ReadEntry, files_of_run, path_order, read_file};
use crate::ingest::data::RunData;
use crate::workspace::Inner;
use crate::{Error, ErrorKind, Json, Result, RunInfo, Workspace};

/// Runs at most of which one was forked from the next, and so on.
const ORIGINS_MAX: usize = 64;

/// A media file of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct MediaInfo {
    /// Its id, which points of series refer to.
    pub id: MediaId,
    /// What it is: `image`, `table`.
    pub kind: String,
    /// The form of its bytes, as file names end; empty if it has none.
    pub format: String,
    /// What is said of it: a map.
    pub metadata: Json,
    /// The media that it is made of.
    pub parts: Vec<MediaId>,
    /// Its length in bytes.
    pub bytes: u64,
    /// Names of the files beside it.
    pub companions: Vec<String>,
}

impl MediaInfo {
    /// Returns true for what holds several media in one point.
    #[must_use]
    pub fn is_panel(&self) -> bool {
        self.kind == PANEL
    }

    fn of(id: MediaId, description: &[u8], bytes: u64) -> Result<MediaInfo> {
        let failed = |cause| Error::format(format_args!("media {id}"), cause);
        let Media { kind, format, metadata, parts, .. } = Media::from_body(description).map_err(failed)?;
        let metadata = metadata.json().map_err(failed)?;
        Ok(MediaInfo { id, kind, format, metadata, parts, bytes, companions: Vec::new() })
    }
}

/// The media of one run, and of those that it was forked from.
pub struct RunMedia {
    inner: Arc<Inner>,
    run_id: String,
    /// Those of the run itself, in order of logging, then those of its origins.
    list: Vec<MediaInfo>,
    places: HashMap<MediaId, usize>,
    files: HashMap<(MediaId, String), (usize, ReadEntry)>,
    pools: Vec<Pool>,
}

impl Workspace {
    /// Reads what media a run has.
    ///
    /// # Errors
    /// If the run cannot be read.
    pub fn media(&self, run: &RunInfo) -> Result<RunMedia> {
        let mut media = RunMedia {
            inner: self.inner.clone(),
            run_id: run.id.clone(),
            list: Vec::new(),
            places: HashMap::new(),
            files: HashMap::new(),
            pools: Vec::new(),
        };
        let mut next = Some(run.object);
        for _ in 0..ORIGINS_MAX {
            let Some(object) = next else { break };
            next = media.take_in(object)?;
        }
        Ok(media)
    }
}

impl RunMedia {
    /// Takes in the media of a run; returns the run that it was forked from.
    fn take_in(&mut self, run: ObjectId) -> Result<Option<ObjectId>> {
        let found = self.inner.read(|tx, keyring| {
            let Some(data) = RunData::load(tx, keyring, run)? else { return Ok(None) };
            let origin: Option<Origin> = extra_body(&data.record.extra, ORIGIN_FIELD)
                .map_err(|cause| Error::format(format_args!("origin of run {}", data.record.id), cause))?;
            let pool = Pool::find(tx, keyring, ObjectId(data.record.project), Class::Media)?;
            Ok(Some((origin, pool)))
        })?;
        // A run that only its journal knows has none yet, and one that was purged no more.
        let Some((origin, pool)) = found else { return Ok(None) };
        if let Some(pool) = pool {
            let number = self.pools.len();
            self.pools.push(pool);
            // What companions belong to comes first.
            let is_content = |file: &ReadEntry| file.entry.path.get(33..) == Some(CONTENT.as_bytes());
            let files = files_of_run(&self.inner, run, Class::Media)?;
            let (contents, companions): (Vec<_>, Vec<_>) = files.into_iter().partition(is_content);
            contents.into_iter().chain(companions).try_for_each(|file| self.take_file(number, file))?;
        }
        Ok(origin.map(|origin| ObjectId(origin.run)))
    }

    fn take_file(&mut self, pool: usize, file: ReadEntry) -> Result<()> {
        let (Some(id), Content::File(content)) = (id_of(&file.entry.path), &file.entry.content) else { return Ok(()) };
        let name = String::from_utf8_lossy(file.entry.path.get(33..).unwrap_or_default()).into_owned();
        let key = (id, name);
        if self.files.contains_key(&key) {
            // The same file, added twice: by two processes, or by a run and the one that it was forked from.
            return Ok(());
        }
        if key.1 == CONTENT {
            let description = file.entry.extra.iter().find(|(field, _)| *field == MEDIA_FIELD);
            let missing = || Error::damaged(format!("media {id}: what it is is not said"));
            let (_, description) = description.ok_or_else(missing)?;
            self.places.insert(id, self.list.len());
            self.list.push(MediaInfo::of(id, description, content.size)?);
        } else if let Some(info) = self.places.get(&id).and_then(|place| self.list.get_mut(*place)) {
            info.companions.push(key.1.clone());
        }
        self.files.insert(key, (pool, file));
        Ok(())
    }

    /// Returns all media, in order of logging.
    #[must_use]
    pub fn list(&self) -> &[MediaInfo] {
        &self.list
    }

    /// Returns all files in order of path, each with the pool that has its content.
    pub(crate) fn files(&self) -> Vec<(&Pool, &ReadEntry)> {
        let mut all: Vec<_> =
            self.files.values().filter_map(|(pool, file)| Some((self.pools.get(*pool)?, file))).collect();
        all.sort_by(|(_, left), (_, right)| path_order(&left.entry.path, &right.entry.path));
        all
    }

    /// Returns what is known of a media file.
    #[must_use]
    pub fn get(&self, id: MediaId) -> Option<&MediaInfo> {
        self.places.get(&id).and_then(|place| self.list.get(*place))
    }

    /// Returns what is known of a media file that a point refers to.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the run does not have it, or not any more.
    pub fn find(&self, id: MediaId) -> Result<&MediaInfo> {
        self.get(id).ok_or_else(|| Error::new(ErrorKind::NotFound, format!("run {}: no media {id}", self.run_id)))
    }

    /// Reads the bytes of a media file.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the run does not have it; damage.
    pub fn read(&self, id: MediaId) -> Result<Vec<u8>> {
        self.read_named(id, CONTENT)
    }

    /// Reads a file beside a media file.
    ///
    /// # Errors
    /// As [`RunMedia::read`].
    pub fn read_companion(&self, id: MediaId, name: &str) -> Result<Vec<u8>> {
        self.read_named(id, name)
    }

    fn read_named(&self, id: MediaId, name: &str) -> Result<Vec<u8>> {
        let found = self.files.get(&(id, name.to_owned()));
        let found = found.and_then(|(pool, file)| Some((self.pools.get(*pool)?, file)));
        let missing = || Error::new(ErrorKind::NotFound, format!("run {}: no media {id}/{name}", self.run_id));
        let (pool, file) = found.ok_or_else(missing)?;
        read_file(&self.inner, pool, file, MEDIA_BYTES_MAX)
            .map_err(|error| error.of_evicted(format_args!("media of run {}", self.run_id)))
    }
}
