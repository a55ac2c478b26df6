//! Rule K1: epoch keys encrypt keys only. Every sealed thing of a workspace with everything in it is walked, as an outsider
//! sees it: the clear header of each object names a key; wraps alone name an epoch, and stand in the key table alone.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use runcellar::artifacts::{ArtifactDraft, Links, PutSettings, RemoveOptions};
use runcellar::{CodeFolder, NewMedia};
use runcellar_format::journal::{Header, KeySource};
use runcellar_format::seal::Envelope;
use rusqlite::Connection;

use crate::support::{Place, child, list};

type Id = [u8; 16];

fn ids(connection: &Connection, sql: &str) -> Vec<Id> {
    let mut statement = connection.prepare(sql).expect("SQL");
    statement.query_map([], |row| row.get(0)).expect("rows").map(|id| id.expect("16 bytes")).collect()
}

fn bodies(connection: &Connection, sql: &str) -> Vec<Vec<u8>> {
    let mut statement = connection.prepare(sql).expect("SQL");
    statement.query_map([], |row| row.get(0)).expect("rows").map(|body| body.expect("a blob")).collect()
}

fn key_of(sealed: &[u8]) -> Id {
    Envelope::parse("object", sealed).expect("a sealed object").key.0
}

/// Records something of every kind: runs, media, code, versions that stay and one that is removed, the catalogue, settings.
fn fill(place: &Place) {
    let file = place.root().join("data.bin");
    std::fs::create_dir(place.root().join("code")).expect("creates");
    std::fs::write(place.root().join("code/train.py"), "print(1)\n").expect("writes");
    for project in ["one", "two"] {
        let workspace = place.open();
        let run = workspace.run(project).id(project).config(runcellar::json!({"lr": 0.1})).start().expect("starts");
        (0..5_000).for_each(|step| run.log([("n", i64::from(step))]).expect("logs"));
        let image = NewMedia {
            kind: "image".into(),
            format: "png".into(),
            metadata: runcellar::json!({}),
            content: Arc::new(vec![9; 1000]),
            companions: Vec::new(),
            parts: Vec::new(),
        };
        run.log_media(None, None, vec![("image".into(), image)], |_| {}).expect("logs");
        let code = CodeFolder { root: place.root().join("code"), ..CodeFolder::default() };
        run.log_code(&code).expect("kept");
        run.finish().expect("finishes");
        for round in 0..2_u8 {
            std::fs::write(&file, vec![round; 300_000]).expect("writes");
            let mut draft = ArtifactDraft::new("data", "dataset").expect("a name");
            draft.add_file(&file, None, Links::Keep).expect("adds");
            let settings = PutSettings { project: project.into(), ..PutSettings::default() };
            workspace.put_artifact(&draft, &settings).expect("puts");
        }
        let gone = workspace.artifact(&format!("{project}/data:v0")).expect("is there");
        workspace.remove_version(&gone, RemoveOptions::default()).expect("removes");
        workspace.set_setting("console", Some("off")).expect("sets");
        workspace.fold_catalogue().expect("folds");
    }
}

#[test]
fn objects_name_keys_of_the_key_table_and_wraps_alone_hang_from_an_epoch() {
    for rotated in [false, true] {
        walk(rotated);
    }
}

