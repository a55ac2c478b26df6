//! Where credentials come from: the places that other programs use. None is kept longer than a handle, and none is told.
//!
//! S3: `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, profiles, SSO, web identity, `credential_process`, containers; the
//! metadata service of EC2 only if `AWS_EC2_METADATA_DISABLED=false` asks for it, as elsewhere that address is anybody's.
//! WebDAV: `RUNCELLAR_WEBDAV_PASSWORD`, else a netrc file.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread::{self, Thread};

use reqsign_aws_v4::DefaultCredentialProvider;
use reqsign_core::{CommandExecute, CommandOutput, Context, Env, FileRead, HttpSend};
use ureq::Agent;
use zeroize::Zeroizing;

use super::Options;
use crate::{Error, ErrorKind, Result};

/// What providers of credentials read by asking for all variables.
const VARIABLES: [&str; 10] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_STS_REGIONAL_ENDPOINTS",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_EC2_METADATA_DISABLED",
];
/// The most bytes of an answer with credentials.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// The most bytes of a netrc file.
const NETRC_BYTES_MAX: u64 = 1 << 20;

/// Returns what `reqsign` may use of the world.
pub(super) fn context(options: &Options) -> Result<Context> {
    let context =
        Context::new().with_env(Variables(options.clone())).with_file_read(Files).with_command_execute(Commands);
    Ok(context.with_http_send(Requests(super::http::agent_for_credentials(options)?)))
}

/// Returns the places where credentials of AWS are looked for, in order.
pub(super) fn providers(options: &Options) -> DefaultCredentialProvider {
    let builder = DefaultCredentialProvider::builder();
    match options.variable("AWS_EC2_METADATA_DISABLED").as_deref() {
        Some("false") => builder.build(),
        _ => builder.no_imds().build(),
    }
}

/// Makes an error of what went wrong with credentials, without what they are.
pub(super) fn failure(error: reqsign_core::Error) -> Error {
    use reqsign_core::ErrorKind as K;
    let kind = match error.kind() {
        _ if error.is_retryable() => ErrorKind::Unreachable,
        K::CredentialInvalid | K::PermissionDenied | K::ConfigInvalid | K::Unexpected => ErrorKind::Refused,
        _ => ErrorKind::Other,
    };
    Error::new(kind, format!("no credentials of S3 were found that can be used: {error}"))
}

/// Waits for a future on this thread. Ours do their work when they are asked; they are pending only while another thread finds
/// the same credentials.
pub(super) fn wait_for<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut TaskContext::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

struct Variables(Options);

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Variables")
    }
}

impl Env for Variables {
    fn var(&self, key: &str) -> Option<String> {
        self.0.variable(key)
    }

    fn vars(&self) -> HashMap<String, String> {
        VARIABLES.iter().filter_map(|name| Some(((*name).to_owned(), self.0.variable(name)?))).collect()
    }

    fn home_dir(&self) -> Option<PathBuf> {
        home(&self.0)
    }
}

fn home(options: &Options) -> Option<PathBuf> {
    let name = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
    options.variable(name).filter(|home| !home.is_empty()).map(PathBuf::from)
}

#[derive(Debug)]
struct Files;

impl FileRead for Files {
    async fn file_read(&self, path: &str) -> reqsign_core::Result<Vec<u8>> {
        std::fs::read(path).map_err(|error| reqsign_core::Error::config_invalid(format!("{path}: {error}")))
    }
}

#[derive(Debug)]
struct Commands;

impl CommandExecute for Commands {
    async fn command_execute<'a>(
        &'a self,
        program: &'a str,
        args: &'a [&'a str],
    ) -> reqsign_core::Result<CommandOutput> {
        let output = std::process::Command::new(program).args(args).stdin(std::process::Stdio::null()).output();
        let output = output.map_err(|error| reqsign_core::Error::config_invalid(format!("{program}: {error}")))?;
        let status = output.status.code().unwrap_or(-1);
        Ok(CommandOutput { status, stdout: output.stdout, stderr: output.stderr })
    }
}

struct Requests(Agent);

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Requests")
    }
}

impl HttpSend for Requests {
    async fn http_send(
        &self,
        request: http::Request<bytes::Bytes>,
    ) -> reqsign_core::Result<http::Response<bytes::Bytes>> {
        let failed = |error: String| reqsign_core::Error::unexpected(error).set_retryable(true);
        let (parts, body) = request.into_parts();
        let answer = self.0.run(http::Request::from_parts(parts, body.as_ref()));
        let (parts, mut body) = answer.map_err(|error| failed(error.to_string()))?.into_parts();
        let body =
            body.with_config().limit(ANSWER_BYTES_MAX).read_to_vec().map_err(|error| failed(error.to_string()))?;
        Ok(http::Response::from_parts(parts, body.into()))
    }
}

