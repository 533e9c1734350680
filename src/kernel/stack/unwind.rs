//! Walks a stack from a known place outwards: by ORC tables, else by frame pointers, else by a scan.
//!
//! It steps over exceptions and from one stack to another, and stops with a reason where the dump gives no way on; what
//! is left of the stack is then scanned, so that a torn stack still yields its outer frames, marked unreliable. Where
//! to start is [`super::cpus`]'s affair; symbols are asked only whether an address is code, and for a name where the
//! name alone tells the end of a stack.

use std::ops::Range;
use std::rc::Rc;

use super::calls::{self, Before};
use super::orc::{Base, Entry, Kind};
use super::registers::{PT_REGS_SIZE, Register, SavedRegisters};
use super::tables::Tables;
use super::{frame_pointer, scan};
use crate::addr::VirtAddr;
use crate::kernel::access::KernelMemory;

/// More frames than a 16 KiB stack of the smallest frames holds: a runaway recursion is shown whole, a loop ends.
pub const MAX_FRAMES: usize = 1024;

/// How often a walk may leave one stack for another: task, IRQ, NMI, double fault and debug stacks, some twice.
const MAX_SWITCHES: usize = 16;

/// `THREAD_SIZE` of x86_64 since 3.15 (el7: since 7.1); stacks are aligned to it.
pub const USUAL_STACK_SIZE: u64 = 16 * 1024;

/// What a walk asks of symbols.
pub trait Code {
    /// Whether the address lies in the kernel's or a module's text.
    fn is_text(&self, at: VirtAddr) -> bool;
    /// Whether the text at the address was given up after boot, so that what the dump has there is something else.
    fn is_discarded(&self, at: VirtAddr) -> bool;
    /// The function that contains the address.
    fn function(&self, at: VirtAddr) -> Option<Function>;
}

/// A function of the dumped kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name as the kernel spells it.
    pub name: String,
    /// Where it starts.
    pub start: VirtAddr,
    /// Bytes to the next symbol.
    pub size: u64,
}

/// One place on a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// A return address, or the exact instruction when [`Frame::exact`].
    pub address: VirtAddr,
    /// The stack slot that held the return address; for an interrupted place its `struct pt_regs`.
    pub stack_address: Option<VirtAddr>,
    /// Whether the address is an instruction that was about to run or was running, not a return address.
    pub exact: bool,
    /// The registers that an exception, interrupt or NMI saved here. (A place that only a note knows has none.)
    pub saved: Option<Rc<SavedRegisters>>,
    /// The stack pointer there: what lies above belongs to this frame and its callers.
    pub sp: VirtAddr,
    /// Whether it is known to be a caller; false for what a scan found.
    pub reliable: bool,
}

impl Frame {
    /// The address to look a symbol up by. A return address may lie behind the end of a caller whose last instruction
    /// is the call, as with `panic`: the byte before it never does.
    pub fn lookup_address(&self) -> VirtAddr {
        if self.exact {
            self.address
        } else {
            self.address.wrapping_offset(-1)
        }
    }
}

/// By what means the frames were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The kernel's ORC tables.
    Orc,
    /// The chain of saved frame pointers.
    FramePointers,
    /// Every word that follows a call: unreliable throughout.
    Scan,
}

/// Where a walk ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// At the registers of the user code that entered the kernel.
    User(Rc<SavedRegisters>),
    /// At the first function of a kernel thread or of an idle task.
    Bottom,
    /// Early, for this reason.
    Broken(String),
}

/// A stack as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// Innermost first.
    pub frames: Vec<Frame>,
    /// How the reliable ones were found.
    pub source: Source,
    /// Where the walk ended.
    pub end: End,
}

impl Walk {
    /// Whether the frames reach the stack's end, so that a function that is not there is known to be absent.
    pub fn complete(&self) -> bool {
        !matches!(self.end, End::Broken(_)) && self.source != Source::Scan
    }

    /// The innermost kernel place that an exception, interrupt or NMI stopped: the *faulting* registers of a crash,
    /// which are not those that were saved for the dump.
    pub fn interrupted(&self) -> Option<&Frame> {
        self.frames.iter().find(|frame| frame.saved.is_some())
    }
}

/// A place to walk from, and what is known there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// A return address, or the exact instruction.
    pub pc: u64,
    /// Whether it is exact.
    pub exact: bool,
    /// The stack pointer: for a return address what it was behind the call.
    pub sp: u64,
    /// The frame pointer, where known.
    pub bp: Option<u64>,
    /// The stack slot that held `pc`.
    pub slot: Option<u64>,
    /// All registers, known right here and not further out.
    pub registers: Option<Rc<SavedRegisters>>,
    /// The full registers from before only an iret frame was met: nothing ran in between that could change them.
    pub older: Option<Rc<SavedRegisters>>,
    /// Whether an exception stopped here and saved `registers`.
    pub interrupted: bool,
}

