//! What a server can do wrong, and what stands between: a server of a few lines that answers as it is told.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use runcellar_sync::remote::{Location, Options, Remote, Retries, open};
use runcellar_sync::{Error, ErrorKind};

use crate::loopback::servers::{KEYS, PASSWORD, USER, options, program, rclone_webdav, remote, remote_with};
use crate::support::{TestClock, name, object, pack};

/// Of a request its first line, and the sum that it announces.
#[derive(Clone)]
struct Seen {
    line: String,
    md5: Option<String>,
}

/// A server that answers each request by its first line, and keeps what it saw.
struct Scripted {
    address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    thread: Option<JoinHandle<()>>,
}

impl Scripted {
    fn new(answer: impl Fn(&str) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let lines = seen.clone();
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.expect("a connection");
                match Self::request(&stream) {
                    Some(seen) if seen.line.starts_with("STOP") => return,
                    Some(seen) => {
                        lines.lock().expect("sound").push(seen.clone());
                        // The client may have gone.
                        let _ = (&stream).write_all(answer(&seen.line).as_bytes());
                    }
                    None => {}
                }
            }
        });
        Scripted { address, seen, thread: Some(thread) }
    }

    /// Reads a request whole.
    fn request(stream: &TcpStream) -> Option<Seen> {
        let mut reader = BufReader::new(stream);
        let mut first = String::new();
        reader.read_line(&mut first).ok()?;
        let (mut len, mut md5) = (0, None);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 || line == "\r\n" {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                len = value.trim().parse().ok()?;
            }
            if let Some((_, value)) = line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("content-md5"))
            {
                md5 = Some(value.trim().to_owned());
            }
        }
        std::io::copy(&mut reader.take(len), &mut std::io::sink()).ok()?;
        Some(Seen { line: first.trim().to_owned(), md5 })
    }

    fn s3(&self) -> Box<dyn Remote> {
        remote(&format!("s3://bucket?endpoint=http://{}", self.address))
    }

    fn webdav(&self) -> Box<dyn Remote> {
        remote(&format!("webdav://{USER}@{}/dav", self.address))
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("sound").iter().map(|seen| seen.line.clone()).collect()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        if let Ok(mut stream) = TcpStream::connect(&self.address) {
            // If this fails the thread has ended already.
            let _ = stream.write_all(b"STOP / HTTP/1.1\r\n\r\n");
        }
        let ended = self.thread.take().expect("once").join();
        assert!(ended.is_ok() || thread::panicking());
    }
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
}

fn every_call(remote: &dyn Remote) -> Vec<Error> {
    let a = name("a");
    vec![
        remote.put(&a, &object(1, 1)).unwrap_err(),
        remote.put_new(&a, &object(1, 1)).unwrap_err(),
        remote.get(&a, None).unwrap_err(),
        remote.get(&a, Some(0..9)).unwrap_err(),
        remote.head(&a).unwrap_err(),
        remote.delete(&a).unwrap_err(),
        remote.list(None, &mut |_| unreachable!()).unwrap_err(),
    ]
}

#[test]
fn a_redirect_to_another_host_is_not_followed() {
    let other = Scripted::new(|_| answer("200 OK", "", "x"));
    let to = format!("Location: http://{}/stolen\r\n", other.address.replace("127.0.0.1", "localhost"));
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let to = to.clone();
        let server = Scripted::new(move |_| answer(status, &to, ""));
        for error in every_call(&*server.s3()).into_iter().chain(every_call(&*server.webdav())) {
            assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
            assert!(error.to_string().contains("localhost"), "{error}");
        }
    }
    assert!(other.seen().is_empty(), "somebody followed");
}

#[test]
fn a_bucket_of_another_region_says_which() {
    let server = Scripted::new(|_| answer("301 Moved Permanently", "x-amz-bucket-region: eu-central-1\r\n", ""));
    for error in every_call(&*server.s3()) {
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        assert!(error.to_string().contains("the bucket is in the region eu-central-1"), "{error}");
    }
}

