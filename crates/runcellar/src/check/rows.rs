//! Rows that the root row covers: keys, changes, projects, settings, and the sum over all of them.

use std::collections::{HashMap, HashSet};

use runcellar_format::ObjectId;
use runcellar_format::record::{Artifact, Body as _, Change, ChangeKind, FieldId, RECORD_FIELD};
use runcellar_format::seal::{Envelope, Kind};

use super::blobs::Names;
use super::{CheckReport, Problem, ProblemKind};
use crate::db::{ObjectRow, ReadTx, Summed as _};
use crate::keys::{Keyring, Purpose};
use crate::{Error, Json, Result};

/// What the change records say there should be.
#[derive(Default)]
pub(super) struct Known {
    /// Runs by object id: the id that users see, and the sequence of the last change.
    runs: HashMap<ObjectId, KnownRun>,
    /// Artifacts as the last change of each left them, by object id.
    pub(super) artifacts: HashMap<ObjectId, Artifact>,
    /// The sequence of the last change of each artifact and version, if this device made it.
    pub(super) last_changes: HashMap<ObjectId, u64>,
    /// Which problem of the report says that the rows do not add up.
    pub(super) sum_problem: Option<usize>,
}

#[derive(Default)]
pub(super) struct KnownRun {
    pub(super) id: Option<String>,
    pub(super) last_change: u64,
}

impl Known {
    /// Returns what users call a run; its object id if no change tells.
    pub(super) fn name(&self, run: ObjectId) -> String {
        self.runs.get(&run).and_then(|known| known.id.clone()).unwrap_or_else(|| run.to_string())
    }

    pub(super) fn runs(&self) -> impl Iterator<Item = (&ObjectId, &KnownRun)> {
        self.runs.iter()
    }
}

pub(super) fn check(tx: &ReadTx<'_>, keyring: &Keyring, report: &mut CheckReport) -> Result<Known> {
    let root = tx.root(keyring)?;
    let found_before = report.problems.len();
    let mut known = check_changes(tx, keyring, root.device, root.next_device_seq, report)?;
    let names = Names::load(tx, keyring, &known)?;
    for row in tx.key_rows()? {
        report.checked.bytes += row.wrap.len() as u64;
        if let Err(error) = tx.open_key(keyring, &row) {
            let problem = Problem::error(ProblemKind::Damaged, error.to_string());
            report.add(match names.get(row.owner) {
                Some(artifact) => Problem { artifact: Some(artifact.to_owned()), ..problem },
                None if row.purpose == Purpose::Bucket as u8 => problem.of_file(super::blobs::file_of(row.owner)),
                None => problem.of_run(&known.name(row.owner)),
            });
        }
    }
    for kind in [Kind::Project, Kind::Settings, Kind::Receipt, Kind::Terms, Kind::Away] {
        for row in tx.objects(kind, None)? {
            report.checked.bytes += row.body.len() as u64;
            if let Err(error) = tx.open_object(keyring, &row) {
                report.add(Problem::error(ProblemKind::Damaged, error.to_string()));
            }
        }
    }
    if let Err(error) = crate::remotes::check_terms(tx, keyring) {
        report.add(Problem::error(ProblemKind::Damaged, error.to_string()));
    }
    if tx.sum_of_all(keyring)?.0 != root.sum {
        // The rows that follow may say which; if none does, this stands for it.
        let named = if report.problems.len() > found_before { "one named here is" } else { "one is" };
        let message = format!("cellar.db: its rows do not add up to its root row: {named} missing, added or replaced");
        known.sum_problem = Some(report.problems.len());
        report.add(Problem::error(ProblemKind::Replayed, message).of_file(crate::db::FILE_NAME));
    }
    Ok(known)
}

/// Returns whether the rows add up once these were written in the place of others, or where there are none.
pub(super) fn add_up_with<'a>(
    tx: &ReadTx<'_>,
    keyring: &Keyring,
    rows: impl Iterator<Item = (&'a ObjectRow, Option<&'a ObjectRow>)>,
) -> Result<bool> {
    let (mut sum, key) = (tx.sum_of_all(keyring)?, tx.integrity_key(keyring)?);
    for (row, instead) in rows {
        sum.add(&row.hash(key.secret()));
        if let Some(instead) = instead {
            sum.remove(&instead.hash(key.secret()));
        }
    }
    Ok(sum.0 == tx.root(keyring)?.sum)
}

fn check_changes(
    tx: &ReadTx<'_>,
    keyring: &Keyring,
    device: [u8; 16],
    next_seq: u64,
    report: &mut CheckReport,
) -> Result<Known> {
    let mut known = Known::default();
    let mut expected: HashMap<ObjectId, u64> = HashMap::new();
    let buried = match tx.buried_keys(keyring) {
        Ok(buried) => buried,
        Err(error) => {
            report.add(Problem::error(ProblemKind::Damaged, error.to_string()).of_file(crate::db::FILE_NAME));
            HashSet::new()
        }
    };
    for row in tx.objects(Kind::Change, None)? {
        let (id, seq) = (row.key.id, row.key.position);
        report.checked.bytes += row.body.len() as u64;
        let next = expected.entry(id).or_insert(1);
        if seq != *next {
            report.add(missing_changes(id, *next, seq - 1));
        }
        *next = seq + 1;
        let key = Envelope::parse("change record", &row.body).map(|envelope| envelope.key);
        if key.is_ok_and(|key| buried.contains(&key)) {
            continue;
        }
        let change = tx.open_object(keyring, &row).and_then(|body| {
            Change::from_padded_body(&body).map_err(|cause| Error::format(format_args!("change {seq}"), cause))
        });
        match change {
            Ok(change) => take(&mut known, &change, seq, id.0 == device),
            Err(error) => {
                let message = format!("change {seq} of device {id}: {error}");
                report.add(Problem::error(ProblemKind::Damaged, message).of_file(crate::db::FILE_NAME));
            }
        }
    }
    let next = expected.get(&ObjectId(device)).copied().unwrap_or(1);
    if next < next_seq {
        report.add(missing_changes(ObjectId(device), next, next_seq - 1));
    }
    Ok(known)
}

fn missing_changes(device: ObjectId, first: u64, last: u64) -> Problem {
    let message = format!("changes {first} to {last} of device {device} are missing");
    Problem::error(ProblemKind::Missing, message).of_file(crate::db::FILE_NAME)
}

fn take(known: &mut Known, change: &Change, seq: u64, own: bool) {
    if matches!(change.kind, ChangeKind::SetArtifact | ChangeKind::SetVersion) && own {
        known.last_changes.insert(ObjectId(change.object), seq);
    }
    let body = change.extra.iter().find(|(field, _)| *field == RECORD_FIELD).map(|(_, body)| body);
    if change.kind == ChangeKind::SetArtifact
        && let Some(artifact) = body.and_then(|body| Artifact::from_body(body).ok())
    {
        known.artifacts.insert(ObjectId(change.object), artifact);
    }
    let of_run = matches!(change.kind, ChangeKind::CreateRun | ChangeKind::SetFields | ChangeKind::AddGroups);
    if !of_run {
        return;
    }
    let run = known.runs.entry(ObjectId(change.object)).or_default();
    if own {
        run.last_change = seq;
    }
    for field in &change.fields {
        if field.field == FieldId::RunId
            && let Ok(Json::Text(id)) = field.value()
        {
            run.id = Some(id);
        }
    }
}
