//! Which facts of a crash name its bug: from what would also name the bug elsewhere, on another build and by another way,
//! to all that this one crash shows. It knows one crash and how many others a function stands in; whether a form claims
//! others' crashes is [`super::select`]'s to find out.

use std::fmt::Write as _;

use super::common::Common;
use crate::crash::machinery::{family, roles, unify_syscall};
use crate::crash::{CrashReport, FaultRole, Frame, PanicKind, normalise_symbol};

/// Callers that a form looks at: more tell little more and differ with the way taken.
const CALLERS: usize = 8;

/// How many levels the looked-for frames may lie further out than in the crash at hand: other builds inline less.
const SLACK: usize = 3;

/// How many pairs of neighbouring callers a form asks for one of.
const WINDOWS: usize = 3;

/// How many forms there are.
pub const FORMS: usize = 5;

/// Functions that do one thing: which of them a crash stops in is up to the kernel's version, to what the compiler inlines
/// and to the debugging that is built in.
const ALIKE: &[&[&str]] = &[
    &["__list_add_valid", "__list_add_valid_or_report", "__list_add"],
    &[
        "__list_del_entry_valid",
        "__list_del_entry_valid_or_report",
        "__list_del_entry",
    ],
    &[
        "_raw_spin_lock",
        "_raw_spin_lock_irqsave",
        "_raw_spin_lock_irq",
        "_raw_spin_lock_bh",
        "native_queued_spin_lock_slowpath",
        "queued_spin_lock_slowpath",
        "do_raw_spin_lock",
        "__lock_acquire",
        "lock_acquire",
    ],
    &[
        "mutex_lock",
        "__mutex_lock",
        "__mutex_lock_slowpath",
        "mutex_lock_nested",
        "__lock_acquire",
        "lock_acquire",
    ],
    &[
        "down_write",
        "__down_write",
        "rwsem_down_write_slowpath",
        "__lock_acquire",
        "lock_acquire",
    ],
    &[
        "down_read",
        "__down_read",
        "rwsem_down_read_slowpath",
        "__lock_acquire",
        "lock_acquire",
    ],
    &[
        "__timer_delete_sync",
        "timer_delete_sync",
        "del_timer_sync",
        "__try_to_del_timer_sync",
        "try_to_del_timer_sync",
        "lock_timer_base",
    ],
    &[
        "__queue_work",
        "queue_work_on",
        "__queue_delayed_work",
        "queue_delayed_work_on",
    ],
    &["__wake_up", "__wake_up_common", "__wake_up_common_lock"],
    &["memcpy", "__memcpy", "memcpy_erms", "memcpy_orig", "__pi_memcpy"],
    &["memmove", "__memmove", "__pi_memmove"],
    &["memset", "__memset", "memset_erms", "memset_orig", "__pi_memset"],
    &["strcmp", "__pi_strcmp"],
    &["strlen", "__pi_strlen"],
    &["kfree", "__slab_free", "___cache_free"],
];

/// What a crash is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The function that is to blame, without the compiler's suffixes.
    pub function: String,
    /// Where the machine stopped or a sanitizer looked, when that is told: the function itself or a helper of it.
    stopped: Option<String>,
    /// Whether a sanitizer or a warning names the place, and no fault does.
    only_named: bool,
    /// The function that the line of the failure names, where it is inlined into another.
    inlined: Option<String>,
    /// The source file that a failed check names, where nothing else says the place.
    file: Option<String>,
    /// Who called the function, the nearest first: functions that are not everybody's.
    callers: Vec<String>,
    /// How many levels lie above each of them, the function itself first.
    depths: Vec<usize>,
    kind: PanicKind,
    address: Option<u64>,
    /// The form to begin with: the fewer the names that are this crash's own, the more is asked for.
    first: usize,
}

