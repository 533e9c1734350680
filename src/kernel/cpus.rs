//! Which CPUs the dumped kernel had.

use super::access::KernelMemory;
use super::symbols::Symbols;
use crate::addr::VirtAddr;

/// `CONFIG_NR_CPUS` is at most this on x86_64 (arch/x86/Kconfig, `NR_CPUS_RANGE_END`).
const MOST_CPUS: u32 = 8192;

/// The numbers of the CPUs that were online when the crash began, ascending; empty when the masks cannot be read.
///
/// Where no kdump kernel takes over, panic() stops the other CPUs, and each clears its own bit in the mask of those
/// online, but not in that of those active (which is a part of the first otherwise): so both count.
pub fn online(memory: &KernelMemory, symbols: &Symbols) -> Vec<u32> {
    in_masks(
        memory,
        symbols,
        [
            ["__cpu_online_mask", "cpu_online_bits"],
            ["__cpu_active_mask", "cpu_active_bits"],
        ],
    )
}

/// The numbers of the CPUs that were there, online or not, ascending; empty when the mask cannot be read.
pub fn present(memory: &KernelMemory, symbols: &Symbols) -> Vec<u32> {
    let mask = ["__cpu_present_mask", "cpu_present_bits"];
    in_masks(memory, symbols, [mask, mask])
}

/// The CPUs in one or both of two masks. A mask has one name since 4.5 and another (a static array's) before; without
/// the first mask the kernel was built for one CPU.
fn in_masks(memory: &KernelMemory, symbols: &Symbols, [first, second]: [[&str; 2]; 2]) -> Vec<u32> {
    let find = |names: [&str; 2]| names.into_iter().find_map(|name| symbols.by_name(name));
    let Some(first) = find(first) else {
        return vec![0];
    };
    let second = find(second).filter(|second| *second != first);
    let possible = symbols
        .by_name("nr_cpu_ids")
        .and_then(|at| memory.u32(at).ok())
        .filter(|count| (1..=MOST_CPUS).contains(count));
    // Without the count, the words up to the next symbol are the mask (and padding, which is zero).
    let room = symbols
        .by_address(first)
        .map_or(8, |symbol| symbol.size)
        .saturating_mul(8);
    let count = possible.unwrap_or_else(|| u32::try_from(room).unwrap_or(MOST_CPUS).min(MOST_CPUS));
    // Words of 8 bytes on every 64-bit machine, so that bit n of the mask is bit n % 64 of word n / 64.
    let word = |mask: VirtAddr, number: u32| memory.u64(mask.checked_add(u64::from(number) * 8)?).ok();
    (0..count.div_ceil(64))
        .filter_map(|number| {
            let more = second.and_then(|mask| word(mask, number)).unwrap_or(0);
            Some((number, word(first, number)? | more))
        })
        .flat_map(|(number, bits)| {
            (0..64)
                .filter(move |bit| bits >> bit & 1 == 1)
                .map(move |bit| number * 64 + bit)
        })
        .filter(|cpu| *cpu < count)
        .collect()
}
