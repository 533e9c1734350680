//! Predicates in words: as a reader of the rule knows them, and what would answer them where the report does not.

use std::fmt;

use super::leaf::{Leaf, visit};
use super::{Answer, Context, value};
use crate::crash::{Access, FaultRole};
use crate::rules::schema::{FrameItem, FrameSymbol, Glob, NumberRange, SettingTest};

impl Leaf<'_> {
    /// What would answer the predicate where the report does not.
    pub fn needs(&self, context: &Context<'_>) -> String {
        let (fact, source) = match *self {
            Leaf::Kind(_) | Leaf::Panic(_) => ("panic", "the log up to the line that names the failure"),
            Leaf::Fault(_) | Leaf::FaultModule(_) | Leaf::FaultRole(_) => {
                ("fault", "the faulting place: the vmcore, or a log with the RIP line")
            }
            Leaf::FaultAddress(_) | Leaf::FaultAccess(_) => (
                "panic.address",
                "the address that failed: the log's first lines of the oops, or the vmcore",
            ),
            Leaf::Ordered(..) | Leaf::Adjacent(..) | Leaf::AnyFrame(..) | Leaf::NoFrame(..) => (
                "frames",
                "the whole stack: the vmcore, or a log with the whole call trace",
            ),
            Leaf::Register(..) => (
                "fault.registers",
                "the registers: the vmcore, or a log with the whole oops",
            ),
            Leaf::Deref(_, deref) => return value::deref_needs(deref, context),
            Leaf::Taint(_) | Leaf::NoTaint(_) => ("taint", "the oops's `Tainted:` line, or the vmcore"),
            Leaf::Loaded(_) | Leaf::Absent(_) | Leaf::ModuleVersion(..) => (
                "modules",
                "the list of modules: the vmcore, or the whole `Modules linked in:`",
            ),
            Leaf::Comm(_) => ("task", "the running task: the vmcore, or the oops's `Comm:` line"),
            Leaf::Arch(_) => ("system.machine", "the architecture: the vmcore"),
            Leaf::Model(_) | Leaf::Bios(_) => ("system.hardware", "the oops's `Hardware name:` line, or the vmcore"),
            Leaf::Uptime(_) => (
                "system.uptime_seconds",
                "the uptime: the vmcore, or a log with time stamps",
            ),
            Leaf::Memory(..) => ("memory", "memory figures: the vmcore, or `kmem -i` of a crash session"),
            Leaf::Cmdline(_) | Leaf::NoCmdline(_) => (
                "system.cmdline",
                "the command line: the vmcore, or the log from its first line",
            ),
            Leaf::Sysctl(..) => ("settings", "the settings: the vmcore"),
            Leaf::Release(_) => ("system.release", "the kernel's release"),
            Leaf::Log(_) => ("log", "the whole log"),
            Leaf::Any(blocks) | Leaf::None(blocks) => {
                let mut needs = Vec::new();
                for block in blocks {
                    visit(block, &mut |leaf| {
                        if leaf.answer(context) == Answer::Unknown {
                            let need = leaf.needs(context);
                            if !needs.contains(&need) {
                                needs.push(need);
                            }
                        }
                        true
                    });
                }
                return needs.join("; or ");
            }
        };
        match context.why_missing(fact) {
            Some(why) => format!("{source} ({why})"),
            None => source.to_owned(),
        }
    }
}

pub(super) fn access_word(access: Access) -> &'static str {
    match access {
        Access::Read => "read",
        Access::Write => "write",
        Access::Exec => "exec",
    }
}

pub(super) fn role_word(role: FaultRole) -> &'static str {
    match role {
        FaultRole::Faulted => "faulted",
        FaultRole::Interrupted => "interrupted",
    }
}

fn words<T>(f: &mut fmt::Formatter<'_>, items: &[T], joint: &str, word: impl Fn(&T) -> String) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(joint)?;
        }
        f.write_str(&word(item))?;
    }
    Ok(())
}

fn globs(f: &mut fmt::Formatter<'_>, key: &str, items: &[Glob], joint: &str) -> fmt::Result {
    f.write_str(key)?;
    words(f, items, joint, |glob| glob.as_str().to_owned())
}

fn frame_items(f: &mut fmt::Formatter<'_>, key: &str, items: &[FrameItem], within: Option<u32>) -> fmt::Result {
    f.write_str(key)?;
    words(f, items, " < ", |item| {
        let names: Vec<String> = item.0.iter().map(FrameSymbol::to_string).collect();
        names.join(" | ")
    })?;
    within.map_or(Ok(()), |within| write!(f, " within {within}"))
}

fn number_range(f: &mut fmt::Formatter<'_>, range: NumberRange, unit: &str) -> fmt::Result {
    match (range.min, range.max) {
        (Some(min), Some(max)) => write!(f, " {min} to {max}{unit}"),
        (Some(min), None) => write!(f, " >= {min}{unit}"),
        (None, Some(max)) => write!(f, " <= {max}{unit}"),
        (None, None) => Ok(()),
    }
}

