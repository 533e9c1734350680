//! The machine as it stood: all that `crash`'s `sys` and `kmem -i` print, and the settings that mitigations speak of.
//!
//! Everything is read from the dumped kernel's own variables, found by symbol; where a structure is involved, its
//! layout is asked for by name. Nothing here knows kernel versions: what a kernel lacks is [`Unknown`], and says why.

mod clock;
mod huge_pages;
mod memory;
mod page_cache;
mod settings;
mod statistics;
mod system;
mod taint;

#[cfg(test)]
mod tests;

pub use self::clock::Clock;
pub use self::memory::MemoryUse;
pub use self::settings::{Setting, Value};
pub use self::system::System;
pub use self::taint::Taint;

use super::ReadError;
use super::access::KernelMemory;
use super::symbols::Symbols;
use super::types::Types;
use crate::addr::VirtAddr;

/// A fact, or why it could not be had.
pub type Fact<T> = Result<T, Unknown>;

/// Why a fact about the machine could not be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// This kernel has no such variable (or its symbol table leaves it out).
    #[error("this kernel has no symbol `{0}`")]
    NoSymbol(String),
    /// The variable's memory could not be read.
    #[error("`{what}`: {source}")]
    Unreadable {
        /// What was to be read.
        what: String,
        /// Why it could not be.
        source: ReadError,
    },
    /// The layout of a structure is not known.
    #[error("no type information for `{0}`: give --vmlinux")]
    NoLayout(String),
    /// What stands there cannot be what it should be.
    #[error("`{0}` holds what it cannot hold: damaged memory, or another layout than expected")]
    Implausible(String),
}

/// The dumped kernel, for questions about the machine. Cheap to copy.
#[derive(Clone, Copy)]
pub struct Machine<'a> {
    memory: &'a KernelMemory,
    symbols: &'a Symbols,
    types: &'a dyn Types,
    cpus: &'a [u32],
    page_size: u64,
}

impl<'a> Machine<'a> {
    /// The machine that `memory` is of; `cpus` are the numbers of those online, `page_size` is
    /// in bytes.
    pub fn new(
        memory: &'a KernelMemory,
        symbols: &'a Symbols,
        types: &'a dyn Types,
        cpus: &'a [u32],
        page_size: u64,
    ) -> Machine<'a> {
        Machine {
            memory,
            symbols,
            types,
            cpus,
            page_size,
        }
    }

    /// Where the first of `names` that this kernel has lies. Modules are not asked: their variables are not the
    /// kernel's, and to look through all of them for a name that does not exist is dear.
    fn symbol(&self, names: &[&str]) -> Fact<VirtAddr> {
        names
            .iter()
            .find_map(|name| self.symbols.own(name).first().copied())
            .ok_or_else(|| Unknown::NoSymbol(names.first().copied().unwrap_or_default().to_owned()))
    }

    /// The 32-bit integer that the variable `name` is.
    fn int(&self, name: &str) -> Fact<i32> {
        let at = self.symbol(&[name])?;
        self.memory.i32(at).map_err(|source| unreadable(name, source))
    }

    /// The `long` that the variable `name` is.
    fn long(&self, name: &str) -> Fact<i64> {
        self.long_at(self.symbol(&[name])?, name)
    }

    /// The `long` at `at`.
    fn long_at(&self, at: VirtAddr, what: &str) -> Fact<i64> {
        let word = self.memory.word(at).map_err(|source| unreadable(what, source))?;
        Ok(if self.memory.abi().is_64bit {
            word as i64
        } else {
            i64::from(word as i32)
        })
    }

    /// The pointer at `at`, which must not be NULL.
    fn pointer_at(&self, at: VirtAddr, what: &str) -> Fact<VirtAddr> {
        match self.memory.pointer(at) {
            Ok(VirtAddr(0)) => Err(Unknown::Implausible(what.to_owned())),
            Ok(pointer) => Ok(pointer),
            Err(source) => Err(unreadable(what, source)),
        }
    }

    /// Where `path` lies in `structure`, in bytes.
    fn offset(&self, structure: &str, path: &str) -> Fact<u64> {
        self.types
            .offset_of(structure, path)
            .ok_or_else(|| Unknown::NoLayout(format!("{structure}.{path}")))
    }

    /// The value of the member at `path` of the `structure` at `at`.
    fn member(&self, at: VirtAddr, structure: &str, path: &str) -> Fact<u64> {
        let what = || format!("{structure}.{path}");
        let member = self
            .types
            .member(structure, path)
            .filter(|member| (1..=8).contains(&member.size))
            .ok_or_else(|| Unknown::NoLayout(what()))?;
        let mut buf = [0; 8];
        let buf = buf.get_mut(..member.size as usize).unwrap_or_default();
        let place = VirtAddr(at.0.wrapping_add(member.offset));
        self.memory
            .read(place, buf)
            .map_err(|source| unreadable(&what(), source))?;
        Ok(member.value(self.memory.abi().uint(buf)))
    }

    /// How many elements of `size` bytes fit between the symbol at `at` and the next one.
    fn room(&self, at: VirtAddr, size: u64) -> u64 {
        self.symbols
            .by_address(at)
            .map_or(0, |symbol| symbol.size / size.max(1))
    }
}

fn unreadable(what: &str, source: ReadError) -> Unknown {
    Unknown::Unreadable {
        what: what.to_owned(),
        source,
    }
}

/// A count that cannot be negative; what the kernel updates without locks may pass below zero for a moment.
fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
