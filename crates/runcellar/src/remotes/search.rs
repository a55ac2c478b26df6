//! Looking for secrets in what is about to leave, however it was recorded: runs that were imported, merged, or recorded without
//! that, and what nobody looks through when it is recorded (names, tags, summaries, logged texts).

use std::collections::{HashMap, HashSet};

use runcellar_format::ObjectId;
use runcellar_format::block::{GroupMain, ValueKind, Values};
use runcellar_format::record::{
    Body as _, Content, MEDIA_FIELD, Media, Redacted, Searched, SearchedFile, SearchedGroup,
};
use runcellar_format::seal::{Kind, checksum};

use crate::blob::{Class, Pool, ReadEntry, files_of_run, read_file};
use crate::db::{ObjectKey, ReadTx};
use crate::ingest::data::RunData;
use crate::ingest::groups::{group_key, open_part, read_column};
use crate::keys::{Keyring, Purpose};
use crate::media::{CONTENT, is_text, screened};
use crate::merge::is_theirs;
use crate::secrets::{Finding, Language, Scanner};
use crate::workspace::Inner;
use crate::{Error, ErrorKind, Result};

/// Raised when the rules change, so that what was searched before is searched again.
pub(super) const RULES: u32 = 1;
/// Different secrets that are told of one record, row group or file.
const FOUND_MAX: usize = 100;
/// The rule of what stands for the rest: it has no id, so nobody can allow it.
const MORE: &str = "more";
/// The longest file that is searched: no file of code or media is longer.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Searches a run for secrets: its record, texts that it logged, and its files of some classes. What `known` has of it already is
/// not read again. None if there is no such run.
pub(super) fn search(inner: &Inner, run: ObjectId, classes: &[Class], known: Searched) -> Result<Option<Searched>> {
    let known = if known.rules == RULES { known } else { Searched::default() };
    let read = inner.read(|tx, keyring| {
        let Some(row) = tx.object(ObjectKey::new(Kind::Run, run, 0))? else { return Ok(None) };
        let mut data = RunData::without_series(tx, keyring, &row)?;
        readable(data.load_series(tx, keyring))?;
        let key = tx.workspace_key(keyring, Purpose::Lookup)?;
        let scanner = Scanner::new(key.secret().duplicate(), []);
        let record = distinct(&scanner.record(&mut data.record.clone())?);
        let groups = readable(groups(tx, keyring, &data, &scanner, known.groups))?.unwrap_or_default();
        let pools = classes.iter().map(|class| {
            let pool = Pool::find(tx, keyring, ObjectId(data.record.project), *class)?;
            Ok(pool.map(|pool| (*class, pool)))
        });
        let pools: Vec<_> = pools.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        Ok(Some((scanner, record, groups, pools)))
    })?;
    let Some((scanner, record, groups, pools)) = read else { return Ok(None) };
    let known: HashMap<[u8; 16], Vec<Redacted>> = known.files.into_iter().map(|file| (file.hash, file.found)).collect();
    let mut files = Vec::new();
    for (class, pool) in pools {
        for entry in files_of_run(inner, run, class)? {
            let hash = hash_of(class, &entry);
            let found = match known.get(&hash) {
                Some(found) => Some(found.clone()),
                // One that cannot be read now does not leave from here either, and is searched when it can be.
                None => readable(found_in(inner, &pool, (class, &entry), &scanner))?.map(|found| distinct(&found)),
            };
            files.extend(found.map(|found| SearchedFile { hash, found }));
        }
    }
    Ok(Some(Searched { rules: RULES, mark: [0; 32], record, groups, files, extra: Vec::new() }))
}

