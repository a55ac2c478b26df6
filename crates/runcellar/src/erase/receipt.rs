//! Receipts: what a purge erased, what was looked at afterwards, and who could still open older copies; signed.
//!
//! A receipt is a JSON object. It names random ids alone, never what users wrote. The signature is over its text without
//! the member `signature`, written without blanks and with the names of each object in order of their bytes, so that any
//! JSON library can check it. docs/FORMAT.md, "Receipts".

use runcellar_format::sign::{self, SigningKey};
use serde_json::{Map, Value, json};

use crate::{Error, ErrorKind, Result};

/// What is signed, before the receipt's text.
const LABEL: &str = "runcellar 1 receipt";
/// The version of receipts.
const VERSION: u64 = 1;
/// A receipt of a purge of a million things is about this long.
const BYTES_MAX: usize = 256 << 20;

/// A receipt of a purge.
#[derive(Debug, Clone, PartialEq)]
pub struct Receipt {
    members: Map<String, Value>,
}

/// What a receipt says was looked at after the purge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CheckLine {
    pub(super) name: &'static str,
    pub(super) ok: bool,
}

impl Receipt {
    /// Makes a receipt that nothing was checked of yet.
    pub(super) fn new(members: Value) -> Receipt {
        let mut members = match members {
            Value::Object(members) => members,
            _ => Map::new(),
        };
        members.insert("receipt".into(), VERSION.into());
        Receipt { members }
    }

    /// Reads a receipt. It is not verified yet.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] if the text is no receipt; [`ErrorKind::NewerFormat`].
    pub fn parse(text: &str) -> Result<Receipt> {
        if text.len() > BYTES_MAX {
            return Err(Error::damaged("receipt: longer than any receipt"));
        }
        let value: Value =
            serde_json::from_str(text).map_err(|cause| Error::damaged(format!("receipt: not JSON: {cause}")))?;
        let Value::Object(members) = value else { return Err(Error::damaged("receipt: not a JSON object")) };
        match members.get("receipt").and_then(Value::as_u64) {
            Some(VERSION) => Ok(Receipt { members }),
            Some(newer) if newer > VERSION => Err(Error::new(
                ErrorKind::NewerFormat,
                format!("receipt: version {newer} is newer than this build reads"),
            )),
            _ => Err(Error::damaged("receipt: it does not say its version")),
        }
    }

    /// Checks that nothing of the receipt was altered since a device signed it.
    ///
    /// It says nothing of whose device that was: compare [`Receipt::public_key`].
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] if it was altered or never signed.
    pub fn verify(&self) -> Result<()> {
        let signature = self.bytes("signature")?;
        let signed = sign::verify(&self.bytes("public_key")?, LABEL, self.signed_text().as_bytes(), &signature);
        signed.map_err(|cause| Error::format("receipt", cause))
    }

    fn bytes<const N: usize>(&self, member: &str) -> Result<[u8; N]> {
        let text = self.text(member).ok_or_else(|| Error::damaged(format!("receipt: it has no {member}")))?;
        from_hexadecimal(text).ok_or_else(|| Error::damaged(format!("receipt: {member}: not {N} bytes in hexadecimal")))
    }

    fn text(&self, member: &str) -> Option<&str> {
        self.members.get(member)?.as_str()
    }

    /// Returns its random id.
    #[must_use]
    pub fn id(&self) -> &str {
        self.text("id").unwrap_or_default()
    }

    /// Returns the id of the workspace.
    #[must_use]
    pub fn workspace(&self) -> &str {
        self.text("workspace").unwrap_or_default()
    }

    /// Returns when the purge was made: RFC 3339.
    #[must_use]
    pub fn time(&self) -> &str {
        self.text("time").unwrap_or_default()
    }

    /// Returns the public key of the device that signed it, 64 hexadecimal digits.
    #[must_use]
    pub fn public_key(&self) -> &str {
        self.text("public_key").unwrap_or_default()
    }

    pub(super) fn is_signed(&self) -> bool {
        self.members.contains_key("signature")
    }

    /// Returns true if all that was to go has gone.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.members.get("complete") == Some(&Value::Bool(true))
    }

    /// Returns what was erased, each with its `kind`, `id`, `objects` and `bytes`.
    #[must_use]
    pub fn targets(&self) -> &[Value] {
        self.list("targets")
    }

    /// Returns what was looked at, each with its `name` and whether it is `ok`.
    #[must_use]
    pub fn checks(&self) -> &[Value] {
        self.list("checks")
    }

    /// Returns what could open older copies, each with its `kind`, `id` and `since`.
    #[must_use]
    pub fn residual_openers(&self) -> &[Value] {
        self.list("residual_openers")
    }

    fn list(&self, member: &str) -> &[Value] {
        self.members.get(member).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn epoch_after(&self) -> u64 {
        self.members.get("epoch").and_then(|epoch| epoch.get("after")).and_then(Value::as_u64).unwrap_or(0)
    }

    /// Returns it as JSON text, as files have it.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Names of any object come out in order, whatever serde_json's maps do: see `canonical`.
        let pretty = serde_json::to_string_pretty(&Value::Object(self.members.clone()));
        pretty.unwrap_or_default() + "\n"
    }

    /// Returns whether a check was made before, and ok.
    pub(super) fn was_ok(&self, name: &str) -> bool {
        self.checks().iter().any(|check| check["name"] == name && check["ok"] == true)
    }

    /// Returns whether it says just this.
    pub(super) fn says(&self, checks: &[CheckLine], openers: &[Value]) -> bool {
        self.members.get("checks") == Some(&listed(checks)) && self.residual_openers() == openers
    }

    /// Writes down what was looked at, and signs it.
    pub(super) fn conclude(&mut self, checks: &[CheckLine], openers: Vec<Value>, key: &SigningKey) {
        self.members.insert("checks".into(), listed(checks));
        self.members.insert("residual_openers".into(), Value::Array(openers));
        self.members.insert("complete".into(), checks.iter().all(|check| check.ok).into());
        self.members.insert("public_key".into(), hexadecimal(&key.public()).into());
        let signature = key.sign(LABEL, self.signed_text().as_bytes());
        self.members.insert("signature".into(), hexadecimal(&signature).into());
    }

    fn signed_text(&self) -> String {
        let mut members = self.members.clone();
        members.remove("signature");
        canonical(&Value::Object(members))
    }
}

