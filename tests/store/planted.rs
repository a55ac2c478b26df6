//! P2: nothing that a user wrote stands in clear. Markers are planted in every field there is, in media, code, artifacts and
//! settings, and every file of the workspace, of its backup and of the key directory is searched for them raw, as UTF-16,
//! base64 and hex, and after decompression: during a run, after a kill, after a purge and a collection. What leaves the
//! workspace otherwise, a capsule, is searched in tests/cli.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use runcellar::artifacts::{ArtifactDraft, PutSettings};
use runcellar::{
    BackupOptions, CodeFolder, CollectOptions, MetricDefinition, NewMedia, PurgeOptions, Stream, Value, Workspace, json,
};

use crate::support::outsider::files_below;
use crate::support::{Place, child};

/// Markers are letters only, so that base64 and hex of them are plain too; long enough not to stand by chance.
fn marker(number: u64) -> String {
    let letters = b"QZXJKVBWPYGFMDHC";
    let tail: String = (0..8).map(|place| char::from(letters[(number >> (4 * place) & 15) as usize])).collect();
    format!("Planted{tail}Marker")
}

const MARKERS: u64 = 1_000;

/// Starts a run with markers in every field, and logs some in names and values.
fn plant(place: &Place) -> runcellar::run::Run {
    let mut next = (0..MARKERS).map(marker);
    let mut text = move || next.next().expect("enough markers");
    let workspace = place.open();
    let run = workspace
        .run(&text())
        .id(text())
        .name(text())
        .notes(text())
        .group(text())
        .job_type(text())
        .tags([text(), text()])
        .program(text())
        .runtime(text())
        .config(json!({
            "Planted": {"nested": (text()), "list": [(text()), (text())]},
            "plain": (text()),
        }))
        .start()
        .expect("starts");
    run.config(&text(), text()).expect("sets config");
    run.summary(&text(), text()).expect("sets summary");
    run.tag(&text()).expect("tags");
    run.notes(&text()).expect("annotates");
    run.rename(&text()).expect("renames");
    let definition = MetricDefinition { name: text(), step_metric: text(), ..MetricDefinition::default() };
    run.define_metric(&definition).expect("defines");
    workspace.set_setting("project.default", Some(&text())).expect("sets");
    plant_artifact(&workspace, &mut text);
    plant_files(place, &run, &mut text);
    // What is left goes into names and values of metrics, in many rows and in one.
    let rest: Vec<String> = std::iter::from_fn(|| Some(text())).take(MARKERS as usize - 80).collect();
    let (single, wide) = rest.split_at(rest.len() / 2);
    for pair in single.chunks(2) {
        run.log([(pair[0].as_str(), Value::from(pair[pair.len() - 1].as_str()))]).expect("logs");
    }
    run.log(wide.iter().map(|name| (name.as_str(), Value::from(name.as_str())))).expect("logs");
    run
}

/// Logs media with markers in key, caption and content, keeps code with markers in names and lines, and prints some.
fn plant_files(place: &Place, run: &runcellar::run::Run, text: &mut impl FnMut() -> String) {
    for (kind, format) in [("text", "txt"), ("html", "html"), ("image", "png")] {
        let media = NewMedia {
            kind: kind.into(),
            format: format.into(),
            metadata: json!({"caption": (text())}),
            content: Arc::new(text().repeat(200).into_bytes()),
            companions: Vec::new(),
            parts: Vec::new(),
        };
        run.log_media(None, None, vec![(text(), media)], |_| {}).expect("logs");
    }
    let folder = place.root().join("code");
    std::fs::create_dir_all(&folder).expect("creates");
    std::fs::write(folder.join(format!("{}.py", text())), format!("print('{}')\n", text())).expect("writes");
    run.log_code(&CodeFolder { root: folder.clone(), ..CodeFolder::default() }).expect("keeps");
    // What was planted outside of the workspace is not looked for.
    std::fs::remove_dir_all(folder).expect("removes");
    run.console(Stream::Out, format!("{}\n", text()).as_bytes());
}

/// Puts an artifact with markers in names, metadata and content: whole, repeated so that it is compressed, and small.
fn plant_artifact(workspace: &Workspace, text: &mut impl FnMut() -> String) {
    let mut draft = ArtifactDraft::new(&text(), &text()).expect("a name");
    draft.description = text();
    draft.metadata = json!({"Planted": (text())});
    draft.alias(&text()).expect("an alias");
    draft.add_bytes(&format!("{}/{}", text(), text()), text().into_bytes()).expect("adds");
    draft.add_bytes(&text(), text().repeat(5_000).into_bytes()).expect("adds");
    draft.add_reference(&format!("s3://{}", text()), &text(), Some(1), Some(&text())).expect("adds");
    let settings = PutSettings { project: text(), compress: true, ..PutSettings::default() };
    workspace.put_artifact(&draft, &settings).expect("puts");
}

