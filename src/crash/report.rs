//! [`CrashReport`]: the public, versioned contract that `extract --format json` prints and every rule reads.
//!
//! Offsets and sizes are integers (bytes), addresses and register values hex strings, durations seconds, times
//! RFC 3339 UTC. A fact that could not be had is absent, and [`CrashReport::missing`] says which and why: never a zero
//! or an empty string in place of "unknown".

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kind::{Detector, KindSource, PanicKind};
use crate::addr::VirtAddr;

/// The version of the record: [`CrashReport::schema`].
pub const SCHEMA: &str = "vmcoroner/report/1";

/// Register values by lower-case, unpadded name: `rip`, `rax`, `r8`, `cs`, `cr2`, `orig_rax`, …
pub type Registers = BTreeMap<String, VirtAddr>;

/// All that is known of one crash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CrashReport {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// Where the facts came from.
    pub source: Source,
    /// The machine and its kernel.
    #[serde(default)]
    pub system: System,
    /// What failed. Absent: the input holds no crash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub panic: Option<Panic>,
    /// The task that was running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// The innermost kernel place on the panicking task's stack that an exception, interrupt or NMI stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// The panicking task's stack, innermost first. See [`CrashReport::stack`] for whether it is whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frames: Vec<Frame>,
    /// How the frames were obtained. Absent: no stack is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<Stack>,
    /// Whom the event is about, where that is not the task that panicked: the blocked task that made the watcher of
    /// hung tasks panic. Its frames are then what names the bug.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
    /// The loaded modules that are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<Module>,
    /// Whether [`CrashReport::modules`] is all of them.
    #[serde(default)]
    pub modules_complete: bool,
    /// Decoded taint letters that stand for something out of order (`G`, "no proprietary module", is none).
    /// Empty: known to be untainted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taint: Option<Vec<String>>,
    /// The taint as the kernel printed it: `G           OE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taint_text: Option<String>,
    /// Memory use, as `kmem -i` defines it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Tunables as they stood at the crash, by sysctl name or a name of ours (`thp.enabled`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, SettingValue>,
    /// The kernel log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Log>,
    /// The other CPUs' stacks, when asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<CpuStack>,
    /// The stacks of the tasks that waited uninterruptibly, when asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<TaskStack>,
    /// What gathers this crash with its siblings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
    /// Who made this record.
    #[serde(default)]
    pub tool: Tool,
    /// How many further crashes the same input holds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub also: u64,
    /// Facts that could not be had, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Missing>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl CrashReport {
    /// An empty record of the given origin: nothing known yet.
    pub fn new(source: Source) -> Self {
        CrashReport {
            schema: SCHEMA.to_owned(),
            source,
            system: System::default(),
            panic: None,
            task: None,
            fault: None,
            frames: Vec::new(),
            stack: None,
            subject: None,
            modules: Vec::new(),
            modules_complete: false,
            taint: None,
            taint_text: None,
            memory: None,
            settings: BTreeMap::new(),
            log: None,
            cpus: Vec::new(),
            blocked: Vec::new(),
            signature: None,
            tool: Tool::default(),
            also: 0,
            missing: Vec::new(),
        }
    }

    /// Says that `fact` could not be had, and why; once for each fact.
    pub fn note_missing(&mut self, fact: impl Into<String>, why: impl Into<String>) {
        let fact = fact.into();
        if !self.missing.iter().any(|m| m.fact == fact) {
            self.missing.push(Missing { fact, why: why.into() });
        }
    }
}

/// What kind of input the facts came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// A memory dump.
    Vmcore,
    /// Kernel text: dmesg, serial console, journal.
    Console,
    /// What the `crash` utility printed.
    CrashSession,
    /// A [`CrashReport`] read back.
    Report,
}

/// Where type information came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DebugInfo {
    /// Nowhere.
    None,
    /// BTF in the dump itself.
    Btf,
    /// A vmlinux given with the dump.
    Dwarf,
}

/// Where the facts came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The path as given; `-` for standard input.
    pub path: String,
    /// What kind of input it was.
    pub kind: SourceKind,
    /// The dump's format: `kdump-compressed`, `elf`, `flattened`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Page compressions met in the dump and wrappings around the file, in order: `zlib`, `xz`, …
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compression: Vec<String>,
    /// Whether pages were filtered out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<bool>,
    /// Whether the file ends early.
    #[serde(default)]
    pub truncated: bool,
    /// The file's size in bytes, all parts of a split dump together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// How many of its bytes were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_read: Option<u64>,
    /// Where type information came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debuginfo: Option<DebugInfo>,
    /// The debuginfo file that was used, when one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vmlinux: Option<Vmlinux>,
}

