//! S3, and servers that speak it.
//!
//! An object is one PUT, so it appears whole or not at all; it is too small for parts. Requests are signed by `reqsign`, which also
//! finds credentials where other programs of AWS do. The signature covers the MD5 of the body, by which the server notices what was
//! changed on the way, and without which a bucket with a default lock takes nothing; every server knows it, which is
//! not true of newer sums.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use http::header::IF_NONE_MATCH;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use md5::{Digest as _, Md5};
use reqsign_aws_v4::{Credential, RequestSigner};
use reqsign_core::Signer;
use runcellar_format::object::SealedObject;

use super::credentials;
use super::http::{Answer, Body, Doing, Http, bug, no_listing, unreadable};
use super::location::{Bucket, decode, encode};
use super::pace::PIECE_BYTES;
use super::{Entry, ObjectName, Options, Pace, Remote, xml};
use crate::{Error, ErrorKind, Result};

/// The most bytes of a page of a listing: of 1,000 keys it has a third of a megabyte.
const PAGE_BYTES_MAX: u64 = 8 << 20;
/// The most pages of versions of one object; each has 1,000.
const VERSION_PAGES_MAX: usize = 100;
/// The region that servers expect which have none.
const REGION_OF_OTHERS: &str = "us-east-1";

const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");

/// A bucket, or what stands below a prefix in it.
pub(super) struct S3 {
    http: Http,
    /// `scheme://host[/bucket]`
    base: String,
    /// Empty, or ends with a slash.
    prefix: String,
    signer: Signer<Credential>,
    label: String,
    /// Whether the bucket is known to be there.
    is_there: AtomicBool,
}

impl S3 {
    pub(super) fn new(bucket: &Bucket, label: String, options: &Options, pace: Arc<Pace>) -> Result<Self> {
        let region = bucket.region.clone();
        let region =
            region.or_else(|| options.variable("AWS_REGION")).or_else(|| options.variable("AWS_DEFAULT_REGION"));
        let region = match (region, &bucket.endpoint) {
            (Some(region), _) => region,
            (None, Some(_)) => REGION_OF_OTHERS.to_owned(),
            (None, None) => {
                let message = "the region is missing: in the URL (?region=eu-west-1) or AWS_REGION";
                return Err(Error::new(ErrorKind::InvalidArgument, message));
            }
        };
        let endpoint = bucket.endpoint.clone().unwrap_or_else(|| {
            let country = if region.starts_with("cn-") { ".cn" } else { "" };
            format!("https://s3.{region}.amazonaws.com{country}")
        });
        let (scheme, authority) = endpoint.split_once("://").unwrap_or(("https", &endpoint));
        // The certificates of AWS name one label before the host.
        let path_style = bucket.path_style || (scheme == "https" && bucket.name.contains('.'));
        let (authority, base) = match path_style {
            true => (authority.to_owned(), format!("{endpoint}/{}", bucket.name)),
            false => (format!("{}.{authority}", bucket.name), format!("{scheme}://{}.{authority}", bucket.name)),
        };
        let prefix = if bucket.prefix.is_empty() { String::new() } else { format!("{}/", bucket.prefix) };
        let signer = Signer::new(
            credentials::context(options)?,
            credentials::providers(options),
            RequestSigner::new("s3", &region),
        );
        let http = Http::new(scheme == "https", &authority, options, pace)?;
        Ok(S3 { http, base, prefix, signer, label, is_there: AtomicBool::new(false) })
    }

