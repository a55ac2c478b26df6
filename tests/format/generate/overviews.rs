//! Overviews.

use runcellar_format::WriterId;
use runcellar_format::block::ValueKind;
use runcellar_format::overview::{GroupIdentity, GroupSummary, Overview, SummaryPoint};

use super::{Maker, set};
use crate::support::Vector;

fn summary(number: u64, value: impl Fn(i64) -> u64) -> GroupSummary {
    let start = i64::try_from(number).expect("small") * 4096;
    let point = |row: i64| SummaryPoint { step: start + row, time: (start + row) * 1_000 + row % 7, value: value(row) };
    let group = GroupIdentity {
        writer: WriterId([7 + (number / 2) as u8; 16]),
        first_sequence: number * 4096 + 1,
        last_sequence: number * 4096 + 4096,
        rows: 4096,
    };
    GroupSummary { group, count: 4000, first: point(0), least: point(100), most: point(1_000), last: point(4_095) }
}

/// An overview of so many groups of floats.
pub(super) fn floats(groups: u64) -> Vec<u8> {
    let value = |number: u64| move |row: i64| (number as f64 / 4.0 + row as f64).to_bits();
    let groups = (0..groups).map(|number| summary(number, value(number))).collect();
    Overview { kind: ValueKind::Float, groups }.encode().expect("good")
}

pub(super) fn overviews(maker: &mut Maker) -> &'static str {
    let vector = |name: &str, bytes: &[u8]| Vector::named(name).bytes("bytes", bytes);
    let odd = [f64::NAN.to_bits(), f64::NEG_INFINITY.to_bits(), f64::INFINITY.to_bits(), 0x7ff0_0000_0000_0001];
    let of = |kind, value: fn(i64) -> u64| Overview { kind, groups: vec![summary(0, value)] }.encode().expect("good");
    let odd = Overview { kind: ValueKind::Float, groups: vec![summary(0, |row| odd[(row % 4) as usize])] };
    maker.accepted(vector("floats of two writers", &floats(3)));
    maker.accepted(vector("64 groups", &floats(64)));
    maker.accepted(vector("what is no number", &odd.encode().expect("good")));
    maker.accepted(vector("integers", &of(ValueKind::Int, |row| (i64::MIN + row).cast_unsigned())));
    maker.accepted(vector("truth values", &of(ValueKind::Bool, |row| (row % 2).cast_unsigned())));

    let good = of(ValueKind::Int, |row| row.cast_unsigned());
    let mut refused = |name: &str, outcome: &str, bytes: &[u8]| maker.refused(outcome, vector(name, bytes));
    // One group of one writer: lists of one number are constants, 13 bytes each.
    let list = |number: usize| 4 + 16 + 13 * number + 5;
    let number = |number: i64| number.to_le_bytes();
    refused("nothing", "truncated", &[]);
    refused("version 0", "malformed", &set(&good, 0, &[0]));
    refused("version 2", "newer", &set(&good, 0, &[2]));
    refused("text", "malformed", &set(&good, 1, &[4]));
    refused("no groups", "malformed", &set(&good, 2, &[0]));
    refused("65 groups", "malformed", &set(&good, 2, &[65]));
    refused("no writers", "limit", &set(&good, 3, &[0]));
    refused("a writer that is not there", "malformed", &set(&good, list(0), &number(1)));
    refused("a writer before the first", "malformed", &set(&good, list(0), &number(-1)));
    refused("sequences that fall", "malformed", &set(&good, list(1), &number(5_000)));
    refused("no rows", "malformed", &set(&good, list(3), &number(0)));
    refused("65,537 rows", "malformed", &set(&good, list(3), &number(65_537)));
    refused("no points", "malformed", &set(&good, list(4), &number(0)));
    refused("more points than rows", "malformed", &set(&good, list(4), &number(4_097)));
    refused("a smallest value before the first", "malformed", &set(&good, list(8), &number(-1)));
    refused("a largest value after the last", "malformed", &set(&good, list(11), &number(4_096)));
    refused("a truth value of 2", "malformed", &set(&set(&good, 1, &[3]), list(7), &number(2)));
    refused("a list of no form", "malformed", &set(&good, list(0) - 5, &[0]));
    refused("a list that is too long", "limit", &set(&good, list(0) - 4, &[9]));
    refused("cut short", "truncated", &good[..good.len() - 1]);
    refused("trailing bytes", "malformed", &[&good[..], &[0]].concat());
    "Overviews: the text of sealed objects of kind 22. Values are the bits of floats, integers, or 0 and 1."
}
