//! JSON text of nested values, as the command line and the tables show it.
//!
//! Floats are the shortest text that reads back equal and never look like an integer; what JSON has no number for is
//! the text `"NaN"`, `"Infinity"` or `"-Infinity"`.

use std::fmt::Write as _;

use runcellar::Json;

/// Returns the JSON text of a value.
pub(crate) fn to_text(value: &Json) -> String {
    let mut out = String::new();
    push(value, &mut out);
    out
}

fn push(value: &Json, out: &mut String) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Json::Int(value) => push_display(value, out),
        Json::Float(value) => push_float(*value, out),
        Json::Text(text) => push_text(text, out),
        Json::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                push(item, out);
            }
            out.push(']');
        }
        Json::Map(members) => {
            out.push('{');
            for (index, (name, member)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                push_text(name, out);
                out.push(':');
                push(member, out);
            }
            out.push('}');
        }
    }
}

fn push_display(value: impl std::fmt::Display, out: &mut String) {
    write!(out, "{value}").expect("a String takes every write");
}

fn push_float(value: f64, out: &mut String) {
    if value.is_nan() {
        out.push_str("\"NaN\"");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" });
    } else {
        // The debug form of a float is the shortest exact one, with a point or an exponent.
        write!(out, "{value:?}").expect("a String takes every write");
    }
}

fn push_text(text: &str, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => push_display(format_args!("\\u{:04x}", u32::from(control)), out),
            letter => out.push(letter),
        }
    }
    out.push('"');
}
