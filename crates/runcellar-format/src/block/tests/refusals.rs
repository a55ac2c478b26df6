//! What no writer makes is refused, each field in its turn.

use crate::block::tests::{WRITER, dense, group_of, read};
use crate::block::{
    COLUMNS_MAX, Column, GroupMain, GroupRows, Level, PART_BYTES_MAX, Presence, ROWS_MAX, TEXT_BYTES_MAX,
    TEXT_VALUE_BYTES_MAX, Tag, ValueKind, Values, encode_column, encode_group,
};
use crate::codec::Writer;
use crate::error::{FormatError, Result};
use crate::histogram::Histogram;
use crate::id::MediaId;

const ROWS: u32 = 4;

/// Writes the main part up to and with the times, of [`ROWS`] rows.
fn rows() -> Writer {
    let mut main = Writer::default();
    main.u8(1).u8(0).raw(WRITER.as_bytes()).u32(ROWS).u64(5).u64(9);
    for _ in 0..2 {
        main.u8(Tag::Constant as u8).u32(8).i64(77);
    }
    main
}

/// Writes a whole main part with one dense column, whose bytes stand inline.
fn column(kind: u8, tag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut main = rows();
    main.u32(0).u32(1).u32(3).u8(kind).u8(tag).u32(0);
    main.bytes("column", bytes, PART_BYTES_MAX).expect("short").as_slice().to_vec()
}

fn decode_column(kind: ValueKind, tag: Tag, bytes: &[u8]) -> Result<Values> {
    let main = column(kind as u8, tag as u8, bytes);
    let main = GroupMain::decode(&main)?;
    main.columns[0].decode(None)
}

