//! Seeds of the fuzz targets.

use runcellar_format::backup::{Mark, MarkKind};
use runcellar_format::block::{Column, Level, Presence, encode_column};
use runcellar_format::catalogue::{BlockWriter, Space};
use runcellar_format::journal::{Record, push_record};
use runcellar_format::keyslots::{KeyFile, KeyFileEntry, format_recovery_code};
use runcellar_format::mirror::Mirror;
use runcellar_format::record::{Body, CarriedGroup, Close};
use runcellar_format::tar::{BLOCK_BYTES, END, Entry, EntryKind};
use runcellar_format::value::{Json, Value};
use runcellar_format::{EpochId, LineageId, Secret, SlotId, WorkspaceId, fuzz};

use super::bodies::{all_bodies, change, fields, start};
use super::groups::{columns, encoded};
use super::journals::{ingest_journal, rows, sealed_frames};
use super::keys::{replacing, sample};
use super::{joined, write};

/// A block of three rows with a column of every kind.
fn catalogue_block() -> Vec<Vec<u8>> {
    let mut block = BlockWriter::default();
    for row in 0..3_i64 {
        block.begin_row();
        block.put(Space::Field, "id", &Value::Text(format!("run {row}"))).expect("fits");
        block.put(Space::Summary, ".loss", &Value::Float(row as f64 / 3.0)).expect("fits");
        block.put(Space::Points, "loss", &Value::Int(row * row * row)).expect("fits");
        if row != 1 {
            block.put(Space::Config, ".amp", &Value::Bool(row == 0)).expect("fits");
            block.put_leaf(Space::Config, ".sizes", &Json::List(vec![row.into(), Json::Null])).expect("fits");
        }
    }
    block.finish().expect("has rows")
}

/// Seeds of the fuzz targets: one good input of each form, as small as is of use.
pub(super) fn corpus() {
    let put = |target: &str, name: &str, bytes: &[u8]| write(&format!("fuzz/corpus/{target}/{name}"), bytes);
    put("seal", "text", fuzz::key().seal([7; 24], &fuzz::place(), b"learning rate").as_bytes());
    put("keyslots", "all_kinds", &sample(1).bytes());
    put("keyslots", "two_epochs", &sample(2).bytes());
    put("keyslots", "replacing", &replacing().bytes());
    let entry = KeyFileEntry {
        workspace: WorkspaceId([1; 16]),
        slot: SlotId([2; 16]),
        epoch: EpochId([3; 16]),
        secret: Secret::new([4; 32]),
    };
    put("key_file", "one", &KeyFile { entries: vec![entry] }.encode().expect("short"));
    put("overview", "floats", &super::overviews::floats(3));
    let group = CarriedGroup { number: 1, best: true, parts: vec![vec![1; 9], Vec::new()] };
    let group = group.encode().expect("small");
    let long = [vec![b'a'; 90], vec![b'b'; 90]].join(&b'/');
    let mut archive = Entry::file("runs/a/exact/rows-000001", group.len() as u64).encode().expect("a path");
    archive.extend_from_slice(&group);
    archive.resize(archive.len().next_multiple_of(BLOCK_BYTES), 0);
    for kind in [EntryKind::Link { target: long.clone() }, EntryKind::Directory] {
        archive.extend(Entry { path: long.clone(), kind }.encode().expect("a path"));
    }
    archive.extend_from_slice(&END);
    put("tar", "archive", &archive);
    put("pack", "directory", &super::packs::directory());
    put("bucket", "three", &super::packs::bucket());
    for form in super::packs::FORMS {
        let head = [form as u8].into_iter().chain((super::packs::content().len() as u32).to_le_bytes());
        let name = format!("{form:?}").to_lowercase();
        put("chunk", &name, &head.chain(super::packs::stored(form)).collect::<Vec<u8>>());
    }
    let mark = Mark { kind: MarkKind::Backup, workspace: WorkspaceId([1; 16]), lineage: LineageId([2; 16]) };
    put("backup_mark", "backup", &mark.encode());
    put("mirror", "mirror", &Mirror { lineage: LineageId([1; 16]), counter: 7, sum: [2; 32] }.encode());
    put("recovery_code", "code", format_recovery_code(&[0x5a; 20]).as_bytes());
    put("journal_header", "run", &fuzz::journal_key().0.encode().expect("short"));
    put("journal_header", "ingest", &ingest_journal(&[]));
    put("journal", "rows", &sealed_frames(&[(0, b""), (1, &rows()), (2, &rows())]));
    put("records", "rows", &rows());
    let record = |record: &Record| {
        let mut out = Vec::new();
        push_record(&mut out, record).expect("short");
        out
    };
    put("records", "start", &record(&Record::Start(Box::new(start()))));
    put("records", "fields", &record(&Record::Fields { clock: 5, fields: fields() }));
    put("records", "close", &record(&Record::Close(Close::default())));
    let grouped = |rows: u32| {
        let parts = encoded(&columns(rows), rows).parts;
        let len = u32::try_from(parts[0].len()).expect("short").to_le_bytes();
        joined(&[&len, &parts.concat()])
    };
    put("group", "inline", &grouped(20));
    put("group", "parts", &grouped(300));
    for column in columns(40) {
        let count = u16::try_from(column.values.len() - 1).expect("few").to_le_bytes();
        let dense = Column { presence: Presence::Dense, ..column };
        let encoded = encode_column(&dense, u32::from(u16::from_le_bytes(count)) + 1, Level::Best).expect("good");
        let name = format!("{:?}_{:?}", encoded.kind(), encoded.tag()).to_lowercase();
        put("column", &name, &joined(&[&[encoded.kind() as u8, encoded.tag() as u8], &count, encoded.bytes()]));
    }
    let parts = catalogue_block();
    let len = u32::try_from(parts[0].len()).expect("short").to_le_bytes();
    put("catalogue", "block", &joined(&[&len, &parts.concat()]));
    put("catalogue", "exact", b"m2;1;am1;3;b.cl3;nti-7;1;ds3;a;bd7ff8000000000000");
    put("catalogue", "shape", b"m4;1;ad1;bm2;1;cn1;dl1;es1;fb");
    for (which, (kind, bytes)) in (0..).zip(all_bodies()) {
        if kind == "change" {
            put("change", "change", &bytes);
        }
        // The order in which the target `bodies` knows them.
        let order = [
            "project",
            "run record",
            "run head",
            "series page",
            "group page",
            "change",
            "root row",
            "settings",
            "writer row",
            "start",
            "close",
            "event",
        ];
        let at = order.iter().position(|known| *known == kind).unwrap_or(which);
        let body = if kind == "change" { change().to_body().expect("short") } else { bytes };
        put("bodies", &kind.replace(' ', "_"), &joined(&[&[u8::try_from(at).expect("few")], &body]));
    }
}
