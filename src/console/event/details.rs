//! One line → a fact that it adds to what the event's headline says: the access, the address, the lock in question.
//!
//! It must not know of stacks and registers.

use crate::addr::VirtAddr;
use crate::crash::machinery::roles;
use crate::crash::{Access, Detector, PanicKind};

use super::super::headline::Headline;
use super::super::registers::{self, Place};
use super::super::scan;
use super::label::is_arm_stack;
use super::{Event, NextPlace};

impl Event {
    /// Lines that add a fact to the headline's.
    pub(super) fn feed_details(&mut self, text: &str) -> bool {
        let headline = &mut self.headline;
        if let Some(rest) = text.strip_prefix("IP: ") {
            // Up to 4.x the place stands right behind the headline: all there is where the log ends there.
            if headline.place.is_none() {
                headline.place = registers::place(rest);
            }
            return true;
        }
        if let Some(rest) = text.strip_prefix("task: ") {
            let address = scan::leading_hex(rest)
                .map(|(address, _)| VirtAddr(address))
                .filter(|address| address.0 > 0xffff);
            if let Some(section) = self.sections.last_mut() {
                section.task_address = section.task_address.or(address);
            }
            return true;
        }
        if let Some(rest) = text.strip_prefix("#PF: ") {
            if rest.contains(" access ") || rest.contains("instruction fetch") {
                headline.access = headline.access.or(if rest.contains("instruction fetch") {
                    Some(Access::Exec)
                } else if rest.contains("write access") {
                    Some(Access::Write)
                } else {
                    Some(Access::Read)
                });
            }
            if let Some((code, _)) = scan::after(rest, "error_code(0x").and_then(scan::leading_hex) {
                headline.error_code = Some(code);
            }
            return true;
        }
        if headline.detector == Some(Detector::Kasan)
            && let Some((access, rest)) = text.split_once(" of size ")
            && let Some(address) = scan::after(rest, "at addr ")
        {
            headline.access = match access {
                "Read" => Some(Access::Read),
                "Write" => Some(Access::Write),
                _ => headline.access,
            };
            headline.address = headline
                .address
                .or(scan::leading_hex(address).map(|(address, _)| VirtAddr(address)));
            return true;
        }
        if text.starts_with("KASAN: ") {
            headline.detector = Some(Detector::Kasan);
            return true;
        }
        // arm64
        if let Some(rest) = scan::after(text, "WnR = ") {
            headline.access = headline.access.or(Some(if rest.starts_with('1') {
                Access::Write
            } else {
                Access::Read
            }));
            return true;
        }
        // Lockdep: where the lock in question was being taken. The list of the locks held comes behind it, and counts
        // where the report is about those.
        let about_held = self.message.contains("held");
        if text.starts_with("Preemption disabled at:") {
            self.next_place = Some(NextPlace::Other);
            return true;
        }
        if text.ends_with(" at:") && text.contains('(') {
            self.next_place = Some(NextPlace::Lock);
            return true;
        }
        if let Some(place) = scan::after(text, " at: ").and_then(registers::place) {
            // Where a helper took the lock, the one that is held already says more.
            let open = headline.place.as_ref().is_none_or(is_helper);
            if open
                && names_a_lock(headline)
                && (about_held || !text.starts_with('#'))
                && !(headline.place.is_some() && is_helper(&place))
            {
                headline.place = Some(place);
            }
            return true;
        }
        if let Some(function) = text.strip_prefix("last function: ") {
            headline.place.get_or_insert_with(|| Place {
                symbol: Some(function.trim().to_owned()),
                ..Place::default()
            });
            return true;
        }
        // s390
        if let Some((address, _)) = text.strip_prefix("Failing address: ").and_then(scan::leading_hex) {
            headline.address = headline.address.or(Some(VirtAddr(address & !0xfff)));
            return true;
        }
        // UBSAN up to 4.19 says in its second line what was wrong.
        if headline.detector == Some(Detector::Ubsan)
            && headline.kind == PanicKind::Warning
            && text.contains("out of range for type")
        {
            headline.kind = PanicKind::OutOfBounds;
            return true;
        }
        const KNOWN: [&str; 33] = [
            "Register r",
            "IP: ",
            "PGD ",
            "pgd = ",
            "task: ",
            "task.",
            "Workqueue: ",
            "Process ",
            "Stack",
            "FS: ",
            "CS: ",
            "CR2",
            "DR",
            "PKRU",
            "Oops",
            "Modules",
            "=====",
            "-----",
            "Mem abort",
            "Data abort",
            "[00",
            "The buggy address",
            "Dumping ftrace",
            "Showing all locks",
            "NMI backtrace",
            "Sending NMI",
            "sending NMI",
            "rcu: ",
            "#0:",
            "#1:",
            "#2:",
            "#3:",
            "\"echo 0 >",
        ];
        KNOWN.iter().any(|start| text.starts_with(start))
            || is_arm_stack(text)
            || text.contains(" held by ")
            || text.contains(" backtrace for cpu ")
    }
}

/// Whether a place is in a function that works for its caller.
fn is_helper(place: &Place) -> bool {
    place.symbol.as_deref().is_some_and(|symbol| roles(symbol).plumbing())
}

/// Whether the place where a lock was taken is what an event is about.
pub(super) fn names_a_lock(headline: &Headline) -> bool {
    headline.detector == Some(Detector::Lockdep) && matches!(headline.kind, PanicKind::Deadlock | PanicKind::LockMisuse)
}
