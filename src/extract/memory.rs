//! What the dump's own memory says, without a log: the stack with its saved registers, modules, figures, settings.

use std::fmt;
use std::sync::Arc;

use crate::addr::VirtAddr;
use crate::crash::{CpuStack, CrashReport, DebugInfo, Memory, Module, SettingValue, TaskStack, Vmlinux, time};
use crate::dump::Header;
use crate::kernel::debuginfo::DwarfTypes;
use crate::kernel::machine::{Machine, MemoryUse, System, Unknown, Value};
use crate::kernel::stack::Stacks;
use crate::kernel::symbols::{Hints, Symbols};
use crate::kernel::types::{KernelTypes, Source as TypeSource, Types};
use crate::kernel::{Kernel, bug_table, cpus};

use super::debug_files::{DebugFilesError, Search};
use super::{DebugFiles, Depth, Shared, Step, fault, source_lines, stack};

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
    /// The debuginfo file that was asked for, or why there is none.
    pub debug: Search,
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
        let opened = Insight::open_with(kernel, &DebugFiles::default(), &Shared::default());
        opened.unwrap_or_else(|error| Err(error.to_string()))
    }

    /// [`Insight::open`] with the help of debuginfo, and of other dumps. The outer error: a file that was named cannot be
    /// used.
    pub fn open_with(
        kernel: &Kernel,
        files: &DebugFiles,
        shared: &Shared,
    ) -> Result<Result<Insight, String>, DebugFilesError> {
        let named = |name: &str| kernel.vmcoreinfo().symbol(name);
        let hints = Hints {
            vmcoreinfo: &named,
            image: kernel.image_start(),
        };
        let symbols = Symbols::open_sharing(kernel.memory(), hints, shared.names.as_ref());
        let debug = files.search(kernel, symbols.as_ref().ok())?;
        let listed = || debug.found.as_ref()?.symbols(kernel.memory());
        let mut symbols = match symbols.map_err(|error| listed().ok_or(error)) {
            Ok(symbols) | Err(Ok(symbols)) => symbols,
            Err(Err(error)) => return Ok(Err(error.to_string())),
        };
        let mut types = KernelTypes::open(kernel.memory(), &symbols);
        if let Some(dwarf) = debug.found.as_ref().and_then(|debug| DwarfTypes::open(&debug.file)) {
            types.prefer(Arc::new(dwarf));
        }
        symbols.find_modules(&types);
        Ok(Ok(Insight { symbols, types, debug }))
    }
}

/// Completes `report`, which holds what the log and the headers say, with what memory says. Where both speak, memory is
/// exact and the log may be cut; a disagreement is noted.
pub fn complete(
    report: &mut CrashReport,
    kernel: &Kernel,
    insight: &Insight,
    header: &Header,
    depth: Depth,
    watch: &dyn Fn(Step),
) {
    report.source.debuginfo = Some(match insight.types.source() {
        Some(TypeSource::Btf) => DebugInfo::Btf,
        Some(TypeSource::Dwarf) => DebugInfo::Dwarf,
        Some(TypeSource::Table) | None => DebugInfo::None,
    });
    if let Some(why) = &insight.debug.remark {
        report.note_missing("debuginfo", why.clone());
    }
    report.source.vmlinux = insight.debug.found.as_ref().map(|debug| Vmlinux {
        path: debug.path.display().to_string(),
        matched_by: debug.matched_by.clone(),
    });
    machine(report, kernel, insight, header);
    watch(Step::Stacks);
    let stacks = Stacks::new(kernel.memory(), &insight.symbols, &insight.types, header);
    stack::panic_stack(report, &stacks);
    explain(report, kernel, insight);
    if depth.all_cpus {
        let panicked = report.task.as_ref().and_then(|task| task.cpu);
        report.cpus = stacks
            .all_cpus()
            .into_iter()
            .filter(|cpu| Some(u64::from(cpu.cpu)) != panicked)
            .map(|cpu| CpuStack {
                cpu: u64::from(cpu.cpu),
                task: cpu.task.as_ref().map(|task| stack::task(task, Some(cpu.cpu))),
                frames: cpu
                    .walk
                    .as_ref()
                    .map(|walk| stack::frames(walk, &stacks))
                    .unwrap_or_default(),
                stack: cpu.walk.as_ref().map(stack::given),
            })
            .collect();
    }
    if depth.blocked_tasks {
        let blocked = stacks.blocked_tasks(BLOCKED_TASKS);
        report.blocked = blocked
            .tasks
            .iter()
            .map(|blocked| TaskStack {
                task: stack::task(&blocked.task, None),
                frames: stack::frames(&blocked.walk, &stacks),
                stack: Some(stack::given(&blocked.walk)),
            })
            .collect();
        if blocked.more > 0 {
            report.note_missing("blocked", format!("{} more tasks are blocked", blocked.more));
        }
        if let Some(why) = blocked.broken {
            report.note_missing("blocked", why);
        }
    }
    if let Some(debug) = &insight.debug.found {
        source_lines::complete(report, debug, &insight.symbols);
    }
}

