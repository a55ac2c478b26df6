//! URLs of remotes: docs/SYNC.md, "Where objects can be kept".

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::{Error, ErrorKind, Result};

/// Where a remote is, without any secret.
///
/// As text it is the URL in one form, so that equal places have equal texts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Location {
    /// A folder.
    Folder(PathBuf),
    /// A bucket, or what stands below a prefix in it.
    S3(Bucket),
    /// A collection of a WebDAV server.
    WebDav(Collection),
}

/// A bucket of S3, or of a server that speaks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// The name of the bucket.
    pub name: String,
    /// What the names of all objects begin with; empty, or without slashes at its ends.
    pub prefix: String,
    /// `http[s]://host[:port]`; none for AWS.
    pub endpoint: Option<String>,
    /// The region; none to take that of the environment.
    pub region: Option<String>,
    /// Whether the bucket stands in the path; else in the name of the host.
    pub path_style: bool,
}

/// A collection of a WebDAV server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collection {
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// The user.
    pub user: Option<String>,
    /// `host[:port]`.
    pub authority: String,
    /// The path, percent-encoded: empty, or `/a/b`.
    pub path: String,
}

impl Location {
    /// Returns true if names, sizes and credentials go over a network without encryption.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        let (tls, authority) = match self {
            Location::Folder(_) => return false,
            Location::S3(bucket) => {
                match bucket.endpoint.as_deref().and_then(|endpoint| endpoint.strip_prefix("http://")) {
                    Some(authority) => (false, authority),
                    None => (true, ""),
                }
            }
            Location::WebDav(collection) => (collection.tls, collection.authority.as_str()),
        };
        !tls && !is_loopback(host_of(authority))
    }
}

impl FromStr for Location {
    type Err = Error;

