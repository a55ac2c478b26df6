//! Servers that other people wrote, each started for a test on loopback: moto and rclone for S3, rclone for WebDAV.
//!
//! `RUNCELLAR_TEST_SERVERS` is the folder of their programs, `.venv/bin` of this repository by default; tests/run.sh puts them
//! there. A test whose server is missing says so on standard error and counts as failed where `CI=true`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use runcellar_sync::remote::{Location, Options, Remote, Retries, open};

use crate::support::{TestClock, not_tested};

/// Keys that look as those of AWS do, as rclone wants them.
pub(crate) const ACCESS_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
pub(crate) const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
pub(crate) const USER: &str = "me";
pub(crate) const PASSWORD: &str = "correct horse: battery";

/// A server that ends with the test.
pub(crate) struct Server {
    child: Child,
    /// `host:port`
    pub(crate) address: String,
    /// Where it keeps what it is given, if in files.
    pub(crate) folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.venv/bin");
    let folder = std::env::var_os("RUNCELLAR_TEST_SERVERS").map_or_else(|| PathBuf::from(default), PathBuf::from);
    let path = folder.join(name);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{} is missing", path.display());
    not_tested(&format!("{} is missing: sh tests/run.sh installs it", path.display()));
    None
}

/// Starts a program and waits for the line in which it tells its address.
fn start(mut command: Command, folder: tempfile::TempDir) -> Server {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(child.stderr.take().expect("piped"));
    let mut said = String::new();
    let address = loop {
        let before = said.len();
        let read = lines.read_line(&mut said).expect("UTF-8");
        assert_ne!(read, 0, "{command:?} ended: {said}");
        let line = &said[before..];
        let url = line.find("http://127.0.0.1:").map(|at| 7..at).and_then(|_| line.split("http://").nth(1));
        let url = url.or_else(|| line.find("https://127.0.0.1:").and_then(|_| line.split("https://").nth(1)));
        if let Some(url) = url {
            break url
                .split(|letter: char| !letter.is_ascii_digit() && letter != '.' && letter != ':')
                .next()
                .expect("one")
                .to_owned();
        }
    };
    // Somebody has to read what it says, or it stops when the pipe is full.
    std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
    Server { child, address, folder }
}

fn rclone(arguments: &[&str]) -> Option<Server> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(program("rclone")?);
    command.args(["serve"]).args(arguments).args(["--addr", "127.0.0.1:0", "--config", "/dev/null", "-v"]);
    command.arg(folder.path()).env_clear();
    Some(start(command, folder))
}

pub(crate) fn rclone_s3() -> Option<Server> {
    let server = rclone(&["s3", "--auth-key", &format!("{ACCESS_KEY},{SECRET_KEY}")])?;
    std::fs::create_dir(server.folder.path().join("bucket")).expect("made");
    Some(server)
}

pub(crate) fn rclone_webdav(arguments: &[&str]) -> Option<Server> {
    let all = [&["webdav", "--user", USER, "--pass", PASSWORD], arguments].concat();
    let server = rclone(&all)?;
    std::fs::create_dir(server.folder.path().join("cellar")).expect("made");
    Some(server)
}

/// A server that has the whole interface, versions and object lock with it.
pub(crate) fn moto() -> Option<Server> {
    moto_with_pages("1000")
}

/// The same, with so many objects on a page of a listing.
pub(crate) fn moto_with_pages(objects: &str) -> Option<Server> {
    let python = program("python")?;
    program("moto_server")?;
    let mut command = Command::new(python);
    command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]).env("MOTO_S3_DEFAULT_MAX_KEYS", objects);
    let server = start(command, tempfile::tempdir().expect("a folder"));
    assert_eq!(server.ask("PUT", "/bucket", "", ""), 200);
    Some(server)
}

impl Server {
    /// Sends a request that moto takes without looking at the signature, and returns the status.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> u16 {
        let answer = self.exchange(method, path, headers, body);
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no answer: {answer}"))
    }

    fn exchange(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        let signed = format!(
            "AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20261121/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
        );
        let (address, len) = (&self.address, body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: {signed}\r\n\
             {headers}Content-Length: {len}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    /// Returns what moto keeps of the bucket.
    pub(crate) fn versions(&self) -> String {
        self.versions_of("bucket")
    }

    pub(crate) fn versions_of(&self, bucket: &str) -> String {
        self.exchange("GET", &format!("/{bucket}?versions="), "", "")
    }

    pub(crate) fn s3(&self, rest: &str) -> String {
        format!("s3://bucket{rest}?endpoint=http://{}", self.address)
    }
}

/// Options that retry nothing, wait for nothing, and read these variables.
pub(crate) fn options(variables: &[(&str, &str)]) -> Options {
    let variables: Vec<(String, String)> =
        variables.iter().map(|(name, value)| (String::from(*name), String::from(*value))).collect();
    Options {
        retries: Retries { attempts: 1, ..Retries::default() },
        clock: Arc::new(TestClock::default()),
        variables: Arc::new(move |name| variables.iter().find(|(of, _)| of == name).map(|(_, value)| value.clone())),
        ..Options::default()
    }
}

pub(crate) const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY)];

/// Opens a remote with the right credentials.
pub(crate) fn remote(url: &str) -> Box<dyn Remote> {
    let all = [&KEYS[..], &[("RUNCELLAR_WEBDAV_PASSWORD", PASSWORD)]].concat();
    remote_with(url, &all)
}

pub(crate) fn remote_with(url: &str, variables: &[(&str, &str)]) -> Box<dyn Remote> {
    let location: Location = url.parse().expect("a URL");
    open(&location, &options(variables)).expect("opened")
}

/// Opens a remote that tries again and again: rclone breaks off reading what is replaced.
pub(crate) fn patient(url: &str) -> Box<dyn Remote> {
    let all = [&KEYS[..], &[("RUNCELLAR_WEBDAV_PASSWORD", PASSWORD)]].concat();
    let retries = Retries { attempts: 100, ..Retries::default() };
    let location: Location = url.parse().expect("a URL");
    open(&location, &Options { retries, ..options(&all) }).expect("opened")
}

/// Every file below a folder.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).expect("reads") {
        let path = entry.expect("reads").path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path.to_string_lossy().into_owned()) }
    }
    all
}
