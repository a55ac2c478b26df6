//! The table of `history()`: step, time, then the metrics in order of first use.

use runcellar::query::HistoryColumn;
use runcellar::{History, Json, SeriesValues, Value};

use super::frame::{Cells, Column, Frame};

pub(super) fn frame(history: History) -> Frame {
    let rows = history.steps.len();
    let mut columns = vec![
        Column::new("step", Cells::Int(history.steps.into())),
        Column::new("time", Cells::Time(history.times.into())),
    ];
    if let Some(ranks) = history.ranks {
        columns.push(Column::new("rank", Cells::Int(ranks.into_iter().map(i64::from).collect())));
    }
    columns.extend(history.columns.into_iter().map(column));
    Frame { rows, columns, sampled: history.sampled }
}

fn column(column: HistoryColumn) -> Column {
    let HistoryColumn { name, values, present } = column;
    let cells = match values {
        SeriesValues::Float(all) => Cells::Float(all.into()),
        SeriesValues::Int(all) => Cells::Int(all.into()),
        SeriesValues::Bool(all) => Cells::Bool(all),
        SeriesValues::Text(all) => Cells::Text(all),
        SeriesValues::Histogram(all) => Cells::Json(all.into_iter().map(|one| Json::from(Value::from(one))).collect()),
        SeriesValues::Media(all) => Cells::Text(all.iter().map(ToString::to_string).collect()),
        SeriesValues::Mixed(all) => Cells::Json(all.into_iter().map(Json::from).collect()),
    };
    Column { name, cells, present: present.map(Into::into) }
}
