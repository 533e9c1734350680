//! Pages that several dumps store in the same bytes, decoded once for all of them.
//!
//! What dumps of one kernel build have in common (symbol tables, types, unwind tables, code) lies in them as the same
//! compressed bytes. Those are read of every dump and compared in full: so a page is never another dump's, whatever a
//! damaged or hostile one holds, and what a dump gives does not depend on which were read before it.

use std::sync::{Arc, Mutex, PoisonError};

/// Pages are kept in so many sets of so many: of ten kernel builds, and what dumps have for themselves in between.
const SETS: usize = 2048;
const WAYS: usize = 8;
/// Larger pages, of other architectures, are not kept, in bytes: the number of pages is the limit of memory, some
/// 70 MiB, and twice that if none of them could be compressed.
const LARGEST: usize = 4096;

/// Decoded pages by what they were decoded from; for all dumps of a run, and for several threads.
#[derive(Debug)]
pub struct SharedPages {
    sets: Box<[Mutex<Vec<Decoded>>]>,
}

#[derive(Debug)]
struct Decoded {
    key: u64,
    method: u8,
    stored: Box<[u8]>,
    page: Arc<[u8]>,
    /// How often it was of use, less how often another page wanted its place.
    worth: u32,
}

impl Default for SharedPages {
    fn default() -> Self {
        SharedPages {
            sets: (0..SETS).map(|_| Mutex::default()).collect(),
        }
    }
}

impl SharedPages {
    /// The page of `size` bytes that `stored` decodes to by `method`; `decode` does it where it was not done before. A
    /// failure is not kept.
    pub(super) fn page<E>(
        &self,
        method: u8,
        stored: &[u8],
        size: usize,
        decode: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<Arc<[u8]>, E> {
        let key = key(stored);
        let set = self.sets.get((key % SETS as u64) as usize).filter(|_| size <= LARGEST);
        if let Some(set) = set {
            let mut kept = set.lock().unwrap_or_else(PoisonError::into_inner);
            let known = kept.iter_mut().find(|kept| {
                kept.key == key && kept.method == method && kept.page.len() == size && *kept.stored == *stored
            });
            if let Some(known) = known {
                known.worth = known.worth.saturating_add(1);
                return Ok(known.page.clone());
            }
        }
        let page = decoded_page(size, decode)?;
        if let Some(set) = set {
            let new = || Decoded {
                key,
                method,
                stored: stored.into(),
                page: page.clone(),
                worth: 0,
            };
            let mut kept = set.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() < WAYS {
                kept.push(new());
            } else if let Some(least) = kept.iter_mut().min_by_key(|kept| kept.worth) {
                // Most pages are one dump's alone: those of many builds, taking turns, must not be driven out by them,
                // nor all by each other.
                match least.worth {
                    0 => *least = new(),
                    _ => least.worth -= 1,
                }
            }
        }
        Ok(page)
    }
}

/// A page of `size` bytes as `decode` fills it.
pub(super) fn decoded_page<E>(size: usize, decode: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<Arc<[u8]>, E> {
    let mut page: Arc<[u8]> = std::iter::repeat_n(0, size).collect();
    if let Some(page) = Arc::get_mut(&mut page) {
        decode(page)?;
    }
    Ok(page)
}

/// A number that is seldom the same for two texts. It need not be hard to forge: texts are compared.
fn key(text: &[u8]) -> u64 {
    const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
    let (words, rest) = text.as_chunks::<8>();
    let add = |hash: u64, word: u64| (hash ^ word).wrapping_mul(MIX).rotate_left(29);
    let hash = words
        .iter()
        .fold(text.len() as u64, |hash, word| add(hash, u64::from_le_bytes(*word)));
    let hash = rest.iter().fold(hash, |hash, byte| add(hash, u64::from(*byte)));
    hash ^ hash >> 32
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_page_is_decoded_once_and_only_for_the_very_same_bytes() {
        let shared = SharedPages::default();
        let count = Cell::new(0);
        let page = |method: u8, stored: &[u8], size: usize| {
            let decode = |page: &mut [u8]| {
                count.set(count.get() + 1);
                page.fill(stored[0] ^ method);
                if stored[0] == 9 { Err("damaged") } else { Ok(()) }
            };
            shared
                .page(method, stored, size, decode)
                .map(|page| (page[0], page.len()))
        };
        for _ in 0..3 {
            assert_eq!(page(1, &[7, 1], 16), Ok((6, 16)));
            assert_eq!(page(1, &[8, 1], 16), Ok((9, 16)));
        }
        assert_eq!(count.get(), 2);
        // Another method or size is another page, though the bytes are the same.
        assert_eq!(page(2, &[7, 1], 16), Ok((5, 16)));
        assert_eq!(page(1, &[7, 1], 32), Ok((6, 32)));
        assert_eq!(page(1, &[7, 1], 16), Ok((6, 16)));
        count.set(0);
        assert_eq!((page(1, &[9], 16), page(1, &[9], 16)), (Err("damaged"), Err("damaged")));
        assert_eq!(count.get(), 2);
    }

    #[test]
    fn memory_is_bounded_and_what_is_of_use_stays() {
        let shared = SharedPages::default();
        let count = Cell::new(0);
        let page = |number: u32| {
            let decode = |_: &mut [u8]| {
                count.set(count.get() + 1);
                Ok::<_, ()>(())
            };
            shared.page(1, &number.to_le_bytes(), 1, decode).unwrap()
        };
        let common = || (0..100).for_each(|number| drop(page(number)));
        common();
        for dump in 0..100 {
            (0..500).for_each(|number| drop(page(1000 + dump * 500 + number)));
            count.set(0);
            common();
            assert!(count.get() < 5, "dump {dump}: {count:?}");
        }
        let kept: usize = shared.sets.iter().map(|set| set.lock().unwrap().len()).sum();
        assert!(kept <= SETS * WAYS);
    }
}
