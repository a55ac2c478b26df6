//! Blocks read back, and blocks that no writer makes.

use super::*;
use crate::block::Presence;
use crate::value::{Json, Value};

fn nested() -> Json {
    Json::Map(vec![
        ("b".into(), Json::Map(vec![("x.y".into(), 1.into()), ("".into(), Json::Null)])),
        ("a".into(), Json::List(vec![Json::Float(-0.0), Json::Null, Json::Map(vec![("k".into(), "v".into())])])),
        ("empty".into(), Json::Map(vec![])),
        ("nan".into(), Json::Float(f64::from_bits(0x7ff0_0000_0000_0001))),
        ("big".into(), Json::Int((1 << 53) + 1)),
        ("text".into(), Json::Text("5;ab".into())),
        ("yes".into(), Json::Bool(true)),
    ])
}

fn same(left: &Json, right: &Json) -> bool {
    to_exact(left) == to_exact(right)
}

#[test]
fn exact_text_keeps_every_bit_and_has_one_form() {
    let text = to_exact(&nested()).expect("shallow");
    assert!(same(&from_exact(&text).expect("reads"), &nested()));
    for other in ["", "i01;", "i+1;", "i-0;", "i1", "d7FF0000000000001", "l2;n", "m1;1;k", "s9;a", "nn", "l9999999999;"]
    {
        assert!(from_exact(other).is_err(), "{other}");
    }
    assert!(from_exact(&"l1;".repeat(100_000)).is_err());
}

#[test]
fn the_name_of_a_column_tells_its_member() {
    for member in ["loss", "val/loss", "a.b", "\\", "", "a\\.b", ".."] {
        assert_eq!(leaf_member(&leaf_name(member)).as_deref(), Some(member));
    }
    assert_eq!((leaf_member(""), leaf_member(".a.b"), leaf_member("a"), leaf_member(".a\\")), (None, None, None, None));
}

#[test]
fn a_shape_and_its_leaves_make_the_value_again() {
    let value = nested();
    let shape = Shape::of(&value);
    assert_eq!(Shape::from_text(&shape.to_text()), Ok(shape.clone()));
    let mut names = Vec::new();
    shape.leaves(&mut |name, kind| names.push((name.to_owned(), kind)));
    assert_eq!(names[0], (".b.x\\.y".to_owned(), CellKind::Int));
    let mut leaves = Vec::new();
    fn walk(value: &Json, out: &mut Vec<Json>) {
        match value {
            Json::Map(members) => members.iter().for_each(|(_, member)| walk(member, out)),
            Json::Null => {}
            value => out.push(value.clone()),
        }
    }
    walk(&value, &mut leaves);
    assert_eq!(leaves.len(), names.len());
    let mut leaves = leaves.into_iter();
    let filled = shape.fill(&mut || leaves.next());
    assert!(same(&filled.expect("all leaves are given"), &value));
    for path in ["b.x.y", "b", "b.", "a", "empty", "nan", "b.x", "", "x"] {
        let found = shape.at(path).map(|(_, found)| found.clone());
        assert_eq!(found, value.at(path).map(Shape::of), "{path}");
    }
    for hostile in ["", "m1;", "q", "dd", "m1;0;"] {
        assert!(Shape::from_text(hostile).is_err(), "{hostile}");
    }
}

fn block() -> Vec<Vec<u8>> {
    let mut writer = BlockWriter::default();
    for row in 0..1_000_i64 {
        writer.begin_row();
        writer.put(Space::Summary, "loss", &Value::Float(row as f64 * 0.37 % 1.0)).expect("fits");
        writer.put(Space::Field, "name", &Value::Text(format!("run {}", row % 7))).expect("fits");
        writer.put_leaf(Space::Config, ".list", &Json::List(vec![(row % 3).into()])).expect("fits");
        if row % 5 == 2 {
            writer.put(Space::Summary, "loss2", &Value::Int(row)).expect("fits");
            writer.put(Space::Summary, "mixed", &Value::Bool(row % 2 == 0)).expect("fits");
        } else {
            writer.put(Space::Summary, "mixed", &Value::Text("t".repeat(row as usize))).expect("fits");
        }
    }
    writer.finish().expect("encodes")
}

#[test]
fn columns_read_back_one_by_one() {
    let parts = block();
    let main = BlockMain::decode(&parts[0]).expect("reads");
    assert_eq!((main.rows, main.parts() as usize), (1_000, parts.len()));
    let column = |space, name, kind| {
        let entry = &main.columns[main.find(space, name, kind).expect("is there")];
        entry.decode(&parts[entry.part as usize]).expect("decodes")
    };
    let loss = column(Space::Summary, "loss", CellKind::Float);
    assert_eq!((loss.presence, loss.cells.value(999)), (Presence::Dense, Some(Value::Float(999.0 * 0.37 % 1.0))));
    let ints = column(Space::Summary, "loss2", CellKind::Int);
    assert!(matches!(&ints.presence, Presence::Rows(rows) if rows[1] == 7));
    assert_eq!(ints.cells.value(1), Some(Value::Int(7)));
    let names = column(Space::Field, "name", CellKind::Text);
    assert!(matches!(&names.cells, Cells::Text(codes, texts) if texts.len() == 7 && codes[8] == 1));
    assert_eq!(column(Space::Config, ".list", CellKind::Nested).cells.json(4), Some(Json::List(vec![1.into()])));
    assert_eq!(main.named(Space::Summary, "mixed").len(), 2);
    assert_eq!(main.named(Space::Summary, "none").len(), 0);
    for column in &main.columns {
        let last = main.columns.iter().rfind(|other| other.part == column.part).expect("itself");
        assert!(last.ends(&parts[column.part as usize]), "{}", column.name);
    }
}

#[test]
fn what_cannot_be_a_block_is_not_written() {
    assert!(BlockWriter::default().finish().is_err());
    let mut writer = BlockWriter::default();
    assert!(writer.put(Space::Summary, "a", &Value::Int(1)).is_err(), "no row was begun");
    writer.begin_row();
    writer.put(Space::Summary, "a", &Value::Int(1)).expect("the first");
    assert!(writer.put(Space::Summary, "a", &Value::Int(2)).is_err(), "the second of a row");
}

#[test]
fn changed_bytes_end_in_values_or_errors() {
    let parts = block();
    for part in 0..parts.len() {
        for at in (0..parts[part].len()).step_by(1 + parts[part].len() / 400) {
            let mut changed = parts.clone();
            changed[part][at] ^= 0x41;
            let Ok(main) = BlockMain::decode(&changed[0]) else { continue };
            for column in &main.columns {
                if let Some(part) = changed.get(column.part as usize) {
                    let _ = column.decode(part);
                }
            }
        }
    }
    for len in 0..parts[0].len() {
        assert!(BlockMain::decode(&parts[0][..len]).is_err(), "length {len}");
    }
}
