//! What a path lies on: the file system's kind decides how cellar.db is used.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// What kind of file system a path lies on, as far as the store cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileSystem {
    /// A disk of this machine, or one that looks like it.
    Local,
    /// A layer that a container throws away.
    Overlay,
    /// Memory.
    Memory,
    /// Another machine's disk, or one that may be: SQLite's shared memory cannot be trusted there.
    Network,
}

/// A file system as the kernel names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) kind: FileSystem,
    /// The type that the mount table gives, such as `ext4`, `nfs4` or `fuse.sshfs`; if that has none, the type's number.
    pub(crate) name: String,
}

const OVERLAYFS: i64 = 0x794c_7630;
const TMPFS: i64 = 0x0102_1994;
const RAMFS: i64 = 0x8584_58f6;
const FUSE: i64 = 0x6573_5546;
/// Types that are another machine's disk, or one that several machines mount at once.
const NETWORK: [i64; 18] = [
    0x6969,      // NFS
    0x517b,      // SMB
    0xfe53_4d42, // SMB2
    0xff53_4d42, // CIFS
    0x5346_414f, // AFS (OpenAFS)
    0x6b41_4653, // AFS (Linux)
    0x7375_7245, // Coda
    0x00c3_6400, // Ceph
    0x0bd0_0bd0, // Lustre
    0x4750_4653, // GPFS
    0x1983_0326, // BeeGFS
    0xaad7_aaea, // PanFS
    0x0102_1997, // 9P
    0x564c,      // NCP
    0x0116_1970, // GFS2
    0x7461_636f, // OCFS2
    0xbacb_acbc, // VMware shared folders
    0x786f_4256, // VirtualBox shared folders
];
/// FUSE file systems that keep a disk of this machine. All others count as network: most bring another machine's disk
/// (sshfs, s3fs, rclone, GlusterFS, virtiofs), or a layer over one that cannot be told.
const LOCAL_FUSE: [&str; 6] = ["fuseblk", "fuse.ntfs-3g", "fuse.exfat", "fuse.ext2", "fuse.ext4", "fuse.fuse2fs"];
const OVERLAY_FUSE: [&str; 2] = ["fuse.fuse-overlayfs", "fuse.overlayfs"];

/// Returns what `path` lies on.
pub(crate) fn mount_of(path: &Path) -> std::io::Result<Mount> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: an all-zero statfs is a valid value of this plain C struct.
    let mut stat: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the name is NUL-terminated and `stat` is writable for the length of the call.
    if unsafe { libc::statfs(name.as_ptr(), &raw mut stat) } == -1 {
        return Err(std::io::Error::last_os_error());
    }
    #[allow(clippy::unnecessary_cast, reason = "the field's type differs between platforms")]
    let magic = stat.f_type as i64 & 0xffff_ffff;
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let named = type_in(&table, std::fs::metadata(path)?.dev());
    let kind = kind_of(magic, named.as_deref());
    Ok(Mount { kind, name: named.unwrap_or_else(|| format!("{magic:#x}")) })
}

fn kind_of(magic: i64, name: Option<&str>) -> FileSystem {
    match (magic, name) {
        (OVERLAYFS, _) => FileSystem::Overlay,
        (TMPFS | RAMFS, _) => FileSystem::Memory,
        (FUSE, Some(name)) if LOCAL_FUSE.contains(&name) => FileSystem::Local,
        (FUSE, Some(name)) if OVERLAY_FUSE.contains(&name) => FileSystem::Overlay,
        (magic, _) if magic == FUSE || NETWORK.contains(&magic) => FileSystem::Network,
        _ => FileSystem::Local,
    }
}

/// Finds the type of the file system with this device number in a mount table (proc(5), `mountinfo`).
fn type_in(table: &str, device: u64) -> Option<String> {
    let wanted = format!("{}:{}", libc::major(device), libc::minor(device));
    let of = |line: &str| {
        let (mount, file_system) = line.split_once(" - ")?;
        (mount.split(' ').nth(2)? == wanted).then_some(file_system.split(' ').next()?.to_owned())
    };
    table.lines().find_map(of)
}

/// Has a file that is open for reading read through its handle alone, if it lies on a FUSE file system.
///
/// Many of these go by paths: the kernel has one page cache for all the files that had a name one after the other, so that
/// who reads an old one fills it for who reads the new one. Where it cannot be done there is no such cache.
pub(crate) fn read_past_cache(file: &File) -> std::io::Result<()> {
    // SAFETY: an all-zero statfs is a valid value of this plain C struct.
    let mut stat: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open, and `stat` writable, for the length of the call.
    if unsafe { libc::fstatfs(file.as_raw_fd(), &raw mut stat) } == -1 {
        return Err(std::io::Error::last_os_error());
    }
    #[cfg(target_os = "linux")]
    #[allow(clippy::unnecessary_cast, reason = "the field's type differs between platforms")]
    if stat.f_type as i64 & 0xffff_ffff == FUSE {
        // Set afterwards: given to open(2), it would reach the file system's own files, which may want aligned buffers.
        // SAFETY: the descriptor is open for the length of the call, which takes no pointer.
        let outcome = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFL, libc::O_DIRECT) };
        let cause = std::io::Error::last_os_error();
        if outcome == -1 && cause.raw_os_error() != Some(libc::EINVAL) {
            return Err(cause);
        }
    }
    Ok(())
}

/// Returns whether record locks work on the file system of `file`, as far as one host can tell: a lock of this process
/// must be in the way of a lock of an open file. Takes and drops the lock of `file`, which nobody else may need.
pub(crate) fn locks_work(file: &Path) -> std::io::Result<bool> {
    let open = || File::options().read(true).write(true).open(file);
    let (held, asking) = (open()?, open()?);
    match super::try_lock(&held) {
        Ok(true) => super::lock::in_the_way(&asking),
        Ok(false) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::Unsupported => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_number_and_fuse_by_name() {
        use FileSystem::{Local, Memory, Network, Overlay};
        for (magic, name, expected) in [
            (0xef53, Some("ext4"), Local),
            (0x9123_683e, None, Local),
            (TMPFS, Some("tmpfs"), Memory),
            (OVERLAYFS, Some("overlay"), Overlay),
            (0x6969, Some("nfs4"), Network),
            (0xff53_4d42, Some("cifs"), Network),
            (0x0102_1997, Some("9p"), Network),
            (0x0bd0_0bd0, Some("lustre"), Network),
            (FUSE, Some("fuse.sshfs"), Network),
            (FUSE, Some("fuse.s3fs"), Network),
            (FUSE, Some("virtiofs"), Network),
            (FUSE, Some("fuse"), Network),
            (FUSE, None, Network),
            (FUSE, Some("fuseblk"), Local),
            (FUSE, Some("fuse.fuse-overlayfs"), Overlay),
        ] {
            assert_eq!(kind_of(magic, name), expected, "{magic:#x} {name:?}");
        }
    }

    #[test]
    fn the_mount_table_is_read_by_device_number() {
        let table = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
                     42 27 0:39 / /mnt/with\\040space rw,nosuid master:2 - fuse.sshfs host:/x rw,user_id=0\n\
                     broken line\n";
        assert_eq!(type_in(table, libc::makedev(8, 1)).as_deref(), Some("ext4"));
        assert_eq!(type_in(table, libc::makedev(0, 39)).as_deref(), Some("fuse.sshfs"));
        assert_eq!(type_in(table, libc::makedev(0, 40)), None);
    }

    #[test]
    fn locks_of_a_disk_work() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        assert!(locks_work(file.path()).expect("tries"));
    }
}
