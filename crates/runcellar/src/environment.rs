//! Where the workspace and its key are, as the caller's surroundings say.
//!
//! The store reads no environment variable and knows no home directory; front ends fill [`Environment`] (mostly by
//! [`Environment::from_vars`]) and tests fill it by hand.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::keys::Keys;
use crate::{Error, ErrorKind, FileSystemMode, OpenOptions, Result};

/// Name of the directory that is searched for from the current directory upwards.
pub const DIRECTORY_NAME: &str = ".runcellar";

/// The surroundings in which a workspace is looked for.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// The workspace that a variable names.
    pub dir: Option<PathBuf>,
    /// The current directory, from which `.runcellar/` is searched upwards.
    pub current: PathBuf,
    /// The workspace of last resort, in the user's data directory; none without a home.
    pub fallback: Option<PathBuf>,
    /// Keys and where they are kept.
    pub keys: Keys,
    /// What the workspace's file system is taken for.
    pub file_system: FileSystemMode,
    /// True if the environment names no home directory and the user database had to be asked.
    pub homeless: bool,
}

impl Environment {
    /// Reads `RUNCELLAR_DIR`, `RUNCELLAR_KEY_FILE`, `RUNCELLAR_KEY_FD`, `RUNCELLAR_PASSPHRASE`,
    /// `RUNCELLAR_CONFIG_DIR`, `RUNCELLAR_FILE_SYSTEM`, `XDG_CONFIG_HOME`, `XDG_DATA_HOME` and `HOME` through `var`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if `RUNCELLAR_KEY_FD` is no number, the passphrase is not UTF-8, or
    /// `RUNCELLAR_FILE_SYSTEM` is neither `auto`, `local` nor `network`.
    pub fn from_vars(var: impl Fn(&str) -> Option<OsString>, current: PathBuf) -> Result<Self> {
        let path = |name: &str| var(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let absolute = |name: &str| path(name).filter(|path| path.is_absolute());
        let named_home = path("HOME");
        let homeless = named_home.is_none();
        let home = named_home.or_else(crate::os::home_of_user);
        let below_home = |rest: &str| home.as_ref().map(|home| home.join(rest));
        let config =
            path("RUNCELLAR_CONFIG_DIR").or_else(|| absolute("XDG_CONFIG_HOME")).or_else(|| below_home(".config"));
        let data = absolute("XDG_DATA_HOME").or_else(|| below_home(".local/share"));
        let key_fd = match var("RUNCELLAR_KEY_FD").filter(|value| !value.is_empty()) {
            None => None,
            Some(text) => Some(text.to_str().and_then(|text| text.parse().ok()).ok_or_else(|| {
                Error::invalid(format!("RUNCELLAR_KEY_FD: {} is not a file descriptor", text.to_string_lossy()))
            })?),
        };
        let passphrase = match var("RUNCELLAR_PASSPHRASE") {
            None => None,
            Some(text) => Some(
                text.into_string().map_err(|_| Error::invalid("RUNCELLAR_PASSPHRASE: not UTF-8".to_owned()))?.into(),
            ),
        };
        let keys = Keys {
            file: path("RUNCELLAR_KEY_FILE"),
            descriptor: key_fd,
            directory: config.map(|config| config.join("runcellar").join("keys")),
            passphrase,
            ..Keys::default()
        };
        let file_system = match var("RUNCELLAR_FILE_SYSTEM").filter(|value| !value.is_empty()) {
            None => FileSystemMode::Auto,
            Some(text) => match text.to_str() {
                Some("auto") => FileSystemMode::Auto,
                Some("local") => FileSystemMode::Local,
                Some("network") => FileSystemMode::Network,
                _ => {
                    let text = text.to_string_lossy();
                    let message = format!("RUNCELLAR_FILE_SYSTEM: expected auto, local or network, found {text:?}");
                    return Err(Error::invalid(message));
                }
            },
        };
        let fallback = data.map(|data| data.join("runcellar"));
        Ok(Environment { dir: path("RUNCELLAR_DIR"), current, fallback, keys, file_system, homeless })
    }

    /// Finds the directory of the workspace to open or, on first use, to create: `explicit`; else the one that
    /// `RUNCELLAR_DIR` names; else the nearest `.runcellar/` at or above the current directory; else the one in the
    /// user's data directory.
    ///
    /// # Errors
    /// [`ErrorKind::Locked`] if the nearest `.runcellar/` belongs to another user, [`ErrorKind::NotFound`] if there
    /// is no home to fall back on.
    pub fn find(&self, explicit: Option<&Path>) -> Result<PathBuf> {
        if let Some(named) = explicit.or(self.dir.as_deref()) {
            return Ok(self.current.join(named));
        }
        for above in self.current.ancestors() {
            let candidate = above.join(DIRECTORY_NAME);
            if candidate.is_dir() {
                return owned_by_this_user(&candidate).map(|()| candidate);
            }
        }
        self.fallback.clone().ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "no workspace: no home directory; name one by --workspace or RUNCELLAR_DIR")
        })
    }

    /// Returns options to open a workspace with the keys of this environment.
    #[must_use]
    pub fn options(&self) -> OpenOptions {
        let (keys, file_system) = (self.keys.clone(), self.file_system);
        OpenOptions { keys, homeless: self.homeless, file_system, ..OpenOptions::default() }
    }

    /// Returns the directory that `init` makes a workspace: `explicit`, else the one that `RUNCELLAR_DIR` names, else
    /// `./.runcellar`.
    #[must_use]
    pub fn place_for_init(&self, explicit: Option<&Path>) -> PathBuf {
        self.current.join(explicit.or(self.dir.as_deref()).unwrap_or(Path::new(DIRECTORY_NAME)))
    }
}

