//! The JSON that verbs answer with. Names, order and types are a contract: docs/CLI.md lists them.
//!
//! Floats are exact and keep a `.` or `e`, so that 1.0 does not become an integer; NaN and the infinities, which JSON
//! does not have, are the texts `"NaN"`, `"Infinity"` and `"-Infinity"`.

use runcellar::artifacts::RunArtifacts;
use runcellar::query::{CodeEntry, Conflict};
use runcellar::{ConsoleLine, Json, KeySlot, Lineage, MetricInfo, RunInfo, Source, Value};
use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};

use crate::render::number::exact_number;
use crate::render::time::rfc3339_us;
use crate::verbs::artifact::RunArtifactsShape;

/// A float.
pub(crate) struct Float(pub(crate) f64);

impl Serialize for Float {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_finite() {
            serializer.serialize_f64(self.0)
        } else {
            serializer.serialize_str(&exact_number(self.0))
        }
    }
}

/// A single value.
pub(crate) struct Scalar<'a>(pub(crate) &'a Value);

impl Serialize for Scalar<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Float(value) => Float(*value).serialize(serializer),
            Value::Int(value) => serializer.serialize_i64(*value),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Text(value) => serializer.serialize_str(value),
            Value::Histogram(_) => Nested(&Json::from(self.0.clone())).serialize(serializer),
            Value::Media(id) => serializer.collect_str(id),
        }
    }
}

/// A nested value.
pub(crate) struct Nested<'a>(pub(crate) &'a Json);

impl Serialize for Nested<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Json::Null => serializer.serialize_unit(),
            Json::Bool(value) => serializer.serialize_bool(*value),
            Json::Int(value) => serializer.serialize_i64(*value),
            Json::Float(value) => Float(*value).serialize(serializer),
            Json::Text(value) => serializer.serialize_str(value),
            Json::List(items) => {
                let mut out = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| out.serialize_element(&Nested(item)))?;
                out.end()
            }
            Json::Map(members) => {
                let mut out = serializer.serialize_map(Some(members.len()))?;
                members.iter().try_for_each(|(name, value)| out.serialize_entry(name, &Nested(value)))?;
                out.end()
            }
        }
    }
}

/// A flat map of values.
pub(crate) struct Flat<'a>(pub(crate) &'a [(String, Value)]);

impl Serialize for Flat<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, Scalar(value))))
    }
}

/// A time, microseconds UTC since 1970, as RFC 3339 with 6 digits.
pub(crate) struct Time(pub(crate) i64);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&rfc3339_us(self.0))
    }
}

/// Returns `None` for an empty text: what a run does not have is null.
pub(crate) fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// A run, as `ls` lists it.
#[derive(serde::Serialize)]
pub(crate) struct RunShape<'a> {
    id: &'a str,
    name: &'a str,
    project: &'a str,
    state: &'static str,
    created: Time,
    finished: Option<Time>,
    duration_s: Float,
    tags: &'a [String],
    group: Option<&'a str>,
    job_type: Option<&'a str>,
    notes: Option<&'a str>,
    config: Nested<'a>,
    summary: Flat<'a>,
}

impl<'a> RunShape<'a> {
    pub(crate) fn of(run: &'a RunInfo, now_us: i64) -> RunShape<'a> {
        RunShape {
            id: &run.id,
            name: &run.name,
            project: &run.project,
            state: run.state.as_str(),
            created: Time(run.created),
            finished: run.finished.map(Time),
            duration_s: Float(run.duration_secs(now_us)),
            tags: &run.tags,
            group: some(&run.group),
            job_type: some(&run.job_type),
            notes: some(&run.notes),
            config: Nested(&run.config),
            summary: Flat(&run.summary),
        }
    }
}

/// A run with its metrics, as `show` answers.
#[derive(serde::Serialize)]
pub(crate) struct ShowShape<'a> {
    #[serde(flatten)]
    run: RunShape<'a>,
    metrics: Vec<MetricShape<'a>>,
    git: Option<GitShape<'a>>,
    packages: Packages<'a>,
    code: Vec<CodeShape>,
    program: Option<&'a str>,
    exit_code: Option<i32>,
    dropped: u64,
    system: Vec<MetricShape<'a>>,
    forked_from: Option<PointShape<'a>>,
    rewinds: Vec<RewindShape>,
    ranks: u32,
    pub(crate) arguments: &'a [String],
    pub(crate) redacted: usize,
    pub(crate) conflicts: Vec<ConflictShape<'a>>,
    artifacts: RunArtifactsShape<'a>,
}

/// What was set of a run elsewhere and lost, as `show` lists it.
#[derive(serde::Serialize)]
pub(crate) struct ConflictShape<'a> {
    field: &'a str,
    value: Nested<'a>,
    time: Time,
}

impl<'a> ConflictShape<'a> {
    pub(crate) fn of(conflict: &'a Conflict) -> ConflictShape<'a> {
        ConflictShape { field: &conflict.field, value: Nested(&conflict.value), time: Time(conflict.time) }
    }
}

/// What a run was forked from.
#[derive(serde::Serialize)]
struct PointShape<'a> {
    run: &'a str,
    step: Option<i64>,
}

