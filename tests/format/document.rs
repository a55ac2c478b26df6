//! docs/FORMAT.md holds to the letter: its examples are decoded, and every label of the sources stands in it.

use std::path::Path;

use runcellar_format::block::GroupMain;
use runcellar_format::journal::{Header, Record, Records, Shapes};
use runcellar_format::record::{Body, Project};
use runcellar_format::seal::{Kind, Place};
use runcellar_format::value::Value;
use runcellar_format::{DeviceId, ObjectId, Secret, fuzz};

use crate::support::{root, unhex};

fn document() -> String {
    std::fs::read_to_string(root().join("docs/FORMAT.md")).expect("docs/FORMAT.md is there")
}

/// Returns the bytes of the code block that follows `marker`: two hexadecimal digits a byte, then words.
fn example(marker: &str) -> Vec<u8> {
    let text = document();
    let after = text.split_once(marker).unwrap_or_else(|| panic!("docs/FORMAT.md says {marker:?}")).1;
    let block = after.split("```").nth(1).expect("a code block").trim_start_matches('\n');
    let is_byte = |word: &&str| word.len() == 2 && word.bytes().all(|digit| digit.is_ascii_hexdigit());
    let bytes = |line: &str| unhex(&line.split_whitespace().take_while(is_byte).collect::<String>());
    block.lines().flat_map(bytes).collect()
}

/// The example of a row group.
pub(crate) fn row_group_example() -> Vec<u8> {
    example("One writer (id sixteen times 07)")
}

#[test]
fn the_row_group_is_what_it_says() {
    let bytes = row_group_example();
    let main = GroupMain::decode(&bytes).expect("decodes");
    assert_eq!((main.rows, main.first_sequence, main.last_sequence), (4, 5, 9));
    assert_eq!(main.steps(), Ok(vec![77; 4]));
}

#[test]
fn the_sealed_object_is_what_it_says() {
    let place = Place::of(fuzz::WORKSPACE, Kind::Project, ObjectId([2; 16])).version(DeviceId([5; 16]), 6);
    let text = example("has the text");
    assert_eq!(Project::from_body(&text), Ok(Project { name: "digits".into(), created: 5, extra: vec![] }));
    let sealed = example("and the object");
    assert_eq!(fuzz::key().open(&place, &sealed), Ok(text.clone()));
    assert_eq!(fuzz::key().seal([7; 24], &place, &text).into_bytes(), sealed);
    assert_eq!(example("the associated data is").len(), Place::BYTES);
    assert_eq!(example("\"runcellar 1 object\", K || salt)` is").get(32..64), sealed.get(44..76));
}

#[test]
fn the_journal_is_what_it_says() {
    let bytes = example("as the run's metrics key:");
    let (header, len) = Header::decode(&bytes).expect("decodes");
    assert_eq!(len, bytes.len());
    let key = header.open_with_run_key(fuzz::WORKSPACE, &Secret::new([8; 32])).expect("opens");
    let text = example("of sequence 1 with the text");
    let frame = example("0.25\n```\n\nis");
    assert_eq!(key.open(&frame), Ok((1, text.clone(), frame.len())));
    let mut again = Vec::new();
    key.seal_into(1, &text, &mut again).expect("short");
    assert_eq!(again, frame);
    let records: Vec<Record> = Records::new(&text, &mut Shapes::default()).collect::<Result<_, _>>().expect("reads");
    let row = Record::Row { step: 3, time: 1_700_000_000_000_000, values: vec![(0, Value::Float(0.25))] };
    assert_eq!(records, [Record::Metric { index: 0, name: "loss".into() }, row]);
}

#[test]
fn every_label_of_the_sources_is_listed() {
    let text = document();
    let labels = text.split_once("\n## Labels\n").expect("a section").1.split_once("\n## ").expect("another").0;
    let mut found = 0;
    for folder in ["crates/runcellar-format/src", "crates/runcellar/src"] {
        each_source(&root().join(folder), &mut |source| {
            let marks = source.split("\"runcellar 1 ").skip(1);
            for label in marks.filter_map(|rest| rest.split_once('"')) {
                assert!(labels.contains(&format!("`runcellar 1 {}`", label.0)), "{} is not listed", label.0);
                found += 1;
            }
        });
    }
    assert!(found >= 9, "{found} labels");
}

fn each_source(folder: &Path, each: &mut impl FnMut(&str)) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("can be listed").path();
        if path.is_dir() {
            each_source(&path, each);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            each(&std::fs::read_to_string(&path).expect("can be read"));
        }
    }
}
