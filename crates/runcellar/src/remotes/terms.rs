//! Documents of the terms under which somebody stores what is sent: kept as they were given, and pinned by consents.
//!
//! A document is a sealed row of its own, which the remote names with its hash; the text that the user agrees to has the
//! hash, too. One that was agreed to stays, also when another takes its place or the remote is removed.

use std::time::Duration;

use runcellar_format::ObjectId;
use runcellar_format::record::{
    Body as _, PinnedTerms, RemoteRecord, TERMS_BYTES_MAX, TERMS_FIELD, TermsDocument, extra_body, set_extra_body,
};
use runcellar_format::seal::{Kind, checksum};

use super::record::{find, hex, load, update};
use crate::db::{Cover, ObjectKey, ReadTx, WriteTx};
use crate::keys::{Keyring, Purpose};
use crate::{Error, ErrorKind, Result, Workspace, io};

/// Time after which a difference is no longer made as short as it could be.
const DIFF_WITHIN: Duration = Duration::from_secs(2);
/// The longest name of a document that is kept, bytes.
const NAME_BYTES_MAX: usize = 255;

/// A document that the user gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTerms {
    /// Name of its file.
    pub name: String,
    /// The date that it has, microseconds UTC since 1970.
    pub date: Option<i64>,
    /// The document: 1 byte to [`TERMS_BYTES_MAX`].
    pub bytes: Vec<u8>,
}

impl NewTerms {
    /// Refuses what is no document.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if it is empty or too long.
    pub fn check(&self) -> Result<()> {
        let refused = |why: String| Err(Error::invalid(format!("terms {:?}: {why}", self.name)));
        match self.bytes.len() {
            0 => refused("the document is empty".to_owned()),
            len if len > TERMS_BYTES_MAX => {
                refused(format!("the document has {len} bytes, and may have {TERMS_BYTES_MAX}"))
            }
            _ => Ok(()),
        }
    }
}

/// A document that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TermsInfo {
    /// The name that the remote has, or had when it was removed.
    pub remote: String,
    /// Name of the file.
    pub name: String,
    /// BLAKE3: 64 hexadecimal digits.
    pub hash: String,
    /// Bytes.
    pub bytes: u64,
    /// The date that the user said it has, microseconds UTC since 1970.
    pub date: Option<i64>,
    /// When it was given.
    pub added: i64,
    /// When it was first agreed to; none before.
    pub agreed: Option<i64>,
    /// True if it is the one that the remote has now.
    pub is_present: bool,
}

/// What became of a remote's document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TermsChange {
    /// The one before, if there was one, with its bytes.
    pub before: Option<(TermsInfo, Vec<u8>)>,
    /// The one now.
    pub now: Option<(TermsInfo, Vec<u8>)>,
}

impl TermsChange {
    /// Returns whether another document is pinned now than before.
    #[must_use]
    pub fn is_change(&self) -> bool {
        fn hash(side: Option<&(TermsInfo, Vec<u8>)>) -> Option<&str> {
            side.map(|(info, _)| info.hash.as_str())
        }
        hash(self.before.as_ref()) != hash(self.now.as_ref())
    }

    /// Returns the unified difference; none if there are not two documents, or one is no text.
    #[must_use]
    pub fn unified(&self) -> Option<String> {
        let (before, now) = (self.before.as_ref()?, self.now.as_ref()?);
        unified((&before.0.name, &before.1), (&now.0.name, &now.1))
    }
}

/// Returns the unified difference of two texts with their names; none if one is no text.
pub(super) fn unified((left_name, left): (&str, &[u8]), (right_name, right): (&str, &[u8])) -> Option<String> {
    let (left, right) = (std::str::from_utf8(left).ok()?, std::str::from_utf8(right).ok()?);
    if left.contains('\0') || right.contains('\0') {
        return None;
    }
    let mut lines = similar::TextDiff::configure();
    let lines = lines.timeout(DIFF_WITHIN).diff_lines(left, right);
    Some(lines.unified_diff().header(&format!("a/{left_name}"), &format!("b/{right_name}")).to_string())
}

