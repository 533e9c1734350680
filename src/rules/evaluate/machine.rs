//! Predicates over the machine: kind of failure, task, taint, modules, hardware, uptime, memory, settings.

use super::{Answer, Context};
use crate::crash::{Module, PanicKind, SettingValue};
use crate::rules::schema::{
    Glob, MemoryTest, NumberRange, OneOrMany, SettingTest, SpanRange, SysctlName, TaintLetter, VersionRange,
};
use crate::rules::version::rpmvercmp;

pub(super) fn kind(kinds: &OneOrMany<PanicKind>, context: &Context<'_>) -> Answer {
    match context.kind() {
        Some(kind) => kinds.iter().any(|wanted| *wanted == kind).into(),
        // Only a rule that asks for "no class could be told" gets an answer from that.
        None if context.report.panic.is_some() && kinds.iter().any(|wanted| *wanted == PanicKind::Unknown) => {
            Answer::Yes
        }
        None => Answer::Unknown,
    }
}

pub(super) fn fault_module(modules: &OneOrMany<Glob>, context: &Context<'_>) -> Answer {
    let Some(fault) = &context.report.fault else {
        return Answer::absent_from(context.stack_complete());
    };
    match &fault.module {
        Some(module) => modules.iter().any(|wanted| name_fits(wanted, module)).into(),
        // A symbol without a module is the kernel's own.
        None => Answer::absent_from(fault.symbol.is_some()),
    }
}

pub(super) fn fault_place(context: &Context<'_>) -> Option<String> {
    let fault = context.report.fault.as_ref()?;
    let symbol = fault.symbol.as_deref()?;
    let offset = fault.offset.map(|offset| format!("+{offset:#x}")).unwrap_or_default();
    let module = fault
        .module
        .as_ref()
        .map(|module| format!(" [{module}]"))
        .unwrap_or_default();
    Some(format!("{symbol}{offset}{module}"))
}

pub(super) fn comm<'c>(context: &'c Context<'_>) -> Option<&'c str> {
    context.report.task.as_ref()?.comm.as_deref()
}

pub(super) fn glob(wanted: &OneOrMany<Glob>, text: Option<&str>) -> Answer {
    text.map(|text| wanted.iter().any(|glob| glob.matches(text))).into()
}

pub(super) fn glob_any_case(wanted: &OneOrMany<Glob>, text: Option<&str>) -> Answer {
    text.map(|text| wanted.iter().any(|glob| glob.matches_any_case(text)))
        .into()
}

fn has_letter(letter: &TaintLetter, letters: &[String]) -> bool {
    letters.iter().any(|found| found == letter.as_str())
}

pub(super) fn taint(wanted: &[TaintLetter], context: &Context<'_>) -> Answer {
    let taint = context.report.taint.as_deref();
    taint
        .map(|letters| wanted.iter().all(|letter| has_letter(letter, letters)))
        .into()
}

pub(super) fn no_taint(unwanted: &[TaintLetter], context: &Context<'_>) -> Answer {
    let taint = context.report.taint.as_deref();
    taint
        .map(|letters| !unwanted.iter().any(|letter| has_letter(letter, letters)))
        .into()
}

pub(super) fn found_taint(context: &Context<'_>) -> Option<String> {
    let letters = context.report.taint.as_ref()?;
    Some(if letters.is_empty() {
        "not tainted".to_owned()
    } else {
        letters.join(", ")
    })
}

/// Modules are named with underscores, and written with either.
fn name_fits(wanted: &Glob, module: &str) -> bool {
    wanted.matches(module) || wanted.matches(&module.replace('_', "-"))
}

fn find_module<'c>(wanted: &Glob, context: &'c Context<'_>) -> Option<&'c Module> {
    context
        .report
        .modules
        .iter()
        .find(|module| name_fits(wanted, &module.name))
}

pub(super) fn loaded(wanted: &Glob, context: &Context<'_>) -> Answer {
    match find_module(wanted, context) {
        Some(_) => Answer::Yes,
        None => Answer::absent_from(context.report.modules_complete),
    }
}

pub(super) fn found_modules(wanted: &[Glob], context: &Context<'_>) -> Option<String> {
    let names: Vec<&str> = wanted
        .iter()
        .filter_map(|wanted| find_module(wanted, context))
        .map(|module| module.name.as_str())
        .collect();
    if !names.is_empty() {
        return Some(names.join(", "));
    }
    context.report.modules_complete.then(|| "not loaded".to_owned())
}

fn module_named<'c>(name: &str, context: &'c Context<'_>) -> Option<&'c Module> {
    let name = name.replace('-', "_");
    context
        .report
        .modules
        .iter()
        .find(|module| module.name.replace('-', "_") == name)
}

pub(super) fn module_version(name: &str, range: &VersionRange, context: &Context<'_>) -> Answer {
    let Some(module) = module_named(name, context) else {
        return Answer::absent_from(context.report.modules_complete);
    };
    let Some(version) = &module.version else {
        return Answer::Unknown;
    };
    let fits = range.eq.as_ref().is_none_or(|eq| rpmvercmp(version, eq).is_eq())
        && range.min.as_ref().is_none_or(|min| rpmvercmp(version, min).is_ge())
        && range.max.as_ref().is_none_or(|max| rpmvercmp(version, max).is_le());
    fits.into()
}

