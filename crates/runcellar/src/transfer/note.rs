//! Which capsules were made of what: a purge cannot reach them, and says so.

use runcellar_format::ObjectId;
use runcellar_format::record::{CAPSULE_FIELD, Change, ChangeKind};
use runcellar_format::seal::Kind;

use crate::db::ReadTx;
use crate::keys::{Keyring, Purpose};
use crate::{ArtifactVersion, Error, Result, RunInfo, Workspace, io};

/// A capsule that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapsuleNote {
    /// Its random id, 32 hexadecimal digits, which stands in it.
    pub id: String,
    /// When it was begun, microseconds UTC since 1970.
    pub time: i64,
    /// Object ids of the runs and artifact versions in it.
    pub(crate) objects: Vec<ObjectId>,
}

impl CapsuleNote {
    /// Returns true if a run was put into it.
    #[must_use]
    pub fn has_run(&self, run: &RunInfo) -> bool {
        self.objects.contains(&run.object)
    }
}

impl Workspace {
    /// Records, before the first byte of it leaves, that a capsule is made of runs and artifact versions; returns its id.
    ///
    /// # Errors
    /// If the workspace cannot be written.
    pub fn note_capsule(&self, runs: &[RunInfo], versions: &[ArtifactVersion]) -> Result<String> {
        let objects = runs.iter().map(|run| run.object).chain(versions.iter().map(|version| version.object));
        let list: Vec<u8> = objects.flat_map(|object| object.0).collect();
        self.inner.write(None, |tx| {
            let id = ObjectId(io::random(tx.io)?);
            let (clock, key) = (tx.next_clock(), tx.workspace_key(tx.keyring, Purpose::Control)?);
            let extra = vec![(CAPSULE_FIELD, list)];
            tx.change(&key, &Change { clock, kind: ChangeKind::MakeCapsule, object: id.0, fields: Vec::new(), extra })?;
            Ok(id.to_string())
        })
    }

    /// Lists the capsules that were made here, in order of time.
    ///
    /// # Errors
    /// If the workspace cannot be read.
    pub fn capsules(&self) -> Result<Vec<CapsuleNote>> {
        self.inner.read(capsules)
    }
}

/// Reads which capsules were made.
pub(crate) fn capsules(tx: &ReadTx<'_>, keyring: &Keyring) -> Result<Vec<CapsuleNote>> {
    let control = tx.workspace_key(keyring, Purpose::Control)?;
    let mut all = Vec::new();
    for row in tx.objects(Kind::Change, None)? {
        let key = runcellar_format::seal::Envelope::parse("change record", &row.body).map(|envelope| envelope.key);
        if key.as_ref().ok() != Some(&control.id()) {
            continue;
        }
        let change = Change::from_padded_body(&tx.open_object(keyring, &row)?)
            .map_err(|cause| Error::format(format_args!("change {}", row.key.position), cause))?;
        if change.kind == ChangeKind::MakeCapsule {
            let list = change.extra.iter().find(|(field, _)| *field == CAPSULE_FIELD);
            let list = list.map(|(_, bytes)| bytes.as_slice()).unwrap_or_default();
            all.push(CapsuleNote {
                id: ObjectId(change.object).to_string(),
                time: i64::try_from((change.clock >> 16).saturating_mul(1000)).unwrap_or(i64::MAX),
                objects: list.as_chunks().0.iter().map(|object| ObjectId(*object)).collect(),
            });
        }
    }
    all.sort_by_key(|note| note.time);
    Ok(all)
}
