//! The remote of a work tree, read from the repository's configuration, without what would let anybody in.

use std::path::Path;

use super::{GitHead, common_directory, git_directory, read};

/// The longest remote that is recorded, in bytes: a longer one is no address.
const REMOTE_BYTES_MAX: usize = 2048;

/// Returns the address of the remote that the branch follows, else of `origin`, else of the first; without credentials.
pub(in crate::capture) fn remote_of(work_tree: &Path, head: &GitHead) -> Option<String> {
    let config = read(&common_directory(&git_directory(work_tree)?).join("config"))?;
    let entries = entries(&config);
    let value = |section: &str, name: &str, key: &str| {
        let entry = entries.iter().find(|entry| entry.section == section && entry.name == name && entry.key == key);
        entry.map(|entry| entry.value.as_str())
    };
    let followed = value("branch", &head.branch, "remote").and_then(|remote| value("remote", remote, "url"));
    let first = || entries.iter().find(|entry| entry.section == "remote" && entry.key == "url");
    let url = followed.or_else(|| value("remote", "origin", "url")).or_else(|| Some(&first()?.value))?;
    Some(without_credentials(url)).filter(|url| !url.is_empty() && url.len() <= REMOTE_BYTES_MAX)
}

/// `key = value` in `[section "name"]`.
struct Entry {
    section: String,
    name: String,
    key: String,
    value: String,
}

/// Reads git's configuration, as far as remotes and branches need it: files that it includes are left out.
fn entries(text: &str) -> Vec<Entry> {
    let (mut section, mut name) = (String::new(), String::new());
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            let header = header.split_once(']').map_or(header, |(header, _)| header);
            let (kind, quoted) = header.split_once('"').unwrap_or((header, ""));
            section = kind.trim().to_ascii_lowercase();
            name = unquoted(quoted.strip_suffix('"').unwrap_or(quoted));
        } else if let Some((key, value)) = line.split_once('=') {
            let key = key.trim().to_ascii_lowercase();
            let value = unquoted(uncommented(value).trim());
            found.push(Entry { section: section.clone(), name: name.clone(), key, value });
        }
    }
    found
}

/// Cuts a comment off: it begins at a `#` or `;` that is not inside quotes.
fn uncommented(value: &str) -> &str {
    let mut quoted = false;
    let comment = value.char_indices().find(|(_, letter)| {
        quoted ^= *letter == '"';
        !quoted && matches!(letter, '#' | ';')
    });
    comment.map_or(value, |(at, _)| &value[..at])
}

/// Takes quotes away, and the backslash of what is escaped.
fn unquoted(text: &str) -> String {
    let mut escaped = false;
    let is_kept = |letter: &char| {
        let mark = !escaped && matches!(letter, '"' | '\\');
        escaped = mark && *letter == '\\';
        !mark
    };
    text.chars().filter(is_kept).collect()
}

/// Returns an address without user, password, query and fragment. The user `git`, which everybody is, stays.
pub(super) fn without_credentials(url: &str) -> String {
    // A program of git's that is given words of its own, whatever they are.
    if let Some((helper, _)) = url.split_once("::")
        && !helper.contains(['/', '['])
    {
        return format!("{helper}::");
    }
    if let Some((scheme, rest)) = url.split_once("://") {
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        // A password with a slash that was not escaped: what looks like a port is its beginning.
        let broken =
            authority.rsplit_once(':').is_some_and(|(_, port)| !port.bytes().all(|byte| byte.is_ascii_digit()));
        let (user, place) = match (authority.rsplit_once('@'), path.rsplit_once('@')) {
            (Some((user, host)), _) => (user, format!("{host}{path}")),
            (None, Some((_, after))) if broken && !authority.starts_with('[') => ("", after.to_owned()),
            (None, _) => ("", rest.to_owned()),
        };
        let user = if user == "git" { "git@" } else { "" };
        return format!("{scheme}://{user}{place}");
    }
    match url.split_once('@') {
        Some((user, place)) if !user.contains('/') && place.contains(':') && user != "git" => place.to_owned(),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_taken_out_of_addresses() {
        let cases = [
            ("https://github.com/a/b.git", "https://github.com/a/b.git"),
            ("https://ghp_secret@github.com/a/b", "https://github.com/a/b"),
            ("https://user:pass@host:8443/a", "https://host:8443/a"),
            ("https://user:p@ss:w@host/a@1", "https://host/a@1"),
            ("https://user:pa/ss@host/a", "https://host/a"),
            ("https://host/a?access_token=x", "https://host/a"),
            ("https://host/a#x", "https://host/a"),
            ("https://host/@scope/a", "https://host/@scope/a"),
            ("https://[::1]:80/@scope/a", "https://[::1]:80/@scope/a"),
            ("ssh://git@host:22/a", "ssh://git@host:22/a"),
            ("ssh://git:secret@host/a", "ssh://host/a"),
            ("git@github.com:a/b.git", "git@github.com:a/b.git"),
            ("token@github.com:a/b.git", "github.com:a/b.git"),
            ("ext::sh -c 'curl https://x -H secret'", "ext::"),
            ("foo::secret", "foo::"),
            ("/srv/git/a@b:c.git", "/srv/git/a@b:c.git"),
            ("../a", "../a"),
            ("ssh://someone@host/a", "ssh://host/a"),
            ("https://", "https://"),
            ("", ""),
        ];
        for (url, expected) in cases {
            assert_eq!(without_credentials(url), expected, "of {url}");
        }
    }

    #[test]
    fn the_remote_is_the_one_that_the_branch_follows() {
        let top = tempfile::tempdir().expect("temporary directory");
        std::fs::create_dir(top.path().join(".git")).expect("creates");
        let config = "[core]\n\tbare = false\n[remote \"first\"]\n\turl = /first\n[remote \"origin\"]\n\tfetch = +x:y\n\
                      \tURL = \"https://u:p@host/a;b\" ; a comment\n[branch \"main\"]\n\tremote = up\\\"stream\n\
                      [remote \"up\\\"stream\"]\n\turl = git@host:c # another\n";
        std::fs::write(top.path().join(".git/config"), config).expect("writes");
        let on = |branch: &str| GitHead { commit: String::new(), branch: branch.into() };
        assert_eq!(remote_of(top.path(), &on("main")).as_deref(), Some("git@host:c"));
        assert_eq!(remote_of(top.path(), &on("other")).as_deref(), Some("https://host/a;b"));
        std::fs::write(top.path().join(".git/config"), "[remote \"a\"]\nurl=/first\n[remote \"b\"]\nurl=/b")
            .expect("writes");
        assert_eq!(remote_of(top.path(), &on("")).as_deref(), Some("/first"));
        std::fs::write(top.path().join(".git/config"), "[remote \"a\"\nurl\n=\n[[\"").expect("writes");
        assert_eq!(remote_of(top.path(), &on("")), None);
    }
}