pub(super) fn found_version(name: &str, context: &Context<'_>) -> Option<String> {
    module_named(name, context)?.version.clone()
}

pub(super) fn uptime(range: &SpanRange, context: &Context<'_>) -> Answer {
    let uptime = context.report.system.uptime_seconds;
    uptime
        .map(|seconds| {
            range.min.as_ref().is_none_or(|min| seconds >= min.seconds())
                && range.max.as_ref().is_none_or(|max| seconds <= max.seconds())
        })
        .into()
}

/// A length of time as people say it.
pub(super) fn days(seconds: f64) -> String {
    if seconds >= 86_400.0 {
        format!("{:.1} days", seconds / 86_400.0)
    } else if seconds >= 3600.0 {
        format!("{:.1} hours", seconds / 3600.0)
    } else {
        format!("{seconds:.0} s")
    }
}

/// A share of memory that rules ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Free pages of all memory.
    Free,
    /// Page cache of all memory.
    Cached,
    /// Slab of all memory.
    Slab,
    /// Used swap of all swap.
    SwapUsed,
    /// Committed memory of the commit limit.
    Committed,
}

impl Share {
    /// The key in a rule.
    pub fn key(self) -> &'static str {
        match self {
            Share::Free => "free_percent",
            Share::Cached => "cached_percent",
            Share::Slab => "slab_percent",
            Share::SwapUsed => "swap_used_percent",
            Share::Committed => "committed_percent",
        }
    }
}

/// The shares that a test asks for.
pub(super) fn shares(test: &MemoryTest) -> impl Iterator<Item = (Share, NumberRange)> {
    [
        (Share::Free, test.free_percent),
        (Share::Cached, test.cached_percent),
        (Share::Slab, test.slab_percent),
        (Share::SwapUsed, test.swap_used_percent),
        (Share::Committed, test.committed_percent),
    ]
    .into_iter()
    .filter_map(|(share, range)| Some((share, range?)))
}

/// A share in percent; `None` where a figure is not known, or there is nothing to have a share of.
#[allow(clippy::cast_precision_loss, reason = "page counts are far below 2^53")]
pub(super) fn percent(share: Share, context: &Context<'_>) -> Option<f64> {
    let memory = context.report.memory.as_ref()?;
    let (part, whole) = match share {
        Share::Free => (memory.free_pages?, memory.total_pages?),
        Share::Cached => (memory.cached_pages?, memory.total_pages?),
        Share::Slab => (memory.slab_pages?, memory.total_pages?),
        Share::SwapUsed => {
            let total = memory.swap_total_pages?;
            (total.saturating_sub(memory.swap_free_pages?), total)
        }
        Share::Committed => (memory.committed_pages?, memory.commit_limit_pages?),
    };
    (whole > 0).then(|| 100.0 * part as f64 / whole as f64)
}

fn between(range: NumberRange, number: f64) -> bool {
    range.min.is_none_or(|min| number >= min) && range.max.is_none_or(|max| number <= max)
}

pub(super) fn memory(share: Share, range: NumberRange, context: &Context<'_>) -> Answer {
    percent(share, context).map(|percent| between(range, percent)).into()
}

/// Whether a word stands on the command line, which is known as a whole or not at all.
pub(super) fn cmdline(word: &Glob, context: &Context<'_>) -> Answer {
    let cmdline = context.report.system.cmdline.as_deref();
    cmdline
        .map(|line| line.split_whitespace().any(|found| word.matches(found)))
        .into()
}

pub(super) fn found_cmdline(words: &[Glob], context: &Context<'_>) -> Option<String> {
    let line = context.report.system.cmdline.as_deref()?;
    let found: Vec<&str> = line
        .split_whitespace()
        .filter(|found| words.iter().any(|word| word.matches(found)))
        .collect();
    Some(if found.is_empty() {
        "not there".to_owned()
    } else {
        found.join(" ")
    })
}

#[allow(clippy::cast_precision_loss, reason = "a bound of a rule is a small number")]
pub(super) fn sysctl(name: &SysctlName, test: &SettingTest, context: &Context<'_>) -> Answer {
    let Some(value) = context.report.settings.get(name.as_str()) else {
        return Answer::Unknown;
    };
    match test {
        SettingTest::AnyOf(values) => {
            let text = setting_text(value);
            values.iter().any(|wanted| wanted.0 == text).into()
        }
        SettingTest::Between(range) => match value {
            SettingValue::Number(number) => between(*range, *number as f64).into(),
            SettingValue::Numbers(_) | SettingValue::Text(_) => Answer::Unknown,
        },
    }
}

/// A setting as `sysctl` prints it, with single spaces.
pub(super) fn setting_text(value: &SettingValue) -> String {
    match value {
        SettingValue::Number(number) => number.to_string(),
        SettingValue::Numbers(numbers) => {
            let words: Vec<String> = numbers.iter().map(i64::to_string).collect();
            words.join(" ")
        }
        SettingValue::Text(text) => text.split_whitespace().collect::<Vec<_>>().join(" "),
    }
}
