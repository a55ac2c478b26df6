//! Groups of runs: what runs with the same config, or the same of anything else, have in common.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use runcellar_format::catalogue::to_exact;

use super::bind::{json_of, json_scalar, value_scalar};
use super::filter::{Field, Scalar, compare_for_sort};
use super::list::{select, sort};
use super::look::look;
use super::runs::{Selection, list_of};
use crate::{Error, Json, Result, Value, Workspace};

/// The most groups that are made: what differs between all runs groups nothing.
const GROUPS_MAX: usize = 100_000;

/// Runs that are grouped, and figures of each group.
#[derive(Debug, Clone, PartialEq)]
pub struct Groups {
    /// What they are grouped by.
    pub by: Vec<Field>,
    /// What the figures are of.
    pub of: Vec<Field>,
    /// The groups, by rising key.
    pub groups: Vec<Group>,
}

/// Runs that have the same values.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The value of each field that they are grouped by; none where the runs have none. Times are microseconds.
    pub key: Vec<Option<Json>>,
    /// How many runs.
    pub runs: u64,
    /// Figures of each field over all runs of the group.
    pub statistics: Vec<GroupStatistics>,
}

/// Figures of one field over the runs of a group.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GroupStatistics {
    /// Runs that have a finite number there; the other figures are of these.
    pub count: u64,
    /// Runs that have NaN or an infinity there.
    pub non_finite: u64,
    /// The mean.
    pub mean: Option<f64>,
    /// The standard deviation of the sample, with count - 1; none below two runs.
    pub deviation: Option<f64>,
    /// The smallest.
    pub min: Option<Value>,
    /// The largest.
    pub max: Option<Value>,
}

/// Mean and squared deviations, updated value by value.
///
/// Source: Welford, "Note on a Method for Calculating Corrected Sums of Squares and Products", 1962,
/// doi:10.1080/00401706.1962.10490022.
#[derive(Default, Clone)]
struct Figures {
    count: u64,
    non_finite: u64,
    mean: f64,
    squares: f64,
    extremes: Option<(Value, Value)>,
}

impl Figures {
    fn take(&mut self, scalar: &Scalar<'_>) {
        let (number, value) = match scalar {
            Scalar::Int(int) => (*int as f64, Value::Int(*int)),
            Scalar::Float(float) if float.is_finite() => (*float, Value::Float(*float)),
            Scalar::Float(_) => {
                self.non_finite += 1;
                return;
            }
            _ => return,
        };
        self.count += 1;
        let from_old = number - self.mean;
        self.mean += from_old / self.count as f64;
        self.squares += from_old * (number - self.mean);
        match &mut self.extremes {
            None => self.extremes = Some((value.clone(), value)),
            Some((min, max)) => {
                if order(&value, min).is_lt() {
                    *min = value;
                } else if order(&value, max).is_gt() {
                    *max = value;
                }
            }
        }
    }

    fn finish(self) -> GroupStatistics {
        let (min, max) = self.extremes.unzip();
        GroupStatistics {
            count: self.count,
            non_finite: self.non_finite,
            mean: (self.count > 0).then_some(self.mean),
            deviation: (self.count > 1).then(|| (self.squares / (self.count - 1) as f64).sqrt()),
            min,
            max,
        }
    }
}

/// Returns the exact order of two numbers.
fn order(left: &Value, right: &Value) -> Ordering {
    compare_for_sort(Some(&value_scalar(left)), Some(&value_scalar(right)), false)
}

/// Returns a text that values have in common exactly if they are of one group: 1 and 1.0 are.
fn same(key: &[Option<Json>]) -> Result<String> {
    let value = |value: &Option<Json>| match value {
        Some(Json::Float(float)) if float.is_nan() => Json::Float(f64::NAN),
        Some(Json::Float(float)) if float.fract() == 0.0 && float.abs() <= (1_u64 << 53) as f64 => {
            Json::Int(*float as i64)
        }
        Some(value) => value.clone(),
        None => Json::Null,
    };
    to_exact(&Json::List(key.iter().map(value).collect())).map_err(|cause| Error::format("group", cause))
}

impl Workspace {
    /// Groups the runs that a selection asks for by the values of fields; its order and limit do not matter.
    ///
    /// Figures are of the fields `of`, or of every summary key of which some run has a number if that is empty. They
    /// are over all runs of a group. Groups come by rising key; [`Groups::order_by`] changes that.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] for more than 100,000 groups; if the workspace cannot be read.
    pub fn group_runs(&self, selection: &Selection, by: &[Field], of: &[Field]) -> Result<Groups> {
        look(&self.inner, |look| {
            let mut found = select(look, selection)?;
            // Floating-point sums depend on the order, and where the catalogue holds a run must not show.
            sort(look, &mut found, &Selection::default())?;
            let of: Vec<Field> = match of {
                [] => look.numeric_summaries(&found)?.into_iter().map(Field::Summary).collect(),
                of => of.to_vec(),
            };
            let (keys, values) = (look.fields(by)?, look.fields(&of)?);
            let mut places: HashMap<String, usize> = HashMap::new();
            let mut groups: Vec<(Vec<Option<Json>>, u64, Vec<Figures>)> = Vec::new();
            for at in found {
                let key = |field| keys.get(at, field).as_ref().map(json_of).filter(|value| *value != Json::Null);
                let key: Vec<Option<Json>> = (0..by.len()).map(key).collect();
                let place = match places.entry(same(&key)?) {
                    Entry::Occupied(entry) => *entry.get(),
                    Entry::Vacant(_) if groups.len() == GROUPS_MAX => {
                        return Err(Error::invalid(format!("more than {GROUPS_MAX} groups")));
                    }
                    Entry::Vacant(entry) => {
                        groups.push((key, 0, vec![Figures::default(); of.len()]));
                        *entry.insert(groups.len() - 1)
                    }
                };
                let Some((_, runs, figures)) = groups.get_mut(place) else { continue };
                *runs += 1;
                for (field, figures) in figures.iter_mut().enumerate() {
                    if let Some(value) = values.get(at, field) {
                        figures.take(&value);
                    }
                }
            }
            let group = |(key, runs, figures): (_, _, Vec<Figures>)| Group {
                key,
                runs,
                statistics: figures.into_iter().map(Figures::finish).collect(),
            };
            let mut groups: Vec<Group> = groups.into_iter().map(group).collect();
            groups.sort_by(|left, right| {
                let pairs = left.key.iter().zip(&right.key);
                pairs
                    .map(|(left, right)| order_of(left, right, false))
                    .find(|order| order.is_ne())
                    .unwrap_or(Ordering::Equal)
            });
            Ok(Groups { by: by.to_vec(), of, groups })
        })
    }
}

