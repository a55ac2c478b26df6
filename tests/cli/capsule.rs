//! `export --format capsule` and `import`: what comes back, who can open it, and capsules that are none.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use age::secrecy::ExposeSecret as _;
use age::x25519::Identity;
use runcellar::artifacts::{ArtifactDraft, PutSettings};
use runcellar::json;
use runcellar_format::tar::{BLOCK_BYTES, END, Entry, EntryKind};
use sha2::{Digest as _, Sha256};

use crate::support::{Home, not_tested};

/// Makes a home with two runs, one of which made an artifact that the other used, and an identity in `key.txt`.
fn home() -> (Home, Identity) {
    let home = Home::with_workspace();
    let workspace = home.workspace();
    let run = workspace.run("digits").id("first-run").name("<b>brave</b>").config(json!({"lr": 0.1, "<i>": "&"}));
    let run = run.tags(["a-tag"]).start().expect("starts");
    for step in 0..50_i32 {
        run.log([("loss", 1.0 / f64::from(step + 1)), ("odd", f64::NAN)]).expect("logs");
        run.log_at(i64::from(step), [("<script>alert(1)</script>", i64::from(step))]).expect("logs");
    }
    let mut draft = ArtifactDraft::new("weights", "model").expect("a name");
    draft.add_bytes("deep/model.bin", vec![7; 200_000]).expect("adds");
    std::fs::write(home.path("tool.sh"), "#!/bin/sh\n").expect("writes");
    std::os::unix::fs::symlink("deep/model.bin", home.path("link")).expect("links");
    for name in ["tool.sh", "link"] {
        draft.add_file(&home.path(name), None, Default::default()).expect("adds");
    }
    let settings = PutSettings { project: "digits".into(), run: Some("first-run".into()), ..PutSettings::default() };
    let version = workspace.put_artifact(&draft, &settings).expect("puts").version;
    run.finish().expect("finishes");
    let run = workspace.run("digits").id("second-run").start().expect("starts");
    run.log([("text", "of the second")]).expect("logs");
    let info = workspace.find_run("second-run").expect("there");
    workspace.use_version(&version, &info).expect("is used");
    run.finish().expect("finishes");
    let identity = Identity::generate();
    std::fs::write(home.path("key.txt"), format!("# a comment\n{}\n", identity.to_string().expose_secret()))
        .expect("writes");
    (home, identity)
}

fn export(home: &Home, identity: &Identity, runs: &[&str], path: &str) {
    let recipient = identity.to_public().to_string();
    home.ok([&["export", "--format", "capsule", "--recipient", &recipient, "-o", path], runs].concat());
}

/// Opens a capsule without the command.
fn opened(path: &Path, identity: &Identity) -> Vec<u8> {
    let file = std::fs::File::open(path).expect("opens");
    let decryptor = age::Decryptor::new(file).expect("is of age");
    let mut plain = Vec::new();
    let mut stream = decryptor.decrypt(std::iter::once(identity as &dyn age::Identity)).expect("opens");
    stream.read_to_end(&mut plain).expect("reads");
    plain
}

/// Writes a capsule without the command.
fn sealed(path: &Path, identity: &Identity, plain: &[u8]) {
    let recipient = identity.to_public();
    let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient));
    let mut out = encryptor.expect("a recipient").wrap_output(Vec::new()).expect("writes");
    out.write_all(plain).expect("writes");
    std::fs::write(path, out.finish().expect("ends")).expect("writes");
}