#[test]
fn a_body_that_is_cut_off_or_too_long_is_damage_and_asked_for_again() {
    for (length, body) in [("100", "too short"), ("99999999999", ""), ("99999999999", "x")] {
        let server = Scripted::new(move |_| {
            format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")
        });
        for remote in [server.s3(), server.webdav()] {
            let error = remote.get(&name("a"), None).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
            assert!(error.is_retryable());
        }
    }
    let server = Scripted::new(|_| answer("206 Partial Content", "Content-Range: bytes 5-9/100\r\n", "12345"));
    assert_eq!(server.s3().get(&name("a"), Some(0..5)).unwrap_err().kind(), ErrorKind::Damaged);
    assert_eq!(server.s3().get(&name("a"), Some(5..10)).expect("that range"), Some(b"12345".to_vec()));
    assert_eq!(server.s3().get(&name("a"), Some(5..8)).unwrap_err().kind(), ErrorKind::Damaged);
}

#[test]
fn a_server_without_ranges_gives_parts_nevertheless() {
    let server = Scripted::new(|_| answer("200 OK", "", "0123456789"));
    for remote in [server.s3(), server.webdav()] {
        assert_eq!(remote.get(&name("a"), Some(3..5)).expect("read"), Some(b"34".to_vec()));
        assert_eq!(remote.get(&name("a"), Some(8..50)).expect("read"), Some(b"89".to_vec()));
        assert_eq!(remote.get(&name("a"), Some(50..60)).expect("read"), Some(Vec::new()));
    }
}

#[test]
fn what_refuses_is_told_apart() {
    let s3 = |code: &str| format!("<Error><Code>{code}</Code><Message>so it is</Message></Error>");
    for (status, body, kind) in [
        ("403 Forbidden", s3("SignatureDoesNotMatch"), ErrorKind::Refused),
        ("400 Bad Request", s3("ExpiredToken"), ErrorKind::Refused),
        ("507 Insufficient Storage", String::new(), ErrorKind::Full),
        ("400 Bad Request", s3("XMinioStorageFull"), ErrorKind::Full),
        ("503 Service Unavailable", s3("SlowDown"), ErrorKind::Unreachable),
        ("429 Too Many Requests", String::new(), ErrorKind::Unreachable),
        ("500 Internal Server Error", String::new(), ErrorKind::Unreachable),
        ("418 I'm a teapot", String::new(), ErrorKind::Other),
    ] {
        let server = Scripted::new(move |_| answer(status, "", &body));
        for error in every_call(&*server.s3()).into_iter().chain(every_call(&*server.webdav())) {
            assert_eq!(error.kind(), kind, "{status}: {error}");
        }
    }
    let server = Scripted::new(|_| answer("403 Forbidden", "", "<Error><Code>AccessDenied</Code></Error>"));
    let remote = server.s3();
    assert_eq!(remote.put(&name("a"), &object(1, 1)).unwrap_err().kind(), ErrorKind::ReadOnly);
    assert_eq!(remote.get(&name("a"), None).unwrap_err().kind(), ErrorKind::Refused);
}

/// Seconds, or a time, which is compared with the server's own clock: nobody else's counts.
#[test]
fn a_server_that_asks_to_come_back_later_is_waited_for_up_to_a_minute() {
    let date = "Date: Fri, 31 Dec 1999 23:59:30 GMT\r\n";
    for (headers, asked) in [
        ("Retry-After: 7\r\n".to_owned(), Some(7)),
        (format!("{date}Retry-After: Sat, 01 Jan 2000 00:00:00 GMT\r\n"), Some(30)),
        (format!("{date}Retry-After: Fri, 31 Dec 1999 00:00:00 GMT\r\n"), Some(0)),
        ("Retry-After: sometime\r\n".to_owned(), Some(0)),
        ("Retry-After: 61\r\n".to_owned(), None),
        ("Retry-After: 99999999999999999999\r\n".to_owned(), Some(0)),
    ] {
        let said = headers.clone();
        let server = Scripted::new(move |_| answer("503 Service Unavailable", &headers, ""));
        let clock = Arc::new(TestClock::default());
        let retries = Retries { attempts: 3, first: Duration::from_millis(100), longest: Duration::from_millis(100) };
        let options = Options { clock: clock.clone(), retries, ..options(&KEYS) };
        let location: Location = format!("s3://bucket?endpoint=http://{}", server.address).parse().expect("a URL");
        let remote = open(&location, &options).expect("is opened");
        assert_eq!(remote.get(&name("a"), None).unwrap_err().kind(), ErrorKind::Unreachable);
        let waits: Vec<u64> = clock.waits.lock().expect("sound").iter().map(Duration::as_secs).collect();
        assert_eq!(waits, asked.map_or(Vec::new(), |asked| vec![asked; 2]), "{said}");
        assert_eq!(server.seen().len(), waits.len() + 1, "{said}");
    }
}

