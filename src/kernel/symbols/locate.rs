//! Where kallsyms' tables lie: told by VMCOREINFO (6.0+), or told by each other once the token table is found.
//!
//! The order of the tables in .rodata (A: addresses or offsets, B: relative_base, N: num_syms):
//!
//! ```text
//! to 4.5, absolute     A N names markers token_table token_index
//! 4.6 – 6.3            A B N names markers [seqs] token_table token_index
//! 6.4 – 6.19           N names markers token_table token_index A B seqs
//! 7.0 –                N names markers token_table token_index A seqs      (A place-relative)
//! ```
//!
//! `seqs` (`kallsyms_seqs_of_names`, 3 bytes a symbol) came with 6.2 and 6.1.y. N and markers are words before 4.20
//! and 32 bits since. Every label is aligned to the word size, from 7.0 on to 4 bytes.

use super::names::{GROUP, Tokens, entry, skip};
use super::table::{Encoding, Kallsyms, MAX_NAMES, MAX_SYMBOLS, Tables};
use crate::addr::VirtAddr;
use crate::kernel::access::KernelMemory;

/// A kernel image is smaller than this: KERNEL_IMAGE_SIZE of x86_64 with KASLR.
pub(super) const MAX_IMAGE: u64 = 1 << 30;

/// The tables' names in VMCOREINFO (6.0+).
const LABELS: [&str; 7] = [
    "kallsyms_names",
    "kallsyms_num_syms",
    "kallsyms_token_table",
    "kallsyms_token_index",
    "kallsyms_addresses",
    "kallsyms_offsets",
    "kallsyms_relative_base",
];

/// What is known of the kernel before its symbols are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// Where the kernel's image starts, or a little above it.
    pub(super) image: VirtAddr,
    /// VMCOREINFO's `SYMBOL(_stext)`.
    pub(super) stext: Option<VirtAddr>,
}

/// The tables that VMCOREINFO's `SYMBOL(kallsyms_…)` lines name. `symbol` gives the value of one.
pub(super) fn by_vmcoreinfo(
    memory: &KernelMemory,
    known: Known,
    symbol: &dyn Fn(&str) -> Option<VirtAddr>,
) -> Option<Kallsyms> {
    let names = symbol("kallsyms_names")?;
    let token_table = symbol("kallsyms_token_table")?;
    let token_index = symbol("kallsyms_token_index")?;
    let count = memory.u32(symbol("kallsyms_num_syms")?).ok()?;
    let base = symbol("kallsyms_relative_base").and_then(|at| memory.word(at).ok());
    let (addresses, offsets) = match symbol("kallsyms_offsets") {
        Some(offsets) => (offsets, true),
        None => (symbol("kallsyms_addresses")?, false),
    };
    if count == 0 || count > MAX_SYMBOLS {
        return None;
    }
    let (markers, names_len) = markers_between(memory, names, token_table, count)?;
    let labels = LABELS.into_iter().filter_map(|name| Some((name, symbol(name)?)));
    let labels: Vec<_> = labels.collect();
    let encodings = match (offsets, base) {
        (false, _) => vec![Encoding::Absolute],
        (true, None) => vec![Encoding::PlaceRelative],
        (true, Some(base)) => vec![Encoding::AbsolutePerCpu { base }, Encoding::Relative { base }],
    };
    encodings.into_iter().find_map(|encoding| {
        let tables = Tables {
            count,
            encoding,
            addresses,
            names,
            names_len,
            markers: markers.clone(),
            tokens: Tokens::read(memory, token_table, token_index)?,
            labels: labels.clone(),
        };
        Kallsyms::new(memory, tables).filter(|found| proven(found, known))
    })
}

