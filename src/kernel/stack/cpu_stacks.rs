//! Which stacks a CPU has beside its task's: for interrupts, and for exceptions that must not trust the current one.
//!
//! Known ranges keep a walk from running in a circle, and tell where to look for the place a CPU was stopped at.

use std::ops::Range;

use crate::kernel::access::KernelMemory;
use crate::kernel::symbols::Symbols;
use crate::kernel::types::Types;

const PAGE: u64 = 4096;

/// The stack for interrupts of CPU `cpu`.
///
/// `IRQ_STACK_SIZE` equals `THREAD_SIZE` on x86_64. The pointer stands at the stack's top, since 5.8 one word below.
pub fn interrupts(
    memory: &KernelMemory,
    symbols: &Symbols,
    types: &dyn Types,
    cpu: u32,
    stack_size: u64,
) -> Option<Range<u64>> {
    let hot = || {
        // 6.2 to 6.14; the offset as it was in all of them, should types not tell.
        const OFFSET: u64 = 32;
        let hot = symbols.per_cpu("pcpu_hot", cpu)?;
        let offset = types.offset_of("pcpu_hot", "hardirq_stack_ptr").unwrap_or(OFFSET);
        hot.checked_add(offset)
    };
    let pointer = ["hardirq_stack_ptr", "irq_stack_ptr"]
        .into_iter()
        .find_map(|name| symbols.per_cpu(name, cpu))
        .or_else(hot)?;
    let top = memory.u64(pointer).ok()?.checked_next_multiple_of(PAGE)?;
    Some(top.checked_sub(stack_size)?..top)
}

/// The IST stacks of CPU `cpu`: double fault, NMI, debug, machine check, VC.
pub fn exceptions(memory: &KernelMemory, symbols: &Symbols, types: &dyn Types, cpu: u32) -> Vec<Range<u64>> {
    let mapped = symbols
        .per_cpu("cea_exception_stacks", cpu)
        .and_then(|at| memory.u64(at).ok())
        .filter(|start| *start != 0);
    if let Some(start) = mapped {
        // 5.1+: struct cea_exception_stacks, each stack behind its guard page.
        let named: Vec<_> = [
            "DF_stack",
            "NMI_stack",
            "DB_stack",
            "MCE_stack",
            "VC_stack",
            "VC2_stack",
        ]
        .into_iter()
        .filter_map(|name| types.member("cea_exception_stacks", name))
        .filter_map(|member| {
            let start = start.checked_add(member.offset)?;
            Some(start..start.checked_add(member.size)?)
        })
        .collect();
        if !named.is_empty() {
            return named;
        }
        // Without types: six guards and as many stacks of at most four pages.
        return std::iter::once(start..start.saturating_add(30 * PAGE)).collect();
    }
    // Before 5.1: an array of their tops, exception_stacks' own order.
    const MOST_STACKS: u64 = 7;
    let Some(tops) = symbols.per_cpu("orig_ist", cpu) else {
        return Vec::new();
    };
    let tops = (0..MOST_STACKS).filter_map(|index| memory.u64(tops.checked_add(index * 8)?).ok());
    below(tops.filter(|top| *top != 0 && top % PAGE == 0).collect())
}

/// The stacks below these tops. They lie side by side; the debug stack has two pages, the others one
/// (`EXCEPTION_STKSZ`, arch/x86/include/asm/page_64_types.h).
fn below(mut tops: Vec<u64>) -> Vec<Range<u64>> {
    tops.sort_unstable();
    let mut last = None;
    tops.into_iter()
        .map(|top| {
            let gap = last.replace(top).map_or(PAGE, |last| top - last);
            top.saturating_sub(if gap == 2 * PAGE { gap } else { PAGE })..top
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stacks_of_el7_lie_below_their_tops() {
        let base = 0xffff_8800_0f20_0000;
        let tops = [0xc000, 0x8000, 0xb000, 0x9000].map(|top| base + top).to_vec();
        let ends: Vec<_> = below(tops)
            .iter()
            .map(|stack| (stack.start - base, stack.end - base))
            .collect();
        assert_eq!(
            ends,
            [(0x7000, 0x8000), (0x8000, 0x9000), (0x9000, 0xb000), (0xb000, 0xc000)]
        );
    }
}
