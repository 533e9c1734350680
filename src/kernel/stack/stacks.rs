//! The facade: the panicking CPU's stack, every CPU's, every blocked task's.
//!
//! It gathers what says who panicked and where each stack is to be walked from, takes the best, and reports where the
//! sources disagree. It does not read the log: what that says comes in as a [`Hint`].

use std::ops::Range;

use super::notes::{CpuRegisters, Notes, Origin};
use super::tables::Tables;
use super::tasks::{Task, TaskList, Tasks};
use super::unwind::{Code, Cursor, End, Frame, Function, Source, Unwinder, Walk, same_stack};
use super::{calls, cpu_stacks, frame_pointer, scan};
use crate::addr::VirtAddr;
use crate::dump::Header;
use crate::kernel::access::KernelMemory;
use crate::kernel::cpus;
use crate::kernel::symbols::{Symbolised, Symbols};
use crate::kernel::types::Types;

/// More tasks than any machine that dumps in reasonable time has; a broken list must end.
const MOST_TASKS: usize = 1 << 20;

/// The dumped kernel's code, as its symbols tell.
#[derive(Clone)]
struct KernelCode<'a> {
    symbols: &'a Symbols,
    /// What only the boot needs: given back to the allocator behind it, and used for other things since.
    boot_text: Range<u64>,
}

impl KernelCode<'_> {
    fn named(&self, name: &str) -> Option<Function> {
        self.function(self.symbols.by_name(name)?)
    }
}

impl Code for KernelCode<'_> {
    fn is_text(&self, at: VirtAddr) -> bool {
        self.symbols.is_text(at)
    }

    fn is_discarded(&self, at: VirtAddr) -> bool {
        self.boot_text.contains(&at.0)
    }

    fn function(&self, at: VirtAddr) -> Option<Function> {
        let symbol = self.symbols.by_address(at)?;
        Some(Function {
            start: at.wrapping_offset(-i64::try_from(symbol.offset).ok()?),
            name: symbol.name,
            size: symbol.size,
        })
    }
}

/// What the log says of the crash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hint {
    /// `CPU: n`.
    pub cpu: Option<u32>,
    /// `PID: n`.
    pub pid: Option<i32>,
}

/// A CPU's stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuStack {
    /// Which CPU.
    pub cpu: u32,
    /// The task it ran.
    pub task: Option<Task>,
    /// Its registers when the dump was made.
    pub registers: Option<CpuRegisters>,
    /// Its stack; absent when no place to start from is known.
    pub walk: Option<Walk>,
}

/// The panicking CPU's stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PanicStack {
    /// The stack; absent when nothing says which CPU panicked.
    pub stack: Option<CpuStack>,
    /// Where the sources disagree, or what is missing, in plain words.
    pub remarks: Vec<String>,
}

/// A blocked task and its stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskStack {
    /// The task.
    pub task: Task,
    /// Its stack.
    pub walk: Walk,
}

/// The blocked tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockedTasks {
    /// In the task list's order.
    pub tasks: Vec<TaskStack>,
    /// How many more there are than were asked for.
    pub more: usize,
    /// Why there may be others, if so.
    pub broken: Option<String>,
}

/// The stacks of one dump.
pub struct Stacks<'a> {
    tasks: Tasks<'a>,
    code: KernelCode<'a>,
    notes: Notes<'a>,
    orc: Result<Tables<'a>, String>,
    frame_pointers: bool,
    online: Vec<u32>,
}