/// What started this process as one of several, or starts it again and again: torchrun, or SLURM.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Launch {
    /// What all processes of the job have in common.
    pub job: String,
    /// True if its processes join one run; else the job only tells one that was started again.
    pub joins: bool,
    /// The rank of this process.
    pub rank: u32,
    /// How often the job was started again before.
    pub restart: u32,
    /// How many runs this process started before: the n-th run of each rank is one run.
    pub ordinal: u32,
}

/// The id that torchrun gives jobs that were given none.
const NO_TORCHELASTIC_ID: &str = "none";

impl Launch {
    /// Reads `TORCHELASTIC_RUN_ID`, `RANK` and `TORCHELASTIC_RESTART_COUNT`, and `SLURM_JOB_ID`, `SLURM_STEP_ID`,
    /// `SLURM_PROCID` and `SLURM_RESTART_COUNT` through `var`; `None` if none of these names a job.
    ///
    /// Processes of a step join one run, those of an interactive one (`srun --pty`) do not. For torchrun without
    /// `--rdzv-id` the SLURM step stands, or else the process that started this one.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a rank or count that is no number.
    pub fn from_vars(var: impl Fn(&str) -> Option<OsString>) -> Result<Option<Launch>> {
        let text =
            |name: &str| var(name).filter(|value| !value.is_empty()).map(|value| value.to_string_lossy().into_owned());
        let number = |name: &str| match text(name) {
            None => Ok(0),
            Some(value) => value.parse().map_err(|_| Error::invalid(format!("{name}: {value:?} is not a number"))),
        };
        let slurm_job = text("SLURM_JOB_ID");
        let slurm_step = text("SLURM_STEP_ID").filter(|_| text("SLURM_PTY_PORT").is_none());
        let slurm_restart: u32 = if slurm_job.is_some() { number("SLURM_RESTART_COUNT")? } else { 0 };
        let slurm = slurm_job.map(|job| match slurm_step {
            Some(step) => (format!("slurm {job}.{step}"), true),
            None => (format!("slurm {job}"), false),
        });
        if let Some(id) = text("TORCHELASTIC_RUN_ID") {
            let job = match slurm {
                _ if id != NO_TORCHELASTIC_ID => format!("torchelastic {id}"),
                Some((job, true)) => job,
                _ => format!("torchelastic of {}", crate::os::parent_process()),
            };
            // A count of each kind: a job that SLURM starts again begins its own count anew.
            let restart = number("TORCHELASTIC_RESTART_COUNT")?.min(0xffff) | slurm_restart.min(0xffff) << 16;
            return Ok(Some(Launch { job, joins: true, rank: number("RANK")?, restart, ordinal: 0 }));
        }
        let Some((job, joins)) = slurm else { return Ok(None) };
        let rank = if joins { number("SLURM_PROCID")? } else { 0 };
        Ok(Some(Launch { job, joins, rank, restart: slurm_restart << 16, ordinal: 0 }))
    }
}

