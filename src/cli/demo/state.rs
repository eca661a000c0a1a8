//! A state directory that goes when the demo does.

use std::fs::{self, DirBuilder};
use std::io;
use std::path::{Path, PathBuf};

use crate::clock;
use crate::core::hex::hex;

/// A new directory that only this user may enter; removed with all that is in it when dropped.
#[derive(Debug)]
pub(super) struct TemporaryState(PathBuf);

impl TemporaryState {
    /// Makes it, under a name that nobody can have prepared.
    ///
    /// # Errors
    /// When there is no place for it.
    pub(super) fn create() -> io::Result<Self> {
        let random = clock::unguessable()?;
        let name = format!("doorbell-demo-{}", hex(random.first_chunk::<8>().unwrap_or(&[0; 8])));
        let path = std::env::temp_dir().join(name);
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryState {
    fn drop(&mut self) {
        // What cannot be removed is the system's to clear: it lies among its temporary files.
        drop(fs::remove_dir_all(&self.0));
    }
}
