//! What is read is what was written, compared with the plain input.

use proptest::prelude::*;

use crate::block::tests::{WRITER, dense, group, group_of, read, same, steps_and_times};
use crate::block::{
    Column, Extent, Extents, GroupMain, GroupRows, Level, Presence, ValueKind, Values, encode_column, encode_group,
};
use crate::histogram::Histogram;
use crate::id::MediaId;

fn floats() -> BoxedStrategy<Vec<f64>> {
    let special = prop::sample::select(vec![
        0.0,
        -0.0,
        f64::NAN,
        -f64::NAN,
        f64::from_bits(0x7ff0_0000_0000_0001),
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MIN_POSITIVE,
        f64::from_bits(1),
        f64::MAX,
        f64::MIN,
        9_007_199_254_740_993.0,
    ]);
    let decimal =
        (-100_000_i32..100_000, 0_i32..8).prop_map(|(number, digits)| f64::from(number) / 10_f64.powi(digits));
    let single = any::<u32>().prop_map(|bits| f64::from(f32::from_bits(bits)));
    let any = any::<u64>().prop_map(f64::from_bits);
    // Mostly of one nature, so that each form is reached, with strangers among them.
    let mostly = |most: BoxedStrategy<f64>| {
        let one = prop_oneof![40 => most, 1 => special.clone(), 1 => any.clone()];
        prop::collection::vec(one, 1..700).boxed()
    };
    let only = |most: BoxedStrategy<f64>| prop::collection::vec(prop_oneof![20 => most, 1 => special.clone()], 1..700);
    prop_oneof![
        mostly(decimal.clone().boxed()),
        mostly(single.clone().boxed()),
        mostly(any.clone().boxed()),
        only(decimal.boxed()),
        only(single.boxed()),
        only(any.boxed()),
    ]
    .boxed()
}

fn values() -> impl Strategy<Value = Values> {
    let small = prop::collection::vec(-50_i64..50, 1..700);
    let extreme = prop::collection::vec(prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MAX), Just(0)], 1..700);
    let walk = (any::<i64>(), prop::collection::vec(0_i64..5, 1..700)).prop_map(|(start, deltas)| {
        let step = |at: &mut i64, delta: i64| {
            *at = at.wrapping_add(delta);
            Some(*at)
        };
        deltas.into_iter().scan(start, step).collect()
    });
    let text = prop_oneof![any::<String>(), "[a-c]{0,9}"];
    prop_oneof![
        4 => floats().prop_map(Values::Float),
        2 => prop_oneof![small, extreme, walk].prop_map(Values::Int),
        1 => prop::collection::vec(any::<bool>(), 1..700).prop_map(Values::Bool),
        1 => prop::collection::vec(text, 1..60).prop_map(Values::Text),
        1 => prop::collection::vec(histogram(), 1..60).prop_map(Values::Histogram),
        1 => prop::collection::vec(any::<[u8; 16]>().prop_map(MediaId), 1..60).prop_map(Values::Media),
        1 => (any::<[u8; 16]>(), 1_usize..60).prop_map(|(id, count)| Values::Media(vec![MediaId(id); count])),
    ]
}

fn histogram() -> impl Strategy<Value = Histogram> {
    let counts = prop_oneof![
        prop::collection::vec((0_u32..1000).prop_map(f64::from), 1..70),
        prop::collection::vec(prop_oneof![0.0..1e9, Just(f64::INFINITY), Just(-0.0)], 1..9),
    ];
    (counts, 0..3, any::<f64>()).prop_map(|(counts, nature, start)| {
        let edge = |index: usize| match nature {
            0 => index as f64,
            1 => index as f64 / counts.len() as f64 - 0.5,
            _ if start.is_nan() => f64::INFINITY,
            _ => start,
        };
        Histogram::new((0..=counts.len()).map(edge).collect(), counts).expect("edges that do not fall")
    })
}