/// A debuginfo file, and why it is the right one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Vmlinux {
    /// Where it lies.
    pub path: String,
    /// What it was recognised by: `build-id eb4f… (VMCOREINFO)`.
    pub matched_by: String,
}

impl Source {
    /// A source of which only path and kind are known.
    pub fn new(path: impl Into<String>, kind: SourceKind) -> Self {
        Source {
            path: path.into(),
            kind,
            format: None,
            compression: Vec::new(),
            partial: None,
            truncated: false,
            size: None,
            bytes_read: None,
            debuginfo: None,
            vmlinux: None,
        }
    }
}

/// What the kernel's stream was told from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StreamBasis {
    /// The release string's own suffix: `.el7`, `-amd64`, …
    Suffix,
    /// The version banner: `Debian 6.1.192-2`, `Ubuntu`, …
    Banner,
    /// Derived from a base build that only one distribution made.
    Derived,
}

/// The machine and its kernel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct System {
    /// `uname -r`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// `uname -v`: `#1 SMP Wed Sep 26 15:12:11 UTC 2018`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The architecture as `uname -m` names it: `x86_64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// The host's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodename: Option<String>,
    /// CPUs online.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u64>,
    /// Memory size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// When it crashed: RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crashed_at: Option<String>,
    /// How long it had been up, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime_seconds: Option<f64>,
    /// The load averages over 1, 5 and 15 minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_average: Option<[f64; 3]>,
    /// How many tasks there were, as `crash` counts them: with the idle tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<u64>,
    /// The line of kernel builds it belongs to: `el7`, `debian`, `ubuntu`, `upstream`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// What the stream was told from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_basis: Option<StreamBasis>,
    /// Vendor, model and board, as the oops prints them, without the BIOS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware: Option<String>,
    /// The BIOS's version and date, as the oops prints them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bios: Option<String>,
    /// The kernel's command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmdline: Option<String>,
}

impl System {
    /// The host's name, if somebody gave it one: the kernel begins with `(none)` (UTS_NODENAME, include/linux/uts.h).
    pub fn host(&self) -> Option<&str> {
        self.nodename.as_deref().filter(|name| *name != "(none)")
    }
}

/// How memory was accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// It was read.
    Read,
    /// It was written.
    Write,
    /// It was executed.
    Exec,
}

/// What failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Panic {
    /// The line that names the failure, or the lockup line of a lockup panic. Absent: it is cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The class of failure.
    pub kind: PanicKind,
    /// What the kind was told from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind_source: Option<KindSource>,
    /// The debugging facility that spoke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detector: Option<Detector>,
    /// The address whose access failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<VirtAddr>,
    /// How it was accessed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// The function that the report itself names, where it does: after `in` of a sanitizer's line, after `at` of a
    /// warning's, where lockdep's lock was being taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// The exception's error code, as the processor gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<u64>,
    /// The text after `Kernel panic - not syncing: `, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fatal: Option<String>,
}

impl Panic {
    /// A failure of which only its class is known.
    pub fn of_kind(kind: PanicKind) -> Self {
        Panic {
            message: None,
            kind,
            kind_source: None,
            detector: None,
            address: None,
            access: None,
            function: None,
            error_code: None,
            fatal: None,
        }
    }
}

/// The task that was running.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Its process id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u64>,
    /// Its name, at most 15 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comm: Option<String>,
    /// The CPU it ran on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u64>,
    /// Where its `task_struct` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<VirtAddr>,
    /// Its state, as `crash` words it: `TASK_RUNNING (PANIC)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// What the interrupted place has to do with the crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FaultRole {
    /// Its own instruction raised the exception.
    Faulted,
    /// It did nothing wrong itself: the watchdog, an NMI or the memory's end met it there.
    Interrupted,
}

/// The innermost kernel place on the stack that an exception, interrupt or NMI stopped. User-mode registers never count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What the place has to do with the crash.
    pub role: FaultRole,
    /// The function's name as the kernel spells it, compiler suffixes and all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symbol: Option<String>,
    /// Bytes from the symbol's start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// The function's size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The module it belongs to; absent for the kernel proper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// The instruction pointer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<VirtAddr>,
    /// The registers as they were saved there.
    #[serde(default, skip_serializing_if = "Registers::is_empty")]
    pub registers: Registers,
    /// The code bytes around the instruction as an oops prints them, hex, the one at rip in `<>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The instruction, in AT&T syntax.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instruction: Option<String>,
    /// The source place: `kernel/rwsem.c:34`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// One plain sentence on what went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation: Option<String>,
}

