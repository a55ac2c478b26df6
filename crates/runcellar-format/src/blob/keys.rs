//! What is derived from the blob key of a project's class.

use zeroize::Zeroizing;

use super::chunker::{self, CUTS, Cuts, Gear};
use crate::aead::Aead;
use crate::id::{ChunkId, MediaId, ObjectId, WorkspaceId};
use crate::seal::OwnerKey;
use crate::secret::Secret;

const CHUNKER_CONTEXT: &str = "runcellar 1 chunker";
const CHUNK_ID_CONTEXT: &str = "runcellar 1 chunk id";
const MEDIA_ID_CONTEXT: &str = "runcellar 1 media id";
const PADDING_CONTEXT: &str = "runcellar 1 padding";

/// The keys by which the content of one class of one project is cut, named and padded.
///
/// Content of another project or class is cut elsewhere and has other ids, so nothing tells that two hold the same.
pub struct BlobKeys {
    workspace: WorkspaceId,
    gear: Box<Zeroizing<Gear>>,
    chunk_id: Secret,
    blob: Secret,
}

impl BlobKeys {
    /// Derives the keys from the blob key of a class.
    #[must_use]
    pub fn derive(workspace: WorkspaceId, key: &OwnerKey) -> BlobKeys {
        let secret = key.secret();
        let mut bytes = Zeroizing::new([[0; 8]; 256]);
        let mut hasher = blake3::Hasher::new_derive_key(CHUNKER_CONTEXT);
        hasher.update(secret.expose()).finalize_xof().fill(bytes.as_flattened_mut());
        let mut gear = Box::new(Zeroizing::new([0; 256]));
        gear.iter_mut().zip(bytes.iter()).for_each(|(number, bytes)| *number = u64::from_le_bytes(*bytes));
        let chunk_id = Secret::new(blake3::derive_key(CHUNK_ID_CONTEXT, secret.expose()));
        BlobKeys { workspace, gear, chunk_id, blob: secret.duplicate() }
    }

    /// Returns the id of a chunk: a keyed hash of its content.
    #[must_use]
    pub fn chunk_id(&self, content: &[u8]) -> ChunkId {
        let hash = blake3::keyed_hash(self.chunk_id.expose(), content);
        let mut id = ChunkId::NIL;
        id.0.copy_from_slice(&hash.as_bytes()[..16]);
        id
    }

    /// Returns the id of a media file: a keyed hash of what is said of it and of its files, by name.
    #[must_use]
    pub fn media_id(&self, description: &[u8], files: &[(&str, &[u8])]) -> MediaId {
        let mut hasher = blake3::Hasher::new_keyed(&blake3::derive_key(MEDIA_ID_CONTEXT, self.blob.expose()));
        let mut field = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        };
        field(description);
        for (name, content) in files {
            field(name.as_bytes());
            field(content);
        }
        let mut id = MediaId::NIL;
        id.0.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        id
    }

    /// Returns the length of the first chunk of `data`.
    ///
    /// `data` is at least [`CHUNK_BYTES_MAX`](super::CHUNK_BYTES_MAX) bytes long, or ends where the file does. A chunk is
    /// as long as all of it, or longer than [`CHUNK_BYTES_MIN`](super::CHUNK_BYTES_MIN); of nothing it is 0 bytes long.
    #[must_use]
    pub fn cut(&self, data: &[u8]) -> usize {
        chunker::cut(&self.gear, &CUTS, data)
    }

    /// Cuts as [`BlobKeys::cut`] does, by other lengths: for the measurement that [`CUTS`] were chosen by.
    #[doc(hidden)]
    #[must_use]
    pub fn cut_by(&self, cuts: &Cuts, data: &[u8]) -> usize {
        chunker::cut(&self.gear, cuts, data)
    }

    pub(super) fn workspace(&self) -> WorkspaceId {
        self.workspace
    }

    /// Returns the cipher and nonce for the padding of a pack, whose length is in them: one key pads with one text only.
    pub(super) fn padding(&self, pack: ObjectId, len: u32) -> (Aead, [u8; 12]) {
        derive_cipher(PADDING_CONTEXT, &[self.blob.expose(), &pack.0, &len.to_le_bytes()])
    }
}

/// Derives 44 bytes: the key of a cipher, and a nonce.
pub(super) fn derive_cipher(context: &'static str, input: &[&[u8]]) -> (Aead, [u8; 12]) {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in input {
        hasher.update(part);
    }
    let (mut key, mut nonce) = (Zeroizing::new([0; 32]), [0; 12]);
    let mut out = hasher.finalize_xof();
    out.fill(key.as_mut_slice());
    out.fill(&mut nonce);
    (Aead::new(&key), nonce)
}
