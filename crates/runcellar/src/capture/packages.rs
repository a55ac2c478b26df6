//! Which Python packages can be imported: read off the names of the directories that installers leave beside them.
//!
//! `numpy-2.1.0.dist-info` says it all, so no file is opened, and the interpreter is not asked.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

/// The most packages that are recorded of a run.
const PACKAGES_MAX: usize = 10_000;
/// The longest name or version of a package, in bytes.
const NAME_BYTES_MAX: usize = 256;
/// The longest record of an old installation that is read for its version, in bytes.
const INFO_BYTES_MAX: u64 = 64 << 10;
/// Directory entries that are looked at between two looks at the clock.
const ENTRIES_AT_ONCE: usize = 256;

/// Returns the packages below the directories from which modules are imported, by name; the first directory that has
/// one decides its version. None if it is later than `deadline`.
///
/// Names are in the normal form of the package index: lower-case, with `-` between words.
pub(super) fn installed(directories: &[impl AsRef<Path>], deadline: Instant) -> Option<Vec<(String, String)>> {
    let mut found = BTreeMap::new();
    for directory in directories {
        // One that is not there, a zip file: nothing can be told of it.
        let Ok(entries) = std::fs::read_dir(directory.as_ref()) else { continue };
        for (count, entry) in entries.flatten().enumerate() {
            if count % ENTRIES_AT_ONCE == 0 && Instant::now() > deadline {
                return None;
            }
            let name = entry.file_name();
            if let Some((name, version)) = name.to_str().and_then(|name| of_entry(&entry.path(), name))
                && name.len() <= NAME_BYTES_MAX
                && version.len() <= NAME_BYTES_MAX
                && found.len() < PACKAGES_MAX
            {
                found.entry(name).or_insert(version);
            }
        }
    }
    Some(found.into_iter().collect())
}

fn of_entry(path: &Path, name: &str) -> Option<(String, String)> {
    if let Some(stem) = name.strip_suffix(".dist-info") {
        let (name, version) = stem.rsplit_once('-')?;
        return Some((normal(name), version.to_owned()));
    }
    let stem = name.strip_suffix(".egg-info")?;
    // Name, version and interpreter; of what runs from its sources the name alone.
    let mut parts = stem.split('-');
    let name = normal(parts.next()?);
    match parts.next() {
        Some(version) => Some((name, version.to_owned())),
        None => Some((name, version_in(&path.join("PKG-INFO"))?)),
    }
}

fn version_in(info: &Path) -> Option<String> {
    use std::io::Read as _;
    if !std::fs::metadata(info).ok()?.is_file() {
        return None;
    }
    let mut text = Vec::new();
    std::fs::File::open(info).ok()?.take(INFO_BYTES_MAX).read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text);
    text.lines().find_map(|line| line.strip_prefix("Version:")).map(|version| version.trim().to_owned())
}

/// Returns the normal form of a name. Source: PyPA specifications, "Names and normalization".
fn normal(name: &str) -> String {
    let mut normal = String::with_capacity(name.len());
    for letter in name.chars() {
        match letter {
            '-' | '_' | '.' if normal.ends_with('-') => {}
            '-' | '_' | '.' => normal.push('-'),
            letter => normal.extend(letter.to_lowercase()),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn packages_are_told_by_the_directories_beside_them() {
        let top = tempfile::tempdir().expect("temporary directory");
        let (first, second) = (top.path().join("first"), top.path().join("second"));
        for directory in [
            "first/NumPy-2.1.0.dist-info",
            "first/ruamel.yaml-0.18.6.dist-info",
            "first/numpy",
            "first/old_style-1.0-py3.11.egg-info",
            "first/from.source.egg-info",
            "first/broken.dist-info",
            "second/numpy-1.0.dist-info",
            "second/typing_extensions-4.12.2+local.dist-info",
            "second/nameless.egg-info",
        ] {
            std::fs::create_dir_all(top.path().join(directory)).expect("creates");
        }
        std::fs::write(first.join("from.source.egg-info/PKG-INFO"), "Name: x\nVersion: 3.1\n").expect("writes");
        let deadline = Instant::now() + Duration::from_secs(60);
        let places = [top.path().join("none"), first, second];
        let found = installed(&places, deadline).expect("in time");
        let found: Vec<(&str, &str)> = found.iter().map(|(name, version)| (name.as_str(), version.as_str())).collect();
        let expected = [
            ("from-source", "3.1"),
            ("numpy", "2.1.0"),
            ("old-style", "1.0"),
            ("ruamel-yaml", "0.18.6"),
            ("typing-extensions", "4.12.2+local"),
        ];
        assert_eq!(found, expected);
        assert_eq!(installed(&places, Instant::now() - Duration::from_secs(1)), None);
    }
}
