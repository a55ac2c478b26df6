//! Artifacts of another workspace: versions with their content, aliases, uses and links.

use std::collections::HashMap;
use std::sync::Arc;

use runcellar_format::ObjectId;
use runcellar_format::record::{Artifact, Away, Content, Version, VersionRef};
use runcellar_format::seal::Kind;

use super::makings;
use super::records::{self, Stored};
use crate::blob::{
    self, Class, Entered, ManifestReader, Pool, PutOptions, ReadEntry, Source, StoredFile, Told, What, put_manifest,
};
use crate::db::{ReadTx, WriteTx};
use crate::ingest::store::ensure_project;
use crate::keys::Purpose;
use crate::merge::{LeftOut, MergeReport, is_theirs};
use crate::{Error, ErrorKind, Result, Workspace};

/// How often content is put again because chunks that it relied on went meanwhile.
const PUTS_MAX: usize = 4;

/// Brings in the artifacts of these projects. Collections come last, as they link to versions of others.
pub(crate) fn merge(
    into: &Workspace,
    other: &Workspace,
    projects: &HashMap<ObjectId, String>,
    dry_run: bool,
    report: &mut MergeReport,
) -> Result<()> {
    let mut all = other.inner.read(records::artifacts)?;
    all.retain(|artifact| projects.contains_key(&ObjectId(artifact.record.project)));
    all.sort_by_key(|artifact| artifact.record.collection);
    for theirs in &all {
        let project = projects.get(&ObjectId(theirs.record.project)).map(String::as_str).unwrap_or_default();
        let bring = Bring { into, other, project, theirs };
        let what = format!("artifact {project}/{}", theirs.record.name);
        let erased = into.inner.read(|tx, keyring| {
            Ok(tx.is_buried(keyring, theirs.object)? || tx.is_buried(keyring, ObjectId(theirs.record.project))?)
        });
        if erased? {
            report.stays_erased(what);
            continue;
        }
        let before = report.new_versions;
        let brought = bring.versions(dry_run, report);
        let is_counted = report.new_versions > before;
        match brought.and_then(|()| bring.lists(dry_run, is_counted, report)) {
            Err(error) if is_theirs(&error) => report.leave_out(what, &error),
            // Something else has its name here.
            Err(error) if error.kind() == ErrorKind::InvalidArgument => {
                report.left_out.push(LeftOut { what, why: error.to_string(), damaged: false });
            }
            outcome => outcome?,
        }
    }
    Ok(())
}

/// An artifact to bring in.
struct Bring<'a> {
    into: &'a Workspace,
    other: &'a Workspace,
    project: &'a str,
    theirs: &'a Stored<Artifact>,
}

