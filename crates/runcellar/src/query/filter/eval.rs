//! The parsed filter, and whether it holds for given fields.

use std::cmp::Ordering;

use super::Scalar;
use super::like::Pattern;
use super::value::Number;

/// A condition. Nested no deeper than [`FILTER_DEPTH_MAX`](super::FILTER_DEPTH_MAX), which the parser sees to.
#[derive(Debug, Clone)]
pub(super) enum Expr {
    All(Vec<Expr>),
    Any(Vec<Expr>),
    Not(Box<Expr>),
    /// What is asked of the field of this number among those of the filter.
    Test(usize, Test),
}

/// What is asked of one field. `negated` is for `not` between field and operator: false, too, if the field is absent
/// or of another type.
#[derive(Debug, Clone)]
pub(super) enum Test {
    Exists,
    Compare(Relation, Literal),
    /// The field is one of these.
    In {
        literals: Vec<Literal>,
        negated: bool,
    },
    /// The field is a list and this is one of its elements.
    Holds {
        literal: Literal,
        negated: bool,
    },
    Like {
        pattern: Pattern,
        negated: bool,
    },
}

/// A comparison operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A value written in a filter.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// Microseconds UTC since 1970: a text that was compared with a field that holds a time.
    Time(i64),
    /// A duration: that many seconds, or that long after now if compared with a time.
    Seconds(f64),
}

impl Expr {
    /// Returns whether the condition holds.
    pub(super) fn holds<'a>(&self, get: &dyn Fn(usize) -> Option<Scalar<'a>>, now_us: i64) -> bool {
        match self {
            Expr::All(parts) => parts.iter().all(|part| part.holds(get, now_us)),
            Expr::Any(parts) => parts.iter().any(|part| part.holds(get, now_us)),
            Expr::Not(part) => !part.holds(get, now_us),
            Expr::Test(field, test) => {
                let value = get(*field).filter(|value| !matches!(value, Scalar::Null));
                test.holds(value.as_ref(), now_us)
            }
        }
    }

    /// Puts what `dear` fields decide last among the parts of each `and` and `or`: as soon as one part decides, the rest
    /// is not looked at.
    pub(super) fn put_last(&mut self, dear: &dyn Fn(usize) -> bool) {
        match self {
            Expr::All(parts) | Expr::Any(parts) => {
                parts.iter_mut().for_each(|part| part.put_last(dear));
                parts.sort_by_key(|part| part.reads(dear));
            }
            Expr::Not(part) => part.put_last(dear),
            Expr::Test(..) => {}
        }
    }

    fn reads(&self, which: &dyn Fn(usize) -> bool) -> bool {
        match self {
            Expr::All(parts) | Expr::Any(parts) => parts.iter().any(|part| part.reads(which)),
            Expr::Not(part) => part.reads(which),
            Expr::Test(field, _) => which(*field),
        }
    }
}

impl Test {
    fn holds(&self, value: Option<&Scalar<'_>>, now_us: i64) -> bool {
        match self {
            Test::Exists => value.is_some(),
            Test::Compare(relation, literal) => compare(value, *relation, literal, now_us),
            Test::In { literals, negated: false } => {
                literals.iter().any(|literal| compare(value, Relation::Equal, literal, now_us))
            }
            // As `!=` with each, except that literals of another type say nothing as long as one is of the same.
            Test::In { literals, negated: true } => {
                literals.iter().any(|literal| compare(value, Relation::NotEqual, literal, now_us))
                    && !literals.iter().any(|literal| compare(value, Relation::Equal, literal, now_us))
            }
            Test::Holds { literal, negated } => match value {
                Some(Scalar::List(_)) => {
                    let relation = if *negated { Relation::NotEqual } else { Relation::Equal };
                    compare(value, relation, literal, now_us)
                }
                _ => false,
            },
            Test::Like { pattern, negated } => match value {
                Some(Scalar::Text(text)) => pattern.matches(text) != *negated,
                Some(Scalar::List(elements)) => {
                    let fits = |element: &Scalar<'_>| matches!(element, Scalar::Text(text) if pattern.matches(text));
                    elements.iter().any(fits) != *negated
                }
                _ => false,
            },
        }
    }
}

