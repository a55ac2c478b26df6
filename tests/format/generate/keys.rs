//! keyslots, key files, mirrors, recovery codes.

use runcellar_format::keyslots::{
    Argon2Params, Device, Epoch, IngestPublic, KeyFile, KeyFileEntry, Keyslots, Slot, SlotKind, SlotSecret,
    format_recovery_code,
};
use runcellar_format::mirror::Mirror;
use runcellar_format::pair::Pair;
use runcellar_format::seal::checksum;
use runcellar_format::{DeviceId, EpochId, LineageId, Secret, SlotId, WorkspaceId};

use super::{Maker, flip, joined, set, summed};
use crate::support::Vector;

pub(super) struct Sample {
    keyslots: Keyslots,
    keys: Vec<Secret>,
}

/// A file with a slot of every kind that is written, all but the passphrase's with the secret 03..03.
pub(super) fn sample(epochs: u8) -> Sample {
    let workspace = WorkspaceId([1; 16]);
    let keys: Vec<Secret> = (0..epochs).map(|index| Secret::new([0x20 + index; 32])).collect();
    let epoch = |index: u8| Epoch {
        number: 1 + u64::from(index),
        id: EpochId([4 + index; 16]),
        parent: if index == 0 { EpochId::NIL } else { EpochId([3 + index; 16]) },
    };
    let list: Vec<Epoch> = (0..epochs).map(epoch).collect();
    let params = Argon2Params { salt: [0x11; 16], memory_kib: Argon2Params::MEMORY_KIB_MIN, passes: 1, lanes: 1 };
    let passphrase = SlotSecret::passphrase("correct horse".as_bytes(), params).expect("in bounds");
    let secret = || SlotSecret::key_file(Secret::new([3; 32]));
    let slot = |id: u8, kind, secret: &SlotSecret| {
        let one = |index: usize| {
            let epoch = (list[index].id, &keys[index]);
            Slot::new(workspace, SlotId([id; 16]), kind, secret, epoch, [0x60 + id + index as u8; 32]).expect("seals")
        };
        let mut slot = one(0);
        slot.halves.extend((1..list.len()).flat_map(|index| one(index).halves));
        slot
    };
    let slots = vec![
        slot(5, SlotKind::KeyFile, &secret()),
        slot(6, SlotKind::Passphrase, &passphrase),
        slot(7, SlotKind::Recovery, &secret()),
        slot(8, SlotKind::Device, &secret()),
    ];
    let device = |id: u8| Device { id: DeviceId([id; 16]), slot: SlotId([5; 16]), signing: [id; 32] };
    let public = Pair::derive(&Secret::new([0x50; 32]), &[0x51; 16]).public();
    let ingest = IngestPublic { generation: 2, public };
    let keyslots =
        Keyslots { workspace, version: 7, epochs: list, ingest, devices: vec![device(0x30), device(0x31)], slots };
    Sample { keyslots, keys }
}

/// A file in which a root key is being replaced: a key file with a secret for each epoch, two factors with a new one of
/// their key file, and a recovery code that does not open the new epoch.
pub(super) fn replacing() -> Sample {
    let mut sample = sample(2);
    let Sample { keyslots, keys } = &mut sample;
    let (workspace, old, new) = (keyslots.workspace, keyslots.epochs[0].id, keyslots.epochs[1].id);
    let params = keyslots.slots[1].argon2.expect("a passphrase");
    let both = SlotSecret::two_factor("correct horse".as_bytes(), params, Secret::new([3; 32])).expect("in bounds");
    let two = Slot::new(workspace, SlotId([9; 16]), SlotKind::TwoFactor, &both, (old, &keys[0]), [0x69; 32]);
    keyslots.slots.push(two.expect("seals"));
    for slot in &mut keyslots.slots {
        slot.halves.truncate(1);
        let new_key = slot.kind.has_key_file().then(|| Secret::new([0x0d; 32]));
        match slot.kind {
            SlotKind::Recovery => slot.halves.push(None),
            _ => slot.add_epoch(workspace, new_key.as_ref(), (new, &keys[1]), [0x70; 32]).expect("seals"),
        }
    }
    sample
}

