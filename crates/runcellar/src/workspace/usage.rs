//! What takes how much of the disk: by run and by kind, adding up to the files of the workspace.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use runcellar_format::seal::Kind;
use runcellar_format::{KeyId, ObjectId};

use super::{JOURNALS, KEYSLOTS, PACKS, REMOTES, TMP, Workspace};
use crate::artifacts::project_names;
use crate::blob::{Class, pack_path};
use crate::db::{self, Pages, Stored};
use crate::query::tail::OpenJournals;
use crate::{Result, RunInfo, Selection, ingest};

/// What bytes are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum UsageKind {
    /// Points: row groups, and the summaries that charts are drawn from.
    Metrics,
    /// Records of runs, projects, metrics, writers and settings.
    Records,
    /// Columns of all runs, from which listings are made.
    Catalogue,
    /// What each change did, for sync.
    Changes,
    /// Keys, each wrapped under another, and the slots.
    Keys,
    /// Rows that are not in the database yet.
    Journals,
    /// Chunks, manifests and records of artifacts and media.
    Artifacts,
    /// Indexes, heads of pages and rows, and room within pages.
    Structure,
    /// Pages that hold nothing and will be used again.
    Free,
    /// The database's `-wal` and `-shm`, which go when nobody has the workspace open.
    Log,
    /// Files on their way.
    Temporary,
    /// What devices published on remotes, as it is known here.
    Remotes,
    /// Files that are none of ours.
    Other,
}

impl UsageKind {
    /// All kinds, in the order of their meaning.
    pub const ALL: [UsageKind; 13] = [
        UsageKind::Metrics,
        UsageKind::Records,
        UsageKind::Catalogue,
        UsageKind::Changes,
        UsageKind::Keys,
        UsageKind::Journals,
        UsageKind::Artifacts,
        UsageKind::Structure,
        UsageKind::Free,
        UsageKind::Log,
        UsageKind::Temporary,
        UsageKind::Remotes,
        UsageKind::Other,
    ];

    /// Returns the name that programs use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            UsageKind::Metrics => "metrics",
            UsageKind::Records => "records",
            UsageKind::Catalogue => "catalogue",
            UsageKind::Changes => "changes",
            UsageKind::Keys => "keys",
            UsageKind::Journals => "journals",
            UsageKind::Artifacts => "artifacts",
            UsageKind::Structure => "structure",
            UsageKind::Free => "free",
            UsageKind::Log => "log",
            UsageKind::Temporary => "temporary",
            UsageKind::Remotes => "remotes",
            UsageKind::Other => "other",
        }
    }

    fn of_record(kind: u16) -> UsageKind {
        let is = |kinds: &[Kind]| kinds.iter().any(|known| *known as u16 == kind);
        match () {
            () if is(&[Kind::Overview]) => UsageKind::Metrics,
            () if is(&[Kind::Catalogue]) => UsageKind::Catalogue,
            () if is(&[Kind::Change, Kind::Segment, Kind::DeviceHead, Kind::Tombstone]) => UsageKind::Changes,
            () if is(&[Kind::Chunk, Kind::Manifest, Kind::Bucket, Kind::Media, Kind::Artifact]) => UsageKind::Artifacts,
            () => UsageKind::Records,
        }
    }
}

/// Bytes of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Which of [`DiskUsage::runs`] they belong to; none if to the workspace as a whole.
    pub run: Option<usize>,
    /// What they are for.
    pub kind: UsageKind,
    /// How many.
    pub bytes: u64,
}

/// What [`Workspace::disk_usage`] found.
#[derive(Debug, Clone, Default)]
pub struct DiskUsage {
    /// Sum of the sizes of all files of the workspace, and of all `entries`.
    pub total: u64,
    /// Every run that takes space, the ones that `rm` hid too, the latest first.
    pub runs: Vec<RunInfo>,
    /// One for each run and kind, and one for each kind that is of the workspace as a whole.
    pub entries: Vec<Usage>,
    /// Packs of each project's artifacts, code and media: (project, bytes), of those that `entries` has as the workspace's.
    pub packs: Vec<(String, u64)>,
    /// Bytes among those of the log that are no file's content but memory that processes share: the `-shm`.
    pub shared_memory: u64,
}

/// What one run takes, or the workspace as a whole.
#[derive(Debug, Clone, Copy)]
pub struct RunUsage<'a> {
    /// The run; none for the workspace.
    pub run: Option<&'a RunInfo>,
    /// Bytes of each kind.
    pub kinds: &'a [Usage],
    /// Their sum.
    pub bytes: u64,
}