    /// Reads a URL, or a path.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`], without a word of what could be a password.
    fn from_str(url: &str) -> Result<Self> {
        let is_scheme = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let Some((scheme, rest)) = url.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) else {
            return if url.is_empty() { Err(invalid("an empty URL")) } else { Ok(Location::Folder(url.into())) };
        };
        match scheme {
            "file" => match rest.strip_prefix('/') {
                Some(path) => Ok(Location::Folder(PathBuf::from("/").join(decode(path)?))),
                None => Err(invalid("a file URL names no host: file:///path")),
            },
            "s3" => bucket(rest).map(Location::S3),
            "webdav" | "webdavs" => collection(scheme == "webdavs", rest).map(Location::WebDav),
            "sftp" => Err(invalid("sftp is reserved and not built yet")),
            "http" | "https" => {
                Err(invalid("http and https are for the endpoint of s3://; a WebDAV server is webdavs://"))
            }
            _ => Err(invalid("no kind of remote: there are a path, file://, s3://, webdav:// and webdavs://")),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Folder(path) => write!(f, "{}", path.display()),
            Location::S3(Bucket { name, prefix, endpoint, region, path_style }) => {
                write!(f, "s3://{name}")?;
                if !prefix.is_empty() {
                    write!(f, "/{}", encode(prefix, "/"))?;
                }
                let mut separator = '?';
                let pairs = [("endpoint", endpoint.as_deref()), ("region", region.as_deref())];
                for (key, value) in pairs {
                    if let Some(value) = value {
                        write!(f, "{separator}{key}={value}")?;
                        separator = '&';
                    }
                }
                if *path_style != endpoint.is_some() {
                    write!(f, "{separator}path_style={path_style}")?;
                }
                Ok(())
            }
            Location::WebDav(Collection { tls, user, authority, path }) => {
                write!(f, "{}://", if *tls { "webdavs" } else { "webdav" })?;
                if let Some(user) = user {
                    write!(f, "{}@", encode(user, ""))?;
                }
                write!(f, "{authority}{path}")
            }
        }
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

fn bucket(rest: &str) -> Result<Bucket> {
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (name, prefix) = place.split_once('/').unwrap_or((place, ""));
    if name.contains('@') {
        return Err(invalid("an s3 URL holds no credentials: they come from the environment or a profile"));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if name.len() < 3 || name.len() > 63 || !name.bytes().all(plain) || !name.as_bytes()[0].is_ascii_alphanumeric() {
        return Err(invalid(
            "an s3 URL names a bucket of 3 to 63 letters, digits, dots and dashes: s3://bucket/prefix",
        ));
    }
    let prefix = decode(prefix.trim_matches('/'))?;
    let odd = |segment: &str| matches!(segment, "" | "." | "..") || segment.chars().any(char::is_control);
    if !prefix.is_empty() && prefix.split('/').any(odd) {
        return Err(invalid("the prefix of an s3 URL has an empty part, or one of dots"));
    }
    let (mut endpoint, mut region, mut path_style) = (None, None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decode(value)?;
        match key {
            "endpoint" => endpoint = Some(endpoint_of(&value)?),
            "region" if !value.is_empty() && value.bytes().all(plain) => region = Some(value),
            "path_style" if value == "true" => path_style = Some(true),
            "path_style" if value == "false" => path_style = Some(false),
            "region" | "path_style" => return Err(invalid(format!("{key} of an s3 URL has no such value"))),
            _ => return Err(invalid("an s3 URL knows endpoint, region and path_style alone")),
        }
    }
    let path_style = path_style.unwrap_or(endpoint.is_some());
    Ok(Bucket { name: name.into(), prefix, endpoint, region, path_style })
}

fn endpoint_of(value: &str) -> Result<String> {
    let value = value.trim_end_matches('/');
    let whole = value.split_once("://").filter(|(scheme, rest)| {
        matches!(*scheme, "http" | "https") && authority_of(rest).is_ok_and(|authority| authority == *rest)
    });
    match whole {
        Some(_) => Ok(value.to_owned()),
        None => Err(invalid("the endpoint of an s3 URL is https://host:port, without user and path")),
    }
}

fn collection(tls: bool, rest: &str) -> Result<Collection> {
    if rest.contains(['?', '#']) {
        return Err(invalid("a WebDAV URL has no query"));
    }
    let (before, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    let (user, authority) = match before.rsplit_once('@') {
        Some((user, authority)) => (Some(user), authority),
        None => (None, before),
    };
    if user.is_some_and(|user| user.contains(':')) {
        let message = "a URL holds no password: RUNCELLAR_WEBDAV_PASSWORD or a netrc file has it";
        return Err(invalid(message));
    }
    let authority = authority_of(authority)?.to_owned();
    let user = user.map(decode).transpose()?.filter(|user| !user.is_empty());
    let path = decode(path.trim_matches('/'))?;
    if path.split('/').any(|segment| matches!(segment, "." | "..")) || path.chars().any(char::is_control) {
        return Err(invalid("the path of a WebDAV URL climbs"));
    }
    let path = if path.is_empty() { path } else { format!("/{}", encode(&path, "/")) };
    Ok(Collection { tls, user, authority, path })
}

/// Takes `host`, `host:port` or `[v6]:port`.
fn authority_of(authority: &str) -> Result<&str> {
    let host = host_of(authority);
    let port = authority.get(host.len()..).unwrap_or_default();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let v6 = |host: &str| host.bytes().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte));
    let host_fits = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(host) => !host.is_empty() && v6(host),
        None => !host.is_empty() && host.bytes().all(plain),
    };
    let port_fits = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    if host_fits && port_fits { Ok(authority) } else { Err(invalid("a URL without a host, or with an odd one")) }
}

/// Returns the host of `host[:port]`.
pub(super) fn host_of(authority: &str) -> &str {
    match authority.rfind([':', ']']) {
        Some(at) if authority.get(at..).is_some_and(|rest| rest.starts_with(':')) => {
            authority.get(..at).unwrap_or(authority)
        }
        _ => authority,
    }
}