fn walk(rotated: bool) {
    let place = Place::new();
    fill(&place);
    if rotated {
        place.open().rotate_keys().expect("rotates");
    }
    // A run whose journal is left, too.
    child::play("dies_after_rows", &place, 3);
    let headers: Vec<Header> = place
        .journal_files()
        .iter()
        .map(|path| Header::decode(&std::fs::read(path).expect("reads")).expect("a header").0)
        .collect();
    let connection = Connection::open(place.database()).expect("opens");
    let epochs: HashSet<Id> = ids(&connection, "SELECT id FROM epoch").into_iter().collect();
    let live = ids(&connection, "SELECT id FROM epoch ORDER BY number DESC LIMIT 1");
    let keys: HashSet<Id> = ids(&connection, "SELECT id FROM key").into_iter().collect();
    assert_eq!(epochs.len(), if rotated { 2 } else { 1 });
    assert!(keys.is_disjoint(&epochs));
    assert_eq!(ids(&connection, "SELECT DISTINCT epoch FROM key"), live, "every wrap names the live epoch");
    let mut kinds = connection.prepare("SELECT DISTINCT kind FROM object").expect("SQL");
    let kinds: HashSet<u16> =
        kinds.query_map([], |row| row.get(0)).expect("rows").map(|kind| kind.expect("a number")).collect();
    for kind in [2, 3, 4, 5, 6, 8, 9, 10, 11, 13, 14, 17, 18, 20, 23, 24] {
        assert!(kinds.contains(&kind), "no object of kind {kind} to be looked at: {kinds:?}");
    }

    // No object is sealed under an epoch key, nor under a key that wraps keys.
    let wraps = bodies(&connection, "SELECT wrap FROM key");
    let wrapping: HashSet<Id> = wraps.iter().map(|wrap| key_of(wrap)).collect();
    let mut objects = bodies(&connection, "SELECT body FROM object");
    objects.extend(bodies(&connection, "SELECT body FROM block"));
    assert!(objects.len() > 60, "{}", objects.len());
    let mut buried = 0;
    for object in &objects {
        let key = key_of(object);
        // A record that was removed with its key names one that is gone, which its tombstone lists.
        buried += usize::from(!keys.contains(&key));
        assert!(!epochs.contains(&key) && !wrapping.contains(&key), "no wrapping key seals an object");
    }
    assert!(buried <= 8, "{buried} objects of {}: their keys are not in the key table", objects.len());
    // Every wrap hangs from the live epoch, directly or through a project's epoch key.
    for wrap in &wraps {
        let key = key_of(wrap);
        assert!(live.contains(&key) || keys.contains(&key));
        assert_eq!(wrap.len(), runcellar_format::seal::OVERHEAD_BYTES + 32, "a wrap holds one key and nothing else");
    }
    // An object is no longer than what it says: no wrap hides in one. The epoch's id stands in no object.
    for object in &objects {
        assert!(
            !object.windows(16).any(|window| epochs.iter().any(|epoch| window == epoch)),
            "an epoch id in an object"
        );
    }
    // Nor does a wrap stand in any other file: its salt would show.
    let salts: HashSet<[u8; 24]> =
        wraps.iter().map(|wrap| Envelope::parse("wrap", wrap).expect("a wrap").salt).collect();
    let mut files = vec![place.workspace().join("keyslots")];
    files.extend(place.journal_files());
    for folder in list(&place.workspace().join("packs")) {
        files.extend(list(&folder));
    }
    assert!(files.len() > 3, "{files:?}");
    for file in files {
        let bytes = std::fs::read(&file).expect("reads");
        assert!(!bytes.windows(24).any(|window| salts.contains(window)), "a wrap in {}", file.display());
    }
    // Each run's objects are under keys of that run alone.
    let mut owners: HashMap<Id, HashSet<Id>> = HashMap::new();
    let mut statement =
        connection.prepare("SELECT b.run, k.owner FROM block b JOIN key k ON k.id = substr(b.body, 5, 16)");
    let rows = statement.as_mut().expect("SQL").query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
    for (run, owner) in rows.map(|row| row.expect("ids")) {
        owners.entry(run).or_default().insert(owner);
    }
    assert_eq!(owners.len(), 2);
    assert!(owners.iter().all(|(run, owners)| owners.len() == 1 && owners.contains(run)));
    // Journals name a run's key, or are sealed to the ingest key: neither is an epoch.
    assert!(!headers.is_empty());
    for header in headers {
        match header.source {
            KeySource::Run(key) => assert!(keys.contains(&key.0)),
            KeySource::Ingest { generation, .. } => assert_eq!(generation, 1),
        }
    }
}
