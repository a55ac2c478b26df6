//! Removing versions: their keys go at once, and their space when packs are collected.

use std::collections::HashSet;

use runcellar_format::record::{AliasSet, Content};
use runcellar_format::seal::Kind;
use runcellar_format::{ChunkId, ObjectId};

use super::records;
use super::{ArtifactVersion, name::LATEST};
use crate::blob::{Class, Pool, drop_chunks, remove_manifest};
use crate::db::ObjectKey;
use crate::{Error, ErrorKind, Result, Workspace};

/// How to remove a version.
#[derive(Debug, Clone, Copy, Default)]
pub struct RemoveOptions {
    /// Also if aliases other than `latest` name it; they are taken away.
    pub aliases_too: bool,
}

impl Workspace {
    /// Removes a version: record, manifest, and the keys of chunks that nothing else has. Without any version left, its artifact
    /// stays and goes on counting. [`Workspace::collect_garbage`] gives the space back.
    ///
    /// # Errors
    /// [`ErrorKind::State`] if aliases name it, which protects it; [`ErrorKind::NotFound`] if it is gone already.
    pub fn remove_version(&self, version: &ArtifactVersion, options: RemoveOptions) -> Result<()> {
        let named: Vec<&str> = version.aliases.iter().map(String::as_str).filter(|alias| *alias != LATEST).collect();
        if !named.is_empty() && !options.aliases_too {
            let message = format!("artifact {}: {} names it", version.full_name(), named.join(", "));
            return Err(Error::new(ErrorKind::State, message));
        }
        let mut chunks = HashSet::new();
        for entry in version.manifest() {
            if let Content::File(file) = entry?.entry.content {
                chunks.extend(file.chunks.iter().map(|(_, id)| ChunkId(*id)));
            }
        }
        let object = version.object;
        self.inner.write(None, |tx| {
            let gone = || Error::new(ErrorKind::NotFound, format!("no version {}", version.full_name()));
            let mut artifact =
                records::artifact(tx, tx.keyring, version.project_object, &version.name)?.ok_or_else(gone)?;
            let before = artifact.record.versions.len();
            artifact.record.versions.retain(|one| one.version != object.0);
            if artifact.record.versions.len() == before {
                return Err(gone());
            }
            for alias in &named {
                let clock = tx.next_clock();
                let taken_away = AliasSet { name: (*alias).to_owned(), version: ObjectId::NIL.0, clock };
                artifact.record.aliases.push(taken_away);
            }
            records::store_artifact(tx, &artifact)?;
            remove_manifest(tx, object, Class::Artifacts.positions())?;
            tx.remove_object(ObjectKey::new(Kind::Version, object, 0))?;
            tx.bury(object)?;
            if let Some(pool) = Pool::find(tx, tx.keyring, version.project_object, Class::Artifacts)? {
                drop_chunks(tx, &pool, &chunks)?;
            }
            Ok(())
        })
    }
}
