//! Files and artifacts that are to be published: manifests and records of the classes that the user agreed to, and the packs
//! in which their content lies.

use std::collections::{HashMap, HashSet};

use runcellar_format::record::{Body as _, Manifest, RemoteRecord};
use runcellar_format::seal::{Envelope, Kind, OwnerKey};
use runcellar_format::{ChunkId, ObjectId};

use super::exchange::Exchange;
use super::held::forget;
use super::log::Log;
use super::outgoing::Look;
use super::packs::object_of;
use super::record::RemoteClass;
use crate::artifacts::{ArtifactNews, Said, VersionNews};
use crate::blob::{Class, Pool, all_away, at_home, away_of, has_file, is_away, mixed, owners_in, pack_path};
use crate::db::{OF_RUN, ObjectKey, ReadTx, WriteTx};
use crate::keys::{Keyring, Purpose};
use crate::merge::{LeftOut, is_theirs};
use crate::workspace::Inner;
use crate::{Error, ErrorKind, Result, artifacts};

/// What is published of pools.
#[derive(Default)]
pub(super) struct Pools {
    open: HashMap<(ObjectId, Class), Wanted>,
    /// Classes of which something was taken back: their packs are counted anew.
    changed: HashSet<Class>,
}

/// A pool, and the packs that what is published needs of it.
struct Wanted {
    pool: Pool,
    packs: HashSet<ObjectId>,
    /// Chunks that stay at home; none before somebody asked.
    home: Option<HashSet<ChunkId>>,
}

/// What becomes of a run's files of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Files {
    /// They are published, or another device has published them.
    Known,
    News,
    /// They were erased.
    Gone,
}

impl Look<'_, '_> {
    /// Returns the classes of files that may be published.
    fn classes(&self) -> impl Iterator<Item = Class> {
        classes_of(&self.exchange.remote)
    }

    /// Returns the classes of a run's files that are to be published, with what becomes of them.
    pub(super) fn files_of(&self, out: &ReadTx<'_>, run: ObjectId) -> Result<Vec<(Class, Files)>> {
        let classes = self.classes().filter(|class| *class != Class::Artifacts);
        let files = classes.map(|class| Ok((class, self.files_of_class(out, run, class)?))).collect::<Result<Vec<_>>>();
        Ok(files?.into_iter().filter(|(_, files)| *files != Files::Known).collect())
    }

    fn files_of_class(&self, out: &ReadTx<'_>, run: ObjectId, class: Class) -> Result<Files> {
        let rows = |tx: &ReadTx<'_>| tx.versions_within(Kind::Manifest, run, class.positions());
        let (mine, published) = (rows(self.tx)?, rows(out)?);
        if mine == published {
            return Ok(Files::Known);
        }
        if mine.is_empty() {
            return Ok(Files::Gone);
        }
        if published.is_empty() && !self.others.is_empty() {
            let mut more = paths(self.tx, self.keyring, run, class)?;
            for other in self.others {
                let purpose = class.purpose_of_run();
                let theirs = other.inner().read(|tx, keyring| {
                    let erased = tx.is_buried_in_part(keyring, run, purpose)?;
                    Ok((!erased).then_some(paths(tx, keyring, run, class)?))
                })?;
                let Some(theirs) = theirs else { return Ok(Files::Known) };
                more.retain(|path| !theirs.contains(path));
            }
            if more.is_empty() {
                return Ok(Files::Known);
            }
        }
        Ok(Files::News)
    }

    /// Returns the packs here whose content another device publishes: this one only says where it lies.
    pub(super) fn left_there(exchange: &Exchange, tx: &ReadTx<'_>, keyring: &Keyring) -> Result<HashSet<ObjectId>> {
        let mut all = all_away(tx, keyring)?;
        let inner = &exchange.workspace.inner;
        all.retain(|(pack, away)| away.device != exchange.remote.device && !has_file(inner, *pack));
        Ok(all.into_iter().map(|(pack, _)| pack).collect())
    }

    /// Returns where the parts of a run's manifest of a class stand whose content this device can tell of. The others lie on the
    /// remote already, and whoever published them tells of them.
    fn parts_of(
        &self,
        out: &ReadTx<'_>,
        pools: &mut Pools,
        of: (ObjectId, Class),
        run: ObjectId,
    ) -> Result<HashSet<u64>> {
        let (mut found, mut file) = (HashSet::new(), Vec::new());
        let mut parts = self.open(pools, of)?.pool.packs_of_parts(self.tx, self.keyring, run)?.into_iter().peekable();
        let mut is_whole = true;
        while let Some(part) = parts.next() {
            for pack in part.packs.iter().filter(|pack| self.left.contains(pack)) {
                is_whole &= out.object(ObjectKey::new(Kind::Pack, *pack, 0))?.is_some();
            }
            file.push(part.position);
            // A file may go on in the next.
            if parts.peek().is_none_or(|next| !next.goes_on) {
                let file = std::mem::take(&mut file);
                if std::mem::replace(&mut is_whole, true) {
                    found.extend(file);
                }
            }
        }
        Ok(found)
    }

