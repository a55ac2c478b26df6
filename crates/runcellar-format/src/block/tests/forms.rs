//! Each form is chosen where it is meant to be, and reads back.

use crate::block::tests::{Seeded, dense, group_of, read, same};
use crate::block::{Level, Tag, Values};

/// Checks which form both levels choose, that it reads back bit by bit, and returns its bytes at the best level.
#[track_caller]
fn chosen(values: &Values, tag: Tag) -> usize {
    let mut bytes = 0;
    for level in [Level::Fast, Level::Best] {
        let column = dense(values.clone(), level);
        assert_eq!(column.tag(), tag, "{level:?}");
        bytes = column.bytes().len();
        let rows = column.stats().count;
        let (_, _, columns) = read(&group_of(vec![column], rows, level).parts).expect("just written");
        assert!(same(&columns[0].values, values), "{level:?}");
    }
    bytes
}

fn noisy(count: usize, scale: f64, seed: u64) -> Vec<f64> {
    let mut seeded = Seeded(seed);
    (0..count).map(|_| seeded.noise() * scale).collect()
}

#[test]
fn values_that_are_all_the_same_bits_are_a_constant() {
    let quiet = f64::from_bits(0x7ff8_0000_dead_beef);
    assert_eq!(chosen(&Values::Float(vec![quiet; 300]), Tag::Constant), 8);
    assert_eq!(chosen(&Values::Float(vec![-0.0]), Tag::Constant), 8);
    assert_eq!(chosen(&Values::Int(vec![i64::MIN; 300]), Tag::Constant), 8);
    assert_eq!(chosen(&Values::Bool(vec![true; 300]), Tag::Constant), 1);
    assert_eq!(chosen(&Values::Text(vec!["same".into(); 300]), Tag::Constant), 4);
    assert_eq!(chosen(&Values::Text(vec![String::new()]), Tag::Constant), 0);
}

#[test]
fn integers_with_one_delta_are_a_progression_even_across_the_end_of_the_range() {
    assert_eq!(chosen(&Values::Int((0..4096).map(|step| step * 10 - 7).collect()), Tag::Arithmetic), 16);
    assert_eq!(chosen(&Values::Int(vec![i64::MAX - 1, i64::MAX, i64::MIN, i64::MIN + 1]), Tag::Arithmetic), 16);
    assert_eq!(chosen(&Values::Int(vec![i64::MIN, 0, i64::MIN]), Tag::Arithmetic), 16);
}

#[test]
fn other_integers_are_packed_by_their_width() {
    let mut seeded = Seeded(1);
    let narrow: Vec<i64> = (0..4096).map(|_| (seeded.next() % 1000).cast_signed()).collect();
    let wide = narrow.iter().map(|value| value + (1 << 40)).collect();
    assert!(chosen(&Values::Int(narrow), Tag::Integer32) < 5400);
    assert!(chosen(&Values::Int(wide), Tag::Integer) < 5500);
}

#[test]
fn rounded_floats_are_decimals_with_their_specials() {
    let mut values: Vec<f64> = noisy(4096, 4.0, 2).iter().map(|value| (value * 1e4).round() / 1e4).collect();
    values[0] = f64::NAN;
    values[9] = -0.0;
    values[10] = 0.0;
    values[11] = f64::INFINITY;
    values[12] = f64::NEG_INFINITY;
    assert!(chosen(&Values::Float(values), Tag::Decimal) < 4096 * 2);
    // Counters that come as floats cost as little as integers that count.
    assert_eq!(chosen(&Values::Float((0..4096).map(f64::from).collect()), Tag::Decimal), 18);
}

#[test]
fn decimals_that_went_through_32_bits_are_decimals_too() {
    let rounded = |value: &f64| f64::from(((value * 100.0).round() / 100.0) as f32);
    let values = noisy(4096, 1.0, 3).iter().map(rounded).collect();
    assert!(chosen(&Values::Float(values), Tag::Decimal32) < 4096);
}

#[test]
fn floats_of_32_bits_are_packed_as_such() {
    let mut values: Vec<f64> = noisy(4096, 1.0, 4).iter().map(|value| f64::from(*value as f32)).collect();
    values[3] = f64::from_bits(0xfff8_0000_2000_0000);
    values[4] = 2_f64.powi(-149);
    values[5] = -3.0 * 2_f64.powi(-140);
    values[6] = -0.0;
    assert!(chosen(&Values::Float(values), Tag::Float32) < 4096 * 4);
}

#[test]
fn other_floats_are_packed_with_any_nan_kept() {
    let mut values = noisy(4096, 1.0, 5);
    values[7] = f64::from_bits(0x7ff0_0000_0000_0001);
    values[8] = f64::from_bits(0xfff8_0000_0000_0123);
    assert!(chosen(&Values::Float(values), Tag::Float64) < 4096 * 8);
}

#[test]
fn short_columns_are_plain() {
    assert_eq!(chosen(&Values::Float(vec![0.1 + 0.2, 7e-300]), Tag::Plain), 16);
    assert_eq!(chosen(&Values::Int(vec![i64::MIN, i64::MAX, 0]), Tag::Plain), 24);
    assert_eq!(chosen(&Values::Text(vec!["a".into(), String::new()]), Tag::Plain), 9);
}

#[test]
fn truth_values_are_bits() {
    assert_eq!(chosen(&Values::Bool((0..4097).map(|row| row % 3 == 0).collect()), Tag::Bits), 513);
}

#[test]
fn longer_texts_are_compressed() {
    let values = (0..300).map(|row| format!("epoch {row}: loss went down, \u{1f389}")).collect();
    assert!(chosen(&Values::Text(values), Tag::Text) < 300 * 8);
}

#[test]
fn what_pco_writes_begins_with_the_version_that_the_reader_takes() {
    let column = dense(Values::Float(noisy(300, 1.0, 6)), Level::Fast);
    assert_eq!(column.bytes()[..2], [4, 1], "a new pco format needs a look at packed.rs and a version of ours");
}
