//! Secrets in JSON documents: found by look, by key and by column, and nothing else changed.

use std::borrow::Cow;

use super::fakes::Dice;
use super::scanner;

/// Returns the document with each redacted text as `<RULE>`, and where each stood.
fn redacted(document: &str) -> (String, Vec<String>) {
    let (text, findings) = scanner().json(document, "media t");
    let mut text = text.into_owned();
    for finding in &findings {
        text = text.replace(&format!("[redacted {} {}]", finding.rule, finding.id), &format!("<{}>", finding.rule));
    }
    (text, findings.into_iter().map(|finding| finding.place).collect())
}

fn token() -> String {
    format!("ghp_{}", Dice::new(9).alnum(36))
}

#[test]
fn a_table_is_judged_by_its_columns_and_every_other_byte_stays() {
    let table = format!(
        r#"{{"columns": ["user", "db_password", "note"], "rows": [["eva", "sword-fish-7", 1.10], [ "use {}" , null, "a\"b"], [
        {{"map": [["api_key", "q8Zr2LmX0pW4"], ["size", 3e0]]}}, {{"float": "NaN"}}, [["x", "sword-fish-7"]]]]}}"#,
        token()
    );
    let expected = r#"{"columns": ["user", "db_password", "note"], "rows": [["eva", "<password>", 1.10], [ "use <github-token>" , null, "a\"b"], [
        {"map": [["api_key", "<secret>"], ["size", 3e0]]}, {"float": "NaN"}, [["x", "sword-fish-7"]]]]}"#;
    let places = ["media t.db_password row 1", "media t.user row 2", "media t.api_key row 3"];
    assert_eq!(redacted(&table), (expected.to_owned(), places.map(str::to_owned).to_vec()));
}

#[test]
fn keys_name_what_stands_under_them_and_escapes_hide_nothing() {
    let (escaped, plain) = (token().replace('p', "\\u0070"), token());
    let figure = format!(
        r#"{{"layout": {{"title": {{"text": "of \"{escaped}\""}}}}, "auth": {{"password": ["h\\u00fcnter2"]}},
        "{plain}": 1}}"#
    );
    let (text, places) = redacted(&figure);
    assert_eq!(places, ["media t.text", "media t.password"]);
    assert!(text.contains(r#""text": "of \"<github-token>\"""#) && text.contains(r#"["<password>"]"#), "{text}");
    let parsed = serde_json::from_str::<serde_json::Value>(&text);
    assert!(parsed.is_ok(), "{text}");
}

#[test]
fn what_is_no_json_is_searched_all_the_same_and_what_is_fine_is_not_copied() {
    let token = token();
    let odd = ["\"", "\"\\", "]]}}\"", "[[[", "{\"a\": \"b", "\u{e9}\"\\\u{e9}", ",,:\"\""];
    for document in odd {
        assert_eq!(scanner().json(document, "x").0, document);
        let with = format!("{document}\"{token}\" \"{token}");
        assert!(!scanner().json(&with, "x").0.contains(&token), "{with}");
    }
    let deep = format!("{}\"{token}\"{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(!scanner().json(&deep, "x").0.contains(&token));
    let fine = r#"{"columns": ["loss"], "rows": [[0.1], ["password"]]}"#;
    assert!(matches!(scanner().json(fine, "x").0, Cow::Borrowed(_)));
}
