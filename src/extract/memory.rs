//! What the dump's own memory says, without a log: the stack with its saved registers, modules, figures, settings.

use std::fmt;

use crate::addr::VirtAddr;
use crate::crash::{
    CpuStack, CrashReport, DebugInfo, Fault, FaultRole, Frame, Memory, Module, Panic, PanicKind, SettingValue, Stack,
    StackSource, Task, TaskStack, machinery,
};
use crate::dump::Header;
use crate::kernel::machine::{Machine, MemoryUse, System, Unknown, Value};
use crate::kernel::stack::unwind::{Source as WalkSource, Walk};
use crate::kernel::stack::{Hint, Stacks};
use crate::kernel::symbols::{Hints, Symbols};
use crate::kernel::types::{KernelTypes, Source as TypeSource, Types};
use crate::kernel::{Kernel, cpus};

use super::{Depth, fault};

/// How many bytes of code are handed to the decoder: no instruction is longer than 15.
const CODE: usize = 16;
/// How many blocked tasks' stacks are given.
const BLOCKED_TASKS: usize = 256;

/// A dumped kernel whose symbols and types are known.
pub struct Insight {
    /// Its symbols, modules' included.
    pub symbols: Symbols,
    /// Its types.
    pub types: KernelTypes,
}

impl fmt::Debug for Insight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Insight")
            .field("symbols", &self.symbols)
            .finish_non_exhaustive()
    }
}

impl Insight {
    /// Finds symbols, types and modules; the reason when there are none.
    pub fn open(kernel: &Kernel) -> Result<Insight, String> {
        let named = |name: &str| kernel.vmcoreinfo().symbol(name);
        let hints = Hints {
            vmcoreinfo: &named,
            image: kernel.image_start(),
        };
        let mut symbols = Symbols::open(kernel.memory(), hints).map_err(|e| e.to_string())?;
        let types = KernelTypes::open(kernel.memory(), &symbols);
        symbols.find_modules(&types);
        Ok(Insight { symbols, types })
    }
}

/// Completes `report`, which holds what the log and the headers say, with what memory says. Where both speak, memory is
/// exact and the log may be cut; a disagreement is noted.
pub fn complete(report: &mut CrashReport, kernel: &Kernel, insight: &Insight, header: &Header, depth: Depth) {
    report.source.debuginfo = Some(match insight.types.source() {
        Some(TypeSource::Btf) => DebugInfo::Btf,
        Some(TypeSource::Dwarf) => DebugInfo::Dwarf,
        Some(TypeSource::Table) | None => DebugInfo::None,
    });
    modules(report, &insight.symbols);
    machine(report, kernel, insight, header);
    let stacks = Stacks::new(kernel.memory(), &insight.symbols, &insight.types, header);
    panic_stack(report, &stacks);
    explain(report, kernel);
    if depth.all_cpus {
        let panicked = report.task.as_ref().and_then(|task| task.cpu);
        report.cpus = stacks
            .all_cpus()
            .into_iter()
            .filter(|cpu| Some(u64::from(cpu.cpu)) != panicked)
            .map(|cpu| CpuStack {
                cpu: u64::from(cpu.cpu),
                task: cpu.task.as_ref().map(|task| self::task(task, Some(cpu.cpu))),
                frames: cpu.walk.as_ref().map(|walk| frames(walk, &stacks)).unwrap_or_default(),
                stack: cpu.walk.as_ref().map(stack),
            })
            .collect();
    }
    if depth.blocked_tasks {
        let blocked = stacks.blocked_tasks(BLOCKED_TASKS);
        report.blocked = blocked
            .tasks
            .iter()
            .map(|blocked| TaskStack {
                task: task(&blocked.task, None),
                frames: frames(&blocked.walk, &stacks),
                stack: Some(stack(&blocked.walk)),
            })
            .collect();
        if blocked.more > 0 {
            report.note_missing("blocked", format!("{} more tasks are blocked", blocked.more));
        }
        if let Some(why) = blocked.broken {
            report.note_missing("blocked", why);
        }
    }
}

