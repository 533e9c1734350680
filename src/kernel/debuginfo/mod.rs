//! A debuginfo file (vmlinux): what its DWARF and its symbol table add to what the dump tells of itself.
//!
//! Knows ELF and DWARF, but neither where such files are kept nor whether this one belongs to the dump at hand: that is
//! judged by whoever opens it, from [`DebugFile::build_id`], [`DebugFile::banner`] and [`DebugFile::symbol`].
//!
//! Such files have hundreds of megabytes. Nothing is mapped and nothing is read whole: sections are read in pieces as
//! they are asked for, types are indexed unit by unit, and a unit is dropped once its names are known.

mod die;
mod elf;
mod lines;
mod names;
mod section;
mod types;
mod units;

pub use self::elf::{DebugFile, DebugFileError, Listed, build_id_of_notes};
pub use self::lines::{Place, SourceLines};
pub use self::types::DwarfTypes;

/// The sections of DWARF that are read as a whole, in bytes: names and abbreviations have a few megabytes.
const MAX_WHOLE: u64 = 1 << 28;