    fn key(&self, name: &ObjectName) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Signs and sends a request for `key`, which is empty for the bucket itself.
    fn send(&self, method: Method, key: &str, query: &str, headers: HeaderMap, body: Body<'_>) -> Result<Answer<'_>> {
        let mut uri = format!("{}/{}", self.base, encode(key, "/"));
        if !query.is_empty() {
            uri.push('?');
            uri.push_str(query);
        }
        let request = Request::builder().method(method).uri(uri).body(()).map_err(|error| bug(&error))?;
        let mut parts: Parts = request.into_parts().0;
        parts.headers = headers;
        credentials::wait_for(self.signer.sign(&mut parts, None)).map_err(credentials::failure)?;
        let answer = self.http.send(parts, body)?;
        if answer.status.is_success() {
            self.is_there.store(true, Ordering::Relaxed);
        }
        Ok(answer)
    }

    fn put_object(&self, name: &ObjectName, object: &SealedObject, mut headers: HeaderMap) -> Result<Answer<'_>> {
        let put = || {
            headers.insert(CONTENT_MD5, md5(object)?);
            self.send(Method::PUT, &self.key(name), "", headers, Body::Object(object))
        };
        put().map_err(|error| self.of(error, name))
    }

    /// Asks for the bucket itself, once, where an answer leaves open whether only the object is missing.
    fn is_there(&self) -> Result<()> {
        if self.is_there.load(Ordering::Relaxed) { Ok(()) } else { self.ask_for_bucket() }
    }

    /// Asks for the bucket: an answer to HEAD has no body that would say what is wrong, this one has.
    fn ask_for_bucket(&self) -> Result<()> {
        let answer = self.send(Method::GET, "", "list-type=2&max-keys=1", HeaderMap::new(), Body::None)?;
        match answer.status {
            StatusCode::OK => Ok(()),
            StatusCode::NOT_FOUND => Err(Error::new(ErrorKind::NoSuchPlace, "there is no such bucket")),
            _ => Err(answer.failure(Doing::Reading)),
        }
    }

    /// Deletes every version of an object, and what marks it as deleted, or all but the one that it has now; one that may not be
    /// deleted stops no other.
    fn delete_versions(&self, name: &ObjectName, which: Versions) -> Result<()> {
        let key = self.key(name);
        let mut kept = None;
        let mut from = String::new();
        for _ in 0..VERSION_PAGES_MAX {
            let query = format!("encoding-type=url&prefix={}{from}&versions=", encode(&key, ""));
            let answer = self.send(Method::GET, "", &query, HeaderMap::new(), Body::None)?;
            if answer.status != StatusCode::OK {
                return Err(answer.failure(Doing::Writing));
            }
            let mut versions = Vec::new();
            let each = |fields: xml::Fields| {
                if let (Some(of), Some(version)) = (fields.get("Key"), fields.get("VersionId"))
                    && decode(of).is_ok_and(|of| of == key)
                    && (which == Versions::All || fields.get("IsLatest") != Some("true"))
                {
                    versions.push(version.to_owned());
                }
                ControlFlow::Continue(())
            };
            let rest =
                xml::records(answer.xml(PAGE_BYTES_MAX), &["Version", "DeleteMarker"], each).map_err(no_listing)?;
            let rest = rest.unwrap_or_default();
            for version in versions {
                if let Err(error) = self.delete_version(&key, &version) {
                    match error.kind() {
                        ErrorKind::ObjectLocked => kept = latest(kept, error),
                        _ => return Err(error),
                    }
                }
            }
            if rest.get("IsTruncated") != Some("true") {
                return kept.map_or(Ok(()), Err);
            }
            let marker = |of: &str, name: &str| {
                let value = rest.get(of).unwrap_or_default();
                Ok(format!("&{name}={}", encode(&decode(value)?, "")))
            };
            from = marker("NextKeyMarker", "key-marker")?;
            // Canonical order: the version marker stands behind the prefix.
            from = format!("{from}{}", marker("NextVersionIdMarker", "version-id-marker")?);
        }
        Err(Error::new(ErrorKind::Damaged, "the list of its versions does not end"))
    }