/// The tables around a token table that its index has proven.
pub(super) fn by_token_table(
    memory: &KernelMemory,
    known: Known,
    token_table: VirtAddr,
    token_index: VirtAddr,
) -> Option<Kallsyms> {
    let word = memory.abi().word_size();
    let (markers_at, markers) = markers_before(memory, token_table)?;
    let (names, count) = names_before(memory, markers_at, &markers)?;
    let names_len = markers_at.0.checked_sub(names.0)?;
    let count_at = names.0.checked_sub(word)?;
    let behind_index = token_index.0.checked_add(512)?;
    let aligned = |value: u64| value.next_multiple_of(word);
    let offsets_len = aligned(4 * u64::from(count));

    let base = |at: Option<u64>| at.and_then(|at| Some((at, memory.word(VirtAddr(at)).ok()?)));
    let mut candidates = Vec::new();
    let older = count_at.checked_sub(word);
    if let (Some((base_at, base)), Some(at)) = (base(older), older.and_then(|at| at.checked_sub(offsets_len))) {
        candidates.push((at, Encoding::AbsolutePerCpu { base }, Some(base_at)));
        candidates.push((at, Encoding::Relative { base }, Some(base_at)));
    }
    if let Some(at) = count_at.checked_sub(word * u64::from(count)) {
        candidates.push((at, Encoding::Absolute, None));
    }
    if let Some((base_at, base)) = base(behind_index.checked_add(offsets_len)) {
        candidates.push((behind_index, Encoding::AbsolutePerCpu { base }, Some(base_at)));
        candidates.push((behind_index, Encoding::Relative { base }, Some(base_at)));
    }
    candidates.push((behind_index, Encoding::PlaceRelative, None));

    candidates.into_iter().find_map(|(addresses, encoding, base_at)| {
        let addresses_label = match encoding {
            Encoding::Absolute => "kallsyms_addresses",
            _ => "kallsyms_offsets",
        };
        let mut labels = vec![
            ("kallsyms_names", names),
            ("kallsyms_num_syms", VirtAddr(count_at)),
            ("kallsyms_token_table", token_table),
            ("kallsyms_token_index", token_index),
            (addresses_label, VirtAddr(addresses)),
        ];
        labels.extend(base_at.map(|at| ("kallsyms_relative_base", VirtAddr(at))));
        let tables = Tables {
            count,
            encoding,
            addresses: VirtAddr(addresses),
            names,
            names_len,
            markers: markers.clone(),
            tokens: Tokens::read(memory, token_table, token_index)?,
            labels,
        };
        Kallsyms::new(memory, tables).filter(|found| proven(found, known))
    })
}

/// Whether a reading of the tables can be right: addresses ascend, end in the image, and `_stext` is where VMCOREINFO
/// says it is.
fn proven(kallsyms: &Kallsyms, known: Known) -> bool {
    const SAMPLES: u32 = 12;
    let last = kallsyms.count().saturating_sub(1);
    let samples: Vec<VirtAddr> = (0..=SAMPLES)
        .filter_map(|part| kallsyms.address((u64::from(last) * u64::from(part) / u64::from(SAMPLES)) as u32))
        .collect();
    let image = known.image.0.saturating_sub(MAX_IMAGE)..known.image.0.saturating_add(MAX_IMAGE);
    let inside = samples.iter().filter(|address| image.contains(&address.0)).count();
    if samples.len() < 2 || !samples.is_sorted() || inside * 2 < samples.len() {
        return false;
    }
    match known.stext {
        Some(stext) => kallsyms.has(stext, "_stext") != Some(false),
        None => true,
    }
}

/// The markers between the names and the token table, and the length of the names.
fn markers_between(
    memory: &KernelMemory,
    names: VirtAddr,
    token_table: VirtAddr,
    count: u32,
) -> Option<(Vec<u32>, u64)> {
    let word = memory.abi().word_size();
    let groups = u64::from(count.div_ceil(GROUP));
    let seqs = (3 * u64::from(count)).next_multiple_of(word);
    let padding = (4 * groups).next_multiple_of(word) - 4 * groups;
    // The size of a marker, and what lies between the last one and the token table.
    let layouts = [(4, padding), (4, 0), (4, padding + seqs), (word, 0)];
    let found = layouts.into_iter().find_map(|(size, between)| {
        let at = token_table.0.checked_sub(between + groups * size)?;
        let names_len = at.checked_sub(names.0).filter(|len| *len <= MAX_NAMES)?;
        let bytes = memory.bytes(VirtAddr(at), (groups * size) as usize).ok()?;
        let abi = memory.abi();
        let markers: Vec<u64> = bytes.chunks_exact(size as usize).map(|raw| abi.uint(raw)).collect();
        let ascending = markers.windows(2).all(|pair| matches!(pair, [low, high] if low < high));
        let fits = markers.last().is_some_and(|last| *last < names_len);
        let holds = markers.first() == Some(&0) && ascending && fits && second_marker_holds(memory, names, &markers);
        holds.then(|| (markers.into_iter().map(|marker| marker as u32).collect(), names_len))
    });
    found.or_else(|| walked_markers(memory, names, token_table, count))
}

/// Whether the 257th name starts where the second marker says (when the dump has the first names).
fn second_marker_holds(memory: &KernelMemory, names: VirtAddr, markers: &[u64]) -> bool {
    let Some(second) = markers.get(1) else { return true };
    match memory.bytes(names, *second as usize) {
        Ok(stream) => skip(&stream, GROUP) == Some(stream.len()),
        Err(_) => true,
    }
}

/// The markers made anew from the names, for when the dump's own are not where they should be.
fn walked_markers(
    memory: &KernelMemory,
    names: VirtAddr,
    token_table: VirtAddr,
    count: u32,
) -> Option<(Vec<u32>, u64)> {
    let len = token_table.0.checked_sub(names.0).filter(|len| *len <= MAX_NAMES)?;
    let stream = memory.bytes(names, len as usize).ok()?;
    let mut markers = Vec::new();
    let mut position = 0;
    for number in 0..count {
        if number.is_multiple_of(GROUP) {
            markers.push(position as u32);
        }
        position = entry(&stream, position)?.1;
    }
    Some((markers, position as u64))
}

