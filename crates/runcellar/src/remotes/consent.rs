//! What the user agrees to before anything leaves, and whether something may leave now.

use runcellar_format::record::{Consent, READ_FIELD, RemoteRecord, RemoteState};
use runcellar_format::seal::checksum;

use super::content::measure_packs;
use super::record::{RemoteClass, RemoteInfo, find, hex, load, update};
use super::terms::{pinned, unified};
use crate::db::ReadTx;
use crate::keys::Keyring;
use crate::workspace::{Inner, settings};
use crate::{Error, ErrorKind, Json, Result, UsageKind, Workspace};

/// A file of this name in the workspace's folder keeps everything at home.
pub const OFFLINE_FILE: &str = "OFFLINE";

/// Bytes of a segment, about: what an estimate counts as one object.
const OBJECT_BYTES: u64 = 4 << 20;

/// What stands before the hash of the terms document in the text that is agreed to.
const TERMS: &str = "The terms of whoever runs it are the document with the BLAKE3 hash ";

/// What enabling a remote would mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentRequest {
    /// What the user is asked to agree to. It holds no count, size, price or time.
    pub text: String,
    /// BLAKE3 of the text: 64 hexadecimal digits.
    pub hash: String,
    /// What whoever runs the storage can see, a line each.
    pub visible: Vec<String>,
    /// What a first sync would send.
    pub estimate: Estimate,
    /// The difference to what was agreed to before, if it is another text now.
    pub changes: Option<String>,
    /// BLAKE3 of the terms document that the text names: 64 hexadecimal digits.
    pub terms: Option<String>,
    /// Whether this, as it is, was agreed to.
    pub is_agreed: bool,
}

/// About how much a first sync would send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Estimate {
    /// Objects that would be stored.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Requests.
    pub requests: u64,
}