/// The panicking task's stack, the registers at its interrupted place, the task itself.
fn panic_stack(report: &mut CrashReport, stacks: &Stacks<'_>) {
    let logged = report.task.clone().unwrap_or_default();
    let hint = Hint {
        cpu: logged.cpu.and_then(|cpu| u32::try_from(cpu).ok()),
        pid: logged.pid.and_then(|pid| i32::try_from(pid).ok()),
    };
    let found = stacks.panic(hint);
    for remark in found.remarks {
        report.note_missing("stack", remark);
    }
    let Some(cpu) = found.stack else {
        report.note_missing("frames", "nothing in the dump says which CPU panicked");
        return;
    };
    if let Some(running) = &cpu.task {
        let mut task = task(running, Some(cpu.cpu));
        task.state = task.state.map(|state| format!("{state} (PANIC)"));
        // A task that another one reported (a hung task) is not the one that ran.
        report.task = Some(Task {
            pid: task.pid.or(logged.pid),
            comm: task.comm.or(logged.comm),
            ..task
        });
    }
    let Some(walk) = &cpu.walk else {
        report.note_missing(
            "frames",
            format!("no place to start CPU {}'s stack from is known", cpu.cpu),
        );
        return;
    };
    let unwound = frames(walk, stacks);
    let by_chance = walk.source == WalkSource::Scan;
    if unwound.iter().all(|frame| frame.symbol.is_none()) || (by_chance && !report.frames.is_empty()) {
        return;
    }
    if let Some(why) = broken(walk) {
        report.note_missing("stack", format!("the stack could not be followed to its end: {why}"));
    }
    report.stack = Some(stack(walk));
    interrupted_place(report, walk, stacks);
    report.frames = unwound;
}

/// The innermost kernel place that was stopped, with its registers.
fn interrupted_place(report: &mut CrashReport, walk: &Walk, stacks: &Stacks<'_>) {
    let Some((frame, saved)) = walk
        .frames
        .iter()
        .filter_map(|frame| Some((frame, frame.saved.as_ref()?)))
        .find(|(_, saved)| !saved.user_mode())
    else {
        return;
    };
    let place = stacks.place(frame);
    let logged = report.fault.take();
    if let (Some(logged), Some(place)) = (&logged, &place)
        && let (Some(symbol), Some(offset)) = (&logged.symbol, logged.offset)
        && (symbol != &place.name || offset != place.offset)
    {
        report.note_missing(
            "fault",
            format!(
                "the log stopped at {symbol}+{offset:#x}, the stack at {}+{:#x}: the stack is given",
                place.name, place.offset
            ),
        );
    }
    let role = logged
        .as_ref()
        .map_or_else(|| role(report.panic.as_ref()), |fault| fault.role);
    // The log knows what pt_regs does not hold: cr2, cr3, the segments.
    let mut registers = logged.as_ref().map(|fault| fault.registers.clone()).unwrap_or_default();
    registers.extend(saved.iter().map(|(name, value)| (name.to_owned(), value)));
    let code = logged.and_then(|fault| fault.code);
    report.fault = Some(Fault {
        role,
        symbol: place.as_ref().map(|place| place.name.clone()),
        offset: place.as_ref().map(|place| place.offset),
        size: place.as_ref().map(|place| place.size),
        module: place
            .as_ref()
            .and_then(|place| place.module.as_ref())
            .map(ToString::to_string),
        address: Some(frame.address),
        registers,
        code,
        instruction: None,
        source: None,
        explanation: None,
    });
}

/// Whether a stopped place is to blame, by the class of failure.
fn role(panic: Option<&Panic>) -> FaultRole {
    match panic.map(|panic| panic.kind) {
        Some(
            PanicKind::SoftLockup
            | PanicKind::HardLockup
            | PanicKind::RcuStall
            | PanicKind::HungTask
            | PanicKind::Nmi
            | PanicKind::MachineCheck
            | PanicKind::OutOfMemory
            | PanicKind::PageAllocationFailure
            | PanicKind::Sysrq
            | PanicKind::WorkqueueLockup
            | PanicKind::ExplicitPanic,
        ) => FaultRole::Interrupted,
        _ => FaultRole::Faulted,
    }
}

