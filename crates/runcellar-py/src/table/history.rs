//! The table of `history()`: step, time, then the metrics in order of first use.

use std::sync::Arc;

use runcellar::query::HistoryColumn;
use runcellar::{History, Json, RunMedia, SeriesValues, Value};

use super::frame::{Cells, Column, Frame, MediaCells};
use crate::series::has_media;

pub(super) fn frame(history: History, media: Option<&Arc<RunMedia>>) -> Frame {
    let rows = history.steps.len();
    let mut columns = vec![
        Column::new("step", Cells::Int(history.steps.into())),
        Column::new("time", Cells::Time(history.times.into())),
    ];
    if let Some(ranks) = history.ranks {
        columns.push(Column::new("rank", Cells::Int(ranks.into_iter().map(i64::from).collect())));
    }
    columns.extend(history.columns.into_iter().map(|one| column(one, media)));
    Frame { rows, columns, sampled: history.sampled }
}

fn column(column: HistoryColumn, media: Option<&Arc<RunMedia>>) -> Column {
    let HistoryColumn { name, values, present } = column;
    let of_media = media.filter(|_| has_media(&values)).cloned();
    let cells = match (values, of_media) {
        (SeriesValues::Media(all), Some(run)) => {
            Cells::Media(MediaCells { values: all.into_iter().map(Value::Media).collect(), run, mixed: false })
        }
        (SeriesValues::Mixed(values), Some(run)) => Cells::Media(MediaCells { values, run, mixed: true }),
        (values, _) => plain(values),
    };
    Column { name, cells, present: present.map(Into::into) }
}

fn plain(values: SeriesValues) -> Cells {
    match values {
        SeriesValues::Float(all) => Cells::Float(all.into()),
        SeriesValues::Int(all) => Cells::Int(all.into()),
        SeriesValues::Bool(all) => Cells::Bool(all),
        SeriesValues::Text(all) => Cells::Text(all),
        SeriesValues::Histogram(all) => Cells::Json(all.into_iter().map(|one| Json::from(Value::from(one))).collect()),
        SeriesValues::Media(all) => Cells::Text(all.iter().map(ToString::to_string).collect()),
        SeriesValues::Mixed(all) => Cells::Json(all.into_iter().map(Json::from).collect()),
    }
}
