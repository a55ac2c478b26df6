//! Quotas: whoever goes beyond one is told, once at each occasion, and nothing is refused.

use std::sync::Arc;

use runcellar::artifacts::{Links, PutSettings};
use runcellar::{ArtifactDraft, ErrorKind, Json, OpenOptions, Workspace};

use crate::support::{Heard, Place, Rng};

fn opened(place: &Place) -> (Workspace, Arc<Heard>) {
    let heard = Arc::new(Heard::default());
    let options = OpenOptions { monitor: heard.clone(), create: true, ..place.options() };
    (options.open(&place.workspace()).expect("opens"), heard)
}

fn warned(heard: &Heard) -> Vec<String> {
    heard.warnings().into_iter().filter(|warning| warning.contains("quota")).collect()
}

fn record(workspace: &Workspace, project: &str) {
    let run = workspace.run(project).start().expect("starts");
    run.log([("loss", 0.5)]).expect("logs");
    run.finish().expect("finishes");
}

/// Puts so many bytes that nobody has seen.
fn put(workspace: &Workspace, place: &Place, project: &str, bytes: usize, seed: u64) {
    let mut rng = Rng(seed);
    let path = place.root().join("file.bin");
    std::fs::write(&path, (0..bytes).map(|_| rng.below(256) as u8).collect::<Vec<u8>>()).expect("writes");
    let mut draft = ArtifactDraft::new("data", "").expect("a name");
    draft.add_file(&path, None, Links::Keep).expect("is added");
    workspace.put_artifact(&draft, &PutSettings { project: project.into(), ..PutSettings::default() }).expect("puts");
}

#[test]
fn nobody_is_told_anything_without_a_quota_or_below_it() {
    let place = Place::new();
    let (workspace, heard) = opened(&place);
    workspace.set_setting("quota.bytes:q", Some("1")).expect("is set");
    workspace.set_setting("quota.bytes", Some("1 TiB")).expect("is set");
    workspace.set_setting("quota.bytes:p", Some("1GB")).expect("is set");
    record(&workspace, "p");
    put(&workspace, &place, "p", 1000, 1);
    assert_eq!(warned(&heard), Vec::<String>::new());
    let all = workspace.quotas(None).expect("measures");
    let shown: Vec<_> = all.iter().map(|one| (one.project.as_deref(), one.quota, one.is_over())).collect();
    assert_eq!(shown, [(None, 1 << 40, false), (Some("p"), 1_000_000_000, false), (Some("q"), 1, false)]);
    workspace.set_setting("quota.bytes:q", None).expect("is unset");
    workspace.set_setting("quota.bytes", Some("0")).expect("is set");
    assert_eq!(workspace.quotas(None).expect("measures").len(), 1);
}

#[test]
fn a_run_is_told_at_its_start_and_a_put_once() {
    let place = Place::new();
    let (workspace, heard) = opened(&place);
    workspace.set_setting("quota.bytes", Some("10k")).expect("is set");
    record(&workspace, "p");
    let [first] = &warned(&heard)[..] else { panic!("{:?}", warned(&heard)) };
    assert!(first.starts_with("the workspace takes ") && first.ends_with(", over its quota of 10 KiB"), "{first}");
    for seed in 0..2 {
        put(&workspace, &place, "p", 1000, seed);
    }
    assert_eq!(warned(&heard).len(), 1, "whoever was told is not told again by a put");
    record(&workspace, "p");
    assert_eq!(warned(&heard).len(), 2, "and by another run");
}

#[test]
fn what_grows_beyond_a_quota_is_told_by_the_put_or_the_end_that_makes_it() {
    let place = Place::new();
    let (workspace, heard) = opened(&place);
    workspace.set_setting("quota.bytes:p", Some("1 MiB")).expect("is set");
    let run = workspace.run("p").start().expect("starts");
    put(&workspace, &place, "q", 2 << 20, 1);
    put(&workspace, &place, "p", 1000, 2);
    assert_eq!(warned(&heard), Vec::<String>::new(), "other projects do not count");
    put(&workspace, &place, "p", 1 << 20, 3);
    let [told] = &warned(&heard)[..] else { panic!("{:?}", warned(&heard)) };
    assert!(told.starts_with("project p takes 1") && told.ends_with(" MiB, over its quota of 1 MiB"), "{told}");
    run.finish().expect("finishes");
    assert_eq!(warned(&heard).len(), 1);

    // Another process: the same is told at the end of a run if it grew during it.
    let (workspace, heard) = opened(&place);
    workspace.set_setting("quota.bytes:r", Some("40000")).expect("is set");
    let run = workspace.run("r").start().expect("starts");
    let texts: Vec<String> = (0..10_000_u64).map(|seed| format!("{:?}", Rng(seed * 977).below(1 << 60))).collect();
    texts.iter().try_for_each(|text| run.log([("said", text.as_str())])).expect("logs");
    run.finish().expect("finishes");
    let [told] = &warned(&heard)[..] else { panic!("{:?}", warned(&heard)) };
    assert!(told.starts_with("project r takes "), "{told}");
    // What `du` measures is what is told.
    let usage = workspace.disk_usage().expect("measures");
    let of_r = workspace.quotas_in(&usage).expect("reads");
    let of_r = of_r.iter().find(|one| one.project.as_deref() == Some("r")).expect("is set").used;
    assert_eq!(usage.by_project().iter().find(|one| one.project == Some("r")).expect("listed").bytes, of_r);
}

#[test]
fn sizes_are_read_in_all_units_and_nonsense_is_refused() {
    let place = Place::new();
    let workspace = place.open();
    let sizes = [
        ("0", 0),
        ("9007199254740993", 9_007_199_254_740_993),
        ("50GB", 50_000_000_000),
        ("1.5 TiB", 1_649_267_441_664),
        (" 2 m ", 2 << 20),
        ("3b", 3),
        ("1KB", 1000),
    ];
    for (text, bytes) in sizes {
        workspace.set_setting("quota.bytes", Some(text)).expect(text);
        assert_eq!(workspace.setting("quota.bytes").expect("reads"), Json::Int(bytes), "{text}");
    }
    for text in ["", "-1", "GB", "1 XB", "1e9", "1.2.3", "inf", "99999999 TB", "1 G B"] {
        let error = workspace.set_setting("quota.bytes", Some(text)).expect_err(text);
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{text}: {error}");
    }
    for name in ["quota.bytes:", "quota.bytes:a:b", "quota.bytes:a\nb", "console:p", "quota:p"] {
        let error = workspace.set_setting(name, Some("1")).expect_err(name);
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{name}: {error}");
    }
    assert_eq!(workspace.setting("quota.bytes:of/none").expect("reads"), Json::Int(0));
}
