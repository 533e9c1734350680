//! The kernel's own symbol table, kallsyms: address ↔ symbol number ↔ name, in every encoding since 2.6.
//!
//! Where the tables lie is [`super::find`]'s and [`super::locate`]'s business.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::names::{GROUP, NameIndex, Tokens, entry};
use super::shared::{Names, SharedNames};
use crate::addr::VirtAddr;
use crate::kernel::access::{Abi, KernelMemory};
use crate::kernel::paged::PagedBytes;

/// More symbols than any kernel has (an allyesconfig has about 600,000): beyond it, the count is damaged.
pub(super) const MAX_SYMBOLS: u32 = 1 << 22;
/// More bytes of names than any kernel has (230,000 symbols take 2.7 MB).
pub(super) const MAX_NAMES: u64 = 1 << 26;

/// More bytes than the names between two markers can take: 256 lengths of two bytes, each at most 0x3fff.
const MAX_GROUP: u64 = GROUP as u64 * 0x4001;
/// More names than any one address has; a table of equal addresses must not cost more than this.
const MAX_ALIASES: u32 = 4096;

/// How the address table says an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `kallsyms_addresses`: one word each (to 4.5, and without KALLSYMS_BASE_RELATIVE to 6.10).
    Absolute,
    /// `kallsyms_offsets`, 32 bits each, counted from `kallsyms_relative_base` (4.6 to 6.19).
    Relative {
        /// The value of `kallsyms_relative_base`.
        base: u64,
    },
    /// The same with KALLSYMS_ABSOLUTE_PERCPU (4.6 to 6.14, x86_64 with SMP): values from 0 on are absolute, others
    /// are `base - 1 - value`.
    AbsolutePerCpu {
        /// The value of `kallsyms_relative_base`.
        base: u64,
    },
    /// `kallsyms_offsets`, each counted from its own place (7.0 on).
    PlaceRelative,
}

impl Encoding {
    /// Bytes of one entry.
    pub(super) fn entry_size(self, abi: Abi) -> u64 {
        match self {
            Encoding::Absolute => abi.word_size(),
            _ => 4,
        }
    }

    /// The address that `raw`, found at `place`, stands for.
    fn decode(self, raw: u64, place: u64) -> u64 {
        let signed = i64::from(raw as u32 as i32);
        match self {
            Encoding::Absolute => raw,
            Encoding::Relative { base } => base.wrapping_add(raw),
            Encoding::AbsolutePerCpu { .. } if signed >= 0 => raw,
            Encoding::AbsolutePerCpu { base } => base.wrapping_sub(1).wrapping_add_signed(-signed),
            Encoding::PlaceRelative => place.wrapping_add_signed(signed),
        }
    }
}

