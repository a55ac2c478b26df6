//! Taking a run or an artifact version out.

use std::iter::Peekable;

use runcellar_format::WriterId;
use runcellar_format::block::Level;
use runcellar_format::record::{
    Body, CarriedGroup, CarriedNames, CarriedRecord, CarriedRun, CarriedVersion, Content, FileContent,
    MANIFEST_ENTRIES_MAX, MANIFEST_TEXT_MAX, Manifest, ManifestEntry, PAGE_ENTRIES, Reference,
};

use crate::artifacts::ArtifactVersion;
use crate::blob::{Class, ManifestReader, PackReader, Placed, Pool, ReadEntry};
use crate::ingest::{groups, prepare};
use crate::lineage::fork::{TAIL_SEQUENCE, pieces};
use crate::query::tail::{View, with_run};
use crate::workspace::Inner;
use crate::{Error, Result, RunInfo, Workspace};

/// Which files of a run, or of an artifact version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileClass {
    /// The code that is kept with a run.
    Code,
    /// The media of a run.
    Media,
    /// The files of an artifact version.
    Artifact,
}

/// A piece of what is taken out.
#[derive(Debug)]
pub enum Departing<'a> {
    /// An artifact version begins: a body of [`CarriedVersion`].
    Version(Vec<u8>),
    /// A run begins: a body of [`CarriedRun`].
    Run(Vec<u8>),
    /// Files follow, as this body of [`Manifest`] lists them, without chunks.
    Files(FileClass, Vec<u8>),
    /// The next of these; of a file, its content follows.
    Entry(FileClass, &'a ManifestEntry),
    /// Content of the file that was given last, in order.
    Content(&'a [u8]),
    /// The run's record: a body of [`CarriedRecord`].
    Record(Vec<u8>),
    /// Names of series: a body of [`CarriedNames`].
    Names(Vec<u8>),
    /// A row group: [`CarriedGroup::encode`].
    Group(Vec<u8>),
}

/// Takes pieces.
type Sink<'a> = &'a mut dyn FnMut(Departing<'_>) -> std::io::Result<()>;

fn taken(outcome: std::io::Result<()>) -> Result<()> {
    outcome.map_err(|cause| Error::new(crate::ErrorKind::Io, cause.to_string()).with_cause(cause))
}

impl Workspace {
    /// Takes a run out, as it is now: its code, its media, and everything that was logged, also what rewinds hide.
    ///
    /// `take` must not call the workspace.
    ///
    /// # Errors
    /// If something of it cannot be read, or `take` fails; then with that error as cause.
    pub fn carry_run_out(&self, run: &RunInfo, take: Sink<'_>) -> Result<()> {
        let inner = &*self.inner;
        let object = run.object;
        self.bring_rows(object)?;
        let user = object.to_string();
        let versions = self.artifacts_of_run(run)?.used;
        let used = versions.iter().filter_map(|version| {
            let (_, time) = version.used_by.iter().find(|(by, _)| *by == user)?;
            Some((version.object_id().0, *time))
        });
        let (id, project) = (run.id.clone(), run.project.clone());
        let head = CarriedRun { run: object.0, id, project, used: used.collect(), extra: Vec::new() };
        taken(take(Departing::Run(body(&head)?)))?;
        let code = self.code_entries(run)?;
        if !code.is_empty() {
            let pool = self.code_pool(run)?;
            let files = code.into_iter().map(|entry| Ok(vec![entry]));
            Files { inner, class: FileClass::Code, take: &mut *take }.all(files, |_| &pool)?;
        }
        let media = self.media(run)?;
        let files = media.files().into_iter().map(|(_, entry)| Ok(vec![entry.clone()]));
        let pools: Vec<&Pool> = media.files().into_iter().map(|(pool, _)| pool).collect();
        Files { inner, class: FileClass::Media, take: &mut *take }
            .all(files, |index| pools.get(index).copied().expect("one a file"))?;
        with_run(inner, object, |tx, keyring, view| {
            let mut record = CarriedRecord { record: view.data.record.clone(), extra: Vec::new() };
            // Projects are told by name: their ids are of this workspace.
            (record.record.project, record.record.start.project) = ([0; 16], [0; 16]);
            taken(take(Departing::Record(body(&record)?)))?;
            for entries in view.data.series.entries.chunks(PAGE_ENTRIES) {
                let names = entries.iter().map(|entry| entry.name.clone()).collect();
                taken(take(Departing::Names(body(&CarriedNames { names })?)))?;
            }
            let mut next = std::collections::HashMap::<WriterId, u32>::new();
            let entries = if view.data.key.is_some() { view.data.all_groups(tx, keyring)? } else { Vec::new() };
            for entry in entries {
                let key = groups::group_key(&view.data, &entry);
                let parts = (0..entry.parts)
                    .map(|part| groups::open_part(tx, keyring, &view.data, key, part))
                    .collect::<Result<_>>()?;
                let after = next.entry(key.writer).or_default();
                *after = (*after).max(entry.number.saturating_add(1));
                carry_group(take, &CarriedGroup { number: entry.number, best: entry.best, parts })?;
            }
            carry_tails(view, next, take)
        })
    }

    /// Takes an artifact version out, with its content.
    ///
    /// # Errors
    /// As [`Workspace::carry_run_out`].
    pub fn carry_version_out(&self, version: &ArtifactVersion, take: Sink<'_>) -> Result<()> {
        let inner = &*self.inner;
        taken(take(Departing::Version(body(&version.carried()?)?)))?;
        let Some(pool) = version.pool()? else { return Ok(()) };
        let files = WholeFiles(version.manifest().peekable());
        Files { inner, class: FileClass::Artifact, take }.all(files, |_| &pool)
    }
}

fn body<T: Body>(of: &T) -> Result<Vec<u8>> {
    of.to_body().map_err(|cause| Error::format(T::NAME, cause))
}

fn carry_group(take: Sink<'_>, group: &CarriedGroup) -> Result<()> {
    let bytes = group.encode().map_err(|cause| Error::format("row group", cause))?;
    taken(take(Departing::Group(bytes)))
}

/// Rows that stand in journals still become groups after those that their writers have.
fn carry_tails(view: &View, mut next: std::collections::HashMap<WriterId, u32>, take: Sink<'_>) -> Result<()> {
    for tail in &view.tails {
        let rows = groups::Group {
            sequences: (0, 0),
            steps: tail.steps.clone(),
            times: tail.times.clone(),
            columns: tail.columns.clone(),
        };
        for mut rows in pieces(rows) {
            let number = next.entry(tail.writer).or_default();
            let sequence = TAIL_SEQUENCE | u64::from(*number);
            rows.sequences = (sequence, sequence);
            let named = |cause| Error::format(format_args!("run {}", view.data.record.id), cause);
            let (_, spine, columns) = prepare::encode(tail.writer, &rows, Level::Best).map_err(named)?;
            let parts = runcellar_format::block::assemble_group(&spine, columns).map_err(named)?.parts;
            carry_group(take, &CarriedGroup { number: *number, best: true, parts })?;
            *number = number.saturating_add(1);
        }
    }
    Ok(())
}

/// Files of one class on their way out.
struct Files<'a> {
    inner: &'a Inner,
    class: FileClass,
    take: Sink<'a>,
}

impl Files<'_> {
    /// Takes out files, each given as the entries that it stands in; `pool_of` tells where the content of the nth is.
    fn all<'p>(
        &mut self,
        files: impl Iterator<Item = Result<Vec<ReadEntry>>>,
        pool_of: impl Fn(usize) -> &'p Pool,
    ) -> Result<()> {
        let mut files = files.enumerate().peekable();
        while files.peek().is_some() {
            let (mut lot, mut text) = (Vec::new(), 0);
            while lot.len() < MANIFEST_ENTRIES_MAX && text < MANIFEST_TEXT_MAX {
                let Some((index, file)) = files.next() else { break };
                let file = file?;
                text += file.first().map_or(0, |entry| text_of(&entry.entry));
                lot.push((index, file));
            }
            let listed = lot.iter().filter_map(|(_, file)| file.first()).map(|entry| without_chunks(&entry.entry));
            let list = Manifest { packs: Vec::new(), entries: listed.collect(), extra: Vec::new() };
            taken((self.take)(Departing::Files(self.class, body(&list)?)))?;
            for (entry, (index, file)) in list.entries.iter().zip(&lot) {
                taken((self.take)(Departing::Entry(self.class, entry)))?;
                self.content(file, pool_of(*index))?;
            }
        }
        Ok(())
    }

    fn content(&mut self, file: &[ReadEntry], pool: &Pool) -> Result<()> {
        let Some(first) = file.first() else { return Ok(()) };
        let path = || String::from_utf8_lossy(&first.entry.path).into_owned();
        let (mut reader, mut given) = (PackReader::new(self.inner, pool), 0);
        let Content::File(FileContent { size, .. }) = &first.entry.content else { return Ok(()) };
        for part in file {
            let Content::File(content) = &part.entry.content else { continue };
            let hint = |number: &u32| part.packs.get(*number as usize).copied();
            let placed = content
                .chunks
                .iter()
                .map(|(number, id)| Placed::find(self.inner, pool, hint(number), runcellar_format::ChunkId(*id)));
            let placed = placed.collect::<Result<Vec<_>>>().map_err(|error| error.of(path()))?;
            let each = &mut |bytes: &[u8]| {
                given += bytes.len() as u64;
                taken((self.take)(Departing::Content(bytes)))
            };
            reader.read(&placed, each).map_err(|error| error.of(path()))?;
        }
        if given == *size {
            return Ok(());
        }
        Err(Error::damaged(format!("{}: {given} bytes where {size} are listed", path())))
    }
}