/// The predicate as a reader of the rule knows it.
impl fmt::Display for Leaf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Leaf::Kind(kinds) => {
                f.write_str("kind: ")?;
                words(f, &kinds.0, " | ", |kind| kind.to_string())
            }
            Leaf::Fault(tokens) => {
                f.write_str("fault: ")?;
                words(f, &tokens.0, " | ", |token| token.as_str().to_owned())
            }
            Leaf::FaultModule(modules) => globs(f, "fault.module: ", &modules.0, " | "),
            Leaf::FaultAddress(condition) => write!(f, "fault.address: {condition}"),
            Leaf::FaultAccess(accesses) => {
                f.write_str("fault.access: ")?;
                words(f, &accesses.0, " | ", |access| access_word(*access).to_owned())
            }
            Leaf::FaultRole(role) => write!(f, "fault.role: {}", role_word(role)),
            Leaf::Ordered(items, within) => frame_items(f, "frames: ", items, within),
            Leaf::Adjacent(items, within) => frame_items(f, "frames.adjacent: ", items, within),
            Leaf::AnyFrame(tokens, within) | Leaf::NoFrame(tokens, within) => {
                let none = matches!(self, Leaf::NoFrame(..));
                f.write_str(if none { "frames.none: " } else { "frames.any: " })?;
                words(f, tokens, " | ", FrameSymbol::to_string)?;
                within.map_or(Ok(()), |within| write!(f, " within {within}"))
            }
            Leaf::Register(register, condition) => write!(f, "registers.{}: {condition}", register.as_str()),
            Leaf::Deref(_, deref) => {
                write!(
                    f,
                    "deref: {}@{}.{} {}",
                    deref.type_name,
                    deref.at,
                    deref.field,
                    deref.value()
                )
            }
            Leaf::Taint(letters) | Leaf::NoTaint(letters) => {
                let not = matches!(self, Leaf::NoTaint(_));
                f.write_str(if not { "taint.not: " } else { "taint: " })?;
                words(f, letters, ", ", |letter| letter.as_str().to_owned())
            }
            Leaf::Loaded(names) => globs(f, "modules: ", names, ", "),
            Leaf::Absent(names) => globs(f, "modules.absent: ", names, ", "),
            Leaf::ModuleVersion(module, range) => {
                write!(f, "modules.version.{module}:")?;
                if let Some(eq) = &range.eq {
                    write!(f, " {eq}")?;
                }
                if let Some(min) = &range.min {
                    write!(f, " >= {min}")?;
                }
                match &range.max {
                    Some(max) => write!(f, " <= {max}"),
                    None => Ok(()),
                }
            }
            Leaf::Comm(names) => globs(f, "comm: ", &names.0, " | "),
            Leaf::Arch(names) => globs(f, "arch: ", &names.0, " | "),
            Leaf::Model(models) => globs(f, "hardware: ", &models.0, " | "),
            Leaf::Bios(versions) => globs(f, "hardware.bios: ", &versions.0, " | "),
            Leaf::Uptime(range) => {
                f.write_str("uptime:")?;
                if let Some(min) = &range.min {
                    write!(f, " >= {}", min.as_str())?;
                }
                match &range.max {
                    Some(max) => write!(f, " <= {}", max.as_str()),
                    None => Ok(()),
                }
            }
            Leaf::Memory(share, range) => {
                write!(f, "memory.{}:", share.key())?;
                number_range(f, range, " %")
            }
            Leaf::Cmdline(words) => globs(f, "cmdline: ", words, ", "),
            Leaf::NoCmdline(words) => globs(f, "cmdline.not: ", words, ", "),
            Leaf::Sysctl(name, test) => {
                write!(f, "sysctl.{}:", name.as_str())?;
                match test {
                    SettingTest::AnyOf(values) => {
                        f.write_str(" ")?;
                        words(f, values, " | ", |value| value.0.clone())
                    }
                    SettingTest::Between(range) => number_range(f, *range, ""),
                }
            }
            Leaf::Release(releases) => globs(f, "release: ", &releases.0, " | "),
            Leaf::Panic(patterns) => {
                f.write_str("panic: ")?;
                words(f, &patterns.0, " | ", |pattern| format!("/{}/", pattern.as_str()))
            }
            Leaf::Log(test) => {
                f.write_str("log: ")?;
                words(f, &test.regex.0, " | ", |pattern| format!("/{}/", pattern.as_str()))?;
                if let Some(count) = test.count {
                    match (count.min, count.max) {
                        (Some(min), Some(max)) => write!(f, ", {min} to {max} times")?,
                        (Some(min), None) => write!(f, ", at least {min} times")?,
                        (None, Some(max)) => write!(f, ", at most {max} times")?,
                        (None, None) => {}
                    }
                }
                test.lines.map_or(Ok(()), |lines| write!(f, ", last {lines} lines"))
            }
            Leaf::Any(blocks) | Leaf::None(blocks) => {
                f.write_str(if matches!(self, Leaf::None(_)) {
                    "none: "
                } else {
                    "any: "
                })?;
                words(f, blocks, " | ", |block| {
                    let mut parts = Vec::new();
                    visit(block, &mut |leaf| {
                        parts.push(leaf.to_string());
                        true
                    });
                    parts.join(" and ")
                })
            }
        }
    }
}