impl Bring<'_> {
    /// Brings in versions that are not here, and the uses of those that are.
    fn versions(&self, dry_run: bool, report: &mut MergeReport) -> Result<()> {
        if self.theirs.record.collection {
            return Ok(());
        }
        for listed in &self.theirs.record.versions {
            let object = ObjectId(listed.version);
            let known = self.into.inner.read(|tx, keyring| {
                let erased = tx.is_buried(keyring, object)?;
                Ok(if erased { None } else { Some(records::find_version(tx, keyring, object)?) })
            })?;
            let what = || format!("artifact {}/{}:v{}", self.project, self.theirs.record.name, listed.number);
            let Some(known) = known else {
                report.stays_erased(what());
                continue;
            };
            match self.listed(listed, known, dry_run, report) {
                Err(error) if is_theirs(&error) => report.leave_out(what(), &error),
                brought => brought?,
            }
        }
        Ok(())
    }

    /// Brings in a version, or what is said of the one that is here.
    fn listed(
        &self,
        listed: &VersionRef,
        known: Option<Stored<Version>>,
        dry_run: bool,
        report: &mut MergeReport,
    ) -> Result<()> {
        let (object, is_replica) = (ObjectId(listed.version), self.other.inner.is_replica());
        let theirs = self.other.inner.read(|tx, keyring| match is_replica {
            // A device lists versions that another published, and may say no more of these than who used them.
            true => match records::find_version(tx, keyring, object)? {
                Some(found) => Ok(Some((has_content(tx, &found)?, found))),
                None => Ok(None),
            },
            false => Ok(Some((true, records::version(tx, keyring, object)?))),
        })?;
        match (theirs, known) {
            (None, _) => Ok(()),
            (Some((_, theirs)), Some(mine)) => self.uses(mine, &theirs.record, dry_run, report),
            (Some((has_content, theirs)), None) => {
                if has_content {
                    if !dry_run {
                        self.version(listed, &theirs)?;
                    }
                    report.new_versions += 1;
                }
                Ok(())
            }
        }
    }

    /// Takes in which runs made and used a version.
    fn uses(&self, mut mine: Stored<Version>, theirs: &Version, dry_run: bool, report: &mut MergeReport) -> Result<()> {
        if !take_uses(&mut mine.record, theirs) {
            return Ok(());
        }
        report.updated_artifacts += 1;
        if dry_run {
            return Ok(());
        }
        self.into.inner.write(None, |tx| {
            let Some(mut mine) = records::find_version(tx, tx.keyring, mine.object)? else { return Ok(()) };
            take_uses(&mut mine.record, theirs);
            records::store_version(tx, &mine).map(drop)
        })
    }

    /// Puts the content of a version into this workspace and lists it, under the next number if its own is taken.
    fn version(&self, listed: &VersionRef, theirs: &Stored<Version>) -> Result<()> {
        let inner = &*self.into.inner;
        let project_there = ObjectId(self.theirs.record.project);
        let pool_there =
            self.other.inner.read(|tx, keyring| Pool::find(tx, keyring, project_there, Class::Artifacts))?;
        let pool_there = pool_there.map(Arc::new);
        // Devices of one workspace name content alike, where one of them was the first to have some.
        let like = pool_there.as_deref().filter(|_| self.into.inner.id == self.other.inner.id);
        let pool = inner.write(None, |tx| {
            let project = self.project_here(tx)?;
            self.artifact_here(tx, project)?;
            Pool::find_or_make_like(tx, project, Class::Artifacts, like)
        })?;
        let pool = Arc::new(pool);
        inner.read(|tx, keyring| pool.refresh(tx, keyring))?;
        if let (Some(there), Some(pool_there)) = (self.other.inner.stays_there(), &pool_there)
            && pool.is_twin_of(pool_there)
        {
            return self.version_there(listed, theirs, (&pool, pool_there), &there);
        }
        let options = PutOptions { bytes_total: theirs.record.bytes, ..PutOptions::default() };
        for _ in 0..PUTS_MAX {
            let sources = Files::of((self.into, &pool), (self.other, pool_there.as_ref()), theirs);
            let put = blob::put(inner, &pool, &mut { sources }, None, options)?;
            if put.files != theirs.record.files || put.bytes != theirs.record.bytes {
                return Err(Error::damaged(format!("version v{}: its manifest is not whole", theirs.record.number)));
            }
            let entered = inner.write(None, |tx| {
                if put.commit(tx, &pool)? == Entered::Stale {
                    return Ok(false);
                }
                let (digest, parts) = (put.digest, put.manifest.firsts.clone());
                let record = Version { digest, parts, ..theirs.record.clone() };
                self.enter(tx, pool.project, listed, (theirs.object, record), &put.manifest.parts)?;
                Ok(true)
            })?;
            put.committed(&pool);
            if entered {
                return Ok(());
            }
        }
        let message = format!("artifact {}: what it shares is being removed all the time", self.theirs.record.name);
        Err(Error::new(ErrorKind::Busy, message))
    }

    /// Lists a version whose content stays on a remote.
    fn version_there(
        &self,
        listed: &VersionRef,
        theirs: &Stored<Version>,
        (pool, pool_there): (&Pool, &Pool),
        there: &Away,
    ) -> Result<()> {
        let told = Told::of_manifest(&self.other.inner, pool_there, theirs.object)?;
        let parts = self.other.inner.read(|tx, keyring| {
            let rows = tx.objects(Kind::Manifest, Some(theirs.object))?;
            rows.iter().map(|row| tx.open_object(keyring, row)).collect::<Result<Vec<_>>>()
        })?;
        if parts.len() != theirs.record.parts.len() {
            return Err(Error::damaged(format!("version v{}: its manifest is not whole", theirs.record.number)));
        }
        self.into.inner.write(None, |tx| {
            told.adopt(tx, pool, there)?;
            self.enter(tx, pool.project, listed, (theirs.object, theirs.record.clone()), &parts)
        })
    }

    /// Stores a version and its manifest, and lists it, under the next number if its own is taken.
    fn enter(
        &self,
        tx: &mut WriteTx<'_>,
        project: ObjectId,
        listed: &VersionRef,
        (object, record): (ObjectId, Version),
        parts: &[Vec<u8>],
    ) -> Result<()> {
        let mut artifact = self.artifact_here(tx, project)?;
        let taken = artifact.record.versions.iter().any(|known| known.number == listed.number)
            || (listed.number < artifact.record.next_version && artifact.object != self.theirs.object);
        let number = if taken { artifact.record.next_version } else { listed.number };
        records::draw_key(tx, project, object, Purpose::Version)?;
        let record = Version { artifact: artifact.object.0, number, ..record };
        let key = records::store_version(tx, &Stored { object, record })?;
        put_manifest(tx, &key, object, 0, parts)?;
        let record = &mut artifact.record;
        record.next_version = record.next_version.max(number.saturating_add(1));
        record.versions.push(VersionRef { number, ..*listed });
        record.versions.sort_by_key(|known| known.number);
        records::store_artifact(tx, &artifact)
    }

    /// Takes in aliases and, of a collection, links. An alias that is here already is known by object id and clock.
    fn lists(&self, dry_run: bool, is_counted: bool, report: &mut MergeReport) -> Result<()> {
        let plan = |tx: &ReadTx<'_>, keyring: &crate::keys::Keyring| {
            let is_here = |object| records::find_version(tx, keyring, object).map(|found| found.is_some());
            let mut wanted = self.theirs.record.clone();
            let mut kept = Vec::new();
            for listed in &wanted.versions {
                kept.extend(is_here(ObjectId(listed.version))?.then_some(*listed));
            }
            wanted.versions = kept;
            let mut kept = Vec::new();
            for set in &wanted.aliases {
                let here = set.version == [0; 16] || is_here(ObjectId(set.version))?;
                kept.extend(here.then(|| set.clone()));
            }
            wanted.aliases = kept;
            Ok(wanted)
        };
        let wanted = self.into.inner.read(plan)?;
        let mine = self.into.inner.read(|tx, keyring| {
            let names = super::project_names(tx, keyring)?;
            let project = names.iter().find(|(_, name)| *name == self.project).map(|(object, _)| *object);
            project.map_or(Ok(None), |project| records::artifact(tx, keyring, project, &self.theirs.record.name))
        })?;
        let before = match mine {
            Some(mine) => mine.record,
            None if self.theirs.record.collection => self.fresh()?.record,
            None => return Ok(()),
        };
        self.is_alike(&before)?;
        let mut now = before.clone();
        let links = take_lists(&mut now, &wanted)?;
        if now == before {
            return Ok(());
        }
        report.new_versions += links;
        report.updated_artifacts += u64::from(links == 0 && !is_counted);
        if dry_run {
            return Ok(());
        }
        self.into.inner.write(None, |tx| {
            let project = self.project_here(tx)?;
            let mut mine = self.artifact_here(tx, project)?;
            take_lists(&mut mine.record, &wanted)?;
            if let Some(clock) = wanted.aliases.iter().map(|set| set.clock).max() {
                tx.witness_clock(clock);
            }
            records::store_artifact(tx, &mine)
        })
    }

    fn project_here(&self, tx: &mut WriteTx<'_>) -> Result<ObjectId> {
        ensure_project(tx, self.project, ObjectId(self.theirs.record.project), self.theirs.record.created)
    }

    /// Returns the artifact as it begins here: with nothing that it lists there.
    fn fresh(&self) -> Result<Stored<Artifact>> {
        let mut record = Artifact { versions: Vec::new(), aliases: Vec::new(), ..self.theirs.record.clone() };
        if record.collection {
            record.next_version = 0;
            makings::forget(&mut record)?;
        }
        Ok(Stored { object: self.theirs.object, record })
    }

    /// Finds the artifact of this name, or makes it.
    fn artifact_here(&self, tx: &mut WriteTx<'_>, project: ObjectId) -> Result<Stored<Artifact>> {
        if let Some(found) = records::artifact(tx, tx.keyring, project, &self.theirs.record.name)? {
            self.is_alike(&found.record)?;
            return Ok(found);
        }
        let mut made = self.fresh()?;
        made.record.project = project.0;
        records::draw_key(tx, project, made.object, Purpose::Artifact)?;
        records::store_artifact(tx, &made)?;
        Ok(made)
    }

    fn is_alike(&self, mine: &Artifact) -> Result<()> {
        let theirs = &self.theirs.record;
        if mine.collection == theirs.collection && mine.kind == theirs.kind {
            return Ok(());
        }
        let kind = |artifact: &Artifact| match artifact.collection {
            true => format!("a collection of type {:?}", artifact.kind),
            false => format!("of type {:?}", artifact.kind),
        };
        Err(Error::invalid(format!("it is {} there, and {} here", kind(theirs), kind(mine))))
    }
}

