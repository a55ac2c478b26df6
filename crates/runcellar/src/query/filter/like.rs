//! Patterns of `like`: `%` stands for any run of characters, `_` for one.

/// A pattern, taken apart once.
#[derive(Debug, Clone)]
pub(super) struct Pattern(Vec<Piece>);

#[derive(Debug, Clone, Copy)]
enum Piece {
    Run,
    One,
    Char(char),
}

impl Pattern {
    /// Takes a pattern apart; `escaped` holds, rising, the indices of the characters that stand for themselves.
    pub(super) fn new(text: &str, escaped: &[usize]) -> Pattern {
        let pieces = text.chars().enumerate().map(|(index, c)| match c {
            '%' | '_' if escaped.binary_search(&index).is_ok() => Piece::Char(c),
            '%' => Piece::Run,
            '_' => Piece::One,
            _ => Piece::Char(c),
        });
        Pattern(pieces.collect())
    }

    /// Returns whether the whole text fits. O(text * pattern) time at worst, no memory.
    pub(super) fn matches(&self, text: &str) -> bool {
        let mut rest = text.chars();
        let mut at = 0;
        // Only the last `%` need ever be tried again at a later place: an earlier one already found the first place
        // for all that lies between the two. That keeps hostile patterns from taking exponential time.
        let mut retry = None;
        loop {
            let piece = self.0.get(at);
            if let Some(Piece::Run) = piece {
                at += 1;
                retry = Some((rest.clone(), at));
                continue;
            }
            let next = rest.next();
            let fits = match (piece, next) {
                (None, None) => return true,
                (Some(_), None) => return false,
                (Some(Piece::One), Some(_)) => true,
                (Some(Piece::Char(wanted)), Some(found)) => *wanted == found,
                _ => false,
            };
            if fits {
                at += 1;
                continue;
            }
            let Some((from, after)) = &mut retry else {
                return false;
            };
            if from.next().is_none() {
                return false;
            }
            rest = from.clone();
            at = *after;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_fit_like_in_sql() {
        let cases = [
            ("", "", true),
            ("", "a", false),
            ("%", "", true),
            ("_", "", false),
            ("_", "\u{e9}", true),
            ("a%", "abc", true),
            ("%c", "abc", true),
            ("%b%", "abc", true),
            ("a_c", "abc", true),
            ("A%", "abc", false),
            ("%ab", "aab", true),
            ("%a_b%c", "xaabbaxbbc", true),
            ("%%__%%", "a", false),
            ("%%__%%", "ab", true),
            ("abc", "abcd", false),
            ("a%b", "a\nb", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(Pattern::new(pattern, &[]).matches(text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn escaped_wildcards_stand_for_themselves() {
        let pattern = Pattern::new("5%_%", &[1, 2]);
        assert!(pattern.matches("5%_ and more"));
        assert!(!pattern.matches("50_"));
    }

    #[test]
    fn many_runs_do_not_take_exponential_time() {
        let pattern = Pattern::new(&"%a".repeat(2_000), &[]);
        assert!(!pattern.matches(&"ab".repeat(1_999)));
        assert!(pattern.matches(&"ba".repeat(2_000)));
    }
}
