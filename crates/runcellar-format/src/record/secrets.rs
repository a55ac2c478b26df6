//! What is recorded of secrets that were taken out: bodies that stand in `extra` fields, and the text of an event.
//!
//! docs/FORMAT.md, "Findings".

use bincode::{Decode, Encode};

use super::{Body, Event};

/// `Start.extra`: [`Arguments`].
pub const ARGUMENTS_FIELD: u16 = 6;
/// `RunRecord.extra`: [`Findings`].
pub const FINDINGS_FIELD: u16 = 6;
/// [`Event::kind`]: a secret was redacted; the text is that of [`Redacted::to_event`].
pub const REDACTED_EVENT: u16 = 2;
/// The most findings that a run's record lists.
pub const FINDINGS_MAX: usize = 1000;

/// The arguments of a program.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Arguments {
    /// The arguments, without the program.
    pub all: Vec<String>,
}

impl Body for Arguments {
    const NAME: &'static str = "arguments";
}

/// The secrets that were found in what a run recorded, in order of being found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Findings {
    /// The findings.
    pub all: Vec<Redacted>,
}

impl Body for Findings {
    const NAME: &'static str = "findings";
}

/// A secret that was found and not recorded.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Redacted {
    /// Its id: 12 hexadecimal digits.
    pub id: String,
    /// The rule that it falls under.
    pub rule: String,
    /// Where it stood.
    pub place: String,
    /// Its length in characters.
    pub length: u64,
}

/// What was searched for secrets of a run before it is published, and what was found: a row of a device's own replica.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Searched {
    /// The rules that were looked for: others begin anew.
    pub rules: u32,
    /// Hash of the versions of all that was searched: with another one something is new.
    pub mark: [u8; 32],
    /// What was found in the record.
    pub record: Vec<Redacted>,
    /// Row groups that have texts.
    pub groups: Vec<SearchedGroup>,
    /// Files of code and media.
    pub files: Vec<SearchedFile>,
    /// Fields of later minor versions, kept as they are: (field, bytes).
    pub extra: Vec<(u16, Vec<u8>)>,
}

impl Body for Searched {
    const NAME: &'static str = "searched run";
}

/// A row group that was searched.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct SearchedGroup {
    /// The writer.
    pub writer: [u8; 16],
    /// Its number.
    pub number: u32,
    /// What was found.
    pub found: Vec<Redacted>,
}

/// A file that was searched.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct SearchedFile {
    /// The first half of the BLAKE3 of what the manifest says of it.
    pub hash: [u8; 16],
    /// What was found.
    pub found: Vec<Redacted>,
}

impl Redacted {
    /// Returns the event that says so: id, rule, length and place, with one space between.
    #[must_use]
    pub fn to_event(&self, time: i64) -> Event {
        let text = format!("{} {} {} {}", self.id, self.rule, self.length, self.place);
        Event { time, kind: REDACTED_EVENT, text }
    }

    /// Reads an event; `None` for one of another kind or form, of which no notice is taken.
    #[must_use]
    pub fn from_event(event: &Event) -> Option<Redacted> {
        let mut parts = event.text.splitn(4, ' ');
        let mut next = || parts.next().map(str::to_owned);
        let (id, rule, length, place) = (next()?, next()?, next()?, next()?);
        let length = length.parse().ok()?;
        (event.kind == REDACTED_EVENT).then_some(Redacted { id, rule, place, length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_passes_through_an_event() {
        let (id, rule) = ("0123456789ab".to_owned(), "token".to_owned());
        let finding = Redacted { id, rule, place: "config.a key.b".into(), length: 40 };
        let event = finding.to_event(7);
        assert_eq!(event.text, "0123456789ab token 40 config.a key.b");
        assert_eq!(Redacted::from_event(&event), Some(finding));
        for (kind, text) in [(1, event.text.as_str()), (2, "a b c d"), (2, "a b 3"), (2, "")] {
            assert_eq!(Redacted::from_event(&Event { time: 0, kind, text: text.into() }), None);
        }
    }
}
