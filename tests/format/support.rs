//! Vectors as text, hexadecimal digits, and random numbers that are the same every time.

use std::fmt::Write as _;
use std::path::PathBuf;

use runcellar_format::FormatError;

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// One vector: named fields in order, a line each. Vectors of a file are parted by empty lines.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Vector(pub(crate) Vec<(String, String)>);

impl Vector {
    pub(crate) fn named(name: &str) -> Self {
        Vector::default().with("name", name)
    }

    pub(crate) fn with(mut self, field: &str, value: impl Into<String>) -> Self {
        self.0.push((field.to_owned(), value.into()));
        self
    }

    pub(crate) fn bytes(self, field: &str, bytes: &[u8]) -> Self {
        self.with(field, hex(bytes))
    }

    pub(crate) fn all<'a>(&'a self, field: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == field).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self, field: &str) -> &str {
        self.all(field).next().unwrap_or_else(|| panic!("no {field} in {:?}", self.0.first()))
    }

    pub(crate) fn hex(&self, field: &str) -> Vec<u8> {
        unhex(self.text(field))
    }

    pub(crate) fn array<const N: usize>(&self, field: &str) -> [u8; N] {
        self.hex(field).try_into().unwrap_or_else(|_| panic!("{field} of {:?} has another length", self.0.first()))
    }

    pub(crate) fn number(&self, field: &str) -> u64 {
        self.text(field).parse().unwrap_or_else(|_| panic!("{field} of {:?} is no number", self.0.first()))
    }
}

/// Reads the vectors of a file in tests/data/vectors.
pub(crate) fn read(file: &str) -> Vec<Vector> {
    let path = root().join("tests/data/vectors").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let field = |line: &str| {
        let (name, value) = line.split_once(": ").or(line.strip_suffix(':').map(|name| (name, ""))).expect("a field");
        (name.to_owned(), value.to_owned())
    };
    text.split("\n\n")
        .map(|block| block.lines().filter(|line| !line.starts_with('#')).map(field).collect::<Vec<_>>())
        .filter(|fields| !fields.is_empty())
        .map(Vector)
        .collect()
}

/// Writes the vectors of a file as [`read`] reads them.
pub(crate) fn to_text(head: &str, vectors: &[Vector]) -> String {
    let mut out = String::new();
    for line in head.lines() {
        let _ = writeln!(out, "# {line}");
    }
    for Vector(fields) in vectors {
        out.push('\n');
        for (name, value) in fields {
            let _ = writeln!(out, "{}", format!("{name}: {value}").trim_end());
        }
    }
    out
}

/// The word by which vectors name an outcome.
pub(crate) fn outcome<T>(result: &Result<T, FormatError>) -> &'static str {
    match result {
        Ok(_) => "accepted",
        Err(FormatError::Truncated { .. }) => "truncated",
        Err(FormatError::Malformed { .. } | FormatError::UnknownShape { .. }) => "malformed",
        Err(FormatError::Limit { .. }) => "limit",
        Err(FormatError::NewerVersion { .. }) => "newer",
        Err(FormatError::UnknownSuite { .. }) => "suite",
        Err(FormatError::WrongKey { .. }) => "wrong key",
        Err(FormatError::Damaged { .. }) => "damaged",
        Err(other) => panic!("no word for {other}"),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16).expect("hexadecimal digits") as u8;
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// A generator of the same numbers every time (SplitMix64).
pub(crate) struct Seeded(pub(crate) u64);

impl Seeded {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Shows a histogram bit by bit: edges, then counts.
pub(crate) fn shown(histogram: &runcellar_format::histogram::Histogram) -> String {
    let bits = |all: &[f64]| all.iter().map(|one| format!("{:016x}", one.to_bits())).collect::<Vec<_>>().join(" ");
    format!("{} | {}", bits(histogram.edges()), bits(histogram.counts()))
}
