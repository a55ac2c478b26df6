//! Code, media and artifacts: everything of them arrives where the user agreed to it, and nothing where not; packs that are
//! lost, cut or changed are named, hurt what lies in them, and are fetched again.

use std::path::Path;
use std::sync::Arc;

use runcellar::artifacts::{ArtifactDraft, DownloadOptions, PutSettings, RemoveOptions};
use runcellar::remotes::RemoteClass;
use runcellar::{
    ArtifactVersion, CodeFolder, CollectOptions, ErrorKind, NewMedia, Selection, SeriesValues, Workspace, json,
};
use runcellar_sync::engine::Report;
use runcellar_sync::remote::fake::{Fake, Last, Store};
use runcellar_sync::remote::{Folder, ObjectName, Remote};

use crate::devices::Device;

/// Bytes that no other seed gives.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut next).take(len.div_ceil(8)).flatten().take(len).collect()
}

/// Records a run with a picture and code.
pub(crate) fn record(device: &Device, id: &str) {
    let source = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(source.path().join("train.py"), format!("# planted-marker of the code of {id}\n")).expect("writes");
    let run = device.workspace.run("p").id(id).start().expect("starts");
    run.log([("loss", 0.5)]).expect("logs");
    let picture = NewMedia {
        kind: "image".into(),
        format: "png".into(),
        metadata: json!({"caption": "planted-marker of a caption"}),
        content: Arc::new(format!("planted-marker of the picture of {id}").into_bytes()),
        companions: Vec::new(),
        parts: Vec::new(),
    };
    run.log_media(None, None, vec![("sample".into(), picture)], |_| {}).expect("logs");
    let folder = CodeFolder { root: source.path().to_owned(), ..CodeFolder::default() };
    assert_eq!(run.log_code(&folder).expect("is kept").files, 1);
    run.finish().expect("finishes");
}

/// Puts a version of `model` that a run made.
pub(crate) fn put(device: &Device, content: &[u8], run: Option<&str>, aliases: &[&str]) -> ArtifactVersion {
    put_as(device, "model", content, run, aliases)
}

pub(crate) fn put_as(
    device: &Device,
    name: &str,
    content: &[u8],
    run: Option<&str>,
    aliases: &[&str],
) -> ArtifactVersion {
    let mut draft = ArtifactDraft::new(name, "model").expect("a name");
    draft.add_bytes("weights.bin", content.to_vec()).expect("adds");
    let text = format!("planted-marker of an artifact, {:?}", content.last_chunk::<4>());
    draft.add_bytes("planted-marker.txt", text.into_bytes()).expect("adds");
    draft.metadata = json!({"note": "planted-marker of metadata"});
    let settings = PutSettings {
        project: "p".into(),
        run: run.map(str::to_owned),
        aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
        ..PutSettings::default()
    };
    device.workspace.put_artifact(&draft, &settings).expect("is put").version
}

/// What a device shows of the files of its runs, and of its artifacts.
pub(crate) fn shown(device: &Device) -> Vec<String> {
    let workspace = &device.workspace;
    let mut shown = Vec::new();
    for run in workspace.runs(&Selection::default()).expect("lists") {
        for file in workspace.code(&run).expect("lists") {
            let text = workspace.code_file(&run, &file.path).expect("reads");
            shown.push(format!("{} {:?} {:?}", run.id, String::from_utf8(file.path), String::from_utf8(text)));
        }
        let media = workspace.media(&run).expect("lists");
        if let Ok(series) = workspace.series(&run, "sample", None) {
            let SeriesValues::Media(ids) = series.values else { panic!("sample is of media") };
            for id in ids {
                let what = media.get(id).map(|info| format!("{:?}", info.metadata));
                let content = media.read(id).map(String::from_utf8).map_err(|error| error.kind());
                shown.push(format!("{} {id} {what:?} {content:?}", run.id));
            }
        }
    }
    for artifact in workspace.artifacts(None).expect("lists") {
        for version in workspace.artifact_versions(&format!("{}/{}", artifact.project, artifact.name)).expect("lists") {
            shown.push(shown_version(workspace, &version));
        }
    }
    shown.sort();
    shown
}