/// A run was rewound.
#[derive(serde::Serialize)]
struct RewindShape {
    time: Time,
    step: i64,
    rows: u64,
}

/// A line of the console, as `show --console` answers.
#[derive(serde::Serialize)]
pub(crate) struct LineShape<'a> {
    time: Time,
    stream: &'static str,
    text: &'a str,
}

impl<'a> LineShape<'a> {
    pub(crate) fn of(line: &'a ConsoleLine) -> LineShape<'a> {
        LineShape { time: Time(line.time), stream: line.stream.as_str(), text: &line.text }
    }
}

#[derive(serde::Serialize)]
struct MetricShape<'a> {
    name: &'a str,
    kind: &'static str,
    points: u64,
    first_step: i64,
    last_step: i64,
    min: Option<Scalar<'a>>,
    max: Option<Scalar<'a>>,
    last: Scalar<'a>,
}

#[derive(serde::Serialize)]
struct GitShape<'a> {
    commit: &'a str,
    branch: Option<&'a str>,
    dirty: Option<bool>,
    remote: Option<&'a str>,
}

impl<'a> GitShape<'a> {
    fn of(source: &'a Source) -> Option<GitShape<'a>> {
        some(&source.commit).map(|commit| GitShape {
            commit,
            branch: some(&source.branch),
            dirty: source.dirty,
            remote: some(&source.remote),
        })
    }
}

/// A file of the code that is kept with a run.
#[derive(serde::Serialize)]
struct CodeShape {
    path: String,
    bytes: u64,
}

impl CodeShape {
    fn of(entry: &CodeEntry) -> CodeShape {
        CodeShape { path: String::from_utf8_lossy(&entry.path).into_owned(), bytes: entry.size }
    }
}

/// Packages: name to version.
struct Packages<'a>(&'a [(String, String)]);

impl Serialize for Packages<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, version)| (name, version)))
    }
}

impl<'a> ShowShape<'a> {
    pub(crate) fn of(
        run: &'a RunInfo,
        metrics: &'a [MetricInfo],
        system: &'a [MetricInfo],
        (lineage, source, code, artifacts): (&'a Lineage, &'a Source, &'a [CodeEntry], &'a RunArtifacts),
        now_us: i64,
    ) -> ShowShape<'a> {
        let metric = |metric: &'a MetricInfo| MetricShape {
            name: &metric.name,
            kind: metric.kind,
            points: metric.points,
            first_step: metric.first_step,
            last_step: metric.last_step,
            min: metric.min.as_ref().map(Scalar),
            max: metric.max.as_ref().map(Scalar),
            last: Scalar(&metric.last),
        };
        ShowShape {
            run: RunShape::of(run, now_us),
            metrics: metrics.iter().map(metric).collect(),
            git: GitShape::of(source),
            packages: Packages(&source.packages),
            code: code.iter().map(CodeShape::of).collect(),
            program: some(&run.program),
            exit_code: run.exit_code,
            dropped: run.dropped,
            system: system.iter().map(metric).collect(),
            forked_from: lineage.forked_from.as_ref().map(|point| PointShape { run: &point.run, step: point.step }),
            rewinds: lineage
                .rewinds
                .iter()
                .map(|rewind| RewindShape { time: Time(rewind.time), step: rewind.step, rows: rewind.rows })
                .collect(),
            ranks: lineage.ranks,
            arguments: &[],
            redacted: 0,
            conflicts: Vec::new(),
            artifacts: RunArtifactsShape::of(artifacts),
        }
    }
}

/// A run as verbs name it that change runs.
#[derive(serde::Serialize)]
pub(crate) struct RunName<'a> {
    id: &'a str,
    name: &'a str,
    project: &'a str,
}

impl<'a> RunName<'a> {
    pub(crate) fn of(run: &'a RunInfo) -> RunName<'a> {
        RunName { id: &run.id, name: &run.name, project: &run.project }
    }
}

/// A keyslot, as `key ls` lists it.
#[derive(serde::Serialize)]
pub(crate) struct SlotShape<'a> {
    id: &'a str,
    kind: &'static str,
    name: &'a str,
    created: Option<Time>,
    opens_without_key_file: bool,
}

impl<'a> SlotShape<'a> {
    pub(crate) fn of(slot: &'a KeySlot) -> SlotShape<'a> {
        SlotShape {
            id: &slot.id,
            kind: slot.kind,
            name: &slot.name,
            created: slot.created.map(Time),
            opens_without_key_file: slot.opens_without_key_file,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runcellar::json;

    #[test]
    fn values_keep_their_type_and_every_digit() {
        let value = json!({
            "one": 1.0, "int": 1, "tenths": (0.1 + 0.2), "zero": (-0.0), "nan": (f64::NAN), "up": (f64::INFINITY),
            "down": (f64::NEG_INFINITY), "list": [1, 2.5, null, true], "empty": {}, "text": "a\n\"b\""
        });
        let expected = r#"{"one":1.0,"int":1,"tenths":0.30000000000000004,"zero":-0.0,"nan":"NaN","up":"Infinity","#
            .to_owned()
            + r#""down":"-Infinity","list":[1,2.5,null,true],"empty":{},"text":"a\n\"b\""}"#;
        assert_eq!(serde_json::to_string(&Nested(&value)).ok(), Some(expected));
    }
}
