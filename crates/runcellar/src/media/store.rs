//! Adding media to a run.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use runcellar_format::record::{Body as _, MEDIA_FIELD, Media, Tokens};
use runcellar_format::{MediaId, ObjectId};

use super::{MEDIA_BYTES_MAX, MEDIA_TEXT_MAX, MediaContent, NewMedia, is_word};
use crate::blob::{Class, Pool, Source, What, add_to_pool, files_of_run, pool_of_run};
use crate::secrets::{Finding, Language, Scanner};
use crate::workspace::Inner;
use crate::{Error, Json, Result};

/// The name of the file itself, among its companions.
pub(crate) const CONTENT: &str = "content";

/// A media file whose bytes are made.
pub(crate) struct Made {
    kind: String,
    format: String,
    metadata: Json,
    /// The content, then its companions by name.
    files: Vec<(String, Vec<u8>)>,
    parts: Vec<Made>,
}

impl Made {
    /// Makes the bytes of a media file and of those that it is made of, without the secrets that its texts hold; `place` names
    /// it in `findings`.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(crate) fn new(
        media: &NewMedia,
        scanner: &Scanner,
        place: &str,
        findings: &mut Vec<Finding>,
    ) -> std::result::Result<Made, String> {
        let mut made = |content: &dyn MediaContent, format: &str| {
            let bytes = screened(content.make()?, &media.kind, format, scanner, place, findings);
            match bytes.len() as u64 {
                0..=MEDIA_BYTES_MAX => Ok(bytes),
                len => Err(format!("{} of {len} bytes, and at most {MEDIA_BYTES_MAX} are kept", media.kind)),
            }
        };
        let mut files = vec![(CONTENT.to_owned(), made(&*media.content, &media.format)?)];
        for (name, content) in &media.companions {
            let format = name.rsplit('.').next().unwrap_or_default();
            files.push((name.clone(), made(&**content, format)?));
        }
        let (metadata, found) = scanner.config(place, media.metadata.clone());
        findings.extend(found);
        if let Some((_, companions)) = files.split_first_mut() {
            companions.sort_by(|(left, _), (right, _)| left.cmp(right));
        }
        let parts = media.parts.iter().map(|part| Made::new(part, scanner, place, findings));
        let parts = parts.collect::<std::result::Result<Vec<_>, _>>()?;
        let made = Made { kind: media.kind.clone(), format: media.format.clone(), metadata, files, parts };
        // With references as long as those that it will have.
        let description = made.description(vec![MediaId::NIL; made.parts.len()]).map_err(|error| error.to_string())?;
        match description.len() {
            0..=MEDIA_TEXT_MAX => Ok(made),
            len => Err(format!("{} with {len} bytes of metadata, and at most {MEDIA_TEXT_MAX} are kept", made.kind)),
        }
    }

    /// Returns how many bytes it holds.
    pub(crate) fn bytes(&self) -> u64 {
        let own = self.files.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>();
        own + self.parts.iter().map(Made::bytes).sum::<u64>()
    }

    fn description(&self, parts: Vec<MediaId>) -> runcellar_format::Result<Vec<u8>> {
        let metadata = Tokens::new(&self.metadata)?;
        let (kind, format) = (self.kind.clone(), self.format.clone());
        Media { kind, format, metadata, parts, extra: Vec::new() }.to_body()
    }

    /// Returns its id, and adds what is not `known` of it and of its parts to `new`.
    fn name<'a>(&'a self, pool: &Pool, known: &HashSet<MediaId>, new: &mut New<'a>) -> Result<MediaId> {
        let parts = self.parts.iter().map(|part| part.name(pool, known, new)).collect::<Result<Vec<_>>>()?;
        let description = self.description(parts).map_err(|cause| Error::format("media", cause))?;
        let files: Vec<(&str, &[u8])> =
            self.files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        let id = pool.keys.media_id(&description, &files);
        if !known.contains(&id) {
            new.insert(id, (description, self));
        }
        Ok(id)
    }
}

/// Formats of media that are JSON.
const JSON_FORMATS: [&str; 2] = ["json", "gltf"];
/// Formats in which values stand in quotes, and much that looks random is no secret.
const MARKUP_FORMATS: [&str; 4] = ["html", "htm", "svg", "xml"];
/// Formats, and a kind, of texts that people write.
const TEXT_FORMATS: [&str; 4] = ["text", "txt", "md", "csv"];

