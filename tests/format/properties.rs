//! Properties of every decoder: what is written reads back bit by bit, and what is changed is noticed.

use proptest::collection::vec;
use proptest::prelude::*;
use runcellar_format::block::{Column, GroupMain, GroupRows, Level, Presence, Values, encode_column, encode_group};
use runcellar_format::journal::{Found, Header, Record, Records, Shapes, push_record, scan};
use runcellar_format::keyslots::{
    KeyFile, KeyFileEntry, Keyslots, Slot, SlotKind, SlotSecret, format_recovery_code, parse_recovery_code,
};
use runcellar_format::mirror::Mirror;
use runcellar_format::pair::Pair;
use runcellar_format::record::{
    Body, Change, ChangeKind, FieldChange, FieldId, Project, Settings, Stamped, Tokens, WriterRow,
};
use runcellar_format::seal::{OwnerKey, Place};
use runcellar_format::sum::Sum;
use runcellar_format::value::{Json, Value};
use runcellar_format::{
    EpochId, FormatError, KeyId, LineageId, MediaId, ObjectId, Secret, SlotId, WorkspaceId, WriterId, fuzz,
};

fn floats() -> impl Strategy<Value = f64> {
    prop_oneof![any::<u64>().prop_map(f64::from_bits), any::<i16>().prop_map(|cents| f64::from(cents) / 100.0)]
}

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        floats().prop_map(Value::Float),
        any::<i64>().prop_map(Value::Int),
        any::<bool>().prop_map(Value::Bool),
        ".{0,20}".prop_map(Value::Text),
        any::<[u8; 16]>().prop_map(|id| Value::Media(MediaId(id))),
    ]
}

fn nested() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![Just(Json::Null), values().prop_map(Json::from)];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![vec(inner.clone(), 0..6).prop_map(Json::List), vec((".{0,5}", inner), 0..6).prop_map(Json::Map),]
    })
}

/// Bits, as NaN does not equal itself.
fn bits(value: &Value) -> String {
    match value {
        Value::Float(float) => format!("{:016x}", float.to_bits()),
        other => format!("{other:?}"),
    }
}

/// Writes an integer by the rules of docs/FORMAT.md, "Record bodies".
fn varint(value: u64) -> Vec<u8> {
    match value {
        0..=250 => vec![value as u8],
        251..=0xffff => [&[251][..], &(value as u16).to_le_bytes()].concat(),
        0x1_0000..=0xffff_ffff => [&[252][..], &(value as u32).to_le_bytes()].concat(),
        _ => [&[253][..], &value.to_le_bytes()].concat(),
    }
}

fn zigzag(value: i64) -> Vec<u8> {
    varint(if value < 0 { !(value.cast_unsigned() << 1) } else { value.cast_unsigned() << 1 })
}

/// Integers of every length.
fn integers() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64_u32).prop_map(|(value, shift)| value >> shift)
}