    fn delete_version(&self, key: &str, version: &str) -> Result<()> {
        let query = format!("versionId={}", encode(version, ""));
        let answer = self.send(Method::DELETE, key, &query, HeaderMap::new(), Body::None)?;
        if answer.status.is_success() || answer.status == StatusCode::NOT_FOUND {
            return Ok(());
        }
        let error = answer.failure(Doing::Writing);
        if !matches!(error.kind(), ErrorKind::ObjectLocked | ErrorKind::ReadOnly) {
            return Err(error);
        }
        // Why it is refused stands in headers of the version, if at all.
        let found = self.send(Method::HEAD, key, &query, HeaderMap::new(), Body::None)?;
        let until = found.header("x-amz-object-lock-retain-until-date").and_then(microseconds);
        let held = found.header("x-amz-object-lock-legal-hold") == Some("ON");
        match (until, held) {
            (Some(until), _) => Err(Error::object_locked(Some(until))),
            (None, true) => Err(Error::object_locked(None)),
            (None, false) => Err(error),
        }
    }

    fn of(&self, error: Error, name: &ObjectName) -> Error {
        error.at(&self.label).of(name)
    }
}

/// Which versions of an object are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Versions {
    All,
    Older,
}

impl Remote for S3 {
    fn put_new(&self, name: &ObjectName, object: &SealedObject) -> Result<bool> {
        let headers = HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static("*"))]);
        let answer = self.put_object(name, object, headers)?;
        match answer.status {
            StatusCode::PRECONDITION_FAILED => Ok(false),
            status if status.is_success() => Ok(true),
            // It says that it does not know the condition: what there is in this moment decides.
            StatusCode::NOT_IMPLEMENTED => match self.head(name)? {
                Some(_) => Ok(false),
                None => self.put(name, object).map(|()| true),
            },
            _ => Err(self.of(answer.failure(Doing::Writing), name)),
        }
    }

    fn put(&self, name: &ObjectName, object: &SealedObject) -> Result<()> {
        let answer = self.put_object(name, object, HeaderMap::new())?;
        if answer.status.is_success() { Ok(()) } else { Err(self.of(answer.failure(Doing::Writing), name)) }
    }

    fn get(&self, name: &ObjectName, range: Option<Range<u64>>) -> Result<Option<Vec<u8>>> {
        if range.as_ref().is_some_and(Range::is_empty) {
            return Ok(self.head(name)?.map(|_| Vec::new()));
        }
        let send = |method, headers| self.send(method, &self.key(name), "", headers, Body::None);
        Http::get(range, send).map_err(|error| self.of(error, name))
    }

    fn list(&self, below: Option<&ObjectName>, each: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> Result<()> {
        let prefix = below.map_or_else(|| self.prefix.clone(), |below| format!("{}/", self.key(below)));
        let mut token = String::new();
        loop {
            let query = format!("{token}encoding-type=url&list-type=2&prefix={}", encode(&prefix, ""));
            let page = (|| {
                let answer = self.send(Method::GET, "", &query, HeaderMap::new(), Body::None)?;
                match answer.status {
                    StatusCode::OK => {}
                    StatusCode::NOT_FOUND => return Err(Error::new(ErrorKind::NoSuchPlace, "there is no such bucket")),
                    _ => return Err(answer.failure(Doing::Reading)),
                }
                let tell = |fields: xml::Fields| match self.entry(&fields) {
                    Some(entry) => each(entry),
                    None => ControlFlow::Continue(()),
                };
                xml::records(answer.xml(PAGE_BYTES_MAX), &["Contents"], tell).map_err(no_listing)
            })();
            let Some(rest) = page.map_err(|error| error.at(&self.label))? else { return Ok(()) };
            match rest.get("NextContinuationToken").filter(|_| rest.get("IsTruncated") == Some("true")) {
                Some(next) => token = format!("continuation-token={}&", encode(next, "")),
                None => return Ok(()),
            }
        }
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        let delete = || {
            let answer = self.send(Method::DELETE, &self.key(name), "", HeaderMap::new(), Body::None)?;
            if answer.status == StatusCode::NOT_FOUND {
                return answer.absent(Doing::Writing);
            }
            if !answer.status.is_success() {
                return Err(answer.failure(Doing::Writing));
            }
            // The bucket keeps versions: so far the object was only marked as deleted.
            let versioned = answer.header("x-amz-delete-marker") == Some("true")
                || answer.header("x-amz-version-id").is_some_and(|version| !version.is_empty());
            if versioned { self.delete_versions(name, Versions::All) } else { Ok(()) }
        };
        delete().map_err(|error| self.of(error, name))
    }

    fn delete_older(&self, name: &ObjectName) -> Result<()> {
        let delete = || {
            let answer = self.send(Method::HEAD, &self.key(name), "", HeaderMap::new(), Body::None)?;
            // Who keeps versions says which one this is; not everybody else can list them, or lets one do it.
            let versioned =
                answer.header("x-amz-version-id").is_some_and(|version| !version.is_empty() && version != "null");
            if versioned { self.delete_versions(name, Versions::Older) } else { Ok(()) }
        };
        delete().map_err(|error| self.of(error, name))
    }

    fn head(&self, name: &ObjectName) -> Result<Option<u64>> {
        let head = || {
            let answer = self.send(Method::HEAD, &self.key(name), "", HeaderMap::new(), Body::None)?;
            match answer.status {
                StatusCode::OK => match answer.length() {
                    Some(length) => Ok(Some(length)),
                    None => Err(Error::new(ErrorKind::Damaged, "the answer says no length")),
                },
                StatusCode::NOT_FOUND => self.is_there().map(|()| None),
                _ => {
                    let error = answer.failure(Doing::Reading);
                    self.ask_for_bucket()?;
                    Err(error)
                }
            }
        };
        head().map_err(|error| self.of(error, name))
    }
}