    /// Returns whether a run's files of a class, which differ from what is published, do so by more than what others publish.
    pub(super) fn has_own(
        &self,
        out: &ReadTx<'_>,
        pools: &mut Pools,
        of: (ObjectId, Class),
        run: ObjectId,
    ) -> Result<bool> {
        if self.left.is_empty() {
            return Ok(true);
        }
        let own = match self.parts_of(out, pools, of, run) {
            // What is damaged is named when it is wanted.
            Err(error) if is_theirs(&error) => return Ok(true),
            own => own?,
        };
        let mut mine = self.tx.versions_within(Kind::Manifest, run, of.1.positions())?;
        mine.retain(|(position, ..)| own.contains(position));
        Ok(mine != out.versions_within(Kind::Manifest, run, of.1.positions())?)
    }

    fn open<'p>(&self, pools: &'p mut Pools, of: (ObjectId, Class)) -> Result<&'p mut Wanted> {
        match pools.open.entry(of) {
            std::collections::hash_map::Entry::Occupied(known) => Ok(known.into_mut()),
            std::collections::hash_map::Entry::Vacant(place) => {
                let missing = || Error::damaged(format!("the key of the project's {} is missing", of.1.name()));
                let pool = Pool::find(self.tx, self.keyring, of.0, of.1)?.ok_or_else(missing)?;
                Ok(place.insert(Wanted { pool, packs: HashSet::new(), home: None }))
            }
        }
    }

    /// Has the packs of an owner's files published; false if some of it is damaged here, and so none of it is published, or if it
    /// shares a pack with what stays at home, and is to be set apart first.
    pub(super) fn want(
        &self,
        out: &ReadTx<'_>,
        log: &mut Log<'_>,
        pools: &mut Pools,
        (project, class): (ObjectId, Class),
        owner: ObjectId,
        what: &str,
    ) -> Result<bool> {
        match self.packs_of(out, pools, (project, class), owner) {
            Ok(mixed) => Ok(log.sets_apart((project, class), mixed)),
            // It lies there already, and whose it is tells of it.
            Err(error) if error.kind() == ErrorKind::Evicted => Ok(false),
            Err(error) if is_theirs(&error) => {
                let why = error.to_string();
                log.done.left_out.push(LeftOut { what: what.to_owned(), why, damaged: true });
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Wants the packs of an owner's files; returns those of them that are new and have chunks which stay at home, and wants none then.
    fn packs_of(
        &self,
        out: &ReadTx<'_>,
        pools: &mut Pools,
        of: (ObjectId, Class),
        owner: ObjectId,
    ) -> Result<HashSet<ObjectId>> {
        // Of runs those parts are published that are this device's; versions are as a whole, or not at all.
        let own = match self.left.is_empty() || of.1 == Class::Artifacts {
            true => None,
            false => Some(self.parts_of(out, pools, of, owner)?),
        };
        let wanted = self.open(pools, of)?;
        let mut parts = wanted.pool.packs_of_parts(self.tx, self.keyring, owner)?;
        parts.retain(|part| own.as_ref().is_none_or(|own| own.contains(&part.position)));
        let packs: HashSet<ObjectId> = parts.into_iter().flat_map(|part| part.packs).collect();
        let mut new = Vec::new();
        for pack in packs.difference(&wanted.packs) {
            // What is told of lies there, whatever became of the file here.
            if out.object(ObjectKey::new(Kind::Pack, *pack, 0))?.is_none() {
                self.pack_bytes(&wanted.pool.key, *pack)?;
                // What was evicted lies there, too.
                if !is_away(self.tx, *pack)? {
                    new.push(*pack);
                }
            }
        }
        if !new.is_empty() {
            let home = match wanted.home.take() {
                Some(home) => home,
                None => at_home(self.tx, self.keyring, &wanted.pool)?,
            };
            let mixed = mixed(self.tx, self.keyring, &wanted.pool, &home, new.iter())?;
            wanted.home = Some(home);
            if !mixed.is_empty() {
                return Ok(mixed);
            }
        }
        wanted.packs.extend(packs);
        Ok(HashSet::new())
    }

    /// Returns the length of a pack that can be told of: its file is here, or was evicted to where this device stores it.
    fn pack_bytes(&self, key: &OwnerKey, pack: ObjectId) -> Result<u64> {
        let Exchange { workspace, remote, .. } = self.exchange;
        let away = away_of(self.tx, self.keyring, pack)?.filter(|_| !has_file(&workspace.inner, pack));
        match away {
            Some(away) if (away.remote, away.device) == (remote.id, remote.device) => Ok(away.bytes),
            Some(away) if away.device == remote.device => {
                Err(Error::damaged(format!("pack {pack}: it lies on another remote alone: fetch it first")))
            }
            Some(_) => Err(Error::new(ErrorKind::Evicted, format!("pack {pack}: it is another device's"))),
            None => Ok(object_of(&workspace.inner, key, pack)?.len()),
        }
    }

    /// Publishes a run's files of a class, whose packs are wanted.
    pub(super) fn files(
        &self,
        out: &mut WriteTx<'_>,
        log: &mut Log<'_>,
        pools: &mut Pools,
        (project, run): (ObjectId, ObjectId),
        (class, files): (Class, Files),
    ) -> Result<()> {
        if files == Files::Gone {
            pools.changed.insert(class);
        }
        self.keys(out, log, run, &[class.purpose_of_run()])?;
        let own = match files == Files::Gone || self.left.is_empty() {
            true => None,
            false => Some(self.parts_of(out, pools, (project, class), run)?),
        };
        let is_own = |position: u64| own.as_ref().is_none_or(|own| own.contains(&position));
        self.rows_where(out, log, (Kind::Manifest, run), class.positions(), &is_own)
    }

    /// Publishes artifacts: records, versions, and their manifests.
    pub(super) fn artifacts(
        &self,
        out: &mut WriteTx<'_>,
        log: &mut Log<'_>,
        pools: &mut Pools,
        named: &mut HashSet<ObjectId>,
    ) -> Result<()> {
        if self.classes().all(|class| class != Class::Artifacts) || self.tx.count_objects(Kind::Artifact)? == 0 {
            return Ok(());
        }
        let own = Said::read(out, out.keyring)?;
        let others = self.others.iter().map(|other| other.inner().read(Said::read)).collect::<Result<Vec<_>>>()?;
        let is_wanted = |project: &str| self.is_wanted(project);
        for news in artifacts::news(self.tx, self.keyring, (out, &own), &others, &is_wanted)? {
            let ArtifactNews { artifact, project, name, versions } = news;
            if named.insert(project) {
                self.owner(out, log, project, &[Kind::Project])?;
            }
            self.keys(out, log, artifact, &[Purpose::Artifact])?;
            self.rows(out, log, artifact, &[Kind::Artifact])?;
            for (version, news) in versions {
                let of = (project, Class::Artifacts);
                let has_content = news == VersionNews::Content
                    && self.want(out, log, pools, of, version, &format!("version {version} of artifact {name}"))?;
                if news == VersionNews::Content && !has_content {
                    continue;
                }
                self.keys(out, log, version, &[Purpose::Version])?;
                if has_content {
                    self.rows(out, log, version, &[Kind::Manifest])?;
                }
                self.rows(out, log, version, &[Kind::Version])?;
                log.done.versions += 1;
            }
        }
        Ok(())
    }

    /// Publishes what tells of the packs that are wanted, and takes back what tells of those that are not needed any more.
    pub(super) fn packs(&self, out: &mut WriteTx<'_>, log: &mut Log<'_>, mut pools: Pools) -> Result<()> {
        let here: HashSet<ObjectId> = self.tx.object_ids(Kind::Pack)?.into_iter().collect();
        let mut rewritten = HashSet::new();
        for pack in out.object_ids(Kind::Pack)?.into_iter().filter(|pack| !here.contains(pack)) {
            for row in out.objects(Kind::Pack, Some(pack))? {
                let envelope = Envelope::parse("pack directory", &row.body);
                rewritten.extend(envelope.map(|envelope| envelope.key));
            }
            self.take_back(out, log, pack, &[Kind::Pack, Kind::Bucket])?;
            log.drop_pack(pack);
        }
        for project in self.tx.object_ids(Kind::Project)? {
            for class in self.classes() {
                let Some(key) = self.tx.owner_key(self.keyring, project, class.purpose())? else { continue };
                let mut told = out.owners_sealed_under(Kind::Pack, key.id())?;
                told.retain(|pack| here.contains(pack));
                if rewritten.contains(&key.id()) || (pools.changed.contains(&class) && !told.is_empty()) {
                    self.want_all(out, log, &mut pools, (project, class))?;
                    let wanted = pools.open.get(&(project, class));
                    let is_wanted = |pack: &ObjectId| wanted.is_some_and(|wanted| wanted.packs.contains(pack));
                    for pack in told.iter().filter(|pack| !is_wanted(pack)) {
                        self.take_back(out, log, *pack, &[Kind::Pack, Kind::Bucket])?;
                        log.drop_pack(*pack);
                    }
                    told.retain(is_wanted);
                }
                let mut packs: HashSet<ObjectId> = told.into_iter().collect();
                packs.extend(pools.open.remove(&(project, class)).into_iter().flat_map(|wanted| wanted.packs));
                if !packs.is_empty() {
                    self.keys(out, log, project, &[class.purpose()])?;
                }
                for pack in packs {
                    let bucket = |tx: &ReadTx<'_>| tx.versions_within(Kind::Bucket, pack, 0..1);
                    let published = bucket(out)?;
                    if published == bucket(self.tx)? {
                        continue;
                    }
                    if published.is_empty() {
                        log.done.packs += 1;
                        log.done.pack_bytes += self.pack_bytes(&key, pack)?;
                    }
                    self.keys(out, log, pack, &[Purpose::Bucket])?;
                    self.rows(out, log, pack, &[Kind::Bucket, Kind::Pack])?;
                }
            }
        }
        Ok(())
    }

    /// Wants the packs of all that is published of a pool.
    fn want_all(&self, out: &WriteTx<'_>, log: &mut Log<'_>, pools: &mut Pools, of: (ObjectId, Class)) -> Result<()> {
        let Some(pool) = Pool::find(out, out.keyring, of.0, of.1)? else { return Ok(()) };
        for owner in owners_in(out, out.keyring, &pool)? {
            let at = of.1.positions();
            if !self.tx.objects_within(Kind::Manifest, owner, at.start, at.end - 1)?.is_empty() {
                self.want(out, log, pools, of, owner, &format!("{} of {owner}", of.1.name()))?;
            }
        }
        Ok(())
    }

    /// Takes back what is no longer here: runs, versions and artifacts that were erased, with their keys.
    pub(super) fn gone(&self, out: &mut WriteTx<'_>, log: &mut Log<'_>, pools: &mut Pools) -> Result<()> {
        for kind in [Kind::Run, Kind::Version, Kind::Artifact] {
            let here: HashSet<ObjectId> = self.tx.object_ids(kind)?.into_iter().collect();
            for object in out.object_ids(kind)?.into_iter().filter(|object| !here.contains(object)) {
                match kind {
                    Kind::Run => {
                        pools.changed.extend([Class::Code, Class::Media]);
                        forget(out, object)?;
                        self.writers_of(out, log, object)?;
                        self.take_back(out, log, object, &[&OF_RUN[..], &[Kind::Manifest]].concat())?;
                    }
                    Kind::Version => {
                        pools.changed.insert(Class::Artifacts);
                        self.take_back(out, log, object, &[Kind::Version, Kind::Manifest])?;
                    }
                    _ => self.take_back(out, log, object, &[Kind::Artifact])?,
                }
            }
        }
        Ok(())
    }
}

/// Returns the classes of files that the consent of a remote names.
pub(super) fn classes_of(remote: &RemoteRecord) -> impl Iterator<Item = Class> {
    Class::ALL.into_iter().filter(|class| remote.classes.contains(&(class_of(*class) as u8)))
}

/// Returns what a class of blobs is called in consents.
pub(super) fn class_of(class: Class) -> RemoteClass {
    match class {
        Class::Artifacts => RemoteClass::Artifacts,
        Class::Code => RemoteClass::Code,
        Class::Media => RemoteClass::Media,
    }
}

/// Returns how many packs may go to a remote, and their bytes.
pub(super) fn measure_packs(inner: &Inner, remote: &RemoteRecord) -> Result<(u64, u64)> {
    inner.read(|tx, keyring| {
        let (mut packs, mut bytes) = (0, 0);
        let mut projects = artifacts::project_names(tx, keyring)?;
        projects.retain(|_, name| remote.projects.is_empty() || remote.projects.contains(name));
        for project in projects.into_keys() {
            for class in classes_of(remote) {
                let Some(key) = tx.owner_key(keyring, project, class.purpose())? else { continue };
                for pack in tx.owners_sealed_under(Kind::Pack, key.id())? {
                    packs += 1;
                    bytes += std::fs::metadata(pack_path(&inner.path, pack)).map_or(0, |file| file.len());
                }
            }
        }
        Ok((packs, bytes))
    })
}

/// Returns the paths of a run's files of a class.
fn paths(tx: &ReadTx<'_>, keyring: &Keyring, run: ObjectId, class: Class) -> Result<HashSet<Vec<u8>>> {
    let (at, mut paths) = (class.positions(), HashSet::new());
    for row in tx.objects_within(Kind::Manifest, run, at.start, at.end - 1)? {
        let body = tx.open_object(keyring, &row)?;
        let part = Manifest::from_body(&body).map_err(|cause| Error::format(format_args!("manifest {run}"), cause))?;
        paths.extend(part.entries.into_iter().map(|entry| entry.path));
    }
    Ok(paths)
}
