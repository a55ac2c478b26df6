//! Places where a key file is as good as handed out.

use std::path::{Component, Path};

/// Names of folders that programs copy elsewhere, as these programs make them, in small letters: whole, and then as they
/// begin.
const SYNCED: [&str; 8] = [
    "dropbox",
    "mobile documents",
    "cloudstorage",
    "google drive",
    "googledrive",
    "nextcloud",
    "owncloud",
    "pcloud drive",
];
const SYNCED_BEGIN: [&str; 3] = ["onedrive", "icloud", "dropbox ("];

/// Says what is wrong with the place of a key file: inside the workspace, or in a folder that is copied elsewhere.
pub(crate) fn exposed(workspace: &Path, key_file: &Path) -> Option<String> {
    let whole = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let (key, directory) = (whole(key_file), whole(workspace));
    let shown = key_file.display();
    if key.starts_with(&directory) {
        return Some(format!(
            "key file {shown}: it lies inside the workspace, so that every copy of that brings its key; move it out, and \
             name it by --key-file or RUNCELLAR_KEY_FILE"
        ));
    }
    let synced = synced_folder(&key)?;
    Some(format!(
        "key file {shown}: it lies in {synced}, which is copied to other machines; move it out, replace it by runcellar \
         key rotate, and name it by --key-file or RUNCELLAR_KEY_FILE"
    ))
}

fn synced_folder(path: &Path) -> Option<String> {
    let folders = path.parent()?.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_string_lossy()),
        _ => None,
    });
    folders.map(|name| name.into_owned()).find(|name| {
        let name = name.to_lowercase();
        SYNCED.contains(&name.as_str()) || SYNCED_BEGIN.iter().any(|begin| name.starts_with(begin))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_are_copied_elsewhere_are_told_by_their_names() {
        for (path, expected) in [
            ("/home/u/Dropbox/keys/a.key", Some("Dropbox")),
            ("/home/u/Dropbox (Work)/a.key", Some("Dropbox (Work)")),
            ("/home/u/OneDrive - Firm/a.key", Some("OneDrive - Firm")),
            ("/Users/u/Library/Mobile Documents/com~apple~CloudDocs/a.key", Some("Mobile Documents")),
            ("/Users/u/Library/CloudStorage/GoogleDrive-u/a.key", Some("CloudStorage")),
            ("/home/u/.config/runcellar/keys/dropbox", None),
            ("/home/u/dropboxes/a.key", None),
            ("/home/u/.config/runcellar/keys/a.key", None),
        ] {
            assert_eq!(synced_folder(Path::new(path)).as_deref(), expected, "{path}");
        }
        let place = tempfile::tempdir().expect("temporary directory");
        let inside = place.path().join("w/keys/a.key");
        std::fs::create_dir_all(inside.parent().expect("has one")).expect("creates");
        std::fs::write(&inside, "").expect("writes");
        let found = exposed(&place.path().join("w"), &inside).expect("inside");
        assert!(found.contains("inside the workspace"), "{found}");
        assert_eq!(exposed(&place.path().join("w"), &place.path().join("a.key")), None);
    }
}
