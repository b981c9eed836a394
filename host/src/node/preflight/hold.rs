//! Notes in a home that keep it from starting.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::atomic_file;
use crate::node::home::NodeHome;

/// A note in `config/` that keeps a home from starting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Why it was made, or when.
    pub said: String,
}

/// The notes that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The home must catch up before it votes.
    Recovering,
    /// Its keys are elsewhere.
    MovedAway,
}

impl Hold {
    /// Where the note of a home is.
    #[must_use]
    pub fn file(self, home: &NodeHome) -> PathBuf {
        home.root().join(match self {
            Self::Recovering => "config/recover.json",
            Self::MovedAway => "config/moved.json",
        })
    }

    /// The note of a home, if there is one. One that cannot be understood holds too.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn read(self, home: &NodeHome) -> io::Result<Option<Note>> {
        let damaged = |err: serde_json::Error| Note { said: format!("a note that cannot be read: {err}") };
        match fs::read(self.file(home)) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text).unwrap_or_else(damaged))),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(err) => Err(err),
        }
    }

    /// Makes the note of a home.
    ///
    /// # Errors
    ///
    /// When the file system refuses.
    pub fn set(self, home: &NodeHome, said: String) -> io::Result<()> {
        let text = serde_json::to_vec(&Note { said })?;
        Ok(atomic_file::replace(&self.file(home), &text)?)
    }

    /// Removes it.
    ///
    /// # Errors
    ///
    /// When the file system refuses.
    pub fn lift(self, home: &NodeHome) -> io::Result<()> {
        let path = self.file(home);
        match fs::remove_file(&path) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.and_then(|()| atomic_file::sync_folder_of(&path)),
        }
    }
}