impl S3 {
    /// Returns what a listing says of an object; none if no object of ours is called so.
    fn entry(&self, fields: &xml::Fields) -> Option<Entry> {
        let key = decode(fields.get("Key")?).ok()?;
        let name = ObjectName::new(key.strip_prefix(&self.prefix)?).ok()?;
        Some(Entry { name, bytes: fields.get("Size")?.parse().ok()? })
    }
}

/// Returns the sum of a whole object, as HTTP writes it. Source: RFC 1864.
fn md5(object: &SealedObject) -> Result<HeaderValue> {
    let mut sum = Md5::new();
    let mut piece = vec![0; PIECE_BYTES];
    let mut offset = 0;
    while offset < object.len() {
        let len = usize::try_from(object.len() - offset).unwrap_or(usize::MAX).min(PIECE_BYTES);
        let piece = piece.get_mut(..len).unwrap_or_default();
        object.read_exact_at(piece, offset).map_err(unreadable)?;
        sum.update(piece);
        offset += len as u64;
    }
    HeaderValue::try_from(BASE64_STANDARD.encode(sum.finalize())).map_err(|error| bug(&error))
}

/// Of two versions that may not be deleted, the one that has to be waited for longer.
fn latest(one: Option<Error>, other: Error) -> Option<Error> {
    match one {
        // Without a time it is held until somebody lifts that.
        Some(one)
            if one.locked_until_us().is_none_or(|one| other.locked_until_us().is_some_and(|other| other <= one)) =>
        {
            Some(one)
        }
        _ => Some(other),
    }
}

/// Reads `2030-01-31T10:20:30[.123]Z`.
fn microseconds(text: &str) -> Option<i64> {
    let time: reqsign_core::time::Timestamp = text.parse().ok()?;
    time.as_second().checked_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_object_lock_are_read() {
        assert_eq!(microseconds("1970-01-02T00:00:01Z"), Some(86_401_000_000));
        assert_eq!(microseconds("2030-01-01T00:00:00.000Z"), Some(1_893_456_000_000_000));
        assert_eq!(microseconds("soon"), None);
    }

    #[test]
    fn the_version_that_is_locked_longest_is_the_one_to_wait_for() {
        let until = |until| Error::object_locked(until);
        let of = |one, other| latest(Some(until(one)), until(other)).expect("one of them").locked_until_us();
        assert_eq!(of(Some(1), Some(2)), Some(2));
        assert_eq!(of(Some(2), Some(1)), Some(2));
        assert_eq!(of(None, Some(1)), None);
        assert_eq!(of(Some(1), None), None);
    }
}
