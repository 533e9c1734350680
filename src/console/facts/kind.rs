//! The kind of a crash whose naming line is cut off: from the stack and the registers.

use crate::addr::VirtAddr;
use crate::crash::{CrashReport, KindSource, Panic, PanicKind};

use super::FIRST_PAGE;

/// The kind where the line that would name it is cut off: from the exception's stub in the trace, else from CR2 or the
/// registers. Works on a report whose stack and fault are filled in; one without a stack or a fault stays as it is.
pub fn kind_from_stack(report: &mut CrashReport) {
    let open = report
        .panic
        .as_ref()
        .is_none_or(|panic| panic.kind == PanicKind::Unknown);
    if !open || (report.frames.is_empty() && report.fault.is_none()) {
        return;
    }
    let registers = report.fault.as_ref().map(|fault| &fault.registers);
    let cr2 = registers.and_then(|registers| registers.get("cr2")).copied();
    let by_address = |address: Option<VirtAddr>| match address {
        Some(address) if address.0 < FIRST_PAGE => Some(PanicKind::NullPointerDereference),
        Some(_) => Some(PanicKind::BadPageFault),
        None => None,
    };
    // A stub below the stopped place is of an exception that was being served when this one came.
    let stub = report
        .frames
        .iter()
        .take_while(|frame| !frame.interrupted)
        .find_map(|frame| stub_kind(frame.symbol.as_deref()?));
    let told = match stub {
        Some(Some(kind)) => Some((kind, KindSource::Stub)),
        // A page fault: its address tells which kind.
        Some(None) => by_address(cr2)
            .map(|kind| (kind, KindSource::Stub))
            .or_else(|| null_object(report).then_some((PanicKind::NullPointerDereference, KindSource::Registers)))
            .or(Some((PanicKind::BadPageFault, KindSource::Stub))),
        None if report.fault.is_none() => panic_kind(report).map(|kind| (kind, KindSource::Stub)),
        // CR2 keeps the last page fault's address, which may be a program's from before. One in the first page that a
        // register holds too is this one's.
        None => cr2
            .filter(|cr2| cr2.0 != 0 && cr2.0 < FIRST_PAGE)
            .filter(|cr2| registers.is_some_and(|all| all.iter().any(|(name, value)| value == cr2 && is_general(name))))
            .map(|_| (PanicKind::NullPointerDereference, KindSource::Cr2)),
    };
    let page_fault = matches!(
        told,
        Some((PanicKind::NullPointerDereference | PanicKind::BadPageFault, _))
    );
    let panic = report.panic.get_or_insert(Panic::of_kind(PanicKind::Unknown));
    if let Some((kind, source)) = told {
        panic.kind = kind;
        panic.kind_source = Some(source);
        if page_fault {
            panic.address = panic.address.or(cr2);
        }
    }
}

/// Whether the fault is in a helper that was given an object in the first page: a lock primitive, a list helper and
/// their like work on their first argument, which the calling convention puts into RDI.
fn null_object(report: &CrashReport) -> bool {
    let Some(fault) = &report.fault else { return false };
    let helper = fault
        .symbol
        .as_deref()
        .is_some_and(|symbol| crate::crash::machinery::roles(symbol).plumbing());
    helper && fault.registers.get("rdi").is_some_and(|rdi| rdi.0 < FIRST_PAGE)
}

fn is_general(name: &str) -> bool {
    !matches!(
        name,
        "cr0" | "cr2" | "cr3" | "cr4" | "cs" | "ds" | "es" | "ss" | "rflags" | "eflags" | "rip" | "rsp" | "orig_rax"
    )
}

/// What a call of panic() on the stack came of, as those who called it tell.
fn panic_kind(report: &CrashReport) -> Option<PanicKind> {
    let names = || {
        report
            .frames
            .iter()
            .filter(|frame| frame.reliable)
            .filter_map(|frame| Some(crate::crash::normalise_symbol(frame.symbol.as_deref()?)))
    };
    let at = names().position(|name| matches!(name, "panic" | "vpanic" | "nmi_panic"))?;
    // Those in between, as far as one failure's own handling reaches.
    let told = names().skip(at).take(6).find_map(|name| {
        Some(match name {
            "do_exit" | "forget_original_parent" | "find_new_reaper" => PanicKind::KillInit,
            "check_panic_on_oom" | "out_of_memory" => PanicKind::OutOfMemory,
            "sysrq_handle_crash" => PanicKind::Sysrq,
            "watchdog_timer_fn" => PanicKind::SoftLockup,
            "watchdog_overflow_callback" | "watchdog_hardlockup_check" => PanicKind::HardLockup,
            "check_hung_uninterruptible_tasks" => PanicKind::HungTask,
            "mce_panic" | "do_machine_check" => PanicKind::MachineCheck,
            "__stack_chk_fail" => PanicKind::StackOverflow,
            "mount_block_root" | "mount_root_generic" | "mount_root" | "prepare_namespace" => PanicKind::VfsRoot,
            "default_do_nmi" | "unknown_nmi_error" | "io_check_error" | "pci_serr_error" => PanicKind::Nmi,
            "oops_end" | "die" | "__die" => PanicKind::FatalException,
            _ => return None,
        })
    });
    Some(told.unwrap_or(PanicKind::ExplicitPanic))
}

/// What an exception's entry stub on the stack says: `Some(None)` is a page fault, whose kind its address decides.
fn stub_kind(symbol: &str) -> Option<Option<PanicKind>> {
    Some(match crate::crash::normalise_symbol(symbol) {
        "page_fault" | "async_page_fault" | "asm_exc_page_fault" | "no_context" | "page_fault_oops" => None,
        "general_protection" | "do_general_protection" | "asm_exc_general_protection" | "exc_general_protection" => {
            Some(PanicKind::GeneralProtection)
        }
        "invalid_op" | "do_invalid_op" | "asm_exc_invalid_op" | "exc_invalid_op" => Some(PanicKind::InvalidOpcode),
        "divide_error" | "do_divide_error" | "asm_exc_divide_error" | "exc_divide_error" => {
            Some(PanicKind::DivideError)
        }
        "double_fault" | "do_double_fault" | "asm_exc_double_fault" | "exc_double_fault" => {
            Some(PanicKind::DoubleFault)
        }
        "stack_segment" | "asm_exc_stack_segment" => Some(PanicKind::GeneralProtection),
        "machine_check" | "do_machine_check" | "asm_exc_machine_check" => Some(PanicKind::MachineCheck),
        _ => return None,
    })
}
