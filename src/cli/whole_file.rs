//! A file that is there whole or not at all.

use std::fs::Permissions;
use std::io::{self, BufWriter};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::NamedTempFile;

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
        .prefix(".vmcoroner-")
        .permissions(Permissions::from_mode(mode))
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
