//! Packs of chunks: the decoder of their vectors, and properties of whole packs.

use proptest::collection::vec;
use proptest::prelude::*;
use runcellar_format::blob::{
    self, BlobKeys, Bucket, CHUNK_BYTES_MAX, Directory, Effort, Entry, Form, PACK_HEADER_BYTES, TRAILER_BYTES,
};
use runcellar_format::{ChunkId, FormatError, ObjectId, Secret, fuzz, object};

use crate::support::{Vector, hex, unhex};

/// Reads one part of a pack; `of` says which.
pub(crate) fn part(vector: &Vector) -> Result<String, FormatError> {
    let bytes = vector.hex("bytes");
    let keys = || BlobKeys::derive(fuzz::WORKSPACE, &fuzz::key());
    match vector.text("of") {
        "header" => blob::check_header(fuzz::PACK, &bytes).map(|()| "whole".into()),
        "trailer" => {
            let range = blob::directory_range(fuzz::PACK, vector.number("file"), &bytes)?;
            Ok(format!("{}..{}", range.start, range.end))
        }
        "directory" => {
            let sealed = fuzz::key().seal([7; 24], &fuzz::pack_place(), &bytes).into_bytes();
            let read = blob::open_directory(fuzz::WORKSPACE, &fuzz::key(), fuzz::PACK, &sealed)?;
            Ok(shown(&read))
        }
        "padding" => blob::check_padding(&keys(), fuzz::PACK, &bytes).map(|()| format!("{} bytes", bytes.len())),
        "bucket" => {
            let bucket = Bucket::from_text(&bytes)?;
            let shown = |key: &Option<Secret>| key.as_ref().map_or("dropped".to_owned(), |key| hex(key.expose()));
            Ok(bucket.keys().iter().map(shown).collect::<Vec<_>>().join(" "))
        }
        "sealed chunk" => {
            let (form, len) = (form(vector), vector.number("length") as u32);
            let mut text = bytes;
            let id = ChunkId(vector.array("id"));
            let key = Secret::new(vector.array("key"));
            blob::open_chunk(fuzz::WORKSPACE, &key, id, form, len, &mut text).map(hex)
        }
        "content" => {
            let mut out = vec![0; vector.number("length") as usize];
            blob::decode(form(vector), &bytes, &mut out)?;
            Ok(hex(&out))
        }
        other => panic!("no part of a pack is a {other}"),
    }
}

fn form(vector: &Vector) -> Form {
    Form::from_u8(vector.number("form") as u8).expect("a form")
}

fn shown(directory: &Directory) -> String {
    let one = |(entry, at): (&Entry, u64)| {
        let Entry { id, raw_len, stored_len, form } = entry;
        format!("{id} {form:?} of {raw_len} at {at} + {stored_len}")
    };
    let entries: Vec<String> = directory.entries.iter().zip(directory.offsets()).map(one).collect();
    format!("{}; padding {}; file {}", entries.join(", "), directory.padding, directory.file_bytes())
}

/// Where content without structure is cut, and the id of its first chunk.
pub(crate) fn cuts(vector: &Vector) -> String {
    let keys = BlobKeys::derive(fuzz::WORKSPACE, &fuzz::key());
    let mut content = vec![0; vector.number("length") as usize];
    blake3::Hasher::new().update(&unhex(vector.text("seed"))).finalize_xof().fill(&mut content);
    let mut rest = content.as_slice();
    let mut lens = Vec::new();
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(keys.cut(rest));
        lens.push(chunk.len().to_string());
        rest = after;
    }
    let first = lens[0].parse().expect("a number");
    format!("{}; {}", keys.chunk_id(&content[..first]), lens.join(" "))
}

/// Content as it comes: noise, runs, texts of few letters, numbers.
fn contents() -> impl Strategy<Value = Vec<u8>> {
    let noise = vec(any::<u8>(), 1..3000);
    let letters = vec(b'a'..b'e', 1..5000);
    let floats = vec(0..4000_i32, 1..1500).prop_map(|all| all.iter().flat_map(|n| (*n as f32).to_le_bytes()).collect());
    let runs = vec((any::<u8>(), 1..300_usize), 1..20)
        .prop_map(|all| all.iter().flat_map(|(byte, len)| std::iter::repeat_n(*byte, *len)).collect());
    prop_oneof![noise, letters, floats, runs]
}

fn forms() -> impl Strategy<Value = Form> {
    (0..5_u8).prop_map(|number| Form::from_u8(number).expect("a form"))
}

