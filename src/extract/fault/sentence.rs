//! The plain sentence: what the instruction did, to which address, and what was wrong with the pointer.

use iced_x86::Mnemonic;

use super::operand::{Decoded, Operand, Term, Use};
use super::{Place, bits_of, non_canonical};
use crate::addr::VirtAddr;
use crate::crash::pointer::{AddressBits, KASAN_SHADOW_OFFSET, NULL_PAGE, Pointer};
use crate::crash::{Access, FaultRole, PanicKind, Registers};

/// An index beyond this is no index: it leads out of any object.
const MAX_INDEX: u64 = 1 << 24;

/// Bits of a page fault's error code: arch/x86/include/asm/trap_pf.h.
const PF_PROT: u64 = 1 << 0;
const PF_RSVD: u64 = 1 << 3;
const PF_INSTR: u64 = 1 << 4;

/// The sentence for a place, if there is anything to say.
pub fn of(place: &Place<'_>, decoded: Option<&Decoded>) -> Option<String> {
    if place.role == FaultRole::Interrupted {
        return decoded.map(|decoded| {
            format!(
                "stopped from outside before `{}`: the instruction did nothing wrong itself",
                decoded.text
            )
        });
    }
    if let Some(sentence) = execution(place) {
        return Some(sentence);
    }
    let Some(decoded) = decoded else {
        return by_address(place);
    };
    match decoded.mnemonic() {
        Mnemonic::Ud2 => return Some(check(place)),
        Mnemonic::Ud0 | Mnemonic::Ud1 => {
            return Some("runs into a trap that the compiler put in: one of its run-time checks failed".to_owned());
        }
        Mnemonic::Int3 => {
            return Some(
                "runs into a breakpoint (int3): a probe, code that is just being patched, or padding between functions"
                    .to_owned(),
            );
        }
        Mnemonic::Div | Mnemonic::Idiv => {
            if let Some(sentence) = division(decoded, place) {
                return Some(sentence);
            }
        }
        _ => {}
    }
    memory(place, decoded)
}

/// Whether the processor could not even fetch the instruction.
fn execution(place: &Place<'_>) -> Option<String> {
    let rip = place.registers.get("rip").copied()?;
    let is_page_fault = matches!(
        place.kind,
        Some(PanicKind::NullPointerDereference | PanicKind::BadPageFault | PanicKind::NxExecute)
    );
    let is_fetch = place.access == Some(Access::Exec)
        || place.kind == Some(PanicKind::NxExecute)
        || rip.0 < NULL_PAGE
        || (is_page_fault && (place.address == Some(rip) || place.error_code.is_some_and(|code| code & PF_INSTR != 0)));
    if !is_fetch {
        return None;
    }
    let called_from = "the place it was called from is at the top of the stack";
    Some(match Pointer::classify(rip, bits_of(place.registers)) {
        Pointer::Null => format!("calls through a NULL function pointer; {called_from}"),
        Pointer::Kernel => {
            format!("runs at {rip}, where there is no code: a wrong function pointer or an overwritten return address")
        }
        Pointer::User => format!("runs at {rip}: the kernel jumped to a user-space address"),
        class => format!("runs at {rip}: the function pointer is {class}; {called_from}"),
    })
}

/// What a `ud2` is, by the kind of crash that it led to.
fn check(place: &Place<'_>) -> String {
    let what = match place.kind {
        Some(PanicKind::Warning) => "reports a warning here (WARN)",
        Some(PanicKind::Refcount) => "found a reference count out of range here (WARN)",
        Some(PanicKind::ListCorruption) => "found broken list links here (BUG)",
        Some(PanicKind::BadUsercopy) => "refused a copy to or from user space here (BUG)",
        Some(PanicKind::StackOverflow) => "found its stack damaged here (BUG)",
        Some(PanicKind::InvalidOpcode) => {
            return "runs into ud2, which the compiler or a check of control flow put here: this must not be reached"
                .to_owned();
        }
        _ => "stops itself here (BUG): a check in its own code failed",
    };
    format!("the kernel {what}")
}

