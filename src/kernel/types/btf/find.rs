//! Definitions by their names: the first that has one, in the order of the types, or by halving where names ascend.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::PoisonError;

use super::index::{Definition, Index};
use super::record::{Type, kind};
use super::{Btf, Id};

impl Btf {
    /// Takes one more definition's name into the index.
    fn name_next(&self, index: &mut Index) -> Option<()> {
        let definition = self.definition(index, index.named)?;
        let id = self.first.checked_add(definition.number)?;
        index.named += 1;
        if let Some(name) = self.string(u64::from(definition.name)).filter(|name| !name.is_empty()) {
            index.names.entry(hash(&name)).or_default().push(id);
        }
        Some(())
    }

    /// One definition after the other; the index is continued as far as that.
    fn definition(&self, index: &mut Index, number: usize) -> Option<Definition> {
        loop {
            match index.definitions.get(number) {
                Some(definition) => return Some(*definition),
                None => self.index_more(index)?,
            }
        }
    }

    /// The value of the enumerator called `name` in the first enumeration that has one.
    pub(super) fn find_enumerator(&self, name: &str) -> Option<i64> {
        let definitions = (0..).map_while(|number| {
            let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
            self.definition(&mut index, number)
        });
        let mut ids = definitions.filter_map(|definition| self.first.checked_add(definition.number));
        let found = ids.find_map(|id| {
            let (btf, found) = self.look(id)?;
            let value = btf.enumerator(&found, name)?;
            btf.tell(id);
            Some(value)
        });
        found.or_else(|| self.base.as_ref()?.find_enumerator(name))
    }

    /// The first definition called `name` (`struct`, `union` or `enum` before it narrow the search).
    pub(super) fn find(&self, name: &str) -> Option<(Id, Type)> {
        let (wanted, name) = match name.split_once(' ') {
            Some((keyword, name)) => (Some(keyword), name.trim_start()),
            None => (None, name),
        };
        let fits = |found: &Type| match wanted {
            None => true,
            Some("struct") => found.kind == kind::STRUCT,
            Some("union") => found.kind == kind::UNION,
            Some("enum") => matches!(found.kind, kind::ENUM | kind::ENUM64),
            Some(_) => false,
        };
        if let Some(nameless) = self.nameless() {
            let base = || self.base.as_ref()?.find(name);
            return self.find_ascending(nameless, name.as_bytes(), fits).or_else(base);
        }
        let hash = hash(name.as_bytes());
        let mut checked = 0;
        loop {
            let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh = loop {
                let fresh = index
                    .names
                    .get(&hash)
                    .and_then(|ids| ids.get(checked..))
                    .unwrap_or_default();
                if !fresh.is_empty() {
                    break fresh.to_vec();
                }
                let Some(()) = self.name_next(&mut index) else {
                    break Vec::new();
                };
            };
            drop(index);
            if fresh.is_empty() {
                return self.base.as_ref()?.find(name);
            }
            checked += fresh.len();
            for id in fresh {
                let Some((btf, found)) = self.look(id) else { continue };
                if fits(&found) && btf.string(found.name).as_deref() == Some(name.as_bytes()) {
                    btf.tell(id);
                    return Some((id, found));
                }
            }
        }
    }

    /// How many nameless types precede the named ones, if they stand like that: the build meets `long unsigned int` or
    /// the like in its first types, which a sorted BTF has behind some ten thousand others.
    fn nameless(&self) -> Option<u32> {
        const SAMPLE: u32 = 256;
        *self.nameless.get_or_init(|| {
            let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
            for number in 0..SAMPLE {
                let offset = self.offset(&mut index, number)?;
                if self.type_at(offset)?.name != 0 {
                    return None;
                }
            }
            self.index_all(&mut index);
            let is_nameless = |offset: &u32| self.type_at(u64::from(*offset)).is_some_and(|found| found.name == 0);
            Some(index.offsets.partition_point(is_nameless) as u32)
        })
    }

    /// The first definition called `name` among types that ascend by name from the one behind `nameless` on.
    fn find_ascending(&self, nameless: u32, name: &[u8], fits: impl Fn(&Type) -> bool) -> Option<(Id, Type)> {
        /// A structure, a function, a variable, … may share a name.
        const MAX_NAMESAKES: u32 = 64;
        let at = |number: u32| {
            let id = self.first.checked_add(number)?;
            let (_, found) = self.look(id)?;
            Some((id, found, self.string(found.name)?))
        };
        let count = self.index.lock().unwrap_or_else(PoisonError::into_inner).offsets.len() as u32;
        let (mut low, mut high) = (nameless, count);
        while low < high {
            let middle = low + (high - low) / 2;
            if *at(middle)?.2 < *name {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        (low..count.min(low.saturating_add(MAX_NAMESAKES)))
            .map_while(at)
            .take_while(|(_, _, found)| **found == *name)
            .find(|(_, found, _)| found.is_definition() && fits(found))
            .map(|(id, found, _)| {
                self.tell(id);
                (id, found)
            })
    }
}

fn hash(name: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}
