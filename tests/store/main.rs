//! The store under faults: killed, out of disk, out of power, forked, raced and damaged. One file a topic.
//!
//! docs/RELIABILITY.md and docs/PRIVACY.md say which promise each test holds.
#![allow(unsafe_code, reason = "fork, kill and mount are what these tests are about")]

mod artifacts;
mod artifacts_faults;
mod artifacts_lineage;
mod artifacts_reading;
mod as_of;
mod attack;
mod backup;
mod blob_damage;
mod blob_disks;
mod blob_swaps;
mod blobs;
mod catalogue;
mod code;
mod creation;
mod faults;
mod flips;
mod following;
mod forks;
mod golden;
mod keys;
mod kills;
mod lineage;
mod liveness;
mod media;
mod merge;
mod mishaps;
mod network;
mod nonces;
mod own;
mod pack_repair;
mod planted;
mod power;
mod properties;
mod purge;
mod quotas;
mod ranks;
mod reading;
mod remotes;
mod replay;
mod rotation;
mod secrets;
mod source;
mod stays_erased;
mod support;
mod swaps;
mod transfer;
mod usage;
mod values;
mod writers;

/// A file that is not declared above would be skipped without a word.
#[test]
fn every_file_of_this_folder_is_part_of_the_binary() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/store");
    let source = include_str!("main.rs");
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let name = entry.expect("reads").file_name().into_string().expect("UTF-8");
        let module = name.strip_suffix(".rs").unwrap_or(&name);
        assert!(module == "main" || source.contains(&format!("\nmod {module};\n")), "{name} is not declared");
    }
}
