//! Names of objects on a remote.

use runcellar::remotes::{PackName, Subject};

use crate::Result;
use crate::remote::ObjectName;

/// Folder of the welcomes.
const DEVICES: &str = "devices";
/// Folder of the packs.
const PACKS: &str = "packs";
/// Hexadecimal digits of a prefix.
const PREFIX_DIGITS: usize = 32;

/// Returns the folder of the welcomes.
pub(super) fn devices() -> Result<ObjectName> {
    ObjectName::new(DEVICES)
}

/// Returns the name of a device's welcome.
pub(super) fn welcome_of(prefix: &str) -> Result<ObjectName> {
    devices()?.join(prefix)
}

/// Returns the prefix of the device whose welcome has this name.
pub(super) fn prefix_of(welcome: &ObjectName) -> Option<&str> {
    let prefix = welcome.as_str().strip_prefix(DEVICES)?.strip_prefix('/')?;
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (prefix.len() == PREFIX_DIGITS && prefix.bytes().all(is_digit)).then_some(prefix)
}

/// Returns the name of a device's head.
pub(super) fn head_of(prefix: &str) -> Result<ObjectName> {
    ObjectName::new(format!("{prefix}/head"))
}

/// Returns the name of a segment.
pub(super) fn segment_of(prefix: &str, number: u64) -> Result<ObjectName> {
    ObjectName::new(format!("{prefix}/{number:010}"))
}

/// Returns the name of a pack.
pub(super) fn pack_of(pack: &PackName) -> Result<ObjectName> {
    ObjectName::new(format!("{PACKS}/{}/{}", pack.device, pack.pack))
}

/// Returns the folder of a device's packs.
pub(super) fn packs_of(device: &str) -> Result<ObjectName> {
    ObjectName::new(format!("{PACKS}/{device}"))
}

/// Returns the pack of this name.
pub(super) fn pack_named(name: &ObjectName) -> Option<PackName> {
    let (device, pack) = name.as_str().strip_prefix(PACKS)?.strip_prefix('/')?.split_once('/')?;
    Some(PackName { device: device.to_owned(), pack: pack.to_owned() })
}

/// Returns what an object of the device that publishes under a prefix is.
pub(super) fn subject_of<'a>(prefix: &str, name: &ObjectName, pack: Option<&'a PackName>) -> Subject<'a> {
    let number = name.as_str().strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/')?.parse().ok());
    match (pack, number) {
        (Some(pack), _) => Subject::Pack(pack),
        (None, Some(number)) => Subject::Segment(number),
        (None, None) => Subject::Device,
    }
}