/// What the runs and packs of one project take, or the workspace as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProjectUsage<'a> {
    /// The project; none for the workspace.
    pub project: Option<&'a str>,
    /// How many runs.
    pub runs: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// Bytes by whose they are and what they are for.
type Sums = HashMap<(Option<ObjectId>, UsageKind), u64>;

impl Workspace {
    /// Measures what takes how much of the disk. Changes nothing.
    ///
    /// Sizes of rows are those of their values; what SQLite adds is [`UsageKind::Structure`]. While others write, the
    /// sum may be off by what they write meanwhile.
    ///
    /// # Errors
    /// If the workspace cannot be read.
    pub fn disk_usage(&self) -> Result<DiskUsage> {
        let inner = &self.inner;
        let mut runs = self.runs(&Selection::default())?;
        runs.extend(self.runs(&Selection { removed: true, ..Selection::default() })?);
        let size = |path: &Path| std::fs::symlink_metadata(path).map_or(0, |metadata| metadata.len());
        let journals: Vec<_> = ingest::journal_files(inner)?.into_iter().map(|(id, path)| (id, size(&path))).collect();
        let opened = OpenJournals::open(inner)?;
        let mut sums = Sums::new();
        let shared_memory = size(&inner.path.join(format!("{}-shm", db::FILE_NAME)));
        inner.read(|tx, keyring| {
            let owners = opened.owners(tx, keyring)?;
            for (id, bytes) in &journals {
                *sums.entry((owners.get(id).copied(), UsageKind::Journals)).or_default() += bytes;
            }
            let keys: HashMap<KeyId, ObjectId> = tx.key_rows()?.iter().map(|row| (row.id, row.owner)).collect();
            let mut content = 0;
            tx.stored(|stored| {
                let (owner, kind, bytes) = match stored {
                    Stored::Blocks { run, bytes } => (Some(run), UsageKind::Metrics, bytes),
                    Stored::Objects { kind, id, bytes } => (Some(id), UsageKind::of_record(kind), bytes),
                    Stored::Sealed { kind, key, bytes } => (keys.get(&key).copied(), UsageKind::of_record(kind), bytes),
                    Stored::Keys { owner, bytes } => (Some(owner), UsageKind::Keys, bytes),
                };
                content += bytes;
                *sums.entry((owner, kind)).or_default() += bytes;
            })?;
            let Pages { bytes, free } = tx.pages()?;
            let wal = size(&inner.path.join(format!("{}-wal", db::FILE_NAME)));
            let files = size(&inner.path.join(db::FILE_NAME)) + wal;
            let mut add = |kind, bytes: u64| *sums.entry((None, kind)).or_default() += bytes;
            add(UsageKind::Free, free);
            add(UsageKind::Structure, bytes.saturating_sub(content + free));
            // Pages that are in the log only count as what they hold.
            add(UsageKind::Log, files.saturating_sub(bytes) + shared_memory);
            Ok(())
        })?;
        self.add_files(&mut sums, journals.iter().map(|(_, bytes)| bytes).sum())?;
        Ok(DiskUsage { shared_memory, packs: self.pack_bytes()?, ..DiskUsage::of(runs, sums) })
    }

    /// Returns what the packs of each project take.
    fn pack_bytes(&self) -> Result<Vec<(String, u64)>> {
        let inner = &self.inner;
        inner.read(|tx, keyring| {
            let mut all = Vec::new();
            for (project, name) in project_names(tx, keyring)? {
                let mut bytes = 0;
                for class in Class::ALL {
                    let Some(key) = tx.owner_key(keyring, project, class.purpose())? else { continue };
                    for pack in tx.owners_sealed_under(Kind::Pack, key.id())? {
                        bytes += std::fs::metadata(pack_path(&inner.path, pack)).map_or(0, |metadata| metadata.len());
                    }
                }
                if bytes > 0 {
                    all.push((name, bytes));
                }
            }
            all.sort_unstable();
            Ok(all)
        })
    }

    /// Adds the files that are neither the database's nor journals.
    fn add_files(&self, sums: &mut Sums, journal_bytes: u64) -> Result<()> {
        let mut directories = vec![self.inner.path.clone()];
        let mut in_journals = 0;
        while let Some(directory) = directories.pop() {
            // What vanishes meanwhile takes no space.
            let Ok(entries) = std::fs::read_dir(&directory) else { continue };
            for entry in entries.flatten() {
                let Ok(metadata) = entry.metadata() else { continue };
                let path = entry.path();
                if metadata.is_dir() {
                    directories.push(path);
                    continue;
                }
                let within = path.strip_prefix(&self.inner.path).unwrap_or(&path);
                let top = within.components().next().map(|part| part.as_os_str().to_string_lossy().into_owned());
                let kind = match top.as_deref().unwrap_or_default() {
                    name if name == db::FILE_NAME => continue,
                    name if name.strip_prefix(db::FILE_NAME).is_some_and(|rest| rest == "-wal" || rest == "-shm") => {
                        continue;
                    }
                    KEYSLOTS => UsageKind::Keys,
                    PACKS => UsageKind::Artifacts,
                    TMP => UsageKind::Temporary,
                    REMOTES => UsageKind::Remotes,
                    JOURNALS => {
                        in_journals += metadata.len();
                        continue;
                    }
                    _ => UsageKind::Other,
                };
                *sums.entry((None, kind)).or_default() += metadata.len();
            }
        }
        // What lies beside the journals and is none.
        *sums.entry((None, UsageKind::Other)).or_default() += in_journals.saturating_sub(journal_bytes);
        Ok(())
    }
}

