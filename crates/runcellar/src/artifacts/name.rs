//! Names of artifacts, versions and aliases.

use crate::run::checked_name;
use crate::{Error, Result};

/// The alias that always names the newest version.
pub(super) const LATEST: &str = "latest";
/// What no name of a project, artifact or alias holds.
const FORBIDDEN: [char; 5] = ['/', '\\', ':', '#', '?'];

/// Which version of an artifact: `[project/]name[:vN|:alias]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactName {
    /// The project; without it the name must be of one project only.
    pub project: Option<String>,
    /// The artifact.
    pub name: String,
    /// Which version.
    pub version: VersionName,
}

/// Which version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionName {
    /// The one of this number.
    Number(u32),
    /// The one that an alias names; `latest` if nothing was said.
    Alias(String),
}

impl ArtifactName {
    /// Reads `[project/]name[:vN|:alias]`; without version or alias it is `latest`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] if it is no such name.
    pub fn parse(text: &str) -> Result<ArtifactName> {
        let (path, version) = match text.rsplit_once(':') {
            Some((path, version)) => (path, Some(version)),
            None => (text, None),
        };
        let (project, name) = match path.split_once('/') {
            Some((project, name)) => (Some(checked_name("project", project.to_owned(), &FORBIDDEN)?), name),
            None => (None, path),
        };
        let version = match version {
            None => VersionName::Alias(LATEST.to_owned()),
            Some(version) => match version_number(version) {
                Some(number) => VersionName::Number(number?),
                None => VersionName::Alias(checked_name("alias", version.to_owned(), &FORBIDDEN)?),
            },
        };
        Ok(ArtifactName { project, name: checked_artifact(name)?, version })
    }

    /// Reads `[project/]name`.
    pub(super) fn without_version(text: &str) -> Result<ArtifactName> {
        if text.contains(':') {
            return Err(Error::invalid(format!("artifact {text}: a name without a version is expected")));
        }
        ArtifactName::parse(text)
    }
}

/// Refuses what is no name of an artifact.
pub(crate) fn checked_artifact(name: &str) -> Result<String> {
    if name == "." || name == ".." {
        return Err(Error::invalid(format!("artifact {name:?}: not a name")));
    }
    checked_name("artifact", name.to_owned(), &FORBIDDEN)
}

/// Refuses what is no alias, among it what looks like a version.
pub(super) fn checked_alias(alias: &str) -> Result<String> {
    if version_number(alias).is_some() {
        return Err(Error::invalid(format!("alias {alias:?}: looks like a version")));
    }
    if alias == LATEST {
        return Err(Error::invalid("alias \"latest\": always names the newest version, and is not set by hand"));
    }
    checked_name("alias", alias.to_owned(), &FORBIDDEN)
}

/// Returns the number of `v3`; none if it does not look like a version.
fn version_number(text: &str) -> Option<Result<u32>> {
    let digits = text.strip_prefix('v').filter(|digits| !digits.is_empty())?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().map_err(|_| Error::invalid(format!("version {text:?}: too high"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let parse = |text: &str| ArtifactName::parse(text).expect("a name");
        let alias = |alias: &str| VersionName::Alias(alias.into());
        assert_eq!(parse("m"), ArtifactName { project: None, name: "m".into(), version: alias("latest") });
        assert_eq!(parse("p/m:v3").version, VersionName::Number(3));
        assert_eq!(parse("p/m:best").version, alias("best"));
        assert_eq!(parse("p/m:vbest").project.as_deref(), Some("p"));
        for wrong in ["", "/m", "p/", "p/q/m", "m:", "..", "a\0b", "m:v99999999999", "p/..", &"x".repeat(300)] {
            assert!(ArtifactName::parse(wrong).is_err(), "{wrong:?}");
        }
        for wrong in ["v0", "v12", "latest", "a/b", ""] {
            assert!(checked_alias(wrong).is_err(), "{wrong:?}");
        }
        assert!(checked_alias("v1a").is_ok());
    }
}