/// Columns over enough rows for the longest; the shorter ones have their values in some rows only.
fn columns() -> impl Strategy<Value = (u32, Vec<Column>)> {
    (prop::collection::vec((values(), any::<u64>()), 0..6), 0_usize..50).prop_map(|(all, more)| {
        let rows = all.iter().map(|(values, _)| values.len()).max().unwrap_or(1) + more;
        let place = |(series, (values, seed)): (usize, (Values, u64))| {
            let mut rows: Vec<u32> = (0..u32::try_from(rows).expect("few")).collect();
            let mut seeded = crate::block::tests::Seeded(seed);
            while rows.len() > values.len() {
                rows.remove(seeded.below(rows.len()));
            }
            Column { series: u32::try_from(series).expect("few"), presence: Presence::Rows(rows), values }
        };
        (u32::try_from(rows).expect("few"), all.into_iter().enumerate().map(place).collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn groups_read_back_bit_by_bit((rows, columns) in columns(), best in any::<bool>()) {
        let level = if best { Level::Best } else { Level::Fast };
        let group = group(&columns, rows, level);
        let (steps, times, back) = read(&group.parts).expect("just written");
        prop_assert_eq!((steps, times), steps_and_times(rows));
        prop_assert_eq!(back.len(), columns.len());
        for (back, column) in back.iter().zip(&columns) {
            prop_assert_eq!(back.series, column.series);
            let all = Presence::Rows((0..rows).collect());
            let presence = if column.presence == all { &Presence::Dense } else { &column.presence };
            prop_assert_eq!(&back.presence, presence);
            prop_assert!(same(&back.values, &column.values), "{:?}", column.values);
        }
    }

    #[test]
    fn any_steps_and_times_read_back(steps in prop::collection::vec(any::<i64>(), 1..300), best in any::<bool>()) {
        let level = if best { Level::Best } else { Level::Fast };
        let times: Vec<i64> = steps.iter().rev().copied().collect();
        let rows = GroupRows { writer: WRITER, first_sequence: 0, last_sequence: 0, steps: &steps, times: &times };
        let group = encode_group(&rows, Vec::new(), level).expect("a good group");
        prop_assert_eq!(read(&group.parts), Ok((steps, times, Vec::new())));
    }
}

#[test]
fn the_header_tells_who_and_which() {
    let mut column = dense(Values::Int(vec![3, 1, 2]), Level::Fast);
    column.series = 42;
    let group = group_of(vec![column], 3, Level::Fast);
    let main = GroupMain::decode(&group.parts[0]).expect("just written");
    assert_eq!((main.writer, main.rows, main.first_sequence, main.last_sequence), (WRITER, 3, 5, 900));
    assert_eq!((main.columns[0].series, main.columns[0].kind, main.columns[0].count), (42, ValueKind::Int, 3));
    assert_eq!(main.parts(), 1);
}

#[test]
fn large_columns_get_parts_and_small_ones_stay() {
    let column = |series, values| Column { series, presence: Presence::Dense, values: Values::Float(values) };
    let noise: Vec<f64> = (0..600).map(|row| f64::from(row).sin()).collect();
    let columns = [column(9, noise.clone()), column(3, vec![0.5; 600]), column(5, noise)];
    let group = group(&columns, 600, Level::Best);
    let main = GroupMain::decode(&group.parts[0]).expect("just written");
    let places: Vec<_> = main.columns.iter().map(|entry| (entry.series, entry.part)).collect();
    assert_eq!(places, [(3, 0), (5, 1), (9, 2)]);
    assert_eq!((main.parts(), group.parts.len()), (3, 3));
    assert_eq!(main.columns[1].encoded_len(), group.parts[1].len());
    assert!(group.parts[0].len() < 1500, "{}", group.parts[0].len());
}

#[test]
fn columns_of_the_same_rows_share_one_presence() {
    let rows = Presence::Rows((0..4000).filter(|row| row % 97 < 40 && row % 3 == 0).collect());
    let Presence::Rows(indexes) = &rows else { unreachable!() };
    let values = Values::Bool(vec![true; indexes.len()]);
    let one = encode_column(&Column { series: 0, presence: rows.clone(), values: values.clone() }, 4000, Level::Fast);
    let one = one.expect("a good column");
    let alone = group_of(vec![one.clone()], 4000, Level::Fast).parts[0].len();
    let columns = (0..50).map(|series| crate::block::EncodedColumn { series, ..one.clone() }).collect();
    let group = group_of(columns, 4000, Level::Fast);
    assert_eq!(group.parts[0].len(), alone + 49 * 15, "14 bytes of entry and one of value each");
    let (_, _, back) = read(&group.parts).expect("just written");
    assert!(back.iter().all(|column| column.presence == rows && column.values == values));
}

#[test]
fn figures_are_the_same_whether_stored_or_computed() {
    let mut values: Vec<f64> = (0..3).map(f64::from).collect();
    values.extend([f64::NAN, -0.0, f64::NEG_INFINITY, -2.5]);
    for repeat in [1, 200] {
        let values = Values::Float(values.repeat(repeat));
        let rows = u32::try_from(values.len()).expect("few");
        let group = group_of(vec![dense(values, Level::Fast)], rows, Level::Fast);
        let main = GroupMain::decode(&group.parts[0]).expect("just written");
        let stats = main.columns[0].stats().expect("just written");
        let sum = 0.5 * repeat as f64;
        assert_eq!((stats.count, stats.non_finite), (rows, rows / 7 * 2));
        assert_eq!(stats.extents, Extents::Float(Extent { min: -2.5, max: 2.0, first: 0.0, last: -2.5, sum }));
    }
    let stats = dense(Values::Int(vec![i64::MAX, i64::MAX, i64::MIN]), Level::Fast).stats();
    let (min, max) = (i64::MIN, i64::MAX);
    let sum = 2_f64.powi(63);
    assert_eq!(stats.extents, Extents::Int(Extent { min, max, first: max, last: min, sum }));
    let stats = dense(Values::Bool(vec![false, true, true]), Level::Fast).stats();
    assert_eq!(stats.extents, Extents::Int(Extent { min: 0, max: 1, first: 0, last: 1, sum: 2.0 }));
    let stats = dense(Values::Float(vec![f64::INFINITY]), Level::Fast).stats();
    let Extents::Float(extent) = stats.extents else { panic!("floats") };
    assert!(extent.min.is_nan() && extent.max.is_nan() && extent.sum.to_bits() == 0);
    assert_eq!(dense(Values::Text(vec!["x".into()]), Level::Fast).stats().extents, Extents::None);
}
