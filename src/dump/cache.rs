//! A small cache of decoded blocks, shared between threads: set-associative, the least recently used of a set goes.
//!
//! The number of entries is fixed when it is made, so that no input decides how much memory it takes.

use std::sync::{Mutex, PoisonError};

/// Entries in one set: enough that the few pages a stack walk or a list walk touches do not push each other out.
const WAYS: usize = 8;

#[derive(Debug)]
struct Entry<V> {
    key: u64,
    used: u64,
    value: V,
}

#[derive(Debug)]
struct Set<V> {
    clock: u64,
    entries: Vec<Entry<V>>,
}

/// Values by block number. `V` is cheap to clone (an `Arc`).
#[derive(Debug)]
pub(super) struct BlockCache<V> {
    sets: Box<[Mutex<Set<V>>]>,
}

impl<V: Clone> BlockCache<V> {
    /// A cache of about `capacity` entries.
    pub(super) fn new(capacity: usize) -> Self {
        let sets = (capacity / WAYS).max(1);
        Self {
            sets: (0..sets)
                .map(|_| {
                    Mutex::new(Set {
                        clock: 0,
                        entries: Vec::new(),
                    })
                })
                .collect(),
        }
    }

    fn set(&self, key: u64) -> Option<&Mutex<Set<V>>> {
        self.sets.get((key % self.sets.len() as u64) as usize)
    }

    /// The value of block `key`, if it is there.
    pub(super) fn get(&self, key: u64) -> Option<V> {
        let mut set = self.set(key)?.lock().unwrap_or_else(PoisonError::into_inner);
        set.clock += 1;
        let now = set.clock;
        let entry = set.entries.iter_mut().find(|entry| entry.key == key)?;
        entry.used = now;
        Some(entry.value.clone())
    }

    /// The value of block `key`, made by `load` when it is not there. Failures are not kept.
    ///
    /// Who wants a block that is just being loaded waits for it: so no block is read twice, and what was read in all
    /// does not depend on chance. `load` must not ask this cache.
    pub(super) fn get_or_load<E>(&self, key: u64, load: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        let Some(set) = self.set(key) else { return load() };
        let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
        set.clock += 1;
        let now = set.clock;
        if let Some(entry) = set.entries.iter_mut().find(|entry| entry.key == key) {
            entry.used = now;
            return Ok(entry.value.clone());
        }
        let value = load()?;
        let entry = Entry {
            key,
            used: now,
            value: value.clone(),
        };
        if set.entries.len() < WAYS {
            set.entries.push(entry);
        } else if let Some(oldest) = set.entries.iter_mut().min_by_key(|entry| entry.used) {
            *oldest = entry;
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_used_and_drops_the_oldest() {
        let cache = BlockCache::new(WAYS);
        let get = |key: u64, fresh: bool| {
            let mut loaded = false;
            let value = cache.get_or_load(key, || {
                loaded = true;
                Ok::<_, ()>(key * 2)
            });
            assert_eq!((value, loaded), (Ok(key * 2), fresh), "key {key}");
        };
        (0..WAYS as u64).for_each(|key| get(key, true));
        get(0, false);
        get(WAYS as u64, true);
        get(0, false);
        get(1, true);
    }

    #[test]
    fn a_failure_is_not_kept() {
        let cache = BlockCache::new(1);
        assert_eq!(cache.get_or_load(7, || Err::<u8, _>("no")), Err("no"));
        assert_eq!(cache.get_or_load(7, || Ok::<u8, &str>(1)), Ok(1));
    }
}
