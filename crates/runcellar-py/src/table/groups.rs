//! The table of `group_by()`: what the groups are made by, how many runs each has, and the figures.

use runcellar::query::filter::Field;
use runcellar::{Group, GroupStatistics, Groups, Json};

use super::frame::{Cells, Column, Frame};

pub(super) fn frame(groups: &Groups) -> Frame {
    let all = &groups.groups;
    let mut columns = Vec::new();
    for (at, field) in groups.by.iter().enumerate() {
        let keys = all.iter().map(|group| group.key.get(at).cloned().flatten());
        columns.push(match field {
            Field::Created | Field::Finished => {
                let time = |key| if let Some(Json::Int(time)) = key { Some(time) } else { None };
                Column::optional(field.to_string(), keys.map(time).collect(), Cells::times)
            }
            field => Column::of_json(field.to_string(), keys.collect()),
        });
    }
    columns.push(Column::new("runs", Cells::Int(all.iter().map(|group| group.runs.cast_signed()).collect())));
    for (at, field) in groups.of.iter().enumerate() {
        let figures = || all.iter().filter_map(|group: &Group| group.statistics.get(at));
        let name = |figure: &str| format!("{field}.{figure}");
        let float = |figure: &str, of: fn(&GroupStatistics) -> Option<f64>| {
            Column::optional(name(figure), figures().map(of).collect(), Cells::floats)
        };
        columns.push(float("mean", |figures| figures.mean));
        columns.push(float("sd", |figures| figures.deviation));
        let exact = |value: &Option<runcellar::Value>| value.clone().map(Json::from);
        columns.push(Column::of_json(name("min"), figures().map(|figures| exact(&figures.min)).collect()));
        columns.push(Column::of_json(name("max"), figures().map(|figures| exact(&figures.max)).collect()));
        columns.push(Column::new(name("n"), Cells::Int(figures().map(|one| one.count.cast_signed()).collect())));
    }
    Frame { rows: all.len(), columns, sampled: false }
}
