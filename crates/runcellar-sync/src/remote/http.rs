//! The one way to the network: requests to one server, with everything that must hold for all of them.
//!
//! Bodies are sent from where they stand and paced; answers are bounded and their length is compared with what was announced.
//! Redirects are followed nowhere, since consent was given to one host. A server says what is wrong with words of its own,
//! which are cut and cleaned before anybody reads them.

use std::io::{self, BufReader, ErrorKind as Io, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, CONTENT_RANGE, DATE, LOCATION, RANGE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use reqsign_core::time::Timestamp;
use runcellar_format::object::{OBJECT_BYTES_MAX, SealedObject};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Proxy, SendBody};

use super::location::{host_of, is_loopback};
use super::pace::PIECE_BYTES;
use super::{Clock, Options, Pace, xml};
use crate::{Error, ErrorKind, Result};

/// How long a whole request may take: 64 MiB at 18 KiB/s. Without it a server that sends a byte now and then holds us for ever.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3600);
/// The most bytes of an answer that says what is wrong.
const FAILURE_BYTES_MAX: u64 = 64 << 10;
/// The most letters of a server's words that are repeated.
const WORDS_MAX: usize = 200;
/// What the server learns of the program.
const USER_AGENT: &str = "runcellar";

/// What a request is for, by which a refusal is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    Reading,
    Writing,
}

