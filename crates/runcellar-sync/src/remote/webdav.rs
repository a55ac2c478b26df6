//! WebDAV: Nextcloud, ownCloud, Apache, a NAS.
//!
//! A PUT of WebDAV may show half a file, so an object goes to a temporary name and is moved: two requests, and those for new
//! folders once. A MOVE onto something removes that first (RFC 4918, 9.9.3), so for a moment an object that is replaced may not
//! be there; half of it never is. The collection itself is never made.

use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Once};

use base64::Engine as _;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use runcellar_format::object::SealedObject;
use zeroize::Zeroizing;

use super::http::{Answer, Body, Doing, Http, bug, no_listing};
use super::location::{Collection, decode, encode, host_of};
use super::{Entry, NAME_SEGMENTS_MAX, ObjectName, Options, Pace, Remote, credentials, xml};
use crate::{Error, ErrorKind, Result};

/// Where objects are before they have their name; none can be called so.
const TEMPORARY: &str = ".runcellar-tmp";
/// After so long what lies there was left by a writer that died, seconds by the server's clock: an upload of the longest object takes an hour
/// at most.
const ABANDONED_AFTER: i64 = 24 * 3600;
/// The most files that one handle removes there.
const SWEPT_MAX: usize = 1000;
/// The most bytes of the listing of one folder, which is read as it comes: a million files have about half of it.
const LISTING_BYTES_MAX: u64 = 1 << 30;
/// The most folders of one folder.
const FOLDERS_MAX: usize = 65_536;
const DEPTH: HeaderName = HeaderName::from_static("depth");
const DESTINATION: HeaderName = HeaderName::from_static("destination");
const OVERWRITE: HeaderName = HeaderName::from_static("overwrite");
const PROPERTIES: &[u8] = br#"<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:"><D:prop><D:getcontentlength/><D:getlastmodified/><D:resourcetype/></D:prop></D:propfind>"#;

/// A collection of a WebDAV server.
pub(super) struct WebDav {
    http: Http,
    /// `scheme://host[:port][/path]`
    base: String,
    /// The path of the base, decoded.
    path: String,
    authorization: Option<HeaderValue>,
    label: String,
    /// What the temporary names of this handle begin with.
    id: String,
    count: AtomicU64,
    is_there: AtomicBool,
    swept: Once,
}

/// What a listing says.
struct Found {
    name: ObjectName,
    is_folder: bool,
    bytes: Option<u64>,
}

