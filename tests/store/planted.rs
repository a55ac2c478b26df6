//! P2: nothing that a user wrote stands in clear. Markers are planted in every field there is, and every file of the
//! workspace and of the key directory is searched for them raw, as UTF-16, base64 and hex, and after decompression.

use std::path::{Path, PathBuf};

use runcellar::artifacts::{ArtifactDraft, PutSettings};
use runcellar::{MetricDefinition, Value, json};

use crate::support::{Place, child, list};

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
    // What is left goes into names and values of metrics, in many rows and in one.
    let rest: Vec<String> = std::iter::from_fn(|| Some(text())).take(MARKERS as usize - 60).collect();
    let (single, wide) = rest.split_at(rest.len() / 2);
    for pair in single.chunks(2) {
        run.log([(pair[0].as_str(), Value::from(pair[pair.len() - 1].as_str()))]).expect("logs");
    }
    run.log(wide.iter().map(|name| (name.as_str(), Value::from(name.as_str())))).expect("logs");
    run
}

/// Puts an artifact with markers in names, metadata and content: whole, repeated so that it is compressed, and small.
fn plant_artifact(workspace: &runcellar::Workspace, text: &mut impl FnMut() -> String) {
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

fn files_below(directory: &Path, out: &mut Vec<PathBuf>) {
    for path in list(directory) {
        if path.is_dir() { files_below(&path, out) } else { out.push(path) }
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
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// Returns what is found of the markers in some bytes: the form, and whether it was compressed.
fn search(bytes: &[u8], forms: &[(&'static str, Vec<u8>)]) -> Vec<String> {
    let mut found: Vec<String> =
        forms.iter().filter(|(_, form)| contains(bytes, form)).map(|(name, _)| (*name).to_owned()).collect();
    // A zstd frame begins with its magic.
    for (at, _) in bytes.windows(4).enumerate().filter(|(_, four)| *four == [0x28, 0xb5, 0x2f, 0xfd]) {
        let mut plain = Vec::new();
        let mut decoder = zstd::stream::read::Decoder::new(&bytes[at..]).expect("a decoder").single_frame();
        // What is no frame gives nothing, or garbage up to where it fails, which is searched too.
        let _ = std::io::Read::read_to_end(&mut decoder, &mut plain);
        found.extend(forms.iter().filter(|(_, form)| contains(&plain, form)).map(|(name, _)| format!("zstd, {name}")));
    }
    found
}

#[track_caller]
fn assert_nothing_found(place: &Place, when: &str) {
    let forms = forms();
    let mut files = Vec::new();
    files_below(&place.workspace(), &mut files);
    files_below(&place.keys_dir(), &mut files);
    assert!(files.len() >= 3, "{when}: {files:?}");
    let mut searched = 0;
    for path in files {
        let name = path.to_string_lossy().into_owned();
        assert!(!name.contains("Planted"), "{when}: the name {name}");
        // Read by another process, as closing a descriptor here would drop this process's locks on it.
        let bytes = std::process::Command::new("cat").arg(&path).output().expect("cat runs").stdout;
        searched += bytes.len();
        assert_eq!(search(&bytes, &forms), Vec::<String>::new(), "{when}: in {name}");
    }
    assert!(searched > 10_000, "{when}: only {searched} bytes");
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
    let info = place.open().find_run(run.id()).expect("found");
    assert!(info.notes.starts_with("Planted") && info.project.starts_with("Planted"));
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
    assert_eq!(place.journal_files().len(), 1, "left by the kill");
    assert_nothing_found(&place, "after a kill");
    drop(place.open());
    assert_eq!(place.journal_files().len(), 0, "ingested");
    assert_nothing_found(&place, "after recovery");
}