/// What is sent.
#[derive(Clone, Copy)]
pub(super) enum Body<'a> {
    None,
    Text(&'a [u8]),
    Object(&'a SealedObject),
}

/// A client of one server.
pub(super) struct Http {
    agent: Agent,
    host: String,
    pace: Arc<Pace>,
    clock: Arc<dyn Clock>,
}

impl Http {
    /// Makes a client for `host[:port]`.
    pub(super) fn new(tls: bool, authority: &str, options: &Options, pace: Arc<Pace>) -> Result<Self> {
        let host = host_of(authority).to_owned();
        let agent = agent(tls, proxy(tls, &host, options)?, options)?;
        Ok(Http { agent, host, pace, clock: options.clock.clone() })
    }

    /// Sends a request and returns the beginning of the answer, whatever its status, unless it leads elsewhere.
    pub(super) fn send(&self, mut parts: Parts, body: Body<'_>) -> Result<Answer<'_>> {
        let source = match body {
            Body::None => None,
            Body::Text(text) => Some((text.len() as u64, Source::Text(text))),
            Body::Object(object) => Some((object.len(), Source::Object { object, offset: 0, http: self })),
        };
        let result = match source {
            None => self.agent.run(Request::from_parts(parts, ())),
            Some((len, source)) => {
                parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
                let mut outgoing = Outgoing { source, failed: None };
                let result = self.agent.run(Request::from_parts(parts, SendBody::from_reader(&mut outgoing)));
                if let Some(cause) = outgoing.failed {
                    return Err(unreadable(cause));
                }
                result
            }
        };
        let answer = result.map_err(|error| self.unreachable(error))?;
        let (parts, body) = answer.into_parts();
        let answer = Answer { http: self, status: parts.status, headers: parts.headers, body };
        if answer.status.is_redirection() && answer.status != StatusCode::NOT_MODIFIED {
            return Err(answer.redirect());
        }
        Ok(answer)
    }

    /// Asks for an object, or a range of it; none if it is not there.
    ///
    /// `send` signs and sends.
    pub(super) fn get<'a>(
        range: Option<Range<u64>>,
        send: impl FnOnce(Method, HeaderMap) -> Result<Answer<'a>>,
    ) -> Result<Option<Vec<u8>>> {
        // More than an object has is not asked for: some servers count in 63 bits.
        let range = range.map(|range| range.start..range.end.min(range.start.saturating_add(OBJECT_BYTES_MAX)));
        let mut headers = HeaderMap::new();
        if let Some(range) = &range {
            let text = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
            headers.insert(RANGE, HeaderValue::try_from(text).map_err(|error| bug(&error))?);
        }
        let wanted = range.as_ref().map_or(OBJECT_BYTES_MAX, |range| range.end.saturating_sub(range.start));
        let answer = send(Method::GET, headers)?;
        match (answer.status, range) {
            (StatusCode::OK, None) => answer.bytes(wanted).map(Some),
            (StatusCode::OK | StatusCode::PARTIAL_CONTENT, Some(range)) => match answer.range_start() {
                // The status is not relied on: some servers say 200 to a part.
                Some(start) if start == range.start => answer.bytes(wanted).map(Some),
                Some(_) => Err(Error::new(ErrorKind::Damaged, "another range than was asked for")),
                // It knows no ranges: what is before is passed over.
                None => answer.bytes_from(range.start, wanted).map(Some),
            },
            (StatusCode::RANGE_NOT_SATISFIABLE, Some(_)) => Ok(Some(Vec::new())),
            (StatusCode::NOT_FOUND, _) => answer.absent(Doing::Reading).map(|()| None),
            _ => Err(answer.failure(Doing::Reading)),
        }
    }

    fn wait(&self, bytes: usize) -> bool {
        let wait = self.pace.take(bytes as u64, self.clock.now());
        wait.is_zero() || self.clock.sleep(wait)
    }

    fn unreachable(&self, error: ureq::Error) -> Error {
        use ureq::Error as U;
        let Http { host, .. } = self;
        let (kind, message) = match &error {
            U::Timeout(_) => (ErrorKind::Unreachable, format!("{host} did not answer in time")),
            U::HostNotFound => (ErrorKind::Unreachable, format!("there is no host {host}, or no network")),
            // The words of certificates that do not fit come so.
            U::Io(cause) if cause.kind() == Io::InvalidData => {
                (ErrorKind::Refused, format!("{host} is not whom it claims to be: {cause}"))
            }
            U::Rustls(cause) => (ErrorKind::Refused, format!("{host} is not whom it claims to be: {cause}")),
            U::Tls(cause) => (ErrorKind::Refused, format!("{host} is not whom it claims to be: {cause}")),
            U::Io(cause) => (ErrorKind::Unreachable, format!("{host}: {cause}")),
            U::ConnectionFailed => (ErrorKind::Unreachable, format!("{host} cannot be reached")),
            U::Protocol(cause) => (ErrorKind::Damaged, format!("{host} does not speak HTTP: {cause}")),
            U::ConnectProxyFailed(cause) => {
                (ErrorKind::Unreachable, format!("the proxy refuses {host}: {}", words(cause)))
            }
            _ => (ErrorKind::Other, format!("{host}: {error}")),
        };
        Error::new(kind, message).with_cause(error)
    }
}

fn agent(tls: bool, proxy: Option<Proxy>, options: &Options) -> Result<Agent> {
    // Under a limit of bandwidth as long as that lets an object take, and as long again.
    let slow = options.bytes_per_second.map_or(0, |rate| 2 * OBJECT_BYTES_MAX / rate.max(1));
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .allow_non_standard_methods(true)
        .user_agent(USER_AGENT)
        .accept("*/*")
        .proxy(proxy)
        .timeout_global(Some(REQUEST_TIMEOUT + Duration::from_secs(slow)))
        .timeout_resolve(Some(options.timeout))
        .timeout_connect(Some(options.timeout))
        .timeout_per_read(Some(options.timeout))
        .timeout_per_write(Some(options.timeout));
    if tls {
        config = config.tls_config(TlsConfig::builder().root_certs(roots(options)?).build());
    }
    Ok(config.build().new_agent())
}

/// Returns a client that asks others than the remote: the services of AWS that give credentials.
pub(super) fn agent_for_credentials(options: &Options) -> Result<Agent> {
    agent(true, proxy(true, "sts.amazonaws.com", options)?, options)
}

/// What a server answered, its body still to be read.
pub(super) struct Answer<'a> {
    http: &'a Http,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    body: ureq::Body,
}

