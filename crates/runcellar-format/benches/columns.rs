//! Size and speed of row groups: bytes a point, milliseconds a group.
//!
//! `cargo bench --bench columns -- FILE` takes real series: one JSON object a line with `kind`, `source`, `run`,
//! `metric` and `value`, an array of numbers or of "NaN" and "Infinity"; `.zst` is decompressed. Without a file it
//! makes series of like nature. The size mix is the longest series of each (source, metric), the 20 longest of these,
//! tiled to 10,000 steps and logged together every 200 us or so, in groups of 4,096 rows; all bytes are counted.
//! Figures quoted in the sources are from a virtual machine with two cores of an AMD EPYC, one used.
#![allow(clippy::print_stdout, reason = "a bench reports on standard output")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use runcellar_format::WriterId;
use runcellar_format::block::{
    Column, EncodedGroup, GroupMain, GroupRows, Level, Presence, Values, encode_column, encode_group,
};

const GROUP_ROWS: usize = 4096;
const MIX_SERIES: usize = 20;
const MIX_STEPS: usize = 10_000;
const ROUNDS: u32 = 5;

struct Series {
    kind: String,
    source: String,
    run: String,
    metric: String,
    values: Vec<f64>,
}

fn main() {
    let file = std::env::args().skip(1).find(|arg| !arg.starts_with("--"));
    let series = file.map_or_else(made_up, |path| read(&path));
    let mix = size_mix(&series);
    let points = (mix.len() * MIX_STEPS) as f64;
    for level in [Level::Fast, Level::Best] {
        println!("size mix at {level:?}:");
        let (mut parts, mut slowest) = (0, Duration::ZERO);
        let mut columns = vec![(0, String::new()); mix.len()];
        let mut reading = Duration::ZERO;
        for start in (0..MIX_STEPS).step_by(GROUP_ROWS) {
            let rows = start..MIX_STEPS.min(start + GROUP_ROWS);
            let tiled: Vec<Vec<f64>> = mix.iter().map(|one| tile(&one.values, rows.clone())).collect();
            let began = Instant::now();
            let mut group = encode(&tiled, start, level, &mut columns);
            for _ in 1..ROUNDS {
                group = encode(&tiled, start, level, &mut vec![(0, String::new()); mix.len()]);
            }
            slowest = slowest.max(began.elapsed() / ROUNDS);
            parts += group.parts.iter().map(Vec::len).sum::<usize>();
            reading = reading.max(decode(&group));
        }
        for (one, (bytes, tags)) in mix.iter().zip(&columns) {
            println!("  {:6.3} {} {}{tags}", *bytes as f64 / MIX_STEPS as f64, one.kind, one.metric);
        }
        let (write_ms, read_ms) = (slowest.as_secs_f64() * 1e3, reading.as_secs_f64() * 1e3);
        println!("  {:6.3} bytes a point, all included", parts as f64 / points);
        println!("  {write_ms:.1} ms to write and {read_ms:.1} ms to read the slowest group");
    }
    by_kind(&series);
}

fn encode(tiled: &[Vec<f64>], start: usize, level: Level, sizes: &mut [(usize, String)]) -> EncodedGroup {
    let rows = tiled.first().map_or(0, Vec::len);
    let steps: Vec<i64> = (start..start + rows).map(|step| step as i64).collect();
    // Jitter of up to 16 us, by a multiplicative hash of the step.
    let jitter = |step: i64| step.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64.cast_signed()).cast_unsigned() >> 60;
    let time = |step: &i64| 1_700_000_000_000_000 + step * 200 + jitter(*step).cast_signed();
    let times: Vec<i64> = steps.iter().map(time).collect();
    let mut columns = Vec::new();
    for (series, (values, size)) in tiled.iter().zip(sizes).enumerate() {
        let values = Values::Float(values.clone());
        let column = Column { series: series as u32, presence: Presence::Dense, values };
        let column = encode_column(&column, rows as u32, level).expect("a group within the limits");
        size.0 += column.bytes().len();
        size.1 += &format!(" {:?}", column.tag());
        columns.push(column);
    }
    let rows =
        GroupRows { writer: WriterId::NIL, first_sequence: 0, last_sequence: 1 << 20, steps: &steps, times: &times };
    encode_group(&rows, columns, level).expect("a group within the limits")
}