impl Place {
    /// Finds what a crash is known by, or says why nothing of it is this bug's own.
    pub fn of(report: &CrashReport, common: &Common) -> Result<Place, String> {
        let panic = report.panic.as_ref().ok_or_else(String::new)?;
        if matches!(panic.kind, PanicKind::UninitialisedValue | PanicKind::DataRace) {
            return Err("an instrumented kernel's report of where a value is used, not of who spoilt it".to_owned());
        }
        let blamed = report
            .signature
            .as_ref()
            .and_then(|signature| signature.function.clone());
        let blamed = blamed.ok_or("no function is to blame")?;
        let frames: Vec<&Frame> = report.frames.iter().filter(|frame| !frame.machinery).collect();
        let is_blamed = |name: &str| name == blamed || family(&unify_syscall(name)) == blamed;
        let mut at = frames.iter().position(|frame| sure_name(frame).is_some_and(is_blamed));
        if let Some(outer) = at
            && matches!(
                panic.kind,
                PanicKind::SoftLockup | PanicKind::HardLockup | PanicKind::RcuStall
            )
        {
            // What begins the job is to blame; which job it is, the functions on the way to where it spins tell. The
            // innermost is chance.
            let tells = |name: &str| !is_everybodys(name) && !common.is_common(name);
            let mut inner = frames.iter().take(outer).skip(1);
            at = inner
                .position(|frame| !frame.inlined && !frame.interrupted && sure_name(frame).is_some_and(tells))
                .map(|inner| inner + 1)
                .or(at);
        }
        let fault = report.fault.as_ref().filter(|fault| fault.role == FaultRole::Faulted);
        let fault = fault.and_then(|fault| fault.symbol.as_deref()).map(normalise_symbol);
        let named = panic.function.as_deref().map(normalise_symbol);
        let stopped = fault.or(named).map(str::to_owned);
        let level = |at: usize| {
            let above = frames.get(..at).unwrap_or_default();
            above.iter().filter(|frame| frame.reliable && !frame.inlined).count()
        };
        // What the signature blames may still be a function that many crashes show: then who called it tells more, and
        // the place remains asked for.
        let function = at
            .and_then(|at| frames.get(at).and_then(|frame| sure_name(frame)))
            .map_or_else(|| blamed.clone(), str::to_owned);
        let mut callers: Vec<String> = Vec::new();
        let mut depths = vec![level(at.unwrap_or(0)) + 1];
        let outer = frames.iter().enumerate().skip(at.map_or(0, |at| at + 1));
        for (index, frame) in outer.filter(|(_, frame)| !frame.inlined) {
            let Some(name) = sure_name(frame) else { continue };
            if callers.len() >= CALLERS || ends(name) && !callers.is_empty() {
                break;
            }
            let known = name == function || callers.iter().any(|known| known == name);
            if known || !ends(name) && (is_everybodys(name) || common.is_common(name)) {
                continue;
            }
            callers.push(name.to_owned());
            depths.push(level(index) + 1);
            if ends(name) {
                break;
            }
        }
        if at.is_none() && stopped.as_deref() != Some(function.as_str()) {
            return Err("no frame shows the function that is to blame".to_owned());
        }
        let mut place = Place {
            only_named: fault.is_none() && named.is_some(),
            inlined: named_in(panic.message.as_deref().filter(|_| panic.detector.is_some())),
            file: file_in(panic.message.as_deref()),
            stopped,
            callers,
            depths,
            kind: panic.kind,
            address: panic
                .address
                .map(|address| address.0)
                .filter(|&address| address < 0x1000),
            first: 0,
            function,
        };
        place.first = place.start(common)?;
        Ok(place)
    }

    /// Who called it, nearest first.
    pub fn callers(&self) -> &[String] {
        &self.callers
    }

    /// The class of failure.
    pub fn kind(&self) -> PanicKind {
        self.kind
    }

    /// The form to begin with.
    pub fn first(&self) -> usize {
        self.first
    }

    /// Whether no caller is asked for but the one that begins the job: then the function must be nobody else's.
    pub fn stands_alone(&self) -> bool {
        self.callers.iter().all(|name| ends(name))
    }

    fn start(&self, common: &Common) -> Result<usize, String> {
        let names = || std::iter::once(&self.function).chain(self.callers.iter().filter(|name| !ends(name)));
        let own = names()
            .filter(|name| !is_everybodys(name) && common.is_own(name))
            .count();
        let telling = names()
            .filter(|name| !is_everybodys(name) && !common.is_common(name))
            .count();
        if telling == 0 {
            return Err(format!(
                "`{}` stands in many crashes, and so do its callers",
                self.function
            ));
        }
        self.tells_enough(own)?;
        if self.is_stuck() && own == 0 {
            return Err("where it is stuck, others are stuck, too".to_owned());
        }
        let callers = self.callers.iter().filter(|name| !ends(name)).count();
        Ok(match own {
            0 => 3,
            // One caller may be anybody's: then the member that is missing tells this bug from the next.
            _ if callers < 2 && self.asks_for_address() => 4,
            // Where not even the function of the check is told, all of the way must be the same.
            _ if self.is_check() && self.stopped.is_none() => 3,
            _ if self.is_check() => self.form(2).map_or(1, |_| 2),
            _ if telling < 2 => 1,
            1 => 1,
            _ => 0,
        })
    }