impl<'a> Answer<'a> {
    /// Makes the error of an answer that leads elsewhere.
    fn redirect(&self) -> Error {
        let host = &self.http.host;
        let message = match (self.header("x-amz-bucket-region"), self.header(LOCATION.as_str())) {
            (Some(region), _) => format!("the bucket is in the region {}", words(region)),
            (None, Some(to)) => {
                let to = to.parse::<Uri>().ok().and_then(|to| to.host().map(words));
                format!("{host} sends us to {}, which is not followed", to.as_deref().unwrap_or("another path"))
            }
            (None, None) => format!("{host} sends us elsewhere, which is not followed"),
        };
        Error::new(ErrorKind::Refused, message)
    }

    /// Returns a header as text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns a time of the server's clock, seconds since 1970.
    pub(super) fn seconds(text: &str) -> Option<i64> {
        Timestamp::parse_rfc2822(text).ok().map(Timestamp::as_second)
    }

    /// Returns what the server's clock says, seconds since 1970.
    pub(super) fn date(&self) -> Option<i64> {
        self.header(DATE.as_str()).and_then(Self::seconds)
    }

    /// Returns after how long the server wants to be asked again: it says seconds, or a time, which is compared with its own
    /// clock.
    fn retry_after(&self) -> Option<Duration> {
        let text = self.header(RETRY_AFTER.as_str())?.trim();
        let seconds = match text.parse() {
            Ok(seconds) => seconds,
            Err(_) => u64::try_from(Self::seconds(text)?.checked_sub(self.date()?)?).ok()?,
        };
        Some(Duration::from_secs(seconds))
    }

    /// Returns the length that was announced.
    pub(super) fn length(&self) -> Option<u64> {
        self.header(CONTENT_LENGTH.as_str())?.parse().ok()
    }

    /// Returns where the range begins that the body is said to be; none if it is said to be the whole.
    fn range_start(&self) -> Option<u64> {
        let (_, range) = self.header(CONTENT_RANGE.as_str())?.split_once(' ')?;
        range.split('-').next()?.trim().parse().ok()
    }

    /// Returns the body, which must have at most so many bytes.
    pub(super) fn bytes(self, limit: u64) -> Result<Vec<u8>> {
        let announced = self.length();
        if announced.is_some_and(|announced| announced > limit) {
            return Err(Error::new(ErrorKind::Damaged, "longer than was asked for"));
        }
        let room = announced.and_then(|announced| usize::try_from(announced).ok()).unwrap_or_default();
        let mut out = Vec::with_capacity(room);
        let read = self.reader(limit.saturating_add(1)).read_to_end(&mut out);
        read.map_err(cut_off)?;
        if out.len() as u64 > limit {
            return Err(Error::new(ErrorKind::Damaged, "longer than was asked for"));
        }
        match announced {
            Some(announced) if announced != out.len() as u64 => {
                let message = format!("the answer ends after {} of {announced} bytes", out.len());
                Err(Error::new(ErrorKind::Damaged, message))
            }
            _ => Ok(out),
        }
    }

    /// Returns what stands from an offset on, up to so many bytes.
    fn bytes_from(self, start: u64, limit: u64) -> Result<Vec<u8>> {
        let mut reader = self.reader(OBJECT_BYTES_MAX);
        io::copy(&mut reader.by_ref().take(start), &mut io::sink()).map_err(cut_off)?;
        let mut out = Vec::new();
        reader.take(limit).read_to_end(&mut out).map_err(cut_off)?;
        Ok(out)
    }

