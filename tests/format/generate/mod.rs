//! Makes the golden vectors. `RUNCELLAR_WRITE_VECTORS=1 cargo test -p runcellar-format --test format generate` writes
//! them, and the first corpus of the fuzz targets with them; without the variable nothing is written. What is refused is
//! named here with its reason, so that a decoder which grows lenient is found out.

mod bodies;
mod carried;
mod corpus;
mod groups;
mod journals;
mod keys;
mod objects;
mod overviews;
mod packs;

use runcellar_format::seal::checksum;

use crate::support::{Vector, outcome, root, to_text};
use crate::vectors::{Decoder, FILES};

/// Vectors in the making: each gets the outcome that the decoder gives, which must be the one that is meant.
struct Maker {
    decoder: Decoder,
    vectors: Vec<Vector>,
    /// Those whose outcome is not the one that is meant.
    wrong: Vec<String>,
}

impl Maker {
    fn accepted(&mut self, vector: Vector) {
        match (self.decoder)(&vector) {
            Ok(value) => self.vectors.push(vector.with("outcome", "accepted").with("value", value)),
            Err(error) => self.wrong.push(format!("{}: {error}", vector.text("name"))),
        }
    }

    fn refused(&mut self, meant: &str, vector: Vector) {
        let found = (self.decoder)(&vector);
        if outcome(&found) != meant {
            self.wrong.push(format!("{}: {meant} is meant, {found:?} found", vector.text("name")));
        }
        self.vectors.push(vector.with("outcome", meant));
    }
}

#[test]
fn vectors_are_written_on_request() {
    if std::env::var_os("RUNCELLAR_WRITE_VECTORS").is_none() {
        return;
    }
    for (file, decoder) in FILES {
        let mut maker = Maker { decoder: *decoder, vectors: Vec::new(), wrong: Vec::new() };
        let head = match *file {
            "seal.txt" => objects::seal(&mut maker),
            "remote_objects.txt" => objects::remote_objects(&mut maker),
            "keyslots.txt" => keys::keyslots(&mut maker),
            "key_file.txt" => keys::key_file(&mut maker),
            "mirror.txt" => keys::mirror(&mut maker),
            "recovery_codes.txt" => keys::recovery_codes(&mut maker),
            "journal_headers.txt" => journals::journal_headers(&mut maker),
            "journals.txt" => journals::journals(&mut maker),
            "records.txt" => journals::records(&mut maker),
            "bodies.txt" => bodies::bodies(&mut maker),
            "groups.txt" => groups::groups(&mut maker),
            "overviews.txt" => overviews::overviews(&mut maker),
            "packs.txt" => packs::packs(&mut maker),
            "carried.txt" => carried::carried(&mut maker),
            "tar.txt" => carried::tar(&mut maker),
            "backup_mark.txt" => carried::backup_mark(&mut maker),
            other => panic!("no generator for {other}"),
        };
        assert!(maker.wrong.is_empty(), "{file}: {:#?}", maker.wrong);
        write(&format!("tests/data/vectors/{file}"), to_text(head, &maker.vectors).as_bytes());
    }
    let head =
        "Derivations: pairs, sealing to them, lookup tags, hashes of rows and their sums, cuts and ids of chunks.";
    write("tests/data/vectors/derivations.txt", to_text(head, &objects::derivations()).as_bytes());
    corpus::corpus();
}

fn write(path: &str, bytes: &[u8]) {
    let path = root().join(path);
    std::fs::create_dir_all(path.parent().expect("a directory")).expect("can be made");
    std::fs::write(path, bytes).expect("can be written");
}

fn set(bytes: &[u8], at: usize, new: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    out[at..at + new.len()].copy_from_slice(new);
    out
}

fn flip(bytes: &[u8], at: usize) -> Vec<u8> {
    set(bytes, at, &[bytes[at] ^ 1])
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// Sets the checksum at the end right.
fn summed(bytes: &[u8]) -> Vec<u8> {
    let body = &bytes[..bytes.len() - 32];
    joined(&[body, &checksum(body)])
}
