//! Finds kallsyms with no symbol to start from, by what its tables look like.
//!
//! The tokens of the ten digits are single characters in every kernel, so `0\0 1\0 … 9\0` stands in the token table
//! (the idea is vmlinux-to-elf's). The index behind the table repeats every token's offset and so proves the table and
//! the byte order; the other tables lie around it.
//!
//! An image has tens of megabytes, most of them text. The address table is long and easily told: numbers that only
//! ascend. So single pages are sampled for it first, and the digits looked for only around it; only if that fails, the
//! whole image is read.

use std::ops::Range;

use rayon::prelude::*;

use super::locate::{self, Known, MAX_IMAGE};
use super::table::Kallsyms;
use crate::addr::VirtAddr;
use crate::kernel::access::{Abi, KernelMemory};

const PAGE: u64 = 4096;
/// Shorter than the address table of any kernel that could crash in earnest: 32,768 symbols of 4 bytes.
const STRIDE: u64 = 128 << 10;
/// A kernel's text and read-only data end below this (an image with all debugging options has some 100 MiB).
const SEARCHED: u64 = 256 << 20;
/// The image has ended when so much in a row cannot be read (sections are aligned to 2 MiB).
const GAP: u64 = 16 << 20;

/// The kernel's symbols. `near` is an address in the kernel's data, if one is known: the tables lie shortly below.
pub(super) fn find(memory: &KernelMemory, known: Known, near: Option<VirtAddr>) -> Option<Kallsyms> {
    let start = known.image.0 / PAGE * PAGE;
    let image = start..start.saturating_add(SEARCHED.min(MAX_IMAGE));
    by_samples(memory, known, image.clone(), near).or_else(|| {
        let mut hit = None;
        scan(memory, image, |digits| {
            hit = at_digits(memory, known, digits);
            hit.is_some()
        });
        hit
    })
}

fn by_samples(memory: &KernelMemory, known: Known, image: Range<u64>, near: Option<VirtAddr>) -> Option<Kallsyms> {
    let middle = near.map_or(image.start, |near| near.0 / PAGE * PAGE);
    let middle = middle.clamp(image.start, image.end);
    let below = (1..=(middle - image.start) / STRIDE).map(|step| middle - step * STRIDE);
    let above = (0..(image.end - middle) / STRIDE).map(|step| middle + step * STRIDE);
    let mut seen: Vec<Range<u64>> = Vec::new();
    let mut unread = 0;
    for at in below.chain(above) {
        if seen.iter().any(|run| run.contains(&at)) {
            continue;
        }
        let Some(kind) = ascends(memory, at) else {
            unread += STRIDE;
            if at >= middle && unread > GAP {
                break;
            }
            continue;
        };
        unread = 0;
        if !kind {
            continue;
        }
        let run = run_around(memory, at, &image);
        let mut hit = None;
        // From 6.4 on the token table lies before the addresses, until then behind the names that follow them.
        for part in windows_around(&run) {
            if hit.is_none() {
                scan(memory, part, |digits| {
                    hit = at_digits(memory, known, digits);
                    hit.is_some()
                });
            }
        }
        if hit.is_some() {
            return hit;
        }
        seen.push(run);
    }
    None
}

/// Where the token table lies if `run` is the address table.
fn windows_around(run: &Range<u64>) -> [Range<u64>; 2] {
    /// The token table has less than 256 tokens of, on average, 4 characters; its index 512 bytes.
    const TOKENS: u64 = 4 * PAGE;
    /// Names take on average 12 bytes, an address 4 or 8; the rest are markers and sequence numbers.
    const NAMES_TO_ADDRESSES: u64 = 6;
    let len = run.end - run.start;
    [
        run.start.saturating_sub(TOKENS)..run.start + PAGE,
        run.end.saturating_sub(PAGE)..run.end.saturating_add(len * NAMES_TO_ADDRESSES),
    ]
}

