//! What is known of artifacts here that no device has said on a remote.

use std::collections::{HashMap, HashSet};

use runcellar_format::ObjectId;
use runcellar_format::record::{Artifact, Version};
use runcellar_format::seal::Kind;

use super::makings;
use super::merge::{has_content, take_uses};
use super::records::{self, Stored};
use crate::Result;
use crate::db::{ObjectKey, ReadTx};
use crate::keys::Keyring;

/// What one device says of artifacts.
pub(crate) struct Said {
    /// By the names of project and artifact: devices that made one of a name independently of each other mean one.
    artifacts: HashMap<(String, String), Artifact>,
    versions: HashMap<ObjectId, (Version, bool)>,
    erased: HashSet<ObjectId>,
}

/// What of an artifact is news.
pub(crate) struct ArtifactNews {
    pub(crate) artifact: ObjectId,
    pub(crate) project: ObjectId,
    pub(crate) name: String,
    /// Versions of which others lack something.
    pub(crate) versions: Vec<(ObjectId, VersionNews)>,
}

/// What of a version is news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VersionNews {
    /// Who made or used it, or how it is described.
    Description,
    /// All of it.
    Content,
}

impl Said {
    pub(crate) fn read(tx: &ReadTx<'_>, keyring: &Keyring) -> Result<Said> {
        let projects = super::project_names(tx, keyring)?;
        let (mut artifacts, mut versions) = (HashMap::new(), HashMap::new());
        for Stored { record, .. } in records::artifacts(tx, keyring)? {
            let project = projects.get(&ObjectId(record.project)).cloned().unwrap_or_default();
            artifacts.insert((project, record.name.clone()), record);
        }
        for object in tx.object_ids(Kind::Version)? {
            if let Some(found) = records::find_version(tx, keyring, object)? {
                let has_content = has_content(tx, &found)?;
                versions.insert(object, (found.record, has_content));
            }
        }
        Ok(Said { artifacts, versions, erased: tx.object_ids(Kind::Tombstone)?.into_iter().collect() })
    }
}

/// Returns the artifacts here of which nobody has said all: neither this device, as `own` has it, nor another. What somebody
/// erased is no news.
pub(crate) fn news(
    tx: &ReadTx<'_>,
    keyring: &Keyring,
    own: (&ReadTx<'_>, &Said),
    others: &[Said],
    is_wanted: &dyn Fn(&str) -> bool,
) -> Result<Vec<ArtifactNews>> {
    let projects = super::project_names(tx, keyring)?;
    let mut all = Vec::new();
    for mine in records::artifacts(tx, keyring)? {
        let project = ObjectId(mine.record.project);
        let name = projects.get(&project).cloned().unwrap_or_default();
        let is_erased = |object: ObjectId| others.iter().any(|other| other.erased.contains(&object));
        if !is_wanted(&name) || is_erased(mine.object) || is_erased(project) {
            continue;
        }
        let key = (name, mine.record.name.clone());
        let mut versions = Vec::new();
        for listed in mine.record.versions.iter().filter(|_| !mine.record.collection) {
            let object = ObjectId(listed.version);
            if !is_erased(object)
                && let Some(news) = of_version(tx, keyring, object, own, others)?
            {
                versions.push((object, news));
            }
        }
        let said: Vec<&Artifact> = others.iter().chain([own.1]).filter_map(|said| said.artifacts.get(&key)).collect();
        if !versions.is_empty() || has_more(&mine.record, &said)? {
            let artifact = mine.object;
            all.push(ArtifactNews { artifact, project, name: format!("{}/{}", key.0, key.1), versions });
        }
    }
    Ok(all)
}

fn of_version(
    tx: &ReadTx<'_>,
    keyring: &Keyring,
    object: ObjectId,
    (out, own): (&ReadTx<'_>, &Said),
    others: &[Said],
) -> Result<Option<VersionNews>> {
    let key = ObjectKey::new(Kind::Version, object, 0);
    let published = own.versions.get(&object);
    if published.is_some_and(|(_, has_content)| *has_content) && tx.object(key)? == out.object(key)? {
        return Ok(None);
    }
    let Some(Stored { record: mine, .. }) = records::find_version(tx, keyring, object)? else { return Ok(None) };
    let said: Vec<&(Version, bool)> =
        others.iter().chain([own]).filter_map(|said| said.versions.get(&object)).collect();
    if !said.iter().any(|(_, has_content)| *has_content) {
        return Ok(Some(VersionNews::Content));
    }
    let mut known = Version { used_by: Vec::new(), extra: Vec::new(), ..mine.clone() };
    for (theirs, _) in said {
        take_uses(&mut known, theirs);
    }
    let is_described =
        |(known, _): &(Version, bool)| (&known.description, &known.metadata) == (&mine.description, &mine.metadata);
    let is_told = !take_uses(&mut known, &mine) && published.is_none_or(is_described);
    Ok((!is_told).then_some(VersionNews::Description))
}

/// Returns whether an artifact has aliases, or a collection made or took away links, of which nobody has told.
fn has_more(mine: &Artifact, said: &[&Artifact]) -> Result<bool> {
    let is_set = |set| said.iter().any(|said| said.aliases.contains(set));
    Ok(!mine.aliases.iter().all(is_set) || (mine.collection && !makings::is_told(mine, said)?))
}
