//! Texts of a run's record that no listing shows.

use runcellar_format::record::{Edits, FieldId, Lost, RunRecord, Tokens};

use super::scanner;
use crate::ingest::fold;
use crate::{Json, json};

#[test]
fn what_was_set_elsewhere_and_lost_is_searched_too() {
    let token = ["ghp", "_", "q8Zt3LxV0bRk7NfJ2wYdP5sHc9Ug4Ea1Mi6o"].concat();
    let lost = |field, key: &str, value: &Json, clock| {
        let value = Tokens::new(value).expect("shallow");
        Lost { field, key: key.to_owned(), value, clock, over: 0 }
    };
    let mut edits = Edits::default();
    edits.lose([
        lost(FieldId::Notes, "", &Json::Text(format!("with {token} in it")), 5),
        lost(FieldId::Config, "api_token", &Json::Text(token.clone()), 6),
        lost(FieldId::Config, "lr", &json!(0.5), 7),
    ]);
    let mut record = RunRecord::default();
    edits.note(&mut record).expect("short");
    let found = scanner().record(&mut record).expect("reads");
    let places: Vec<&str> = found.iter().map(|finding| finding.place.as_str()).collect();
    assert_eq!(places, ["conflict", "config.api_token"]);
    let after = fold::edits(&record).expect("reads");
    assert_eq!(after.lost.len(), 3);
    assert!(!format!("{after:?}").contains(&token), "{after:?}");
    assert!(scanner().record(&mut record).expect("reads").is_empty());
}