proptest! {
    #[test]
    fn a_sealed_object_opens_and_each_changed_bit_is_noticed(
        key: [u8; 32], ids: [[u8; 16]; 3], salt: [u8; 24], numbers: (u64, u32, u64), plain in vec(any::<u8>(), 0..200), at: usize,
    ) {
        let owner = || OwnerKey::new(KeyId(ids[0]), Secret::new(key));
        let place = Place::of(WorkspaceId(ids[1]), runcellar_format::seal::Kind::Block, ObjectId(ids[2]))
            .part(ids[0]).at(numbers.0, numbers.1).version(runcellar_format::DeviceId(ids[1]), numbers.2);
        let mut sealed = owner().seal(salt, &place, &plain).into_bytes();
        prop_assert_eq!(owner().open(&place, &sealed), Ok(plain));
        let at = at % (sealed.len() * 8);
        sealed[at / 8] ^= 1 << (at % 8);
        prop_assert!(owner().open(&place, &sealed).is_err());
    }

    #[test]
    fn key_files_and_mirrors_read_back(entries in vec((any::<[[u8; 16]; 3]>(), any::<[u8; 32]>()), 0..5), counter: u64, at: usize) {
        let entry = |(ids, secret): &([[u8; 16]; 3], [u8; 32])| KeyFileEntry {
            workspace: WorkspaceId(ids[0]), slot: SlotId(ids[1]), epoch: EpochId(ids[2]), secret: Secret::new(*secret),
        };
        let mut bytes = KeyFile { entries: entries.iter().map(entry).collect() }.encode().expect("few").to_vec();
        let read = KeyFile::decode(&bytes).expect("reads back").entries;
        let read: Vec<_> = read.iter().map(|entry| ([entry.workspace.0, entry.slot.0, entry.epoch.0], *entry.secret.expose())).collect();
        prop_assert_eq!(&read, &entries);
        let at = at % (bytes.len() * 8);
        bytes[at / 8] ^= 1 << (at % 8);
        prop_assert!(KeyFile::decode(&bytes).is_err());
        let mirror = Mirror { lineage: LineageId([at as u8; 16]), counter, sum: [7; 32] };
        prop_assert_eq!(Mirror::decode(&mirror.encode()), Ok(mirror));
    }

    #[test]
    fn a_recovery_code_reads_back_as_written(code: [u8; 20]) {
        prop_assert_eq!(parse_recovery_code(&format_recovery_code(&code)), Some(code));
    }

    #[test]
    fn damage_to_a_journal_hides_the_frames_it_touches_and_no_others(
        texts in vec(vec(any::<u8>(), 0..60), 1..12), at: usize, len in 1..100_usize, noise: u8,
    ) {
        let frames: Vec<(u64, &[u8])> = (1..).zip(texts.iter().map(Vec::as_slice)).collect();
        let (_, key) = fuzz::journal_key();
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for (sequence, text) in &frames {
            key.seal_into(*sequence, text, &mut bytes).expect("short");
            ends.push(bytes.len());
        }
        let from = at % bytes.len();
        let to = bytes.len().min(from + len);
        let whole = bytes.clone();
        bytes[from..to].fill(noise);
        let touched = |index: usize| {
            let start = if index == 0 { 0 } else { ends[index - 1] };
            bytes[start..ends[index]] != whole[start..ends[index]]
        };
        let expected: Vec<u64> = (0..frames.len()).filter(|index| !touched(*index)).map(|index| index as u64 + 1).collect();
        let mut found = Vec::new();
        scan(&key, &bytes, |one| {
            if let Found::Frame { sequence, plain, .. } = one {
                assert_eq!(plain, texts[sequence as usize - 1]);
                found.push(sequence);
            }
            true
        });
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn rows_and_names_read_back(
        rows in vec((any::<i64>(), any::<i64>(), vec((0..1_u32 << 24, values()), 0..8)), 0..5), names in vec(".{0,12}", 0..5),
    ) {
        let named = (0..).zip(names).map(|(index, name)| Record::Metric { index, name });
        let rows = rows.into_iter().map(|(step, time, values)| Record::Row { step, time, values });
        let records: Vec<Record> = named.chain(rows).chain([Record::Heartbeat { time: -1 }]).collect();
        let mut plain = Vec::new();
        records.iter().for_each(|record| push_record(&mut plain, record).expect("short"));
        let read: Vec<Record> = Records::new(&plain, &mut Shapes::default()).collect::<Result<_, _>>().expect("reads back");
        let mut again = Vec::new();
        read.iter().for_each(|record| push_record(&mut again, record).expect("short"));
        prop_assert_eq!(read.len(), records.len());
        prop_assert_eq!(&again, &plain);
        for cut in 0..plain.len().min(200) {
            // What is left of a cut frame is refused, or the records before the cut.
            let left: Result<Vec<Record>, _> = Records::new(&plain[..cut], &mut Shapes::default()).collect();
            prop_assert!(left.map_or(true, |left| left.len() < read.len()));
        }
    }

    #[test]
    fn nested_values_read_back(value in nested(), name in ".{0,300}", clock: u64) {
        let settings = Settings {
            values: vec![(name, Stamped::new(Tokens::new(&value).expect("shallow"), clock))], ..Settings::default()
        };
        let body = settings.to_body().expect("short");
        let read = Settings::from_body(&body).expect("reads back");
        let read = read.values[0].1.value.json().expect("a value");
        prop_assert_eq!(format!("{read:?}"), format!("{value:?}"));
        prop_assert!(body.len() < 3 || Settings::from_body(&body[..body.len() - 1]).is_err());
    }

    #[test]
    fn bodies_are_what_the_document_says(
        run: [u8; 16], numbers in vec(integers(), 2), next in any::<u32>(), missing in vec((integers(), integers()), 0..5),
        name in ".{0,40}", created in integers(), closed: bool,
    ) {
        let row = WriterRow { run, sequence: numbers[0], closed, next_group: next, missing: missing.clone() };
        let mut expected = [&run[..], &varint(numbers[0]), &[u8::from(closed)], &varint(next.into())].concat();
        expected.extend(varint(missing.len() as u64));
        missing.iter().for_each(|(first, last)| expected.extend([varint(*first), varint(*last)].concat()));
        prop_assert_eq!(&row.to_body().expect("short")[2..], &expected[..]);

        let created = created.cast_signed();
        let project = Project { name: name.clone(), created, extra: vec![(next as u16, vec![1, 255])] };
        let mut expected = [varint(name.len() as u64), name.into_bytes(), zigzag(created), vec![1]].concat();
        expected.extend([varint((next as u16).into()), vec![2, 1, 255]].concat());
        prop_assert_eq!(&project.to_body().expect("short")[2..], &expected[..]);
    }

    #[test]
    fn any_bytes_end_in_a_value_or_an_error(target in 0..fuzz::TARGETS.len(), bytes in vec(any::<u8>(), 0..400)) {
        fuzz::TARGETS[target].1(&bytes);
    }

    #[test]
    fn sums_do_not_depend_on_order(rows in vec(any::<[u8; 32]>(), 0..20)) {
        let (mut forward, mut backward) = (Sum::default(), Sum::default());
        rows.iter().for_each(|row| forward.add(row));
        rows.iter().rev().for_each(|row| backward.add(row));
        prop_assert_eq!(forward, backward);
        rows.iter().for_each(|row| forward.remove(row));
        prop_assert_eq!(forward, Sum::default());
    }

    #[test]
    fn changes_read_back_from_their_padding(fields in vec((".{0,90}", nested()), 0..4), clock: u64) {
        let field = |(key, value): &(String, Json)| FieldChange::new(FieldId::Config, key.clone(), value).expect("shallow");
        let fields: Vec<FieldChange> = fields.iter().map(field).collect();
        let change = Change { clock, kind: ChangeKind::SetFields, object: [1; 16], fields, extra: vec![] };
        let padded = change.to_padded_body().expect("short");
        prop_assert_eq!(padded.len() % 64, 0);
        let read = Change::from_padded_body(&padded).expect("reads back");
        prop_assert_eq!(format!("{read:?}"), format!("{change:?}"));
    }
}

/// A column of one kind over `rows` rows, with values in some of them.
fn column(rows: u32, series: u32) -> impl Strategy<Value = Column> {
    let present = proptest::sample::subsequence((0..rows).collect::<Vec<_>>(), 1..=rows as usize);
    (present, 0..4_u8).prop_flat_map(move |(present, kind)| {
        let count = present.len();
        let values = match kind {
            0 => vec(floats(), count).prop_map(Values::Float).boxed(),
            1 => prop_oneof![vec(any::<i64>(), count), vec(-50..50_i64, count)].prop_map(Values::Int).boxed(),
            2 => vec(any::<bool>(), count).prop_map(Values::Bool).boxed(),
            _ => vec(".{0,6}", count).prop_map(Values::Text).boxed(),
        };
        values.prop_map(move |values| {
            let presence =
                if present.len() == rows as usize { Presence::Dense } else { Presence::Rows(present.clone()) };
            Column { series, presence, values }
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn row_groups_read_back((rows, columns) in (1..80_u32).prop_flat_map(|rows| {
        (Just(rows), (0..6_u32).prop_flat_map(move |count| (0..count).map(|series| column(rows, series)).collect::<Vec<_>>()))
    })) {
        let steps: Vec<i64> = (0..i64::from(rows)).map(|row| row * row).collect();
        let encoded = columns.iter().map(|column| encode_column(column, rows, Level::Fast).expect("good")).collect();
        let head = GroupRows { writer: WriterId([7; 16]), first_sequence: 1, last_sequence: 99, steps: &steps, times: &steps };
        let parts = encode_group(&head, encoded, Level::Fast).expect("good").parts;
        let main = GroupMain::decode(&parts[0]).expect("reads back");
        prop_assert_eq!(main.steps(), Ok(steps));
        prop_assert_eq!((main.columns.len(), main.parts() as usize), (columns.len(), parts.len()));
        for (entry, column) in main.columns.iter().zip(&columns) {
            let values = entry.decode(parts.get(entry.part as usize).filter(|_| entry.part > 0).map(Vec::as_slice));
            prop_assert_eq!(entry.presence(), Ok(column.presence.clone()));
            let (left, right) = (dump(&values.expect("reads back")), dump(&column.values));
            prop_assert_eq!(left, right);
        }
    }

    #[test]
    fn keyslots_read_back_and_open(ids: [u8; 4], secret: [u8; 32], at: usize) {
        let workspace = WorkspaceId([ids[0]; 16]);
        let epoch = runcellar_format::keyslots::Epoch { number: 1, id: EpochId([ids[1]; 16]), parent: EpochId::NIL };
        let epoch_key = Secret::new([ids[2]; 32]);
        let slot_secret = SlotSecret::key_file(Secret::new(secret));
        let slot = Slot::new(workspace, SlotId([ids[3]; 16]), SlotKind::KeyFile, &slot_secret, (epoch.id, &epoch_key), secret);
        let ingest = runcellar_format::keyslots::IngestPublic {
            generation: 1, public: Pair::derive(&Secret::new(secret), &[ids[0]; 16]).public(),
        };
        let keyslots = Keyslots { workspace, version: 9, epochs: vec![epoch], ingest, devices: vec![], slots: vec![slot.expect("seals")] };
        let mut bytes = keyslots.encode(&[&epoch_key]).expect("encodes");
        let read = Keyslots::decode(&bytes).expect("reads back");
        prop_assert_eq!(&read, &keyslots);
        let keys = read.slots[0].open(workspace, &read.epochs, &slot_secret).expect("opens");
        prop_assert_eq!(Keyslots::verify(&bytes, 1, 0, &keys[0].1), Ok(()));
        let at = at % (bytes.len() * 8);
        bytes[at / 8] ^= 1 << (at % 8);
        prop_assert!(Keyslots::decode(&bytes).is_err());
    }

    #[test]
    fn headers_of_journals_bind_every_bit(ids: [u8; 4], key: [u8; 32], by_ingest: bool, at: usize) {
        let workspace = WorkspaceId([ids[0]; 16]);
        let (journal, writer) = (runcellar_format::JournalId([ids[1]; 16]), WriterId([ids[2]; 16]));
        let pair = Pair::derive(&Secret::new(key), &[ids[3]; 16]);
        let (header, _) = if by_ingest {
            let public = (1, pair.public());
            Header::under_ingest_key((workspace, journal, writer), 7, public, &Secret::new([ids[3]; 32]), key, [1; 24]).expect("seals")
        } else {
            Header::under_run_key(workspace, journal, writer, 7, (KeyId([ids[3]; 16]), &Secret::new(key)), [1; 24])
        };
        let open = |header: &Header| {
            if by_ingest { header.open_with_ingest_pair(workspace, &pair) } else { header.open_with_run_key(workspace, &Secret::new(key)) }
        };
        let mut bytes = header.encode().expect("short");
        prop_assert!(open(&Header::decode(&bytes).expect("reads back").0).is_ok());
        let at = at % (bytes.len() * 8);
        bytes[at / 8] ^= 1 << (at % 8);
        let opened: Result<(), FormatError> = Header::decode(&bytes).and_then(|(header, _)| open(&header).map(drop));
        // A header that seems to be cut off is of a file that holds nothing, which this one is not.
        prop_assert!(opened.as_ref().is_err_and(|cause| !matches!(cause, FormatError::Truncated { .. })), "bit {at}: {opened:?}");
    }
}

fn dump(values: &Values) -> Vec<String> {
    match values {
        Values::Float(all) => all.iter().map(|value| bits(&Value::Float(*value))).collect(),
        Values::Int(all) => all.iter().map(ToString::to_string).collect(),
        Values::Bool(all) => all.iter().map(ToString::to_string).collect(),
        Values::Text(all) => all.clone(),
        Values::Histogram(all) => all.iter().map(crate::support::shown).collect(),
        Values::Media(all) => all.iter().map(ToString::to_string).collect(),
    }
}