impl Sample {
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.keyslots.encode(&self.keys.iter().collect::<Vec<_>>()).expect("encodes")
    }
}

pub(super) fn keyslots(maker: &mut Maker) -> &'static str {
    let vector = |name: &str, bytes: &[u8]| {
        Vector::named(name).bytes("bytes", bytes).with("slot", "0").bytes("secret", &[3; 32])
    };
    let small = |edit: &dyn Fn(&mut Keyslots)| {
        let mut sample = sample(1);
        sample.keyslots.slots.truncate(1);
        sample.keyslots.devices.truncate(1);
        edit(&mut sample.keyslots);
        sample
    };
    let good = small(&|_| ()).bytes();
    maker.accepted(vector("one key-file slot", &good));
    let all = sample(1).bytes();
    let mut by_passphrase = Vector::named("slots of all kinds, opened by the passphrase").bytes("bytes", &all);
    by_passphrase = by_passphrase.with("slot", "1").with("passphrase", "correct horse");
    maker.accepted(by_passphrase);
    maker.accepted(vector("two epochs, during a purge", &sample(2).bytes()));
    maker.accepted(vector("no device", &small(&|keyslots| keyslots.devices.clear()).bytes()));

    let replacing = replacing().bytes();
    let opened_by = |name: &str, slot: &str, fill: u8| {
        Vector::named(name).bytes("bytes", &replacing).with("slot", slot).bytes("secret", &[fill; 32])
    };
    let both_by = |name: &str, passphrase: &str, fill: u8| {
        let vector = Vector::named(name).bytes("bytes", &replacing).with("slot", "4");
        vector.with("passphrase", passphrase).bytes("key", &[fill; 32])
    };
    maker.accepted(opened_by("the old secret of a key file opens the old epoch", "0", 3));
    maker.accepted(opened_by("the new secret of a key file opens the new epoch", "0", 0x0d));
    maker.accepted(opened_by("a recovery code that does not open the new epoch", "2", 3));
    maker.accepted(both_by("two factors open the old epoch", "correct horse", 3));
    maker.accepted(both_by("two factors open the new epoch", "correct horse", 0x0d));
    maker.refused("wrong key", both_by("two factors, another passphrase", "incorrect horse", 3));
    maker.refused("wrong key", both_by("two factors, another key file", "correct horse", 4));
    maker.refused("wrong key", opened_by("another secret for two epochs", "0", 4));
    let mut alone = Vector::named("two factors without the key file").bytes("bytes", &replacing).with("slot", "4");
    alone = alone.with("passphrase", "correct horse");
    maker.refused("wrong key", alone);
    maker.refused("malformed", vector("version 2 for what version 1 can say", &as_version_2(&small(&|_| ()))));

    // Offsets in the file with one slot and one device.
    let (epoch_count, ingest, device_count) = (36, 37 + 40, 37 + 40 + 36);
    let (slot_count, slot_len, slot) = (device_count + 4 + 64, device_count + 4 + 64 + 4, device_count + 4 + 64 + 8);
    let slot_bytes = 16 + 1 + 1 + 4 + 32 + 1 + 84 + 8;
    let mac = slot + slot_bytes;
    assert_eq!(good.len(), mac + 64, "one slot, one device");
    let slot_summed = |bytes: &[u8]| {
        let body = &bytes[slot..slot + slot_bytes - 8];
        summed(&set(bytes, slot + slot_bytes - 8, &checksum(body)[..8]))
    };
    maker.refused("malformed", vector("other magic", &summed(&flip(&good, 0))));
    maker.refused("malformed", vector("version 0", &summed(&set(&good, 8, &[0, 0]))));
    maker.refused("newer", vector("version 3", &summed(&set(&good, 8, &[3, 0]))));
    maker.refused("malformed", vector("a reserved bit", &summed(&set(&good, 11, &[0x80]))));
    maker.refused("damaged", vector("a wrong checksum", &flip(&good, good.len() - 1)));
    maker.refused("damaged", vector("a flipped bit", &flip(&good, 20)));
    maker.refused("malformed", vector("no epoch", &summed(&set(&good, epoch_count, &[0]))));
    maker.refused("malformed", vector("three epochs", &summed(&set(&good, epoch_count, &[3]))));
    maker.refused("damaged", vector("another file version under the old MAC", &summed(&flip(&good, 28))));
    maker.refused("damaged", vector("another workspace", &summed(&flip(&good, 12))));
    maker.refused("damaged", vector("another epoch id", &summed(&flip(&good, epoch_count + 9))));
    maker.refused("damaged", vector("another ingest public half", &summed(&flip(&good, ingest + 4))));
    maker.refused("damaged", vector("another device", &summed(&flip(&good, device_count + 4))));
    maker.refused("limit", vector("257 devices", &summed(&set(&good, device_count, &257_u32.to_le_bytes()))));
    maker.refused("limit", vector("257 slots", &summed(&set(&good, slot_count, &257_u32.to_le_bytes()))));
    maker.refused("limit", vector("a slot of 1,025 bytes", &summed(&set(&good, slot_len, &1025_u32.to_le_bytes()))));
    maker.refused(
        "damaged",
        vector("a slot of another length", &summed(&set(&good, slot_len, &[slot_bytes as u8 - 1]))),
    );
    maker.refused("damaged", vector("a slot with a wrong checksum", &summed(&flip(&good, slot + 30))));
    let kind = |kind: u8| slot_summed(&set(&good, slot + 16, &[kind]));
    maker.refused("malformed", vector("a slot of kind 0", &kind(0)));
    maker.refused("malformed", vector("a slot of kind 7", &kind(7)));
    maker.refused("damaged", vector("a key-file slot that says device", &kind(6)));
    maker.refused("truncated", vector("a passphrase slot without parameters", &kind(2)));
    maker.refused("suite", vector("a slot of another suite", &slot_summed(&set(&good, slot + 17, &[2]))));
    maker.refused("wrong key", vector("another public half", &slot_summed(&flip(&good, slot + 22))));
    maker.refused("malformed", vector("an inner half without two factors", &slot_summed(&set(&good, slot + 54, &[1]))));
    maker.refused("malformed", vector("an inner half of neither 0 nor 1", &slot_summed(&set(&good, slot + 54, &[2]))));
    maker.refused("malformed", vector("a sealed key of 79 bytes", &slot_summed(&set(&good, slot + 55, &[79]))));
    maker.refused("limit", vector("a sealed key of 81 bytes", &slot_summed(&set(&good, slot + 55, &[81]))));
    maker.refused("damaged", vector("a changed sealed key", &slot_summed(&flip(&good, slot + 59 + 40))));
    maker.refused("damaged", vector("a changed encapsulated key", &slot_summed(&flip(&good, slot + 59))));
    maker.refused("damaged", vector("a MAC of zeros", &summed(&set(&good, mac, &[0; 32]))));
    let more = joined(&[&good[..mac], &[0], &good[mac..]]);
    maker.refused("malformed", vector("a byte between slots and MAC", &summed(&more)));
    let without = joined(&[&good[..mac], &good[mac + 32..]]);
    maker.refused("truncated", vector("no MAC", &summed(&without)));
    let no_slot = joined(&[&good[..slot_count], &[0; 4], &good[mac..]]);
    maker.refused("malformed", vector("no slot", &summed(&no_slot)));
    let twice = joined(&[&good[..slot_count], &[2, 0, 0, 0], &good[slot_len..mac], &good[slot_len..mac], &good[mac..]]);
    maker.refused("malformed", vector("a slot twice", &summed(&twice)));
    let device = &good[device_count + 4..slot_count];
    let twice = joined(&[&good[..device_count], &[2, 0, 0, 0], device, device, &good[slot_count..]]);
    maker.refused("malformed", vector("a device twice", &summed(&twice)));
    let two = sample(2).bytes();
    maker.refused("malformed", vector("an epoch twice", &summed(&set(&two, 37 + 40 + 8, &two[37 + 8..37 + 24]))));
    let wrong = |name: &str, secret: [u8; 32]| {
        Vector::named(name).bytes("bytes", &good).with("slot", "0").bytes("secret", &secret)
    };
    maker.refused("wrong key", wrong("another secret", [9; 32]));
    let mut params = sample(1);
    for (name, edit, outcome) in [
        ("Argon2 memory below the floor", (19 << 10) - 1, "malformed"),
        ("Argon2 memory of 4 GiB and a bit", (4 << 20) + 1, "limit"),
    ] {
        params.keyslots.slots[1].argon2.as_mut().expect("a passphrase").memory_kib = edit;
        maker.refused(outcome, vector(name, &params.bytes()));
    }
    let cost = Argon2Params { salt: [0x11; 16], memory_kib: 19 << 10, passes: 1, lanes: 1 };
    for (name, cost, outcome) in [
        ("Argon2 without passes", Argon2Params { passes: 0, ..cost }, "malformed"),
        ("Argon2 of 65 passes", Argon2Params { passes: 65, ..cost }, "limit"),
        ("Argon2 without lanes", Argon2Params { lanes: 0, ..cost }, "malformed"),
        ("Argon2 of 17 lanes", Argon2Params { lanes: 17, ..cost }, "limit"),
    ] {
        params.keyslots.slots[1].argon2 = Some(cost);
        maker.refused(outcome, vector(name, &params.bytes()));
    }
    let mut typed = Vector::named("another passphrase").bytes("bytes", &all).with("slot", "1");
    typed = typed.with("passphrase", "incorrect horse");
    maker.refused("wrong key", typed);
    maker.refused("truncated", vector("nothing", b""));
    maker.refused("truncated", vector("magic and version alone", &good[..10]));
    maker.refused("truncated", vector("no room for a checksum", &good[..30]));
    "keyslots files, each opened by the slot of a number and a secret (32 bytes) or passphrase, and its MACs checked.\n\
     Checksums of refused files are right where it is not the checksum that they are refused for."
}

