//! Row groups.

use runcellar_format::block::{Column, EncodedGroup, GroupRows, Level, Presence, Values, encode_column, encode_group};
use runcellar_format::histogram::Histogram;
use runcellar_format::{MediaId, WriterId};

use super::{Maker, joined, set};
use crate::support::Vector;

pub(super) fn encoded(columns: &[Column], rows: u32) -> EncodedGroup {
    let steps: Vec<i64> = (0..i64::from(rows)).map(|row| 100 + row * 10).collect();
    let times: Vec<i64> = steps.iter().map(|step| 1_700_000_000_000_000 + step * 20 + step * step % 17).collect();
    let columns = columns.iter().map(|column| encode_column(column, rows, Level::Best).expect("good")).collect();
    let writer = WriterId([7; 16]);
    let rows = GroupRows { writer, first_sequence: 5, last_sequence: 900, steps: &steps, times: &times };
    encode_group(&rows, columns, Level::Best).expect("a good group")
}

pub(super) fn columns(rows: u32) -> Vec<Column> {
    let walk: Vec<f64> = (0..rows)
        .scan(0.0, |at, row| {
            *at += f64::from(row * 7919 % 1009) / 1009.0 - 0.5;
            Some(*at)
        })
        .collect();
    let dense = |series: u32, values: Values| Column { series, presence: Presence::Dense, values };
    let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, f64::from_bits(0x7ff0_0000_0000_0001), 1e300];
    let some: Vec<u32> = (0..rows).filter(|row| row % 10 == 3).collect();
    vec![
        dense(0, Values::Float(vec![0.1; rows as usize])),
        dense(1, Values::Float(walk.iter().map(|value| (value * 100.0).round() / 100.0).collect())),
        dense(2, Values::Float(walk.iter().map(|value| f64::from((*value / 3.0) as f32)).collect())),
        dense(3, Values::Float(walk.iter().map(|value| value / 3.0).collect())),
        dense(4, Values::Float((0..rows as usize).map(|row| odd[row % 6]).collect())),
        dense(5, Values::Int((0..rows).map(|row| i64::from(row) * 3 - 7).collect())),
        dense(5, Values::Text((0..rows).map(|row| format!("line {row}")).collect())),
        dense(6, Values::Int(walk.iter().map(|value| (value * 1e6) as i64).collect())),
        dense(7, Values::Int((0..rows as usize).map(|row| [i64::MIN, i64::MAX, 0][row % 3]).collect())),
        dense(8, Values::Bool(walk.iter().map(|value| *value > 0.0).collect())),
        dense(9, Values::Text(vec!["same".into(); rows as usize])),
        Column {
            series: 10,
            presence: Presence::Rows(some.clone()),
            values: Values::Float(some.iter().map(|row| f64::from(*row) / 4.0).collect()),
        },
        Column {
            series: 11,
            presence: Presence::Rows(some.clone()),
            values: Values::Bool(some.iter().map(|row| row % 20 == 3).collect()),
        },
    ]
}

/// A column of histograms whose edges change once, and a histogram here and there.
fn histograms(rows: u32) -> Vec<Column> {
    let one = |row: u32| {
        let (bins, from) = (10 + row / 12, f64::from(row / 12));
        let edges = (0..=bins).map(|edge| from + f64::from(edge) / 4.0).collect();
        let counts = (0..bins).map(|bin| f64::from((row * 31 + bin * 17) % 97)).collect();
        Histogram::new(edges, counts).expect("a histogram")
    };
    let some: Vec<u32> = (0..rows).filter(|row| row % 10 == 3).collect();
    let wide = Histogram::new(vec![f64::NEG_INFINITY, -0.0, f64::INFINITY], vec![0.5, 1e300]).expect("a histogram");
    vec![
        Column { series: 0, presence: Presence::Dense, values: Values::Histogram((0..rows).map(one).collect()) },
        Column { series: 1, presence: Presence::Rows(some.clone()), values: Values::Histogram(vec![wide; some.len()]) },
    ]
}