/// Returns whether the manifest of a version stands beside its record.
pub(super) fn has_content(tx: &ReadTx<'_>, version: &Stored<Version>) -> Result<bool> {
    Ok(version.record.parts.is_empty() || !tx.positions(Kind::Manifest, version.object)?.is_empty())
}

/// Takes in who made and used a version; returns whether that changed anything.
pub(super) fn take_uses(mine: &mut Version, theirs: &Version) -> bool {
    let mut changed = false;
    for user in &theirs.used_by {
        if mine.used_by.iter().all(|known| known.0 != user.0) {
            mine.used_by.push(*user);
            changed = true;
        }
    }
    for run in records::made_again_by(theirs) {
        changed |= records::make_again(mine, ObjectId(run));
    }
    changed
}

/// Takes in links, made and taken away, and aliases; returns how many links are new.
fn take_lists(mine: &mut Artifact, theirs: &Artifact) -> Result<u64> {
    let links = if theirs.collection { makings::join(mine, theirs)? } else { 0 };
    for set in &theirs.aliases {
        if !mine.aliases.contains(set) {
            mine.aliases.push(set.clone());
        }
    }
    mine.aliases.sort_by_key(|set| set.clock);
    Ok(links)
}

/// The files of a version as sources, in the order of its manifest.
struct Files<'a> {
    here: (&'a Workspace, &'a Arc<Pool>),
    other: &'a Workspace,
    pool: Option<&'a Arc<Pool>>,
    entries: std::iter::Peekable<ManifestReader<'a>>,
}