/// Whether it divides by a register that is zero.
pub fn is_division_by_zero(decoded: &Decoded, registers: &Registers) -> bool {
    matches!(decoded.mnemonic(), Mnemonic::Div | Mnemonic::Idiv)
        && decoded
            .register_operand(registers)
            .is_some_and(|(_, value)| value == Some(0))
}

fn division(decoded: &Decoded, place: &Place<'_>) -> Option<String> {
    if !matches!(place.kind, Some(PanicKind::DivideError)) {
        return None;
    }
    let divisor = match (decoded.register_operand(place.registers), decoded.operands.first()) {
        (Some((name, Some(0))), _) => return Some(format!("divides by {name}, which is 0")),
        (Some((name, Some(value))), _) => {
            return Some(format!("divides by {name} ({value:#x}): the quotient does not fit"));
        }
        (Some((name, None)), _) => name,
        (None, Some(operand)) => format!("the {} at {}", bytes(operand.size), operand.formula()),
        (None, None) => return None,
    };
    Some(format!("divides by {divisor}: it is 0, or the quotient does not fit"))
}

/// Kinds that a bad access to memory leads to.
fn is_access_fault(kind: Option<PanicKind>) -> bool {
    use PanicKind::{
        BadPageFault, DoubleFault, FatalException, GeneralProtection, NullPointerDereference, OutOfBounds,
        StackOverflow, Unknown, UseAfterFree,
    };
    matches!(
        kind,
        None | Some(
            BadPageFault
                | DoubleFault
                | FatalException
                | GeneralProtection
                | NullPointerDereference
                | OutOfBounds
                | StackOverflow
                | Unknown
                | UseAfterFree
        )
    )
}

fn memory(place: &Place<'_>, decoded: &Decoded) -> Option<String> {
    let bits = bits_of(place.registers);
    let hit = place
        .address
        .and_then(|address| decoded.operands.iter().find(|operand| operand.covers(address)));
    if let Some(operand) = hit {
        return Some(access(place, operand, bits));
    }
    if !is_access_fault(place.kind) {
        return None;
    }
    if place.kind == Some(PanicKind::GeneralProtection) {
        return match non_canonical(&decoded.operands, bits) {
            Some(operand) => Some(access(place, operand, bits)),
            None => Some(protection(place, decoded, bits)),
        };
    }
    if matches!(place.kind, Some(PanicKind::DoubleFault | PanicKind::StackOverflow))
        && let Some(operand) = on_stack(place, decoded)
    {
        return Some(format!("{}: the stack is used up, or rsp is wrong", at(operand)));
    }
    let operand = decoded.operands.first()?;
    let address = place.address?;
    Some(match operand.address {
        Some(expected) => format!(
            "{} at {} ({expected}), but the fault was at {address}: registers and code do not belong to it",
            action(operand),
            operand.formula()
        ),
        None => format!(
            "{} at {} ({address}), which is {}",
            action(operand),
            operand.formula(),
            described(place, address, bits)
        ),
    })
}

/// The operand that lies on the stack, or close to where rsp points.
fn on_stack<'d>(place: &Place<'_>, decoded: &'d Decoded) -> Option<&'d Operand> {
    /// The largest stacks of any kernel have 32 KiB (arch/x86/include/asm/page_64_types.h, with KASAN).
    const NEAR: u64 = 32 << 10;
    let stack = place.registers.get("rsp");
    decoded.operands.iter().find(|operand| {
        let is_near = stack.zip(operand.address).is_some_and(|(stack, address)| {
            let distance = address.0.wrapping_sub(stack.0) as i64;
            distance.unsigned_abs() < NEAR
        });
        is_near || operand.terms.iter().any(|term| term.register == "rsp")
    })
}

/// `reads 8 bytes at rdi (0x8)`
fn at(operand: &Operand) -> String {
    let formula = operand.formula();
    match operand.address {
        Some(address) => format!("{} at {formula} ({address})", action(operand)),
        None => format!("{} at {formula}", action(operand)),
    }
}

