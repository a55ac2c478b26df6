//! What the store has to say, kept until a thread that holds the interpreter's lock comes by.
//!
//! The store warns from its background thread, too. That thread must not wait for the interpreter: the thread that
//! holds it may be waiting for the store. So messages go on a stack that needs no lock, which also cannot be found
//! locked in a forked child.

#![allow(unsafe_code, reason = "a list without locks")]

use std::io::Write as _;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::prelude::*;
use runcellar::Monitor;

use crate::error;

/// Messages that nobody has read yet.
#[derive(Default)]
pub(crate) struct Messages {
    newest: AtomicPtr<Message>,
}

struct Message {
    text: String,
    older: *mut Message,
}

impl Messages {
    fn push(&self, text: &str) {
        let message = Box::into_raw(Box::new(Message { text: text.to_owned(), older: null_mut() }));
        let mut newest = self.newest.load(Ordering::Relaxed);
        loop {
            // SAFETY: the box is ours alone until the exchange succeeds.
            unsafe { (*message).older = newest };
            match self.newest.compare_exchange_weak(newest, message, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(found) => newest = found,
            }
        }
    }

    /// Takes all messages, oldest first.
    fn take(&self) -> Vec<String> {
        let mut out = Vec::new();
        let mut next = self.newest.swap(null_mut(), Ordering::Acquire);
        while !next.is_null() {
            // SAFETY: the swap made the whole list ours; each node came from Box::into_raw.
            let message = unsafe { Box::from_raw(next) };
            next = message.older;
            out.push(message.text);
        }
        out.reverse();
        out
    }

    /// Turns what is there into Python warnings. Costs one load when there is nothing.
    #[inline]
    pub(crate) fn drain(&self, py: Python<'_>) -> PyResult<()> {
        if self.newest.load(Ordering::Relaxed).is_null() { Ok(()) } else { self.warn_all(py) }
    }

    #[cold]
    fn warn_all(&self, py: Python<'_>) -> PyResult<()> {
        // With warnings as errors the first raises; the others are said before it is.
        self.take().iter().map(|text| error::warn(py, text)).fold(Ok(()), PyResult::and)
    }

    /// Writes what is there to standard error, for when the interpreter is gone.
    pub(crate) fn print(&self) {
        for text in self.take() {
            // Nobody is left to be told that standard error is closed.
            let _ = writeln!(std::io::stderr(), "runcellar: {text}");
        }
    }

    /// Forgets what a parent process has to say itself.
    pub(crate) fn clear(&self) {
        self.take();
    }
}

impl Monitor for Messages {
    fn note(&self, _text: &str) {}

    fn warn(&self, text: &str) {
        self.push(text);
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.take();
    }
}
