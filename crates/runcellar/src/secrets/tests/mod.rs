mod corpus;
mod edges;
mod fakes;
mod json;
mod ordinary;
mod record;

use runcellar_format::Secret;

use super::{Finding, Language, Scanner};

fn scanner() -> Scanner {
    Scanner::new(Secret::new([7; 32]), [])
}

fn text(text: &str) -> (String, Vec<Finding>) {
    let (redacted, findings) = scanner().text(text, Language::Text, |line| format!("line {line}"));
    (redacted.into_owned(), findings)
}