/// Returns true for this machine itself.
pub(super) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Percent-encodes what is neither unreserved (RFC 3986) nor in `keep`.
pub(super) fn encode(text: &str, keep: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || keep.as_bytes().contains(&byte) {
            out.push(byte.into());
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Undoes percent-encoding.
pub(super) fn decode(text: &str) -> Result<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte != b'%' {
            out.push(*byte);
            continue;
        }
        let digit = |at: usize| rest.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            return Err(invalid("a % in a URL that no two digits follow"));
        };
        out.push((high * 16 + low) as u8);
        rest = rest.get(2..).unwrap_or_default();
    }
    String::from_utf8(out).map_err(|_| invalid("a URL that is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Location {
        url.parse().unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    #[test]
    fn urls_are_read_and_written_in_one_form() {
        for (url, form) in [
            ("/mnt/disk/cellar", "/mnt/disk/cellar"),
            ("relative/folder", "relative/folder"),
            ("file:///mnt/my%20disk", "/mnt/my disk"),
            ("/mnt/odd://name", "/mnt/odd://name"),
            ("s3://bucket", "s3://bucket"),
            ("s3://bucket/", "s3://bucket"),
            ("s3://my-bucket.1/a/b/?region=eu-west-1", "s3://my-bucket.1/a/b?region=eu-west-1"),
            (
                "s3://bucket/p?path_style=true&region=r&endpoint=https%3A%2F%2Fhost%3A9000/",
                "s3://bucket/p?endpoint=https://host:9000&region=r",
            ),
            (
                "s3://bucket?endpoint=http://[::1]:9000&path_style=false",
                "s3://bucket?endpoint=http://[::1]:9000&path_style=false",
            ),
            ("s3://bucket?path_style=true", "s3://bucket?path_style=true"),
            (
                "webdavs://me@cloud.example/remote.php/dav/files/me/",
                "webdavs://me@cloud.example/remote.php/dav/files/me",
            ),
            ("webdavs://a%40b@host:8443", "webdavs://a%40b@host:8443"),
            ("webdav://127.0.0.1:8080/a%20b", "webdav://127.0.0.1:8080/a%20b"),
        ] {
            assert_eq!(parsed(url).to_string(), form);
            assert_eq!(parsed(form), parsed(url));
        }
    }

    #[test]
    fn urls_that_cannot_be_used_are_refused_without_a_word_of_the_password() {
        for url in [
            "",
            "file://host/path",
            "sftp://host/path",
            "https://host/path",
            "ftp://host",
            "s3://",
            "s3://ab",
            "s3://-ab",
            "s3://a/b",
            "s3://key:hunter2@bucket/p",
            "s3://bucket/a//b",
            "s3://bucket/../b",
            "s3://bucket?profile=hunter2",
            "s3://bucket?endpoint=host",
            "s3://bucket?endpoint=https://user:hunter2@host",
            "s3://bucket?endpoint=https://host/path",
            "s3://bucket?endpoint=ftp://host",
            "s3://bucket?region=",
            "s3://bucket?path_style=maybe",
            "s3://bucket?region=%zz",
            "webdavs://me:hunter2@host/path",
            "webdavs://me:@host/path",
            "webdavs:///path",
            "webdavs://me@/path",
            "webdavs://ho st/path",
            "webdavs://host:99999/path",
            "webdavs://host/a/../../b",
            "webdavs://host/%2e%2e/b",
            "webdavs://host/a?b",
        ] {
            let error = url.parse::<Location>().map(|found| panic!("{url}: {found}")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{url}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn what_goes_over_a_network_in_clear_is_known() {
        for (url, exposed) in [
            ("/mnt/disk", false),
            ("s3://bucket", false),
            ("s3://bucket?endpoint=https://host", false),
            ("s3://bucket?endpoint=http://host:9000", true),
            ("s3://bucket?endpoint=http://127.0.0.1:9000", false),
            ("s3://bucket?endpoint=http://[::1]:9000", false),
            ("webdavs://host", false),
            ("webdav://host", true),
            ("webdav://localhost:80/x", false),
            ("webdav://localhost.example/x", true),
        ] {
            assert_eq!(parsed(url).is_exposed(), exposed, "{url}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_read_is_written_and_read_again(url in "(/|file:///|s3://|webdavs?://)[a-zA-Z0-9@:/?&=.%\\[\\] _~+-]{0,40}(\\?endpoint=https?://[a-z0-9.:]{1,12})?") {
            if let Ok(location) = url.parse::<Location>() {
                let form = location.to_string();
                proptest::prop_assert_eq!(form.parse::<Location>().ok(), Some(location), "{}", form);
            }
        }
    }
}
