//! Which CPUs the dumped kernel had online.

use super::access::KernelMemory;
use super::symbols::Symbols;

/// `CONFIG_NR_CPUS` is at most this on x86_64 (arch/x86/Kconfig, `NR_CPUS_RANGE_END`).
const MOST_CPUS: u32 = 8192;

/// The numbers of the CPUs that were online, ascending; empty when the mask cannot be read.
///
/// The mask is `__cpu_online_mask` since 4.5 and the static `cpu_online_bits` before; without either the kernel was
/// built for one CPU.
pub fn online(memory: &KernelMemory, symbols: &Symbols) -> Vec<u32> {
    let Some(mask) = ["__cpu_online_mask", "cpu_online_bits"]
        .into_iter()
        .find_map(|name| symbols.by_name(name))
    else {
        return vec![0];
    };
    let possible = symbols
        .by_name("nr_cpu_ids")
        .and_then(|at| memory.u32(at).ok())
        .filter(|count| (1..=MOST_CPUS).contains(count));
    // Without the count, the words up to the next symbol are the mask (and padding, which is zero).
    let room = symbols
        .by_address(mask)
        .map_or(8, |symbol| symbol.size)
        .saturating_mul(8);
    let count = possible.unwrap_or_else(|| u32::try_from(room).unwrap_or(MOST_CPUS).min(MOST_CPUS));
    // Words of 8 bytes on every 64-bit machine, so that bit n of the mask is bit n % 64 of word n / 64.
    (0..count.div_ceil(64))
        .filter_map(|word| Some((word, memory.u64(mask.checked_add(u64::from(word) * 8)?).ok()?)))
        .flat_map(|(word, bits)| {
            (0..64)
                .filter(move |bit| bits >> bit & 1 == 1)
                .map(move |bit| word * 64 + bit)
        })
        .filter(|cpu| *cpu < count)
        .collect()
}
