//! Virtual addresses of the dumped kernel → physical ones, and reading through them.
//!
//! The kernel's own page tables decide. Where a table's page is missing from the dump (filtered, cut off), the two
//! linear maps of x86_64, the kernel's image and all of physical memory, stand in for it. Nothing here knows where the
//! tables start: finding them is for others.

mod cache;
mod linear;
pub mod x86_64;

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use self::cache::Cache;
pub(crate) use self::cache::TableMemory;
pub use self::linear::{KERNEL_MAP, LinearMaps};
use super::{PAGE, ReadError, VirtualMemory};
use crate::addr::{PhysAddr, VirtAddr};
use crate::dump::{MemoryError, PhysicalMemory};

/// A piece of virtual memory that one page table entry maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Where it starts.
    pub start: VirtAddr,
    /// Where it lies.
    pub physical: PhysAddr,
    /// In bytes: 4 KiB, 2 MiB or 1 GiB.
    pub size: u64,
    /// Whether the kernel may write there.
    pub writable: bool,
    /// Whether the CPU may execute it.
    pub executable: bool,
}

/// What a walk of the tables ends in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    /// A page.
    Mapped(Leaf),
    /// An entry that is not present.
    Absent {
        /// How far, in bytes, nothing is mapped from the address on.
        left: u64,
    },
}

/// How addresses are translated.
#[derive(Clone, Debug)]
pub enum Translation {
    /// x86_64 page tables.
    X86_64(x86_64::PageTables),
    /// The tables were not found (then only `maps` translate), or the machine's are not understood.
    None,
}

/// The dumped kernel's virtual memory, read through its page tables.
pub struct AddressSpace {
    memory: Arc<dyn PhysicalMemory>,
    translation: Translation,
    maps: LinearMaps,
    /// The direct map as the tables' first pages show it; looked for when it is needed.
    direct_map: OnceLock<Option<Range<u64>>>,
    cache: Mutex<Cache>,
}

impl AddressSpace {
    /// The address space that `translation` spans; `maps` serve where its tables cannot be read.
    pub fn new(memory: Arc<dyn PhysicalMemory>, translation: Translation, maps: LinearMaps) -> AddressSpace {
        AddressSpace {
            memory,
            translation,
            maps,
            direct_map: OnceLock::new(),
            cache: Mutex::new(Cache::new()),
        }
    }

    /// The physical memory below.
    pub fn physical(&self) -> &Arc<dyn PhysicalMemory> {
        &self.memory
    }

    /// How addresses are translated.
    pub fn translation(&self) -> &Translation {
        &self.translation
    }

    /// The linear maps that stand in for tables that cannot be read.
    pub fn maps(&self) -> &LinearMaps {
        &self.maps
    }

    /// Where `at` lies.
    pub fn translate(&self, at: VirtAddr) -> Result<PhysAddr, ReadError> {
        self.locate(at).map(|(physical, _)| physical)
    }

