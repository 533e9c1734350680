//! The fault, explained: the instruction at RIP, the memory it touched, and what the pointer really was.
//!
//! It works from the record alone (registers, code bytes, the fault's address), so that a text explains itself as well
//! as a dump does; a dump adds its own code bytes and the knowledge of what is mapped.

mod bug;
mod code;
mod operand;
mod sentence;

use crate::addr::VirtAddr;
use crate::crash::pointer::{AddressBits, NULL_PAGE};
use crate::crash::{Access, CrashReport, Fault, FaultRole, KindSource, Panic, PanicKind, Registers};

pub use bug::name_bug;
pub use code::{BEFORE, CodeBytes, FROM_RIP};
use operand::{Decoded, Operand, is_ud2};

/// Tells whether the dumped kernel has an address mapped.
pub type IsMapped<'a> = &'a dyn Fn(VirtAddr) -> bool;

/// All that is known of the place to explain.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// Whether the place itself raised the exception.
    pub role: FaultRole,
    /// The code from RIP on; empty when it is not known. x86_64.
    pub code: &'a [u8],
    /// The registers there.
    pub registers: &'a Registers,
    /// The class of failure, when it is known already.
    pub kind: Option<PanicKind>,
    /// The address whose access failed, as the kernel said.
    pub address: Option<VirtAddr>,
    /// How it was accessed, as the kernel said.
    pub access: Option<Access>,
    /// The exception's error code.
    pub error_code: Option<u64>,
    /// What is mapped, when the dump can tell.
    pub is_mapped: Option<IsMapped<'a>>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// The instruction in AT&T syntax: `mov (%rdi),%rax`.
    pub instruction: Option<String>,
    /// One plain sentence.
    pub sentence: Option<String>,
    /// The failure, where nothing had named it.
    pub told: Option<Told>,
}

/// A failure told from the processor's state alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The class of failure.
    pub kind: PanicKind,
    /// What it was told from.
    pub source: KindSource,
    /// The address whose access failed.
    pub address: Option<VirtAddr>,
    /// How it was accessed.
    pub access: Option<Access>,
}

/// Explains a place.
pub fn explain(place: &Place<'_>) -> Explanation {
    let decoded = Decoded::new(place.code, place.registers);
    let told = match place.kind {
        None | Some(PanicKind::Unknown) if place.role == FaultRole::Faulted => tell(place, decoded.as_ref()),
        _ => None,
    };
    let named = Place {
        kind: told.map(|told| told.kind).or(place.kind),
        address: place.address.or(told.and_then(|told| told.address)),
        access: place.access.or(told.and_then(|told| told.access)),
        ..*place
    };
    Explanation {
        sentence: sentence::of(&named, decoded.as_ref()),
        instruction: decoded.map(|decoded| decoded.text),
        told,
    }
}

/// Explains the record's own fault and writes into it what came of it. `code`: what the dump holds from RIP on; without
/// it the log's own bytes are used.
pub fn explain_report(report: &mut CrashReport, code: Option<&[u8]>, is_mapped: Option<IsMapped<'_>>) {
    let is_x86 = report
        .system
        .machine
        .as_deref()
        .is_none_or(|machine| machine == "x86_64");
    let Some(fault) = &mut report.fault else { return };
    let logged = fault.code.as_deref().and_then(CodeBytes::parse);
    let code = match (code, &logged) {
        _ if !is_x86 => &[],
        (Some(code), _) if !code.is_empty() => code,
        (_, Some(logged)) => logged.from_rip(),
        _ => &[],
    };
    let mut registers = fault.registers.clone();
    if let Some(rip) = fault.address {
        registers.entry("rip".to_owned()).or_insert(rip);
    }
    let panic = report.panic.as_ref();
    let explanation = explain(&Place {
        role: fault.role,
        code,
        registers: &registers,
        kind: panic.map(|panic| panic.kind),
        address: panic.and_then(|panic| panic.address),
        access: panic.and_then(|panic| panic.access),
        error_code: panic.and_then(|panic| panic.error_code),
        is_mapped,
    });
    write_fault(fault, &explanation);
    if let Some(told) = explanation.told {
        write_panic(report.panic.get_or_insert(Panic::of_kind(told.kind)), told);
    }
}

fn write_fault(fault: &mut Fault, explanation: &Explanation) {
    fault.instruction.clone_from(&explanation.instruction);
    fault.explanation.clone_from(&explanation.sentence);
}

fn write_panic(panic: &mut Panic, told: Told) {
    panic.kind = told.kind;
    panic.kind_source = Some(told.source);
    panic.address = panic.address.or(told.address);
    panic.access = panic.access.or(told.access);
}

/// Names the failure from the processor's state. CR2 is only believed where it fits the instruction: it keeps the
/// address of the last page fault, which may be an older one.
fn tell(place: &Place<'_>, decoded: Option<&Decoded>) -> Option<Told> {
    let address = place.address.or_else(|| place.registers.get("cr2").copied());
    let page_fault = |address: VirtAddr, access| Told {
        kind: if address.0 < NULL_PAGE {
            PanicKind::NullPointerDereference
        } else {
            PanicKind::BadPageFault
        },
        source: KindSource::Cr2,
        address: Some(address),
        access: Some(access),
    };
    let by_registers = |kind| Told {
        kind,
        source: KindSource::Registers,
        address: None,
        access: None,
    };
    if let Some(rip) = place.registers.get("rip").copied()
        && (rip.0 < NULL_PAGE || address == Some(rip))
    {
        return Some(page_fault(rip, Access::Exec));
    }
    let decoded = decoded?;
    let bits = bits_of(place.registers);
    if let Some(address) = address
        && let Some(operand) = decoded.operands.iter().find(|operand| operand.covers(address))
    {
        return Some(page_fault(address, operand.access()));
    }
    // Nothing is ever mapped in the first page, so that this faults whatever CR2 says: to print the code bytes of an
    // oops can fault in turn and leave its own address there.
    let in_null_page = |operand: &&Operand| operand.address.is_some_and(|address| address.0 < NULL_PAGE);
    if let Some(operand) = decoded.operands.iter().find(in_null_page) {
        return Some(Told {
            address: operand.address,
            access: Some(operand.access()),
            ..by_registers(PanicKind::NullPointerDereference)
        });
    }
    if non_canonical(&decoded.operands, bits).is_some() {
        return Some(by_registers(PanicKind::GeneralProtection));
    }
    if is_ud2(decoded) {
        return Some(by_registers(PanicKind::Bug));
    }
    sentence::is_division_by_zero(decoded, place.registers).then(|| by_registers(PanicKind::DivideError))
}

/// How wide addresses were. Registers saved on a stack are without CR4, but the kernel's own RSP tells as well.
fn bits_of(registers: &Registers) -> AddressBits {
    let is_five_levels =
        |rsp: &VirtAddr| AddressBits::FIVE_LEVELS.is_kernel(*rsp) && !AddressBits::FOUR_LEVELS.is_kernel(*rsp);
    if registers.get("rsp").is_some_and(is_five_levels) {
        return AddressBits::FIVE_LEVELS;
    }
    AddressBits::of_cr4(registers.get("cr4").copied())
}

fn non_canonical(operands: &[Operand], bits: AddressBits) -> Option<&Operand> {
    operands
        .iter()
        .find(|operand| operand.address.is_some_and(|address| !bits.is_canonical(address)))
}

#[cfg(test)]
mod tests;