fn visible() -> Vec<String> {
    [
        "that runcellar is used, and random ids of the workspace and its devices",
        "how many devices publish, and when they do",
        "how much is stored, in steps of 4 KiB",
        "the network addresses and the account that are used",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn text_of(remote: &RemoteRecord) -> Result<String> {
    let info = RemoteInfo::of(remote);
    let classes: Vec<&str> = info.classes.iter().map(|class| class.as_str()).collect();
    let projects = if info.projects.is_empty() { "all, later ones too".to_owned() } else { info.projects.join(", ") };
    let mut text = format!(
        "{}\n\
         Once it is enabled, each sync sends there what is new, encrypted under the key of this workspace:\n  \
         classes: {}\n  projects: {projects}\nThis goes on until the remote is paused or removed.\n\n\
         Whoever runs the storage cannot read names, keys, values, text or files. What shows:\n",
        place_of(remote),
        classes.join(", ")
    );
    for line in visible() {
        text.push_str(&format!("  - {line}\n"));
    }
    if let Some(pinned) = pinned(remote)? {
        text.push_str(&format!("\n{TERMS}{}\n", hex(&pinned.hash)));
    }
    text.push_str(
        "\nWhat was sent can be kept by whoever runs the storage. Whoever has it and a key of this workspace can read \
         it.\n",
    );
    Ok(text)
}

/// Returns the hash of the terms document that a text names.
pub(super) fn terms_in(text: &str) -> Option<&str> {
    text.lines().rev().find_map(|line| line.strip_prefix(TERMS))
}

/// Returns how a text begins that was agreed to for a place.
fn place_of(remote: &RemoteRecord) -> String {
    format!("Remote {} is {}\n", remote.name, remote.url)
}

/// Returns the hash of a consent, as users type it: 64 hexadecimal digits.
fn hash_of(text: &str) -> String {
    hex(&checksum(text.as_bytes()))
}

impl Workspace {
    /// Returns what enabling a remote would mean, in words for the user.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], or if the workspace cannot be measured.
    pub fn consent_request(&self, name: &str) -> Result<ConsentRequest> {
        let remotes = self.inner.read(load)?;
        let remote = &remotes.all[find(&remotes, name)?];
        let text = text_of(remote)?;
        let agreed = remote.consent.as_ref().map(|consent| consent.text.as_str());
        let changes = agreed.filter(|agreed| *agreed != text);
        let changes = changes.and_then(|agreed| unified(("agreed", agreed.as_bytes()), ("now", text.as_bytes())));
        Ok(ConsentRequest {
            hash: hash_of(&text),
            is_agreed: agreed == Some(&text),
            changes,
            terms: terms_in(&text).map(str::to_owned),
            text,
            visible: visible(),
            estimate: self.estimate(remote)?,
        })
    }

    fn estimate(&self, remote: &RemoteRecord) -> Result<Estimate> {
        let usage = self.disk_usage()?;
        let is_wanted = |project: Option<&str>| match remote.projects.is_empty() {
            true => true,
            false => project.is_some_and(|name| remote.projects.iter().any(|wanted| wanted == name)),
        };
        let runs = usage.by_run();
        let chosen = runs.iter().filter(|run| is_wanted(run.run.map(|info| info.project.as_str())));
        let kinds = chosen.flat_map(|run| run.kinds.iter());
        let bytes: u64 = kinds
            .filter(|usage| matches!(usage.kind, UsageKind::Metrics | UsageKind::Records))
            .map(|usage| usage.bytes)
            .sum();
        let segments = bytes.div_ceil(OBJECT_BYTES);
        let (packs, pack_bytes) = measure_packs(&self.inner, remote)?;
        // Each pack is looked for before it is sent. Besides: the welcome and the head; looks at the head and the list of
        // devices.
        let (objects, requests) = (segments + packs + 2, segments + 2 * packs + 4);
        Ok(Estimate { objects, bytes: bytes + pack_bytes, requests })
    }

    /// Finds out whether something may be sent to a remote now.
    ///
    /// # Errors
    /// [`ErrorKind::Consent`] if the user did not agree to what the remote is now; [`ErrorKind::State`] if it is paused, or
    /// everything stays at home by the setting `local_only` or a file [`OFFLINE_FILE`]; [`ErrorKind::NotFound`].
    pub fn may_send(&self, name: &str) -> Result<RemoteInfo> {
        self.inner.may_exchange(name, |remote, given| Ok(given.text == text_of(remote)?))
    }

    /// Finds out whether something may be fetched from a remote now: also if it is not what was agreed to any more, but still
    /// at the same place.
    ///
    /// # Errors
    /// As [`Workspace::may_send`].
    pub fn may_fetch(&self, name: &str) -> Result<RemoteInfo> {
        self.inner.may_fetch(name)
    }
}

impl Workspace {
    /// Agrees to read from a remote what lies there alone, whenever it is read here: who clones a workspace and leaves content there
    /// asks for that. It holds as long as the remote is at the same place, and is no consent to send.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; if the workspace cannot be written.
    pub fn agree_to_read(&self, name: &str) -> Result<()> {
        self.inner.write(None, |tx| {
            update(tx, |_, remotes, _| {
                let at = find(remotes, name)?;
                let remote = &mut remotes.all[at];
                let place = checksum(remote.url.as_bytes());
                remote.extra.retain(|(field, _)| *field != READ_FIELD);
                remote.extra.push((READ_FIELD, place.to_vec()));
                remote.extra.sort_by_key(|(field, _)| *field);
                Ok(())
            })
        })
    }
}

impl Inner {
    /// Finds out whether content that lies on a remote alone may be read from there now.
    pub(super) fn may_read(&self, name: &str) -> Result<RemoteInfo> {
        let refused = match self.may_fetch(name) {
            Err(error) if error.kind() == ErrorKind::Consent => error,
            decided => return decided,
        };
        let remotes = self.read(load)?;
        let remote = &remotes.all[find(&remotes, name)?];
        let place = checksum(remote.url.as_bytes());
        let is_agreed = remote.extra.iter().any(|(field, agreed)| *field == READ_FIELD && **agreed == place);
        match remote.state.value == RemoteState::Added && is_agreed {
            true => Ok(RemoteInfo::of(remote)),
            false => Err(refused),
        }
    }

    pub(super) fn may_fetch(&self, name: &str) -> Result<RemoteInfo> {
        self.may_exchange(name, |remote, given| Ok(given.text.starts_with(&place_of(remote))))
    }

    fn may_exchange(
        &self,
        name: &str,
        is_agreed: impl Fn(&RemoteRecord, &Consent) -> Result<bool>,
    ) -> Result<RemoteInfo> {
        let loaded = |tx: &ReadTx<'_>, keyring: &Keyring| Ok((load(tx, keyring)?, settings::load(tx, keyring)?));
        let (remotes, settings) = self.read(loaded)?;
        let remote = &remotes.all[find(&remotes, name)?];
        let state = |why: &str| Err(Error::new(ErrorKind::State, format!("remote {name}: {why}")));
        if settings::value(&settings, "local_only")? == Json::Bool(true) {
            return state("local_only is set, and nothing leaves this workspace");
        }
        if self.path.join(OFFLINE_FILE).exists() {
            return state("the file OFFLINE in the workspace keeps everything at home");
        }
        let consent = |why: &str| Err(Error::new(ErrorKind::Consent, format!("remote {name}: {why}")));
        match (remote.state.value, &remote.consent) {
            (RemoteState::Added, _) | (_, None) => consent("it is not enabled, and nothing is sent"),
            (_, Some(given)) if !given.holds() => consent("what was agreed to is not signed: enable it again"),
            (_, Some(given)) if !is_agreed(remote, given)? => {
                consent("it is not what was agreed to any more; runcellar remote enable shows the difference")
            }
            (RemoteState::Paused, _) => state("it is paused; runcellar remote enable goes on"),
            (RemoteState::Enabled, Some(_)) => Ok(RemoteInfo::of(remote)),
        }
    }
}

/// Refuses a consent to something else than what is to be enabled; returns the text that is agreed to.
pub(super) fn check_hash(remote: &RemoteRecord, hash: &str) -> Result<String> {
    let text = text_of(remote)?;
    match hash_of(&text) == hash {
        true => Ok(text),
        false => {
            let message = format!("remote {}: {hash} is not the hash of what is to be agreed to", remote.name);
            Err(Error::new(ErrorKind::Consent, message))
        }
    }
}

/// Refuses classes without that of metrics: code, media and artifacts are told beside runs and projects, which are of it.
pub(super) fn check_classes(name: &str, classes: &[RemoteClass]) -> Result<()> {
    match classes.contains(&RemoteClass::Metrics) {
        true => Ok(()),
        false => Err(Error::invalid(format!("remote {name}: the class metrics goes with all others"))),
    }
}
