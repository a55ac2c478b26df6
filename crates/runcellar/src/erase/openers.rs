//! What could still open older copies after a purge: what plans and receipts list.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use runcellar_format::ObjectId;
use serde_json::{Value, json};

use super::scope::Scope;
use crate::workspace::Inner;
use crate::{Error, KeySlot, Result, Workspace, rfc3339};

/// Something that could still open older copies of what was purged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opener {
    /// `recovery_code`, `key_file`, `passphrase`, `keychain`, `device`, `host_backup`, `remote_version`: what a remote has until it
    /// is deleted there, or `export`: a capsule that has some of it.
    pub kind: &'static str,
    /// The slot's id; the workspace's for a backup of this host; the remote's; the capsule's.
    pub id: String,
    /// Since when it opens, microseconds UTC since 1970; none if that is not known.
    pub since: Option<i64>,
}

impl Opener {
    fn of_slot(slot: &KeySlot) -> Opener {
        let kind = match slot.kind {
            "recovery" => "recovery_code",
            "key-file" | "two-factor" => "key_file",
            other => other,
        };
        Opener { kind, id: slot.id.clone(), since: slot.created }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({"kind": self.kind, "id": self.id, "since": self.since.map(rfc3339)})
    }
}

impl Workspace {
    /// Lists what opens the workspace now, and with it any copy of now; and capsules that what is to go was put into.
    pub(super) fn openers(&self, scope: &Scope) -> Result<Vec<Opener>> {
        let mut openers: Vec<Opener> = self.slots()?.iter().map(Opener::of_slot).collect();
        if lies_beside_its_key(&self.inner)? {
            openers.push(Opener { kind: "host_backup", id: self.id(), since: None });
        }
        let reach = crate::remotes::reach(&self.inner)?;
        let published = reach.remotes.iter().map(|remote| remote.id.to_string());
        openers.extend(published.map(|id| Opener { kind: "remote_version", id, since: None }));
        let goes = |object: &ObjectId| {
            let of_run = scope.runs.contains(object) || scope.classes.iter().any(|(run, _)| run == object);
            of_run || scope.versions.contains_key(object)
        };
        let capsules = self.capsules()?.into_iter().filter(|note| note.objects.iter().any(goes));
        openers.extend(capsules.map(|note| Opener { kind: "export", id: note.id, since: Some(note.time) }));
        Ok(openers)
    }
}

/// Returns true if the key file and the workspace lie on one file system: a backup of it has both.
fn lies_beside_its_key(inner: &Inner) -> Result<bool> {
    let device = |path: &Path| {
        std::fs::metadata(path).map(|metadata| metadata.dev()).map_err(|cause| Error::io("look at", path, cause))
    };
    match &inner.source.opened().key_file {
        Some(key_file) => Ok(device(key_file)? == device(&inner.path)?),
        None => Ok(false),
    }
}