/// So that a body which is changed on its way is refused, and a bucket with a default lock takes it.
#[test]
fn an_upload_to_s3_announces_the_sum_of_its_body() {
    let server = Scripted::new(|_| answer("200 OK", "", ""));
    let sent = pack(1);
    server.s3().put(&name("a"), &sent).expect("stored");
    let script =
        "import base64, hashlib, sys; print(base64.b64encode(hashlib.md5(sys.stdin.buffer.read()).digest()).decode())";
    let Some(python) = program("python") else { return };
    let mut child = Command::new(python)
        .args(["-c", script])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("it runs");
    child.stdin.take().expect("piped").write_all(&sent.read().expect("at hand")).expect("taken");
    let expected = String::from_utf8(child.wait_with_output().expect("it ends").stdout).expect("UTF-8");
    let seen = server.seen.lock().expect("sound");
    assert_eq!(seen[0].md5.as_deref(), Some(expected.trim()));
}

#[test]
fn a_server_that_refuses_conditions_is_asked_before() {
    let server = Scripted::new(|line| match line.split(' ').next() {
        Some("HEAD") => "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4096\r\n\r\n".into(),
        _ => answer("501 Not Implemented", "", "<Error><Code>NotImplemented</Code></Error>"),
    });
    assert!(!server.s3().put_new(&name("a"), &object(1, 1)).expect("it has one"));
}

#[test]
fn what_a_hostile_server_says_is_cleaned() {
    let server = Scripted::new(|_| {
        let body = format!("<Error><Code>\u{1b}[31mE</Code><Message>{}</Message></Error>", "\u{7}x".repeat(5000));
        answer("400 Bad Request", "", &body)
    });
    let error = server.s3().get(&name("a"), None).unwrap_err().to_string();
    assert!(error.len() < 1000 && !error.chars().any(char::is_control), "{error:?}");
}

#[test]
fn listings_that_never_end_or_are_no_listings_do_no_harm() {
    let junk = "<Contents><Key>a</Key><Size>1</Size></Contents>".repeat(3);
    let server = Scripted::new(move |line| {
        let page = line.matches('x').count();
        let body = format!(
            "<ListBucketResult>{junk}<IsTruncated>true</IsTruncated><NextContinuationToken>{}</NextContinuationToken></ListBucketResult>",
            "x".repeat(page % 50 + 1)
        );
        answer("200 OK", "", &body)
    });
    let mut told = 0;
    server
        .s3()
        .list(None, &mut |_| {
            told += 1;
            if told < 1000 { std::ops::ControlFlow::Continue(()) } else { std::ops::ControlFlow::Break(()) }
        })
        .expect("until it was told to stop");
    assert_eq!(told, 1000);

    for body in ["", "<html>", "<ListBucketResult><Contents><Key>a</Key>", "{}", "<a>&nonsense;</a></b>"] {
        let server = Scripted::new(move |line| {
            answer(if line.starts_with("PROPFIND") { "207 Multi-Status" } else { "200 OK" }, "", body)
        });
        for remote in [server.s3(), server.webdav()] {
            let listed = remote.list(None, &mut |entry| panic!("{entry:?}"));
            assert!(
                listed.map_err(|error| error.kind()).is_err_and(|kind| kind == ErrorKind::Damaged) || body.len() < 3,
                "{body}"
            );
        }
    }
}

