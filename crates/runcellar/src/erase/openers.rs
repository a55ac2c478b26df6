//! What could still open older copies after a purge: what plans and receipts list.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::workspace::Inner;
use crate::{Error, KeySlot, Result, Workspace, rfc3339};

/// Something that could still open older copies of what was purged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opener {
    /// `recovery_code`, `key_file`, `passphrase`, `keychain`, `device`, `host_backup`.
    pub kind: &'static str,
    /// The slot's id; the workspace's for a backup of this host.
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
    /// Lists what opens the workspace now, and with it any copy of now.
    pub(super) fn openers(&self) -> Result<Vec<Opener>> {
        let mut openers: Vec<Opener> = self.slots()?.iter().map(Opener::of_slot).collect();
        if lies_beside_its_key(&self.inner)? {
            openers.push(Opener { kind: "host_backup", id: self.id(), since: None });
        }
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