    /// What is mapped from `from` up to `to`, ascending, neighbours with equal rights joined. Ends early, with what it
    /// has, after `limit` entries (present or not), and passes over tables that cannot be read.
    pub fn mapped(&self, from: VirtAddr, to: VirtAddr, limit: usize) -> Vec<Leaf> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<Leaf> = Vec::new();
        let mut at = from.0;
        for _ in 0..limit {
            if at >= to.0 {
                break;
            }
            let walk = match self.walk(&mut cache, VirtAddr(at)) {
                Ok(walk) => walk,
                Err(_) => Walk::Absent {
                    left: x86_64::PMD_SIZE - at % x86_64::PMD_SIZE,
                },
            };
            let left = match walk {
                Walk::Absent { left } => left,
                Walk::Mapped(leaf) => {
                    let skip = at - leaf.start.0;
                    let part = Leaf {
                        start: VirtAddr(at),
                        physical: PhysAddr(leaf.physical.0.saturating_add(skip)),
                        size: leaf.size - skip,
                        ..leaf
                    };
                    match found.last_mut() {
                        Some(last) if last.continues_with(&part) => last.size += part.size,
                        _ => found.push(part),
                    }
                    part.size
                }
            };
            let Some(next) = at.checked_add(left.max(1)) else { break };
            at = next;
        }
        found
    }

    /// Where all of physical memory is mapped, from `page_offset_base` on: as the headers told, else the lowest that the
    /// page tables map in the kernel's half.
    pub fn direct_map(&self) -> Option<Range<u64>> {
        let derive = || {
            const GIGABYTE: u64 = 1 << 30;
            let start = match &self.translation {
                Translation::X86_64(tables) => tables.kernel_half(),
                Translation::None => return None,
            };
            // Present or not, an entry of the top table is one step; of the next, one for every hole in memory.
            let found = self.mapped(start, VirtAddr(KERNEL_MAP), 2 * 512);
            let first = found.first()?;
            let base = first.start.0.checked_sub(first.physical.0)?;
            let end = base.checked_add(self.memory.ranges().last()?.end)?;
            base.is_multiple_of(GIGABYTE).then_some(base..end)
        };
        let told = self.maps.direct_map.clone();
        told.or_else(|| self.direct_map.get_or_init(derive).clone())
    }

    /// Where `at` lies, and how many bytes from there on lie behind one another.
    fn locate(&self, at: VirtAddr) -> Result<(PhysAddr, u64), ReadError> {
        let missing = {
            let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(leaf) = cache.translation(at) {
                return leaf.locate(at).ok_or(ReadError::NotMapped(at));
            }
            match self.walk(&mut cache, at) {
                Ok(Walk::Mapped(leaf)) => {
                    cache.remember(at, leaf);
                    return leaf.locate(at).ok_or(ReadError::NotMapped(at));
                }
                Ok(Walk::Absent { .. }) => return Err(ReadError::NotMapped(at)),
                Err(missing) => missing,
            }
        };
        let image = self.maps.image(at);
        let physical = image.or_else(|| linear::direct(&self.direct_map()?, at));
        let left = linear::PAGE - at.0 % linear::PAGE;
        match (physical, missing) {
            (Some(physical), _) => Ok((physical, left)),
            (None, Some(source)) => Err(ReadError::Tables { at, source }),
            (None, None) => Err(ReadError::NoTables(at)),
        }
    }

    /// The error: a table that could not be read, or none because no table is known.
    fn walk(&self, cache: &mut Cache, at: VirtAddr) -> Result<Walk, Option<MemoryError>> {
        let mut tables = cache.tables(&*self.memory);
        match &self.translation {
            Translation::X86_64(root) => root.walk(&mut tables, at).map_err(Some),
            Translation::None => Err(None),
        }
    }

    /// Reads piece by piece, each as long as it lies in one piece of physical memory.
    fn read_by(
        &self,
        at: VirtAddr,
        buf: &mut [u8],
        read: impl Fn(PhysAddr, &mut [u8]) -> Result<(), MemoryError>,
    ) -> Result<(), ReadError> {
        let mut at = at;
        let mut rest = buf;
        while !rest.is_empty() {
            let (physical, run) = self.run(at, rest.len() as u64)?;
            let length = usize::try_from(run).unwrap_or(usize::MAX).min(rest.len());
            let (part, behind) = rest.split_at_mut(length);
            read(physical, part).map_err(|source| ReadError::Memory { at, physical, source })?;
            rest = behind;
            if !rest.is_empty() {
                at = at.checked_add(run).ok_or(ReadError::NotMapped(at))?;
            }
        }
        Ok(())
    }

    /// Where `at` lies, and how many of the next `wanted` bytes lie in one piece of physical memory.
    fn run(&self, at: VirtAddr, wanted: u64) -> Result<(PhysAddr, u64), ReadError> {
        let (physical, mut run) = self.locate(at)?;
        while run < wanted {
            let (Some(next), Some(expected)) = (at.checked_add(run), physical.checked_add(run)) else {
                break;
            };
            match self.locate(next) {
                Ok((found, more)) if found == expected => run = run.saturating_add(more),
                _ => break,
            }
        }
        Ok((physical, run.min(wanted)))
    }
}

impl VirtualMemory for AddressSpace {
    fn read(&self, at: VirtAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        self.read_by(at, buf, |physical, part| self.memory.read(physical, part))
    }

    fn peek(&self, at: VirtAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        self.read_by(at, buf, |physical, part| self.memory.peek(physical, part))
    }

    fn page(&self, at: VirtAddr) -> Option<Arc<[u8]>> {
        // Nothing smaller is mapped: what starts a page lies in one piece.
        let starts = at.0.is_multiple_of(PAGE);
        let physical = self.translate(at).ok().filter(|_| starts)?;
        self.memory.page(physical).filter(|page| page.len() as u64 == PAGE)
    }

    fn used(&self, at: VirtAddr, len: u64) {
        let mut done = 0;
        while done < len {
            let Some(Ok((physical, run))) = at.checked_add(done).map(|at| self.run(at, len - done)) else {
                return;
            };
            self.memory.used(physical, run);
            done = done.saturating_add(run.max(1));
        }
    }

    fn is_recorded(&self) -> bool {
        self.memory.is_recorded()
    }

    fn executable(&self, at: VirtAddr) -> Option<bool> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        match self.walk(&mut cache, at) {
            Ok(Walk::Mapped(leaf)) => Some(leaf.executable),
            Ok(Walk::Absent { .. }) => Some(false),
            Err(_) => None,
        }
    }
}

impl fmt::Debug for AddressSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddressSpace")
            .field("translation", &self.translation)
            .field("maps", &self.maps)
            .finish_non_exhaustive()
    }
}