pub(super) fn groups(maker: &mut Maker) -> &'static str {
    let vector = |name: &str, parts: &[Vec<u8>]| {
        parts.iter().fold(Vector::named(name), |vector, part| vector.bytes("part", part))
    };
    let example = crate::document::row_group_example();
    maker.accepted(vector("the example of docs/FORMAT.md", std::slice::from_ref(&example)));
    maker.accepted(vector("every form, 20 rows", &encoded(&columns(20), 20).parts));
    maker.accepted(vector("every form, with parts", &encoded(&columns(400), 400).parts));
    maker.accepted(vector("no columns", &encoded(&[], 3).parts));
    maker.accepted(vector("histograms", &encoded(&histograms(20), 20).parts));
    maker.accepted(vector("histograms, with parts", &encoded(&histograms(40), 40).parts));

    let main = |name: &str, outcome: &str, bytes: &[u8], maker: &mut Maker| {
        maker.refused(outcome, vector(name, &[bytes.to_vec()]));
    };
    // Offsets in the example.
    let (rows, sequences, steps, times, presences, columns_at, entry) = (18, 22, 38, 51, 64, 68, 72);
    main("version 0", "malformed", &set(&example, 0, &[0]), maker);
    main("version 2", "newer", &set(&example, 0, &[2]), maker);
    main("a flag", "malformed", &set(&example, 1, &[1]), maker);
    main("no rows", "malformed", &set(&example, rows, &[0]), maker);
    main("65,537 rows", "limit", &set(&example, rows, &65_537_u32.to_le_bytes()), maker);
    main("sequences that fall", "malformed", &set(&example, sequences, &[10]), maker);
    main("steps of no form", "malformed", &set(&example, steps, &[0]), maker);
    main("steps in the form of histograms", "malformed", &set(&example, steps, &[12]), maker);
    main("steps of a reserved form", "malformed", &set(&example, steps, &[13]), maker);
    main("steps in the form of floats", "malformed", &set(&example, steps, &[8]), maker);
    main("steps of more bytes than plain ones", "limit", &set(&example, steps + 1, &[33]), maker);
    main("times cut short", "malformed", &set(&example, times + 1, &[7]), maker);
    main("a presence that is not there", "limit", &set(&example, presences, &[1]), maker);
    main("65,537 presences", "limit", &set(&example, presences, &65_537_u32.to_le_bytes()), maker);
    main("65,537 columns", "limit", &set(&example, columns_at, &65_537_u32.to_le_bytes()), maker);
    main("a column that is not there", "truncated", &set(&example, columns_at, &[2]), maker);
    main("a column of kind 0", "malformed", &set(&example, entry + 4, &[0]), maker);
    main("integers as histograms", "malformed", &set(&example, entry + 4, &[5]), maker);
    main("integers as media", "truncated", &set(&example, entry + 4, &[6]), maker);
    main("a column of kind 7", "malformed", &set(&example, entry + 4, &[7]), maker);
    main("a column of no form", "malformed", &set(&example, entry + 5, &[14]), maker);
    main("an int column of bits", "malformed", &set(&example, entry + 5, &[10]), maker);
    main("a progression of one number", "truncated", &set(&example, entry + 5, &[2]), maker);
    main("a presence out of order", "malformed", &set(&example, entry + 6, &[2]), maker);
    main("a presence of which there is none", "malformed", &set(&example, entry + 6, &[1]), maker);
    main("a column over 65 MiB", "limit", &set(&example, entry + 10, &((65_u32 << 20) + 1).to_le_bytes()), maker);
    main("a constant of 7 bytes", "malformed", &set(&example, entry + 10, &[7]), maker);
    main("a byte more", "malformed", &joined(&[&example, &[0]]), maker);
    main("a byte less", "truncated", &example[..example.len() - 1], maker);
    main("nothing", "truncated", b"", maker);
    let twice = joined(&[&set(&example, columns_at, &[2]), &example[entry..]]);
    main("a column twice", "malformed", &twice, maker);

    let one = |values: Values, tag: u8, bytes: &[u8]| {
        let presence = Presence::Dense;
        let kind = values.kind() as u8;
        let count = u32::try_from(values.len()).expect("few");
        let main = encoded(&[Column { series: 0, presence, values }], count).parts.remove(0);
        let at = main.len() - {
            let len_at = main.windows(10).rposition(|window| window[..5] == [0, 0, 0, 0, kind]).expect("the entry");
            main.len() - len_at
        };
        let len = u32::try_from(bytes.len()).expect("short").to_le_bytes();
        joined(&[&main[..at + 5], &[tag], &[0; 4], &len, bytes])
    };
    let floats = || Values::Float(vec![1.0, 2.5, 3.0]);
    let flags = || Values::Bool(vec![true, false, true]);
    let lines = || Values::Text(vec!["a".into(), "b".into(), "c".into()]);
    let ints = || Values::Int(vec![1, 5, 3]);
    maker.accepted(vector("plain ints", &[one(ints(), 9, &[[1; 8], [2; 8], [3; 8]].concat())]));
    let pictures = || Values::Media([7, 8, 7].map(|byte| MediaId([byte; 16])).to_vec());
    maker.accepted(vector("media", &[one(pictures(), 13, &[[7; 16], [8; 16], [7; 16]].concat())]));
    maker.accepted(vector("one media file three times", &[one(pictures(), 1, &[7; 16])]));
    main("media of 15 bytes", "truncated", &one(pictures(), 1, &[7; 15]), maker);
    main("media with a byte more", "malformed", &one(pictures(), 13, &[7; 49]), maker);
    main("plain media", "malformed", &one(pictures(), 9, &[7; 48]), maker);
    main("texts in the form of media", "malformed", &one(lines(), 13, &[7; 48]), maker);
    maker.accepted(vector("bits", &[one(flags(), 10, &[0b101])]));
    main("bits with a bit too many", "malformed", &one(flags(), 10, &[0b1101]), maker);
    main("bits of two bytes", "malformed", &one(flags(), 10, &[0b101, 0]), maker);
    main("a constant bool of 2", "malformed", &one(flags(), 1, &[2]), maker);
    main("plain bools", "malformed", &one(flags(), 9, &[1, 0, 1]), maker);
    main("plain floats with a byte more", "malformed", &one(floats(), 9, &[0; 25]), maker);
    main("plain floats with a byte less", "truncated", &one(floats(), 9, &[0; 23]), maker);
    main("a progression without a delta", "malformed", &one(ints(), 2, &[0; 16]), maker);
    main("a progression of 17 bytes", "malformed", &one(ints(), 2, &[1; 17]), maker);
    let decimals = |exponent: u8, tag: u8, integers: &[i64]| {
        let bytes: Vec<u8> = integers.iter().flat_map(|integer| integer.to_le_bytes()).collect();
        one(floats(), 5, &joined(&[&[exponent, tag], &bytes]))
    };
    let special = (1_i64 << 53) + 4;
    maker.accepted(vector("decimals with a NaN", &[decimals(2, 9, &[1, -250, special])]));
    main("decimals of exponent 10", "malformed", &decimals(10, 9, &[1, 2, 3]), maker);
    main("decimals whose exponent is not the least", "malformed", &decimals(1, 9, &[10, -20, special]), maker);
    main("decimals of a constant", "malformed", &decimals(0, 1, &[1]), maker);
    main("decimals of an integer that is no float", "malformed", &decimals(0, 9, &[1, 2, special + 1]), maker);
    main("decimals of -2^53 - 1", "malformed", &decimals(0, 9, &[1, 2, -(1 << 53) - 1]), maker);
    main("decimals of decimals", "malformed", &decimals(0, 5, &[1, 2, 3]), maker);
    main("no decimals", "truncated", &one(floats(), 5, &[]), maker);
    for (name, bytes) in [
        ("pco of another version", &[4, 0, 0][..]),
        ("pco with a dictionary", &[4, 1, 4, 0, 0, 0]),
        ("pco with a convolution", &[4, 1, 0x30, 0, 0, 0]),
        ("pco that looks back too far", &[4, 1, 0x20, 16, 0, 0]),
        ("pco cut short", &[4, 1, 0]),
    ] {
        main(name, "malformed", &one(floats(), 8, bytes), maker);
    }
    maker.accepted(vector("plain texts", &[one(lines(), 9, b"\x01\0\0\0\0\0\0\0\x02\0\0\0abc")]));
    main("texts with a byte more", "malformed", &one(lines(), 9, b"\x01\0\0\0\0\0\0\0\x02\0\0\0abcd"), maker);
    main("texts with a byte less", "truncated", &one(lines(), 9, b"\x01\0\0\0\0\0\0\0\x02\0\0\0ab"), maker);
    main("a text over 4 MiB", "limit", &one(lines(), 9, b"\x01\0\x40\0\0\0\0\0\0\0\0\0"), maker);
    let split = joined(&[b"\x01\0\0\0\x01\0\0\0\0\0\0\0", "\u{e9}".as_bytes()]);
    main("texts that are UTF-8 only together", "malformed", &one(lines(), 9, &split), maker);
    main("texts that are no zstd frame", "malformed", &one(lines(), 11, b"\x28\xb5\x2f\xfd"), maker);

    let big = encoded(&columns(400), 400).parts;
    let mut parts = big.clone();
    parts.swap(1, 2);
    maker.refused("malformed", vector("two parts swapped", &parts));
    let mut parts = big.clone();
    parts[1].pop();
    maker.refused("malformed", vector("a part of another length", &parts));
    let mut parts = big.clone();
    parts.pop();
    maker.refused("malformed", vector("a part that is not there", &parts));
    let mut parts = big;
    let at = parts[1].len() - 1;
    parts[1][at] ^= 0x40;
    maker.refused("malformed", vector("a part whose values are not those of its figures", &parts));
    "Row groups, all parts. An accepted one gives everything in it, floats as their bits."
}