#[track_caller]
fn assert_malformed<T: std::fmt::Debug>(result: Result<T>, expected: &str) {
    match result {
        Err(FormatError::Malformed { reason, .. }) => assert!(reason.contains(expected), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_hand_made_main_part_is_good() {
    let bytes = column(ValueKind::Int as u8, Tag::Constant as u8, &8_i64.to_le_bytes());
    let main = GroupMain::decode(&bytes).expect("good");
    assert_eq!(main.columns[0].decode(None), Ok(Values::Int(vec![8; 4])));
    let rows = GroupRows { writer: WRITER, first_sequence: 5, last_sequence: 9, steps: &[77; 4], times: &[77; 4] };
    let written = encode_column(
        &Column { series: 3, presence: Presence::Dense, values: Values::Int(vec![8; 4]) },
        ROWS,
        Level::Fast,
    );
    let written = encode_group(&rows, vec![written.expect("a good column")], Level::Fast);
    assert_eq!(written.expect("a good group").parts, [bytes]);
}

#[test]
fn every_version_flag_and_count_of_the_header_is_checked() {
    let good = column(ValueKind::Int as u8, Tag::Constant as u8, &8_i64.to_le_bytes());
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = good.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    };
    let newer = FormatError::NewerVersion { what: "row group", found: 2, newest: 1 };
    assert_eq!(GroupMain::decode(&with(0, &[2])).err(), Some(newer));
    assert_malformed(GroupMain::decode(&with(0, &[0])), "version 0");
    for bit in 0..8 {
        assert_malformed(GroupMain::decode(&with(1, &[1 << bit])), "flags");
    }
    assert_malformed(GroupMain::decode(&with(18, &0_u32.to_le_bytes())), "no rows");
    let found = ROWS_MAX + 1;
    let limit = FormatError::Limit { what: "rows of a group", found: found.into(), limit: ROWS_MAX.into() };
    assert_eq!(GroupMain::decode(&with(18, &found.to_le_bytes())).err(), Some(limit));
    assert_malformed(GroupMain::decode(&with(30, &4_u64.to_le_bytes())), "sequence numbers fall");
    let columns_at = 38 + 2 * 13 + 4;
    let limit = GroupMain::decode(&with(columns_at, &(COLUMNS_MAX + 1).to_le_bytes())).map(|_| ());
    assert!(matches!(limit, Err(FormatError::Limit { .. })));
    let many = GroupMain::decode(&with(columns_at, &COLUMNS_MAX.to_le_bytes())).map(|_| ());
    assert!(matches!(many, Err(FormatError::Truncated { .. })));
}

#[test]
fn trailing_and_missing_bytes_are_refused_in_each_place() {
    let good = column(ValueKind::Int as u8, Tag::Constant as u8, &8_i64.to_le_bytes());
    assert_malformed(GroupMain::decode(&[&good[..], &[0]].concat()), "trailing bytes");
    for len in 0..good.len() {
        assert!(GroupMain::decode(&good[..len]).is_err(), "{len}");
    }
    let noise: Vec<f64> = (0..4).map(|row| f64::from(row).sin()).collect();
    let texts: Vec<String> = (0..4).map(|row| format!("{row} a text that is long {}", "x".repeat(99))).collect();
    for values in [
        Values::Float(noise),
        Values::Float(vec![0.1, 0.2, 0.4, 0.9]),
        Values::Float(vec![2.0; 4]),
        Values::Int(vec![1, 2, 3, 4]),
        Values::Int(vec![1, 2, 3, 4 << 40]),
        Values::Bool(vec![true, false, true, true]),
        Values::Bool(vec![true; 4]),
        Values::Text(texts),
        Values::Text(["a", "b", "c", ""].map(String::from).to_vec()),
    ] {
        let encoded = dense(values, Level::Best);
        let decode = |bytes: &[u8]| decode_column(encoded.kind(), encoded.tag(), bytes);
        assert!(decode(encoded.bytes()).is_ok());
        assert!(decode(&[encoded.bytes(), &[0]].concat()).is_err(), "{:?}", encoded.tag());
        assert!(decode(&encoded.bytes()[1..]).is_err(), "{:?}", encoded.tag());
    }
}

#[test]
fn histograms_are_refused_where_their_parts_do_not_fit() {
    let one = |edges: &[f64], counts: &[f64]| Histogram::new(edges.into(), counts.into()).expect("a histogram");
    let values = vec![
        one(&[0.0, 1.0], &[2.0]),
        one(&[0.0, 1.0, 2.0], &[3.0, 4.0]),
        one(&[0.0, 1.0], &[5.0]),
        one(&[0.0, 1.0], &[6.0]),
    ];
    let decode = |bytes: &[u8]| decode_column(ValueKind::Histogram, Tag::Histogram, bytes);
    // By hand, all in the plain form: two lists of edges, of 1 and 2 bins; which one each has; edges; counts.
    let plain = |numbers: &[f64]| numbers.iter().flat_map(|number| number.to_bits().to_le_bytes()).collect::<Vec<u8>>();
    let which: Vec<u8> = [0_i64, 1, 0, 0].iter().flat_map(|number| number.to_le_bytes()).collect();
    let edges = plain(&[0.0, 1.0, 0.0, 1.0, 2.0]);
    let counts = plain(&[2.0, 3.0, 4.0, 5.0, 6.0]);
    let tag = Tag::Plain as u8;
    let good = [
        &[2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, tag, 32, 0, 0, 0][..],
        &which,
        &[tag, 40, 0, 0, 0],
        &edges,
        &[tag],
        &counts,
    ]
    .concat();
    assert_eq!(decode(&good), Ok(Values::Histogram(values)));
    let (known, bins, which) = (0, 4, 17);
    let set = |at: usize, value: &[u8]| {
        let mut bytes = good.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        bytes
    };
    assert_malformed(decode(&set(known, &[5, 0, 0, 0])), "more edges than histograms");
    assert!(decode(&set(known, &[1, 0, 0, 0])).is_err());
    assert!(decode(&set(bins, &[0, 0, 0, 0])).is_err(), "a histogram without bins");
    assert!(matches!(decode(&set(bins, &[1, 16, 0, 0])), Err(FormatError::Limit { .. })));
    assert_malformed(decode(&set(which, &[1])), "by first use");
    assert_malformed(decode(&set(which + 8, &[0])), "no histogram uses");
    assert!(decode(&set(which + 8, &[2])).is_err());
    assert!(decode(&set(which + 15, &[0x80])).is_err(), "a negative number");
}

#[test]
fn references_to_media_are_sixteen_bytes_each() {
    let decode = |tag, bytes: &[u8]| crate::block::column::decode_values(ValueKind::Media, tag, bytes, 3);
    assert_eq!(decode(Tag::Constant, &[7; 16]), Ok(Values::Media(vec![MediaId([7; 16]); 3])));
    assert!(decode(Tag::Media, &[7; 48]).is_ok());
    for (tag, len) in
        [(Tag::Constant, 15), (Tag::Constant, 17), (Tag::Constant, 48), (Tag::Media, 47), (Tag::Media, 49)]
    {
        assert!(decode(tag, &vec![7; len]).is_err(), "{tag:?} of {len} bytes");
    }
}

#[test]
fn unknown_kinds_and_tags_are_refused_by_name() {
    for kind in [0, 7, 255] {
        assert_malformed(GroupMain::decode(&column(kind, Tag::Plain as u8, &[0; 32])), "unknown");
    }
    for tag in [0, 14, 255] {
        assert_malformed(GroupMain::decode(&column(1, tag, &[0; 32])), "unknown");
    }
    for (kind, tag) in [
        (ValueKind::Float, Tag::Arithmetic),
        (ValueKind::Float, Tag::Integer),
        (ValueKind::Float, Tag::Bits),
        (ValueKind::Int, Tag::Float64),
        (ValueKind::Int, Tag::Decimal),
        (ValueKind::Bool, Tag::Plain),
        (ValueKind::Text, Tag::Bits),
        (ValueKind::Float, Tag::Histogram),
        (ValueKind::Histogram, Tag::Constant),
        (ValueKind::Media, Tag::Plain),
        (ValueKind::Text, Tag::Media),
    ] {
        assert_malformed(decode_column(kind, tag, &[0; 32]), "tag is not one of");
    }
}

#[test]
fn presences_are_some_rows_written_once_in_order_and_used() {
    let with = |presences: &[(u32, &[i64])], columns: &[u32]| {
        let mut main = rows();
        main.u32(u32::try_from(presences.len()).expect("few"));
        for (count, indexes) in presences {
            let bytes: Vec<u8> = indexes.iter().flat_map(|index| index.to_le_bytes()).collect();
            main.u32(*count).u8(Tag::Plain as u8).bytes("rows", &bytes, 99).expect("short");
        }
        main.u32(u32::try_from(columns.len()).expect("few"));
        for (series, presence) in (0..).zip(columns) {
            main.u32(series).u8(3).u8(Tag::Constant as u8).u32(*presence).u32(1).u8(1);
        }
        read(&[main.into_vec()]).map(|(_, _, columns)| columns.len())
    };
    assert_eq!(with(&[(2, &[0, 3]), (1, &[1])], &[1, 0, 2, 1]), Ok(4));
    assert_malformed(with(&[(0, &[])], &[1]), "no rows, or of all");
    assert_malformed(with(&[(4, &[0, 1, 2, 3])], &[1]), "no rows, or of all");
    assert_malformed(with(&[(2, &[0, 3]), (2, &[0, 3])], &[1, 2]), "written twice");
    assert_malformed(with(&[(2, &[0, 3]), (1, &[1])], &[2, 1]), "numbered by first use");
    assert_malformed(with(&[(2, &[0, 3]), (1, &[1])], &[1, 1]), "no column uses");
    assert_malformed(with(&[(2, &[0, 3])], &[1, 2]), "presence number is unknown");
    assert_malformed(with(&[(2, &[3, 0])], &[1]), "rising");
    assert_malformed(with(&[(2, &[3, 3])], &[1]), "rising");
    assert_malformed(with(&[(2, &[0, 4])], &[1]), "below the number of rows");
    assert_malformed(with(&[(2, &[-1, 3])], &[1]), "out of range");
    assert_malformed(with(&[(2, &[0, 1 << 32])], &[1]), "out of range");
}

#[test]
fn columns_rise_by_series_and_kind() {
    let with = |columns: &[(u32, u8)]| {
        let mut main = rows();
        main.u32(0).u32(u32::try_from(columns.len()).expect("few"));
        for (series, kind) in columns {
            main.u32(*series).u8(*kind).u8(Tag::Constant as u8).u32(0).u32(0);
        }
        GroupMain::decode(main.as_slice()).map(|main| main.columns.len())
    };
    assert_eq!(with(&[(1, 1), (1, 2), (2, 1)]), Ok(3));
    for columns in [[(1, 1), (1, 1)], [(2, 1), (1, 1)], [(1, 2), (1, 1)]] {
        assert_malformed(with(&columns), "do not rise");
    }
}

#[test]
fn a_part_is_the_one_that_the_main_part_tells_of() {
    let noise = |add: f64| Values::Float((0..300).map(|row| (f64::from(row) + add).sin()).collect());
    let group = group_of(vec![dense(noise(0.0), Level::Fast)], 300, Level::Fast);
    let other = group_of(vec![dense(noise(0.5), Level::Fast)], 300, Level::Fast);
    let main = GroupMain::decode(&group.parts[0]).expect("just written");
    let entry = &main.columns[0];
    let part = &group.parts[1];
    assert_eq!(entry.part, 1);
    assert!(entry.decode(Some(part)).is_ok());
    assert_malformed(entry.decode(None), "was not given");
    assert_malformed(entry.decode(Some(&part[1..])), "another length");
    let mut longer = other.parts[1].clone();
    longer.resize(part.len(), 0);
    assert!(entry.decode(Some(&longer)).is_err());
    // Of the same length and good in itself, but not what the figures are of.
    let mut main = group.parts[0].clone();
    let last_value = main.len() - 16;
    main[last_value] ^= 1;
    let main = GroupMain::decode(&main).expect("figures are any");
    assert_malformed(main.columns[0].decode(Some(part)), "not those of its figures");
}

#[test]
fn within_a_form_only_what_the_writer_makes_is_taken() {
    let pair = |start: i64, delta: i64| [start.to_le_bytes(), delta.to_le_bytes()].concat();
    let decimal = |exponent: u8, inner: Tag, integers: [i64; 4]| {
        let bytes: Vec<u8> = integers.iter().flat_map(|integer| integer.to_le_bytes()).collect();
        [&[exponent, inner as u8], &bytes[..]].concat()
    };
    let float = |bytes: &[u8]| decode_column(ValueKind::Float, Tag::Decimal, bytes);
    assert_malformed(decode_column(ValueKind::Int, Tag::Arithmetic, &pair(1, 0)), "without a delta");
    assert_eq!(float(&decimal(1, Tag::Plain, [10, 21, 30, 0])), Ok(Values::Float(vec![1.0, 2.1, 3.0, 0.0])));
    assert_malformed(float(&decimal(1, Tag::Plain, [10, 20, 30, 0])), "not the least");
    assert_malformed(float(&decimal(10, Tag::Plain, [10, 21, 30, 0])), "above 9");
    assert_malformed(float(&decimal(1, Tag::Plain, [(1 << 53) + 5, 21, 30, 0])), "stands for no float");
    assert_malformed(float(&decimal(1, Tag::Plain, [i64::MIN, 21, 30, 0])), "stands for no float");
    assert_malformed(float(&[&[0, Tag::Constant as u8], &8_i64.to_le_bytes()[..]].concat()), "all the same");
    assert_malformed(float(&decimal(1, Tag::Decimal, [10, 21, 30, 0])), "not one of integers");
    for bit in 4..8 {
        assert_malformed(decode_column(ValueKind::Bool, Tag::Bits, &[1 << bit]), "unused bits");
    }
    assert_malformed(decode_column(ValueKind::Bool, Tag::Constant, &[2]), "neither 0 nor 1");
    assert_malformed(decode_column(ValueKind::Text, Tag::Constant, &[0xff]), "UTF-8");
    // Two texts that are UTF-8 only together.
    let split = [&[1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], "\u{e9}".as_bytes()].concat();
    assert_malformed(decode_column(ValueKind::Text, Tag::Plain, &split), "UTF-8");
}

#[test]
fn compressed_text_is_one_frame_that_tells_its_length() {
    let plain = [&[1, 0, 0, 0].repeat(4)[..], b"abcd"].concat();
    let frame = zstd::bulk::compress(&plain, 3).expect("compresses");
    let text = |bytes: &[u8]| decode_column(ValueKind::Text, Tag::Text, bytes);
    assert!(text(&frame).is_ok());
    assert_malformed(text(&[&frame[..], &frame[..]].concat()), "one whole zstd frame");
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0];
    assert_malformed(text(&[&skippable[..], &frame[..]].concat()), "one whole zstd frame");
    assert_malformed(text(&skippable), "one whole zstd frame");
    let short = zstd::bulk::compress(&plain[..15], 3).expect("compresses");
    assert!(matches!(text(&short), Err(FormatError::Truncated { .. })));
    let streamed = zstd::stream::encode_all(&plain[..], 3).expect("compresses");
    assert_malformed(text(&streamed), "how long its content is");
    let bomb = zstd::bulk::compress(&vec![0; TEXT_BYTES_MAX as usize + 17], 3).expect("compresses");
    let found = u64::from(TEXT_BYTES_MAX) + 17;
    let limit = FormatError::Limit { what: "text column", found, limit: found - 1 };
    assert_eq!(crate::block::column::decode_values(ValueKind::Text, Tag::Text, &bomb, ROWS), Err(limit));
    // A short text that many rows repeat is a bomb as well.
    let long = vec![b'x'; TEXT_VALUE_BYTES_MAX as usize];
    let repeated = crate::block::column::decode_values(ValueKind::Text, Tag::Constant, &long, ROWS_MAX);
    assert!(matches!(repeated, Err(FormatError::Limit { what: "text column bytes", .. })));
}

#[test]
fn packed_numbers_use_only_what_cannot_allocate_at_will() {
    let float = |bytes: &[u8]| decode_column(ValueKind::Float, Tag::Float64, bytes);
    assert_malformed(float(&[4, 2, 0, 0]), "pco version");
    for mode in 4..16 {
        assert_malformed(float(&[4, 1, mode, 0xff, 0xff, 0xff, 0xff]), "pco mode");
    }
    for delta in 3..16 {
        assert_malformed(float(&[4, 1, delta << 4, 0]), "pco delta");
        assert_malformed(float(&[4, 1, 3, delta << 4, 0]), "pco delta");
        assert_malformed(float(&[4, 1, 2, 0, 0, 0, 0, 0, 0, 0, delta << 4]), "pco delta");
    }
    for window in LOOKBACK_TOO_LONG {
        assert_malformed(float(&[4, 1, 2 << 4, window, 0]), "looks back further");
    }
}

/// Windows of 2^17 and more, less one as pco writes them.
const LOOKBACK_TOO_LONG: std::ops::Range<u8> = 16..32;

#[test]
fn the_writer_refuses_what_the_reader_would() {
    let column = |presence, values| encode_column(&Column { series: 0, presence, values }, 4, Level::Fast);
    assert!(column(Presence::Dense, Values::Int(vec![1; 3])).is_err());
    assert!(column(Presence::Rows(vec![]), Values::Int(vec![])).is_err());
    assert!(column(Presence::Rows(vec![1, 1]), Values::Int(vec![1; 2])).is_err());
    assert!(column(Presence::Rows(vec![2, 1]), Values::Int(vec![1; 2])).is_err());
    assert!(column(Presence::Rows(vec![4]), Values::Int(vec![1])).is_err());
    let long = "x".repeat(TEXT_VALUE_BYTES_MAX as usize + 1);
    assert!(column(Presence::Rows(vec![2]), Values::Text(vec![long])).is_err());
    let texts: Vec<String> = (0..17).map(|text| text.to_string().repeat(2 << 20)).collect();
    let texts = Column { series: 0, presence: Presence::Dense, values: Values::Text(texts) };
    assert!(encode_column(&texts, 17, Level::Fast).is_ok());
    let none = Column { series: 0, presence: Presence::Dense, values: Values::Int(vec![]) };
    assert!(encode_column(&none, 0, Level::Fast).is_err());
    let many = Column { series: 0, presence: Presence::Dense, values: Values::Int(vec![1; 65_537]) };
    assert!(encode_column(&many, 65_537, Level::Fast).is_err());

    let good = GroupRows { writer: WRITER, first_sequence: 1, last_sequence: 2, steps: &[1, 2], times: &[1, 2] };
    let one = dense(Values::Int(vec![1, 2]), Level::Fast);
    let other = dense(Values::Float(vec![1.0, 2.0]), Level::Fast);
    assert!(encode_group(&good, vec![other, one.clone()], Level::Fast).is_ok());
    assert!(encode_group(&good, vec![one.clone(), one], Level::Fast).is_err());
    assert!(encode_group(&good, vec![dense(Values::Int(vec![1]), Level::Fast)], Level::Fast).is_err());
    assert!(encode_group(&GroupRows { times: &[1], ..good }, vec![], Level::Fast).is_err());
    assert!(encode_group(&GroupRows { steps: &[], times: &[], ..good }, vec![], Level::Fast).is_err());
    assert!(encode_group(&GroupRows { last_sequence: 0, ..good }, vec![], Level::Fast).is_err());
}
