//! Predicates over values: registers at the fault, the address that failed, words read from memory.
//!
//! Address ranges are those of x86_64 (Documentation/arch/x86/x86_64/mm.rst); a fact of another architecture's layout
//! is not guessed.

use super::{Answer, Context};
use crate::addr::VirtAddr;
use crate::crash::pointer::{AddressBits, NULL_PAGE};
use crate::crash::poison::poison;
use crate::rules::schema::{Condition, Deref, Hex, OneOrMany, Operand, Register, ShortValue, Value, ValueClass};

/// The general registers that `any` stands for.
const GENERAL: [&str; 15] = [
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
];

pub(super) fn register(register: &Register, condition: &Condition, context: &Context<'_>) -> Answer {
    if !register.is_any() {
        let value = context.register(register.as_str());
        return value.map_or(Answer::Unknown, |value| condition_holds(condition, value, context));
    }
    Answer::any(GENERAL.iter().map(|name| {
        context
            .register(name)
            .map_or(Answer::Unknown, |value| condition_holds(condition, value, context))
    }))
}

pub(super) fn found_register(register: &Register, condition: &Condition, context: &Context<'_>) -> Option<String> {
    if !register.is_any() {
        return context.register(register.as_str()).map(describe);
    }
    let holding = GENERAL.iter().find_map(|name| {
        let value = context.register(name)?;
        condition_holds(condition, value, context)
            .is_yes()
            .then_some((name, value))
    });
    holding.map(|(name, value)| format!("{name} {}", describe(value)))
}

pub(super) fn fault_address(condition: &Condition, context: &Context<'_>) -> Answer {
    let address = context.report.panic.as_ref().and_then(|panic| panic.address);
    address.map_or(Answer::Unknown, |address| {
        condition_holds(condition, address.0, context)
    })
}

/// A value in hex, with what it is when that can be told.
pub(super) fn describe(value: u64) -> String {
    match poison(VirtAddr(value)) {
        Some(poison) => format!("{value:#x} ({})", poison.meaning),
        None => format!("{value:#x}"),
    }
}

fn condition_holds(condition: &Condition, value: u64, context: &Context<'_>) -> Answer {
    match condition {
        Condition::AnyOf(values) => Answer::any(values.iter().map(|wanted| match wanted {
            ShortValue::Number(number) => Answer::from(*number == value),
            ShortValue::Class(class) => is_class(*class, value, context),
        })),
        Condition::All(wanted) => value_holds(wanted, value, context),
    }
}

fn value_holds(wanted: &Value, value: u64, context: &Context<'_>) -> Answer {
    let masked = wanted.mask.map_or(value, |Hex(mask)| value & mask);
    let mut answer = Answer::Yes;
    let mut need = |part: Answer| answer = answer.and(part);
    if let Some(numbers) = &wanted.eq {
        need(numbers.iter().any(|number| number.0 == masked).into());
    }
    if let Some(Hex(min)) = wanted.min {
        need((masked >= min).into());
    }
    if let Some(Hex(max)) = wanted.max {
        need((masked <= max).into());
    }
    if let Some(operand) = &wanted.same_as {
        let plus = wanted.plus.map_or(0, |plus| plus.0);
        need(
            operand_value(operand, context)
                .map(|other| other.wrapping_add_signed(plus) == value)
                .into(),
        );
    }
    if let Some(classes) = &wanted.class {
        need(Answer::any(
            classes.iter().map(|class| is_class(*class, value, context)),
        ));
    }
    if let Some(OneOrMany(kinds)) = &wanted.poison {
        let found = poison(VirtAddr(value));
        let fits = found.is_some_and(|found| kinds.iter().any(|kind| kind.is(found.name)));
        need(fits.into());
    }
    if let Some(object) = &wanted.points_to {
        let asked = context
            .probe
            .and_then(|probe| probe.points_to(VirtAddr(value), object).ok());
        need(asked.into());
    }
    answer
}

fn operand_value(operand: &Operand, context: &Context<'_>) -> Option<u64> {
    match operand {
        Operand::Register(register) => context.register(register.as_str()),
        Operand::FaultAddress => context.report.panic.as_ref()?.address.map(|address| address.0),
        Operand::Number(number) => Some(*number),
    }
}

/// Where the kernel image and modules are mapped: __START_KERNEL_map up to the fixmap's gap.
const TEXT: std::ops::Range<u64> = 0xffff_ffff_8000_0000..0xffff_ffff_ff00_0000;
/// THREAD_SIZE, to which stacks are aligned: 16 KiB since 3.15 and on el7.1+; older ones are 8 KiB.
const STACK_SIZE: u64 = 16 << 10;
/// MAX_ERRNO (include/linux/err.h).
const MAX_ERRNO: u64 = 4095;

fn is_class(class: ValueClass, value: u64, context: &Context<'_>) -> Answer {
    let x86 = context
        .report
        .system
        .machine
        .as_deref()
        .is_none_or(|machine| machine == "x86_64");
    let bits = address_bits(context);
    let at = VirtAddr(value);
    match class {
        ValueClass::Zero => (value == 0).into(),
        ValueClass::NullPage => (value < NULL_PAGE).into(),
        ValueClass::ErrPtr => (value >= MAX_ERRNO.wrapping_neg()).into(),
        ValueClass::Poison => poison(at).is_some().into(),
        _ if !x86 => Answer::Unknown,
        ValueClass::Text => TEXT.contains(&value).into(),
        ValueClass::Stack => {
            let stack = context.register("rsp");
            stack
                .map(|stack| value & !(STACK_SIZE - 1) == stack & !(STACK_SIZE - 1))
                .into()
        }
        ValueClass::User => (bits.is_canonical(at) && !bits.is_kernel(at)).into(),
        ValueClass::Kernel => bits.is_kernel(at).into(),
        ValueClass::NonCanonical => (!bits.is_canonical(at)).into(),
    }
}

/// How wide addresses are: CR4 says it; where a text leaves CR4 out, a kernel stack below the 48-bit kernel half is the
/// sign of five levels.
fn address_bits(context: &Context<'_>) -> AddressBits {
    let cr4 = context.register("cr4").map(VirtAddr);
    let deep_stack = context.register("rsp").map(VirtAddr).is_some_and(|stack| {
        AddressBits::FIVE_LEVELS.is_kernel(stack) && !AddressBits::FOUR_LEVELS.is_canonical(stack)
    });
    if deep_stack {
        AddressBits::FIVE_LEVELS
    } else {
        AddressBits::of_cr4(cr4)
    }
}

/// Reads the word and holds it against the rule; the answer and what was found.
pub(super) fn deref(deref: &Deref, context: &Context<'_>) -> (Answer, Option<String>) {
    match read(deref, context) {
        Ok(value) => (value_holds(&deref.value(), value, context), Some(describe(value))),
        Err(_) => (Answer::Unknown, None),
    }
}

pub(super) fn deref_needs(deref: &Deref, context: &Context<'_>) -> String {
    read(deref, context)
        .err()
        .unwrap_or_else(|| format!("what {} points to", deref.at))
}

fn read(deref: &Deref, context: &Context<'_>) -> Result<u64, String> {
    let at = operand_value(&deref.at, context)
        .ok_or_else(|| format!("{}: the vmcore, or a log with the whole oops", deref.at))?;
    let probe = context.probe.ok_or("the vmcore: memory is read to answer this")?;
    probe
        .member(VirtAddr(at), &deref.type_name, &deref.field)
        .map_err(|error| format!("{}.{} at {at:#x} ({error})", deref.type_name, deref.field))
}
