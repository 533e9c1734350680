//! Which entries define a name: an index that grows, unit by unit and in parallel, as far as questions need it.
//!
//! The types that matter most are in the first units already, so most questions end after some dozen of thousands.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};
use std::sync::{PoisonError, RwLock};

use rayon::prelude::*;

use super::die::Dies;
use super::units::Unit;

/// Units taken into the index at once: enough to keep every core busy.
const BATCH: usize = 32;

/// The index.
#[derive(Debug, Default)]
pub(super) struct Names {
    grown: RwLock<Grown>,
}

#[derive(Debug, Default)]
struct Grown {
    /// How many units are in it.
    units: usize,
    /// Definitions of types, the first of each name and tag, by the hash of the name.
    types: ByHash<Vec<(gimli::DwTag, u64)>>,
    /// Enumerators, the first of each name.
    enumerators: ByHash<u64>,
}

/// Keys are hashes already.
type ByHash<V> = HashMap<u64, V, BuildHasherDefault<Same>>;

/// What one unit defines.
#[derive(Default)]
struct Defined {
    types: Vec<(u64, gimli::DwTag, u64)>,
    enumerators: Vec<(u64, u64)>,
}

impl Names {
    /// The offsets of the entries that may define the type `name`, from number `from` on; at least one, unless there
    /// are no more.
    pub(super) fn types(&self, dies: &Dies, name: &str, from: usize) -> Vec<u64> {
        let key = hash(name.as_bytes());
        self.grow_until(dies, name, |grown| {
            let known = grown.types.get(&key).and_then(|known| known.get(from..));
            let known = known.filter(|known| !known.is_empty())?;
            Some(known.iter().map(|(_, offset)| *offset).collect())
        })
        .unwrap_or_default()
    }

    /// The offset of the entry that may be the enumerator `name`.
    pub(super) fn enumerator(&self, dies: &Dies, name: &str) -> Option<u64> {
        let key = hash(name.as_bytes());
        self.grow_until(dies, name, |grown| grown.enumerators.get(&key).copied())
    }

    /// Takes units into the index until `answer` finds something or there are no more.
    fn grow_until<R>(&self, dies: &Dies, name: &str, answer: impl Fn(&Grown) -> Option<R>) -> Option<R> {
        let mut is_there = None;
        loop {
            let from = {
                let grown = self.grown.read().unwrap_or_else(PoisonError::into_inner);
                if let Some(found) = answer(&grown) {
                    return Some(found);
                }
                grown.units
            };
            let batch = dies.units().get(from..).unwrap_or_default();
            let batch = batch.get(..BATCH).unwrap_or(batch);
            if batch.is_empty() || !*is_there.get_or_insert_with(|| dies.may_name(name)) {
                return None;
            }
            // No lock is held meanwhile: a thread that waits for the others may be given a task that asks, too.
            let defined: Vec<Defined> = batch.par_iter().map(|unit| Defined::by(dies, *unit)).collect();
            let mut grown = self.grown.write().unwrap_or_else(PoisonError::into_inner);
            if grown.units == from {
                grown.units += batch.len();
                defined.into_iter().for_each(|defined| grown.add(defined));
            }
        }
    }
}

impl Grown {
    fn add(&mut self, defined: Defined) {
        for (name, tag, offset) in defined.types {
            let known = self.types.entry(name).or_default();
            if !known.iter().any(|(other, _)| *other == tag) {
                known.push((tag, offset));
            }
        }
        for (name, offset) in defined.enumerators {
            self.enumerators.entry(name).or_insert(offset);
        }
    }
}

impl Defined {
    /// What the entries directly below the root of `unit` define: in C that is everything but what is local to a
    /// function.
    fn by(dies: &Dies, unit: Unit) -> Defined {
        let mut defined = Defined::default();
        if let Some(loaded) = dies.load(unit) {
            // A damaged unit gives what comes before the damage.
            let _ = dies.each_definition(&loaded, |tag, name, offset| {
                if tag == gimli::DW_TAG_enumerator {
                    defined.enumerators.push((hash(name), offset));
                } else {
                    defined.types.push((hash(name), tag, offset));
                }
            });
        }
        defined
    }
}

fn hash(name: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// Takes a hash for its own hash.
#[derive(Debug, Default)]
struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 | u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
