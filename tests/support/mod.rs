//! What the integration tests share.

// Every test file is a program of its own and uses its share of this.
#![allow(dead_code, unused_imports)]

pub mod debug_elf;
pub mod dump_writer;
pub mod el7;
pub mod image;
pub mod opened;

use std::path::PathBuf;

/// The shared test data folder (`$VMCORONER_SHARED`, else `../shared`), or `None` after saying that it is missing.
pub fn shared_folder() -> Option<PathBuf> {
    let folder = std::env::var_os("VMCORONER_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    if folder.join("vmcores").is_dir() {
        return Some(folder);
    }
    eprintln!(
        "skipped: no shared test data at {} (set VMCORONER_SHARED)",
        folder.display()
    );
    None
}