fn listed(checks: &[CheckLine]) -> Value {
    checks.iter().map(|check| json!({"name": check.name, "ok": check.ok})).collect()
}

/// Writes a value without blanks, the names of each object in order of their bytes.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort_unstable();
            let member = |name: &String| {
                let value = members.get(name).map(canonical).unwrap_or_default();
                format!("{}:{value}", Value::String(name.clone()))
            };
            format!("{{{}}}", names.into_iter().map(member).collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        plain => plain.to_string(),
    }
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hexadecimal<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    // Digits as they are written, so that a receipt has one form alone.
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = pairs.iter().map(|[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect();
    bytes.filter(|_| rest.is_empty())?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt() -> Receipt {
        let mut receipt = Receipt::new(json!({"id": "ab", "targets": [{"kind": "run", "bytes": 7, "id": "00"}]}));
        let checks = [CheckLine { name: "keys_dropped", ok: true }];
        receipt.conclude(&checks, vec![json!({"kind": "key_file", "id": "cd", "since": null})], &key());
        receipt
    }

    fn key() -> SigningKey {
        SigningKey::new(&runcellar_format::Secret::new([9; 32]))
    }

    #[test]
    fn the_signed_text_does_not_depend_on_blanks_or_order() {
        let value: Value =
            serde_json::from_str(" { \"b\" : [ 1 , {\"z\":null,\"a\":\"\\u00e9\"} ], \"a\" : true } ").expect("JSON");
        assert_eq!(canonical(&value), "{\"a\":true,\"b\":[1,{\"a\":\"\u{e9}\",\"z\":null}]}");
    }

    /// A seeded mutator, as no fuzzer with coverage drives what is not in the format crate.
    #[test]
    fn no_text_makes_the_reader_panic_and_none_verifies_but_what_was_signed() {
        let (signed, text) = (receipt(), receipt().to_json());
        let mut state = 7_u64;
        let mut below = |limit: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % limit
        };
        let mut read = 0;
        for _ in 0..20_000 {
            let mut bytes = text.clone().into_bytes();
            for _ in 0..=below(3) {
                let at = below(bytes.len().max(1));
                if bytes.is_empty() {
                    break;
                }
                match below(4) {
                    0 => bytes[at] ^= 1 << below(7),
                    1 => drop(bytes.drain(at..(at + 1 + below(8)).min(text.len()).min(bytes.len()).max(at))),
                    2 => bytes.insert(at, b"{}[]\":,0 9e-\\u"[below(14)]),
                    _ => bytes.truncate(at.max(1)),
                }
            }
            let Ok(altered) = Receipt::parse(&String::from_utf8_lossy(&bytes)) else { continue };
            read += 1;
            assert!(altered.verify().is_err() || altered == signed, "{}", altered.to_json());
            let _ =
                (altered.id(), altered.targets(), altered.checks(), altered.residual_openers(), altered.is_complete());
        }
        assert!(read > 100, "{read}");
        assert!(Receipt::parse(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn a_receipt_reads_back_and_any_change_of_it_shows() {
        let receipt = receipt();
        let text = receipt.to_json();
        let read = Receipt::parse(&text).expect("a receipt");
        assert_eq!(read, receipt);
        assert!(read.is_complete());
        read.verify().expect("as it was signed");
        for (from, to) in [("\"bytes\": 7", "\"bytes\": 8"), ("\"ok\": true", "\"ok\": false"), ("\"cd\"", "\"ce\"")] {
            let altered = Receipt::parse(&text.replace(from, to)).expect("still a receipt");
            assert_eq!(altered.verify().expect_err(to).kind(), ErrorKind::Damaged, "{to}");
        }
        for text in ["", "[]", "{}", "{\"receipt\": 0}", "\u{feff}{"] {
            assert_eq!(Receipt::parse(text).expect_err(text).kind(), ErrorKind::Damaged, "{text}");
        }
        assert_eq!(Receipt::parse("{\"receipt\": 2}").expect_err("newer").kind(), ErrorKind::NewerFormat);
        let unsigned = Receipt::parse("{\"receipt\": 1}").expect("a receipt").verify().expect_err("unsigned");
        assert_eq!(unsigned.to_string(), "receipt: it has no signature");
    }
}
