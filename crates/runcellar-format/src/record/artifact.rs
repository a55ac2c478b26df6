//! Artifacts, their versions, and manifests: which files make up a version, or a run's code or media.
//!
//! docs/FORMAT.md, "Artifacts" and "Manifests". The chunks that a manifest names lie in packs ([`crate::blob`]).

use bincode::{Decode, Encode};

use super::Body;
use super::run::Tokens;
use crate::id::MediaId;

/// Entries of a manifest part at most. With [`MANIFEST_CHUNKS_MAX`] it keeps a part near half a megabyte.
pub const MANIFEST_ENTRIES_MAX: usize = 4096;
/// Chunks that the entries of a manifest part name at most; a file with more goes on in the next part.
pub const MANIFEST_CHUNKS_MAX: usize = 16_384;
/// Bytes of the paths, link targets and references of a manifest part at most, but for a single entry.
pub const MANIFEST_TEXT_MAX: usize = 512 << 10;
/// The longest path in a manifest, bytes.
pub const PATH_BYTES_MAX: usize = 4096;

/// `ManifestEntry.extra`: what is said of a media file, a [`Media`].
pub const MEDIA_FIELD: u16 = 1;

/// `Change.extra` of a change to an artifact or version: its body as it is after it.
pub const RECORD_FIELD: u16 = 2;

/// `Version.extra`: runs that put the same content later: their object ids, one after the other.
pub const MADE_AGAIN_FIELD: u16 = 1;

/// A part of a manifest: entries in order of path.
///
/// The order is that of a walk: paths compare component by component, each by its bytes. No path stands twice, but
/// for a file that goes on in the next part.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct Manifest {
    /// Packs in which the chunks were when this was written; a chunk that is not there has moved, and is found by its id.
    pub packs: Vec<[u8; 16]>,
    /// The entries.
    pub entries: Vec<ManifestEntry>,
    /// Fields of later minor versions, kept as they are: (field, bytes).
    pub extra: Vec<(u16, Vec<u8>)>,
}

impl Body for Manifest {
    const NAME: &'static str = "manifest";
}

/// A file, link, directory or reference.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct ManifestEntry {
    /// Components joined by `/`, none of them empty, `.` or `..`; bytes that need not be UTF-8, without NUL.
    pub path: Vec<u8>,
    /// What stands there.
    pub content: Content,
    /// Fields of later minor versions, kept as they are: (field, bytes).
    pub extra: Vec<(u16, Vec<u8>)>,
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub enum Content {
    /// A file.
    File(FileContent),
    /// A symbolic link, with what it names, as bytes.
    Link(Vec<u8>),
    /// A directory that holds nothing; others are told by the paths below them.
    Directory,
    /// Something that lies elsewhere, and is not fetched.
    Reference(Reference),
}

/// The content of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct FileContent {
    /// Length of the whole file in bytes.
    pub size: u64,
    /// Where in the file the chunks begin: above 0 if it goes on from the part before.
    pub offset: u64,
    /// True if the owner may run it.
    pub executable: bool,
    /// Its chunks in order: (which of the manifest's packs, chunk id).
    pub chunks: Vec<(u32, [u8; 16])>,
    /// The file that was read.
    pub source: FileFacts,
}

/// What tells whether a file has changed since it was read; all 0 if it was no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct FileFacts {
    /// Inode.
    pub inode: u64,
    /// Time of the last change of its content, nanoseconds since 1970.
    pub modified_ns: i64,
    /// Time of the last change of content or inode, nanoseconds since 1970.
    pub changed_ns: i64,
}

/// What lies elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Reference {
    /// Where: a URI, as the user gave it.
    pub uri: String,
    /// Its length in bytes, if known.
    pub size: Option<u64>,
    /// Its digest as the user gave it; empty if not known.
    pub digest: String,
}

/// What is said of a media file of a run.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct Media {
    /// What it is: `image`, `table`.
    pub kind: String,
    /// The form of its bytes, as file names end; empty if it has none.
    pub format: String,
    /// What else the user says of it: a map.
    pub metadata: Tokens,
    /// The media that it is made of.
    pub parts: Vec<MediaId>,
    /// Fields of later minor versions, kept as they are: (field, bytes).
    pub extra: Vec<(u16, Vec<u8>)>,
}

impl Body for Media {
    const NAME: &'static str = "media record";
}

/// An artifact: a name in a project, and what versions and aliases it has.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct Artifact {
    /// The project's object id.
    pub project: [u8; 16],
    /// Its name.
    pub name: String,
    /// What sort of thing it is, as the user says: `dataset`, `model`.
    pub kind: String,
    /// When it was made, microseconds UTC since 1970.
    pub created: i64,
    /// True for a collection of the registry, whose versions are links to versions of other artifacts.
    pub collection: bool,
    /// The number of the next version.
    pub next_version: u32,
    /// The versions that are there, in order of number.
    pub versions: Vec<VersionRef>,
    /// Every setting of an alias, in order of time: the last of a name stands.
    pub aliases: Vec<AliasSet>,
    /// Fields of later minor versions, kept as they are: (field, bytes).
    pub extra: Vec<(u16, Vec<u8>)>,
}

impl Body for Artifact {
    const NAME: &'static str = "artifact record";
}

/// A version of an artifact, or a link of a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct VersionRef {
    /// Its number: `v3` has 3.
    pub number: u32,
    /// The version's object id.
    pub version: [u8; 16],
    /// When it came here, microseconds UTC since 1970.
    pub time: i64,
}

/// An alias was given to a version, or taken away.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct AliasSet {
    /// The alias.
    pub name: String,
    /// The version's object id; zeros if the alias was taken away.
    pub version: [u8; 16],
    /// Hybrid clock of the setting.
    pub clock: u64,
}

/// One version of an artifact; never changed but for who used it.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct Version {
    /// The artifact's object id.
    pub artifact: [u8; 16],
    /// Its number.
    pub number: u32,
    /// When it was made, microseconds UTC since 1970.
    pub created: i64,
    /// When the first of its files was looked at, nanoseconds since 1970: a file that changed later may have changed
    /// again without a change of its times.
    pub read_from_ns: i64,
    /// What it holds, see docs/FORMAT.md.
    pub digest: [u8; 32],
    /// Entries that are files.
    pub files: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// First path of each part of its manifest.
    pub parts: Vec<Vec<u8>>,
    /// Description.
    pub description: String,
    /// Metadata: a map.
    pub metadata: Tokens,
    /// The run that made it (object id), zeros if none did.
    pub made_by: [u8; 16],
    /// Runs that used it: (object id, time).
    pub used_by: Vec<([u8; 16], i64)>,
    /// Fields of later minor versions, kept as they are: (field, bytes).
    pub extra: Vec<(u16, Vec<u8>)>,
}

impl Body for Version {
    const NAME: &'static str = "artifact version";
}