impl Cursor {
    /// Behind a return address found at `slot`.
    pub fn at_return(pc: u64, slot: u64, bp: Option<u64>) -> Cursor {
        Cursor {
            pc,
            exact: false,
            sp: slot.wrapping_add(8),
            bp,
            slot: Some(slot),
            registers: None,
            older: None,
            interrupted: false,
        }
    }

    /// At the place that these registers stand for.
    pub fn at_registers(registers: Rc<SavedRegisters>, interrupted: bool) -> Cursor {
        Cursor {
            pc: registers.rip(),
            exact: true,
            sp: registers.rsp(),
            bp: registers.rbp(),
            slot: registers.at.map(|at| at.0),
            registers: Some(registers),
            older: None,
            interrupted,
        }
    }

    /// The address to look up code by, see [`Frame::lookup_address`].
    pub fn lookup_address(&self) -> VirtAddr {
        VirtAddr(if self.exact { self.pc } else { self.pc.wrapping_sub(1) })
    }

    fn frame(&self) -> Frame {
        Frame {
            address: VirtAddr(self.pc),
            stack_address: self.slot.map(VirtAddr),
            exact: self.exact,
            saved: self.registers.clone().filter(|_| self.interrupted),
            sp: VirtAddr(self.sp),
            reliable: true,
        }
    }

    /// The value of `register`, where all registers are known.
    fn register(&self, register: Register) -> Option<u64> {
        let known = |registers: &Option<Rc<SavedRegisters>>| registers.as_ref()?.get(register);
        known(&self.registers).or_else(|| known(&self.older))
    }
}

/// Walks stacks of one dump.
#[derive(Clone, Copy)]
pub struct Unwinder<'a> {
    /// The dumped kernel's memory.
    pub memory: &'a KernelMemory,
    /// Its code.
    pub code: &'a dyn Code,
    /// Its ORC tables, if it has them.
    pub orc: Option<&'a Tables<'a>>,
    /// Whether its functions keep frame pointers.
    pub frame_pointers: bool,
}

