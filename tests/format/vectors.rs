//! Golden vectors: what each decoder takes and refuses, frozen. The files under tests/data/vectors are read here and
//! written by `generate` on request; a vector that changes is a change of the format.

use runcellar_format::backup::Mark;
use runcellar_format::block::{GroupMain, Presence, Values};
use runcellar_format::journal::{Found, FrameKey, Header, KeySource, Record, Records, Shapes, scan};
use runcellar_format::keyslots::{
    Argon2Params, KeyFile, Keyslots, SlotSecret, format_recovery_code, parse_recovery_code,
};
use runcellar_format::mirror::Mirror;
use runcellar_format::overview::{GroupIdentity, GroupSummary, Overview, SummaryPoint};
use runcellar_format::pair::{Pair, PublicHalf};
use runcellar_format::record::{
    Body, CarriedGroup, CarriedNames, CarriedRecord, CarriedRun, CarriedVersion, Change, Close, Event, GroupPage,
    Project, PurgeRecord, RootRow, RunHead, RunRecord, SeriesPage, Settings, Start, WriterRow,
};
use runcellar_format::seal::{Envelope, Kind, OwnerKey, Place, lookup_tag};
use runcellar_format::sum::{Sum, row_hash};
use runcellar_format::tar::{Headers, Step};
use runcellar_format::{DeviceId, FormatError, KeyId, ObjectId, Secret, WorkspaceId};

use crate::support::{Vector, hex, outcome, read};

/// Decodes what a vector holds and says in words what it is.
pub(crate) type Decoder = fn(&Vector) -> Result<String, FormatError>;

/// Every file of vectors with the decoder that it is for.
pub(crate) const FILES: &[(&str, Decoder)] = &[
    ("seal.txt", seal),
    ("remote_objects.txt", remote_object),
    ("keyslots.txt", keyslots),
    ("key_file.txt", key_file),
    ("mirror.txt", mirror),
    ("recovery_codes.txt", recovery_code),
    ("journal_headers.txt", journal_header),
    ("journals.txt", journal),
    ("records.txt", records),
    ("bodies.txt", body),
    ("groups.txt", group),
    ("overviews.txt", overview),
    ("packs.txt", crate::packs::part),
    ("carried.txt", carried),
    ("tar.txt", tar),
    ("backup_mark.txt", backup_mark),
];