fn shown_version(workspace: &Workspace, version: &ArtifactVersion) -> String {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let got = version.download(&folder.path().join("to"), &DownloadOptions::default()).expect("downloads");
    assert!(got.hurt.is_empty(), "{:?}", got.hurt);
    let read = |name: &str| std::fs::read(folder.path().join("to").join(name)).expect("reads");
    let mut sum = 0_u64;
    for name in ["weights.bin", "planted-marker.txt"] {
        sum = read(name).iter().fold(sum, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    }
    let runs = workspace.runs_of_version(version).expect("reads");
    let ids = |runs: &[runcellar::RunInfo]| runs.iter().map(|run| run.id.clone()).collect::<Vec<_>>();
    format!(
        "{} {:?} {:?} {sum:x} made by {:?}, used by {:?}",
        version.full_name(),
        version.aliases,
        version.metadata,
        ids(&runs.made),
        ids(&runs.used)
    )
}

#[track_caller]
pub(crate) fn assert_alike(devices: &[&Device]) {
    let (first, of_first) = (shown(devices[0]), devices[0].state());
    assert!(!first.is_empty());
    for device in &devices[1..] {
        assert_eq!(shown(device), first);
        assert_eq!(device.state(), of_first);
    }
    devices.iter().for_each(|device| device.is_whole());
}

pub(crate) fn packs(store: &Store) -> Vec<ObjectName> {
    store.names().into_iter().filter(|name| name.as_str().starts_with("packs/")).collect()
}

pub(crate) fn is_idle(report: &Report) -> bool {
    let moved = [report.sent, report.sent_packs, report.fetched, report.fetched_packs];
    moved == [0; 4] && report.merged.is_empty() && report.merged.left_out.is_empty()
}

#[test]
fn files_and_artifacts_arrive_and_devices_settle() {
    let shared = tempfile::tempdir().expect("a temporary directory");
    let remote = Folder::new(shared.path());
    let first = Device::first_with(&RemoteClass::ALL);
    record(&first, "one");
    let weights = noise(1, 3 << 20);
    put(&first, &weights, Some("one"), &["best"]);
    put(&first, &[&weights[..2 << 20], &noise(2, 1 << 20)].concat(), Some("one"), &[]);
    let version = first.workspace.artifact("p/model:v0").expect("is there");
    first.workspace.link_version(&version, "registry/approved", &["prod".into()]).expect("links");
    let report = first.sync(&remote).expect("syncs");
    assert_eq!((report.sent_runs, report.sent_versions, report.not_sent.len()), (1, 2, 0));
    assert!(report.sent_packs >= 4 && report.sent_bytes > 4 << 20, "{report:?}");

    let second = Device::another(&first, &remote);
    let report = second.sync(&remote).expect("syncs");
    assert_eq!((report.merged.new_runs, report.merged.new_versions), (1, 3), "{report:?}");
    assert_eq!(report.sent_packs, 0, "what came in is not sent back");
    assert_alike(&[&first, &second]);
    let digest = |device: &Device| device.workspace.artifact("p/model:v1").expect("is there").digest;
    assert_eq!(digest(&first), digest(&second), "both name content alike");

    // The second device goes on: it uses a version, moves an alias, and puts another version with little that is new.
    record(&second, "two");
    let used = second.workspace.artifact("p/model:best").expect("is there");
    second.workspace.use_version(&used, &second.run("two")).expect("uses");
    put(&second, &[&weights[..], &noise(3, 1000)].concat(), Some("two"), &["best"]);
    second.sync(&remote).expect("syncs");
    let report = first.sync(&remote).expect("syncs");
    assert_eq!((report.merged.new_runs, report.merged.new_versions), (1, 1), "{report:?}");
    assert_alike(&[&first, &second]);
    // A third meets both at once, in whichever order.
    let third = Device::another(&first, &remote);
    third.sync(&remote).expect("syncs");
    assert_alike(&[&first, &second, &third]);
    for device in [&first, &second, &third, &first, &second, &third] {
        device.sync(&remote).expect("syncs");
    }
    for device in [&first, &second, &third] {
        let report = device.sync(&remote).expect("syncs");
        assert!(is_idle(&report), "{report:?}");
    }
}

/// What every kind of remote carries: files and artifacts arrive, and devices settle.
pub(crate) fn arrives_by(remote: &dyn Remote) {
    let first = Device::first_with(&RemoteClass::ALL);
    record(&first, "one");
    put(&first, &noise(1, 2 << 20), Some("one"), &["best"]);
    first.sync(remote).expect("syncs");
    let second = Device::another(&first, remote);
    second.sync(remote).expect("syncs");
    put(&second, &noise(2, 300_000), Some("one"), &["best"]);
    for device in [&second, &first, &second] {
        device.sync(remote).expect("syncs");
    }
    assert_alike(&[&first, &second]);
    for device in [&first, &second] {
        let report = device.sync(remote).expect("syncs");
        assert!(is_idle(&report), "{report:?}");
    }
}

/// Who made content of a name first decides how it is named for all that come after, so a device fetches of a new version what
/// is new in it.
#[test]
fn of_a_new_version_only_what_is_new_is_fetched() {
    let store = Store::new();
    let (first, remote) = (Device::first_with(&RemoteClass::ALL), Fake::new(&store, 1));
    let weights = noise(1, 4 << 20);
    put(&first, &weights, None, &[]);
    first.sync(&remote).expect("syncs");
    let second = Device::another(&first, &remote);
    second.sync(&remote).expect("syncs");
    put(&first, &[&weights[..], &noise(2, 100_000)].concat(), None, &[]);
    let sent = first.sync(&remote).expect("syncs");
    assert_eq!(sent.sent_packs, 1);
    let report = second.sync(&remote).expect("syncs");
    assert_eq!((report.merged.new_versions, report.fetched_packs), (1, 1), "{report:?}");
    assert!(report.fetched_bytes < 1 << 20, "{report:?}");
    assert_alike(&[&first, &second]);
}

#[test]
fn classes_that_were_not_agreed_to_stay_at_home() {
    for (classes, wanted) in [
        (&[RemoteClass::Metrics][..], [false, false, false]),
        (&[RemoteClass::Metrics, RemoteClass::Code], [true, false, false]),
        (&[RemoteClass::Metrics, RemoteClass::Media], [false, true, false]),
        (&[RemoteClass::Metrics, RemoteClass::Artifacts], [false, false, true]),
    ] {
        let store = Store::new();
        let (first, remote) = (Device::first_with(classes), Fake::new(&store, 1));
        record(&first, "one");
        put(&first, b"weights", Some("one"), &["best"]);
        first.sync(&remote).expect("syncs");
        assert_eq!(packs(&store).len(), wanted.iter().filter(|wanted| **wanted).count(), "{classes:?}");
        let second = Device::another(&first, &remote);
        second.sync(&remote).expect("syncs");
        let run = second.run("one");
        let media = second.workspace.media(&run).expect("lists");
        let found = [
            !second.workspace.code(&run).expect("lists").is_empty(),
            !media.list().is_empty(),
            !second.workspace.artifacts(None).expect("lists").is_empty(),
        ];
        assert_eq!(found, wanted, "{classes:?}");
        second.is_whole();
    }
}

#[test]
fn artifacts_of_other_projects_stay_at_home() {
    let store = Store::new();
    let (first, remote) = (Device::first(), Fake::new(&store, 1));
    first.workspace.remove_remote("origin").expect("is removed");
    first.workspace.add_remote("origin", "memory", &RemoteClass::ALL, &["q".into()]).expect("is added");
    let hash = first.workspace.consent_request("origin").expect("asks").hash;
    first.workspace.enable_remote("origin", &hash).expect("is enabled");
    record(&first, "one");
    put(&first, b"weights", Some("one"), &[]);
    first.sync(&remote).expect("syncs");
    assert!(packs(&store).is_empty());
    let second = Device::another(&first, &remote);
    second.sync(&remote).expect("syncs");
    assert!(shown(&second).is_empty());
}

#[test]
fn a_sync_with_packs_that_ends_at_any_request_goes_on_with_the_next() {
    for last in [Last::Unsent, Last::Unanswered] {
        let store = Store::new();
        let (first, remote) = (Device::first_with(&RemoteClass::ALL), Fake::new(&store, 1));
        record(&first, "before");
        first.sync(&remote).expect("syncs");
        let second = Device::another(&first, &remote);
        second.sync(&remote).expect("syncs");
        for requests in 0.. {
            put_as(&first, "mine", &noise(requests + 10, 70_000), None, &[]);
            put_as(&second, "yours", &noise(requests + 1000, 70_000), None, &[]);
            // The one that sends, and the one that fetches.
            let mut ended = true;
            for device in [&first, &second] {
                remote.stop_after(requests, last);
                ended &= device.sync(&remote).is_ok();
                remote.revive();
                device.sync(&remote).expect("goes on");
            }
            first.sync(&remote).expect("syncs");
            if ended {
                assert!(requests >= 8, "a sync has more requests than {requests}");
                break;
            }
        }
        assert_alike(&[&first, &second]);
    }
}

#[test]
fn a_pack_that_is_missing_cut_or_changed_is_named_and_the_rest_comes_in() {
    let store = Store::new();
    let (first, remote) = (Device::first_with(&RemoteClass::ALL), Fake::new(&store, 1));
    put(&first, &noise(1, 200_000), None, &["best"]);
    first.sync(&remote).expect("syncs");
    let [pack] = packs(&store).try_into().expect("one pack");
    record(&first, "one");
    put(&first, &noise(2, 200_000), None, &[]);
    first.sync(&remote).expect("syncs");
    let good = store.bytes(&pack).expect("is there");
    let changed = |at: usize| {
        let mut bytes = good.to_vec();
        bytes[at] ^= 1;
        Some(bytes)
    };
    let id = pack.as_str().rsplit('/').next().expect("a name").to_owned();
    let wrong =
        [None, Some(good[..4096].to_vec()), Some(Vec::new()), changed(5000), changed(3), changed(good.len() - 2)];
    for content in wrong {
        match content {
            Some(content) => store.replace(&pack, content),
            None => assert!(store.remove(&pack)),
        }
        let second = Device::another(&first, &remote);
        let report = second.sync(&remote).expect("syncs");
        let [left] = &report.merged.left_out[..] else { panic!("{report:?}") };
        assert!(left.damaged && left.what == "artifact p/model:v0" && left.why.contains(&id), "{left:?}");
        assert_eq!(second.state(), first.state(), "runs come in");
        let missing = second.workspace.artifact("p/model:v0").expect_err("nothing half");
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        second.workspace.artifact("p/model:v1").expect("the other version came in");
        second.is_whole();
        assert!(!second.sync(&remote).expect("syncs").merged.left_out.is_empty(), "it is named again");
        store.replace(&pack, good.clone());
        let report = second.sync(&remote).expect("syncs");
        assert_eq!((report.merged.new_versions, report.merged.left_out.len()), (1, 0), "{report:?}");
        assert_alike(&[&first, &second]);
        assert!(is_idle(&second.sync(&remote).expect("syncs")));
    }
}

#[test]
fn a_pack_that_is_damaged_at_home_keeps_back_what_lies_in_it_and_nothing_else() {
    let store = Store::new();
    let (first, remote) = (Device::first_with(&RemoteClass::ALL), Fake::new(&store, 1));
    put(&first, &noise(1, 200_000), None, &[]);
    let folder = first.root().join("w/packs");
    let [below] = list(&folder).try_into().expect("one folder");
    let [file] = list(&below).try_into().expect("one pack");
    let bytes = std::fs::read(&file).expect("reads");
    std::fs::remove_file(&file).expect("removes");
    record(&first, "one");
    let report = first.sync(&remote).expect("syncs");
    assert_eq!((report.sent_runs, report.sent_versions), (1, 0));
    let [left] = &report.not_sent[..] else { panic!("{report:?}") };
    assert!(left.damaged && left.what.contains("p/model") && left.why.contains("its file is missing"), "{left:?}");
    std::fs::write(&file, bytes).expect("writes");
    // Whatever changes the workspace has it looked at again.
    first.tag("one", "seen");
    let report = first.sync(&remote).expect("syncs");
    assert_eq!((report.sent_versions, report.not_sent.len()), (1, 0), "{report:?}");
    let second = Device::another(&first, &remote);
    second.sync(&remote).expect("syncs");
    assert_alike(&[&first, &second]);
}

/// Stands for a disk that is full, or read-only: what was fetched has no place.
#[test]
fn packs_that_cannot_be_stored_here_end_the_sync_and_the_next_goes_on() {
    let store = Store::new();
    let (first, remote) = (Device::first_with(&RemoteClass::ALL), Fake::new(&store, 1));
    record(&first, "one");
    first.sync(&remote).expect("syncs");
    let second = Device::another(&first, &remote);
    second.sync(&remote).expect("syncs");
    put(&first, &noise(1, 200_000), None, &[]);
    first.record("two", 10);
    let prefix = first.workspace.exchange("origin").expect("begins").prefix();
    first.sync(&remote).expect("syncs");
    let id = second.workspace.remote("origin").expect("is known").id;
    let folder = second.root().join("w/remotes").join(id).join(prefix).join("tmp");
    std::fs::remove_dir(&folder).expect("is empty");
    std::fs::write(&folder, b"no folder").expect("writes");
    let failed = second.sync(&remote).expect_err("has no place").to_string();
    assert!(failed.contains("store") && failed.contains(".pack"), "{failed}");
    second.run("two");
    assert!(second.workspace.artifacts(None).expect("lists").is_empty(), "nothing half");
    second.is_whole();
    std::fs::remove_file(&folder).expect("removes");
    std::fs::create_dir(&folder).expect("makes");
    second.sync(&remote).expect("goes on");
    assert_alike(&[&first, &second]);
    let packs = folder.with_file_name("packs");
    let left = list(&packs).iter().flat_map(|below| list(below)).count();
    assert_eq!(left, 0, "what was taken in does not lie there twice");
}

fn list(folder: &Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(folder).expect("lists").map(|entry| entry.expect("reads").path()).collect()
}

#[test]
fn packs_that_were_written_anew_are_told_anew() {
    let store = Store::new();
    let (first, remote) = (Device::first_with(&RemoteClass::ALL), Fake::new(&store, 1));
    // One pack with two versions, of which the larger goes.
    let (large, small) = (noise(1, 1 << 20), noise(2, 200_000));
    put(&first, &[&large[..], &small[..]].concat(), None, &[]);
    put(&first, &small, None, &[]);
    first.sync(&remote).expect("syncs");
    let version = first.workspace.artifact("p/model:v0").expect("is there");
    first.workspace.remove_version(&version, RemoveOptions::default()).expect("is removed");
    let collected = first.workspace.collect_garbage(CollectOptions { now: true }).expect("collects");
    assert!(collected.packs > 0, "{collected:?}");
    assert_eq!(first.sync(&remote).expect("syncs").waiting, 1, "grace.rs has what becomes of it");
    let second = Device::another(&first, &remote);
    second.sync(&remote).expect("syncs");
    assert_alike(&[&first, &second]);
    assert_eq!(second.workspace.artifact_versions("p/model").expect("lists").len(), 1);
    // The second tells what it erased with the first.
    first.sync(&remote).expect("syncs");
    for device in [&first, &second] {
        assert!(is_idle(&device.sync(&remote).expect("syncs")));
    }
}

#[test]
fn a_version_that_was_removed_here_does_not_come_back() {
    let store = Store::new();
    let (first, remote) = (Device::first_with(&RemoteClass::ALL), Fake::new(&store, 1));
    put(&first, b"zero", None, &[]);
    put(&first, b"one", None, &[]);
    first.sync(&remote).expect("syncs");
    let second = Device::another(&first, &remote);
    second.sync(&remote).expect("syncs");
    let version = second.workspace.artifact("p/model:v0").expect("is there");
    second.workspace.remove_version(&version, RemoveOptions::default()).expect("is removed");
    second.sync(&remote).expect("syncs");
    put(&first, b"two", None, &[]);
    first.sync(&remote).expect("syncs");
    second.sync(&remote).expect("syncs");
    let numbers = |device: &Device| {
        let versions = device.workspace.artifact_versions("p/model").expect("lists");
        versions.iter().map(ArtifactVersion::version).collect::<Vec<_>>()
    };
    assert_eq!(numbers(&second), ["v1", "v2"]);
}

/// Also on one that was away meanwhile and goes on with the collection.
#[test]
fn nothing_of_files_that_leaves_can_be_read() {
    let store = Store::new();
    let remote: &dyn Remote = &Fake::new(&store, 1);
    let first = Device::first_with(&RemoteClass::ALL);
    record(&first, "planted-marker");
    let text = "planted-marker of weights ".repeat(20_000);
    put(&first, text.as_bytes(), Some("planted-marker"), &["planted-marker"]);
    first.sync(remote).expect("syncs");
    let device = first.workspace.exchange("origin").expect("begins").prefix();
    assert!(packs(&store).len() >= 3, "{device}");
    for (name, bytes) in store.ever() {
        assert_eq!(bytes.len() % 4096, 0, "{name}");
        assert!(!bytes.windows(14).any(|window| window == b"planted-marker"), "{name}");
    }
}