/// Refuses a workspace that another user made: in a shared directory somebody else's `.runcellar/` could collect
/// one's runs under a key that they hold.
pub(crate) fn owned_by_this_user(path: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let owner = std::fs::metadata(path).map_err(|cause| Error::io("open workspace", path, cause))?.uid();
    if owner == crate::os::current_uid() {
        return Ok(());
    }
    let message = format!(
        "workspace {} belongs to another user (uid {owner}); name your own by --workspace or RUNCELLAR_DIR",
        path.display()
    );
    Err(Error::new(ErrorKind::Locked, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(vars: &[(&str, &str)]) -> Environment {
        let var = |name: &str| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value));
        Environment::from_vars(var, "/nowhere/at/all".into()).expect("good variables")
    }

    #[test]
    fn argument_beats_variable_beats_home() {
        let all = environment(&[("RUNCELLAR_DIR", "/var/w"), ("HOME", "/home/u"), ("XDG_DATA_HOME", "/data")]);
        assert_eq!(all.find(Some(Path::new("/arg"))).expect("named"), Path::new("/arg"));
        assert_eq!(all.find(None).expect("named"), Path::new("/var/w"));
        assert_eq!(all.place_for_init(None), Path::new("/var/w"));
        let home = environment(&[("HOME", "/home/u")]);
        assert_eq!(home.find(None).expect("home"), Path::new("/home/u/.local/share/runcellar"));
        assert_eq!(home.place_for_init(None), Path::new("/nowhere/at/all/.runcellar"));
        assert_eq!(home.keys.directory.as_deref(), Some(Path::new("/home/u/.config/runcellar/keys")));
        let xdg = environment(&[("HOME", "/home/u"), ("XDG_DATA_HOME", "/data"), ("XDG_CONFIG_HOME", "/conf")]);
        assert_eq!(xdg.find(None).expect("data"), Path::new("/data/runcellar"));
        assert_eq!(xdg.keys.directory.as_deref(), Some(Path::new("/conf/runcellar/keys")));
        let config = environment(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/conf"), ("RUNCELLAR_CONFIG_DIR", "/mine")]);
        assert_eq!(config.keys.directory.as_deref(), Some(Path::new("/mine/runcellar/keys")));
    }

    #[test]
    fn the_nearest_directory_above_is_found() {
        let top = tempfile::tempdir().expect("temporary directory");
        let deep = top.path().join("a/b");
        std::fs::create_dir_all(&deep).expect("creates");
        std::fs::create_dir(top.path().join(DIRECTORY_NAME)).expect("creates");
        let environment = Environment { current: deep, ..environment(&[("HOME", "/home/u")]) };
        assert_eq!(environment.find(None).expect("found"), top.path().join(DIRECTORY_NAME));
    }

    #[test]
    fn launchers_tell_job_rank_and_restart() {
        let launch = |vars: &[(&str, &str)]| {
            Launch::from_vars(|name| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value)))
        };
        let expected = |job: &str, joins, rank, restart| Launch { job: job.into(), joins, rank, restart, ordinal: 0 };
        assert_eq!(launch(&[("RANK", "3"), ("LOCAL_RANK", "1")]).expect("good"), None);
        let torch = launch(&[("TORCHELASTIC_RUN_ID", "j"), ("RANK", "3"), ("LOCAL_RANK", "1"), ("SLURM_JOB_ID", "9")]);
        assert_eq!(torch.expect("good"), Some(expected("torchelastic j", true, 3, 0)));
        let step = [("SLURM_JOB_ID", "9"), ("SLURM_STEP_ID", "0"), ("SLURM_PROCID", "2"), ("RANK", "7")];
        assert_eq!(launch(&step).expect("good"), Some(expected("slurm 9.0", true, 2, 0)));
        let nameless = [&step[..], &[("TORCHELASTIC_RUN_ID", "none"), ("TORCHELASTIC_RESTART_COUNT", "2")]].concat();
        assert_eq!(launch(&nameless).expect("good"), Some(expected("slurm 9.0", true, 7, 2)));
        let interactive = [&step[..], &[("SLURM_PTY_PORT", "4000")]].concat();
        assert_eq!(launch(&interactive).expect("good"), Some(expected("slurm 9", false, 0, 0)));
        let batch = [("SLURM_JOB_ID", "9"), ("SLURM_RESTART_COUNT", "1")];
        assert_eq!(launch(&batch).expect("good"), Some(expected("slurm 9", false, 0, 1 << 16)));
        let siblings = launch(&[("TORCHELASTIC_RUN_ID", "none")]).expect("good").expect("a launch");
        assert_eq!(Some(siblings.clone()), launch(&[("TORCHELASTIC_RUN_ID", "none")]).expect("good"));
        assert!(siblings.joins && siblings.job != "torchelastic none");
        let error = launch(&[("TORCHELASTIC_RUN_ID", "j"), ("RANK", "one")]).expect_err("not a number");
        assert_eq!(error.to_string(), "RANK: \"one\" is not a number");
    }

    #[test]
    fn a_file_system_can_be_said_and_nothing_else_there() {
        for (text, expected) in
            [("", FileSystemMode::Auto), ("local", FileSystemMode::Local), ("network", FileSystemMode::Network)]
        {
            let found = environment(&[("RUNCELLAR_FILE_SYSTEM", text)]);
            assert_eq!((found.file_system, found.options().file_system), (expected, expected));
        }
        let var = |name: &str| (name == "RUNCELLAR_FILE_SYSTEM").then(|| OsString::from("nfs"));
        let error = Environment::from_vars(var, "/".into()).expect_err("unknown");
        assert_eq!(error.to_string(), "RUNCELLAR_FILE_SYSTEM: expected auto, local or network, found \"nfs\"");
    }

    #[test]
    fn a_descriptor_that_is_no_number_is_named() {
        let var = |name: &str| (name == "RUNCELLAR_KEY_FD").then(|| OsString::from("three"));
        let error = Environment::from_vars(var, "/".into()).expect_err("not a number");
        assert_eq!(error.to_string(), "RUNCELLAR_KEY_FD: three is not a file descriptor");
    }
}
