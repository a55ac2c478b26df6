//! Record bodies.

use runcellar_format::record::{
    Body, Change, ChangeKind, Close, Event, FieldChange, FieldId, GroupEntry, GroupPage, MetricDefinition, Project,
    RootRow, RunHead, RunRecord, RunState, SeriesEntry, SeriesPage, Session, Settings, SlotInfo, Stamped, Start, Tag,
    Tokens, WriterRow,
};
use runcellar_format::value::{Json, Value};

use super::{Maker, joined, set};
use crate::support::Vector;

pub(super) fn config() -> Json {
    Json::Map(vec![
        ("lr".into(), 0.1.into()),
        ("layers".into(), vec![64, -32].into()),
        ("\u{fc}".into(), Json::Map(vec![("none".into(), Json::Null), ("yes".into(), true.into())])),
        ("text".into(), "sgd".into()),
        ("nan".into(), Json::Float(f64::NAN)),
    ])
}

pub(super) fn start() -> Start {
    Start {
        run: [1; 16],
        project: [2; 16],
        run_id: "3fk2".into(),
        project_name: "digits".into(),
        name: "plain-owl-1".into(),
        notes: "first\nsecond".into(),
        group: "g".into(),
        job_type: "train".into(),
        tags: vec!["a".into(), "b".into()],
        config: Tokens::new(&config()).expect("shallow"),
        started: 1_700_000_000_000_000,
        resumed: true,
        forked_from: [3; 16],
        rank: 251,
        host: "host".into(),
        boot_id: "boot".into(),
        pid: 65_536,
        device: [4; 16],
        program: "train.py".into(),
        git_commit: "0123456789012345678901234567890123456789".into(),
        git_branch: "main".into(),
        runtime: "python 3.11.7".into(),
        extra: vec![(7, vec![1, 2]), (300, vec![])],
    }
}

pub(super) fn fields() -> Vec<FieldChange> {
    let field = |field, key: &str, value: &Json| FieldChange::new(field, key, value).expect("shallow");
    vec![
        field(FieldId::Notes, "", &"a note".into()),
        field(FieldId::Config, "optimizer", &config()),
        field(FieldId::Removed, "", &Json::Int(i64::MIN)),
        field(FieldId::Slot, "00", &Json::List(vec![])),
    ]
}

pub(super) fn run_record() -> RunRecord {
    let stamped = |text: &str| Stamped::new(text.to_owned(), u64::MAX);
    RunRecord {
        id: "3fk2".into(),
        project: [2; 16],
        created: 1_700_000_000_000_000,
        finished: Some(-1),
        state: RunState::Killed,
        exit_code: Some(i32::MIN),
        dropped: 250,
        next_step: i64::MAX,
        name: stamped("plain-owl-1"),
        notes: stamped(""),
        group: Stamped::new("g".into(), 1 << 16),
        job_type: stamped("train"),
        removed: Stamped::new(Some(5), 6),
        tags: vec![Tag { name: "a".into(), add_id: [7; 16] }],
        config: vec![("lr".into(), Stamped::new(Tokens::new(&0.1.into()).expect("shallow"), 9))],
        summary: vec![
            ("loss".into(), Stamped::new(Value::Float(f64::NEG_INFINITY), 1)),
            ("best".into(), Stamped::new(Value::Int(-1), 2)),
            ("ok".into(), Stamped::new(Value::Bool(true), 3)),
            ("note".into(), Stamped::new(Value::Text("x".into()), 4)),
        ],
        metrics: vec![MetricDefinition {
            name: "val/*".into(),
            summary: vec!["min".into(), "best".into()],
            step_metric: "epoch".into(),
            goal: "minimize".into(),
            hidden: true,
        }],
        start: Start { config: Tokens::default(), tags: vec![], ..start() },
        sessions: vec![Session {
            writer: [8; 16],
            rank: 1,
            forked: true,
            superseded: false,
            state: RunState::Crashed,
            started: 1,
            ended: 2,
        }],
        extra: vec![(65_535, vec![0xff])],
    }
}

pub(super) fn change() -> Change {
    Change { clock: 5 << 16, kind: ChangeKind::AddGroups, object: [1; 16], fields: fields(), extra: vec![] }
}