/// Searches the row groups of a run that has texts.
fn groups(
    tx: &ReadTx<'_>,
    keyring: &Keyring,
    data: &RunData,
    scanner: &Scanner,
    known: Vec<SearchedGroup>,
) -> Result<Vec<SearchedGroup>> {
    const TEXT: u8 = 8;
    if data.series.entries.iter().all(|series| series.kinds & TEXT == 0) {
        return Ok(Vec::new());
    }
    let mut known: HashMap<_, _> = known.into_iter().map(|group| ((group.writer, group.number), group)).collect();
    let mut all = Vec::new();
    for entry in data.all_groups(tx, keyring)? {
        if let Some(group) = known.remove(&(entry.writer, entry.number)) {
            all.push(group);
            continue;
        }
        let group = group_key(data, &entry);
        let mut found = Vec::new();
        let mut look = || -> Result<()> {
            let named = |cause| Error::format(format_args!("block {} of run {}", group.number, data.record.id), cause);
            let main = open_part(tx, keyring, data, group, 0)?;
            for column in GroupMain::decode(&main).map_err(named)?.columns {
                let series = data.series.entries.get(column.series as usize).map(|series| series.name.as_str());
                if let (ValueKind::Text, Some(series)) = (column.kind, series)
                    && let Values::Text(mut texts) = read_column(tx, keyring, data, group, &column)?
                {
                    found.extend(scanner.logged_in_place(series, &mut texts));
                }
            }
            Ok(())
        };
        if readable(look())?.is_some() {
            all.push(SearchedGroup { writer: entry.writer, number: entry.number, found: distinct(&found) });
        }
    }
    Ok(all)
}

/// Searches a file of code, or of media if it is a text.
fn found_in(
    inner: &Inner,
    pool: &Pool,
    (class, entry): (Class, &ReadEntry),
    scanner: &Scanner,
) -> Result<Vec<Finding>> {
    let path = String::from_utf8_lossy(&entry.entry.path).into_owned();
    let mut found = Vec::new();
    let bytes = || read_file(inner, pool, entry, FILE_BYTES_MAX);
    if class == Class::Code {
        scanner.bytes(bytes()?, Language::Code, &format!("code {path}"), &mut found);
        return Ok(found);
    }
    let name = path.split_once('/').map_or(path.as_str(), |(_, name)| name);
    let described = entry.entry.extra.iter().find(|(field, _)| *field == MEDIA_FIELD);
    let described = described.and_then(|(_, body)| Media::from_body(body).ok());
    let place = format!("media {path}");
    if let Some(metadata) = described.as_ref().and_then(|media| media.metadata.json().ok()) {
        found.extend(scanner.config(&place, metadata).1);
    }
    let (kind, format) = match (&described, name) {
        (Some(media), CONTENT) => (media.kind.as_str(), media.format.as_str()),
        _ => ("", name.rsplit('.').next().unwrap_or_default()),
    };
    if is_text(kind, format) {
        screened(bytes()?, kind, format, scanner, &place, &mut found);
    }
    Ok(found)
}

/// What is damaged tells nobody anything, and what was evicted is published; either is said where it is published or checked.
fn readable<T>(outcome: Result<T>) -> Result<Option<T>> {
    match outcome {
        Err(error) if is_theirs(&error) || error.kind() == ErrorKind::Evicted => Ok(None),
        outcome => outcome.map(Some),
    }
}

/// Returns what tells a file from others, and from itself with another content.
fn hash_of(class: Class, entry: &ReadEntry) -> [u8; 16] {
    let mut said = class.positions().start.to_le_bytes().to_vec();
    said.extend_from_slice(&entry.entry.path);
    if let Content::File(file) = &entry.entry.content {
        said.push(0);
        file.chunks.iter().for_each(|(_, id)| said.extend_from_slice(id));
        said.extend_from_slice(&file.offset.to_le_bytes());
    }
    entry.entry.extra.iter().for_each(|(_, body)| said.extend_from_slice(body));
    let mut hash = [0; 16];
    hash.copy_from_slice(&checksum(&said)[..16]);
    hash
}

/// Returns each secret once.
fn distinct(found: &[Finding]) -> Vec<Redacted> {
    let mut seen = HashSet::new();
    let mut all: Vec<Redacted> = found.iter().filter(|one| seen.insert(&one.id)).map(Finding::to_record).collect();
    if all.len() > FOUND_MAX {
        all.truncate(FOUND_MAX);
        let place = format!("more than {FOUND_MAX} in one place");
        all.push(Redacted { rule: MORE.into(), place, ..Redacted::default() });
    }
    all
}

/// Returns what was found and is not allowed, each once.
pub(super) fn open_findings(searched: &Searched, allowed: &HashSet<String>) -> Vec<Finding> {
    let of_groups = searched.groups.iter().flat_map(|group| &group.found);
    let of_files = searched.files.iter().flat_map(|file| &file.found);
    let mut seen = HashSet::new();
    let all = searched.record.iter().chain(of_groups).chain(of_files);
    all.filter(|one| !allowed.contains(&one.id) && seen.insert(&one.id)).map(Finding::of).collect()
}
