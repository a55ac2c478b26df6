//! Fields of CSV: RFC 4180, lines ended by LF.

use std::io::{Result, Write};

use runcellar::Value;

use crate::render::number::exact_number;
use crate::render::visible;
use crate::shapes::Scalar;

/// Writes a text, in quotes where it needs them. An empty text is `""`, to be told from an absent value.
pub(super) fn text(out: &mut impl Write, text: &str, tame: bool) -> Result<()> {
    let shown: String;
    let text = if tame {
        shown = visible(text);
        &shown
    } else {
        text
    };
    let bare = !text.is_empty() && !text.contains([',', '"', '\n', '\r']) && text.trim() == text;
    if bare { out.write_all(text.as_bytes()) } else { write!(out, "\"{}\"", text.replace('"', "\"\"")) }
}

/// Writes a value.
pub(super) fn value(out: &mut impl Write, value: &Value, tame: bool) -> Result<()> {
    match value {
        Value::Float(float) => out.write_all(exact_number(*float).as_bytes()),
        Value::Int(int) => write!(out, "{int}"),
        Value::Bool(bool) => write!(out, "{bool}"),
        Value::Text(content) => text(out, content, tame),
        Value::Histogram(_) => text(out, &serde_json::to_string(&Scalar(value))?, tame),
        Value::Media(id) => text(out, &id.to_string(), tame),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(content: &str) -> String {
        let mut out = Vec::new();
        text(&mut out, content, false).expect("memory takes everything");
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn text_is_quoted_where_a_reader_would_trip() {
        let cases = [
            ("plain/name-1.x", "plain/name-1.x"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("bare\rreturn", "\"bare\rreturn\""),
            (" padded ", "\" padded \""),
            ("", "\"\""),
        ];
        for (content, expected) in cases {
            assert_eq!(written(content), expected);
        }
    }
}