/// Returns whether a file is a text, in which secrets are looked for.
pub(crate) fn is_text(kind: &str, format: &str) -> bool {
    let of_text = TEXT_FORMATS.contains(&format) || TEXT_FORMATS.contains(&kind);
    of_text || JSON_FORMATS.contains(&format) || MARKUP_FORMATS.contains(&format)
}

/// Takes the secrets out of a file, if it is a text.
pub(crate) fn screened(
    bytes: Vec<u8>,
    kind: &str,
    format: &str,
    scanner: &Scanner,
    place: &str,
    findings: &mut Vec<Finding>,
) -> Vec<u8> {
    if JSON_FORMATS.contains(&format) {
        let (redacted, found) = match std::str::from_utf8(&bytes) {
            Ok(text) => scanner.json(text, place),
            // It is none, then.
            Err(_) => return scanner.bytes(bytes, Language::Text, place, findings),
        };
        findings.extend(found);
        return match redacted {
            Cow::Borrowed(_) => bytes,
            Cow::Owned(redacted) => redacted.into_bytes(),
        };
    }
    if MARKUP_FORMATS.contains(&format) {
        return scanner.bytes(bytes, Language::Markup, place, findings);
    }
    match TEXT_FORMATS.contains(&format) || TEXT_FORMATS.contains(&kind) {
        true => scanner.bytes(bytes, Language::Text, place, findings),
        false => bytes,
    }
}

/// What a batch has that the run has not, by id: its description, and its files.
type New<'a> = BTreeMap<MediaId, (Vec<u8>, &'a Made)>;

/// The media files of a run, as far as a writer must know them.
pub(crate) struct RunFiles {
    run: ObjectId,
    pool: Pool,
    known: HashSet<MediaId>,
}

impl RunFiles {
    /// Opens the media files of a run.
    ///
    /// # Errors
    /// If the database does not know the run, or cannot be read or written.
    pub(crate) fn open(inner: &Inner, run: ObjectId) -> Result<RunFiles> {
        let pool = pool_of_run(inner, run, Class::Media)?;
        let files = files_of_run(inner, run, Class::Media)?;
        let known = files.iter().filter_map(|file| id_of(&file.entry.path)).collect();
        Ok(RunFiles { run, pool, known })
    }

    /// Adds media; they are durable, and in the run's manifest, when this returns. Returns their ids in order.
    ///
    /// # Errors
    /// If the workspace cannot be written. Then nothing was added.
    pub(crate) fn add<'a>(&mut self, inner: &Inner, made: impl Iterator<Item = &'a Made>) -> Result<Vec<MediaId>> {
        let mut new = New::new();
        let ids = made.map(|one| one.name(&self.pool, &self.known, &mut new)).collect::<Result<Vec<_>>>()?;
        let mut sources = Vec::new();
        for (id, (description, made)) in &new {
            let mut files: Vec<_> = made.files.iter().collect();
            files.sort_by(|(left, _), (right, _)| left.cmp(right));
            for (name, bytes) in files {
                let extra = if name == CONTENT { vec![(MEDIA_FIELD, description.clone())] } else { Vec::new() };
                let path = format!("{id}/{name}").into_bytes();
                sources.push(Source { path, what: What::Bytes(bytes.clone()), extra });
            }
        }
        if !sources.is_empty() {
            add_to_pool(inner, &self.pool, self.run, &sources)?;
        }
        self.known.extend(new.into_keys());
        Ok(ids)
    }
}

/// Returns the id and the file name of a path in a manifest of media, if it is one.
pub(crate) fn checked_path(path: &[u8]) -> Option<(MediaId, &str)> {
    let (id, name) = std::str::from_utf8(path).ok()?.split_once('/')?;
    Some((MediaId::from_hex(id)?, name)).filter(|_| name.split('.').all(is_word))
}

/// Returns the id that a path in a manifest of media begins with.
pub(super) fn id_of(path: &[u8]) -> Option<MediaId> {
    let (id, _) = std::str::from_utf8(path).ok()?.split_once('/')?;
    MediaId::from_hex(id)
}