/// The pages around `at` whose numbers only ascend.
fn run_around(memory: &KernelMemory, at: u64, image: &Range<u64>) -> Range<u64> {
    let holds = |page: u64| image.contains(&page) && ascends(memory, page) == Some(true);
    // Doubling steps, then halving ones: a table of 100 pages takes about ten reads on each side.
    let edge = |step: &dyn Fn(u64) -> Option<u64>| -> u64 {
        let mut good = 0_u64;
        let mut bad = 1_u64;
        while step(bad).is_some_and(holds) {
            good = bad;
            bad *= 2;
        }
        while bad - good > 1 {
            let middle = good + (bad - good) / 2;
            if step(middle).is_some_and(holds) {
                good = middle;
            } else {
                bad = middle;
            }
        }
        good
    };
    let down = edge(&|pages| at.checked_sub(pages.checked_mul(PAGE)?));
    let up = edge(&|pages| at.checked_add(pages.checked_mul(PAGE)?));
    // One page more on each side: there the table starts and ends inside.
    at.saturating_sub((down + 1) * PAGE)..at.saturating_add((up + 2) * PAGE)
}

/// Whether the page at `at` looks like part of an address table; `None` when it cannot be read.
fn ascends(memory: &KernelMemory, at: u64) -> Option<bool> {
    let bytes = memory.peek(VirtAddr(at), PAGE as usize).ok()?;
    let abi = memory.abi();
    Some(words_ascend(abi, &bytes) || offsets_ascend(abi, &bytes))
}

/// `kallsyms_addresses`: kernel addresses.
fn words_ascend(abi: Abi, bytes: &[u8]) -> bool {
    let lowest = if abi.is_64bit {
        0xffff_0000_0000_0000
    } else {
        0x4000_0000
    };
    let words: Vec<u64> = bytes
        .chunks_exact(abi.word_size() as usize)
        .map(|raw| abi.uint(raw))
        .collect();
    words.iter().all(|word| *word > lowest) && climbs(&words)
}

/// `kallsyms_offsets`: from a base up, from -1 down, or each from its own place.
fn offsets_ascend(abi: Abi, bytes: &[u8]) -> bool {
    let offsets = || bytes.chunks_exact(4).map(|raw| i64::from(abi.uint(raw) as u32 as i32));
    let climbing = |numbers: &mut dyn Iterator<Item = i64>| {
        let numbers: Vec<u64> = numbers.map(|number| number.wrapping_sub(i64::MIN) as u64).collect();
        climbs(&numbers)
    };
    let first = offsets().next().unwrap_or(0);
    if first < 0 {
        climbing(&mut offsets().map(|offset| -offset)) || climbing(&mut offsets().zip(0..).map(|(o, n)| o + 4 * n))
    } else {
        climbing(&mut offsets())
    }
}

/// Whether numbers never fall, and rise often enough to be more than a constant or a short table between others.
fn climbs(numbers: &[u64]) -> bool {
    let mut rises = 0;
    for pair in numbers.windows(2) {
        match pair {
            [low, high] if low < high => rises += 1,
            [low, high] if low == high => {}
            _ => return false,
        }
    }
    rises * 2 > numbers.len()
}

/// Reads `range` and calls `visit` with every place where the ten digits stand as tokens, until it says stop.
///
/// Fetching and unpacking pages is nearly all of the cost: hence the threads.
fn scan(memory: &KernelMemory, range: Range<u64>, mut visit: impl FnMut(VirtAddr) -> bool) {
    const BLOCK: u64 = 32 << 10;
    const BLOCKS: u64 = 8;
    let mut unread = 0;
    for batch in range.clone().step_by((BLOCK * BLOCKS) as usize) {
        let blocks: Vec<u64> = (0..BLOCKS).map(|block| batch.saturating_add(block * BLOCK)).collect();
        let found: Vec<Block> = blocks
            .into_par_iter()
            .map(|start| block(memory, start..start.saturating_add(BLOCK).min(range.end)))
            .collect();
        for block in found {
            if block.hits.into_iter().any(&mut visit) {
                return;
            }
            unread = if block.is_empty { unread + BLOCK } else { 0 };
        }
        if unread > GAP {
            return;
        }
    }
}

