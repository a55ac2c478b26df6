//! Secrets in what a run records of its surroundings: taken out before a byte is written, listed, and counted.
//!
//! They are made when the tests run: nothing that looks like one stands in the tree.

use std::sync::Arc;

use runcellar::run::Run;
use runcellar::{
    CheckOptions, CodeFolder, Json, MediaId, NewMedia, OpenOptions, Resume, RunInfo, SeriesValues, Stream, Workspace,
    json,
};

use crate::support::{Heard, Place, Rng};

/// Returns a fake token, another one for each name.
fn token(name: &str) -> String {
    let mut rng = Rng(name.bytes().fold(0, |seed, byte| seed * 257 + u64::from(byte)));
    let letters = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    format!("gh{}_{}", 'p', (0..36).map(|_| char::from(letters[rng.below(62) as usize])).collect::<String>())
}

fn config(password: &str, token: &str) -> Json {
    let text = |text: &str| Json::Text(text.to_owned());
    Json::Map(vec![
        ("lr".into(), Json::Float(-0.0)),
        ("db".into(), Json::Map(vec![("password".into(), text(password)), ("host".into(), text("h"))])),
        ("note".into(), text(&format!("made with {token}."))),
    ])
}

fn find(workspace: &Workspace, run: &Run) -> RunInfo {
    workspace.find_run(run.id()).expect("the run is listed")
}

/// Returns all that the store tells of a run.
fn all_of(workspace: &Workspace, info: &RunInfo) -> String {
    let console = workspace.console(info).expect("reads");
    let arguments = workspace.arguments(info).expect("reads");
    let findings = workspace.findings(info).expect("reads");
    format!("{info:?} {console:?} {arguments:?} {findings:?}")
}

#[test]
fn a_planted_secret_stands_in_no_record_of_a_run() {
    let place = Place::new();
    let workspace = place.open();
    let (password, first, second, third) = ("sword-fish-7", token("first"), token("second"), token("third"));
    let run = workspace
        .run("p")
        .config(config(password, &first))
        .program(format!("/srv/{second}/train.py"))
        .arguments(["--lr".into(), "0.1".into(), "--token".into(), third.clone()])
        .start()
        .expect("starts");
    let places = |run: &Run| run.redacted().into_iter().map(|finding| finding.place).collect::<Vec<_>>();
    assert_eq!(places(&run), ["config.db.password", "config.note", "program", "argv 4"]);
    let message = run.redacted_message().expect("there are some");
    assert!(message.starts_with("4 secrets redacted (config.db.password, config.note, program and 1 more); runcellar"));
    let (late, printed) = (token("late"), token("printed"));
    run.config("api_key", late.as_str()).expect("is set");
    // A line in two pieces, one that is cut from its end, and the same secret again.
    let (head, tail) = printed.split_at(20);
    run.console(Stream::Out, format!("using {head}").as_bytes());
    run.console(Stream::Out, format!("{tail} now\nand {printed}\npassword: {password}").as_bytes());
    run.log([("loss", 1.0)]).expect("logs");
    let look = |workspace: &Workspace| {
        let info = find(workspace, &run);
        let told = all_of(workspace, &info);
        for secret in [password, &first, &second, &third, &late, &printed] {
            assert!(!told.contains(secret), "{secret} in {told}");
        }
        assert_eq!(info.config.get("lr").map(|lr| format!("{lr:?}")), Some("Float(-0.0)".into()), "others stay exact");
        assert_eq!(info.config.get("db").and_then(|db| db.get("host")), Some(&Json::Text("h".into())));
        info
    };
    look(&workspace);
    run.finish().expect("finishes");
    assert!(run.redacted_message().is_some_and(|text| text.starts_with("7 secrets redacted")), "{:?}", run.redacted());
    let workspace = place.open_silently();
    let info = look(&workspace);
    let lines: Vec<String> = workspace.console(&info).expect("reads").into_iter().map(|line| line.text).collect();
    assert!(lines[0].starts_with("using [redacted github-token ") && lines[0].ends_with("] now"), "{lines:?}");
    assert!(lines[2].starts_with("password: [redacted password "), "{lines:?}");
    let findings = workspace.findings(&info).expect("reads");
    let mut rules: Vec<_> = findings.iter().map(|finding| (finding.place.as_str(), finding.rule.as_str())).collect();
    rules.sort_unstable();
    let expected = [
        ("argv 4", "github-token"),
        ("config.api_key", "github-token"),
        ("config.db.password", "password"),
        ("config.note", "github-token"),
        ("console line 1", "github-token"),
        ("console line 3", "password"),
        ("program", "github-token"),
    ];
    assert_eq!(rules, expected);
    let password_ids: Vec<_> = findings.iter().filter(|f| f.rule == "password").map(|f| &f.id).collect();
    assert_eq!(password_ids[0], password_ids[1], "one secret has one id");
    let report = workspace.check(CheckOptions { read_data: true }).expect("checks");
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}