/// Returns what a remote pins.
pub(super) fn pinned(remote: &RemoteRecord) -> Result<Option<PinnedTerms>> {
    extra_body(&remote.extra, TERMS_FIELD)
        .map_err(|cause| Error::format(format_args!("terms of remote {}", remote.name), cause))
}

fn document(tx: &ReadTx<'_>, keyring: &Keyring, id: ObjectId) -> Result<TermsDocument> {
    let row = tx.object(ObjectKey::new(Kind::Terms, id, 0))?;
    let row = row.ok_or_else(|| Error::damaged(format!("terms document {id}: it is missing")))?;
    let body = tx.open_object(keyring, &row)?;
    TermsDocument::from_body(&body).map_err(|cause| Error::format(format_args!("terms document {id}"), cause))
}

fn put(tx: &mut WriteTx<'_>, id: ObjectId, document: &TermsDocument) -> Result<()> {
    let key = tx.workspace_key(tx.keyring, Purpose::Settings)?;
    let body = document.to_body().map_err(|cause| Error::format("terms document", cause))?;
    tx.put(ObjectKey::new(Kind::Terms, id, 0), None, &key, &body, Cover::Root).map(drop)
}

fn told(document: &TermsDocument, remotes: &[RemoteRecord], id: ObjectId) -> Result<TermsInfo> {
    let remote = remotes.iter().find(|remote| remote.id == document.remote);
    let present = remote.map(pinned).transpose()?.flatten();
    Ok(TermsInfo {
        remote: remote.map_or_else(|| document.remote_name.clone(), |remote| remote.name.clone()),
        name: document.name.clone(),
        hash: hex(&checksum(&document.bytes)),
        bytes: document.bytes.len() as u64,
        date: document.date,
        added: document.added,
        agreed: document.agreed,
        is_present: present.is_some_and(|present| present.id == id.0),
    })
}

/// Gives a remote another document, or none.
pub(super) fn replace(tx: &mut WriteTx<'_>, remote: &mut RemoteRecord, new: Option<&NewTerms>) -> Result<TermsChange> {
    new.map_or(Ok(()), NewTerms::check)?;
    let before = pinned(remote)?;
    let side = |tx: &WriteTx<'_>, id: [u8; 16], remote: &RemoteRecord| -> Result<(TermsInfo, Vec<u8>)> {
        let document = document(tx, tx.keyring, ObjectId(id))?;
        Ok((told(&document, std::slice::from_ref(remote), ObjectId(id))?, document.bytes))
    };
    let was = before.as_ref().map(|before| side(tx, before.id, remote)).transpose()?;
    if let (Some(before), Some(new)) = (&before, new)
        && checksum(&new.bytes) == before.hash
    {
        return Ok(TermsChange { now: was.clone(), before: was });
    }
    forget(tx, remote)?;
    remote.extra.retain(|(field, _)| *field != TERMS_FIELD);
    let Some(new) = new else { return Ok(TermsChange { before: was, now: None }) };
    // One that was pinned before is the same document.
    let known = find_same(tx, remote, &checksum(&new.bytes))?;
    let id = match known {
        Some(id) => id,
        None => {
            let id = ObjectId(io::random(tx.io)?);
            let document = TermsDocument {
                remote: remote.id,
                remote_name: remote.name.clone(),
                name: new.name[..new.name.floor_char_boundary(NAME_BYTES_MAX)].to_owned(),
                date: new.date,
                added: tx.io.wall_us(),
                agreed: None,
                bytes: new.bytes.clone(),
                extra: Vec::new(),
            };
            put(tx, id, &document)?;
            id
        }
    };
    let pinned = PinnedTerms { id: id.0, hash: checksum(&new.bytes), extra: Vec::new() };
    set_extra_body(&mut remote.extra, TERMS_FIELD, &pinned).map_err(|cause| Error::format("pinned terms", cause))?;
    Ok(TermsChange { before: was, now: Some(side(tx, id.0, remote)?) })
}

