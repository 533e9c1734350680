//! A file that is there whole or not at all.

use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::NamedTempFile;

use crate::watch::UNFINISHED;

/// For anybody whom the user's mask allows, as any file that a program makes.
pub const SHARED: u32 = 0o666;
/// For its owner alone, as kernels' dumps are: they hold what was in a machine's memory.
pub const PRIVATE: u32 = 0o600;

/// Lets `fill` write `path`, with those permissions as far as the user's mask allows them. Nobody ever sees a part of it; what was there before stays when it fails.
pub fn write<F>(path: &Path, mode: u32, fill: F) -> Result<(), String>
where
    F: FnOnce(&mut BufWriter<NamedTempFile>) -> io::Result<()>,
{
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let written = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder.unwrap_or(Path::new(".")))
        .and_then(|file| {
            // For [`clear_away`]. Where there are no locks, it leaves the file alone.
            let _ = file.as_file().try_lock();
            let mut file = BufWriter::new(file);
            fill(&mut file)?;
            let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.persist(path).map_err(|error| error.error)
        });
    written
        .map(drop)
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Deletes a file that a killed writer left: one that still writes holds its lock.
pub fn clear_away(unfinished: &Path) {
    let file = File::options().write(true).open(unfinished);
    if file.is_ok_and(|file| file.try_lock().is_ok()) {
        // What cannot be deleted is tried again by the next run.
        let _ = fs::remove_file(unfinished);
    }
}