    /// Returns the body as a stream of at most so many bytes.
    pub(super) fn reader(self, limit: u64) -> impl Read + 'a {
        Incoming { http: self.http, body: self.body.into_with_config().limit(u64::MAX).reader() }.take(limit)
    }

    /// Returns the body as a stream of lines of XML.
    pub(super) fn xml(self, limit: u64) -> impl io::BufRead + 'a {
        BufReader::with_capacity(PIECE_BYTES, self.reader(limit))
    }

    /// Takes an answer for "it is not there", unless what is not there is the whole place.
    pub(super) fn absent(self, doing: Doing) -> Result<()> {
        let error = self.failure(doing);
        if error.kind() == ErrorKind::NoSuchPlace { Err(error) } else { Ok(()) }
    }

    /// Makes an error of an answer.
    pub(super) fn failure(self, doing: Doing) -> Error {
        let (status, wait) = (self.status, self.retry_after());
        let fields = xml::records(self.xml(FAILURE_BYTES_MAX), &[], |_| std::ops::ControlFlow::Continue(()));
        let fields = fields.ok().flatten().unwrap_or_default();
        let code = fields.get("Code").or_else(|| fields.get("exception")).unwrap_or_default();
        let message = fields.get("Message").or_else(|| fields.get("message")).unwrap_or_default();
        let said = match (code, message) {
            ("", "") => status.to_string(),
            ("", message) => format!("{status}: {}", words(message)),
            (code, message) => format!("{}: {}", words(code), words(message)),
        };
        Error::new(kind_of(status, code, message, doing), said).retry_after(wait)
    }
}

/// Sorts what servers say is wrong.
///
/// Source of the codes: Amazon S3 API Reference, "Error responses"; MinIO and Ceph for those of a full disk; RFC 4918, 11.
fn kind_of(status: StatusCode, code: &str, message: &str, doing: Doing) -> ErrorKind {
    let locked = message.to_ascii_lowercase().contains("object lock") || message.contains("WORM");
    match code {
        "NoSuchBucket" => return ErrorKind::NoSuchPlace,
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "InvalidToken"
        | "TokenRefreshRequired"
        | "RequestTimeTooSkewed"
        | "AuthorizationHeaderMalformed"
        | "PermanentRedirect"
        | "AccountProblem" => {
            return ErrorKind::Refused;
        }
        "QuotaExceeded"
        | "XMinioStorageFull"
        | "XMinioAdminBucketQuotaExceeded"
        | "InsufficientStorage"
        | "NotEnoughSpace" => return ErrorKind::Full,
        "ObjectLocked" => return ErrorKind::ObjectLocked,
        "AccessDenied" if locked => return ErrorKind::ObjectLocked,
        "SlowDown"
        | "ServiceUnavailable"
        | "InternalError"
        | "RequestTimeout"
        | "OperationAborted"
        | "ConditionalRequestConflict" => return ErrorKind::Unreachable,
        _ => {}
    }
    match (status.as_u16(), doing) {
        (401 | 407, _) | (403, Doing::Reading) => ErrorKind::Refused,
        (403 | 405, Doing::Writing) => ErrorKind::ReadOnly,
        (507, _) => ErrorKind::Full,
        // 423: another client holds a lock of WebDAV, for a while.
        (408 | 423 | 425 | 429 | 500 | 502..=504, _) => ErrorKind::Unreachable,
        _ => ErrorKind::Other,
    }
}

/// Takes from a server's words what cannot do harm on a terminal.
fn words(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(WORDS_MAX).collect()
}

/// The file of an object cannot be read here.
pub(super) fn unreadable(cause: io::Error) -> Error {
    Error::new(ErrorKind::Local, format!("the object's file: {cause}")).with_cause(cause)
}

/// A header or URL of ours that cannot be sent.
pub(super) fn bug(error: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidArgument, format!("no request can be made of it: {error}"))
}

fn cut_off(cause: io::Error) -> Error {
    let kind = if is_timeout(&cause) { ErrorKind::Unreachable } else { ErrorKind::Damaged };
    Error::new(kind, format!("the answer breaks off: {cause}")).with_cause(cause)
}