#[test]
fn the_caller_decides_before_the_workspace_does() {
    let place = Place::new();
    let workspace = place.open();
    let secret = token("first");
    let kept = |redact: Option<bool>| {
        let builder = workspace.run("p").config(config("sword-fish-7", &secret)).arguments([secret.clone()]);
        let run = redact.map_or(builder.clone(), |redact| builder.redact(redact)).start().expect("starts");
        run.console(Stream::Out, format!("{secret}\n").as_bytes());
        run.finish().expect("finishes");
        let info = find(&workspace, &run);
        let kept = all_of(&workspace, &info).matches(&secret).count();
        assert_eq!(run.redacted_message().is_none(), kept > 0);
        kept
    };
    assert_eq!((kept(None), kept(Some(false))), (0, 3));
    workspace.set_setting("redact", Some("off")).expect("is set");
    assert_eq!((kept(None), kept(Some(true))), (3, 0));
}

#[test]
fn what_is_allowed_by_id_is_kept_from_then_on() {
    let place = Place::new();
    let workspace = place.open();
    let secret = token("first");
    let run = |id: &str| {
        let run = workspace.run("p").id(id).resume(Resume::Allow).config(config("sword-fish-7", &secret));
        let run = run.start().expect("starts");
        run.finish().expect("finishes");
        run
    };
    let before = run("one");
    let ids: Vec<String> = before.redacted().into_iter().map(|finding| finding.id).collect();
    workspace.allow_findings(&[&ids[1]]).expect("is allowed");
    workspace.allow_findings(&[&ids[1]]).expect("is allowed once more");
    assert_eq!(workspace.setting("secrets.allow").expect("reads"), Json::Text(ids[1].clone()));
    assert!(workspace.allow_findings(&["0123456789AB"]).is_err());
    let after = run("two");
    assert_eq!(after.redacted().into_iter().map(|finding| finding.id).collect::<Vec<_>>(), [ids[0].clone()]);
    let note = find(&workspace, &after).config.get("note").cloned();
    assert_eq!(note, Some(Json::Text(format!("made with {secret}."))));
    assert!(!all_of(&workspace, &find(&workspace, &before)).contains(&secret), "what was redacted is gone");
}

#[test]
fn counts_are_noted_at_the_start_and_the_end() {
    let place = Place::new();
    let heard = Arc::new(Heard::default());
    let options = OpenOptions { monitor: heard.clone(), create: true, ..place.options() };
    let workspace = options.open(&place.workspace()).expect("opens");
    let run = workspace.run("p").id("r").config(config("sword-fish-7", "none")).start().expect("starts");
    run.finish().expect("finishes");
    let text = "run r: 1 secret redacted (config.db.password); runcellar secrets r lists them";
    assert_eq!(heard.notes().iter().filter(|note| *note == text).count(), 2, "{:?}", heard.notes());
    let plain = workspace.run("p").id("s").start().expect("starts");
    plain.finish().expect("finishes");
    assert!(!heard.notes().iter().any(|note| note.contains("run s")));
}

fn media(kind: &str, format: &str, metadata: Json, content: &str) -> NewMedia {
    let content = Arc::new(content.as_bytes().to_vec());
    let (kind, format) = (kind.to_owned(), format.to_owned());
    NewMedia { kind, format, metadata, content, companions: Vec::new(), parts: Vec::new() }
}

