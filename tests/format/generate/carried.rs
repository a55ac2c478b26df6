//! What leaves a workspace and comes back: records of capsules and merges, tar headers, marks of backups, and purges.

use runcellar_format::backup::{Mark, MarkKind};
use runcellar_format::record::{
    Body, CarriedGroup, CarriedNames, CarriedRecord, CarriedRun, CarriedVersion, PurgeRecord, Version,
};
use runcellar_format::tar::{BLOCK_BYTES, END, Entry, EntryKind};
use runcellar_format::{LineageId, WorkspaceId};

use super::bodies::run_record;
use super::{Maker, flip, joined, set, summed};
use crate::support::Vector;

pub(super) fn carried(maker: &mut Maker) -> &'static str {
    let vector = |name: &str, kind: &str, bytes: &[u8]| Vector::named(name).with("kind", kind).bytes("bytes", bytes);
    let body = |made: runcellar_format::Result<Vec<u8>>| made.expect("short");
    let run = CarriedRun {
        run: [1; 16],
        id: "3fk2".into(),
        project: "digits".into(),
        used: vec![([2; 16], -1)],
        extra: vec![(7, vec![1, 2])],
    };
    let version = CarriedVersion {
        object: [3; 16],
        project: "digits".into(),
        name: "data".into(),
        kind: "dataset".into(),
        version: Version { artifact: [4; 16], number: 3, parts: vec![b"a/b".to_vec()], ..Version::default() },
        aliases: vec!["best".into()],
        extra: vec![],
    };
    let purge = PurgeRecord {
        receipt: "{\"receipt\":1}".into(),
        wrapping: vec![[5; 16], [6; 16]],
        ingest_generation: 2,
        extra: vec![(300, vec![])],
    };
    let all = [
        ("carried run", body(run.to_body())),
        ("carried run record", body(CarriedRecord { record: run_record(), extra: vec![] }.to_body())),
        ("carried names", body(CarriedNames { names: vec!["loss".into(), String::new()] }.to_body())),
        ("carried version", body(version.to_body())),
        ("purge record", body(purge.to_body())),
    ];
    for (kind, bytes) in &all {
        maker.accepted(vector(&format!("a {kind}"), kind, bytes));
        maker.refused("newer", vector(&format!("a {kind} of version 2"), kind, &set(bytes, 0, &[2])));
        maker.refused("malformed", vector(&format!("a {kind} of a byte less"), kind, &bytes[..bytes.len() - 1]));
        maker.refused("malformed", vector(&format!("a {kind} of a byte more"), kind, &joined(&[bytes, &[0]])));
        let other = if *kind == "purge record" { "carried version" } else { "purge record" };
        maker.refused("malformed", vector(&format!("a {kind} read as a {other}"), other, bytes));
    }
    let group = CarriedGroup { number: 7, best: true, parts: vec![vec![1, 2, 3], Vec::new()] };
    let group = group.encode().expect("short");
    let kind = "carried row group";
    maker.accepted(vector("a row group of two parts", kind, &group));
    maker.accepted(vector("a row group of none", kind, &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
    maker.refused("truncated", vector("no row group", kind, b""));
    maker.refused("malformed", vector("a row group of version 0", kind, &set(&group, 0, &[0])));
    maker.refused("newer", vector("a row group of version 2", kind, &set(&group, 0, &[2])));
    maker.refused("malformed", vector("a level of 2", kind, &set(&group, 5, &[2])));
    maker.refused("limit", vector("more parts than columns", kind, &set(&group, 6, &[0xff; 4])));
    maker.refused("limit", vector("a part of 4 GiB", kind, &set(&group, 10, &[0xff; 4])));
    maker.refused("truncated", vector("a row group of a byte less", kind, &group[..group.len() - 1]));
    maker.refused("malformed", vector("a row group of a byte more", kind, &joined(&[&group, &[0]])));
    "What capsules and merges carry, and what is kept of a purge. An accepted one gives the record, as the Rust types show \
     themselves."
}

/// Sets the checksum of the header at the beginning right.
fn tar_summed(bytes: &[u8]) -> Vec<u8> {
    let block = set(bytes, 148, b"        ");
    let sum: u32 = block.iter().take(BLOCK_BYTES).map(|byte| u32::from(*byte)).sum();
    set(&block, 148, format!("{sum:06o}\0 ").as_bytes())
}

pub(super) fn tar(maker: &mut Maker) -> &'static str {
    let vector = |name: &str, bytes: &[u8]| Vector::named(name).bytes("bytes", bytes);
    let encoded = |path: &[u8], kind: EntryKind| Entry { path: path.to_vec(), kind }.encode().expect("fits");
    let file = encoded(b"a/b.txt", EntryKind::File { size: 3, executable: false });
    let archive = |entry: &[u8]| joined(&[entry, &END]);
    let empty = encoded(b"empty", EntryKind::File { size: 0, executable: true });
    let link = encoded(b"l", EntryKind::Link { target: b"../else".to_vec() });
    let long = encoded(&[b'x'; 101], EntryKind::Directory);
    let other = encoded("\u{fc}".as_bytes(), EntryKind::Link { target: vec![0xff; 3] });
    maker.accepted(vector("no entry", &END));
    maker.accepted(vector("a file without content", &archive(&empty)));
    maker.accepted(vector(
        "a directory and a link out of it",
        &archive(&joined(&[&encoded(b"d", EntryKind::Directory), &link])),
    ));
    maker.accepted(vector("a path of 101 bytes", &archive(&long)));
    maker.accepted(vector("a path and a target that are not ASCII", &archive(&other)));

    let refused =
        |maker: &mut Maker, name: &str, bytes: &[u8]| maker.refused("malformed", vector(name, &archive(bytes)));
    let field = |at: usize, new: &[u8]| tar_summed(&set(&empty, at, new));
    refused(maker, "a wrong checksum", &flip(&empty, 148));
    refused(maker, "a changed byte under the old checksum", &flip(&empty, 0));
    refused(maker, "an absolute path", &field(0, b"/etc\0"));
    refused(maker, "a path that leads out", &field(0, b"../x\0"));
    refused(maker, "a path with an empty component", &field(0, b"a//b\0"));
    refused(maker, "a path of one dot", &field(0, b".\0\0\0\0"));
    refused(maker, "no path", &field(0, &[0; 5]));
    refused(maker, "bytes behind a path", &field(6, b"x"));
    refused(maker, "another mode", &field(100, b"0004755\0"));
    refused(maker, "an owner", &field(108, b"0000001\0"));
    refused(maker, "a time", &field(136, b"00000000001\0"));
    refused(maker, "a size in base 256", &field(124, &[0x80]));
    refused(maker, "a size in blanks", &field(124, b"          0\0"));
    refused(maker, "a hard link", &field(156, b"1"));
    refused(maker, "a device", &field(156, b"3"));
    refused(maker, "a FIFO", &field(156, b"6"));
    refused(maker, "a name of GNU tar's", &field(156, b"L"));
    refused(maker, "a global pax header", &field(156, b"g"));
    maker.refused("limit", vector("a pax header without records", &archive(&field(156, b"x"))));
    refused(maker, "GNU's magic", &field(257, b"ustar  \0"));
    refused(maker, "a prefix", &field(345, b"p"));
    refused(
        maker,
        "a directory with content",
        &tar_summed(&set(&encoded(b"d", EntryKind::Directory), 124, b"00000000003\0")),
    );
    // In the long form the records stand in the second block.
    let records = |new: &[u8]| {
        let mut block = new.to_vec();
        block.resize(BLOCK_BYTES, 0);
        let head = tar_summed(&set(&long[..BLOCK_BYTES], 124, format!("{:011o}\0", new.len()).as_bytes()));
        joined(&[&head, &block, &long[2 * BLOCK_BYTES..]])
    };
    refused(maker, "a pax record of another key", &records(b"10 uid=12\n"));
    refused(maker, "a pax record that is too long", &records(b"99 path=a\n"));
    refused(maker, "a pax record without a line feed", &records(b"10 path=ab"));
    refused(maker, "a path in a pax record that the header could hold", &records(b"11 path=ab\n"));
    let twice = joined(&[&long[..2 * BLOCK_BYTES], &long]);
    maker.refused("limit", vector("a pax header twice", &archive(&twice)));
    maker.refused(
        "malformed",
        vector("one block of zeros, and an entry", &joined(&[&END[..BLOCK_BYTES], &empty, &END])),
    );
    maker.refused("truncated", vector("an archive without an end", &empty));
    maker.refused("truncated", vector("content that is cut", &file));
    maker.refused("truncated", vector("half a header", &empty[..100]));
    "Archives of capsules, and what a reader makes of them: paths and kinds."
}