/// One place on a stack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Frame {
    /// The function's name as the kernel spells it; absent when no symbol covers the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symbol: Option<String>,
    /// Bytes from the symbol's start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// The function's size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The module it belongs to; absent for the kernel proper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// The code address: a return address, or for an interrupted frame the exact instruction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<VirtAddr>,
    /// Where on the stack it was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack_address: Option<VirtAddr>,
    /// An exception or interrupt stopped here and saved the registers: the address is exact and no return address.
    #[serde(default, skip_serializing_if = "is_false")]
    pub interrupted: bool,
    /// Panic or entry code (`machine_kexec` … `page_fault`): marked, not dropped.
    #[serde(default, skip_serializing_if = "is_false")]
    pub machinery: bool,
    /// Whether it is known to be a caller: false for `?` frames.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub reliable: bool,
    /// Inlined into the next frame.
    #[serde(default, skip_serializing_if = "is_false")]
    pub inlined: bool,
    /// The source place: `mm/rmap.c:501`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

fn is_true(flag: &bool) -> bool {
    *flag
}

fn yes() -> bool {
    true
}

impl Default for Frame {
    fn default() -> Self {
        Frame {
            symbol: None,
            offset: None,
            size: None,
            module: None,
            address: None,
            stack_address: None,
            interrupted: false,
            machinery: false,
            reliable: true,
            inlined: false,
            source: None,
        }
    }
}

/// How a stack was obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StackSource {
    /// Unwound from the dump's memory.
    Unwound,
    /// The log's own call trace (or the text of a `crash` session).
    Log,
    /// A scan of the stack for return addresses: unreliable.
    Scan,
}

/// How the frames were obtained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stack {
    /// How.
    pub source: StackSource,
    /// Whether the frames reach the stack's end: only then is a function that is not there known to be absent.
    pub complete: bool,
}

/// A task that an event is about without having run when it was noticed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// The task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// Its stack, innermost first.
    pub frames: Vec<Frame>,
    /// How the stack was obtained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<Stack>,
}

/// A loaded module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Module {
    /// Its name, with underscores.
    pub name: String,
    /// `MODULE_VERSION`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Where its code was loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<VirtAddr>,
    /// Its taint letters, as printed after its name: `OE`. Empty: known to have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taints: Option<String>,
}

/// Memory use, in pages, as `kmem -i` defines it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Managed pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_pages: Option<u64>,
    /// Free pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_pages: Option<u64>,
    /// Page cache without swap cache and buffers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_pages: Option<u64>,
    /// Slab, reclaimable and not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slab_pages: Option<u64>,
    /// Swap in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swap_total_pages: Option<u64>,
    /// Swap not in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swap_free_pages: Option<u64>,
    /// Committed memory: the true sum over CPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed_pages: Option<u64>,
    /// The commit limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_limit_pages: Option<u64>,
    /// The page size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_size: Option<u64>,
}

/// A tunable's value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum SettingValue {
    /// A number.
    Number(i64),
    /// Several numbers.
    Numbers(Vec<i64>),
    /// A word.
    Text(String),
}

/// The kernel log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// How many lines there are.
    pub lines: u64,
    /// Whether the log reaches from the boot to the crash without a gap.
    #[serde(default)]
    pub complete: bool,
    /// The first line's time in seconds since boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seconds: Option<f64>,
    /// The last line's time in seconds since boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seconds: Option<f64>,
    /// The last lines, oldest first, without their prefixes: at most 200 before the fatal event and all of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tail: Vec<String>,
    /// Events before the one that killed the machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<EarlierEvent>,
}

/// An event before the one that killed the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EarlierEvent {
    /// Its class.
    pub kind: PanicKind,
    /// The line that names it.
    pub title: String,
    /// When, in seconds since boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

/// Another CPU's stack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CpuStack {
    /// Which CPU.
    pub cpu: u64,
    /// The task on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// Its stack, innermost first.
    pub frames: Vec<Frame>,
    /// How the stack was obtained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<Stack>,
}

/// The stack of a task that did not run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskStack {
    /// The task.
    pub task: Task,
    /// Its stack, innermost first.
    pub frames: Vec<Frame>,
    /// How the stack was obtained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<Stack>,
}

/// What gathers this crash with its siblings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// The version of the way it is made.
    pub version: u32,
    /// The crash in the field's words: `NULL pointer dereference in page_lock_anon_vma_read`.
    pub title: String,
    /// The function to blame: the first that is not plumbing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// `v1-` and 16 hex digits, equal for equal kind, module and frames.
    pub id: String,
    /// The normalised names that the id is made of.
    pub frames: Vec<String>,
}

/// Who made a record or a verdict, so that a fleet's labels can be compared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// The program's version.
    pub version: String,
    /// The digest of the rules in force. Absent: no rules were loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules_digest: Option<String>,
}

/// A fact that could not be had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Missing {
    /// Which: the path in this record, `memory` or `fault.registers`.
    pub fact: String,
    /// Why, and what would supply it.
    pub why: String,
}