impl<'a> Stacks<'a> {
    /// The stacks of the dump that all of this was read from.
    pub fn new(memory: &'a KernelMemory, symbols: &'a Symbols, types: &'a dyn Types, header: &'a Header) -> Stacks<'a> {
        let limit = |name: &str| symbols.by_name(name).map_or(0, |at| at.0);
        let mut stacks = Stacks {
            tasks: Tasks { memory, symbols, types },
            code: KernelCode {
                symbols,
                boot_text: limit("_sinittext")..limit("_einittext"),
            },
            notes: Notes {
                prstatus: &header.prstatus,
                qemu: &header.qemu_cpus,
            },
            orc: Tables::open(memory, symbols, types),
            frame_pointers: false,
            online: cpus::online(memory, symbols),
        };
        if stacks.orc.is_err() {
            let known: Vec<_> = ["panic", "schedule", "vfs_read", "do_exit", "kfree"]
                .into_iter()
                .filter_map(|name| stacks.code.named(name))
                .collect();
            stacks.frame_pointers = frame_pointer::kept_by_kernel(&stacks.unwinder(), &known);
        }
        stacks
    }

    /// Why stacks cannot be unwound by ORC, if they cannot: then frame pointers or a scan serve.
    pub fn without_orc(&self) -> Option<&str> {
        self.orc.as_ref().err().map(String::as_str)
    }

    /// The tasks of this dump.
    pub fn tasks(&self) -> &Tasks<'a> {
        &self.tasks
    }

    fn unwinder(&self) -> Unwinder<'_> {
        Unwinder {
            memory: self.tasks.memory,
            code: &self.code,
            orc: self.orc.as_ref().ok(),
            frame_pointers: self.frame_pointers,
        }
    }

    /// The function that a frame is in, with the offset of its very address. `None`: its address is no code.
    pub fn place(&self, frame: &Frame) -> Option<Symbolised> {
        let at = frame.lookup_address();
        let mut symbol = self
            .tasks
            .symbols
            .by_address(at)
            .filter(|_| self.tasks.symbols.is_text(at))?;
        symbol.offset = symbol.offset.saturating_add(frame.address.0.saturating_sub(at.0));
        Some(symbol)
    }

    /// The stack of the CPU that panicked.
    pub fn panic(&self, hint: Hint) -> PanicStack {
        let mut remarks = Vec::new();
        let Some(cpu) = self.panic_cpu(hint, &mut remarks) else {
            return PanicStack { stack: None, remarks };
        };
        let stack = self.of_cpu(cpu, true);
        if let [Some(by_cpu), Some(by_queue)] = self.tasks.running_on(cpu)
            && by_cpu != by_queue
        {
            remarks.push(format!(
                "CPU {cpu} was switching tasks: its current task is {by_cpu}, its run queue's {by_queue}"
            ));
        }
        let pid = stack.task.as_ref().and_then(|task| task.pid);
        let others = [
            ("the log", hint.pid),
            (
                "the note of registers",
                stack.registers.as_ref().and_then(|note| note.pid),
            ),
        ];
        for (source, other) in others {
            if let (Some(pid), Some(other)) = (pid, other)
                && pid != other
            {
                remarks.push(format!("CPU {cpu} ran pid {pid}, but {source} says pid {other}"));
            }
        }
        let stopped = stack.walk.as_ref().and_then(Walk::interrupted);
        if let Some(at) = stopped.and_then(|frame| frame.saved.as_ref())
            && let Some(note) = stack.registers.as_ref().filter(|note| note.origin == Origin::Kernel)
            && !self.in_crash_code(note.registers.rip())
            && note.registers.rip() != at.rip()
        {
            remarks.push(format!(
                "the stack was stopped at {:#x}, but the note of registers says {:#x}",
                at.rip(),
                note.registers.rip()
            ));
        }
        PanicStack {
            stack: Some(stack),
            remarks,
        }
    }

    /// Every online CPU's stack.
    pub fn all_cpus(&self) -> Vec<CpuStack> {
        let panicked = self.panic_cpu(Hint::default(), &mut Vec::new());
        self.online
            .iter()
            .map(|cpu| self.of_cpu(*cpu, Some(*cpu) == panicked))
            .collect()
    }

    /// The tasks that wait uninterruptibly, with the stacks of the first `limit`.
    pub fn blocked_tasks(&self, limit: usize) -> BlockedTasks {
        let TaskList { tasks, broken } = self.tasks.list(MOST_TASKS);
        let running: Vec<_> = self
            .online
            .iter()
            .filter_map(|cpu| self.tasks.symbols.current_task(*cpu))
            .collect();
        let mut blocked = BlockedTasks {
            broken,
            ..BlockedTasks::default()
        };
        for address in tasks {
            // A task that is just going to sleep still runs: its saved stack pointer is stale.
            if running.contains(&address) || !self.tasks.read_state(address).is_some_and(super::tasks::is_blocked) {
                continue;
            }
            if blocked.tasks.len() >= limit {
                blocked.more += 1;
                continue;
            }
            let task = self.tasks.read(address);
            let walk = self.asleep(&task);
            blocked.tasks.push(TaskStack { task, walk });
        }
        blocked
    }

    /// Which CPU panicked: by the variables that the panic path sets, by the log, by the stacks themselves.
    fn panic_cpu(&self, hint: Hint, remarks: &mut Vec<String>) -> Option<u32> {
        let variable = |name: &str| {
            let value = self.tasks.memory.i32(self.tasks.symbols.by_name(name)?).ok()?;
            u32::try_from(value).ok()
        };
        // panic_cpu since 4.5 and in el7, crashing_cpu on x86 when kdump stops the other CPUs; -1: not set.
        let said: Vec<_> = [
            ("panic_cpu", variable("panic_cpu")),
            ("crashing_cpu", variable("crashing_cpu")),
            ("the log", hint.cpu),
        ]
        .into_iter()
        .filter_map(|(source, cpu)| Some((source, cpu?)))
        .filter(|(_, cpu)| self.online.is_empty() || self.online.contains(cpu))
        .collect();
        if let Some(((source, cpu), others)) = said.split_first() {
            for (other_source, other) in others.iter().filter(|(_, other)| other != cpu) {
                remarks.push(format!(
                    "{source} says that CPU {cpu} panicked, {other_source} says CPU {other}"
                ));
            }
            return Some(*cpu);
        }
        let found = self.online.iter().copied().find(|cpu| {
            let walk = self.of_cpu(*cpu, true).walk;
            walk.is_some_and(|walk| {
                walk.frames
                    .iter()
                    .any(|frame| self.in_crash_code(frame.lookup_address().0))
            })
        });
        if found.is_none() {
            remarks.push("nothing in memory says that the kernel panicked".to_owned());
        }
        found
    }

    fn current(&self, cpu: u32) -> Option<Task> {
        let [by_cpu, by_queue] = self.tasks.running_on(cpu);
        by_cpu.or(by_queue).map(|address| self.tasks.read(address))
    }

    fn of_cpu(&self, cpu: u32, panicked: bool) -> CpuStack {
        let task = self.current(cpu);
        let pid = task.as_ref().and_then(|task| task.pid);
        let Tasks { memory, symbols, types } = self.tasks;
        let registers = self.notes.of_cpu(memory, symbols, cpu, pid, &self.online);
        let size = self.tasks.stack_size();
        let mut stacks: Vec<_> = task.iter().filter_map(|task| task.stack.clone()).collect();
        stacks.extend(cpu_stacks::interrupts(memory, symbols, types, cpu, size));
        // The task may be cut off and its stack not.
        if let Some(note) = registers.as_ref().filter(|note| !note.registers.user_mode()) {
            let start = note.registers.rsp() & !(size - 1);
            stacks.push(start..start.saturating_add(size));
        }
        let mut walk = self.walk_cpu(&stacks, registers.as_ref(), panicked);
        if !walk.as_ref().is_some_and(Walk::complete) {
            // Seldom met, and dear to look for.
            stacks.extend(cpu_stacks::exceptions(memory, symbols, types, cpu));
            walk = self.walk_cpu(&stacks, registers.as_ref(), panicked).or(walk);
        }
        let names = if panicked { &PANIC[..] } else { &HALTED };
        let walk = walk
            .or_else(|| Some(self.walk_registers(&stacks, registers.as_ref()?)))
            .or_else(|| self.stopped_in(&stacks, names));
        CpuStack {
            cpu,
            task,
            registers,
            walk,
        }
    }

    /// The stack of a CPU that has these stacks and registers, from the innermost place that can be found.
    fn walk_cpu(&self, stacks: &[Range<u64>], registers: Option<&CpuRegisters>, panicked: bool) -> Option<Walk> {
        match registers {
            // It stood where it stood; the kernel's own crash path may never have run.
            Some(note) if note.origin == Origin::Hypervisor => Some(self.walk_registers(stacks, note)),
            // What the kernel saved is where the fault or the NMI came: what followed is on the stack.
            _ => self.stopped_in(stacks, if panicked { &KEXEC } else { &HALTED }),
        }
    }

    fn walk_registers(&self, stacks: &[Range<u64>], note: &CpuRegisters) -> Walk {
        let stopped = note.origin == Origin::Kernel && !self.in_crash_code(note.registers.rip());
        let start = Cursor::at_registers(note.registers.clone(), stopped);
        self.unwinder().walk(start, stacks)
    }

    /// The stack of a task that was switched away from.
    fn asleep(&self, task: &Task) -> Walk {
        let unwinder = self.unwinder();
        let stacks: Vec<_> = task.stack.clone().into_iter().collect();
        let start = task
            .saved_sp
            .ok_or_else(|| "the saved stack pointer is not known".to_owned())
            .and_then(|sp| self.switched_away(sp));
        match start {
            Ok(start) => unwinder.walk(start, &stacks),
            Err(why) => Walk {
                frames: Vec::new(),
                source: Source::Scan,
                end: End::Broken(why),
            },
        }
    }

    /// Where a task goes on whose stack pointer was saved as `sp` by the scheduler.
    fn switched_away(&self, sp: u64) -> Result<Cursor, String> {
        let unwinder = self.unwinder();
        let Tasks { symbols, types, .. } = self.tasks;
        let offset = |name: &str| types.offset_of("inactive_task_frame", name);
        // 4.9+: struct inactive_task_frame; ORC kernels all have it, and have had it like this from the start: r15 r14
        // r13 r12 rbx rbp, return address.
        let frame = offset("bp")
            .zip(offset("ret_addr"))
            .or(self.orc.is_ok().then_some((40, 48)));
        if let Some((bp, ret_addr)) = frame {
            let slot = sp.wrapping_add(ret_addr);
            let mut start = unwinder.returned(unwinder.word(slot)?, slot)?;
            start.bp = unwinder.word(sp.wrapping_add(bp)).ok();
            return Ok(start);
        }
        // Before: switch_to() pushed rbp last and called __switch_to from __schedule.
        let switch = symbols
            .by_name("__schedule")
            .zip(symbols.by_name("__switch_to"))
            .and_then(|(schedule, to)| self.behind_call(schedule, to))
            .ok_or("where __schedule calls __switch_to is not known")?;
        let mut start = Cursor::at_return(switch.0, sp, Some(unwinder.word(sp)?));
        start.sp = sp;
        Ok(start)
    }

    /// The address behind the first direct call of `target` in the function that starts at `start`.
    fn behind_call(&self, start: VirtAddr, target: VirtAddr) -> Option<VirtAddr> {
        const CALL_SIZE: u64 = 5;
        const MOST: u64 = 16 * 1024;
        let size = self.code.function(start)?.size.min(MOST);
        (CALL_SIZE..size)
            .map(|offset| VirtAddr(start.0.wrapping_add(offset)))
            .find(|at| calls::before(self.tasks.memory, *at) == calls::Before::Call(target))
    }

    /// Whether `pc` is where the crash path itself saved registers, no fault having led there.
    fn in_crash_code(&self, pc: u64) -> bool {
        self.code
            .function(VirtAddr(pc))
            .is_some_and(|function| KEXEC.contains(&&*function.name) || PANIC.contains(&&*function.name))
    }

    /// The walk from the innermost of `names` that a return address on `stacks` leads back to. Such a function never
    /// returned, so that the slot below its frame still holds the address behind its last call.
    fn stopped_in(&self, stacks: &[Range<u64>], names: &[&str]) -> Option<Walk> {
        let unwinder = self.unwinder();
        let functions: Vec<_> = names.iter().filter_map(|name| self.code.named(name)).collect();
        let inside = |pc: u64| {
            functions
                .iter()
                .position(|function| pc.wrapping_sub(function.start.0).wrapping_sub(1) < function.size)
        };
        let mut found: Vec<_> = stacks
            .iter()
            .flat_map(|stack| scan::words(&unwinder, stack.start, stack.end))
            .filter_map(|(slot, pc)| Some((inside(pc)?, slot, pc)))
            .collect();
        // By the order of the names, innermost slot first.
        found.sort_unstable();
        const TRIES: usize = 16;
        let walks = found.into_iter().take(TRIES).filter_map(|(_, slot, pc)| {
            let mut start = unwinder.returned(pc, slot).ok()?;
            start.bp = self.frame_below(slot, stacks);
            let walk = unwinder.walk(start, stacks);
            // A stale word's walk breaks off at once.
            (walk.frames.iter().take_while(|frame| frame.reliable).count() > 1).then_some(walk)
        });
        let mut first = None;
        for walk in walks {
            if walk.complete() {
                return Some(walk);
            }
            first = first.or(Some(walk));
        }
        first
    }

    /// The frame pointer of the function whose callee's return address is at `slot`.
    ///
    /// The callee pushed it: relocate_kernel second (behind rbx, arch/x86/kernel/relocate_kernel_64.S), any C function
    /// first. Should neither look like one, the next pair of frame pointer and return address upwards is its frame.
    fn frame_below(&self, slot: u64, stacks: &[Range<u64>]) -> Option<u64> {
        let unwinder = self.unwinder();
        let frames = |bp: u64| {
            bp > slot
                && bp & 7 == 0
                && same_stack(bp, slot, stacks)
                && unwinder
                    .word(bp.wrapping_add(8))
                    .and_then(|pc| unwinder.returned(pc, bp.wrapping_add(8)))
                    .is_ok()
        };
        let pushed = [slot.wrapping_sub(16), slot.wrapping_sub(8)]
            .into_iter()
            .filter_map(|at| unwinder.word(at).ok())
            .find(|bp| frames(*bp));
        if pushed.is_some() || self.orc.is_ok() {
            return pushed;
        }
        let end = scan::end_of_stack(slot, stacks);
        (slot.wrapping_add(8)..end).step_by(8).find(|at| {
            let saved = unwinder.word(*at).unwrap_or(0);
            saved > *at && same_stack(saved, *at, stacks) && frames(*at)
        })
    }
}

/// Where a CPU that boots the capture kernel stood last.
const KEXEC: [&str; 3] = ["machine_kexec", "__crash_kexec", "crash_kexec"];
/// Where a CPU that panicked without a capture kernel stands.
const PANIC: [&str; 4] = ["vpanic", "panic", "nmi_panic", "oops_end"];
/// Where the panicking CPU makes the others stand.
const HALTED: [&str; 3] = [
    "crash_nmi_callback",
    "stop_this_cpu",
    "crash_vmclear_local_loaded_vmcss",
];
