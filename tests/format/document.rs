//! docs/FORMAT.md is followed to the letter: its examples are decoded, and its limits are those of the code.

use runcellar_format::block::GroupMain;

use crate::support::{root, unhex};

fn document() -> String {
    std::fs::read_to_string(root().join("docs/FORMAT.md")).expect("docs/FORMAT.md is there")
}

/// Returns the bytes of the code block after the paragraph that begins with `marker`: two hexadecimal digits a byte, up
/// to two spaces and words.
fn example(marker: &str) -> Vec<u8> {
    let text = document();
    let after = text.split_once(marker).unwrap_or_else(|| panic!("docs/FORMAT.md says {marker:?}")).1;
    let block = after.split("```").nth(1).expect("a code block").trim_start_matches('\n');
    let is_byte = |word: &&str| word.len() == 2 && word.bytes().all(|digit| digit.is_ascii_hexdigit());
    let bytes = |line: &str| unhex(&line.split_whitespace().take_while(|word| is_byte(word)).collect::<String>());
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