    /// Whether there is enough on the way to the place to tell this bug from the next one of the same function.
    fn tells_enough(&self, own: usize) -> Result<(), String> {
        let callers = self.callers.iter().filter(|name| !ends(name)).count();
        let whole = self.callers.iter().any(|name| ends(name));
        match callers {
            0 if !whole || own == 0 || self.is_stuck() || self.is_check() => {
                Err(format!("only `{}` tells something, and not enough", self.function))
            }
            1 if self.is_check() => Err(format!(
                "a check in `{}` that others may fail, too, and one caller is not enough",
                self.function
            )),
            _ => Ok(()),
        }
    }

    /// Whether the kernel checked something: whoever spoilt it, the same line complains.
    fn is_check(&self) -> bool {
        matches!(self.kind, PanicKind::Bug | PanicKind::Warning)
    }

    fn asks_for_address(&self) -> bool {
        self.kind == PanicKind::NullPointerDereference
            && self.address.is_some()
            && self.stopped.is_some()
            && !self.only_named
    }

    fn is_stuck(&self) -> bool {
        use PanicKind::*;
        matches!(self.kind, SoftLockup | HardLockup | RcuStall | HungTask)
    }

    /// Whether a sanitizer's line names the place, by a name that is not everybody's.
    fn by_words(&self) -> bool {
        let told = self
            .inlined
            .as_deref()
            .is_some_and(|name| !is_everybodys(name) || self.symbols().contains(&name));
        self.only_named && told && matches!(self.kind, PanicKind::UseAfterFree | PanicKind::OutOfBounds)
    }

    /// The classes of failure that the same bug shows itself as; narrow: this one.
    fn kinds(&self, wide: bool) -> Vec<PanicKind> {
        use PanicKind::*;
        let others: &[PanicKind] = match self.kind {
            Unknown => return Vec::new(),
            _ if !wide => &[],
            // Only a sanitizer says so at once; a plain kernel trips over what the memory holds by then.
            UseAfterFree => &[GeneralProtection, BadPageFault],
            GeneralProtection => &[BadPageFault, UseAfterFree],
            BadPageFault => &[GeneralProtection, UseAfterFree],
            OutOfBounds => &[BadPageFault, GeneralProtection],
            ListCorruption => &[GeneralProtection, BadPageFault],
            _ => &[],
        };
        std::iter::once(self.kind).chain(others.iter().copied()).collect()
    }

    /// The functions that the place may be called: the helper, by all the names that it has had, and the function itself.
    fn symbols(&self) -> Vec<&str> {
        let mut symbols: Vec<&str> = Vec::new();
        if let Some(stopped) = self.stopped.as_deref() {
            symbols.push(stopped);
            let alike = ALIKE.iter().find(|names| names.contains(&stopped)).copied();
            let alike = alike.unwrap_or_default().iter().copied();
            symbols.extend(alike.filter(|name| *name != stopped));
            if stopped != self.function {
                symbols.push(&self.function);
            }
        }
        symbols
    }

    /// The `match` block of a form, as YAML; `None` where it would ask for no more than the form before.
    pub fn form(&self, form: usize) -> Option<String> {
        let callers = self.callers.as_slice();
        let wide = form == 0 && !self.stands_alone();
        let most = match form {
            0 | 1 => WINDOWS + 1,
            2 if callers.len() >= 3 => WINDOWS + 1,
            3 => CALLERS,
            4 if self.asks_for_address() => CALLERS,
            _ => return None,
        };
        let mut out = String::from("match:\n");
        let mut kinds = self.kinds(wide);
        // Under a sanitizer a NULL pointer is a shadow address that is none.
        let shadow = wide && self.kind == PanicKind::NullPointerDereference && !self.symbols().is_empty();
        if shadow {
            kinds.push(PanicKind::GeneralProtection);
        }
        match kinds.as_slice() {
            [] => {}
            [kind] => line(&mut out, &format!("  kind: {kind}")),
            kinds => {
                let words: Vec<&str> = kinds.iter().map(|kind| kind.word()).collect();
                line(&mut out, &format!("  kind: [{}]", words.join(", ")));
            }
        }
        match self.address.filter(|_| form == 4) {
            Some(address) => {
                let list = self.symbols().join(", ");
                line(
                    &mut out,
                    &format!("  fault: {{symbol: [{list}], address: {address:#x}}}"),
                );
            }
            None => self.place(&mut out, wide, shadow),
        }
        self.frames(&mut out, callers.get(..most).unwrap_or(callers), form < 2);
        Some(out)
    }