fn find_same(tx: &WriteTx<'_>, remote: &RemoteRecord, hash: &[u8; 32]) -> Result<Option<ObjectId>> {
    for id in tx.object_ids(Kind::Terms)? {
        let document = document(tx, tx.keyring, id)?;
        if document.remote == remote.id && checksum(&document.bytes) == *hash {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// Drops the document that a remote pins, unless somebody agreed to it.
pub(super) fn forget(tx: &mut WriteTx<'_>, remote: &RemoteRecord) -> Result<()> {
    let Some(pinned) = pinned(remote)? else { return Ok(()) };
    let id = ObjectId(pinned.id);
    if document(tx, tx.keyring, id)?.agreed.is_none() {
        tx.remove_object(ObjectKey::new(Kind::Terms, id, 0))?;
    }
    Ok(())
}

/// Keeps the document that a remote pins from now on: it was agreed to.
///
/// # Errors
/// If it is not there, or not what was pinned: then nobody can agree to it.
pub(super) fn agree(tx: &mut WriteTx<'_>, remote: &RemoteRecord) -> Result<()> {
    let Some(pinned) = pinned(remote)? else { return Ok(()) };
    let id = ObjectId(pinned.id);
    let mut document = document(tx, tx.keyring, id)?;
    if checksum(&document.bytes) != pinned.hash {
        return Err(Error::damaged(format!("terms of remote {}: they are not what was pinned", remote.name)));
    }
    if document.agreed.is_none() {
        document.agreed = Some(tx.io.wall_us());
        put(tx, id, &document)?;
    }
    Ok(())
}

/// Looks whether each remote's document is there, and is what was pinned.
pub(crate) fn check(tx: &ReadTx<'_>, keyring: &Keyring) -> Result<()> {
    for remote in &load(tx, keyring)?.all {
        if let Some(pinned) = pinned(remote)?
            && checksum(&document(tx, keyring, ObjectId(pinned.id))?.bytes) != pinned.hash
        {
            return Err(Error::damaged(format!("terms of remote {}: they are not what was pinned", remote.name)));
        }
    }
    Ok(())
}

impl Workspace {
    /// Lists the documents of terms that are kept, of all remotes, in the order of their coming.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn terms(&self) -> Result<Vec<TermsInfo>> {
        let all = self.inner.read(|tx, keyring| {
            let remotes = load(tx, keyring)?.all;
            let ids = tx.object_ids(Kind::Terms)?.into_iter();
            ids.map(|id| told(&document(tx, keyring, id)?, &remotes, id)).collect::<Result<Vec<_>>>()
        });
        let mut all = all?;
        all.sort_by(|one, two| (one.added, &one.hash).cmp(&(two.added, &two.hash)));
        Ok(all)
    }

    /// Returns a document of a remote, also of one that was removed: that whose hash begins so, or the present one.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none, [`ErrorKind::InvalidArgument`] if several begin so.
    pub fn terms_document(&self, remote: &str, hash: Option<&str>) -> Result<(TermsInfo, Vec<u8>)> {
        let mut found = Vec::new();
        let known = self.inner.read(|tx, keyring| {
            let remotes = load(tx, keyring)?;
            for id in tx.object_ids(Kind::Terms)? {
                let document = document(tx, keyring, id)?;
                let info = told(&document, &remotes.all, id)?;
                if info.remote == remote && hash.map_or(info.is_present, |hash| info.hash.starts_with(hash)) {
                    found.push((info, document.bytes));
                }
            }
            Ok(remotes)
        })?;
        match (found.len(), hash) {
            (1, _) => Ok(found.remove(0)),
            (0, None) => {
                find(&known, remote)?;
                Err(Error::new(ErrorKind::NotFound, format!("remote {remote}: it has no terms")))
            }
            (0, Some(hash)) => {
                let message = format!("remote {remote}: no terms have a hash that begins with {hash}");
                Err(Error::new(ErrorKind::NotFound, message))
            }
            _ => Err(Error::invalid(format!("remote {remote}: several terms begin so; name more of the hash"))),
        }
    }

    /// Gives a remote another document of terms, or none. If it is another one than before nothing is sent there until the
    /// remote is enabled again.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such remote; as [`NewTerms::check`].
    pub fn set_terms(&self, remote: &str, new: Option<&NewTerms>) -> Result<TermsChange> {
        self.inner.write(None, |tx| {
            update(tx, |tx, remotes, _| {
                let at = find(remotes, remote)?;
                replace(tx, &mut remotes.all[at], new)
            })
        })
    }
}
