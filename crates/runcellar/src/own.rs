//! Series that the store records of itself: the machine, the console, and where the code
//! comes from. Their names begin with U+0000, which no name of a user's does, so that the two never meet. docs/FORMAT.md, "Series of the store's own".

/// Where system metrics stand, as users name them.
pub(crate) const SYSTEM: &str = "system/";
/// The console's lines, as the store names them.
pub(crate) const CONSOLE: &str = "\0console";
/// Commit of the work tree in which a session began.
pub(crate) const SOURCE_COMMIT: &str = "\0source/commit";
/// Its branch.
pub(crate) const SOURCE_BRANCH: &str = "\0source/branch";
/// The address of its remote.
pub(crate) const SOURCE_REMOTE: &str = "\0source/remote";
/// Whether it differed from the commit.
pub(crate) const SOURCE_DIRTY: &str = "\0source/dirty";
/// A package that the session could import, `name==version`.
pub(crate) const SOURCE_PACKAGES: &str = "\0source/packages";

/// Returns true for the name of a series that the store records of itself.
pub(crate) fn is_own(name: &str) -> bool {
    name.starts_with('\0')
}

/// Returns the name by which users know a system metric; none for what is not one.
pub(crate) fn system_name(name: &str) -> Option<&str> {
    name.strip_prefix('\0').filter(|public| public.starts_with(SYSTEM))
}

/// Returns the name under which a system metric stands that users call `name`.
pub(crate) fn stored_system_name(name: &str) -> Option<String> {
    name.starts_with(SYSTEM).then(|| format!("\0{name}"))
}
