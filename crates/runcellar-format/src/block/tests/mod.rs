//! Tests of row groups through their own door.

mod forms;
mod hostile;
mod refusals;
mod round_trips;

use crate::block::{
    Column, EncodedColumn, EncodedGroup, GroupMain, GroupRows, Level, Presence, Values, encode_column, encode_group,
};
use crate::error::Result;
use crate::id::WriterId;

const WRITER: WriterId = WriterId([7; 16]);

/// Encodes a column that has a value in every row.
fn dense(values: Values, level: Level) -> EncodedColumn {
    let rows = u32::try_from(values.len()).expect("few rows");
    encode_column(&Column { series: 1, presence: Presence::Dense, values }, rows, level).expect("a good column")
}

/// Encodes columns over as many rows, with steps and times that are easily known again.
fn group(columns: &[Column], rows: u32, level: Level) -> EncodedGroup {
    let columns = columns.iter().map(|column| encode_column(column, rows, level).expect("a good column")).collect();
    group_of(columns, rows, level)
}

fn group_of(columns: Vec<EncodedColumn>, rows: u32, level: Level) -> EncodedGroup {
    let (steps, times) = steps_and_times(rows);
    let rows = GroupRows { writer: WRITER, first_sequence: 5, last_sequence: 900, steps: &steps, times: &times };
    encode_group(&rows, columns, level).expect("a good group")
}

fn steps_and_times(rows: u32) -> (Vec<i64>, Vec<i64>) {
    let steps: Vec<i64> = (0..i64::from(rows)).map(|row| 100 + row * 10).collect();
    let times = steps.iter().map(|step| 1_700_000_000_000_000 + step * 20 + step * step % 17).collect();
    (steps, times)
}

/// Decodes everything in a group.
fn read(parts: &[Vec<u8>]) -> Result<(Vec<i64>, Vec<i64>, Vec<Column>)> {
    let main = GroupMain::decode(&parts[0])?;
    let mut columns = Vec::new();
    for entry in &main.columns {
        let part = usize::try_from(entry.part).ok().and_then(|part| parts.get(part)).map(Vec::as_slice);
        let values = entry.decode(part)?;
        entry.stats()?;
        columns.push(Column { series: entry.series, presence: entry.presence()?, values });
    }
    Ok((main.steps()?, main.times()?, columns))
}

/// Tells whether two values are equal bit by bit, so that NaN equals itself and 0.0 does not equal -0.0.
fn same(left: &Values, right: &Values) -> bool {
    match (left, right) {
        (Values::Float(left), Values::Float(right)) => {
            let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            bits(left) == bits(right)
        }
        _ => left == right,
    }
}

/// A generator of the same numbers every time (SplitMix64).
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("below a usize")
    }

    /// Returns a float between -0.5 and 0.5.
    fn noise(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    }
}