/// A listing that is no document, or breaks off.
pub(super) fn no_listing(cause: quick_xml::Error) -> Error {
    let kind = match &cause {
        quick_xml::Error::Io(cause) if is_timeout(cause) => ErrorKind::Unreachable,
        _ => ErrorKind::Damaged,
    };
    Error::new(kind, format!("a listing that cannot be read: {cause}"))
}

fn is_timeout(cause: &io::Error) -> bool {
    let inner = cause.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
    cause.kind() == Io::TimedOut || matches!(inner, Some(ureq::Error::Timeout(_)))
}

/// A body on its way out.
struct Outgoing<'a> {
    source: Source<'a>,
    /// What went wrong here, and not on the network.
    failed: Option<io::Error>,
}

enum Source<'a> {
    Text(&'a [u8]),
    Object { object: &'a SealedObject, offset: u64, http: &'a Http },
}

impl Read for Outgoing<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match &mut self.source {
            Source::Text(text) => text.read(out),
            Source::Object { object, offset, http } => {
                let len = out.len().min(PIECE_BYTES).min(usize::try_from(object.len() - *offset).unwrap_or(usize::MAX));
                let out = out.get_mut(..len).unwrap_or_default();
                if let Err(error) = object.read_exact_at(out, *offset) {
                    let kind = error.kind();
                    self.failed = Some(error);
                    return Err(kind.into());
                }
                *offset += len as u64;
                if len > 0 && !http.wait(len) { Err(Io::TimedOut.into()) } else { Ok(len) }
            }
        }
    }
}

/// A body on its way in.
struct Incoming<'a, R> {
    http: &'a Http,
    body: R,
}

impl<R: Read> Read for Incoming<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let len = out.len().min(PIECE_BYTES);
        let read = self.body.read(out.get_mut(..len).unwrap_or_default())?;
        if read > 0 && !self.http.wait(read) { Err(Io::TimedOut.into()) } else { Ok(read) }
    }
}

/// Returns the proxy by which a host is reached, as curl has it: HTTPS_PROXY or HTTP_PROXY, else ALL_PROXY, unless NO_PROXY
/// names the host. Never for this machine itself.
fn proxy(tls: bool, host: &str, options: &Options) -> Result<Option<Proxy>> {
    let variable = |name: &str| {
        let value = options.variable(name).or_else(|| options.variable(&name.to_ascii_lowercase()));
        value.filter(|value| !value.is_empty())
    };
    let spared = |list: &str| {
        list.split(',').map(|entry| entry.trim().trim_start_matches('.')).any(|entry| {
            let below = host.len().checked_sub(entry.len()).and_then(|at| host.split_at_checked(at));
            entry == "*"
                || below.is_some_and(|(above, end)| {
                    !entry.is_empty() && end.eq_ignore_ascii_case(entry) && (above.is_empty() || above.ends_with('.'))
                })
        })
    };
    if is_loopback(host) || variable("NO_PROXY").is_some_and(|list| spared(&list)) {
        return Ok(None);
    }
    let Some(url) = variable(if tls { "HTTPS_PROXY" } else { "HTTP_PROXY" }).or_else(|| variable("ALL_PROXY")) else {
        return Ok(None);
    };
    // The URL may hold a password: it stays out of the message.
    let proxy = Proxy::new(&url);
    Ok(Some(proxy.map_err(|_| Error::new(ErrorKind::InvalidArgument, "the URL of the proxy cannot be used"))?))
}

