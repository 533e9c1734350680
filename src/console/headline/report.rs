//! What the kernel's own checks found: sanitizers, warnings, watchdogs, the slab allocator, hardware errors, assertions.

use crate::addr::VirtAddr;
use crate::crash::Detector;
use crate::crash::PanicKind as Kind;

use super::super::registers::Place;
use super::super::scan;
use super::Class::{Context, Lockup, Report, Warn};
use super::{Headline, access_word, at_start, task_tag};

pub fn sanitizer(text: &str) -> Option<Headline> {
    if let Some(rest) = at_start(text, "BUG: KASAN: ") {
        let what = rest.split(" in ").next().unwrap_or(rest);
        let kind = match what {
            _ if what.contains("null-ptr-deref") => Kind::NullPointerDereference,
            _ if what.contains("user-memory-access") || what.contains("wild-memory-access") => Kind::BadPageFault,
            _ if what.contains("use-after") || what.contains("free") => Kind::UseAfterFree,
            // A pointer's tag that is not the memory's: outside of the object, in space or in time.
            _ if what.contains("invalid-access") => Kind::OutOfBounds,
            _ => Kind::OutOfBounds,
        };
        return Some(in_function(Headline::new(kind, Report).by(Detector::Kasan), rest));
    }
    if let Some(rest) = at_start(text, "BUG: KFENCE: ") {
        let what = rest.split(" in ").next().unwrap_or(rest);
        let kind = match what {
            _ if what.contains("use-after-free") || what.contains("invalid free") => Kind::UseAfterFree,
            _ if what.contains("invalid") => Kind::BadPageFault,
            _ => Kind::OutOfBounds,
        };
        let mut headline = Headline::new(kind, Report).by(Detector::Kfence);
        headline.access = access_word(what);
        return Some(in_function(headline, rest));
    }
    if let Some(rest) = at_start(text, "BUG: KMSAN: ") {
        let kind = if rest.starts_with("use-after-free") {
            Kind::UseAfterFree
        } else {
            Kind::UninitialisedValue
        };
        return Some(in_function(Headline::new(kind, Report).by(Detector::Kmsan), rest));
    }
    if let Some(rest) = at_start(text, "BUG: KCSAN: ") {
        return Some(in_function(
            Headline::new(Kind::DataRace, Report).by(Detector::Kcsan),
            rest,
        ));
    }
    if let Some(rest) = at_start(text, "UBSAN: ") {
        let kind = if rest.contains("array-index")
            || rest.contains("object-size")
            || rest.contains("out-of-bounds") && !rest.contains("shift")
        {
            Kind::OutOfBounds
        } else if rest.contains("division") {
            Kind::DivideError
        } else {
            Kind::Warning
        };
        return Some(Headline::new(kind, Warn).by(Detector::Ubsan));
    }
    None
}

fn in_function(mut headline: Headline, rest: &str) -> Headline {
    let place = scan::after(rest, " in ").unwrap_or_default();
    headline.place = scan::symbol_ref(place).map(Place::from);
    if headline.place.is_none() {
        // `in consume_skb at addr ffff…` (old), `in tcp_foo / tcp_bar`
        let name = place.split([' ', '/']).next().unwrap_or_default();
        if scan::is_symbol(name) {
            headline.place = Some(Place {
                symbol: Some(name.to_owned()),
                ..Place::default()
            });
        }
    }
    headline.address = scan::after(rest, "at addr ")
        .and_then(scan::leading_hex)
        .map(|(address, _)| VirtAddr(address));
    headline
}

