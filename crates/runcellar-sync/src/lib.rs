//! Sync: ciphertext to storage that the user chooses, after the user said so.
//!
//! [`remote`] is the transport: it moves sealed objects to a folder or a server, and back. [`engine`] says what is moved when,
//! and [`agent`] when that happens by itself. What must never be in this
//! crate: keys, plaintext, SQL.

pub mod agent;
pub mod engine;
mod error;
pub mod remote;

pub use error::{Error, ErrorKind, Result};