fn holds(file: &str) {
    let decoder = FILES.iter().find(|(name, _)| *name == file).expect("listed").1;
    let vectors = read(file);
    let (mut accepted, mut refused) = (0, 0);
    for vector in &vectors {
        let name = vector.text("name");
        let decoded = decoder(vector);
        assert_eq!(outcome(&decoded), vector.text("outcome"), "{file}: {name}: {decoded:?}");
        match decoded {
            Ok(value) => {
                assert_eq!(value, vector.text("value"), "{file}: {name}");
                accepted += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(accepted > 0 && refused > accepted, "{file}: {accepted} accepted, {refused} refused");
}

macro_rules! vectors_hold {
    ($($test:ident: $file:literal,)*) => {$(
        #[test]
        fn $test() {
            holds($file);
        }
    )*};
}

vectors_hold! {
    sealed_objects: "seal.txt",
    remote_objects: "remote_objects.txt",
    keyslots_files: "keyslots.txt",
    key_files: "key_file.txt",
    mirrors: "mirror.txt",
    recovery_codes: "recovery_codes.txt",
    headers_of_journals: "journal_headers.txt",
    frames_of_journals: "journals.txt",
    records_of_frames: "records.txt",
    record_bodies: "bodies.txt",
    row_groups: "groups.txt",
    overviews: "overviews.txt",
    parts_of_packs: "packs.txt",
    carried_records: "carried.txt",
    archives: "tar.txt",
    backup_marks: "backup_mark.txt",
}

fn overview(vector: &Vector) -> Result<String, FormatError> {
    let Overview { kind, groups } = Overview::decode(&vector.hex("bytes"))?;
    let point = |point: SummaryPoint| format!("({}, {}, {:016x})", point.step, point.time, point.value);
    let of_group = |summary: &GroupSummary| {
        let GroupSummary { group, count, first, least, most, last } = *summary;
        let GroupIdentity { writer, first_sequence, last_sequence, rows } = group;
        let points = [first, least, most, last].map(point).join(" ");
        format!("{writer} {first_sequence}..{last_sequence} {count}/{rows} {points}")
    };
    Ok(format!("{kind:?}: {}", groups.iter().map(of_group).collect::<Vec<_>>().join("; ")))
}

fn secret(vector: &Vector, field: &str) -> Secret {
    Secret::new(vector.array(field))
}

pub(crate) fn owner_key(vector: &Vector) -> OwnerKey {
    OwnerKey::new(KeyId(vector.array("key id")), secret(vector, "key"))
}

pub(crate) fn place(vector: &Vector) -> Place {
    let kinds = [
        Kind::Wrap,
        Kind::Project,
        Kind::Run,
        Kind::Head,
        Kind::SeriesPage,
        Kind::GroupPage,
        Kind::Block,
        Kind::Change,
        Kind::Root,
        Kind::Settings,
        Kind::Writer,
    ];
    let kind = kinds[vector.number("kind") as usize - 1];
    Place::of(WorkspaceId(vector.array("workspace")), kind, ObjectId(vector.array("object")))
        .part(vector.array("part"))
        .at(vector.number("position"), vector.number("second position") as u32)
        .version(DeviceId(vector.array("device")), vector.number("sequence"))
}

fn seal(vector: &Vector) -> Result<String, FormatError> {
    let sealed = vector.hex("sealed");
    let plain = owner_key(vector).open(&place(vector), &sealed)?;
    // Sealing again with the same salt gives the same bytes, by either cipher.
    let salt = Envelope::parse("vector", &sealed)?.salt;
    assert_eq!(owner_key(vector).seal(salt, &place(vector), &plain).as_bytes(), sealed);
    Ok(hex(&plain))
}

fn remote_object(vector: &Vector) -> Result<String, FormatError> {
    let sealed = vector.hex("sealed");
    let plain = owner_key(vector).open_object(&place(vector), &sealed)?;
    let salt = Envelope::parse("vector", &sealed)?.salt;
    let again = owner_key(vector).seal_object(salt, &place(vector), &plain)?;
    assert_eq!(again.read().expect("in memory"), sealed);
    Ok(hex(&plain))
}

fn keyslots(vector: &Vector) -> Result<String, FormatError> {
    let bytes = vector.hex("bytes");
    let read = Keyslots::decode(&bytes)?;
    let slot = &read.slots[vector.number("slot") as usize];
    let slot_secret = match vector.all("passphrase").next() {
        Some(passphrase) => {
            let params = slot.argon2.expect("a slot of a passphrase");
            SlotSecret::passphrase(passphrase.as_bytes(), params)?
        }
        None => SlotSecret::key_file(secret(vector, "secret")),
    };
    let slot_secret = match vector.all("key").next() {
        Some(_) => slot_secret.with_key(secret(vector, "key")),
        None => slot_secret,
    };
    let keys = slot.open(read.workspace, &read.epochs, &slot_secret)?;
    for (id, key) in &keys {
        let index = read.epochs.iter().position(|epoch| epoch.id == *id).expect("an epoch of the file");
        Keyslots::verify(&bytes, read.epochs.len(), index, key)?;
    }
    let keys: Vec<String> = keys.iter().map(|(_, key)| hex(key.expose())).collect();
    let slots: Vec<String> = read
        .slots
        .iter()
        .map(|slot| {
            let cost = slot.argon2.map(|Argon2Params { memory_kib, passes, lanes, .. }| (memory_kib, passes, lanes));
            format!("{} {} {cost:?}", slot.id, slot.kind.as_str())
        })
        .collect();
    let epochs: Vec<String> =
        read.epochs.iter().map(|epoch| format!("{} {} {}", epoch.number, epoch.id, epoch.parent)).collect();
    let devices: Vec<String> = read.devices.iter().map(|device| format!("{} {}", device.id, device.slot)).collect();
    Ok(format!(
        "workspace {} version {} epochs {epochs:?} ingest {} {} devices {devices:?} slots {slots:?} keys {keys:?}",
        read.workspace,
        read.version,
        read.ingest.generation,
        hex(&read.ingest.public.0),
    ))
}

fn key_file(vector: &Vector) -> Result<String, FormatError> {
    let read = KeyFile::decode(&vector.hex("bytes"))?;
    let entry = |entry: &runcellar_format::keyslots::KeyFileEntry| {
        format!("{} {} {} {}", entry.workspace, entry.slot, entry.epoch, hex(entry.secret.expose()))
    };
    Ok(format!("{:?}", read.entries.iter().map(entry).collect::<Vec<_>>()))
}

fn mirror(vector: &Vector) -> Result<String, FormatError> {
    let read = Mirror::decode(&vector.hex("bytes"))?;
    Ok(format!("{} {} {}", read.lineage, read.counter, hex(&read.sum)))
}

fn recovery_code(vector: &Vector) -> Result<String, FormatError> {
    let refused = FormatError::Malformed { what: "recovery code", reason: "not a recovery code" };
    let code = parse_recovery_code(vector.text("text")).ok_or(refused)?;
    Ok(format!("{} {} {}", hex(&code), format_recovery_code(&code), hex(SlotSecret::recovery(&code).secret().expose())))
}

fn opened_journal(vector: &Vector) -> Result<(Header, FrameKey, usize), FormatError> {
    let (header, len) = Header::decode(&vector.hex("bytes"))?;
    let workspace = WorkspaceId(vector.array("workspace"));
    let key = secret(vector, "key");
    let key = match &header.source {
        KeySource::Run(_) => header.open_with_run_key(workspace, &key)?,
        KeySource::Ingest { .. } => {
            header.open_with_ingest_pair(workspace, &Pair::derive(&key, &vector.array("key id")))?
        }
    };
    Ok((header, key, len))
}

fn journal_header(vector: &Vector) -> Result<String, FormatError> {
    let (header, _, len) = opened_journal(vector)?;
    let source = match &header.source {
        KeySource::Run(key) => format!("run {key}"),
        KeySource::Ingest { generation, .. } => format!("ingest {generation}"),
    };
    Ok(format!(
        "{len} bytes: journal {} writer {} first {} source {source}",
        header.journal, header.writer, header.first_sequence
    ))
}

/// The outcome of a journal that is whole is `accepted`, of one with a tail `truncated`, of one with damage `damaged`;
/// what was found stands in `found` either way.
fn journal(vector: &Vector) -> Result<String, FormatError> {
    let (_, key, len) = opened_journal(vector)?;
    let mut found = Vec::new();
    let mut outcome = Ok(());
    scan(&key, &vector.hex("bytes")[len..], |one| {
        found.push(match one {
            Found::Frame { sequence, plain, .. } => format!("{sequence} {}", hex(&plain)),
            Found::Damage { start, end } => {
                outcome = Err(FormatError::Damaged { what: "journal" });
                format!("damage {start}..{end}")
            }
            Found::Tail { start } => {
                if outcome.is_ok() {
                    outcome = Err(FormatError::Truncated { what: "journal", needed: 1 });
                }
                format!("tail {start}")
            }
        });
        true
    });
    if let Some(expected) = vector.all("found").next() {
        assert_eq!(found.join(", "), expected, "{}", vector.text("name"));
    }
    outcome.map(|()| found.join(", "))
}

fn records(vector: &Vector) -> Result<String, FormatError> {
    let all: Vec<Record> = Records::new(&vector.hex("bytes"), &mut Shapes::default()).collect::<Result<_, _>>()?;
    Ok(format!("{all:?}"))
}

fn dump<T: Body + std::fmt::Debug>(bytes: &[u8]) -> Result<String, FormatError> {
    let value = T::from_body(bytes)?;
    // Packed or not, it is read back the same.
    let again = T::from_body(&value.to_body()?)?;
    assert_eq!(format!("{again:?}"), format!("{value:?}"));
    Ok(format!("{value:?}"))
}

fn carried(vector: &Vector) -> Result<String, FormatError> {
    let bytes = vector.hex("bytes");
    match vector.text("kind") {
        "carried run" => dump::<CarriedRun>(&bytes),
        "carried run record" => dump::<CarriedRecord>(&bytes),
        "carried names" => dump::<CarriedNames>(&bytes),
        "carried version" => dump::<CarriedVersion>(&bytes),
        "purge record" => dump::<PurgeRecord>(&bytes),
        "carried row group" => {
            let group = CarriedGroup::decode(&bytes)?;
            assert_eq!(group.encode()?, bytes);
            Ok(format!("{group:?}"))
        }
        other => panic!("nothing that is carried is called {other}"),
    }
}

/// Reads an archive as a capsule's reader does; of content only the length counts.
fn tar(vector: &Vector) -> Result<String, FormatError> {
    let bytes = vector.hex("bytes");
    let (mut headers, mut rest, mut found) = (Headers::default(), bytes.as_slice(), Vec::new());
    let cut = FormatError::Truncated { what: "archive", needed: 1 };
    loop {
        let (block, after) = rest.split_first_chunk().ok_or(cut.clone())?;
        rest = after;
        match headers.take(block)? {
            Step::More => {}
            Step::Entry(entry) => {
                let content = usize::try_from(entry.size()).map_err(|_| cut.clone())? + entry.padding();
                rest = rest.get(content..).ok_or(cut.clone())?;
                found.push(format!("{} {:?}", hex(&entry.path), entry.kind));
            }
            Step::End => return Ok(found.join("; ")),
        }
    }
}

fn backup_mark(vector: &Vector) -> Result<String, FormatError> {
    let bytes = vector.hex("bytes");
    let mark = Mark::decode(&bytes)?;
    assert_eq!(mark.encode(), bytes);
    Ok(format!("{:?} of workspace {} lineage {}", mark.kind, mark.workspace, mark.lineage))
}

fn body(vector: &Vector) -> Result<String, FormatError> {
    let bytes = vector.hex("bytes");
    match vector.text("kind") {
        "project" => dump::<Project>(&bytes),
        "run record" => dump::<RunRecord>(&bytes),
        "run head" => dump::<RunHead>(&bytes),
        "series page" => dump::<SeriesPage>(&bytes),
        "group page" => dump::<GroupPage>(&bytes),
        "root row" => dump::<RootRow>(&bytes),
        "settings" => dump::<Settings>(&bytes),
        "writer row" => dump::<WriterRow>(&bytes),
        "start" => dump::<Start>(&bytes),
        "close" => dump::<Close>(&bytes),
        "event" => dump::<Event>(&bytes),
        "change" => {
            let change = Change::from_padded_body(&bytes)?;
            let values = change.fields.iter().map(|field| field.value()).collect::<Result<Vec<_>, _>>()?;
            Ok(format!("{} {:?} {} {values:?}", change.clock, change.kind, hex(&change.object)))
        }
        other => panic!("no record body is called {other}"),
    }
}

fn group(vector: &Vector) -> Result<String, FormatError> {
    let parts: Vec<Vec<u8>> = vector.all("part").map(crate::support::unhex).collect();
    let main = GroupMain::decode(&parts[0])?;
    let mut columns = Vec::new();
    for entry in &main.columns {
        let values = entry.decode(parts.get(entry.part as usize).map(Vec::as_slice).filter(|_| entry.part != 0))?;
        entry.stats()?;
        let values = match values {
            Values::Float(all) => all.iter().map(|one| format!("{:016x}", one.to_bits())).collect(),
            Values::Int(all) => all.iter().map(ToString::to_string).collect(),
            Values::Bool(all) => all.iter().map(ToString::to_string).collect(),
            Values::Text(all) => all,
            Values::Histogram(all) => all.iter().map(crate::support::shown).collect(),
            Values::Media(all) => all.iter().map(ToString::to_string).collect(),
        };
        let presence = match entry.presence()? {
            Presence::Dense => "dense".to_owned(),
            Presence::Rows(rows) => format!("{rows:?}"),
        };
        columns.push(format!("{} {:?} {:?} {presence} {values:?}", entry.series, entry.kind, entry.tag));
    }
    let (steps, times) = (main.steps()?, main.times()?);
    Ok(format!(
        "writer {} sequences {}..={} steps {steps:?} times {times:?} columns {columns:?}",
        main.writer, main.first_sequence, main.last_sequence
    ))
}

/// Derivations that nothing is refused by: pairs, sealing to them, lookup tags, hashes and sums of rows.
#[test]
fn derivations() {
    for vector in read("derivations.txt") {
        assert_eq!(derivation(&vector), vector.text("value"), "{}", vector.text("name"));
    }
}

pub(crate) fn derivation(vector: &Vector) -> String {
    match vector.text("of") {
        "pair" => hex(&Pair::derive(&secret(vector, "secret"), &vector.array("salt")).public().0),
        "sealed to a pair" => {
            let (label, place) = (vector.hex("label"), vector.hex("place"));
            let (plain, ephemeral) = (vector.hex("text"), vector.array("ephemeral"));
            let pair = Pair::derive(&secret(vector, "secret"), &vector.array("salt"));
            let sealed = PublicHalf(pair.public().0).seal("vector", &label, &place, &plain, ephemeral).expect("seals");
            assert_eq!(pair.open("vector", &label, &place, &sealed), Ok(plain));
            hex(&sealed)
        }
        "lookup tag" => {
            let kind = if vector.number("kind") == 2 { Kind::Project } else { Kind::Run };
            let parent = ObjectId(vector.array("parent"));
            hex(&lookup_tag(&secret(vector, "secret"), kind, parent, vector.text("text")))
        }
        "hash of a row" => {
            let columns: Vec<Vec<u8>> = vector.all("column").map(crate::support::unhex).collect();
            let columns: Vec<&[u8]> = columns.iter().map(Vec::as_slice).collect();
            hex(&row_hash(&secret(vector, "secret"), vector.text("table"), &columns))
        }
        "sum" => {
            let mut sum = Sum::default();
            vector.all("add").for_each(|row| sum.add(&crate::support::unhex(row).try_into().expect("32 bytes")));
            vector.all("remove").for_each(|row| sum.remove(&crate::support::unhex(row).try_into().expect("32 bytes")));
            hex(&sum.0)
        }
        "cuts" => crate::packs::cuts(vector),
        other => panic!("nothing is derived as {other}"),
    }
}