pub(crate) fn plants_and_waits(place: &Place, _: &str) {
    let run = plant(place);
    std::fs::write(place.root().join("planted"), run.id()).expect("writes");
    loop {
        std::thread::park();
    }
}

/// The forms in which a text could hide, with the name of each. All markers share a stem, so one search finds any.
fn forms() -> Vec<(&'static str, Vec<u8>)> {
    let stem = b"Planted";
    let utf16 = |big: bool| stem.iter().flat_map(|byte| if big { [0, *byte] } else { [*byte, 0] }).collect();
    let hex = |upper: bool| -> Vec<u8> {
        let digits = |byte: &u8| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") };
        stem.iter().map(digits).collect::<String>().into_bytes()
    };
    let mut forms = vec![
        ("raw", stem.to_vec()),
        ("reversed", stem.iter().rev().copied().collect()),
        ("UTF-16LE", utf16(false)),
        ("UTF-16BE", utf16(true)),
        ("hex", hex(false)),
        ("HEX", hex(true)),
    ];
    for skipped in 0..3 {
        // Base64 of the stem behind 0, 1 or 2 other bytes: the digits that do not depend on those.
        let padded: Vec<u8> = std::iter::repeat_n(0, skipped).chain(stem.iter().copied()).collect();
        let digits = base64(&padded);
        let from = [0, 2, 3][skipped];
        let whole = (padded.len() / 3) * 4;
        forms.push(("base64", digits[from..whole].to_vec()));
    }
    forms
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let bits = (0..3).fold(0_u32, |bits, place| bits << 8 | u32::from(three.get(place).copied().unwrap_or(0)));
        [18, 12, 6, 0].map(|shift| DIGITS[(bits >> shift & 63) as usize])
    };
    bytes.chunks(3).flat_map(group).collect()
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(haystack, needle).is_some()
}

/// What gzip makes of some bytes; of what is no gzip, all up to where it fails.
fn gzip(option: &str, bytes: &[u8]) -> Vec<u8> {
    let mut command = Command::new("gzip");
    let gzip = command.arg(option).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut gzip = gzip.expect("gzip starts");
    let (mut input, bytes) = (gzip.stdin.take().expect("piped"), bytes.to_vec());
    // It stops reading where it finds that these are no such bytes.
    let feeder = std::thread::spawn(move || drop(input.write_all(&bytes)));
    let output = gzip.wait_with_output().expect("gzip ends");
    feeder.join().expect("has no panic");
    output.stdout
}