fn text_of(entry: &ManifestEntry) -> usize {
    let more = match &entry.content {
        Content::Link(target) => target.len(),
        Content::Reference(Reference { uri, digest, .. }) => uri.len() + digest.len(),
        Content::File(_) | Content::Directory => 0,
    };
    entry.path.len() + more + entry.extra.iter().map(|(_, bytes)| bytes.len()).sum::<usize>()
}

fn without_chunks(entry: &ManifestEntry) -> ManifestEntry {
    let content = match &entry.content {
        Content::File(FileContent { size, executable, .. }) => {
            Content::File(FileContent { size: *size, executable: *executable, ..FileContent::default() })
        }
        other => other.clone(),
    };
    ManifestEntry { content, ..entry.clone() }
}

/// Joins the entries of a file that goes on in the next part of a manifest.
struct WholeFiles<'a>(Peekable<ManifestReader<'a>>);

impl Iterator for WholeFiles<'_> {
    type Item = Result<Vec<ReadEntry>>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut file = match self.0.next()? {
            Ok(entry) => vec![entry],
            Err(error) => return Some(Err(error)),
        };
        let goes_on = |next: &Result<ReadEntry>, path: &[u8]| {
            next.as_ref().is_ok_and(|next| {
                next.entry.path == path && matches!(&next.entry.content, Content::File(file) if file.offset > 0)
            })
        };
        let path = file.first().map(|entry| entry.entry.path.clone()).unwrap_or_default();
        while let Some(Ok(more)) = self.0.next_if(|next| goes_on(next, &path)) {
            file.push(more);
        }
        Some(Ok(file))
    }
}

impl ArtifactVersion {
    fn carried(&self) -> Result<CarriedVersion> {
        let version = self.record()?;
        Ok(CarriedVersion {
            object: self.object_id().0,
            project: self.project.clone(),
            name: self.name.clone(),
            kind: self.kind.clone(),
            version,
            aliases: self.aliases.iter().filter(|alias| *alias != "latest").cloned().collect(),
            extra: Vec::new(),
        })
    }

    fn pool(&self) -> Result<Option<Pool>> {
        self.inner.read(|tx, keyring| Pool::find(tx, keyring, self.content_project, Class::Artifacts))
    }
}