/// What [`scan`] found in one piece.
struct Block {
    hits: Vec<VirtAddr>,
    /// Nothing of it could be read.
    is_empty: bool,
}

/// The digits that start in `range`.
fn block(memory: &KernelMemory, range: Range<u64>) -> Block {
    let mut found = Block {
        hits: Vec::new(),
        is_empty: true,
    };
    // As far as the digits reach that start at the end; they are not looked for where pages lack.
    let overlap = DIGITS.len() as u64 - 1;
    let whole = range.end.saturating_sub(range.start).saturating_add(overlap);
    let mut search = |start: u64, len: u64| {
        let Ok(bytes) = memory.peek(VirtAddr(start), len as usize) else {
            return false;
        };
        found.is_empty = false;
        let mut from = 0;
        while let Some(hit) = find_digits(&bytes, from) {
            found.hits.push(VirtAddr(start + hit as u64));
            from = hit + 1;
        }
        true
    };
    if whole > overlap && !search(range.start, whole) {
        for page in range.step_by(PAGE as usize) {
            if !search(page, PAGE + overlap) {
                search(page, PAGE);
            }
        }
    }
    found
}

const DIGITS: &[u8] = b"0\x001\x002\x003\x004\x005\x006\x007\x008\x009\x00";

/// The first place from `from` on where [`DIGITS`] stand (by Horspool's skips: this reads megabytes).
fn find_digits(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let window = bytes.get(at..at.checked_add(DIGITS.len())?)?;
        at += match window.last()? {
            0 if window == DIGITS => return Some(at),
            0 => 2,
            digit @ b'0'..=b'9' => 19 - 2 * usize::from(digit - b'0'),
            _ => DIGITS.len(),
        };
    }
}

/// The symbols whose token table has its digits at `digits`.
fn at_digits(memory: &KernelMemory, known: Known, digits: VirtAddr) -> Option<Kallsyms> {
    let (table, index) = token_table(memory, digits)?;
    locate::by_token_table(memory, known, table, index)
}

/// The token table around its digits, and its index.
///
/// Where token 0 starts cannot be seen: what lies before it may end in any byte. The index tells.
fn token_table(memory: &KernelMemory, digits: VirtAddr) -> Option<(VirtAddr, VirtAddr)> {
    /// The first digit's code.
    const ZERO: usize = b'0' as usize;
    /// Generous room for the 208 tokens from the digits on, and the index.
    const BEHIND: usize = 8192;
    let abi = memory.abi();
    let mut text = memory.bytes(digits, BEHIND).ok();
    if text.is_none() {
        let rest = PAGE - digits.0 % PAGE;
        text = memory.bytes(digits, rest as usize).ok();
    }
    let text = text?;
    let lens: Vec<usize> = text
        .split(|byte| *byte == 0)
        .map(<[u8]>::len)
        .take(256 - ZERO)
        .collect();
    if lens.len() < 256 - ZERO {
        return None;
    }
    let end: usize = lens.iter().map(|len| len + 1).sum();
    // The index is aligned to the word size; a little more room costs nothing.
    (end..end + 64).find_map(|at| {
        let index: Vec<usize> = text
            .get(at..at + 512)?
            .chunks_exact(2)
            .map(|raw| abi.uint(raw) as usize)
            .collect();
        let behind = index.get(ZERO..)?;
        let before = index.get(..ZERO)?;
        let same = behind
            .windows(2)
            .zip(&lens)
            .all(|(pair, len)| matches!(pair, [low, high] if low + len + 1 == *high));
        if !same || before.first() != Some(&0) || !index.is_sorted() {
            return None;
        }
        let table = digits.0.checked_sub(*behind.first()? as u64)?;
        Some((VirtAddr(table), digits.checked_add(at as u64)?))
    })
}
