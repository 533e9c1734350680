//! The last resort: every word of a stack that follows a call may be a return address.
//!
//! Stale words qualify too, so nothing found here is reliable; it is what the kernel prints with a `?`.

use std::ops::Range;
use std::rc::Rc;

use super::calls::{self, Before};
use super::registers::SavedRegisters;
use super::unwind::{Frame, MAX_FRAMES, USUAL_STACK_SIZE, Unwinder, fits_its_place};
use crate::addr::VirtAddr;

/// Where the stack that `sp` points into ends.
pub fn end_of_stack(sp: u64, stacks: &[Range<u64>]) -> u64 {
    stacks
        .iter()
        .find(|stack| stack.contains(&sp))
        .map_or((sp | (USUAL_STACK_SIZE - 1)).saturating_add(1), |stack| stack.end)
}

/// The candidates between `from` and `upto`; absent pages are passed over.
pub fn scan(unwinder: &Unwinder<'_>, from: u64, upto: u64) -> Vec<Frame> {
    let mut frames = Vec::new();
    let from = from.saturating_add(7) & !7;
    let upto = upto.min(from.saturating_add(4 * USUAL_STACK_SIZE));
    for (slot, word) in words(unwinder, from, upto) {
        if frames.len() >= MAX_FRAMES {
            break;
        }
        let at = VirtAddr(word);
        if !may_be_return_address(unwinder, at) {
            continue;
        }
        frames.push(Frame {
            address: at,
            stack_address: Some(VirtAddr(slot)),
            exact: false,
            saved: None,
            sp: VirtAddr(slot.wrapping_add(8)),
            reliable: false,
        });
        let beside = slot.wrapping_add(8);
        if let Ok(saved) = SavedRegisters::read(unwinder.memory, VirtAddr(beside))
            && saved.is_plausible()
            && !saved.user_mode()
            && fits_its_place(&saved, beside)
            && unwinder.code.is_text(VirtAddr(saved.rip()))
        {
            frames.push(Frame {
                address: VirtAddr(saved.rip()),
                stack_address: saved.at,
                exact: true,
                sp: VirtAddr(saved.rsp()),
                saved: Some(Rc::new(saved)),
                reliable: false,
            });
        }
    }
    frames
}

fn may_be_return_address(unwinder: &Unwinder<'_>, at: VirtAddr) -> bool {
    let last = at.wrapping_offset(-1);
    let named = unwinder.code.is_text(last) && !unwinder.code.is_discarded(last);
    if !named && !unwinder.is_unnamed_code(last) {
        return false;
    }
    match calls::before(unwinder.memory, at) {
        Before::Call(_) | Before::IndirectCall => true,
        Before::Other => false,
        // The text is cut off, but the page tables still tell it from data.
        Before::Unreadable => !named && unwinder.memory.executable(last) == Some(true),
    }
}

/// The words between two addresses with their places; absent pages are passed over.
pub fn words(unwinder: &Unwinder<'_>, from: u64, upto: u64) -> impl Iterator<Item = (u64, u64)> {
    const PAGE: u64 = 4096;
    let first = from / PAGE;
    let pages = (first..upto.div_ceil(PAGE)).map(move |page| {
        let start = (page * PAGE).max(from);
        let end = (page + 1).saturating_mul(PAGE).min(upto);
        (start, usize::try_from(end.saturating_sub(start)).unwrap_or(0))
    });
    let memory = unwinder.memory;
    pages
        .filter_map(move |(start, size)| Some((start, memory.bytes(VirtAddr(start), size).ok()?)))
        .flat_map(move |(start, bytes)| {
            let (words, _) = bytes.as_chunks::<8>();
            (start..)
                .step_by(8)
                .zip(words.iter().map(|word| u64::from_le_bytes(*word)).collect::<Vec<_>>())
        })
}
