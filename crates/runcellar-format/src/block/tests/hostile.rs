//! Changed bytes end in values or errors, never in a panic.
//!
//! Everything below works on bytes that were good: their checks are passed, and pco and zstd get to see the damage.
//! Tests build pco with debug assertions and overflow checks, so that its slips are panics here. Numbers of changes
//! are small enough for each run of the tests; the fuzz targets go on from here.

use crate::block::tests::{Seeded, dense, group_of, read};
use crate::block::{Column, EncodedColumn, GroupMain, Level, Presence, Values, encode_column};

const ROWS: u32 = 700;

/// Columns of every form, and of every mode and delta of pco that the writer uses.
fn columns(level: Level) -> Vec<EncodedColumn> {
    let mut seeded = Seeded(11);
    let noise: Vec<f64> = (0..ROWS).map(|_| seeded.noise()).collect();
    let walk: Vec<f64> = noise
        .iter()
        .scan(0.0, |at, step| {
            *at += step;
            Some(*at)
        })
        .collect();
    let rounded = |scale: f64| walk.iter().map(|value| (value * scale).round() / scale).collect::<Vec<_>>();
    let single = |values: &[f64]| values.iter().map(|value| f64::from(*value as f32)).collect::<Vec<_>>();
    let integers = |scale: f64| walk.iter().map(|value| (value * scale) as i64).collect::<Vec<_>>();
    let all = [
        Values::Float(vec![0.25; ROWS as usize]),
        Values::Float(noise.clone()),
        Values::Float(walk.clone()),
        Values::Float(single(&noise)),
        Values::Float(rounded(1e3)),
        Values::Float(single(&rounded(1e2))),
        Values::Float(walk.iter().map(|value| value.round() / 3.0).collect()),
        Values::Float((0..ROWS).map(|row| noise[row as usize % 50]).collect()),
        Values::Float(noise.iter().map(|value| f64::from_bits(value.to_bits() >> 20 << 20)).collect()),
        Values::Int((0..ROWS).map(|row| i64::from(row) * 3).collect()),
        Values::Int(integers(30.0)),
        Values::Int(integers(1e12)),
        Values::Int(integers(30.0).iter().map(|value| value * 1_000_003).collect()),
        Values::Bool(noise.iter().map(|value| *value > 0.1).collect()),
        Values::Text((0..ROWS).map(|row| format!("line {row}")).collect()),
    ];
    let mut columns: Vec<EncodedColumn> = all.into_iter().map(|values| dense(values, level)).collect();
    let rows: Vec<u32> = (0..ROWS).filter(|row| noise[*row as usize] > 0.0).collect();
    let values = Values::Int(rows.iter().map(|row| i64::from(row % 7)).collect());
    let sparse = Column { series: 0, presence: Presence::Rows(rows), values };
    columns.push(encode_column(&sparse, ROWS, level).expect("a good column"));
    for (series, column) in (0..).zip(&mut columns) {
        column.series = series;
    }
    columns
}

/// Changes bytes as storage and enemies do: bits, bytes, runs, lengths.
fn mutate(seeded: &mut Seeded, bytes: &mut Vec<u8>) {
    for _ in 0..=seeded.below(3) {
        let at = seeded.below(bytes.len().max(1));
        let Some(byte) = bytes.get_mut(at) else { return };
        match seeded.below(8) {
            0..3 => *byte ^= 1 << seeded.below(8),
            3 => *byte = 0xff,
            4 => *byte = seeded.next().to_le_bytes()[0],
            5 => bytes.truncate(at),
            6 => {
                let end = bytes.len().min(at + 9);
                bytes[at..end].fill_with(|| seeded.next().to_le_bytes()[0]);
            }
            _ => bytes.insert(at, 0),
        }
    }
}

#[test]
fn changed_columns_end_in_values_or_errors() {
    let mut seeded = Seeded(21);
    let mut read_anyway = 0;
    for column in columns(Level::Fast).into_iter().chain(columns(Level::Best)) {
        let count = column.stats().count;
        for round in 0..600 {
            let mut bytes = column.bytes().to_vec();
            if round % 2 == 0 {
                // pco's tables and states come first, and steer all that follows.
                let head = bytes.len().min(40);
                let mut tail = bytes.split_off(head);
                mutate(&mut seeded, &mut bytes);
                bytes.append(&mut tail);
            } else {
                mutate(&mut seeded, &mut bytes);
            }
            let asked = if round % 5 == 0 { 1 + seeded.below(ROWS as usize) as u32 } else { count };
            let values = crate::block::column::decode_values(column.kind(), column.tag(), &bytes, asked);
            read_anyway += usize::from(values.is_ok());
        }
    }
    assert!(read_anyway > 100, "changes must not all stop at the first check: {read_anyway}");
}

#[test]
fn changed_main_parts_end_in_values_or_errors() {
    let good = group_of(columns(Level::Fast), ROWS, Level::Fast);
    assert!(read(&good.parts).is_ok());
    let mut seeded = Seeded(31);
    for _ in 0..1500 {
        let mut parts = good.parts.clone();
        mutate(&mut seeded, &mut parts[0]);
        drop(read(&parts));
    }
    for len in 0..good.parts[0].len().min(400) {
        assert!(GroupMain::decode(&good.parts[0][..len]).is_err());
    }
}

#[test]
fn each_bit_of_a_small_group_may_flip() {
    let values = |values: Vec<f64>| dense(Values::Float(values), Level::Best);
    let texts = (0..9).map(|row| format!("a text, the {row}th of some")).collect();
    let mut columns = vec![
        values((0..9).map(|row| f64::from(row * row) / 10.0).collect()),
        values((0..9).map(|row| f64::from((row as f32).sqrt())).collect()),
        dense(Values::Text(texts), Level::Best),
    ];
    for (series, column) in (0..).zip(&mut columns) {
        column.series = series;
    }
    let good = group_of(columns, 9, Level::Best);
    for at in 0..good.parts[0].len() {
        for bit in 0..8 {
            let mut parts = good.parts.clone();
            parts[0][at] ^= 1 << bit;
            drop(read(&parts));
        }
    }
}