fn broken(walk: &Walk) -> Option<&str> {
    match &walk.end {
        crate::kernel::stack::unwind::End::Broken(why) => Some(why),
        _ => None,
    }
}

fn stack(walk: &Walk) -> Stack {
    Stack {
        source: match walk.source {
            WalkSource::Orc | WalkSource::FramePointers => StackSource::Unwound,
            WalkSource::Scan => StackSource::Scan,
        },
        complete: walk.complete(),
    }
}

fn frames(walk: &Walk, stacks: &Stacks<'_>) -> Vec<Frame> {
    walk.frames
        .iter()
        .filter(|frame| frame.saved.as_ref().is_none_or(|saved| !saved.user_mode()))
        .map(|frame| {
            let place = stacks.place(frame);
            let name = place.as_ref().map(|place| place.name.as_str()).unwrap_or_default();
            let interrupted = frame.saved.is_some();
            Frame {
                offset: place.as_ref().map(|place| place.offset),
                size: place.as_ref().map(|place| place.size),
                module: place
                    .as_ref()
                    .and_then(|place| place.module.as_ref())
                    .map(ToString::to_string),
                address: Some(frame.address),
                stack_address: frame.stack_address,
                interrupted,
                machinery: !interrupted && machinery::is_machinery(name),
                reliable: frame.reliable,
                symbol: place.map(|place| place.name),
                ..Frame::default()
            }
        })
        .collect()
}

fn task(task: &crate::kernel::stack::tasks::Task, cpu: Option<u32>) -> Task {
    Task {
        pid: task.pid.and_then(|pid| u64::try_from(pid).ok()),
        comm: task.comm.clone(),
        cpu: cpu.map(u64::from),
        address: Some(task.address),
        state: task.state.map(state),
    }
}

/// A task's state as `crash` words it; the bits are those of include/linux/sched.h since 4.2.
fn state(state: u64) -> String {
    const NAMES: [(u64, &str); 8] = [
        (0x1, "TASK_INTERRUPTIBLE"),
        (0x2, "TASK_UNINTERRUPTIBLE"),
        (0x4, "TASK_STOPPED"),
        (0x8, "TASK_TRACED"),
        (0x40, "TASK_PARKED"),
        (0x80, "TASK_DEAD"),
        (0x100, "TASK_WAKEKILL"),
        (0x400, "TASK_NOLOAD"),
    ];
    if state == 0 {
        return "TASK_RUNNING".to_owned();
    }
    let names: Vec<&str> = NAMES
        .iter()
        .filter(|(bit, _)| state & bit != 0)
        .map(|(_, name)| *name)
        .collect();
    if names.is_empty() {
        format!("{state:#x}")
    } else {
        names.join("|")
    }
}

/// The instruction at the stopped place, from the dump's own text.
fn explain(report: &mut CrashReport, kernel: &Kernel) {
    let code = report
        .fault
        .as_ref()
        .and_then(|fault| fault.address)
        .and_then(|address| code_at(kernel, address));
    let is_mapped = |address: VirtAddr| kernel.memory().u8(address).is_ok();
    fault::explain_report(report, code.as_deref(), Some(&is_mapped));
}

/// Up to [`CODE`] bytes from `address` on; fewer at the end of what can be read.
fn code_at(kernel: &Kernel, address: VirtAddr) -> Option<Vec<u8>> {
    (1..=CODE)
        .rev()
        .find_map(|len| kernel.memory().bytes(address, len).ok())
}

fn modules(report: &mut CrashReport, symbols: &Symbols) {
    let found = symbols.modules();
    if let Some(remark) = &found.remark {
        report.note_missing("modules", remark.clone());
    }
    if found.list.is_empty() && !found.complete {
        return;
    }
    let logged = std::mem::take(&mut report.modules);
    report.modules = found
        .list
        .iter()
        .map(|module| Module {
            name: module.name.to_string(),
            version: module.version.clone(),
            size: Some(module.size),
            address: Some(module.base),
            // The log has the letters; memory has the bits of a table that differs between kernels.
            taints: logged
                .iter()
                .find(|m| m.name == *module.name)
                .and_then(|m| m.taints.clone()),
        })
        .collect();
    // What the log names and memory lost is still known.
    for module in logged {
        if !report.modules.iter().any(|m| m.name == module.name) {
            report.modules.push(module);
        }
    }
    report.modules_complete = found.complete;
}

