//! Field 8 of a start record: by which the writer's process is told from others of its number.

use super::Start;
use crate::codec::{Reader, Writer};

/// The field's number in [`Start::extra`].
const PROCESS_FIELD: u16 = 8;

/// When and where a writer's process id counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProcessField {
    /// When the process started, in clock ticks since the boot; 0 if that could not be told.
    pub started: u64,
    /// Number of the namespace of its id; 0 if there is none.
    pub namespace: u64,
}

impl ProcessField {
    /// Puts the field into a start record, in place of one that is there.
    pub fn put(&self, start: &mut Start) {
        let mut bytes = Writer::with_capacity(16);
        bytes.u64(self.started).u64(self.namespace);
        start.extra.retain(|(field, _)| *field != PROCESS_FIELD);
        start.extra.push((PROCESS_FIELD, bytes.into_vec()));
    }

    /// Returns the field of a start record; all zeros if it has none that can be read.
    #[must_use]
    pub fn of(start: &Start) -> ProcessField {
        let read = |bytes: &[u8]| {
            let mut reader = Reader::new("process field", bytes);
            let field = ProcessField { started: reader.u64()?, namespace: reader.u64()? };
            reader.finish().map(|()| field)
        };
        let found = start.extra.iter().find(|(field, _)| *field == PROCESS_FIELD);
        found.and_then(|(_, bytes)| read(bytes).ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_reads_back_and_a_foreign_one_says_nothing() {
        let mut start = Start { extra: vec![(7, vec![1])], ..Start::default() };
        assert_eq!(ProcessField::of(&start), ProcessField::default());
        for started in [5, 6] {
            let field = ProcessField { started, namespace: 9 };
            field.put(&mut start);
            assert_eq!((ProcessField::of(&start), start.extra.len()), (field, 2));
        }
        start.extra = vec![(PROCESS_FIELD, vec![0; 17])];
        assert_eq!(ProcessField::of(&start), ProcessField::default());
    }
}