/// Bodies of every kind with something in each field; by the names of the vectors.
pub(super) fn all_bodies() -> Vec<(&'static str, Vec<u8>)> {
    let series = SeriesEntry {
        name: "loss".into(),
        points: 300,
        non_finite: 1,
        kinds: 3,
        first_step: -5,
        last_step: 70_000,
        min: Some(Value::Float(-0.0)),
        max: None,
        sum: 1.5,
        first: Value::Bool(false),
        last: Value::Text("end".into()),
    };
    let group = GroupEntry {
        place: 1,
        writer: [2; 16],
        number: 3,
        first_sequence: 4,
        last_sequence: u64::MAX,
        rows: 4096,
        points: 65_536,
        first_step: -1,
        last_step: 1,
        first_time: 5,
        last_time: 6,
        parts: 2,
        best: true,
        sum: [7; 32],
    };
    let settings = Settings {
        values: vec![("console".into(), Stamped::new(Tokens::new(&false.into()).expect("shallow"), 8))],
        slots: vec![SlotInfo { slot: [9; 16], name: "laptop".into(), created: 10 }],
        extra: vec![],
    };
    let root = RootRow {
        lineage: [1; 16],
        device: [2; 16],
        next_device_seq: 3,
        counter: 4,
        sum: [5; 32],
        keyslots_version: 6,
        keyslots_hash: [7; 32],
        inode: 1 << 40,
        clock: 8,
    };
    let head = RunHead { version: 1, points: 2, rows: 3, series: 4, next_group: 5, sum: [6; 32] };
    let writer = WriterRow { run: [1; 16], sequence: 2, closed: true, next_group: 3, missing: vec![(4, 5), (7, 7)] };
    let close = Close { state: RunState::Finished, exit_code: None, time: 1, dropped: 0, extra: vec![] };
    let body = |made: runcellar_format::Result<Vec<u8>>| made.expect("short");
    vec![
        ("project", body(Project { name: "digits".into(), created: 5, extra: vec![] }.to_body())),
        ("run record", body(run_record().to_body())),
        ("run head", body(head.to_body())),
        ("series page", body(SeriesPage { entries: vec![series.clone(), series] }.to_body())),
        ("group page", body(GroupPage { entries: vec![group] }.to_body())),
        ("root row", body(root.to_body())),
        ("settings", body(settings.to_body())),
        ("writer row", body(writer.to_body())),
        ("start", body(start().to_body())),
        ("close", body(close.to_body())),
        ("event", body(Event { time: -1, kind: 1, text: String::new() }.to_body())),
        ("change", body(change().to_padded_body())),
    ]
}