#[test]
fn a_folder_of_very_many_files_is_listed_as_it_comes() {
    let server = Scripted::new(|_| {
        let file = |n: usize| {
            format!(
                "<response><href>/dav/junk-{n}</href><propstat><prop><getcontentlength>1</getcontentlength></prop></propstat></response>"
            )
        };
        let files: String = (0..50_000).map(file).collect();
        answer("207 Multi-Status", "", &format!("<multistatus>{files}</multistatus>"))
    });
    let mut told = 0;
    let mut each = |_| {
        told += 1;
        std::ops::ControlFlow::Continue(())
    };
    server.webdav().list(None, &mut each).expect("listed");
    assert_eq!(told, 50_000);
}

#[test]
fn a_listing_of_webdav_that_tells_of_other_places_is_not_believed() {
    let server = Scripted::new(|_| {
        let response = |href: &str, property: &str| {
            format!(
                "<D:response><D:href>{href}</D:href><D:propstat><D:prop>{property}</D:prop></D:propstat></D:response>"
            )
        };
        let (file, folder) =
            ("<D:getcontentlength>5</D:getcontentlength>", "<D:resourcetype><D:collection/></D:resourcetype>");
        let body = [
            response("/dav/", folder),
            response("/dav/a", file),
            response("http://elsewhere/dav/b", file),
            response("/other/c", file),
            response("/dav/deep/down/d", file),
            response("/dav/../e", file),
            response("/dav/%2e%2e/f", file),
            response("/dav/A", file),
            response("/davg", file),
            response("g", file),
        ];
        answer("207 Multi-Status", "", &format!("<D:multistatus xmlns:D=\"DAV:\">{}</D:multistatus>", body.concat()))
    });
    let mut names = Vec::new();
    let mut each = |entry: runcellar_sync::remote::Entry| {
        names.push(entry.name.to_string());
        std::ops::ControlFlow::Continue(())
    };
    server.webdav().list(None, &mut each).expect("listed");
    assert_eq!(names, ["a", "b"], "by path alone, and what is asked for alone");
}

#[test]
fn a_host_that_is_not_there_is_unreachable_and_tried_again() {
    let address = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let clock = Arc::new(TestClock::default());
    let options = Options { retries: Retries::default(), clock: clock.clone(), ..options(&KEYS) };
    let location: Location = format!("s3://bucket?endpoint=http://{address}").parse().expect("a URL");
    let remote = open(&location, &options).expect("opened");
    let error = remote.put(&name("a"), &object(1, 1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert_eq!(clock.waits.lock().expect("sound").len(), 4);
}

/// One that takes the connection and says nothing, and one that stops in the middle.
#[test]
fn a_server_that_stands_still_is_given_up() {
    for said in ["", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nso far"] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            stream.write_all(said.as_bytes()).expect("taken");
            // The other end is dropped when the test has seen what it waits for.
            let _ = ended.recv();
        });
        let options = Options { timeout: Duration::from_millis(100), ..options(&KEYS) };
        let location: Location = format!("s3://bucket?endpoint=http://{address}").parse().expect("a URL");
        let error = open(&location, &options).expect("opened").get(&name("a"), None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{said}: {error}");
        drop(end);
        server.join().expect("it ends");
    }
}

#[test]
fn a_limit_of_bandwidth_holds_for_servers() {
    let body = "x".repeat(1 << 20);
    let server = Scripted::new(move |_| answer("200 OK", "", &body));
    let clock = Arc::new(TestClock::default());
    let options = Options { bytes_per_second: Some(1 << 20), clock: clock.clone(), ..options(&KEYS) };
    let location: Location = format!("s3://bucket?endpoint=http://{}", server.address).parse().expect("a URL");
    let remote = open(&location, &options).expect("opened");
    remote.put(&name("a"), &pack(12)).expect("stored");
    remote.get(&name("a"), None).expect("read");
    let took = clock.now.lock().expect("sound").as_secs_f64();
    assert!((3.0..5.0).contains(&took), "4 MiB at 1 MiB/s took {took} s");
}

#[test]
fn a_proxy_is_asked_for_what_is_not_here() {
    let proxy = Scripted::new(|_| answer("407 Proxy Authentication Required", "", ""));
    let url = format!("http://{}", proxy.address);
    let variables = [&KEYS[..], &[("HTTP_PROXY", url.as_str()), ("HTTPS_PROXY", url.as_str())]].concat();
    for (scheme, port, more) in [("http", "9000", ""), ("https", "443", "&path_style=false")] {
        let remote = remote_with(&format!("s3://bucket?endpoint={scheme}://far.invalid:{port}{more}"), &variables);
        let error = remote.get(&name("a"), None).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Refused | ErrorKind::Unreachable), "{error}");
    }
    let seen = proxy.seen();
    assert_eq!(seen, ["CONNECT far.invalid:9000 HTTP/1.1", "CONNECT bucket.far.invalid:443 HTTP/1.1"]);
}

