//! The leaves of a block: each is one predicate and one row of evidence. An `any` or `none` block counts as one.
//!
//! Knows which file answers a predicate and where it stands in a rule; [`wording`](super::wording) has the words for it.

use super::wording::{access_word, role_word};
use super::{Answer, Context, frames, holds, log, machine, value};
use crate::crash::{Access, FaultRole, PanicKind};
use crate::rules::schema::{
    Block, Condition, Deref, FrameItem, FrameSymbol, Glob, LogLong, NumberRange, OneOrMany, Pattern, Register,
    SettingTest, SpanRange, Symbol, SysctlName, TaintLetter, VersionRange,
};

/// One predicate of a block.
#[derive(Clone, Copy, Debug)]
pub enum Leaf<'r> {
    /// `kind`
    Kind(&'r OneOrMany<PanicKind>),
    /// `fault.symbol`
    Fault(&'r OneOrMany<Symbol>),
    /// `fault.module`
    FaultModule(&'r OneOrMany<Glob>),
    /// `fault.address`
    FaultAddress(&'r Condition),
    /// `fault.access`
    FaultAccess(&'r OneOrMany<Access>),
    /// `fault.role`
    FaultRole(FaultRole),
    /// `frames.ordered`, and how many of the innermost frames are looked at
    Ordered(&'r [FrameItem], Option<u32>),
    /// `frames.adjacent`
    Adjacent(&'r [FrameItem], Option<u32>),
    /// `frames.any`
    AnyFrame(&'r [FrameSymbol], Option<u32>),
    /// `frames.none`
    NoFrame(&'r [FrameSymbol], Option<u32>),
    /// One of `registers`
    Register(&'r Register, &'r Condition),
    /// One of `deref`, with its index
    Deref(usize, &'r Deref),
    /// `taint.has`
    Taint(&'r [TaintLetter]),
    /// `taint.not`
    NoTaint(&'r [TaintLetter]),
    /// `modules.loaded`
    Loaded(&'r [Glob]),
    /// `modules.absent`
    Absent(&'r [Glob]),
    /// One of `modules.version`
    ModuleVersion(&'r str, &'r VersionRange),
    /// `comm`
    Comm(&'r OneOrMany<Glob>),
    /// `arch`
    Arch(&'r OneOrMany<Glob>),
    /// `hardware.model`
    Model(&'r OneOrMany<Glob>),
    /// `hardware.bios`
    Bios(&'r OneOrMany<Glob>),
    /// `uptime`
    Uptime(&'r SpanRange),
    /// One of `memory`
    Memory(machine::Share, NumberRange),
    /// `cmdline.has`
    Cmdline(&'r [Glob]),
    /// `cmdline.not`
    NoCmdline(&'r [Glob]),
    /// One of `sysctl`
    Sysctl(&'r SysctlName, &'r SettingTest),
    /// `release`
    Release(&'r OneOrMany<Glob>),
    /// `panic`
    Panic(&'r OneOrMany<Pattern>),
    /// `log`
    Log(&'r LogLong),
    /// `any`
    Any(&'r [Block]),
    /// `none`
    None(&'r [Block]),
}

/// Visits a block's leaves, cheapest first, until `take` returns `false`.
pub(super) fn visit<'r>(block: &'r Block, take: &mut dyn FnMut(Leaf<'r>) -> bool) {
    let _ = try_visit(block, take);
}

fn try_visit<'r>(block: &'r Block, take: &mut dyn FnMut(Leaf<'r>) -> bool) -> Option<()> {
    let mut next = |leaf: Leaf<'r>| take(leaf).then_some(());
    if let Some(kinds) = &block.kind {
        next(Leaf::Kind(kinds))?;
    }
    if let Some(fault) = &block.fault {
        let fault = &fault.0;
        if let Some(symbols) = &fault.symbol {
            next(Leaf::Fault(symbols))?;
        }
        if let Some(modules) = &fault.module {
            next(Leaf::FaultModule(modules))?;
        }
        if let Some(address) = &fault.address {
            next(Leaf::FaultAddress(address))?;
        }
        if let Some(access) = &fault.access {
            next(Leaf::FaultAccess(access))?;
        }
        if let Some(role) = fault.role {
            next(Leaf::FaultRole(role))?;
        }
    }
    if let Some(frames) = &block.frames {
        let frames = &frames.0;
        if let Some(items) = &frames.ordered {
            next(Leaf::Ordered(&items.0, frames.within))?;
        }
        if let Some(items) = &frames.adjacent {
            next(Leaf::Adjacent(&items.0, frames.within))?;
        }
        if let Some(items) = &frames.any {
            next(Leaf::AnyFrame(&items.0, frames.within))?;
        }
        if let Some(items) = &frames.none {
            next(Leaf::NoFrame(&items.0, frames.within))?;
        }
    }
    for (register, condition) in block.registers.iter().flat_map(|registers| &registers.0) {
        next(Leaf::Register(register, condition))?;
    }
    if let Some(names) = &block.comm {
        next(Leaf::Comm(names))?;
    }
    if let Some(names) = &block.arch {
        next(Leaf::Arch(names))?;
    }
    if let Some(taint) = &block.taint {
        if let Some(letters) = &taint.0.has {
            next(Leaf::Taint(&letters.0))?;
        }
        if let Some(letters) = &taint.0.not {
            next(Leaf::NoTaint(&letters.0))?;
        }
    }
    if let Some(modules) = &block.modules {
        let modules = &modules.0;
        if let Some(names) = &modules.loaded {
            next(Leaf::Loaded(&names.0))?;
        }
        if let Some(names) = &modules.absent {
            next(Leaf::Absent(&names.0))?;
        }
        for (module, range) in modules.version.iter().flatten() {
            next(Leaf::ModuleVersion(module, range))?;
        }
    }
    if let Some(hardware) = &block.hardware {
        if let Some(models) = &hardware.0.model {
            next(Leaf::Model(models))?;
        }
        if let Some(versions) = &hardware.0.bios {
            next(Leaf::Bios(versions))?;
        }
    }
    if let Some(range) = &block.uptime {
        next(Leaf::Uptime(range))?;
    }
    for (share, range) in block.memory.iter().flat_map(machine::shares) {
        next(Leaf::Memory(share, range))?;
    }
    if let Some(words) = &block.cmdline {
        if let Some(words) = &words.0.has {
            next(Leaf::Cmdline(&words.0))?;
        }
        if let Some(words) = &words.0.not {
            next(Leaf::NoCmdline(&words.0))?;
        }
    }
    for (name, test) in block.sysctl.iter().flat_map(|sysctls| &sysctls.0) {
        next(Leaf::Sysctl(name, test))?;
    }
    if let Some(releases) = &block.release {
        next(Leaf::Release(releases))?;
    }
    if let Some(patterns) = &block.panic {
        next(Leaf::Panic(patterns))?;
    }
    if !block.any.is_empty() {
        next(Leaf::Any(&block.any))?;
    }
    if !block.none.is_empty() {
        next(Leaf::None(&block.none))?;
    }
    if let Some(test) = &block.log {
        next(Leaf::Log(&test.0))?;
    }
    for (index, deref) in block.deref.iter().flatten().enumerate() {
        next(Leaf::Deref(index, deref))?;
    }
    Some(())
}

impl Leaf<'_> {
    /// What the report says.
    pub fn answer(&self, context: &Context<'_>) -> Answer {
        match *self {
            Leaf::Kind(kinds) => machine::kind(kinds, context),
            Leaf::Fault(tokens) => Answer::any(tokens.iter().map(|token| context.fault_fits(token))),
            Leaf::FaultModule(modules) => machine::fault_module(modules, context),
            Leaf::FaultAddress(condition) => value::fault_address(condition, context),
            Leaf::FaultAccess(accesses) => {
                let access = context.report.panic.as_ref().and_then(|panic| panic.access);
                access
                    .map(|access| accesses.iter().any(|wanted| *wanted == access))
                    .into()
            }
            Leaf::FaultRole(role) => context.report.fault.as_ref().map(|fault| fault.role == role).into(),
            Leaf::Ordered(items, within) => frames::ordered(items, within, context),
            Leaf::Adjacent(items, within) => frames::adjacent(items, within, context),
            Leaf::AnyFrame(tokens, within) => frames::any(tokens, within, context),
            Leaf::NoFrame(tokens, within) => !frames::any(tokens, within, context),
            Leaf::Register(register, condition) => value::register(register, condition, context),
            Leaf::Deref(_, deref) => value::deref(deref, context).0,
            Leaf::Taint(letters) => machine::taint(letters, context),
            Leaf::NoTaint(letters) => machine::no_taint(letters, context),
            Leaf::Loaded(names) => Answer::all(names.iter().map(|name| machine::loaded(name, context))),
            Leaf::Absent(names) => Answer::all(names.iter().map(|name| !machine::loaded(name, context))),
            Leaf::ModuleVersion(module, range) => machine::module_version(module, range, context),
            Leaf::Comm(names) => machine::glob(names, machine::comm(context)),
            Leaf::Arch(names) => machine::glob(names, context.report.system.machine.as_deref()),
            Leaf::Model(models) => machine::glob_any_case(models, context.report.system.hardware.as_deref()),
            Leaf::Bios(versions) => machine::glob_any_case(versions, context.report.system.bios.as_deref()),
            Leaf::Uptime(range) => machine::uptime(range, context),
            Leaf::Memory(share, range) => machine::memory(share, range, context),
            Leaf::Cmdline(words) => Answer::all(words.iter().map(|word| machine::cmdline(word, context))),
            Leaf::NoCmdline(words) => Answer::all(words.iter().map(|word| !machine::cmdline(word, context))),
            Leaf::Sysctl(name, test) => machine::sysctl(name, test, context),
            Leaf::Release(releases) => machine::glob(releases, context.report.system.release.as_deref()),
            Leaf::Panic(patterns) => log::panic(patterns, context),
            Leaf::Log(test) => log::log(test, context),
            Leaf::Any(blocks) => Answer::any(blocks.iter().map(|block| holds(block, context))),
            Leaf::None(blocks) => !Answer::any(blocks.iter().map(|block| holds(block, context))),
        }
    }

    /// What the report holds where the predicate looks.
    pub fn found(&self, context: &Context<'_>) -> Option<String> {
        match *self {
            Leaf::Kind(_) => context.kind().map(|kind| kind.to_string()),
            Leaf::Fault(_) | Leaf::FaultModule(_) => machine::fault_place(context),
            Leaf::FaultAddress(_) => context.report.panic.as_ref()?.address.map(|at| value::describe(at.0)),
            Leaf::FaultAccess(_) => context
                .report
                .panic
                .as_ref()?
                .access
                .map(access_word)
                .map(str::to_owned),
            Leaf::FaultRole(_) => context
                .report
                .fault
                .as_ref()
                .map(|fault| role_word(fault.role).to_owned()),
            Leaf::Ordered(items, within) => frames::found_ordered(items, within, context),
            Leaf::Adjacent(items, within) => frames::found_adjacent(items, within, context),
            Leaf::AnyFrame(tokens, within) | Leaf::NoFrame(tokens, within) => {
                frames::found_any(tokens, within, context)
            }
            Leaf::Register(register, condition) => value::found_register(register, condition, context),
            Leaf::Deref(_, deref) => value::deref(deref, context).1,
            Leaf::Taint(_) | Leaf::NoTaint(_) => machine::found_taint(context),
            Leaf::Loaded(names) | Leaf::Absent(names) => machine::found_modules(names, context),
            Leaf::ModuleVersion(module, _) => machine::found_version(module, context),
            Leaf::Comm(_) => machine::comm(context).map(str::to_owned),
            Leaf::Arch(_) => context.report.system.machine.clone(),
            Leaf::Model(_) => context.report.system.hardware.clone(),
            Leaf::Bios(_) => context.report.system.bios.clone(),
            Leaf::Uptime(_) => context.report.system.uptime_seconds.map(machine::days),
            Leaf::Memory(share, _) => machine::percent(share, context).map(|percent| format!("{percent:.1} %")),
            Leaf::Cmdline(words) | Leaf::NoCmdline(words) => machine::found_cmdline(words, context),
            Leaf::Sysctl(name, _) => context.report.settings.get(name.as_str()).map(machine::setting_text),
            Leaf::Release(_) => context.report.system.release.clone(),
            Leaf::Panic(_) => log::found_panic(context),
            Leaf::Log(test) => log::found(test, context),
            Leaf::Any(blocks) | Leaf::None(blocks) => {
                let holding = blocks.iter().find(|block| holds(block, context).is_yes())?;
                let mut parts = Vec::new();
                visit(holding, &mut |leaf| {
                    parts.push(match leaf.found(context) {
                        Some(found) => format!("{leaf} ({found})"),
                        None => leaf.to_string(),
                    });
                    true
                });
                Some(parts.join(", "))
            }
        }
    }

    /// Whether a yes of this predicate says something of this very crash.
    pub fn is_telling(&self) -> bool {
        matches!(
            self,
            Leaf::Fault(_)
                | Leaf::FaultModule(_)
                | Leaf::Ordered(..)
                | Leaf::Adjacent(..)
                | Leaf::AnyFrame(..)
                | Leaf::Panic(_)
                | Leaf::Log(_)
        )
    }

    /// Where in its part of the rule file the predicate stands.
    pub fn path(&self) -> String {
        match *self {
            Leaf::Kind(_) => "kind".to_owned(),
            Leaf::Fault(_) => "fault.symbol".to_owned(),
            Leaf::FaultModule(_) => "fault.module".to_owned(),
            Leaf::FaultAddress(_) => "fault.address".to_owned(),
            Leaf::FaultAccess(_) => "fault.access".to_owned(),
            Leaf::FaultRole(_) => "fault.role".to_owned(),
            Leaf::Ordered(..) => "frames.ordered".to_owned(),
            Leaf::Adjacent(..) => "frames.adjacent".to_owned(),
            Leaf::AnyFrame(..) => "frames.any".to_owned(),
            Leaf::NoFrame(..) => "frames.none".to_owned(),
            Leaf::Register(register, _) => format!("registers.{}", register.as_str()),
            Leaf::Deref(index, _) => format!("deref[{index}]"),
            Leaf::Taint(_) => "taint.has".to_owned(),
            Leaf::NoTaint(_) => "taint.not".to_owned(),
            Leaf::Loaded(_) => "modules.loaded".to_owned(),
            Leaf::Absent(_) => "modules.absent".to_owned(),
            Leaf::ModuleVersion(module, _) => format!("modules.version.({module})"),
            Leaf::Comm(_) => "comm".to_owned(),
            Leaf::Arch(_) => "arch".to_owned(),
            Leaf::Model(_) => "hardware.model".to_owned(),
            Leaf::Bios(_) => "hardware.bios".to_owned(),
            Leaf::Uptime(_) => "uptime".to_owned(),
            Leaf::Memory(share, _) => format!("memory.{}", share.key()),
            Leaf::Cmdline(_) => "cmdline.has".to_owned(),
            Leaf::NoCmdline(_) => "cmdline.not".to_owned(),
            Leaf::Sysctl(name, _) => format!("sysctl.({})", name.as_str()),
            Leaf::Release(_) => "release".to_owned(),
            Leaf::Panic(_) => "panic".to_owned(),
            Leaf::Log(_) => "log".to_owned(),
            Leaf::Any(_) => "any".to_owned(),
            Leaf::None(_) => "none".to_owned(),
        }
    }
}
