//! Generated run names: adjective, noun, number.

const ADJECTIVES: [&str; 64] = [
    "amber", "ancient", "autumn", "bold", "brave", "bright", "brisk", "calm", "clear", "clever", "cosmic", "crimson",
    "crisp", "curious", "dawn", "deep", "eager", "early", "earnest", "fair", "faithful", "fleet", "gentle", "gilded",
    "glad", "golden", "grand", "hazel", "hidden", "honest", "humble", "ivory", "jolly", "keen", "kind", "light",
    "lively", "lucid", "lucky", "mellow", "merry", "mild", "misty", "noble", "opal", "patient", "plain", "polar",
    "proud", "quiet", "rapid", "rustic", "sage", "scarlet", "serene", "silent", "silver", "solid", "steady", "still",
    "sunny", "swift", "vivid", "warm",
];
const NOUNS: [&str; 64] = [
    "acorn", "anchor", "arch", "badger", "barrel", "bay", "beacon", "birch", "bridge", "brook", "canyon", "cedar",
    "cellar", "cliff", "cloud", "comet", "coral", "cove", "crane", "creek", "delta", "dune", "elm", "ember", "falcon",
    "fern", "field", "fjord", "forest", "garden", "glade", "grove", "harbor", "heron", "hill", "island", "lake",
    "lantern", "leaf", "marsh", "meadow", "mesa", "moss", "oak", "orchard", "otter", "peak", "pine", "pond", "prairie",
    "quarry", "rain", "reef", "ridge", "river", "sparrow", "spring", "stone", "summit", "tide", "valley", "vine",
    "willow", "wren",
];

/// Makes a name from random bytes and the run's ordinal in the workspace.
pub(super) fn generate(random: [u8; 2], ordinal: u64) -> String {
    let pick = |words: &[&'static str; 64], byte: u8| words[usize::from(byte) % 64];
    format!("{}-{}-{ordinal}", pick(&ADJECTIVES, random[0]), pick(&NOUNS, random[1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_and_a_number() {
        assert_eq!(generate([0, 63], 7), "amber-wren-7");
        assert!((0..=255).all(|byte| generate([byte, byte], 1).split('-').count() == 3));
    }
}