impl<'a> Files<'a> {
    fn of(
        here: (&'a Workspace, &'a Arc<Pool>),
        (other, pool): (&'a Workspace, Option<&'a Arc<Pool>>),
        version: &Stored<Version>,
    ) -> Files<'a> {
        let parts = version.record.parts.len() as u64;
        let entries = ManifestReader::new(&other.inner, version.object, 0..parts).peekable();
        Files { here, other, pool, entries }
    }

    fn source(&mut self, ReadEntry { entry, packs }: ReadEntry) -> Result<Source> {
        let what = match entry.content {
            Content::File(file) => {
                let missing = || Error::damaged("the key of its files is missing");
                let pool = self.pool.ok_or_else(missing)?;
                let (here, pool_here) = self.here;
                let stored = StoredFile::new(&self.other.inner, pool, &file, &packs);
                let mut stored = stored.rather_from(&here.inner, pool_here);
                // It goes on in the next parts.
                let goes_on = |next: &Result<ReadEntry>| next.as_ref().is_ok_and(|next| next.entry.path == entry.path);
                while let Some(more) = self.entries.next_if(goes_on) {
                    let more = more?;
                    if let Content::File(file) = &more.entry.content {
                        stored.add(file, &more.packs);
                    }
                }
                What::Stored(stored)
            }
            Content::Link(target) => What::Link(target),
            Content::Directory => What::Directory,
            Content::Reference(reference) => What::Reference(reference),
        };
        Ok(Source { path: entry.path, what, extra: entry.extra })
    }
}

impl Iterator for Files<'_> {
    type Item = Result<Source>;

    fn next(&mut self) -> Option<Result<Source>> {
        let entry = self.entries.next()?;
        Some(entry.and_then(|entry| self.source(entry)))
    }
}