proptest! {
    #[test]
    fn content_reads_back_from_each_form(content in contents(), form in forms(), best: bool) {
        let effort = if best { Effort::Best } else { Effort::Default };
        let mut stored = Vec::new();
        let took = blob::encode(form, effort, &content, &mut stored);
        prop_assert!(took == form && stored.len() < content.len() || took == Form::Raw && stored == content);
        let mut read = vec![0; content.len()];
        blob::decode(took, &stored, &mut read).expect("just written");
        prop_assert_eq!(&read, &content);
        let probed = blob::probe(&content, effort);
        let mut stored = Vec::new();
        prop_assert!(blob::encode(probed, effort, &content, &mut stored) as u8 <= probed as u8);
    }

    #[test]
    fn a_pack_reads_back_and_each_changed_bit_is_noticed(
        contents in vec(contents(), 1..6), pack: [u8; 16], at: usize,
    ) {
        let pack = ObjectId(pack);
        let owner = fuzz::key();
        let keys = BlobKeys::derive(fuzz::WORKSPACE, &owner);
        let mut file = blob::header(pack).to_vec();
        let mut entries = Vec::new();
        let bucket = Bucket::grow(Secret::new([5; 32]), contents.len()).expect("few");
        for (content, key) in contents.iter().zip(bucket.keys().into_iter().flatten()) {
            let (id, from) = (keys.chunk_id(content), file.len());
            let raw_len = content.len() as u32;
            let form = blob::encode(blob::probe(content, Effort::Default), Effort::Default, content, &mut file);
            blob::seal_chunk(fuzz::WORKSPACE, &key, id, form, raw_len, &mut file, from);
            entries.push(Entry { id, raw_len, stored_len: (file.len() - from) as u32, form });
        }
        let (tail, directory) = blob::finish(&keys, &owner, [7; 24], pack, &entries).expect("few");
        file.extend_from_slice(&tail);
        prop_assert_eq!(file.len() as u64, object::grid(file.len() as u64));
        prop_assert!(file.windows(directory.as_bytes().len()).any(|window| window == directory.as_bytes()));
        let bucket = Bucket::from_text(&bucket.to_text().expect("few")).expect("just written");
        prop_assert_eq!(read_pack(pack, &file, &bucket), Ok(contents));
        let at = at % (file.len() * 8);
        file[at / 8] ^= 1 << (at % 8);
        prop_assert!(read_pack(pack, &file, &bucket).is_err());
    }

    #[test]
    fn what_follows_a_chunk_does_not_move_its_end(seed: u64, len in 1..CHUNK_BYTES_MAX) {
        let keys = BlobKeys::derive(fuzz::WORKSPACE, &fuzz::key());
        let mut content = vec![0; CHUNK_BYTES_MAX + len];
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut content);
        let cut = keys.cut(&content);
        prop_assert_eq!(keys.cut(&content[..CHUNK_BYTES_MAX]), cut);
        prop_assert_eq!(keys.cut(&content[..len]), len.min(cut));
        prop_assert_eq!(keys.cut(&content[..cut]), cut);
    }
}

/// Reads a pack from end to start as `check` does, and gives the contents of its chunks.
fn read_pack(pack: ObjectId, file: &[u8], bucket: &Bucket) -> Result<Vec<Vec<u8>>, FormatError> {
    let keys = BlobKeys::derive(fuzz::WORKSPACE, &fuzz::key());
    blob::check_header(pack, &file[..PACK_HEADER_BYTES])?;
    let at = blob::directory_range(pack, file.len() as u64, &file[file.len() - TRAILER_BYTES..])?;
    let sealed = &file[at.start as usize..at.end as usize];
    let directory = blob::open_directory(fuzz::WORKSPACE, &fuzz::key(), pack, sealed)?;
    let padding = directory.padding_range();
    blob::check_padding(&keys, pack, &file[padding.start as usize..padding.end as usize])?;
    let drawn = bucket.keys();
    let chunk = |(slot, (entry, at)): (usize, (&Entry, u64))| {
        let mut text = file[at as usize..][..entry.stored_len as usize].to_vec();
        let key = drawn[slot].as_ref().expect("not dropped");
        let stored = blob::open_chunk(fuzz::WORKSPACE, key, entry.id, entry.form, entry.raw_len, &mut text)?;
        let mut content = vec![0; entry.raw_len as usize];
        blob::decode(entry.form, stored, &mut content)?;
        Ok(content)
    };
    directory.entries.iter().zip(directory.offsets()).enumerate().map(chunk).collect()
}
