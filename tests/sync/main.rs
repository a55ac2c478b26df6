//! Remotes: every kind of them against one suite, and under faults. One file a topic.

#[allow(dead_code, reason = "the double of files that the tests of the store have")]
#[path = "../store/support/io.rs"]
mod io;

mod apart;
mod away;
mod conformance;
mod content;
mod devices;
mod engine;
mod evict;
mod fake;
mod folder;
mod grace;
mod held;
mod hostile;
mod ids;
mod keys;
mod ledger;
mod left;
mod links;
mod loopback;
mod retries;
mod shut_out;
mod simulation;
mod status;
mod support;
mod there;
mod verify;
mod wiped;

/// A file that is not declared would be skipped without a word.
#[test]
fn every_file_of_this_folder_is_part_of_the_binary() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/sync");
    for (folder, source) in [
        (folder.to_owned(), include_str!("main.rs")),
        (format!("{folder}/loopback"), include_str!("loopback/mod.rs")),
        (format!("{folder}/simulation"), include_str!("simulation/mod.rs")),
    ] {
        for entry in std::fs::read_dir(folder).expect("the folder is there") {
            let name = entry.expect("reads").file_name().into_string().expect("UTF-8");
            let module = name.strip_suffix(".rs").unwrap_or(&name);
            let is_root = matches!(module, "main" | "mod");
            assert!(is_root || source.contains(&format!("\nmod {module};\n")), "{name} is not declared");
        }
    }
}