fn machine(report: &mut CrashReport, kernel: &Kernel, insight: &Insight, header: &Header) {
    let online = cpus::online(kernel.memory(), &insight.symbols);
    if !online.is_empty() {
        report.system.cpus = Some(online.len() as u64);
    }
    let page_size = kernel.vmcoreinfo().pagesize().unwrap_or(header.page_size);
    let machine = Machine::new(kernel.memory(), &insight.symbols, &insight.types, &online, page_size);
    system(report, machine.system());
    memory(report, machine.memory_use(), page_size);
    for setting in machine.settings() {
        match setting.value {
            Ok(value) => {
                let value = match value {
                    Value::Number(number) => SettingValue::Number(number),
                    Value::Numbers(numbers) => SettingValue::Numbers(numbers),
                    Value::Word(word) => SettingValue::Text(word.to_owned()),
                };
                report.settings.insert(setting.name.to_owned(), value);
            }
            // A kernel without the variable has no such setting: nothing is missing.
            Err(Unknown::NoSymbol(_)) => {}
            Err(why) => report.note_missing(format!("settings.{}", setting.name), why.to_string()),
        }
    }
}

fn system(report: &mut CrashReport, found: System) {
    let mut lost: Vec<(&str, String)> = Vec::new();
    let system = &mut report.system;
    match found.tasks {
        Ok(tasks) => system.tasks = Some(tasks),
        Err(why) => lost.push(("system.tasks", why.to_string())),
    }
    match found.load_average {
        Ok(load) => system.load_average = Some(load),
        Err(why) => lost.push(("system.load_average", why.to_string())),
    }
    match found.clock {
        Ok(clock) => system.uptime_seconds = Some(clock.uptime_seconds),
        Err(why) => lost.push(("system.uptime_seconds", why.to_string())),
    }
    match found.memory_bytes {
        Ok(bytes) => system.memory_bytes = Some(bytes),
        Err(why) => lost.push(("system.memory_bytes", why.to_string())),
    }
    match found.command_line {
        Ok(line) => system.cmdline = Some(line),
        Err(why) => lost.push(("system.cmdline", why.to_string())),
    }
    match found.taint {
        Ok(taint) => {
            report.taint = Some(taint.letters.iter().map(char::to_string).collect());
            // The log's spelling is that of the moment of the crash; without it memory's will do.
            report.taint_text = report.taint_text.take().or(taint.text);
        }
        Err(why) => lost.push(("taint", why.to_string())),
    }
    for (fact, why) in lost {
        report.note_missing(fact, why);
    }
}

fn memory(report: &mut CrashReport, found: MemoryUse, page_size: u64) {
    let mut memory = Memory {
        page_size: Some(page_size),
        ..Memory::default()
    };
    let facts = [
        ("memory.total_pages", &mut memory.total_pages, found.total),
        ("memory.free_pages", &mut memory.free_pages, found.free),
        ("memory.cached_pages", &mut memory.cached_pages, found.cached),
        ("memory.slab_pages", &mut memory.slab_pages, found.slab),
        (
            "memory.swap_total_pages",
            &mut memory.swap_total_pages,
            found.swap_total,
        ),
        ("memory.swap_free_pages", &mut memory.swap_free_pages, found.swap_free),
        ("memory.committed_pages", &mut memory.committed_pages, found.committed),
        (
            "memory.commit_limit_pages",
            &mut memory.commit_limit_pages,
            found.commit_limit,
        ),
    ];
    let mut any = false;
    for (name, field, fact) in facts {
        match fact {
            Ok(pages) => {
                *field = Some(pages);
                any = true;
            }
            Err(why) => report.note_missing(name, why.to_string()),
        }
    }
    if any {
        report.memory = Some(memory);
    }
}