pub(super) fn backup_mark(maker: &mut Maker) -> &'static str {
    let vector = |name: &str, bytes: &[u8]| Vector::named(name).bytes("bytes", bytes);
    let mark = |kind| Mark { kind, workspace: WorkspaceId([1; 16]), lineage: LineageId([2; 16]) }.encode();
    let good = mark(MarkKind::Backup);
    maker.accepted(vector("of a backup", &good));
    maker.accepted(vector("of a workspace to be", &mark(MarkKind::Restoring)));
    maker.refused("malformed", vector("other magic", &summed(&flip(&good, 0))));
    maker.refused("malformed", vector("version 0", &summed(&set(&good, 8, &[0, 0]))));
    maker.refused("newer", vector("version 2", &summed(&set(&good, 8, &[2]))));
    maker.refused("malformed", vector("kind 0", &summed(&set(&good, 10, &[0]))));
    maker.refused("malformed", vector("kind 3", &summed(&set(&good, 10, &[3]))));
    maker.refused("damaged", vector("another workspace under the old checksum", &flip(&good, 12)));
    maker.refused("damaged", vector("a wrong checksum", &flip(&good, good.len() - 1)));
    maker.refused("truncated", vector("a byte less", &good[..good.len() - 1]));
    maker.refused("malformed", vector("a byte more", &joined(&[&good, &[0]])));
    maker.refused("truncated", vector("nothing", b""));
    "The mark of a backup, or of a workspace that is made of one."
}