fn order_of(left: &Option<Json>, right: &Option<Json>, descending: bool) -> Ordering {
    let (left, right) = (left.as_ref().map(json_scalar), right.as_ref().map(json_scalar));
    compare_for_sort(left.as_ref(), right.as_ref(), descending)
}

/// Takes one of the figures of a field.
type Figure = fn(&GroupStatistics) -> Option<Json>;

/// What groups are sorted by.
enum Key {
    Runs,
    Group(usize),
    Figure(usize, Figure),
}

impl Groups {
    /// Sorts the groups by keys such as `-runs,config.lr,summary.loss.sd`: the number of runs, a field that they are
    /// grouped by, or a field of the figures with `.mean`, `.sd`, `.min`, `.max` or `.n`; without, its mean.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Query`] with the column of an unknown key.
    pub fn order_by(&mut self, text: &str) -> Result<()> {
        let mut keys = Vec::new();
        for (column, part) in list_of(text) {
            let (name, descending) = part.strip_prefix('-').map_or((part, false), |name| (name, true));
            let key = self.key(name).ok_or_else(|| {
                let known = "runs, what is grouped by, or what figures are of with .mean .sd .min .max or .n";
                Error::query(column, format!("column {column}: unknown sort key {name:?}; groups sort by {known}"))
            })?;
            keys.push((key, descending));
        }
        self.groups.sort_by(|left, right| {
            let orders = keys.iter().map(|(key, descending)| order_of(&key.of(left), &key.of(right), *descending));
            orders.fold(Ordering::Equal, Ordering::then)
        });
        Ok(())
    }

    fn key(&self, name: &str) -> Option<Key> {
        if name == "runs" {
            return Some(Key::Runs);
        }
        let whole = Field::parse(name);
        if let Some(at) = whole.as_ref().and_then(|field| self.by.iter().position(|known| known == field)) {
            return Some(Key::Group(at));
        }
        let figures: [(&str, Figure); 6] = [
            ("", |all| all.mean.map(Json::Float)),
            (".mean", |all| all.mean.map(Json::Float)),
            (".sd", |all| all.deviation.map(Json::Float)),
            (".min", |all| all.min.clone().map(Json::from)),
            (".max", |all| all.max.clone().map(Json::from)),
            (".n", |all| Some(Json::Int(all.count.cast_signed()))),
        ];
        figures.into_iter().find_map(|(end, figure)| {
            let field = Field::parse(name.strip_suffix(end)?)?;
            Some(Key::Figure(self.of.iter().position(|known| *known == field)?, figure))
        })
    }
}

impl Key {
    fn of(&self, group: &Group) -> Option<Json> {
        match self {
            Key::Runs => Some(Json::Int(group.runs.cast_signed())),
            Key::Group(at) => group.key.get(*at)?.clone(),
            Key::Figure(at, figure) => figure(group.statistics.get(*at)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_exact_where_sums_of_squares_are_not() {
        let mut figures = Figures::default();
        for value in [4.0, 7.0, 13.0, 16.0] {
            figures.take(&Scalar::Float(1e9 + value));
        }
        figures.take(&Scalar::Float(f64::NAN));
        figures.take(&Scalar::Float(f64::INFINITY));
        figures.take(&Scalar::Text("x".into()));
        let found = figures.finish();
        assert_eq!((found.count, found.non_finite, found.mean), (4, 2, Some(1e9 + 10.0)));
        assert_eq!(found.deviation, Some(30.0_f64.sqrt()));
        assert_eq!((found.min, found.max), (Some(Value::Float(1e9 + 4.0)), Some(Value::Float(1e9 + 16.0))));
        assert_eq!(Figures::default().finish(), GroupStatistics::default());
        let mut one = Figures::default();
        one.take(&Scalar::Int((1 << 53) + 1));
        assert_eq!((one.clone().finish().deviation, one.finish().max), (None, Some(Value::Int((1 << 53) + 1))));
    }

    #[test]
    fn equal_numbers_are_one_group_and_texts_of_them_are_not() {
        let key = |value: Json| same(&[Some(value), None]).expect("shallow");
        assert_eq!(key(1.into()), key(1.0.into()));
        assert_eq!(key(Json::Float(-0.0)), key(0.into()));
        assert_eq!(key(Json::Float(f64::NAN)), key(Json::Float(-f64::NAN)));
        assert_ne!(key(1.into()), key("1".into()));
        assert_ne!(key(Json::Float(0.5)), key(Json::Float(0.25)));
        assert_ne!(key(Json::Int((1 << 53) + 1)), key(Json::Float((1_u64 << 53) as f64)));
    }
}