/// Makes an authority and a certificate for a name, as PEM files.
fn certificate(folder: &std::path::Path, host: &str) -> Option<()> {
    let script = r#"
import datetime, ipaddress, sys
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization as s
from cryptography.hazmat.primitives.asymmetric import ec
folder, host = sys.argv[1:]
def name(text): return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])
def make(subject, key, issuer, by, *extensions):
    begin = datetime.datetime(2020, 1, 1)
    b = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer)).public_key(key.public_key())
    b = b.serial_number(x509.random_serial_number()).not_valid_before(begin).not_valid_after(begin.replace(year=2090))
    for extension in extensions: b = b.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
    return b.sign(by, hashes.SHA256()).public_bytes(s.Encoding.PEM)
def key(): return ec.generate_private_key(ec.SECP256R1())
try: general = x509.IPAddress(ipaddress.ip_address(host))
except ValueError: general = x509.DNSName(host)
root, leaf = key(), key()
ca = make("test authority", root, "test authority", root, x509.BasicConstraints(True, None))
cert = make("server", leaf, "test authority", root, x509.SubjectAlternativeName([general]))
pem = leaf.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
for file, text in (("ca.pem", ca), ("cert.pem", cert), ("key.pem", pem)): open(f"{folder}/{file}", "wb").write(text)
"#;
    let status = Command::new(program("python")?).args(["-c", script]).arg(folder).arg(host).status().expect("it runs");
    assert!(status.success());
    Some(())
}

#[test]
fn a_certificate_must_be_of_the_host_and_of_an_authority_that_is_believed() {
    for (host, fits) in [("127.0.0.1", true), ("other.example", false)] {
        let folder = tempfile::tempdir().expect("a folder");
        if certificate(folder.path(), host).is_none() {
            return;
        }
        let path = |file: &str| folder.path().join(file).to_str().expect("UTF-8").to_owned();
        let (cert, key, ca) = (path("cert.pem"), path("key.pem"), path("ca.pem"));
        let Some(server) = rclone_webdav(&["--cert", &cert, "--key", &key]) else { return };
        let url = format!("webdavs://{USER}@{}/cellar", server.address);
        let password = ("RUNCELLAR_WEBDAV_PASSWORD", PASSWORD);
        let put = |variables: &[(&str, &str)]| remote_with(&url, variables).put(&name("a"), &object(1, 1));
        let believed = put(&[password, ("SSL_CERT_FILE", &ca)]);
        if fits {
            believed.expect("stored");
            assert_eq!(put(&[password]).unwrap_err().kind(), ErrorKind::Refused, "nobody knows the authority");
        } else {
            let error = believed.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
            assert!(!error.is_retryable());
        }
        assert_eq!(server.folder.path().join("cellar/a").exists(), fits);
    }
}