/// `reads 8 bytes`
fn action(operand: &Operand) -> String {
    match operand.usage {
        Use::Read => format!("reads {}", bytes(operand.size)),
        Use::Write => format!("writes {}", bytes(operand.size)),
        Use::Update => format!("updates {}", bytes(operand.size)),
        Use::Target => "calls through the pointer".to_owned(),
    }
}

fn bytes(size: u64) -> String {
    match size {
        0 => "memory".to_owned(),
        1 => "1 byte".to_owned(),
        size => format!("{size} bytes"),
    }
}

fn access(place: &Place<'_>, operand: &Operand, bits: AddressBits) -> String {
    let head = at(operand);
    let Some(address) = operand.address else {
        return head;
    };
    let formula = operand.formula();
    if operand.terms.is_empty() && operand.segment.is_none() {
        return format!(
            "{} at {address}, which is {}",
            action(operand),
            described(place, address, bits)
        );
    }
    if let Some(of) = shadowed(operand, address, bits) {
        return format!("{head}: {}", Pointer::KasanShadow(of));
    }
    if let Some(hit) = place.address
        && hit.0 & !(NULL_PAGE - 1) != address.0 & !(NULL_PAGE - 1)
        && operand.size > 1
    {
        return format!("{head} and runs on to {hit}, {}", described(place, hit, bits));
    }
    let Some(culprit) = culprit(operand, bits) else {
        return format!("{head}, which is {}", described(place, address, bits));
    };
    let value = culprit.value.unwrap_or_default();
    if value.0.wrapping_mul(culprit.scale) > MAX_INDEX && culprit.scale > 1 {
        return format!("{head}: {} ({value}) is no index into anything", culprit.register);
    }
    let shown = match Pointer::classify(value, bits) {
        Pointer::Null | Pointer::NearNull(_) | Pointer::ErrPtr(_) => String::new(),
        _ if formula == culprit.register => String::new(),
        _ => format!(" ({value})"),
    };
    let name = &culprit.register;
    if name == "rsp" && matches!(Pointer::classify(value, bits), Pointer::Kernel) {
        return format!("{head}: the stack is used up, or rsp is wrong");
    }
    if let Pointer::ErrPtr(less) = Pointer::classify(value, bits)
        && address.0 < NULL_PAGE
    {
        return format!("{head}: {name} is NULL less a member offset of {less}");
    }
    format!("{head}: {name}{shown} is {}", described(place, value, bits))
}

/// The address whose KASAN shadow is read, where this is what the compiled-in check does.
fn shadowed(operand: &Operand, address: VirtAddr, bits: AddressBits) -> Option<VirtAddr> {
    let is_base = |term: &Term| term.scale == 1 && term.value == Some(VirtAddr(KASAN_SHADOW_OFFSET));
    if operand.terms.iter().any(is_base) {
        return Some(VirtAddr(address.0.wrapping_sub(KASAN_SHADOW_OFFSET) << 3));
    }
    match Pointer::classify(address, bits) {
        Pointer::KasanShadow(of) => Some(of),
        _ => None,
    }
}

/// The register to blame: where several make up the address, the one that is no good pointer and no index.
fn culprit(operand: &Operand, bits: AddressBits) -> Option<&Term> {
    let suspicion = |term: &&Term| {
        let value = term.value.unwrap_or_default();
        if term.scale > 1 {
            return u8::from(value.0.wrapping_mul(term.scale) > MAX_INDEX) * 3;
        }
        match Pointer::classify(value, bits) {
            // A small number beside another register is the index.
            Pointer::Null | Pointer::NearNull(_) => 1,
            Pointer::Kernel => 2,
            Pointer::User if value.0 <= MAX_INDEX => 1,
            Pointer::User => 3,
            _ => 4,
        }
    };
    // Of equals the first, which is the base.
    operand.terms.iter().rev().max_by_key(suspicion)
}

