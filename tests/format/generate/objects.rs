//! Sealed objects, and derivations.

use runcellar_format::fuzz;
use runcellar_format::object::GRID_BYTES;
use runcellar_format::seal::OVERHEAD_BYTES;

use super::{Maker, flip, joined, set};
use crate::support::{Vector, hex};
use crate::vectors::derivation;

/// A sealed object with its key and place.
fn place(name: &str, sealed: &[u8]) -> Vector {
    Vector::named(name)
        .bytes("key id", &[9; 16])
        .bytes("key", &[8; 32])
        .bytes("workspace", &[1; 16])
        .with("kind", "3")
        .bytes("object", &[2; 16])
        .bytes("part", &[0; 16])
        .with("position", "3")
        .with("second position", "4")
        .bytes("device", &[5; 16])
        .with("sequence", "6")
        .bytes("sealed", sealed)
}

pub(super) fn remote_objects(maker: &mut Maker) -> &'static str {
    let room = GRID_BYTES as usize - OVERHEAD_BYTES;
    let seal = |plain: &[u8]| fuzz::key().seal([7; 24], &fuzz::place(), plain).into_bytes();
    let object = |plain: &[u8]| {
        let object = fuzz::key().seal_object([7; 24], &fuzz::place(), plain).expect("short");
        object.read().expect("in memory")
    };
    let good = object(b"learning rate");
    maker.accepted(place("a text of 13 bytes", &good));
    maker.accepted(place("a text that ends as the filling begins", &object(&[0, 0x80, 0x80, 0])));
    maker.accepted(place("a text that leaves room for one byte", &object(&vec![0xa5; room - 1])));
    maker.refused("malformed", place("off the grid: not filled up", &seal(b"learning rate")));
    maker.refused("malformed", place("off the grid: cut", &good[..4095]));
    maker.refused("malformed", place("zeros alone", &seal(&vec![0; room])));
    maker.refused("malformed", place("no end", &seal(&vec![0xa5; room])));
    maker.refused("malformed", place("a step of zeros too many", &seal(&joined(&[&[1, 0x80], &vec![0; room + 4094]]))));
    maker.refused("damaged", place("a changed filling", &flip(&good, 3000)));
    maker.refused("wrong key", place("another salt", &flip(&good, 20)));
    maker.refused("truncated", place("nothing", b""));
    "Sealed objects that are filled up to the size grid."
}

pub(super) fn seal(maker: &mut Maker) -> &'static str {
    let seal = |plain: &[u8]| fuzz::key().seal([7; 24], &fuzz::place(), plain).into_bytes();
    let good = seal(b"learning rate");
    maker.accepted(place("a text of 13 bytes", &good));
    maker.accepted(place("an empty text", &seal(b"")));
    maker.accepted(place("a text of one block and a byte", &seal(&[0xa5; 65])));
    for (name, at, outcome) in [
        ("other magic, first byte", 0, "malformed"),
        ("other magic, second byte", 1, "malformed"),
        ("another key id", 4, "wrong key"),
        ("another salt", 20, "wrong key"),
        ("last byte of the salt", 43, "wrong key"),
        ("another commitment", 44, "wrong key"),
        ("last byte of the commitment", 75, "wrong key"),
        ("a changed text", 76, "damaged"),
        ("last byte of the text", 88, "damaged"),
        ("a changed tag", 89, "damaged"),
        ("last byte of the tag", 104, "damaged"),
    ] {
        maker.refused(outcome, place(name, &flip(&good, at)));
    }
    maker.refused("malformed", place("version 0", &set(&good, 2, &[0])));
    maker.refused("newer", place("version 2", &set(&good, 2, &[2])));
    maker.refused("suite", place("suite 0", &set(&good, 3, &[0])));
    maker.refused("suite", place("suite 2", &set(&good, 3, &[2])));
    maker.refused("damaged", place("a byte more", &joined(&[&good, &[0]])));
    maker.refused("damaged", place("a byte less", &good[..good.len() - 1]));
    maker.refused("truncated", place("shorter than a tag", &good[..76 + 15]));
    maker.refused("truncated", place("a header alone", &good[..76]));
    maker.refused("truncated", place("nothing", b""));
    for (name, field, value) in [
        ("moved to another workspace", "workspace", hex(&[0; 16])),
        ("moved to another kind", "kind", "2".into()),
        ("moved to another object", "object", hex(&[3; 16])),
        ("moved to another part", "part", hex(&[1; 16])),
        ("moved to another position", "position", "4".into()),
        ("moved to another second position", "second position", "3".into()),
        ("of another device", "device", hex(&[6; 16])),
        ("of another sequence", "sequence", "5".into()),
    ] {
        let mut moved = place(name, &good);
        moved.0.iter_mut().filter(|(known, _)| known == field).for_each(|(_, old)| old.clone_from(&value));
        maker.refused("damaged", moved);
    }
    let mut wrong = place("another key of the same id", &good);
    wrong.0.iter_mut().filter(|(known, _)| known == "key").for_each(|(_, old)| *old = hex(&[9; 32]));
    maker.refused("wrong key", wrong);
    "Sealed objects: the owner key, the place, and the bytes. An accepted one gives its text."
}

pub(super) fn derivations() -> Vec<Vector> {
    let made = |vector: Vector| {
        let value = derivation(&vector);
        vector.with("value", value)
    };
    let of = |name: &str, of: &str| Vector::named(name).with("of", of);
    let secret = [3_u8; 32];
    vec![
        made(of("a pair", "pair").bytes("secret", &secret).bytes("salt", &[2; 16])),
        made(of("a pair of another salt", "pair").bytes("secret", &secret).bytes("salt", &[3; 16])),
        made(
            of("an epoch key sealed to a slot", "sealed to a pair")
                .bytes("secret", &secret)
                .bytes("salt", &[5; 16])
                .bytes("label", b"runcellar 1 slot")
                .bytes("place", &joined(&[&[1; 16], &[5; 16], &[1], &[4; 16]]))
                .bytes("text", &[0x20; 32])
                .bytes("ephemeral", &[6; 32]),
        ),
        made(of("a file of 2 MB", "cuts").with("seed", "00").with("length", "2000000")),
        made(of("a short file", "cuts").with("seed", "01").with("length", "32768")),
        made(
            of("a run", "lookup tag")
                .bytes("secret", &secret)
                .with("kind", "3")
                .bytes("parent", &[0; 16])
                .with("text", "3fk2"),
        ),
        made(
            of("a project", "lookup tag")
                .bytes("secret", &secret)
                .with("kind", "2")
                .bytes("parent", &[0; 16])
                .with("text", "3fk2"),
        ),
        made(
            of("columns ab, c", "hash of a row")
                .bytes("secret", &secret)
                .with("table", "object")
                .bytes("column", b"ab")
                .bytes("column", b"c"),
        ),
        made(
            of("columns a, bc", "hash of a row")
                .bytes("secret", &secret)
                .with("table", "object")
                .bytes("column", b"a")
                .bytes("column", b"bc"),
        ),
        made(of("a sum with a carry", "sum").bytes("add", &[0xff; 32]).bytes("add", &joined(&[&[2], &[0; 31]]))),
        made(of("a sum below zero", "sum").bytes("add", &[0; 32]).bytes("remove", &joined(&[&[1], &[0; 31]]))),
    ]
}