/// The file with one key-file slot and one epoch in the form of version 2.
fn as_version_2(small: &Sample) -> Vec<u8> {
    let (good, slot) = (small.bytes(), &small.keyslots.slots[0]);
    let half = slot.halves[0].as_ref().expect("sealed");
    let mut body = joined(&[&slot.id.0, &[1, 1, 0, 0, 0, 0], &[1], &half.public.0, &half.sealed]);
    body.extend_from_slice(&checksum(&body)[..8]);
    let (slot_len, mac) = (37 + 40 + 36 + 4 + 64 + 4, good.len() - 64);
    let len = (body.len() as u32).to_le_bytes();
    summed(&joined(&[&set(&good[..slot_len], 8, &[2]), &len, &body, &good[mac..]]))
}

pub(super) fn key_file(maker: &mut Maker) -> &'static str {
    let vector = |name: &str, bytes: &[u8]| Vector::named(name).bytes("bytes", bytes);
    let file = |count: u8| {
        let entry = |fill: u8| KeyFileEntry {
            workspace: WorkspaceId([fill; 16]),
            slot: SlotId([0x40 + fill; 16]),
            epoch: EpochId([0x80 + fill; 16]),
            secret: Secret::new([0xc0 + fill; 32]),
        };
        KeyFile { entries: (1..=count).map(entry).collect() }.encode().expect("short").to_vec()
    };
    let good = file(1);
    maker.accepted(vector("one entry", &good));
    maker.accepted(vector("two entries", &file(2)));
    maker.accepted(vector("no entry", &file(0)));
    maker.refused("malformed", vector("other magic", &summed(&flip(&good, 7))));
    maker.refused("malformed", vector("version 0", &summed(&set(&good, 8, &[0]))));
    maker.refused("newer", vector("version 2", &summed(&set(&good, 8, &[2]))));
    maker.refused("newer", vector("version 257", &summed(&set(&good, 8, &[1, 1]))));
    maker.refused("malformed", vector("a reserved bit", &summed(&set(&good, 10, &[1]))));
    maker.refused("limit", vector("4,097 entries", &summed(&set(&good, 12, &4097_u32.to_le_bytes()))));
    maker.refused("truncated", vector("one entry fewer than it says", &summed(&set(&good, 12, &[2]))));
    maker.refused("malformed", vector("one entry more than it says", &summed(&set(&file(2), 12, &[1]))));
    maker.refused("damaged", vector("a changed secret", &flip(&good, 70)));
    maker.refused("damaged", vector("a changed checksum", &flip(&good, good.len() - 1)));
    maker.refused("malformed", vector("a byte more", &joined(&[&good, &[0]])));
    maker.refused("truncated", vector("a byte less", &good[..good.len() - 1]));
    maker.refused("truncated", vector("nothing", b""));
    "Key files. An accepted one gives workspace, slot, epoch and secret of each entry."
}