impl Leaf {
    /// Where `at` lies in this leaf, and how many bytes are left in it.
    fn locate(&self, at: VirtAddr) -> Option<(PhysAddr, u64)> {
        let skip = at.0.checked_sub(self.start.0)?;
        let left = self.size.checked_sub(skip).filter(|&left| left > 0)?;
        Some((self.physical.checked_add(skip)?, left))
    }

    fn continues_with(&self, next: &Leaf) -> bool {
        self.start.checked_add(self.size) == Some(next.start)
            && self.physical.checked_add(self.size) == Some(next.physical)
            && self.writable == next.writable
            && self.executable == next.executable
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::Machine;

    const IMAGE: u64 = 0xffff_ffff_8100_0000;

    #[test]
    fn a_read_crosses_pages_that_are_not_neighbours() {
        let mut machine = Machine::new(0x10_0000);
        machine.map(IMAGE, 0x5000, 0x1000);
        machine.map(IMAGE + 0x1000, 0x3000, 0x1000);
        machine.write(0x5ffe, b"ab");
        machine.write(0x3000, b"cd");
        let space = machine.address_space(LinearMaps::default());
        let mut buf = [0; 4];
        space.read(VirtAddr(IMAGE + 0xffe), &mut buf).unwrap();
        assert_eq!(&buf, b"abcd");
        assert_eq!(
            space.read(VirtAddr(IMAGE + 0x1ffe), &mut buf),
            Err(ReadError::NotMapped(VirtAddr(IMAGE + 0x2000)))
        );
    }

    #[test]
    fn a_read_at_the_end_of_the_address_space_ends() {
        let mut machine = Machine::new(0x10_0000);
        machine.map(0xffff_ffff_ffff_f000, 0x5000, 0x1000);
        machine.write(0x5000, &[0; 0x1000]);
        let space = machine.address_space(LinearMaps::default());
        let mut buf = [0; 8];
        space.read(VirtAddr(u64::MAX - 7), &mut buf).unwrap();
        assert!(space.read(VirtAddr(u64::MAX - 3), &mut buf).is_err());
    }

    #[test]
    fn the_linear_maps_stand_in_for_a_missing_table() {
        let mut machine = Machine::new(0x10_0000);
        machine.map(IMAGE, 0x20_0000, 0x20_0000);
        machine.write(0x20_0010, b"text");
        machine.drop_tables();
        let maps = LinearMaps {
            phys_base: Some(0x20_0000u64.wrapping_sub(0x100_0000)),
            image_size: 512 << 20,
            direct_map: Some(0xffff_8880_0000_0000..0xffff_8880_4000_0000),
        };
        let space = machine.address_space(maps);
        let mut buf = [0; 4];
        for at in [IMAGE + 0x10, 0xffff_8880_0020_0010] {
            space.read(VirtAddr(at), &mut buf).unwrap();
            assert_eq!(&buf, b"text");
        }
        assert!(matches!(
            space.read(VirtAddr(0xffff_c900_0000_0000), &mut buf),
            Err(ReadError::Tables { .. })
        ));
    }

    #[test]
    fn the_direct_map_is_seen_in_what_tables_there_are() {
        const BASE: u64 = 0xffff_9f40_0000_0000;
        let mut machine = Machine::new(0x10_0000);
        machine.map(BASE + 0x1000, 0x1000, 0x1000);
        machine.map(BASE + (5 << 30), 5 << 30, 0x20_0000);
        machine.map(0xffff_c900_0000_0000, 0x9000, 0x1000);
        machine.write(5 << 30, b"deep");
        machine.drop_table_of(BASE + (5 << 30), 0x20_0000);
        let space = machine.address_space(LinearMaps::default());
        let mut buf = [0; 4];
        space.read(VirtAddr(BASE + (5 << 30)), &mut buf).unwrap();
        assert_eq!(&buf, b"deep");
        assert_eq!(space.direct_map().map(|map| map.start), Some(BASE));
    }

    #[test]
    fn what_is_mapped_can_be_listed() {
        let mut machine = Machine::new(0x10_0000);
        machine.map(IMAGE, 0x20_0000, 0x20_0000);
        machine.map(IMAGE + 0x20_0000, 0x40_0000, 0x1000);
        machine.map(IMAGE + 0x20_5000, 0x9000, 0x1000);
        let space = machine.address_space(LinearMaps::default());
        let found = space.mapped(VirtAddr(0xffff_ffff_8000_0000), VirtAddr(0xffff_ffff_c000_0000), 10_000);
        let found: Vec<_> = found
            .iter()
            .map(|leaf| (leaf.start.0 - IMAGE, leaf.physical.0, leaf.size))
            .collect();
        assert_eq!(found, [(0, 0x20_0000, 0x20_1000), (0x20_5000, 0x9000, 0x1000)]);
    }
}
