//! Titles and causes in words of ours, built from facts: nothing here comes from anybody's message.

use crate::crash::PanicKind;

use super::bug::{About, Bug, short};
use super::signature::Place;

/// One line: what breaks, and where.
pub fn title(place: &Place) -> String {
    let what = what(place.kind());
    let caller = place.callers().first().filter(|_| !place.stands_alone());
    let full = match caller {
        Some(caller) => format!("{what} in {}(), called by {caller}()", place.function),
        None => format!("{what} in {}()", place.function),
    };
    if full.chars().count() <= 120 {
        full
    } else {
        format!("{what} in {}()", place.function).chars().take(120).collect()
    }
}

/// A paragraph: what happens, what the fix says that it is about, where it came from and what ends it.
pub fn root_cause(bug: &Bug, place: &Place) -> String {
    let function = &place.function;
    let mut text = match place.kind() {
        PanicKind::NullPointerDereference => format!("{function}() follows a pointer that is NULL."),
        PanicKind::GeneralProtection => format!("{function}() follows a pointer that is no address at all."),
        PanicKind::BadPageFault => format!("{function}() touches an address that nothing is mapped at."),
        PanicKind::UseAfterFree => format!("{function}() touches an object after it was freed."),
        PanicKind::OutOfBounds => format!("{function}() reaches beyond the object that it works on."),
        PanicKind::Bug => format!("A check in {function}() finds a state that must not be, and stops the kernel."),
        PanicKind::Warning => format!("A check in {function}() finds a state that must not be, and warns."),
        PanicKind::ListCorruption => format!("{function}() meets a list whose links do not fit together."),
        PanicKind::DivideError => format!("{function}() divides by zero, or by too little."),
        PanicKind::SoftLockup | PanicKind::HardLockup | PanicKind::RcuStall => {
            format!("A CPU does not get out of {function}().")
        }
        PanicKind::HungTask => format!("A task waits in {function}() for what does not come."),
        PanicKind::Refcount => format!("{function}() takes or gives back a reference that is not there."),
        PanicKind::UninitialisedValue => format!("{function}() uses a value that was never set."),
        PanicKind::DataRace => format!("{function}() shares data with another CPU without agreeing on it."),
        _ => format!("The crash stands in {function}()."),
    };
    let about: Vec<&str> = bug.about.iter().map(|about| about_words(*about)).collect();
    if !about.is_empty() {
        text.push_str(&format!(" By its title, the fix is about {}.", about.join(" and ")));
    }
    match (&bug.introduced_by, &bug.introduced_in) {
        (Some(commit), Some(release)) => {
            text.push_str(&format!(" The fault came with commit {} in {release}.", short(commit)));
        }
        (Some(commit), None) => text.push_str(&format!(" The fault came with commit {}.", short(commit))),
        (None, Some(release)) => text.push_str(&format!(" The fault came with {release}.")),
        (None, None) => {}
    }
    text
}

fn what(kind: PanicKind) -> &'static str {
    match kind {
        PanicKind::NullPointerDereference => "NULL pointer followed",
        PanicKind::BadPageFault => "Bad address touched",
        PanicKind::GeneralProtection => "Wild pointer followed",
        PanicKind::UseAfterFree => "Freed memory used",
        PanicKind::OutOfBounds => "Memory beyond an object touched",
        PanicKind::Bug => "BUG check failed",
        PanicKind::Warning => "WARN check failed",
        PanicKind::ListCorruption => "List corrupted",
        PanicKind::DivideError => "Division by zero",
        PanicKind::SoftLockup => "CPU stuck",
        PanicKind::HardLockup => "CPU stuck with interrupts off",
        PanicKind::RcuStall => "RCU stalled",
        PanicKind::HungTask => "Task hung",
        PanicKind::Refcount => "Reference count wrong",
        PanicKind::BadUsercopy => "Copy to or from user space refused",
        PanicKind::StackOverflow => "Stack overrun",
        PanicKind::InvalidOpcode => "Invalid instruction",
        PanicKind::NxExecute => "Data executed",
        PanicKind::MachineCheck => "Machine check",
        PanicKind::SchedulingWhileAtomic => "Scheduling in atomic context",
        PanicKind::LockMisuse => "Lock misused",
        PanicKind::Deadlock => "Deadlock",
        PanicKind::BadPageState => "Page in a bad state",
        PanicKind::UninitialisedValue => "Uninitialised value used",
        PanicKind::DataRace => "Data race",
        PanicKind::MemoryLeak => "Memory leaked",
        PanicKind::RcuUsage => "RCU misused",
        _ => "Crash",
    }
}

fn about_words(about: About) -> &'static str {
    match about {
        About::UseAfterFree => "memory that is used after it was given back",
        About::DoubleFree => "memory that is given back twice",
        About::Race => "two paths that run into each other",
        About::Bounds => "a length or an index that is not checked",
        About::Null => "a pointer that may be NULL",
        About::Count => "a count of references",
        About::Deadlock => "a deadlock",
        About::Zero => "a division by zero",
        About::Endless => "a loop that does not end",
        About::Sleep => "sleeping where that is not allowed",
        About::Uninitialised => "a value that is not set",
        About::ErrorPath => "what is done after an error",
    }
}
