//! The remotes that a workspace knows: added, enabled by a consent, paused, removed.

use runcellar_format::ObjectId;
use runcellar_format::record::{
    Consent, REMOTES_FIELD, RemoteRecord, RemoteState, Remotes, Settings, Stamped, extra_body, set_extra_body,
};

use super::consent::{check_classes, check_hash};
use super::ledger::LEDGER;
use super::replica::folder;
use super::terms::{self, NewTerms};
use crate::db::{ReadTx, WriteTx};
use crate::keys::Keyring;
use crate::workspace::{device_key, settings};
use crate::{Error, ErrorKind, Json, Result, Workspace, io};

/// The most remotes of a workspace.
const REMOTES_MAX: usize = 64;
/// The longest name of one, bytes.
const NAME_BYTES_MAX: usize = 64;
/// The longest URL, bytes.
const URL_BYTES_MAX: usize = 4096;

/// A class of data, which goes to a remote only if its consent says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum RemoteClass {
    /// Metrics, parameters and what else is said of runs.
    Metrics = 0,
    /// Code of runs.
    Code = 1,
    /// Media of runs.
    Media = 2,
    /// Artifacts.
    Artifacts = 3,
}

impl RemoteClass {
    /// All classes.
    pub const ALL: [RemoteClass; 4] =
        [RemoteClass::Metrics, RemoteClass::Code, RemoteClass::Media, RemoteClass::Artifacts];

    /// Returns the word that users type.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RemoteClass::Metrics => "metrics",
            RemoteClass::Code => "code",
            RemoteClass::Media => "media",
            RemoteClass::Artifacts => "artifacts",
        }
    }

    /// Reads that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<RemoteClass> {
        RemoteClass::ALL.into_iter().find(|class| class.as_str() == word)
    }
}

/// How a remote stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoteStatus {
    /// Known, and never used.
    Added,
    /// The user consented.
    Enabled,
    /// The user consented once, and wants nothing sent now.
    Paused,
}

impl RemoteStatus {
    /// Returns the word that users see.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RemoteStatus::Added => "added",
            RemoteStatus::Enabled => "enabled",
            RemoteStatus::Paused => "paused",
        }
    }
}

/// A remote of this workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteInfo {
    /// Name of its folder under `remotes/`: 32 hexadecimal digits.
    pub id: String,
    /// The user's name for it.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// What may go there.
    pub classes: Vec<RemoteClass>,
    /// Projects that may go there; all if none is named.
    pub projects: Vec<String>,
    /// How it stands.
    pub status: RemoteStatus,
    /// The text that the user consented to, and when, microseconds UTC since 1970.
    pub consent: Option<(String, i64)>,
    /// BLAKE3 of the terms document that it has: 64 hexadecimal digits.
    pub terms: Option<String>,
}

/// What of a remote is to be another one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RemoteChange {
    /// Where it is.
    pub url: Option<String>,
    /// What may go there.
    pub classes: Option<Vec<RemoteClass>>,
    /// Projects that may go there; all if it is empty.
    pub projects: Option<Vec<String>>,
}