#[test]
fn texts_of_media_notes_and_code_are_searched_before_they_are_stored() {
    let place = Place::new();
    let workspace = place.open();
    let secrets: Vec<String> = (0..8).map(|number| token(&format!("secret {number}"))).collect();
    let [caption, text, page, cell, beside, notes, late, code] = &secrets[..] else { unreachable!() };
    let run = workspace.run("p").notes(format!("one\nwith {notes}")).start().expect("starts");
    let caption = || json!({"caption": (format!("as {caption} sees it"))});
    let table = format!(r#"{{"columns":["text","password"],"rows":[["{cell}","sword-fish-7"],[0.10,null]]}}"#);
    let svg = Arc::new(format!("<svg><text>{beside}</text></svg>").into_bytes());
    let figure = NewMedia {
        companions: vec![("static.svg".into(), svg)],
        ..media("figure", "bin", caption(), &format!("raw {page}"))
    };
    let logged = [
        ("samples", NewMedia::panel(vec![media("image", "png", caption(), "pixels")])),
        ("report", media("text", "md", json!({}), &format!("# a report\n{text}\nends"))),
        ("page", media("html", "html", json!({}), &format!("<a href='?key={page}'>"))),
        ("preds", media("table", "json", json!({}), &table)),
        ("figure", figure),
    ];
    for _ in 0..2 {
        let again = logged.iter().map(|(name, media)| ((*name).to_owned(), media.clone())).collect();
        run.log_media(None, None, again, |_| {}).expect("logs");
    }
    run.flush().expect("is stored");
    let folder = place.root().join("code");
    std::fs::create_dir_all(&folder).expect("is made");
    std::fs::write(folder.join("a.py"), format!("x = 1\nkey = '{code}'\n")).expect("is written");
    let saved = run.log_code(&CodeFolder { root: folder, ..CodeFolder::default() }).expect("is kept");
    assert_eq!(saved.redacted, 1);
    run.notes(&format!("after {late}")).expect("are set");
    run.finish().expect("finishes");

    let info = find(&workspace, &run);
    assert!(info.notes.starts_with("after [redacted github-token "), "{:?}", info.notes);
    let stored = workspace.media(&info).expect("reads");
    let read = |metric: &str| {
        let SeriesValues::Media(ids) = workspace.series(&info, metric, None).expect("reads").values else {
            panic!("{metric}")
        };
        let id = ids[0];
        assert_eq!(ids, [id, id], "equal media are one after redaction too");
        let part: Option<MediaId> = stored.find(id).expect("is there").parts.first().copied();
        let id = part.unwrap_or(id);
        (
            stored.find(id).expect("is there").clone(),
            String::from_utf8(stored.read(id).expect("reads")).expect("a text"),
        )
    };
    let (shown, pixels) = read("samples");
    assert_eq!(pixels, "pixels");
    assert!(format!("{:?}", shown.metadata).contains("as [redacted github-token "), "{shown:?}");
    assert!(read("report").1.starts_with("# a report\n[redacted github-token "));
    assert!(read("page").1.starts_with("<a href='?key=[redacted github-token "));
    let (_, rows) = read("preds");
    assert!(rows.contains(r#"","[redacted password "#) && rows.ends_with(r#"],[0.10,null]]}"#), "{rows}");
    let (figure, raw) = read("figure");
    assert_eq!(raw, format!("raw {page}"), "what is no text is as it was");
    let beside_it = stored.read_companion(figure.id, "static.svg").expect("reads");
    assert!(beside_it.starts_with(b"<svg><text>[redacted github-token "));

    let mut places: Vec<_> =
        workspace.findings(&info).expect("reads").into_iter().map(|finding| finding.place).collect();
    places.sort_unstable();
    let expected = [
        "code source/a.py line 2",
        "media figure line 1",
        "media figure.caption",
        "media page line 1",
        "media preds.password row 1",
        "media preds.text row 1",
        "media report line 2",
        "media samples.caption",
        "notes line 1",
        "notes line 2",
    ];
    assert_eq!(places, expected);
    assert!(run.redacted_message().is_some_and(|text| text.starts_with("10 secrets redacted")));

    let by_hand = token("by hand");
    workspace.annotate_run(&info, &format!("see {by_hand}")).expect("are set");
    let info = find(&workspace, &run);
    assert!(info.notes.starts_with("see [redacted github-token "), "{:?}", info.notes);
    assert_eq!(workspace.findings(&info).expect("reads").len(), 11);
    workspace.set_setting("redact", Some("off")).expect("is set");
    workspace.annotate_run(&info, &by_hand).expect("are set");
    assert_eq!(find(&workspace, &run).notes, by_hand);
}

#[test]
fn secrets_in_code_that_is_kept_at_the_start_are_listed() {
    let place = Place::new();
    let workspace = place.open();
    let (secret, main) = (token("first"), place.root().join("train.py"));
    std::fs::write(&main, format!("KEY = '{secret}'\n")).expect("is written");
    let run = workspace.run("p").save_code(runcellar::SaveCode::Path(main)).start().expect("starts");
    run.finish().expect("finishes");
    let findings = workspace.findings(&find(&workspace, &run)).expect("reads");
    let [finding] = &findings[..] else { panic!("{findings:?}") };
    assert_eq!((finding.place.as_str(), finding.rule.as_str()), ("code main/train.py line 1", "github-token"));
    // What is allowed is kept.
    workspace.allow_findings(&[&finding.id]).expect("is allowed");
    let main = place.root().join("train.py");
    let run = workspace.run("p").save_code(runcellar::SaveCode::Path(main)).start().expect("starts");
    run.finish().expect("finishes");
    let info = find(&workspace, &run);
    assert_eq!(workspace.findings(&info).expect("reads"), []);
    let kept = workspace.code_file(&info, b"main/train.py").expect("reads");
    assert_eq!(kept, format!("KEY = '{secret}'\n").into_bytes());
}
