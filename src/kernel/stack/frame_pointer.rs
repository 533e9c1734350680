//! Steps along saved frame pointers: el6, el7 and every kernel built with `CONFIG_UNWINDER_FRAME_POINTER`.
//!
//! A function that has run its prologue has its caller's rbp at `[rbp]` and its return address at `[rbp+8]`. Entry code
//! keeps no frame: an exception handler's saved rbp *is* the interrupted rbp, so the chain by itself skips the place
//! that was interrupted (and its caller, when the prologue had not run). The saved registers beside the return address
//! into the entry code tell both. Since 4.14 entry code leaves a pointer to them in the chain, with bit 0 set.

use std::rc::Rc;

use super::calls::{self, Before};
use super::registers::SavedRegisters;
use super::unwind::{Cursor, End, Function, Unwinder, fits_its_place};
use crate::addr::VirtAddr;

/// One frame outwards.
pub fn step(unwinder: &Unwinder<'_>, here: &Cursor) -> Result<Cursor, End> {
    let function = unwinder.code.function(here.lookup_address());
    let prologue = match &function {
        Some(function) => Prologue::of(unwinder, function),
        None => Prologue::None,
    };
    let first = function.as_ref().is_some_and(|function| is_first(&function.name));
    if !here.exact && prologue == Prologue::None {
        if let Some(saved) = saved_by_entry_code(unwinder, here) {
            return Ok(Cursor::at_registers(Rc::new(saved), true));
        }
        if first {
            return Err(End::Bottom);
        }
    }
    if let Some(bp) = here.bp.filter(|bp| bp & 1 == 1)
        && !here.exact
    {
        let at = VirtAddr(bp & !1);
        return SavedRegisters::read(unwinder.memory, at)
            .map(|saved| Cursor::at_registers(Rc::new(saved), true))
            .map_err(|error| End::Broken(error.to_string()));
    }
    if here.exact {
        let start = function.map(|function| function.start);
        if let Some(next) = from_exact(unwinder, here, start, prologue) {
            return Ok(next);
        }
    }
    // Some kernels put a zero where the first function's return address would be, others nothing at all.
    from_frame(unwinder, here).map_err(|why| if first { End::Bottom } else { End::Broken(why) })
}

/// Whether most of a few functions that no kernel lacks begin by setting up a frame pointer.
pub fn kept_by_kernel(unwinder: &Unwinder<'_>, functions: &[Function]) -> bool {
    let kept = functions
        .iter()
        .filter(|function| Prologue::of(unwinder, function) != Prologue::None)
        .count();
    kept * 2 > functions.len()
}

/// The caller by `[rbp+8]`.
fn from_frame(unwinder: &Unwinder<'_>, here: &Cursor) -> Result<Cursor, String> {
    let bp = here.bp.ok_or("the frame pointer is not known")?;
    if bp & 7 != 0 || bp >> 63 == 0 {
        return Err(format!("the frame pointer {bp:#x} is none"));
    }
    let slot = bp.wrapping_add(8);
    let mut next = unwinder.returned(unwinder.word(slot)?, slot)?;
    next.bp = Some(unwinder.word(bp)?);
    Ok(next)
}

/// The caller of a function stopped at an exact place, where the frame pointer does not yet (or no longer) tell it.
fn from_exact(unwinder: &Unwinder<'_>, here: &Cursor, start: Option<VirtAddr>, prologue: Prologue) -> Option<Cursor> {
    let by_slot = |slot: u64| {
        let mut next = unwinder.returned(unwinder.word(slot).ok()?, slot).ok()?;
        next.bp = here.bp;
        Some(next)
    };
    let Some(start) = start.filter(|_| unwinder.code.is_text(VirtAddr(here.pc))) else {
        // A call to nowhere: all it did was to push its return address.
        return by_slot(here.sp).filter(|next| calls::before(unwinder.memory, VirtAddr(next.pc)).is_call());
    };
    let offset = here.pc.wrapping_sub(start.0);
    match prologue {
        Prologue::PushAt(push) if offset <= push => by_slot(here.sp),
        Prologue::PushAt(push) if offset < push + PUSH_AND_MOVE.len() as u64 => by_slot(here.sp.wrapping_add(8)),
        _ if unwinder.memory.u8(VirtAddr(here.pc)) == Ok(RET) => by_slot(here.sp),
        Prologue::PushAt(_) => None,
        // Assembly without a frame: its caller is proved by a call of this very function close above rsp.
        Prologue::None => (0..8)
            .map(|index| here.sp.wrapping_add(index * 8))
            .find(|slot| {
                let word = unwinder.word(*slot).unwrap_or(0);
                calls::before(unwinder.memory, VirtAddr(word)) == Before::Call(start)
            })
            .and_then(by_slot),
    }
}

const RET: u8 = 0xc3;
/// `push %rbp; mov %rsp,%rbp`.
const PUSH_AND_MOVE: [u8; 4] = [0x55, 0x48, 0x89, 0xe5];

/// How a function begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prologue {
    /// It pushes rbp at this offset and then copies rsp there.
    PushAt(u64),
    /// It sets up no frame: assembly, or out-of-line parts.
    None,
}

impl Prologue {
    fn of(unwinder: &Unwinder<'_>, function: &Function) -> Prologue {
        // Room for the tracer's 5-byte nop, endbr64 and what a compiler may schedule in front.
        const ROOM: u64 = 32;
        let size = usize::try_from(function.size.min(ROOM)).unwrap_or(0);
        let Ok(code) = unwinder.memory.bytes(function.start, size) else {
            return Prologue::None;
        };
        code.windows(PUSH_AND_MOVE.len())
            .position(|window| window == PUSH_AND_MOVE)
            .map_or(Prologue::None, |offset| Prologue::PushAt(offset as u64))
    }
}

/// The registers that the entry code saved which `here` returns into, by the layouts that kernels have used.
fn saved_by_entry_code(unwinder: &Unwinder<'_>, here: &Cursor) -> Option<SavedRegisters> {
    let above = here.slot?.wrapping_add(8);
    let read = |at: u64| {
        let saved = SavedRegisters::read(unwinder.memory, VirtAddr(at)).ok()?;
        (saved.is_plausible() && fits_its_place(&saved, at)).then_some(saved)
    };
    if let Some(saved) = read(above) {
        return Some(saved);
    }
    if let Ok(link) = unwinder.word(above) {
        // Until 4.1 the top of the IRQ stack holds the address of pt_regs.bp, and r12 to r15 are not saved.
        const OFFSET_OF_BP: u64 = 32;
        if let Some(saved) = read(link.wrapping_sub(OFFSET_OF_BP)) {
            return Some(saved.without_callee_saved());
        }
        if let Some(saved) = read(link) {
            return Some(saved);
        }
    }
    // Until 4.1 a system call saved only what a called function may change: its frame begins at r11.
    const OFFSET_OF_R11: u64 = 48;
    read(above.wrapping_sub(OFFSET_OF_R11))
        .filter(|saved| saved.user_mode())
        .map(SavedRegisters::without_callee_saved)
}

/// Whether a stack begins in this function.
pub(super) fn is_first(name: &str) -> bool {
    const FIRST: [&str; 12] = [
        "ret_from_fork",
        "start_secondary",
        "start_cpu",
        "secondary_startup_64",
        "x86_64_start_",
        "xen_start_kernel",
        "system_call",
        "sysret_",
        "tracesys",
        "int_ret_from_sys_call",
        "entry_SYSCALL_64",
        "ia32_",
    ];
    FIRST.iter().any(|first| name.starts_with(first))
}