/// The markers that end before `end`, directly or with `seqs` between.
fn markers_before(memory: &KernelMemory, end: VirtAddr) -> Option<(VirtAddr, Vec<u32>)> {
    /// Room for the markers of [`MAX_SYMBOLS`] would be 128 KiB; half of that covers twice the largest kernels.
    const NEAR: usize = 64 << 10;
    /// And with `seqs` of as many symbols between.
    const FAR: usize = 3 * (MAX_SYMBOLS as usize / 2) + NEAR;
    let word = memory.abi().word_size() as usize;
    let near = read_back(memory, end, NEAR);
    let directly = [word, 4]
        .into_iter()
        .find_map(|size| markers_ending(memory, &near, near.len(), size));
    let (bytes, found) = match directly {
        Some(found) => (near, found),
        None => {
            let far = read_back(memory, end, FAR);
            let ends = (0..far.len() / word).map(|step| far.len() - step * word);
            let found = ends
                .flat_map(|end| [(end, word), (end, 4)])
                .filter_map(|(end, size)| markers_ending(memory, &far, end, size))
                // Few numbers ascend by chance; a real table of a kernel of this era is long.
                .find(|(_, markers)| markers.len() >= 32)?;
            (far, found)
        }
    };
    let (start, markers) = found;
    let at = end.0.checked_sub((bytes.len() - start) as u64)?;
    Some((VirtAddr(at), markers))
}

/// The ascending run from 0 that ends at byte `end` of `bytes` (but for one element of padding), and where it starts.
fn markers_ending(memory: &KernelMemory, bytes: &[u8], end: usize, size: usize) -> Option<(usize, Vec<u32>)> {
    let abi = memory.abi();
    let element = |end: usize| -> Option<u64> { Some(abi.uint(bytes.get(end.checked_sub(size)?..end)?)) };
    let mut end = end;
    if size == 4 && element(end)? == 0 {
        end -= size;
    }
    let mut later = element(end)?;
    let mut markers = vec![u32::try_from(later).ok().filter(|later| *later > 0)?];
    loop {
        end -= size;
        let marker = element(end)?;
        // 256 names take at least two bytes each, at most a two-byte length and 0x3fff codes.
        let step = later.checked_sub(marker)?;
        if !(512..=256 * 0x4001).contains(&step) {
            return None;
        }
        markers.push(marker as u32);
        later = marker;
        if marker == 0 {
            markers.reverse();
            return Some((end - size, markers));
        }
    }
}

/// The name stream that ends before its markers, and how many names it has.
fn names_before(memory: &KernelMemory, markers_at: VirtAddr, markers: &[u32]) -> Option<(VirtAddr, u32)> {
    /// The names behind the last marker take less than this (256 of 128 codes each).
    const LAST_GROUP: u64 = 32 << 10;
    /// What labels are aligned to from 7.0 on; before, to the word size.
    const GRAIN: u64 = 4;
    let abi = memory.abi();
    let word = abi.word_size();
    let last = u64::from(*markers.last()?);
    let second = *markers.get(1)? as usize;
    let groups = markers.len() as u32;
    let highest = markers_at.0.checked_sub(last)? / GRAIN * GRAIN;
    (0..LAST_GROUP / GRAIN).find_map(|step| {
        let names = VirtAddr(highest.checked_sub(step * GRAIN)?);
        let before = |bytes: u64| names.0.checked_sub(bytes).map(VirtAddr);
        let counts = [
            before(word).and_then(|at| memory.u32(at).ok()),
            before(word)
                .and_then(|at| memory.word(at).ok())
                .map(|count| count as u32),
            before(GRAIN).and_then(|at| memory.u32(at).ok()),
        ];
        let is_possible = |count: &u32| count.div_ceil(GROUP) == groups;
        let count = counts.into_iter().flatten().find(is_possible)?;
        let first = memory.bytes(names, second).ok()?;
        if skip(&first, GROUP) != Some(second) {
            return None;
        }
        let tail_at = names.checked_add(last)?;
        let tail = memory
            .bytes(tail_at, markers_at.0.checked_sub(tail_at.0)? as usize)
            .ok()?;
        let end = skip(&tail, count - (groups - 1) * GROUP)?;
        ((tail.len() - end) < word as usize).then_some((names, count))
    })
}

/// Up to `max` bytes that end at `end`: as many whole pages as can be read.
fn read_back(memory: &KernelMemory, end: VirtAddr, max: usize) -> Vec<u8> {
    const PAGE: u64 = 4096;
    let mut parts = Vec::new();
    let mut at = end.0;
    let mut len = 0;
    while len < max && at > 0 {
        let start = (at - 1) / PAGE * PAGE;
        let Ok(part) = memory.bytes(VirtAddr(start), (at - start) as usize) else {
            break;
        };
        len += part.len();
        parts.push(part);
        at = start;
    }
    parts.reverse();
    parts.concat()
}
