//! `doctor --report`: what helps to find a fault, and nothing of what is kept.
//!
//! Every value is a number, a truth value or a word of a fixed list; a text from outside is compared with such a list, never
//! copied. So no name, path, id or message can come through.

use std::collections::BTreeMap;

use runcellar::workspace::FileFacts;
use runcellar::{CheckOptions, CheckReport, Diagnosis, DiskUsage, RunState, Selection, Severity, UsageKind, Workspace};

use super::{Finding, Status};
use crate::failure::Failure;
use crate::session::Session;

/// Types of file systems that may be named; a mount table can call one anything.
const FILE_SYSTEMS: [&str; 22] = [
    "9p",
    "afs",
    "apfs",
    "autofs",
    "btrfs",
    "ceph",
    "cifs",
    "exfat",
    "ext2",
    "ext3",
    "ext4",
    "f2fs",
    "fuse.sshfs",
    "fuseblk",
    "lustre",
    "nfs",
    "nfs4",
    "overlay",
    "smb3",
    "tmpfs",
    "xfs",
    "zfs",
];

#[derive(serde::Serialize)]
pub(super) struct Report {
    report: u32,
    runcellar: &'static str,
    format: u32,
    sqlite: String,
    system: &'static str,
    architecture: &'static str,
    processors: usize,
    workspace: Place,
    key_file: Option<Place>,
    slots: BTreeMap<&'static str, u64>,
    use_of_file_system: Used,
    journals: Journals,
    bytes: BTreeMap<&'static str, u64>,
    free_bytes: u64,
    counts: Counts,
    findings: BTreeMap<&'static str, Status>,
    check: Option<Check>,
}

#[derive(serde::Serialize)]
struct Place {
    file_system: &'static str,
    mode: String,
    read_only: bool,
}

#[derive(serde::Serialize)]
struct Used {
    mount: &'static str,
    network: bool,
    forced: bool,
    locks: Option<bool>,
}

#[derive(serde::Serialize)]
struct Journals {
    live: u64,
    left: u64,
}

#[derive(serde::Serialize, Default)]
struct Counts {
    runs: usize,
    removed: usize,
    projects: usize,
    artifact_versions: usize,
    states: BTreeMap<&'static str, u64>,
}

#[derive(serde::Serialize)]
struct Check {
    runs: u64,
    blocks: u64,
    journals: u64,
    chunks: u64,
    sealed_bytes: u64,
    errors: BTreeMap<&'static str, u64>,
    notes: BTreeMap<&'static str, u64>,
}

/// Gathers the report. What cannot be read is left out, as that is when it is wanted most.
pub(super) fn of(
    session: &Session,
    workspace: &Workspace,
    facts: &Diagnosis,
    findings: &[Finding],
) -> Result<Report, Failure> {
    let check = {
        let _work = session.work("checking");
        workspace.check(CheckOptions::default()).ok()
    };
    let usage = workspace.disk_usage().unwrap_or_default();
    let place = |file: &FileFacts| Place {
        file_system: file.file_system,
        mode: format!("{:03o}", file.mode),
        read_only: facts.read_only,
    };
    let used = &facts.file_system;
    Ok(Report {
        report: 1,
        runcellar: env!("CARGO_PKG_VERSION"),
        format: facts.format,
        sqlite: facts.sqlite.chars().filter(|letter| letter.is_ascii_digit() || *letter == '.').collect(),
        system: std::env::consts::OS,
        architecture: std::env::consts::ARCH,
        processors: std::thread::available_parallelism().map_or(0, usize::from),
        workspace: place(&facts.directory),
        key_file: facts.key_file.as_ref().map(place),
        slots: counted(facts.slots.iter().map(|slot| slot.kind)),
        use_of_file_system: Used {
            mount: FILE_SYSTEMS.into_iter().find(|known| *known == used.mount).unwrap_or("other"),
            network: used.network,
            forced: used.forced,
            locks: used.locks,
        },
        journals: Journals { live: facts.journals_live, left: facts.journals_left },
        bytes: bytes_of(&usage),
        free_bytes: facts.free_bytes,
        counts: counts(workspace),
        findings: findings.iter().map(|finding| (finding.name, finding.status)).collect(),
        check: check.as_ref().map(of_check),
    })
}

fn counted(words: impl Iterator<Item = &'static str>) -> BTreeMap<&'static str, u64> {
    let mut all = BTreeMap::new();
    words.for_each(|word| *all.entry(word).or_default() += 1);
    all
}

fn bytes_of(usage: &DiskUsage) -> BTreeMap<&'static str, u64> {
    let sum = |kind: UsageKind| usage.entries.iter().filter(|entry| entry.kind == kind).map(|entry| entry.bytes).sum();
    UsageKind::ALL.into_iter().map(|kind| (kind.as_str(), sum(kind))).collect()
}

fn counts(workspace: &Workspace) -> Counts {
    let runs = workspace.runs(&Selection::default()).unwrap_or_default();
    let removed = workspace.runs(&Selection { removed: true, ..Selection::default() }).unwrap_or_default();
    let mut projects: Vec<&str> = runs.iter().chain(&removed).map(|run| run.project.as_str()).collect();
    projects.sort_unstable();
    projects.dedup();
    Counts {
        runs: runs.len(),
        removed: removed.len(),
        projects: projects.len(),
        artifact_versions: workspace.artifacts(None).unwrap_or_default().len(),
        states: counted(runs.iter().map(|run| RunState::as_str(run.state))),
    }
}

fn of_check(report: &CheckReport) -> Check {
    let of = |severity: Severity| {
        let problems = report.problems.iter().filter(|problem| problem.severity == severity);
        counted(problems.map(|problem| problem.kind.as_str()))
    };
    let checked = report.checked;
    Check {
        runs: checked.runs,
        blocks: checked.blocks,
        journals: checked.journals,
        chunks: checked.chunks,
        sealed_bytes: checked.bytes,
        errors: of(Severity::Error),
        notes: of(Severity::Note),
    }
}
