//! A file that is there whole or not at all.

use std::fs::Permissions;
use std::io::{self, BufWriter};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::NamedTempFile;

/// Lets `fill` write `path`. Nobody ever sees a part of it; what was there before stays when it fails.
pub fn write<F>(path: &Path, fill: F) -> Result<(), String>
where
    F: FnOnce(&mut BufWriter<NamedTempFile>) -> io::Result<()>,
{
    // What the user's mask leaves of this, as for any file that a program makes.
    let usual = Permissions::from_mode(0o666);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let written = tempfile::Builder::new()
        .prefix(".vmcoroner-")
        .permissions(usual)
        .tempfile_in(folder.unwrap_or(Path::new(".")))
        .and_then(|file| {
            let mut file = BufWriter::new(file);
            fill(&mut file)?;
            let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.persist(path).map_err(|error| error.error)
        });
    written
        .map(drop)
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}