pub(super) fn mirror(maker: &mut Maker) -> &'static str {
    let vector = |name: &str, bytes: &[u8]| Vector::named(name).bytes("bytes", bytes);
    let good = Mirror { lineage: LineageId([1; 16]), counter: 0x0102_0304, sum: [2; 32] }.encode();
    maker.accepted(vector("a mirror", &good));
    maker.refused("malformed", vector("other magic", &summed(&flip(&good, 0))));
    maker.refused("malformed", vector("version 0", &summed(&set(&good, 8, &[0]))));
    maker.refused("newer", vector("version 2", &summed(&set(&good, 8, &[2]))));
    maker.refused("malformed", vector("a reserved bit", &summed(&set(&good, 10, &[1]))));
    maker.refused("damaged", vector("a changed counter", &flip(&good, 28)));
    maker.refused("damaged", vector("a changed checksum", &flip(&good, 68)));
    maker.refused("malformed", vector("a byte more", &joined(&[&good, &[0]])));
    maker.refused("truncated", vector("a byte less", &good[..99]));
    "Mirrors. An accepted one gives lineage, counter and sum."
}

pub(super) fn recovery_codes(maker: &mut Maker) -> &'static str {
    let vector = |name: &str, text: &str| Vector::named(name).with("text", text);
    let code = *b"\x00\x01\x02\x03\xff\xfe\xfd\x80\x7f\x10twenty byt";
    let text = format_recovery_code(&code);
    maker.accepted(vector("as it is written", &text));
    let typed = text.to_lowercase().replace('-', " ").replace('0', "o").replace('1', "l");
    maker.accepted(vector("in lower case, with o, l and spaces", &typed));
    maker.accepted(vector("in one piece, with I", &text.replace('-', "").replace('1', "I")));
    maker.refused("malformed", vector("a digit less", &text[..text.len() - 1]));
    maker.refused("malformed", vector("a digit more", &format!("{text}0")));
    maker.refused("malformed", vector("a changed digit", &text.replacen('Z', "Y", 1)));
    let last = if text.ends_with('0') { "1" } else { "0" };
    maker.refused("malformed", vector("a changed check digit", &format!("{}{last}", &text[..text.len() - 1])));
    maker.refused("malformed", vector("a letter that is no digit", &text.replacen('0', "U", 1)));
    maker.refused("malformed", vector("a passphrase", "correct horse battery staple"));
    "Recovery codes as text. An accepted one gives the code, the form in which it is written, and the slot's secret."
}
