//! Answers in XML, read as flat records: listings of S3 and WebDAV, and what servers say of errors.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::ops::ControlFlow;
use std::rc::Rc;

use quick_xml::Reader;
use quick_xml::events::Event;

/// The most bytes of one text; a name has fewer.
const TEXT_BYTES_MAX: usize = 8 << 10;
/// The most bytes between two tags, or of a tag: the parser holds as many.
const EVENT_BYTES_MAX: usize = 1 << 20;
/// The most texts of one record.
const FIELDS_MAX: usize = 64;

/// Elements with their texts, without namespaces, in order.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Returns the first text of an element.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(of, _)| of == name).map(|(_, text)| text.as_str())
    }

    fn push(&mut self, name: String, text: String) {
        if self.0.len() < FIELDS_MAX {
            self.0.push((name, text));
        }
    }
}

/// Reads a document of records, tells each as soon as it is read, and returns what stands outside of all; none if told to stop.
///
/// Memory is bounded by one record, however long the document is.
///
/// # Errors
/// What is wrong with the document, or failed while it was read.
pub(super) fn records(
    from: impl BufRead,
    names: &[&str],
    mut each: impl FnMut(Fields) -> ControlFlow<()>,
) -> Result<Option<Fields>, quick_xml::Error> {
    let held = Rc::new(Cell::new(0));
    let mut reader = Reader::from_reader(Metered { inner: from, held: held.clone() });
    let (mut outside, mut record): (Fields, Option<(String, Fields)>) = Default::default();
    let (mut buffer, mut text, mut depth) = (Vec::new(), String::new(), 0_u32);
    loop {
        buffer.clear();
        held.set(0);
        let mut add = |more: &str| {
            let room = TEXT_BYTES_MAX.saturating_sub(text.len());
            text.push_str(more.get(..more.len().min(room)).unwrap_or_default());
        };
        match reader.read_event_into(&mut buffer)? {
            Event::Start(start) => {
                depth += 1;
                let name = start.local_name().as_ref().to_owned();
                if record.is_none() && names.contains(&name.as_str()) {
                    record = Some((name, Fields::default()));
                }
                text.clear();
            }
            Event::Empty(empty) => {
                let name = empty.local_name().as_ref().to_owned();
                record.as_mut().map_or(&mut outside, |(_, fields)| fields).push(name, String::new());
            }
            Event::Text(found) => add(&found),
            Event::CData(found) => add(&found),
            Event::GeneralRef(found) => match found.resolve_char_ref() {
                Ok(Some(character)) => add(character.encode_utf8(&mut [0; 4])),
                _ => add(quick_xml::escape::resolve_predefined_entity(&found).unwrap_or_default()),
            },
            Event::End(end) => {
                depth = depth.saturating_sub(1);
                let name = end.local_name().as_ref().to_owned();
                if record.as_ref().is_some_and(|(open, _)| *open == name) {
                    if let Some((_, fields)) = record.take()
                        && each(fields).is_break()
                    {
                        return Ok(None);
                    }
                } else {
                    let text = std::mem::take(&mut text);
                    record.as_mut().map_or(&mut outside, |(_, fields)| fields).push(name, text);
                }
                text.clear();
            }
            Event::Eof if depth == 0 => return Ok(Some(outside)),
            Event::Eof => {
                return Err(quick_xml::Error::Io(std::sync::Arc::new(io::ErrorKind::UnexpectedEof.into())));
            }
            _ => {}
        }
    }
}

/// A document that may not go on for ever without a tag.
struct Metered<R> {
    inner: R,
    /// Bytes since the last tag.
    held: Rc<Cell<usize>>,
}

impl<R: BufRead> Read for Metered<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(out)?;
        self.consume(read);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Metered<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.held.get() > EVENT_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a megabyte without a tag"));
        }
        self.inner.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.held.set(self.held.get().saturating_add(bytes));
        self.inner.consume(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_one_by_one_and_the_rest_at_the_end() {
        let text = r#"<?xml version="1.0"?><List xmlns="x"><Name>b</Name><Item><Key>a&amp;b&#x41;</Key><Owner><ID>7</ID></Owner></Item>
            <d:Item xmlns:d="y"><d:Key> c </d:Key><d:folder/></d:Item><More>true</More></List>"#;
        let mut seen = Vec::new();
        let rest = records(text.as_bytes(), &["Item"], |fields| {
            seen.push((
                fields.get("Key").map(str::to_owned),
                fields.get("ID").is_some(),
                fields.get("folder").is_some(),
            ));
            ControlFlow::Continue(())
        });
        let rest = rest.expect("well formed").expect("to the end");
        assert_eq!(seen, [(Some("a&bA".into()), true, false), (Some(" c ".into()), false, true)]);
        assert_eq!((rest.get("Name"), rest.get("More"), rest.get("Key")), (Some("b"), Some("true"), None));
    }

    #[test]
    fn what_is_no_document_is_an_error_and_what_is_huge_stays_small() {
        for bad in ["<a><b></a>", "<a>", "<a", "<a><Item><Key>x"] {
            assert!(records(bad.as_bytes(), &["Item"], |_| ControlFlow::Continue(())).is_err(), "{bad}");
        }
        for endless in ["<a>", "<a ", "<!--", "<a><![CDATA[", "&"] {
            let endless = io::BufReader::new(endless.as_bytes().chain(io::repeat(b'x')));
            assert!(records(endless, &["Item"], |_| ControlFlow::Continue(())).is_err());
        }
        let huge = format!("<a><Item><Key>{}</Key>{}</Item></a>", "x".repeat(1 << 19), "<b>1</b>".repeat(100_000));
        let result = records(huge.as_bytes(), &["Item"], |fields| {
            assert_eq!(fields.get("Key").map(str::len), Some(TEXT_BYTES_MAX));
            assert_eq!(fields.0.len(), FIELDS_MAX);
            ControlFlow::Break(())
        });
        assert!(result.expect("well formed").is_none());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(pieces in proptest::collection::vec("(<[a-z:/!?]{0,4}>|&[a-z#0-9]{0,6};|<Item>|</Item>|\\PC{0,8})", 0..24)) {
            // Whatever comes of it.
            let _ = records(pieces.concat().as_bytes(), &["Item"], |_| ControlFlow::Continue(()));
        }
    }
}
