//! Parts of packs.

use runcellar_format::blob::{self, BlobKeys, Bucket, Effort, Entry, Form, TRAILER_BYTES};
use runcellar_format::{ChunkId, Secret, fuzz};

use super::{Maker, flip, joined, set};
use crate::support::Vector;

pub(super) const FORMS: [Form; 5] = [Form::Raw, Form::Zstd, Form::Planes2, Form::Planes4, Form::Planes8];

/// Numbers whose upper bytes are alike, and three bytes more.
pub(super) fn content() -> Vec<u8> {
    let numbers = (0..120_u64).flat_map(|number| (number * number * 7).to_le_bytes());
    numbers.chain(*b"end").collect()
}

pub(super) fn stored(form: Form) -> Vec<u8> {
    let mut out = Vec::new();
    assert_eq!(blob::encode(form, Effort::Default, &content(), &mut out), form);
    out
}

fn entries() -> Vec<Entry> {
    let entry = |id, raw_len, stored_len, form| Entry { id: ChunkId([id; 16]), raw_len, stored_len, form };
    vec![entry(1, 100, 116, Form::Raw), entry(2, 1000, 500, Form::Zstd), entry(3, 4099, 3000, Form::Planes4)]
}

/// What follows the chunks, and the text of the directory in it.
fn tail() -> (Vec<u8>, Vec<u8>) {
    let keys = BlobKeys::derive(fuzz::WORKSPACE, &fuzz::key());
    let (tail, sealed) = blob::finish(&keys, &fuzz::key(), [7; 24], fuzz::PACK, &entries()).expect("three chunks");
    (tail, fuzz::key().open(&fuzz::pack_place(), sealed.as_bytes()).expect("just sealed"))
}

pub(super) fn directory() -> Vec<u8> {
    tail().1
}

pub(super) fn bucket() -> Vec<u8> {
    let mut bucket = Bucket::grow(Secret::new([4; 32]), 5).expect("five keys");
    bucket.append(Bucket::grow(Secret::new([5; 32]), 2).expect("two keys"));
    assert!(bucket.drop_key(1));
    bucket.to_text().expect("seven").to_vec()
}