/// Returns user and password for a WebDAV server; none if neither the URL nor a netrc file names a user.
///
/// # Errors
/// [`ErrorKind::Refused`] if the user's password is nowhere.
pub(super) fn webdav(host: &str, user: Option<&str>, options: &Options) -> Result<Option<(String, Zeroizing<String>)>> {
    let typed = options.variable("RUNCELLAR_WEBDAV_PASSWORD").map(Zeroizing::new);
    if let (Some(user), Some(password)) = (user, typed) {
        return Ok(Some((user.to_owned(), password)));
    }
    let path = options.variable("NETRC").map(PathBuf::from).or_else(|| home(options).map(|home| home.join(".netrc")));
    let text = path.as_deref().map(read_bounded).transpose()?.flatten();
    let found = text.as_ref().and_then(|text| login(text, host, user));
    match (found, user) {
        (None, Some(user)) => {
            let message = format!("no password for {user} at {host}: RUNCELLAR_WEBDAV_PASSWORD or a netrc file has it");
            Err(Error::new(ErrorKind::Refused, message))
        }
        (found, _) => Ok(found),
    }
}

fn read_bounded(path: &std::path::Path) -> Result<Option<Zeroizing<String>>> {
    use std::io::Read as _;
    let failed = |error: std::io::Error| Error::new(ErrorKind::Local, format!("{}: {error}", path.display()));
    match std::fs::File::open(path) {
        Ok(file) => {
            let mut text = Zeroizing::new(String::new());
            file.take(NETRC_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
            Ok(Some(text))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// Finds a login in a netrc file: of the machine, else the default one; of the user, if one is named.
///
/// Source: the manual pages of ftp(1) and curl; macros are passed over.
fn login(text: &str, host: &str, user: Option<&str>) -> Option<(String, Zeroizing<String>)> {
    let mut fits = false;
    let (mut name, mut password) = (None, None);
    let done = |fits: bool, name: Option<&str>, password: Option<&str>| match (fits, name.or(user), password) {
        (true, Some(name), Some(password)) if user.is_none_or(|user| user == name) => {
            Some((name.to_owned(), Zeroizing::new(password.to_owned())))
        }
        _ => None,
    };
    let mut tokens = text.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(str::split_whitespace);
    while let Some(token) = tokens.next() {
        match token {
            "machine" | "default" => {
                if let Some(found) = done(fits, name, password) {
                    return Some(found);
                }
                (name, password) = (None, None);
                fits = token == "default" || tokens.next().is_some_and(|of| of.eq_ignore_ascii_case(host));
            }
            "login" => name = tokens.next(),
            "password" => password = tokens.next(),
            "account" | "macdef" => drop(tokens.next()),
            _ => {}
        }
    }
    done(fits, name, password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_netrc_file_names_who_may_log_in_where() {
        let text = "# comment machine cloud login x password y\nmachine other login me password no\n\
                    machine cloud\n  login me\n  password p1\nmachine cloud login you password p2\ndefault login any password p3\n";
        let of = |host, user| login(text, host, user).map(|(name, password)| (name, password.to_string()));
        let pair = |name: &str, password: &str| Some((name.to_owned(), password.to_owned()));
        assert_eq!(of("cloud", None), pair("me", "p1"));
        assert_eq!(of("CLOUD", Some("you")), pair("you", "p2"));
        assert_eq!(of("elsewhere", None), pair("any", "p3"));
        assert_eq!(of("cloud", Some("nobody")), None);
        assert_eq!(login("machine cloud password p", "cloud", Some("me")).map(|(name, _)| name), Some("me".into()));
        for odd in ["", "machine", "machine cloud login", "login me password p", "default"] {
            assert!(login(odd, "cloud", None).is_none(), "{odd}");
        }
    }

    #[test]
    fn a_future_that_another_thread_completes_is_waited_for() {
        let (sender, receiver) = std::sync::mpsc::channel::<Waker>();
        let ready = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let other = thread::spawn({
            let ready = ready.clone();
            move || {
                let waker = receiver.recv().expect("it was polled");
                ready.store(true, std::sync::atomic::Ordering::SeqCst);
                waker.wake();
            }
        });
        let answer = wait_for(std::future::poll_fn(|context| {
            if ready.load(std::sync::atomic::Ordering::SeqCst) {
                return Poll::Ready(7);
            }
            // The other thread may have ended: then it is ready the next time.
            let _ = sender.send(context.waker().clone());
            Poll::Pending
        }));
        assert_eq!(answer, 7);
        other.join().expect("it ends");
    }
}
