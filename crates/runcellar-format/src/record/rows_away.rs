//! Row groups that lie on remotes: which segments have them, and which runs lack theirs here. docs/FORMAT.md, "Remotes".

use bincode::{Decode, Encode};

use super::Body;

/// `Segment.extra`: what the segments that follow this one have, a [`RowSegments`].
pub const ROWS_FIELD: u16 = 1;

/// The segments that follow one, without gap, and have parts of row groups and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct RowSegments {
    /// For each of them the runs whose parts it has, in order.
    pub runs: Vec<Vec<[u8; 16]>>,
}

impl Body for RowSegments {
    const NAME: &'static str = "row segments";
}

/// Where rows of a run lie that are not here: what is said of the run is, and some or all of its rows are not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct RowsAway {
    /// Where devices publish that have rows which are not here.
    pub places: Vec<RowsPlace>,
    /// Points of the run where most of them are.
    pub points: u64,
    /// The place whose statistics the run shows.
    pub shown: RowsPlace,
    /// Fields of later minor versions, kept as they are: (field, bytes).
    pub extra: Vec<(u16, Vec<u8>)>,
}

/// Where a device publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
pub struct RowsPlace {
    /// The remote.
    pub remote: [u8; 16],
    /// The prefix of the device there.
    pub prefix: [u8; 16],
}

impl Body for RowsAway {
    const NAME: &'static str = "rows away";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn their_bytes_are_those_of_the_format_page_and_none_may_be_missing_or_too_many() {
        fn holds<T: Body + PartialEq + std::fmt::Debug>(value: &T, wanted: &[u8]) {
            let body = value.to_body().expect("short");
            assert_eq!(body, wanted);
            assert_eq!(T::from_body(&body).as_ref(), Ok(value));
            (0..body.len()).for_each(|len| assert!(T::from_body(&body[..len]).is_err(), "{len} bytes"));
            assert!(T::from_body(&[&body[..], &[0]].concat()).is_err());
        }
        let place = |first, second| RowsPlace { remote: [first; 16], prefix: [second; 16] };
        let away = RowsAway { places: vec![place(1, 2)], points: 1000, shown: place(1, 2), extra: Vec::new() };
        let wanted = [&[1, 0, 1][..], &[1; 16], &[2; 16], &[251, 0xe8, 3], &[1; 16], &[2; 16], &[0]].concat();
        holds(&away, &wanted);
        let segments = RowSegments { runs: vec![vec![[3; 16]], Vec::new()] };
        holds(&segments, &[&[1, 0, 2, 1][..], &[3; 16], &[0]].concat());
    }
}
