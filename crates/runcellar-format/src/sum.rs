//! Keyed additive sums: one number over a set of rows, updated in constant time as rows come and go.
//!
//! The sum of keyed BLAKE3 hashes modulo 2^256. Whoever lacks the key cannot tell which rows cancel, so a row that
//! is deleted, or replaced by an older version of itself, changes the sum. docs/FORMAT.md, "Keyed sums".

use crate::secret::Secret;

/// A keyed sum over rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sum(pub [u8; 32]);

impl Sum {
    /// Adds a row's hash.
    pub fn add(&mut self, row: &[u8; 32]) {
        let mut carry = 0;
        for (left, right) in self.0.iter_mut().zip(row) {
            let total = u16::from(*left) + u16::from(*right) + carry;
            *left = total as u8;
            carry = total >> 8;
        }
    }

    /// Takes a row's hash away.
    pub fn remove(&mut self, row: &[u8; 32]) {
        let mut borrow = 0;
        for (left, right) in self.0.iter_mut().zip(row) {
            let total = i16::from(*left) - i16::from(*right) - borrow;
            *left = total as u8;
            borrow = i16::from(total < 0);
        }
    }
}

/// Returns the keyed hash of one row: a label, its table, and each of its columns with its length.
#[must_use]
pub fn row_hash(key: &Secret, table: &str, columns: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(key.expose());
    hasher.update(b"runcellar 1 row").update(table.as_bytes()).update(&[0]);
    for column in columns {
        hasher.update(&(column.len() as u64).to_le_bytes()).update(column);
    }
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_does_not_depend_on_order_and_removal_undoes_adding() {
        let key = Secret::new([1; 32]);
        let rows: Vec<[u8; 32]> = (0..50_u8).map(|row| row_hash(&key, "run", &[&[row], b"x"])).collect();
        let (mut forward, mut backward) = (Sum::default(), Sum::default());
        rows.iter().for_each(|row| forward.add(row));
        rows.iter().rev().for_each(|row| backward.add(row));
        assert_eq!(forward, backward);
        rows.iter().skip(1).for_each(|row| forward.remove(row));
        let mut first = Sum::default();
        first.add(&rows[0]);
        assert_eq!(forward, first);
        assert_ne!(row_hash(&key, "run", &[b"ab", b"c"]), row_hash(&key, "run", &[b"a", b"bc"]));
    }
}
