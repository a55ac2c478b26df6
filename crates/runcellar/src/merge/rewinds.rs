//! Rewinds of one run in two workspaces: those of either hold in both.

use runcellar_format::record::Rewind;

/// The rewinds of both, by time, those from here with what they hide here.
pub(super) struct Rewinds {
    pub(super) all: Vec<Rewind>,
    /// The places in `all` of those that are not here, or not for all writers.
    pub(super) new: Vec<usize>,
    /// Both sides have all of them.
    pub(super) agree: bool,
}

/// Returns the rewinds of both sides. They are told apart by when and to which step they were made, and by whom.
pub(super) fn of_both(mine: &[Rewind], theirs: &[Rewind]) -> Rewinds {
    let key = |rewind: &Rewind| (rewind.time, rewind.step, rewind.launch);
    let mut all = mine.to_vec();
    for more in theirs {
        match all.iter_mut().find(|known| key(known) == key(more)) {
            Some(known) => {
                known.writers.extend(&more.writers);
                known.writers.sort_unstable();
                known.writers.dedup();
            }
            None => all.push(Rewind { hidden: Vec::new(), ..more.clone() }),
        }
    }
    all.sort_by_key(key);
    let lacks = |side: &[Rewind], rewind: &Rewind| {
        !side.iter().any(|known| key(known) == key(rewind) && known.writers.len() == rewind.writers.len())
    };
    let new: Vec<usize> = (0..all.len()).filter(|at| lacks(mine, &all[*at])).collect();
    let agree = new.is_empty() && all.iter().all(|rewind| !lacks(theirs, rewind));
    Rewinds { all, new, agree }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_of_either_side_hold_and_what_is_hidden_is_told_by_this_one() {
        let rewind = |time, writers: &[u8], hidden: Option<u32>| {
            let mut made = Rewind { time, step: 5, ..Rewind::default() };
            made.writers = writers.iter().map(|writer| [*writer; 16]).collect();
            hidden.into_iter().for_each(|number| made.hide([writers[0]; 16], number));
            made
        };
        let mine = [rewind(1, &[1], Some(3)), rewind(9, &[1, 2], None)];
        let theirs = [rewind(1, &[1], Some(7)), rewind(4, &[1], Some(8)), rewind(9, &[2, 3], None)];
        let both = of_both(&mine, &theirs);
        assert_eq!(both.all, [rewind(1, &[1], Some(3)), rewind(4, &[1], None), rewind(9, &[1, 2, 3], None)]);
        assert_eq!((both.new, both.agree), (vec![1, 2], false));
        let same = of_both(&mine, &[rewind(1, &[1], None), rewind(9, &[1, 2], Some(1))]);
        assert_eq!((same.all.as_slice(), same.new.len(), same.agree), (&mine[..], 0, true));
        let ahead = of_both(&mine, &theirs[..1]);
        assert!(ahead.new.is_empty() && !ahead.agree);
    }
}
