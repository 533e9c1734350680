//! The real dumps of the shared test data folder, opened as far as symbols and types, each with its truth.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value as Json;
use vmcoroner::dump::{Header, MemoryError, Vmcore};
use vmcoroner::input::{self, Content, ReadCounter};
use vmcoroner::kernel::symbols::{Hints, Symbols};
use vmcoroner::kernel::types::KernelTypes;
use vmcoroner::kernel::{Kernel, ReadError};

/// A dump, and what `crash` and drgn said of it.
pub struct Opened {
    /// The dump file's name.
    pub name: String,
    /// The truth as a whole: how it was made, and under `truth` what is known.
    pub truth: Json,
    /// What the dump's headers say.
    pub header: Header,
    /// The kernel in it.
    pub kernel: Kernel,
    /// Its symbols, modules' included.
    pub symbols: Symbols,
    /// Its types.
    pub types: KernelTypes,
    /// Bytes read of the file so far.
    pub counter: ReadCounter,
    /// Whether the file had to be unwrapped or reassembled as a whole.
    pub is_wrapped: bool,
    /// The truth's file.
    pub path: PathBuf,
}

impl Opened {
    /// Every dump of the shared folder, and of those that `$VMCORONER_MORE_DUMPS` names (separated as in `$PATH`).
    pub fn all() -> Vec<Opened> {
        let Some(shared) = super::shared_folder() else {
            return Vec::new();
        };
        let more = std::env::var_os("VMCORONER_MORE_DUMPS").unwrap_or_default();
        let folders = std::iter::once(shared.join("vmcores")).chain(std::env::split_paths(&more));
        let mut truths: Vec<PathBuf> = folders
            .filter(|folder| folder.is_dir())
            .flat_map(|folder| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()))
            .filter(|path| path.to_string_lossy().ends_with(".truth.json"))
            .collect();
        truths.sort();
        truths.iter().map(|path| Opened::open(path)).collect()
    }

    fn open(path: &Path) -> Opened {
        let truth: Json = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let file = truth["files"].get(0).unwrap_or(&truth);
        let name = file["stored_as"]["file"].as_str().or(file["file"].as_str()).unwrap();
        let opened = input::open(&path.with_file_name(name)).unwrap_or_else(|error| panic!("{error}"));
        let Content::Dump(source) = opened.content else {
            panic!("{name} was taken for text");
        };
        let dump = Vmcore::open(vec![source]).unwrap_or_else(|error| panic!("{name}: {error}"));
        let header = dump.header().clone();
        let kernel = Kernel::open(Arc::new(dump), &header).unwrap_or_else(|error| panic!("{name}: {error}"));
        let symbol = |name: &str| kernel.vmcoreinfo().symbol(name);
        let hints = Hints {
            vmcoreinfo: &symbol,
            image: kernel.image_start(),
        };
        let mut symbols = Symbols::open(kernel.memory(), hints).unwrap_or_else(|error| panic!("{name}: {error}"));
        let types = KernelTypes::open(kernel.memory(), &symbols);
        symbols.find_modules(&types);
        Opened {
            name: name.to_owned(),
            is_wrapped: !opened.wrappings.is_empty() || header.format == "flattened",
            counter: opened.counter,
            header,
            kernel,
            symbols,
            types,
            truth,
            path: path.to_owned(),
        }
    }
}

/// Whether memory could not be read because the file ends before it.
pub fn is_cut_off(error: &ReadError) -> bool {
    matches!(
        error,
        ReadError::Tables {
            source: MemoryError::Truncated { .. },
            ..
        } | ReadError::Memory {
            source: MemoryError::Truncated { .. },
            ..
        }
    )
}