impl WebDav {
    pub(super) fn new(collection: &Collection, label: String, options: &Options, pace: Arc<Pace>) -> Result<Self> {
        let Collection { tls, user, authority, path } = collection;
        let login = credentials::webdav(host_of(authority), user.as_deref(), options)?;
        let authorization = login.map(|(user, password)| {
            let pair = Zeroizing::new(format!("{user}:{}", *password));
            let value = Zeroizing::new(format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(pair.as_bytes())));
            HeaderValue::from_str(&value).map(|mut value| {
                value.set_sensitive(true);
                value
            })
        });
        let authorization = authorization.transpose().map_err(|error| bug(&error))?;
        let http = Http::new(*tls, authority, options, pace)?;
        let base = format!("{}://{authority}{path}", if *tls { "https" } else { "http" });
        let mut id = [0; 8];
        let none = |error: getrandom::Error| Error::new(ErrorKind::Local, format!("random bytes: {error}"));
        getrandom::fill(&mut id).map_err(none)?;
        let id = format!("{:016x}", u64::from_be_bytes(id));
        let (count, is_there, swept) = (AtomicU64::new(0), AtomicBool::new(false), Once::new());
        Ok(WebDav { http, base, path: decode(path)?, authorization, label, id, count, is_there, swept })
    }

    fn url(&self, relative: &str) -> String {
        format!("{}/{}", self.base, encode(relative, "/"))
    }

    fn send(&self, method: Method, relative: &str, headers: HeaderMap, body: Body<'_>) -> Result<Answer<'_>> {
        let request =
            Request::builder().method(method).uri(self.url(relative)).body(()).map_err(|error| bug(&error))?;
        let mut parts = request.into_parts().0;
        parts.headers = headers;
        if let Some(authorization) = &self.authorization {
            parts.headers.insert(AUTHORIZATION, authorization.clone());
        }
        self.http.send(parts, body)
    }

    fn method(name: &[u8]) -> Result<Method> {
        Method::from_bytes(name).map_err(|error| bug(&error))
    }

    /// Asks what stands at a path; none if nothing does.
    fn properties(&self, relative: &str, depth: &'static str) -> Result<Option<Answer<'_>>> {
        let headers = HeaderMap::from_iter([
            (DEPTH, HeaderValue::from_static(depth)),
            (CONTENT_TYPE, HeaderValue::from_static("application/xml; charset=utf-8")),
        ]);
        let answer = self.send(Self::method(b"PROPFIND")?, relative, headers, Body::Text(PROPERTIES))?;
        match answer.status {
            StatusCode::MULTI_STATUS => Ok(Some(answer)),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(answer.failure(Doing::Reading)),
        }
    }

    /// Asks for the collection itself, once, where an answer leaves open whether only the object is missing.
    fn is_there(&self) -> Result<()> {
        if self.is_there.load(Ordering::Relaxed) {
            return Ok(());
        }
        match self.properties("", "0")? {
            Some(_) => self.is_there.store(true, Ordering::Relaxed),
            None => return Err(no_such_place()),
        }
        Ok(())
    }

    /// Makes the folders above a path.
    fn make_folders(&self, relative: &str) -> Result<()> {
        for (end, _) in relative.match_indices('/') {
            self.make_folder(relative.get(..=end).unwrap_or_default())?;
        }
        Ok(())
    }

    fn make_folder(&self, relative: &str) -> Result<()> {
        let answer = self.send(Self::method(b"MKCOL")?, relative, HeaderMap::new(), Body::None)?;
        match answer.status {
            // Allowed where nothing stands: so something does.
            StatusCode::METHOD_NOT_ALLOWED => Ok(()),
            status if status.is_success() => Ok(()),
            StatusCode::CONFLICT | StatusCode::NOT_FOUND => Err(no_such_place()),
            _ => Err(answer.failure(Doing::Writing)),
        }
    }

    /// Does something that needs the folders above `relative`, and makes them if the server says that they are missing.
    fn with_folders<'a>(&'a self, relative: &str, send: impl Fn() -> Result<Answer<'a>>) -> Result<Answer<'a>> {
        let answer = send()?;
        match answer.status {
            status if is_folder_missing(status) => {
                self.is_there()?;
                self.make_folders(relative)?;
                match send()? {
                    answer if !is_folder_missing(answer.status) => Ok(answer),
                    // It said that there is a folder, or that it made one.
                    _ => Err(Error::new(ErrorKind::ReadOnly, "the folder above it cannot be made")),
                }
            }
            _ => Ok(answer),
        }
    }

    /// Uploads under a temporary name and moves; false if something has the name and may not be overwritten.
    fn store(&self, name: &ObjectName, object: &SealedObject, overwrite: bool) -> Result<bool> {
        // What cannot be swept up hurts nobody; a later handle tries again.
        self.swept.call_once(|| drop(self.sweep()));
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let temporary = format!("{TEMPORARY}/{}-{count}", self.id);
        let stored = self.store_by(&temporary, name, object, overwrite);
        if !matches!(stored, Ok(true)) {
            // What stays is looked at by nobody.
            let _ = self.send(Method::DELETE, &temporary, HeaderMap::new(), Body::None);
        }
        stored
    }

    fn store_by(&self, temporary: &str, name: &ObjectName, object: &SealedObject, overwrite: bool) -> Result<bool> {
        let put = || self.send(Method::PUT, temporary, HeaderMap::new(), Body::Object(object));
        let answer = self.with_folders(temporary, put)?;
        if !answer.status.is_success() {
            return Err(answer.failure(Doing::Writing));
        }
        let move_it = || {
            let url = HeaderValue::try_from(self.url(name.as_str())).map_err(|error| bug(&error))?;
            let overwrite = HeaderValue::from_static(if overwrite { "T" } else { "F" });
            let headers = HeaderMap::from_iter([(DESTINATION, url), (OVERWRITE, overwrite)]);
            self.send(Self::method(b"MOVE")?, temporary, headers, Body::None)
        };
        let answer = self.with_folders(name.as_str(), move_it)?;
        match answer.status {
            status if status.is_success() => Ok(true),
            StatusCode::PRECONDITION_FAILED if !overwrite => Ok(false),
            _ => Err(answer.failure(Doing::Writing)),
        }
    }

    /// Removes what writers that died have left, by what the server says of its time and theirs.
    fn sweep(&self) -> Result<()> {
        let Some(answer) = self.properties(&format!("{TEMPORARY}/"), "1")? else { return Ok(()) };
        let Some(now) = answer.date() else { return Ok(()) };
        let mut left = Vec::new();
        let tell = |fields: xml::Fields| {
            let modified = fields.get("getlastmodified").and_then(|text| Answer::seconds(text.trim()));
            let is_left = modified.is_some_and(|modified| now.saturating_sub(modified) > ABANDONED_AFTER);
            if is_left && fields.get("collection").is_none() {
                left.extend(self.temporary_of(&fields));
            }
            if left.len() < SWEPT_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        xml::records(answer.xml(LISTING_BYTES_MAX), &["response"], tell).map_err(no_listing)?;
        for path in left {
            self.send(Method::DELETE, &path, HeaderMap::new(), Body::None)?;
        }
        Ok(())
    }

    /// Returns the path of a temporary file, if that is what a listing tells.
    fn temporary_of(&self, fields: &xml::Fields) -> Option<String> {
        let relative = self.relative(fields)?;
        let name = relative.strip_prefix(TEMPORARY)?.strip_prefix('/')?;
        let is_ours = |letter: char| letter.is_ascii_hexdigit() || letter == '-';
        (!name.is_empty() && name.chars().all(is_ours)).then(|| format!("{TEMPORARY}/{name}"))
    }

    /// Tells what stands in a folder, and the folder itself.
    fn members(&self, answer: Answer<'_>, mut each: impl FnMut(Found) -> ControlFlow<()>) -> Result<bool> {
        let tell = |fields: xml::Fields| match self.found(&fields) {
            Some(found) => each(found),
            None => ControlFlow::Continue(()),
        };
        let whole = xml::records(answer.xml(LISTING_BYTES_MAX), &["response"], tell).map_err(no_listing)?;
        Ok(whole.is_some())
    }

    /// Returns where something that a listing tells stands.
    fn relative(&self, fields: &xml::Fields) -> Option<String> {
        let href = fields.get("href")?.trim();
        // Either a path or a whole URL.
        let path = match href.split_once("://") {
            Some((_, rest)) => rest.find('/').and_then(|slash| rest.get(slash..))?,
            None => href,
        };
        let path = decode(path).ok()?;
        path.strip_prefix(self.path.as_str())?.strip_prefix('/').map(str::to_owned)
    }

    fn found(&self, fields: &xml::Fields) -> Option<Found> {
        let relative = self.relative(fields)?;
        let is_folder = fields.get("collection").is_some();
        let name = ObjectName::new(relative.strip_suffix('/').unwrap_or(&relative)).ok()?;
        Some(Found {
            name,
            is_folder,
            bytes: fields.get("getcontentlength").and_then(|bytes| bytes.trim().parse().ok()),
        })
    }

    fn walk(
        &self,
        folder: Option<&ObjectName>,
        depth: usize,
        each: &mut dyn FnMut(Entry) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let relative = folder.map_or_else(String::new, |folder| format!("{folder}/"));
        let Some(answer) = self.properties(&relative, "1")? else {
            return match (folder, depth) {
                (None, _) => Err(no_such_place()),
                (Some(_), 0) => self.is_there().map(|()| ControlFlow::Continue(())),
                // It was removed meanwhile.
                _ => Ok(ControlFlow::Continue(())),
            };
        };
        let mut folders = Vec::new();
        let mut too_many = false;
        let whole = self.members(answer, |found| {
            // Of what is asked for and what stands in it: a server that tells more is not believed.
            let here = found.name.as_str().rsplit_once('/').map(|(above, _)| above);
            if here != folder.map(ObjectName::as_str) {
                return ControlFlow::Continue(());
            }
            match found {
                Found { name, is_folder: true, .. } if folders.len() < FOLDERS_MAX => folders.push(name),
                Found { is_folder: true, .. } => too_many = true,
                Found { name, bytes: Some(bytes), .. } => return each(Entry { name, bytes }),
                Found { .. } => {}
            }
            ControlFlow::Continue(())
        })?;
        if !whole {
            return Ok(ControlFlow::Break(()));
        }
        if too_many {
            return Err(Error::new(ErrorKind::Damaged, format!("more than {FOLDERS_MAX} folders in one")));
        }
        if depth + 1 < NAME_SEGMENTS_MAX {
            for folder in folders {
                if self.walk(Some(&folder), depth + 1, each)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn of(&self, error: Error, name: &ObjectName) -> Error {
        error.at(&self.label).of(name)
    }
}

impl Remote for WebDav {
    fn put_new(&self, name: &ObjectName, object: &SealedObject) -> Result<bool> {
        if self.head(name)?.is_some() {
            return Ok(false);
        }
        self.store(name, object, false).map_err(|error| self.of(error, name))
    }

    fn put(&self, name: &ObjectName, object: &SealedObject) -> Result<()> {
        self.store(name, object, true).map(drop).map_err(|error| self.of(error, name))
    }

    fn get(&self, name: &ObjectName, range: Option<Range<u64>>) -> Result<Option<Vec<u8>>> {
        if range.as_ref().is_some_and(Range::is_empty) {
            return Ok(self.head(name)?.map(|_| Vec::new()));
        }
        let mut folder = false;
        let got = Http::get(range, |method, headers| {
            let answer = self.send(method, name.as_str(), headers, Body::None)?;
            folder = answer.status == StatusCode::METHOD_NOT_ALLOWED;
            Ok(answer)
        });
        match got {
            // A folder cannot be read.
            Err(_) if folder => Ok(None),
            Ok(None) => self.is_there().map(|()| None).map_err(|error| self.of(error, name)),
            got => got.map_err(|error| self.of(error, name)),
        }
    }

    fn list(&self, below: Option<&ObjectName>, each: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> Result<()> {
        self.walk(below, 0, each).map(drop).map_err(|error| error.at(&self.label))
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        let delete = || {
            let answer = self.send(Method::DELETE, name.as_str(), HeaderMap::new(), Body::None)?;
            match answer.status {
                StatusCode::NOT_FOUND => self.is_there(),
                status if status.is_success() => Ok(()),
                _ => Err(answer.failure(Doing::Writing)),
            }
        };
        delete().map_err(|error| self.of(error, name))
    }

    fn delete_older(&self, _name: &ObjectName) -> Result<()> {
        // It keeps none.
        Ok(())
    }

    fn head(&self, name: &ObjectName) -> Result<Option<u64>> {
        let head = || {
            let Some(answer) = self.properties(name.as_str(), "0")? else {
                return self.is_there().map(|()| None);
            };
            let mut bytes = None;
            self.members(answer, |found| {
                if found.name == *name && !found.is_folder {
                    bytes = found.bytes;
                }
                ControlFlow::Continue(())
            })?;
            Ok(bytes)
        };
        head().map_err(|error| self.of(error, name))
    }

    fn make_place(&self) -> Result<()> {
        self.make_folder("").map_err(|error| error.at(&self.label))
    }
}

/// 409 by RFC 4918; some say 404, and servers written in Go 403 to a MOVE.
fn is_folder_missing(status: StatusCode) -> bool {
    matches!(status, StatusCode::CONFLICT | StatusCode::NOT_FOUND | StatusCode::FORBIDDEN)
}

fn no_such_place() -> Error {
    Error::new(ErrorKind::NoSuchPlace, "there is no such collection")
}
