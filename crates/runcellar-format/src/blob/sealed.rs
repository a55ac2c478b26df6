//! Sealed chunks: no envelope, since the pack's directory says what they are, and its bucket holds their keys.

use super::form::Form;
use super::keys::derive_cipher;
use crate::aead::{Aead, TAG_BYTES};
use crate::codec::Writer;
use crate::error::{FormatError, Result};
use crate::id::{ChunkId, WorkspaceId};
use crate::seal::Kind;
use crate::secret::Secret;

/// Bytes that sealing adds to a chunk.
pub const CHUNK_OVERHEAD_BYTES: usize = TAG_BYTES;

const CHUNK_CONTEXT: &str = "runcellar 1 chunk";

/// Encrypts `text[from..]`, the encoded content of a chunk, in place, and appends the tag.
///
/// `key` is random and the chunk's own. The id is derived into the cipher's key, so that other content is sealed under
/// another one even if a copy of this process draws the same key again.
///
/// # Panics
/// If `from` lies beyond `text`.
pub fn seal_chunk(
    workspace: WorkspaceId,
    key: &Secret,
    id: ChunkId,
    form: Form,
    raw_len: u32,
    text: &mut Vec<u8>,
    from: usize,
) {
    let (aead, nonce) = cipher(key, id, form);
    let tag = aead.seal(nonce, &associated(workspace, id, form, raw_len), &mut text[from..]);
    text.extend_from_slice(&tag);
}

/// Decrypts a sealed chunk in place and returns it without its tag, for [`decode`](super::decode).
///
/// # Errors
/// [`FormatError::Damaged`] if it is another chunk, sealed under another key, or was changed; then nothing in `sealed` is
/// of use.
pub fn open_chunk<'a>(
    workspace: WorkspaceId,
    key: &Secret,
    id: ChunkId,
    form: Form,
    raw_len: u32,
    sealed: &'a mut [u8],
) -> Result<&'a [u8]> {
    let (aead, nonce) = cipher(key, id, form);
    if let Some((text, tag)) = sealed.split_last_chunk_mut()
        && aead.open(nonce, &associated(workspace, id, form, raw_len), text, tag)
    {
        return Ok(text);
    }
    Err(FormatError::Damaged { what: Kind::Chunk.name() })
}

fn cipher(key: &Secret, id: ChunkId, form: Form) -> (Aead, [u8; 12]) {
    derive_cipher(CHUNK_CONTEXT, &[key.expose(), &id.0, &[form as u8]])
}

fn associated(workspace: WorkspaceId, id: ChunkId, form: Form, raw_len: u32) -> Vec<u8> {
    let mut out = Writer::with_capacity(39);
    out.raw(&workspace.0).u16(Kind::Chunk as u16).raw(&id.0).u8(form as u8).u32(raw_len);
    out.into_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKSPACE: WorkspaceId = WorkspaceId([1; 16]);
    const ID: ChunkId = ChunkId([2; 16]);

    #[test]
    fn a_chunk_opens_only_under_its_key_and_as_what_it_is() {
        let key = || Secret::new([8; 32]);
        let mut sealed = b"before content".to_vec();
        seal_chunk(WORKSPACE, &key(), ID, Form::Raw, 7, &mut sealed, 7);
        let sealed = sealed.strip_prefix(b"before ").expect("left as it was").to_vec();
        assert_eq!(sealed.len(), 7 + CHUNK_OVERHEAD_BYTES);
        let open = |workspace, key: Secret, id, form, raw_len, sealed: &[u8]| {
            let mut text = sealed.to_vec();
            open_chunk(workspace, &key, id, form, raw_len, &mut text).map(<[u8]>::to_vec)
        };
        assert_eq!(open(WORKSPACE, key(), ID, Form::Raw, 7, &sealed), Ok(b"content".to_vec()));
        for refused in [
            open(WorkspaceId([2; 16]), key(), ID, Form::Raw, 7, &sealed),
            open(WORKSPACE, Secret::new([9; 32]), ID, Form::Raw, 7, &sealed),
            open(WORKSPACE, key(), ChunkId([3; 16]), Form::Raw, 7, &sealed),
            open(WORKSPACE, key(), ID, Form::Zstd, 7, &sealed),
            open(WORKSPACE, key(), ID, Form::Raw, 8, &sealed),
            open(WORKSPACE, key(), ID, Form::Raw, 7, &sealed[1..]),
            open(WORKSPACE, key(), ID, Form::Raw, 7, &[]),
        ] {
            assert_eq!(refused, Err(FormatError::Damaged { what: "chunk" }));
        }
    }
}
