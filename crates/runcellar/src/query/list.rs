//! Listing runs: filter, sort, and show those that are asked for.

use std::cmp::Ordering;

use super::bind::json_of;
use super::filter::{Field, Filter, Scalar, compare_for_sort};
use super::look::{At, Look, look};
use super::runs::{RunInfo, Selection};
use crate::{Json, Result, Workspace};

/// Runs of a listing.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// The runs, in the order that was asked for.
    pub runs: Vec<RunInfo>,
    /// For each run the values of the fields in [`Selection::also`]; `[runs, fields]`.
    pub also: Vec<Vec<Option<Json>>>,
    /// How many runs match, whatever the limit.
    pub total: usize,
}

impl Workspace {
    /// Brings the catalogue up to date now, which otherwise happens every few thousand changes; returns false if there
    /// was nothing to do.
    ///
    /// # Errors
    /// If the catalogue is damaged, or the workspace cannot be read or written.
    pub fn fold_catalogue(&self) -> Result<bool> {
        crate::catalogue::fold(&self.inner)
    }

    /// Lists runs.
    ///
    /// # Errors
    /// If the workspace cannot be read.
    pub fn runs(&self, selection: &Selection) -> Result<Vec<RunInfo>> {
        Ok(self.list(selection)?.runs)
    }

    /// Takes the runs of a listing one by one, in its order, for callers that keep less of each than a [`RunInfo`].
    /// Should the catalogue turn out to be damaged on the way, it begins anew with another `empty`.
    ///
    /// # Errors
    /// If the workspace cannot be read.
    pub fn gather_runs<T>(
        &self,
        selection: &Selection,
        empty: impl Fn() -> T,
        take: impl Fn(&mut T, RunInfo),
    ) -> Result<T> {
        look(&self.inner, |look| {
            let mut found = select(look, selection)?;
            sort(look, &mut found, selection)?;
            let mut gathered = empty();
            for run in look.infos(&found) {
                take(&mut gathered, run?);
            }
            Ok(gathered)
        })
    }

    /// Lists runs, with how many there are beyond the limit, and with values of fields that a [`RunInfo`] does not hold.
    ///
    /// # Errors
    /// If the workspace cannot be read.
    pub fn list(&self, selection: &Selection) -> Result<Listing> {
        look(&self.inner, |look| {
            let mut found = select(look, selection)?;
            let total = found.len();
            sort(look, &mut found, selection)?;
            let fields = look.fields(&selection.also)?;
            let values = |at: &At| {
                let value = |field| fields.get(*at, field).as_ref().map(json_of);
                (0..selection.also.len()).map(value).collect()
            };
            let runs = look.infos(&found).collect::<Result<_>>()?;
            Ok(Listing { runs, also: found.iter().map(values).collect(), total })
        })
    }
}

/// Returns where the runs are that a selection asks for, in no order.
pub(super) fn select(look: &Look<'_>, selection: &Selection) -> Result<Vec<At>> {
    let asked: Vec<Field> = selection.filter.iter().flat_map(Filter::fields).cloned().collect();
    let fields = look.fields(&asked)?;
    let projects = [Field::Project];
    let projects = selection.project.as_deref().map(|wanted| Ok::<_, crate::Error>((wanted, look.fields(&projects)?)));
    let projects = projects.transpose()?;
    let removed = look.removed()?;
    let wanted = |at: &At| {
        removed.is(*at) == selection.removed
            && projects.as_ref().is_none_or(
                |(wanted, projects)| matches!(projects.get(*at, 0), Some(Scalar::Text(project)) if project == *wanted),
            )
            && selection.filter.as_ref().is_none_or(|filter| filter.holds(&|field| fields.get(*at, field), look.now_us))
    };
    Ok(look.all().filter(wanted).collect())
}

/// Puts runs into the order that a selection asks for, and cuts them at its limit.
pub(super) fn sort(look: &Look<'_>, found: &mut Vec<At>, selection: &Selection) -> Result<()> {
    let latest_first = [(Field::Created, true)];
    let order = if selection.order.is_empty() { &latest_first[..] } else { &selection.order };
    let keys: Vec<Field> = order.iter().map(|(field, _)| field.clone()).collect();
    let values = look.fields(&keys)?;
    let ids = [Field::Id];
    let ids = look.fields(&ids)?;
    let mut rows: Vec<(At, Vec<Option<Scalar<'_>>>)> =
        found.iter().map(|at| (*at, (0..keys.len()).map(|key| values.get(*at, key)).collect())).collect();
    let compare = |left: &(At, Vec<Option<Scalar<'_>>>), right: &(At, Vec<Option<Scalar<'_>>>)| {
        let pairs = left.1.iter().zip(&right.1).zip(order);
        let by_keys = pairs
            .map(|((left, right), (_, descending))| compare_for_sort(left.as_ref(), right.as_ref(), *descending))
            .find(|order| order.is_ne());
        by_keys.unwrap_or_else(|| {
            let id = |at| match ids.get(at, 0) {
                Some(Scalar::Text(id)) => Some(id),
                _ => None,
            };
            id(left.0).cmp(&id(right.0))
        })
    };
    let limit = selection.limit.unwrap_or(usize::MAX);
    if limit == 0 {
        rows.clear();
    } else if limit < rows.len() {
        // The ones that show come before the others; those need no order among them.
        rows.select_nth_unstable_by(limit - 1, &compare);
        rows.truncate(limit);
    }
    rows.sort_by(|left, right| -> Ordering { compare(left, right) });
    *found = rows.into_iter().map(|(at, _)| at).collect();
    Ok(())
}