/// Runs a program with bytes on its standard input; none if it is not there.
fn piped(program: &mut Command, input: &[u8]) -> Option<Vec<u8>> {
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().ok()?;
    let (mut pipe, input) = (child.stdin.take().expect("piped"), input.to_owned());
    let feeder = std::thread::spawn(move || pipe.write_all(&input));
    let output = child.wait_with_output().expect("ends");
    feeder.join().expect("ends").expect("takes all");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

#[test]
fn what_a_capsule_brings_back_is_what_went_in() {
    let (home, identity) = home();
    export(&home, &identity, &["first-run", "second-run"], "all.capsule");
    let there = Home::with_workspace();
    let (capsule, key) = (home.text("all.capsule"), home.text("key.txt"));
    let import = ["import", &capsule, "--identity", &key];
    let imported = there.json(import);
    assert_eq!(imported["runs"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        imported["runs"][0],
        serde_json::json!({"name": "first-run", "project": "digits", "outcome": "imported"})
    );
    assert_eq!(imported["artifacts"][0]["name"], "weights:v0");
    for call in
        [&["show", "first-run", "--json"][..], &["show", "second-run", "--json"], &["export", "--format", "jsonl"]]
    {
        assert_eq!(there.ok(call), home.ok(call));
    }
    for of in [&home, &there] {
        of.ok(["artifact", "get", "weights:v0", "-o", "out"]);
        assert_eq!(std::fs::read(of.path("out/deep/model.bin")).expect("reads"), vec![7; 200_000]);
        assert_eq!(std::fs::read_link(of.path("out/link")).expect("a link"), Path::new("deep/model.bin"));
    }
    let again = there.run(import);
    assert_eq!((again.code, again.last_line()), (0, "runcellar: note: nothing was changed"), "{again:?}");
    assert!(again.stdout.lines().all(|line| line.ends_with(": there already")), "{again:?}");
    there.ok(["check", "--read-data"]);
    let inbox = Home::with_workspace();
    inbox.ok([&import[..], &["--project", "inbox"]].concat());
    assert_eq!(inbox.json(["ls", "--project", "inbox"]).as_array().map(Vec::len), Some(2));
    assert_eq!(inbox.json(["artifact", "ls"])[0]["project"], "inbox");
}

#[test]
fn artifacts_that_a_run_only_used_come_along_if_that_is_asked_for() {
    let (home, identity) = home();
    let recipient = identity.to_public().to_string();
    for (used, expected) in [(&[][..], 0), (&["--used"], 1)] {
        let call = ["export", "--format", "capsule", "-o", "one.capsule", "--recipient", &recipient, "second-run"];
        home.ok([&call[..], used].concat());
        let there = Home::with_workspace();
        there.ok(["import", &home.text("one.capsule"), "--identity", &home.text("key.txt")]);
        assert_eq!(there.json(["artifact", "ls"]).as_array().map(Vec::len), Some(expected));
        let used = there.json(["show", "second-run"])["artifacts"]["used"].as_array().map(Vec::len);
        assert_eq!(used, Some(expected), "the run is still what used it");
    }
}

/// age, tar and sha256sum are programs of others: what they make of a capsule is what its document says.
#[test]
fn any_age_tool_opens_a_capsule_and_tar_unpacks_it() {
    let (home, identity) = home();
    export(&home, &identity, &["first-run"], "one.capsule");
    let bytes = std::fs::read(home.path("one.capsule")).expect("reads");
    let mut age = Command::new("age");
    let plain = match piped(age.args(["-d", "-i"]).arg(home.path("key.txt")), &bytes) {
        Some(plain) => plain,
        None => {
            not_tested("capsules with another implementation of age: age is missing");
            opened(&home.path("one.capsule"), &identity)
        }
    };
    let out = home.path("unpacked");
    std::fs::create_dir(&out).expect("creates");
    piped(Command::new("tar").arg("-xf").arg("-").current_dir(&out), &plain).expect("tar is needed");
    let sums = Command::new("sha256sum").args(["--check", "--quiet", "SHA256SUMS"]).current_dir(&out).output();
    assert!(sums.as_ref().expect("sha256sum is needed").status.success(), "{sums:?}");
    let head: serde_json::Value =
        serde_json::from_slice(&std::fs::read(out.join("capsule.json")).expect("reads")).expect("JSON");
    assert_eq!((&head["format"], &head["version"]), (&"runcellar capsule".into(), &1.into()));
    let run = out.join("runs/first-run");
    let shown: serde_json::Value =
        serde_json::from_slice(&std::fs::read(run.join("run.json")).expect("reads")).expect("JSON");
    assert_eq!(shown["config"]["lr"], 0.1);
    let table = std::fs::read(run.join("metrics.csv.gz")).expect("reads");
    let table = piped(&mut Command::new("gunzip"), &table).expect("gunzip is needed");
    assert_eq!(String::from_utf8(table).expect("UTF-8"), home.ok(["export", "first-run"]));
    let files = out.join("artifacts/digits/weights/v0/files");
    assert_eq!(std::fs::read(files.join("deep/model.bin")).expect("reads"), vec![7; 200_000]);
    assert_eq!(std::fs::read_link(files.join("link")).expect("a link"), Path::new("deep/model.bin"));
    let page = std::fs::read_to_string(out.join("index.html")).expect("reads");
    for expected in
        ["&lt;b&gt;brave&lt;/b&gt;", "<svg ", "a-tag", "0.1", "default-src 'none'", "&lt;script&gt;alert(1)"]
    {
        assert!(page.contains(expected), "{expected}");
    }
    for foreign in ["<script", "<b>", "<i>", "http://", "https://", "src=", "@import"] {
        let page = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!page.contains(foreign), "{foreign}");
    }
}

#[test]
fn each_recipient_opens_a_capsule_and_nobody_else() {
    let (home, first) = home();
    let (second, other) = (Identity::generate(), Identity::generate());
    let list = format!("# who may read\n\n{}\n", second.to_public());
    std::fs::write(home.path("recipients.txt"), list).expect("writes");
    let recipient = first.to_public().to_string();
    let call = ["export", "--format", "capsule", "-o", "both.capsule", "--recipient", &recipient];
    home.ok([&call[..], &["--recipients-file", "recipients.txt", "first-run"]].concat());
    for identity in [&first, &second] {
        assert!(opened(&home.path("both.capsule"), identity).starts_with(b"capsule.json\0"));
    }
    std::fs::write(home.path("other.txt"), other.to_string().expose_secret()).expect("writes");
    let there = Home::with_workspace();
    let capsule = home.text("both.capsule");
    let lines = there.fails(4, ["import", &capsule, "--identity", &home.text("other.txt")]);
    assert_eq!(lines, [format!("runcellar: {capsule}: none of the identities opens it")]);
    let lines = there.fails(4, ["import", &capsule]);
    assert_eq!(lines.last().map(String::as_str), Some("  name it: --identity FILE"));
    let secret = first.to_string();
    let lines = home.fails(2, ["export", "--format", "capsule", "-o", "x", "--recipient", secret.expose_secret()]);
    assert!(lines[0].ends_with("this is a secret key") && !lines[0].contains("SECRET-KEY-1"), "{lines:?}");
    home.fails(2, ["export", "--format", "capsule", "--recipient", &recipient]);
    home.fails(2, ["export", "--recipient", &recipient]);
    home.fails(2, ["export", "--format", "capsule", "-o", "x", "--recipient", &recipient, "--system"]);
    assert!(!home.path("x").exists());
    let lines = there.without_terminal(["import", &capsule, "--identity", &home.text("absent.txt")]);
    assert_eq!(lines.code, 3, "{lines:?}");
    let outcome = home.without_terminal(["export", "--format", "capsule", "-o", "x"]);
    assert_eq!((outcome.code, outcome.last_line()), (4, "runcellar: passphrase needed (no terminal)"));
}

/// A file of an archive that is made by hand.
fn file(path: &str, content: &[u8]) -> Vec<u8> {
    let mut out = Entry::file(path, content.len() as u64).encode().expect("a path");
    out.extend_from_slice(content);
    out.resize(out.len().next_multiple_of(BLOCK_BYTES), 0);
    out
}

fn sums(files: &[(&str, &[u8])]) -> Vec<u8> {
    let line = |(path, content): &(&str, &[u8])| {
        let digest: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{digest}  {path}\n")
    };
    files.iter().map(line).collect::<String>().into_bytes()
}

#[test]
fn capsules_that_are_none_are_refused_by_name_and_leave_nothing() {
    let (home, identity) = home();
    export(&home, &identity, &["first-run"], "good.capsule");
    let good = opened(&home.path("good.capsule"), &identity);
    let there = Home::with_workspace();
    let (bad, key) = (home.path("bad.capsule"), home.text("key.txt"));
    let refused = |what: &str, plain: &[u8], expected: &str| {
        sealed(&bad, &identity, plain);
        let lines = there.fails(5, ["import", &home.text("bad.capsule"), "--identity", &key]);
        assert!(lines[0].contains(expected), "{what}: {lines:?}");
        assert_eq!(lines.last().map(String::as_str), Some("  nothing of it was taken in"), "{what}");
        assert_eq!(there.ok(["ls", "--json"]), "[]\n", "{what}");
        assert_eq!(there.ok(["artifact", "ls", "--json"]), "[]\n", "{what}");
    };
    let head = br#"{"format": "runcellar capsule", "version": 1}"#;
    let begun = |files: &[(&str, &[u8])]| {
        let all = [&[("capsule.json", &head[..])], files].concat();
        let mut out: Vec<u8> = all.iter().flat_map(|(path, content)| file(path, content)).collect();
        out.extend(file("SHA256SUMS", &sums(&all)));
        out.extend_from_slice(&END);
        out
    };
    let at = |needle: &[u8]| good.windows(needle.len()).position(|window| window == needle).expect("is in it");
    refused("empty", b"", "it ends early");
    refused("something else", &[7; 4096], "tar header");
    refused("an archive of something else", &file("a.txt", b"a"), "not a capsule");
    refused(
        "a later version",
        &file("capsule.json", br#"{"format": "runcellar capsule", "version": 9}"#),
        "of version 9",
    );
    refused("no version", &file("capsule.json", br#"{"format": "runcellar capsule"}"#), "does not say");
    refused("without its end", &good[..good.len() - END.len()], "it ends early");
    refused("with more than its end", &[&good[..], &[0; 512]].concat(), "something follows its end");
    refused(
        "without digests",
        &[&good[..at(b"SHA256SUMS\0")], &END].concat(),
        "digests are missing from capsule.json on",
    );
    let mut other = good.clone();
    other[at(b"<!doctype html>") + 2] ^= 1;
    refused("another page than its digest", &other, "index.html: is not what its digest in SHA256SUMS says");
    refused("a run that never began", &begun(&[("runs/a/exact/record", b"x")]), "belongs to nothing that has begun");
    refused("an unknown piece", &begun(&[("a/exact/run", &[1, 0, 9]), ("a/exact/odd", b"x")]), "carried run");
    refused("a row of no run", &begun(&[("a/exact/run", &[1, 0, 0])]), "carried run");
    // Paths that lead out, of each sort: as they cannot be encoded, they take the place of one that can.
    for (path, innocent) in [("../../evil", "aa/aa/evil"), ("/etc/passwd", "aetc/passwd"), ("a/./../b/c", "a/b/cc/b/c")]
    {
        let mut archive = begun(&[(innocent, b"x")]);
        let at = archive.windows(innocent.len()).position(|window| window == innocent.as_bytes()).expect("is in it");
        archive[at..at + path.len()].copy_from_slice(path.as_bytes());
        let block = at / BLOCK_BYTES * BLOCK_BYTES;
        let header = &mut archive[block..block + BLOCK_BYTES];
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        refused(path, &archive, "absolute, or has a component");
    }
    // A link instead of the file that is listed, and a size that nobody has.
    let name = b"artifacts/digits/weights/v0/files/deep/model.bin";
    let (from, path) = (at(name), String::from_utf8_lossy(name).into_owned());
    let link = Entry { path: name.to_vec(), kind: EntryKind::Link { target: b"/etc/passwd".to_vec() } };
    let swapped = [&good[..from], &link.encode().expect("a path")].concat();
    refused("a link in the place of a file", &swapped, &path);
    let huge = Entry::file("a/exact/run", 1 << 40).encode().expect("a path");
    refused("a piece of a terabyte", &[&file("capsule.json", head)[..], &huge].concat(), "where at most");
    there.ok(["import", &home.text("good.capsule"), "--identity", &key]);
}

#[test]
fn a_capsule_of_which_any_byte_was_changed_or_cut_off_is_refused() {
    let (home, identity) = home();
    export(&home, &identity, &["second-run"], "good.capsule");
    let good = std::fs::read(home.path("good.capsule")).expect("reads");
    let there = Home::with_workspace();
    let (bad, key) = (home.text("bad.capsule"), home.text("key.txt"));
    let cuts = [0, 1, 100, good.len() / 2, good.len() - 1].map(|len| good[..len].to_vec());
    let flips = (0..good.len()).step_by(good.len() / 16).map(|at| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x20;
        bytes
    });
    for bytes in cuts.into_iter().chain(flips) {
        std::fs::write(&bad, bytes).expect("writes");
        let outcome = there.run(["import", &bad, "--identity", &key]);
        assert!(matches!(outcome.code, 4 | 5), "{outcome:?}");
        assert!(outcome.stderr.contains("bad.capsule"), "{outcome:?}");
        assert_eq!(there.ok(["ls", "--json"]), "[]\n");
    }
}

#[test]
fn a_capsule_that_cannot_be_written_leaves_nothing_behind() {
    let (home, identity) = home();
    let recipient = identity.to_public().to_string();
    let call = ["export", "--format", "capsule", "--recipient", &recipient, "-o"];
    home.fails(3, [&call[..], &["absent/one.capsule"]].concat());
    std::fs::create_dir(home.path("folder")).expect("creates");
    home.fails(1, [&call[..], &["folder"]].concat());
    home.fails(3, [&call[..], &["one.capsule", "no-such-run"]].concat());
    let left: Vec<_> =
        std::fs::read_dir(home.path("")).expect("lists").map(|entry| entry.expect("reads").file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("capsule")), "{left:?}");
}

/// Returns every file below a directory.
fn files_below(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("lists") {
        let path = entry.expect("reads").path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found
}

/// P2 for what leaves: neither the capsule nor any temporary file on its way has a word in clear, done or killed.
#[test]
fn nothing_planted_is_found_in_a_capsule_or_beside_it() {
    const STEM: &str = "PlantedQZXJ";
    let home = Home::with_workspace();
    std::fs::create_dir(home.path("tmp")).expect("creates");
    let workspace = home.workspace();
    let planted = |number: usize| format!("{STEM}{number}Marker");
    let run = workspace.run(&planted(0)).id(planted(1)).name(planted(2)).config(json!({"Planted": (planted(3))}));
    let run = run.tags([planted(4)]).notes(planted(5)).start().expect("starts");
    (6..200).for_each(|number| run.log([(planted(number).as_str(), planted(number).as_str())]).expect("logs"));
    let mut draft = ArtifactDraft::new(&planted(200), &planted(201)).expect("a name");
    draft.metadata = json!({"Planted": (planted(202))});
    draft.add_bytes(&planted(203), planted(204).repeat(400_000).into_bytes()).expect("adds");
    let settings = PutSettings { project: planted(0), run: Some(planted(1)), ..PutSettings::default() };
    workspace.put_artifact(&draft, &settings).expect("puts");
    run.finish().expect("finishes");
    drop(workspace);
    let identity = Identity::generate();
    let recipient = identity.to_public().to_string();
    let command = |path: &str| {
        let id = planted(1);
        let mut command = home.command(["export", "--format", "capsule", "--recipient", &recipient, "-o", path, &id]);
        command.env("TMPDIR", home.path("tmp")).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let assert_nothing_found = |when: &str| {
        for path in files_below(&home.path("")) {
            assert!(!path.to_string_lossy().contains(STEM), "{when}: {}", path.display());
            let bytes = std::fs::read(&path).expect("reads");
            let found = bytes.windows(STEM.len()).any(|window| window == STEM.as_bytes());
            assert!(!found, "{when}: in {}", path.display());
        }
    };
    assert!(command("whole.capsule").status().expect("runs").success());
    let whole = std::fs::metadata(home.path("whole.capsule")).expect("is there").len();
    assert_nothing_found("a capsule");
    // Killed as soon as something of the next one is there, or when it is done.
    let mut child = command("killed.capsule").spawn().expect("starts");
    let is_there = || files_below(&home.path("")).iter().any(|path| path.to_string_lossy().contains("killed"));
    while !is_there() && child.try_wait().expect("waits").is_none() {
        std::thread::yield_now();
    }
    let _ = child.kill();
    child.wait().expect("ends");
    assert_nothing_found("a capsule that was killed");
    assert!(files_below(&home.path("tmp")).is_empty(), "nothing is written elsewhere");
    // Whoever has the identity finds it.
    let plain = opened(&home.path("whole.capsule"), &identity);
    assert!(plain.len() as u64 > whole / 2 && plain.windows(STEM.len()).any(|window| window == STEM.as_bytes()));
}