pub(super) fn bodies(maker: &mut Maker) -> &'static str {
    let vector = |name: &str, kind: &str, bytes: &[u8]| Vector::named(name).with("kind", kind).bytes("bytes", bytes);
    let all = all_bodies();
    for (kind, bytes) in &all {
        maker.accepted(vector(&format!("a {kind}"), kind, bytes));
    }
    let project = |encoding: &[u8]| joined(&[&[1, 0], encoding]);
    maker.accepted(vector(
        "integers in their shortest forms",
        "project",
        &project(&[0, 252, 0, 0, 1, 0, 1, 251, 251, 0, 2, 7, 9]),
    ));
    let long = Project { name: "long ".repeat(100), created: 5, extra: vec![] }.to_body().expect("short");
    assert_eq!(long[1], 1);
    maker.accepted(vector("a compressed body", "project", &long));

    let good = project(&[2, b'a', b'b', 0, 0]);
    maker.refused("malformed", vector("version 0", "project", &set(&good, 0, &[0])));
    maker.refused("newer", vector("version 2", "project", &set(&good, 0, &[2])));
    maker.refused("malformed", vector("compression 2", "project", &set(&good, 1, &[2])));
    maker.refused("truncated", vector("nothing", "project", b""));
    maker.refused("truncated", vector("a version alone", "project", &[1]));
    maker.refused("malformed", vector("no encoding", "project", &[1, 0]));
    maker.refused("malformed", vector("a byte less", "project", &good[..good.len() - 1]));
    maker.refused("malformed", vector("a byte more", "project", &joined(&[&good, &[0]])));
    maker.refused("malformed", vector("a name that is not UTF-8", "project", &project(&[1, 0xff, 0, 0])));
    maker.refused("malformed", vector("a name of 2^62 bytes", "project", &project(&[253, 0, 0, 0, 0, 0, 0, 0, 0x40])));
    maker.refused(
        "malformed",
        vector("a list of 2^62 items", "project", &project(&[0, 0, 253, 0, 0, 0, 0, 0, 0, 0, 0x40])),
    );
    maker.refused(
        "malformed",
        vector("a length in three bytes instead of one", "project", &project(&[251, 2, 0, b'a', b'b', 0, 0])),
    );
    maker.refused(
        "malformed",
        vector("a time in five bytes instead of three", "project", &project(&[0, 252, 0, 1, 0, 0, 0])),
    );
    maker.refused(
        "malformed",
        vector("a time in nine bytes instead of five", "project", &project(&[0, 253, 0, 0, 1, 0, 0, 0, 0, 0, 0])),
    );
    maker.refused(
        "malformed",
        vector(
            "an integer that begins with 254",
            "project",
            &project(&[0, 254, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]),
        ),
    );
    maker.refused("malformed", vector("an integer that begins with 255", "project", &project(&[0, 255, 0])));
    maker.refused("malformed", vector("a u16 in five bytes", "project", &project(&[0, 0, 1, 252, 0, 0, 1, 0, 0])));
    let close = |encoding: &[u8]| joined(&[&[1, 0], encoding]);
    maker.refused("malformed", vector("a state of 5", "close", &close(&[5, 0, 0, 0, 0])));
    maker.refused("malformed", vector("an option of 2", "close", &close(&[0, 2, 0, 0, 0, 0])));
    maker.refused(
        "malformed",
        vector("an exit code over 32 bits", "close", &close(&[0, 1, 253, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0])),
    );
    let writer = |closed: u8| joined(&[&[1, 0], &[1; 16], &[2, closed, 0, 0]]);
    maker.refused("malformed", vector("a bool of 2", "writer row", &writer(2)));
    maker.refused("malformed", vector("a run head of a byte less", "run head", &all[2].1[..all[2].1.len() - 1]));
    for (kind, bytes) in &all {
        // Whatever the record, the text of another kind is refused.
        let other = if *kind == "project" { "run record" } else { "project" };
        if *kind != "change" {
            maker.refused("malformed", vector(&format!("a {kind} read as a {other}"), other, bytes));
        }
    }
    let frame = &long[2..];
    let packed = |frames: &[&[u8]]| joined(&[&[1, 1], &frames.concat()]);
    maker.refused("malformed", vector("two zstd frames", "project", &packed(&[frame, frame])));
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0];
    maker.refused("malformed", vector("a skippable frame before", "project", &packed(&[&skippable, frame])));
    maker.refused("malformed", vector("a skippable frame after", "project", &packed(&[frame, &skippable])));
    maker.refused("malformed", vector("a skippable frame alone", "project", &packed(&[&skippable])));
    maker.refused("malformed", vector("a byte after the frame", "project", &packed(&[frame, &[0]])));
    maker.refused("malformed", vector("a frame cut short", "project", &packed(&[&frame[..frame.len() - 1]])));
    maker.refused("malformed", vector("no frame", "project", &packed(&[])));
    // Magic, a head with a content size of 4 bytes, an empty raw block.
    let sized = |size: u32| joined(&[&[0x28, 0xb5, 0x2f, 0xfd, 0xa0], &size.to_le_bytes(), &[1, 0, 0]]);
    maker.refused("limit", vector("a frame of 64 MiB and a byte", "project", &packed(&[&sized((64 << 20) + 1)])));
    maker.refused("malformed", vector("a frame that holds less than it says", "project", &packed(&[&sized(5)])));
    let unsized_frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58, 1, 0, 0];
    maker.refused("malformed", vector("a frame that does not say its size", "project", &packed(&[&unsized_frame])));

    let padded = change().to_padded_body().expect("short");
    maker.refused("malformed", vector("padding of a grid step more", "change", &joined(&[&padded, &[0; 64]])));
    maker.refused("malformed", vector("padding of a byte less", "change", &padded[..padded.len() - 1]));
    maker.refused("malformed", vector("padding without its mark", "change", &[0; 64]));
    maker.refused("malformed", vector("a change of no bytes", "change", b""));
    let marked = |mark: u8| {
        let at = padded.iter().rposition(|byte| *byte != 0).expect("padded");
        set(&padded, at, &[mark])
    };
    maker.refused("malformed", vector("padding with another mark", "change", &marked(0x81)));
    let with_tokens = |tokens: &[u8]| {
        let mut out = joined(&[&[1, 0, 0, 2], &[1; 16], &[1, 4, 1, b'k'], tokens, &[0, 0x80]]);
        out.resize(out.len().next_multiple_of(64), 0);
        out
    };
    maker.accepted(vector("a value of null", "change", &with_tokens(&[1, 0])));
    let deep = |depth: u8| joined(&[&[depth + 1], &[5, 1].repeat(depth.into()), &[0]]);
    maker.accepted(vector("a value 64 deep", "change", &with_tokens(&deep(64))));
    maker.refused("limit", vector("a value 65 deep", "change", &with_tokens(&deep(65))));
    maker.refused("malformed", vector("no tokens", "change", &with_tokens(&[0])));
    maker.refused("malformed", vector("tokens that go on", "change", &with_tokens(&[2, 0, 0])));
    maker.refused("malformed", vector("a list with an item too few", "change", &with_tokens(&[2, 5, 2, 0])));
    maker.refused("malformed", vector("a map whose member has no name", "change", &with_tokens(&[3, 6, 1, 0, 0])));
    maker.refused("malformed", vector("a token of 7", "change", &with_tokens(&[1, 7])));
    "Bodies of records by kind. An accepted one gives the record, as the Rust types show themselves."
}