impl Unwinder<'_> {
    /// Walks from `start` to the stack's end. `stacks` are the stacks that this CPU or task is known to have; others
    /// are followed too, but within one of these rsp may only grow.
    pub fn walk(&self, start: Cursor, stacks: &[Range<u64>]) -> Walk {
        let source = match (self.orc, self.frame_pointers) {
            (Some(_), _) => Source::Orc,
            (None, true) => Source::FramePointers,
            (None, false) => Source::Scan,
        };
        let (mut frames, end) = self.chain(start, source, stacks);
        if let (End::Broken(_), Some(last)) = (&end, frames.last()) {
            let from = last.sp.0;
            let upto = scan::end_of_stack(from, stacks);
            let found = scan::scan(self, from, upto);
            frames.extend(self.thinned(found, source, stacks));
            frames.truncate(MAX_FRAMES);
        }
        Walk { frames, source, end }
    }

    /// The frames from `start` on, and why they end.
    fn chain(&self, start: Cursor, source: Source, stacks: &[Range<u64>]) -> (Vec<Frame>, End) {
        let mut here = start;
        let mut frames = Vec::new();
        let mut switches = 0;
        let end = loop {
            if let Some(user) = here.registers.as_ref().filter(|registers| registers.user_mode()) {
                break End::User(Rc::clone(user));
            }
            frames.push(here.frame());
            if frames.len() >= MAX_FRAMES {
                break End::Broken(format!("more than {MAX_FRAMES} frames"));
            }
            let next = match source {
                Source::Orc => self.step(&here),
                Source::FramePointers => frame_pointer::step(self, &here),
                Source::Scan => Err(End::Broken(
                    "neither ORC tables nor frame pointers: the stack was scanned".to_owned(),
                )),
            };
            let next = match next {
                Ok(next) => next,
                Err(end) => break end,
            };
            if next.sp <= here.sp {
                switches += 1;
                if same_stack(here.sp, next.sp, stacks) || switches > MAX_SWITCHES {
                    break End::Broken(format!("the stack runs in a circle at {:#x}", next.sp));
                }
            }
            here = next;
        };
        (frames, end)
    }

    /// What a scan found, without the stale words that it can be told from: if from one of the candidates on the frames
    /// lead to the stack's end, those are taken for the rest. Of several such the longest, since a stale one that joins
    /// the true frames joins them further out. They stay unreliable: a stale word may be the innermost of them.
    fn thinned(&self, found: Vec<Frame>, source: Source, stacks: &[Range<u64>]) -> Vec<Frame> {
        const TRIES: usize = 32;
        let chains = found.iter().enumerate().take(TRIES).filter(|(_, frame)| !frame.exact);
        let ends = chains.filter_map(|(index, frame)| {
            let start = Cursor::at_return(frame.address.0, frame.stack_address?.0, None);
            let (frames, end) = self.chain(start, source, stacks);
            let ends = !matches!(end, End::Broken(_)) && frames.len() > 1;
            ends.then_some((index, frames))
        });
        let best = ends.reduce(|best, other| if other.1.len() > best.1.len() { other } else { best });
        match best {
            Some((index, rest)) => {
                let rest = rest.into_iter().map(|frame| Frame {
                    reliable: false,
                    ..frame
                });
                found.into_iter().take(index).chain(rest).collect()
            }
            None => found,
        }
    }

    /// One frame outwards by ORC, as the kernel's `unwind_next_frame` (arch/x86/kernel/unwind_orc.c).
    fn step(&self, here: &Cursor) -> Result<Cursor, End> {
        let at = here.lookup_address();
        let entry = match self.orc {
            Some(tables) if self.code.is_text(at) => tables
                .find(self.memory, at)
                .map_err(|error| End::Broken(format!("the ORC table has no readable entry for {at}: {error}")))?,
            _ => None,
        };
        let next = match entry {
            Some(entry) if entry.kind == Kind::End => return Err(End::Bottom),
            Some(entry) if entry.kind == Kind::Undefined => Err(format!("ORC knows no caller of {at}")),
            Some(entry) => self.apply(entry, here),
            None => self.step_without_entry(here),
        };
        next.or_else(|why| self.caller_by_target(here).ok_or(End::Broken(why)))
    }

    /// The nearest return address up the stack behind a direct call of the very function that `here` is in.
    ///
    /// For functions that objtool was told to leave alone, `__crash_kexec` (until 6.x) above all. rbp is taken to be
    /// unchanged: where that is wrong, the next frame's return address will be refused.
    fn caller_by_target(&self, here: &Cursor) -> Option<Cursor> {
        const REACH: u64 = 1024;
        let start = self.code.function(here.lookup_address())?.start;
        let slot = (0..REACH / 8)
            .map(|index| here.sp.wrapping_add(index * 8))
            .find(|slot| {
                self.word(*slot)
                    .is_ok_and(|word| calls::before(self.memory, VirtAddr(word)) == Before::Call(start))
            })?;
        Some(Cursor::at_return(self.word(slot).ok()?, slot, here.bp))
    }

    /// Code that no table covers: JIT code keeps a frame pointer; a jump to nowhere has only pushed its return address.
    fn step_without_entry(&self, here: &Cursor) -> Result<Cursor, String> {
        let mut guesses = [Entry::FRAME_POINTER, Entry::BARE];
        if here.exact {
            guesses.reverse();
        }
        let mut reason = String::new();
        for entry in guesses {
            match self.apply(entry, here) {
                // Without a table to vouch for it, the return address must be proved by the call before it.
                Ok(next) if calls::before(self.memory, VirtAddr(next.pc)).is_call() => return Ok(next),
                Ok(next) => reason = format!("{:#x} follows no call", next.pc),
                Err(why) => reason = why,
            }
        }
        Err(format!("no unwind information for {:#x}: {reason}", here.pc))
    }

    fn apply(&self, entry: Entry, here: &Cursor) -> Result<Cursor, String> {
        let known = |register: Register| {
            let name = register.name();
            here.register(register)
                .ok_or_else(|| format!("{name} is not known at {:#x}", here.pc))
        };
        let bp = || {
            here.bp
                .ok_or_else(|| format!("the frame pointer is not known at {:#x}", here.pc))
        };
        let plus = |value: u64, offset: i16| value.wrapping_add_signed(i64::from(offset));
        let offset = entry.sp_offset;
        let cfa = match entry.sp {
            Base::Sp => plus(here.sp, offset),
            Base::Bp => plus(bp()?, offset),
            Base::SpIndirect => plus(self.word(here.sp)?, offset),
            Base::BpIndirect => self.word(plus(bp()?, offset))?,
            Base::Ax => plus(known(Register::Rax)?, offset),
            Base::Dx => plus(known(Register::Rdx)?, offset),
            Base::Di => plus(known(Register::Rdi)?, offset),
            Base::R10 => plus(known(Register::R10)?, offset),
            Base::R13 => plus(known(Register::R13)?, offset),
            Base::PrevSp | Base::Undefined => return Err(format!("a senseless ORC entry for {:#x}", here.pc)),
        };
        let mut next = match entry.kind {
            Kind::Regs => {
                let registers = SavedRegisters::read(self.memory, VirtAddr(cfa)).map_err(|error| error.to_string())?;
                Cursor::at_registers(Rc::new(registers), true)
            }
            Kind::RegsPartial => {
                let registers =
                    SavedRegisters::read_iret(self.memory, VirtAddr(cfa)).map_err(|error| error.to_string())?;
                let mut next = Cursor::at_registers(Rc::new(registers), true);
                next.older = here.registers.clone().filter(|registers| registers.is_full());
                next
            }
            _ => {
                let slot = cfa.wrapping_sub(8);
                self.returned(self.word(slot)?, slot)?
            }
        };
        next.bp = match entry.bp {
            Base::PrevSp => Some(self.word(plus(cfa, entry.bp_offset))?),
            Base::Bp => Some(self.word(plus(bp()?, entry.bp_offset))?),
            _ => next.register(Register::Rbp).or(here.bp),
        };
        Ok(next)
    }

    /// The place behind the return address `pc` that `slot` holds, if that can be one.
    pub(super) fn returned(&self, pc: u64, slot: u64) -> Result<Cursor, String> {
        let mut next = Cursor::at_return(pc, slot, None);
        let (at, last) = (VirtAddr(pc), VirtAddr(pc.wrapping_sub(1)));
        if self.code.is_text(last) || self.code.is_text(at) {
            if self.code.is_discarded(last) || calls::before(self.memory, at).may_return() {
                return Ok(next);
            }
            // A new thread has never been called: its stack is made to return to the start of ret_from_fork.
            if let Some(function) = self.code.function(at)
                && function.start == at
                && function.name.starts_with("ret_from_fork")
            {
                next.exact = true;
                return Ok(next);
            }
            // The boot code jumps into C behind a return address that it has pushed by hand.
            if self.ends_at(last) {
                return Ok(next);
            }
            return Err(format!("{at} (at {slot:#x}) is in the text, but follows no call"));
        }
        if self.is_unnamed_code(last) {
            return match calls::before(self.memory, at) {
                Before::Call(_) | Before::IndirectCall => Ok(next),
                Before::Unreadable => Err(format!(
                    "{at} (at {slot:#x}) is in no known module, and its text is not in the dump"
                )),
                Before::Other => Err(format!("{at} (at {slot:#x}) follows no call")),
            };
        }
        Err(format!("{at} (at {slot:#x}) is no code address"))
    }

    /// Whether `at` is code without symbols: BPF programs, trampolines, modules whose records are lost.
    ///
    /// x86_64 maps its image, modules and JIT code into the top 2 GiB below the fixed mappings
    /// (Documentation/arch/x86/x86_64/mm.rst), data beside them, which the page tables tell apart.
    pub(super) fn is_unnamed_code(&self, at: VirtAddr) -> bool {
        (0xffff_ffff_8000_0000..0xffff_ffff_ff00_0000).contains(&at.0)
            && !self.code.is_text(at)
            && self.memory.executable(at) != Some(false)
    }

    /// Whether a stack ends in the code at `at`.
    fn ends_at(&self, at: VirtAddr) -> bool {
        match self.orc {
            Some(tables) => {
                let entry = tables.find(self.memory, at).ok().flatten();
                entry.is_some_and(|entry| entry.kind == Kind::End)
            }
            None => self
                .code
                .function(at)
                .is_some_and(|function| frame_pointer::is_first(&function.name)),
        }
    }

    /// The word at `at`, or why not.
    pub(super) fn word(&self, at: u64) -> Result<u64, String> {
        self.memory.u64(VirtAddr(at)).map_err(|error| error.to_string())
    }
}

/// Whether two stack pointers belong to one stack: to one of `stacks`, or, where those tell nothing, to one aligned
/// block of the usual size.
pub(super) fn same_stack(one: u64, other: u64, stacks: &[Range<u64>]) -> bool {
    // rsp may stand right behind its stack, when all of it has been popped.
    let index = |sp: u64| {
        stacks
            .iter()
            .position(|stack| stack.contains(&sp.saturating_sub(8)) || stack.contains(&sp))
    };
    match (index(one), index(other)) {
        (None, None) => one / USUAL_STACK_SIZE == other / USUAL_STACK_SIZE,
        (one, other) => one == other,
    }
}

/// Whether registers saved at `at` by an exception fit their own place: on the same stack rsp must have been right
/// above them, since the processor pushes there (aligned down to 16).
pub(super) fn fits_its_place(registers: &SavedRegisters, at: u64) -> bool {
    let above = at.wrapping_add(PT_REGS_SIZE);
    let rsp = registers.rsp();
    registers.user_mode() || rsp / USUAL_STACK_SIZE != at / USUAL_STACK_SIZE || rsp.wrapping_sub(above) < 16
}