/// The instruction at the stopped place, from the dump's own text, and what the kernel's `BUG()` table says of it.
fn explain(report: &mut CrashReport, kernel: &Kernel, insight: &Insight) {
    let code = report
        .fault
        .as_ref()
        .and_then(|fault| fault.address)
        .and_then(|address| code_at(kernel, address));
    fault::name_bug(report, code.as_deref().unwrap_or_default(), |at| {
        bug_table::find(kernel.memory(), &insight.symbols, &insight.types, at)
    });
    let is_mapped = |address: VirtAddr| kernel.memory().u8(address).is_ok();
    fault::explain_report(report, code.as_deref(), Some(&is_mapped));
}

/// Up to [`CODE`] bytes from `address` on; fewer at the end of what can be read.
fn code_at(kernel: &Kernel, address: VirtAddr) -> Option<Vec<u8>> {
    (1..=CODE)
        .rev()
        .find_map(|len| kernel.memory().bytes(address, len).ok())
}

fn modules(report: &mut CrashReport, machine: &Machine<'_>, symbols: &Symbols) {
    let found = symbols.modules();
    if let Some(remark) = &found.remark {
        report.note_missing("modules", remark.clone());
    }
    if found.list.is_empty() && !found.complete {
        return;
    }
    let logged = std::mem::take(&mut report.modules);
    let taints: Vec<u64> = found.list.iter().map(|module| module.taints.unwrap_or(0)).collect();
    report.modules = found
        .list
        .iter()
        .zip(machine.module_taints(&taints))
        .map(|(module, taints)| Module {
            name: module.name.to_string(),
            version: module.version.clone(),
            size: Some(module.size),
            address: Some(module.base),
            taints: module.taints.map(|_| taints).or_else(|| {
                let logged = logged.iter().find(|m| m.name == *module.name);
                logged.and_then(|m| m.taints.clone())
            }),
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
    modules(report, &machine, &insight.symbols);
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
    undo_panic(report);
}

/// What panics clears `panic_on_warn`, lest a warning on the way starts it again: the warning itself since 3.19,
/// `panic()` since 5.7 (kernel/panic.c). What stood there before is known only where it was the reason.
fn undo_panic(report: &mut CrashReport) {
    const NAME: &str = "kernel.panic_on_warn";
    let Some(fatal) = report.panic.as_ref().and_then(|panic| panic.fatal.as_ref()) else {
        return;
    };
    if fatal.contains("panic_on_warn set") {
        report.settings.insert(NAME.to_owned(), SettingValue::Number(1));
    } else if report.settings.get(NAME) == Some(&SettingValue::Number(0)) {
        report.settings.remove(NAME);
        report.note_missing(format!("settings.{NAME}"), "panic() may have cleared it");
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
        Ok(clock) => {
            system.uptime_seconds = Some(clock.uptime_seconds);
            // Hypervisors' dumps do not say when: the machine's own clock does.
            if system.crashed_at.is_none() {
                system.crashed_at = time::rfc3339(clock.wall_seconds);
                report.missing.retain(|missing| missing.fact != "crashed_at");
            }
        }
        Err(why) => lost.push(("system.uptime_seconds", why.to_string())),
    }
    match found.memory_bytes {
        Ok(bytes) => system.memory_bytes = Some(bytes),
        Err(why) => lost.push(("system.memory_bytes", why.to_string())),
    }
    match found.command_line {
        Ok(line) => system.cmdline = Some(line),
        // The log has it too, from the boot.
        Err(_) if system.cmdline.is_some() => {}
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