impl DiskUsage {
    fn of(runs: Vec<RunInfo>, sums: Sums) -> DiskUsage {
        let places: HashMap<ObjectId, usize> = runs.iter().enumerate().map(|(at, run)| (run.object, at)).collect();
        let mut merged: HashMap<(Option<usize>, UsageKind), u64> = HashMap::new();
        for ((owner, kind), bytes) in sums {
            // Projects, devices and the workspace own some; these are nobody's run.
            let run = owner.and_then(|owner| places.get(&owner).copied());
            *merged.entry((run, kind)).or_default() += bytes;
        }
        let mut entries: Vec<Usage> = merged
            .into_iter()
            .filter(|(_, bytes)| *bytes > 0)
            .map(|((run, kind), bytes)| Usage { run, kind, bytes })
            .collect();
        entries.sort_unstable_by_key(|entry| (entry.run, entry.kind));
        let total = entries.iter().map(|entry| entry.bytes).sum();
        DiskUsage { total, runs, entries, packs: Vec::new(), shared_memory: 0 }
    }

    /// Leaves out the `-shm`: where it is there only while this process has the workspace open, it is no use of the disk.
    pub fn leave_out_shared_memory(&mut self) {
        let memory = std::mem::take(&mut self.shared_memory);
        for entry in self.entries.iter_mut().filter(|entry| entry.kind == UsageKind::Log) {
            entry.bytes = entry.bytes.saturating_sub(memory);
        }
        self.entries.retain(|entry| entry.bytes > 0);
        self.total = self.entries.iter().map(|entry| entry.bytes).sum();
    }

    /// Returns the bytes of each kind, in the order of their meaning.
    #[must_use]
    pub fn by_kind(&self) -> Vec<(UsageKind, u64)> {
        let sum = |kind| self.entries.iter().filter(|entry| entry.kind == kind).map(|entry| entry.bytes).sum();
        let all = UsageKind::ALL.into_iter().map(|kind| (kind, sum(kind)));
        all.filter(|(_, bytes)| *bytes > 0).collect()
    }

    /// Returns what each run takes, the largest first, and last what the workspace as a whole takes.
    #[must_use]
    pub fn by_run(&self) -> Vec<RunUsage<'_>> {
        let chunks = self.entries.chunk_by(|left, right| left.run == right.run);
        let of = |kinds: &'_ [Usage]| kinds.first().and_then(|first| self.runs.get(first.run?));
        let mut all: Vec<RunUsage<'_>> = chunks
            .map(|kinds| RunUsage { run: of(kinds), kinds, bytes: kinds.iter().map(|entry| entry.bytes).sum() })
            .collect();
        // A stable sort keeps the latest of equals first.
        all.sort_by_key(|usage| (usage.run.is_none(), Reverse(usage.bytes)));
        all
    }

    /// Returns what the runs and packs of each project take, the largest first, and last what the workspace as a whole
    /// takes.
    #[must_use]
    pub fn by_project(&self) -> Vec<ProjectUsage<'_>> {
        let mut sums: BTreeMap<Option<&str>, (usize, u64)> = BTreeMap::new();
        for RunUsage { run, bytes, .. } in self.by_run() {
            let (runs, sum) = sums.entry(run.map(|run| run.project.as_str())).or_default();
            *runs += usize::from(run.is_some());
            *sum += bytes;
        }
        for (project, bytes) in &self.packs {
            sums.entry(Some(project)).or_default().1 += bytes;
            if let Some((_, whole)) = sums.get_mut(&None) {
                *whole = whole.saturating_sub(*bytes);
            }
        }
        let of = |(project, (runs, bytes))| ProjectUsage { project, runs, bytes };
        let mut all: Vec<ProjectUsage<'_>> = sums.into_iter().map(of).collect();
        all.sort_by_key(|usage| (usage.project.is_none(), Reverse(usage.bytes)));
        all
    }
}
