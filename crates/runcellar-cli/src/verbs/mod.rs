//! One file a verb: its options, what it asks of the store, and what it answers.

pub(crate) mod artifact;
pub(crate) mod backup;
pub(crate) mod check;
pub(crate) mod checkout_code;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod du;
pub(crate) mod export;
pub(crate) mod gc;
pub(crate) mod init;
pub(crate) mod key;
pub(crate) mod ls;
pub(crate) mod man;
pub(crate) mod note;
pub(crate) mod plot;
pub(crate) mod repair;
pub(crate) mod restore;
pub(crate) mod restore_from;
pub(crate) mod rm;
pub(crate) mod secrets;
pub(crate) mod show;
pub(crate) mod tag;
pub(crate) mod watch;
pub(crate) mod window;