impl RemoteInfo {
    pub(super) fn of(record: &RemoteRecord) -> RemoteInfo {
        let class = |number: &u8| RemoteClass::ALL.into_iter().find(|class| *class as u8 == *number);
        RemoteInfo {
            id: ObjectId(record.id).to_string(),
            name: record.name.clone(),
            url: record.url.clone(),
            classes: record.classes.iter().filter_map(class).collect(),
            projects: record.projects.clone(),
            status: match record.state.value {
                RemoteState::Added => RemoteStatus::Added,
                RemoteState::Enabled => RemoteStatus::Enabled,
                RemoteState::Paused => RemoteStatus::Paused,
            },
            consent: record.consent.as_ref().map(|consent| (consent.text.clone(), consent.time)),
            // What cannot be read is said where it counts: nothing may be sent then.
            terms: terms::pinned(record).ok().flatten().map(|pinned| hex(&pinned.hash)),
        }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn class_numbers(classes: &[RemoteClass]) -> Vec<u8> {
    let mut classes: Vec<u8> = classes.iter().map(|class| *class as u8).collect();
    classes.sort_unstable();
    classes.dedup();
    classes
}

fn remotes_of(settings: &Settings) -> Result<Remotes> {
    let remotes = extra_body(&settings.extra, REMOTES_FIELD).map_err(|cause| Error::format("remotes", cause))?;
    Ok(remotes.unwrap_or_default())
}

/// Reads the remotes.
pub(super) fn load(tx: &ReadTx<'_>, keyring: &Keyring) -> Result<Remotes> {
    remotes_of(&settings::load(tx, keyring)?)
}

/// Finds a remote by name.
pub(super) fn find(remotes: &Remotes, name: &str) -> Result<usize> {
    let at = remotes.all.iter().position(|remote| remote.name == name);
    at.ok_or_else(|| {
        let names: Vec<&str> = remotes.all.iter().map(|remote| remote.name.as_str()).collect();
        let known =
            if names.is_empty() { "none is known".to_owned() } else { format!("there is {}", names.join(", ")) };
        Error::new(ErrorKind::NotFound, format!("no remote {name}; {known}"))
    })
}

/// Changes the remotes.
pub(super) fn update<T>(
    tx: &mut WriteTx<'_>,
    edit: impl FnOnce(&mut WriteTx<'_>, &mut Remotes, u64) -> Result<T>,
) -> Result<T> {
    settings::update_extra(tx, |tx, settings, clock| {
        let mut remotes = remotes_of(settings)?;
        let value = edit(tx, &mut remotes, clock)?;
        set_extra_body(&mut settings.extra, REMOTES_FIELD, &remotes)
            .map_err(|cause| Error::format("remotes", cause))?;
        Ok(value)
    })
}

fn checked(name: &str, url: &str) -> Result<()> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(fits) || name.starts_with(['-', '.']) {
        return Err(Error::invalid(format!("remote {name:?}: a name has 1 to 64 letters, digits, `-`, `_` and `.`")));
    }
    if url.is_empty() || url.len() > URL_BYTES_MAX || url.chars().any(char::is_control) {
        return Err(Error::invalid(format!("remote {name}: {url:?} is no place")));
    }
    Ok(())
}

impl Workspace {
    /// Lists the remotes, in the order of their adding.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn remotes(&self) -> Result<Vec<RemoteInfo>> {
        let remotes = self.inner.read(load)?;
        Ok(remotes.all.iter().map(RemoteInfo::of).collect())
    }

    /// Returns the remote of this name.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] with those there are.
    pub fn remote(&self, name: &str) -> Result<RemoteInfo> {
        let remotes = self.inner.read(load)?;
        Ok(RemoteInfo::of(&remotes.all[find(&remotes, name)?]))
    }

    /// Remembers a remote. Nothing is sent, and nothing looked at.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`] if the name is taken, [`ErrorKind::InvalidArgument`] for a name or URL that is none.
    pub fn add_remote(
        &self,
        name: &str,
        url: &str,
        classes: &[RemoteClass],
        projects: &[String],
    ) -> Result<RemoteInfo> {
        self.add_remote_with(name, url, classes, projects, None)
    }

    /// Does so, with the terms document of whoever runs the storage.
    ///
    /// # Errors
    /// As [`Workspace::add_remote`] and [`NewTerms::check`].
    pub fn add_remote_with(
        &self,
        name: &str,
        url: &str,
        classes: &[RemoteClass],
        projects: &[String],
        terms: Option<&NewTerms>,
    ) -> Result<RemoteInfo> {
        checked(name, url)?;
        check_classes(name, classes)?;
        self.inner.write(None, |tx| {
            update(tx, |tx, remotes, clock| {
                if remotes.all.iter().any(|known| known.name == name) {
                    return Err(Error::new(ErrorKind::Exists, format!("remote {name}: it is there already")));
                }
                if remotes.all.len() >= REMOTES_MAX {
                    return Err(Error::invalid(format!("remote {name}: {REMOTES_MAX} are known already")));
                }
                let mut record = RemoteRecord {
                    id: io::random(tx.io)?,
                    name: name.to_owned(),
                    url: url.to_owned(),
                    classes: class_numbers(classes),
                    projects: projects.to_vec(),
                    state: Stamped::new(RemoteState::Added, clock),
                    device: tx.root().device,
                    prefix: io::random(tx.io)?,
                    ..RemoteRecord::default()
                };
                terms::replace(tx, &mut record, terms)?;
                let info = RemoteInfo::of(&record);
                remotes.all.push(record);
                Ok(info)
            })
        })
    }

    /// Changes what a remote is. What was agreed to stays what it was, so nothing is sent until it is enabled again.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::InvalidArgument`] for a URL or classes that are none.
    pub fn change_remote(&self, name: &str, change: &RemoteChange) -> Result<RemoteInfo> {
        self.inner.write(None, |tx| {
            update(tx, |_, remotes, _| {
                let at = find(remotes, name)?;
                let remote = &mut remotes.all[at];
                if let Some(url) = &change.url {
                    checked(name, url)?;
                    remote.url.clone_from(url);
                }
                if let Some(classes) = &change.classes {
                    check_classes(name, classes)?;
                    remote.classes = class_numbers(classes);
                }
                if let Some(projects) = &change.projects {
                    remote.projects.clone_from(projects);
                }
                Ok(RemoteInfo::of(remote))
            })
        })
    }

    /// Enables a remote: the user has read the text of its [`super::ConsentRequest`] and agreed to what has this hash. It
    /// is kept with the time, signed by this device.
    ///
    /// # Errors
    /// [`ErrorKind::Consent`] if that is the hash of something else, [`ErrorKind::NotFound`], [`ErrorKind::State`] if the
    /// workspace is set to stay local.
    pub fn enable_remote(&self, name: &str, hash: &str) -> Result<RemoteInfo> {
        if self.setting("local_only")? == Json::Bool(true) {
            let message = format!("remote {name}: local_only is set, and nothing leaves this workspace");
            return Err(Error::new(ErrorKind::State, message));
        }
        self.inner.write(None, |tx| {
            update(tx, |tx, remotes, clock| {
                let at = find(remotes, name)?;
                let remote = &mut remotes.all[at];
                let text = check_hash(remote, hash)?;
                terms::agree(tx, remote)?;
                let (time, key) = (tx.io.wall_us(), device_key(tx)?);
                remote.consent = Some(Consent::sign(text, time, &key));
                remote.state = Stamped::new(RemoteState::Enabled, clock);
                Ok(RemoteInfo::of(remote))
            })
        })
    }

    /// Sends nothing to a remote until it is enabled again. Its consent stays.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::State`] if it was never enabled.
    pub fn pause_remote(&self, name: &str) -> Result<RemoteInfo> {
        self.inner.write(None, |tx| {
            update(tx, |_, remotes, clock| {
                let at = find(remotes, name)?;
                let remote = &mut remotes.all[at];
                if remote.state.value == RemoteState::Added {
                    return Err(Error::new(ErrorKind::State, format!("remote {name}: it is not enabled")));
                }
                remote.state = Stamped::new(RemoteState::Paused, clock);
                Ok(RemoteInfo::of(remote))
            })
        })
    }

    /// Forgets a remote, and what is known of its devices. What lies there stays there; the ledger of what was sent is kept.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], or if its folder cannot be removed.
    pub fn remove_remote(&self, name: &str) -> Result<RemoteInfo> {
        let id = ObjectId(self.inner.read(load).and_then(|remotes| Ok(remotes.all[find(&remotes, name)?].id))?);
        let directory = folder(&self.inner, id);
        let keeps_ledger = self.inner.io.identity(&directory.join(LEDGER)).is_ok();
        if keeps_ledger {
            self.exchange(name)?.ledger()?.forget()?;
        }
        let removed = self.inner.write(None, |tx| {
            update(tx, |tx, remotes, _| {
                let removed = remotes.all.remove(find(remotes, name)?);
                terms::forget(tx, &removed)?;
                Ok(RemoteInfo::of(&removed))
            })
        })?;
        let failed = |cause| Error::io("remove", &directory, cause);
        let names = match self.inner.io.list(&directory) {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(removed),
            names => names.map_err(failed)?,
        };
        if !keeps_ledger {
            std::fs::remove_dir_all(&directory).map_err(failed)?;
            return Ok(removed);
        }
        for path in names.iter().map(|name| directory.join(name)).filter(|path| !path.ends_with(LEDGER)) {
            let gone = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            gone.map_err(failed)?;
        }
        Ok(removed)
    }
}
