//! What is said of a version after it was put: aliases, description, metadata.

use runcellar_format::ObjectId;
use runcellar_format::record::Tokens;

use super::find::Look;
use super::name::{ArtifactName, checked_alias};
use super::{ArtifactVersion, records};
use crate::{Error, ErrorKind, Json, Result, Workspace};

/// An alias was given to a version, or taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AliasChange {
    /// The alias.
    pub alias: String,
    /// When, microseconds UTC since 1970.
    pub time: i64,
    /// The number of the version that it names from then on; none if it was taken away, or the version is gone.
    pub number: Option<u32>,
}

/// What is said of a version; what is none stays as it is.
#[derive(Debug, Clone, Default)]
pub struct VersionText {
    /// Description.
    pub description: Option<String>,
    /// Metadata: a map.
    pub metadata: Option<Json>,
}

impl Workspace {
    /// Lets aliases name a version, and takes others away from it. An alias that named another version moves.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if one is no alias; [`ErrorKind::NotFound`] if one that is to be taken away does not
    /// name this version, or the version is gone. Nothing is changed then.
    pub fn tag_version(&self, version: &ArtifactVersion, add: &[String], remove: &[String]) -> Result<ArtifactVersion> {
        let add = add.iter().map(|alias| checked_alias(alias)).collect::<Result<Vec<_>>>()?;
        self.inner.write(None, |tx| {
            let mut artifact = records::artifact_at(tx, tx.keyring, version.artifact)?;
            let listed = artifact.record.versions.iter().find(|listed| listed.version == version.object.0);
            let listed = *listed.ok_or_else(|| version.is_gone())?;
            let before = artifact.record.aliases.len();
            for alias in remove {
                if alias == super::name::LATEST
                    || records::alias_target(&artifact.record, alias) != Some(version.object)
                {
                    let message = format!("artifact {}: no alias {alias} to take away", version.full_name());
                    return Err(Error::new(ErrorKind::NotFound, message));
                }
                records::take_alias(tx, &mut artifact.record, alias);
            }
            for alias in &add {
                records::set_alias(tx, &mut artifact.record, alias, version.object);
            }
            if artifact.record.aliases.len() > before {
                records::store_artifact(tx, &artifact)?;
            }
            Look::new(&self.inner, tx, tx.keyring)?.version(&artifact, listed)
        })
    }

    /// Returns every setting of an artifact's aliases, in order of time. `name` is `[project/]name`.
    ///
    /// # Errors
    /// As [`Workspace::artifact_versions`].
    pub fn alias_history(&self, name: &str) -> Result<Vec<AliasChange>> {
        let wanted = ArtifactName::without_version(name)?;
        self.inner.read(|tx, keyring| {
            let artifact = Look::new(&self.inner, tx, keyring)?.artifact(&wanted, name)?.record;
            let number = |object: ObjectId| {
                let listed = artifact.versions.iter().find(|listed| listed.version == object.0);
                listed.map(|listed| listed.number)
            };
            let mut settings: Vec<_> = artifact.aliases.iter().collect();
            settings.sort_by_key(|setting| setting.clock);
            let changes = settings.into_iter().map(|setting| AliasChange {
                alias: setting.name.clone(),
                time: time_of(setting.clock),
                number: number(ObjectId(setting.version)),
            });
            Ok(changes.collect())
        })
    }

    /// Changes what is said of a version: for a link, of the version that it links to. Its content never changes.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if the metadata are no map; [`ErrorKind::NotFound`] if the version is gone.
    pub fn describe_version(&self, version: &ArtifactVersion, text: &VersionText) -> Result<ArtifactVersion> {
        let metadata = text.metadata.as_ref().map(checked_metadata).transpose()?;
        self.inner.write(None, |tx| {
            let mut stored = records::find_version(tx, tx.keyring, version.object)?.ok_or_else(|| version.is_gone())?;
            if let Some(description) = &text.description {
                stored.record.description.clone_from(description);
            }
            if let Some(metadata) = &metadata {
                stored.record.metadata.clone_from(metadata);
            }
            records::store_version(tx, &stored)?;
            let artifact = records::artifact_at(tx, tx.keyring, version.artifact)?;
            let listed = artifact.record.versions.iter().find(|listed| listed.version == version.object.0);
            let listed = *listed.ok_or_else(|| version.is_gone())?;
            Look::new(&self.inner, tx, tx.keyring)?.version(&artifact, listed)
        })
    }
}

/// Encodes metadata, which must be a map.
pub(super) fn checked_metadata(metadata: &Json) -> Result<Tokens> {
    if !matches!(metadata, Json::Map(_)) {
        return Err(Error::invalid("metadata: a map is expected"));
    }
    Tokens::new(metadata).map_err(|cause| Error::format("metadata", cause))
}

/// Returns the time of a hybrid clock, microseconds UTC since 1970.
fn time_of(clock: u64) -> i64 {
    i64::try_from((clock >> 16).saturating_mul(1000)).unwrap_or(i64::MAX)
}