/// Where the tables of one kernel lie, proven or not.
#[derive(Debug)]
pub(super) struct Tables {
    pub(super) count: u32,
    pub(super) encoding: Encoding,
    pub(super) addresses: VirtAddr,
    pub(super) names: VirtAddr,
    /// Bytes of the name stream, or an upper bound.
    pub(super) names_len: u64,
    /// Where in the name stream every 256th name starts; the first is 0.
    pub(super) markers: Vec<u32>,
    pub(super) tokens: Tokens,
    /// The places of the tables, as VMCOREINFO would name them (6.0+).
    pub(super) labels: Vec<(&'static str, VirtAddr)>,
}

/// The kernel's symbol table, read as it is asked.
#[derive(Debug)]
pub struct Kallsyms {
    pub(super) abi: Abi,
    count: u32,
    pub(super) encoding: Encoding,
    addresses_at: VirtAddr,
    pub(super) addresses: PagedBytes,
    pub(super) names: PagedBytes,
    markers: Vec<u32>,
    pub(super) tokens: Tokens,
    labels: Vec<(&'static str, VirtAddr)>,
    index: OnceLock<Arc<NameIndex>>,
    shared: Option<Arc<SharedNames>>,
    /// The symbols whose names were told.
    told: Marks,
    /// The symbols whose addresses were looked at.
    looked_at: Marks,
}

/// A bit for every symbol.
#[derive(Debug)]
struct Marks(Box<[AtomicU64]>);

impl Marks {
    fn new(count: u32) -> Marks {
        Marks((0..count.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    fn set(&self, number: u32) {
        if let Some(word) = self.0.get(number as usize / 64) {
            word.fetch_or(1 << (number % 64), Ordering::Relaxed);
        }
    }

    fn is_set(&self, number: u32) -> bool {
        let word = self.0.get(number as usize / 64);
        word.is_some_and(|word| word.load(Ordering::Relaxed) >> (number % 64) & 1 == 1)
    }
}

impl Kallsyms {
    /// `None` when the tables contradict themselves.
    pub(super) fn new(memory: &KernelMemory, tables: Tables) -> Option<Kallsyms> {
        let abi = memory.abi();
        let groups = tables.count.div_ceil(GROUP) as usize;
        if tables.count == 0 || tables.count > MAX_SYMBOLS || tables.names_len > MAX_NAMES {
            return None;
        }
        let plausible = |pair: &[u32]| matches!(pair, [low, high] if low < high && u64::from(high - low) <= MAX_GROUP);
        if tables.markers.len() != groups
            || tables.markers.first() != Some(&0)
            || !tables.markers.windows(2).all(plausible)
        {
            return None;
        }
        let addresses_len = tables.encoding.entry_size(abi) * u64::from(tables.count);
        Some(Kallsyms {
            abi,
            count: tables.count,
            encoding: tables.encoding,
            addresses_at: tables.addresses,
            addresses: PagedBytes::new(memory.clone(), tables.addresses, addresses_len)?,
            names: PagedBytes::new(memory.clone(), tables.names, tables.names_len)?,
            markers: tables.markers,
            tokens: tables.tokens,
            labels: tables.labels,
            index: OnceLock::new(),
            shared: None,
            told: Marks::new(tables.count),
            looked_at: Marks::new(tables.count),
        })
    }

    /// Has its index made once for all dumps of this build.
    pub(super) fn share(&mut self, shared: Option<Arc<SharedNames>>) {
        self.shared = shared;
    }

    /// How many symbols it has.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether the name of symbol `number` was told to anyone.
    pub(super) fn was_told(&self, number: u32) -> bool {
        self.told.is_set(number)
    }

    /// Whether the address of symbol `number` was looked at.
    pub(super) fn was_looked_at(&self, number: u32) -> bool {
        self.looked_at.is_set(number)
    }

    /// Where its tables lie, by the names that VMCOREINFO has for them (6.0+): with these they need not be searched.
    pub fn labels(&self) -> &[(&'static str, VirtAddr)] {
        &self.labels
    }

    /// How addresses are encoded.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The address of symbol `number`; per-CPU symbols of x86_64 up to 6.14 have small offsets instead.
    pub fn address(&self, number: u32) -> Option<VirtAddr> {
        if number >= self.count {
            return None;
        }
        let size = self.encoding.entry_size(self.abi);
        let offset = size * u64::from(number);
        let mut buf = [0; 8];
        let entry = buf.get_mut(..size as usize)?;
        self.addresses.copy(offset, entry)?;
        self.looked_at.set(number);
        let raw = self.abi.uint(entry);
        let place = self.addresses_at.0.wrapping_add(offset);
        let address = self.encoding.decode(raw, place);
        Some(VirtAddr(if self.abi.is_64bit {
            address
        } else {
            address & 0xffff_ffff
        }))
    }

    /// The type character (as `nm` prints it) and the name of symbol `number`.
    pub fn name(&self, number: u32) -> Option<(char, String)> {
        if number >= self.count {
            return None;
        }
        let stream = self.group(number / GROUP);
        let mut position = 0;
        for _ in 0..number % GROUP {
            position = entry(&stream, position)?.1;
        }
        self.told.set(number);
        self.tokens.expand(entry(&stream, position)?.0)
    }

    /// The numbers of all symbols named `name`, ascending by address.
    pub fn named(&self, name: &str) -> Vec<u32> {
        /// Static functions share names, some hundreds of times; a table made of one name only must not cost more.
        const MAX_NAMESAKES: usize = 4096;
        let index = self.index.get_or_init(|| self.make_index());
        index
            .candidates(name)
            .take(MAX_NAMESAKES)
            .filter(|number| self.name(*number).is_some_and(|(_, found)| found == name))
            .collect()
    }

    fn make_index(&self) -> Arc<NameIndex> {
        let whole = self.names.load();
        let build = || NameIndex::build(self.count, &self.tokens, |group| self.group(group));
        // Names of which some are missing are this dump's alone.
        let Some((shared, bytes)) = self.shared.as_deref().zip(whole) else {
            return Arc::new(build());
        };
        let names = Names {
            count: self.count,
            markers: &self.markers,
            tokens: &self.tokens,
            bytes,
        };
        shared.index(&names, build)
    }

    /// The symbol that covers `address`: the first of those at the greatest address not above it, and the next
    /// greater address, as `kallsyms_lookup` does. `None` below the first symbol, from the last one on, and where the
    /// dump lacks the table.
    pub fn covering(&self, address: VirtAddr) -> Option<(u32, VirtAddr)> {
        let last = self.last_not_above(address)?;
        let start = self.address(last)?;
        let first = self.aliases_down_from(last, start).last()?;
        let next = self.address(last.checked_add(1)?)?;
        (next > start).then_some((first, next))
    }

    /// Whether one of the symbols at exactly `address` is called `name`; `None` when the dump lacks a name there.
    pub(super) fn has(&self, address: VirtAddr, name: &str) -> Option<bool> {
        let Some(last) = self.last_not_above(address) else {
            return Some(false);
        };
        let names: Vec<Option<(char, String)>> = self
            .aliases_down_from(last, address)
            .map(|number| self.name(number))
            .collect();
        if names.iter().flatten().any(|(_, found)| found == name) {
            return Some(true);
        }
        names.iter().all(Option::is_some).then_some(false)
    }

    /// The symbols at `address`, from number `last` down.
    fn aliases_down_from(&self, last: u32, address: VirtAddr) -> impl Iterator<Item = u32> {
        (last.saturating_sub(MAX_ALIASES)..=last)
            .rev()
            .take_while(move |number| self.address(*number) == Some(address))
    }

    fn last_not_above(&self, address: VirtAddr) -> Option<u32> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = self.readable_near(low + (high - low) / 2, low, high)?;
            if self.address(middle)? <= address {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low.checked_sub(1)
    }

    /// `number`, or else a symbol near it between `low` and `high` whose address the dump has.
    fn readable_near(&self, number: u32, low: u32, high: u32) -> Option<u32> {
        /// Less than a page of entries, so that no page is stepped over.
        const STEP: usize = 256;
        let down = (low..=number).rev().step_by(STEP);
        let up = (number..high).step_by(STEP);
        down.chain(up)
            .chain([low, high - 1])
            .find(|number| self.address(*number).is_some())
    }

    /// The name stream from marker `number` on: the names of one group, as far as the dump has them.
    pub(super) fn group(&self, number: u32) -> Cow<'_, [u8]> {
        // A record of what was read holds the names as a whole: see `condensed`.
        self.names.prefix(self.group_at(number))
    }

    /// Where in the name stream the names of one group lie.
    pub(super) fn group_at(&self, number: u32) -> Range<u64> {
        let bound = |number: u32| self.markers.get(number as usize).map(|marker| u64::from(*marker));
        let Some(start) = bound(number) else { return 0..0 };
        let end = bound(number + 1).unwrap_or_else(|| self.names.len().min(start + MAX_GROUP));
        start..end
    }
}