/// What `value` is, and what is known of the memory there.
fn described(place: &Place<'_>, value: VirtAddr, bits: AddressBits) -> String {
    let class = Pointer::classify(value, bits);
    let code = place
        .error_code
        .filter(|_| place.kind != Some(PanicKind::GeneralProtection));
    let has = |bit| code.is_some_and(|code| code & bit != 0);
    match class {
        Pointer::Kernel if has(PF_RSVD) => format!("{class}, but its page tables are damaged"),
        Pointer::Kernel if has(PF_PROT) && place.access == Some(Access::Write) => {
            format!("{class}, but that page must not be written")
        }
        Pointer::Kernel if has(PF_PROT) => format!("{class}, but that page must not be touched"),
        Pointer::Kernel if code.is_none() && place.is_mapped.is_some_and(|is_mapped| is_mapped(value)) => {
            match place.access {
                Some(Access::Write) => format!("{class}, but that page must not be written"),
                _ => format!("{class}, mapped by the time of the dump"),
            }
        }
        Pointer::Kernel => match flipped_from(place, value) {
            Some((bit, whole)) => {
                format!("{class} where nothing is mapped, one bit ({bit}) away from {whole}, which is mapped")
            }
            None => format!("{class} where nothing is mapped"),
        },
        Pointer::User if has(PF_PROT) => {
            format!("{class}, which the kernel may only touch through its copy functions")
        }
        _ => class.to_string(),
    }
}

/// Where a kernel address would lead without one flipped bit, when exactly one such bit leads to mapped memory. Bits
/// that only move it within 1 GiB are left out: there a neighbour is mapped by chance.
fn flipped_from(place: &Place<'_>, value: VirtAddr) -> Option<(u32, VirtAddr)> {
    let is_mapped = place.is_mapped?;
    if is_mapped(value) {
        return None;
    }
    let mut found = (30..47)
        .map(|bit| (bit, VirtAddr(value.0 ^ 1 << bit)))
        .filter(|(_, address)| is_mapped(*address));
    match (found.next(), found.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

/// A general protection fault whose addresses are all canonical.
fn protection(place: &Place<'_>, decoded: &Decoded, bits: AddressBits) -> String {
    let text = &decoded.text;
    if decoded.is_indirect() {
        return match decoded.register_operand(place.registers) {
            Some((name, Some(value))) => {
                let class = Pointer::classify(VirtAddr(value), bits);
                format!("calls through {name} ({value:#x}), which is {class}")
            }
            _ => format!("`{text}` leads to an address that is not canonical: the stack or a pointer is overwritten"),
        };
    }
    if matches!(decoded.mnemonic(), Mnemonic::Wrmsr | Mnemonic::Rdmsr)
        && let Some(msr) = place.registers.get("rcx")
    {
        return format!(
            "`{text}` of MSR {:#x}: the processor or the hypervisor refuses it",
            msr.0 & u64::from(u32::MAX)
        );
    }
    if let Some(alignment) = decoded.alignment()
        && let Some(operand) = decoded.operands.first()
        && let Some(address) = operand.address
        && address.0 % alignment != 0
    {
        return format!(
            "{} at {} ({address}), which is not aligned to {alignment} bytes as `{text}` needs",
            action(operand),
            operand.formula()
        );
    }
    match decoded.operands.first() {
        Some(Operand { address: None, .. }) | None => format!("`{text}` raised a general protection fault"),
        Some(_) => format!("`{text}` raised a general protection fault although its address is canonical"),
    }
}

/// Without the instruction: what the address itself tells.
fn by_address(place: &Place<'_>) -> Option<String> {
    if !is_access_fault(place.kind) {
        return None;
    }
    let address = place.address?;
    let verb = match place.access {
        Some(Access::Read) => "reads",
        Some(Access::Write) => "writes",
        Some(Access::Exec) => "runs",
        None => "touches",
    };
    let class = described(place, address, bits_of(place.registers));
    Some(format!("{verb} {address}, which is {class}"))
}
