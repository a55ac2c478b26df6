//! The table of `history()`: step, time, then the metrics in order of first use.

use runcellar::query::HistoryColumn;
use runcellar::{History, Json, SeriesValues, Value};

use super::frame::{Cells, Column, Frame};

pub(super) fn frame(history: History) -> Frame {
    let rows = history.steps.len();
    let mut columns =
        vec![Column::new("step", Cells::Int(history.steps)), Column::new("time", Cells::Time(history.times))];
    if let Some(ranks) = history.ranks {
        columns.push(Column::new("rank", Cells::Int(ranks.into_iter().map(i64::from).collect())));
    }
    columns.extend(history.columns.into_iter().map(column));
    Frame { rows, columns, sampled: history.sampled }
}

fn column(column: HistoryColumn) -> Column {
    let HistoryColumn { name, values, rows } = column;
    match values {
        SeriesValues::Float(all) => Column::optional(name, spread(&rows, all), Cells::Float),
        SeriesValues::Int(all) => Column::optional(name, spread(&rows, all), Cells::Int),
        SeriesValues::Bool(all) => Column::optional(name, spread(&rows, all), Cells::Bool),
        SeriesValues::Text(all) => Column::optional(name, spread(&rows, all), Cells::Text),
        SeriesValues::Histogram(all) => {
            let all = all.into_iter().map(|one| Json::from(Value::from(one))).collect();
            Column::optional(name, spread(&rows, all), Cells::Json)
        }
        SeriesValues::Mixed(all) => {
            let all = all.into_iter().map(Json::from).collect();
            Column::optional(name, spread(&rows, all), Cells::Json)
        }
    }
}

/// Puts values into their rows.
fn spread<T>(rows: &[Option<usize>], values: Vec<T>) -> Vec<Option<T>> {
    let mut values: Vec<Option<T>> = values.into_iter().map(Some).collect();
    rows.iter().map(|place| place.and_then(|place| values.get_mut(place)).and_then(Option::take)).collect()
}