pub fn warning(text: &str) -> Option<Headline> {
    let rest = at_start(text, "WARNING: ")?;
    // `CPU: 0 PID: 1 at file:line func+…` (3.10+), `at file:line func()` (before), `file:line at func+…, CPU#0: …` (6.18+).
    let about = if rest.starts_with("CPU: ") {
        scan::after(rest, " at ").unwrap_or(rest)
    } else if let Some(rest) = rest.strip_prefix("at ") {
        rest
    } else {
        let (place, _) = rest.split_once(" at ")?;
        let (file, number) = place.rsplit_once(':')?;
        if !file.contains(['.', '/']) || number.parse::<u32>().is_err() {
            return None;
        }
        rest
    };
    let mut headline = Headline::new(Kind::Warning, Warn);
    let file = about.split(':').next().unwrap_or_default();
    if file.ends_with("lib/refcount.c") {
        headline.kind = Kind::Refcount;
    } else if file.ends_with("lib/list_debug.c") {
        headline.kind = Kind::ListCorruption;
        headline.detector = Some(Detector::DebugList);
    } else if file.ends_with("lockdep.c") {
        headline.kind = Kind::LockMisuse;
        headline.detector = Some(Detector::Lockdep);
    } else if file.ends_with("lib/debugobjects.c") {
        headline.detector = Some(Detector::DebugObjects);
    }
    let symbol = about.split_ascii_whitespace().find_map(scan::symbol_ref);
    headline.place = symbol.map(Place::from);
    if let Some(place) = &mut headline.place {
        place.module = scan::between(about, " [", "]")
            .filter(|module| scan::is_module(module))
            .map(str::to_owned);
    }
    headline.cpu = scan::decimal_after(text, "CPU: ").or_else(|| scan::decimal_after(text, "CPU#"));
    Some(headline)
}

/// RCU stalls and hung tasks.
pub fn stuck(text: &str) -> Option<Headline> {
    // A task may have given itself a name with a line feed in it.
    if let Some((name, rest)) = text.split_once(" blocked for more than ")
        && !text.contains("INFO: ")
        && rest.contains(" seconds")
        && let Some(task) = task_tag(name).filter(|(_, pid)| pid.is_some())
    {
        let mut headline = Headline::new(Kind::HungTask, Lockup).by(Detector::Watchdog);
        headline.task = Some(task);
        return Some(headline);
    }
    let rest = at_start(text, "INFO: ")?;
    if rest.starts_with("rcu") && rest.contains("stall") {
        return Some(Headline::new(Kind::RcuStall, Lockup));
    }
    if let Some(task) = rest.strip_prefix("task ")
        && let Some(end) = [
            " blocked for more than",
            " blocked in I/O wait",
            " blocked on",
            " can't die",
        ]
        .iter()
        .find_map(|words| task.find(words))
    {
        let mut headline = Headline::new(Kind::HungTask, Lockup).by(Detector::Watchdog);
        headline.task = task.get(..end).and_then(task_tag);
        return Some(headline);
    }
    None
}

/// `BUG kmalloc-64 (Tainted: G    B): Redzone overwritten`
pub fn slub(text: &str) -> Option<Headline> {
    let rest = text.strip_prefix("BUG ")?;
    let (cache, rest) = rest.split_once(" (")?;
    let (_, what) = rest.split_once("): ")?;
    if cache.contains(' ') || what.contains("kasan: bad access") {
        return None;
    }
    let kind = if what.contains("edzone") || what.contains("padding") || what.contains("Left Redzone") {
        Kind::OutOfBounds
    } else {
        Kind::UseAfterFree
    };
    Some(Headline::new(kind, Report).by(Detector::Slub))
}

pub fn hardware(text: &str) -> Option<Headline> {
    if !(text.contains("[Hardware Error]") || text.contains("Machine Check Exception")) {
        return None;
    }
    let bad = text.contains("Machine Check")
        || text.contains("severity: fatal")
        || text.contains("Uncorrected") && !text.contains("no action");
    Some(Headline::new(Kind::MachineCheck, if bad { Warn } else { Context }))
}

/// Checks that drivers and file systems make by themselves.
pub fn assertion(text: &str) -> Option<Headline> {
    let checked = text.starts_with("VERIFY") || text.contains("ASSERTION(") || text.contains("ASSERT(");
    let hit = (checked && text.contains("failed"))
        || text.contains("ssertion failed")
        || text.starts_with("PANIC at ")
        || text.contains("SPL PANIC")
        || text.starts_with("PANIC: ");
    hit.then(|| Headline::new(Kind::Bug, Report))
}

/// `BUG: …` that nothing above knows.
pub fn other_bug(text: &str) -> Option<Headline> {
    let rest = at_start(text, "BUG: ")?;
    (!rest.is_empty()).then(|| Headline::new(Kind::Bug, Report))
}