/// Returns whom to believe: the certificates in SSL_CERT_FILE, else those of the system, else those of Mozilla.
fn roots(options: &Options) -> Result<RootCerts> {
    if let Some(path) = options.variable("SSL_CERT_FILE").filter(|path| !path.is_empty()) {
        return Ok(RootCerts::new_with_certs(&certificates(Path::new(&path))?));
    }
    let found = rustls_native_certs::load_native_certs().certs;
    if found.is_empty() {
        return Ok(RootCerts::WebPki);
    }
    let owned = found.iter().map(|certificate| Certificate::from_der(certificate).to_owned());
    Ok(RootCerts::from(owned.collect::<Vec<_>>()))
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>> {
    let failed =
        |what: String| Error::new(ErrorKind::InvalidArgument, format!("SSL_CERT_FILE {}: {what}", path.display()));
    let text = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let mut all = Vec::new();
    for item in parse_pem(&text) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| failed(error.to_string()))? {
            all.push(certificate);
        }
    }
    if all.is_empty() { Err(failed("no certificate in it".into())) } else { Ok(all) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_say_is_sorted() {
        let of = |status: u16, code: &str, message: &str, doing| {
            kind_of(StatusCode::from_u16(status).expect("a status"), code, message, doing)
        };
        for (expected, status, code, message, doing) in [
            (ErrorKind::NoSuchPlace, 404, "NoSuchBucket", "", Doing::Reading),
            (ErrorKind::Refused, 403, "SignatureDoesNotMatch", "", Doing::Writing),
            (ErrorKind::Refused, 403, "AccessDenied", "", Doing::Reading),
            (ErrorKind::ReadOnly, 403, "AccessDenied", "", Doing::Writing),
            (ErrorKind::ObjectLocked, 403, "AccessDenied", "protected by object lock.", Doing::Writing),
            (ErrorKind::Full, 507, "", "", Doing::Writing),
            (ErrorKind::Full, 400, "XMinioStorageFull", "", Doing::Writing),
            (ErrorKind::Refused, 401, "", "", Doing::Writing),
            (ErrorKind::ReadOnly, 405, "", "", Doing::Writing),
            (ErrorKind::Unreachable, 503, "SlowDown", "", Doing::Reading),
            (ErrorKind::Unreachable, 429, "", "", Doing::Reading),
            (ErrorKind::Other, 400, "", "", Doing::Reading),
        ] {
            assert_eq!(of(status, code, message, doing), expected, "{status} {code}");
        }
    }

    #[test]
    fn words_of_a_server_do_nothing_on_a_terminal() {
        assert_eq!(words("\u{1b}]0;owned\u{7}a\nb"), "]0;ownedab");
        assert_eq!(words(&"x".repeat(10_000)).len(), WORDS_MAX);
    }

    #[test]
    fn a_proxy_is_used_where_curl_would() {
        let with = |variables: &[(&str, &str)], tls, host: &str| {
            let variables: Vec<(String, String)> =
                variables.iter().map(|(name, value)| (String::from(*name), String::from(*value))).collect();
            let options = Options {
                variables: Arc::new(move |name| {
                    variables.iter().find(|(of, _)| of == name).map(|(_, value)| value.clone())
                }),
                ..Options::default()
            };
            proxy(tls, host, &options).map(|proxy| proxy.map(|proxy| proxy.port()))
        };
        let all = [("HTTPS_PROXY", "http://p:1"), ("http_proxy", "http://p:2"), ("NO_PROXY", "near, .corp.example")];
        assert_eq!(with(&all, true, "far.example").expect("usable"), Some(1));
        assert_eq!(with(&all, false, "far.example").expect("usable"), Some(2));
        for spared in ["near", "corp.example", "a.CORP.example", "127.0.0.1", "localhost", "[::1]"] {
            assert_eq!(with(&all, true, spared).expect("usable"), None, "{spared}");
        }
        assert_eq!(with(&all, true, "notcorp.example").expect("usable"), Some(1));
        assert_eq!(with(&[("ALL_PROXY", "http://p:3")], true, "far").expect("usable"), Some(3));
        assert_eq!(with(&[("ALL_PROXY", "http://p:3"), ("NO_PROXY", "*")], true, "far").expect("usable"), None);
        let error = with(&[("HTTPS_PROXY", "ftp://me:hunter2@p")], true, "far").unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}