/// Returns what is found of the markers in some bytes: the form, and whether it was compressed.
fn search(bytes: &[u8], forms: &[(&'static str, Vec<u8>)]) -> Vec<String> {
    let mut found: Vec<String> =
        forms.iter().filter(|(_, form)| contains(bytes, form)).map(|(name, _)| (*name).to_owned()).collect();
    // A zstd frame begins with its magic.
    for at in memchr::memmem::find_iter(bytes, b"\x28\xb5\x2f\xfd") {
        let mut plain = Vec::new();
        let mut decoder = zstd::stream::read::Decoder::new(&bytes[at..]).expect("a decoder").single_frame();
        // What is no frame gives nothing, or garbage up to where it fails, which is searched too.
        let _ = std::io::Read::read_to_end(&mut decoder, &mut plain);
        found.extend(forms.iter().filter(|(_, form)| contains(&plain, form)).map(|(name, _)| format!("zstd, {name}")));
    }
    for at in memchr::memmem::find_iter(bytes, b"\x1f\x8b\x08") {
        let plain = gzip("-dc", &bytes[at..]);
        found.extend(forms.iter().filter(|(_, form)| contains(&plain, form)).map(|(name, _)| format!("gzip, {name}")));
    }
    found
}

#[track_caller]
fn assert_nothing_found(place: &Place, when: &str) {
    let forms = forms();
    let mut files: Vec<PathBuf> =
        [place.workspace(), place.keys_dir()].iter().flat_map(|path| files_below(path)).collect();
    if backup(place).exists() {
        files.extend(files_below(&backup(place)));
    }
    assert!(files.len() >= 3, "{when}: {files:?}");
    let mut searched = 0;
    for path in files {
        let name = path.to_string_lossy().into_owned();
        assert!(!name.contains("Planted"), "{when}: the name {name}");
        // Read by another process, as closing a descriptor here would drop this process's locks on it.
        let bytes = Command::new("cat").arg(&path).output().expect("cat runs").stdout;
        searched += bytes.len();
        assert_eq!(search(&bytes, &forms), Vec::<String>::new(), "{when}: in {name}");
    }
    assert!(searched > 10_000, "{when}: only {searched} bytes");
}

fn backup(place: &Place) -> PathBuf {
    place.root().join("backup")
}

#[test]
fn a_planted_text_is_found_in_every_form() {
    let (forms, text) = (forms(), marker(7));
    let utf16: Vec<u8> = text.bytes().flat_map(|byte| [byte, 0]).collect();
    let packed = zstd::bulk::compress(text.repeat(20).as_bytes(), 3).expect("compresses");
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(search(text.as_bytes(), &forms), ["raw"]);
    assert_eq!(search(&utf16, &forms), ["UTF-16LE"]);
    assert_eq!(search(hex.as_bytes(), &forms), ["hex"]);
    assert_eq!(search(&[b"junk", &packed[..], b"junk"].concat(), &forms).last().map(String::as_str), Some("zstd, raw"));
    let packed = gzip("-c", text.repeat(20).as_bytes());
    assert_eq!(search(&[b"junk", &packed[..], b"junk"].concat(), &forms).last().map(String::as_str), Some("gzip, raw"));
    for skipped in 0..3 {
        let bytes: Vec<u8> = std::iter::repeat_n(b'x', skipped).chain(text.bytes()).collect();
        assert_eq!(search(&base64(&bytes), &forms), ["base64"], "behind {skipped} bytes");
    }
    assert_eq!(search(b"nothing of ours", &forms), Vec::<String>::new());
}

#[test]
fn nothing_planted_is_found_during_a_run_and_after_it() {
    let place = Place::new();
    let run = plant(&place);
    run.flush().expect("syncs");
    assert_nothing_found(&place, "during the run");
    run.finish().expect("finishes");
    assert_nothing_found(&place, "after finish");
    assert!(place.open().fold_catalogue().expect("folds"), "the run gets into a block");
    assert_nothing_found(&place, "with a catalogue");
    // The markers are there for whoever has the key.
    let workspace = place.open();
    let info = workspace.find_run(run.id()).expect("found");
    assert!(info.notes.starts_with("Planted") && info.project.starts_with("Planted"));
    assert_eq!(workspace.media(&info).expect("lists").list().len(), 3);

    workspace.note_capsule(&[info], &[]).expect("notes");
    workspace.backup(&backup(&place), BackupOptions::default()).expect("backs up");
    assert_nothing_found(&place, "with a backup");
    purge_one(&workspace, run.id());
    assert_nothing_found(&place, "after a purge");
    workspace.collect_garbage(CollectOptions::default()).expect("collects");
    assert_nothing_found(&place, "after a collection");
    workspace.backup(&backup(&place), BackupOptions::default()).expect("backs up again");
    assert_nothing_found(&place, "with the next backup");
}

/// Purges a run and an artifact that bear markers.
fn purge_one(workspace: &Workspace, id: &str) {
    let artifacts = workspace.artifacts(None).expect("lists");
    let name = artifacts.first().map(|artifact| artifact.full_name()).expect("one was put");
    let targets = [id.to_owned(), format!("artifact:{name}")].map(|text| text.parse().expect("a target"));
    let purged = workspace.purge(&targets, PurgeOptions::default()).expect("purges");
    assert_eq!(purged.receipt.targets().len(), 2);
    workspace.find_run(id).expect_err("it is gone");
}

#[test]
fn nothing_planted_is_found_after_a_kill_and_after_recovery() {
    let place = Place::new();
    drop(place.open());
    let mut planter = child::start("plants_and_waits", &place, "");
    while !place.root().join("planted").exists() {
        assert_eq!(planter.try_wait().expect("waits"), None, "the planter ended");
        std::thread::yield_now();
    }
    child::kill(planter);
    assert!(!place.journal_files().is_empty(), "left by the kill");
    assert_nothing_found(&place, "after a kill");
    drop(place.open());
    assert_eq!(place.journal_files().len(), 0, "ingested");
    assert_nothing_found(&place, "after recovery");
}