fn decode(group: &EncodedGroup) -> Duration {
    let began = Instant::now();
    let main = GroupMain::decode(&group.parts[0]).expect("just written");
    main.steps().and_then(|_| main.times()).expect("just written");
    for column in &main.columns {
        column.decode(group.parts.get(column.part as usize).map(Vec::as_slice)).expect("just written");
    }
    began.elapsed()
}

/// Prints bytes a point of the values alone, each series in groups of its own length.
fn by_kind(series: &[Series]) {
    let mut kinds: BTreeMap<&str, (usize, usize, [usize; 2])> = BTreeMap::new();
    for one in series {
        let entry = kinds.entry(&one.kind).or_default();
        entry.0 += 1;
        entry.1 += one.values.len();
        for values in one.values.chunks(GROUP_ROWS) {
            for (level, total) in [Level::Fast, Level::Best].into_iter().zip(&mut entry.2) {
                let column = Column { series: 0, presence: Presence::Dense, values: Values::Float(values.to_vec()) };
                *total += encode_column(&column, values.len() as u32, level).expect("in limits").bytes().len();
            }
        }
    }
    println!("by kind: series, points, bytes a point fast and best");
    for (kind, (count, points, [fast, best])) in kinds {
        let each = |bytes: usize| bytes as f64 / points as f64;
        println!("  {kind:18} {count:4} {points:7} {:6.3} {:6.3}", each(fast), each(best));
    }
}

fn size_mix(series: &[Series]) -> Vec<&Series> {
    let mut longest: BTreeMap<(&str, &str), &Series> = BTreeMap::new();
    let order =
        |one: &&Series| (usize::MAX - one.values.len(), one.source.clone(), one.run.clone(), one.metric.clone());
    for one in series {
        let best = longest.entry((&one.source, &one.metric)).or_insert(one);
        if order(&one) < order(best) {
            *best = one;
        }
    }
    let mut mix: Vec<&Series> = longest.into_values().collect();
    mix.sort_by_key(order);
    mix.truncate(MIX_SERIES);
    mix
}

fn tile(values: &[f64], rows: std::ops::Range<usize>) -> Vec<f64> {
    rows.map(|row| values[row % values.len()]).collect()
}

/// Reads series from a file of the one shape described above; this is no JSON parser.
fn read(path: &str) -> Vec<Series> {
    let mut bytes = std::fs::read(path).expect("a readable file");
    if path.ends_with(".zst") {
        bytes = zstd::decode_all(bytes.as_slice()).expect("a zstd file");
    }
    let text = String::from_utf8(bytes).expect("UTF-8");
    let field = |line: &str, name: &str, ends: char| {
        let start = line.find(&format!("\"{name}\":")).expect("a field") + name.len() + 3;
        let rest = line[start..].trim_start().trim_start_matches(['"', '[']);
        rest[..rest.find(ends).expect("an end")].to_owned()
    };
    let number = |word: &str| word.trim().trim_matches('"').parse::<f64>().expect("a number");
    let series = |line: &str| Series {
        kind: field(line, "kind", '"'),
        source: field(line, "source", '"'),
        run: field(line, "run", '"'),
        metric: field(line, "metric", '"'),
        values: field(line, "value", ']').split(',').filter(|word| !word.trim().is_empty()).map(number).collect(),
    };
    text.lines().map(series).filter(|one| !one.values.is_empty()).collect()
}

/// Makes 20 series: losses in four decimals and as 32-bit floats, accuracies, counters, means, schedules.
fn made_up() -> Vec<Series> {
    let mut state = 1_u64;
    let mut noise = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    };
    let mut series = Vec::new();
    for index in 0..MIX_SERIES {
        let mut mean = 0.0;
        let mut value = |step: usize| {
            let loss = 4.0 / (1.0 + step as f64 / 500.0) + 0.2 * noise();
            mean += (loss - mean) / 100.0;
            match index % 5 {
                0 => (loss * 1e4).round() / 1e4,
                1 => f64::from(loss as f32),
                2 => ((loss * 100.0).round() / 100.0).min(1.0),
                3 => step as f64,
                _ => mean,
            }
        };
        let values = (0..MIX_STEPS).map(&mut value).collect();
        let kind = ["decimal", "float32", "accuracy", "counter", "mean"][index % 5].to_owned();
        series.push(Series { kind, source: String::new(), run: String::new(), metric: format!("m{index:02}"), values });
    }
    series
}