pub(super) fn packs(maker: &mut Maker) -> &'static str {
    let part = |name: &str, of: &str, bytes: &[u8]| Vector::named(name).with("of", of).bytes("bytes", bytes);
    let header = blob::header(fuzz::PACK);
    maker.accepted(part("a header", "header", &header));
    maker.refused("malformed", part("other magic", "header", &flip(&header, 7)));
    maker.refused("malformed", part("version 0", "header", &set(&header, 8, &[0])));
    maker.refused("newer", part("version 2", "header", &set(&header, 8, &[2])));
    maker.refused("suite", part("suite 2", "header", &set(&header, 9, &[2])));
    maker.refused("malformed", part("a reserved bit", "header", &flip(&header, 11)));
    maker.refused("malformed", part("another pack", "header", &flip(&header, 27)));
    maker.refused("truncated", part("a short header", "header", &header[..27]));

    let (tail, text) = tail();
    let last = &tail[tail.len() - TRAILER_BYTES..];
    let trailer = |name: &str, file: u64, bytes: &[u8]| part(name, "trailer", bytes).with("file", file.to_string());
    maker.accepted(trailer("a trailer", 8192, last));
    maker.refused("malformed", trailer("a file off the grid", 8191, last));
    maker.refused("malformed", trailer("an empty file", 0, last));
    maker.refused("malformed", trailer("of another pack", 8192, &flip(last, 7)));
    maker.refused("malformed", trailer("a directory of an odd length", 8192, &flip(last, 0)));
    maker.refused(
        "malformed",
        trailer("a directory longer than the file", 4096, &set(last, 0, &4188_u32.to_le_bytes())),
    );
    maker.refused("malformed", trailer("a directory of 4 GiB", 8192, &set(last, 0, &[0xff; 4])));
    maker.refused("truncated", trailer("a short trailer", 8192, &last[..7]));

    // Forms stand in the highest bits of what is said of a chunk.
    let (lens, end) = (5 + 16 * 3, 5 + 19 * 3 + 3 * 2);
    let directory = |name: &str, bytes: &[u8]| part(name, "directory", bytes);
    maker.accepted(directory("three chunks", &text));
    for (name, outcome, bytes) in [
        ("version 0", "malformed", set(&text, 0, &[0])),
        ("version 2", "newer", set(&text, 0, &[2])),
        ("no chunks", "malformed", set(&text, 1, &[0])),
        ("4,097 chunks", "limit", set(&text, 1, &4097_u32.to_le_bytes())),
        ("a form of 5", "malformed", set(&text, lens + 2, &[5 << 2])),
        ("a form larger than its content", "malformed", set(&text, lens + 3, &[1, 0])),
        ("a form as large as its content", "malformed", set(&text, lens + 9, &999_u16.to_le_bytes())),
        ("padding off the grid", "malformed", flip(&text, end)),
        ("a byte behind the end", "malformed", flip(&text, 511)),
        ("512 bytes more", "malformed", joined(&[&text, &[0; 512]])),
        ("cut short", "truncated", text[..60].to_vec()),
        ("a byte less", "malformed", text[..511].to_vec()),
    ] {
        maker.refused(outcome, directory(&format!("directory: {name}"), &bytes));
    }

    let padding = &tail[..tail.len() - TRAILER_BYTES - text.len() - 92];
    maker.accepted(part("padding", "padding", padding));
    maker.refused("damaged", part("padding, changed", "padding", &flip(padding, 0)));
    maker.refused("damaged", part("padding, its tag changed", "padding", &flip(padding, padding.len() - 1)));
    maker.refused("damaged", part("padding, a byte less", "padding", &padding[1..]));
    maker.refused("damaged", part("no padding", "padding", &[]));

    let bucket = bucket();
    maker.accepted(part("a bucket of two batches, one key of which was dropped", "bucket", &bucket));
    maker.refused("malformed", part("bucket: version 0", "bucket", &set(&bucket, 0, &[0])));
    maker.refused("newer", part("bucket: version 2", "bucket", &set(&bucket, 0, &[2])));
    maker.refused("malformed", part("bucket: no keys", "bucket", &[1, 0, 0]));
    maker.refused("limit", part("bucket: 4,097 keys", "bucket", &set(&bucket, 1, &4097_u16.to_le_bytes())));
    maker.refused("malformed", part("bucket: more keys than it says", "bucket", &set(&bucket, 1, &[6])));
    maker.refused("truncated", part("bucket: fewer keys than it says", "bucket", &set(&bucket, 1, &[8])));
    maker.refused("malformed", part("bucket: a secret of no keys", "bucket", &set(&bucket, 3, &[0])));
    maker.refused("malformed", part("bucket: dropped, and dropped", "bucket", &[1, 2, 0, 1, 0x80, 1, 0x80]));
    maker.refused("truncated", part("bucket: a byte less", "bucket", &bucket[..bucket.len() - 1]));
    maker.refused("malformed", part("bucket: a byte more", "bucket", &joined(&[&bucket, &[0]])));

    let mut sealed = b"learning rate".to_vec();
    blob::seal_chunk(fuzz::WORKSPACE, &Secret::new([6; 32]), ChunkId([2; 16]), Form::Raw, 13, &mut sealed, 0);
    let chunk = |name: &str, form: u8, length: u32, id: u8, key: u8, bytes: &[u8]| {
        let vector =
            part(name, "sealed chunk", bytes).with("form", form.to_string()).with("length", length.to_string());
        vector.bytes("id", &[id; 16]).bytes("key", &[key; 32])
    };
    maker.accepted(chunk("a sealed chunk", 0, 13, 2, 6, &sealed));
    maker.refused("damaged", chunk("sealed chunk: another key", 0, 13, 2, 7, &sealed));
    maker.refused("damaged", chunk("sealed chunk: another id", 0, 13, 3, 6, &sealed));
    maker.refused("damaged", chunk("sealed chunk: another form", 1, 13, 2, 6, &sealed));
    maker.refused("damaged", chunk("sealed chunk: another length", 0, 14, 2, 6, &sealed));
    maker.refused("damaged", chunk("sealed chunk: changed", 0, 13, 2, 6, &flip(&sealed, 0)));
    maker.refused("damaged", chunk("sealed chunk: shorter than a tag", 0, 13, 2, 6, &sealed[..15]));

    let len = content().len() as u64;
    let of = |name: &str, form: Form, length: u64, bytes: &[u8]| {
        part(name, "content", bytes).with("form", (form as u8).to_string()).with("length", length.to_string())
    };
    for form in FORMS {
        let good = stored(form);
        maker.accepted(of(&format!("{form:?}"), form, len, &good));
        maker.refused("malformed", of(&format!("{form:?} said to be 8 bytes longer"), form, len + 8, &good));
        maker.refused("limit", of(&format!("{form:?} said to be over the limit"), form, 262_145, &good));
        let shorter = if matches!(form, Form::Raw | Form::Zstd) { "malformed" } else { "truncated" };
        maker.refused(shorter, of(&format!("{form:?} without its last byte"), form, len, &good[..good.len() - 1]));
        maker.refused("malformed", of(&format!("{form:?} and a byte"), form, len, &joined(&[&good, &[0]])));
    }
    let planes = stored(Form::Planes8);
    maker.refused("malformed", of("a plane of form 2", Form::Planes8, len, &set(&planes, 0, &[2])));
    maker.refused("truncated", of("a plane of 4 GiB", Form::Planes8, len, &set(&planes, 1, &[0xff; 4])));
    maker.refused("malformed", of("a zstd frame of other magic", Form::Zstd, len, &flip(&stored(Form::Zstd), 0)));
    "Parts of the pack whose id is \"id of a pack: 16\", under the blob key and in the workspace of docs/FORMAT.md's examples."
}