    /// Where the machine stopped, or what a sanitizer names.
    fn place(&self, out: &mut String, wide: bool, shadow: bool) {
        let symbols = self.symbols();
        let list = match symbols.as_slice() {
            [] => {
                if let Some(file) = self.file.as_deref().filter(|_| !self.is_stuck()) {
                    line(out, &format!("  panic: '[/ ]{file}:[0-9]+'"));
                }
                return;
            }
            [one] => (*one).to_owned(),
            many => format!("[{}]", many.join(", ")),
        };
        let mut named = symbols.clone();
        named.extend(
            self.inlined
                .as_deref()
                .filter(|name| !symbols.contains(name) && !is_everybodys(name)),
        );
        let words = match named.as_slice() {
            [one] => format!("panic: ' in {one}([+. ]|$)'"),
            many => format!("panic: ' in ({})([+. ]|$)'", many.join("|")),
        };
        let by_words = self.by_words();
        let nothing_else = self.callers.is_empty() && self.stopped.as_ref() == Some(&self.function);
        match () {
            () if nothing_else && by_words => line(out, &format!("  {words}")),
            // The place that a warning names is its frame.
            () if self.only_named && !by_words => {}
            () if shadow => {
                line(out, "  any:");
                line(out, &format!("    - {{kind: null-pointer-dereference, fault: {list}}}"));
                line(out, &format!("    - {{fault: {list}, panic: 'address 0xdffffc0'}}"));
                line(out, &format!("    - {{{words}}}"));
            }
            () if (wide || by_words) && self.kinds(true).len() > 1 && self.kind != PanicKind::ListCorruption => {
                line(out, &format!("  any: [{{fault: {list}}}, {{{words}}}]"));
            }
            () => line(out, &format!("  fault: {list}")),
        }
    }

    fn frames(&self, out: &mut String, callers: &[String], some: bool) {
        let mut items: Vec<String> = Vec::new();
        let in_place = self.stopped.as_ref() == Some(&self.function);
        let by_frame = self.only_named && !self.by_words();
        // A helper that the sanitizer names is in many functions.
        let by_helper = self.by_words() && self.inlined.as_ref().is_some_and(|name| *name != self.function);
        if !in_place || by_frame || by_helper {
            items.push(self.function.clone());
        }
        if some && callers.len() > 2 {
            // Another build may inline every other one of them.
            for (a, b) in callers.iter().zip(callers.iter().skip(1)) {
                items.push(format!("{{any: [\"{a}?\", \"{b}?\"]}}"));
            }
        } else {
            items.extend(callers.iter().map(|name| format!("\"{name}?\"")));
        }
        if items.is_empty() {
            return;
        }
        let depth = self
            .depths
            .get(callers.len())
            .or(self.depths.last())
            .copied()
            .unwrap_or_default();
        let within = depth + SLACK;
        line(
            out,
            &format!("  frames: {{ordered: [{}], within: {within}}}", items.join(", ")),
        );
    }
}

/// The function that a sanitizer's line names: `BUG: KASAN: use-after-free in f+0x1/0x2`, `… in f include/g.h:1 [inline]`.
fn named_in(message: Option<&str>) -> Option<String> {
    let (_, rest) = message?.split_once(" in ")?;
    let end = rest
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.')))
        .unwrap_or(rest.len());
    let name = normalise_symbol(rest.get(..end)?);
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    (plain && !name.is_empty()).then(|| name.to_owned())
}

/// The source file that a failed check names, without its folders, which builds spell differently; ready for a pattern.
fn file_in(message: Option<&str>) -> Option<String> {
    let (_, rest) = message?.split_once(" at ")?;
    let (path, _) = rest.split_once(':')?;
    let name = path.rsplit('/').next()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    (name.ends_with(".c") || name.ends_with(".h")).then_some(())?;
    name.bytes().all(plain).then(|| name.replace('.', "\\."))
}

/// The function of a frame that is known to be a caller.
fn sure_name(frame: &Frame) -> Option<&str> {
    frame.symbol.as_deref().map(normalise_symbol).filter(|_| frame.reliable)
}

fn line(out: &mut String, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{text}");
}

/// Whether a function stands on many stacks for reasons of its own: a helper, a way into the kernel, a wait.
fn is_everybodys(name: &str) -> bool {
    let roles = roles(name);
    roles.plumbing()
        || roles.machinery()
        || roles.anchor()
        || roles.waiting()
        || roles.bucket()
        || name.len() < 4
        || super::common::is_listed(name)
}

/// Whether the kernel takes a job up here: what lies further out is not about this bug.
fn ends(name: &str) -> bool {
    let roles = roles(name);
    roles.anchor() || roles.machinery()
}