fn compare(value: Option<&Scalar<'_>>, relation: Relation, literal: &Literal, now_us: i64) -> bool {
    match (value, relation, literal) {
        (value, Relation::Equal, Literal::Null) => value.is_none(),
        (value, Relation::NotEqual, Literal::Null) => value.is_some(),
        (None, ..) | (.., Literal::Null) => false,
        (Some(Scalar::List(elements)), Relation::NotEqual, _) => {
            !elements.iter().any(|element| compare_one(element, Relation::Equal, literal, now_us))
        }
        (Some(Scalar::List(elements)), ..) => {
            elements.iter().any(|element| compare_one(element, relation, literal, now_us))
        }
        (Some(value), ..) => compare_one(value, relation, literal, now_us),
    }
}

/// Compares a value that is not taken apart: a list, when inside a list, is of another type than any literal.
fn compare_one(value: &Scalar<'_>, relation: Relation, literal: &Literal, now_us: i64) -> bool {
    // `Some(None)` is NaN: of the same type, but neither less nor equal nor greater.
    let order: Option<Option<Ordering>> = match (value, literal) {
        (Scalar::Bool(a), Literal::Bool(b)) => Some(Some(a.cmp(b))),
        (Scalar::Text(a), Literal::Text(b)) => Some(Some(a.as_ref().cmp(b.as_str()))),
        (Scalar::Time(a), Literal::Time(b)) => Some(Some(a.cmp(b))),
        (Scalar::Time(a), Literal::Seconds(secs)) => Some(Some(a.cmp(&after(now_us, *secs)))),
        _ => value.number().zip(literal.number()).map(|(a, b)| a.compare(b)),
    };
    match order {
        None => false,
        Some(order) => relation.admits(order),
    }
}

/// Returns the time that lies this many seconds after `now_us`, held to what an i64 can say.
fn after(now_us: i64, secs: f64) -> i64 {
    // The conversion saturates, too.
    now_us.saturating_add((secs * 1e6).round() as i64)
}

impl Literal {
    fn number(&self) -> Option<Number> {
        match self {
            Literal::Int(value) => Some(Number::Int(*value)),
            Literal::Float(value) | Literal::Seconds(value) => Some(Number::Float(*value)),
            _ => None,
        }
    }
}

impl Relation {
    fn admits(self, order: Option<Ordering>) -> bool {
        match self {
            Relation::Equal => order == Some(Ordering::Equal),
            Relation::NotEqual => order != Some(Ordering::Equal),
            Relation::Less => order == Some(Ordering::Less),
            Relation::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Relation::Greater => order == Some(Ordering::Greater),
            Relation::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_far_from_now_are_held_to_the_range() {
        assert_eq!(after(0, -1.5), -1_500_000);
        assert_eq!(after(i64::MAX - 1, 1.0), i64::MAX);
        assert_eq!(after(5, 1e300), i64::MAX);
        assert_eq!(after(-5, -1e300), i64::MIN);
    }

    #[test]
    fn relations_admit_the_orders_they_name() {
        let orders = [Some(Ordering::Less), Some(Ordering::Equal), Some(Ordering::Greater), None];
        let cases = [
            (Relation::Equal, [false, true, false, false]),
            (Relation::NotEqual, [true, false, true, true]),
            (Relation::Less, [true, false, false, false]),
            (Relation::LessOrEqual, [true, true, false, false]),
            (Relation::Greater, [false, false, true, false]),
            (Relation::GreaterOrEqual, [false, true, true, false]),
        ];
        for (relation, expected) in cases {
            assert_eq!(orders.map(|order| relation.admits(order)), expected, "{relation:?}");
        }
    }
}
