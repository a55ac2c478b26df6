//! What devices publish on a remote, and what a workspace keeps of its remotes. docs/FORMAT.md, "Remotes".

mod cursor;
mod head;
mod remotes;
mod segment;

pub use cursor::{LAST_SYNC_FIELD, LastSync, ReplicaCursor, WASTE_FIELD, Waste, WastePack};
pub use head::{Cited, DeviceHead, SIBLINGS_FIELD, Siblings, VOUCHERS_MAX, VOUCHERS_OF_SETTINGS_FIELD, Vouchers};
pub use remotes::{
    Consent, PinnedTerms, READ_FIELD, REMOTES_FIELD, RemoteRecord, RemoteState, Remotes, TERMS_BYTES_MAX, TERMS_FIELD,
    TermsDocument,
};
pub use segment::{Segment, SegmentEntry, SegmentObject};

/// Returns a field of `extra` that has just so many bytes.
fn extra_array<const N: usize>(extra: &[(u16, Vec<u8>)], field: u16) -> Option<[u8; N]> {
    extra.iter().find(|(number, _)| *number == field).and_then(|(_, bytes)| bytes.as_slice().try_into().ok())
}

/// Puts bytes into a field of `extra`.
fn set_extra_bytes(extra: &mut Vec<(u16, Vec<u8>)>, field: u16, bytes: &[u8]) {
    extra.retain(|(number, _)| *number != field);
    extra.push((field, bytes.to_vec()));
    extra.sort_by_key(|(number, _)| *number);
}

/// Returns the ids in a field of `extra`; none without it.
fn extra_ids(extra: &[(u16, Vec<u8>)], field: u16) -> Option<Vec<[u8; 16]>> {
    let (_, bytes) = extra.iter().find(|(number, _)| *number == field)?;
    Some(bytes.as_chunks().0.to_vec())
}

/// Puts ids into a field of `extra`, or takes the field away.
fn set_extra_ids(extra: &mut Vec<(u16, Vec<u8>)>, field: u16, ids: Option<&[[u8; 16]]>) {
    match ids {
        Some(ids) => set_extra_bytes(extra, field, ids.as_flattened()),
        None => extra.retain(|(number, _)| *number != field),
    }
}
